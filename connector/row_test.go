package connector_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"brazecdc/connector"
)

func TestPlace(t *testing.T) {
	for stream, want := range map[string]string{"slot/shop": `offset=16/B374D848`, "load/users-1": `offset=97500059720`, "shop.users/0@3": `offset=97500059720`} {
		at := connector.Place{Stream: stream, Commit: 0x16_B374D848}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "offset", at)
		if !strings.Contains(b.String(), want+"\n") || want != "offset="+at.String() {
			t.Errorf("%s: %s is logged as %s", stream, at, b.String())
		}
	}
}
