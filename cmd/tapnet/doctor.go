package main

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

type doctorCommand struct {
	Data   string `placeholder:"DIR" help:"${flag_data}"`
	Reader bool   `help:"${doctor_reader}"`
}

// health is how a check ended. A note does not keep tapnet from running.
type health string

const (
	healthOK     health = "ok"
	healthNote   health = "note"
	healthFailed health = "failed"
)

// finding is the result of one check.
type finding struct {
	id              string
	name            glossary.Term
	health          health
	reader          bool // about a card reader, which tapnet can do without
	what, why, next glossary.Term
}

func fine(what glossary.Term) finding { return finding{health: healthOK, what: what} }

func note(what, why, next glossary.Term) finding {
	return finding{health: healthNote, what: what, why: why, next: next}
}

func failed(what, why, next glossary.Term) finding {
	return finding{health: healthFailed, what: what, why: why, next: next}
}

// Run checks the machine. The answer is no when a check failed.
func (c doctorCommand) Run(ctx context.Context, s *session) error {
	data := c.Data
	if data == "" {
		data = defaultDataDir(s)
	}
	checks := []struct {
		id   string
		name glossary.Term
		run  func() finding
	}{
		{"program", lang.CheckProgram, func() finding { return checkProgram(readBuild()) }},
		{"cryptography", lang.CheckVectors, checkVectors},
		{"loopback", lang.CheckLoopback, func() finding { return checkLoopback(ctx) }},
		{"ports", lang.CheckPorts, func() finding { return checkPorts(ctx) }},
		{"temporary-files", lang.CheckTemp, func() finding { return checkDirectory(os.TempDir(), false) }},
		{"data-directory", lang.CheckData, func() finding { return checkDirectory(data, true) }},
		{"durable-writes", lang.CheckFsync, func() finding { return checkFsync(existing(data)) }},
		{"clock", lang.CheckClock, func() finding { return checkClock(s.now()) }},
		{"terminal", lang.CheckTerminal, func() finding { return s.checkTerminal() }},
	}
	var findings []finding
	for _, check := range checks {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := check.run()
		f.id, f.name = check.id, check.name
		findings = append(findings, f)
		if f.health == healthFailed {
			s.code = exitNo
		}
	}
	if c.Reader {
		findings = append(findings, s.checkReaders(ctx)...)
	}
	if s.json {
		return s.printJSON(s.out, s.doctorJSON(findings))
	}
	s.printDoctor(findings)
	return nil
}

type doctorReport struct {
	OK     bool          `json:"ok"`
	Checks []doctorCheck `json:"checks"`
}

type doctorCheck struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status health `json:"status"`
	What   string `json:"what"`
	Why    string `json:"why,omitempty"`
	Next   string `json:"next,omitempty"`
}

func (s *session) doctorJSON(findings []finding) doctorReport {
	out := doctorReport{OK: s.code == exitDone}
	for _, f := range findings {
		out.Checks = append(out.Checks, doctorCheck{f.id, s.text(f.name), f.health, s.text(f.what), s.text(f.why), s.text(f.next)})
	}
	return out
}

func (s *session) printDoctor(findings []finding) {
	width := 0
	for _, f := range findings {
		width = max(width, lang.Width(s.text(f.name)))
	}
	words := map[health]string{
		healthOK:     s.screen.Good(s.text(lang.DoctorOK)),
		healthNote:   s.screen.Warn(s.text(lang.DoctorWarning)),
		healthFailed: s.screen.Bad(s.text(lang.DoctorFailed)),
	}
	notes, broken, deaf := false, false, false
	for _, f := range findings {
		notes = notes || f.health == healthNote
		broken = broken || f.health == healthFailed && !f.reader
		deaf = deaf || f.health == healthFailed && f.reader
		t := &lang.Table{Indent: 1, Gap: 2, Min: []int{lang.Width(s.text(lang.DoctorFailed)), width}}
		t.Row(words[f.health], s.text(f.name), s.text(f.what))
		s.table(t)
		s.because(s.out, f.why, f.next)
	}
	switch {
	case broken:
		s.say(lang.DoctorNotFine)
	case deaf:
		s.say(lang.DoctorDeaf)
	case notes:
		s.say(lang.DoctorNotes)
	default:
		s.say(lang.DoctorFine)
	}
}

// testedGo is the oldest Go that the tests run with.
const testedGo = "go1.26"

func checkProgram(b build) finding {
	switch {
	case b.CGO:
		return note(lang.Fill(lang.ProgramCGO, b.Go), lang.ProgramCGOWhy, lang.ProgramCGONext)
	case version.IsValid(b.Go) && version.Compare(b.Go, testedGo) < 0:
		return note(lang.Fill(lang.ProgramOld, b.Go, testedGo), lang.ProgramOldWhy, lang.ProgramOldNext)
	}
	return fine(lang.Fill(lang.ProgramIs, b.Go, b.Platform))
}

