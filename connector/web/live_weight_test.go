package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"brazecdc/connector/control"
)

// wire is how many bytes an address takes over the wire to a browser that takes gzip, and what they say.
func (s *site) wire(path string) (size int, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	a := s.do(req)
	if a.Header.Get("Content-Encoding") != "gzip" {
		return len(a.Body), a.Body
	}
	z, err := gzip.NewReader(strings.NewReader(a.Body))
	if err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, z); err != nil { //nolint:gosec // a page of our own
		s.t.Fatal(err)
	}
	return len(a.Body), b.String()
}

func TestLiveWeight(t *testing.T) {
	s, _, _ := livePast(t, 900, func(n int, st *control.Status) {
		in := uint64(0)
		for i := range n {
			in += uint64(wave(i))
		}
		st.Models[0].Changes["update"], st.LagSeconds = in, wave(n)/100
	})
	html, page := s.wire("/")
	if html > 30_000 {
		t.Errorf("the page takes %d bytes", html)
	}
	css, js := 0, 0
	for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		n, _ := s.wire(m[1])
		if strings.HasSuffix(m[1], ".js") {
			js += n
		} else {
			css += n
		}
	}
	if css > 20_000 || js > 45_000 || css == 0 || js == 0 {
		t.Errorf("style takes %d bytes, modules %d", css, js)
	}
	t.Logf("%d bytes of HTML, %d of style, %d of modules", html, css, js)
}
