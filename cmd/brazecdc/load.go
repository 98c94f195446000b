package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/draft"
	"brazecdc/connector/state"
)

// load reads the configuration. Faults of it are one StopError with exit code 3.
func (p *program) load() (*config.Config, error) {
	cfg, _, err := p.loadText()
	return cfg, err
}

// loadReading is load for who only reads data/: it matters to nobody there that a variable or a secret's file is missing in this shell. Whole tells that none
// was.
func (p *program) loadReading() (cfg *config.Config, whole bool, err error) {
	cfg, err = p.load()
	if err == nil {
		return cfg, true, nil
	}
	text, terr := p.written()
	if terr != nil {
		return nil, false, err
	}
	cfg, faults := config.Partial(p.config, text, p.env, config.SecretFiles(p.config))
	if cfg == nil || slices.ContainsFunc(faults, func(f config.Fault) bool { return !f.Warn && !f.Unset }) {
		return nil, false, err
	}
	if b := &cfg.Braze; b.Workspace == "" || b.Endpoint == "" {
		workspace, endpoint, ok, berr := state.OnlyBinding(p.beside(cfg.Data.Path))
		if berr != nil || !ok || b.Workspace != "" && b.Workspace != workspace || b.Endpoint != "" && b.Endpoint != endpoint {
			return nil, false, err
		}
		b.Workspace, b.Endpoint = workspace, endpoint
	}
	return cfg, false, nil
}

// loadText is load that also gives the file's text.
func (p *program) loadText() (*config.Config, []byte, error) {
	text, err := p.written()
	if err != nil {
		return nil, nil, p.loadError(err)
	}
	cfg, err := p.parse(text)
	if err != nil {
		return nil, nil, p.loadError(err)
	}
	return cfg, text, nil
}

// written is the text that a command works with: the file's or, with --draft, that of the pages' draft, where there is one.
func (p *program) written() ([]byte, error) {
	folder := p.draftFolder()
	if _, err := os.Stat(folder); !p.draft || err != nil {
		return config.ReadFile(p.config)
	}
	store, err := draft.Open(p.config, folder)
	if err != nil {
		return nil, err
	}
	v, err := store.View()
	if err != nil || v.Pending {
		return v.Text, err
	}
	return config.ReadFile(p.config)
}

// draftFolder is where the pages keep their draft and its versions.
func (p *program) draftFolder() string {
	return filepath.Join(p.beside(p.glance().Data.Path), "pages")
}

// draftFlag lets a command look at the pages' draft.
func (p *program) draftFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.draft, "draft", false, "work with the draft that was made in the pages and is not applied yet, in place of the file")
}

// parse reads a text as the configuration file. The error is config.Faults where the content is at fault.
func (p *program) parse(text []byte) (*config.Config, error) {
	cfg, err := config.ParseText(p.config, text, p.env)
	if err != nil {
		return nil, err
	}
	if faults := columnFaults(cfg); len(faults) > 0 {
		return nil, faults
	}
	return cfg, nil
}

func (p *program) loadError(err error) error {
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		return configFaults(faults)
	case errors.Is(err, fs.ErrNotExist):
		return &connector.StopError{
			Code: connector.ExitConfig, What: fmt.Sprintf("there is no configuration file %s", p.config),
			Fix: "name it with --config, or write one with \"brazecdc init\"",
		}
	}
	return &connector.StopError{Code: connector.ExitConfig, What: "the configuration can't be read", Err: err}
}

// configFaults words faults as one error, a line each.
func configFaults(faults config.Faults) error {
	n := 0
	lines := make([]string, 0, len(faults))
	for _, f := range faults {
		if !f.Warn {
			n++
		}
		lines = append(lines, "  "+f.Error())
	}
	return &connector.StopError{
		Code: connector.ExitConfig,
		What: fmt.Sprintf("%s in the configuration:\n%s", plural(n, "fault"), strings.Join(lines, "\n")),
		Fix:  "mend these lines; \"brazecdc check\" shows everything at once",
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// opsAddress is where health and metrics are served: ops.listen, else web.listen.
func opsAddress(cfg *config.Config) string {
	if cfg.Ops.Listen != "" {
		return cfg.Ops.Listen
	}
	return cfg.Web.Listen
}
