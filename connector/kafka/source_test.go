package kafka

import (
	"fmt"
	"testing"
)

func TestSource(t *testing.T) {
	t.Run("reads from the start, commits, and goes on from there", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		b.write("users", 0, 0, 10)
		b.write("users", 1, 0, 10)
		m := start(t, b.config("users"), nil, false)
		if !m.opened.Fresh {
			t.Error("a new group is not fresh")
		}
		m.wait(20)
		m.close()
		for p := range int32(2) {
			if c, ok := b.committed("g", "users", p); !ok || c.Offset != 10 {
				t.Errorf("partition %d: committed %+v", p, c)
			}
		}
		b.write("users", 0, 10, 5)
		m = start(t, b.config("users"), m.positions(), false)
		if m.opened.Fresh || len(m.opened.Gaps) > 0 {
			t.Errorf("opened %+v", m.opened)
		}
		got := m.wait(5)
		for i, v := range got {
			if want := fmt.Sprintf("0:%d", 10+i); v != want {
				t.Errorf("value %d is %s, want %s", i, v, want)
			}
		}
	})
	t.Run("cdc 77: 12 partitions, members come and go, nothing is lost", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 12)
		first := start(t, b.config("users"), nil, false)
		var all []string
		members := []*member{first}
		total := 0
		for round := range 4 {
			for p := range int32(12) {
				b.write("users", p, round*100, 100)
				total += 100
			}
			switch round {
			case 0, 1:
				members = append(members, start(t, b.config("users"), nil, false))
			case 2:
				members[1].close()
			}
			eventually(t, "all values", func() bool {
				all = all[:0]
				for _, m := range members {
					m.mu.Lock()
					all = append(all, m.values...)
					m.mu.Unlock()
				}
				return len(unique(all)) == total
			})
		}
		for _, m := range members {
			m.close()
		}
		for p := range int32(12) {
			if c, _ := b.committed("g", "users", p); c.Offset != 400 {
				t.Errorf("partition %d: committed %+v", p, c)
			}
		}
		t.Logf("%d values came %d times", total, len(all))
	})
}
