package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"brazecdc/connector/config"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
	kafkas "brazecdc/connector/kafka/throwaway"
)

// The schemas of three subjects, of which the last takes types from the others, and the second from the first.
const (
	countrySchema = `{"type":"enum","name":"Country","namespace":"shop","symbols":["DE","FR"]}`
	addressSchema = `{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"street","type":"string"},{"name":"country","type":"shop.Country"}]}`
	personSchema  = `{"type":"record","name":"Person","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"home","type":"shop.Address"},{"name":"born_in","type":"shop.Country"}]}`
)

var (
	toCountry = sr.SchemaReference{Name: "shop.Country", Subject: "country", Version: 1}
	toAddress = sr.SchemaReference{Name: "shop.Address", Subject: "address", Version: 1}
)

// subjects answers as a registry that has schemas by their path.
type subjects map[string]sr.Schema

func (s subjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	schema, ok := s[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error_code":40402,"message":"Version not found."}`)) // a client that went away needs no answer
		return
	}
	_ = json.NewEncoder(w).Encode(schema)
}

func TestRegistryReferences(t *testing.T) {
	t.Parallel()
	self := sr.SchemaReference{Name: "shop.Again", Subject: "again", Version: 2}
	srv := httptest.NewServer(subjects{
		"/schemas/ids/1":               {Schema: personSchema, References: []sr.SchemaReference{toAddress, toCountry}},
		"/subjects/address/versions/1": {Schema: addressSchema, References: []sr.SchemaReference{toCountry}},
		"/subjects/country/versions/1": {Schema: countrySchema},
		"/schemas/ids/2":               {Schema: personSchema, References: []sr.SchemaReference{{Name: "shop.Plan", Subject: "plan", Version: 3}}},
		"/schemas/ids/3":               {Schema: personSchema, References: []sr.SchemaReference{self}},
		"/subjects/again/versions/2":   {Schema: countrySchema, References: []sr.SchemaReference{self}},
		"/schemas/ids/4":               {Schema: `{"type":"object"}`, Type: sr.TypeJSON},
		"/schemas/ids/5":               {Schema: personSchema, References: many()},
	})
	defer srv.Close()
	r, err := newRegistry(&config.Registry{URL: srv.URL}, kafka.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Schema(t.Context(), 1)
	if err != nil || s.Text != personSchema || !slices.Equal(s.References, []string{countrySchema, addressSchema}) {
		t.Errorf("each type once, before those that take it: %+v, %v", s, err)
	}
	if s, err := r.Schema(t.Context(), 3); err != nil || len(s.References) != 1 {
		t.Errorf("one that refers to itself: %+v, %v", s, err)
	}
	for id, want := range map[uint32]string{2: "schema 2 refers to version 3 of subject plan for shop.Plan, which the schema registry does not know", 4: "schema 4 is of type JSON, and only Avro is read"} {
		var unusable *envelope.UnusableSchemaError
		if _, err := r.Schema(t.Context(), id); !errors.As(err, &unusable) || unusable.Reason != want {
			t.Errorf("schema %d: %v", id, err)
		}
	}
	if _, err := r.Schema(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "version 1 of subject s0") {
		t.Errorf("many that are not there: %v", err)
	}
	if _, err := r.Schema(t.Context(), 9); !errors.Is(err, envelope.ErrUnknownSchema) {
		t.Errorf("an unknown id: %v", err)
	}
}

func many() (refs []sr.SchemaReference) {
	for i := range 1000 {
		refs = append(refs, sr.SchemaReference{Name: fmt.Sprint("shop.S", i), Subject: fmt.Sprint("s", i), Version: 1})
	}
	return refs
}

// TestRegistryTLS asks a registry whose certificate no authority of the system knows, and which wants one of its clients.
func TestRegistryTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(subjects{"/schemas/ids/1": {Schema: countrySchema}})
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]pem.Block{"ca.pem": {Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(tlsLines string) error {
		text := fmt.Sprintf("version: 1\nbraze: { workspace: test, endpoint: https://rest.fra-01.braze.eu, api_key: k }\nsource: { kafka: { brokers: [\"127.0.0.1:1\"], registry: { url: %q%s } } }\n"+
			"models: [{ name: users, topic: users, mode: sync, load: all, identify: { external_id: id } }]\n", srv.URL, tlsLines)
		cfg, err := config.Parse(filepath.Join(dir, "brazecdc.yaml"), []byte(text), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		src, err := newTopics(cfg, slog.New(slog.DiscardHandler), hooks{})
		if err != nil {
			return err
		}
		defer func() { _ = src.Close(t.Context()) }()
		_, err = src.registry.Schema(t.Context(), 1)
		return err
	}
	if err := ask(", tls: { ca: ca.pem, cert: ca.pem, key: key.pem }"); err != nil {
		t.Error(err)
	}
	for lines, want := range map[string]string{"": "unknown authority", ", tls: { ca: ca.pem }": "certificate required", ", tls: { ca: none.pem }": "source.kafka.registry"} {
		if err := ask(lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", lines, err)
		}
	}
}

// TestRegistryReal registers schemas with references at a real registry, and reads a record by them.
func TestRegistryReal(t *testing.T) {
	t.Parallel()
	apicurio := kafkas.RegistryForTest(t, kafkas.Config{})
	cl, err := sr.NewClient(sr.URLs(apicurio.URL()))
	if err != nil {
		t.Fatal(err)
	}
	var id int
	for _, s := range []struct {
		subject string
		schema  sr.Schema
	}{
		{"country", sr.Schema{Schema: countrySchema}},
		{"address", sr.Schema{Schema: addressSchema, References: []sr.SchemaReference{toCountry}}},
		{"people-value", sr.Schema{Schema: personSchema, References: []sr.SchemaReference{toAddress, toCountry}}},
	} {
		got, err := cl.CreateSchema(t.Context(), s.subject, s.schema)
		if err != nil {
			t.Fatalf("register %s: %v", s.subject, err)
		}
		id = got.ID
	}
	r, err := newRegistry(&config.Registry{URL: apicurio.URL()}, kafka.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	dec, err := envelope.New(envelope.Config{Schemas: r})
	if err != nil {
		t.Fatal(err)
	}
	value := []byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id), 14, 8, 'M', 'a', 'i', 'n', 2, 0}
	changes, _, err := dec.Decode(t.Context(), nil, &envelope.Record{Topic: "people", Key: []byte(`{"id":7}`), Value: value})
	if err != nil || len(changes) != 1 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	row := changes[0].After
	for column, want := range map[string]string{"home": `{"street":"Main","country":"FR"}`, "born_in": "DE"} {
		if v, ok, err := row.Value(row.Table.Column(column)); err != nil || !ok || v.Str != want {
			t.Errorf("%s is %+v (%v, %v), want %s", column, v, ok, err, want)
		}
	}
}
