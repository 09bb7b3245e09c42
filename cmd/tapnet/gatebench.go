package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tapnet/internal/app/validator"
	"tapnet/internal/lang"
	"tapnet/internal/sim/metro"
)

type gateBenchCommand struct {
	Entries int    `default:"10000000" placeholder:"N" help:"${gate_entries}"`
	Taps    int    `default:"5000" placeholder:"N" help:"${gate_taps}"`
	Dir     string `placeholder:"DIR" help:"${gate_bench_dir}"`
}

// maxBenchEntries is what a list may hold.
const maxBenchEntries = 1 << 25

// Run measures the deny list and a gate's own time.
func (c gateBenchCommand) Run(ctx context.Context, s *session) (err error) {
	if c.Entries < 1 || c.Entries > maxBenchEntries || c.Taps < 1 {
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--entries"), next: lang.Verbatim("tapnet gate bench --help")}
	}
	dir, err := os.MkdirTemp(c.Dir, "tapnet-gate-")
	if err != nil {
		return gateProblem(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := s.benchOn(dir); err != nil {
		return benchProblem(err)
	}
	r, err := validator.Bench(ctx, validator.BenchOptions{Entries: c.Entries, Taps: c.Taps, Dir: dir})
	if err != nil {
		return gateProblem(err)
	}
	if s.json {
		return s.printJSON(s.out, r)
	}
	const mega = 1e6
	s.line(s.wrapped(lang.Fill(lang.GateBench, lang.Int(int64(r.Entries)), r.BuildSeconds, r.OpenSeconds, float64(r.FilterBytes)/mega,
		float64(r.ImageBytes)/mega)))
	s.line(s.wrapped(lang.Fill(lang.GateLookup, r.AbsentNs, r.PresentNs, lang.Int(int64(r.Probes)), r.FalseNegatives, r.FalseStops)))
	rows := [][]string{{s.text(lang.GateHeadKind), s.text(lang.GateHeadSoft), s.text(lang.GateHeadSync)}}
	for _, t := range r.Taps {
		rows = append(rows, []string{t.Name, micros(t.Software.P50us) + " / " + micros(t.Software.P99us), micros(t.Sync.P50us) + " / " + micros(t.Sync.P99us)})
	}
	s.benchTable(rows)
	s.line(s.wrapped(lang.GateMeaning))
	return nil
}

type gateSimCommand struct {
	Seed  uint64 `default:"1" placeholder:"N" help:"${sim_seed}"`
	Gates int    `default:"1000" placeholder:"N" help:"${gate_sim_gates}"`
	Taps  int    `default:"100000" placeholder:"N" help:"${gate_sim_taps}"`
	Write string `placeholder:"DIR" help:"${gate_sim_write}"`

	Rotate bool `help:"${gate_sim_rotate}"`
	Force  bool `help:"${gate_sim_force}"`
}

// Run simulates. The answer is no when a law breaks.
func (c gateSimCommand) Run(ctx context.Context, s *session) error {
	o := metro.Rough()
	o.Seed, o.Gates, o.Taps, o.Stations = c.Seed, c.Gates, c.Taps, min(80, max(1, c.Gates))
	if c.Rotate || c.Force {
		return c.rotation(ctx, s, o)
	}
	progress := s.progress()
	rows, err := metro.Table(ctx, o, metro.Parts(), func(run, of int) { progress.tell(lang.Fill(lang.GateSimRun, run, of)) })
	progress.end()
	if err != nil {
		return gateSimProblem(ctx, err)
	}
	if c.Write != "" {
		for name, text := range map[string][]byte{"transit-loss.md": metro.Markdown(rows), "transit-loss.svg": metro.SVG(rows)} {
			if err := os.WriteFile(filepath.Join(c.Write, name), text, 0o644); err != nil { //nolint:gosec // a page for everybody
				return gateProblem(err)
			}
		}
	}
	for _, r := range rows {
		if !r.Open.Good() || !r.Wait.Good() {
			s.code = exitNo
		}
	}
	if s.json {
		return s.printJSON(s.out, map[string]any{"rows": rows})
	}
	c.print(s, rows)
	return nil
}

func gateSimProblem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, metro.ErrOptions):
		return &problem{code: exitUsage, what: lang.SimOptions, why: lang.Verbatim(err.Error()), next: lang.Verbatim("tapnet gate sim --help"), err: err}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return gateProblem(err)
}

func (c gateSimCommand) print(s *session, rows []metro.Row) {
	worst := rows[len(rows)-1].Open
	const percent = 100
	s.line(s.wrapped(lang.Fill(lang.GateSimTitle, lang.Int(int64(c.Gates)), lang.Int(int64(worst.Taps)), c.Seed, percent*worst.Adds.TwoMinutes,
		lang.Duration(worst.Adds.P99), percent*worst.Removes.FiveMinutes, lang.Duration(worst.Removes.P99))))
	table := [][]string{{s.text(lang.GateSimBad), s.text(lang.GateSimLoss), s.text(lang.GateSimMost), s.text(lang.GateSimWait), s.text(lang.GateSimMost)}}
	for _, r := range rows {
		table = append(table, []string{fmt.Sprintf("%.1f %%", percent*r.Bad), fmt.Sprintf("%.2f", r.Open.PerMillion/percent), fmt.Sprint(r.Open.MostRides),
			fmt.Sprintf("%.2f", r.Wait.PerMillion/percent), fmt.Sprint(r.Wait.MostRides)})
	}
	s.benchTable(table)
	for _, r := range rows {
		for _, finding := range append(r.Open.Findings, r.Wait.Findings...) {
			s.explain(s.out, &problem{what: lang.GateSimBroke, why: lang.Verbatim(finding), next: lang.Verbatim("tapnet gate sim --json")})
		}
	}
}
