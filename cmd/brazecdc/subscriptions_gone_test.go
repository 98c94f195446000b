package main

import (
	"strings"
	"testing"
)

// TestSubscriptionOfADeletedUser: where a row gives the profile and a subscription, its end deletes the profile, and no call that ends the subscription brings
// an empty one back: Braze makes profiles for calls of subscriptions.
func TestSubscriptionOfADeletedUser(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 2, topicModel)
	b.edit("user_gap: 20ms", "user_gap: 20ms\n  subscription_groups: { news: "+newsGroup+" }")
	b.write(b.text + `  - name: news
    kind: subscriptions
    topic: shop.users
    mode: sync
    load: all
    identify: { external_id: id }
    groups: [{ group: news, when: credits > 1, on_leave: unsubscribe, resubscribe: always }]
`)
	b.run()
	const set = "/v2/subscription/status/set"
	produce(t, cl, debezium("c", "u-3", "free", 2), debezium("c", "u-4", "free", 2))
	b.settled(cl, 2)
	b.until("both are subscribed", func() bool { return len(b.bodies(set, "u-3")) == 1 && len(b.bodies(set, "u-4")) == 1 })
	// What was there when the change came, and what comes while the user settles.
	produce(t, cl, debezium("d", "u-3", "free", 2), debezium("u", "u-4", "free", 1))
	b.settled(cl, 4)
	b.until("the delete took effect", func() bool {
		_, there := b.sim.Profile("u-3")
		return !there && len(b.bodies("/users/export/ids", "u-3")) > 0
	})
	b.until("nobody waits", func() bool { return strings.Contains(b.must("status"), " 0 users waiting") })
	if x, there := b.sim.Profile("u-3"); there {
		t.Errorf("the profile is there again: %+v\n%s", x, strings.Join(b.bodies(set, "u-3"), "\n"))
	}
	if got := b.bodies(set, "u-4"); len(got) != 2 || !strings.Contains(got[1], `"unsubscribed"`) {
		t.Errorf("of a user who lives: %v", got)
	}
}
