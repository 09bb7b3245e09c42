package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapnet/internal/lang"
	"tapnet/internal/transit/fares"
)

type transitRateCommand struct {
	Files    []string      `arg:"" help:"${rate_files}"`
	Tariff   string        `required:"" placeholder:"FILE" help:"${rate_tariff}"`
	Service  string        `placeholder:"NAME" help:"${rate_service}"`
	Zone     string        `default:"Asia/Shanghai" placeholder:"ZONE" help:"${rate_zone}"`
	DayStart time.Duration `name:"day-start" default:"4h" placeholder:"TIME" help:"${rate_day_start}"`
	TIDES    string        `name:"tides" placeholder:"FILE" help:"${rate_tides}"`
}

// rated is what files of taps come to, for a program.
type rated struct {
	Files          []string          `json:"files"`
	Tariff         string            `json:"tariff"`
	Taps           int               `json:"taps"`
	Riders         int               `json:"riders"`
	Journeys       int               `json:"journeys"`
	States         map[string]int    `json:"states"`
	Incomplete     int               `json:"incomplete"`
	IncompleteRate float64           `json:"incomplete_rate"`
	Ignored        int               `json:"ignored_taps"`
	Refused        int               `json:"riders_not_rated"`
	Currency       string            `json:"currency"`
	Fares          string            `json:"fares"`
	Changes        map[string]change `json:"changes"`
	Charged        string            `json:"charged"`
	ReadSeconds    float64           `json:"read_seconds"`
	RateSeconds    float64           `json:"rate_seconds"`
	PerSecond      float64           `json:"journeys_per_second"`
	TIDES          string            `json:"tides,omitempty"`
}

type change struct {
	Journeys int    `json:"journeys"`
	Amount   string `json:"amount"`
}

// Run rates files of taps.
func (c transitRateCommand) Run(ctx context.Context, s *session) error {
	if c.TIDES == "-" {
		return &problem{code: exitUsage, what: lang.FaresTwoOutputs, why: lang.Verbatim("--tides -"), next: lang.Verbatim("--tides taps.csv")}
	}
	zone, err := zoneNamed(c.Zone)
	if err != nil {
		return err
	}
	book, service, err := c.book(zone)
	if err != nil {
		return err
	}
	began, batch := s.now(), fares.NewBatch()
	for _, name := range c.Files {
		if err := c.read(ctx, s, name, zone, service, batch); err != nil {
			return err
		}
	}
	read := s.now()
	var sum fares.Summary
	rate := func(each func(*fares.Statement) error) error {
		progress := s.progress()
		defer progress.end()
		var err error
		sum, err = batch.Rate(ctx, book, batch.Settled(), each, func(done int) {
			progress.tell(lang.Fill(lang.FaresRating, lang.Int(int64(done)), lang.Int(int64(batch.Riders()))))
		})
		return err
	}
	if c.TIDES == "" {
		err = rate(nil)
	} else {
		err = writeWhole(c.TIDES, func(w io.Writer) error {
			out, err := fares.NewTIDESWriter(w)
			if err != nil {
				return err
			}
			if err := rate(func(st *fares.Statement) error { return out.Write(st.Transactions(zone)...) }); err != nil {
				return err
			}
			return out.Flush()
		})
	}
	if err != nil {
		return err
	}
	return s.printRated(c.rated(&sum, read.Sub(began), s.now().Sub(read)))
}

// book reads the tariff and finds the service.
func (c transitRateCommand) book(zone *time.Location) (*fares.Book, string, error) {
	wrong := func(err error) error {
		return badFile(c.Tariff, err, lang.Verbatim("tapnet transit import od --help"))
	}
	text, err := os.ReadFile(c.Tariff)
	if err != nil {
		return nil, "", unreadable(c.Tariff, err)
	}
	tariff, err := fares.Load(text, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(filepath.Dir(c.Tariff), name)) })
	if err != nil {
		return nil, "", wrong(err)
	}
	book, err := fares.NewBook(fares.Calendar{Zone: zone, DayStart: c.DayStart}, tariff)
	if err != nil {
		return nil, "", wrong(err)
	}
	services := tariff.Services()
	switch {
	case c.Service == "" && len(services) == 1:
		return book, services[0], nil
	case !slices.Contains(services, c.Service):
		return nil, "", &problem{
			code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--service"), why: lang.Fill(lang.FaresNameService, strings.Join(services, ", ")),
			next: lang.Verbatim("--service " + services[0]),
		}
	}
	return book, c.Service, nil
}

// tellEvery is after how many taps the line of progress is looked at.
const tellEvery = 100_000

