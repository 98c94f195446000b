package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. The YAML parser's time grows with the square of the tokens and its stack with the depth, so both are bounded before it runs;
// aliases are bounded by the nodes they expand to.
const (
	maxFile   = 1 << 20
	maxTokens = 60_000
	maxDepth  = 64
	maxNodes  = 100_000
)

// Load reads the file at path. env looks a variable up, as os.LookupEnv does. The error is Faults where the content is at fault, else one of the
// file system.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseText(path, data, env)
}

// ReadFile reads the text of the file at path, a little more than Parse takes at most.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// SecretFiles reads what ${file:...} names in the configuration file at path; a relative name is beside that file, as data and cache are.
func SecretFiles(path string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return readSecret(name)
	}
}

// ParseText is Parse as Load does it, for a text that is not in the file at path yet.
func ParseText(path string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return Parse(path, data, env, SecretFiles(path))
}

// readSecret reads a little more than a secret may hold, so that a device or a log named by mistake does not fill memory.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			return nil, p.Err
		}
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxSecretFile+1))
}

// Parse reads data under the name that faults carry. env and readFile serve ${NAME} and ${file:/path}; nil refuses them. It neither opens nor asks
// anything else. The error is Faults.
func Parse(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, error) {
	cfg, faults := Partial(name, data, env, readFile)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// Partial is Parse for a file that is still being written: what could be understood, defaults where that was nothing, and beside it every fault and
// warning. The Config is nil only where the data is no mapping in YAML.
func Partial(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, Faults) {
	d := &decoder{file: name}
	root := d.tree(data, expander{env, readFile})
	if root == nil {
		return nil, d.faults.sorted()
	}
	cfg := d.config(root)
	cfg.loc = &locator{lines: strings.Split(string(data), "\n"), nodes: map[string]*node{}}
	cfg.loc.index(root)
	faults := d.faults.sorted()
	for _, f := range faults {
		if f.Warn {
			cfg.Warnings = append(cfg.Warnings, f)
		}
	}
	return cfg, faults
}

type kind uint8

const (
	null kind = iota
	text
	number
	boolean
	sequence
	mapping
)

// place is a position in the file, both from 1; column counts characters.
type place struct{ line, column int }

// node is one value of the file after anchors, merges and variables.
type node struct {
	kind  kind
	path  string
	place        // where faults of it are shown; a collection under a key is shown at its key
	start place  // first character of a scalar
	style byte   // ' " | > or 0 for plain
	raw   string // scalar as decoded from YAML
	value string // scalar with variables put in
	segs  []segment
	// expanded: a variable was put in; what is shown of it is raw, since the value may be a secret set under the wrong name.
	expanded bool
	broken   bool // has a fault already; checks of its content are skipped
	entries  []entry
	items    []*node
}

type entry struct {
	key    string
	quoted bool
	place
	node *node
}

func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].node
		}
	}
	return nil
}

