package throwaway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Connect is a Kafka Connect worker with Debezium's connector for Postgres and the Avro converter of the registry.
type Connect struct {
	p   *process
	url string
}

// StartConnect starts a worker that keeps its state in the broker's topics, and waits until it serves. Config.Secure and Partitions say nothing here.
func StartConnect(ctx context.Context, b *Broker, cfg Config) (*Connect, error) {
	libs, err := jars(ctx, cfg, "connect-"+kafkaVersion, connectDeps)
	if err != nil {
		return nil, err
	}
	plugins := map[string]string{} // by name, its folder
	if plugins["debezium"], err = jars(ctx, cfg, "debezium-"+debeziumVersion, debeziumDeps); err != nil {
		return nil, err
	}
	if plugins["converter"], err = jars(ctx, cfg, "converter-"+apicurioVersion, converterDeps); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := newProcess("connect")
	if err != nil {
		return nil, err
	}
	c := &Connect{p: p, url: fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
	if err := c.start(ctx, b, cfg, libs, plugins, ports[0]); err != nil {
		p.close()
		return nil, err
	}
	return c, nil
}

// WorkerSettings are the settings of every worker here, without those that name addresses and folders.
func WorkerSettings() map[string]string {
	return map[string]string{
		"group.id":                          "connect",
		"key.converter":                     "org.apache.kafka.connect.json.JsonConverter",
		"value.converter":                   "org.apache.kafka.connect.json.JsonConverter",
		"config.storage.topic":              "_connect_configs",
		"config.storage.replication.factor": "1",
		"offset.storage.topic":              "_connect_offsets",
		"offset.storage.replication.factor": "1",
		"offset.storage.partitions":         "1",
		"status.storage.topic":              "_connect_status",
		"status.storage.replication.factor": "1",
		"status.storage.partitions":         "1",
		"offset.flush.interval.ms":          "1000",
		"scheduled.rebalance.max.delay.ms":  "0",
	}
}

func (c *Connect) start(ctx context.Context, b *Broker, cfg Config, libs string, plugins map[string]string, port int) error {
	// A plugin is a folder below plugin.path.
	dir := c.p.path("plugins")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, folder := range plugins {
		if err := os.Symlink(folder, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	settings := WorkerSettings()
	settings["bootstrap.servers"] = b.Addr()
	settings["listeners"] = c.url
	settings["rest.advertised.host.name"] = "127.0.0.1"
	settings["rest.advertised.port"] = fmt.Sprint(port)
	settings["plugin.path"] = dir
	if err := os.WriteFile(c.p.path("worker.properties"), properties(settings), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(c.p.path("log4j2.properties"), []byte(log4j), 0o600); err != nil {
		return err
	}
	heap := cfg.HeapMB
	if heap == 0 {
		heap = 512
	}
	cfg.say("starting Kafka Connect with Debezium %s", debeziumVersion)
	cmd := c.p.java(heap, "-Dlog4j2.configurationFile="+c.p.path("log4j2.properties"), "-cp", filepath.Join(libs, "*"),
		"org.apache.kafka.connect.cli.ConnectDistributed", c.p.path("worker.properties"))
	if err := c.p.start(cmd); err != nil {
		return err
	}
	return answers(ctx, c.p, c.url+"/connectors")
}

// URL is the worker's REST address.
func (c *Connect) URL() string { return c.url }

// Put makes or changes a connector and waits until its task runs.
func (c *Connect) Put(ctx context.Context, name string, config map[string]string) error {
	body, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if _, err := c.call(ctx, http.MethodPut, "/connectors/"+name+"/config", body); err != nil {
		return err
	}
	var state string
	err = c.p.wait(ctx, func() bool {
		answer, err := c.call(ctx, http.MethodGet, "/connectors/"+name+"/status", nil)
		if err != nil {
			return false // not yet known to the worker
		}
		var s struct {
			Tasks []struct {
				State string `json:"state"`
				Trace string `json:"trace"`
			} `json:"tasks"`
		}
		if json.Unmarshal(answer, &s) != nil || len(s.Tasks) == 0 {
			return false
		}
		if state = s.Tasks[0].State; state == "FAILED" {
			state += ": " + s.Tasks[0].Trace
		}
		return state == "RUNNING" || strings.HasPrefix(state, "FAILED")
	})
	if err == nil && state != "RUNNING" {
		err = fmt.Errorf("start connector %s: %s", name, state)
	}
	return err
}

// Delete takes a connector away. Its slot and its publication stay in the database.
func (c *Connect) Delete(ctx context.Context, name string) error {
	_, err := c.call(ctx, http.MethodDelete, "/connectors/"+name, nil)
	return err
}

func (c *Connect) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka Connect: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("ask Kafka Connect: %s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, err
}

// Stop ends the worker. It may be called more than once.
func (c *Connect) Stop() { c.p.close() }

// Debezium is a connector's configuration for a Postgres database on 127.0.0.1: JSON without schemas, topics named PREFIX.SCHEMA.TABLE. More settings go
// over it.
func Debezium(name string, port int, database string, tables string, more ...map[string]string) map[string]string {
	config := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
		"database.hostname": "127.0.0.1", "database.port": fmt.Sprint(port), "database.dbname": database, "database.user": "postgres", "database.password": "postgres",
		"plugin.name": "pgoutput", "slot.name": name, "publication.name": name + "_pub", "publication.autocreate.mode": "filtered",
		"topic.prefix": name, "table.include.list": tables, "skipped.operations": "none",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
	}
	for _, m := range more {
		maps.Copy(config, m)
	}
	return config
}
