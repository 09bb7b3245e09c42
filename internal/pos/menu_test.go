package pos_test

import (
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// last is the last message of a type that the host heard.
func last[M unionpay.Message](h *host) (m M) {
	h.Helper()
	for i := len(h.heard) - 1; i >= 0; i-- {
		if found, ok := h.heard[i].(M); ok {
			return found
		}
	}
	h.Fatalf("no %T was heard", m)
	return m
}

// stands fails unless what stands at the host is what the till says.
func (c *counter) stands(r pos.Receipt, want bool) {
	c.Helper()
	for key, b := range c.host.books {
		if strings.HasPrefix(key[8:], strings.ReplaceAll(r.Trace.String(), "/", "")) && (b.approved && !b.reversed) != want {
			c.Errorf("%s %s stands %t, want %t", r.Verb, key, !want, want)
		}
	}
}

func TestOneSaleForTapAndInsert(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	tapped := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(29_900)))
	if m := last[*unionpay.FinancialRequest](c.host); m.EntryMode != "072" {
		t.Errorf("field 22 of a tap: %s", m.EntryMode)
	}
	c.host.script = func(icc emv.Data, _ *unionpay.FinancialRequest) []byte {
		return c.host.putData(icc, emv.TagCTTAL, 60_000)
	}
	inserted := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.slot(), c.sale(150_000)))
	var request, advice *unionpay.FinancialRequest
	for _, m := range c.host.heard {
		if f, ok := m.(*unionpay.FinancialRequest); ok && f.Info.MessageType == unionpay.KindSale {
			if f.Advice {
				advice = f
			} else {
				request = f
			}
		}
	}
	if request.EntryMode.Mode() != unionpay.EntryContact || request.CardSequence != "001" || request.ICC.Get(emv.TagCID)[0] != byte(emv.ARQC) {
		t.Errorf("insertion: field 22 %s, sequence %s", request.EntryMode, request.CardSequence)
	}
	if advice == nil || advice.Original.STAN != request.STAN || emv.CID(advice.ICC.Get(emv.TagCID)[0]).Type() != emv.TC {
		t.Errorf("advice %+v", advice)
	}
	notice := last[*unionpay.ScriptNotice](c.host)
	if got := hexOf(notice.ICC.Get(emv.TagScriptResults)); got != "2000000001" || notice.Info.NetworkCode != "951" || notice.Original.STAN != request.STAN {
		t.Errorf("notice %s, %+v", got, notice.Info)
	}
	for _, r := range []pos.Receipt{tapped, inserted} {
		c.stands(r, true)
		slip := c.text(c.till.Slip(t.Context(), &r, shopSlip))
		if !strings.Contains(slip, "SALE") || strings.Contains(slip, "***\n") {
			t.Errorf("slip:\n%s", slip)
		}
	}
	if c.till.Outstanding() != 0 {
		t.Errorf("%d outstanding", c.till.Outstanding())
	}
	code := pos.Presented{Entry: 4}
	c.must(pos.Failed)(c.till.Sale(t.Context(), code, c.sale(100)))
}

func TestCardInTheSlotDeclinesTheIssuersAnswer(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	issued := *c.host.issued
	issued.CardKeys.AC = issued.CardKeys.MAC // the proof is wrong
	c.host.issued = &issued
	r := c.must(pos.TakenBack)(c.till.Sale(t.Context(), c.slot(), c.sale(150_000)))
	c.stands(r, false)
	if m := last[*unionpay.ReversalRequest](c.host); m.Response != unionpay.ReasonOther || !m.Track2.IsZero() {
		t.Errorf("reversal %s", m.Response)
	}
	slip := c.text(c.till.Slip(t.Context(), &r, shopSlip))
	if !strings.Contains(slip, "REVERSED") || !strings.Contains(slip, "Nothing was charged") {
		t.Errorf("slip:\n%s", slip)
	}
}

func TestSilenceWithACardInTheSlot(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	c.host.silent = func(m unionpay.Message) bool { _, payment := m.(*unionpay.FinancialRequest); return payment }
	r, err := c.till.Sale(t.Context(), c.slot(), c.sale(150_000))
	if err != nil || r.End == pos.ApprovedOnline {
		t.Fatalf("end %d, %v", r.End, err)
	}
	c.stands(r, false)
}

