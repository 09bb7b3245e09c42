package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/money"
)

type posCommand struct {
	Menu           posMenuCommand     `cmd:"" default:"1" help:"${pos_menu}"`
	Sale           posSaleCommand     `cmd:"" help:"${pos_sale}"`
	Void           posVoidCommand     `cmd:"" help:"${pos_void}"`
	Refund         posRefundCommand   `cmd:"" help:"${pos_refund}"`
	Preauth        posPreauthCommand  `cmd:"" help:"${pos_preauth}"`
	Cancel         posCancelCommand   `cmd:"" help:"${pos_cancel}"`
	Complete       posCompleteCommand `cmd:"" help:"${pos_complete}"`
	VoidCompletion posVoidComplete    `cmd:"" name:"void-completion" help:"${pos_void_completion}"`
	Balance        posBalanceCommand  `cmd:"" help:"${pos_balance}"`
	Cash           posCashCommand     `cmd:"" help:"${pos_cash}"`
	Load           posLoadCommand     `cmd:"" help:"${pos_load}"`
	VoidLoad       posVoidLoadCommand `cmd:"" name:"void-load" help:"${pos_void_load}"`
	Unload         posUnloadCommand   `cmd:"" help:"${pos_unload}"`
	Settle         posSettleCommand   `cmd:"" help:"${pos_settle}"`
	Reprint        posReprintCommand  `cmd:"" help:"${pos_reprint}"`
	Download       posDownloadCommand `cmd:"" help:"${pos_download}"`
	Rollback       posRollbackCommand `cmd:"" help:"${pos_rollback}"`
	Machine        posMachineCommand  `cmd:"" help:"${pos_machine}"`
}

// counterFlags are those of every verb.
type counterFlags struct {
	At           string `default:"shop-1" placeholder:"MERCHANT" help:"${pos_at}"`
	MerchantCopy bool   `name:"merchant-copy" help:"${pos_copy}"`
	Slip         string `placeholder:"en|zh|both" help:"${pos_slip}"`
	HTML         string `name:"html" placeholder:"FILE" help:"${pos_html}"`
	dataFlag
}

// cardFlags say which card is presented, and how.
type cardFlags struct {
	Card   string        `placeholder:"NAME" help:"${tap_card}"`
	Reader string        `placeholder:"NAME" help:"${tap_reader}"`
	Wait   time.Duration `default:"30s" placeholder:"TIME" help:"${tap_wait}"`
	PIN    string        `name:"pin" placeholder:"PIN" help:"${tap_pin}"`
}

// entryFlags add that the card may be inserted.
type entryFlags struct {
	cardFlags
	Insert bool `help:"${pos_insert}"`
}

// swipeFlags add that its stripe may be swiped.
type swipeFlags struct {
	Swipe    bool `help:"${pos_swipe}"`
	DeadChip bool `name:"dead-chip" help:"${pos_dead_chip}"`
}

// originalFlags say what a verb is about.
type originalFlags struct {
	Trace uint32 `required:"" placeholder:"NUMBER" help:"${pos_trace}"`
	Batch uint32 `placeholder:"NUMBER" help:"${pos_batch}"`
	RRN   string `name:"rrn" placeholder:"NUMBER" help:"${pos_rrn}"`
	Auth  string `placeholder:"CODE" help:"${pos_auth}"`
}

type amountFlag struct {
	Amount string `required:"" placeholder:"299.00" help:"${tap_amount}"`
}

type partFlag struct {
	Amount string `placeholder:"299.00" help:"${pos_amount}"`
}

type posSaleCommand struct {
	counterFlags
	entryFlags
	swipeFlags
	amountFlag
	AskPIN bool `name:"ask-pin" help:"${tap_ask_pin}"`
}

// Run takes a payment.
func (c posSaleCommand) Run(ctx context.Context, s *session) error {
	r := app.POSRequest{Verb: app.POSSale, Amount: c.Amount, AskPIN: c.AskPIN}
	return c.run(ctx, s, c.swipeFlags.fill(c.entryFlags.fill(r)), c.PIN)
}

type posPreauthCommand struct {
	counterFlags
	entryFlags
	swipeFlags
	amountFlag
}

// Run holds money.
func (c posPreauthCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.swipeFlags.fill(c.entryFlags.fill(app.POSRequest{Verb: app.POSPreAuth, Amount: c.Amount})), c.PIN)
}

