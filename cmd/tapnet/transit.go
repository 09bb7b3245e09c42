package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tapnet/glossary"
	"tapnet/internal/app/operator"
	"tapnet/internal/bench"
	"tapnet/internal/lang"
	"tapnet/internal/transit/transithttp"
)

type transitCommand struct {
	Serve    transitServeCommand  `cmd:"" help:"${transit_serve}"`
	DayClose transitCloseCommand  `cmd:"" name:"day-close" help:"${transit_close}"`
	Debt     transitDebtCommand   `cmd:"" help:"${transit_debt}"`
	Deny     transitDenyCommand   `cmd:"" help:"${transit_deny}"`
	Keys     transitKeysCommand   `cmd:"" help:"${transit_keys}"`
	Report   transitReportCommand `cmd:"" help:"${transit_report}"`

	Import   transitImportCommand   `cmd:"" help:"${transit_import}"`
	Export   transitExportCommand   `cmd:"" help:"${transit_export}"`
	Rate     transitRateCommand     `cmd:"" help:"${transit_rate}"`
	Generate transitGenerateCommand `cmd:"" help:"${transit_generate}"`
}

// operatorFlag is the directory of an operator.
type operatorFlag struct {
	Data string `placeholder:"DIR" help:"${transit_data}"`
}

func (f operatorFlag) dir(s *session) string {
	if f.Data != "" {
		return f.Data
	}
	return filepath.Join(defaultDataDir(s), "metro")
}

type transitServeCommand struct {
	operatorFlag
	Config string `placeholder:"FILE" help:"${transit_config}"`
	Listen string `placeholder:"ADDRESS" help:"${transit_listen}"`
	Store  string `env:"TAPNET_STORE" placeholder:"URL" help:"${up_store}"`
}

// Run keeps the office running until ctx ends.
func (c transitServeCommand) Run(ctx context.Context, s *session) error {
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	office, err := operator.Start(ctx, operator.Options{Dir: c.dir(s), Config: c.Config, Listen: c.Listen, Log: log, Store: c.Store})
	if err != nil {
		code := exitEnvironment
		if errors.Is(err, operator.ErrConfig) {
			code = exitUsage
		}
		return &problem{code: code, what: lang.TransitFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
	}
	url := office.Where().URL
	if s.json {
		if err := s.printJSON(s.out, office.Where()); err != nil {
			return errors.Join(err, office.Stop(ctx))
		}
	} else {
		s.line(s.screen.Bold(s.text(lang.TransitUp, url)))
		s.line(s.wrapped(lang.Fill(lang.TransitUpToken, filepath.Join(c.dir(s), "transit.token"), url+"/openapi.yaml")))
	}
	select {
	case <-ctx.Done():
		return office.Stop(context.WithoutCancel(ctx))
	case err := <-office.Failed():
		return &problem{code: exitEnvironment, what: lang.TransitBroke, why: lang.Verbatim(fmt.Sprint(err)), next: lang.UpRestart, err: err}
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// call asks a running office. into may be nil.
func (f operatorFlag) call(ctx context.Context, s *session, method, path string, body, into any) ([]byte, error) {
	where, err := operator.Find(f.dir(s))
	if err != nil {
		return nil, &problem{code: exitEnvironment, what: lang.Fill(lang.TransitNotRunning, f.dir(s)), next: lang.Fill(lang.TransitStart, f.dir(s)), err: err}
	}
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, where.URL+path, sent)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+where.Token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, &problem{
			code: exitEnvironment, what: lang.TransitUnreachable, why: lang.Verbatim(err.Error()), next: lang.Fill(lang.TransitStart, f.dir(s)), err: err,
		}
	}
	defer func() { _ = response.Body.Close() }() // the answer has been read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the office's answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		var why struct {
			Reason string `json:"reason"`
		}
		_ = json.Unmarshal(answer, &why) // an answer without a reason has none to show
		return nil, &problem{code: exitNo, what: lang.TransitRefused, why: lang.Verbatim(oneLine(why.Reason)), next: lang.Verbatim("tapnet transit report")}
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			return nil, fmt.Errorf("read the office's answer: %w", err)
		}
	}
	return answer, nil
}

// maxDetail bounds what is shown of a reason.
const maxDetail = 200

// oneLine is a text from outside as one line that changes nothing on a screen.
func oneLine(text string) string {
	return lang.Cut(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text), maxDetail, "…")
}