func TestOfflinePINIsAskedOnce(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	wrong, _ := pinblock.ParsePIN("000000")
	sale := c.sale(150_000)
	asked := 0
	sale.EnterPIN = func() (pinblock.PIN, bool) { asked++; return wrong, true }
	r, err := c.till.Sale(t.Context(), c.slot(), sale)
	if err != nil || asked != 1 || r.End == pos.ApprovedOnline {
		t.Errorf("asked %d times, end %d, %v", asked, r.End, err)
	}
}

func TestStoryOfASale(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	sold := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(29_900)))
	void := c.must(pos.ApprovedOnline)(c.till.Void(t.Context(), of(sold)))
	m := last[*unionpay.FinancialRequest](c.host)
	if m.Info.MessageType != unionpay.KindVoid || m.RRN != "632504000001" || m.Original.STAN != sold.STAN || m.Amount.Minor() != 29_900 || m.EntryMode != "012" {
		t.Errorf("void %+v", m.Payment)
	}
	for why, again := range map[pos.Refusal]func() (pos.Receipt, error){
		pos.RefusedStatus:  func() (pos.Receipt, error) { return c.till.Void(t.Context(), of(sold)) },
		pos.RefusedKind:    func() (pos.Receipt, error) { return c.till.Void(t.Context(), of(void)) },
		pos.RefusedUnknown: func() (pos.Receipt, error) { return c.till.Void(t.Context(), pos.Original{Trace: pos.Trace{STAN: 77}}) },
	} {
		if r := c.must(pos.NotBegun)(again()); r.Refusal != why {
			t.Errorf("refusal %q, want %q", r.Refusal.Term().EN, why.Term().EN)
		}
	}
	slip, found, err := c.till.Reprint(t.Context(), sold.Trace, shopSlip)
	if text := c.text(slip, err); !found || !strings.Contains(text, "REPRINT") || !strings.Contains(text, "CANCELLED") {
		t.Errorf("voided sale:\n%s", text)
	}
	slip, found, err = c.till.Reprint(t.Context(), pos.Trace{}, shopSlip)
	if text := c.text(slip, err); !found || !strings.Contains(text, "VOID") || !strings.Contains(text, "-299.00") {
		t.Errorf("last slip:\n%s", text)
	}
}

func TestRefundsAddUp(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	sold := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(30_000)))
	part := money.New(10_000, money.CNY)
	c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), of(sold), &part))
	if m := last[*unionpay.FinancialRequest](c.host); !m.Advice || m.Info.MessageType != unionpay.KindRefund || m.Reserved != "CUP" {
		t.Errorf("refund %+v", m.Payment)
	}
	much := money.New(20_001, money.CNY)
	if r := c.must(pos.NotBegun)(c.till.Refund(t.Context(), of(sold), &much)); r.Refusal != pos.RefusedAmount {
		t.Errorf("refusal %q", r.Refusal.Term().EN)
	}
	if r := c.must(pos.NotBegun)(c.till.Void(t.Context(), of(sold))); r.Refusal != pos.RefusedStatus {
		t.Errorf("refusal %q", r.Refusal.Term().EN)
	}
	if r := c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), of(sold), nil)); r.Amount.Minor() != 20_000 {
		t.Errorf("the rest is %s", r.Amount)
	}
	if r := c.must(pos.NotBegun)(c.till.Refund(t.Context(), of(sold), &part)); r.Refusal != pos.RefusedStatus {
		t.Errorf("refusal %q", r.Refusal.Term().EN)
	}
}

