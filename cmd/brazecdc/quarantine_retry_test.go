package main

import (
	bin "encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

func TestKafkaRetry(t *testing.T) {
	t.Run("kept on disk", func(t *testing.T) { t.Parallel(); testKafkaRetry(t, false) })
	t.Run("kept in a topic", func(t *testing.T) { t.Parallel(); testKafkaRetry(t, true) })
}

func testKafkaRetry(t *testing.T, inTopic bool) {
	h := newHeldBench(t, nil, inTopic)
	h.edit("external_id: id }", "external_id: plan }")
	p := h.run()
	refuse := func(ids ...string) {
		t.Helper()
		h.sim.ClearFaults("")
		if len(ids) == 0 {
			return
		}
		if err := h.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: ids, Type: "not liked"}}}); err != nil {
			t.Fatal(err)
		}
	}
	one := func(class string) string {
		t.Helper()
		h.until("one "+class+" entry is held back", func() bool { return len(h.open(class)) == 1 })
		return strconv.FormatUint(h.open(class)[0].ID, 10)
	}
	none := func(class string) {
		t.Helper()
		h.until("no "+class+" entry is left", func() bool { return len(h.open(class)) == 0 })
	}
	t.Run("what could not be mapped is mapped anew, as the mapping was corrected", func(t *testing.T) {
		h.put(0, debezium("c", "m-1", "", 1))
		var id string
		h.until("it is held back", func() bool {
			for _, e := range h.entries() {
				id = strconv.FormatUint(e.ID, 10)
			}
			return id != ""
		})
		wantIn(t, h.must("quarantine", "show", id), "m-1")
		if r := h.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "can't be mapped") {
			t.Errorf("before: exit code %d\n%s", r.code, r.out)
		}
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, h.must("quarantine", "show", id), "m-1") // also where no process runs
		if r := h.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "no process runs") {
			t.Errorf("without a process: exit code %d\n%s", r.code, r.out)
		}
		h.edit("external_id: plan }", "external_id: id }")
		h.listen = ""
		p = h.run()
		wantIn(t, h.must("quarantine", "retry", id), "accepted by Braze", "m-1")
		h.arrives("m-1", "plan", `""`)
		h.until("the entry is closed", func() bool { return len(h.entries()) == 0 })
	})
	t.Run("what Braze refused is sent as it was held", func(t *testing.T) {
		refuse("r-1")
		h.put(0, debezium("c", "r-1", "free", 7), debezium("c", "r-2", "free", 8))
		id := one("rejected")
		h.arrives("r-2", "plan", `"free"`)
		lowerNames(t, h.must("quarantine", "list", "--json"))
		shown := h.must("quarantine", "show", id, "--json")
		lowerNames(t, shown)
		wantIn(t, shown, `"kind": "external_id"`, `"kind": "track"`, `"table": "shop.users"`)
		if inTopic {
			last := h.kept()
			if r := last[len(last)-1]; header(r, "brazecdc.class") != "rejected" || header(r, "brazecdc.partition") != "0" || !strings.Contains(string(r.Value), `"r-1"`) {
				t.Errorf("the topic holds %v", r)
			}
			wantIn(t, h.must("quarantine", "show", id), "kept in:  topic "+heldTopic, `"r-1"`)
		}
		if r := h.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "not liked") {
			t.Errorf("while it is refused: exit code %d\n%s", r.code, r.out)
		}
		id = one("rejected")
		refuse()
		wantIn(t, h.must("quarantine", "retry", id), "accepted by Braze")
		h.arrives("r-1", "credits", "7")
		none("rejected")
		for outcome, want := range map[string]float64{"accepted": 1, "held_again": 1} {
			if n := h.metric(`quarantine_retried_total{model="users",outcome="` + outcome + `"}`); n < want {
				t.Errorf("%v retries ended %s", n, outcome)
			}
		}
	})
	t.Run("a refused row whose later change arrives closes by that, and nothing old follows", func(t *testing.T) {
		refuse("r-3")
		h.put(0, debezium("c", "r-3", "free", 1))
		id := one("rejected")
		refuse()
		h.put(0, debezium("u", "r-3", "pro", 2))
		h.arrives("r-3", "plan", `"pro"`)
		none("rejected")
		if r := h.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "closed") {
			t.Errorf("exit code %d\n%s", r.code, r.out)
		}
		h.arrives("r-3", "credits", "2")
	})
	h.retryUndecodable(t, one, none)
	h.retryDeletes(t, one)
	if inTopic {
		open := map[string]bool{}
		for _, r := range h.kept() {
			open[header(r, "brazecdc.partition")+"/"+header(r, "brazecdc.offset")] = header(r, "brazecdc.closed") == ""
		}
		for at, is := range open {
			if is {
				t.Errorf("the topic says that %s is open", at)
			}
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// lowerNames looks through JSON for members that are named as Go names them.
func lowerNames(t *testing.T, text string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`"([^"]*)":`).FindAllStringSubmatch(text, -1) {
		if m[1] != strings.ToLower(m[1]) {
			t.Errorf("member %q in\n%s", m[1], text)
		}
	}
}

func (h *heldBench) retryUndecodable(t *testing.T, one func(string) string, none func(string)) {
	known := bin.BigEndian.Uint32(h.avro[0].Value[1:])
	var row struct{ After struct{ Name string } }
	if err := json.Unmarshal(recordedTopic(t, "json", "public.users")[0].Value, &row); err != nil {
		t.Fatal(err)
	}
	t.Run("an undecodable record is decoded and sent once the registry knows its schema", func(t *testing.T) {
		h.put(1, numbered(h.avro[0], 40001))
		id := one("undecodable")
		h.reg.learn("40001", strconv.Itoa(int(known)))
		wantIn(t, h.must("quarantine", "retry", id), "accepted by Braze")
		name, _ := json.Marshal(row.After.Name)
		h.until("its row is there", func() bool {
			return slices.ContainsFunc(h.sim.Profiles(), func(p brazesim.Profile) bool { return string(p.Custom["name"]) == string(name) })
		})
		none("undecodable")
	})
	t.Run("one whose row came again whole is closed and not sent", func(t *testing.T) {
		old := numbered(h.avro[0], 40002)
		h.put(1, old)
		id := one("undecodable")
		at := h.put(1, numbered(h.avro[0], known))
		h.reg.learn("40002", strconv.Itoa(int(known)))
		wantIn(t, h.must("quarantine", "retry", id), fmt.Sprintf("a later record of that row, offset %d, brought it whole", at))
		none("undecodable")
	})
	t.Run("one behind which lies another that can't be decoded waits for that", func(t *testing.T) {
		h.put(1, numbered(h.avro[0], 40003))
		first := one("undecodable")
		at := h.put(1, numbered(h.avro[0], 40004))
		h.until("both are held back", func() bool { return len(h.open("undecodable")) == 2 })
		h.reg.learn("40003", strconv.Itoa(int(known)))
		if r := h.brazecdc("quarantine", "retry", first); r.code == 0 || !strings.Contains(r.out, fmt.Sprintf("offset %d, can't be decoded either", at)) {
			t.Errorf("exit code %d\n%s", r.code, r.out)
		}
		h.reg.learn("40004", strconv.Itoa(int(known)))
		out := h.must("quarantine", "retry", "--all", "--class", "undecodable")
		wantIn(t, out, fmt.Sprintf("offset %d, brought it whole", at), "accepted by Braze")
		none("undecodable")
	})
}

func (h *heldBench) retryDeletes(t *testing.T, one func(string) string) {
	refuse := func() {
		if err := h.sim.Faults(brazesim.Fault{Endpoint: "/users/delete", Status: 400, Body: `{"message":"no"}`}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a refused delete is sent, as no later record brings the row again", func(t *testing.T) {
		h.put(2, debezium("c", "d-1", "free", 1))
		h.arrives("d-1", "plan", `"free"`)
		refuse()
		h.put(2, debezium("d", "d-1", "free", 1))
		id := one("rejected")
		h.sim.ClearFaults("")
		wantIn(t, h.must("quarantine", "retry", id), "delete", "accepted by Braze")
		h.until("d-1 is deleted", func() bool { _, ok := h.sim.Profile("d-1"); return !ok })
	})
	t.Run("a refused delete whose row came again is closed by that", func(t *testing.T) {
		h.put(2, debezium("c", "d-2", "free", 1))
		h.arrives("d-2", "plan", `"free"`)
		refuse()
		h.put(2, debezium("d", "d-2", "free", 1))
		id := one("rejected")
		h.sim.ClearFaults("")
		h.put(2, debezium("c", "d-2", "back", 2))
		h.arrives("d-2", "plan", `"back"`)
		if r := h.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "closed") {
			t.Errorf("exit code %d\n%s", r.code, r.out)
		}
		if _, ok := h.sim.Profile("d-2"); !ok {
			t.Error("d-2 is gone")
		}
	})
}

