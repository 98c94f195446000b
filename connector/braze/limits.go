package braze

import "brazecdc/connector"

// What one request may carry.
const (
	trackObjects  = 75      // attribute objects per /users/track (Braze docs, "Create and update users")
	otherObjects  = 50      // identifiers or pairs per delete, rename, remove, export
	maxObjects    = 225     // of contracts on legacy limits: 75 in each of three arrays
	defaultBody   = 3 << 20 // bytes
	bodyLimit     = 4 << 20 // bytes; above it Braze answers 413 or 400
	minBody       = 64 << 10
	objectSurplus = 64 // about what an object takes beside its identifier and fields
)

// Limits tells how much one call of a kind may carry. Effects of a Track all go into the array `attributes`, which takes 75 under every contract, so
// a setting of 225 does not raise it.
func (c *Client) Limits(k connector.Kind) connector.Limits {
	if k == connector.Track {
		return connector.Limits{Objects: min(c.cfg.ObjectsPerRequest, trackObjects), Bytes: c.cfg.MaxBody}
	}
	return connector.Limits{Objects: otherObjects, Bytes: c.cfg.MaxBody}
}

// Size is about how many bytes the effect takes in a request body; never less than it takes unless its identifier needs escaping.
func (c *Client) Size(e *connector.Effect) int {
	n := objectSurplus + len(e.User.ID) + len(e.User.Label) + len(e.To.ID)
	if e.User.Kind != connector.ExternalID {
		n += len(prioritization)
	}
	for i := range e.Fields {
		n += len(e.Fields[i].Def.JSON) + len(e.Fields[i].JSON) + 1
	}
	return n
}
