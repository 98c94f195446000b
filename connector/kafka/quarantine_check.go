package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// QuarantineInfo is what can be told of a quarantine topic without writing to it. Settings that the login may not see are zero.
type QuarantineInfo struct {
	Exists bool
	// Writable: the login may write; Known says whether the brokers tell.
	Writable, Known bool
	// Compacted: the topic takes no records without a key.
	Compacted bool
	MaxBytes  int64         // of one record batch
	Retention time.Duration // negative: for ever
	// Largest is the greatest batch that a source topic takes, and Source that topic.
	Largest int64
	Source  string
}

// CheckQuarantine looks at a quarantine topic beside the topics that are read. A topic that is missing is asked for without being made: an error says that the
// brokers would refuse. It may be called without Open.
func (s *Source) CheckQuarantine(ctx context.Context, topic string, keep time.Duration, sources ...string) (QuarantineInfo, error) {
	var info QuarantineInfo
	for _, name := range sources {
		n, err := s.topicNumber(ctx, name, "max.message.bytes")
		if err == nil && n > info.Largest {
			info.Largest, info.Source = n, name
		}
	}
	err := s.describeQuarantine(ctx, topic, &info)
	if err != nil || info.Exists {
		return info, err
	}
	answers, err := s.adm.ValidateCreateTopics(ctx, 1, -1, quarantineSettings(keep), topic)
	if err == nil {
		err = answers[topic].Err
	}
	if err != nil {
		if stop := refused(err, "create the quarantine topic "+topic); stop != nil {
			return info, stop
		}
		return info, fmt.Errorf("create the quarantine topic %s: %w", topic, err)
	}
	info.MaxBytes, info.Retention, info.Writable = maxHeld, keep, true
	return info, nil
}

func (s *Source) describeQuarantine(ctx context.Context, topic string, info *QuarantineInfo) error {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation, req.IncludeTopicAuthorizedOperations = false, true
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, one)
	resp, err := req.RequestWith(ctx, s.admin)
	if err != nil {
		return fmt.Errorf("describe the quarantine topic %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil
		case err != nil:
			if stop := refused(err, "describe the quarantine topic "+topic); stop != nil {
				return stop
			}
			return fmt.Errorf("describe the quarantine topic %s: %w", topic, err)
		}
		info.Exists = true
		info.Known = t.AuthorizedOperations != math.MinInt32
		info.Writable = slices.ContainsFunc(kadm.DecodeACLOperations(t.AuthorizedOperations), func(op kadm.ACLOperation) bool { return op == kadm.OpWrite || op == kadm.OpAll })
	}
	policy, err := s.topicConfig(ctx, topic, "cleanup.policy")
	if err == nil {
		info.Compacted = policy == "compact" || policy == "compact,delete" || policy == "delete,compact"
		info.MaxBytes, _ = s.topicNumber(ctx, topic, "max.message.bytes")
		ms, err := s.topicNumber(ctx, topic, "retention.ms")
		if err == nil {
			info.Retention = time.Duration(ms) * time.Millisecond
		}
	}
	return nil // the settings may be hidden from this login
}

// topicNumber reads a setting of a topic that is a number.
func (s *Source) topicNumber(ctx context.Context, topic, name string) (int64, error) {
	text, err := s.topicConfig(ctx, topic, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s of topic %s: %w", name, topic, err)
	}
	return n, nil
}