type posVoidCommand struct {
	counterFlags
	originalFlags
}

// Run takes a sale back.
func (c posVoidCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(app.POSRequest{Verb: app.POSVoid}), "")
}

type posRefundCommand struct {
	counterFlags
	originalFlags
	partFlag
}

// Run gives money back.
func (c posRefundCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(app.POSRequest{Verb: app.POSRefund, Amount: c.Amount}), "")
}

type posCancelCommand struct {
	counterFlags
	originalFlags
}

// Run lets held money go.
func (c posCancelCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(app.POSRequest{Verb: app.POSCancel}), "")
}

type posCompleteCommand struct {
	counterFlags
	originalFlags
	partFlag
	Notice bool `help:"${pos_notice}"`
}

// Run takes held money.
func (c posCompleteCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(app.POSRequest{Verb: app.POSComplete, Amount: c.Amount, Notice: c.Notice}), "")
}

type posVoidComplete struct {
	counterFlags
	originalFlags
}

// Run gives taken money back.
func (c posVoidComplete) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(app.POSRequest{Verb: app.POSVoidCompletion}), "")
}

type posBalanceCommand struct {
	counterFlags
	entryFlags
	swipeFlags
}

// Run asks for the account's balance.
func (c posBalanceCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.swipeFlags.fill(c.entryFlags.fill(app.POSRequest{Verb: app.POSBalance})), c.PIN)
}

type posCashCommand struct {
	counterFlags
	entryFlags
}

// Run reads the purse.
func (c posCashCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.entryFlags.fill(app.POSRequest{Verb: app.POSCashBalance}), "")
}

type posLoadCommand struct {
	counterFlags
	cardFlags
	amountFlag
	From string `default:"account" placeholder:"SOURCE" help:"${pos_from}"`
}

// Run loads the purse.
func (c posLoadCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, entryFlags{c.cardFlags, true}.fill(app.POSRequest{Verb: app.POSLoad, Amount: c.Amount, From: c.From}), c.PIN)
}

type posVoidLoadCommand struct {
	counterFlags
	cardFlags
	originalFlags
}

// Run takes a cash load back.
func (c posVoidLoadCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, c.originalFlags.fill(entryFlags{c.cardFlags, true}.fill(app.POSRequest{Verb: app.POSVoidLoad})), c.PIN)
}

type posUnloadCommand struct {
	counterFlags
	cardFlags
}

// Run empties the purse.
func (c posUnloadCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, entryFlags{c.cardFlags, true}.fill(app.POSRequest{Verb: app.POSUnload}), c.PIN)
}

type posSettleCommand struct{ counterFlags }

// Run settles the batch.
func (c posSettleCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, app.POSRequest{Verb: app.POSSettle}, "")
}

type posReprintCommand struct {
	counterFlags
	Trace uint32 `placeholder:"NUMBER" help:"${pos_trace}"`
	Batch uint32 `placeholder:"NUMBER" help:"${pos_batch}"`
}

// Run prints a slip again.
func (c posReprintCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, app.POSRequest{Verb: app.POSReprint, Trace: c.Trace, Batch: c.Batch}, "")
}

type posDownloadCommand struct {
	counterFlags
	List string `arg:"" enum:"parameters,applications,keys" help:"${pos_list}"`
}

// Run fetches a list.
func (c posDownloadCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, app.POSRequest{Verb: app.POSDownload, List: c.List}, "")
}

type posRollbackCommand struct {
	counterFlags
	List string `arg:"" enum:"parameters,applications,keys" help:"${pos_list}"`
}

// Run goes back to the list before.
func (c posRollbackCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, app.POSRequest{Verb: app.POSRollback, List: c.List}, "")
}

func (f entryFlags) fill(r app.POSRequest) app.POSRequest {
	r.Card, r.Reader, r.WaitSeconds, r.Insert = f.Card, f.Reader, seconds(f.Wait), f.Insert
	return r
}

func (f swipeFlags) fill(r app.POSRequest) app.POSRequest {
	r.Swipe, r.DeadChip = f.Swipe || f.DeadChip, f.DeadChip
	return r
}

func (f originalFlags) fill(r app.POSRequest) app.POSRequest {
	r.Trace, r.Batch, r.RRN, r.AuthCode = f.Trace, f.Batch, f.RRN, f.Auth
	return r
}

