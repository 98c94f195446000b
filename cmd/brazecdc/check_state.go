package main

import (
	"context"
	"fmt"

	"brazecdc/connector/config"
)

// stateTopic checks, without writing, the topic that the processes of a group share.
func (c *checker) stateTopic(ctx context.Context, cfg *config.Config, src *topics) {
	topic := cfg.Source.Kafka.StateTopic
	if topic == "" {
		c.add(mayHurt, "source", "source.kafka.state_topic is not set: with more than one process in the group, a partition's next owner knows nothing of deletes that were done, held or are settling, of quarantined rows and of pauses",
			"name a topic for it in every process, such as brazecdc.state; it is made with one partition, compacted. One process alone needs none")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, topicsAtLook)
	defer cancel()
	exists, err := src.CheckState(ctx, topic)
	switch {
	case err != nil:
		c.fault("source", fmt.Errorf("the state topic %s can't be used: %w", topic, err))
	case !exists:
		c.add(fine, "source", "the state topic "+topic+" does not exist yet; run makes it, compacted, with one partition", "")
	default:
		c.add(fine, "source", "the state topic "+topic+" is compacted and has one partition", "")
	}
}
