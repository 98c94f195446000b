package throwaway

// GuardPID is the guard's process id, for tests that kill it.
func (s *Server) GuardPID() int { return s.guard.cmd.Process.Pid }

// Root is the directory that Stop removes, with data, sockets and log in it.
func (s *Server) Root() string { return s.dir }

// SetShared puts the state of Shared where a failed start would leave it, and returns what undoes that.
func SetShared(err error) (undo func()) {
	shared.Lock()
	defer shared.Unlock()
	server, was := shared.server, shared.err
	shared.server, shared.err = nil, err
	return func() {
		shared.Lock()
		defer shared.Unlock()
		shared.server, shared.err = server, was
	}
}

var (
	Configuration   = configuration
	CompareVersions = compareVersions
	PlainName       = plainName
	Sweep           = sweep
	LockOwner       = lockOwner
)

const DirPrefix = dirPrefix
