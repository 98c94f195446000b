package postgres

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"brazecdc/connector"
)

func testRelation(cols int) *relation {
	m := &relationMessage{oid: 1, schema: "public", name: "t", identity: 'd'}
	for i := range cols {
		m.columns = append(m.columns, relationColumn{name: fmt.Sprintf("c%d", i), typeOID: 25, typmod: -1, identity: i == 0})
	}
	r := build(m, nil, "public.t", newTypeCache())
	r.wanted = true
	return r
}

func tupleBytes(cells ...any) []byte {
	b := []byte{0, byte(len(cells))}
	for _, c := range cells {
		switch c := c.(type) {
		case string:
			b = append(b, 't')
			b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
			b = append(b, c...)
		case nil:
			b = append(b, 'n')
		case byte:
			b = append(b, c)
		}
	}
	return b
}

func TestDecodeRow(t *testing.T) {
	r := testRelation(3)
	for _, c := range []struct {
		name, body string
		kind       byte
		want       string
	}{
		{"insert", "N" + string(tupleBytes("1", "a", nil)), 'I', "insert public.t 1 {c0:1 c1:a c2:!}"},
		{"update", "N" + string(tupleBytes("1", byte('u'), "b")), 'U', "update public.t 1 {c0:1 c1:? c2:b}"},
		{"key-only image", "K" + string(tupleBytes("0", nil, nil)) + "N" + string(tupleBytes("1", "", nil)), 'U', "update public.t 1 was 0 {c0:1 c1: c2:!} from {c0:0 c1:? c2:?}"},
		{"long key that did not change", "K" + string(tupleBytes("1", nil, nil)) + "N" + string(tupleBytes(byte('u'), "x", nil)), 'U', "update public.t 1 {c0:1 c1:x c2:!} from {c0:1 c1:? c2:?}"},
		{"delete", "K" + string(tupleBytes("1", nil, nil)), 'D', "delete public.t 1 from {c0:1 c1:? c2:?}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d decoder
			var ch connector.Change
			if err := d.row(&ch, c.kind, c.body, r); err != nil {
				t.Fatal(err)
			}
			if got := show(ch); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			for i := range c.body {
				if err := d.row(&connector.Change{}, c.kind, c.body[:i], r); err == nil {
					t.Errorf("a message cut after %d bytes was decoded", i)
				}
			}
		})
	}
	var d decoder
	for _, body := range []string{"X" + string(tupleBytes("1", "a", "b")), "N" + string(tupleBytes("1")), "N" + string(tupleBytes("1", byte('b'), "c")), "N" + string(tupleBytes("1", "a", "b")) + "x"} {
		if err := d.row(&connector.Change{}, 'I', body, r); err == nil {
			t.Errorf("%q was decoded", body)
		}
	}
}

