package main

import (
	"context"
	"crypto/sha256"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/state"
)

const (
	// attrTypesKept is how long a page goes by what Braze told of the types of custom attributes, and attrTypesRest how long it rests where Braze told nothing.
	attrTypesKept = 5 * time.Minute
	attrTypesRest = time.Minute
	// attrTypesWithin is how long a page waits for them.
	attrTypesWithin = 3 * time.Second
)

// toldTypes is what Braze told of the types of custom attributes, and until when that counts.
type toldTypes struct {
	of    [sha256.Size]byte // the endpoint and key that were asked
	types map[string]connector.AttrType
	until time.Time
}

// knowTypes gives a draft the types that custom attributes have: those that Braze tells, where the key may ask, and those that values were accepted with.
func (v *modelViews) knowTypes(ctx context.Context, s *sight) {
	if len(attributeNames(s.cfg)) == 0 {
		return
	}
	s.sent = v.sentTypes(s.cfg)
	if s.cfg.Braze.Endpoint == "" || s.cfg.Braze.APIKey == "" {
		return
	}
	of := ofBraze(s.cfg)
	v.asking.Lock()
	defer v.asking.Unlock()
	if v.told.of == of && time.Now().Before(v.told.until) {
		s.types = v.told.types
		return
	}
	v.told = toldTypes{of: of, until: time.Now().Add(attrTypesRest)}
	sink, err := newSink(s.cfg, v.p.quietLog())
	if err != nil {
		return // told as a fault of the settings
	}
	defer sink.Close()
	ctx, cancel := context.WithTimeout(ctx, attrTypesWithin)
	defer cancel()
	list, err := sink.Attributes(ctx)
	if err != nil {
		return // without the permission, or an answer, the types are not compared; check says so
	}
	v.told.types, v.told.until = typesOf(list), time.Now().Add(attrTypesKept)
	s.types = v.told.types
}

// sentTypes are the types that values were accepted with: by the process itself, or as an earlier one left them in data/.
func (v *modelViews) sentTypes(cfg *config.Config) map[string]connector.AttrType {
	if v.x != nil {
		if f := v.x.inside(); f != nil {
			a, done, _ := f.seat.lend()
			defer done()
			if a == nil || a.sent == nil {
				return nil
			}
			return a.sent.known()
		}
	}
	data, err := state.OpenData(v.p.beside(cfg.Data.Path), state.DataConfig{Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, ReadOnly: true})
	if err != nil {
		return nil // another process has it
	}
	defer func() { _ = data.Close() }()
	types, _ := data.AttrTypes()
	return types
}