// withCard are the verbs that need one.
var withCard = map[app.POSVerb]bool{app.POSSale: true, app.POSPreAuth: true, app.POSBalance: true, app.POSCashBalance: true, app.POSLoad: true,
	app.POSVoidLoad: true, app.POSUnload: true, app.POSChangePIN: true, app.POSUnblockPIN: true}

// run is one verb as a command of its own.
func (f counterFlags) run(ctx context.Context, s *session, r app.POSRequest, pin string) (err error) {
	if withCard[r.Verb] && (r.Card == "") == (r.Reader == "") {
		return &problem{code: exitUsage, what: lang.PosWhich, next: lang.TapWhichNext}
	}
	if pin == "-" {
		if pin, err = s.readPIN(); err != nil {
			return &problem{code: exitEnvironment, what: lang.InputUnreadable, why: reason(err), next: lang.TapPINNext}
		}
	}
	r.PIN = pin
	if err := checkPOS(r); err != nil {
		return err
	}
	world, err := openWorld(ctx, s, f.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	f.announce(s, world)
	return f.ask(ctx, s, world, r)
}

// announce says that the world is thrown away afterwards.
func (f counterFlags) announce(s *session, w *opened) {
	if !w.throwaway || s.json {
		return
	}
	for _, line := range lang.Wrap(s.text(lang.PosThrowaway, w.dir), s.screen.Columns) {
		fmt.Fprintln(s.err, line)
	}
}

// ask asks a till and shows what it says.
func (f counterFlags) ask(ctx context.Context, s *session, world *opened, r app.POSRequest) error {
	if err := checkPOS(r); err != nil {
		return err
	}
	r.Merchant, r.MerchantCopy, r.HTML, r.Lang = f.At, f.MerchantCopy, f.HTML != "", f.Slip
	if r.Lang == "" && s.screen.Lang == glossary.Chinese {
		r.Lang = "zh"
	}
	if r.Reader != "" && !s.json {
		fmt.Fprintln(s.err, s.text(lang.TapPresent))
	}
	result, err := world.POS(ctx, r)
	if err != nil {
		return readerProblem(unknownName(err, r.Card, f.At))
	}
	if world.throwaway {
		s.keepTrace(ctx, world, result.Trace)
	}
	if f.HTML != "" && result.HTML != "" {
		if err := os.WriteFile(f.HTML, []byte(result.HTML), 0o600); err != nil {
			return &problem{code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, f.HTML), why: reason(err), next: lang.SeeDoctor, err: err}
		}
	}
	if !posGood(result) {
		s.code = exitNo
	}
	if s.json {
		result.HTML = ""
		return s.printJSON(s.out, s.posJSON(result, world.throwaway))
	}
	s.printPOS(f, result)
	return nil
}

// checkPOS refuses what cannot be meant before a world is asked. No error repeats the PIN.
func checkPOS(r app.POSRequest) error {
	if r.Amount != "" {
		if a, err := money.Parse(r.Amount, currency); err != nil || a.Sign() <= 0 {
			return &problem{code: exitUsage, what: lang.PosAmount, why: lang.PosAmountWhy, next: lang.PosHelpNext}
		}
	}
	if r.PIN != "" && !isPIN(r.PIN) {
		return &problem{code: exitUsage, what: lang.TapPIN, why: lang.TapPINWhy, next: lang.TapPINNext}
	}
	return nil
}

func isPIN(digits string) bool {
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) >= 4 && len(digits) <= 12
}

// posGood reports whether what was asked for was done.
func posGood(r app.POSResult) bool {
	switch r.Outcome {
	case app.OutcomeApproved, app.OutcomeApprovedOffline, app.OutcomeDone, app.OutcomeUnderway:
		return true
	}
	return false
}

// posReport is a result for a program.
type posReport struct {
	Verb string `json:"verb"`
	tapReport
	Batch     uint32             `json:"batch,omitempty"`
	STAN      uint32             `json:"stan,omitempty"`
	Balance   *money.Amount      `json:"balance,omitempty"`
	Purses    []app.POSPurse     `json:"purses,omitempty"`
	Sheet     *app.POSSheet      `json:"sheet,omitempty"`
	Download  *app.POSDownloaded `json:"download,omitempty"`
	Held      *int               `json:"held,omitempty"`
	Collected *int               `json:"collected,omitempty"`
	Slip      string             `json:"slip,omitempty"`
}

