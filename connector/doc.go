// Package connector moves row changes from a Source to Braze: it holds the types that travel, the interfaces between the parts, and the pipeline.
//
// One change goes
//
//	source -> envelope -> mapping -> queue -> braze -> record -> confirm
//
// forward only. The files that answer for each step:
//
//	What is read, when is reading held back?            read.go (the reader), tracker.go (the caps)
//	How does a run begin and end?                       pipeline.go (New, Run, drain), open.go
//	Which position may be confirmed?                    tracker.go (tickets; the unbroken run of done batches), commit.go (record, then confirm)
//	Why do changes of one user stay in order?           queue.go (a queue per user), take.go (what leaves it), clock.go (gap, settle, retry)
//	Who sends, who retries, who splits?                 sender.go (takes up to a full call; the one retry loop), outcome.go (what becomes of each object)
//	When do two effects become one?                     append.go (which), fold.go (how), collect.go (arrays that rows make up together)
//	What is left out because Braze has it?              diff.go, proof.go (which before-images count, what the cache says), prints.go (fingerprints)
//	What goes along with a new address?                 diff.go, reset.go (what another model's row says of its consent)
//	How do events and catalog items travel?             kinds.go
//	What did it cost in data points?                    meter.go
//	What happens when a partition comes or goes?        handover.go
//	What happens around deletes and renames?            lookup.go (is another row alive?), settle.go (a deleted user that comes again)
//	Which deletes are held, and until when?             brake.go (how many are too many), held.go
//	What is left of a user who was erased?              forget.go
//	What waits for a person, what was done already?     care.go, control.go (confirm, retry, discard, send)
//	How does a table come whole, once or again?         load.go (begins), loadruns.go (runs), loadend.go (ends), resync.go, schedule.go; gone.go (who is no more), mark.go (load_mark)
//	What does time alone change of a topic's rows?      remember.go (what is remembered of them), remembered.go (the schedule's runs over it)
//	What cannot be delivered?                           quarantine.go, stored.go, original.go (the record), retry.go (again), retryplan.go (can it?), entrygroup.go (by reason)
//	How is a range of a topic brought again?            replay.go (why nothing older overwrites anything newer)
//	What does a source, a mapping, a sink, a store owe? source.go, effect.go (Mapper), sink.go, journal.go
//	What travels?                                       row.go, value.go, effect.go, key.go; model.go (the configuration's models), ids.go (whose row is it?)
//	How is it doing?                                    health.go, status.go, metrics.go, waiting.go (one user's queue), ending.go (for a history),
//	                                                    pulse.go (what the senders do), trace.go (for traces)
//	How does a fault say what to do?                    errors.go
//
// Beside it, each importing only this package (envelope and sourcetest also schemas, the connector's own records):
//
//	connector/config     the YAML file as structs: strict, every fault at once with its line
//	connector/postgres   Source over logical replication: slot, pgoutput, chunks between watermarks
//	connector/kafka      Source over topics: consumer group, assignments, offsets
//	connector/envelope   bytes of a topic's record (Debezium JSON, Avro, plain rows) to a Change
//	connector/mapping    Change to Effects: expressions, field conversion, modes
//	connector/braze      Sink over Braze's HTTP API: calls, limits, error classes
//	connector/state      data/ and cache/ on disk, quarantine
//	connector/control    the local socket that the command line talks to
//	connector/draft      the configuration file as people edit it: one draft, versions, activity
//	connector/tracing    batches and calls as OpenTelemetry spans, where somebody traces
//	connector/history    what became of each user's changes, without values
//	connector/web        the pages in the browser
//	connector/sourcetest conformance suite for Sources
//	connector/braze/brazesim  Braze as documented, in memory, able to fail on demand
//
// # What holds
//
// These each closed a hole; a change that touches one of them comes with the test that shows it still holds.
//
//   - A position is confirmed only when every change up to it was accepted by Braze, suppressed as unchanged, passed over by mode or filter, kept in
//     data/, or stored in quarantine, and when that was recorded: cache synced, then data/ written, then the source told. Never "highest seen".
//   - A change that becomes several effects is done when all of them are. A folded effect keeps the shares of everything in it.
//   - No user has two requests open, over all endpoints; a rename counts for both its users. After a request that was, or may have been, accepted the user
//     waits one gap, since Braze applies requests after answering them, in any order.
//   - What is left out is decided when an effect leaves its queue (diff.go), not when it is mapped: between the two, what Braze holds may change.
//   - A before-image is proof only after a completed load on an unbroken slot or for a row the cache knows; never in enrich, never for a field whose
//     settings changed, never for a user whose last change was refused or given up, and never for a change that was read before the load was done: the
//     chunk row that it stands for may have been dropped for its sake. A row that was never sent is not known because its user was renamed. Without the
//     cache, nobody knows which profiles were deleted under rows of a model that does not own its users: there only a new load makes proof.
//   - A delete keeps what other models' changes waited with before it, for the case that it is dropped. A user that comes again, or a name that was renamed
//     away and is used again, gets the living rows of all its models, whichever model's row starts it.
//   - Of a user who was deleted nothing is ended: a call for a subscription would begin an empty profile. What starts a profile goes.
//   - A fingerprint is of what Braze accepted last, is written before the user's next step can leave, and is dropped with the user's profile. It is not asked where
//     values that differ were folded and one of them may have been sent. Update-only calls prove nothing but their nulls.
//   - Of a partition that another process has now, nothing leaves any more: not what waits, not what comes back from a failed call, not what is still being
//     mapped. What is dropped for that reason is not done: only its new owner confirms it. What that one has to know is in the shared journal before
//     Revoke returns.
//   - Events never fold and nothing folds past them. What was accepted of them is remembered until its position is passed; so is each delete that was accepted, and
//     each rename that Braze answered for good: a refused one that came again could meet somebody else under the old name.
//   - What an earlier run may have sent (Batch.Replayed), or an attempt with unknown outcome, is never folded away: a delete is sent although the row
//     comes again, a value that went there and back is sent.
//   - A delete is counted by the brake when it leaves for Braze, once whatever becomes of the attempts, and what a person confirmed is neither counted nor held.
//     The answer of a person is in a record before the delete's end can be. A held delete stays in data/ until the row that ends it was accepted.
//   - Nothing of an erased user leaves its queue until a row of the owner came that was committed after the erasure, whatever brings it: that is asked at the
//     queue's end, and of changes once more when they are read.
//   - What is remembered of a topic's row is written by the reader with each change of the row, before the change's position can be confirmed, and belongs to its
//     partition: it goes with a gap, and a row that is deleted, cannot be mapped or is of an erased user is not remembered. A run over such rows reads each in
//     the reader, between two batches of the stream: nothing it sends is older than what was handed out before. It only updates, and only users of whom the
//     store knows what was sent; a row that was never sent goes whole where the filter lets it in, but of another model it begins no profile of a user who is
//     deleted or renamed by then. Of a partition that goes away its rows are done, unsent; the run that it missed is made up for when it is back with nothing lost.
//   - NULL is not absent. An absent cell says nothing, and nothing may turn it into null.
//   - A batch larger than the caps still passes, when nothing else is open.
//   - The lock of the queue is never held over a call to Braze, the source or a store.
//
// # Goroutines
//
// One reader (Run's own), the senders of each kind, one committer, one clock (when waits end), one settler (asks Braze about deleted users), one closer (ends
// loads), one that estimates the models' rows for the brake, one that counts remembered rows, one for each schedule, and what a Source keeps inside. When Run's
// context ends, the reader stops, the queues drain up to the deadline, the last record is written and confirmed.
package connector
