package card_test

import (
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/money"
	"tapnet/tlv"
)

// profileRow is one row of the decision tree's test: what the card and the reader are like, and what must come of it.
type profileRow struct {
	name       string
	processing string // bits of 9F68 to set, by the letters below
	ttq        emv.TTQ
	amount     int64
	currency   uint16
	state      func(*card.ApplicationState)
	profile    func(*card.Application)

	step   string
	sw     apdu.SW // 0: OK
	cid    emv.CID
	ctq    emv.CTQ
	cvr    []emv.CVRBit
	spent  int64 // what the first purse has lost after the last record
	reason card.Reason
}

var processingBits = map[rune]emv.AdditionalProcessingBit{
	'L': emv.APLowValue, 'A': emv.APLowValueAndCTTA, 'O': emv.APLowValueOrCTTA, 'N': emv.APNewCard, 'P': emv.APPINTriesExceeded,
	'm': emv.APAllowMismatchedCurrency, 'C': emv.APPreferContact, 'Y': emv.APPrepay, 'x': emv.APRefuseMismatchedCurrency,
	'D': emv.APDeclineNewCardOffline, 'g': emv.APLogOffline, 'i': emv.APOnlinePINMatched, 'j': emv.APOnlinePINMismatched,
	'v': emv.APCVMMismatched, 's': emv.APSignature,
}

func ttq(hex ...byte) (t emv.TTQ) {
	copy(t[:], hex)
	return t
}

const dollar = 0x0840

// The readers: offline-only without and with signature, online-capable with PIN and signature, with signature, with neither.
var (
	gate        = ttq(0x28, 0x00, 0, 0x80)
	gateSign    = ttq(0x2A, 0x00, 0, 0x80)
	gateCVM     = ttq(0x28, 0x40, 0, 0x80)
	gateSignCVM = ttq(0x2A, 0x40, 0, 0x80)
	shop        = ttq(0x26, 0x00, 0, 0x80)
	shopContact = ttq(0x36, 0x00, 0, 0x80)
	shopCVM     = ttq(0x26, 0x40, 0, 0x80)
	shopSignCVM = ttq(0x22, 0x40, 0, 0x80)
	shopNone    = ttq(0x20, 0x00, 0, 0x80)
	shopNoneCVM = ttq(0x20, 0x40, 0, 0x80)
	shopOnline  = ttq(0x26, 0x80, 0, 0x80)
	shopOnlineC = ttq(0x36, 0x80, 0, 0x80)
	newCard     = func(s *card.ApplicationState) { s.LastOnlineATC = 0 }
	pinBlocked  = func(s *card.ApplicationState) { s.PINTries = 0 }
	cumulative  = func(spent, lower, upper int64) func(*card.ApplicationState) {
		return func(s *card.ApplicationState) {
			s.Cumulative, s.CumulativeLimit, s.CumulativeUpperLimit = spent, lower, upper
		}
	}
	foreignUsed = func(count, limit byte) func(*card.ApplicationState) {
		return func(s *card.ApplicationState) { s.InternationalCount, s.InternationalLimit = count, limit }
	}
	singleLimit = func(minor int64) func(*card.ApplicationState) {
		return func(s *card.ApplicationState) { s.Purses[0].SingleLimit = minor }
	}
	cvmLimit = func(minor int64) func(*card.ApplicationState) {
		return func(s *card.ApplicationState) { s.Purses[0].CVMLimit = minor }
	}
	declines = func(a *card.Application) { a.DeclineWithoutCVM = true }
)

var (
	pinCTQ  = emv.CTQ{0x80, 0}
	signCTQ = emv.CTQ{0x40, 0}
)

