package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func TestStateTopic(t *testing.T) {
	b := newBed(t)
	src := reader(t, b.config("users"))
	st, err := src.OpenState(t.Context(), "state")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(entries ...StateEntry) {
		t.Helper()
		if err := st.Put(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	put(StateEntry{"held/a", []byte("1")}, StateEntry{"held/b", []byte("1")}, StateEntry{"done/a", []byte("x")})
	put(StateEntry{"held/a", []byte("2")}, StateEntry{"held/b", nil}, StateEntry{"held/c", []byte{}})
	again, err := src.OpenState(t.Context(), "state") // another process finds it there
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := again.Read(t.Context(), "held/")
	if diff := cmp.Diff(map[string][]byte{"held/a": []byte("2"), "held/c": {}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	b.topic("plain", 3)
	_, err = src.OpenState(t.Context(), "plain")
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
