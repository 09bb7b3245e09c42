package issuer_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// pinLife is a card whose PIN is changed again and again, by messages that get lost.
type pinLife struct {
	*chipBank
	t       *rapid.T
	pins    []string
	told    map[*unionpay.FinancialRequest][]byte // results that nobody has reported yet
	waiting []*unionpay.FinancialRequest
	changes []*unionpay.FinancialRequest
}

func (l *pinLife) chipPIN() string {
	for _, pin := range l.pins {
		if stored(l, pin) == l.onChip() {
			return pin
		}
	}
	l.t.Fatal("the chip has a PIN that nobody chose")
	return ""
}

// follow lets the card follow the answer, or lose it on the way.
func (l *pinLife) follow(m *unionpay.FinancialRequest) {
	answer := l.Answer(theSwitch, m).Message.(*unionpay.FinancialResponse)
	switch fate := rapid.IntRange(0, 4).Draw(l.t, "fate"); fate {
	case 0: // the answer is lost
	case 1, 2, 3:
		if answer.Response != unionpay.Approved && len(answer.ICC.Get(0x91)) == 0 {
			return
		}
		if _, results := l.chip.finish(answer, fate == 1); results != nil {
			l.told[m] = results
			l.waiting = append(l.waiting, m)
		}
	default: // nobody asked: the request was lost, and the bank hears of it when it is reversed
		l.Answer(theSwitch, reversalOf(m, nil))
	}
}

func (l *pinLife) step() {
	pin := rapid.SampledFrom(l.pins).Draw(l.t, "PIN")
	switch rapid.IntRange(0, 8).Draw(l.t, "what") {
	case 0, 1:
		next := fmt.Sprintf("%06d", 100_000+len(l.pins))
		l.pins = append(l.pins, next)
		m := l.changePIN(pin, next)
		l.changes = append(l.changes, m)
		l.follow(m)
	case 2:
		l.follow(l.changePIN(pin, ""))
	case 3:
		l.follow(l.loadFor(rapid.Int64Range(1, 2_000).Draw(l.t, "load"), pin))
	case 4:
		l.follow(l.sale(100, ""))
	case 5:
		if l.chip.purse() >= 10 {
			l.Answer(theSwitch, l.tapOffline(10))
		}
	case 6:
		if len(l.waiting) > 0 {
			at := rapid.IntRange(0, len(l.waiting)-1).Draw(l.t, "notice")
			l.tell(l.waiting[at], l.told[l.waiting[at]])
		}
	case 7:
		if len(l.changes) > 0 {
			m := rapid.SampledFrom(l.changes).Draw(l.t, "reverse")
			l.Answer(theSwitch, reversalOf(m, l.told[m]))
		}
	default:
		l.restart(l, &issuer.Capacity{Cards: 1, Payments: rapid.IntRange(1, 4).Draw(l.t, "payments"), SliceRows: 1})
	}
	tries := 3
	l.alter(issuer.Change{Card: 1, PINTries: &tries})
}

// TestTheAccountsPINIsTheChips: whatever gets lost between changes of the PIN, their results, reversals and payments, and wherever the bank is restarted: once the
// card has been inserted again, the account has the PIN that is on the chip.
func TestTheAccountsPINIsTheChips(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newChipBank(t, cryptogram.SuiteTDES, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
		other := newChip(t, "6299990000000002", cryptogram.SuiteTDES, 0)
		b.enrolChip(other, 2, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
		l := &pinLife{chipBank: b, t: rt, pins: []string{rightPIN, "100000"}, told: map[*unionpay.FinancialRequest][]byte{}}
		m := b.changePIN(rightPIN, "100000") // so that both begin with the same
		_, results := b.chip.finish(b.answer(m, issuer.PINChangeSent), false)
		b.tell(m, results)
		for range rapid.IntRange(3, 25).Draw(rt, "steps") {
			l.step()
			l.Answer(theSwitch, l.request(other, 100, unionpay.ProcessingSale, unionpay.KindSale, other.insert(100, 0, ""))) // takes the card's place in memory
		}
		pay := l.sale(100, "")
		pay.PINBlock = networktest.EncipherPIN(l, l.hsm, theSwitch, l.chipPIN(), pay.PAN)
		pay.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
		if got := unionpay.PaymentOf(l.Answer(theSwitch, pay).Message).Response; got != unionpay.Approved {
			rt.Fatalf("the chip's PIN is answered %s: %q", got, issuer.Reason(l.LastRow().Reason).Term().EN)
		}
	})
}
