// Package brazesim is a strict stand-in for Braze's REST API, in memory and able to fail on demand.
//
// It keeps profiles, events, purchases, subscription states and catalogs, and enforces what Braze documents for /users/track, /users/delete,
// /users/external_ids/rename and /remove, /users/export/ids and the calls that belong to them. Like Braze it answers first and applies later:
// with [Config.ApplyDelay] each request takes effect at a random moment after its answer, and two requests of one user may then swap.
//
// Where Braze's documentation leaves a question open, the simulator takes the reading that hurts a careless client most, and a setting of
// [Config] gives the other one. What Braze ignores without a word is ignored here too, but counted in [Stats.Ignored].
//
// The path of a request, file by file:
//
//	server.go        arrival, authorisation, faults, rate limit, answer
//	scan.go          one pass over the body: checked JSON, no copies
//	track.go         /users/track: the three arrays become objects and members
//	check.go         what refuses an object; preset.go, custom.go: what becomes of one field
//	schedule.go      who is open, what is pending, when it is applied
//	apply.go         what a request does to the profiles of store.go
//	users.go ...     the other endpoints; catalog.go: catalogs and their items
//	control.go       /_sim/...
package brazesim
