package main

import (
	"context"
	"fmt"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/bench"
	"tapnet/internal/lang"
	"tapnet/internal/tsp"
	"tapnet/iso8583/unionpay"
)

type tokenCommand struct {
	States  tokenStatesCommand  `cmd:"" help:"${token_states}"`
	Reasons tokenReasonsCommand `cmd:"" help:"${token_reasons}"`
}

type (
	tokenStatesCommand  struct{}
	tokenReasonsCommand struct{}
)

// Run prints the life cycle of a token.
func (tokenStatesCommand) Run(s *session) error {
	steps := tsp.Transitions()
	if s.json {
		return s.printJSON(s.out, map[string]any{"transitions": steps, "suspenders": tsp.SuspenderNames()})
	}
	s.say(lang.TokenStates)
	t := &lang.Table{Indent: 2, Gap: 2}
	t.Row(s.text(lang.TokenFrom), s.text(lang.TokenEvent), s.text(lang.TokenTo))
	for _, step := range steps {
		t.Row(step.From.String(), s.text(step.Event.Term()), step.To.String())
	}
	s.table(t)
	s.say(lang.TokenSuspenders, strings.Join(tsp.SuspenderNames(), ", "))
	return nil
}

// tokenReason is a reason for a program.
type tokenReason struct {
	Reason       unionpay.TokenReason  `json:"reason"`
	ResponseCode unionpay.ResponseCode `json:"response_code"`
	Text         string                `json:"text"`
}

// Run prints why tokens are resolved or refused.
func (tokenReasonsCommand) Run(s *session) error {
	var all []tokenReason
	for _, r := range unionpay.TokenReasons() {
		all = append(all, tokenReason{r, r.ResponseCode(), s.text(r.Term())})
	}
	if s.json {
		return s.printJSON(s.out, all)
	}
	s.say(lang.TokenReasons)
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, r := range all {
		t.Row(fmt.Sprintf("%03d", r.Reason), string(r.ResponseCode), r.Text)
	}
	s.table(t)
	return nil
}

// tokens prints what making and finding tokens costs.
func (c benchCommand) tokens(ctx context.Context, s *session, o bench.Options) error {
	if err := s.benchSteps(bench.TokenMethods()); err != nil {
		return err
	}
	table := [][]string{{s.text(lang.BenchTokens), s.text(lang.BenchResolve), s.text(lang.BenchTail), s.text(lang.BenchRatio), s.text(lang.BenchLook),
		s.text(lang.BenchRatio), s.text(lang.BenchInStore), s.text(lang.BenchRatio), s.text(lang.BenchFill)}}
	progress := func(tokens int) { fmt.Fprintln(s.err, s.text(lang.Fill(lang.BenchFilling, lang.Int(int64(tokens))))) }
	err := bench.Tokens(ctx, o, c.Counts, progress, func(v bench.Vaulted) error {
		if s.json {
			return s.printJSON(s.out, v)
		}
		table = append(table, []string{lang.Int(int64(v.Tokens)), fmt.Sprintf("%.0f ns", v.Nanoseconds), micros(v.P99us), fmt.Sprintf("%.2f", v.Ratio),
			fmt.Sprintf("%.0f ns", v.LookNanoseconds), fmt.Sprintf("%.2f", v.LookRatio), fmt.Sprintf("%.0f ns", v.StoreNanoseconds),
			fmt.Sprintf("%.2f", v.StoreRatio), micros(v.FillSeconds * 1e6)})
		return nil
	})
	if err == nil && !s.json {
		s.benchTable(table)
	}
	return err
}

// taps prints what a payment by token costs beside one by card, end to end.
func (c benchCommand) taps(ctx context.Context, s *session) error {
	clients := benchTapClients
	if len(c.Clients) > 0 {
		clients = c.Clients[0]
	}
	r, err := app.BenchTokens(ctx, app.TokenBench{Dir: c.Dir, Clients: clients, Rounds: c.Rounds})
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(s.out, r)
	}
	table := [][]string{{s.text(lang.BenchClients), s.text(lang.BenchRate), s.text(lang.BenchHalf), s.text(lang.BenchTail), s.text(lang.BenchRatio)}}
	for _, row := range []struct {
		kind  glossary.Term
		rate  app.TokenRate
		ratio string
	}{{lang.BenchPlainCard, r.Plain, ""}, {lang.BenchTokenTap, r.Token, fmt.Sprintf("%.2f", r.Ratio)}} {
		table = append(table, []string{s.text(row.kind, r.Clients), lang.Int(int64(row.rate.PerSecond)), micros(row.rate.P50us), micros(row.rate.P99us), row.ratio})
	}
	s.benchTable(table)
	return nil
}

// benchTapClients is how many taps are under way when nobody says otherwise.
const benchTapClients = 64

// tokenPages are the generated documents about tokens.
func tokenPages() (states, reasons *page) {
	states = newPage("Life cycle of a token · 令牌生命周期", "What is not in the table is refused. The suspenders are a set: a token is ACTIVE only while it is empty.")
	var rows [][]string
	for _, step := range tsp.Transitions() {
		rows = append(rows, []string{step.From.String(), step.Event.Term().EN, step.Event.Term().ZH, step.To.String()})
	}
	states.table([]string{"From", "Event", "事件", "To"}, rows)
	states.WriteString("\nSuspenders · 暂停方: " + strings.Join(tsp.SuspenderNames(), ", ") + "\n")
	reasons = newPage("Why a token is resolved or refused · 令牌解析与拒绝原因", "Field 48 carries the number, field 39 the code. The rules are looked at in this order; the first that applies is the answer.")
	rows = nil
	for _, r := range unionpay.TokenReasons() {
		rows = append(rows, []string{fmt.Sprintf("%03d", r), string(r.ResponseCode()), r.Term().EN, r.Term().ZH})
	}
	reasons.table([]string{"Reason", "Field 39", "English", "中文"}, rows)
	return states, reasons
}
