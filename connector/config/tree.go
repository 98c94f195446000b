package config

// Tree is a text's values, as they are written: variables stay ${NAME}, and secrets are hidden.
type Tree struct{ e *editor }

// ReadTree reads the values of a text, which may have every fault but that of being no YAML.
func ReadTree(text []byte) (*Tree, error) {
	e := &editor{text: text}
	if err := e.read(); err != nil {
		return nil, err
	}
	return &Tree{e}, nil
}

// Has tells whether the text sets the value at a path.
func (t *Tree) Has(path string) bool { return t.e.value(path) != nil }

// Text is the value at a path on one line, "" where there is none.
func (t *Tree) Text(path string) string { return shown(t.e.value(path)) }

// Items are the values of a list, each on one line.
func (t *Tree) Items(path string) []string {
	n := t.e.value(path)
	if n == nil {
		return nil
	}
	out := make([]string, len(n.items))
	for i, item := range n.items {
		out[i] = shown(item)
	}
	return out
}

// Keys are the keys of a map in their order.
func (t *Tree) Keys(path string) []string {
	n := t.e.value(path)
	if n == nil {
		return nil
	}
	out := make([]string, len(n.entries))
	for i, e := range n.entries {
		out[i] = e.key
	}
	return out
}
