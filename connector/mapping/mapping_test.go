package mapping_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// kinds is how the tests' tables encode cells: like Postgres' text where it is short, else a number.
func decodeAs(k connector.ValueKind) func(string) (connector.Value, error) {
	return func(raw string) (connector.Value, error) {
		v := connector.Value{Kind: k}
		var err error
		switch k {
		case connector.KindBool:
			if raw == "t" {
				v.Int = 1
			}
		case connector.KindInt:
			v.Int, err = strconv.ParseInt(raw, 10, 64)
		case connector.KindFloat:
			v.Float, err = strconv.ParseFloat(raw, 64)
		case connector.KindDate:
			v.Int, err = micros(raw, time.DateOnly, 86_400_000_000)
		case connector.KindTimestamp:
			v.Int, err = micros(raw, "2006-01-02 15:04:05.999999", 1)
		case connector.KindTimestampTZ:
			v.Int, err = micros(raw, "2006-01-02 15:04:05.999999Z07", 1)
		case connector.KindTime:
			var t time.Time
			t, err = time.Parse("15:04:05.999999", raw)
			v.Int = int64(t.Hour()*3600+t.Minute()*60+t.Second())*1e6 + int64(t.Nanosecond()/1000)
		case connector.KindArray:
			for _, e := range strings.Split(strings.Trim(raw, "{}"), ",") {
				switch e {
				case "":
				case "NULL":
					v.List = append(v.List, connector.Value{})
				default:
					v.List = append(v.List, connector.Value{Kind: connector.KindText, Str: e})
				}
			}
		default:
			v.Str = raw
		}
		return v, err
	}
}

func micros(raw, layout string, unit int64) (int64, error) {
	switch raw {
	case "infinity":
		return connector.PosInfinity, nil
	case "-infinity":
		return connector.NegInfinity, nil
	case "10000-01-01 BC":
		return time.Date(-9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() / unit, nil
	case "0044-03-15 BC":
		return time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC).UnixMicro() / unit, nil
	case "12345-01-01":
		return time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() / unit, nil
	}
	t, err := time.Parse(layout, raw)
	us := t.UnixMicro()
	if us < 0 && us%unit != 0 {
		return 0, errors.New("unit")
	}
	return us / unit, err
}

type col struct {
	name string
	kind connector.ValueKind
}

func table(name string, key string, cols ...col) *connector.Table {
	t := &connector.Table{Name: name, Identity: connector.IdentityFull}
	for i, c := range cols {
		t.Columns = append(t.Columns, connector.Column{Name: c.name, TypeName: c.name, Kind: c.kind, Key: c.name == key, Decode: decodeAs(c.kind)})
		if c.name == key {
			t.Unique = append(t.Unique, []int{i})
		}
	}
	return t
}

// usersTable is the base table of the cases.
func usersTable() *connector.Table {
	t := table("public.users", "id",
		col{"id", connector.KindInt}, col{"external_id", connector.KindText}, col{"email", connector.KindText}, col{"phone", connector.KindText},
		col{"first_name", connector.KindText}, col{"plan", connector.KindText}, col{"credits", connector.KindDecimal}, col{"is_vip", connector.KindBool},
		col{"tags", connector.KindArray}, col{"prefs", connector.KindJSON}, col{"born", connector.KindDate}, col{"seen_at", connector.KindTimestampTZ},
		col{"newsletter", connector.KindBool}, col{"deleted_at", connector.KindTimestampTZ})
	return t
}

// r1 is the base row of the cases.
var r1 = []string{"1", "u1", "a@x.io", "+819012345678", "Aya", "free", "12.50", "t", "{a,b}", `{"lang": "ja", "mail": {"freq": 2}}`, "1990-05-04",
	"2026-11-01 00:00:00Z", "t", "<null>"}

// row makes an image: "<null>" is NULL, "<absent>" is absent; changes are column=value.
func row(t *connector.Table, base []string, changes ...string) connector.Row {
	r := connector.Row{Table: t, Cells: make([]connector.Cell, len(t.Columns))}
	set := func(i int, s string) {
		switch s {
		case "<null>":
			r.Cells[i] = connector.Cell{State: connector.Null}
		case "<absent>":
			r.Cells[i] = connector.Cell{}
		default:
			r.Cells[i] = connector.Cell{State: connector.Set, Raw: s}
		}
	}
	for i, s := range base {
		set(i, s)
	}
	for _, c := range changes {
		name, v, _ := strings.Cut(c, "=")
		i := t.Column(name)
		if i < 0 {
			panic("no column " + name)
		}
		set(i, v)
	}
	return r
}

