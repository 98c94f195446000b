package envelope

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// referring answers as a registry in which schemas take types from others.
type referring map[uint32]Schema

func (r referring) Schema(_ context.Context, id uint32) (Schema, error) {
	if s, ok := r[id]; ok {
		return s, nil
	}
	return Schema{}, &UnusableSchemaError{"schema 9 refers to version 3 of subject plan for shop.Plan, which the schema registry does not know"}
}

func TestReferences(t *testing.T) {
	const (
		country = `{"type":"enum","name":"Country","namespace":"shop","symbols":["DE","FR"]}`
		address = `{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"street","type":"string"},{"name":"country","type":"shop.Country"}]}`
		user    = `{"type":"record","name":"User","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"home","type":["null","Address"]},{"name":"from","type":"shop.Country"}]}`
	)
	registry := referring{
		1: {Text: user, References: []string{country, address}},
		2: {Text: `["null","shop.User"]`, References: []string{country, address, user}},
		3: {Text: user, References: []string{address}},
		4: {Text: user, References: []string{strings.Replace(country, "DE", "XX", 1), address, country}}, // another version of a type, for what takes that one
		5: {Text: `"shop.User"`, References: []string{country, address, user}},
	}
	row := append(put(nil, 7, 1, "Main St"), put(nil, 1, 0)...)
	key := []byte(`{"id":7}`)
	t.Run("types of other subjects are read as if they stood in the schema", func(t *testing.T) {
		for _, id := range []byte{1, 4, 5} {
			d := decoder(t, Config{Schemas: registry})
			same(t, told(t, d, []*Record{{Topic: "t", Key: key, Value: confluent(id, row)}}), `update 7 after{id=int 7 home=json "{\"street\":\"Main St\",\"country\":\"FR\"}" from=text "DE"}`)
		}
	})
	for name, c := range map[string]struct {
		id   byte
		want string
	}{
		"a type that no reference defines":      {3, "Country"},
		"a union, which is no row":              {2, "not a record"},
		"what the registry says of a reference": {9, "refers to version 3 of subject plan"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := decoder(t, Config{Schemas: registry}).Decode(context.Background(), nil, &Record{Topic: "t", Key: key, Value: confluent(c.id, row)})
			var p *Poison
			if !errors.As(err, &p) || !strings.Contains(p.Reason, c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