// show prints an answer as it came, for a program.
func (s *session) show(answer []byte) error {
	_, err := fmt.Fprintln(s.out, string(bytes.TrimSpace(answer)))
	return err
}

type transitCloseCommand struct {
	operatorFlag
	Day string `arg:"" help:"${transit_day}"`
}

// pollEvery is how often a close under way is looked at.
const pollEvery = 200 * time.Millisecond

// Run closes a day and waits until it is closed.
func (c transitCloseCommand) Run(ctx context.Context, s *session) error {
	var at transithttp.Progress
	answer, err := c.call(ctx, s, http.MethodPost, "/v1/days/"+c.Day+"/close", nil, &at)
	if err != nil {
		return err
	}
	progress := s.progress()
	for at.Done < at.Accounts {
		progress.tell(lang.Fill(lang.TransitClosing, at.Day, at.Done, at.Accounts))
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		if answer, err = c.call(ctx, s, http.MethodGet, "/v1/close", nil, &at); err != nil {
			return err
		}
	}
	progress.end()
	if s.json {
		return s.show(answer)
	}
	s.say(lang.TransitClosed, at.Day)
	return transitReportCommand{operatorFlag: c.operatorFlag, Day: c.Day}.Run(ctx, s)
}

type transitDebtCommand struct {
	operatorFlag
	Bill     uint64 `arg:"" optional:"" help:"${transit_debt_bill}"`
	Retry    bool   `help:"${transit_debt_retry}"`
	PaidBy   int64  `name:"paid-by" placeholder:"ACCOUNT" help:"${transit_debt_paid}"`
	WriteOff bool   `name:"write-off" help:"${transit_debt_write_off}"`
	Refund   string `placeholder:"AMOUNT" help:"${transit_debt_refund}"`
}

// Run lists debts, or decides about one.
func (c transitDebtCommand) Run(ctx context.Context, s *session) error {
	bill := "/v1/bills/" + strconv.FormatUint(c.Bill, 10)
	var path string
	body := map[string]any{}
	chosen := 0
	choose := func(given bool, to string) {
		if given {
			chosen, path = chosen+1, to
		}
	}
	choose(c.Retry, bill+"/retries")
	choose(c.WriteOff, bill+"/write-offs")
	choose(c.Refund != "", bill+"/refunds")
	choose(c.PaidBy != 0, "/v1/accounts/"+strconv.FormatInt(c.PaidBy, 10)+"/settlements")
	switch {
	case chosen > 1 || chosen == 1 && c.Bill == 0 && c.PaidBy == 0 || chosen == 0 && c.Bill != 0:
		return &problem{code: exitUsage, what: lang.TransitTwo, next: lang.Verbatim("tapnet transit debt --help")}
	case chosen == 0:
		return c.list(ctx, s)
	}
	if c.PaidBy != 0 && c.Bill != 0 {
		body["bill"] = c.Bill
	}
	if c.Refund != "" && c.Refund != "all" {
		body["amount"] = c.Refund
	}
	var send any
	if c.PaidBy != 0 || c.Refund != "" {
		send = body
	}
	answer, err := c.call(ctx, s, http.MethodPost, path, send, nil)
	if err != nil {
		return err
	}
	if s.json {
		return s.show(answer)
	}
	s.say(lang.TransitDone)
	return nil
}

func (c transitDebtCommand) list(ctx context.Context, s *session) error {
	var bills []transithttp.Bill
	answer, err := c.call(ctx, s, http.MethodGet, "/v1/debts", nil, &bills)
	if err != nil {
		return err
	}
	if s.json {
		return s.show(answer)
	}
	if len(bills) == 0 {
		s.say(lang.TransitNothingOwed)
		return nil
	}
	s.printBills(bills)
	return nil
}

func (s *session) printBills(bills []transithttp.Bill) {
	t := &lang.Table{Gap: 2, Right: []bool{true, true, false, true}}
	t.Row(s.text(lang.TransitBill), s.text(lang.TransitAccount), s.text(lang.TransitDay), s.text(lang.TransitAmount), s.text(lang.TransitState),
		s.text(lang.TransitAnswer))
	for _, b := range bills {
		answer := ""
		if b.Answer != nil {
			answer = b.Code + " " + s.text(glossary.Term(*b.Answer))
		}
		t.Row(strconv.FormatUint(b.Bill, 10), strconv.FormatInt(b.Account, 10), b.Day, b.Amount, s.text(glossary.Term(b.State)), answer)
	}
	s.table(t)
}

