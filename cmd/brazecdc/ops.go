package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

func newOps(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ops",
		Short: "Print alert rules for Prometheus, a board for Grafana, and what somebody who helps needs to see",
		Long: `ops prints what a monitoring system takes: alert rules for Prometheus and a board for Grafana, both over what /metrics serves. And it prints what to hand to
somebody who helps.`,
		Example: `  brazecdc ops alerts > brazecdc.rules.yml
  brazecdc ops dashboard > brazecdc.json
  brazecdc ops support > support.txt`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("say which: alerts, dashboard or support") },
	}
	cmd.AddCommand(newOpsAlerts(p), newOpsDashboard(p), newOpsSupport(p))
	return cmd
}

func newOpsAlerts(p *program) *cobra.Command {
	pages, disk := "", 20
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Print alert rules for Prometheus",
		Long: `alerts prints a file of rules for Prometheus. Their severity is page (it wakes someone), warn or info. Each leads to its text under /help of the pages, whose
address --pages names. BrazecdcStoreLarge needs to know how large the disk of data/ is: --disk.`,
		Example: "  brazecdc ops alerts --pages https://brazecdc.example.com --disk 50 > brazecdc.rules.yml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			u, err := url.Parse(pages)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return usagef("--pages %q is no address such as https://brazecdc.example.com", pages)
			}
			if disk < 1 {
				return usagef("--disk %d: want the size in GiB", disk)
			}
			text, err := yaml.MarshalWithOptions(alertFile(strings.TrimSuffix(pages, "/"), disk), yaml.UseLiteralStyleIfMultiline(true))
			if err != nil {
				return fmt.Errorf("write the rules: %w", err)
			}
			p.printf("# Alert rules of brazecdc for Prometheus, made by \"brazecdc ops alerts\".\n%s", text)
			return nil
		},
	}
	cmd.Flags().StringVar(&pages, "pages", "http://127.0.0.1:8080", "`address` under which people reach the pages")
	cmd.Flags().IntVar(&disk, "disk", disk, "size in `GiB` of the disk that data/ lies on")
	return cmd
}

func newOpsDashboard(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "dashboard",
		Short: "Print a board for Grafana",
		Long: `dashboard prints a board as JSON. Grafana imports it (Dashboards, New, Import) and asks for its Prometheus. It can be narrowed to instances and models;
applied configurations and stops are marked on the time axis.`,
		Example: "  brazecdc ops dashboard > brazecdc.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := json.MarshalIndent(board(), "", "  ")
			if err != nil {
				return fmt.Errorf("write the board: %w", err)
			}
			p.printf("%s\n", text)
			return nil
		},
	}
}
