package issuer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// audited gives the bank's rows to the second opinion, which finds what it must.
func (b *bank) audited(t testing.TB, rows []journal.Row, want string) {
	t.Helper()
	bank := verifytest.Bank{Name: own, Calendar: networktest.Shanghai, Rows: rows}
	if want == "" {
		bank.Balances = map[ledger.Account]ledger.Balance{}
		for line := range b.issuer.Book().Lines() {
			bank.Balances[line.Account] = line.Balance
		}
	}
	findings, err := bank.Audit(b.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if want == "" || !strings.Contains(f, want) {
			t.Errorf("finding %q, want %q", f, want)
		}
	}
	if want != "" && len(findings) == 0 {
		t.Errorf("nothing was found, want %q", want)
	}
}

// TestFaresOnOneProofAreAddedUp: an operator that asks again and again on one tap gets three whole bills and no more, whichever of the requests it names;
// what it gives back it may ask for again.
func TestFaresOnOneProofAreAddedUp(t *testing.T) {
	for _, small := range []bool{false, true} {
		b := newBank(t)
		step := func(m unionpay.Message, want issuer.Reason) {
			t.Helper()
			b.says(m, want)
			if small {
				b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
			}
		}
		first := b.rides(0, 5_000, unionpay.TransitFares)
		step(first, issuer.Approved)
		second := b.again(first, 5_000, unionpay.TransitFares)
		step(second, issuer.Approved)
		step(b.again(first, 4_000, unionpay.TransitDebt), issuer.Approved)
		step(b.again(first, 1_001, unionpay.TransitDebt), issuer.ProofExhausted)
		step(b.again(second, 1_001, unionpay.TransitFares), issuer.ProofExhausted) // a chain rests on the same tap
		last := b.again(second, 1_000, unionpay.TransitFares)
		step(last, issuer.Approved)
		step(b.again(last, 1, unionpay.TransitFares), issuer.ProofExhausted)
		step(networktest.ReversalAtSwitch(second), issuer.ReversalDone)
		step(b.after(first, unionpay.KindRefund, 1_000), issuer.SaleRefunded)
		step(b.again(second, 5_000, unionpay.TransitFares), issuer.Approved) // reversed, and proves as before
		step(b.again(last, 1_001, unionpay.TransitFares), issuer.ProofExhausted)
		void := b.after(last, unionpay.KindVoid, 1_000)
		step(void, issuer.VoidDone)
		step(b.again(last, 1_001, unionpay.TransitFares), issuer.Approved)
		step(b.again(last, 1_000, unionpay.TransitFares), issuer.ProofExhausted)
		step(b.again(last, 999, unionpay.TransitFares), issuer.Approved)
		step(networktest.ReversalAtSwitch(void), issuer.ReversalDone) // the bound was kept when it was asked: what stands again stands
		step(b.again(first, 1, unionpay.TransitFares), issuer.ProofExhausted)
		b.audited(t, b.Rows(), "")
		step(b.rides(0, 5_000, unionpay.TransitFares), issuer.Approved) // another tap is another proof
	}
}

// TestAProofAgesWithItsTap, not with the last request that named it.
func TestAProofAgesWithItsTap(t *testing.T) {
	b := newBank(t)
	first := b.rides(0, 100, unionpay.TransitFares)
	b.says(first, issuer.Approved)
	chain := first
	for range 4 {
		b.Clock.Advance(9 * 24 * time.Hour)
		next := b.again(chain, 100, unionpay.TransitDebt)
		next.SettlementDate = b.today()
		next.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: unionpay.TransitDebt, Ridden: networktest.Shanghai.BusinessDate(b.Clock.Now())})
		want := issuer.Approved
		if networktest.Shanghai.BusinessDate(b.Clock.Now()) > 20261221 {
			want = issuer.ChipDataMissing
		}
		b.says(next, want)
		if want == issuer.Approved {
			chain = next
		}
	}
	b.audited(t, b.Rows(), "")
}

// TestOnlySoManyRestOnAProof: the number is bounded as well, whatever was given back.
func TestOnlySoManyRestOnAProof(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
	first := b.rides(0, 1, unionpay.TransitFares)
	b.says(first, issuer.Approved)
	for range 32 {
		m := b.again(first, 1, unionpay.TransitFares)
		b.says(m, issuer.Approved)
		b.says(networktest.ReversalAtSwitch(m), issuer.ReversalDone)
	}
	b.says(b.again(first, 1, unionpay.TransitFares), issuer.ProofExhausted)
	b.audited(t, b.Rows(), "")
}

// TestAPlantedApprovalOnAProofIsFound: somebody with the journal in hand turns the refusal into an approval, or takes away what says that a payment rests on
// the proof.
func TestAPlantedApprovalOnAProofIsFound(t *testing.T) {
	life := func() (*bank, []journal.Row) {
		b := newBank(t)
		first := b.rides(0, 5_000, unionpay.TransitFares)
		b.says(first, issuer.Approved)
		for range 2 {
			b.says(b.again(first, 5_000, unionpay.TransitFares), issuer.Approved)
		}
		b.says(b.again(first, 700, unionpay.TransitFares), issuer.ProofExhausted)
		return b, b.Rows()
	}
	b, rows := life()
	at := len(rows) - 1
	approved := rows[at-2] // with the mark behind it
	rows[at].Kind, rows[at].Reason, rows[at].Debit, rows[at].Credit, rows[at].Phase = approved.Kind, 0, approved.Debit, approved.Credit, approved.Phase
	rows[at].Answer = fmt.Appendf(nil, "%06d", rows[at].Seq)
	mark := rows[at-1]
	mark.Seq, mark.Key, mark.Payment, mark.Linked = rows[at].Seq+1, strings.TrimSuffix(mark.Key, "2")+"3", rows[at].Key, rows[at].Seq
	b.audited(t, append(rows, mark), "limit: found 15700, expected at most 15000 on one cryptogram")
	b, rows = life()
	rows[len(rows)-1].Reason = uint16(issuer.NotEnoughMoney) // another reason than there was
	b.audited(t, rows, "reason: found 66, expected 72")
	b, rows = life()
	last := &rows[len(rows)-3]
	last.Note = append(last.Note[:2:2], "nobody's key"...)
	b.audited(t, rows[:len(rows)-2], "note: found")
	b, rows = life()
	rows[len(rows)-2].Key = strings.TrimSuffix(rows[len(rows)-2].Key, "2") + "7"
	b.audited(t, rows[:len(rows)-1], "key: found")
}

