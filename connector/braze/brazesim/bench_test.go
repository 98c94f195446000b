package brazesim_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"brazecdc/connector/braze/brazesim"
)

// benchBodies are track calls of 75 objects with 11 fields each, over users many users.
func benchBodies(users, calls int) [][]byte {
	out := make([][]byte, calls)
	for c := range out {
		var b bytes.Buffer
		b.WriteString(`{"attributes":[`)
		for i := range 75 {
			if i > 0 {
				b.WriteByte(',')
			}
			u := (c*75 + i) * 7919 % users
			fmt.Fprintf(&b, `{"external_id":"user-%d","_update_existing_only":false,"email":"user%d@example.com","first_name":"Ada","last_name":"Lovelace %d",`+
				`"country":"GB","plan":"professional","credits":%d.25,"is_vip":true,"visits":%d,"last_seen":"2026-11-01T00:00:%02dZ","note":"some words of text %d"}`,
				u, u, c, c*3, c+i, c%60, c)
		}
		b.WriteString(`]}`)
		out[c] = b.Bytes()
	}
	return out
}

func post(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// BenchmarkTrack reports attribute objects/s through the handler. On one core: GOMAXPROCS=1 go test -bench Track.
func BenchmarkTrack(b *testing.B) {
	const users = 100_000
	bodies := benchBodies(users, 4000)
	s := brazesim.New(brazesim.Config{APIKey: "key"})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if w := post(s, "/users/track", bodies[i%len(bodies)]); w.Code != http.StatusCreated {
			b.Fatalf("answer %d: %s", w.Code, w.Body)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*75)/b.Elapsed().Seconds(), "objects/s")
	n := s.Stats().Profiles
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/float64(max(1, n)), "heap-B/profile")
	runtime.KeepAlive(s)
}

// BenchmarkTrackHTTP is the same over a loopback connection, with a client in the same process.
func BenchmarkTrackHTTP(b *testing.B) {
	bodies := benchBodies(100_000, 1000)
	s := brazesim.New(brazesim.Config{APIKey: "key"})
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	b.ResetTimer()
	for i := range b.N {
		req, err := http.NewRequest(http.MethodPost, url+"/users/track", bytes.NewReader(bodies[i%len(bodies)]))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
			b.Fatal(resp.StatusCode, err)
		}
		resp.Body.Close()
	}
	b.ReportMetric(float64(b.N*75)/b.Elapsed().Seconds(), "objects/s")
}
