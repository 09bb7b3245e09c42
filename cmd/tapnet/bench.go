package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tapnet/glossary"
	"tapnet/internal/bench"
	"tapnet/internal/lang"
)

type benchCommand struct {
	What     string        `arg:"" enum:"authorize,cards,store,verify,transit,tokens,taps,parse,cryptogram,cloud" help:"${bench_what}"`
	Dir      string        `placeholder:"DIR" help:"${bench_dir}"`
	Cards    int           `default:"10000" placeholder:"N" help:"${bench_cards}"`
	Riders   int           `default:"25000" placeholder:"N" help:"${bench_riders}"`
	Counts   []int         `placeholder:"N,…" help:"${bench_counts}"`
	Clients  []int         `placeholder:"N,…" help:"${bench_clients}"`
	Duration time.Duration `default:"2s" help:"${bench_duration}"`
	Rounds   int           `default:"5" placeholder:"N" help:"${bench_rounds}"`
	Rate     float64       `placeholder:"FRACTION" help:"${bench_rate}"`
	Memory   bool          `name:"allow-memory" help:"${bench_memory}"`
	Store    string        `enum:"sqlite,postgres" default:"sqlite" placeholder:"sqlite|postgres" help:"${bench_store}"`
	DSN      string        `name:"dsn" placeholder:"URL" help:"${bench_dsn}"`
	PgBench  bool          `name:"pgbench" help:"${bench_pgbench}"`
}

// Run measures one thing, next to its baseline in the same run.
func (c benchCommand) Run(ctx context.Context, s *session) error {
	spareProcessor()
	o := bench.Options{Clients: c.Clients, Duration: c.Duration, Rounds: c.Rounds, Cards: c.Cards, Dir: c.Dir, AllowMemory: c.Memory,
		Store: c.Store, DSN: c.DSN}
	if c.PgBench {
		o.PgBench = func(pg bench.Pg) error {
			if s.json {
				return s.printJSON(s.out, pg)
			}
			fmt.Fprintln(s.out, s.wrapped(lang.Fill(lang.BenchPg, pg.Version, lang.Int(int64(pg.PerSecond)), pg.Clients, fmt.Sprintf("%.1f", pg.Ratio))))
			return nil
		}
	}
	if err := s.benchOn(c.Dir); err != nil {
		return benchProblem(err)
	}
	var err error
	switch c.What {
	case "authorize":
		err = c.authorize(ctx, s, o)
	case "cards":
		err = c.reach(ctx, s, o)
	case "store":
		err = c.rates(s, func(each func(bench.Rate) error) error { return bench.Store(ctx, o, each) })
	case "verify":
		err = c.verify(ctx, s, o)
	case "transit":
		err = s.benchTransit(ctx, o, c.Riders)
	case "tokens":
		err = c.tokens(ctx, s, o)
	case "taps":
		err = c.taps(ctx, s)
	case "parse":
		err = s.benchSteps(bench.Parse())
	case "cryptogram":
		err = s.benchSteps(bench.Cryptogram())
	case "cloud":
		err = s.benchSteps(bench.Cloud())
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return benchProblem(err)
	}
	return nil
}

func benchProblem(err error) error {
	next := lang.SeeDoctor
	var p *problem
	switch {
	case errors.As(err, &p):
		return err
	case errors.Is(err, bench.ErrMemory):
		next = lang.BenchMemory
	}
	return &problem{code: exitEnvironment, what: lang.BenchFailed, why: lang.Verbatim(err.Error()), next: next, err: err}
}

// benchOn says what the figures are measured on; for a program it goes to standard error, so that the lines of figures stay as documented.
func (s *session) benchOn(dir string) error {
	machine, err := bench.MachineOf(dir)
	if err != nil {
		return err
	}
	to := s.out
	if s.json {
		to = s.err
	}
	_, err = fmt.Fprintln(to, s.text(lang.Fill(lang.BenchOn, machine.String())))
	return err
}

// rates prints one line per number of clients, as they come.
func (c benchCommand) rates(s *session, run func(each func(bench.Rate) error) error) error {
	table := [][]string{{s.text(lang.BenchClients), s.text(lang.BenchRate), s.text(lang.BenchHalf), s.text(lang.BenchTail), s.text(lang.BenchCPU),
		s.text(lang.BenchBaseline), s.text(lang.BenchRatio)}}
	err := run(func(r bench.Rate) error {
		if s.json {
			return s.printJSON(s.out, r)
		}
		table = append(table, []string{strconv.Itoa(r.Clients), lang.Int(int64(r.PerSecond)), micros(r.P50us), micros(r.P99us), micros(r.CPUus),
			lang.Int(int64(r.BaselinePerSecond)), fmt.Sprintf("%.1f", r.Ratio)})
		return nil
	})
	if err != nil || s.json {
		return err
	}
	s.benchTable(table)
	fmt.Fprintln(s.out, s.wrapped(lang.BenchMeaning))
	return nil
}

