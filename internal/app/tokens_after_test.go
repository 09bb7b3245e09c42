package app

import (
	"context"
	"strings"
	"testing"

	"tapnet/internal/app/phone"
	"tapnet/internal/memnet"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// phoneTale is a story with one card on a phone.
func phoneTale(t *testing.T) *phoneStory {
	t.Helper()
	s, err := newStory(t.Context(), DemoOptions{Seed: 7}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, s.Network) })
	p := &phoneStory{story: s, tokens: map[string]phone.Token{}}
	added, err := p.act(t.Context(), PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"})
	if err != nil {
		t.Fatal(err)
	}
	p.tokens["lin"] = added.Status.Tokens[0]
	return p
}

func (p *phoneStory) must(t *testing.T, r PhoneRequest) PhoneResult {
	t.Helper()
	r.Merchant, r.Verification = "shop-1", int32(phone.Fingerprint)
	result, err := p.act(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestAfterAPhonePaid: what was paid with a phone is voided and refunded by its trace number, by token, whatever became of the phone; the slip has the token's
// last four digits and no number.
func TestAfterAPhonePaid(t *testing.T) {
	p := phoneTale(t)
	number := p.holders["lin"].personal.PAN
	before, err := p.balanceOf(t.Context(), "lin")
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string) {
		t.Helper()
		if err := p.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, err := p.balanceOf(t.Context(), "lin"); err != nil || now != before {
			t.Errorf("%s: the account has moved by %d, %v", what, now-before, err)
		}
	}
	checked := func(r POSResult) {
		t.Helper()
		last := p.tokens["lin"].LastFour
		if lastFour(r.Masked) != last || !strings.Contains(r.Slip, last) || strings.Contains(r.Slip, number.Reveal()) || strings.Contains(r.Slip, number.Masked()) ||
			last != number.Last4() && strings.Contains(r.Slip, "*"+number.Last4()) {
			t.Errorf("masked %s, slip of the token %s:\n%s", r.Masked, last, r.Slip)
		}
	}
	for _, verb := range []PhoneVerb{PhoneTap, PhonePay} {
		sold := p.must(t, PhoneRequest{Verb: verb, Amount: "30.00"})
		if !sold.Paid() || sold.STAN == 0 {
			t.Fatalf("%s: %+v", verb, sold)
		}
		checked(posVerb(t, p, POSRequest{Verb: POSVoid, Trace: sold.STAN}, OutcomeApproved))
		posVerb(t, p, POSRequest{Verb: POSVoid, Trace: sold.STAN}, OutcomeRefusedByTill)
		same("void after " + string(verb))
	}
	sold := p.must(t, PhoneRequest{Verb: PhoneTap, Amount: "30.00"})
	checked(posVerb(t, p, POSRequest{Verb: POSRefund, Trace: sold.STAN, Amount: "10.00"}, OutcomeApproved))
	p.must(t, PhoneRequest{Verb: PhoneLose})
	checked(posVerb(t, p, POSRequest{Verb: POSRefund, Trace: sold.STAN}, OutcomeApproved))
	same("refund to a lost phone")
	posVerb(t, p, POSRequest{Verb: POSSettle}, OutcomeDone)
	if err := p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), p.options.Dir, verify.Options{})
	cleanReport(t, report, err)
}

// TestPhonePaymentTakenBack: an answer that is lost is reversed by token: the hold goes, at the till and where the switch loses it.
func TestPhonePaymentTakenBack(t *testing.T) {
	for name, lose := range map[string]func(p *phoneStory) (*memnet.Conn, unionpay.Dialect){
		"at the till": func(p *phoneStory) (*memnet.Conn, unionpay.Dialect) {
			return p.wires.of(RoleAcquirer, tillShop1).listener, unionpay.Terminal
		},
		"at the switch": func(p *phoneStory) (*memnet.Conn, unionpay.Dialect) {
			return p.wires.of(RoleSwitch, memberIssuer1).dialler, unionpay.Switch
		},
	} {
		p := phoneTale(t)
		before, err := p.balanceOf(t.Context(), "lin")
		if err != nil {
			t.Fatal(err)
		}
		end, dialect := lose(p)
		w, done := put(end, dialect, unionpay.TypeFinancialResponse, memnet.Drop)
		type paid struct {
			result PhoneResult
			err    error
		}
		ended := make(chan paid, 1)
		go func() {
			result, err := p.act(context.WithoutCancel(t.Context()), PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: "66.00", Verification: int32(phone.Fingerprint)})
			ended <- paid{result, err}
		}()
		select {
		case <-w.acted:
		case r := <-ended:
			t.Fatalf("%s: ended before its answer was lost: %+v, %v", name, r.result.Tap, r.err)
		}
		if at, ok := p.clock.NextAt(); ok {
			p.clock.Advance(at.Sub(p.clock.Now()))
		}
		r := <-ended
		done()
		if r.err != nil || r.result.Paid() || r.result.Tap == nil {
			t.Fatalf("%s: %+v, %v", name, r.result.Tap, r.err)
		}
		if err := p.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after, err := p.balanceOf(t.Context(), "lin"); err != nil || after != before {
			t.Errorf("%s: the account has moved by %d, %v", name, after-before, err)
		}
		if next := p.must(t, PhoneRequest{Verb: PhoneTap, Amount: "1.00"}); !next.Paid() {
			t.Errorf("%s: afterwards: %+v", name, next.Tap)
		}
		report, err := Verify(t.Context(), p.options.Dir, verify.Options{})
		cleanReport(t, report, err)
	}
}
