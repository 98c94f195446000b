package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Hidden stands where HideSecrets hid a secret.
const Hidden = "(hidden)"

var (
	// secretKey names settings that are secrets wherever they stand outside of models.
	secretKey = regexp.MustCompile(`^(api_key|password|token|secret|hash|webhook)$`)
	// hiddenAddress is a secret as a whole.
	hiddenAddress = regexp.MustCompile(`^ops\.webhook\.url$`)
	addresses     = regexp.MustCompile(`^source\.postgres\.(url|snapshot_url)$|^source\.kafka\.registry\.url$`)

	// The same for a text that is no YAML, where no more than its lines can be told.
	secretLine     = regexp.MustCompile(`(?m)((?:^|[\s{,"'])(?:api_key|password|token|secret|hash|webhook)["']?\s*[:=]\s*)([^\s,}#][^,}\n#]*)`)
	webLine        = regexp.MustCompile(`(?m)((?:^|[\s{,"'])url["']?\s*[:=]\s*["']?)(https?://[^\s,}#"']+)`) // that of a webhook is a secret
	addressInLine  = regexp.MustCompile(`(://[^:@/\s]*:)([^@/\s]+)(@)`)
	addressSecret  = regexp.MustCompile(`^([a-z]+://[^:@/]*:)([^@/]+)(@)`)
	querySecret    = regexp.MustCompile(`(?i)([?&](?:password|sslpassword)=)([^&\s]+)`)
	keywordsSecret = regexp.MustCompile(`(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s']+)`)
)

// HideSecrets gives the text with secrets hidden that stand in it as they are. References such as ${NAME} stay: they are none.
func HideSecrets(data []byte) []byte {
	e := &editor{text: data}
	if e.read() != nil {
		return hideLines(data)
	}
	var parts []splice
	for _, s := range secrets(e.root, nil) {
		hidden := hide(s)
		if hidden == s.raw {
			continue
		}
		steps, err := e.steps(s.path)
		if err != nil {
			return hideLines(data)
		}
		at, err := e.locate(steps)
		if err != nil {
			return hideLines(data)
		}
		old, ok := e.of(bare(at.value))
		if !ok {
			return hideLines(data)
		}
		parts = append(parts, splice{old.from, old.to, scalarText(&node{kind: text, raw: hidden}, at.flow, s.style)})
	}
	if len(parts) == 0 {
		return data
	}
	if err := e.splice(parts...); err != nil {
		return hideLines(data)
	}
	return e.text
}

func hideLines(text []byte) []byte {
	text = addressInLine.ReplaceAll(text, []byte("${1}"+Hidden+"${3}"))
	text = webLine.ReplaceAll(text, []byte("${1}"+Hidden))
	return secretLine.ReplaceAllFunc(text, func(found []byte) []byte {
		m := secretLine.FindSubmatch(found)
		if value := strings.Trim(string(m[2]), ` "'`); value == reference.FindString(value) {
			return found
		}
		return append(m[1], Hidden...)
	})
}

// secrets are the scalars that are, or hold, a secret.
func secrets(n *node, out []*node) []*node {
	for _, e := range n.entries {
		switch {
		case n.path == "" && e.key == "models":
		case e.node.isCollection():
			out = secrets(e.node, out)
		case secretKey.MatchString(e.key) || addresses.MatchString(e.node.path) || hiddenAddress.MatchString(e.node.path):
			out = append(out, e.node)
		}
	}
	for _, item := range n.items {
		out = secrets(item, out)
	}
	return out
}

// hide is the scalar as it may be shown.
func hide(n *node) string {
	if n.kind == null || strings.TrimSpace(reference.ReplaceAllString(n.raw, "")) == "" {
		return n.raw
	}
	if !addresses.MatchString(n.path) {
		return Hidden
	}
	shown := n.raw
	for _, secret := range []*regexp.Regexp{addressSecret, querySecret, keywordsSecret} {
		shown = secret.ReplaceAllStringFunc(shown, func(found string) string {
			m := append(secret.FindStringSubmatch(found), "")
			if m[2] == reference.FindString(m[2]) {
				return found
			}
			return m[1] + Hidden + m[3]
		})
	}
	return shown
}

// bound are the secrets that belong to an address: to a new one the old secret is not sent unseen.
var bound = map[string]string{
	"braze.api_key": "braze.endpoint", "source.kafka.registry.password": "source.kafka.registry.url", "source.kafka.sasl.password": "source.kafka.brokers",
	"ops.webhook.secret": "ops.webhook.url",
}

// KeepSecrets puts what HideSecrets hid back into a text that was edited since, from the text it was hidden in. The edited text must be YAML with settings.
// Where an address was changed, its secret has to be another one too, references included: nobody may send a secret they can't see to a host of their own.
func KeepSecrets(edited, from []byte) ([]byte, error) {
	e, old := &editor{text: edited}, &editor{text: from}
	if err := e.read(); err != nil {
		return nil, err
	}
	known := map[string]*node{}
	if old.read() == nil {
		for _, s := range secrets(old.root, nil) {
			known[s.path] = s
		}
	}
	var edits []Edit
	for _, s := range secrets(e.root, nil) {
		was, address := known[s.path], bound[s.path]
		moved := was != nil && address != "" && !equal(old.value(address), e.value(address))
		if !strings.Contains(s.raw, Hidden) {
			if moved && s.raw == was.raw && s.kind != null {
				return nil, Fault{Line: s.line, Column: s.column, Path: s.path, What: s.path + " belongs to the address that was at " + address,
					Fix: "enter it again for the new one: change the address under Connections, or name another variable or file here"}
			}
			continue
		}
		if was == nil || hide(was) != s.raw {
			return nil, Fault{Line: s.line, Column: s.column, Path: s.path, What: s.path + " holds " + Hidden + ", which stands for no secret here", Fix: "write ${NAME} and keep the secret in a variable, or the secret itself"}
		}
		if moved {
			return nil, Fault{Line: s.line, Column: s.column, Path: s.path, What: s.path + " belongs to the address that was at " + address, Fix: "enter it again for the new one"}
		}
		edits = append(edits, Edit{Path: s.path, Value: was.plainValue()})
	}
	out, err := Apply(edited, edits...)
	if err != nil {
		return nil, fmt.Errorf("put the hidden secrets back: %w", err)
	}
	return out, nil
}
