package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

var (
	// ruleKey names settings that are expressions, whose constants may be values of rows.
	ruleKey = regexp.MustCompile(`^(filter|when|delete_when|expr)$`)
	// constant is one in an expression.
	constant = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`|\\b[0-9][0-9_.]*\\b")
)

// Outline gives the text without secrets, comments and values: what somebody who helps needs to see of it. Constants, lists of users and what expressions compare
// with are left out.
func Outline(text []byte) (shown string) {
	const unread = "# The file is no YAML that can be read.\n"
	defer func() {
		if recover() != nil { // as parseTokens does of the library's panics
			shown = unread
		}
	}()
	if e := (&editor{text: text}); e.read() != nil { // which bounds what its aliases stand for
		return unread
	}
	var all yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(HideSecrets(text), &all, yaml.UseOrderedMap()); err != nil {
		return unread
	}
	out, err := yaml.MarshalWithOptions(outline("", all), yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return "# The file can't be shown without its values.\n"
	}
	return string(out)
}

func outline(key string, v any) any {
	if key == "value" && v != nil {
		return Hidden
	}
	switch x := v.(type) {
	case yaml.MapSlice:
		out := make(yaml.MapSlice, 0, len(x))
		for _, item := range x {
			name := fmt.Sprint(item.Key)
			out = append(out, yaml.MapItem{Key: item.Key, Value: outline(name, item.Value)})
		}
		return out
	case []any:
		if key == "only_users" || key == "users" || key == "one_of" {
			return fmt.Sprintf("%d %s", len(x), Hidden)
		}
		out := make([]any, 0, len(x))
		for _, item := range x {
			out = append(out, outline("", item))
		}
		return out
	case string:
		if ruleKey.MatchString(key) {
			return constant.ReplaceAllString(x, "…")
		}
		return strings.ToValidUTF8(x, "�")
	}
	return v
}