type transitDenyCommand struct {
	operatorFlag
	Block   int64  `placeholder:"CREDENTIAL" help:"${transit_deny_block}"`
	Release int64  `placeholder:"CREDENTIAL" help:"${transit_deny_release}"`
	Reason  string `placeholder:"REASON" help:"${transit_deny_reason}"`
	Import  string `placeholder:"FILE" help:"${transit_deny_import}"`
	End     string `placeholder:"FILE" help:"${transit_deny_end}"`
}

// Run shows the list's state, or changes an entry.
func (c transitDenyCommand) Run(ctx context.Context, s *session) error {
	change := func(method string, credential int64, body any) error {
		answer, err := c.call(ctx, s, method, "/v1/credentials/"+strconv.FormatInt(credential, 10)+"/block", body, nil)
		if err != nil {
			return err
		}
		if s.json {
			return s.show(answer)
		}
		s.say(lang.TransitDone)
		return nil
	}
	switch {
	case c.Import != "" && c.End != "":
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageExclusive, "--import", "--end"), next: lang.Verbatim("tapnet transit deny --help")}
	case (c.Import != "" || c.End != "") && (c.Block != 0 || c.Release != 0):
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageExclusive, "--import, --end", "--block, --release"),
			next: lang.Verbatim("tapnet transit deny --help")}
	case c.Import != "":
		return c.outside(ctx, s, c.Import, http.MethodPost)
	case c.End != "":
		return c.outside(ctx, s, c.End, http.MethodDelete)
	case c.Block != 0 && c.Release != 0:
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageExclusive, "--block", "--release"), next: lang.Verbatim("tapnet transit deny --help")}
	case c.Block != 0 && c.Reason == "":
		return &problem{
			code: exitUsage, what: lang.Fill(lang.UsageFlagsMissing, "--reason"), why: lang.TransitNoReason, next: lang.Verbatim("tapnet transit deny --help"),
		}
	case c.Block != 0:
		return change(http.MethodPut, c.Block, map[string]string{"reason": c.Reason})
	case c.Release != 0:
		return change(http.MethodDelete, c.Release, nil)
	}
	var list struct {
		Sequence uint64 `json:"sequence"`
		Entries  int    `json:"entries"`
		Waiting  int    `json:"waiting"`
		Outside  int    `json:"outside"`
		Epoch    uint32 `json:"epoch"`
		Next     uint32 `json:"next_epoch"`
		Former   uint32 `json:"former_epoch"`
	}
	answer, err := c.call(ctx, s, http.MethodGet, "/v1/list", nil, &list)
	if err != nil {
		return err
	}
	if s.json {
		return s.show(answer)
	}
	s.say(lang.TransitList, list.Sequence, list.Entries, list.Waiting)
	if list.Outside > 0 {
		s.say(lang.TransitListOutside, list.Outside)
	}
	switch {
	case list.Next != 0:
		s.say(lang.TransitKeysRunning, list.Next, list.Epoch)
	case list.Former != 0:
		s.say(lang.TransitListFormer, list.Epoch, list.Former)
	default:
		s.say(lang.TransitKeysOne, list.Epoch)
	}
	return nil
}

type transitReportCommand struct {
	operatorFlag
	Day     string `placeholder:"DAY" help:"${transit_day}"`
	Account int64  `placeholder:"N" help:"${transit_account}"`
	History bool   `help:"${transit_history}"`
	Devices bool   `help:"${transit_devices}"`
}

// Run shows what has become of everything, of a day, of a rider, or of the devices.
func (c transitReportCommand) Run(ctx context.Context, s *session) error {
	switch {
	case c.History:
		return c.history(ctx, s)
	case c.Day != "":
		return printed(ctx, s, c.operatorFlag, "/v1/days/"+c.Day, (*session).printDay)
	case c.Account != 0:
		return printed(ctx, s, c.operatorFlag, "/v1/accounts/"+strconv.FormatInt(c.Account, 10), (*session).printAccount)
	case c.Devices:
		return printed(ctx, s, c.operatorFlag, "/v1/devices", (*session).printDevices)
	}
	return printed(ctx, s, c.operatorFlag, "/v1/report", (*session).printReport)
}

