package issuer_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// scene is two banks with the same cards: one remembers everything, one next to nothing and is restarted now and then. Whatever is asked of one is asked of
// the other, and both must say the same.
type scene struct {
	*chipBank
	t       *rapid.T
	small   *issuer.Issuer
	rig     *networktest.Rig
	limit   issuer.Capacity
	chips   []*chipCard
	uploads []*unionpay.FinancialRequest // of payments made offline, not yet delivered
	asked   []unionpay.Message
	loads   []*unionpay.FinancialRequest
	results map[*unionpay.FinancialRequest][]byte // what the card said about scripts, not yet told
	waiting []*unionpay.FinancialRequest          // keys of results, in order
	paid    int64                                 // approved online, held
}

func newScene(t *testing.T, rt *rapid.T) *scene {
	s := &scene{chipBank: newChipBank(t, cryptogram.SuiteTDES), t: rt, results: map[*unionpay.FinancialRequest][]byte{}, limit: issuer.Capacity{
		Cards: rapid.IntRange(1, 3).Draw(rt, "cards"), Payments: rapid.IntRange(1, 8).Draw(rt, "payments"), SliceRows: rapid.IntRange(1, 6).Draw(rt, "slice"),
	}}
	s.chips = []*chipCard{s.chip}
	for id, suite := range []cryptogram.Suite{cryptogram.SuiteSM4, cryptogram.SuiteAES} {
		c := newChip(t, fmt.Sprintf("62999910000001%d", id), suite, 20_000)
		s.enrolChip(c, int64(id+2))
		s.chips = append(s.chips, c)
	}
	s.small = newBounded(t, s.hsm, s.limit)
	s.rig = networktest.NewRig(t, s.small, journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
	for _, row := range s.Rows() {
		if row.Kind == journal.Opened {
			s.rig.Command(issuer.Enrol{Enrolment: enrolmentOf(rt, row.Note)})
		}
	}
	return s
}

func (s *scene) ask(m unionpay.Message) unionpay.Message {
	want, got := s.Answer(theSwitch, m), s.rig.Answer(theSwitch, m)
	if !bytes.Equal(got.Bytes, want.Bytes) {
		s.t.Fatalf("answer %s, want %s", unionpay.PaymentOf(got.Message).Response, unionpay.PaymentOf(want.Message).Response)
	}
	for _, book := range []*issuer.Issuer{s.issuer, s.small} {
		if err := book.Book().Audit(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.asked = append(s.asked, m)
	return want.Message
}

func (s *scene) command(c any) {
	if x, y := s.Command(c), s.rig.Command(c); fmt.Sprint(x) != fmt.Sprint(y) {
		s.t.Fatalf("command %T: %v and %v", c, x, y)
	}
}

// complete lets the card follow the answer, or not hear it, or lose it on the way.
func (s *scene) complete(c *chipCard, m *unionpay.FinancialRequest, answer *unionpay.FinancialResponse) {
	switch rapid.IntRange(0, 4).Draw(s.t, "fate") {
	case 0: // the answer is lost
	case 1:
		c.finish(answer, true)
	default:
		if _, results := c.finish(answer, false); results != nil {
			s.results[m] = results
			s.waiting = append(s.waiting, m)
		}
	}
}

func (s *scene) loadStep(c *chipCard) {
	minor := rapid.Int64Range(1, 30_000).Draw(s.t, "load")
	var m *unionpay.FinancialRequest
	switch rapid.IntRange(0, 3).Draw(s.t, "operation") {
	case 0:
		m = s.request(c, minor, unionpay.ProcessingLoadCash, unionpay.KindLoadCash, c.insert(minor, 0x63, ""))
	case 1:
		payer := rapid.SampledFrom(s.chips).Draw(s.t, "payer")
		m = s.request(c, minor, unionpay.ProcessingLoadOther, unionpay.KindLoadOther, c.insert(minor, 0x62, ""))
		m.PAN, m.Track2, m.Additional = payer.PAN, payer.Image.Applications[0].Track2, unionpay.NewLoadTarget(c.PAN)
		s.withPINByContact(m)
	case 2:
		if len(s.loads) > 0 {
			original := rapid.SampledFrom(s.loads).Draw(s.t, "void")
			minor = original.Amount.Minor()
			m = s.request(c, minor, unionpay.ProcessingLoadCashCancel, unionpay.KindLoadCashCancel, c.insert(minor, 0x17, ""))
			m.Original = unionpay.OriginalOf(original)
			break
		}
		fallthrough
	default:
		m = s.request(c, minor, unionpay.ProcessingLoad, unionpay.KindLoad, c.insert(minor, 0x60, ""))
		s.withPINByContact(m)
	}
	answer := s.ask(m).(*unionpay.FinancialResponse)
	s.loads = append(s.loads, m)
	s.complete(c, m, answer)
}

func (s *scene) saleStep(c *chipCard, finish bool) {
	minor := rapid.Int64Range(1, 900).Draw(s.t, "sale")
	m := s.request(c, minor, unionpay.ProcessingSale, unionpay.KindSale, c.insert(minor, 0, ""))
	answer := s.ask(m).(*unionpay.FinancialResponse)
	if answer.Response != "00" {
		s.t.Fatalf("a sale is answered %s", answer.Response)
	}
	s.paid += minor
	if finish {
		c.finish(answer, true)
		return
	}
	s.complete(c, m, answer)
}

func (s *scene) step(c *chipCard) {
	switch rapid.IntRange(0, 11).Draw(s.t, "what") {
	case 0, 1, 2:
		s.loadStep(c)
	case 3:
		s.saleStep(c, false)
	case 4, 5:
		if minor := rapid.Int64Range(1, 5_000).Draw(s.t, "spend"); minor <= c.purse() {
			s.stan++
			m := networktest.Adopt(s, c.Issued, c.chip).PayOffline(s.stan, minor)
			s.uploads = append(s.uploads, networktest.AtSwitch(m, acquirer, s.today()))
		}
	case 6:
		s.upload(1)
	case 7, 8:
		if len(s.waiting) > 0 {
			m := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.ask(s.notice(m, s.results[m]))
		}
	case 9:
		if len(s.loads) > 0 { // true or not: the chip has the last word
			m := rapid.SampledFrom(s.loads).Draw(s.t, "reverse")
			s.ask(reversalOf(m, s.results[m]))
		}
	case 10:
		if len(s.asked) > 0 {
			s.ask(rapid.SampledFrom(s.asked).Draw(s.t, "repeat"))
		}
	default:
		s.small = newBounded(s, s.hsm, s.limit)
		s.rig = s.rig.Restart(s.small)
	}
}

func (s *scene) upload(n int) {
	for ; n > 0 && len(s.uploads) > 0; n-- {
		at := rapid.IntRange(0, len(s.uploads)-1).Draw(s.t, "upload")
		m := s.uploads[at]
		s.uploads = append(s.uploads[:at:at], s.uploads[at+1:]...)
		if answer := unionpay.PaymentOf(s.ask(m)); answer.Response != "00" {
			s.t.Fatalf("an upload is answered %s", answer.Response)
		}
	}
}

// TestLoadsConserveMoney: whatever gets lost between loads, confirmations, reversals and payments, once each card has been seen again and everything it spent
// has arrived, the shadow account holds what the chip holds, and nothing has come or gone.
func TestLoadsConserveMoney(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newScene(t, rt)
		s.command(issuer.Alter{Change: issuer.Change{Card: 2, AutoLoad: &issuer.AutoLoad{ThresholdMinor: 15_000, AmountMinor: 10_000}}})
		for range rapid.IntRange(5, 30).Draw(rt, "steps") {
			s.step(rapid.SampledFrom(s.chips).Draw(rt, "card"))
		}
		s.command(issuer.Alter{Change: issuer.Change{Card: 2, AutoLoad: &issuer.AutoLoad{}}})
		for _, c := range s.chips {
			s.saleStep(c, true)
		}
		s.upload(len(s.uploads))
		for _, c := range s.chips { // what a missing payment left open is told now
			s.saleStep(c, true)
		}
		sameJournals(rt, s.Rows(), s.rig.Rows())
		total := int64(0)
		for at, c := range s.chips {
			id := int64(at + 1)
			if s.issuer.Shadow(id) != c.purse() || s.small.Shadow(id) != c.purse() {
				rt.Fatalf("card %d: shadow %d and %d, chip %d", id, s.issuer.Shadow(id), s.small.Shadow(id), c.purse())
			}
			if x, _ := s.issuer.Card(id); x.InDoubt() != 0 {
				rt.Fatalf("card %d: %d still in doubt", id, x.InDoubt())
			}
			if s.issuer.Available(id) != s.small.Available(id) {
				rt.Fatalf("card %d: %d and %d available", id, s.issuer.Available(id), s.small.Available(id))
			}
			total += c.purse() + s.issuer.Available(id)
		}
		scheme := s.issuer.Book().Balance(issuer.AccountScheme)
		funding := s.issuer.Book().Balance(issuer.AccountFunding)
		opened := funding.DebitsPosted - funding.CreditsPosted
		if got := total + scheme.CreditsPosted + scheme.CreditsPending - scheme.DebitsPosted - scheme.DebitsPending; got != opened {
			rt.Fatalf("%d in all, %d were paid in", got, opened)
		}
		if held := s.held(); held != s.paid {
			rt.Fatalf("%d held, %d paid", held, s.paid)
		}
	})
}
