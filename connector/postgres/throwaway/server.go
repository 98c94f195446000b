package throwaway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is one running (or stopped) server. All methods may be called concurrently.
type Server struct {
	dir     string // holds data, sock, server.log and owner; removed by Stop
	bin     binaries
	account account
	port    int
	guard   *guard
	owner   *os.File // holds the lock that tells a sweep of another process that we live

	mu      sync.Mutex // guards proc and gone, and serialises start and stop
	proc    *process
	gone    bool
	dbCount int
}

// Start starts a server and returns when it accepts connections.
//
// The programs postgres and initdb come from the first of these places that has them: the folder named by the
// environment variable BRAZECDC_PG_BIN, the PATH, the distribution's folders (the newest version), `apt-get install
// postgresql` when run as root on Debian or its kin (no cluster is created or started by it), the Maven jar
// io.zonky.test.postgres:embedded-postgres-binaries-* when mvn is present. Else the error names the package to install.
//
// PostgreSQL refuses to run as root, so a process of root runs it under the account postgres or nobody.
// ctx bounds the start only, not the life of the server.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(ctx, cfg, who)
	if err != nil {
		return nil, err
	}
	base := cfg.Dir
	if base == "" {
		base = os.TempDir()
	}
	sweep(base)
	if who.switched && !who.reaches(base) {
		return nil, fmt.Errorf("start PostgreSQL in %s: the account %s, which the server runs under because it refuses root, may not enter that folder; "+
			"set TMPDIR to a folder that every account may enter", base, who.name)
	}
	s, err := newServer(base, bin, who)
	if err != nil {
		return nil, err
	}
	if err := s.setUp(ctx, cfg); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// newServer makes the server's directory and sets the guard over it.
func newServer(base string, bin binaries, who account) (*Server, error) {
	dir, err := os.MkdirTemp(base, dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("create the server's directory: %w", err)
	}
	s := &Server{dir: dir, bin: bin, account: who}
	if s.owner, err = lockOwner(dir); err == nil {
		s.guard, err = startGuard(dir)
	}
	if err == nil && who.switched {
		err = os.Chmod(dir, 0o711) // the account passes through, and reads nothing
	}
	if err == nil {
		err = who.mkdir(s.socketDir())
	}
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("prepare the server's directory: %w", err)
	}
	return s, nil
}

func (s *Server) setUp(ctx context.Context, cfg Config) error {
	if err := s.makeCluster(ctx, cfg); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 1; ; attempt++ {
		s.port = cfg.Port
		if s.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		cfg.say(fmt.Sprintf("starting PostgreSQL %s from %s on 127.0.0.1:%d", s.bin.version, s.bin.dir, s.port))
		err := s.launch(ctx)
		if err == nil {
			return nil
		}
		if cfg.Port != 0 || attempt == portAttempts || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// errPortTaken and errMemoryInUse are ends of a launch after which another one may work.
var (
	errPortTaken   = errors.New("the port is taken")
	errMemoryInUse = errors.New("processes of the server's last run are still ending")
)

// launch starts the postmaster and waits until it accepts connections. The caller holds mu.
func (s *Server) launch(ctx context.Context) error {
	logFile, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer logFile.Close()
	from, _ := logFile.Seek(0, 2) // only what this launch writes is quoted in its errors
	args := []string{"-D", s.dataDir(), "-p", strconv.Itoa(s.port)}
	p, err := startProcess(s.account.command(s.bin.path("postgres"), args...), logFile, s.guard)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.bin.path("postgres"), err)
	}
	s.proc = p
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err = poll(ctx, p.exited, func() bool { return s.ready(p.pid) })
	if err == nil {
		return nil
	}
	said := tail(s.LogFile(), from)
	switch {
	case !errors.Is(err, errExited):
		p.end(syscall.SIGQUIT, killAfter)
		return fmt.Errorf("wait for PostgreSQL to accept connections: %w; it said:\n%s", err, said)
	case strings.Contains(said, "could not create any TCP/IP sockets"):
		return fmt.Errorf("start PostgreSQL on 127.0.0.1:%d: %w; it said:\n%s", s.port, errPortTaken, said)
	case strings.Contains(said, "pre-existing shared memory block"):
		return fmt.Errorf("start PostgreSQL: %w; it said:\n%s", errMemoryInUse, said)
	default:
		return fmt.Errorf("start PostgreSQL: %w; it said:\n%s", p.fault(), said)
	}
}

