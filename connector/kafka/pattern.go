package kafka

import (
	"context"
	"hash/fnv"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// reads tells whether the configuration means a topic, by its name or by the pattern.
func (s *Source) reads(t kadm.TopicDetail) bool {
	return slices.Contains(s.cfg.Topics, t.Topic) || s.match != nil && !t.IsInternal && !slices.Contains(s.cfg.Exclude, t.Topic) && s.match.MatchString(t.Topic)
}

// quoted makes patterns that match exactly these names.
func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "^" + regexp.QuoteMeta(name) + "$"
	}
	return out
}

// Matching tells of the topics that the pattern means now, those that are named beside it not among them. It may be called without Open.
func (s *Source) Matching(ctx context.Context) ([]TopicInfo, error) {
	if s.match == nil {
		return nil, nil
	}
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		return nil, asking(err)
	}
	var names []string
	for name, t := range all {
		if s.reads(t) && t.Err == nil && !slices.Contains(s.cfg.Topics, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return s.Topics(ctx, names...)
}

// patternMark names the pattern in a note; 0 is none.
func (s *Source) patternMark() uint64 {
	if s.match == nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.cfg.Pattern)) // it cannot fail
	return h.Sum64()
}

// matchedLater tells whether a topic came after the group had begun to read by this pattern. Every partition that is assigned has its offset committed, so that
// one without, beside others with the same pattern's mark, was not there yet.
func (s *Source) matchedLater(commits kadm.OffsetResponses, topic string) bool {
	mark := s.patternMark()
	if mark == 0 || slices.Contains(s.cfg.Topics, topic) {
		return false
	}
	for other, parts := range commits {
		for _, c := range parts {
			if n, ok := parseNote(c.Metadata); ok && n.match == mark && (other != topic || c.At < 0) {
				return true
			}
		}
	}
	return false
}
