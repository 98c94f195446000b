package connector

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

var foldDefs = []*FieldDef{{Name: "a", Order: 1}, {Name: "b", Order: 2}, {Name: "c", Order: 3}}

// stepFrom makes a Track of a change between two rows of three fields; a row lacks what is "".
func stepFrom(old, neu [3]string, before, create bool) *step {
	s := &step{kind: Track, creates: create}
	for i, d := range foldDefs {
		if neu[i] == "" {
			continue
		}
		f := Field{Def: d, JSON: []byte(neu[i])}
		f.Omit = create && neu[i] == "null"
		if before {
			f.Proof, f.Was = Changed, HashJSON([]byte(old[i]))
			if old[i] == neu[i] {
				f.Proof, f.Was = Unchanged, 0
			}
		}
		s.fields = append(s.fields, f)
	}
	return s
}

// apply is what Braze does with what diff leaves of a step, trusting all proof.
func apply(profile [3]string, s *step) [3]string {
	fields, _, _ := diff(nil, s, knowledge{proven: func(*Field) bool { return true }, prints: func(int) ([]Print, bool) { return nil, false }})
	for _, f := range fields {
		profile[f.Def.Order-1] = string(f.JSON)
	}
	return profile
}

func TestFold(t *testing.T) {
	t.Run("a row that came whole is known, whatever of it was asked for beside that", func(t *testing.T) {
		key := Key{Table: "t", ID: "1"}
		change := &Change{Op: Insert, Key: key}
		whole := func() *step { return &step{kind: Track, rows: []rowRef{{key: key, whole: true, change: change}}} }
		asked := func() *step {
			return &step{kind: Track, rows: []rowRef{{key: key, partial: true}}, reread: true, only: []string{"a"}}
		}
		check := func(s *step) {
			t.Helper()
			if r := s.rows[0]; len(s.rows) != 1 || r.partial || !r.whole || len(s.only) != 1 {
				t.Errorf("%+v, only %v", s.rows, s.only)
			}
		}
		s := whole()
		fold(s, asked())
		check(s)
		if s.rows[0].change != change {
			t.Error("the change is not known any more")
		}
		s = asked()
		fold(s, whole())
		check(s)
		s = asked()
		foldOlder(s, whole())
		check(s)
		ended := whole()
		ended.rows[0].ends = true
		fold(ended, asked())
		if !ended.rows[0].ends {
			t.Error("the row's end is forgotten")
		}
		if s = asked(); s.rows[0].partial {
			foldOlder(s, asked())
		}
		if !s.rows[0].partial {
			t.Error("two parts of a row make it known")
		}
	})
	t.Run("folded or one by one, the profile is the same", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			value := rapid.SampledFrom([]string{"1", "2", "null"})
			absent := rapid.IntRange(0, 5)
			row := [3]string{value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "c")}
			profile := row
			one := row
			create := rapid.Bool().Draw(t, "create")
			if create {
				profile = [3]string{"null", "null", "null"}
				one = profile
			}
			var all *step
			for i := range rapid.IntRange(1, 6).Draw(t, "changes") {
				next := row
				if i > 0 || !create {
					for j := range next {
						next[j] = value.Draw(t, "value")
					}
				}
				shown := next
				before := rapid.Bool().Draw(t, "before")
				for j := range shown {
					if absent.Draw(t, "absent") == 0 && !(create && i == 0) {
						next[j], shown[j] = row[j], "" // unchanged TOAST: not in the image
					}
				}
				isNew := create && i == 0
				s := stepFrom(row, shown, before && !isNew, isNew)
				one = apply(one, stepFrom(row, shown, before && !isNew, isNew))
				if all == nil {
					all = s
				} else {
					fold(all, s)
				}
				row = next
			}
			if got := apply(profile, all); got != one || got != row {
				t.Fatalf("folded %v, one by one %v, row %v", got, one, row)
			}
		})
	})
	t.Run("what someone may have sent in between is not folded away", func(t *testing.T) {
		there, back := stepFrom([3]string{"1", "1", "1"}, [3]string{"2", "1", "1"}, true, false), stepFrom([3]string{"2", "1", "1"}, [3]string{"1", "1", "1"}, true, false)
		there.maybeSent = true
		fold(there, back)
		if got := apply([3]string{"2", "1", "1"}, there); got[0] != "1" {
			t.Errorf("profile %v, want its a back at 1", got)
		}
	})
	t.Run("a row that comes again sets to null what only the old row had", func(t *testing.T) {
		models := []ModelInfo{{Owner: true, Fields: foldDefs}}
		s := stepFrom([3]string{}, [3]string{"1", "null", ""}, false, true)
		s.rows = []rowRef{{model: 0}}
		undelete(s, models)
		if got := fmt.Sprint(apply([3]string{"9", "9", "9"}, s)); got != "[1 null null]" {
			t.Errorf("profile %v", got)
		}
	})
	t.Run("an object is update-only only if all its effects are", func(t *testing.T) {
		a, b := &step{kind: Track, updateOnly: true}, &step{kind: Track}
		fold(a, b)
		if a.updateOnly {
			t.Error("still update-only")
		}
	})
	t.Run("a null that a new row brings is sent where an older value waited", func(t *testing.T) {
		a, b := stepFrom([3]string{}, [3]string{"1", "", ""}, false, false), stepFrom([3]string{}, [3]string{"null", "", ""}, false, true)
		fold(a, b)
		if got := apply([3]string{"1", "1", "1"}, a); got[0] != "null" {
			t.Errorf("profile %v", got)
		}
	})
}
