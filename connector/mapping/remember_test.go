package mapping

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// kinds are values of every kind that a column can have.
var kinds = []connector.Value{
	{}, {Kind: connector.KindBool, Int: 1}, {Kind: connector.KindInt, Int: math.MinInt64}, {Kind: connector.KindInt, Int: math.MaxInt64}, {Kind: connector.KindFloat, Float: -0.5},
	{Kind: connector.KindFloat, Float: math.Inf(-1)}, {Kind: connector.KindDecimal, Str: "12345678901234567890.10"}, {Kind: connector.KindText, Str: "ä\x00\n"}, {Kind: connector.KindText},
	{Kind: connector.KindDate, Int: connector.PosInfinity}, {Kind: connector.KindTime, Int: 1}, {Kind: connector.KindTimeTZ, Str: "09:30:00+02"}, {Kind: connector.KindTimestamp, Int: -1},
	{Kind: connector.KindTimestampTZ, Int: 1}, {Kind: connector.KindInterval, Str: "P1D"}, {Kind: connector.KindJSON, Str: `{"a":[1]}`}, {Kind: connector.KindBytes, Str: "\xff\x00"},
	{Kind: connector.KindArray, List: []connector.Value{{Kind: connector.KindText, Str: "x"}, {}, {Kind: connector.KindArray, List: []connector.Value{{Kind: connector.KindInt, Int: 2}}}}},
	{Kind: connector.KindArray, List: []connector.Value{}},
}

func TestRememberedValues(t *testing.T) {
	var b []byte
	for i := range kinds {
		b = appendValue(appendText(b, fmt.Sprint("c", i)), &kinds[i])
	}
	row, err := readRemembered(b)
	if err != nil || len(row.names) != len(kinds) {
		t.Fatalf("%v, %v", row, err)
	}
	for i := range kinds {
		v, rest, err := cutValue(row.values[i], 0)
		if err != nil || rest != "" || row.names[i] != fmt.Sprint("c", i) || !reflect.DeepEqual(v, kinds[i]) {
			t.Errorf("%s is %+v (%q, %v), want %+v", row.names[i], v, rest, err, kinds[i])
		}
	}
	for n := range b { // what is cut off says nothing, or less
		if r, err := readRemembered(b[:n]); err == nil && len(r.names) >= len(kinds) {
			t.Errorf("%d bytes of %d give all columns", n, len(b))
		}
	}
}

func FuzzRemembered(f *testing.F) {
	var b []byte
	for i := range kinds {
		b = appendValue(appendText(b, "c"), &kinds[i])
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRemembered(b)
		if err == nil && len(r.names) != len(r.values) {
			t.Error("names without values")
		}
	})
}

// remembering is a model with its table, and a clock of its own.
type remembering struct {
	m   *Mapper
	tab *connector.Table
	now time.Time
}

func remembers(t *testing.T, never []string, change func(*connector.Model)) (*remembering, []connector.Fault) {
	t.Helper()
	as := func(kind connector.ValueKind) func(string) (connector.Value, error) {
		return func(raw string) (connector.Value, error) { return connector.Value{Kind: kind, Str: raw}, nil }
	}
	r := &remembering{now: time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC), tab: &connector.Table{Name: "users", Columns: []connector.Column{
		{Name: "id", Kind: connector.KindText, Key: true, Decode: as(connector.KindText)}, {Name: "plan", Kind: connector.KindText, Decode: as(connector.KindText)},
		{Name: "seen", Kind: connector.KindTimestampTZ, Decode: func(raw string) (connector.Value, error) {
			at, err := time.Parse(time.RFC3339, raw)
			return connector.Value{Kind: connector.KindTimestampTZ, Int: at.UnixMicro()}, err
		}},
		{Name: "secret", Kind: connector.KindText, Decode: as(connector.KindText)},
	}, Unique: [][]int{{0}}}}
	conf := connector.Model{Name: "users", Kind: "users", Topic: "users", Mode: "sync", Load: "all", OwnsUsers: true, Path: "models[0]", Schedule: &connector.ScheduleMap{Cron: "0 3 * * *", Zone: "UTC", Path: "models[0].schedule"},
		Identify:  connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}},
		Custom:    []connector.FieldMap{{Name: "plan", ValueFrom: connector.ValueFrom{Column: "plan"}, Path: "models[0].custom.plan"}},
		Audiences: []connector.AudienceMap{{Attribute: "active", When: `seen > now() - duration("24h")`, Path: "models[0].audiences[0]"}}}
	if change != nil {
		change(&conf)
	}
	var faults []connector.Fault
	r.m, faults = New(Config{Models: []connector.Model{conf}, Tables: map[string]*connector.Table{"users": r.tab}, NoReread: true, NeverSend: never, Now: func() time.Time { return r.now }})
	return r, faults
}

