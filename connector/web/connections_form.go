package web

import (
	"errors"
	"net/http"
	"strings"

	"brazecdc/connector/config"
)

// secretField is the field of a secret: it shows whether there is one, never which.
type secretField struct {
	ID    string // of the element, and the name of the value
	State SecretState
}

// secretInput is what a form says about a secret.
type secretInput struct {
	Typed  string
	Remove bool
}

func (r *request) secretInput(id string) secretInput {
	return secretInput{Typed: strings.TrimSpace(r.PostFormValue(id)), Remove: r.PostFormValue(id+"_remove") != ""}
}

var errSecretChars = errors.New("connections.wrong.secret")

// judge says what is wrong with a typed secret, as a key.
func (in secretInput) judge() error {
	if strings.ContainsFunc(in.Typed, func(c rune) bool { return c < ' ' || c == 0x7f }) || len(in.Typed) > 4096 {
		return errSecretChars
	}
	return nil
}

// reference gives what is to stand in the configuration for a typed secret: the reference itself, where one was typed, else one to a file of its own.
func (r *request) reference(name, typed string) (string, error) {
	if secretIsReference(typed) {
		return typed, nil
	}
	return r.s.cfg.Connections.KeepSecret(name, typed)
}

// secretOf tells of what stands in the configuration whether there is a secret behind it.
func (r *request) secretOf(id, raw string) secretField {
	f := secretField{ID: id}
	if raw != "" {
		f.State = r.s.cfg.Connections.Secret(raw)
	}
	return f
}

// text reads a field of a form on one line.
func (r *request) text(name string) string {
	v := strings.TrimSpace(r.PostFormValue(name))
	if len(v) > 2000 {
		v = v[:2000]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, v)
}

// edits collects changes of the configuration.
type edits []config.Edit

func (e *edits) set(path string, value any) { *e = append(*e, config.Edit{Path: path, Value: value}) }

func (e *edits) remove(path string) {
	*e = append(*e, config.Edit{Path: path, Remove: true})
}

// keep sets what differs from what stands there; a default that is not there need not be.
func (e *edits) keep(path, now, want, standard string) {
	switch {
	case now == want, now == "" && want == standard:
	case want == "":
		e.remove(path)
	default:
		e.set(path, want)
	}
}

// judge applies edits on trial and adds the faults at the paths of a form's fields; ok tells that there are none.
func (r *request) judge(text []byte, change edits, fields map[string]string) (ok bool) {
	after, err := config.Apply(text, change...)
	if err != nil {
		r.problem("", r.t("connections.wrong.edit", r.saidError(err)))
		return false
	}
	_, faults := r.s.cfg.Connections.Look(after)
	ok = true
	for _, f := range faults {
		if id, ours := fields[f.Path]; ours && !f.Warn {
			r.problem(id, r.said(f.What)+"; "+r.said(f.Fix))
			ok = false
		}
	}
	return ok
}

// save puts edits into the draft.
func (r *request) save(change edits) error {
	if err := r.s.cfg.Draft.Edit(r.User.Name, change...); err != nil {
		return errPage(http.StatusUnprocessableEntity, "connections.wrong.edit", r.saidError(err))
	}
	r.s.forgetSecrets()
	return nil
}

// forgetSecrets removes the secrets that nothing names any more: not the file, not the draft, and no version to go back to.
func (s *Server) forgetSecrets() {
	v, err := s.cfg.Draft.View()
	if err != nil {
		return
	}
	texts := [][]byte{v.Text, v.File, v.Base}
	versions, err := s.cfg.Draft.Versions()
	if err != nil {
		return
	}
	for _, old := range versions {
		text, err := s.cfg.Draft.Version(old.N)
		if err != nil {
			return // what it names is not known, so everything stays
		}
		texts = append(texts, text)
	}
	s.cfg.Connections.ForgetSecrets(texts)
}

// begin is what every text needs before anything else.
func begin(w *written) (e edits) {
	if w.Version == nil {
		e.set("version", 1)
	}
	return e
}