func TestStoryOfAPreAuthorization(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	held := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.slot(), c.sale(100_000)))
	if m := last[*unionpay.FinancialRequest](c.host); m.Type() != unionpay.TypeFinancialRequest && m.Type() != unionpay.TypeAuthorizationRequest {
		t.Errorf("type %s", m.Type())
	}
	much := money.New(115_001, money.CNY)
	if r := c.must(pos.NotBegun)(c.till.Complete(t.Context(), of(held), &much, false)); r.Refusal != pos.RefusedAmount {
		t.Errorf("refusal %q", r.Refusal.Term().EN)
	}
	most := money.New(115_000, money.CNY)
	taken := c.must(pos.ApprovedOnline)(c.till.Complete(t.Context(), of(held), &most, false))
	if m := last[*unionpay.FinancialRequest](c.host); m.AuthCode != "000042" || m.Condition != unionpay.ConditionPreAuth || m.Original.STAN != held.STAN {
		t.Errorf("completion %+v", m.Payment)
	}
	if r := c.must(pos.NotBegun)(c.till.CancelPreAuth(t.Context(), of(held))); r.Refusal != pos.RefusedStatus {
		t.Errorf("refusal %q", r.Refusal.Term().EN)
	}
	c.must(pos.ApprovedOnline)(c.till.VoidCompletion(t.Context(), of(taken)))
	again := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.tap(), c.sale(50_000)))
	if m := last[*unionpay.FinancialRequest](c.host); !m.Authorization || m.Processing != unionpay.ProcessingPreAuth {
		t.Errorf("pre-authorization %+v", m.Payment)
	}
	c.must(pos.ApprovedOnline)(c.till.CancelPreAuth(t.Context(), of(again)))
	if m := last[*unionpay.FinancialRequest](c.host); !m.Authorization || m.Info.MessageType != unionpay.KindPreAuthCancel {
		t.Errorf("cancellation %+v", m.Payment)
	}
	third := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.tap(), c.sale(50_000)))
	c.must(pos.ApprovedOnline)(c.till.Complete(t.Context(), of(third), nil, true))
	if m := last[*unionpay.FinancialRequest](c.host); !m.Advice || m.Info.MessageType != unionpay.KindCompletionNote {
		t.Errorf("notice %+v", m.Payment)
	}
}

// What the issuer has to decide is not paid from the chip, however small, and not attempted without a line.
func TestHeldMoneyNeverComesOutOfThePurse(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	floor := terminalWithFloor(t, c)
	c.deps = func(d *pos.Deps) { d.Tap = floor }
	c.till = c.newTill(t)
	c.Rig = c.Restart(c.till)
	c.attach()
	c.must(pos.ApprovedOffline)(c.till.Sale(t.Context(), c.tap(), c.sale(100)))
	left := c.purse()
	c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.tap(), c.sale(100)))
	sale := c.sale(100)
	sale.ForceOnline = true
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), sale))
	sale.OfflineOnly = true
	c.must(pos.Failed)(c.till.PreAuthorize(t.Context(), c.tap(), sale))
	c.must(pos.Failed)(c.till.Balance(t.Context(), c.slot(), sale))
	if c.purse() != left {
		t.Errorf("%d left the purse", left-c.purse())
	}
	if _, found, err := c.till.Reprint(t.Context(), pos.Trace{STAN: 99}, shopSlip); err != nil || found {
		t.Errorf("a slip of nothing: %v", err)
	}
}

