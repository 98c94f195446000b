package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Committed gives the group's offsets of a topic; partitions without one are left out. It may be called without Open.
func (s *Source) Committed(ctx context.Context, topic string) (map[int32]int64, error) {
	all, err := s.adm.FetchOffsets(ctx, s.cfg.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		if stop := refused(err, "read the offsets of group "+s.cfg.Group); stop != nil {
			return nil, stop
		}
		return nil, fmt.Errorf("fetch the offsets of group %q: %w", s.cfg.Group, err)
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