// The purse of the test card holds 87.50; single and verification limits 1000.00, threshold 10.00.
var decisionRows = []profileRow{
	// 1: a foreign currency the card refuses.
	{name: "foreign refused", processing: "Lx", ttq: shop, amount: 100, currency: dollar, step: "1", cid: emv.AAC, reason: card.ReasonForeignRefused},
	{name: "foreign refused comes before online required", processing: "Lx", ttq: shopOnline, amount: 100, currency: dollar, step: "1", cid: emv.AAC, reason: card.ReasonForeignRefused},
	{name: "own currency is not refused", processing: "Lx", ttq: shop, amount: 100, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	// 2a: a new card at an offline-only reader.
	{name: "new card offline", processing: "LD", ttq: gate, amount: 100, state: newCard, step: "2a", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRNewCard}, reason: card.ReasonNewCardOffline},
	{name: "new card offline, not asked", processing: "L", ttq: gate, amount: 100, state: newCard, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	{name: "new card decline is for offline-only readers", processing: "LD", ttq: shop, amount: 100, state: newCard, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	{name: "used card offline", processing: "LD", ttq: gate, amount: 100, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	// 2b: PIN tries used up at an offline-only reader.
	{name: "PIN blocked offline", processing: "LP", ttq: gate, amount: 100, state: pinBlocked, step: "2b", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRPINLimitExceeded}, reason: card.ReasonPINBlockedOffline},
	{name: "PIN blocked offline, not asked", processing: "L", ttq: gate, amount: 100, state: pinBlocked, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	// 2c: verification at an offline-only reader.
	{name: "gate wants CVM, both sign", processing: "Ls", ttq: gateSignCVM, amount: 100, step: "6", cid: emv.TC, ctq: signCTQ, spent: 100, reason: card.ReasonSpent},
	{name: "gate wants CVM, card cannot sign", processing: "L", ttq: gateSignCVM, amount: 100, step: "2c", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonNoVerification},
	{name: "gate wants CVM, gate cannot sign", processing: "Ls", ttq: gateCVM, amount: 100, step: "2c", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonNoVerification},
	{name: "gate wants CVM, profile declines", processing: "Ls", ttq: gateCVM, amount: 100, profile: declines, step: "2c", cid: emv.AAC, reason: card.ReasonNoVerification},
	{name: "gate, above the card's CVM limit", processing: "Ls", ttq: gateSign, amount: 2001, state: cvmLimit(2000), step: "6", cid: emv.TC, ctq: signCTQ, spent: 2001, reason: card.ReasonSpent},
	{name: "gate, at the card's CVM limit", processing: "Ls", ttq: gateSign, amount: 2000, state: cvmLimit(2000), step: "6", cid: emv.TC, spent: 2000, reason: card.ReasonSpent},
	// 2d: verification at an online-capable reader.
	{name: "shop wants CVM, both know PIN", processing: "Lis", ttq: shopCVM, amount: 100, step: "2d", cid: emv.ARQC, ctq: pinCTQ, reason: card.ReasonOnlinePIN},
	{name: "shop wants CVM, card has no PIN", processing: "Ls", ttq: shopCVM, amount: 100, step: "6", cid: emv.TC, ctq: signCTQ, spent: 100, reason: card.ReasonSpent},
	{name: "shop wants CVM, shop has no PIN", processing: "Lis", ttq: shopSignCVM, amount: 100, step: "6", cid: emv.TC, ctq: signCTQ, spent: 100, reason: card.ReasonSpent},
	{name: "shop wants CVM, nothing in common", processing: "Lis", ttq: shopNoneCVM, amount: 100, step: "2d", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonNoVerification},
	{name: "shop wants CVM, nothing in common, profile declines", processing: "L", ttq: shopCVM, amount: 100, profile: declines, step: "2d", cid: emv.AAC, reason: card.ReasonNoVerification},
	{name: "a product with PIN on every tap", processing: "Lis", ttq: shop, amount: 1, state: cvmLimit(0), step: "2d", cid: emv.ARQC, ctq: pinCTQ, reason: card.ReasonOnlinePIN},
	{name: "foreign PIN is another bit", processing: "Limv", ttq: shop, amount: 100, currency: dollar, step: "2d", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonNoVerification},
	{name: "foreign with PIN", processing: "Ljmv", ttq: shop, amount: 100, currency: dollar, step: "2d", cid: emv.ARQC, ctq: pinCTQ, reason: card.ReasonOnlinePIN},
	{name: "foreign, card's CVM limit does not count", processing: "Lim", ttq: shopNone, amount: 2001, currency: dollar,
		state: func(s *card.ApplicationState) { cvmLimit(2000)(s); foreignUsed(0, 1)(s) }, step: "6", cid: emv.TC, reason: card.ReasonForeignSpent},
	// 3: the reader, or the currency, needs the issuer.
	{name: "online required", processing: "L", ttq: shopOnline, amount: 100, step: "3", cid: emv.ARQC, reason: card.ReasonReaderWantsOnline},
	{name: "online required with signature", processing: "Ls", ttq: ttq(0x22, 0xC0, 0, 0x80), amount: 100, step: "3", cid: emv.ARQC, ctq: signCTQ, reason: card.ReasonReaderWantsOnline},
	{name: "foreign goes online", processing: "L", ttq: shop, amount: 100, currency: dollar, step: "3", cid: emv.ARQC, reason: card.ReasonForeignOnline},
	{name: "foreign at a gate asks for the issuer too", processing: "L", ttq: gate, amount: 100, currency: dollar, step: "3", cid: emv.ARQC, reason: card.ReasonForeignOnline},
	// 4 and 5: a new card, a blocked PIN.
	{name: "new card goes online", processing: "LN", ttq: shop, amount: 100, state: newCard, step: "4", cid: emv.ARQC, cvr: []emv.CVRBit{emv.CVRNewCard}, reason: card.ReasonNewCard},
	{name: "used card stays offline", processing: "LN", ttq: shop, amount: 100, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	{name: "PIN blocked goes online", processing: "LP", ttq: shop, amount: 100, state: pinBlocked, step: "5", cid: emv.ARQC, cvr: []emv.CVRBit{emv.CVRPINLimitExceeded}, reason: card.ReasonPINBlocked},
	{name: "new card comes before PIN blocked", processing: "LNP", ttq: shop, amount: 100, state: func(s *card.ApplicationState) { newCard(s); pinBlocked(s) }, step: "4", cid: emv.ARQC, cvr: []emv.CVRBit{emv.CVRNewCard}, reason: card.ReasonNewCard},
	// 6: low value.
	{name: "gate takes all there is", processing: "L", ttq: gate, amount: 8750, step: "6", cid: emv.TC, spent: 8750, reason: card.ReasonSpent},
	{name: "gate above the balance", processing: "L", ttq: gate, amount: 8751, step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverBalance},
	{name: "gate above the single limit", processing: "L", ttq: gate, amount: 501, state: singleLimit(500), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverSingleLimit},
	{name: "gate at the single limit", processing: "L", ttq: gate, amount: 500, state: singleLimit(500), step: "6", cid: emv.TC, spent: 500, reason: card.ReasonSpent},
	{name: "gate, nothing to pay", processing: "L", ttq: gate, amount: 0, step: "6", cid: emv.TC, reason: card.ReasonSpent},
	{name: "shop leaves the threshold", processing: "L", ttq: shop, amount: 7750, step: "6", cid: emv.TC, spent: 7750, reason: card.ReasonSpent},
	{name: "shop below the threshold", processing: "L", ttq: shop, amount: 7751, step: "6", cid: emv.ARQC, reason: card.ReasonBelowThreshold},
	{name: "shop above the balance", processing: "L", ttq: shop, amount: 8751, step: "6", cid: emv.ARQC, reason: card.ReasonOverBalance},
	{name: "shop above the single limit", processing: "L", ttq: shop, amount: 501, state: singleLimit(500), step: "6", cid: emv.ARQC, reason: card.ReasonOverSingleLimit},
	{name: "largest amount", processing: "L", ttq: gate, amount: card.MaxMinor, state: cvmLimit(card.MaxMinor), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverSingleLimit},
	// 6: low value AND cumulative total.
	{name: "and: both pass", processing: "A", ttq: shop, amount: 500, state: cumulative(500, 1000, 1500), step: "6", cid: emv.TC, spent: 500, reason: card.ReasonSpent},
	{name: "and: total too high", processing: "A", ttq: shop, amount: 501, state: cumulative(500, 1000, 1500), step: "6", cid: emv.ARQC, reason: card.ReasonOverCumulative},
	{name: "and: a gate has the upper limit", processing: "A", ttq: gate, amount: 1000, state: cumulative(500, 1000, 1500), step: "6", cid: emv.TC, spent: 1000, reason: card.ReasonSpent},
	{name: "and: above the upper limit", processing: "A", ttq: gate, amount: 1001, state: cumulative(500, 1000, 1500), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverCumulative},
	{name: "and: purse too small", processing: "A", ttq: gate, amount: 9000, state: cumulative(0, 10000, 10000), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverBalance},
	// 6: low value OR cumulative total.
	{name: "or: the purse pays first", processing: "O", ttq: gate, amount: 500, state: cumulative(0, 1000, 1000), step: "6", cid: emv.TC, spent: 500, reason: card.ReasonSpent},
	{name: "or: the total pays", processing: "O", ttq: gate, amount: 9000, state: cumulative(0, 10000, 10000), step: "6", cid: emv.TC, reason: card.ReasonSpent},
	{name: "or: neither", processing: "O", ttq: gate, amount: 9000, state: cumulative(0, 8000, 8000), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonOverBalance},
	{name: "or: neither, shop", processing: "O", ttq: shop, amount: 9000, state: cumulative(0, 8000, 8000), step: "6", cid: emv.ARQC, reason: card.ReasonOverBalance},
	// 6: no funds of its own.
	{name: "no offline funds, gate", processing: "", ttq: gate, amount: 100, step: "6", cid: emv.AAC, reason: card.ReasonNoOfflineFunds},
	{name: "no offline funds, shop", processing: "", ttq: shop, amount: 100, step: "6", cid: emv.ARQC, reason: card.ReasonNoOfflineFunds},
	// 6: another currency.
	{name: "foreign offline", processing: "Lm", ttq: gate, amount: 100, currency: dollar, state: foreignUsed(1, 2), step: "6", cid: emv.TC, reason: card.ReasonForeignSpent},
	{name: "foreign offline once too often, gate", processing: "Lm", ttq: gate, amount: 100, currency: dollar, state: foreignUsed(2, 2), step: "6", cid: emv.AAC, cvr: []emv.CVRBit{emv.CVRVelocityExceeded}, reason: card.ReasonForeignCount},
	{name: "foreign offline once too often, shop", processing: "Lm", ttq: shop, amount: 100, currency: dollar, state: foreignUsed(2, 2), step: "6", cid: emv.ARQC, reason: card.ReasonForeignCount},
	{name: "foreign offline never allowed", processing: "Lm", ttq: shop, amount: 100, currency: dollar, step: "6", cid: emv.ARQC, reason: card.ReasonForeignCount},
	// 7: before going online.
	{name: "prefers contact", processing: "LC", ttq: shopOnlineC, amount: 100, step: "7", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonPreferContact},
	{name: "prefers contact, reader has none", processing: "LC", ttq: shopOnline, amount: 100, step: "3", cid: emv.ARQC, reason: card.ReasonReaderWantsOnline},
	{name: "prefers contact does not touch approvals", processing: "LC", ttq: shopContact, amount: 100, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	{name: "prefers contact, PIN", processing: "LCi", ttq: ttq(0x36, 0x40, 0, 0x80), amount: 100, step: "7", sw: apdu.ConditionsNotSatisfied, reason: card.ReasonPreferContact},
	{name: "pre-pay", processing: "LY", ttq: shopOnline, amount: 100, step: "3", cid: emv.ARQC, spent: 100, reason: card.ReasonReaderWantsOnline},
	{name: "pre-pay everything", processing: "LY", ttq: shopOnline, amount: 8750, step: "3", cid: emv.ARQC, spent: 8750, reason: card.ReasonReaderWantsOnline},
	{name: "pre-pay too much", processing: "LY", ttq: shopOnline, amount: 8751, step: "7", cid: emv.AAC, reason: card.ReasonPrepayFunds},
	{name: "pre-pay nothing", processing: "LY", ttq: shopOnline, amount: 0, step: "7", cid: emv.AAC, reason: card.ReasonPrepayFunds},
	{name: "pre-pay does not touch approvals twice", processing: "LY", ttq: shop, amount: 100, step: "6", cid: emv.TC, spent: 100, reason: card.ReasonSpent},
	{name: "pre-pay leaves another currency alone", processing: "LY", ttq: shop, amount: 100, currency: dollar, step: "3", cid: emv.ARQC, reason: card.ReasonForeignOnline},
}

// TestDecisionTree runs [REF 2.2] row by row through the real commands.
func TestDecisionTree(t *testing.T) {
	for _, row := range decisionRows {
		t.Run(row.name, func(t *testing.T) { runDecision(t, row) })
	}
}

func runDecision(t *testing.T, row profileRow) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		a := &image.Applications[0]
		a.Processing = emv.AdditionalProcessing{}
		a.AIP = emv.AIP{0x5C, 0} // the signature has tests of its own
		for _, letter := range row.processing {
			a.Processing.Set(processingBits[letter])
		}
		if row.state != nil {
			row.state(&image.State.Applications[0])
		}
		if row.profile != nil {
			row.profile(a)
		}
	}})
	before := c.State().Applications[0]
	r := present(t, c, issued)
	s := sale{ttq: row.ttq, amount: row.amount, currency: row.currency}
	if row.sw != 0 {
		r.selectApplication()
		r.send(r.gpo(s), row.sw)
	} else {
		gpo := r.pay(s)
		checkAnswer(t, r, issued, gpo, s, row)
	}
	if d, ok := c.LastDecision(); !ok || d.Reason != row.reason || d.Step != row.step {
		t.Errorf("decided %q at step %q, want %q at %q", d.Reason, d.Step, row.reason, row.step)
	}
	after := c.State().Applications[0]
	if row.cid == emv.TC && row.sw == 0 {
		if after.Purses != before.Purses {
			t.Error("money moved before the last record")
		}
		r.send(last(), apdu.OK)
		after = c.State().Applications[0]
	}
	if got := before.Purses[0].Balance - after.Purses[0].Balance; got != row.spent {
		t.Errorf("spent %d, want %d", got, row.spent)
	}
	if after.ATC != before.ATC+1 {
		t.Errorf("counter went from %d to %d", before.ATC, after.ATC)
	}
}

func checkAnswer(t *testing.T, r *reader, issued *cardtest.Issued, gpo emv.Data, s sale, row profileRow) {
	t.Helper()
	iad := r.iad(gpo)
	if iad.CryptogramType() != row.cid {
		t.Fatalf("answered %v, want %v", iad.CryptogramType(), row.cid)
	}
	want := emv.NewCVR()
	want.SetFirst(row.cid)
	for _, bit := range row.cvr {
		want.Set(bit)
	}
	if iad.CVR != want {
		t.Errorf("CVR %v, want %v", iad.CVR, want)
	}
	if got := emv.CTQ(gpo.Get(emv.TagCTQ)); got != row.ctq {
		t.Errorf("CTQ %v, want %v", got, row.ctq)
	}
	if !cryptogramOK(t, issued, gpo, s) {
		t.Error("issuer does not accept the cryptogram")
	}
}

// Effects on the other counters of the card.
func TestDecisionCounters(t *testing.T) {
	pay := func(processing emv.AdditionalProcessing, s sale, state func(*card.ApplicationState)) card.ApplicationState {
		c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
			image.Applications[0].Processing = processing
			state(&image.State.Applications[0])
		}})
		r := present(t, c, issued)
		r.pay(s)
		r.send(last(), apdu.OK)
		return c.State().Applications[0]
	}
	if s := pay(emv.AdditionalProcessing{0x40}, sale{ttq: gate, amount: 500}, cumulative(500, 1000, 1500)); s.Cumulative != 1000 || s.Purses[0].Balance != 8250 {
		t.Errorf("and: cumulative %d, balance %d", s.Cumulative, s.Purses[0].Balance)
	}
	if s := pay(emv.AdditionalProcessing{0x20}, sale{ttq: gate, amount: 500}, cumulative(500, 1000, 1500)); s.Cumulative != 500 || s.Purses[0].Balance != 8250 {
		t.Errorf("or, purse: cumulative %d, balance %d", s.Cumulative, s.Purses[0].Balance)
	}
	if s := pay(emv.AdditionalProcessing{0x20}, sale{ttq: gate, amount: 9000}, cumulative(0, 9000, 9000)); s.Cumulative != 9000 || s.Purses[0].Balance != 8750 {
		t.Errorf("or, total: cumulative %d, balance %d", s.Cumulative, s.Purses[0].Balance)
	}
	if s := pay(emv.AdditionalProcessing{0x84}, sale{ttq: gate, amount: 100, currency: dollar}, foreignUsed(254, 255)); s.InternationalCount != 255 || s.Purses[0].Balance != 8750 {
		t.Errorf("foreign: count %d, balance %d", s.InternationalCount, s.Purses[0].Balance)
	}
}

