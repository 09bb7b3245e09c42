package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/memnet"
	"tapnet/internal/personalization"
	"tapnet/money"
	"tapnet/pinblock"
)

// demoStart is the simulated instant at which every demo begins: 10:00 on a Saturday in Shanghai.
var demoStart = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// betweenTaps is how far the simulated clock moves on after each step of the story.
const betweenTaps = time.Minute

// story is a demo while it runs.
type story struct {
	*Network
	clock  *clock.Manual
	report *DemoReport
	tell   func(glossary.Term)
	wires  *wires
	// stranded is purse money, in minor units, that left cards without a payment: the terminal refused after the card had paid.
	stranded int64
}

// Demo builds a world from a seed in a temporary directory, carries taps through it, breaks things, and checks the books. The error is a surprise; a
// demo whose story or books come out wrong has a report that is not Good.
func Demo(ctx context.Context, o DemoOptions) (*DemoReport, error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "tapnet-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := newStory(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	err = s.run(ctx)
	if stopErr := s.Stop(ctx); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("stop the network: %w", stopErr))
	}
	if err != nil {
		return nil, err
	}
	s.report.Seconds = time.Since(began).Seconds()
	return s.report, nil
}

func newStory(ctx context.Context, o DemoOptions, dir string) (*story, error) {
	began := time.Now()
	profile, err := personalization.Load("demo")
	if err != nil {
		return nil, err
	}
	if o.adjust != nil {
		o.adjust(profile)
	}
	s := &story{clock: clock.NewManual(demoStart), tell: o.Progress, wires: newWires()}
	if s.tell == nil {
		s.tell = func(glossary.Term) {}
	}
	s.tell(glossary.Term{EN: "Building the world", ZH: "构建测试世界"})
	options := Options{Profile: profile, Dir: dir, Seed: &o.Seed, Roles: EveryRole(), Clock: s.clock, Quiet: true, byHand: true, hooks: o.hooks}
	s.Network, err = start(ctx, options, s.wires.connected)
	if err != nil {
		return nil, err
	}
	s.report = &DemoReport{
		Seed: o.Seed, Day: demoStart.In(clock.Shanghai()).Format(time.DateOnly), Trace: s.Trace(),
		World: WorldSummary{Authorities: 1, Issuers: len(profile.Issuers), Acquirers: 1, Switches: 1, Merchants: len(profile.Merchants),
			Cards: len(profile.Cards), Built: time.Since(began)},
	}
	return s, nil
}

