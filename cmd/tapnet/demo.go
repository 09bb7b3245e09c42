package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type demoCommand struct {
	Seed   uint64 `default:"1" placeholder:"N" help:"${demo_seed}"`
	Reveal bool   `help:"${flag_reveal}"`
}

// Run runs the demo. The answer is no when a tap, a fault or an invariant came out other than it must.
func (c demoCommand) Run(ctx context.Context, s *session) error {
	progress := s.progress()
	report, err := app.Demo(ctx, app.DemoOptions{Seed: c.Seed, Progress: progress.tell})
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &problem{code: exitEnvironment, what: lang.DemoFailed, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
	}
	if !report.Good() {
		s.code = exitNo
	}
	saveErr := saveDemoTrace(s, report)
	if s.json {
		return s.printJSON(s.out, s.demoJSON(report))
	}
	if err := s.printDemo(report, c.Reveal); err != nil {
		return err
	}
	if saveErr != nil {
		fmt.Fprintln(s.err, s.text(lang.DemoTraceUnkept, reason(saveErr)))
	}
	return nil
}

// demoReport is a demo for a program.
type demoReport struct {
	Taps       []demoTap       `json:"taps"`
	Steps      []demoStep      `json:"steps"`
	Chapters   []demoChapter   `json:"chapters"`
	Faults     []demoFault     `json:"faults"`
	Invariants []demoInvariant `json:"invariants"`
	Digest     string          `json:"digest"`
	Seconds    float64         `json:"seconds"`
}

type demoTap struct {
	Name         string `json:"name"`
	Amount       string `json:"amount"`
	Outcome      string `json:"outcome"`
	Reason       string `json:"reason"`
	RRN          string `json:"rrn"`
	Microseconds int64  `json:"duration_us"`
}

// demoStep is one verb of a till in the story of chip and purse.
type demoStep struct {
	Name         string `json:"name"`
	Amount       string `json:"amount"`
	OK           bool   `json:"ok"`
	Outcome      string `json:"outcome"`
	Proof        string `json:"proof"`
	RRN          string `json:"rrn"`
	Trace        string `json:"trace"`
	PurseBefore  string `json:"purse_before,omitempty"`
	PurseAfter   string `json:"purse_after,omitempty"`
	Microseconds int64  `json:"duration_us"`
}

type demoChapter struct {
	Name  string     `json:"name"`
	Steps []demoStep `json:"steps"`
}

type demoFault struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Trace  string `json:"trace"`
}

type demoInvariant struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (s *session) demoJSON(r *app.DemoReport) demoReport {
	out := demoReport{Seconds: r.Seconds, Digest: shortDigest(r.Digest), Taps: []demoTap{}, Steps: s.demoSteps(r.Steps), Chapters: []demoChapter{},
		Faults: []demoFault{}, Invariants: []demoInvariant{}}
	for _, t := range r.Taps {
		out.Taps = append(out.Taps, demoTap{
			s.text(t.Name), t.Amount, string(t.Result.Outcome), s.text(t.Result.Reason), t.Result.RRN, t.Result.Duration.Microseconds(),
		})
	}
	for _, chapter := range r.Chapters {
		out.Chapters = append(out.Chapters, demoChapter{s.text(chapter.Title), s.demoSteps(chapter.Steps)})
	}
	for _, f := range r.Faults {
		out.Faults = append(out.Faults, demoFault{s.text(f.Name), f.OK, s.text(f.Detail), f.Trace})
	}
	for _, i := range r.Invariants {
		out.Invariants = append(out.Invariants, demoInvariant{i.Name, i.OK, s.text(i.Detail)})
	}
	return out
}

func (s *session) demoSteps(steps []app.DemoStep) []demoStep {
	out := []demoStep{}
	for _, step := range steps {
		p := step.Result
		row := demoStep{Name: s.text(step.Name), Amount: step.Amount, OK: step.OK, Outcome: string(p.Outcome), Proof: s.text(step.Proof), RRN: p.RRN,
			Trace: p.Trace, Microseconds: p.Duration.Microseconds()}
		if p.PurseBefore != nil && p.PurseAfter != nil {
			row.PurseBefore, row.PurseAfter = p.PurseBefore.Decimal(), p.PurseAfter.Decimal()
		}
		out = append(out, row)
	}
	return out
}

func (s *session) printDemo(r *app.DemoReport, reveal bool) error {
	s.line(s.screen.Bold(s.text(lang.DemoTitle, r.Seed, r.Day)))
	s.line("")
	w := r.World
	t := &lang.Table{Gap: 2}
	t.Row(s.text(lang.DemoWorld), s.screen.Mark(true), s.text(lang.DemoWorldIs, w.Authorities, w.Issuers, w.Acquirers, w.Switches, w.Merchants, w.Cards),
		s.screen.Fold(lang.Duration(w.Built)))
	s.table(t)
	s.line("")
	s.line(s.screen.Section(s.text(lang.DemoOneTap)))
	if err := s.printFirstTap(r, reveal); err != nil {
		return err
	}
	s.line("")
	s.line(s.screen.Section(s.text(lang.DemoTaps)))
	s.printDemoTaps(r.Taps)
	s.line("")
	s.line(s.screen.Section(s.text(lang.DemoSteps)))
	s.printDemoSteps(r.Steps)
	s.line("")
	steps := len(r.Steps)
	for _, chapter := range r.Chapters {
		s.line(s.screen.Section(s.text(chapter.Title)))
		s.printDemoSteps(chapter.Steps)
		s.line("")
		steps += len(chapter.Steps)
	}
	s.line(s.screen.Section(s.text(lang.DemoFaults)))
	faults := &lang.Table{Indent: 1, Gap: 2}
	for _, f := range r.Faults {
		faults.Row(s.screen.Mark(f.OK), s.text(f.Name), s.text(f.Detail))
	}
	s.table(faults)
	s.line("")
	s.line(s.screen.Section(s.text(lang.DemoMoney)))
	s.printBooks(r.Books)
	s.printInvariants(r.Invariants)
	s.line("")
	s.line(s.text(lang.DemoTook, len(r.Taps), steps, len(r.Faults), lang.Duration(time.Duration(r.Seconds*float64(time.Second)))))
	s.line(s.text(lang.DemoDigest, shortDigest(r.Digest)))
	if !r.Good() {
		s.line(s.text(lang.DemoNotGood, s.screen.Mark(false)))
	}
	s.line("")
	s.printNext(r)
	return nil
}