// wrapped lays a sentence out for the screen.
func (s *session) wrapped(t glossary.Term) string {
	text := ""
	for i, line := range lang.Wrap(s.text(t), s.screen.Columns) {
		if i > 0 {
			text += "\n"
		}
		text += line
	}
	return text
}

func (s *session) benchTable(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lang.Width(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			for range widths[i] - lang.Width(cell) + 2 {
				line += " "
			}
			line += cell
		}
		fmt.Fprintln(s.out, line)
	}
}

func micros(us float64) string { return lang.Duration(time.Duration(us * float64(time.Microsecond))) }

func (c benchCommand) authorize(ctx context.Context, s *session, o bench.Options) error {
	best := 0.0
	err := c.rates(s, func(each func(bench.Rate) error) error {
		return bench.Authorize(ctx, o, func(r bench.Rate) error {
			best = max(best, r.PerSecond)
			return each(r)
		})
	})
	if err == nil && c.Rate > 0 {
		err = c.open(ctx, s, o, best)
	}
	return err
}

// open offers a part of the maximum whether earlier requests are answered or not, and measures how long an answer takes from when it was due.
func (c benchCommand) open(ctx context.Context, s *session, o bench.Options, best float64) error {
	found, err := bench.AuthorizeAt(ctx, o, best*c.Rate)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(s.out, found)
	}
	fmt.Fprintln(s.out, s.wrapped(lang.Fill(lang.BenchOpen, fmt.Sprintf("%.0f%%", c.Rate*100), lang.Int(int64(found.Offered)),
		lang.Int(int64(found.Answered)), micros(found.P50us), micros(found.P99us), micros(found.MaxUs))))
	return nil
}

// reach prints how the rate depends on the number of cards.
func (c benchCommand) reach(ctx context.Context, s *session, o bench.Options) error {
	table := [][]string{{s.text(lang.BenchCards), s.text(lang.BenchRate), s.text(lang.BenchHalf), s.text(lang.BenchTail), s.text(lang.BenchCPU),
		s.text(lang.BenchRatio), s.text(lang.BenchEnrol), s.text(lang.BenchStart)}}
	progress := func(cards int) {
		fmt.Fprintln(s.err, s.text(lang.Fill(lang.BenchEnrolling, lang.Int(int64(cards)))))
	}
	err := bench.Cards(ctx, o, c.Counts, progress, func(r bench.Reach) error {
		if s.json {
			return s.printJSON(s.out, r)
		}
		table = append(table, []string{lang.Int(int64(r.Cards)), lang.Int(int64(r.PerSecond)), micros(r.P50us), micros(r.P99us), micros(r.CPUus),
			fmt.Sprintf("%.2f", r.Ratio), micros(r.EnrolSeconds * 1e6), micros(r.StartSeconds * 1e6)})
		return nil
	})
	if err == nil && !s.json {
		s.benchTable(table)
	}
	return err
}

func (c benchCommand) verify(ctx context.Context, s *session, o bench.Options) error {
	if c.Dir == "" {
		return &problem{code: exitUsage, what: lang.BenchFailed, why: lang.BenchNoDir, next: lang.BenchNoDir}
	}
	o.Dir = ""
	found, err := bench.Verify(ctx, o, c.Dir)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(s.out, found)
	}
	fmt.Fprintln(s.out, s.wrapped(lang.Fill(lang.BenchVerify, lang.Int(int64(found.Rows)), lang.Int(int64(found.PerSecond)), found.Findings)))
	return nil
}

// benchSteps prints what parts of an authorization cost.
func (s *session) benchSteps(steps []bench.Step, err error) error {
	if err != nil {
		return err
	}
	table := [][]string{{s.text(lang.BenchStep), s.text(lang.BenchTime), s.text(lang.BenchAllocs), s.text(lang.BenchAgainst), s.text(lang.BenchRatio)}}
	for _, step := range steps {
		if s.json {
			if err := s.printJSON(s.out, step); err != nil {
				return err
			}
			continue
		}
		row := []string{step.Name, fmt.Sprintf("%.0f ns", step.Nanoseconds), fmt.Sprintf("%.0f", step.Allocations), "", ""}
		if step.BaselineNanoseconds > 0 {
			row[3], row[4] = fmt.Sprintf("%.0f ns", step.BaselineNanoseconds), fmt.Sprintf("%.2f", step.Ratio)
		}
		table = append(table, row)
	}
	if !s.json {
		s.benchTable(table)
	}
	return nil
}
