package throwaway

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// Broker is a Kafka broker and controller in one process. Its methods are not called concurrently.
type Broker struct {
	p      *process
	cfg    Config
	libs   string
	addr   string
	secure secure
}

// secure is what the listeners with SASL and TLS need.
type secure struct {
	sasl, tls     string
	ca, cert, key string
}

const log4j = `status = error
appender.console.type = Console
appender.console.name = STDERR
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}] %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.stderr.ref = STDERR
`

// Start starts a broker and waits until it serves.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	if err := tools(ctx); err != nil {
		return nil, fmt.Errorf("start a Kafka broker: %w", err)
	}
	libs, err := jars(ctx, cfg, "broker-"+kafkaVersion, brokerDeps)
	if err != nil {
		return nil, err
	}
	p, err := newProcess("broker")
	if err != nil {
		return nil, err
	}
	b := &Broker{p: p, cfg: cfg, libs: libs}
	if err := b.format(ctx); err != nil {
		p.close()
		return nil, err
	}
	if err := b.serve(ctx); err != nil {
		p.close()
		return nil, err
	}
	return b, nil
}

// BrokerSettings are the settings of every broker here, without those that name its addresses and its folder.
func BrokerSettings() map[string]string {
	return map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"controller.listener.names":                        "CONTROLLER",
		"num.partitions":                                   "1",
		"auto.create.topics.enable":                        "true",
		"offsets.topic.num.partitions":                     "1",
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.num.partitions":             "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		"group.min.session.timeout.ms":                     "1000",
		"log.cleaner.dedupe.buffer.size":                   "2097152",
		"message.max.bytes":                                "31457280",
		"num.network.threads":                              "2",
		"num.io.threads":                                   "2",
		"broker.heartbeat.interval.ms":                     "500",  // after kill -9 a restart waits for the end of this session,
		"broker.session.timeout.ms":                        "2000", // 9 s by default
	}
}

// format writes the settings and prepares the storage.
func (b *Broker) format(ctx context.Context) error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	b.addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	if err := os.WriteFile(b.p.path("log4j2.properties"), []byte(log4j), 0o600); err != nil {
		return err
	}
	settings := BrokerSettings()
	settings["controller.quorum.voters"] = fmt.Sprintf("1@127.0.0.1:%d", ports[1])
	settings["listeners"] = fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.addr, ports[1])
	settings["advertised.listeners"] = "PLAINTEXT://" + b.addr
	settings["log.dirs"] = b.p.path("data")
	if b.cfg.Partitions > 0 {
		settings["num.partitions"] = fmt.Sprint(b.cfg.Partitions)
	}
	args := []string{"kafka.tools.StorageTool", "format", "-t", clusterID(), "-c", b.p.path("server.properties")}
	if b.cfg.Secure {
		if err := b.makeSecure(settings, ports[2], ports[3]); err != nil {
			return err
		}
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", m+"=[name=bob,password=bob-secret]")
		}
	}
	if err := os.WriteFile(b.p.path("server.properties"), properties(settings), 0o600); err != nil {
		return err
	}
	return b.p.run(ctx, b.java(args...))
}

// properties writes settings as a file that Java reads.
func properties(settings map[string]string) []byte {
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		out = fmt.Appendf(out, "%s=%s\n", k, settings[k])
	}
	return out
}

func (b *Broker) makeSecure(settings map[string]string, saslPort, tlsPort int) error {
	b.secure = secure{sasl: fmt.Sprintf("127.0.0.1:%d", saslPort), tls: fmt.Sprintf("127.0.0.1:%d", tlsPort),
		ca: b.p.path("ca.pem"), cert: b.p.path("client.pem"), key: b.p.path("client-key.pem")}
	if err := writeCertificates(b.p.dir); err != nil {
		return err
	}
	settings["listeners"] += ",SASL_PLAINTEXT://" + b.secure.sasl + ",SSL://" + b.secure.tls
	settings["advertised.listeners"] += ",SASL_PLAINTEXT://" + b.secure.sasl + ",SSL://" + b.secure.tls
	settings["listener.security.protocol.map"] += ",SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL"
	settings["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
	settings["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = `org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret";`
	for _, m := range []string{"256", "512"} {
		settings["listener.name.sasl_plaintext.scram-sha-"+m+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	settings["listener.name.ssl.ssl.keystore.type"] = "PEM"
	settings["listener.name.ssl.ssl.keystore.location"] = b.p.path("server.pem")
	settings["listener.name.ssl.ssl.truststore.type"] = "PEM"
	settings["listener.name.ssl.ssl.truststore.location"] = b.secure.ca
	settings["listener.name.ssl.ssl.client.auth"] = "required"
	return nil
}

func (b *Broker) java(args ...string) *exec.Cmd {
	heap := b.cfg.HeapMB
	if heap == 0 {
		heap = 256
	}
	return b.p.java(heap, append([]string{"-Dlog4j2.configurationFile=" + b.p.path("log4j2.properties"), "-cp", filepath.Join(b.libs, "*")}, args...)...)
}

// serve starts the broker over its storage.
func (b *Broker) serve(ctx context.Context) error {
	b.cfg.say("starting Kafka %s on %s", kafkaVersion, b.addr)
	from := b.p.logSize()
	if err := b.p.start(b.java("kafka.Kafka", b.p.path("server.properties"))); err != nil {
		return err
	}
	return b.p.wait(ctx, func() bool { return b.p.logHas("Kafka Server started", from) })
}

// Addr is the address of the plain listener.
func (b *Broker) Addr() string { return b.addr }

// SASLAddr and TLSAddr are the addresses of the listeners that Config.Secure adds.
func (b *Broker) SASLAddr() string { return b.secure.sasl }

// TLSAddr is the address of the listener with TLS.
func (b *Broker) TLSAddr() string { return b.secure.tls }

// TLSFiles are the authority's certificate, and a client's certificate and key, in PEM form.
func (b *Broker) TLSFiles() (ca, cert, key string) { return b.secure.ca, b.secure.cert, b.secure.key }

// PID is the broker's process.
func (b *Broker) PID() int { return b.p.os.Pid }

// Kill ends the broker as a crash does; its storage stays for Restart.
func (b *Broker) Kill() { b.p.end(syscall.SIGKILL) }

// Shutdown ends the broker in good order; its storage stays for Restart.
func (b *Broker) Shutdown() { b.p.end(syscall.SIGTERM) }

// Restart starts the broker again over its storage.
func (b *Broker) Restart(ctx context.Context) error {
	b.Kill()
	return b.serve(ctx)
}

// Stop ends the broker and removes its storage. It may be called more than once.
func (b *Broker) Stop() { b.p.close() }

// Dir is the directory of the broker's files: its settings, its log and its storage.
func (b *Broker) Dir() string { return b.p.dir }
