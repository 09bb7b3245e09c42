package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/money"
	"tapnet/pinblock"
)

type tapCommand struct {
	Card   string        `placeholder:"NAME" help:"${tap_card}"`
	Reader string        `placeholder:"NAME" help:"${tap_reader}"`
	At     string        `required:"" placeholder:"MERCHANT" help:"${tap_at}"`
	Amount string        `required:"" placeholder:"299.00" help:"${tap_amount}"`
	PIN    string        `name:"pin" placeholder:"PIN" help:"${tap_pin}"`
	AskPIN bool          `name:"ask-pin" help:"${tap_ask_pin}"`
	Insert bool          `help:"${tap_insert}"`
	Wait   time.Duration `default:"30s" placeholder:"TIME" help:"${tap_wait}"`
	dataFlag
}

// Run taps. The answer is no when the merchant does not get the money.
func (c tapCommand) Run(ctx context.Context, s *session) (err error) {
	if (c.Card == "") == (c.Reader == "") {
		return &problem{code: exitUsage, what: lang.TapWhich, next: lang.TapWhichNext}
	}
	request, err := c.request(s)
	if err != nil {
		return err
	}
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	world.announce(s)
	result, err := c.tap(ctx, s, world, request)
	if err != nil {
		return unknownName(err, c.Card, c.At)
	}
	if world.throwaway {
		s.keepTrace(ctx, world, result.Trace)
	}
	if !result.Paid() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, s.tapJSON(result, world.throwaway))
	}
	s.printTap(c, result)
	return nil
}

// request reads the flags. No error repeats the PIN.
func (c tapCommand) request(s *session) (app.TapRequest, error) {
	r := app.TapRequest{Card: c.Card, Merchant: c.At, AskPIN: c.AskPIN}
	amount, err := money.Parse(c.Amount, currency)
	if err != nil || amount.Sign() <= 0 {
		return r, &problem{code: exitUsage, what: lang.TapAmount, why: lang.TapAmountWhy,
			next: c.again(lang.TapAmountNext, lang.ReaderAmount, printable(c.At)), err: err}
	}
	r.Amount = amount
	digits := c.PIN
	if digits == "-" {
		if digits, err = s.readPIN(); err != nil {
			return r, &problem{code: exitEnvironment, what: lang.InputUnreadable, why: reason(err), next: lang.TapPINNext}
		}
	}
	if digits != "" {
		pin, err := pinblock.ParsePIN(digits)
		if err != nil {
			return r, &problem{code: exitUsage, what: lang.TapPIN, why: lang.TapPINWhy, next: lang.TapPINNext}
		}
		r.PIN = &pin
	}
	return r, nil
}

// maxPINLine is more than a PIN and a line end.
const maxPINLine = 64

// readPIN reads a line, without showing it when somebody types it.
func (s *session) readPIN() (string, error) {
	if file, ok := s.in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(s.err, s.text(lang.TapPINPrompt))
		digits, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(s.err)
		return string(digits), err
	}
	line, err := bufio.NewReader(io.LimitReader(s.in, maxPINLine)).ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimSpace(line), err
}

// tapReport is a result for a program.
type tapReport struct {
	Card         string        `json:"card"`
	Merchant     string        `json:"merchant"`
	Masked       string        `json:"masked"`
	Amount       string        `json:"amount"`
	Outcome      string        `json:"outcome"`
	ResponseCode string        `json:"response_code,omitempty"`
	Reason       string        `json:"reason"`
	Why          string        `json:"why"`
	Cause        string        `json:"cause,omitempty"`
	Next         string        `json:"next"`
	RRN          string        `json:"rrn,omitempty"`
	AuthCode     string        `json:"auth_code,omitempty"`
	PINEntered   bool          `json:"pin_entered"`
	TriesLeft    *int          `json:"tries_left,omitempty"`
	PurseBefore  *money.Amount `json:"purse_before,omitempty"`
	PurseAfter   *money.Amount `json:"purse_after,omitempty"`
	Trace        string        `json:"trace"`
	Microseconds int64         `json:"duration_us"`
	Throwaway    bool          `json:"throwaway_world"`
}

