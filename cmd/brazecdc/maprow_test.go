package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

func TestKeyOf(t *testing.T) {
	one := &connector.Table{Name: "t", Columns: []connector.Column{textColumn("id", true), textColumn("a", false)}}
	two := &connector.Table{Name: "t", Columns: []connector.Column{textColumn("shop", true), textColumn("a", false), textColumn("no", true)}}
	for _, c := range []struct {
		name  string
		table *connector.Table
		text  string
		want  string
		bad   bool
	}{
		{"takes the one column as it stands", one, "a=b,c", "a=b,c", false},
		{"joins several in the table's order", two, "no=7,shop=berlin", connector.JoinKey([]string{"berlin", "7"}), false},
		{"keeps an equals sign in a value", two, "shop=a=b,no=", connector.JoinKey([]string{"a=b", ""}), false},
		{"wants all of several", two, "shop=berlin", "", true},
		{"wants names for several", two, "berlin", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := keyOf(c.table, c.text)
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestEstimate(t *testing.T) {
	cfg := &config.Config{Braze: config.Braze{ObjectsPerRequest: 75, RateShare: 0.5}}
	hourly := &config.Config{Braze: config.Braze{ObjectsPerRequest: 50, RateShare: 1, RatePerHour: 3600}}
	for _, c := range []struct {
		cfg  *config.Config
		rows int64
		want string
	}{
		{cfg, 76, "about 76 users, 2 calls, under a minute at the rate granted"},
		{cfg, 10_000_000, "about 10000000 users, 133334 calls, 4 minutes at the rate granted"},
		{hourly, 30_000, "about 30000 users, 600 calls, 10 minutes at the rate granted"},
		{cfg, -1, "the server has no estimate of t's rows yet (ANALYZE makes one); a call takes up to 75 users"},
	} {
		if got := estimate(c.cfg, &connector.Table{Name: "t", Rows: c.rows}); got != c.want {
			t.Errorf("%d rows: %s, want %s", c.rows, got, c.want)
		}
	}
}

func TestGuardHost(t *testing.T) {
	for _, c := range []struct {
		listen, host string
		want         int
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", 200},
		{"127.0.0.1:8080", "localhost:8080", 200},
		{"127.0.0.1:8080", "localhost", 200},
		{"[::1]:8080", "[::1]:8080", 200},
		{"127.0.0.1:8080", "[::1]", 200},
		{"127.0.0.1:8080", "example.com:8080", 421},
		{"127.0.0.1:8080", "127.0.0.1.example.com", 421},
		{"127.0.0.1:8080", "", 421},
		{"0.0.0.0:8080", "metrics.example.com", 200},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.listen)
		if err != nil {
			t.Fatal(err)
		}
		h := guardHost(addr, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("listening on %s, asked as %q: %d, want %d", c.listen, c.host, w.Code, c.want)
		}
	}
}

func TestDialable(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "[::]:80": "127.0.0.1:80", "10.0.0.1:8080": "10.0.0.1:8080", "localhost:1": "localhost:1",
	} {
		if got := dialable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
