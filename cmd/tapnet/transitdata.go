package main

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones of operators on machines without a zone file

	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transithttp"
	"tapnet/money"
)

type transitImportCommand struct {
	GTFS importGTFSCommand `cmd:"" name:"gtfs" help:"${import_gtfs}"`
	OD   importODCommand   `cmd:"" name:"od" help:"${import_od}"`
}

type transitExportCommand struct {
	TIDES exportTIDESCommand `cmd:"" name:"tides" help:"${export_tides}"`
}

// tariffFlags are what a tariff made of other files is called.
type tariffFlags struct {
	From    string `required:"" placeholder:"DAY" help:"${import_from}"`
	Maximum string `placeholder:"AMOUNT" help:"${import_maximum}"`
	Out     string `default:"-" placeholder:"FILE" help:"${import_out}"`
}

type importGTFSCommand struct {
	Path   string `arg:"" help:"${import_gtfs_path}"`
	Name   string `default:"gtfs" placeholder:"NAME" help:"${import_name}"`
	Medium string `placeholder:"ID" help:"${import_gtfs_medium}"`
	tariffFlags
}

// maxFareFile bounds one file that is read whole.
const maxFareFile = 32 << 20

// badFile is a file from outside that is not what it should be.
func badFile(name string, err error, next glossary.Term) error {
	return &problem{code: exitUsage, what: lang.Fill(lang.FaresFileBad, name), why: lang.Verbatim(oneLine(err.Error())), next: next, err: err}
}

// tariffMade says what came of an import, for a program.
type tariffMade struct {
	Out      string   `json:"out"`
	Name     string   `json:"name"`
	From     string   `json:"from"`
	Currency string   `json:"currency"`
	Services []string `json:"services"`
	Places   int      `json:"places,omitempty"`
	Fares    int      `json:"fares,omitempty"`
	OneWay   int      `json:"one_way,omitempty"`
}

// Run makes a tariff of a feed.
func (c importGTFSCommand) Run(s *session) error {
	if err := s.oneOutput(c.Out); err != nil {
		return err
	}
	files, err := readFeed(c.Path)
	if err != nil {
		return err
	}
	spec, err := fares.ImportGTFS(files, fares.GTFSOptions{Name: c.Name, From: c.From, Medium: c.Medium, Maximum: c.Maximum})
	var refused *fares.RefusedError
	if errors.As(err, &refused) {
		return s.feedRefused(refused)
	}
	if err == nil {
		_, err = fares.New(*spec)
	}
	if err != nil {
		return badFile(c.Path, err, lang.FaresNoFeed)
	}
	return s.writeTariff(spec, c.Out, tariffMade{}, "")
}

// feedRefused lists what a tariff cannot say. The answer is no.
func (s *session) feedRefused(r *fares.RefusedError) error {
	if s.json {
		s.code = exitNo
		return s.printJSON(s.out, struct {
			Refusals []fares.Refusal `json:"refusals"`
		}{r.Refusals})
	}
	t := &lang.Table{Gap: 2}
	for i := range r.Refusals {
		x := &r.Refusals[i]
		t.Row(x.File+":"+strconv.Itoa(x.Row), x.Name, oneLine(s.text(x.Term())))
	}
	s.table(t)
	return &problem{code: exitNo, what: lang.Fill(lang.FaresFeedRefused, len(r.Refusals)), next: lang.FaresFeedMend, err: r}
}

// readFeed reads the fare files of a directory or a ZIP file.
func readFeed(path string) (map[string][]byte, error) {
	files := map[string][]byte{}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	open := func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join(path, name)) }
	if !info.IsDir() {
		feed, err := zip.OpenReader(path)
		if err != nil {
			return nil, badFile(path, err, lang.FaresNoFeed)
		}
		defer func() { _ = feed.Close() }()
		open = func(name string) (io.ReadCloser, error) { return feed.Open(name) }
	}
	for _, name := range fares.GTFSFiles() {
		file, err := open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, unreadable(name, err)
		}
		text, err := io.ReadAll(io.LimitReader(file, maxFareFile+1))
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, unreadable(name, err)
		}
		files[name] = text // one that is too long is refused when it is read
	}
	return files, nil
}