func (s *session) tapJSON(r app.TapResult, throwaway bool) tapReport {
	return tapReport{
		Card: r.Card, Merchant: r.Merchant, Masked: r.Masked, Amount: r.Amount.Decimal(), Outcome: string(r.Outcome), ResponseCode: r.ResponseCode,
		Reason: s.text(r.Reason), Why: s.text(r.Why), Cause: s.text(r.Cause), Next: s.text(r.Next), RRN: r.RRN, AuthCode: r.AuthCode, PINEntered: r.PINEntered,
		TriesLeft: r.TriesLeft, PurseBefore: r.PurseBefore, PurseAfter: r.PurseAfter, Trace: r.Trace, Microseconds: r.Duration.Microseconds(),
		Throwaway: throwaway,
	}
}

// outcomeTerm is an outcome in one or two words.
func outcomeTerm(o app.TapOutcome) glossary.Term {
	switch o {
	case app.OutcomeApproved:
		return lang.TapApproved
	case app.OutcomeApprovedOffline:
		return lang.TapApprovedOffline
	case app.OutcomeDeclined:
		return lang.TapDeclined
	case app.OutcomeReversed:
		return lang.TapReversed
	case app.OutcomePINNeeded:
		return lang.TapPINNeeded
	}
	return lang.TapFailed
}

func (s *session) printTap(c tapCommand, r app.TapResult) {
	if !r.Paid() {
		s.explain(s.out, refusal(c, r))
		return
	}
	s.line(s.screen.Mark(true) + " " + s.text(lang.TapLineApproved, lang.AmountTerm(r.Amount), r.Card, r.Merchant))
	t := &lang.Table{Indent: 2, Gap: 2}
	row := func(label glossary.Term, value string) {
		if value != "" {
			t.Row(s.text(label), value)
		}
	}
	row(lang.TapLabelCard, r.Masked)
	row(lang.TapLabelVerified, s.text(r.Why))
	row(lang.TapLabelRRN, r.RRN)
	row(lang.TapLabelAuth, r.AuthCode)
	row(lang.TapLabelPurse, s.purse(r))
	row(lang.TapLabelTime, s.screen.Fold(lang.Duration(r.Duration.Round(time.Microsecond))))
	row(lang.LabelNext, s.text(lang.TapTraceCommand, r.Trace))
	s.table(t)
}

// purse tells how the money on the card changed, empty when it did not.
func (s *session) purse(r app.TapResult) string {
	if r.PurseBefore == nil || r.PurseAfter == nil || *r.PurseBefore == *r.PurseAfter {
		return ""
	}
	return s.screen.Fold(lang.Decimal(*r.PurseBefore) + " → " + lang.Decimal(*r.PurseAfter))
}

// refusal puts an answer of no in the three parts of an error.
func refusal(c tapCommand, r app.TapResult) *problem {
	p := &problem{code: exitNo, why: r.Why, next: r.Next}
	switch {
	case r.Outcome == app.OutcomePINNeeded:
		why := r.Why
		if why == (glossary.Term{}) {
			why = lang.AmountTerm(r.Amount)
		}
		p.what, p.why = lang.Fill(lang.TapLinePIN, why), glossary.Term{}
		p.next = c.again(lang.TapGiveAmount, lang.ReaderPIN, c.At, r.Amount.Decimal())
		return p
	case r.Outcome == app.OutcomeReversed:
		p.what = lang.Fill(lang.TapLineReversed, r.Reason)
	case r.Outcome == app.OutcomeFailed:
		p.what = lang.Fill(lang.TapLineFailed, r.Reason)
	case r.ResponseCode != "":
		p.what = lang.Fill(lang.TapLineField39, r.ResponseCode, r.Reason)
	default:
		p.what = lang.Fill(lang.TapLineDeclined, r.Reason)
	}
	if p.next == (glossary.Term{}) {
		p.next = lang.Verbatim("tapnet trace last")
	} else {
		p.next = lang.Fill(lang.TapNextWithAdvice, p.next)
	}
	if p.why == r.Reason {
		p.why = glossary.Term{}
	}
	p.why = caused(r.Cause, p.why)
	return p
}

// caused says whose fault it is before the reason.
func caused(cause, why glossary.Term) glossary.Term {
	if cause == (glossary.Term{}) || why == (glossary.Term{}) {
		return glossary.Term{EN: cause.EN + why.EN, ZH: cause.ZH + why.ZH}
	}
	return glossary.Term{EN: cause.EN + ": " + why.EN, ZH: cause.ZH + "：" + why.ZH}
}
