package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// Any card at any terminal of a whole network: whatever a terminal accepts on the word of a card alone, the bank of the card honours once it hears of it. Cards and
// terminals are drawn; so are the ways in which they meet. Worlds are drawn from seeds: the failing one is named, and
//
//	go test ./internal/app -run TestAnyCardAtAnyTerminal/seed_N
//
// tells it again.
func TestAnyCardAtAnyTerminal(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { newAnyWorld(t, seed).live(90) })
	}
}

// anyWorld is a world of drawn cards and drawn terminals.
type anyWorld struct {
	*testing.T
	*Network
	draw      *rand.Rand
	profile   *personalization.Profile
	pins      map[string]string
	accepted  map[string]int // by merchant: on the card's word alone
	approved  int
	merchants []personalization.Merchant
}

const (
	anyCards, anyMerchants = 9, 6
	anyPIN                 = "135246"
)

func newAnyWorld(t *testing.T, seed uint64) *anyWorld {
	t.Helper()
	p, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	w := &anyWorld{T: t, draw: rand.New(rand.NewPCG(seed, 7)), profile: p, pins: map[string]string{}, accepted: map[string]int{}}
	p.Cards, p.Merchants, p.Transit = nil, nil, personalization.Transit{}
	for i := range anyCards {
		w.addCard(i)
	}
	for i := range anyMerchants {
		w.addMerchant(i)
	}
	w.merchants = p.Merchants
	if w.Network, err = Start(t.Context(), Options{Profile: p, Dir: t.TempDir(), Seed: &seed}); err != nil {
		t.Fatal(err)
	}
	return w
}

func pick[T any](w *anyWorld, from ...T) T { return from[w.draw.IntN(len(from))] }

func (w *anyWorld) bytes(n int) []byte {
	b := binary.BigEndian.AppendUint64(nil, w.draw.Uint64())
	return b[:n]
}

// yuan draws an amount up to most yuan, with jiao and fen.
func (w *anyWorld) yuan(most int64) string {
	minor := w.draw.Int64N(most*100 + 1)
	return fmt.Sprintf("%d.%02d", minor/100, minor%100)
}

// addCard draws a product and a card of it.
func (w *anyWorld) addCard(i int) {
	w.Helper()
	base, err := personalization.FindProduct(pick(w, "debit", "debit", "credit", "quasi-credit", "prepaid", "dual-currency", "e-cash", "e-cash-alone", "atm"))
	if err != nil {
		w.Fatal(err)
	}
	product := base
	product.Name = fmt.Sprintf("drawn-%d", i)
	product.Applications = append([]personalization.ProductApplication(nil), base.Applications...)
	a := &product.Applications[0]
	if w.draw.IntN(2) == 0 { // what the card does in the field: anything
		// Which money pays offline is the product's; everything else may be switched on or off.
		const others = 0x1B70F000
		drawn := w.draw.Uint32()&others | binary.BigEndian.Uint32(a.Processing)&^uint32(others)
		a.Processing, a.CTQ, a.CVMLimit = binary.BigEndian.AppendUint32(nil, drawn), w.bytes(2), w.yuan(1_500)
		if a.Processing[0]&0xE0 != 0 {
			a.CTQ[0] &= 0x3F // a product that spends offline must not ask for a verification every time
		}
		a.Service = pick(w, "201", "220", "601", "")
		a.DeclineWithoutCVM = w.draw.IntN(4) == 0
	}
	if a.Purse != nil {
		purse := *a.Purse
		purse.Single, purse.Reset = w.yuan(1_000), w.yuan(60)
		a.Purse = &purse
	}
	if a.Contact != nil && w.draw.IntN(2) == 0 { // and in the slot
		c := *a.Contact
		c.DefaultAction, c.Cash = w.bytes(2), w.draw.IntN(2) == 0 && a.Purse != nil
		c.IACDefault, c.IACDenial, c.IACOnline = w.bytes(5), make([]byte, 5), w.bytes(5)
		c.ConsecutiveLower, c.ConsecutiveUpper = w.draw.IntN(4), w.draw.IntN(9)
		c.TotalLower, c.TotalUpper = w.yuan(300), w.yuan(900)
		a.Contact = &c
	}
	w.profile.Products = append(w.profile.Products, product)
	name := fmt.Sprintf("card-%d", i)
	w.pins[name] = anyPIN
	spec := personalization.CardSpec{Name: name, Holder: "ANY/CARD", Issuer: pick(w, "10010000", "10020000"), Product: product.Name,
		Carrier: pick(w, "dual-interface", "dual-interface", "contactless", ""), Crypto: pick(w, personalization.Cryptos()...), Serial: i + 1, Sequence: "01",
		Expiry: "3012", PIN: anyPIN, NoPIN: w.draw.IntN(3) > 0, FDDA00: w.draw.IntN(5) == 0, TapLimit: "5000.00", DayLimit: "20000.00", DayCount: 500}
	fund(&spec, &product)
	w.profile.Cards = append(w.profile.Cards, spec)
}

