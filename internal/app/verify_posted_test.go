package app

import (
	"context"
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/journal"
	"tapnet/internal/sim"
	"tapnet/internal/verify"
)

// TestPostedIsWhatMerchantsAreOwed: tills and switch report the same sum, however a sale came about: a pre-authorization is no claim, a void takes one away.
func TestPostedIsWhatMerchantsAreOwed(t *testing.T) {
	var sound verify.Snapshot
	report, err := sim.Run(t.Context(), sim.Options{Seed: 2, Taps: 450, Observe: func(s verify.Snapshot) { sound = s }})
	if err != nil || !report.Good() || !sound.Quiet {
		t.Fatalf("%v, %v", err, report.Findings)
	}
	dir, chips := simDir(t, sound)
	found, err := verify.Dir(t.Context(), dir, verify.Options{Settled: true, Chips: func(context.Context) ([]verify.Chip, error) { return chips, nil }})
	if err != nil || !found.Clean() {
		t.Fatal(err, found.Findings)
	}
	posted := map[string]int64{}
	for _, m := range found.Members {
		posted[m.Role] += m.PostedMinor
	}
	if posted[verify.Till] != posted[verify.Switch] || posted[verify.Till] == 0 {
		t.Errorf("tills %d, switch %d", posted[verify.Till], posted[verify.Switch])
	}
	// The acquirer's books have cash loads as well: without them they say the same.
	claims := int64(0)
	for i := range sound.Members {
		if m := &sound.Members[i]; m.Role == verify.Acquirer {
			claims = owedBy(m.Rows)
		}
	}
	if claims != posted[verify.Switch] {
		t.Errorf("acquirer %d, switch %d", claims, posted[verify.Switch])
	}
}

// TestAPreAuthorizationIsNoClaim: of a pre-authorization over 15.00 and its completion over 5.00 the merchant is owed 5.00, as every member says.
func TestAPreAuthorizationIsNoClaim(t *testing.T) {
	n, name := newCounterWorld(t)
	held := posVerb(t, n, POSRequest{Verb: POSPreAuth, Card: name, Insert: true, Amount: "15.00", PIN: "246810"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSComplete, Card: name, Insert: true, Amount: "5.00", PIN: "246810", Trace: held.STAN, AuthCode: held.AuthCode}, OutcomeApproved)
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), n.options.Dir, verify.Options{})
	if err != nil || !report.Clean() {
		t.Fatal(err, report.Findings)
	}
	for _, m := range report.Members {
		if m.Rows > 0 && m.Approved > 0 && m.PostedMinor+m.HeldMinor != 500 {
			t.Errorf("%s %s: posted %d and held %d", m.Role, m.Name, m.PostedMinor, m.HeldMinor)
		}
	}
}

// owedBy is what the rows of an acquirer say that merchants are owed.
func owedBy(rows []journal.Row) (minor int64) {
	sign := map[uint64]int64{} // by the row of the answer
	for i := range rows {
		r := &rows[i]
		if r.Kind == journal.Answered && r.Debit != 0 && r.Resolves == 0 && r.Debit < acquirer.AccountCash && r.Credit < acquirer.AccountCash {
			sign[r.Seq] = 1
			if r.Credit == acquirer.AccountScheme {
				sign[r.Seq] = -1
			}
			minor += sign[r.Seq] * r.Amount
		}
		if r.Resolves != 0 {
			minor -= sign[r.Resolves] * r.Amount
		}
	}
	return minor
}
