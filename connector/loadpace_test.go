package connector

import (
	"testing"
	"time"
)

func TestLoadPace(t *testing.T) {
	run := &loadRun{}
	begin := time.Unix(1_000_000, 0)
	run.began.Store(begin.UnixNano())
	run.from.Store(100)
	if _, ok := run.pace(begin.Add(100*time.Millisecond), 100); ok {
		t.Error("there is a speed at once")
	}
	// For three minutes 10 rows a second, then 100.
	rows := int64(100)
	for s := 1; s <= 180; s++ {
		rows += 10
		run.passed(begin.Add(time.Duration(s)*time.Second), rows)
		if s == 60 {
			if rate, ok := run.pace(begin.Add(60*time.Second), rows); !ok || rate != 10 {
				t.Errorf("after a minute: %v", rate)
			}
		}
	}
	for s := 181; s <= 320; s++ {
		rows += 100
		run.passed(begin.Add(time.Duration(s)*time.Second), rows)
	}
	if rate, ok := run.pace(begin.Add(320*time.Second), rows); !ok || rate != 100 {
		t.Errorf("it is the speed of all the time: %v", rate)
	}
	if len(run.marks) > 125 {
		t.Errorf("%d marks are kept", len(run.marks))
	}
	// Nothing more comes: the speed goes down, and stays a number.
	if rate, ok := run.pace(begin.Add(380*time.Second), rows); !ok || rate <= 0 || rate >= 100 {
		t.Errorf("a minute after it stalled: %v", rate)
	}
	if rate, ok := run.pace(begin.Add(500*time.Second), rows); !ok || rate != 0 {
		t.Errorf("three minutes after it stalled: %v", rate)
	}
}
