package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
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
