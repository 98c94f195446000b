package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/draft"
	"brazecdc/connector/web"
)

func newUser(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Say who may sign in to the pages",
		Long: `user edits web.users in the configuration file: name, role and the hash of a password. A viewer reads everything, with the values of rows masked; an editor
changes things. The file's comments and order stay. A process that serves the pages takes a change within seconds, and a changed password ends the
sessions that began with the old one.

As long as there are no users, the pages need no sign-in and are served on loopback only.`,
		Example: "  brazecdc user list\n  brazecdc user add kim --role editor\n  brazecdc user passwd kim\n  brazecdc user remove kim",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return usagef("user needs one of list, add, passwd, remove") },
	}
	cmd.AddCommand(newUserList(p), newUserAdd(p), newUserPasswd(p), newUserRemove(p))
	return cmd
}

func newUserList(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Show who may sign in, and their roles",
		Example: "  brazecdc user list\n  brazecdc user list --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return p.listUsers(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newUserAdd(p *program) *cobra.Command {
	var role string
	var proxied bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add somebody who may sign in",
		Long: `add asks twice for the new user's password on a terminal; elsewhere it reads it from the first line of standard input. It has 10 to 256 characters.`,
		Example: `  brazecdc user add kim --role editor
  pass show brazecdc/kim | brazecdc user add kim --role viewer
  brazecdc user add kim --role editor --no-password   # behind web.proxy`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.addUser(args[0], role, proxied) },
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "viewer or editor")
	cmd.Flags().BoolVar(&proxied, "no-password", false, "the proxy of web.proxy signs this person in")
	return cmd
}

func newUserPasswd(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "passwd NAME", Short: "Give a user another password, which ends their sessions",
		Example: "  brazecdc user passwd kim",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.changePassword(args[0]) },
	}
}

func newUserRemove(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take a user's access away, which ends their sessions",
		Long:    `remove takes one user out. The last one can be removed only while web.listen is a loopback address: then the pages need no sign-in any more.`,
		Example: "  brazecdc user remove kim",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.removeUser(args[0]) },
	}
}

