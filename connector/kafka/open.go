package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// Open implements connector.Source. Its errors are *connector.StopError, except that of ctx. Partitions come after it, as the group gives them.
func (s *Source) Open(ctx context.Context, start connector.Start) (connector.Opened, error) {
	o, err := s.open(ctx, start)
	if err != nil {
		s.admin.Close()
	}
	return o, err
}

func (s *Source) open(ctx context.Context, start connector.Start) (connector.Opened, error) {
	var o connector.Opened
	if len(start.Loads) > 0 {
		return o, &connector.StopError{Code: connector.ExitConfig, What: "continue the load of " + start.Loads[0].Table, Err: ErrNoLoads}
	}
	if len(s.cfg.Topics) == 0 && s.cfg.Pattern == "" {
		s.cfg.Topics = start.Tables
	}
	if len(s.cfg.Topics) == 0 && s.cfg.Pattern == "" {
		return o, &connector.StopError{Code: connector.ExitConfig, What: "source.kafka names no topic", Fix: "give the models a topic"}
	}
	if err := s.reach(ctx); err != nil {
		return o, err
	}
	topics, err := s.inspect(ctx, start, &o)
	if err != nil {
		return o, err
	}
	if err := s.join(ctx); err != nil {
		return o, err
	}
	o.Shared = true
	o.Note = fmt.Sprintf("group %s, %d topics with %d partitions", s.cfg.Group, len(topics), partitions(topics))
	s.log.Info("consumer group joined", "note", o.Note, "fresh", o.Fresh)
	return o, nil
}

func partitions(topics kadm.TopicDetails) int {
	n := 0
	for _, t := range topics {
		n += len(t.Partitions)
	}
	return n
}

// reach waits for a broker that answers.
func (s *Source) reach(ctx context.Context) error {
	return s.Ask(ctx, s.cfg.StartTimeout, func(context.Context) error { return nil })
}

// A question with more patience than shortWait, which is that of a look, does not leave a person without a word until its end: after saidAfter the log says
// what is waited for.
const (
	shortWait = 10 * time.Second
	saidAfter = 3 * time.Second
)

var errSilent = errors.New("no answer came")

// Ask puts a question to the brokers until they answer, for as long as patience. What waiting does not mend ends it at once: a login or a certificate that is
// refused, and a *connector.StopError of the question's own. Its errors are *connector.StopError, except that of ctx. It may be called without Open, and
// concurrently.
func (s *Source) Ask(ctx context.Context, patience time.Duration, question func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(3*time.Second), backoff.WithMaxElapsedTime(0))
	var last error
	var mu sync.Mutex // guards last
	if patience > shortWait {
		say := time.AfterFunc(saidAfter, func() {
			mu.Lock()
			defer mu.Unlock()
			s.log.Warn("no broker answers yet; this waits for one", "brokers", strings.Join(s.cfg.Brokers, ", "), "at_most", patience.String(), "err", cmp.Or(last, errSilent))
		})
		defer say.Stop()
	}
	err := backoff.Retry(func() error {
		err := s.ping(limit)
		if err == nil {
			err = question(limit)
		}
		var stop *connector.StopError
		switch {
		case err == nil:
			s.health.connected(true, "")
		case errors.As(err, &stop):
			return backoff.Permanent(err)
		case last == nil || limit.Err() == nil:
			mu.Lock()
			last = err
			mu.Unlock()
			s.health.connected(false, err.Error())
		}
		return err
	}, backoff.WithContext(b, limit))
	var stop *connector.StopError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &stop):
		return err
	}
	return s.unreached(last, patience)
}

// ping asks for one broker's answer, with a login where one is set. Other requests are tried again by the client, which hides why the first was refused.
func (s *Source) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.admin.Ping(ctx)
	for _, stop := range []*connector.StopError{refused(err, "log in to Kafka"), distrusted(err, "connect to Kafka")} {
		if stop != nil {
			return stop
		}
	}
	return err
}

// maxSaid bounds the reasons that inspect logs.
const maxSaid = 20

// newTopic is how long a topic that is named and missing is waited for: brokers learn of a new one after it was made.
const newTopic = 2 * time.Second

