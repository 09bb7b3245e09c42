package personalization

import (
	"context"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/terminal"
)

// expected is how a tap and an insertion of 12.50 end, at a terminal that pays offline up to 50.00.
var expected = map[string]struct {
	tap     kernel.OutcomeKind
	cvm     kernel.CVM
	insert  contact.Reason
	asked   int // how often the issuer is asked on contact
	onlines int // PINs for the issuer on contact
}{
	"debit":         {kernel.Approved, kernel.CVMNone, contact.ReasonCashApproved, 0, 0},
	"credit":        {kernel.OnlineRequest, kernel.CVMNone, contact.ReasonApproved, 0, 0},
	"quasi-credit":  {kernel.OnlineRequest, kernel.CVMNone, contact.ReasonApproved, 0, 0},
	"prepaid":       {kernel.OnlineRequest, kernel.CVMNone, contact.ReasonIssuerApproved, 1, 1},
	"dual-currency": {kernel.Approved, kernel.CVMNone, contact.ReasonCashApproved, 0, 0},
	"e-cash":        {kernel.Approved, kernel.CVMNone, contact.ReasonCashApproved, 0, 0},
	"e-cash-alone":  {kernel.Approved, kernel.CVMNone, contact.ReasonCashApproved, 0, 0},
	"atm":           {kernel.OnlineRequest, kernel.CVMOnlinePIN, contact.ReasonIssuerApproved, 1, 1},
	"co-brand":      {kernel.Approved, kernel.CVMNone, contact.ReasonCashApproved, 0, 0},
	"private":       {kernel.Approved, kernel.CVMNone, contact.ReasonApproved, 0, 0},
}

// Every product on every carrier, in every set of algorithms, pays in the ways it should and in no other.
func TestEveryProductOnEveryCarrier(t *testing.T) {
	everyCard(t, func(t *testing.T, product Product, carrier Carrier) {
		want, ok := expected[product.Name]
		if !ok {
			t.Fatal("nobody says what is expected of this product")
		}
		for n, algorithms := range append(Cryptos(), CryptoBoth) {
			sm := algorithms == CryptoSM || n == len(Cryptos()) // a card with both meets a terminal with SM last
			c := issue(t, product.Name, carrier.Name, algorithms)
			term := c.till(5000, sm)
			if carrier.Offers()&card.Contactless != 0 {
				r := c.tap(term, request(1250))
				if r.Outcome.Kind != want.tap || r.Outcome.CVM != want.cvm {
					t.Errorf("%s: tap %v, %v (%v), verification %v", algorithms, r.Outcome.Kind, r.Outcome.Reason, r.Outcome.Detail.EN, r.Outcome.CVM)
				} else if !c.verified(c.PAN, r.Outcome.Data) {
					t.Errorf("%s: tap: the issuer cannot verify the cryptogram", algorithms)
				}
				if iad, err := emv.ParseIAD(r.Outcome.Data.Get(emv.TagIAD)); err != nil || iad.Algorithm == cryptogram.AlgorithmSM4 != sm {
					t.Errorf("%s, SM %v: tap with algorithm %02X, %v", algorithms, sm, iad.Algorithm, err)
				}
				if want.tap == kernel.Approved && r.Outcome.ODA.Status != kernel.ODAPassed {
					t.Errorf("%s: tap: authentication %v", algorithms, r.Outcome.ODA)
				}
			}
			h := &host{issued: c}
			if carrier.Offers()&card.Contact == 0 {
				if c.chip.PowerOn(card.Contact) != nil {
					t.Errorf("%s: answers in a slot", algorithms)
				}
				continue
			}
			r := h.insert(term, 1250)
			if r.Outcome.Reason != want.insert || h.asked != want.asked || h.online != want.onlines || r.Outcome.ElectronicCash && h.pins > 0 {
				t.Errorf("%s: insert %v (%v), issuer asked %d, online PINs %d, CVM %v, TVR %v", algorithms, r.Outcome.Reason, r.Outcome.Detail.EN, h.asked, h.online, r.Outcome.CVM, r.Outcome.TVR)
			}
			if iad, err := emv.ParseIAD(r.Outcome.Data.Get(emv.TagIAD)); err != nil || iad.Algorithm == cryptogram.AlgorithmSM4 != sm {
				t.Errorf("%s, SM %v: insert with algorithm %02X, %v", algorithms, sm, iad.Algorithm, err)
			}
			if r.Outcome.ODA.Status != kernel.ODAPassed || r.Outcome.Method != contact.ODACombined {
				t.Errorf("%s: insert: authentication %v", algorithms, r.Outcome.ODA)
			}
		}
	})
}