// digestShown is enough of a digest to compare two runs by eye.
const digestShown = 16

func shortDigest(digest string) string { return digest[:min(len(digest), digestShown)] }

func (s *session) printDemoTaps(taps []app.DemoTap) {
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, true}}
	for _, tap := range taps {
		t.Row(s.screen.Mark(tap.OK), tap.Amount, s.text(tap.Name), s.outcome(tap.Result))
	}
	s.table(t)
}

// printDemoSteps says of each step how it ended and, on the next line, what was found afterwards.
func (s *session) printDemoSteps(steps []app.DemoStep) {
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, true}}
	for _, step := range steps {
		ended := s.outcome(step.Result.TapResult)
		switch {
		case step.Result.Sheet != nil:
			ended = s.text(lang.DemoSettled)
		case step.Result.Outcome == app.OutcomeDone:
			ended = s.text(lang.DemoDone)
		}
		t.Row(s.screen.Mark(step.OK), step.Amount, s.text(step.Name), ended)
		t.Row("", "", "  "+s.screen.Fold(s.text(step.Proof)))
	}
	s.table(t)
}

// outcome is a result on one line: how it ended, with what, and what it is found by.
func (s *session) outcome(r app.TapResult) string {
	text := s.text(outcomeTerm(r.Outcome))
	var details []string
	if !r.Paid() && r.ResponseCode != "" {
		text += " " + r.ResponseCode
	}
	if !r.Paid() && r.Outcome != app.OutcomePINNeeded {
		details = append(details, s.text(r.Reason))
	}
	if r.PINEntered && r.Paid() {
		details = append(details, s.text(lang.DemoPINAsked))
	}
	if r.TriesLeft != nil {
		details = append(details, s.text(lang.DemoTriesLeft, *r.TriesLeft))
	}
	if purse := s.purse(r); purse != "" {
		details = append(details, purse)
	}
	if r.Paid() && r.RRN != "" {
		details = append(details, r.RRN)
	}
	return strings.Join(append([]string{text}, details...), s.text(lang.Comma))
}

// printBooks lists the accounts that show who owes whom: those with money held, and those of members and merchants. An
// account or purse of a cardholder that only has its opening balance says nothing.
func (s *session) printBooks(books []app.BookLine) {
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, false, true, true}}
	t.Row(s.text(lang.DemoMember), s.text(lang.DemoAccount), s.text(lang.DemoPosted), s.text(lang.DemoHeld))
	for _, b := range books {
		if b.Pending.IsZero() && (b.Posted.IsZero() || ofCardholder(b.Account)) {
			continue
		}
		t.Row(b.Member, s.screen.Fold(b.Account), lang.Decimal(b.Posted), lang.Decimal(b.Pending))
	}
	if t.Len() > 1 {
		s.table(t)
		s.line("")
	}
}

// ofCardholder goes by the names that an issuer gives its accounts.
func ofCardholder(account string) bool {
	kind, _, _ := strings.Cut(account, " ")
	return kind == "account" || kind == "purse" || kind == "funding"
}

// printInvariants lists every law and says of those that do not hold what is wrong.
func (s *session) printInvariants(all []app.DemoInvariant) {
	t := &lang.Table{Indent: 1, Gap: 2}
	holding := 0
	for _, i := range all {
		text := s.text(i.Title)
		if i.OK {
			holding++
		} else if detail := s.text(i.Detail); detail != "" {
			text += s.text(lang.Colon) + detail
		}
		t.Row(s.screen.Mark(i.OK), text)
	}
	s.table(t)
	s.line(" " + s.text(lang.DemoHolds, holding, len(all)))
}

func (s *session) printNext(r *app.DemoReport) {
	t := &lang.Table{Gap: 2, Min: []int{0, 0}}
	t.Row(s.text(lang.DemoNext), "tapnet trace "+r.FirstTap, s.text(lang.DemoNextTrace))
	t.Row("", "tapnet up", s.text(lang.DemoNextUp))
	t.Row("", "tapnet decode 9F2608AD03EE811AFAD484", s.text(lang.DemoNextDecode))
	s.table(t)
}

// progress shows what goes on, on a terminal only, on one line that goes away at the end.
type progress struct {
	s     *session
	began time.Time
	shown bool
}

func (s *session) progress() *progress { return &progress{s: s, began: s.now()} }

// eraseLine returns to the start of the line and clears it, in the sequences of ECMA-48.
const eraseLine = "\r\x1b[K"

func (p *progress) tell(t glossary.Term) {
	if !p.s.errTerm || p.s.json {
		return
	}
	p.shown = true
	took := lang.Duration(p.s.now().Sub(p.began))
	fmt.Fprint(p.s.err, eraseLine+p.s.text(lang.DemoProgress, p.s.screen.Fold(took), t))
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.s.err, eraseLine)
	}
}
