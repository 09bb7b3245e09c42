package issuer_test

import (
	"testing"

	"pgregory.net/rapid"

	"tapnet/internal/issuer"
	"tapnet/iso8583/unionpay"
)

// dualLife is a card with two purses, whose messages get lost.
type dualLife struct {
	*chipBank
	t       *rapid.T
	uploads []*unionpay.FinancialRequest
	loads   []*unionpay.FinancialRequest
	told    map[*unionpay.FinancialRequest][]byte
}

func (l *dualLife) load() {
	l.chip.abroad = rapid.Bool().Draw(l.t, "abroad")
	m := l.loadFor(rapid.Int64Range(1, 9_000).Draw(l.t, "load"), rightPIN)
	answer := l.Answer(theSwitch, m).Message.(*unionpay.FinancialResponse)
	l.loads = append(l.loads, m)
	switch fate := rapid.IntRange(0, 3).Draw(l.t, "fate"); {
	case fate == 0 || len(answer.ICC.Get(0x91)) == 0: // lost
	default:
		if _, results := l.chip.finish(answer, fate == 1); results != nil {
			l.told[m] = results
		}
	}
}

func (l *dualLife) pay() {
	l.chip.abroad = rapid.Bool().Draw(l.t, "abroad")
	held := l.chip.purse()
	if l.chip.abroad {
		held = l.chip.secondPurse()
	}
	if minor := rapid.Int64Range(1, 3_000).Draw(l.t, "spend"); minor <= held && !l.chip.chip.State().Applications[0].History.ScriptFailed {
		l.uploads = append(l.uploads, l.spend(minor))
	}
}

func (l *dualLife) upload(n int) {
	for ; n > 0 && len(l.uploads) > 0; n-- {
		m := l.uploads[0]
		l.uploads = l.uploads[1:]
		if got := unionpay.PaymentOf(l.Answer(theSwitch, m).Message).Response; got != "00" {
			l.t.Fatalf("an upload is answered %s: %q", got, issuer.Reason(l.LastRow().Reason).Term().EN)
		}
	}
}

func (l *dualLife) step() {
	switch rapid.IntRange(0, 7).Draw(l.t, "what") {
	case 0, 1:
		l.load()
	case 2, 3:
		l.pay()
	case 4:
		l.upload(1)
	case 5:
		if len(l.loads) > 0 {
			if m := rapid.SampledFrom(l.loads).Draw(l.t, "notice"); l.told[m] != nil {
				l.tell(m, l.told[m])
			}
		}
	case 6:
		if len(l.loads) > 0 {
			m := rapid.SampledFrom(l.loads).Draw(l.t, "reverse")
			l.Answer(theSwitch, reversalOf(m, l.told[m]))
		}
	default:
		l.restart(l, &issuer.Capacity{Cards: 1, Payments: rapid.IntRange(1, 4).Draw(l.t, "payments"), SliceRows: 1})
	}
}

// TestTwoPursesConserveMoney: whatever gets lost between loads, results, reversals and payments in two currencies: once each purse has been seen again and what it
// spent has arrived, each shadow account holds what the chip holds, and in neither currency has anything come or gone.
func TestTwoPursesConserveMoney(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newDualBank(t)
		b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
		l := &dualLife{chipBank: b, t: rt, told: map[*unionpay.FinancialRequest][]byte{}}
		for range rapid.IntRange(3, 25).Draw(rt, "steps") {
			l.step()
		}
		paid := int64(0)
		for range 2 {
			for _, l.chip.abroad = range []bool{false, true} {
				minor := int64(1)
				m := l.request(l.chip, minor, unionpay.ProcessingSale, unionpay.KindSale, l.chip.insert(minor, 0, ""))
				answer := l.Answer(theSwitch, m).Message.(*unionpay.FinancialResponse)
				if answer.Response == "00" {
					paid += minor
				}
				l.chip.finish(answer, true)
			}
			l.upload(len(l.uploads))
		}
		available, shadow := l.issuer.Second(1)
		if l.shadow() != l.chip.purse() || shadow != l.chip.secondPurse() {
			rt.Fatalf("shadows %d and %d, chip %d and %d", l.shadow(), shadow, l.chip.purse(), l.chip.secondPurse())
		}
		if c, _ := l.issuer.Card(1); c.InDoubt() != 0 {
			rt.Fatalf("%d still in doubt", c.InDoubt())
		}
		book := l.issuer.Book()
		spent := func(of, from int64, is int64) {
			if from-of != is {
				rt.Fatalf("%d paid in, %d spent, %d left", from, of, is)
			}
		}
		scheme := book.Balance(issuer.SchemeIn(344))
		spent(scheme.CreditsPosted+scheme.CreditsPending-scheme.DebitsPosted, 502_000, available+shadow)
		scheme = book.Balance(issuer.AccountScheme)
		// The other card of the bank has what it had.
		spent(scheme.CreditsPosted+scheme.CreditsPending-scheme.DebitsPosted, 1_008_750, l.issuer.Available(1)+l.shadow())
		if scheme.CreditsPending != paid {
			rt.Fatalf("%d held, want %d", scheme.CreditsPending, paid)
		}
		if err := book.Audit(); err != nil {
			rt.Fatal(err)
		}
	})
}