// A card that wants the PIN gets it at any amount, or nothing is paid.
func TestAlwaysPIN(t *testing.T) {
	c := issue(t, "atm", "dual-interface", "")
	term := c.till(5000, false)
	for _, minor := range []int64{1, 100, 5000, 500_000} {
		if r := c.tap(term, request(minor)); r.Outcome.Kind != kernel.OnlineRequest || r.Outcome.CVM != kernel.CVMOnlinePIN {
			t.Errorf("%d: %v, verification %v", minor, r.Outcome.Kind, r.Outcome.CVM)
		}
	}
	h := &host{issued: c}
	if r := h.insert(term, 100); r.Outcome.Kind != kernel.Approved || h.online != 1 {
		t.Errorf("%v, %d PINs", r.Outcome.Reason, h.online)
	}
	r, err := term.Insert(context.Background(), card.NewSlot(c.chip), terminal.InsertRequest{Request: request(100)}, terminal.People{Online: h.people().Online})
	if err != nil || r.Outcome.Kind == kernel.Approved {
		t.Errorf("without a PIN pad: %v, %v", r.Outcome.Reason, err)
	}
}

// A stand-alone purse pays what it holds. For the rest, and wherever the reader goes online at all events, it asks its bank and gives nothing away.
func TestStandAlone(t *testing.T) {
	c := issue(t, "e-cash-alone", "dual-interface", "")
	term := c.till(100_000, false)
	for _, row := range []struct {
		minor int64
		kind  kernel.OutcomeKind
	}{{8751, kernel.OnlineRequest}, {8000, kernel.Approved}, {751, kernel.OnlineRequest}, {750, kernel.Approved}, {1, kernel.OnlineRequest}} {
		if r := c.tap(term, request(row.minor)); r.Outcome.Kind != row.kind {
			t.Errorf("%d: %v %v", row.minor, r.Outcome.Kind, r.Outcome.Reason)
		}
	}
	if s := c.chip.State(); s.Applications[0].Purses[0].Balance != 0 {
		t.Errorf("balance %d", s.Applications[0].Purses[0].Balance)
	}
	forced := issue(t, "e-cash-alone", "dual-interface", "")
	if r := forced.tap(forced.till(0, true), request(1250)); r.Outcome.Kind != kernel.OnlineRequest || forced.chip.State().Applications[0].Purses[0].Balance != 8750 {
		t.Errorf("%v %v, balance %d", r.Outcome.Kind, r.Outcome.Reason, forced.chip.State().Applications[0].Purses[0].Balance)
	}
	full := &host{issued: issue(t, "e-cash-alone", "dual-interface", "")}
	if r := full.insert(term, 8750); r.Outcome.Reason != contact.ReasonCashApproved || full.asked != 0 || full.pins != 0 {
		t.Errorf("%v, asked %d, PINs %d", r.Outcome.Reason, full.asked, full.pins)
	}
}

// The second purse pays in its currency and leaves the first alone.
func TestSecondPurse(t *testing.T) {
	c := issue(t, "dual-currency", "dual-interface", "")
	if s := c.chip.State().Applications[0]; s.Purses[1].Balance != 4000 || c.Image.Applications[0].SecondCurrency.Code() != "HKD" {
		t.Errorf("second purse %+v", s.Purses[1])
	}
	r := request(1250)
	r.Amount, r.Other = money.New(1250, money.HKD), money.New(0, money.HKD)
	result := c.tap(c.tillIn(money.HKD, 5000, false), r)
	s := c.chip.State().Applications[0]
	if result.Outcome.Kind != kernel.Approved || s.Purses[1].Balance != 2750 || s.Purses[0].Balance != 8750 {
		t.Errorf("%v %v, purses %d and %d", result.Outcome.Kind, result.Outcome.Reason, s.Purses[0].Balance, s.Purses[1].Balance)
	}
}

var ride = emv.AID("\xF0\x74\x61\x70\x6E\x65\x74\x01")