// TestProofsOfARandomLife: taps, requests that name any earlier one, reversals, voids, refunds and restarts in any order. Never does more stand on one proof
// than may when a payment is approved, and nothing is refused for the bound that is within it.
func TestProofsOfARandomLife(t *testing.T) {
	const bound = 15_000
	rapid.Check(t, func(rt *rapid.T) {
		b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
		type asked struct {
			m     *unionpay.FinancialRequest
			proof int
			minor int64 // that stands
		}
		var all []*asked
		resting := func(proof int) (sum int64, n int) {
			for i, a := range all {
				if a.proof == proof {
					sum += a.minor
					if i != proof {
						n++
					}
				}
			}
			return sum, n
		}
		drawn := func(what string) *asked { return rapid.SampledFrom(all).Draw(rt, what) }
		sent := func(m unionpay.Message) unionpay.ResponseCode {
			return unionpay.PaymentOf(b.Answer(theSwitch, m).Message).Response
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			minor := rapid.Int64Range(1, 5_000).Draw(rt, "minor")
			what := rapid.IntRange(0, 9).Draw(rt, "what")
			switch {
			case what == 0 || len(all) == 0:
				m := b.rides(0, minor, unionpay.TransitFares)
				if got := sent(m); got != unionpay.Approved {
					rt.Fatalf("a tap of its own: %s", got)
				}
				all = append(all, &asked{m: m, proof: len(all), minor: minor})
			case what < 6:
				of := drawn("named")
				m := b.again(of.m, minor, unionpay.TransitDebt)
				sum, n := resting(of.proof)
				want := issuer.Approved
				if sum+minor > bound || n == 32 {
					want = issuer.ProofExhausted
				}
				if got := sent(m); got != want.ResponseCode() {
					rt.Fatalf("%d stand on the proof, %d more: %s, want %s", sum, minor, got, want)
				}
				if want == issuer.Approved {
					all = append(all, &asked{m: m, proof: of.proof, minor: minor})
				}
			case what == 6:
				of := drawn("reversed")
				sent(networktest.ReversalAtSwitch(of.m))
				of.minor = 0
			case what == 7:
				of := drawn("voided")
				if sent(b.after(of.m, unionpay.KindVoid, of.m.Amount.Minor())).Approved() {
					of.minor = 0
				}
			case what == 8:
				of := drawn("refunded")
				if sent(b.after(of.m, unionpay.KindRefund, minor)).Approved() {
					of.minor -= minor
				}
			default:
				b.restart(t, &issuer.Capacity{Cards: 1, Payments: rapid.IntRange(1, 9).Draw(rt, "payments"), SliceRows: 1})
			}
			b.audit()
		}
		if rapid.IntRange(0, 9).Draw(rt, "audited") == 0 {
			b.audited(t, b.Rows(), "")
		}
	})
}

func TestTransitPoliciesAreChecked(t *testing.T) {
	for name, change := range map[string]func(*issuer.TransitPolicy){
		"no category digits":        func(p *issuer.TransitPolicy) { p.Categories = []string{"41x1"} },
		"too many categories":       func(p *issuer.TransitPolicy) { p.Categories = make([]string, 17) },
		"a nominal amount too high": func(p *issuer.TransitPolicy) { p.NominalMinor = p.CumulativeMinor + 1 },
		"one request above all":     func(p *issuer.TransitPolicy) { p.ProofMinor = p.CumulativeMinor - 1 },
		"no amount":                 func(p *issuer.TransitPolicy) { p.CumulativeMinor, p.NominalMinor = 0, 0 },
		"all too high":              func(p *issuer.TransitPolicy) { p.ProofMinor = 100_001 },
		"no days":                   func(p *issuer.TransitPolicy) { p.GatherDays = 0 },
		"recovery before gathering": func(p *issuer.TransitPolicy) { p.RecoverDays = p.GatherDays - 1 },
		"too many days":             func(p *issuer.TransitPolicy) { p.RecoverDays = 93 },
	} {
		p := issuer.DefaultTransit()
		change(&p)
		if err := p.Check(); !errors.Is(err, issuer.ErrTransit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := issuer.DefaultTransit()
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

// TestReversedAfterItsVoid: a reversal of a payment that was voided is an acquirer's mistake, and his loss; the bank starts again all the same.
func TestReversedAfterItsVoid(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{} })
	b.Answer(theSwitch, b.rides(0, 100, unionpay.TransitFares))
	m := b.rides(0, 200, unionpay.TransitFares)
	b.Answer(theSwitch, m)
	for _, next := range []unionpay.Message{b.after(m, unionpay.KindVoid, 200), networktest.ReversalAtSwitch(m)} {
		if got := unionpay.PaymentOf(b.Answer(theSwitch, next).Message).Response; got != unionpay.Approved {
			t.Errorf("%T: %s", next, got)
		}
	}
	b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
	b.audited(t, b.Rows(), "")
}