// inspect looks at the topics and the group. It tries again what a cluster that has just started cannot answer yet; each reason for that is logged once.
func (s *Source) inspect(ctx context.Context, start connector.Start, o *connector.Opened) (topics kadm.TopicDetails, err error) {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(2*time.Second),
		backoff.WithMaxElapsedTime(s.cfg.StartTimeout))
	began, said := time.Now(), map[string]bool{}
	err = backoff.Retry(func() error {
		if topics, err = s.topics(ctx); err == nil {
			err = s.history(ctx, start, topics, o)
		}
		var stop *connector.StopError
		if errors.As(err, &stop) && stop.Code != connector.ExitUnreachable && (stop.Code != connector.ExitTableUnfit || time.Since(began) > newTopic) {
			return backoff.Permanent(err)
		}
		if err != nil && ctx.Err() == nil && !said[err.Error()] && len(said) < maxSaid {
			said[err.Error()] = true
			until := began.Add(s.cfg.StartTimeout)
			if stop != nil && stop.Code == connector.ExitTableUnfit {
				until = began.Add(newTopic)
			}
			s.log.Warn("the topics and the group can't be looked at yet; this tries again", "until", until.Format(time.TimeOnly), "err", err)
		}
		return err
	}, backoff.WithContext(b, ctx))
	return topics, err
}

// topics gives the topics to read as they are now. One that is named and missing is an error that names the nearest.
func (s *Source) topics(ctx context.Context) (kadm.TopicDetails, error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		if stop := refused(err, "list topics"); stop != nil {
			return nil, stop
		}
		return nil, &connector.StopError{Code: connector.ExitUnreachable, What: "list topics", Err: err}
	}
	found := kadm.TopicDetails{}
	for name, t := range all {
		if s.reads(t) {
			if stop := refused(t.Err, "read topic "+name); stop != nil {
				return nil, stop
			}
			found[name] = t
			s.ids[name] = t.ID
		}
	}
	for _, name := range s.cfg.Topics {
		if _, ok := found[name]; !ok {
			return nil, s.noTopic(name, all)
		}
	}
	return found, nil
}

func (s *Source) noTopic(name string, all kadm.TopicDetails) error {
	fix := "create it, or see that the login may describe it"
	if near := nearest(name, all.Names()); near != "" {
		fix = fmt.Sprintf("the nearest name is %q; else %s", near, fix)
	}
	return &connector.StopError{Code: connector.ExitTableUnfit, What: fmt.Sprintf("topic %q is not there", name), Fix: fix}
}

// history compares what data/ holds with what the group has, before anything is read.
func (s *Source) history(ctx context.Context, start connector.Start, topics kadm.TopicDetails, o *connector.Opened) error {
	s.remember(start.Recorded)
	v, err := s.lookBack(ctx, topics)
	if err != nil {
		return err
	}
	o.Fresh, o.Gaps = true, nil
	for name, t := range topics {
		for num := range t.Partitions {
			c, ok := v.commits.Lookup(name, num)
			o.Fresh = o.Fresh && (!ok || c.At < 0)
		}
	}
	var stop *connector.StopError
	s.eachKnown(ctx, v, topics, func(p partition, b begin, err error) bool {
		if err == nil && b.gap {
			o.Gaps = append(o.Gaps, s.recorded[p].stream)
		}
		return !errors.As(err, &stop)
	})
	if stop != nil {
		return stop
	}
	slices.Sort(o.Gaps)
	return nil
}

// join makes the group's member and starts reading.
func (s *Source) join(ctx context.Context) error {
	names, regex := s.cfg.Topics, s.cfg.Pattern != ""
	if regex {
		names = append([]string{s.cfg.Pattern}, quoted(s.cfg.Topics)...)
	}
	opts := append(slices.Clone(s.opts),
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(names...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtStart()), // where to start is decided in assign; nothing is ever reset
		kgo.AdjustFetchOffsetsFn(s.assign),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, s.cfg.SessionTimeout/4)),
		kgo.RebalanceTimeout(max(time.Minute, s.cfg.Drain+commitTimeout+15*time.Second)), // a revocation may take the drain and a commit
		kgo.FetchMaxBytes(int32(min(s.cfg.BufferBytes/4, 1<<30))),
		kgo.FetchMaxPartitionBytes(int32(min(s.cfg.BufferBytes/8, 1<<30))),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.MaxConcurrentFetches(3),
		kgo.WithHooks(&s.health),
	)
	if regex {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeExcludeTopics(quoted(s.cfg.Exclude)...))
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if s.group, err = kgo.NewClient(opts...); err != nil {
		s.cancel()
		return &connector.StopError{Code: connector.ExitConfig, What: "join group " + s.cfg.Group, Err: err}
	}
	close(s.ready)
	for _, fn := range []func(context.Context){s.read, s.committer, s.watch} {
		s.wg.Go(func() { fn(s.ctx) })
	}
	return nil
}

// nearest gives the name with the fewest letters different, if it is near at all.
func nearest(name string, all []string) string {
	best, at := "", len(name)/2+1
	for _, other := range all {
		if strings.HasPrefix(other, "__") {
			continue
		}
		if strings.EqualFold(other, name) || strings.HasSuffix(other, "."+name) {
			return other
		}
		if d := distance(name, other); d < at {
			best, at = other, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes: topic names have no others.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, diag+1, row[j]+1)
		}
	}
	return row[len(b)]
}
