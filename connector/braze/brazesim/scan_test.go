package brazesim

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var scanSeeds = []string{`{"attributes":[{"external_id":"a","x":1.5e+3,"y":[true,false,null],"z":{"a":"\u00e9\ud83d\ude00\n"}}]}`, ` [ 1 , -0.1, 0 ] `, `"\ud800"`,
	`{"a":1,}`, `[1,]`, `01`, `-`, `1.`, `1e`, `"\x"`, `"\u12g4"`, "\"\x01\"", `{"a" "b"}`, `{,}`, `nul`, `true false`, ``, `{"a":{"b":[{}]},"a":2}`, `[[[[]]]]`, `"`, `"\`, `{"a`}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, seed := range append(scanSeeds, strings.Repeat("[", 10000)+strings.Repeat("]", 10000), strings.Repeat("[", 10001)+strings.Repeat("]", 10001)) {
		if got, want := validJSON([]byte(seed)), json.Valid([]byte(seed)); got != want {
			t.Errorf("validJSON(%.60q) = %v, encoding/json says %v", seed, got, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, seed := range scanSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		valid := json.Valid(body)
		if got := validJSON(body); got != valid {
			t.Fatalf("validJSON(%q) = %v, encoding/json says %v", body, got, valid)
		}
		tr := new(track)
		tr.body = body
		if bad := tr.scan(newNames()); bad == invalidJSON && valid || bad == nil && !valid {
			t.Fatalf("scan(%q) took it for valid = %v, encoding/json says %v", body, bad != invalidJSON, valid)
		}
		if !valid || !utf8.Valid(body) {
			return
		}
		compact := parseNode(body).append(nil)
		var want, got any
		if json.Unmarshal(body, &want) != nil {
			return // a number beyond float64
		}
		if err := json.Unmarshal(compact, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("parseNode(%q) became %q (%v)", body, compact, err)
		}
	})
}

func FuzzTrackBody(f *testing.F) {
	for _, seed := range append(scanSeeds, `{"attributes":[{"external_id":"a","tags":{"add":["x"]},"o":{"$add":[{"i":1}],"$update":[{"$identifier_key":"i","$identifier_value":1,"$new_object":{"j":2}}]},
		"n":{"inc":2},"email":"a@x.io","phone":"5555555555","country":"fr","current_location":{"longitude":1,"latitude":2},"_merge_objects":true,"p":{"q":{"r":1}}}],
		"events":[{"external_id":"a","name":"n","time":"2026-01-01T00:00:00Z","properties":{"a":[1]}}],
		"purchases":[{"user_alias":{"alias_name":"a","alias_label":"b"},"_update_existing_only":false,"product_id":"p","currency":"EUR","price":1,"time":"2026-01-01T00:00:00Z"}]}`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := New(Config{})
		for range 2 { // the second time on profiles that exist
			eff, bad := parseTrack(s, body)
			if bad != nil {
				if bad.status != 400 {
					t.Fatalf("status %d for %q", bad.status, body)
				}
				return
			}
			c := &call{seq: 1, epoch: s.epoch, path: "/users/track"}
			s.register(c, eff, &Fault{})
			r := s.take(c, eff)
			if r.status != 201 || !json.Valid(r.body) && utf8.Valid(body) {
				t.Fatalf("answer %d %q for %q", r.status, r.body, body)
			}
		}
		for _, p := range s.Profiles() {
			if _, err := json.Marshal(p); err != nil {
				t.Fatalf("profile of %q: %v", body, err)
			}
		}
	})
}

func TestUnquote(t *testing.T) {
	for _, raw := range []string{`"plain"`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u00e9"`, `"\ud83d\ude00"`, `"\ud800x"`, `"\ud800\u0041"`, `"\udc00"`} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatal(err)
		}
		if got := string(text([]byte(raw))); got != want {
			t.Errorf("text(%s) = %q, want %q", raw, got, want)
		}
		var back string
		if err := json.Unmarshal(appendQuoted(nil, []byte(want)), &back); err != nil || back != want {
			t.Errorf("appendQuoted(%q) reads back as %q (%v)", want, back, err)
		}
	}
}

func TestRequestLogBounds(t *testing.T) {
	var l requestLog
	for i := range 25 {
		l.add(Request{Seq: uint64(i), Body: bytes.Repeat([]byte("x"), 10)}, 10, 35)
	}
	s := &Server{log: l}
	got := s.Requests(0)
	if len(got) != 10 || got[0].Seq != 15 || got[9].Seq != 24 {
		t.Fatalf("kept %d requests, %d to %d; want the last 10", len(got), got[0].Seq, got[len(got)-1].Seq)
	}
	bodies := 0
	for i, r := range got {
		if r.Body != nil {
			bodies++
			if i < 7 {
				t.Errorf("request %d kept its body, but the newest go first", i)
			}
		}
	}
	if bodies != 3 || l.bytes != 30 {
		t.Errorf("%d bodies of %d bytes kept, want 3 of 30", bodies, l.bytes)
	}
	if last := s.Requests(2); len(last) != 2 || last[1].Seq != 24 {
		t.Errorf("Requests(2) = %v", last)
	}
}
