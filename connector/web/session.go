package web

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

const visitCookie = "visit"

// identify finds who asks.
func (r *request) identify() {
	r.User = User{Role: Editor}
	r.session = cookie(r.Request, visitCookie)
	if r.session == "" {
		r.session = rand.Text()
		http.SetCookie(r.W, &http.Cookie{Name: visitCookie, Value: r.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
}

// admit lets a request to its handler: the role must do, and what changes something must carry the form's token.
func (r *request) admit() error {
	if r.User.Role < r.route.Role {
		return errPage(http.StatusForbidden, "core.error.role")
	}
	if r.Method == http.MethodPost {
		sent := r.Header.Get("X-CSRF-Token")
		if sent == "" {
			if err := r.ParseForm(); err != nil {
				return errPage(http.StatusBadRequest, "core.error.form")
			}
			sent = r.PostFormValue("csrf")
		}
		if !hmac.Equal([]byte(sent), []byte(r.token())) {
			return errPage(http.StatusForbidden, "core.error.token")
		}
	}
	return nil
}

// token is what each form of this session carries.
func (r *request) token() string { return hex.EncodeToString(r.s.sign("csrf", r.session)) }
