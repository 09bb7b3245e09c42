package app

import (
	"context"
	"strings"
	"testing"

	"tapnet/internal/verify"
)

// A stripe pays for a card without a chip, with its PIN; the stripe of a card with a chip does not, and a chip that is broken does not help it at the bank.
func TestSwipe(t *testing.T) {
	n, name := newCounterWorld(t)
	issued, err := n.IssueCard(t.Context(), IssueRequest{Product: "stripe", Name: "old"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []POSRequest{{Card: "old", Amount: "9.90"}, {Card: "old", Insert: true, Amount: "9.90"}} {
		r.Verb = POSSale
		if got := posVerb(t, n, r, OutcomeFailed); !strings.Contains(got.Next.EN, "--swipe") {
			t.Errorf("next %q", got.Next.EN)
		}
	}
	posVerb(t, n, POSRequest{Verb: POSSale, Card: "old", Swipe: true, Amount: "9.90"}, OutcomePINNeeded)
	paid := posVerb(t, n, POSRequest{Verb: POSSale, Card: "old", Swipe: true, Amount: "9.90", PIN: issued.PIN}, OutcomeApproved)
	if !strings.Contains(paid.Slip, "stripe") || !strings.Contains(paid.Why.EN, "PIN") {
		t.Errorf("%s\n%s", paid.Why.EN, paid.Slip)
	}
	posVerb(t, n, POSRequest{Verb: POSVoid, Trace: paid.STAN}, OutcomeApproved)
	told := posVerb(t, n, POSRequest{Verb: POSBalance, Card: "old", Swipe: true, PIN: issued.PIN}, OutcomeApproved)
	if told.Balance == nil || told.Balance.Minor() != 100_000 {
		t.Errorf("balance %v", told.Balance)
	}
	refused := posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Swipe: true, Amount: "9.90", PIN: "246810"}, OutcomeRefusedByTill)
	if !strings.Contains(refused.Reason.EN, "chip") || refused.Reason.ZH == "" || refused.Cause.EN == "" {
		t.Errorf("%+v", refused.TapResult)
	}
	dead := posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Swipe: true, DeadChip: true, Amount: "9.90", PIN: "246810"}, OutcomeDeclined)
	if dead.ResponseCode != "45" || dead.Next.EN == "" {
		t.Errorf("%s: %s", dead.ResponseCode, dead.Next.EN)
	}
	for _, r := range []POSRequest{{Verb: POSLoad, Card: "old", Swipe: true, Amount: "1.00"}, {Verb: POSSale, Card: "old", DeadChip: true, Amount: "1.00"}} {
		r.Merchant = "shop-1"
		if _, err := n.POS(t.Context(), r); err == nil {
			t.Errorf("%s was begun", r.Verb)
		}
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := n.options.Dir
	if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, verify.Options{Settled: true})
	cleanReport(t, report, err)
}
