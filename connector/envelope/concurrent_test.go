package envelope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"brazecdc/connector"
)

func TestConcurrent(t *testing.T) {
	t.Run("several partitions of a topic whose columns grow, at once", func(t *testing.T) {
		d := decoder(t, Config{Schemas: benchSchemas})
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for i := range 200 {
					value := fmt.Sprintf(`{"before":{"id":%d,"a%d":1},"after":{"id":%d,"a%d":%d,"b%d":"x"},"source":{"ts_us":1},"op":"u"}`, i, i%7, i, i%7, i, (i+p)%11)
					r := &Record{Topic: "t", Partition: int32(p), Offset: int64(i), Key: fmt.Appendf(nil, `{"id":%d}`, i), Value: []byte(value)}
					out, _, err := d.Decode(context.Background(), nil, r)
					if err != nil || len(out) != 1 {
						t.Errorf("%v, %d changes", err, len(out))
						return
					}
					checkGrown(t, out[0], i, (i+p)%11)
					if _, _, err := d.Decode(context.Background(), nil, &Record{Topic: "a", Partition: int32(p), Offset: int64(i), Key: confluent(1, put(nil, i)), Value: confluent(2, benchAvroValue())}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("a topic cannot make up any number of columns", func(t *testing.T) {
		d := decoder(t, Config{})
		var last error
		for i := range maxColumns + 1 {
			_, _, last = d.Decode(context.Background(), nil, &Record{Topic: "t", Offset: int64(i), Key: []byte("1"), Value: fmt.Appendf(nil, `{"c%d":1}`, i)})
			if last != nil && i < maxColumns-1 {
				t.Fatalf("column %d: %v", i, last)
			}
			if i == 0 { // the rest in one record, or the test would build thousands of tables
				wide := []byte(`{"c0":1`)
				for k := 1; k < maxColumns; k++ {
					wide = fmt.Appendf(wide, `,"c%d":1`, k)
				}
				if _, _, err := d.Decode(context.Background(), nil, &Record{Topic: "t", Offset: 1, Key: []byte("1"), Value: append(wide, '}')}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var p *Poison
		if !errors.As(last, &p) {
			t.Errorf("got %v", last)
		}
	})
}

func checkGrown(t *testing.T, c connector.Change, id, b int) {
	t.Helper()
	for _, want := range []struct {
		row  connector.Row
		name string
		text string
	}{{c.After, "id", fmt.Sprint("int ", id)}, {c.After, fmt.Sprint("a", id%7), fmt.Sprint("int ", id)}, {c.After, fmt.Sprint("b", b), `text "x"`}, {c.Before, fmt.Sprint("a", id%7), "int 1"}} {
		i := want.row.Table.Column(want.name)
		if i < 0 {
			t.Errorf("row %d lacks %s", id, want.name)
			continue
		}
		v, ok, err := want.row.Value(i)
		if err != nil || !ok || plainValue(v) != want.text {
			t.Errorf("row %d: %s is %s (%v, %v), want %s", id, want.name, plainValue(v), ok, err, want.text)
		}
	}
	if c.Before.Table != c.After.Table || len(c.Before.Cells) != len(c.After.Cells) {
		t.Error("old and new row are laid out differently")
	}
}
