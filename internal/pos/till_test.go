package pos_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/terminal"
)

const bank = "30010000"

// tapper is a terminal whose taps end as the test says.
type tapper struct {
	outcome kernel.Outcome
	torn    *terminal.Torn
	again   []terminal.Result
	retaps  []time.Time
}

func (t *tapper) Tap(context.Context, apdu.Transceiver, terminal.Request) (terminal.Result, error) {
	return terminal.Result{Outcome: t.outcome, Torn: t.torn}, nil
}

func (t *tapper) Retap(_ context.Context, _ apdu.Transceiver, _ *terminal.Torn, now time.Time) (terminal.Result, error) {
	t.retaps = append(t.retaps, now)
	result := t.again[0]
	t.again = t.again[1:]
	return result, nil
}

// shop is a till with its journal and a card.
type shop struct {
	*networktest.Rig
	till *pos.Till
	tap  *tapper
	card *networktest.Card
	hsm  pos.Vault
}

func newTill(t testing.TB, vault pos.Vault, tap pos.Tapper) *pos.Till {
	t.Helper()
	return newBounded(t, vault, tap, journal.Capacity{})
}

func newBounded(t testing.TB, vault pos.Vault, tap pos.Tapper, capacity journal.Capacity) *pos.Till {
	t.Helper()
	till, err := pos.New(pos.Deps{
		Terminal: networktest.Terminal, Merchant: networktest.Merchant, Acquirer: bank, Vault: vault, PINKey: networktest.PINKey(bank),
		SealKey: networktest.KeySeal, Calendar: networktest.Shanghai, NoPINLimit: money.New(100_000, money.CNY), Tap: tap,
		Capacity: capacity,
	})
	if err != nil {
		t.Fatal(err)
	}
	return till
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{tap: &tapper{}, card: networktest.NewCard(t, "", 50_000), hsm: networktest.NewHSM(t, 3, map[string]string{bank: "terminal"})}
	s.till = newTill(t, s.hsm, s.tap)
	s.Rig = networktest.NewRig(t, s.till, journal.NewMemStore(), clock.NewManual(networktest.Start), func(string) unionpay.Dialect { return unionpay.Terminal })
	s.till.Attach(func(_ context.Context, command any) (any, error) {
		reply := s.Command(command)
		if err, failed := reply.(error); failed {
			return nil, err
		}
		return reply, nil
	})
	return s
}

// outcome makes the kernel's outcome of a tap with this card.
func (s *shop) outcome(kind kernel.OutcomeKind, cvm kernel.CVM, minor int64) kernel.Outcome {
	s.Helper()
	ttq := networktest.Online
	if kind == kernel.Approved {
		ttq = networktest.Offline
	}
	data := s.card.Tap(ttq, minor)
	track := s.card.Image.Applications[0].Track2
	data.Set(0x57, track.Packed())
	data.Set(0x5F34, []byte{0x01})
	return kernel.Outcome{Kind: kind, CVM: cvm, Data: data}
}

// request is a numbered request as a story needs it, without the terminal.
func (s *shop) authorize(minor int64, pin *pinblock.PIN) *unionpay.FinancialRequest {
	s.Helper()
	s.Command(pos.Authorize{Sale: 1, Request: *s.card.Pay(0, minor), PIN: pin})
	for _, sent := range s.Out {
		if m, ok := sent.Message.(*unionpay.FinancialRequest); ok {
			return m
		}
	}
	s.Fatal("no request left the till")
	return nil
}

func answer(m unionpay.Message, code unionpay.ResponseCode) unionpay.Message {
	return unionpay.Respond(m, unionpay.Answer{Response: code, AuthCode: "000042", RRN: "632504000001", SettlementDate: "1121"})
}

func (s *shop) lastOutcome() pos.Outcome {
	s.Helper()
	for i := len(s.Findings) - 1; i >= 0; i-- {
		if o, ok := s.Findings[i].(pos.Outcome); ok {
			return o
		}
	}
	s.Fatal("the sale has not ended")
	return pos.Outcome{}
}

func TestAnAnswerEndsTheSale(t *testing.T) {
	for _, code := range []unionpay.ResponseCode{unionpay.Approved, unionpay.InsufficientFunds, unionpay.IssuerTimeout} {
		s := newShop(t)
		m := s.authorize(29_900, nil)
		if m.PINBlock != nil || m.STAN != 1 || m.Info.Batch != 1 || m.Terminal != networktest.Terminal {
			t.Fatalf("request %+v", m)
		}
		s.Deliver(bank, answer(m, code))
		if o := s.lastOutcome(); o.Answer.Response != code || o.Reversed || o.Sale != 1 {
			t.Errorf("%s: outcome %+v", code, o)
		}
		if out := s.Advance(10 * time.Minute); len(out) != 0 {
			t.Errorf("%s: %d messages left after the end", code, len(out))
		}
		if row := s.LastRow(); row.Kind != journal.Answered || unionpay.UnpackResponseCode(row.Reason) != code {
			t.Errorf("%s: last row %s", code, row.Kind)
		}
	}
}