// access reads web of the configuration, also of one with faults elsewhere.
func (p *program) access() (*config.Web, error) {
	text, err := config.ReadFile(p.config)
	if err != nil {
		return nil, p.loadError(err)
	}
	cfg, faults := config.Partial(p.config, text, os.LookupEnv, config.SecretFiles(p.config))
	if cfg == nil {
		return nil, configFaults(faults)
	}
	var own config.Faults
	for _, f := range faults {
		if strings.HasPrefix(f.Path, "web.users") && !f.Warn {
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		return nil, configFaults(own)
	}
	return &cfg.Web, nil
}

func (p *program) listUsers(asJSON bool) error {
	w, err := p.access()
	if err != nil {
		return err
	}
	type line struct {
		Name     string `json:"name"`
		Role     string `json:"role"`
		Password bool   `json:"password"`
	}
	lines := make([]line, 0, len(w.Users))
	for _, u := range w.Users {
		lines = append(lines, line{u.Name, u.Role, u.Password != ""})
	}
	if asJSON {
		return p.printJSON(lines)
	}
	if len(lines) == 0 {
		p.printf("Nobody: the pages need no sign-in and are served on loopback only. \"brazecdc user add NAME\" adds the first user.\n")
		return nil
	}
	t := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	for _, l := range lines {
		by := "password"
		if !l.Password {
			by = "proxy"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.Name, l.Role, by)
	}
	return t.Flush()
}

func (p *program) addUser(name, role string, proxied bool) error {
	if role != "viewer" && role != "editor" {
		return usagef("--role %s: choose viewer or editor", role)
	}
	if !config.ValidUserName(name) {
		return usagef("%q is not a name to sign in with: up to 64 characters without quotes, slashes and spaces around it", name)
	}
	w, err := p.access()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(w.Users, func(u config.WebUser) bool { return u.Name == name }) {
		return usagef("there is a user %s already; \"brazecdc user passwd %s\" changes the password", name, name)
	}
	entry := config.Map("name", name, "role", role)
	if proxied {
		if w.Proxy.Header == "" {
			return usagef("--no-password needs web.proxy, which then signs people in")
		}
	} else {
		hash, err := p.newPassword(name)
		if err != nil {
			return err
		}
		entry = config.Map("name", name, "role", role, "password", hash)
	}
	if err := p.editUsers("core.activity.user_added", []string{name, role}, config.Edit{Path: "web.users[+]", Value: entry}); err != nil {
		return err
	}
	p.printf("%s may sign in as %s.\n", name, role)
	if w.Listen == "" {
		p.printf("web.listen is empty, so the pages are not served by \"brazecdc run\".\n")
	}
	return nil
}

func (p *program) changePassword(name string) error {
	at, _, err := p.findUser(name)
	if err != nil {
		return err
	}
	hash, err := p.newPassword(name)
	if err != nil {
		return err
	}
	if err := p.editUsers("core.activity.user_password", []string{name}, config.Edit{Path: fmt.Sprintf("web.users[%d].password", at), Value: hash}); err != nil {
		return err
	}
	p.printf("%s has a new password; sessions that began with the old one end.\n", name)
	return nil
}

func (p *program) removeUser(name string) error {
	at, w, err := p.findUser(name)
	if err != nil {
		return err
	}
	if len(w.Users) == 1 && w.Proxy.Header == "" && w.Listen != "" && !isLoopback(w.Listen) {
		return usagef("%s is the last user, and web.listen %s is open to other machines: add another first, or listen on 127.0.0.1", name, w.Listen)
	}
	if err := p.editUsers("core.activity.user_removed", []string{name}, config.Edit{Path: fmt.Sprintf("web.users[%d]", at), Remove: true}); err != nil {
		return err
	}
	p.printf("%s can't sign in any more.\n", name)
	if len(w.Users) == 1 && w.Proxy.Header == "" {
		p.printf("That was the last user: a process that is started now serves its pages on loopback, without a sign-in.\n")
	}
	return nil
}

func (p *program) findUser(name string) (at int, w *config.Web, err error) {
	if w, err = p.access(); err != nil {
		return 0, nil, err
	}
	at = slices.IndexFunc(w.Users, func(u config.WebUser) bool { return u.Name == name })
	if at < 0 {
		names := make([]string, 0, len(w.Users))
		for _, u := range w.Users {
			names = append(names, u.Name)
		}
		return 0, nil, usagef("there is no user %s; there are: %s", name, orElse(strings.Join(names, ", "), "none"))
	}
	return at, w, nil
}

// editUsers writes the file and notes who did it.
func (p *program) editUsers(key string, args []string, edit config.Edit) error {
	store, err := draft.Open(p.config, filepath.Join(p.beside(p.glance().Data.Path), "pages"))
	if err != nil {
		return err
	}
	who := "?"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	err = store.EditFile(draft.Activity{Who: who, From: draft.FromCLI, What: draft.Sentence{Key: key, Args: args}, Link: "/settings"}, edit)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, draft.ErrReadOnly) {
		return &connector.StopError{Code: 1, What: "write " + p.config, Err: err, Fix: "run this as the user that owns the file, or change web.users where the file is managed"}
	}
	return err
}

// newPassword asks for a password and gives its hash.
func (p *program) newPassword(name string) (string, error) {
	in := bufio.NewReader(p.in)
	password, err := p.askHidden(in, fmt.Sprintf("Password of %s: ", name))
	if err != nil {
		return "", err
	}
	if isTerminal(p.in) {
		again, err := p.askHidden(in, "The same again: ")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", usagef("the two were not the same; nothing was changed")
		}
	}
	hash, err := web.HashPassword(password)
	if err != nil {
		return "", usagef("%w; nothing was changed", err)
	}
	return hash, nil
}

// askHidden reads a line that the terminal does not show; elsewhere a line as it comes.
func (p *program) askHidden(in *bufio.Reader, question string) (string, error) {
	if isTerminal(p.in) {
		fmt.Fprint(p.err, question)
		if p.stty("-echo") == nil {
			show := func() {
				_ = p.stty("echo")
				fmt.Fprintln(p.err)
			}
			defer show()
			// Who ends the command here gets the terminal back as it was.
			ctx, stop := interruptible(context.Background())
			defer stop()
			defer context.AfterFunc(ctx, func() { show(); p.exit(130) })()
		}
	}
	line, err := in.ReadString('\n')
	if err != nil && line == "" {
		return "", usagef("no password came; write it on the first line of standard input")
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// stty sets whether the terminal shows what is typed.
func (p *program) stty(mode string) error {
	cmd := exec.Command("stty", mode)
	cmd.Stdin = p.in
	return cmd.Run()
}
