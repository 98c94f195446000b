package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetSource embed.FS

// assetFile is one style sheet, module or picture, as it lies and as it travels.
type assetFile struct {
	plain, zipped []byte
	mime          string
}

// assetFiles serves the embedded files below a prefix that holds the hash of all their content: a browser may keep them for a year, and modules can import
// each other by relative names.
type assetFiles struct {
	prefix string // "/assets/<hash>/"
	files  map[string]assetFile
}

var mimes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func loadAssets() (*assetFiles, error) {
	a := &assetFiles{files: map[string]assetFile{}}
	sum := sha256.New()
	w, err := gzip.NewWriterLevel(nil, gzip.BestCompression) // one for all: each takes a megabyte
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(assetSource, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		mime, ok := mimes[path.Ext(name)]
		if !ok {
			return nil
		}
		b, err := assetSource.ReadFile(name)
		if err != nil {
			return err
		}
		var z bytes.Buffer
		w.Reset(&z)
		if _, err := w.Write(b); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", name, len(b), b) // a hash takes everything
		a.files[strings.TrimPrefix(name, "assets/")] = assetFile{b, z.Bytes(), mime}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded assets: %w", err)
	}
	a.prefix = "/assets/" + hex.EncodeToString(sum.Sum(nil)[:8]) + "/"
	return a, nil
}

// url is where a file is served; empty for one that has no content or is not there, which needs no request.
func (a *assetFiles) url(name string) string {
	if len(bytes.TrimSpace(a.files[name].plain)) == 0 {
		return ""
	}
	return a.prefix + name
}

// ServeHTTP implements http.Handler.
func (a *assetFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[strings.TrimPrefix(r.URL.Path, a.prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if acceptsGzip(r) && len(f.zipped) < len(f.plain) {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	_, _ = w.Write(body) // a client that went away can't be told
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
