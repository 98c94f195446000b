package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// isTerminal tells whether f is a character device, as a terminal is and a pipe or file is not, other than the null device.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// printf writes to standard output. A reader that went away (a closed pipe) ends the process by its signal; other faults can't be told anybody.
func (t terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// warnf writes to standard error.
func (t terminal) warnf(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format, args...) }

func (t terminal) printJSON(v any) error { return t.encode(v, "  ") }

// printLine prints JSON on one line.
func (t terminal) printLine(v any) error { return t.encode(v, "") }

func (t terminal) encode(v any, indent string) error {
	enc := json.NewEncoder(t.out)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// color wraps s where the stream is a terminal that shows colors; NO_COLOR (set to anything) and TERM=dumb turn it off.
func color(to io.Writer, code, s string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(to) {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t terminal) red(s string) string    { return color(t.err, "31", s) }
func (t terminal) fail(s string) string   { return color(t.out, "31", s) }
func (t terminal) bold(s string) string   { return color(t.out, "1", s) }
func (t terminal) faint(s string) string  { return color(t.out, "2", s) }
func (t terminal) green(s string) string  { return color(t.out, "32", s) }
func (t terminal) yellow(s string) string { return color(t.out, "33", s) }

// confirm asks the question and wants the word yes. Without a terminal nobody can be asked, and the answer must come by flag.
func (t terminal) confirm(question string) error { return t.ask(question, "yes") }

// ask asks the question and wants the very answer; see confirm.
func (t terminal) ask(question, want string) error {
	if !isTerminal(t.in) {
		return usagef("this needs a yes, and there is no terminal to ask on; look at what is printed above and add --yes")
	}
	t.printf("%s Type %s to go on: ", question, want)
	line, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && line == "" {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != want {
		t.printf("Nothing was done.\n")
		return &silentError{code: 1}
	}
	return nil
}

// logger makes the program's logger: text on a terminal, JSON elsewhere, or what the configuration says.
func (t terminal) logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("read log.level %q: want debug, info, warn or error", level)
		}
	}
	h, err := t.logHandler(l, format)
	if err != nil {
		return nil, err
	}
	return slog.New(h), nil
}

// logHandler writes log lines of at least a level.
func (t terminal) logHandler(level slog.Level, format string) (slog.Handler, error) {
	opts := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.NewJSONHandler(t.err, opts), nil
	case "text":
		return slog.NewTextHandler(t.err, opts), nil
	case "", "auto":
		if isTerminal(t.err) {
			return slog.NewTextHandler(t.err, opts), nil
		}
		return slog.NewJSONHandler(t.err, opts), nil
	}
	return nil, fmt.Errorf("read log.format %q: want auto, text or json", format)
}
