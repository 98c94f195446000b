package web

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// SupportViews makes the file that is handed to whoever helps: versions, state, metrics, the last lines of the log, and the configuration without secrets and
// values. It holds no value of a row.
type SupportViews interface {
	Support(ctx context.Context) ([]byte, error)
	// Stores tells where the process keeps what it knows, and how much that is; nil where that is not known.
	Stores() *Stores
	// Built lists the modules that the program is built from, with their versions.
	Built() []string
}

// Stores are the folders of a process. A size of 0 is not known.
type Stores struct {
	Path, Cache     string
	Size, CacheSize int64
}

// supportWithin bounds how long a person waits for the file.
const supportWithin = 10 * time.Second

func (s *Server) supportText(r *request) ([]byte, error) {
	if s.cfg.Support == nil {
		return nil, errUnavailable()
	}
	ctx, cancel := context.WithTimeout(r.Context(), supportWithin)
	defer cancel()
	text, err := s.cfg.Support.Support(ctx)
	if err != nil {
		return nil, errPage(http.StatusServiceUnavailable, "core.support.failed", r.saidError(err))
	}
	return text, nil
}

type supportPage struct {
	Text string
	Size int
}

// supportShow shows the file before it is downloaded.
func (s *Server) supportShow(r *request) error {
	text, err := s.supportText(r)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "settings_support", "core.support.title", supportPage{Text: string(text), Size: len(text)})
}

func (s *Server) supportDownload(r *request) error {
	text, err := s.supportText(r)
	if err != nil {
		return err
	}
	h := r.W.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Content-Disposition", `attachment; filename="brazecdc-support-`+s.now().UTC().Format("20060102-1504")+`.txt"`)
	_, _ = r.W.Write(text) // a client that went away can't be told
	return nil
}
