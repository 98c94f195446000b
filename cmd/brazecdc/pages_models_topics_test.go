package main

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/web"
)

func TestModelsViewsOfTopics(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 2, topicModel)
	var recs []*kgo.Record
	for i := range 30 {
		plan := "free"
		if i%3 == 0 {
			plan = "pro"
		}
		recs = append(recs, debezium("c", "u-"+strconv.Itoa(i), plan, i))
	}
	produce(t, cl, recs...)
	v, draft, ctx := newModelsViews(&program{config: b.config()}), []byte(strings.Replace(b.text, "${BRAZE_API_KEY}", testKey, 1)), t.Context()

	t.Run("topics are listed, and one is looked at", func(t *testing.T) {
		list, err := v.Relations(ctx, draft)
		if err != nil || len(list) != 1 || list[0].Name != "shop.users" || !list[0].Topic {
			t.Fatalf("%v %+v", err, list)
		}
		r, err := v.Relation(ctx, draft, "shop.users")
		if err != nil || r.Column("plan") == nil || len(r.Column("plan").Samples) == 0 {
			t.Fatalf("%v %+v", err, r)
		}
	})
	t.Run("the plan, the preview and the count are of the newest messages", func(t *testing.T) {
		p, err := v.Plan(ctx, draft, "users")
		if err != nil || len(p.Lines) != 3 || p.Unreachable != "" || p.Rows == 0 {
			t.Fatalf("%v %+v", err, p)
		}
		shown, err := v.Preview(ctx, draft, web.PreviewAsk{Model: "users", Row: "newest", Op: "insert"})
		if err != nil || !shown.Found || !shown.Topic || len(shown.Calls) == 0 || !strings.Contains(shown.Calls[0].Body, `"external_id"`) {
			t.Fatalf("%v %+v", err, shown)
		}
		n, err := v.Count(ctx, draft, web.CountAsk{Model: "users", Rule: `plan == "pro"`})
		if err != nil || n.Fault != nil || !n.Topic || n.Rows != 30 || n.Matching != 10 {
			t.Errorf("%v %+v", err, n)
		}
		values, err := v.Frequent(ctx, draft, "users", "plan")
		if err != nil || len(values) != 2 || values[0] != "free" {
			t.Errorf("%v %v", err, values)
		}
	})
	t.Run("many pages at once take turns, and all are answered", func(t *testing.T) {
		var all sync.WaitGroup
		for range 4 * looksAtTopics {
			all.Go(func() {
				if p, err := v.Plan(ctx, draft, "users"); err != nil || p.Unreachable != "" {
					t.Errorf("%v %+v", err, p)
				}
			})
		}
		all.Wait()
		if n := len(v.atTopics); n != 0 {
			t.Errorf("%d turns are still taken", n)
		}
	})
}
