package state

import (
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func TestAttrTypes(t *testing.T) {
	path := t.TempDir()
	d := openData(t, path)
	if got, err := d.AttrTypes(); len(got) != 0 || err != nil {
		t.Errorf("before anything was kept: %v, %v", got, err)
	}
	want := map[string]connector.AttrType{"plan": connector.StringType, "ü\"x": connector.ObjectsType}
	for _, types := range []map[string]connector.AttrType{{"gone": connector.BoolType}, want} {
		if err := d.KeepAttrTypes(types); err != nil {
			t.Fatal(err)
		}
	}
	d = reopen(t, d, path)
	got, err := d.AttrTypes()
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := os.WriteFile(filepath.Join(d.Folder(), typesName), []byte(`{"plan":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.AttrTypes(); len(got) != 0 || err == nil {
		t.Errorf("of a damaged file: %v, %v", got, err)
	}
	if err := d.KeepAttrTypes(want); err != nil {
		t.Error(err)
	}
}