// keyOnly is the old image under REPLICA IDENTITY DEFAULT.
func keyOnly(r connector.Row) connector.Row {
	out := connector.Row{Table: r.Table, Cells: make([]connector.Cell, len(r.Cells))}
	for i := range r.Cells {
		if r.Table.Columns[i].Key {
			out.Cells[i] = r.Cells[i]
		}
	}
	return out
}

func column(name, c string) connector.FieldMap {
	return connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: c}, Path: "models[0].x." + name}
}

func expression(name, e string) connector.FieldMap {
	return connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Expr: e}, Path: "models[0].x." + name}
}

// m0 is the base mapping of the cases.
func m0(mode string) connector.Model {
	return connector.Model{
		Name: "users", Kind: "users", Table: "public.users", Mode: mode, Load: "all", OwnsUsers: true, Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "external_id"}},
		Fields:   []connector.FieldMap{column("email", "email"), column("phone", "phone"), column("first_name", "first_name"), column("dob", "born")},
		Custom: []connector.FieldMap{column("plan", "plan"), column("credits", "credits"), column("is_vip", "is_vip"), column("tags", "tags"),
			column("prefs", "prefs"), column("last_seen", "seen_at")},
	}
}

// known is a store of users by the row's key.
type known map[connector.Key]connector.User

func (k known) User(_ int, key connector.Key) (connector.User, bool) {
	u, ok := k[key]
	return u, ok
}

func ext(id string) connector.User { return connector.User{ID: id} }

// bench is a mapper with everything it told.
type bench struct {
	t      testing.TB
	m      *mapping.Mapper
	table  *connector.Table
	ids    known
	notes  []string
	passed []string
}

func newBench(t testing.TB, tab *connector.Table, cfg mapping.Config) *bench {
	t.Helper()
	b := &bench{t: t, table: tab, ids: known{}}
	if cfg.Tables == nil && tab != nil {
		cfg.Tables = map[string]*connector.Table{tab.Name: tab}
	}
	cfg.Note = func(model int, field, reason string) { b.notes = append(b.notes, field+": "+reason) }
	cfg.Passed = func(model int, why string) { b.passed = append(b.passed, why) }
	m, faults := mapping.New(cfg)
	if m == nil {
		t.Fatalf("faults: %v", faults)
	}
	b.m = m
	return b
}

func base(t testing.TB, mode string, change func(*connector.Model)) *bench {
	t.Helper()
	m := m0(mode)
	if change != nil {
		change(&m)
	}
	return newBench(t, usersTable(), mapping.Config{Models: []connector.Model{m}})
}

func keyOf(r connector.Row) connector.Key {
	if !r.Exists() {
		return connector.Key{}
	}
	k := connector.Key{Table: r.Table.Name}
	for i, c := range r.Table.Columns {
		if c.Key {
			k.ID += r.Cells[i].Raw + ";"
		}
	}
	return k
}

func (b *bench) try(op connector.Op, before, after connector.Row) ([]connector.Effect, error) {
	b.t.Helper()
	c := &connector.Change{Op: op, Before: before, After: after, Key: keyOf(after)}
	if !after.Exists() {
		c.Key = keyOf(before)
	}
	if before.Exists() && after.Exists() && keyOf(before) != c.Key {
		c.OldKey = keyOf(before)
	}
	out, err := b.m.Map(nil, c, b.ids)
	for _, e := range out {
		for i, f := range e.Fields {
			if !json.Valid(f.JSON) {
				b.t.Errorf("field %s is not valid JSON: %s", f.Def.Name, f.JSON)
			}
			if i > 0 && e.Fields[i-1].Def.Order >= f.Def.Order {
				b.t.Errorf("fields are not sorted")
			}
		}
	}
	return out, err
}

func (b *bench) do(op connector.Op, before, after connector.Row) string {
	b.t.Helper()
	out, err := b.try(op, before, after)
	if err != nil {
		b.t.Fatalf("map %s: %v", op, err)
	}
	return show(out)
}

func (b *bench) insert(changes ...string) string {
	b.t.Helper()
	return b.do(connector.Insert, connector.Row{}, row(b.table, r1, changes...))
}

func (b *bench) update(before, after connector.Row) string {
	b.t.Helper()
	return b.do(connector.Update, before, after)
}

// want compares and shows both.
func want(t testing.TB, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("got\n  %s\nwant\n  %s", got, wanted)
	}
}

