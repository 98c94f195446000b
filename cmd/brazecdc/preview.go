package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/kafka"
)

func newPreview(p *program) *cobra.Command {
	var model, key string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preview --model MODEL",
		Short: "Show the exact calls for real rows; nothing is sent",
		Long: `preview reads rows of a model's table and shows what would be sent to Braze if each were inserted, and if it were updated, now: endpoint, the request's
body byte for byte, what is left out and why, and a command for curl, which takes the key from $BRAZE_API_KEY. An insert leaves NULLs out; an update sends
them, so that Braze unsets the field. With --key it shows a delete too. Events, subscriptions and items of a catalog are shown as the calls they become.
Where another row has the same external_id but for blanks, or the same e-mail address, it names that row.

Data points (Braze's legacy contracts): what the call costs if nothing is known of the row, and what the whole row does, NULLs included. What Braze is known to
have is left out and costs none; free fields never cost any.

With a Kafka source it takes the newest records of the model's topic, and shows what each of them means as the change that it is. With --key it shows the row
as the newest record of that key left it, looked for among the newest 20,000.

It reads the source and sends nothing; it works while "brazecdc run" does. It prints values of rows. It ends with exit code 4 when a row would be held back.`,
		Example: "  brazecdc preview --model customers\n  brazecdc preview --model customers --key 1042\n  brazecdc preview --model customers --limit 20 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case model == "":
				return usagef("say which model: --model MODEL")
			case key != "" && cmd.Flags().Changed("limit"):
				return usagef("--key names one row, so --limit has no place beside it")
			case limit < 1:
				return usagef("--limit %d: want a number of rows from 1 on", limit)
			}
			return p.preview(cmd.Context(), model, key, limit, asJSON)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "`name` of the model")
	cmd.Flags().StringVar(&key, "key", "", "`key` of one row; of several key columns column=value,column=value")
	cmd.Flags().IntVar(&limit, "limit", 3, "so many rows, as the server finds them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	p.draftFlag(cmd)
	return cmd
}

// previewed is one row as one operation.
type previewed struct {
	Model     string        `json:"model"`
	Key       string        `json:"key"`
	Operation string        `json:"operation"`
	Calls     []previewCall `json:"calls"`
	LeftOut   []remark      `json:"left_out,omitempty"`
	Notes     []remark      `json:"notes,omitempty"`     // rows that look like the same person
	Nothing   string        `json:"nothing,omitempty"`   // why there is no call
	HeldBack  string        `json:"held_back,omitempty"` // why it would go to quarantine
	effects   []connector.Effect
}

type previewCall struct {
	Method     string          `json:"method"`
	Path       string          `json:"path"`
	Body       json.RawMessage `json:"body"`
	DataPoints int             `json:"data_points"`       // if nothing is known of the row
	Whole      int             `json:"data_points_whole"` // NULLs that this call leaves out included
	Late       bool            `json:"late,omitempty"`    // an event older than max_age: it would not be sent
	Curl       string          `json:"curl"`
}

