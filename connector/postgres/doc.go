// Package postgres reads row changes of a PostgreSQL database (14 or later) through a logical replication slot, and whole tables in
// chunks beside it.
//
// | file | job |
// |---|---|
// | source.go | Source: Open, Next, Commit, Close, Health; the goroutine that owns the replication connection; status updates |
// | stream.go | one replication connection: messages into batches, what was handed out, skipping after a reconnect |
// | wire.go | framing of the replication connection; the one function that builds status updates |
// | decode.go | pgoutput bytes to a Change; pure |
// | value.go, datetime.go | text of a column to a connector.Value; pure |
// | relation.go, catalog.go, tables.go | shapes of tables: relation messages and the catalog |
// | start.go, slot.go, faults.go | Open step by step: publication, slot, and what can be wrong with them |
// | watch.go, health.go | heartbeats, the slot's state, what is told of it |
// | snapshot.go, window.go, cursor.go | loads: chunks between two marks in the stream |
// | visible.go | which delivered transactions a snapshot sees; the memo beside a position |
// | reader.go | living rows for look-ups and previews |
// | check.go, admin.go | `check`, `init` and `teardown` |
// | conn.go | ordinary sessions and the settings forced in all of them |
//
// Invariants that once broke elsewhere: a status update never carries a flush position that was not recorded and committed by the
// pipeline; a transaction that was handed out is not handed out again in the same run; a chunk row is handed out only if no change of
// its key can be newer; an unchanged TOAST value is absent, never NULL.
package postgres
