package brazesim

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schemaPage is how many attributes one answer lists (Braze docs, Export custom attributes).
const schemaPage = 50

// schema is a GET /custom_attributes call.
type schema struct{ cursor int }

func (q *schema) class() class                 { return classRead }
func (q *schema) register(*Server, *call)      {}
func (q *schema) apply(*Server, time.Time) int { return 0 }

type schemaEntry struct {
	Name        string `json:"name"`
	DataType    string `json:"data_type"`
	ArrayLength *int   `json:"array_length"`
	Status      string `json:"status"`
}

func (q *schema) answer(s *Server, _ *call) *reply {
	var list []schemaEntry
	for id, typ := range s.types {
		if typ == typeUnknown {
			continue
		}
		e := schemaEntry{Name: s.names.text(nameID(id)), DataType: typ.String(), Status: "Active"}
		if typ == typeArray {
			n := maxArray
			e.ArrayLength = &n
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b schemaEntry) int { return strings.Compare(a.Name, b.Name) })
	from := min(q.cursor, len(list))
	to := min(from+schemaPage, len(list))
	body, err := json.Marshal(map[string]any{"message": "success", "attributes": append([]schemaEntry{}, list[from:to]...)})
	if err != nil {
		return refusal(500, err.Error())
	}
	r := &reply{status: 200, body: body}
	if to < len(list) {
		r.header = map[string]string{"Link": "</custom_attributes?cursor=" + strconv.Itoa(to) + `>; rel="next"`}
	}
	return r
}

// querySchema reads GET /custom_attributes.
func querySchema(_ *Server, v url.Values) (effect, *reply) {
	q := new(schema)
	if c := v.Get("cursor"); c != "" {
		n, err := strconv.Atoi(c)
		if err != nil || n < 0 {
			return nil, refusal(400, "Invalid cursor")
		}
		q.cursor = n
	}
	return q, nil
}
