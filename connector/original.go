package connector

import "time"

// Original is the record that a quarantine entry came of, as its topic holds it.
type Original struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time,omitzero"`
	// Key and Value are the original bytes; nil is a null key and a tombstone. They and Headers are empty where the record lies in Kept.
	Key     []byte           `json:"key"`
	Value   []byte           `json:"value"`
	Headers []OriginalHeader `json:"headers,omitempty"`
	// Size is how many bytes the value has in its topic.
	Size int `json:"size"`
	// Cut: the record was too long to keep whole; of its value the beginning is here.
	Cut bool `json:"cut,omitempty"`
	// Kept is the quarantine topic in which the record lies, in partition 0 at the offset KeptAt.
	Kept   string `json:"kept,omitempty"`
	KeptAt int64  `json:"kept_at,omitempty"`
	// Gone: when it was to be kept, its topic no longer held it; the row's images are all that is left.
	Gone bool `json:"gone,omitempty"`
}

// OriginalHeader is one header of a record.
type OriginalHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// WithoutBytes gives where the record lies and how large it is, without what is in it. Of nil it is nil.
func (o *Original) WithoutBytes() *Original {
	if o == nil {
		return nil
	}
	n := *o
	n.Key, n.Value, n.Headers, n.Cut = nil, nil, nil, n.Kept == ""
	return &n
}