// ready reads postmaster.pid: line 1 is the process, line 8 its state (PostgreSQL source, miscadmin.h,
// LOCK_FILE_LINE_PM_STATUS). That needs no connection, and says exactly when one would work.
func (s *Server) ready(pid int) bool {
	b, err := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// Stop ends the server at once, as an immediate shutdown does, and removes its directory. It may be called at any time
// and more than once.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	if s.proc != nil {
		s.proc.end(syscall.SIGQUIT, killAfter)
	}
	// What cannot be removed here the guard tries once more when its pipe closes.
	_ = os.RemoveAll(s.dir)
	s.guard.close()
	if s.owner != nil {
		_ = s.owner.Close()
	}
}

// StopMode ends the server and keeps its directory, so that Restart can follow. The modes are those of pg_ctl: "smart"
// waits for the clients to leave, "fast" ends their sessions and writes a checkpoint, "immediate" is a crash after
// which the next start recovers from the WAL. The end is waited for, at most 60 seconds.
func (s *Server) StopMode(mode string) error {
	signals := map[string]syscall.Signal{"smart": syscall.SIGTERM, "fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}
	sig, ok := signals[mode]
	if !ok {
		return fmt.Errorf("stop PostgreSQL: mode %q is none of smart, fast, immediate", mode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	if !s.proc.signalAndWait(sig, stopTimeout) {
		return fmt.Errorf("stop PostgreSQL in mode %s: still running after %s (a client that does not leave, or a WAL receiver that does not answer)", mode, stopTimeout)
	}
	return nil
}

// Restart starts the server again on the same port with the same data. A running server is first stopped in mode fast,
// and in mode immediate if a client holds that up; one that crashed, or was stopped or killed, just starts.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return errors.New("restart PostgreSQL: it was stopped for good")
	}
	if s.proc != nil && !s.proc.signalAndWait(syscall.SIGINT, killAfter) {
		s.proc.end(syscall.SIGQUIT, killAfter)
	}
	for {
		err := s.launch(ctx)
		if !errors.Is(err, errMemoryInUse) {
			return err
		}
		select { // the kernel says nothing when another process's children are gone
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// URL is the connection string of a database, for the superuser postgres. An empty name is the database "postgres".
func (s *Server) URL(db string) string {
	if db == "" {
		db = "postgres"
	}
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: s.Addr(), Path: "/" + db, RawQuery: "sslmode=disable"}
	return u.String()
}

// Addr is the host and port the server listens on. It stays the same over a Restart.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is the TCP port the server listens on.
func (s *Server) Port() int { return s.port }

// Dir is the server's data directory (PGDATA). Stop removes it.
func (s *Server) Dir() string { return s.dataDir() }

// LogFile is the file with all that the server wrote to its log since Start.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "server.log") }

// PID is the process id of the postmaster, 0 while none runs.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.proc.ended() {
		return 0
	}
	return s.proc.pid
}

// Version is the server's version, "15.14" for example.
func (s *Server) Version() string { return s.bin.version }

// Major is the server's major version as a number, 15 for example.
func (s *Server) Major() int { return s.bin.major() }

// CreateDatabase creates an empty database in UTF8. The name may hold any character.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.exec(ctx, fmt.Sprintf("create database %q", name), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// exec runs one statement on the database postgres; doing says it in words for the error.
func (s *Server) exec(ctx context.Context, doing, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.URL(""))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func (s *Server) dataDir() string   { return filepath.Join(s.dir, "data") }
func (s *Server) socketDir() string { return filepath.Join(s.dir, "sock") }

// tail is the end of a log from an offset on, as much as is worth reading in an error.
func tail(file string, from int64) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "(log not readable: " + err.Error() + ")"
	}
	b = b[min(from, int64(len(b))):]
	const most = 4 << 10
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}

// sweep removes directories whose owner and guard were both killed. The lock on the owner file tells: the kernel
// releases it with the process, also where process ids say nothing (another container on the same folder).
func sweep(base string) {
	dirs, err := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < sweepAge || !ownedByUs(info) || hasLivingOwner(dir) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, "data", "postmaster.pid")); !errors.Is(err, fs.ErrNotExist) {
			// The server may still be running: taking its lock file away makes it end within a minute,
			// and the next sweep removes the rest.
			_ = os.Remove(filepath.Join(dir, "data", "postmaster.pid"))
			continue
		}
		_ = os.RemoveAll(dir)
	}
}
