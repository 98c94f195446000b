package state

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

func rememberRows(t testing.TB, c *Cache, puts ...connector.RememberPut) {
	t.Helper()
	if err := c.Remember(puts); err != nil {
		t.Fatal(err)
	}
}

func memo(table, id string, u connector.User, part, columns string) connector.RememberPut {
	return connector.RememberPut{Model: "m", RememberedRow: connector.RememberedRow{Key: connector.Key{Table: table, ID: id}, User: u, Part: part, Columns: []byte(columns)}}
}

// walk gives all rows of model m that came of parts, by chunks of n.
func walkRemembered(t testing.TB, c *Cache, n int, parts ...string) (out []connector.RememberedRow) {
	t.Helper()
	want := map[string]bool{}
	for _, p := range parts {
		want[p] = true
	}
	var from []byte
	for {
		rows, next, err := c.RememberedRows("m", from, want, n)
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, rows...); next == nil {
			return out
		}
		from = next
	}
}

func TestRemembered(t *testing.T) {
	long := strings.Repeat("k", 300)
	rows := []connector.RememberPut{
		memo("a", "1", connector.User{ID: "1"}, "a/0", "x"), memo("a", "2", connector.User{Kind: connector.Alias, ID: "u", Label: "crm"}, "a/1", ""),
		memo("a", long, connector.User{Kind: connector.Email, ID: "x@y.z"}, "a/0", strings.Repeat("c", 5000)), memo("a", long+"2", connector.User{ID: long + "2"}, "a/1", "y"),
		memo("b", "1", connector.User{Kind: connector.Item, ID: "sku", Label: "shop"}, "b/0", "z"),
	}
	t.Run("gives each row, alone and by chunks, over a restart too", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		rememberRows(t, c, rows...)
		if err := c.Write([]connector.RowPut{{Model: "m", Key: rows[0].Key, User: user(7), Part: "a/0"}}, []connector.PrintPut{{Model: "m", User: user(7), Prints: some(2), Part: "a/0"}}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, put := range rows {
				got, ok, err := c.Remembered("m", put.Key)
				want := put.RememberedRow
				want.Columns = bytes.Clone(want.Columns)
				if err != nil || !ok || got.User != want.User || got.Key != want.Key || got.Part != want.Part || !bytes.Equal(got.Columns, want.Columns) {
					t.Errorf("%+v, %v, %v; want %+v", got, ok, err, want)
				}
			}
			for n := 1; n < 7; n++ {
				var got []string
				for _, r := range walkRemembered(t, c, n, "a/0", "a/1", "b/0") {
					got = append(got, fmt.Sprint(r.Key.Table, r.Part, r.User.ID, len(r.Key.ID), len(r.Columns)))
				}
				slices.Sort(got)
				if want := []string{"aa/011 1", "aa/0x@y.z300 5000", "aa/1" + long + "2301 1", "aa/1u1 0", "bb/0sku1 1"}; !slices.Equal(got, want) {
					t.Errorf("by %d: %q, want %q", n, got, want)
				}
			}
			if n, err := c.CountRemembered(t.Context(), "m"); n != 5 || err != nil {
				t.Errorf("%d rows are counted, %v", n, err)
			}
			if u, ok, err := c.RowUser("m", rows[0].Key); u != user(7) || !ok || err != nil {
				t.Errorf("the row's user is %v, %v, %v", u, ok, err)
			}
			if err := c.Sync(nil); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = openCache(t, dir)
		}
	})
	t.Run("of two puts the later counts, and what is gone is gone", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		rememberRows(t, c, rows...)
		moved, gone := rows[0], rows[2]
		moved.Part, moved.Columns, gone.Gone = "a/1", []byte("new"), true
		rememberRows(t, c, moved, gone)
		if got, ok, _ := c.Remembered("m", moved.Key); !ok || string(got.Columns) != "new" || got.Part != "a/1" {
			t.Errorf("%+v, %v", got, ok)
		}
		if got := walkRemembered(t, c, 10, "a/0"); len(got) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("goes with its partition, its table and its model", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		rememberRows(t, c, rows...)
		if err := c.DropPart("a/0"); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Remembered("m", rows[0].Key); ok || err != nil {
			t.Errorf("a row of it is known: %v", err)
		}
		rememberRows(t, c, memo("a", "9", user(9), "a/0", "")) // it came back
		if got := walkRemembered(t, c, 10, "a/0", "a/1", "b/0"); len(got) != 4 {
			t.Errorf("%+v", got)
		}
		if err := c.ForgetRows("m", "a"); err != nil {
			t.Fatal(err)
		}
		if got := walkRemembered(t, c, 10, "a/0", "a/1", "b/0"); len(got) != 1 || got[0].Key.Table != "b" {
			t.Errorf("%+v", got)
		}
		rememberRows(t, c, rows...)
		if err := c.ForgetRows("m", ""); err != nil {
			t.Fatal(err)
		}
		if n, err := c.CountRemembered(t.Context(), "m"); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		rememberRows(t, c, rows...)
		if err := c.Drop("m"); err != nil {
			t.Fatal(err)
		}
		if n, err := c.CountRemembered(t.Context(), "m"); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("goes with an erased user, and no file holds it any more", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		secret := memo("a", "row-of-erased-4711", connector.User{ID: "erased-user-0815"}, "a/0", "what-was-remembered")
		rememberRows(t, c, append(slices.Clone(rows), secret)...)
		if got, err := c.RowsOf(t.Context(), secret.User); err != nil || !reflect.DeepEqual(got, []connector.ModelRow{{Model: "m", Key: secret.Key}}) {
			t.Errorf("%+v, %v", got, err)
		}
		if n, err := c.Forget(t.Context(), secret.User); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		for _, what := range []string{"erased-user-0815", "what-was-remembered", "row-of-erased-4711"} {
			if files := fileHolds(t, dir, what); len(files) > 0 {
				t.Errorf("%s holds %s", files, what)
			}
		}
		if got := walkRemembered(t, c, 10, "a/0", "a/1", "b/0"); len(got) != len(rows) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("nor does a mark of a row that was taken away, or never there", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		rememberRows(t, c, rows...)
		for i, id := range []string{"erased-user-0815", "erased-user-0816"} {
			gone := memo("a", id, connector.User{ID: id}, "a/0", "")
			gone.Gone = true
			rememberRows(t, c, gone)
			if i > 0 {
				if err := c.db.Flush(); err != nil { // it lies in a table by itself
					t.Fatal(err)
				}
			}
		}
		if _, err := c.Forget(t.Context(), connector.User{ID: "erased-user-0815"}); err != nil {
			t.Fatal(err)
		}
		if files := fileHolds(t, dir, "erased-user-081"); len(files) > 0 {
			t.Errorf("%s holds it", files)
		}
	})
}