// addMerchant draws a terminal.
func (w *anyWorld) addMerchant(i int) {
	m := personalization.Merchant{Name: fmt.Sprintf("any-%d", i), ID: fmt.Sprintf("30100005411%04d", i), Label: "ANY SHOP", Category: "5411",
		Terminal: fmt.Sprintf("T%07d", i+1), Floor: w.yuan(300), CVMLimit: w.yuan(1_200), TapLimit: w.yuan(2_000)}
	if w.draw.IntN(3) == 0 {
		m.Floor = "0"
	}
	if w.draw.IntN(3) == 0 {
		m.Machine, m.Price = machineSells, "3.00"
		m.Offline = w.draw.IntN(2) == 0
	}
	w.profile.Merchants = append(w.profile.Merchants, m)
}

// live lets cards and terminals meet, collects what machines hold, and asks the banks.
func (w *anyWorld) live(meetings int) {
	w.Helper()
	for i := range meetings {
		m := pick(w, w.merchants...)
		r := POSRequest{Verb: POSSale, Merchant: m.Name, Card: fmt.Sprintf("card-%d", w.draw.IntN(anyCards)), Amount: w.yuan(pick[int64](w, 5, 60, 300, 2_500)),
			Insert: w.draw.IntN(2) == 0, PIN: pick(w, anyPIN, anyPIN, anyPIN, "000000", "")}
		if r.Amount == "0.00" {
			r.Amount = "0.01"
		}
		r.Swipe = !r.Insert && w.draw.IntN(12) == 0
		got, err := w.POS(w.Context(), r)
		if err != nil {
			w.Fatalf("meeting %d: %+v: %v", i, r, err)
		}
		if got.PurseAfter != nil && got.Outcome != OutcomeApprovedOffline {
			w.Errorf("meeting %d: %+v: %s, the purse went from %s to %s: %s", i, r, got.Outcome, got.PurseBefore, got.PurseAfter, got.Why.EN)
		}
		switch got.Outcome {
		case OutcomeApprovedOffline:
			w.accepted[m.Name]++
		case OutcomeApproved:
			w.approved++
		case OutcomeReversed:
			w.Errorf("meeting %d: %s at %s: the network did not answer", i, r.Card, r.Merchant)
		}
	}
	for _, m := range w.merchants {
		if m.Machine != "" && m.Offline && w.accepted[m.Name] > 0 {
			if got, err := w.POS(w.Context(), POSRequest{Verb: POSCollect, Merchant: m.Name}); err != nil || got.Outcome != OutcomeDone {
				w.Errorf("collect from %s: %s, %v", m.Name, got.Outcome, err)
			}
		}
	}
	if err := w.Settle(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.honoured()
	w.audited()
}

// honoured: every payment that a till took on a card's word was answered 00 by the card's bank.
func (w *anyWorld) honoured() {
	w.Helper()
	all := 0
	for _, m := range w.merchants {
		rows, err := w.tills[m.Name].rows(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		queued, taken := map[uint64]journal.Row{}, 0
		for _, r := range rows {
			switch {
			case r.Kind == journal.Queued:
				queued[r.Seq] = r
				taken++
			case r.Kind == journal.Answered && queued[r.Linked].Seq != 0:
				if code := unionpay.UnpackResponseCode(r.Reason); !code.Approved() {
					w.Errorf("%s, row %d: accepted %d from a card at counter %d, and its bank says %s", m.Name, r.Linked, r.Amount, r.ATC, code)
				}
				delete(queued, r.Linked)
			}
		}
		if len(queued) > 0 || taken != w.accepted[m.Name] {
			w.Errorf("%s: %d accepted, %d uploaded, %d without an answer", m.Name, w.accepted[m.Name], taken, len(queued))
		}
		all += taken
	}
	if all == 0 || w.approved == 0 {
		w.Errorf("%d payments offline, %d online: this world shows nothing", all, w.approved)
	}
	w.Logf("%d payments offline, %d online", all, w.approved)
}

// audited: the books agree with it.
func (w *anyWorld) audited() {
	w.Helper()
	dir := w.options.Dir
	if err := w.Stop(context.WithoutCancel(w.Context())); err != nil {
		w.Fatal(err)
	}
	report, err := Verify(w.Context(), dir, verify.Options{Settled: true})
	cleanReport(w.T, report, err)
}