func TestNoAnswerBecomesAReversalUntilAcknowledged(t *testing.T) {
	s := newShop(t)
	m := s.authorize(29_900, nil)
	out := s.Advance(time.Minute)
	if len(out) != 1 || !s.lastOutcome().Reversed {
		t.Fatalf("%d messages left, outcome %+v", len(out), s.lastOutcome())
	}
	reversal, ok := out[0].Message.(*unionpay.ReversalRequest)
	if !ok || reversal.STAN != m.STAN || reversal.Response != unionpay.ReasonTimeout || !reversal.Track2.IsZero() || reversal.PINBlock != nil {
		t.Fatalf("reversal %+v", out[0].Message)
	}
	late := s.Deliver(bank, answer(m, unionpay.Approved))
	if len(late) != 0 || s.LastRow().Kind != journal.TimedOut {
		t.Error("a late answer changed something")
	}
	again := s.Advance(time.Minute)
	if len(again) != 1 || !bytes.Equal(again[0].Bytes, out[0].Bytes) {
		t.Fatalf("%d messages in the next minute, want the same reversal", len(again))
	}
	s.Deliver(bank, answer(reversal, unionpay.SystemFault))
	if s.till.Outstanding() != 1 {
		t.Error("a system fault ended the reversal")
	}
	s.Deliver(bank, answer(reversal, unionpay.Approved))
	if s.till.Outstanding() != 0 || s.LastRow().Kind != journal.Acknowledged {
		t.Errorf("%d outstanding, last row %s", s.till.Outstanding(), s.LastRow().Kind)
	}
	if out := s.Advance(time.Hour); len(out) != 0 {
		t.Errorf("%d messages left after the acknowledgement", len(out))
	}
}

func TestAnOpenReversalGoesOutBeforeTheNextSale(t *testing.T) {
	s := newShop(t)
	s.authorize(29_900, nil)
	s.Advance(time.Minute)
	s.Command(pos.Authorize{Sale: 2, Request: *s.card.Pay(0, 100)})
	if len(s.Out) != 2 {
		t.Fatalf("%d messages left, want reversal and request", len(s.Out))
	}
	if _, ok := s.Out[0].Message.(*unionpay.ReversalRequest); !ok {
		t.Errorf("first left %s", s.Out[0].Message.Type())
	}
}

func TestAnUploadIsRepeatedUntilADefiniteAnswer(t *testing.T) {
	s := newShop(t)
	upload := s.card.PayOffline(0, 1_250)
	if reply := s.Command(pos.Store{Request: *upload}); reply != (pos.Stored{STAN: 1, Batch: 1}) {
		t.Fatalf("reply %v", reply)
	}
	m := s.Out[0].Message
	for _, code := range []unionpay.ResponseCode{unionpay.SystemFault, unionpay.IssuerTimeout, unionpay.MACError} {
		s.Deliver(bank, answer(m, code))
		if s.till.Outstanding() != 1 {
			t.Fatalf("%s ended the upload", code)
		}
	}
	out := s.Advance(time.Minute)
	if len(out) != 1 {
		t.Fatalf("%d messages in the next minute", len(out))
	}
	if _, reversed := out[0].Message.(*unionpay.ReversalRequest); reversed {
		t.Fatal("an upload was reversed")
	}
	s.Deliver(bank, answer(m, unionpay.Approved))
	if s.till.Outstanding() != 0 || s.LastRow().Kind != journal.Answered {
		t.Errorf("%d outstanding, last row %s", s.till.Outstanding(), s.LastRow().Kind)
	}
}

// TestRestartAtEveryRow crashes the till after each row of a story and starts another instance: it must end where the first one did,
// however often it writes back.
func TestRestartAtEveryRow(t *testing.T) {
	for _, capacity := range append(tiny, journal.Capacity{}) {
		restartAtEveryRow(t, capacity)
	}
}

