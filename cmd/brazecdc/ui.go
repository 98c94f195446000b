package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

func newUI(p *program) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve the pages: set things up, look, repair",
		Long: `ui serves the pages in a browser. By itself it moves no changes.

Without a configuration file it begins with the first steps: source, Braze, table, fields. Their last one writes the file and starts the stream within this
process, as "brazecdc run" would. With a file that has faults it shows them. Beside a running process it is that process' client, over the socket in data/;
the process serves the same pages on web.listen.`,
		Example: "  brazecdc ui\n  brazecdc ui --listen 127.0.0.1:9000 --config /etc/brazecdc/shop.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return usagef("--listen %s: write host:port, such as 127.0.0.1:8080", addr)
			}
			return p.ui(cmd.Context(), addr)
		},
	}
	cmd.Flags().StringVar(&addr, "listen", "127.0.0.1:8080", "`address` of the pages")
	return cmd
}

func (p *program) ui(ctx context.Context, addr string) error {
	log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	access := newPageAccess(p.config, addr, log)
	if !isLoopback(addr) && !access.now().SignIn {
		return usagef("--listen %s is open to other machines without a sign-in: use a loopback address, or add users with \"brazecdc user add NAME\"", addr)
	}
	st := &starter{p: p}
	ctx, stop := stoppable(ctx,
		func(os.Signal) {
			if st.working() {
				p.printf("\nStopping: delivering what is open; a second Ctrl-C ends at once.\n")
			}
		},
		func(os.Signal) { p.exit(connector.ExitDeadline) })
	defer stop()
	st.life = ctx
	x := &pageParts{log: log, access: access, starter: st}
	pages, err := p.pages(x)
	if err != nil {
		return err
	}
	st.stopped = pages.TellStopped
	own, err := p.ownTLS(addr, log)
	if err != nil {
		return err
	}
	l, err := listenOn("--listen", addr)
	if err != nil {
		return err
	}
	x.webhook.pages = pagesAt(l.Addr(), own != nil) // once a stream runs in here
	stopPages := servePages(l, own, pages, "", nil, log)
	scheme, path := "http", ""
	if own != nil {
		scheme = "https"
	}
	if _, err := os.Stat(p.config); errors.Is(err, fs.ErrNotExist) {
		path = "setup"
	}
	p.printf("The pages are on %s://%s/%s  Ctrl-C ends them.\n", scheme, l.Addr(), path)
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	stopPages(closing)
	x.webhook.close()
	return st.wait()
}

// ownTLS is the certificate that the configuration has for its pages, where these are not on loopback.
func (p *program) ownTLS(addr string, log *slog.Logger) (*tls.Config, error) {
	text, err := config.ReadFile(p.config)
	if isLoopback(addr) || err != nil {
		return nil, nil
	}
	cfg, _ := config.Partial(p.config, text, p.env, config.SecretFiles(p.config))
	if cfg == nil {
		return nil, nil
	}
	return p.serverTLS(cfg.Web.TLS, log)
}