func TestKafkaRetryOtherKey(t *testing.T) {
	t.Parallel()
	h := newHeldBench(t, nil, false)
	h.edit("external_id: id }", "external_id: plan }")
	p := h.run()
	h.put(0, debezium("c", "row-1", "u-1", 1))
	h.arrives("u-1", "credits", "1")
	if err := h.sim.Faults(brazesim.Fault{Endpoint: "/users/delete", Status: 400, Body: `{"message":"no"}`}); err != nil {
		t.Fatal(err)
	}
	h.put(0, debezium("d", "row-1", "u-1", 1))
	h.until("the delete is held back", func() bool { return len(h.open("rejected")) == 1 })
	h.sim.ClearFaults("")
	at := h.put(2, debezium("c", "row-2", "u-1", 2)) // the user comes again as another row, in another partition
	h.arrives("u-1", "credits", "2")
	id := strconv.FormatUint(h.open("rejected")[0].ID, 10)
	r := h.brazecdc("quarantine", "retry", id)
	if r.code == 0 || !strings.Contains(r.out, fmt.Sprintf("who came again with offset %d of partition 2", at)) {
		t.Errorf("exit code %d\n%s", r.code, r.out)
	}
	h.arrives("u-1", "credits", "2")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestPresentState(t *testing.T) {
	t.Parallel()
	table := &connector.Table{Columns: []connector.Column{{Name: "id", Key: true}, {Name: "a"}, {Name: "b"}}}
	set, absent := func(s string) connector.Cell { return connector.Cell{State: connector.Set, Raw: s} }, connector.Cell{}
	row := func(cells ...connector.Cell) connector.Row { return connector.Row{Table: table, Cells: cells} }
	s := presentState{row: row(set("1"), set("old"), set("kept")), last: -1, bad: -1}
	s.take(&connector.Change{Op: connector.Update, After: row(set("1"), set("new"), absent)}, 5)
	if s.last != 5 || s.whole || s.gone || s.row.Cells[1].Raw != "new" || s.row.Cells[2].Raw != "kept" {
		t.Errorf("an update that lacks a column: %+v", s)
	}
	s.take(&connector.Change{Op: connector.Update, After: row(set("1"), set("newer"), connector.Cell{State: connector.Null})}, 6)
	if !s.whole || s.row.Cells[2].State != connector.Null {
		t.Errorf("NULL is a value: %+v", s)
	}
	s.take(&connector.Change{Op: connector.Delete}, 7)
	if !s.gone || s.row.Exists() {
		t.Errorf("a delete: %+v", s)
	}
	s.take(&connector.Change{Op: connector.Insert, After: row(set("1"), set("again"), absent)}, 8)
	if s.gone || s.whole || s.row.Cells[2].State != connector.Absent {
		t.Errorf("what was deleted fills nothing: %+v", s)
	}
}
