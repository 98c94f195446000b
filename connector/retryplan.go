package connector

import (
	"context"
	"errors"
	"time"
)

// RetryPlan is what a retry of several entries would meet.
type RetryPlan struct {
	Looked int `json:"looked"` // entries that were looked at, which can be fewer than were asked for
	// Cannot are the entries that can't be retried, by the reason: one of the RetryNot constants.
	Cannot map[string][]uint64 `json:"cannot,omitempty"`
}

// Why an entry can't be retried.
const (
	RetryNotClosed    = "closed"    // it has ended
	RetryNotModel     = "model"     // the configuration has its model no more
	RetryNotHere      = "here"      // its partition belongs to another process of the group
	RetryNotRowGone   = "row_gone"  // the row is gone; its delete is a change of its own
	RetryNotRowLives  = "row_lives" // it is of a delete, and the row is there again
	RetryNotRecord    = "record"    // its record is in no topic any more
	retryPlanMost     = 200
	retryPlanPatience = 2 * time.Second
)

// RetryPlan looks at entries without sending anything: at so many of them as a moment allows.
func (p *Pipeline) RetryPlan(ctx context.Context, ids []uint64) (RetryPlan, error) {
	ctx, cancel := context.WithTimeout(ctx, retryPlanPatience)
	defer cancel()
	plan := RetryPlan{Cannot: map[string][]uint64{}}
	for _, id := range ids[:min(len(ids), retryPlanMost)] {
		why, err := p.retryNot(ctx, id)
		switch {
		case ctx.Err() != nil:
			return plan, nil //nolint:nilerr // what was found by then is told
		case err != nil:
			return plan, err
		case why != "":
			plan.Cannot[why] = append(plan.Cannot[why], id)
		}
		plan.Looked++
	}
	return plan, nil
}

// retryNot tells why an entry can't be retried, "" where nothing speaks against it.
func (p *Pipeline) retryNot(ctx context.Context, id uint64) (string, error) {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil {
		return RetryNotClosed, nil //nolint:nilerr // it was replaced or purged meanwhile
	}
	if e.Closed != "" {
		return RetryNotClosed, nil
	}
	model, ok := p.modelAt[e.Model]
	if !ok {
		return RetryNotModel, nil
	}
	if part := PartOf(e.Stream); part != "" && !p.owns(part) {
		return RetryNotHere, nil
	}
	_, found, err := p.rowByKey(ctx, model, e.Key)
	if errors.Is(err, ErrNotReadable) {
		if e.Original != nil && e.Original.Gone && (e.Effect == nil || e.Effect.Kind != Track) {
			return RetryNotRecord, nil
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	switch deletes := e.Effect != nil && e.Effect.Kind == DeleteUser; {
	case found && deletes:
		return RetryNotRowLives, nil
	case !found && !deletes:
		return RetryNotRowGone, nil
	}
	return "", nil
}
