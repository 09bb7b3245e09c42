package acquirer_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/emv"
	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// newMetro is an acquirer whose first merchant is a transit operator, with an amount agreed or without.
func newMetro(t testing.TB, capacity journal.Capacity, agreed int64) *bank {
	t.Helper()
	vault := networktest.NewHSM(t, 2, map[string]string{theSwitch: "acquirer-switch", networktest.Terminal: "terminal", "T0000002": "other"})
	b := &bank{vault: vault, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
	b.acquirer = metro(t, vault, capacity, agreed)
	b.Rig = networktest.NewRig(t, b.acquirer, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
	return b
}

func metro(t testing.TB, vault acquirer.Vault, capacity journal.Capacity, agreed int64) *acquirer.Acquirer {
	t.Helper()
	a, err := acquirer.New(acquirer.Deps{
		Institution: own, Switch: theSwitch, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal, Calendar: networktest.Shanghai, Currency: 156, Capacity: capacity,
		Merchants: []acquirer.Merchant{{ID: networktest.Merchant, Name: "METRO", Category: "4111", MostMinor: agreed}, {ID: "301000054110002", Name: "SHOP TWO", Category: "5812"}},
		Terminals: []acquirer.Terminal{{ID: networktest.Terminal, Merchant: networktest.Merchant}, {ID: "T0000002", Merchant: "301000054110002"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ride is a request for a ride: the gate's cryptogram is about nothing.
func (b *bank) ride(minor int64) *unionpay.FinancialRequest {
	m := b.request(0)
	m.Amount = b.request(minor).Amount
	m.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: unionpay.TransitFares, Ridden: 20261121})
	return m
}

// like is another request with the same card's data.
func (b *bank) like(of *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	b.stan++
	m := *of
	m.STAN, m.Original = b.stan, nil
	return &m
}

// naming is the same, with an earlier request named.
func (b *bank) naming(of, named *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	m := b.like(of)
	m.Original = &unionpay.Original{Batch: named.Info.Batch, STAN: named.STAN, Date: "1121"}
	return m
}

// completing completes a pre-authorization.
func (b *bank) completing(of *unionpay.FinancialRequest, minor int64) *unionpay.FinancialRequest {
	m := b.naming(of, of)
	m.Authorization, m.Processing, m.Info.MessageType, m.Amount = false, unionpay.ProcessingSale, unionpay.KindCompletion, b.request(minor).Amount
	m.ICC, m.Track2, m.Detail, m.EntryMode = emv.Data{}, pan.Track2{}, "", unionpay.NewEntryMode(unionpay.EntryManual, false)
	return m
}

// refused delivers a request that does not reach the switch.
func (b *bank) refused(m *unionpay.FinancialRequest, want unionpay.ResponseCode) {
	b.Helper()
	for range 2 { // the repeat is a repeat
		out := b.Deliver(networktest.Terminal, m)
		if len(out) != 1 || out[0].To != networktest.Terminal || code(out[0]) != want {
			b.Fatalf("%d messages, the first to %s with %s, want %s", len(out), out[0].To, code(out[0]), want)
		}
	}
}

func TestARequestAboveWhatWasAgreedIsRefused(t *testing.T) {
	b := newMetro(t, journal.Capacity{}, 0)
	b.refused(b.ride(5_001), unionpay.AmountLimit)
	b.forwarded(b.ride(5_000))
	b.forwarded(b.request(90_000)) // a ticket at the counter: the chip signed it
	damaged := b.ride(700)
	damaged.Detail = "\xC1\x01\x02"
	b.refused(damaged, unionpay.FormatError)
	inquiry := b.ride(100)
	inquiry.Amount = b.request(0).Amount
	inquiry.Processing, inquiry.Info.MessageType = unionpay.ProcessingBalance, unionpay.KindBalance
	b.forwarded(inquiry)

	nothing := b.ride(100)
	nothing.Amount = b.request(0).Amount
	nothing.Authorization, nothing.Processing, nothing.Condition, nothing.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
	b.refused(nothing, unionpay.InvalidAmount) // of fares
	nothing = b.like(nothing)
	nothing.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: unionpay.TransitVerify, Ridden: 20261121})
	b.answer(b.forwarded(nothing), unionpay.Approved)
	completion := b.completing(nothing, 100)
	b.refused(completion, unionpay.AmountMismatch)

	b = newMetro(t, journal.Capacity{}, 1_500)
	b.refused(b.ride(1_501), unionpay.AmountLimit)
	b.refused(b.request(1_501), unionpay.AmountLimit)
	hold := b.ride(1_500)
	hold.Authorization, hold.Processing, hold.Condition, hold.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
	b.forwarded(hold)
}

func TestACryptogramIsShownOnce(t *testing.T) {
	b := newMetro(t, journal.Capacity{Ended: 1, Rows: 1}, 0)
	first := b.ride(700)
	onward := b.forwarded(first)
	b.answer(onward, unionpay.Approved)
	if out := b.Deliver(networktest.Terminal, first); len(out) != 1 || code(out[0]) != unionpay.Approved {
		t.Fatalf("a repeat of the message: %+v", out)
	}
	b.refused(b.like(first), unionpay.DuplicateTransmission)
	higher := b.like(first)
	higher.Amount = b.request(800).Amount
	b.refused(higher, unionpay.DuplicateTransmission)
	plain := b.like(first)
	plain.Detail = ""
	b.refused(plain, unionpay.DuplicateTransmission)
	// A reversal frees nothing.
	b.Deliver(networktest.Terminal, reversal(first))
	b.refused(b.like(first), unionpay.DuplicateTransmission)
	b.Clock.Advance(time.Second)
	for range 40 { // first leaves memory
		b.forwarded(b.ride(100))
	}
	b.refused(b.like(first), unionpay.DuplicateTransmission)
	b.acquirer = metro(t, b.vault, journal.Capacity{Ended: 1, Rows: 1}, 0)
	b.Rig = b.Rig.Restart(b.acquirer)
	b.refused(b.like(first), unionpay.DuplicateTransmission)
	row := b.Rows()[len(b.Rows())-2]
	if row.Kind != journal.Noted || row.Key != "" || b.Rows()[row.Linked-1].ATC != row.ATC || b.acquirer.Describe(&row).ZH == "" {
		t.Errorf("%+v", row)
	}
	if got := b.acquirer.Remembered(); got > 200 {
		t.Errorf("%d things in memory", got)
	}
	// What names the request that brought it claims nothing new: that one, or one that named it.
	second := b.naming(first, first)
	b.forwarded(second)
	third := b.naming(first, second)
	b.forwarded(third)
	other := b.ride(300)
	b.forwarded(other)
	b.refused(b.naming(first, other), unionpay.DuplicateTransmission)
	without := b.naming(first, third)
	without.ICC, without.Track2, without.EntryMode = emv.Data{}, pan.Track2{}, unionpay.NewEntryMode(unionpay.EntryManual, false)
	b.forwarded(without)
}

// TestWhatIsRefusedShowsNothing: a request that was stopped for another reason may come again, corrected; a shop's payment is not looked at.
func TestWhatIsRefusedShowsNothing(t *testing.T) {
	b := newMetro(t, journal.Capacity{}, 0)
	m := b.ride(9_000)
	b.refused(m, unionpay.AmountLimit)
	lower := b.like(m)
	lower.Amount = b.request(700).Amount
	b.forwarded(lower)
	rows := len(b.Rows())
	shop := b.like(m)
	shop.Terminal, shop.Merchant, shop.Amount = "T0000002", "301000054110002", b.request(100).Amount
	for range 2 {
		if out := b.Deliver("T0000002", shop); len(out) > 0 && out[0].To != theSwitch {
			t.Fatalf("%+v", out)
		}
		shop = b.like(shop)
	}
	if got := len(b.Rows()) - rows; got != 2 {
		t.Errorf("%d rows for two payments in a shop", got)
	}
}

// TestCryptogramsInAnyOrder: whatever is sent again, repeated, reversed, answered, and wherever the acquirer is restarted, each cryptogram goes to the switch as
// new exactly once.
func TestCryptogramsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		capacity := journal.Capacity{Ended: rapid.IntRange(1, 5).Draw(rt, "ended"), Rows: rapid.IntRange(1, 5).Draw(rt, "rows")}
		b := newMetro(t, capacity, 0)
		var taps []*unionpay.FinancialRequest
		var sent []*unionpay.FinancialRequest
		forwarded := map[uint16]int{}
		deliver := func(m *unionpay.FinancialRequest) {
			for _, out := range b.Deliver(networktest.Terminal, m) {
				onward, ok := out.Message.(*unionpay.FinancialRequest)
				if !ok || onward.Original != nil {
					continue
				}
				atc := onward.ICC.Get(emv.TagATC)
				if forwarded[uint16(atc[0])<<8|uint16(atc[1])]++; forwarded[uint16(atc[0])<<8|uint16(atc[1])] > 1 {
					rt.Fatalf("counter %X went to the switch twice", atc)
				}
				if rapid.Bool().Draw(rt, "answered") {
					b.answer(onward, rapid.SampledFrom([]unionpay.ResponseCode{unionpay.Approved, unionpay.InsufficientFunds}).Draw(rt, "code"))
				}
			}
			sent = append(sent, m)
		}
		for range rapid.IntRange(3, 30).Draw(rt, "steps") {
			switch what := rapid.IntRange(0, 6).Draw(rt, "what"); {
			case what == 0 || len(sent) == 0:
				taps = append(taps, b.ride(rapid.Int64Range(1, 6_000).Draw(rt, "minor")))
				deliver(taps[len(taps)-1])
			case what == 1:
				deliver(rapid.SampledFrom(sent).Draw(rt, "repeated"))
			case what == 2:
				b.Deliver(networktest.Terminal, reversal(rapid.SampledFrom(sent).Draw(rt, "reversed")))
			case what == 3:
				deliver(b.naming(rapid.SampledFrom(taps).Draw(rt, "tap"), rapid.SampledFrom(sent).Draw(rt, "named")))
			case what == 4:
				b.acquirer = metro(t, b.vault, capacity, 0)
				b.Rig = b.Rig.Restart(b.acquirer)
			default:
				deliver(b.like(rapid.SampledFrom(taps).Draw(rt, "tap")))
			}
			b.claims()
		}
	})
}

func TestTransitRulesAreChecked(t *testing.T) {
	for name, rule := range map[string]acquirer.TransitRule{
		"no category": {MostMinor: 100}, "no amount": {Categories: []string{"4111"}}, "too much": {Categories: []string{"4111"}, MostMinor: 100_001},
		"letters": {Categories: []string{"41a1"}, MostMinor: 100}, "five digits": {Categories: []string{"41111"}, MostMinor: 100},
		"too many": {Categories: make([]string, 17), MostMinor: 100},
	} {
		if err := rule.Check(); !errors.Is(err, acquirer.ErrTransit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
