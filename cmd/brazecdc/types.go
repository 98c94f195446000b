package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/state"
)

// A start waits typesPatience for the types of Braze's custom attributes; they still count when they come within typesLimit.
const (
	typesPatience = 5 * time.Second
	typesLimit    = time.Minute
)

// attributeNames are the custom attributes that the models write.
func attributeNames(cfg *config.Config) []string {
	var out []string
	for i := range cfg.Models {
		m := &cfg.Models[i]
		for j := range m.Custom {
			out = append(out, strings.TrimSpace(m.Custom[j].Name))
		}
		for j := range m.Audiences {
			out = append(out, strings.TrimSpace(m.Audiences[j].Attribute))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// typesOf are the types of attributes by name.
func typesOf(list []braze.AttributeType) map[string]connector.AttrType {
	out := make(map[string]connector.AttrType, len(list))
	for _, a := range list {
		out[a.Name] = a.Type
	}
	return out
}

// typeAnswer is what Braze tells of the types of custom attributes, once it does.
type typeAnswer struct {
	ready chan struct{} // closed then
	types map[string]connector.AttrType
	err   error
	stop  context.CancelFunc
}

// askTypes begins to ask Braze for the types of custom attributes, beside what else a start does; nil where no model writes any. It has a client of its own, so
// that a key without that permission does not look like a fault of the deliveries.
func askTypes(ctx context.Context, cfg *config.Config, log *slog.Logger) *typeAnswer {
	if len(attributeNames(cfg)) == 0 {
		return nil
	}
	sink, err := newSink(cfg, log)
	if err != nil {
		return nil // the start itself fails over it
	}
	t := &typeAnswer{ready: make(chan struct{})}
	ctx, t.stop = context.WithTimeout(ctx, typesLimit)
	go func() {
		defer close(t.ready)
		defer sink.Close()
		list, err := sink.Attributes(ctx)
		if t.err = err; err == nil {
			t.types = typesOf(list)
		}
	}()
	return t
}

// typed compiles the mapping with the types that attributes have: those that Braze tells within typesPatience, and those that were accepted before. What Braze
// tells later counts from then on.
func (a *app) typed(ctx context.Context, answer *typeAnswer) (err error) {
	if answer == nil {
		a.mapper, err = a.compile()
		return err
	}
	wait := time.NewTimer(typesPatience)
	defer wait.Stop()
	late := false
	select {
	case <-answer.ready:
		a.untold(answer)
	case <-wait.C:
		late = true
	case <-ctx.Done():
	}
	a.sent = newSentTypes(a.data, a.log)
	if a.mapper, err = a.compile(); err != nil || !late {
		return err
	}
	a.log.Info("Braze has not told the types of custom attributes yet; the start goes on without", "component", "braze")
	go func() {
		<-answer.ready
		a.untold(answer)
		if answer.err != nil {
			return
		}
		for _, f := range a.cfg.Resolve(a.mapper.SetTypes(answer.types)) {
			a.log.Warn(f.Error())
		}
	}()
	return nil
}

// untold says in the log that the types are not known.
func (a *app) untold(answer *typeAnswer) {
	if answer.err != nil {
		a.log.Info("Braze does not tell the types of custom attributes, so that only those sent before are known; a key with the permission custom_attributes.get is told them",
			"component", "braze", "err", answer.err)
	}
}

// sentTypes keeps which types custom attributes were accepted with.
type sentTypes struct {
	data *state.Data
	log  *slog.Logger
	more chan struct{} // there is something to write
	done chan struct{} // closed when all is written

	mu     sync.Mutex
	types  map[string]connector.AttrType
	closed bool
}

func newSentTypes(data *state.Data, log *slog.Logger) *sentTypes {
	s := &sentTypes{data: data, log: log, more: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if s.types, err = data.AttrTypes(); err != nil {
		log.Warn("the types that attributes were sent with are not known; values of another type are told anew", "err", err)
	}
	if s.types == nil {
		s.types = map[string]connector.AttrType{}
	}
	go s.write()
	return s
}

// known gives a copy of them.
func (s *sentTypes) known() map[string]connector.AttrType {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.types)
}

// learned is a mapping's Learned. The file is written beside, since a call is being answered.
func (s *sentTypes) learned(name string, t connector.AttrType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.types[name] = t
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *sentTypes) write() {
	defer close(s.done)
	for range s.more {
		if err := s.data.KeepAttrTypes(s.known()); err != nil {
			s.log.Warn("the types that attributes were sent with are not kept", "err", err)
		}
	}
}

// close waits until all is written. Nothing is learned afterwards.
func (s *sentTypes) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.more)
	}
	s.mu.Unlock()
	<-s.done
}

// learningSink tells what Braze accepted of profiles that it creates where they are missing; of others nobody knows whether they are there.
type learningSink struct {
	*braze.Client
	accepted func([]connector.Field)
}

// Send implements connector.Sink.
func (s learningSink) Send(ctx context.Context, k connector.Kind, batch []connector.Effect) error {
	err := s.Client.Send(ctx, k, batch)
	if err == nil && k == connector.Track {
		for i := range batch {
			if !batch[i].UpdateOnly {
				s.accepted(batch[i].Fields)
			}
		}
	}
	return err
}

// drift compares the types of the models' custom attributes with Braze's list.
func (c *checker) drift(cfg *config.Config, list []braze.AttributeType) {
	c.types = typesOf(list)
	fresh, blocked := 0, 0
	names := attributeNames(cfg)
	for _, name := range names {
		i := slices.IndexFunc(list, func(a braze.AttributeType) bool { return a.Name == name })
		switch {
		case i < 0:
			fresh++
		case strings.EqualFold(list[i].Status, "blocklisted"):
			blocked++
			c.add(mayHurt, "braze", fmt.Sprintf("custom attribute %q is blocklisted in Braze, which drops its values without an error", name),
				"take it off the blocklist in Braze's dashboard, or out of the models")
		}
	}
	if blocked == 0 && len(names) > 0 {
		c.add(fine, "braze", fmt.Sprintf("%s: %d known to Braze, with their types; %d are new there and get the type of their first value", plural(len(names), "custom attribute"),
			len(names)-fresh, fresh), "")
	}
}