// row is a row of cells: "-" is absent, "0" is NULL.
func (r *remembering) row(cells ...string) connector.Row {
	out := connector.Row{Table: r.tab}
	for _, c := range cells {
		switch c {
		case "-":
			out.Cells = append(out.Cells, connector.Cell{})
		case "0":
			out.Cells = append(out.Cells, connector.Cell{State: connector.Null})
		default:
			out.Cells = append(out.Cells, connector.Cell{State: connector.Set, Raw: c})
		}
	}
	return out
}

// keep remembers a row and gives what is known of it.
func (r *remembering) keep(before, after connector.Row, older []byte) (row *connector.RememberedRow, names string) {
	c := &connector.Change{Op: connector.Update, Before: before, After: after, Key: connector.Key{Table: "users", ID: after.Cells[0].Raw}}
	columns, u, ok := r.m.Remember(nil, 0, c, func() []byte { return older })
	if !ok {
		return nil, "nothing"
	}
	read, _ := readRemembered(columns)
	return &connector.RememberedRow{Key: c.Key, User: u, Columns: columns}, strings.Join(read.names, " ")
}

func (r *remembering) says(t *testing.T, row *connector.RememberedRow, enters bool) string {
	t.Helper()
	effects, err := r.m.MapRemembered(nil, 0, row, enters)
	if err != nil {
		return err.Error()
	}
	out := ""
	for _, e := range effects {
		out += fmt.Sprintf("%s %s update-only=%t creates=%t", e.Kind, e.User.ID, e.UpdateOnly, e.Creates)
		for _, f := range e.Fields {
			out += fmt.Sprintf(" %s=%s", f.Def.Name, f.JSON)
		}
	}
	return out
}