func (s *session) posJSON(r app.POSResult, throwaway bool) posReport {
	return posReport{Verb: string(r.Verb), tapReport: s.tapJSON(r.TapResult, throwaway), Batch: r.Batch, STAN: r.STAN, Balance: r.Balance, Purses: r.Purses,
		Sheet: r.Sheet, Download: r.Download, Held: r.Held, Collected: r.Collected, Slip: r.Slip}
}

// verbTerm names a verb as the menu does.
func verbTerm(v app.POSVerb) glossary.Term {
	for i, item := range menuItems {
		if item.verb == v {
			return lang.PosMenuContent[i]
		}
	}
	return lang.Verbatim(string(v))
}

func (s *session) printPOS(f counterFlags, r app.POSResult) {
	name := verbTerm(r.Verb)
	switch {
	case !posGood(r) && r.ResponseCode != "" && r.Outcome == app.OutcomeDeclined:
		s.explain(s.out, &problem{code: exitNo, what: lang.Fill(lang.PosCode, name, r.ResponseCode, r.Reason), why: caused(r.Cause, r.Why), next: posNext(r)})
	case !posGood(r):
		why := r.Why
		if why == r.Reason {
			why = glossary.Term{}
		}
		s.explain(s.out, &problem{code: exitNo, what: lang.Fill(lang.PosNo, name, r.Reason), why: caused(r.Cause, why), next: posNext(r)})
	case r.Outcome == app.OutcomeDone, r.Verb == app.POSChangePIN, r.Verb == app.POSUnblockPIN:
		s.line(s.screen.Mark(true) + " " + s.text(lang.Fill(lang.PosDone, name)))
	default:
		s.line(s.screen.Mark(true) + " " + s.text(lang.Fill(lang.PosApproved, name, lang.AmountTerm(r.Amount))))
	}
	s.printPOSTable(r)
	if r.Slip != "" {
		s.line("")
		fmt.Fprint(s.out, s.screen.Fold(r.Slip))
	}
	if f.HTML != "" && r.HTML != "" {
		s.line(s.text(lang.PosPage, f.HTML))
	}
}

func posNext(r app.POSResult) glossary.Term {
	if r.Next == (glossary.Term{}) {
		return lang.PosHelpNext
	}
	return r.Next
}

func (s *session) printPOSTable(r app.POSResult) {
	t := &lang.Table{Indent: 2, Gap: 2}
	if r.STAN != 0 {
		t.Row(s.text(lang.PosTrace), s.text(lang.PosTraceIs, r.STAN, r.Batch))
	}
	if r.Balance != nil {
		t.Row(s.text(lang.PosBalance), lang.Decimal(*r.Balance))
	}
	for _, p := range r.Purses {
		if p.Limit != nil {
			t.Row(p.Label, s.text(lang.PosPurseIs, lang.Decimal(*p.Balance), lang.Decimal(*p.Limit)))
		} else {
			t.Row(p.Label, s.money(p.Balance))
		}
	}
	if purse := s.purse(r.TapResult); purse != "" {
		t.Row(s.text(lang.PosPurse), purse)
	}
	if sheet := r.Sheet; sheet != nil {
		t.Row(s.text(lang.PosSheet, sheet.Batch),
			s.text(lang.PosSheetIs, sheet.DebitCount, lang.Decimal(sheet.Debit), sheet.CreditCount, lang.Decimal(sheet.Credit)))
		verdict := lang.PosDiffer
		if sheet.Agreed {
			verdict = lang.PosAgreed
		}
		t.Row("", s.text(verdict))
	}
	for label, n := range map[*glossary.Term]*int{&lang.PosHeld: r.Held, &lang.PosCollected: r.Collected} {
		if n != nil {
			t.Row(s.text(*label), fmt.Sprint(*n))
		}
	}
	if t.Len() > 0 {
		s.table(t)
	}
	if r.Verb == app.POSCashBalance && len(r.Purses) == 0 {
		s.say(lang.PosNoPurse)
	}
	if d := r.Download; d != nil {
		switch {
		case r.Verb == app.POSRollback && d.Now == 0:
			s.say(lang.PosListBuiltIn, d.List, d.Before)
		case d.Now == 0:
			s.say(lang.PosListNone, d.List)
		case r.Verb == app.POSRollback:
			s.say(lang.PosListBack, d.List, d.Now, d.Before)
		case d.Fresh:
			s.say(lang.PosListIs, d.List, d.Now, d.Before, d.Parts)
		default:
			s.say(lang.PosListSame, d.List, d.Now)
		}
	}
}