func restartAtEveryRow(t *testing.T, capacity journal.Capacity) {
	t.Helper()
	s := newShop(t)
	s.Command(pos.Store{Request: *s.card.PayOffline(0, 700)})
	s.authorize(29_900, nil)
	s.Advance(time.Minute)
	for n := 1; n <= len(s.Rows()); n++ {
		till := newBounded(t, s.hsm, s.tap, capacity)
		again := networktest.NewRig(t, till, s.Prefix(n), s.Clock, s.Dialect)
		out := again.Out
		out = append(out, again.Advance(time.Second)...)
		for round := 0; till.Outstanding() > 0; round++ {
			if round == 20 {
				t.Fatalf("after row %d: %d messages never end", n, till.Outstanding())
			}
			for _, sent := range out {
				again.Deliver(bank, answer(sent.Message, unionpay.Approved))
			}
			out = again.Advance(10 * time.Minute)
		}
		ended := 0
		for _, row := range again.Rows() {
			if row.Kind == journal.Answered || row.Kind == journal.Acknowledged {
				ended++
			}
		}
		if started := min(n, 2); ended != started {
			t.Errorf("after row %d: %d of %d payments ended", n, ended, started)
		}
		twin := newBounded(t, s.hsm, s.tap, capacity)
		if last := again.Restart(twin); len(last.Out) != 0 || twin.Outstanding() != 0 {
			t.Errorf("after row %d: %d outstanding once more", n, twin.Outstanding())
		}
	}
}

// flakyVault fails on demand, as a security module that is being restarted.
type flakyVault struct {
	pos.Vault
	down bool
}

func (v *flakyVault) OpenData(name, context string, sealed []byte) ([]byte, error) {
	if v.down {
		return nil, errors.New("security module is down")
	}
	return v.Vault.OpenData(name, context, sealed)
}

// What the security module cannot open when the till starts is opened later: every payment ends.
func TestARestartOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	s := newShop(t)
	s.Command(pos.Store{Request: *s.card.PayOffline(0, 700)})
	s.authorize(29_900, nil)
	s.Advance(time.Minute) // times out; its reversal is not acknowledged
	s.authorize(5_000, nil)
	vault := &flakyVault{Vault: s.hsm, down: true}
	till := newTill(t, vault, s.tap)
	again := s.Restart(till)
	if len(again.Out) != 0 || len(again.Advance(5*time.Minute)) != 0 || till.Outstanding() != 3 {
		t.Fatalf("%d outstanding while nothing can be opened", till.Outstanding())
	}
	vault.down = false
	for _, sent := range again.Advance(time.Minute) {
		again.Deliver(bank, answer(sent.Message, unionpay.Approved))
	}
	if till.Outstanding() != 0 {
		t.Errorf("%d outstanding", till.Outstanding())
	}
}

func TestSmallAmountRule(t *testing.T) {
	limit := money.New(100_000, money.CNY)
	for _, c := range []struct {
		amount money.Amount
		skip   bool
	}{
		{money.New(29_900, money.CNY), true}, {money.New(100_000, money.CNY), true}, {money.New(100_001, money.CNY), false}, {money.New(1, money.HKD), false},
	} {
		if got := pos.SkipsPIN(c.amount, limit); got != c.skip {
			t.Errorf("%s: skips %t", c.amount, got)
		}
	}
}

// sell runs a sale whose answer, if any, is code.
func (s *shop) sell(sale pos.Sale, code unionpay.ResponseCode) (pos.Receipt, *unionpay.FinancialRequest) {
	s.Helper()
	var sent *unionpay.FinancialRequest
	s.till.Attach(func(_ context.Context, command any) (any, error) {
		reply := s.Command(command)
		for _, out := range s.Out {
			if m, ok := out.Message.(*unionpay.FinancialRequest); ok {
				sent = m
			}
		}
		if _, online := command.(pos.Authorize); online && sent != nil {
			s.Deliver(bank, answer(sent, code))
		}
		return reply, nil
	})
	sale.Now = s.Clock.Now
	receipt, err := s.till.Sell(s.Context(), nil, sale)
	if err != nil {
		s.Fatal(err)
	}
	return receipt, sent
}