// The operator's application pays at the operator's gate with its own purse; either can be switched off without the other.
func TestCoBrand(t *testing.T) {
	c := issue(t, "co-brand", "dual-interface", "")
	gate, shop := c.till(5000, false, ride), c.till(5000, false)
	balances := func() [2]int64 {
		s := c.chip.State()
		return [2]int64{s.Applications[0].Purses[0].Balance, s.Applications[1].Purses[0].Balance}
	}
	if len(c.Optional()) != 2 || len(c.Linked) != 1 || c.Linked[0].PurseMinor != 3000 || c.Linked[0].Card == c.Record.Card || c.Linked[0].Fingerprint == c.Record.Fingerprint {
		t.Errorf("%v, %d linked accounts", c.Optional(), len(c.Linked))
	}
	if r := c.tap(shop, request(1000)); r.Outcome.Kind != kernel.Approved || r.AID != emv.AIDDebit {
		t.Errorf("shop: %v %v", r.Outcome.Reason, r.AID)
	}
	if err := c.chip.SetApplication(emv.AIDDebit, false); err != nil {
		t.Fatal(err)
	}
	if sw := answers(t, card.NewField(c.chip), apdu.Select(emv.AIDDebit.Bytes())); sw != apdu.FileNotFound {
		t.Errorf("disabled application: %v", sw)
	}
	if sw := answers(t, card.NewSlot(c.chip), apdu.Select(emv.AIDDebit.Bytes())); sw != apdu.FileNotFound {
		t.Errorf("disabled application in the slot: %v", sw)
	}
	if r := c.tap(shop, request(1000)); r.Outcome.Kind == kernel.Approved {
		t.Error("a disabled application pays")
	}
	r := c.tap(gate, request(200))
	number, _ := r.Outcome.PAN()
	if r.Outcome.Kind != kernel.Approved || r.AID != ride || r.Outcome.ODA.Status != kernel.ODAPassed || number == c.PAN || !c.verified(number, r.Outcome.Data) {
		t.Errorf("gate: %v (%v) %v, %v", r.Outcome.Reason, r.Outcome.Detail.EN, r.AID, r.Outcome.ODA)
	}
	if got := balances(); got != [2]int64{7750, 2800} {
		t.Errorf("balances %v", got)
	}
	if err := c.chip.SetApplication(emv.AIDDebit, true); err != nil {
		t.Fatal(err)
	}
	if err := c.chip.SetApplication(ride, false); err != nil {
		t.Fatal(err)
	}
	if r := c.tap(shop, request(1000)); r.Outcome.Kind != kernel.Approved {
		t.Errorf("shop: %v", r.Outcome.Reason)
	}
	if sw := answers(t, card.NewField(c.chip), apdu.Select(ride.Bytes())); sw != apdu.FileNotFound {
		t.Errorf("disabled application: %v", sw)
	}
}

// What a product withholds, a stranger's reader does not get, and what it does not, it does.
func TestPrivacy(t *testing.T) {
	for _, product := range Products() {
		if product.Stripe {
			continue
		}
		c := issue(t, product.Name, "dual-interface", "")
		for side, present := range map[string]func(*card.Card) *card.Field{"field": card.NewField, "slot": card.NewSlot} {
			all, err := terminal.ReadAll(context.Background(), present(c.chip))
			if err != nil {
				t.Fatal(err)
			}
			for i, of := range product.Applications {
				if side == "slot" && of.Contact == nil {
					continue
				}
				at := -1
				for j := range all.Applications {
					if all.Applications[j].AID == of.aid() {
						at = j
					}
				}
				if at < 0 {
					t.Errorf("%s, %s: application %v is not seen", product.Name, side, of.aid())
					continue
				}
				d := &all.Applications[at]
				w := c.Image.Applications[i].Withhold
				for _, row := range []struct {
					name string
					what card.Withhold
					told bool
				}{
					{"number", card.WithholdNumber, !d.PAN.IsZero()}, {"expiry", card.WithholdExpiry, !d.Expiry.IsZero()}, {"counter", card.WithholdCounter, d.ATC != nil},
					{"balance", card.WithholdBalance, d.Balance != nil}, {"log", card.WithholdLog, len(d.Log.Format) > 0},
				} {
					records := of.Purse != nil || of.Contact != nil
					if want := !w.Has(row.what) && (records || row.what&(card.WithholdNumber|card.WithholdExpiry) == 0); row.told != want {
						t.Errorf("%s, %s, application %d: %s told: %t, want %t", product.Name, side, i+1, row.name, row.told, want)
					}
				}
				if c.chip.State().Applications[i].ATC != 1 {
					t.Errorf("%s: reading used a counter", product.Name)
				}
			}
		}
	}
}

// An SM card pays at a terminal that knows SM, and not offline at one that has never heard of its authority.
func TestSMCardElsewhere(t *testing.T) {
	c := issue(t, "debit", "dual-interface", CryptoSM)
	rsa, err := oda.NewKeys(c.profile.Authority())
	if err != nil {
		t.Fatal(err)
	}
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: yuan(0).Currency(), TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: zeros{},
		Combinations: []terminal.Combination{{AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(5000), CVM: yuan(100_000)}}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, SerialNumber: "00000001", CAKeys: rsa},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.tap(term, request(1250)); r.Outcome.Kind == kernel.Approved {
		t.Error("paid offline without authentication")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
