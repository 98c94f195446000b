package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"brazecdc/connector"
)

// typesName is the file of the types that custom attributes were sent with: one object of names and words, so small that it is written as a whole.
const typesName = "types.json"

// AttrTypes gives the types that custom attributes were accepted with, as KeepAttrTypes last kept them; none where nothing was kept. A file that cannot be
// read gives what is known, which is nothing, and the reason: what is lost is only a warning about values of another type.
func (d *Data) AttrTypes() (map[string]connector.AttrType, error) {
	b, err := os.ReadFile(filepath.Join(d.folder, typesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var words map[string]string
	if err == nil {
		err = json.Unmarshal(b, &words)
	}
	if err != nil {
		return nil, fmt.Errorf("read the types of attributes in %s: %w", d.folder, err)
	}
	out := make(map[string]connector.AttrType, len(words))
	for name, word := range words {
		if t := connector.AttrTypeOf(word); t != connector.AnyType {
			out[name] = t
		}
	}
	return out, nil
}

// KeepAttrTypes replaces the types that AttrTypes gives, in one step. One goroutine calls it at a time.
func (d *Data) KeepAttrTypes(types map[string]connector.AttrType) (err error) {
	words := make(map[string]string, len(types))
	for _, name := range slices.Sorted(maps.Keys(types)) {
		words[name] = types[name].String()
	}
	b, err := json.MarshalIndent(words, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the types of attributes: %w", err)
	}
	tmp := filepath.Join(d.folder, typesName+".new")
	if err = writeSynced(tmp, append(b, '\n')); err == nil {
		err = os.Rename(tmp, filepath.Join(d.folder, typesName))
	}
	if err == nil {
		err = syncFolder(d.folder)
	}
	if err != nil {
		return fmt.Errorf("keep the types of attributes in %s: %w", d.folder, err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