// A second currency is a currency of the card, with limits of its own.
func TestSecondCurrency(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		image.Applications[0].SecondCurrency = money.MOP
		image.State.Applications[0].Purses[1] = card.Purse{Balance: 3000, BalanceLimit: 50000, SingleLimit: 40000, ResetThreshold: 0, CVMLimit: 30000}
	}})
	r := present(t, c, issued)
	gpo := r.pay(sale{ttq: gate, amount: 1200, currency: 0x0446})
	if balance, ok := r.iad(gpo).Balance(); !ok || balance != 1800 {
		t.Errorf("IAD tells %d, %v", balance, ok)
	}
	r.send(last(), apdu.OK)
	for tag, want := range map[uint32]int64{
		0x9F79: 1800, 0x9F77: 50000, 0x9F78: 40000, 0x9F6B: 30000, 0x9F6D: 0,
		0xDF79: 1800, 0xDF77: 50000, 0xDF78: 40000, 0xDF72: 30000, 0xDF76: 0, 0xDF71: 446, 0x9F5D: 1800,
	} {
		if got := r.amount(tlv.Tag(tag)); got != want {
			t.Errorf("%X: %d, want %d", tag, got, want)
		}
	}
	r.selectApplication()
	if got := r.amount(emv.TagECBalance); got != 8750 {
		t.Errorf("first purse holds %d", got)
	}
}

// A counter at its end never pays again, and says so in every later tap.
func TestCounterExhausted(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) { image.State.Applications[0].ATC = 0xFFFD }})
	r := present(t, c, issued)
	r.pay(sale{ttq: gate, amount: 100})
	r.send(last(), apdu.OK)
	for range 3 {
		r.field.Present()
		r.selectApplication()
		r.send(r.gpo(sale{ttq: gate, amount: 100}), apdu.ConditionsNotSatisfied)
		if got := c.State().Applications[0].ATC; got != 0xFFFF {
			t.Fatalf("counter is %X", got)
		}
	}
	if d, _ := c.LastDecision(); d.Reason != card.ReasonCounterExhausted {
		t.Errorf("reason: %v", d.Reason)
	}
}

func TestReasonsHaveBothLanguages(t *testing.T) {
	for r := card.ReasonNone; r <= card.ReasonForeignSpent; r++ {
		if term := r.Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("reason %d: %+v", r, term)
		}
	}
	if fmt.Sprint(card.Reason(200)) == "" {
		t.Error("an unknown reason prints nothing")
	}
}
