package braze

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// item is a refused effect in short: its index, "?" behind it when the current id is unknown, and the reason.
func items(v []connector.Rejection) []string {
	var out []string
	for _, r := range v {
		s := strconv.Itoa(r.Index)
		if r.CurrentUnknown {
			s += "?"
		}
		out = append(out, s+" "+r.Reason)
	}
	return out
}

func TestItems(t *testing.T) {
	mixed := []connector.Effect{event(byID("u1"), "opened", ""), track("u1"), track("u2"), event(byID("u2"), "opened", ""), purchase(byID("u2"), "p1")}
	renames := []connector.Effect{rename("u1", "n1"), rename("u2", "n2"), rename("u3", "n3")}
	tests := []struct {
		name, body string
		kind       connector.Kind
		batch      []connector.Effect
		want       []string // refused items
		open       bool     // the outcome is unknown
	}{
		{name: "case 1: the listed object is refused, the others are accepted",
			body: `{"message":"success","attributes_processed":2,"errors":[{"type":"bad email","input_array":"attributes","index":1}]}`, want: []string{"1 bad email"}},
		{name: "case 2: an index counts inside the array it names", batch: batchOf(4),
			body: `{"errors":[{"type":"bad event","input_array":"events","index":0},{"type":"bad user","input_array":"attributes","index":1}],"attributes_processed":3}`, open: true},
		{name: "case 2: with one effect no other can be meant", batch: batchOf(1),
			body: `{"errors":[{"type":"bad","input_array":"events","index":7}]}`, want: []string{"0 bad"}},
		{name: "case 2: the first event and the second user of a mixed call", batch: mixed,
			body: `{"attributes_processed":1,"events_processed":1,"purchases_processed":1,"errors":[{"type":"bad event","input_array":"events","index":0},{"type":"bad user","input_array":"attributes","index":1}]}`,
			want: []string{"0 bad event", "2 bad user"}},
		{name: "case 2: a purchase, and the last event", batch: mixed,
			body: `{"errors":[{"type":"bad price","input_array":"purchases","index":0},{"type":"bad event","input_array":"events","index":1}]}`,
			want: []string{"3 bad event", "4 bad price"}},
		{name: "case 2: an index without an array in a mixed call is open", batch: mixed, body: `{"errors":[{"type":"bad","index":0}]}`, open: true},
		{name: "case 2: an index behind the end of its array is open", batch: mixed, body: `{"errors":[{"type":"bad","input_array":"purchases","index":1}]}`, open: true},
		{name: "case 2: an unknown array is open", batch: mixed, body: `{"errors":[{"type":"bad","input_array":"messages","index":0}]}`, open: true},
		{name: "events alone: an index without its array", batch: mixed[3:4], body: `{"errors":[{"type":"bad","index":0}]}`, want: []string{"0 bad"}},
		{name: "a text without a place, and nothing accepted of any array", batch: mixed,
			body: `{"attributes_processed":0,"events_processed":0,"purchases_processed":0,"errors":["bad"]}`, want: []string{"0 bad", "1 bad", "2 bad", "3 bad", "4 bad"}},
		{name: "a text without a place, where one array is not counted", batch: mixed, body: `{"attributes_processed":0,"events_processed":0,"errors":["bad"]}`, open: true},
		{name: "a text without a place, and all accepted in three arrays", batch: mixed,
			body: `{"attributes_processed":2,"events_processed":2,"purchases_processed":1,"errors":["take care"]}`},
		{name: "subscriptions: an index says nothing, its lists are not in the batch's order", kind: connector.Subscribe,
			batch: []connector.Effect{subscribe(byID("u1"), state(newsGroup, "subscribed")), subscribe(byID("u2"), state(newsGroup, "subscribed"))},
			body:  `{"message":"success","errors":[{"index":0,"type":"bad"}]}`, open: true},
		{name: "case 6: two item errors keep two texts",
			body: `{"errors":[{"type":"bad email","input_array":"attributes","index":0},{"type":"bad state","input_array":"attributes","index":2}]}`,
			want: []string{"0 bad email", "2 bad state"}},
		{name: "two errors of one object are one refusal",
			body: `{"errors":[{"type":"a","index":2,"input_array":"attributes"},{"type":"b","index":2,"input_array":"attributes"}]}`, want: []string{"2 a; b"}},
		{name: "an index as text, without its array", body: `{"errors":[{"message":"bad","index":"1"}]}`, want: []string{"1 bad"}},
		{name: "an index behind the end has no place", body: `{"errors":[{"type":"bad","index":3,"input_array":"attributes"}]}`, open: true},
		{name: "a negative index has no place", body: `{"errors":[{"type":"bad","index":-1,"input_array":"attributes"}]}`, open: true},
		{name: "a text that names the index", body: `{"errors":["attributes at index 2: bad"]}`, want: []string{"2 attributes at index 2: bad"}},
		{name: "an external_id that names the object", body: `{"errors":[{"external_id":"u3","error":"bad"}]}`, want: []string{"2 bad"}},
		{name: "a text without a place leaves the outcome open", body: `{"message":"success","errors":["something"]}`, open: true},
		{name: "a text without a place, and none accepted", body: `{"attributes_processed":0,"errors":["all bad"]}`, want: []string{"0 all bad", "1 all bad", "2 all bad"}},
		{name: "a text without a place, and all accepted", body: `{"attributes_processed":3,"errors":["take care"]}`},
		{name: "placed and not placed together leave the outcome open",
			body: `{"attributes_processed":1,"errors":[{"type":"bad","index":0,"input_array":"attributes"},"x"]}`, open: true},
		{name: "errors as one text, of one effect", batch: batchOf(1), body: `{"errors":"bad"}`, want: []string{"0 bad"}},
		{name: "no errors in many shapes", body: `{"errors":[],"rename_errors":null,"removal_errors":""}`},
		{name: "no errors of no kind", body: `{"errors":[null,{},[],""]}`},
		{name: "an empty answer", body: ``},
		{name: "an error without words", body: `{"errors":[{"index":0,"input_array":"attributes"}]}`, want: []string{`0 {"index":0,"input_array":"attributes"}`}},

		{name: "renames: lists of index and text", kind: connector.Rename, batch: renames,
			body: `{"message":"success","external_ids":["n1"],"rename_errors":[[1,"current_external_id does not exist"],[2,"new_external_id already exists"]]}`,
			want: []string{"1? current_external_id does not exist", "2 new_external_id already exists"}},
		{name: "renames: a text naming the index inside a list", kind: connector.Rename, batch: renames,
			body: `{"external_ids":["n1","n3"],"rename_errors":[["Could not find user for index 1"]]}`, want: []string{"1? Could not find user for index 1"}},
		{name: "renames: objects with an index", kind: connector.Rename, batch: renames,
			body: `{"rename_errors":[{"index":0,"message":"The current external id is deprecated"}]}`, want: []string{"0 The current external id is deprecated"}},
		{name: "renames: a text without a place means the only one not done", kind: connector.Rename, batch: renames,
			body: `{"external_ids":["n1","n2"],"rename_errors":["user not found"]}`, want: []string{"2? user not found"}},
		{name: "renames: two texts and one not done are open", kind: connector.Rename, batch: renames,
			body: `{"external_ids":["n1","n2"],"rename_errors":["a","b"]}`, open: true},
		{name: "removals: an index into the list", kind: connector.Free, batch: batchOf(2),
			body: `{"removed_ids":["u1"],"removal_errors":[[1,"external_id is a primary id"]]}`, want: []string{"1 external_id is a primary id"}},
		{name: "deletes: a plain answer", kind: connector.DeleteUser, body: `{"deleted":3,"message":"success"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			batch := tt.batch
			if batch == nil {
				batch = batchOf(3)
			}
			f := serve(t, respond(201, tt.body))
			err := send(t, newTestClient(t, f.URL, Config{}), tt.kind, batch)
			var rejected *connector.RejectedError
			switch got := outcomeOf(err); {
			case tt.open:
				if got != (outcome{end: "retry", unknown: true}) {
					t.Errorf("got %+v, want an unknown outcome", got)
				}
			case tt.want == nil:
				if err != nil {
					t.Errorf("got %v, want accepted", err)
				}
			case !errors.As(err, &rejected) || rejected.Whole || !slices.Equal(items(rejected.Items), tt.want):
				t.Errorf("got %v %+v, want %q", err, rejected, tt.want)
			}
		})
	}
	t.Run("a 400 that lists every object refuses by item, one that lists some refuses the whole", func(t *testing.T) {
		body := `{"message":"Valid data must be provided","errors":[{"type":"a","input_array":"attributes","index":0},{"type":"b","input_array":"attributes","index":1}]}`
		f := serve(t, respond(400, body))
		c := newTestClient(t, f.URL, Config{})
		if got := outcomeOf(send(t, c, connector.Track, batchOf(2))); got.end != "items" {
			t.Errorf("two of two: %+v", got)
		}
		if got := outcomeOf(send(t, c, connector.Track, batchOf(3))); got.end != "whole" {
			t.Errorf("two of three: %+v", got)
		}
	})
	t.Run("case 10: an endless answer is read in bounded time", func(t *testing.T) {
		var many strings.Builder
		for i := range 40000 {
			many.WriteString(`,{"index":0,"type":"` + strconv.Itoa(i) + `"},"` + strconv.Itoa(i) + `"`)
		}
		for _, body := range []string{
			`{"errors":[` + many.String()[1:] + `]}`,
			`{"errors":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`,
			strings.Repeat(testKey, 20000),
		} {
			start := time.Now()
			f := serve(t, respond(201, body))
			err := send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(2))
			if d := time.Since(start); d > 5*time.Second || err == nil || len(err.Error()) > 3000 {
				t.Errorf("%s, %d bytes of error", d, len(err.Error()))
			}
		}
	})
	t.Run("cdc 96: a refused object does not keep the others of its call", func(t *testing.T) {
		f := serve(t, respond(201, `{"attributes_processed":74,"errors":[{"type":"bad email","input_array":"attributes","index":39}]}`))
		err := send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(75))
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || len(rejected.Items) != 1 || rejected.Items[0].Index != 39 {
			t.Errorf("got %v", err)
		}
	})
}

func TestCurrentUnknown(t *testing.T) {
	texts := map[string]bool{
		"current_external_id does not exist":                     true,
		"The current external ID u1 was not found":               true,
		"User with current_external_id 'x' doesn't exist":        true,
		"CURRENT_EXTERNAL_ID_NOT_FOUND":                          true,
		"no user with this external_id":                          true,
		"cannot find external id":                                true,
		"new_external_id already exists":                         false,
		"new_external_id already exists, current does not exist": false,
		"the new external id does not exist":                     false,
		"current_external_id must be a primary id":               false,
		"current_external_id is deprecated":                      false,
		"current and new external id must differ":                false,
		"internal error":                                         false,
	}
	for text, want := range texts {
		if got := currentUnknown(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"EMAIL_BAD_FORMAT": "bad_email", "The value provided for the 'email_subscribe' field must be one of": "bad_email_subscribe",
		"BLACKLISTED_EXTERNAL_USER_ID": "blocked_user", "EXTERNAL_USER_ID_TOO_LARGE": "too_large", "": "other", "u1 says hello": "other",
	} {
		if got := reason(text); got != want {
			t.Errorf("%q is counted as %q, want %q", text, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"message":"success","attributes_processed":2,"errors":[{"type":"bad email","input_array":"attributes","index":1}]}`,
		`{"errors":["a",["b",1],[[["c"]]],{"index":"2"},{"index":9e9},null,true,3]}`,
		`{"external_ids":["n1"],"rename_errors":[[1,"index 0 does not exist"],{"external_id":"u1"}]}`,
		`{"errors":{"index":0}}`, `{"errors":"x","deleted":"0"}`, `{"users":{},"invalid_user_ids":[1,null,"u1"]}`, ``, `{`, `<html>`, `{"errors":[{"index":-1}]}`, `{"errors":[["index 99999999999999999999"]]}`,
		`{"message":"Invalid Request","errors":[{"id":"invalid-fields","message":"no such field","parameters":["id"],"parameter_values":["u1","u2"]}]}`,
		`{"events_processed":1,"errors":[{"input_array":"events","index":0,"type":"x"},{"input_array":"purchases","index":3}]}`,
	} {
		for status := range []int{0, 1, 2, 3} {
			f.Add(uint16(200+100*status), uint8(status), uint8(3), []byte(s))
		}
	}
	c, err := New(Config{Endpoint: "https://rest.fra-01.braze.eu", APIKey: testKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status uint16, kind, n uint8, body []byte) {
		ep := endpoint(kind % uint8(connector.Kinds))
		batch := batchOf(int(n%75) + 1)
		for i := range batch {
			switch {
			case ep == trackUsers && i%3 == 1:
				batch[i].Event = event(byID(""), "opened", "").Event
			case ep.ofCatalog():
				batch[i].User = connector.User{Kind: connector.Item, ID: batch[i].User.ID, Label: "shops"}
			}
		}
		if ep == renameIDs {
			for i := range batch {
				batch[i].To = byID("n" + strconv.Itoa(i+1))
			}
		}
		err := c.judge(ep, batch, &reply{status: int(status%500) + 100, body: body, sent: true})
		if err != nil && strings.Contains(err.Error(), testKey) {
			t.Errorf("the key is in %v", err)
		}
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || rejected.Whole {
			return
		}
		last := -1
		for _, r := range rejected.Items {
			if r.Index <= last || r.Index >= len(batch) || r.Reason == "" {
				t.Errorf("item %+v after %d of %d", r, last, len(batch))
			}
			last = r.Index
		}
		if len(rejected.Items) == 0 {
			t.Error("a refusal without items")
		}
	})
}

func TestAlreadySo(t *testing.T) {
	for _, c := range []struct {
		ep   endpoint
		text string
		want bool
	}{
		{renameIDs, "current_external_id is deprecated, only a primary external_id can be renamed", true},
		{renameIDs, "new_external_id is already in use as a deprecated external_id", false},
		{renameIDs, "new_external_id is already in use", false},
		{renameIDs, "current_external_id is unknown", false},
		{removeIDs, "external_id is unknown", true},
		{removeIDs, "external_id is primary, only a deprecated external_id can be removed", true},
		{removeIDs, "a primary external_id can't be given", false},
		{deleteUsers, "external_id is unknown", false},
	} {
		if got := alreadySo(c.ep, c.text); got != c.want {
			t.Errorf("endpoint %v, %q: %v, want %v", c.ep, c.text, got, c.want)
		}
	}
}
