package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
)

func newUI(p *program) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve the pages without moving changes: set things up, look, repair",
		Long: `ui serves the pages in a browser and moves no changes itself.

Without a configuration file it begins with the first steps: source, Braze, table, fields. With a file that has faults it shows them. Beside a running
process it is that process' client, over the socket in data/; the process serves the same pages on web.listen.`,
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
	ctx, stop := interruptible(ctx)
	defer stop()
	if !isLoopback(addr) {
		return usagef("--listen %s is open to other machines without a sign-in: use a loopback address", addr)
	}
	log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	pages, err := p.pages(&pageParts{log: log})
	if err != nil {
		return err
	}
	l, err := listenOn("--listen", addr)
	if err != nil {
		return err
	}
	stopPages := servePages(l, pages, nil, log)
	p.printf("The pages are on http://%s/  Ctrl-C ends them.\n", l.Addr())
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	stopPages(closing)
	return nil
}
