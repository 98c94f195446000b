package brazesim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector/braze/brazesim"
)

func TestApplyDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{ApplyDelay: time.Second})
		start := time.Now()
		attributes(t, s, `"x":1`)
		if _, ok := s.Profile("u"); ok || s.Stats().Pending != 1 {
			t.Fatal("the effect must come after the answer")
		}
		if err := s.Quiet(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited <= 0 || waited > time.Second {
			t.Errorf("quiet after %v, want up to a second", waited)
		}
		if got := flat(profile(t, s, "u").Custom); got != `{"x":1}` {
			t.Errorf("u has %s", got)
		}
	})
}

func TestRequestsInsideTheDelaySwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{ApplyDelay: time.Second, Seed: 7})
		last := map[string]int{}
		for i := range 200 {
			accept(t, s, "/users/track", fmt.Sprintf(`{"attributes":[{"external_id":"u%d","x":1}]}`, i))
			accept(t, s, "/users/track", fmt.Sprintf(`{"attributes":[{"external_id":"u%d","x":2}]}`, i))
			if err := s.Quiet(t.Context()); err != nil {
				t.Fatal(err)
			}
			last[flat(profile(t, s, fmt.Sprintf("u%d", i)).Custom)]++
		}
		first, second := last[`{"x":1}`], last[`{"x":2}`]
		if first < 60 || second < 60 || first+second != 200 {
			t.Errorf("the first won %d times, the second %d times; want about half each", first, second)
		}
		if st := s.Stats(); st.Reordered != first || st.Overlaps != 0 {
			t.Errorf("%d reordered, %d overlaps; want %d and 0", st.Reordered, st.Overlaps, first)
		}
		if v := s.Violations(); len(v) == 0 || v[0].Kind != brazesim.KindReordered || v[0].Earlier >= v[0].Later {
			t.Errorf("violations %+v", v[:min(1, len(v))])
		}
	})
}

func TestAGapOfTheDelayKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{ApplyDelay: 20 * time.Millisecond})
		for i := range 500 {
			attributes(t, s, fmt.Sprintf(`"x":%d`, i))
			time.Sleep(20 * time.Millisecond) // virtual time
		}
		if n := s.Stats().Reordered; n != 0 {
			t.Errorf("%d reordered", n)
		}
	})
}

func TestDeleteDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{DeleteDelay: time.Minute})
		killed := 0
		for range 50 {
			attributes(t, s, `"x":1`)
			accept(t, s, "/users/delete", `{"external_ids":["u"]}`)
			if _, ok := s.Profile("u"); !ok {
				t.Fatal("a delete must take effect later")
			}
			time.Sleep(30 * time.Second) // virtual time
			attributes(t, s, `"y":1`)
			if err := s.Quiet(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.Profile("u"); !ok {
				killed++
			}
		}
		if killed < 10 || killed > 40 {
			t.Errorf("%d of 50 tracks sent too early were lost, want about half", killed)
		}
		if n := s.Stats().Reordered; n != killed {
			t.Errorf("%d reordered, want %d", n, killed)
		}
	})
}

func TestQuietEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{ApplyDelay: time.Hour, Seed: 1})
		attributes(t, s, `"x":1`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Quiet(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Quiet returned %v", err)
		}
		done := make(chan error)
		go func() { done <- s.Quiet(t.Context()) }()
		synctest.Wait()
		s.Reset()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, ok := s.Profile("u"); ok || s.Stats().Requests != 0 {
			t.Error("Reset left something")
		}
	})
}

func TestOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{})
		if err := s.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Delay: time.Second}); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			post(s, "/users/track", []byte(`{"attributes":[{"external_id":"u","x":1},{"external_id":"u","y":1},{"external_id":"v"}]}`))
		}()
		synctest.Wait()
		if s.Stats().Open != 1 {
			t.Fatalf("%d requests open, want 1", s.Stats().Open)
		}
		attributes(t, s, `"x":2`)
		accept(t, s, "/users/delete", `{"external_ids":["w"]}`)
		<-done
		attributes(t, s, `"x":3`)
		st := s.Stats()
		if st.Overlaps != 1 || st.Endpoints["/users/track"].Overlaps != 1 {
			t.Errorf("%d overlaps, want 1: two objects in one request and requests after the answer are none", st.Overlaps)
		}
		if v := s.Violations(); len(v) != 2 || v[0].ExternalID != "u" || v[0].Earlier != 1 || v[0].Later != 2 {
			t.Errorf("violations %+v, want the overlap of requests 1 and 2, and that 2 was applied first", v)
		}
	})
}

func TestRenameHoldsBothIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{})
		attributes(t, s, `"x":1`)
		if err := s.Faults(brazesim.Fault{Endpoint: "/users/external_ids/rename", Delay: time.Second, Count: 1}); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			post(s, "/users/external_ids/rename", []byte(`{"external_id_renames":[{"current_external_id":"u","new_external_id":"v"}]}`))
		}()
		synctest.Wait()
		accept(t, s, "/users/track", `{"attributes":[{"external_id":"v","_update_existing_only":true}]}`)
		<-done
		if n := s.Stats().Overlaps; n != 1 {
			t.Errorf("%d overlaps, want 1", n)
		}
	})
}

func TestARequestArrivesWithItsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{})
		body, feed := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := httptest.NewRequest(http.MethodPost, "/users/track", body)
			r.Header.Set("Authorization", "Bearer key")
			r.Header.Set("Content-Type", "application/json")
			s.ServeHTTP(httptest.NewRecorder(), r)
		}()
		synctest.Wait()
		attributes(t, s, `"x":1`) // answered while the other one still sends its body
		if _, err := io.WriteString(feed, oneUser); err != nil {
			t.Fatal(err)
		}
		if err := feed.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
		if n := s.Stats().Overlaps; n != 1 {
			t.Errorf("%d overlaps, want 1", n)
		}
	})
}

// A refused pair takes no effect, so that what comes at once after its answer is not out of order; nor is the removal of a deprecated id out of order with
// what the profile gets under its present one.
func TestNoOrderWithoutEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := brazesim.New(brazesim.Config{ApplyDelay: time.Minute, Seed: 3})
		for range 20 {
			accept(t, s, "/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"ghost","new_external_id":"a"}]}`)
			accept(t, s, "/users/track", `{"attributes":[{"external_id":"a","n":1}]}`)
			time.Sleep(time.Hour)
			accept(t, s, "/users/delete", `{"external_ids":["a"]}`)
			time.Sleep(time.Hour)
		}
		accept(t, s, "/users/track", `{"attributes":[{"external_id":"old"}]}`)
		time.Sleep(time.Hour)
		accept(t, s, "/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"old","new_external_id":"new"}]}`)
		time.Sleep(time.Hour)
		accept(t, s, "/users/external_ids/remove", `{"external_ids":["old"]}`)
		accept(t, s, "/users/track", `{"attributes":[{"external_id":"new","n":1}]}`)
		time.Sleep(time.Hour)
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("%d violations, first %+v", len(v), v[0])
		}
	})
}
