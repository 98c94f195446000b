package web

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

const (
	jobsKept    = 20
	jobWorkers  = 64  // entries of so many users are worked on at once; the connector itself goes at its rate
	jobPage     = 200 // entries that are listed at a time
	jobReasons  = 20  // kinds of reasons that a job tells apart
	jobSlowPoll = time.Second

	jobReturns = time.Minute            // so long a process that exchanges its parts is waited for
	jobAgain   = 200 * time.Millisecond // between two looks for it
)

// heldJob is an action on many entries, under way or over.
type heldJob struct {
	ID    int
	Do    string
	Who   string
	Start time.Time

	mu      sync.Mutex
	end     time.Time
	total   int64
	done    int64
	again   map[string]int64 // not done, by kind of reason
	failed  int64
	stopped bool
	fault   string
	cancel  context.CancelFunc
}

// heldJobs runs one job at a time and remembers the last ones. It may be used concurrently.
type heldJobs struct {
	mu   sync.Mutex
	last int
	jobs []*heldJob // oldest first
	runs sync.WaitGroup
}

// Link is the job's page.
func (j *heldJob) Link() string { return "/quarantine/job/" + strconv.Itoa(j.ID) }

func (j *heldJob) over() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.end.IsZero()
}

// running gives the job that is under way, nil where there is none.
func (js *heldJobs) running() *heldJob {
	js.mu.Lock()
	defer js.mu.Unlock()
	if n := len(js.jobs); n > 0 && !js.jobs[n-1].over() {
		return js.jobs[n-1]
	}
	return nil
}

func (js *heldJobs) get(id int) *heldJob {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, j := range js.jobs {
		if j.ID == id {
			return j
		}
	}
	return nil
}

