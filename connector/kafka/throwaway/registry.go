package throwaway

import (
	"context"
	"fmt"
	"path/filepath"
)

// Registry is a schema registry that keeps everything in memory.
type Registry struct {
	p    *process
	base string
}

// StartRegistry starts a registry and waits until it serves. Of Config, HeapMB and Progress count.
func StartRegistry(ctx context.Context, cfg Config) (*Registry, error) {
	if err := tools(ctx); err != nil {
		return nil, fmt.Errorf("start a schema registry: %w", err)
	}
	dir, err := registryDir(ctx, cfg)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := newProcess("registry")
	if err != nil {
		return nil, err
	}
	heap := cfg.HeapMB
	if heap == 0 {
		heap = 256
	}
	r := &Registry{p: p, base: fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
	cfg.say("starting the schema registry %s", apicurioVersion)
	err = p.start(p.java(heap, "-Dquarkus.http.host=127.0.0.1", fmt.Sprintf("-Dquarkus.http.port=%d", ports[0]), "-jar",
		filepath.Join(dir, "apicurio-registry-app-"+apicurioVersion+"-runner.jar")))
	if err == nil {
		err = answers(ctx, p, r.URL()+"/subjects")
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return r, nil
}

// URL is the address of the interface that clients of Confluent's registry speak.
func (r *Registry) URL() string { return r.base + "/apis/ccompat/v7" }

// Avro is what makes a connector write keys and values in Confluent's wire format (byte 0, 4-byte id, Avro), with its schemas in this registry.
func (r *Registry) Avro() map[string]string {
	config := map[string]string{"schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro"}
	for _, side := range []string{"key", "value"} {
		c := side + ".converter"
		config[c] = "io.apicurio.registry.utils.converter.AvroConverter"
		config[c+".apicurio.registry.url"] = r.base + "/apis/registry/v2"
		config[c+".apicurio.registry.auto-register"] = "true"
		config[c+".apicurio.registry.as-confluent"] = "true"
		config[c+".apicurio.registry.use-id"] = "contentId"      // what the Confluent interface looks up
		config[c+".apicurio.registry.headers.enabled"] = "false" // else the id goes into a header and the payload has none
	}
	return config
}

// Stop ends the registry. It may be called more than once.
func (r *Registry) Stop() { r.p.close() }