func (c transitRateCommand) read(ctx context.Context, s *session, name string, zone *time.Location, service string, batch *fares.Batch) error {
	from := s.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return unreadable(name, err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	progress := s.progress()
	defer progress.end()
	err := fares.ReadHangzhou(from, zone, service, func(r fares.Record) error {
		if batch.Taps()%tellEvery == 0 {
			progress.tell(lang.Fill(lang.FaresReading, name, lang.Int(int64(batch.Taps()))))
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return batch.Add(r)
	})
	if errors.Is(err, fares.ErrRecord) {
		return badFile(name, err, lang.FaresRecordForm)
	}
	return err
}

func (c transitRateCommand) rated(sum *fares.Summary, read, rate time.Duration) rated {
	out := rated{
		Files: c.Files, Tariff: c.Tariff, Taps: sum.Taps, Riders: sum.Riders, Journeys: sum.Journeys, States: map[string]int{}, Incomplete: sum.Incomplete,
		Ignored: sum.Ignored, Refused: sum.Refused, Currency: sum.Total.Currency().Code(), Fares: sum.Fares.Decimal(), Changes: map[string]change{},
		Charged: sum.Total.Decimal(), ReadSeconds: read.Seconds(), RateSeconds: rate.Seconds(), TIDES: c.TIDES,
	}
	for state, n := range sum.States {
		out.States[string(state)] = n
	}
	for why, x := range sum.Changes {
		out.Changes[string(why)] = change{x.Journeys, x.Amount.Decimal()}
	}
	if sum.Journeys > 0 {
		out.IncompleteRate = float64(sum.Incomplete) / float64(sum.Journeys)
	}
	if rate > 0 {
		out.PerSecond = float64(sum.Journeys) / rate.Seconds()
	}
	return out
}

// printRated says it. Riders that cannot be rated make the answer no.
func (s *session) printRated(r rated) error {
	if r.Refused > 0 {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, r)
	}
	count := func(n int) string { return lang.Int(int64(n)) }
	const hundred = 100
	facts := []fact{{lang.TransitTaps, count(r.Taps)}, {lang.FaresRiders, count(r.Riders)}, {lang.TransitJourneys, count(r.Journeys)}}
	for _, state := range slices.Sorted(maps.Keys(r.States)) {
		facts = append(facts, fact{lang.FaresTerm(state), count(r.States[state])})
	}
	facts = append(facts, fact{lang.FaresIncomplete, fmt.Sprintf("%.2f %%", hundred*r.IncompleteRate)}, fact{lang.FaresIgnored, count(r.Ignored)})
	if r.Refused > 0 {
		facts = append(facts, fact{lang.FaresRefused, count(r.Refused)})
	}
	facts = append(facts, fact{lang.FaresBefore, r.Fares})
	for _, why := range slices.Sorted(maps.Keys(r.Changes)) {
		facts = append(facts, fact{lang.FaresTerm(why), s.text(lang.FaresOfJourneys, r.Changes[why].Amount, count(r.Changes[why].Journeys))})
	}
	s.facts(append(facts, fact{lang.FaresTotal, r.Charged + " " + r.Currency}))
	seconds := func(x float64) string { return lang.Duration(time.Duration(x * float64(time.Second))) }
	s.line(s.wrapped(lang.Fill(lang.FaresSpeed, count(int(r.PerSecond)), seconds(r.ReadSeconds), seconds(r.RateSeconds))))
	return nil
}

type transitGenerateCommand struct {
	Riders   int    `default:"10000" placeholder:"N" help:"${generate_riders}"`
	Stations int    `default:"80" placeholder:"N" help:"${generate_stations}"`
	Missing  int    `default:"5" placeholder:"N" help:"${generate_missing}"`
	Day      string `default:"2019-01-07" placeholder:"DAY" help:"${generate_day}"`
	Seed     uint64 `default:"1" placeholder:"N" help:"${generate_seed}"`
	Out      string `default:"-" placeholder:"FILE" help:"${export_out}"`
	Fares    string `placeholder:"FILE" help:"${generate_fares}"`
}

// Run makes up a day.
func (c transitGenerateCommand) Run(s *session) error {
	if err := s.oneOutput(c.Out); err != nil {
		return err
	}
	wrong := func(err error) error {
		why, next := lang.Verbatim(oneLine(err.Error())), lang.Verbatim("tapnet transit generate --help")
		return &problem{code: exitUsage, what: lang.FaresFlagBad, why: why, next: next, err: err}
	}
	day, err := fares.ParseDate(c.Day)
	if err != nil {
		return wrong(err)
	}
	made := fares.Made{Seed: c.Seed, Day: day, Riders: c.Riders, Stations: c.Stations, Missing: c.Missing}
	progress := s.progress()
	progress.tell(lang.Fill(lang.FaresMaking, lang.Int(int64(c.Riders))))
	err = s.writeOut(c.Out, made.WriteHangzhou)
	progress.end()
	if errors.Is(err, fares.ErrRecord) {
		return wrong(err)
	}
	if err != nil {
		return err
	}
	if c.Fares != "" {
		table, err := made.Table()
		if err != nil {
			return wrong(err)
		}
		text, err := table.AppendCSV(nil, "CNY")
		if err != nil {
			return err
		}
		if err := writeWhole(c.Fares, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
			return err
		}
	}
	if c.Out == "-" {
		return nil
	}
	if s.json {
		return s.printJSON(s.out, struct {
			Out      string `json:"out"`
			Fares    string `json:"fares,omitempty"`
			Riders   int    `json:"riders"`
			Stations int    `json:"stations"`
			Day      string `json:"day"`
			Seed     uint64 `json:"seed"`
		}{c.Out, c.Fares, c.Riders, c.Stations, c.Day, c.Seed})
	}
	s.line(s.wrapped(lang.Fill(lang.FaresMade, c.Out, lang.Int(int64(c.Riders)), lang.Int(int64(c.Stations)), c.Day)))
	return nil
}
