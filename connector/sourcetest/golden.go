package sourcetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Golden compares a value, as indented JSON, with a file; UPDATE=1 writes the file.
func Golden(t testing.TB, path string, value any) {
	t.Helper()
	var have bytes.Buffer
	enc := json.NewEncoder(&have)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") == "1" {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, have.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, have.Bytes()) {
		t.Errorf("differs from %s; have:\n%s", path, have.String())
	}
}

// Objects gives the objects of a request's body to Braze with their members in order: those of one array by user, else as they stand there.
func Objects(body []byte) (out []json.RawMessage, err error) {
	var arrays map[string][]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&arrays); err != nil {
		return nil, fmt.Errorf("read the body %.200s: %w", body, err)
	}
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		list := arrays[name]
		slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(userOf(a), userOf(b)) })
		for _, o := range list {
			b, err := json.Marshal(o)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// UserOf gives the external_id of an object of a request, "" where it has none.
func UserOf(object json.RawMessage) string {
	var o any
	if json.Unmarshal(object, &o) != nil {
		return ""
	}
	return userOf(o)
}

// userOf gives an object's external_id, or an id of /users/delete.
func userOf(object any) string {
	if o, ok := object.(map[string]any); ok {
		object = o["external_id"]
	}
	id, _ := object.(string)
	return id
}
