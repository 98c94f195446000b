package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"brazecdc/connector/config"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
)

// maxReferences bounds how many schemas are fetched for one that refers to others.
const maxReferences = 200

// registry looks schemas up in a schema registry with Confluent's API.
type registry struct{ client *sr.Client }

func newRegistry(r *config.Registry, files kafka.TLS) (*registry, error) {
	opts := []sr.ClientOpt{sr.URLs(r.URL)}
	web := &http.Client{Timeout: 10 * time.Second}
	if files.On {
		cfg, err := files.Config()
		if err != nil {
			return nil, err
		}
		web.Transport = &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	}
	opts = append(opts, sr.HTTPClient(web))
	if r.User != "" {
		opts = append(opts, sr.BasicAuth(r.User, r.Password.Reveal()))
	}
	c, err := sr.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &registry{c}, nil
}

// Schema implements envelope.SchemaLookup. A registry says with an error_code that it does not know an id (Confluent Schema Registry API reference: 40403). Without
// one, 404 is the word of a proxy whose registry is away, or of a wrong address: then the records wait, since each would be held back.
func (r *registry) Schema(ctx context.Context, id uint32) (envelope.Schema, error) {
	s, err := r.client.SchemaByID(ctx, int(id))
	switch {
	case isUnknown(err):
		return envelope.Schema{}, fmt.Errorf("schema %d: %w", id, envelope.ErrUnknownSchema)
	case err != nil:
		return envelope.Schema{}, fmt.Errorf("the schema registry gives no answer: %w", err)
	case s.Type != sr.TypeAvro:
		return envelope.Schema{}, &envelope.UnusableSchemaError{Reason: fmt.Sprintf("schema %d is of type %s, and only Avro is read", id, s.Type)}
	}
	got := references{r: r, of: id, seen: map[subjectVersion]bool{}}
	if err := got.add(ctx, s.References); err != nil {
		return envelope.Schema{}, err
	}
	return envelope.Schema{Text: s.Schema, References: got.texts}, nil
}

// isUnknown tells whether the registry itself said that it does not have what was asked for.
func isUnknown(err error) bool {
	var answer *sr.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode != 0
}

// subjectVersion names a schema of a subject.
type subjectVersion struct {
	subject string
	number  int
}

// references gathers the schemas that one refers to, each behind those that it refers to itself.
type references struct {
	r     *registry
	of    uint32
	seen  map[subjectVersion]bool
	texts []string
}

func (g *references) add(ctx context.Context, refs []sr.SchemaReference) error {
	for _, ref := range refs {
		v := subjectVersion{ref.Subject, ref.Version}
		if g.seen[v] {
			continue
		}
		if g.seen[v] = true; len(g.seen) > maxReferences {
			return &envelope.UnusableSchemaError{Reason: fmt.Sprintf("schema %d refers to more than %d others", g.of, maxReferences)}
		}
		s, err := g.r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
		switch {
		case isUnknown(err):
			return &envelope.UnusableSchemaError{Reason: fmt.Sprintf("schema %d refers to version %d of subject %s for %s, which the schema registry does not know", g.of, ref.Version, ref.Subject, ref.Name)}
		case err != nil:
			return fmt.Errorf("the schema registry gives no answer: %w", err)
		}
		if err := g.add(ctx, s.References); err != nil {
			return err
		}
		g.texts = append(g.texts, s.Schema.Schema)
	}
	return nil
}

// reachable asks the registry for something that costs it little.
func (r *registry) reachable(ctx context.Context) error {
	_, err := r.client.SupportedTypes(ctx)
	return err
}
