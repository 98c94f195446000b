package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// refused makes a stop of an error that waiting does not mend: a login or a right. It is nil for others, and for nil.
func refused(err error, doing string) *connector.StopError {
	if err == nil {
		return nil
	}
	for _, e := range []*kerr.Error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState} {
		if errors.Is(err, e) {
			return &connector.StopError{Code: connector.ExitRights, What: doing + ": the broker refused the login", Err: err, Fix: "correct source.kafka.sasl (mechanism, user, password)"}
		}
	}
	for e, fix := range map[*kerr.Error]string{
		kerr.TopicAuthorizationFailed:   "let the login Read and Describe the topics",
		kerr.GroupAuthorizationFailed:   "let the login Read the group",
		kerr.ClusterAuthorizationFailed: "let the login Describe the cluster",
	} {
		if errors.Is(err, e) {
			return &connector.StopError{Code: connector.ExitRights, What: doing + ": the login may not", Err: err, Fix: fix + " (kafka-acls --add --allow-principal User:...)"}
		}
	}
	return nil
}

// distrusted makes a stop of a failed TLS handshake at the start. Later on the same errors may be those of a broker, or of what stands before it, that is
// being restarted or gets a new certificate, and are waited out.
func distrusted(err error, doing string) *connector.StopError {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		expired   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		alert     *net.OpError
	)
	switch {
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &expired), errors.As(err, &verify):
		return &connector.StopError{Code: connector.ExitRights, What: doing + ": the broker's certificate is not trusted", Err: err, Fix: "give the authority's certificate in source.kafka.tls.ca, and the brokers by the names it holds"}
	case errors.As(err, &alert) && alert.Op == "remote error" && (strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "handshake failure")):
		return &connector.StopError{Code: connector.ExitRights, What: doing + ": the broker refused our side of TLS", Err: err, Fix: "give a certificate that the broker trusts in source.kafka.tls.cert and key"}
	case err != nil && strings.Contains(err.Error(), "tls alert record"): // the client names this kind of answer in words only
		return &connector.StopError{Code: connector.ExitRights, What: doing + ": the listener wants TLS", Err: err, Fix: "set source.kafka.tls ({} trusts the system's certificates), or name a listener without TLS in source.kafka.brokers"}
	}
	return nil
}

// unreached is the stop when no broker answered within the time for it.
func (s *Source) unreached(last error, within time.Duration) error {
	stop := &connector.StopError{Code: connector.ExitUnreachable, What: fmt.Sprintf("no broker of %s answered within %s", strings.Join(s.cfg.Brokers, ", "), within),
		Err: last, Fix: "see that the brokers run and can be reached from here"}
	var eof *kgo.ErrFirstReadEOF
	if errors.As(last, &eof) {
		stop.Code = connector.ExitRights
		stop.What = fmt.Sprintf("%s closed every connection at once for %s, as brokers do where login or TLS are not what their listener asks for", strings.Join(s.cfg.Brokers, ", "), within)
		stop.Fix = "set source.kafka.sasl and source.kafka.tls as the listener asks, or leave out what it does not ask for; if they are right, see that the brokers run"
	}
	return stop
}

// resets begins the command by which Kafka's own tool sets the group's offsets. It does so only while the group has no member, and without --execute only shows
// what it would do (Kafka docs, "Managing consumer groups").
func (c *Config) resets() string {
	login := ""
	if c.SASL.Mechanism != "" || c.TLS != (TLS{}) {
		login = " --command-config client.properties"
	}
	return fmt.Sprintf("kafka-consumer-groups --bootstrap-server %s%s --group %s --reset-offsets", shellWord(strings.Join(c.Brokers, ",")), login, shellWord(c.Group))
}

// shellWord quotes what a shell would not take as one word.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-_.,:/[]", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// moveOffset is what mends a position outside the log, whose offsets are worded by among.
func moveOffset(resets, topic string, partition int32, among string) string {
	return fmt.Sprintf("decide at which offset N to go on (%s), set it with the group stopped: %s --topic %s:%d --to-offset N --execute; then reload what was lost at the source",
		among, resets, topic, partition)
}

func (s *Source) lostError(e *kgo.ErrDataLoss) error {
	return &connector.StopError{Code: connector.ExitOffsetRange, Err: e,
		What: fmt.Sprintf("partition %d of topic %s lost records: it was read to offset %d, and the log now goes on at %d", e.Partition, e.Topic, e.ConsumedTo, e.ResetTo),
		Fix:  moveOffset(s.cfg.resets(), e.Topic, e.Partition, fmt.Sprintf("%d or later", e.ResetTo))}
}

// outOfRange stops the source with what the log holds now, after a fetch was refused for its offset.
func (s *Source) outOfRange(ctx context.Context, p partition) {
	s.mu.Lock()
	a := s.assigned[p]
	s.mu.Unlock()
	if a == nil {
		return
	}
	a.mu.Lock()
	at := a.handed
	a.mu.Unlock()
	stop := &connector.StopError{Code: connector.ExitOffsetRange, What: fmt.Sprintf("partition %d of topic %s no longer has offset %d", p.num, p.topic, at),
		Fix: moveOffset(s.cfg.resets(), p.topic, p.num, "one that the log holds; see the topic's retention")}
	if v, err := s.survey(ctx, []string{p.topic}); err == nil {
		first, _ := v.first.Lookup(p.topic, p.num)
		last, _ := v.last.Lookup(p.topic, p.num)
		f := facts{topic: p.topic, partition: p.num, first: first.Offset, last: last.Offset, resets: s.cfg.resets()}
		var exact *connector.StopError
		if _, err := f.inside(known{offset: at}, begin{}); errors.As(err, &exact) {
			stop = exact
		}
	}
	s.fail(stop)
}

// checkTopic looks whether a topic's name stands for another topic than the one that was read, and stops the source if so. One that is gone is waited for:
// what was read of it stays valid, and when it comes again it has another id.
func (s *Source) checkTopic(ctx context.Context, topic string) {
	if topic == "" {
		return
	}
	details, err := s.adm.ListTopics(ctx, topic)
	if err != nil {
		return
	}
	d, ok := details[topic]
	s.mu.Lock()
	old, known := s.ids[topic]
	gone := !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition)
	news := gone && known && !s.missing[topic]
	if known && (gone || d.Err == nil) {
		s.missing[topic] = gone
	}
	s.mu.Unlock()
	switch {
	case news:
		s.log.Warn("a topic is gone; waiting for it", "topic", topic)
	case !gone && known && d.Err == nil && old != [16]byte{} && d.ID != [16]byte{} && old != d.ID:
		s.fail(recreatedError(s.cfg.resets(), topic, old, d.ID))
	}
}
