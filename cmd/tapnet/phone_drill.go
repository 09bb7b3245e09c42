package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type phoneDrillCommand struct {
	Name string `arg:"" optional:"" placeholder:"NAME" help:"${phone_drill_name}"`
	Seed uint64 `default:"1" placeholder:"N" help:"${phone_drill_seed}"`
}

// drillOut is a drill for a program.
type drillOut struct {
	Name  string         `json:"name"`
	Title string         `json:"title"`
	Good  bool           `json:"good"`
	Lines []drillLineOut `json:"lines"`
}

type drillLineOut struct {
	Tried string `json:"tried"`
	Ended string `json:"ended"`
	OK    bool   `json:"ok"`
}

// Run attacks phones in a world of its own. The answer is no when an attack did not end as it must.
func (c phoneDrillCommand) Run(ctx context.Context, s *session) error {
	reports, err := app.Drill(ctx, c.Name, c.Seed)
	switch {
	case errors.Is(err, app.ErrUnknownDrill):
		return &problem{code: exitUsage, what: lang.Fill(lang.PhoneDrillUnknown, printable(c.Name), strings.Join(app.Drills(), ", ")),
			next: lang.Verbatim("tapnet phone drill"), err: err}
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &problem{code: exitEnvironment, what: lang.PhoneDrillFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
	}
	good, lines := 0, 0
	var out []drillOut
	for i := range reports {
		r := &reports[i]
		row := drillOut{Name: r.Name, Title: s.text(r.Title), Good: r.Good()}
		for _, l := range r.Lines {
			row.Lines = append(row.Lines, drillLineOut{s.text(l.Tried), s.text(l.Ended), l.OK})
		}
		out = append(out, row)
		lines += len(r.Lines)
		if r.Good() {
			good++
		}
	}
	if good != len(reports) {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, out)
	}
	for _, r := range out {
		s.line(s.screen.Section(r.Name + " · " + r.Title))
		t := &lang.Table{Indent: 1, Gap: 2}
		for _, l := range r.Lines {
			t.Row(s.screen.Mark(l.OK), s.screen.Fold(l.Tried), s.screen.Fold(l.Ended))
		}
		s.table(t)
		s.line("")
	}
	s.line(s.text(lang.PhoneDrillHeld, fmt.Sprint(good), fmt.Sprint(len(reports)), fmt.Sprint(lines)))
	return nil
}
