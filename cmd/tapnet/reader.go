package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/pcsc"
)

// tap takes the card by its name, or the one at the reader.
func (c tapCommand) tap(ctx context.Context, s *session, world *opened, request app.TapRequest) (app.TapResult, error) {
	if c.Insert {
		return c.insert(ctx, s, world, request)
	}
	if c.Reader == "" {
		return world.Tap(ctx, request)
	}
	if !s.json {
		fmt.Fprintln(s.err, s.text(lang.TapPresent))
	}
	result, err := world.TapReader(ctx, app.ReaderTap{TapRequest: request, Reader: c.Reader, WaitSeconds: seconds(c.Wait)})
	return result, readerProblem(err)
}

// insert puts the card into the slot instead of the field.
func (c tapCommand) insert(ctx context.Context, s *session, world *opened, request app.TapRequest) (app.TapResult, error) {
	if c.Reader != "" && !s.json {
		fmt.Fprintln(s.err, s.text(lang.TapPresent))
	}
	r := app.POSRequest{Verb: app.POSSale, Merchant: request.Merchant, Card: c.Card, Reader: c.Reader, WaitSeconds: seconds(c.Wait), Insert: true,
		Amount: request.Amount.Decimal(), AskPIN: request.AskPIN}
	if request.PIN != nil {
		r.PIN = request.PIN.Reveal()
	}
	result, err := world.POS(ctx, r)
	return result.TapResult, readerProblem(err)
}

// seconds rounds up, so that a short wait does not become the default one.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// again is the command line that helps, for a card by name or at a reader.
func (c tapCommand) again(card, reader glossary.Term, rest ...any) glossary.Term {
	if c.Reader != "" {
		return lang.Fill(reader, append([]any{printable(c.Reader)}, rest...)...)
	}
	return lang.Fill(card, append([]any{printable(c.Card)}, rest...)...)
}

// readerProblem gives trouble with the reader its three parts. Nothing was decided, so it is the environment's.
func readerProblem(err error) error {
	var trouble *app.ReaderError
	if !errors.As(err, &trouble) {
		return err
	}
	return &problem{code: exitEnvironment, what: trouble.What, why: trouble.Why, next: trouble.Next, err: err}
}

// dumpReader prints everything that the card at a reader tells.
func (s *session) dumpReader(ctx context.Context, name string, wait time.Duration) error {
	dump, err := app.DumpReader(ctx, name, wait)
	if err != nil {
		return readerProblem(err)
	}
	if dump.Applications == 0 {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, dump)
	}
	for _, line := range lang.Wrap(s.text(lang.DumpTitle, explain.Harmless(dump.Reader)), s.screen.Columns) {
		s.line(s.screen.Bold(line))
	}
	t := &lang.Table{Indent: 2, Gap: 2}
	t.Row(s.text(lang.DumpATR), dump.ATR)
	t.Row(s.text(lang.DumpProtocol), dump.Protocol)
	s.table(t)
	for _, step := range dump.Steps {
		s.line("")
		s.line(s.screen.Bold(explain.Harmless(step.Command)) + "  " + step.SW)
		if err := explain.Render(s.out, step.Answer, s.explainOptions(false)); err != nil {
			return fmt.Errorf("print the card's answer: %w", err)
		}
	}
	s.line("")
	last := lang.ReadNever
	if dump.Applications == 0 {
		last = lang.DumpNoPayment
	}
	for _, line := range lang.Wrap(s.text(last), s.screen.Columns) {
		s.line(line)
	}
	return nil
}

// Command time: a contactless payment is to take half a second, with some ten commands in it.
const (
	roundTrips    = 51
	roundTripSlow = 25 * time.Millisecond
)

// checkReaders looks at the daemon, the readers and the first card.
func (s *session) checkReaders(ctx context.Context) []finding {
	readers, err := pcsc.Readers(ctx, pcsc.Config{})
	findings := []finding{s.named("pcsc-daemon", lang.CheckPCSC, checkDaemon(err))}
	if err != nil {
		return findings
	}
	findings = append(findings, s.named("card-readers", lang.CheckReaders, checkReaderList(readers)))
	for _, r := range readers {
		if r.Present() {
			return append(findings, s.checkReaderCard(ctx, r)...)
		}
	}
	return append(findings, s.named("reader-card", lang.CheckReaderCard, note(lang.ReaderCardNone, glossary.Term{}, lang.ReaderCardNext)))
}

// named gives a finding its name and counts it.
func (s *session) named(id string, name glossary.Term, f finding) finding {
	f.id, f.name, f.reader = id, name, true
	if f.health == healthFailed {
		s.code = exitNo
	}
	return f
}

func checkDaemon(err error) finding {
	if err != nil {
		return failed(pcsc.Explain(err))
	}
	return fine(lang.Fill(lang.PCSCRuns, pcsc.Socket()))
}

func checkReaderList(readers []pcsc.State) finding {
	if len(readers) == 0 {
		return failed(lang.ReadersNone, glossary.Term{}, lang.ReadersNoneNext)
	}
	list := ""
	for i, r := range readers {
		if i > 0 {
			list += ", "
		}
		list += explain.Harmless(r.Name)
	}
	return fine(lang.Fill(lang.ReadersAre, list))
}

// checkReaderCard powers the card and times a command.
func (s *session) checkReaderCard(ctx context.Context, r pcsc.State) []finding {
	reader := pcsc.NewReader(pcsc.Config{}, r.Name)
	atr, err := reader.ConnectContext(ctx)
	if err != nil {
		return []finding{s.named("reader-card", lang.CheckReaderCard, failed(pcsc.Explain(err)))}
	}
	defer func() { _ = reader.Disconnect() }() // what there was to see has been seen
	protocol := reader.Protocol().String()
	findings := []finding{s.named("reader-card", lang.CheckReaderCard,
		fine(lang.Fill(lang.ReaderCardIs, explain.Harmless(r.Name), protocol, fmt.Sprintf("%X", atr))))}
	times := make([]time.Duration, 0, roundTrips)
	for range roundTrips {
		began := time.Now()
		if _, err := reader.Transceive(ctx, apdu.Select(emv.PPSE.Bytes()).Bytes()); err != nil {
			return append(findings, s.named("command-time", lang.CheckRoundTrip, failed(pcsc.Explain(err))))
		}
		times = append(times, time.Since(began))
	}
	return append(findings, s.named("command-time", lang.CheckRoundTrip, judgeRoundTrip(median(times))))
}

func judgeRoundTrip(took time.Duration) finding {
	text := lang.Duration(took.Round(time.Microsecond))
	if took > roundTripSlow {
		return note(lang.Fill(lang.RoundTripSlow, text, roundTrips), lang.RoundTripWhy, lang.RoundTripNext)
	}
	return fine(lang.Fill(lang.RoundTripIs, text, roundTrips))
}