// show writes effects as text: marks of the effect, then the fields that would go (nulls that may be omitted are), each with its proof: "=" unchanged,
// "~" changed, nothing where there is no proof.
func show(es []connector.Effect) string {
	var out []string
	for _, e := range es {
		s := e.Kind.String() + " " + e.User.ID
		if e.Kind == connector.Rename {
			s += ">" + e.To.ID
		}
		if e.Verify {
			s += " verify"
		}
		if e.UpdateOnly {
			s += " only"
		}
		if e.Creates {
			s += " creates"
		}
		if e.Whole {
			s += " whole"
		}
		var fs []string
		for _, f := range e.Fields {
			if f.Omit {
				if string(f.JSON) != "null" {
					s += " BAD-OMIT"
				}
				continue
			}
			mark := map[connector.Proof]string{connector.Changed: "~", connector.Unchanged: "="}[f.Proof]
			fs = append(fs, mark+string(f.Def.JSON)+string(f.JSON))
		}
		if e.Kind == connector.Track {
			s += " {" + strings.Join(fs, ",") + "}"
		}
		out = append(out, s)
	}
	return strings.Join(out, " + ")
}

// changedOf shows only what is not proved unchanged.
func changedOf(es []connector.Effect) string {
	var cut []connector.Effect
	for _, e := range es {
		var fs []connector.Field
		for _, f := range e.Fields {
			if f.Proof != connector.Unchanged {
				fs = append(fs, f)
			}
		}
		e.Fields = fs
		cut = append(cut, e)
	}
	return show(cut)
}

func (b *bench) changed(before, after connector.Row) string {
	b.t.Helper()
	out, err := b.try(connector.Update, before, after)
	if err != nil {
		b.t.Fatalf("map update: %v", err)
	}
	return changedOf(out)
}

// one maps an insert of a single column through a single custom field and gives its JSON, or "left out".
func one(t *testing.T, kind connector.ValueKind, raw string, f connector.FieldMap, preset bool, zone *time.Location) (string, []string) {
	t.Helper()
	tab := table("public.t", "id", col{"id", connector.KindText}, col{"v", kind})
	m := connector.Model{Name: "m", Kind: "users", Table: "public.t", Mode: "sync", Load: "none", OwnsUsers: true, Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}}
	f.Column = "v"
	if preset {
		m.Fields = []connector.FieldMap{f}
	} else {
		m.Custom = []connector.FieldMap{f}
	}
	b := newBench(t, tab, mapping.Config{Models: []connector.Model{m}, TimeZone: zone})
	out, err := b.try(connector.Insert, connector.Row{}, row(tab, []string{"u1", raw}))
	if err != nil {
		t.Fatal(err)
	}
	if len(out[0].Fields) == 0 {
		return "left out", b.notes
	}
	return string(out[0].Fields[0].JSON), b.notes
}

const r1JSON = `"email":"a@x.io","phone":"+819012345678","first_name":"Aya","dob":"1990-05-04","plan":"free","credits":12.5,"is_vip":true,` +
	`"tags":["a","b"],"prefs":{"lang":"ja","mail":{"freq":2}},"last_seen":"2026-11-01T00:00:00Z"`

func TestBase(t *testing.T) {
	t.Run("an insert carries the whole row", func(t *testing.T) {
		want(t, base(t, "sync", nil).insert(), `track u1 creates whole {`+r1JSON+`}`)
	})
	t.Run("an insert omits nulls", func(t *testing.T) {
		want(t, base(t, "sync", nil).insert("phone=<null>", "prefs=<null>"),
			`track u1 creates whole {`+strings.NewReplacer(`"phone":"+819012345678",`, "", `"prefs":{"lang":"ja","mail":{"freq":2}},`, "").Replace(r1JSON)+`}`)
	})
	t.Run("an update without a before-image sends nulls and proves nothing", func(t *testing.T) {
		b := base(t, "additive", nil)
		want(t, b.update(connector.Row{}, row(b.table, r1, "first_name=<null>")),
			`track u1 whole {`+strings.Replace(r1JSON, `"Aya"`, `null`, 1)+`}`)
	})
	t.Run("a delete names the user", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.do(connector.Delete, row(b.table, r1), connector.Row{}), "delete u1 verify")
	})
	t.Run("truncate and tables of no model make no effect", func(t *testing.T) {
		b := base(t, "sync", nil)
		out, err := b.m.Map(nil, &connector.Change{Op: connector.Truncate, Key: connector.Key{Table: "public.users"}}, b.ids)
		if err != nil || len(out) != 0 {
			t.Errorf("truncate: %v, %v", out, err)
		}
		other := table("public.other", "id", col{"id", connector.KindInt})
		want(t, b.do(connector.Insert, connector.Row{}, row(other, []string{"1"})), "")
	})
}

func configOf(models ...connector.Model) mapping.Config { return mapping.Config{Models: models} }
