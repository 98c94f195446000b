package config

// Difference is one value that two texts have differently, as it may be shown.
type Difference struct {
	Path   []string // the steps of an Edit's path, items of lists by name: models, customers, fields, email
	Old    string   // "" where the value is new
	New    string   // "" where it is gone
	Added  bool
	Gone   bool
	Secret bool // Old and New are hidden where they are no references
	Was    any  // the value before, as in an Edit; it may hold a secret
	Edit   Edit // that makes the new value of the old one
}

// Differences are Changes with the values before and after, secrets hidden.
func Differences(before, after []byte) ([]Difference, error) {
	edits, err := Changes(before, after)
	if err != nil {
		return nil, err
	}
	old, is := &editor{text: before}, &editor{text: after}
	if err := old.read(); err != nil {
		return nil, err
	}
	if err := is.read(); err != nil {
		return nil, err
	}
	out := make([]Difference, 0, len(edits))
	for _, edit := range edits {
		parts, err := splitPath(edit.Path)
		if err != nil {
			return nil, err
		}
		d := Difference{Edit: edit, Gone: edit.Remove}
		for _, p := range parts {
			d.Path = append(d.Path, p.text)
		}
		was, key := old.value(edit.Path), d.Path[len(d.Path)-1]
		d.Added = was == nil
		d.Secret = IsSecret(edit.Path)
		d.Old = shown(was)
		if was != nil {
			d.Was = was.plainValue()
		}
		if !edit.Remove {
			value, err := valueNode(edit.Value, 0)
			if err != nil {
				return nil, err
			}
			value.path = edit.Path
			setPaths(value)
			d.New = shown(value)
			if last := len(d.Path) - 1; key == "+" {
				d.Path[last] = value.identity()
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// setPaths fills in the paths of what stands below a value.
func setPaths(n *node) {
	for i, e := range n.entries {
		n.entries[i].node.path = join(n.path, e.key)
		setPaths(n.entries[i].node)
	}
}

// value is the value at a path, nil where there is none.
func (e *editor) value(path string) *node {
	steps, err := e.steps(path)
	if err != nil {
		return nil
	}
	return e.root.at(steps)
}

// shown is a value as it may be shown, on one line.
func shown(n *node) string {
	switch {
	case n == nil || n.kind == null:
		return ""
	case n.kind != mapping && n.kind != sequence:
		holder := &node{kind: mapping, entries: []entry{{key: lastKey(n.path), node: n}}}
		for _, s := range secrets(holder, nil) {
			return hide(s)
		}
		return n.raw
	}
	safe := n.copied()
	hideBelow(safe)
	return inlineAll(safe)
}

func hideBelow(n *node) {
	setPaths(n)
	for _, s := range secrets(&node{kind: mapping, path: "-", entries: []entry{{node: n}}}, nil) {
		s.raw = hide(s)
	}
}

// lastKey is the last key of a path.
func lastKey(path string) string {
	parts, err := splitPath(path)
	if err != nil {
		return ""
	}
	return parts[len(parts)-1].text
}

// Shown is the value of an Edit as it may be shown, on one line. The path tells whether it is a secret.
func Shown(path string, value any) string {
	n, err := valueNode(value, 0)
	if err != nil {
		return ""
	}
	n.path = path
	setPaths(n)
	return shown(n)
}

// IsSecret tells whether the setting at a path is a secret.
func IsSecret(path string) bool {
	parts, err := splitPath(path)
	return err == nil && parts[0].text != "models" && (secretKey.MatchString(parts[len(parts)-1].text) || hiddenAddress.MatchString(path))
}
