package hcetest

import (
	"context"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// Prover is a subject that can prove itself offline: a card or a secure element with a key of its own. A phone with keys from the cloud is none.
type Prover interface {
	Subject
	// Authorities are those behind its certificates.
	Authorities() *oda.Keys
}

// Gate is a terminal that approves at once what proves itself offline, and authorizes later [REF 2.7].
func Gate(t testing.TB, authorities *oda.Keys) *terminal.Terminal {
	t.Helper()
	var ttq emv.TTQ
	for _, bit := range []emv.TTQBit{emv.TTQQPBOC, emv.TTQFDDA01, emv.TTQODAForOnline} {
		ttq.Set(bit)
	}
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: ttq, Random: new(unpredictable),
		Combinations: []terminal.Combination{{
			AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay, Limits: terminal.Limits{Floor: money.New(0, money.CNY), ZeroAllowed: true},
		}},
		Kernel: kernel.Config{Type: 0x25, Capabilities: emv.TerminalCapabilities{0, 0x08, 0xC8}, MerchantName: "METRO", SerialNumber: "00000001",
			CAKeys: authorities, ODAForOnline: true, SM: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// provesItself: approved at once on its signature, its cryptogram right later; not where nobody knows its authority.
func provesItself(t testing.TB, s Subject) {
	p, ok := s.(Prover)
	if !ok {
		return
	}
	tap := func(authorities *oda.Keys) kernel.Outcome {
		t.Helper()
		result, err := Gate(t, authorities).Tap(context.Background(), s.Present(), terminal.Request{
			Amount: money.New(700, money.CNY), Other: money.New(0, money.CNY), Now: cardtest.Today, Counter: 1,
		})
		s.Remove()
		if err != nil {
			t.Fatal(err)
		}
		return result.Outcome
	}
	o := tap(p.Authorities())
	if o.Kind != kernel.Approved || !o.Deferred {
		t.Fatalf("outcome %v, %v, %+v", o.Kind, o.Reason, o.ODA)
	}
	if why := s.Verify(o.Data); why != "" {
		t.Errorf("the issuer refuses later: %s", why)
	}
	nobody, err := oda.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	if o := tap(nobody); o.Kind == kernel.Approved {
		t.Error("approved under an authority that nobody knows")
	}
}