func (p *program) preview(ctx context.Context, model, key string, limit int, asJSON bool) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	r, err := p.openReader(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.close(context.WithoutCancel(ctx))
	i, table, err := r.model(model)
	if err != nil {
		return err
	}
	if r.topics != nil && key == "" {
		all, err := r.previewTopic(ctx, model, i, limit)
		if err != nil {
			return err
		}
		return p.showPreview(cfg.Models[i].Relation(), all, asJSON)
	}
	var rows []connector.Row
	if key != "" {
		row, err := r.rowOf(ctx, i, key)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	} else if rows, err = r.source.Rows(ctx, connector.Query{Table: table.Name, Limit: limit}); err != nil {
		return err
	}
	all := []previewed{}
	for _, row := range rows {
		for _, op := range r.shows(i, key != "") {
			v, err := r.preview(model, i, op, row)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
	}
	if r.topics == nil {
		r.remarkAlike(ctx, p, i, rows, all)
	}
	return p.showPreview(cfg.Models[i].Relation(), all, asJSON)
}

// shows are the operations that a model's rows are shown as.
func (r *reader) shows(model int, one bool) []connector.Op {
	ops := []connector.Op{connector.Insert}
	m := &r.cfg.Models[model]
	happens := m.Kind == "events" || m.Kind == "purchases"
	if !happens || slices.Contains(m.Event.Ops, "update") {
		ops = append(ops, connector.Update)
	}
	if one && !happens {
		ops = append(ops, connector.Delete)
	}
	return ops
}

func (p *program) showPreview(table string, all []previewed, asJSON bool) error {
	if asJSON {
		if err := p.printJSON(all); err != nil {
			return err
		}
	} else {
		p.printPreview(table, all)
	}
	if slices.ContainsFunc(all, func(v previewed) bool { return v.HeldBack != "" }) {
		return &silentError{code: connector.ExitFaults}
	}
	return nil
}

// previewTopic maps the newest records of a model's topic as the changes that they are.
func (r *reader) previewTopic(ctx context.Context, name string, model, limit int) ([]previewed, error) {
	recs, err := r.topics.sample(ctx, &r.cfg.Models[model], limit)
	if err != nil {
		return nil, err
	}
	all := []previewed{}
	for i := range recs {
		rec := &recs[i]
		at := fmt.Sprintf("partition %d offset %d", rec.Partition, rec.Offset)
		if r.cfg.Models[model].TopicPattern != "" {
			at = rec.Topic + " " + at
		}
		changes, skip, err := r.topics.decode(ctx, rec)
		var bad *kafka.PoisonError
		switch {
		case errors.As(err, &bad):
			all = append(all, previewed{Model: name, Key: at, Operation: "record", HeldBack: bad.Reason, Calls: []previewCall{}})
		case err != nil:
			return nil, fmt.Errorf("decode the record of %s: %w", at, err)
		case len(changes) == 0:
			all = append(all, previewed{Model: name, Key: at, Operation: "record", Nothing: skip, Calls: []previewCall{}})
		}
		for j := range changes {
			m, err := r.change(&changes[j], model, nil)
			if err != nil {
				return nil, err
			}
			all = append(all, r.shown(name, at, changes[j].Op, m))
		}
	}
	return all, nil
}

func (r *reader) preview(name string, model int, op connector.Op, row connector.Row) (previewed, error) {
	m, err := r.as(op, model, row)
	if err != nil {
		return previewed{}, err
	}
	text, _ := keyText(row)
	return r.shown(name, text, op, m), nil
}

func (r *reader) shown(name, key string, op connector.Op, m mapped) previewed {
	v := previewed{Model: name, Key: key, Operation: op.String(), LeftOut: m.remarks, Nothing: m.none, HeldBack: m.held, Calls: []previewCall{}, effects: m.effects}
	for i := range m.effects {
		e := &m.effects[i]
		method, path := braze.Request(e)
		v.Calls = append(v.Calls, previewCall{
			Method: method, Path: path, Body: braze.Body(e.Kind, []connector.Effect{*e}), DataPoints: points(e), Whole: m.whole[i],
			Late: e.Event != nil && e.Event.Old, Curl: curl(r.cfg.Braze.Endpoint, e),
		})
	}
	return v
}

// cost words the data points of a call.
func (c *previewCall) cost() string {
	if c.Whole == c.DataPoints {
		return plural(c.DataPoints, "data point")
	}
	return fmt.Sprintf("%s, %d whole", plural(c.DataPoints, "data point"), c.Whole)
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func (p *program) printPreview(table string, all []previewed) {
	if len(all) == 0 {
		p.printf("%s has no rows to show.\n", table)
		return
	}
	for i, v := range all {
		if i > 0 && all[i-1].Key != v.Key {
			p.printf("\n")
		}
		p.printf("%s\n", p.bold(fmt.Sprintf("%s %s, as %s", v.Model, v.Key, article(v.Operation))))
		switch {
		case v.HeldBack != "":
			p.printf("  %s %s\n", p.red("would be held back:"), v.HeldBack)
		case v.Nothing != "":
			p.printf("  no call: %s\n", v.Nothing)
		}
		for _, c := range v.Calls {
			p.printf("  %s %s   %s\n  %s\n", c.Method, c.Path, p.faint(c.cost()), c.Body)
			if c.Late {
				p.printf("  %s older than max_age, so it would not be sent\n", p.yellow("too late:"))
			}
			if i == 0 {
				p.printf("  %s\n", p.faint(c.Curl))
			}
		}
		for _, left := range v.LeftOut {
			p.printf("  %s %s: %s\n", p.yellow("left out:"), left.Field, left.Reason)
		}
		for _, note := range v.Notes {
			p.printf("  %s %s: %s\n", p.yellow("note:"), note.Field, note.Reason)
		}
	}
	p.printf("\nNothing was sent.\n")
}