func TestPINAtTheTill(t *testing.T) {
	right, err := pinblock.ParsePIN("246810")
	if err != nil {
		t.Fatal(err)
	}
	enter := func() (pinblock.PIN, bool) { return right, true }
	for _, c := range []struct {
		name  string
		minor int64
		cvm   kernel.CVM
		ask   bool
		enter func() (pinblock.PIN, bool)
		end   pos.End
		pin   bool
	}{
		{"no PIN asked", 29_900, kernel.CVMNone, false, enter, pos.ApprovedOnline, false},
		{"asked at the limit: skipped", 100_000, kernel.CVMOnlinePIN, false, enter, pos.ApprovedOnline, false},
		{"asked above the limit: entered", 100_001, kernel.CVMOnlinePIN, false, enter, pos.ApprovedOnline, true},
		{"asked above the limit: none entered", 100_001, kernel.CVMOnlinePIN, false, nil, pos.PINMissing, false},
		{"cashier asks below the limit", 29_900, kernel.CVMNone, true, enter, pos.ApprovedOnline, true},
	} {
		s := newShop(t)
		s.tap.outcome = s.outcome(kernel.OnlineRequest, c.cvm, c.minor)
		receipt, sent := s.sell(pos.Sale{Amount: money.New(c.minor, money.CNY), AskPIN: c.ask, EnterPIN: c.enter}, unionpay.Approved)
		if receipt.End != c.end || receipt.PINEntered != c.pin {
			t.Errorf("%s: end %d, PIN entered %t", c.name, receipt.End, receipt.PINEntered)
		}
		if c.end == pos.PINMissing {
			if sent != nil {
				t.Errorf("%s: a request left the till", c.name)
			}
			continue
		}
		if (sent.PINBlock != nil) != c.pin || sent.EntryMode.PINEntered() != c.pin || (sent.Security != "") != c.pin {
			t.Errorf("%s: field 22 %s, PIN block %t", c.name, sent.EntryMode, sent.PINBlock != nil)
		}
		var blocks []*pinblock.Block
		if sent.PINBlock != nil {
			clear := pinblock.Format0(right, s.card.PAN)
			blocks = append(blocks, sent.PINBlock, &clear)
		}
		s.NoSecrets([]pan.Number{s.card.PAN}, blocks...)
	}
}

func TestOfflineApprovalIsDurableBeforeTheReceipt(t *testing.T) {
	s := newShop(t)
	s.tap.outcome = s.outcome(kernel.Approved, kernel.CVMNone, 1_250)
	receipt, sent := s.sell(pos.Sale{Amount: money.New(1_250, money.CNY)}, "")
	if receipt.End != pos.ApprovedOffline || sent == nil || sent.Info.MessageType != unionpay.KindOfflineUpload {
		t.Fatalf("end %d, upload %v", receipt.End, sent)
	}
	if row := s.LastRow(); row.Kind != journal.Queued || row.Amount != 1_250 || row.ATC == 0 {
		t.Errorf("last row %s", row.Kind)
	}
}

func TestATornTapIsSettledByTheSameCard(t *testing.T) {
	s := newShop(t)
	approved := s.outcome(kernel.Approved, kernel.CVMNone, 500)
	torn := &terminal.Torn{}
	s.tap.outcome, s.tap.torn = kernel.Outcome{Kind: kernel.TryAgain, Reason: kernel.ReasonTorn}, torn
	// Another card comes first and is sent away; then the right one.
	s.tap.again = []terminal.Result{{Outcome: kernel.Outcome{Kind: kernel.TryAgain}, Torn: torn}, {Outcome: approved}}
	presented := 0
	receipt, _ := s.sell(pos.Sale{Amount: money.New(500, money.CNY), PresentAgain: func() apdu.Transceiver {
		presented++
		s.Clock.Advance(3 * time.Second)
		return nothing{}
	}}, "")
	if receipt.End != pos.ApprovedOffline || !receipt.TornAndMade || presented != 2 {
		t.Errorf("end %d, made %t, presented %d times", receipt.End, receipt.TornAndMade, presented)
	}
	if gap := s.tap.retaps[1].Sub(s.tap.retaps[0]); gap != 3*time.Second {
		t.Errorf("the second presentation was %s after the first", gap)
	}
}

func TestATornTapWithoutTheCardIsNoPayment(t *testing.T) {
	s := newShop(t)
	s.tap.outcome, s.tap.torn = kernel.Outcome{Kind: kernel.TryAgain, Reason: kernel.ReasonTorn}, &terminal.Torn{}
	receipt, sent := s.sell(pos.Sale{Amount: money.New(500, money.CNY), PresentAgain: func() apdu.Transceiver { return nil }}, "")
	if receipt.End != pos.Failed || sent != nil || len(s.Rows()) != 0 {
		t.Errorf("end %d, %d rows", receipt.End, len(s.Rows()))
	}
}

// nothing is a reader without a card.
type nothing struct{}

func (nothing) Transceive(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("no card")
}

func TestDepsAreChecked(t *testing.T) {
	if _, err := pos.New(pos.Deps{}); err == nil {
		t.Error("a till without anything was made")
	}
	till := newTill(t, networktest.NewHSM(t, 3, map[string]string{bank: "terminal"}), nil)
	if _, err := till.Sell(t.Context(), nil, pos.Sale{}); err == nil {
		t.Error("a till without terminal sold something")
	}
}
