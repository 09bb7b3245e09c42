package main

import (
	"context"
	"time"

	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/sim"
)

type simCommand struct {
	Seed uint64 `default:"1" placeholder:"N" help:"${sim_seed}"`
	Days int    `default:"3" placeholder:"D" help:"${sim_days}"`
	Taps int    `default:"2000" placeholder:"T" help:"${sim_taps}"`
}

// progressEvery is how often the line of progress changes: a reader's pace, not the simulation's.
const progressEvery = 200 * time.Millisecond

// Run runs the simulation. The answer is no when an invariant breaks.
func (c simCommand) Run(ctx context.Context, s *session) error {
	if c.Days < 1 || c.Days > sim.MaxDays || c.Taps < 1 {
		return &problem{code: exitUsage, what: lang.SimOptions, why: lang.Fill(lang.SimOptionsWhy, sim.MaxDays), next: lang.Verbatim("tapnet sim --help")}
	}
	began, shown, progress := s.now(), s.now(), s.progress()
	report, err := sim.Run(ctx, sim.Options{Seed: c.Seed, Days: c.Days, Taps: c.Taps, Faults: sim.Rough(), Progress: func(p sim.Progress) {
		if now := s.now(); now.Sub(shown) >= progressEvery {
			shown = now
			progress.tell(lang.Fill(lang.SimProgress, lang.Int(int64(p.Taps)), lang.Int(int64(p.Of)), s.text(days(p.Simulated)), lang.Int(int64(p.Crashes))))
		}
	}})
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &problem{code: exitEnvironment, what: lang.SimFailed, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
	}
	if !report.Good() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, s.simJSON(&report, s.now().Sub(began)))
	}
	s.printSim(&report, s.now().Sub(began))
	return nil
}

// days is a simulated time as a person counts it.
func days(d time.Duration) glossary.Term {
	return lang.Fill(lang.SimDays, lang.Int(int64(d/(24*time.Hour))))
}

// simReport is a run for a program.
type simReport struct {
	Seed             uint64          `json:"seed"`
	Days             int             `json:"days"`
	Taps             int             `json:"taps"`
	Worlds           int             `json:"worlds"`
	SimulatedSeconds int64           `json:"simulated_seconds"`
	Ends             map[string]int  `json:"ends"`
	Counts           map[string]int  `json:"counts"`
	Invariants       []demoInvariant `json:"invariants"`
	Findings         []simFinding    `json:"findings"`
	Digest           string          `json:"digest"`
	Command          string          `json:"command"`
	Seconds          float64         `json:"seconds"`
}

type simFinding struct {
	Name   string    `json:"name"`
	Detail string    `json:"detail"`
	Taps   int       `json:"taps"`
	At     time.Time `json:"at"`
}

func (s *session) simJSON(r *sim.Report, took time.Duration) simReport {
	out := simReport{
		Seed: r.Seed, Days: r.Days, Taps: r.Taps, Worlds: r.Worlds, SimulatedSeconds: int64(r.Simulated.Seconds()), Ends: r.Counts.Ends,
		Counts: map[string]int{}, Findings: []simFinding{}, Digest: r.Digest, Command: r.Command, Seconds: took.Seconds(),
	}
	for _, c := range r.Counts.List() {
		out.Counts[c.Name] = c.N
	}
	for _, law := range sim.Laws() {
		broken, found := r.Broken(law.Name)
		out.Invariants = append(out.Invariants, demoInvariant{law.Name, !found, s.text(broken.Detail)})
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, simFinding{f.Name, s.text(f.Detail), f.Taps, f.At})
	}
	return out
}

func (s *session) printSim(r *sim.Report, took time.Duration) {
	s.line(s.screen.Bold(s.text(lang.SimTitle, r.Seed, lang.Int(int64(r.Taps)), r.Days)))
	s.line("")
	s.line(s.screen.Section(s.text(lang.SimTaps)))
	ends := &lang.Table{Indent: 1, Gap: 2, Right: []bool{true, false}}
	for _, end := range sim.Ends() {
		ends.Row(lang.Int(int64(r.Counts.Ends[end])), s.text(lang.SimCount(end)))
	}
	s.table(ends)
	s.line("")
	s.line(s.screen.Section(s.text(lang.SimFaults)))
	counts := &lang.Table{Indent: 1, Gap: 2, Right: []bool{true, false}}
	for _, c := range r.Counts.List() {
		counts.Row(lang.Int(int64(c.N)), s.text(lang.SimCount(c.Name)))
	}
	s.table(counts)
	s.line("")
	s.line(s.screen.Section(s.text(lang.SimInvariants)))
	laws, holding := &lang.Table{Indent: 1, Gap: 2}, 0
	for _, law := range sim.Laws() {
		text := s.text(law.Title)
		broken, found := r.Broken(law.Name)
		if found {
			text += s.text(lang.Colon) + s.text(broken.Detail)
		} else {
			holding++
		}
		laws.Row(s.screen.Mark(!found), text)
	}
	s.table(laws)
	s.line(" " + s.text(lang.SimHolds, holding, len(sim.Laws()), lang.Int(int64(r.Counts.Checks))))
	s.line("")
	s.line(s.text(lang.SimTook, lang.Int(int64(r.Counts.Taps())), lang.Int(int64(r.Worlds)), s.text(days(r.Simulated)), lang.Duration(took)))
	s.line(s.text(lang.SimDigest, shortDigest(r.Digest)))
	s.line("")
	again := &lang.Table{Gap: 2}
	again.Row(s.text(lang.SimReplay), r.Command)
	s.table(again)
}
