package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Members gives the live members of the group, one "client at host" each; none where the group is unknown. It may be called without Open.
func (s *Source) Members(ctx context.Context) ([]string, error) {
	groups, err := s.adm.DescribeGroups(ctx, s.cfg.Group)
	if err == nil {
		err = groups[s.cfg.Group].Err
	}
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		return nil, nil
	case err != nil:
		if stop := refused(err, "look at group "+s.cfg.Group); stop != nil {
			return nil, stop
		}
		return nil, fmt.Errorf("ask for the members of group %q: %w", s.cfg.Group, err)
	}
	var out []string
	for _, m := range groups[s.cfg.Group].Members {
		out = append(out, m.ClientID+" at "+m.ClientHost)
	}
	return out, nil
}

// countMembers notes how many members the group has, and which of them this process is. Who may not ask for that goes without.
func (s *Source) countMembers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	groups, err := s.adm.DescribeGroups(ctx, s.cfg.Group)
	own, _ := s.group.GroupMetadata()
	members := groups[s.cfg.Group].Members
	n := 0
	if err == nil && groups[s.cfg.Group].Err == nil && own != "" {
		ids := make([]string, 0, len(members))
		for _, m := range members {
			ids = append(ids, m.MemberID)
		}
		slices.Sort(ids)
		n = slices.Index(ids, own) + 1
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.member, s.health.members = n, len(members); n == 0 {
		s.health.members = 0
	}
}

const (
	coordinatorPoll   = 250 * time.Millisecond
	coordinatorWithin = 10 * time.Second // a broker makes the topic of the groups' offsets in a second or so, and reads a long one in some more
)

// offsets asks for what the group has committed; a group that nobody knows has committed nothing. The coordinator of the first group of a cluster is not there
// before somebody asked for it, and one that moves is away for a moment, which the client does not wait for.
func (s *Source) offsets(ctx context.Context) (kadm.OffsetResponses, error) {
	for until := time.Now().Add(coordinatorWithin); ; {
		all, err := s.adm.FetchOffsets(ctx, s.cfg.Group)
		switch {
		case err == nil || errors.Is(err, kerr.GroupIDNotFound):
			return all, nil
		case !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.NotCoordinator), time.Now().After(until):
			return nil, fmt.Errorf("fetch the offsets of group %q: %w", s.cfg.Group, err)
		}
		select {
		case <-time.After(coordinatorPoll):
		case <-ctx.Done():
			return nil, fmt.Errorf("fetch the offsets of group %q: %w", s.cfg.Group, err)
		}
	}
}

// Committed gives the group's offsets of a topic; partitions without one are left out. It may be called without Open.
func (s *Source) Committed(ctx context.Context, topic string) (map[int32]int64, error) {
	all, err := s.offsets(ctx)
	if err != nil {
		if stop := refused(err, "read the offsets of group "+s.cfg.Group); stop != nil {
			return nil, stop
		}
		return nil, err
	}
	out := map[int32]int64{}
	for num, o := range all[topic] {
		if o.Err != nil {
			return nil, fmt.Errorf("fetch the offset of partition %d of topic %s: %w", num, topic, o.Err)
		}
		if o.At >= 0 {
			out[num] = o.At
		}
	}
	return out, nil
}
