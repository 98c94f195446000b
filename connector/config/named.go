package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// shortestNamed is how long what a reference stands for has to be to be told from other words.
const shortestNamed = 4

// Named gives what writes the references of a text, as ${NAME}, where a sentence has what they stand for. A table may be named by any reference, and a fault that
// tells which table is missing would tell what that holds.
func Named(text []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) func(said string) string {
	x := expander{env: env, readFile: readFile}
	var pairs [][2]string
	for _, ref := range reference.FindAllString(string(text), -1) {
		value, fault := x.lookup(ref[2 : len(ref)-1])
		if fault != nil || len(value) < shortestNamed {
			continue
		}
		quoted := strconv.Quote(value)
		pairs = append(pairs, [2]string{value, ref}, [2]string{quoted[1 : len(quoted)-1], ref})
		if schema, name, ok := strings.Cut(value, "."); ok && len(name) >= shortestNamed { // as statements have it
			pairs = append(pairs, [2]string{strconv.Quote(schema) + "." + strconv.Quote(name), ref})
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return cmp.Compare(len(b[0]), len(a[0])) })
	flat := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		flat = append(flat, p[0], p[1])
	}
	return strings.NewReplacer(flat...).Replace
}
