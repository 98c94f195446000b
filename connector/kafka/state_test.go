package kafka

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/kafka/throwaway"
)

func TestStateTopic(t *testing.T) {
	b := newBed(t)
	src := reader(t, b.config("users"))
	st, err := src.OpenState(t.Context(), "state", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(entries ...connector.SharedEntry) {
		t.Helper()
		if err := st.Put(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	put(connector.SharedEntry{Key: "held/a", Value: []byte("1")}, connector.SharedEntry{Key: "held/b", Value: []byte("1")}, connector.SharedEntry{Key: "done/a", Value: []byte("x")})
	put(connector.SharedEntry{Key: "held/a", Value: []byte("2")}, connector.SharedEntry{Key: "held/b", Value: nil}, connector.SharedEntry{Key: "held/c", Value: []byte{}})
	heard := make(chan string, 10)
	again, err := src.OpenState(t.Context(), "state", func(key string, value []byte) { heard <- key + "=" + string(value) }) // another process finds it there
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := again.Read(t.Context(), "held/")
	if diff := cmp.Diff(map[string][]byte{"held/a": []byte("2"), "held/c": {}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, want := range []string{"held/a=1", "held/b=1", "done/a=x", "held/a=2", "held/b=", "held/c="} {
		if h := <-heard; h != want {
			t.Errorf("the other process heard %q, want %q", h, want)
		}
	}
	if err := again.Put(t.Context(), connector.SharedEntry{Key: "own", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	put(connector.SharedEntry{Key: "other", Value: []byte("1")})
	if h := <-heard; h != "other=1" {
		t.Errorf("the other process heard %q, its own word perhaps", h)
	}
	b.topic("plain", 3)
	_, err = src.OpenState(t.Context(), "plain", nil)
	stops(t, err, connector.ExitConfig, "cleanup.policy=delete", "kafka-configs")

	b.write("plain", 1, 0, 7)
	var infos []TopicInfo
	eventually(t, "the new topic is listed", func() bool { infos, err = src.Topics(t.Context()); return err != nil || len(infos) == 2 })
	if err != nil || len(infos) != 2 || infos[0].Name != "plain" || infos[0].Partitions != 3 || infos[0].Offsets != 7 || infos[0].Compacted || !infos[1].Compacted {
		t.Errorf("topics %+v, %v", infos, err)
	}
	_, err = src.Topics(t.Context(), "plein")
	stops(t, err, connector.ExitTableUnfit, `"plain"`)
}

// TestStateTopicLost deletes the topic under those who use it.
func TestStateTopicLost(t *testing.T) {
	for _, c := range []struct {
		name string
		bed  func(t *testing.T) *bed
	}{{"in memory", func(t *testing.T) *bed { return newBed(t) }}, {"a broker", func(t *testing.T) *bed { return realBed(t, throwaway.Shared(t).Addr()) }}} {
		for _, anew := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, made anew %t", c.name, anew), func(t *testing.T) {
				t.Parallel()
				b := c.bed(t)
				name := fmt.Sprintf("state-%t", anew)
				words := []string{"the state topic " + name + " was deleted while it was in use", "some may be sent twice", "stop every process of the group", "its data/"}
				src := reader(t, b.config("users"))
				open := func() *StateTopic {
					t.Helper()
					st, err := src.OpenState(t.Context(), name, nil)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(st.Close)
					if err := st.Put(t.Context(), connector.SharedEntry{Key: "done/a", Value: []byte("1")}); err != nil {
						t.Fatal(err)
					}
					return st
				}
				writes, reads, idle := open(), open(), open()
				if _, err := b.adm.DeleteTopic(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the topic is gone", func() bool {
					d, err := b.adm.ListTopics(t.Context())
					return err == nil && !d.Has(name)
				})
				if anew {
					if err := src.makeState(t.Context(), name); err != nil {
						t.Fatal(err)
					}
				}
				put := func(st *StateTopic) error {
					return st.Put(t.Context(), connector.SharedEntry{Key: "done/b", Value: []byte("1")})
				}
				stops(t, put(writes), connector.ExitOffsetRange, words...)
				if !anew {
					_, err := reads.Read(t.Context(), "")
					stops(t, err, connector.ExitOffsetRange, words...)
				}
				eventually(t, "who only follows notices", func() bool { return !anew || idle.failure() != nil })
				for _, st := range []*StateTopic{writes, reads, idle} { // whoever noticed in whatever way says so from then on
					if st.failure() != nil {
						_, err := st.Read(t.Context(), "")
						stops(t, err, connector.ExitOffsetRange, "the state topic "+name+" was")
						stops(t, put(st), connector.ExitOffsetRange, "the state topic "+name+" was")
					}
				}
				_, _ = b.adm.DeleteTopic(t.Context(), name)
			})
		}
	}
}