// tree is the YAML document as nodes, or nil with faults.
func (d *decoder) tree(data []byte, x expander) *node {
	if f := d.unreadable(data); f != nil {
		d.faults = append(d.faults, *f)
		return nil
	}
	file, fault := parseTokens(unified(data), nil)
	if fault != nil {
		fault.File = d.file
		d.faults = append(d.faults, *fault)
		return nil
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc != nil && doc.Body != nil {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		d.addAt(place{1, 1}, "", "the file holds no settings", "start from the output of brazecdc init")
		return nil
	case 1:
	default:
		d.addAt(start(docs[1]), "", "a second YAML document begins here", "keep one document in the file")
		return nil
	}
	c := &converter{d: d, x: x, anchors: map[string]ast.Node{}, left: maxNodes}
	root := c.node(docs[0], "", place{}, 0)
	if c.left <= 0 {
		return nil
	}
	if root.kind != mapping {
		d.addAt(root.place, "", "the file is "+root.describe()+", not settings", "write keys and values, such as version: 1")
		return nil
	}
	return root
}

// unreadable judges the bytes before YAML is tried.
func (d *decoder) unreadable(data []byte) *Fault {
	at := func(offset int, what, fix string) *Fault {
		before := data[:offset]
		line := 1 + bytes.Count(before, []byte("\n"))
		column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
		return &Fault{File: d.file, Line: line, Column: column, What: what, Fix: fix}
	}
	switch {
	case len(data) > maxFile:
		return &Fault{File: d.file, What: "the file is larger than 1 MiB", Fix: "name a settings file"}
	case bytes.IndexByte(data, 0) >= 0:
		return at(bytes.IndexByte(data, 0), "the file holds a NUL byte and is not text", "name a YAML file in UTF-8")
	case !utf8.Valid(data):
		i := 0
		for i < len(data) {
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		return at(i, "the file is not UTF-8 text", "save it as UTF-8")
	}
	return nil
}

// unified is the text without a byte order mark and with lines that end with \n alone: the library loses count of lines that end otherwise.
func unified(data []byte) string {
	return strings.ReplaceAll(string(bytes.TrimPrefix(data, byteOrderMark)), "\r\n", "\n")
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// parseTokens runs the YAML library. Its panics on odd input become faults: a settings file must never end the process. look sees the tokens before the
// parser does; nil where nobody needs them.
func parseTokens(src string, look func(token.Tokens)) (file *ast.File, fault *Fault) {
	defer func() {
		if r := recover(); r != nil {
			file, fault = nil, &Fault{Line: 1, Column: 1, What: "the file is not YAML that can be read", Fix: "check indentation and quotes"}
		}
	}()
	tokens := lexer.Tokenize(src)
	if f := tooMuch(tokens); f != nil {
		return nil, f
	}
	if look != nil {
		look(tokens)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	fault = &Fault{Line: 1, Column: 1, What: "the file is not YAML: " + firstLine(err.Error())}
	var positioned interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &positioned) {
		message := positioned.GetMessage()
		fault.What = "not YAML: " + strings.ReplaceAll(message, "'\t'", "tab")
		if tk := positioned.GetToken(); tk != nil && tk.Position != nil {
			fault.Line, fault.Column = max(1, tk.Position.Line), max(1, tk.Position.Column)
		}
		switch {
		case strings.Contains(message, "'\t'"):
			fault.Fix = "indent with spaces"
		case strings.Contains(src, "${") && strings.Contains(message, "must be specified"):
			fault.Fix = `inside { } and [ ] put quotes around "${NAME}"`
		}
	}
	return nil, fault
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// tooMuch bounds number and nesting of tokens, since the parser recurses and a deep file would exhaust the stack.
func tooMuch(tokens token.Tokens) *Fault {
	at := func(t *token.Token, what string) *Fault {
		return &Fault{Line: max(1, t.Position.Line), Column: max(1, t.Position.Column), What: what, Fix: "make it simpler"}
	}
	depth, line, onLine := 0, 0, 0
	for i, t := range tokens {
		if i >= maxTokens {
			return at(t, "the file holds too many values")
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			if t.Position.Line != line {
				line, onLine = t.Position.Line, 0
			}
			onLine++
		}
		if depth > maxDepth || onLine > maxDepth || t.Position.Column > 4*maxDepth && t.Type == token.SequenceEntryType {
			return at(t, "values are nested too deeply")
		}
	}
	return nil
}

// converter turns the library's tree into nodes.
type converter struct {
	d       *decoder
	x       expander
	anchors map[string]ast.Node
	left    int
}

func start(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 && m.Values[0].Key != nil {
		return tokenPlace(m.Values[0].Key.GetToken())
	}
	if m, ok := n.(*ast.MappingValueNode); ok && m.Key != nil {
		return tokenPlace(m.Key.GetToken())
	}
	return tokenPlace(n.GetToken())
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// node converts one value; key is where its key stands, zero for list items and the root.
func (c *converter) node(n ast.Node, path string, key place, depth int) *node {
	out := &node{path: path, place: key}
	if c.left--; c.left <= 0 || depth > maxDepth {
		if c.left == 0 || depth > maxDepth {
			c.left = min(c.left, 0)
			c.d.addAt(key, path, "values are nested too deeply or repeated too often", "use fewer anchors")
		}
		out.broken = true
		return out
	}
	if n == nil || n.GetToken() == nil {
		return out
	}
	at := start(n)
	if key == (place{}) {
		out.place = at
	}
	out.start = at
	switch v := n.(type) {
	case *ast.AnchorNode:
		c.anchors[v.Name.GetToken().Value] = v.Value
		return c.node(v.Value, path, key, depth+1)
	case *ast.AliasNode:
		target, ok := c.anchors[v.Value.GetToken().Value]
		if !ok {
			c.d.addAt(at, path, fmt.Sprintf("the anchor %s is not defined above", v.Value.GetToken().Value), "define it with & first")
			out.broken = true
			return out
		}
		return c.node(target, path, key, depth+1)
	case *ast.TagNode:
		c.d.addAt(at, path, fmt.Sprintf("the YAML tag %s is not used here", v.GetToken().Value), "remove it, or quote the value")
		out.broken = true
	case *ast.MappingNode:
		out.kind = mapping
		c.entries(out, v.Values, path, depth)
	case *ast.MappingValueNode:
		out.kind = mapping
		c.entries(out, []*ast.MappingValueNode{v}, path, depth)
	case *ast.SequenceNode:
		out.kind = sequence
		for i, item := range v.Values {
			out.items = append(out.items, c.node(item, path+"["+strconv.Itoa(i)+"]", place{}, depth+1))
		}
	case *ast.NullNode:
		if v.GetToken().Type != token.ImplicitNullType {
			out.place = at
		}
	default:
		c.scalar(out, n, at)
	}
	return out
}