// printed asks for something and prints it.
func printed[T any](ctx context.Context, s *session, f operatorFlag, path string, print func(*session, T)) error {
	var value T
	answer, err := f.call(ctx, s, http.MethodGet, path, nil, &value)
	if err != nil {
		return err
	}
	if s.json {
		return s.show(answer)
	}
	print(s, value)
	return nil
}

// facts prints names and values in two columns.
func (s *session) facts(facts []fact) {
	t := &lang.Table{Gap: 2, Right: []bool{false, true}}
	for _, f := range facts {
		t.Row(s.text(f.name), f.value)
	}
	s.table(t)
}

type fact struct {
	name  glossary.Term
	value string
}

func (s *session) printReport(r transithttp.Report) {
	s.facts([]fact{
		{lang.TransitTaps, lang.Int(int64(r.Taps))}, {lang.TransitOpened, lang.Int(int64(r.Opened))}, {lang.TransitCharged, r.Charged},
		{lang.TransitCredited, r.Credited}, {lang.TransitPaid, r.Paid}, {lang.TransitSettled, r.Settled}, {lang.TransitRefunded, r.Refunded},
		{lang.TransitOwed, r.Owed}, {lang.TransitLost, r.WrittenOff}, {lang.TransitLoss, r.LossPerMillion}, {lang.TransitListed, lang.Int(int64(r.Listed))},
		{lang.TransitPurseLost, lang.Int(int64(r.PurseRefused))},
	})
}

func (s *session) printDay(d transithttp.Day) {
	s.facts([]fact{
		{lang.TransitDay, d.Day}, {lang.TransitJourneys, lang.Int(int64(d.Journeys))}, {lang.TransitAmount, d.Amount}, {lang.TransitBills, lang.Int(int64(d.Bills))},
		{lang.TransitCharged, d.Billed}, {lang.TransitPaid, d.Paid}, {lang.TransitOpen, d.Open}, {lang.TransitOwed, d.Owed}, {lang.TransitLost, d.Lost},
		{lang.TransitRefunded, d.Refunded},
	})
}

func (s *session) printAccount(a transithttp.Account) {
	for _, j := range a.Journeys {
		s.line(s.screen.Bold(j.Day + "  " + j.Start.Place + " → " + j.End.Place + "  " + j.Amount))
		t := &lang.Table{Indent: 2, Gap: 2, Right: []bool{true}}
		for _, step := range j.Steps {
			t.Row(step.Amount, s.text(glossary.Term(step.Both)))
		}
		s.table(t)
	}
	for _, i := range a.Inspections {
		if i.Valid {
			s.say(lang.TransitInspected, i.Tap.At, i.Tap.Place)
		} else {
			s.say(lang.TransitInspectedNo, i.Tap.At, i.Tap.Place)
		}
	}
	if len(a.Bills) > 0 {
		s.line("")
		s.printBills(a.Bills)
	}
}

func (s *session) printDevices(devices []transithttp.Device) {
	t := &lang.Table{Gap: 2, Right: []bool{false, true, true, true, true, true}}
	t.Row(s.text(lang.TransitDevice), s.text(lang.TransitRecords), s.text(lang.TransitMissing), s.text(lang.TransitOpened), s.text(lang.TransitListAge),
		s.text(lang.TransitKeyEpochs), s.text(lang.TransitTrouble))
	for _, d := range devices {
		age := "–"
		if d.ListAgeSeconds >= 0 {
			age = lang.Duration(time.Duration(d.ListAgeSeconds) * time.Second)
		}
		t.Row(d.Device, lang.Int(int64(d.Records)), strconv.Itoa(len(d.Missing)), lang.Int(int64(d.Opened)), age, epochsHeld(d.Keys), printable(d.Trouble))
	}
	s.table(t)
}

// benchTransit measures a day of a transit operator.
func (s *session) benchTransit(ctx context.Context, o bench.Options, riders int) error {
	found, err := bench.Transit(ctx, o, riders)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(s.out, found)
	}
	seconds := func(x float64) string { return lang.Duration(time.Duration(x * float64(time.Second))) }
	s.line(s.wrapped(lang.Fill(lang.BenchTransit, lang.Int(int64(found.Taps)), lang.Int(int64(found.Riders)), lang.Int(int64(found.TapsPerSecond)),
		seconds(found.CloseSeconds), lang.Int(int64(found.Bills)), seconds(found.ReplaySeconds), found.SameAfterReplay)))
	return nil
}
