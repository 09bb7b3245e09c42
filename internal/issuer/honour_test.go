package issuer_test

import (
	"crypto/rand"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// honour is a card that lives through whatever comes, and a bank that must honour what the card approved by itself.
type honour struct {
	*chipBank
	t       *rapid.T
	uploads []*unionpay.FinancialRequest // what the card approved and nobody has uploaded yet
	taken   []*unionpay.FinancialRequest
	paid    int64
	seen    map[string]int // kinds of approvals
}

// uploadsMost is how many of them a terminal keeps; a bank knows 64 counters back.
const uploadsMost = 12

// newHonour makes a card with random limits and habits.
func newHonour(t *testing.T, rt *rapid.T, seen map[string]int) *honour {
	b := newChipBank(t, cryptogram.SuiteTDES, func(e *issuer.Enrolment) { e.Card = 9 })
	action := rapid.SampledFrom([][]byte{{0, 0}, {0xC7, 0x38}, {0x83, 0x20}}).Draw(rt, "default action")
	checks := rapid.SampledFrom([]card.Checks{0, card.CheckConsecutive, card.CheckConsecutive | card.CheckCumulative | card.CheckCurrency | card.CheckCountry}).
		Draw(rt, "checks")
	_, issued := cardtest.New(t, cardtest.Options{PAN: "6299990000000002", Balance: 60_000, Contact: true, Change: func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		s.Purses[0].SingleLimit = rapid.Int64Range(1, 100_000).Draw(rt, "single limit")
		s.Purses[0].ResetThreshold = rapid.Int64Range(0, 30_000).Draw(rt, "reset threshold")
		s.CumulativeLimit = rapid.Int64Range(0, 90_000).Draw(rt, "cumulative limit")
		s.CumulativeUpperLimit = s.CumulativeLimit + rapid.Int64Range(0, 90_000).Draw(rt, "and above")
		a.Objects.Set(emv.TagDefaultAction, action)
		a.Contact.Checks = checks
	}})
	c, err := card.New(&issued.Image, issued.Crypto, card.NewVolatile(issued.Image.State), rand.Reader)
	if err != nil {
		rt.Fatal(err)
	}
	b.chip = &chipCard{TB: t, Issued: issued, chip: c}
	b.enrolChip(b.chip, 1, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
	return &honour{chipBank: b, t: rt, seen: seen}
}

// kindOf is what a cryptogram of the card says.
func (h *honour) kindOf(icc emv.Data) emv.CID {
	iad, err := emv.ParseIAD(icc.Get(emv.TagIAD))
	if err != nil {
		h.t.Fatal(err)
	}
	if second, asked := iad.CVR.Second(); asked {
		return second.Type()
	}
	return iad.CryptogramType()
}

// approved notes an approval of the card's own.
func (h *honour) approved(m *unionpay.FinancialRequest) {
	h.uploads = append(h.uploads, m)
	h.paid += m.Amount.Minor()
	for len(h.uploads) > uploadsMost {
		h.upload()
	}
}

func (h *honour) upload() {
	if len(h.uploads) == 0 {
		return
	}
	at := rapid.IntRange(0, len(h.uploads)-1).Draw(h.t, "upload")
	m := h.uploads[at]
	h.uploads = append(h.uploads[:at:at], h.uploads[at+1:]...)
	if got := unionpay.PaymentOf(h.Answer(theSwitch, m).Message).Response; got != "00" {
		h.t.Fatalf("the bank does not honour the card's approval: %s, %q", got, issuer.Reason(h.LastRow().Reason).Term().EN)
	}
	h.taken = append(h.taken, m)
}

// tap pays without contacts, by a terminal that is online or not.
func (h *honour) tap(minor int64) {
	h.stan++
	ttq := rapid.SampledFrom([]emv.TTQ{networktest.Offline, networktest.Online, {0x26, 0x00, 0x00, 0x80}}).Draw(h.t, "TTQ")
	if minor > h.chip.purse() && ttq == networktest.Offline {
		return // refused at once
	}
	c := networktest.Adopt(h, h.chip.Issued, h.chip.chip)
	icc := c.Tap(ttq, minor)
	m := networktest.AtSwitch(c.Request(h.stan, minor, icc), acquirer, h.today())
	switch h.kindOf(icc) {
	case emv.TC:
		m.Info.MessageType = unionpay.KindOfflineUpload
		h.seen["tap"]++
		h.approved(m)
	case emv.ARQC:
		if rapid.Bool().Draw(h.t, "delivered") {
			h.Answer(theSwitch, m)
		}
	}
}

// insert pays by contact, from the purse or from the account; the network may be silent.
func (h *honour) insert(minor int64) {
	h.chip.cash = rapid.Bool().Draw(h.t, "cash")
	h.chip.alone, h.chip.low = rapid.Bool().Draw(h.t, "alone"), rapid.Bool().Draw(h.t, "low")
	pin := rapid.SampledFrom([]string{"", cardtest.PIN, "9753"}).Draw(h.t, "PIN")
	before := h.chip.purse()
	icc := h.chip.insert(minor, 0, pin)
	h.chip.cash, h.chip.alone, h.chip.low = false, false, false
	switch h.kindOf(icc) {
	case emv.TC:
		h.approved(h.ofContact(minor, icc, before, nil))
	case emv.ARQC:
		request := h.request(h.chip, minor, unionpay.ProcessingSale, unionpay.KindSale, icc)
		h.online(minor, before, request)
	}
}

func (h *honour) online(minor, before int64, request *unionpay.FinancialRequest) {
	fate := rapid.IntRange(0, 3).Draw(h.t, "fate")
	if fate == 0 {
		answer := h.Answer(theSwitch, request).Message.(*unionpay.FinancialResponse)
		if len(answer.ICC.Get(emv.TagIssuerAuthData)) > 0 {
			h.chip.exchange(apdu.ExternalAuthenticate(answer.ICC.Get(emv.TagIssuerAuthData)))
		}
		h.chip.generate(emv.TC, string(answer.Response))
		return
	}
	last := h.chip.generate(emv.TC, "Y3")
	if fate == 1 { // it had arrived
		h.Answer(theSwitch, request)
	}
	if rapid.Bool().Draw(h.t, "reversed") {
		h.Answer(theSwitch, reversalOf(request, nil))
	}
	if h.kindOf(last) == emv.TC {
		h.approved(h.ofContact(minor, last, before, request))
	}
	if fate == 2 { // it arrives late
		h.Answer(theSwitch, request)
	}
}

// ofContact is the upload. The card chooses electronic cash by itself, and its records say so: here that the purse holds less than before.
func (h *honour) ofContact(minor int64, icc emv.Data, before int64, of *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	m := h.byItself(minor, icc, of)
	kind := "account"
	if h.chip.purse() != before {
		kind = "purse"
		m.ICC.Set(emv.TagECAuthCode, []byte("ECC001"))
	}
	if of != nil {
		kind += " after silence"
	}
	h.seen[kind]++
	return m
}

// again shows an approval once more, or a changed one: it is worth nothing.
func (h *honour) again() {
	if len(h.taken) == 0 {
		return
	}
	m := *rapid.SampledFrom(h.taken).Draw(h.t, "taken")
	h.stan++
	m.STAN = h.stan
	m.ICC = m.ICC.Clone()
	switch rapid.IntRange(0, 2).Draw(h.t, "change") {
	case 1:
		m.Original = nil
	case 2:
		atc := m.ICC.Get(emv.TagATC)
		m.ICC.Set(emv.TagATC, []byte{atc[0], atc[1] + 1})
	}
	if got := unionpay.PaymentOf(h.Answer(theSwitch, &m).Message).Response; got == "00" {
		h.t.Fatal("an approval is honoured twice")
	}
}

// TestTheBankHonoursWhatTheCardApproves: whatever terminals and cardholders do with a card of whatever limits, and whatever gets lost, an approval of the card
// is paid when it arrives, once; and in the end the bank has paid what the card approved.
func TestTheBankHonoursWhatTheCardApproves(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHonour(t, rt, seen)
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			minor := rapid.Int64Range(1, 20_000).Draw(rt, "minor")
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1:
				h.tap(minor)
			case 2, 3:
				h.insert(minor)
			case 4:
				h.upload()
			default:
				h.again()
			}
		}
		for len(h.uploads) > 0 {
			h.upload()
		}
		scheme := h.issuer.Book().Balance(issuer.AccountScheme)
		if got := scheme.CreditsPosted - scheme.DebitsPosted; got != h.paid {
			rt.Fatalf("%d paid, the card approved %d", got, h.paid)
		}
		if h.shadow() != h.chip.purse() {
			rt.Fatalf("shadow %d, chip %d", h.shadow(), h.chip.purse())
		}
		if err := h.issuer.Book().Audit(); err != nil {
			rt.Fatal(err)
		}
	})
	for _, kind := range []string{"tap", "purse", "account", "purse after silence", "account after silence"} {
		if seen[kind] == 0 {
			t.Errorf("no approval of the kind %q: %v", kind, seen)
		}
	}
}
