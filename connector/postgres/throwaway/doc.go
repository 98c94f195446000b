// Package throwaway starts a real PostgreSQL server that is gone, with its files, when its starter ends.
//
// Tests, the demo and the figures run against it. Nothing has to be installed by hand where it can be avoided: see
// [Start] for the places the server programs are taken from. A server listens on 127.0.0.1 only, trusts every local
// connection (so it holds nothing worth hiding), and lives in a directory of its own.
//
// Three things see to it that nothing stays behind: Stop at the normal end; on Linux a signal that the kernel sends to
// the server when its starter dies; and a guard, a small shell that waits for its end of a pipe to close, stops the
// server and removes the directory. The last two also work when the starter is killed with SIGKILL.
package throwaway

import "time"

// Config says how a server is started. The zero value is a server with logical replication on a free port.
type Config struct {
	// Settings are server settings that go over the defaults: wal_level=logical, 20 WAL senders and slots, time zone
	// UTC, 64 MB of shared buffers, fsync and full_page_writes off (a crash of the machine may lose data, a crash or
	// kill of the server does not). They stand in postgresql.conf, so ALTER SYSTEM goes over them.
	Settings map[string]string

	// Port is the TCP port on 127.0.0.1; 0 takes a free one.
	Port int

	// Progress is told in one line each what takes time: what is fetched, how large it is, which server starts.
	// It is called by the goroutine that called Start. Nil: silence.
	Progress func(string)

	// Dir is the folder in which the server's own directory is created; empty means os.TempDir.
	Dir string

	// Version asks for a major version ("14" to "18"): the distribution's folder of that version if there is one,
	// else the Maven jar. Empty takes what is at hand.
	Version string

	// OwnIdentifier gives the cluster a system identifier of its own. Without it the cluster is a copy of one made
	// earlier, which starts faster, and all servers of one version share the identifier.
	OwnIdentifier bool
}

const (
	readyTimeout  = 60 * time.Second     // from launch to "ready", crash recovery included
	stopTimeout   = 60 * time.Second     // StopMode
	killAfter     = 8 * time.Second      // Stop: the postmaster itself kills stuck children after 5 s
	pollEvery     = 5 * time.Millisecond // state files of a process that cannot call us
	portAttempts  = 5                    // a free port may be taken between choosing and binding it
	socketPathMax = 100                  // sun_path holds 108 bytes on Linux, 104 on macOS
	dirPrefix     = "brazecdc-pg-"       // of every server's directory
	sweepAge      = 2 * time.Minute      // a directory without a living owner is removed after this
	binEnv        = "BRAZECDC_PG_BIN"    // a folder with postgres and initdb, before all other places
	installHint   = "install the package postgresql (Debian, Ubuntu), postgresql-server (Fedora, RHEL) or postgresql@17 (Homebrew)"
)

func (c Config) say(line string) {
	if c.Progress != nil {
		c.Progress(line)
	}
}
