package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/trace"
)

type traceCommand struct {
	ID     string `arg:"" name:"rrn" optional:"" default:"last" help:"${trace_id}"`
	Full   bool   `help:"${trace_full}"`
	Reveal bool   `help:"${flag_reveal}"`
	dataFlag
}

// Run shows a payment: of the network that runs, else of the last demo or tap.
func (c traceCommand) Run(ctx context.Context, s *session) error {
	records, saved, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	if c.Reveal && !s.json {
		fmt.Fprintln(s.err, s.text(lang.TraceNotReveal))
	}
	if s.json {
		return s.traceJSON(records)
	}
	if !saved.IsZero() {
		s.line(s.screen.Dim(s.text(lang.TraceSaved, saved.Local().Format("2006-01-02 15:04:05"))))
	}
	options := s.explainOptions(c.Reveal)
	if c.Full {
		return trace.Full(s.out, records, options)
	}
	if err := trace.Render(s.out, records, options); err != nil {
		return fmt.Errorf("print the trace: %w", err)
	}
	s.because(s.out, glossary.Term{}, lang.Fill(lang.TraceNext, c.ID))
	return nil
}

// traceJSON writes the records as one object, as every command does.
func (s *session) traceJSON(records []trace.Record) error {
	var lines bytes.Buffer
	if err := trace.JSON(&lines, records); err != nil {
		return err
	}
	out := struct {
		Records []json.RawMessage `json:"records"`
	}{[]json.RawMessage{}}
	for line := range bytes.Lines(lines.Bytes()) {
		out.Records = append(out.Records, bytes.TrimSpace(line))
	}
	return s.printJSON(s.out, out)
}

// find looks in the running network, and when none runs among what was saved; saved is when.
func (c traceCommand) find(ctx context.Context, s *session) (records []trace.Record, saved time.Time, err error) {
	missing := &problem{code: exitNo, what: lang.Fill(lang.TraceNone, printableID(c.ID)), why: lang.TraceNoneUp, next: lang.TraceNoneNext}
	client, err := app.Dial(ctx, c.dir(s), currency)
	if err == nil {
		text, err := client.TraceOf(ctx, c.ID)
		if errors.Is(err, app.ErrNoTrace) {
			return nil, time.Time{}, missing
		}
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("ask the network for the trace: %w", err)
		}
		records, err = trace.Load(bytes.NewReader(text))
		return records, time.Time{}, err
	}
	if !errors.Is(err, app.ErrNotRunning) {
		return nil, time.Time{}, fmt.Errorf("talk to the network on %s: %w", c.dir(s), err)
	}
	shelf, err := s.shelf()
	if err != nil {
		return nil, time.Time{}, err
	}
	records, saved, err = shelf.find(c.ID)
	switch {
	case errors.Is(err, errNotSaved):
		missing.why = lang.Fill(lang.TraceNoneWhy, c.dir(s))
		return nil, time.Time{}, missing
	case errors.Is(err, trace.ErrFile):
		return nil, time.Time{}, &problem{
			code: exitEnvironment, what: lang.TraceBad,
			why: lang.Verbatim(err.Error()), next: lang.TraceNoneNext, err: err,
		}
	}
	return records, saved, err
}

// printableID is an identifier fit for an error: reference numbers have twelve digits, card numbers more.
func printableID(id string) string {
	if len(strings.Trim(id, "0123456789")) == 0 && len(id) <= 12 {
		return id
	}
	return printable(id)
}

// printFirstTap shows the first tap of a demo.
func (s *session) printFirstTap(r *app.DemoReport, reveal bool) error {
	if err := trace.Render(s.out, r.Trace.Find(r.FirstTap), s.explainOptions(reveal)); err != nil {
		return fmt.Errorf("print the first tap: %w", err)
	}
	return nil
}
