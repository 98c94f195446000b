package braze

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"brazecdc/connector"
)

func fullBatch() []connector.Effect {
	batch := make([]connector.Effect, 75)
	for i := range batch {
		batch[i] = wholeRow("user-" + strconv.Itoa(100000+i))
	}
	return batch
}

// BenchmarkBody builds the body of 75 objects with 11 fields each.
func BenchmarkBody(b *testing.B) {
	batch := fullBatch()
	b.SetBytes(int64(len(Body(connector.Track, batch))))
	b.ReportAllocs()
	for b.Loop() {
		buf := newBuffer()
		buf.b = appendBody(buf.b, connector.Track, batch)
		buf.release()
	}
}

// BenchmarkSend makes whole calls of 75 objects against a handler in this process, over real connections.
func BenchmarkSend(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"message":"success","attributes_processed":75}`)
	}))
	defer s.Close()
	c := newTestClient(b, s.URL, Config{})
	batch := fullBatch()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Send(context.Background(), connector.Track, batch); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkWait is the cost of pacing where the budget is wide enough never to wait.
func BenchmarkWait(b *testing.B) {
	p := newPool(budget{1e12, 1e9}, 1, 0)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	body := []byte(`{"message":"success","attributes_processed":75}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseAnswer(body); err != nil {
			b.Fatal(err)
		}
	}
}
