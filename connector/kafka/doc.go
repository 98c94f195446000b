// Package kafka is the Source over Kafka topics of row changes: a consumer group, its assignments and offsets, replays of a range, and quarantine
// in a topic.
//
// Which file answers for what:
//
//	What can be set, how is a connection secured?           config.go, client.go
//	What is checked before reading begins?                  open.go
//	Which topics does a pattern mean, which came later?     pattern.go
//	Where does a partition start, what stops it?            start.go (pure), assign.go (the group's callbacks)
//	How does a record become a Batch, who waits for whom?   poll.go (one reader), worker.go (one goroutine per assignment)
//	What is committed, what happens at a revocation?        assignment.go, commit.go
//	How is it doing?                                        health.go
//	How is a range read without the group?                  replay.go, scan.go; one record: fetch.go
//	Where do records go that cannot be decoded?             Config.Quarantine; quarantine.go is a topic for them
//
// # What holds
//
//   - A Stream is one assignment of a partition, "TOPIC/PARTITION@N"; N grows and never comes again, also over restarts that share data/. Commits of an
//     assignment that ended change nothing.
//   - Nothing is handed out for a partition after its revocation began, and no fetch made for an earlier assignment reaches a later one: an assignment is
//     put in place only after the reader has come round (poll.go, quiesce).
//   - Offsets are committed with the leader's epoch and a note: the topic's id, where its load rows end, how many partitions it had, and the pattern it
//     was read by. A topic with another id is another topic; its name alone is never trusted.
//   - An offset outside the log stops the source. Nothing is skipped to where the log begins or ends.
//   - No lock is held over a channel send, a callback or a request.
package kafka