func (s *story) run(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{s.taps, s.chips, s.phones, s.faults, s.rides, s.check} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// scene is one tap of the story and how it must end.
type scene struct {
	name    glossary.Term
	card    string
	at      string
	amount  string
	pin     string
	ask     bool // the cashier asks for the PIN
	options tapOptions
	want    TapOutcome
	code    string // field 39, "" for none
}

// scenes are the ordinary taps.
func scenes() []scene {
	return []scene{
		{name: glossary.Term{EN: "tap, no PIN", ZH: "挥卡，免密"}, card: "lin", at: "shop-1", amount: "299.00", want: OutcomeApproved, code: "00"},
		{name: glossary.Term{EN: "tap, at the no-PIN limit", ZH: "挥卡，等于免密限额"}, card: "lin", at: "shop-1", amount: "1000.00", want: OutcomeApproved, code: "00"},
		{name: glossary.Term{EN: "above the limit, PIN given", ZH: "超过限额，输入密码"}, card: "lin", at: "shop-1", amount: "1000.01", pin: "246810",
			want: OutcomeApproved, code: "00"},
		{name: glossary.Term{EN: "above the limit, wrong PIN", ZH: "超过限额，密码错误"}, card: "lin", at: "shop-1", amount: "1000.01", pin: "246811",
			want: OutcomeDeclined, code: "55"},
		{name: glossary.Term{EN: "above the limit, no PIN given", ZH: "超过限额，未输密码"}, card: "lin", at: "shop-1", amount: "1000.01", want: OutcomePINNeeded},
		{name: glossary.Term{EN: "no-PIN switched off by the holder", ZH: "持卡人已关闭免密"}, card: "wang", at: "kiosk", amount: "299.00",
			want: OutcomeDeclined, code: "55"},
		{name: glossary.Term{EN: "same card again, PIN asked and given", ZH: "同卡重试，输入密码"}, card: "wang", at: "kiosk", amount: "299.00", pin: "135790",
			ask: true, want: OutcomeApproved, code: "00"},
		{name: glossary.Term{EN: "e-cash, terminal offline", ZH: "电子现金，终端脱机"}, card: "lin", at: "canteen", amount: "12.50",
			options: tapOptions{offlineOnly: true}, want: OutcomeApprovedOffline},
		{name: glossary.Term{EN: "e-cash, long card key", ZH: "电子现金，长密钥卡"}, card: "sun", at: "canteen", amount: "20.00", want: OutcomeApprovedOffline},
		{name: glossary.Term{EN: "e-cash, more than the purse holds", ZH: "电子现金余额不足"}, card: "chen", at: "canteen", amount: "90.00",
			options: tapOptions{offlineOnly: true}, want: OutcomeDeclined},
		{name: glossary.Term{EN: "not enough money", ZH: "余额不足"}, card: "zhao", at: "shop-1", amount: "299.00", want: OutcomeDeclined, code: "51"},
		{name: glossary.Term{EN: "credit card", ZH: "贷记卡"}, card: "liu", at: "kiosk", amount: "880.00", want: OutcomeApproved, code: "00"},
	}
}

func (s *story) taps(ctx context.Context) error {
	for _, scene := range scenes() {
		s.tell(scene.name)
		result, err := s.play(ctx, scene)
		if err != nil {
			return err
		}
		if s.report.FirstTap == "" {
			s.report.FirstTap = result.Trace
		}
		s.report.Taps = append(s.report.Taps, DemoTap{Name: scene.name, Amount: scene.amount, Result: result, OK: scene.asExpected(result)})
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (sc scene) asExpected(r TapResult) bool {
	return r.Outcome == sc.want && r.ResponseCode == sc.code
}

// play runs one scene.
func (s *story) play(ctx context.Context, sc scene) (TapResult, error) {
	amount, err := money.Parse(sc.amount, s.options.Profile.Money())
	if err != nil {
		return TapResult{}, fmt.Errorf("scene %q: %w", sc.name.EN, err)
	}
	request := TapRequest{Card: sc.card, Merchant: sc.at, Amount: amount, AskPIN: sc.ask}
	if sc.pin != "" {
		pin, err := pinblock.ParsePIN(sc.pin)
		if err != nil {
			return TapResult{}, fmt.Errorf("scene %q: %w", sc.name.EN, err)
		}
		request.PIN = &pin
	}
	result, err := s.tap(ctx, request, sc.options)
	if err != nil {
		return TapResult{}, fmt.Errorf("scene %q: %w", sc.name.EN, err)
	}
	return result, nil
}

// next waits until nothing is under way and moves the clock on.
func (s *story) next(ctx context.Context) error {
	if err := s.Settle(ctx); err != nil {
		return err
	}
	s.clock.Advance(betweenTaps)
	return nil
}

// check closes the story: the books, and the laws they must obey.
func (s *story) check(ctx context.Context) error {
	s.tell(glossary.Term{EN: "Checking the books", ZH: "核对账目"})
	if err := s.Settle(ctx); err != nil {
		return err
	}
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	again, err := s.readAgain(ctx)
	if err != nil {
		return err
	}
	s.report.Invariants = append(invariants(snapshot), again...)
	if s.report.Books, err = s.Books(ctx); err != nil {
		return err
	}
	s.report.Digest, err = s.digest(ctx)
	return err
}

// digest is one hash over the last chain value of every journal: two runs with the same digest decided the same, byte for byte.
func (s *story) digest(ctx context.Context) (string, error) {
	h := sha256.New()
	for _, node := range s.nodes {
		_, chain, err := node.store.Last(ctx)
		if err != nil {
			return "", fmt.Errorf("journal of %s: %w", node.name, err)
		}
		fmt.Fprintf(h, "%s %x\n", node.name, chain)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// Books gives every account of every member of this process.
func (n *Network) Books(ctx context.Context) ([]BookLine, error) {
	var lines []BookLine
	add := func(member string, node *node, book *ledger.Book, title func(ledger.Account) string) error {
		return node.look(ctx, func() {
			for line := range book.Lines() {
				b := line.Balance
				lines = append(lines, BookLine{
					Member: member, Account: title(line.Account),
					Posted:  money.New(b.CreditsPosted-b.DebitsPosted, n.options.Profile.Money()),
					Pending: money.New(b.CreditsPending-b.DebitsPending, n.options.Profile.Money()),
				})
			}
		})
	}
	for _, i := range n.options.Profile.Issuers {
		if node := n.issuers[i.Institution]; node != nil {
			if err := add(i.Name, node.node, node.core.Book(), node.core.AccountTitle); err != nil {
				return nil, err
			}
		}
	}
	if n.acquirer != nil {
		book := n.acquirer.core.Book()
		title := func(a ledger.Account) string {
			spec, _ := book.Spec(a)
			return spec.Name
		}
		if err := add(n.options.Profile.Acquirer.Name, n.acquirer.node, book, title); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// balanceOf is what the holder of a card may still spend.
func (s *story) balanceOf(ctx context.Context, cardName string) (int64, error) {
	record := s.holders[cardName].personal.Record
	node := s.issuers[record.Issuer]
	var available int64
	err := node.look(ctx, func() { available = node.core.Available(record.Card) })
	return available, err
}

// rowCount counts the rows of a kind in a node's journal.
func rowCount(ctx context.Context, n *node, kind journal.Kind) (int, error) {
	rows, err := n.rows(ctx)
	count := 0
	for i := range rows {
		if rows[i].Kind == kind {
			count++
		}
	}
	return count, err
}

// wires are the connections of a story's network, for breaking things: by listening role, in the order in which they were made.
type wires struct {
	mu    sync.Mutex
	byEnd map[string][]wire
}

// wire is one connection: the end that dialled and the end that was listening.
type wire struct{ dialler, listener *memnet.Conn }

func newWires() *wires { return &wires{byEnd: map[string][]wire{}} }

func (w *wires) connected(dialler, listener *memnet.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	role := listener.LocalAddr().String()
	w.byEnd[role] = append(w.byEnd[role], wire{dialler, listener})
}

func (w *wires) of(role string, place int) wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byEnd[role][place]
}
