package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

const (
	// looked is how many rows pages and init judge a table by, shownRows how many values of a column a page shows. A column with less than fewValues in those rows is
	// looked at alone.
	looked    = 200
	shownRows = 5
	fewValues = 40
)

// modelViews answers the pages of models from the source that a draft names. It keeps one Look at Postgres, whose sessions end when nobody asks.
type modelViews struct {
	p *program
	x *pageParts // nil where there is no process to ask

	mu   sync.Mutex
	look *postgres.Look
	url  string // that look reads

	atTopics chan struct{} // holds as many as look at topics now

	asking sync.Mutex // held by who asks Braze for the types of attributes
	told   toldTypes
}

// At most so many pages look at topics at once, each with a client of its own; more wait for a moment.
const (
	looksAtTopics = 2
	lookTurn      = 3 * time.Second
)

var _ web.ModelsViews = (*modelViews)(nil)

func newModelsViews(p *program) *modelViews {
	return &modelViews{p: p, atTopics: make(chan struct{}, looksAtTopics)}
}

// lookAt gives the Look at a draft's database. A draft that names another one ends the sessions at the one before.
func (v *modelViews) lookAt(pg *config.Postgres) (*postgres.Look, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	url := pg.URL.Reveal() + "\x00" + pg.SnapshotURL.Reveal()
	if v.look != nil && v.url == url {
		return v.look, nil
	}
	look, err := postgres.NewLook(postgresConfig(pg, v.p.quietLog()))
	if err != nil {
		return nil, err
	}
	if old := v.look; old != nil {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			old.Close(ctx)
		}()
	}
	v.look, v.url = look, url
	return look, nil
}

// sight is the source of one draft, for one request.
type sight struct {
	p      *program
	cfg    *config.Config
	faults config.Faults
	look   *postgres.Look
	topics *topics
	close  func()
	gone   error // why the source cannot be looked at
	// types of custom attributes, as Braze tells them and as they were sent; nil where that is not asked.
	types, sent map[string]connector.AttrType
}

// see reads a draft and makes its source, without connecting. The error is about the text alone; what is wrong with the source is in gone.
func (v *modelViews) see(draft []byte) (*sight, error) {
	cfg, faults := config.Partial(v.p.config, draft, v.p.env, config.SecretFiles(v.p.config))
	if cfg == nil {
		return nil, faults
	}
	v.hideValues(cfg, draft)
	s := &sight{p: v.p, cfg: cfg, faults: append(faults, columnFaults(cfg)...), close: func() {}}
	switch {
	case cfg.Source.Kafka != nil && len(cfg.Source.Kafka.Brokers) > 0:
		v.seeTopics(s)
	case cfg.Source.Postgres != nil && cfg.Source.Postgres.URL != "":
		s.look, s.gone = v.lookAt(cfg.Source.Postgres)
	default:
		s.gone = errors.New("the source is not set up yet")
		for _, f := range faults {
			if !f.Warn && len(f.Path) > 6 && f.Path[:6] == "source" {
				s.gone = errors.New(f.What)
				break
			}
		}
	}
	return s, nil
}

// seeTopics opens a client for the topics once it has a turn.
func (v *modelViews) seeTopics(s *sight) {
	turn := time.NewTimer(lookTurn)
	defer turn.Stop()
	select {
	case v.atTopics <- struct{}{}:
	case <-turn.C:
		s.gone = errors.New("other pages are looking at the topics; try again in a moment")
		return
	}
	if s.topics, s.gone = newTopics(s.cfg, v.p.quietLog(), hooks{}); s.gone != nil {
		<-v.atTopics
		return
	}
	s.close = sync.OnceFunc(func() {
		_ = s.topics.Close(context.Background()) // it joined no group
		<-v.atTopics
	})
}

// hideValues has constants and expressions name variables and files instead of holding what those hold, so that no preview tells a secret. Rules keep it: they
// give yes or no.
func (v *modelViews) hideValues(cfg *config.Config, draft []byte) {
	written, _ := config.Written(v.p.config, draft, v.p.env, config.SecretFiles(v.p.config))
	if written == nil || len(written.Models) != len(cfg.Models) {
		cfg.Models = nil
		return
	}
	for i := range cfg.Models {
		m, w := &cfg.Models[i], &written.Models[i]
		when := m.Event.When
		m.Identify, m.Fields, m.Custom, m.Event = w.Identify, w.Fields, w.Custom, w.Event
		m.Event.When = when
	}
}