// FuzzDecode feeds a whole stream of messages; nothing may panic, and what is decoded must fit its relation.
func FuzzDecode(f *testing.F) {
	f.Add(byte('I'), []byte("N"+string(tupleBytes("1", "a", nil))))
	f.Add(byte('U'), []byte("O"+string(tupleBytes("1", "a", nil))+"N"+string(tupleBytes("2", byte('u'), nil))))
	f.Add(byte('D'), []byte("K"+string(tupleBytes("1", nil, nil))))
	f.Add(byte('R'), []byte("\x00\x00\x00\x01public\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"))
	f.Add(byte('T'), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x01"))
	f.Add(byte('M'), []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01brazecdc\x00\x00\x00\x00\x01x"))
	f.Add(byte('B'), make([]byte, 20))
	f.Add(byte('C'), make([]byte, 25))
	r := testRelation(3)
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		switch kind {
		case 'I', 'U', 'D':
			var d decoder
			var ch connector.Change
			if err := d.row(&ch, kind, string(body), r); err != nil {
				return
			}
			for _, row := range []connector.Row{ch.Before, ch.After} {
				if row.Exists() && len(row.Cells) != 3 {
					t.Fatalf("row of %d cells", len(row.Cells))
				}
			}
		case 'B':
			_, _ = decodeBegin(string(body))
		case 'C':
			_, _ = decodeCommit(string(body))
		case 'R':
			if m, err := decodeRelation(string(body)); err == nil {
				_ = build(&m, nil, "x", newTypeCache())
			}
		case 'T':
			_, _ = decodeTruncate(string(body))
		case 'M':
			if m, err := decodeMessage(string(body)); err == nil {
				_, _ = parseMark(m.content, "s")
			}
		default:
			_, _ = parseMemo(body)
			_, _ = parsePlace(body)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	r := testRelation(15)
	cells := []any{"123456"}
	for i := range 14 {
		cells = append(cells, fmt.Sprintf("value %d of the row", i))
	}
	body := append([]byte("N"), tupleBytes(cells...)...)
	var d decoder
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	changes := make([]connector.Change, 0, maxChanges)
	for b.Loop() {
		if len(changes) == cap(changes) {
			changes = changes[:0]
		}
		changes = append(changes, connector.Change{})
		if err := d.row(&changes[len(changes)-1], 'U', string(body), r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream drains a backlog of single-row updates, each a transaction of its own, from a real server.
func BenchmarkStream(b *testing.B) {
	d := newDB(b, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'a@x.io', 'bio', 'free', '{"a": 1}' FROM generate_series(1, 1000) i`,
		`CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP UPDATE users SET plan = i::text WHERE id = 1 + i % 1000; COMMIT; END LOOP; END $$`)
	start(b, d.config(), users()).close()
	const rows = 200_000
	d.exec(`SET synchronous_commit = off`)
	d.exec(fmt.Sprintf(`CALL work(%d)`, rows))
	b.ReportAllocs()
	for b.Loop() {
		r := start(b, d.config(), users())
		r.hold = true
		began, n, batches := time.Now(), 0, 0
		for n < rows {
			batch, err := r.s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.Changes)
			batches++
		}
		b.ReportMetric(float64(rows)/time.Since(began).Seconds(), "rows/s")
		b.ReportMetric(float64(rows)/float64(batches), "rows/batch")
		r.close()
	}
}

// BenchmarkLoad reads a table of rows of about 100 bytes.
func BenchmarkLoad(b *testing.B) {
	const rows = 200_000
	d := newDB(b, usersSQL, fmt.Sprintf(`INSERT INTO users SELECT i, 'u' || i, 'a' || i || '@x.io', md5(i::text), 'free', '{"a": 1}' FROM generate_series(1, %d) i`, rows))
	r := start(b, d.config(), users())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if err := r.s.StartLoad(b.Context(), connector.Load{ID: fmt.Sprint(i), Table: "public.users"}); err != nil {
			b.Fatal(err)
		}
		for done := false; !done; {
			batch, err := r.s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			r.s.Commit(batch.Position)
			done = batch.Load != nil && batch.Load.Done
		}
		b.ReportMetric(rows/time.Since(began).Seconds(), "rows/s")
	}
}

// BenchmarkBareLoop reads the same backlog as BenchmarkStream without decoding: the rate of the server and the socket alone.
func BenchmarkBareLoop(b *testing.B) {
	d := newDB(b, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'a@x.io', 'bio', 'free', '{"a": 1}' FROM generate_series(1, 1000) i`,
		`CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP UPDATE users SET plan = i::text WHERE id = 1 + i % 1000; COMMIT; END LOOP; END $$`)
	start(b, d.config(), users()).close()
	const rows = 200_000
	d.exec(`SET synchronous_commit = off`)
	d.exec(fmt.Sprintf(`CALL work(%d)`, rows))
	for b.Loop() {
		s, err := New(d.config())
		if err != nil {
			b.Fatal(err)
		}
		w, err := s.attach(b.Context(), 0)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for n := 0; n < rows; {
			kind, body, err := w.next()
			if err != nil {
				b.Fatal(err)
			}
			if kind == 'd' && body[0] == 'w' && body[25] == 'U' {
				n++
			}
		}
		b.ReportMetric(float64(rows)/time.Since(began).Seconds(), "rows/s")
		w.close()
		_ = s.Close(b.Context())
	}
}
