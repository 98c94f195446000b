package braze

import "brazecdc/connector"

// What one request may carry.
const (
	trackObjects  = 75      // objects per /users/track (Braze docs, "Create and update users")
	otherObjects  = 50      // identifiers, pairs or items per delete, rename, remove, subscription, catalog call and export
	maxObjects    = 225     // of contracts on legacy limits: 75 in each of three arrays
	defaultBody   = 3 << 20 // bytes
	bodyLimit     = 4 << 20 // bytes; above it Braze answers 413 or 400
	minBody       = 64 << 10
	groupSurplus  = 160 // about what the state of a group takes beside them, in an entry of its own
	objectSurplus = 64  // about what an object takes beside its identifier and fields
)

// Limits tells how much one call of a kind may carry. The objects of a Track count together whatever array they go into: the newest limit is 75 in all,
// and only those on older ones have 75 in each, so a setting of 225 does not raise it (Braze docs, "Create and update users"). A delete and a Subscribe
// take one kind of identifier a call, PutItem and DeleteItem one catalog: of what is Apart, Send refuses the batch as a whole.
func (c *Client) Limits(k connector.Kind) connector.Limits {
	if k == connector.Track {
		return connector.Limits{Objects: min(c.cfg.ObjectsPerRequest, trackObjects), Bytes: c.cfg.MaxBody}
	}
	return connector.Limits{Objects: otherObjects, Bytes: c.cfg.MaxBody, Apart: func(a, b connector.User) bool { return apart(k, &a, &b) != "" }}
}

// Size is about how many bytes the effect takes in a request body; never less than it takes unless its identifier needs escaping.
func (c *Client) Size(e *connector.Effect) int {
	n := objectSurplus + len(e.User.ID) + len(e.User.Label) + len(e.To.ID)
	if e.User.Kind != connector.ExternalID {
		n += len(prioritization)
	}
	if e.Event != nil {
		n += len(e.Event.JSON)
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		n += len(f.Def.JSON) + len(f.JSON) + 1
		if f.Def.Group != "" {
			n += len(f.Def.Group) + groupSurplus
		}
	}
	return n
}