func TestRememberRows(t *testing.T) {
	none := connector.Row{}
	seen := "2026-11-26T02:00:00Z"
	check := func(t *testing.T, what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	t.Run("the columns that the rules read, by now", func(t *testing.T) {
		r, faults := remembers(t, nil, nil)
		if len(faults) > 0 || !r.m.Remembers(0) {
			t.Fatal(faults)
		}
		row, names := r.keep(none, r.row("u1", "free", seen, "-"), nil)
		check(t, "remembered", names, "seen")
		check(t, "at once", r.says(t, row, false), "track u1 update-only=true creates=false active=true")
		r.now = r.now.Add(24 * time.Hour)
		check(t, "a day later", r.says(t, row, false), "track u1 update-only=true creates=false active=false")
		check(t, "nothing enters without such a filter", r.says(t, row, true), "track u1 update-only=true creates=false active=false")
	})
	t.Run("what a change does not carry is what it was, and NULL is NULL", func(t *testing.T) {
		r, _ := remembers(t, nil, nil)
		row, _ := r.keep(none, r.row("u1", "free", seen, "-"), nil)
		for what, row2 := range map[string][3]connector.Row{"the old row has it": {r.row("u1", "free", seen, "-"), r.row("u1", "pro", "-", "-")}, "it is remembered": {none, r.row("u1", "pro", "-", "-")}} {
			var older []byte
			if !row2[0].Exists() {
				older = row.Columns
			}
			again, _ := r.keep(row2[0], row2[1], older)
			check(t, what, r.says(t, again, false), "track u1 update-only=true creates=false active=true")
		}
		unknown, names := r.keep(none, r.row("u1", "pro", "-", "-"), nil)
		check(t, "nobody knows it", names+r.says(t, unknown, false), "")
		null, names := r.keep(none, r.row("u1", "pro", "0", "-"), nil)
		check(t, "it is NULL", names+r.says(t, null, false), "seen")
	})
	t.Run("a row that the filter or delete_when keeps out is not remembered", func(t *testing.T) {
		r, _ := remembers(t, nil, func(m *connector.Model) {
			m.Filter, m.OnLeave, m.DeleteWhen = `plan != "none"`, "keep", `plan == "dead"`
		})
		row, _ := r.keep(none, r.row("u1", "free", seen, "-"), nil)
		for plan, want := range map[string]string{"free": "seen", "none": "nothing", "dead": "nothing", "0": "nothing", "-": "nothing"} {
			_, names := r.keep(none, r.row("u1", plan, seen, "-"), nil)
			check(t, plan, names, want)
		}
		_, names := r.keep(none, r.row("u1", "0", seen, "-"), row.Columns)
		check(t, "a rule that became unknown leaves it where it was", names, "seen")
		_, names = r.keep(none, r.row("0", "free", seen, "-"), nil)
		check(t, "a row without a user", names, "nothing")
	})
	t.Run("with a filter that reads the clock the row is remembered whole", func(t *testing.T) {
		r, _ := remembers(t, []string{"secret"}, func(m *connector.Model) { m.Filter, m.OnLeave = `seen < now()`, "keep" })
		row, names := r.keep(none, r.row("u1", "free", "2026-11-26T04:00:00Z", "x"), nil)
		check(t, "remembered", names, "plan seen")
		check(t, "too early", r.says(t, row, true), "")
		r.now = r.now.Add(2 * time.Hour)
		check(t, "it enters", r.says(t, row, true), "track u1 update-only=false creates=true plan=\"free\" active=true")
		check(t, "it was in", r.says(t, row, false), "track u1 update-only=true creates=false active=true")
	})
	t.Run("what was remembered under other settings says nothing of new ones", func(t *testing.T) {
		r, _ := remembers(t, nil, nil)
		row, _ := r.keep(none, r.row("u1", "free", seen, "-"), nil)
		r, _ = remembers(t, nil, func(m *connector.Model) {
			m.Audiences = append(m.Audiences, connector.AudienceMap{Attribute: "soon", When: `plan == "free" && seen < now()`, Path: "models[0].audiences[1]"})
		})
		check(t, "another rule", r.says(t, row, false), "track u1 update-only=true creates=false active=true")
		r, _ = remembers(t, nil, func(m *connector.Model) { m.Filter, m.OnLeave = `plan == "x" || seen < now()`, "keep" })
		check(t, "a filter", r.says(t, row, false), connector.ErrNotRemembered.Error())
	})
	t.Run("what never_send forbids by now is not taken over from what was remembered before", func(t *testing.T) {
		whole := func(m *connector.Model) {
			m.Filter, m.OnLeave = `seen < now()`, "keep"
			m.Custom[0].Column = "secret"
		}
		r, _ := remembers(t, nil, whole)
		row, _ := r.keep(none, r.row("u1", "free", seen, "no JSON"), nil)
		if !strings.Contains(string(row.Columns), "no JSON") {
			t.Fatal("the column is not remembered at all")
		}
		r, faults := remembers(t, []string{"secret.pin"}, whole)
		if r.m == nil {
			t.Fatal(faults)
		}
		for what, after := range map[string]connector.Row{"changed": r.row("u1", "pro", seen, "no JSON"), "not carried": r.row("u1", "pro", seen, "-")} {
			if row, _ := r.keep(none, after, row.Columns); strings.Contains(string(row.Columns), "no JSON") {
				t.Errorf("%s: %q is remembered", what, row.Columns)
			}
		}
	})
	t.Run("what check says", func(t *testing.T) {
		_, faults := remembers(t, nil, func(m *connector.Model) { m.Audiences = nil })
		if len(faults) != 1 || !faults[0].Warn || !strings.Contains(faults[0].What, "nothing to do") {
			t.Errorf("%v", faults)
		}
		r, faults := remembers(t, []string{"secret"}, func(m *connector.Model) { m.Filter, m.OnLeave = `seen < now() && secret == "x"`, "keep" })
		if r.m != nil || len(faults) != 1 || !strings.Contains(faults[0].What, "never_send") {
			t.Errorf("%v", faults)
		}
	})
}