// startHeldJob begins a job, where none is under way. It goes on without whoever asked, until it is done, stopped, or the pages end.
func (s *Server) startHeldJob(r *request, a *heldAct) (*heldJob, error) {
	open := s.cfg.Change
	if open == nil {
		open = s.cfg.API
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	j := &heldJob{Do: a.Do, Who: r.User.Name, Start: s.now(), total: a.Count, again: map[string]int64{}, cancel: cancel}
	js := &s.jobs
	js.mu.Lock()
	if n := len(js.jobs); n > 0 && !js.jobs[n-1].over() {
		js.mu.Unlock()
		cancel()
		return nil, errPage(http.StatusConflict, "quarantine.job.busy")
	}
	js.last++
	j.ID = js.last
	js.jobs = append(js.jobs, j)
	if len(js.jobs) > jobsKept {
		js.jobs = js.jobs[1:]
	}
	js.mu.Unlock()
	r.record(j.Link(), "quarantine.note."+a.Do+".begun", strconv.FormatInt(a.Count, 10))
	js.runs.Go(func() {
		defer cancel()
		go func() {
			select {
			case <-s.stopping:
				j.stop()
			case <-ctx.Done():
			}
		}()
		err := j.run(ctx, open, a)
		j.finish(s.now(), err)
		j.mu.Lock()
		done, failed := j.done, j.failed
		j.mu.Unlock()
		r.record(j.Link(), "quarantine.note."+a.Do+".ended", strconv.FormatInt(done, 10), strconv.FormatInt(failed, 10))
	})
	return j, nil
}

func (j *heldJob) stop() {
	j.mu.Lock()
	if j.end.IsZero() {
		j.stopped = true
	}
	j.mu.Unlock()
	j.cancel()
}

func (j *heldJob) finish(now time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end = now
	if err != nil && !j.stopped {
		j.fault = err.Error()
	}
}

type apiOpener func(context.Context) (control.API, func(), error)

// entryRef is an entry with whose it is: entries of one user keep their order.
type entryRef struct {
	id   uint64
	user connector.User
}

// run goes through the entries. Those of one user are worked on one after the other, oldest first.
func (j *heldJob) run(ctx context.Context, open apiOpener, a *heldAct) error {
	seed := maphash.MakeSeed()
	work := make([]chan entryRef, jobWorkers)
	var wg sync.WaitGroup
	for i := range work {
		work[i] = make(chan entryRef, 4)
		wg.Go(func() {
			for e := range work[i] {
				if ctx.Err() == nil {
					j.one(ctx, open, a, e.id)
				}
			}
		})
	}
	err := j.list(ctx, open, a, func(e entryRef) error {
		at := e.id % jobWorkers
		if e.user != (connector.User{}) {
			at = maphash.Comparable(seed, e.user) % jobWorkers
		}
		select {
		case work[at] <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for _, c := range work {
		close(c)
	}
	wg.Wait()
	return err
}

// list gives the entries that are meant, oldest first, a page at a time.
func (j *heldJob) list(ctx context.Context, open apiOpener, a *heldAct, fn func(entryRef) error) error {
	for ids := range slices.Chunk(a.Scope.IDs, jobPage) {
		for _, id := range ids {
			e := entryRef{id: id}
			if x, err := j.entry(ctx, open, id); err == nil {
				e.user = x.User
			}
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	if a.Scope.IDs != nil {
		return nil
	}
	f := a.Scope.entryFilter()
	f.Limit = jobPage
	for {
		api, done, err := open(ctx)
		if err != nil {
			return err
		}
		list, err := api.Entries(ctx, f)
		done()
		if err != nil && len(list) == 0 {
			return err
		}
		for i := range list {
			if err := fn(entryRef{list[i].ID, list[i].User}); err != nil {
				return err
			}
		}
		if len(list) < jobPage {
			return nil
		}
		f.After = list[len(list)-1].ID
	}
}

func (j *heldJob) entry(ctx context.Context, open apiOpener, id uint64) (*connector.Entry, error) {
	api, done, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return api.Entry(ctx, id)
}

// one works on one entry and counts how that ended.
func (j *heldJob) one(ctx context.Context, open apiOpener, a *heldAct, id uint64) {
	err := j.attempt(ctx, open, a, id)
	for until := time.Now().Add(jobReturns); interrupted(err) && time.Now().Before(until); {
		select {
		case <-time.After(jobAgain):
		case <-ctx.Done():
			return // what was stopped is left
		}
		// A reload took the pipeline away that was asked: it may have done it, and told nobody.
		done, lerr := j.ended(ctx, open, id)
		if err = lerr; err == nil && !done {
			err = j.attempt(ctx, open, a, id)
		}
	}
	if err != nil && ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err())) {
		return // what was stopped is left
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.done++
		return
	}
	j.failed++
	kind := connector.ReasonKind(refusal(err))
	if _, ok := j.again[kind]; !ok && len(j.again) >= jobReasons {
		kind = ""
	}
	j.again[kind]++
}

// attempt does it once.
func (j *heldJob) attempt(ctx context.Context, open apiOpener, a *heldAct, id uint64) error {
	api, done, err := open(ctx)
	if err != nil {
		return err
	}
	defer done()
	if a.Do == actDiscard {
		return api.Discard(ctx, id, a.Why)
	}
	_, err = api.Retry(ctx, id)
	return err
}

// ended tells whether an entry ended as the job wants it.
func (j *heldJob) ended(ctx context.Context, open apiOpener, id uint64) (bool, error) {
	api, done, err := open(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	e, err := api.Entry(ctx, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, err // another one took its place
	case err != nil:
		return false, err
	case e.Closed == "":
		return false, nil
	}
	word, _, _ := strings.Cut(e.Closed, ":")
	return true, map[bool]error{true: nil, false: errors.New(e.Closed)}[strings.HasPrefix(word, "delivered") || strings.HasPrefix(word, "retried") || word == "discarded"]
}

// interrupted tells whether the process could not say how it ended, since its parts are being exchanged. The socket keeps the words alone.
func interrupted(err error) bool {
	if err == nil {
		return false
	}
	for _, cause := range []error{connector.ErrEnding, control.ErrAway} {
		if errors.Is(err, cause) || strings.HasSuffix(err.Error(), cause.Error()) {
			return true
		}
	}
	return false
}

// refusal is why a change was not accepted, without how the process says that it is held back again.
func refusal(err error) string {
	text := err.Error()
	if _, why, ok := strings.Cut(text, "quarantined: "); ok && why != "" {
		return why
	}
	return text
}

// jobShown is a job as a page shows it.
type jobShown struct {
	ID          int
	Do, Who     string
	Start, End  time.Time
	Total, Done int64
	Failed      int64
	Left        int64
	Share       int // of 100
	Reasons     []jobReason
	Running     bool
	Stopped     bool
	Fault       string
	Poll        int64 // milliseconds
}

type jobReason struct {
	Kind string
	N    int64
}

func (r *request) jobShown(j *heldJob) jobShown {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := jobShown{ID: j.ID, Do: j.Do, Who: j.Who, Start: j.Start, End: j.end, Total: j.total, Done: j.done, Failed: j.failed, Running: j.end.IsZero(), Stopped: j.stopped,
		Fault: j.fault, Poll: jobSlowPoll.Milliseconds()}
	out.Left = max(0, j.total-j.done-j.failed)
	if j.total > 0 {
		out.Share = int(min(100, 100*(j.done+j.failed)/j.total))
	}
	for kind, n := range j.again {
		if kind == "" {
			kind = r.t("quarantine.others")
		}
		out.Reasons = append(out.Reasons, jobReason{kind, n})
	}
	slices.SortFunc(out.Reasons, func(a, b jobReason) int { return int(b.N - a.N) })
	return out
}

func (r *request) heldJob() (*heldJob, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return nil, errNoPage()
	}
	j := r.s.jobs.get(id)
	if j == nil {
		return nil, errPage(http.StatusNotFound, "quarantine.job.gone")
	}
	return j, nil
}

func (s *Server) quarantineJobPage(r *request) error {
	j, err := r.heldJob()
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "quarantine_job", "quarantine.job."+j.Do, r.jobShown(j))
}

func (s *Server) quarantineJobPart(r *request) error {
	j, err := r.heldJob()
	if err != nil {
		return err
	}
	return r.partial("held-job", r.jobShown(j))
}

func (s *Server) quarantineJobStop(r *request) error {
	j, err := r.heldJob()
	if err != nil {
		return err
	}
	if !j.over() {
		j.stop()
		r.record(j.Link(), "quarantine.note.stopped")
	}
	return r.redirect(j.Link(), "quarantine.job.stopping")
}