// model finds a model of the draft.
func (s *sight) model(name string) (*connector.Model, error) {
	for i := range s.cfg.Models {
		if s.cfg.Models[i].Name == name {
			return &s.cfg.Models[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %s", web.ErrNoModel, name)
}

// seeModel looks at a draft with one of its models, and at what the model reads. After an error nothing is left to close.
func (v *modelViews) seeModel(ctx context.Context, draft []byte, model string) (s *modelSight, err error) {
	whole, err := v.see(draft)
	if err != nil {
		return nil, err
	}
	s = &modelSight{sight: whole}
	if s.m, err = s.model(model); err == nil {
		s.name = s.oneOf(ctx, s.m)
		s.t, err = s.table(ctx, s.name)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// modelSight is a draft with one of its models and the table or topic that it reads.
type modelSight struct {
	*sight
	m    *connector.Model
	name string // of the table or topic
	t    *connector.Table
}

// table gives the present shape of a table or topic.
func (s *sight) table(ctx context.Context, relation string) (*connector.Table, error) {
	if s.gone != nil {
		return nil, s.gone
	}
	if s.topics == nil {
		return s.look.Describe(ctx, relation)
	}
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	return s.topics.Describe(ctx, relation)
}

// tables gives the shapes of the models' tables, as far as they can be told, and the first error.
func (s *sight) tables(ctx context.Context) (map[string]*connector.Table, error) {
	out := map[string]*connector.Table{}
	if s.topics != nil {
		found, err := s.topics.shapes(ctx, s.cfg, topicsAtLook)
		if found != nil {
			out = found
		}
		return out, err
	}
	var first error
	for i := range s.cfg.Models {
		name := s.cfg.Models[i].Relation()
		if name == "" || out[name] != nil {
			continue
		}
		t, err := s.table(ctx, name)
		if err != nil {
			first = errors.Join(first, err)
			if s.gone != nil || connector.ExitCode(err) == connector.ExitUnreachable {
				return out, err
			}
			continue
		}
		out[name] = t
	}
	return out, first
}

// rows reads rows of a table, or the newest of a topic, newest first.
func (s *sight) rows(ctx context.Context, relation string, q postgres.LookQuery) (rows []connector.Row, err error) {
	if s.gone != nil {
		return nil, s.gone
	}
	if s.topics == nil {
		q.Table = relation
		err = s.look.Rows(ctx, q, func(r connector.Row) bool {
			rows = append(rows, r)
			return true
		})
		return rows, err
	}
	changes, err := s.newest(ctx, relation, q.Limit)
	for i := range changes {
		if changes[i].After.Exists() {
			rows = append(rows, changes[i].After)
		}
	}
	return rows, err
}

// newest decodes the newest records of a topic, or of the topics of a pattern, newest first; what cannot be decoded is left out.
func (s *sight) newest(ctx context.Context, relation string, n int) ([]connector.Change, error) {
	m := &connector.Model{Topic: relation}
	for i := range s.cfg.Models {
		if s.cfg.Models[i].Relation() == relation {
			m = &s.cfg.Models[i]
		}
	}
	recs, err := s.topics.sample(ctx, m, n)
	if err != nil {
		return nil, err
	}
	var out []connector.Change
	for i := range recs {
		changes, _, err := s.topics.decode(ctx, &recs[i])
		if err == nil {
			out = append(out, changes...)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	slices.Reverse(out)
	return out, nil
}

// mappingConfig is that of models of the draft.
func (s *sight) mappingConfig(tables map[string]*connector.Table, models ...connector.Model) mapping.Config {
	a := &app{cfg: s.cfg, tables: tables, types: s.types, log: s.p.quietLog()}
	c := a.mappingConfig()
	c.Sent = s.sent
	if models != nil {
		c.Models = models
	}
	return c
}

// alone compiles one model. Lines with faults are taken out, so that the others can be looked at; nil where the model has faults beside its lines.
func (s *sight) alone(tables map[string]*connector.Table, m connector.Model, change func(c *mapping.Config)) (*mapping.Mapper, []connector.Fault) {
	var first []connector.Fault
	for try := 0; ; try++ {
		c := s.mappingConfig(tables, m)
		if change != nil {
			change(&c)
		}
		mapper, faults := newMapping(c, s.topics != nil)
		if try == 0 {
			first = faults
		}
		if mapper != nil || try == 3 {
			return mapper, first
		}
		m = withoutFaulty(m, faults)
	}
}

// withoutFaulty takes the lines of a model out that have faults.
func withoutFaulty(m connector.Model, faults []connector.Fault) connector.Model {
	bad := func(path string) bool {
		return slices.ContainsFunc(faults, func(f connector.Fault) bool {
			return !f.Warn && (f.Path == path || len(f.Path) > len(path) && f.Path[:len(path)] == path && (f.Path[len(path)] == '.' || f.Path[len(path)] == '['))
		})
	}
	line := func(f connector.FieldMap) bool { return bad(f.Path) }
	m.Fields = slices.DeleteFunc(slices.Clone(m.Fields), line)
	m.Custom = slices.DeleteFunc(slices.Clone(m.Custom), line)
	m.Groups = slices.DeleteFunc(slices.Clone(m.Groups), func(g connector.GroupMap) bool { return bad(g.Path) })
	m.Audiences = slices.DeleteFunc(slices.Clone(m.Audiences), func(a connector.AudienceMap) bool { return bad(a.Path) })
	return m
}

// modelsPages hands what the pages of the models ask over.
func (p *program) modelsPages(x *pageParts, c *web.Config) {
	v := newModelsViews(p)
	v.x = x
	c.Models = v
}
