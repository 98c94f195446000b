package main

import (
	"context"
	"fmt"

	"brazecdc/connector/config"
	"brazecdc/connector/kafka"
)

// quarantineTopic checks, without writing, that the topic of the quarantine takes what may have to go there.
func (c *checker) quarantineTopic(ctx context.Context, cfg *config.Config, src *topics, read []kafka.TopicInfo) {
	name := cfg.Quarantine.Topic
	if cfg.Quarantine.To != "topic" {
		return
	}
	names := make([]string, len(read))
	for i := range read {
		names[i] = read[i].Name
	}
	ctx, cancel := context.WithTimeout(ctx, topicsAtLook)
	defer cancel()
	info, err := src.CheckQuarantine(ctx, name, cfg.Quarantine.Retention, names...)
	if err != nil {
		c.add(mustFix, "source", fmt.Sprintf("the quarantine topic %s can't be used: %v", name, err),
			"let the brokers' administrator make it, with one partition and cleanup.policy=delete, and grant Write and Describe on it")
		return
	}
	if len(cfg.NeverSend) > 0 {
		c.add(mayHurt, "source", fmt.Sprintf("what is held back goes to the quarantine topic %s as the record that it was, with the columns of never_send in it", name),
			"let nobody read that topic who may not read the models' topics, or use quarantine: {to: disk}, which keeps rows without those columns (records that can't be decoded excepted)")
	}
	bad := false
	say := func(group, what, fix string) {
		bad = true
		c.add(group, "source", "the quarantine topic "+name+" "+what, fix)
	}
	if info.Known && !info.Writable {
		say(mustFix, "may not be written by this login", "grant Write on it")
	}
	if info.Compacted {
		say(mustFix, "is compacted, so it takes no records without a key", "set its cleanup.policy to delete")
	}
	if info.MaxBytes > 0 && info.MaxBytes < info.Largest {
		say(mayHurt, fmt.Sprintf("takes %d bytes at most, and topic %s takes %d: larger records stay on disk, with their beginning only", info.MaxBytes, info.Source, info.Largest),
			fmt.Sprintf("raise its max.message.bytes to %d", info.Largest))
	}
	if info.Retention > 0 && info.Retention < cfg.Quarantine.Retention {
		say(mayHurt, fmt.Sprintf("forgets records after %s, and entries last for %s: older ones can then be retried only while their own topic has them", info.Retention, cfg.Quarantine.Retention),
			fmt.Sprintf("raise its retention.ms to %d", cfg.Quarantine.Retention.Milliseconds()))
	}
	switch {
	case bad:
	case info.Exists:
		c.add(fine, "source", "the quarantine topic "+name+" takes what may have to go there", "")
	default:
		c.add(fine, "source", "the quarantine topic "+name+" does not exist yet; run makes it, and the brokers would let it", "")
	}
}
