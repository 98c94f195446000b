package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// alertsPage is who is told when something needs somebody. What was typed as a secret is never in it.
type alertsPage struct {
	connectionForm
	URL, Secret secretField
	Host        string // of the address, where it can be told
	Pages       string
	Sent        AlertSent
	Told        *Alert
	Pending     bool // the draft says something else than what counts now
}

// writtenWebhook is what the text of a configuration says of the webhook, references as they stand.
type writtenWebhook struct {
	URL    string `yaml:"url"`
	Secret string `yaml:"secret"`
	Pages  string `yaml:"pages"`
}

// readWebhook reads what it can; what has another shape is left empty, and told as a fault elsewhere. The YAML library's panics on odd input are such a shape.
func readWebhook(text []byte) (w writtenWebhook) {
	var all struct {
		Ops struct {
			Webhook writtenWebhook `yaml:"webhook"`
		} `yaml:"ops"`
	}
	defer func() {
		if recover() != nil {
			w = writtenWebhook{}
		}
	}()
	if yaml.Unmarshal(text, &all) != nil {
		return w
	}
	return all.Ops.Webhook
}

func (r *request) alertsPage(w *writtenWebhook) *alertsPage {
	p := &alertsPage{connectionForm: r.connectionForm(), URL: r.secretOf("url", w.URL), Secret: r.secretOf("secret", w.Secret), Pages: w.Pages, Sent: r.s.cfg.Alerts.Last(), Told: r.s.cfg.Alerts.Told()}
	if u, err := url.Parse(w.URL); err == nil && !secretIsReference(w.URL) {
		p.Host = u.Host
	}
	if v, err := r.draftView(); err == nil {
		p.Pending = v.Pending && readWebhook(v.File) != *w
	}
	return p
}

func (s *Server) alertsShow(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil || s.cfg.Alerts == nil {
		return errUnavailable()
	}
	w := readWebhook(v.Text)
	return r.render(http.StatusOK, "settings_alerts", "core.alerts.title", r.alertsPage(&w))
}

// alertsSave puts the webhook into the draft.
func (s *Server) alertsSave(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil || s.cfg.Alerts == nil {
		return errUnavailable()
	}
	w := readWebhook(v.Text)
	p := r.alertsPage(&w)
	if w.URL != "" && r.PostFormValue("off") != "" {
		var change edits
		change.remove("ops.webhook")
		if err := r.save(change); err != nil {
			return err
		}
		return r.redirect("/settings/alerts", "core.alerts.done.off")
	}
	change, err := r.alertsEdits(v.Text, &w, p)
	if err != nil {
		r.problem("", r.t("connections.wrong.keep", r.saidError(err)))
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "settings_alerts", "core.alerts.title", p)
	}
	if len(change) == 0 {
		return r.redirect("/settings/alerts", "draft.done.unchanged")
	}
	if err := r.save(change); err != nil {
		return err
	}
	return r.redirect("/settings/alerts", "core.alerts.done.kept")
}

func (r *request) alertsEdits(text []byte, w *writtenWebhook, p *alertsPage) (change edits, err error) {
	p.Pages = strings.TrimRight(r.text("pages"), "/")
	in := r.secretInput("url")
	switch {
	case in.Typed == "" && w.URL == "":
		r.problem("url", r.t("core.alerts.wrong.missing"))
	case in.Typed != "" && !secretIsReference(in.Typed) && !takesMessages(in.Typed):
		r.problem("url", r.t("core.alerts.wrong.url"))
	}
	keepURL := r.secretChange("url", w.URL, false)
	// Nobody may send a secret that they can't see to a host of their own.
	keepSecret := r.secretChange("secret", w.Secret, in.Typed != "" && in.Typed != w.URL)
	change.keep("ops.webhook.pages", w.Pages, p.Pages, "")
	fields := map[string]string{"ops.webhook.pages": "pages", "ops.webhook.url": "url", "ops.webhook.secret": "secret"}
	trial := change
	if in.Typed != "" {
		trial = append(trial[:len(trial):len(trial)], edits{{Path: "ops.webhook.url", Value: in.Typed}}...)
	}
	if len(r.problems) > 0 || !r.judge(text, trial, fields) {
		return nil, nil
	}
	if err := keepURL(&change, "ops.webhook.url", "alerts-url"); err != nil {
		return nil, err
	}
	return change, keepSecret(&change, "ops.webhook.secret", "alerts-secret")
}

// takesMessages tells whether an address is one that messages may be sent to.
func takesMessages(typed string) bool {
	u, err := url.Parse(typed)
	if err != nil || u.Hostname() == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopbackHost(u.Hostname())
}

// alertTest bounds how long a person waits for the answer to a test.
const alertTest = 15 * time.Second

// alertsTest sends a message that is marked as a test where the draft says.
func (s *Server) alertsTest(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil || s.cfg.Alerts == nil {
		return errUnavailable()
	}
	ctx, cancel := context.WithTimeout(r.Context(), alertTest)
	defer cancel()
	if err := s.cfg.Alerts.Test(ctx, v.Text, s.testAlert()); err != nil {
		w := readWebhook(v.Text)
		r.problem("", r.t("core.alerts.test.failed", r.saidError(err)))
		return r.render(http.StatusBadGateway, "settings_alerts", "core.alerts.title", r.alertsPage(&w))
	}
	r.record("/settings/alerts", "core.alerts.note.test")
	return r.redirect("/settings/alerts", "core.alerts.test.sent")
}