// loopbackWithin is ample for a connection that leaves no machine.
const loopbackWithin = 2 * time.Second

func checkLoopback(ctx context.Context) finding {
	began := time.Now()
	if err := echo(ctx); err != nil {
		return failed(lang.LoopbackFails, lang.Verbatim(err.Error()), lang.LoopbackNext)
	}
	return fine(lang.Fill(lang.LoopbackOK, lang.Duration(time.Since(began))))
}

// echo sends a byte to a listener of its own and waits for it to come back.
func echo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loopbackWithin)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return nil
}

func checkPorts(ctx context.Context) finding {
	var taken []string
	addresses := defaultListen()
	for _, address := range addresses {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			taken = append(taken, address)
			continue
		}
		_ = listener.Close()
	}
	if len(taken) > 0 {
		slices.Sort(taken)
		return note(lang.Fill(lang.PortsTaken, strings.Join(taken, ", ")), lang.PortsWhy, lang.PortsNext)
	}
	return fine(lang.Fill(lang.PortsFree, len(addresses)))
}

// existing is the directory itself, or the nearest one above it that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// checkDirectory writes a file where the directory is or will be. Data should also survive a restart of the machine.
func checkDirectory(dir string, data bool) finding {
	next := lang.DirNext
	if data {
		next = lang.DirDataNext
	}
	place := existing(dir)
	file, err := os.CreateTemp(place, "tapnet-doctor-*")
	if err != nil {
		return failed(lang.Fill(lang.DirFails, place), reason(err), next)
	}
	err = errors.Join(file.Close(), os.Remove(file.Name()))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return failed(lang.Fill(lang.DirFails, place), reason(err), next)
	case data && inMemory(place):
		return note(lang.Fill(lang.DirMemory, place), lang.DirMemoryWhy, next)
	case place != dir:
		return fine(lang.Fill(lang.DirNew, dir))
	}
	return fine(lang.Fill(lang.DirWritable, dir))
}

// Durable writes: a disk of spinning metal takes about 10 ms, a good solid-state disk 50 µs; below that nothing was made durable.
const (
	fsyncTries    = 9
	fsyncBytes    = 4096
	fsyncSlow     = 50 * time.Millisecond
	fsyncSuspects = 15 * time.Microsecond
)

func checkFsync(dir string) finding {
	took, err := measureFsync(dir)
	switch {
	case err != nil:
		return failed(lang.FsyncFails, reason(err), lang.DirDataNext)
	case took > fsyncSlow:
		return note(lang.Fill(lang.FsyncSlow, lang.Duration(took)), lang.FsyncSlowWhy, lang.FsyncSlowNext)
	case took < fsyncSuspects:
		return note(lang.Fill(lang.FsyncFast, lang.Duration(took)), lang.FsyncFastWhy, lang.FsyncFastNext)
	}
	return fine(lang.Fill(lang.FsyncTakes, lang.Duration(took)))
}

// measureFsync is the median time of a durable write.
func measureFsync(dir string) (took time.Duration, err error) {
	file, err := os.CreateTemp(dir, "tapnet-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	times := make([]time.Duration, fsyncTries)
	for i := range times {
		start := time.Now()
		if _, err := file.Write(make([]byte, fsyncBytes)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[fsyncTries/2], nil
}

// The program was written in 2026; two decades on, its test certificates have expired.
const (
	firstSaneYear = 2026
	lastSaneYear  = 2046
)

func checkClock(now time.Time) finding {
	text := now.UTC().Format("2006-01-02 15:04:05")
	if year := now.UTC().Year(); year < firstSaneYear || year > lastSaneYear {
		return failed(lang.Fill(lang.ClockWrong, text), lang.ClockWhy, lang.ClockNext)
	}
	return fine(lang.Fill(lang.ClockIs, text))
}

func (s *session) checkTerminal() finding {
	if s.columns > 0 && s.columns < lang.DefaultColumns {
		return note(lang.Fill(lang.TerminalNarrow, s.columns), lang.Fill(lang.TerminalNWhy, lang.DefaultColumns), lang.TerminalNNext)
	}
	symbols, colours := lang.TerminalSymbols, lang.TerminalMono
	if s.screen.ASCII {
		symbols = lang.TerminalPlain
	}
	if s.screen.Colour {
		colours = lang.TerminalColours
	}
	what := lang.Fill(lang.TerminalIs, s.screen.Columns, s.screen.Lang.String(), symbols, colours)
	if s.screen.ASCII {
		return note(what, lang.TerminalPWhy, lang.TerminalPNext)
	}
	return fine(what)
}
