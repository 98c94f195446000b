package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Profile is what Braze holds of one user: profile fields and custom attributes by name, as decoded JSON.
type Profile map[string]any

// Difference is one way in which a profile is not what the tables say.
type Difference struct {
	User  string
	Field string // empty: the profile itself is missing or should not be there
	Want  string
	Got   string
}

func (d Difference) String() string {
	if d.Field == "" {
		return fmt.Sprintf("user %s: want %s, the profile is %s", d.User, d.Want, d.Got)
	}
	return fmt.Sprintf("user %s, field %s: the tables say %s, the profile says %s", d.User, d.Field, d.Want, d.Got)
}

// Compare reads both tables and compares every profile with them: none is missing, none is left over, and every field has the row's value, or is
// absent where the row has NULL or there is no address. What to expect is computed here from the columns alone, beside the mapping and not
// through it. It gives every difference, by user and field.
func Compare(ctx context.Context, db *pgx.Conn, profiles map[string]Profile) ([]Difference, error) {
	want, err := expected(ctx, db)
	if err != nil {
		return nil, err
	}
	var out []Difference
	for user, w := range want {
		got, ok := profiles[user]
		if !ok {
			out = append(out, Difference{User: user, Want: "a profile", Got: "missing"})
			continue
		}
		out = append(out, w.differences(user, got)...)
	}
	for user := range profiles {
		if _, ok := want[user]; !ok {
			out = append(out, Difference{User: user, Want: "no profile", Got: "there"})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].User != out[j].User {
			return out[i].User < out[j].User
		}
		return out[i].Field < out[j].Field
	})
	return out, nil
}

func (p Profile) differences(user string, got Profile) []Difference {
	var out []Difference
	names := map[string]bool{}
	for n := range p {
		names[n] = true
	}
	for n := range got {
		names[n] = true
	}
	for n := range names {
		if w, g := p[n], got[n]; !same(w, g) {
			out = append(out, Difference{User: user, Field: n, Want: show(w), Got: show(g)})
		}
	}
	return out
}

func same(want, got any) bool {
	if t, ok := want.(time.Time); ok {
		s, ok := got.(string)
		if !ok {
			return false
		}
		g, err := time.Parse(time.RFC3339Nano, s)
		return err == nil && g.Equal(t.Truncate(time.Millisecond))
	}
	return reflect.DeepEqual(want, got)
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
}

// expected reads every value as text, so that no decoder is shared with what is tested.
func expected(ctx context.Context, db *pgx.Conn) (map[string]Profile, error) {
	rows, err := db.Query(ctx, `
		SELECT c.user_id, c.email, c.first_name, c.last_name, c.born::text, c.phone, c.country, c.language, c.plan, c.credits::text,
		       to_json(c.tags)::text, c.prefs::text, (extract(epoch FROM c.last_seen) * 1000000)::bigint,
		       a.city, a.street, a.postcode, a.gift_wrap
		FROM customers c LEFT JOIN addresses a USING (user_id)`)
	if err != nil {
		return nil, fmt.Errorf("read the shop's tables: %w", err)
	}
	defer rows.Close()
	out := map[string]Profile{}
	for rows.Next() {
		var user, country, language, plan, credits, tagText string
		var email, first, last, born, phone, prefs, city, street, postcode *string
		var seen *int64
		var wrap *bool
		err := rows.Scan(&user, &email, &first, &last, &born, &phone, &country, &language, &plan, &credits, &tagText, &prefs, &seen,
			&city, &street, &postcode, &wrap)
		if err != nil {
			return nil, fmt.Errorf("read the shop's tables: %w", err)
		}
		p := Profile{"country": country, "language": language, "plan": plan, "shop": "berlin"}
		for name, v := range map[string]*string{
			"email": email, "first_name": first, "last_name": last, "dob": born, "phone": phone,
			"home_city": city, "street": street, "postcode": postcode,
		} {
			if v != nil {
				p[name] = *v
			}
		}
		if first != nil && last != nil {
			p["full_name"] = strings.Join([]string{*first, *last}, " ")
		}
		if p["credits"], err = strconv.ParseFloat(credits, 64); err != nil {
			return nil, fmt.Errorf("read the credits of %s: %w", user, err)
		}
		if err := p.setJSON("tags", &tagText); err != nil {
			return nil, err
		}
		if err := p.setJSON("prefs", prefs); err != nil {
			return nil, err
		}
		if seen != nil {
			p["last_seen"] = time.UnixMicro(*seen)
		}
		if wrap != nil {
			p["gift_wrap"] = *wrap
		}
		out[user] = p
	}
	return out, rows.Err()
}

func (p Profile) setJSON(name string, text *string) error {
	if text == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(*text), &v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	p[name] = v
	return nil
}