type importODCommand struct {
	Table    string `arg:"" help:"${import_od_table}"`
	Name     string `default:"od" placeholder:"NAME" help:"${import_name}"`
	Service  string `default:"metro" placeholder:"NAME" help:"${import_service}"`
	Currency string `default:"CNY" placeholder:"CODE" help:"${import_currency}"`
	tariffFlags
}

// Run makes a tariff of a table.
func (c importODCommand) Run(s *session) error {
	if err := s.oneOutput(c.Out); err != nil {
		return err
	}
	text, err := s.readInput(c.Table, maxFareFile)
	if err != nil {
		return err
	}
	wrong := func(err error) error { return badFile(c.Table, err, lang.FaresTableForm) }
	table, err := fares.ParseTable(text, c.Currency)
	if err != nil {
		return wrong(err)
	}
	file := filepath.Base(c.Table)
	if c.Table == "-" {
		file = c.Service + ".csv"
	}
	spec, err := table.Tariff(fares.TableOptions{Name: c.Name, From: c.From, Currency: c.Currency, Service: c.Service, Maximum: c.Maximum, File: file})
	if err != nil {
		return wrong(err)
	}
	beside := ""
	if c.Out != "-" {
		if beside = filepath.Join(filepath.Dir(c.Out), file); c.Table != "-" && sameFile(beside, c.Table) {
			beside = ""
		}
	}
	if beside != "" {
		csv, err := table.AppendCSV(nil, c.Currency)
		if err != nil {
			return err
		}
		if err := writeWhole(beside, func(w io.Writer) error { _, err := w.Write(csv); return err }); err != nil {
			return err
		}
	}
	made := tariffMade{Places: len(table.Places())}
	made.Fares, made.OneWay = table.Pairs()
	currency := money.New(table.Top(), money.CNY).Currency()
	if parsed, err := money.ParseCurrency(c.Currency); err == nil {
		currency = parsed
	}
	return s.writeTariff(spec, c.Out, made, money.New(table.Top(), currency).Decimal())
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// oneOutput refuses to mix a report for a program with data.
func (s *session) oneOutput(out string) error {
	if s.json && out == "-" {
		return &problem{code: exitUsage, what: lang.FaresTwoOutputs, why: lang.Verbatim("--json, --out -"), next: lang.FaresNameFile}
	}
	return nil
}

// writeTariff writes a tariff and says what it is.
func (s *session) writeTariff(spec *fares.Spec, out string, made tariffMade, dearest string) error {
	text, err := spec.TOML()
	if err != nil {
		return err
	}
	if out == "-" {
		_, err := s.out.Write(text)
		return err
	}
	if err := writeWhole(out, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	made.Out, made.Name, made.From, made.Currency = out, spec.Name, spec.From, spec.Currency
	for i := range spec.Services {
		made.Services = append(made.Services, spec.Services[i].Name)
	}
	if s.json {
		return s.printJSON(s.out, made)
	}
	s.line(s.wrapped(lang.Fill(lang.FaresWritten, out, made.Name, made.From, made.Currency, strings.Join(made.Services, ", "))))
	if made.Places > 0 {
		s.line(s.wrapped(lang.Fill(lang.FaresTable, lang.Int(int64(made.Places)), lang.Int(int64(made.Fares)), dearest, lang.Int(int64(made.OneWay)))))
	}
	s.because(s.out, glossary.Term{}, lang.Fill(lang.FaresTariffNext, filepath.Base(out)))
	return nil
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	unwritable := func(err error) error {
		next := lang.Fill(lang.CheckPath, filepath.Dir(path))
		return &problem{code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, path), why: reason(err), next: next, err: err}
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return unwritable(err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // nothing to remove when all went well
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffered); err != nil {
		return errors.Join(err, file.Close())
	}
	const readable = 0o644
	if err := errors.Join(buffered.Flush(), file.Chmod(readable), file.Close()); err != nil {
		return unwritable(err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return unwritable(err)
	}
	return nil
}

// writeOut writes a file, or standard output for "-".
func (s *session) writeOut(path string, write func(io.Writer) error) error {
	if path != "-" {
		return writeWhole(path, write)
	}
	buffered := bufio.NewWriter(s.out)
	return errors.Join(write(buffered), buffered.Flush())
}

type exportTIDESCommand struct {
	operatorFlag
	Day string `placeholder:"DAY" help:"${export_day}"`
	Out string `default:"-" placeholder:"FILE" help:"${export_out}"`
}

// exportPage is how many accounts are asked for at a time.
const exportPage = 200

// Run writes the fare transactions of an office.
func (c exportTIDESCommand) Run(ctx context.Context, s *session) error {
	if err := s.oneOutput(c.Out); err != nil {
		return err
	}
	if c.Day != "" {
		if _, err := fares.ParseDate(c.Day); err != nil {
			why, next := lang.Verbatim(oneLine(err.Error())), lang.Verbatim("--day 2026-11-23")
			return &problem{code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--day"), why: why, next: next, err: err}
		}
	}
	progress := s.progress()
	rows, riders, minor := 0, map[int64]bool{}, int64(0)
	var currency money.Currency
	// The first page is there before anything is written.
	page, err := c.page(ctx, s, 0)
	if err != nil {
		return err
	}
	err = s.writeOut(c.Out, func(w io.Writer) error {
		out, err := fares.NewTIDESWriter(w)
		if err != nil {
			return err
		}
		for {
			if currency, err = money.ParseCurrency(page.Currency); err != nil {
				return fmt.Errorf("read the office's answer: %w", err)
			}
			for _, r := range page.Riders {
				riders[r.Account] = true
				for i := range r.Transactions {
					amount, err := money.Parse(r.Transactions[i].Amount, currency)
					if err != nil {
						return fmt.Errorf("read the office's answer: %w", err)
					}
					minor += amount.Minor()
				}
				if err := out.Write(r.Transactions...); err != nil {
					return err
				}
				rows += len(r.Transactions)
			}
			progress.tell(lang.Fill(lang.FaresExporting, lang.Int(int64(rows))))
			if page.Next == 0 {
				return out.Flush()
			}
			if page, err = c.page(ctx, s, page.Next); err != nil {
				return err
			}
		}
	})
	progress.end()
	if err != nil || c.Out == "-" {
		return err
	}
	total := money.New(minor, currency).Decimal()
	if s.json {
		return s.printJSON(s.out, struct {
			Out          string `json:"out"`
			Transactions int    `json:"transactions"`
			Riders       int    `json:"riders"`
			Amount       string `json:"amount"`
			Currency     string `json:"currency"`
		}{c.Out, rows, len(riders), total, currency.Code()})
	}
	s.line(s.wrapped(lang.Fill(lang.FaresExported, c.Out, lang.Int(int64(rows)), lang.Int(int64(len(riders))), total, currency.Code())))
	return nil
}

// page asks for the transactions of the riders after an account.
func (c exportTIDESCommand) page(ctx context.Context, s *session, after int64) (page transithttp.Transactions, err error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "most": {strconv.Itoa(exportPage)}}
	if c.Day != "" {
		query.Set("day", c.Day)
	}
	_, err = c.call(ctx, s, http.MethodGet, "/v1/transactions?"+query.Encode(), nil, &page)
	return page, err
}

// zoneNamed gives a time zone. Shanghai's offset has not changed since 1991 and is the same on every machine.
func zoneNamed(name string) (*time.Location, error) {
	if name == "Asia/Shanghai" {
		const offset = 8 * 60 * 60
		return time.FixedZone(name, offset), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, &problem{code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--zone"), why: lang.Verbatim(oneLine(fmt.Sprint(err))),
			next: lang.Verbatim("--zone Asia/Shanghai"), err: err}
	}
	return zone, nil
}
