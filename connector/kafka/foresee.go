package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"brazecdc/connector"
)

// Foresight is what a start would find of the positions that the group committed and data/ recorded.
type Foresight struct {
	// Known is how many partitions have a position. Of the others a start decides anew, and nothing can be wrong with them.
	Known int
	// Stops are what would end a start, each once.
	Stops []*connector.StopError
}

// Foresee decides as Open and the assignments after it would where reading the topics would go on, from what the group has and from what data/ recorded. It
// joins nothing and changes nothing at the brokers. It is called in Open's place, once. An error means that the brokers did not tell.
func (s *Source) Foresee(ctx context.Context, start []connector.Recorded, topics ...string) (Foresight, error) {
	var f Foresight
	details, err := s.adm.ListTopics(ctx, topics...)
	if err != nil {
		return f, asking(err)
	}
	for name, t := range details {
		if t.Err != nil { // told where topics are looked for
			delete(details, name)
		}
	}
	if len(details) == 0 {
		return f, nil
	}
	s.remember(start)
	v, err := s.lookBack(ctx, details)
	if err != nil {
		return f, err
	}
	told := map[string]bool{}
	s.eachKnown(ctx, v, details, func(_ partition, _ begin, err error) bool {
		f.Known++
		var stop *connector.StopError
		if errors.As(err, &stop) && !told[stop.Error()] {
			told[stop.Error()] = true
			f.Stops = append(f.Stops, stop)
		}
		return true
	})
	slices.SortFunc(f.Stops, func(a, b *connector.StopError) int { return strings.Compare(a.What, b.What) })
	return f, nil
}

// remember takes in what data/ holds of partitions.
func (s *Source) remember(list []connector.Recorded) {
	for _, r := range list {
		topic, num, n, ok := ParseStream(r.Position.Stream)
		if !ok || r.Position.Offset > 1<<62 {
			continue
		}
		p := partition{topic, num}
		s.count = max(s.count, n)
		if old, ok := s.recorded[p]; ok && old.n > n {
			continue
		}
		k := known{offset: int64(r.Position.Offset), epoch: -1}
		k.note, k.noted = parseNote(string(r.Memo))
		s.recorded[p] = recorded{known: k, stream: r.Position.Stream, n: n}
	}
}

// lookBack surveys the topics that exist when reading begins.
func (s *Source) lookBack(ctx context.Context, topics kadm.TopicDetails) (*survey, error) {
	s.atOpen = map[string]int32{}
	for name, t := range topics {
		s.atOpen[name] = int32(len(t.Partitions))
	}
	v, err := s.survey(ctx, topics.Names())
	if err != nil {
		doing := "read the offsets of group " + s.cfg.Group
		if stop := refused(err, doing); stop != nil {
			return nil, stop
		}
		return nil, &connector.StopError{Code: connector.ExitUnreachable, What: doing, Err: err}
	}
	return v, nil
}

// eachKnown calls yield for each partition of which the group or data/ has a position, with where reading would go on, or why it could not; yield tells whether
// to go on.
func (s *Source) eachKnown(ctx context.Context, v *survey, topics kadm.TopicDetails, yield func(p partition, b begin, err error) bool) {
	for _, t := range topics.Sorted() {
		for _, d := range t.Partitions.Sorted() {
			p := partition{t.Topic, d.Partition}
			c, committed := v.commits.Lookup(p.topic, p.num)
			if _, recorded := s.recorded[p]; !recorded && (!committed || c.At < 0) {
				continue
			}
			b, err := s.begin(ctx, v, p)
			if !yield(p, b, err) {
				return
			}
		}
	}
}
