package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func newHealthcheck(p *program) *cobra.Command {
	var live bool
	var url string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running process whether it is ready, for containers without a shell",
		Long: `healthcheck asks /readyz on web.listen (or /livez with --live), prints the answer, and ends with exit code 0 when it is well and 1 when it is not or
nobody answers. It needs only web.listen of the configuration.

Ready means: no stop is pending, the source is connected, Braze takes the key, the position moves where there is something to move, and data/ can be written.
Live means: the loops of the process turn. A restart mends what is not live; it does not mend what is not ready.`,
		Example: "  brazecdc healthcheck\n  brazecdc healthcheck --live\n  brazecdc healthcheck --url http://127.0.0.1:8080",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				listen, err := p.webListen()
				if err != nil {
					return err
				}
				url = p.webScheme() + "://" + dialable(listen)
			}
			path := "/readyz?verbose"
			if live {
				path = "/livez"
			}
			return p.healthcheck(cmd.Context(), strings.TrimSuffix(url, "/")+path, timeout)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask /livez instead of /readyz")
	cmd.Flags().StringVar(&url, "url", "", "ask this `address` instead of web.listen")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "wait at most so long")
	return cmd
}

func (p *program) healthcheck(ctx context.Context, url string, timeout time.Duration) error {
	body, ok, err := askHealth(ctx, url, timeout)
	if err != nil {
		return err
	}
	p.printf("%s", body)
	if !ok {
		return &silentError{code: 1}
	}
	return nil
}

// askHealth gives what a process answers about its health, and whether it is well.
func askHealth(ctx context.Context, url string, timeout time.Duration) (text string, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", false, usagef("--url: %w", err)
	}
	client := http.DefaultClient
	if req.URL.Scheme == "https" && isLoopback(req.URL.Host) {
		// The certificate names the pages' host, not this machine, and nobody can stand in between.
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // loopback only
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", false, &connector.StopError{Code: 1, What: "nobody answers at " + url, Err: err,
			Fix: `is "brazecdc run" up, and is this its web.listen? --url names another address`}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", false, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		return "", false, &connector.StopError{Code: 1, What: url + " answers " + resp.Status + ", and not as brazecdc does",
			Fix: "--url takes the address without a path, like http://127.0.0.1:8080"}
	}
	return string(body), resp.StatusCode == http.StatusOK, nil
}

// notReadyProcess begins what /readyz says of the process itself; with comingUp of one that looks at its source for the first time.
const notReadyProcess, comingUp = "[-] process: ", "starting"

// stayWithin is how long the pages of a process that has stopped are waited for.
const stayWithin = time.Second

// pagesStay gives the address of the pages of a process that has stopped otherwise (web.stay), "" where there are none.
func (p *program) pagesStay(ctx context.Context, stop *control.Stop) string {
	if stop == nil || stop.Code < connector.ExitRights || stop.Code > connector.ExitEndpointWrong {
		return ""
	}
	listen, err := p.webListen()
	if err != nil {
		return ""
	}
	address := p.webScheme() + "://" + dialable(listen)
	text, ok, err := askHealth(ctx, address+"/readyz", stayWithin)
	if err != nil || ok || !strings.HasPrefix(text, notReadyProcess) || !strings.Contains(text, stop.Reason) {
		return ""
	}
	return address
}

// dialable turns an address to listen on into one to connect to: an unspecified host becomes loopback.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
