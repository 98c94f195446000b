package throwaway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var initdbArgs = []string{"--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"}

// makeCluster fills the data directory: from the cached template of this version if there is one, else with initdb,
// whose result then becomes the template.
func (s *Server) makeCluster(ctx context.Context, cfg Config) error {
	conf, err := configuration(cfg.Settings, s.socketDir())
	if err != nil {
		return err
	}
	template := s.templateDir()
	if template == "" || cfg.OwnIdentifier || s.copyTemplate(template) != nil {
		if err := os.RemoveAll(s.dataDir()); err != nil {
			return fmt.Errorf("clear the data directory: %w", err)
		}
		if err := s.initdb(ctx); err != nil {
			return err
		}
		if template != "" && !cfg.OwnIdentifier {
			// Without a template the next start is slower, nothing else.
			_ = saveTemplate(s.dataDir(), template)
		}
	}
	f, err := os.OpenFile(filepath.Join(s.dataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the server's settings: %w", err)
	}
	_, err = f.WriteString(conf)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return fmt.Errorf("write the server's settings: %w", err)
	}
	return nil
}

func (s *Server) initdb(ctx context.Context) error {
	if err := s.account.mkdir(s.dataDir()); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	out, err := runToEnd(ctx, s.account.command(s.bin.path("initdb"), append(slices.Clone(initdbArgs), "-D", s.dataDir())...))
	if err != nil {
		return fmt.Errorf("create a cluster with %s: %w; it said:\n%s", s.bin.path("initdb"), err, strings.TrimSpace(out))
	}
	return nil
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// configuration is what is appended to postgresql.conf: the defaults with the caller's settings over them.
func configuration(settings map[string]string, socketDir string) (string, error) {
	all := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": socketDir,
		"wal_level":               "logical",
		"max_wal_senders":         "20",
		"max_replication_slots":   "20",
		"fsync":                   "off",
		"full_page_writes":        "off",
		"shared_buffers":          "64MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C",
	}
	if len(socketDir) > socketPathMax {
		all["unix_socket_directories"] = "" // the path would not fit into a socket address; TCP is enough
	}
	maps.Copy(all, settings)
	var b strings.Builder
	b.WriteString("\n# Set by the starter.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !settingName.MatchString(name) {
			return "", fmt.Errorf("write the server's settings: %q is no name of a setting", name)
		}
		value := all[name]
		if strings.ContainsAny(value, "\n\r\x00") {
			return "", fmt.Errorf("write the server's settings: the value of %s holds a line break or a zero byte", name)
		}
		value = strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value)
		fmt.Fprintf(&b, "%s = '%s'\n", name, value)
	}
	return b.String(), nil
}

// templateDir is where the cluster template of these programs lies, "" when there is no cache folder.
func (s *Server) templateDir() string {
	cache, err := cacheDir()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{s.bin.version, s.bin.dir}, initdbArgs...), "\x00")))
	return filepath.Join(cache, "cluster-"+s.bin.version+"-"+hex.EncodeToString(sum[:6]))
}

func (s *Server) copyTemplate(template string) error {
	return copyTree(template, s.dataDir(), s.account.own)
}

// saveTemplate publishes a copy under its final name in one step, so that no one starts from half a cluster.
func saveTemplate(data, template string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(template), "new-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := copyTree(data, filepath.Join(tmp, "c"), func(string) error { return nil }); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, "c"), template)
}

// copyTree copies folders and plain files, which is all that a cluster at rest has, and calls own for each.
func copyTree(from, to string, own func(string) error) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			err = os.Mkdir(target, 0o700)
		case d.Type().IsRegular():
			err = copyFile(path, target)
		default:
			err = fmt.Errorf("copy %s: neither a folder nor a plain file", path)
		}
		if err != nil {
			return err
		}
		return own(target)
	})
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if errClose := dst.Close(); err == nil {
		err = errClose
	}
	return err
}

// cacheDir is the folder that keeps templates and fetched programs between runs. Root's lies where the account that
// the server runs under can enter, and does not depend on HOME.
func cacheDir() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
	}
	dir := filepath.Join(base, "brazecdc", "postgres")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	return dir, nil
}