func TestBalances(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	for name, with := range map[string]func() pos.Presented{"tap": c.tap, "slot": c.slot} {
		r := c.must(pos.ApprovedOnline)(c.till.Balance(t.Context(), with(), c.sale(0)))
		if r.Answer.Balance == nil || r.Answer.Balance.Amount.Minor() != 123_456 {
			t.Errorf("%s: balance %v", name, r.Answer.Balance)
		}
		if text := c.text(c.till.Slip(t.Context(), &r, shopSlip)); !strings.Contains(text, "1,234.56") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	applications, err := c.till.CashBalance(t.Context(), c.tap())
	if err != nil || len(applications) != 1 || applications[0].Balance.Minor() != 8_750 {
		t.Errorf("purse %v, %v", applications, err)
	}
	c.host.silent = func(unionpay.Message) bool { return true }
	c.must(pos.Unanswered)(c.till.Balance(t.Context(), c.tap(), c.sale(0)))
	if c.till.Outstanding() != 0 {
		t.Error("an inquiry is taken back")
	}
}

func TestPurseIsLoadedAndUnloaded(t *testing.T) {
	c := newCounter(t, cardtest.Options{Change: roomy}, nil)
	c.host.script = func(icc emv.Data, m *unionpay.FinancialRequest) []byte { return c.host.fill(icc, m) }
	load := func(verb pos.Verb, minor int64, how pos.Loading) pos.Receipt {
		t.Helper()
		how.Verb = verb
		return c.must(pos.ApprovedOnline)(c.till.LoadPurse(t.Context(), c.slot(), c.sale(minor), how))
	}
	load(pos.VerbLoad, 1_000, pos.Loading{})
	if m := last[*unionpay.FinancialRequest](c.host); m.Processing != unionpay.ProcessingLoad || m.Condition != "91" || m.PINBlock == nil || c.purse() != 9_750 {
		t.Errorf("load: %s, condition %s, purse %d", m.Processing, m.Condition, c.purse())
	}
	payer := c.host.issued.PAN
	load(pos.VerbLoadOther, 500, pos.Loading{Payer: &pos.Payer{PAN: payer, Expiry: c.host.issued.Expiry}})
	m := last[*unionpay.FinancialRequest](c.host)
	if target, err := unionpay.LoadTarget(m.Additional); err != nil || target != c.host.issued.PAN || m.PINBlock == nil || c.purse() != 10_250 {
		t.Errorf("load from another: %v, purse %d", err, c.purse())
	}
	cash := load(pos.VerbLoadCash, 2_000, pos.Loading{})
	if m := last[*unionpay.FinancialRequest](c.host); m.PINBlock != nil || c.purse() != 12_250 {
		t.Errorf("cash load, purse %d", c.purse())
	}
	load(pos.VerbLoadCashVoid, 2_000, pos.Loading{Original: of(cash)})
	if m := last[*unionpay.FinancialRequest](c.host); m.Original.STAN != cash.STAN || c.purse() != 10_250 {
		t.Errorf("void, purse %d", c.purse())
	}
	r := load(pos.VerbUnload, 0, pos.Loading{})
	if m := last[*unionpay.FinancialRequest](c.host); m.Amount.Minor() != 10_250 || c.purse() != 0 || r.CashAfter.Minor() != 0 {
		t.Errorf("unload of %s, purse %d", m.Amount, c.purse())
	}
	if text := c.text(c.till.Slip(t.Context(), &r, shopSlip)); !strings.Contains(text, "E-cash balance") || !strings.Contains(text, "102.50") {
		t.Errorf("slip:\n%s", text)
	}
	if c.host.books[unionpay.TerminalKey(last[*unionpay.FinancialRequest](c.host))].results != "2000000001" {
		t.Error("the issuer does not know that the script was done")
	}
	if c.till.Outstanding() != 0 {
		t.Errorf("%d outstanding", c.till.Outstanding())
	}
}

// roomy is a purse up to 1,000.00, of a card without checks of its own.
func roomy(image *card.Image) { image.State.Applications[0].Purses[0].BalanceLimit = 100_000 }

func TestALoadThatTearsIsSettledByTheCard(t *testing.T) {
	for at := 1; at <= 3; at++ {
		c := newCounter(t, cardtest.Options{Change: roomy}, nil)
		c.host.script = func(icc emv.Data, m *unionpay.FinancialRequest) []byte { return c.host.fill(icc, m) }
		before := c.purse()
		with := c.slot()
		field := with.Reader.(*card.Field)
		field.TearAfterCommit(at)
		sale := c.sale(1_000)
		sale.PresentAgain = func() apdu.Transceiver { field.Present(); return field }
		r, err := c.till.LoadPurse(t.Context(), with, sale, pos.Loading{Verb: pos.VerbLoad})
		if err != nil {
			t.Fatal(err)
		}
		loaded := c.purse() == before+1_000
		switch {
		case r.End == pos.ApprovedOnline && !loaded, r.End != pos.ApprovedOnline && r.End != pos.NotKnown && loaded:
			t.Errorf("torn at write %d: end %d, purse %d", at, r.End, c.purse())
		}
		if c.till.Outstanding() != 0 {
			t.Errorf("torn at write %d: %d outstanding", at, c.till.Outstanding())
		}
	}
}

func TestAlwaysPINCards(t *testing.T) {
	c := newCounter(t, cardtest.Options{Change: func(image *card.Image) { image.Applications[0].Track2 = serviced(t, image, "220") }}, nil)
	sale := c.sale(100)
	sale.EnterPIN = nil
	c.must(pos.PINMissing)(c.till.Sale(t.Context(), c.tap(), sale))
	r := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(100)))
	if !r.PINEntered || r.PINSkipped {
		t.Error("the PIN of a card that always needs it was skipped")
	}
	c.must(pos.PINMissing)(c.till.Sale(t.Context(), c.tap(), sale))
}

// serviced is the card's track with another service code.
func serviced(t testing.TB, image *card.Image, code string) pan.Track2 {
	t.Helper()
	old := image.Applications[0].Track2
	track, err := pan.NewTrack2(old.PAN(), old.Expiry(), code, "0000000")
	if err != nil {
		t.Fatal(err)
	}
	return track
}
