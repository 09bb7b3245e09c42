package app

import (
	"strings"
	"testing"

	"tapnet/internal/personalization"
)

// At a bank's counter a chip gets a new PIN, or its tries back; a grocer has neither to give.
func TestPINAtTheCounter(t *testing.T) {
	const old, next = "667788", "908172"
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	profile.Merchants = append(profile.Merchants, personalization.Merchant{Name: "bank", ID: "301000060100009", Label: "HARBOUR BANK COUNTER", Category: "6010",
		Terminal: "T0000009", Floor: "0", CVMLimit: "1000.00", TapLimit: "50000.00"})
	seed := uint64(5)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	change := POSRequest{Verb: POSChangePIN, Merchant: "bank", Card: "mei", Insert: true, PIN: old, NewPIN: next}
	pay := func(pin string, want TapOutcome) {
		t.Helper()
		posVerb(t, n, POSRequest{Verb: POSSale, Card: "mei", Insert: true, Amount: "1200.00", PIN: pin}, want)
	}
	tries := func() byte { return n.holders["mei"].state().Applications[0].PINTries }

	grocer := change
	grocer.Merchant = "shop-1"
	if got := posVerb(t, n, grocer, OutcomeDeclined); got.ResponseCode != "58" {
		t.Errorf("a grocer: %s", got.ResponseCode)
	}
	tapped := change
	tapped.Insert = false
	posVerb(t, n, tapped, OutcomeRefusedByTill)
	wrong := change
	wrong.PIN = "111111"
	if got, err := n.POS(t.Context(), wrong); err != nil || got.Outcome == OutcomeApproved {
		t.Errorf("the wrong PIN changed it: %s, %v", got.Outcome, err)
	}
	pay(old, OutcomeApproved)
	if got := posVerb(t, n, change, OutcomeApproved); !strings.Contains(got.Slip, "PIN CHANGE") || strings.Contains(got.Slip, next) {
		t.Errorf("slip:\n%s", got.Slip)
	}
	pay(next, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSBalance, Card: "mei", PIN: next}, OutcomeApproved)
	if got := posVerb(t, n, POSRequest{Verb: POSBalance, Card: "mei", PIN: old}, OutcomeDeclined); got.ResponseCode != "55" {
		t.Errorf("the old PIN: %s", got.ResponseCode)
	}

	for tries() > 0 { // the chip counts
		before := tries()
		if got, err := n.POS(t.Context(), POSRequest{Verb: POSSale, Merchant: "shop-1", Card: "mei", Insert: true, Amount: "1200.00", PIN: "111111"}); err != nil ||
			got.Outcome == OutcomeApproved || tries() != before-1 {
			t.Fatalf("%s, %d tries left: %v", got.Outcome, tries(), err)
		}
	}
	posVerb(t, n, POSRequest{Verb: POSUnblockPIN, Merchant: "bank", Card: "mei", Insert: true, PIN: next}, OutcomeApproved)
	if tries() == 0 {
		t.Error("the chip's tries are still gone")
	}
	pay(next, OutcomeApproved)
	if _, err := n.POS(t.Context(), POSRequest{Verb: POSChangePIN, Merchant: "bank", Card: "mei", Insert: true, PIN: next}); err == nil {
		t.Error("a change to nothing")
	}
	closeWorld(t, n)
}
