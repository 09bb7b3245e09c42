package app

import (
	"context"
	"strings"
	"testing"

	"tapnet/internal/personalization"
	"tapnet/internal/verify"
)

// withSecondCurrency adds a card with two currencies and a shop that sells in the second one.
func withSecondCurrency(p *personalization.Profile) {
	p.Merchants = append(p.Merchants,
		personalization.Merchant{Name: "ferry", ID: "301000041110021", Label: "FERRY AND PEAK", Category: "4111", Terminal: "T0000020", Floor: "200.00",
			CVMLimit: "1000.00", TapLimit: "1000.00", Currency: "HKD"})
	p.Cards = append(p.Cards,
		personalization.CardSpec{Name: "fang", Holder: "FANG/TEST", Issuer: "10010000", Product: "dual-currency", Carrier: "dual-interface", Serial: 301,
			Sequence: "01", Expiry: "3012", PIN: "314159", Balance: "1000.00", Purse: "80.00", SecondPurse: "40.00", SecondBalance: "500.00", NoPIN: true})
}

func newSecondWorld(t *testing.T, dir string) *Network {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	withSecondCurrency(profile)
	seed := uint64(7)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A card with two currencies pays each shop in the shop's and loads each purse from the account in its currency; nothing is converted, and all books agree.
func TestTheSecondPurseThroughTheNetwork(t *testing.T) {
	dir := t.TempDir()
	n := newSecondWorld(t, dir)
	spend := func(merchant, amount string, insert bool, before, after int64) {
		t.Helper()
		got := posVerb(t, n, POSRequest{Verb: POSSale, Merchant: merchant, Card: "fang", Amount: amount, Insert: insert}, OutcomeApprovedOffline)
		if got.PurseBefore == nil || got.PurseBefore.Minor() != before || got.PurseAfter.Minor() != after {
			t.Errorf("%s at %s: purse %v → %v, want %d → %d", amount, merchant, got.PurseBefore, got.PurseAfter, before, after)
		}
	}
	spend("ferry", "12.50", false, 4_000, 2_750)
	spend("ferry", "7.50", true, 2_750, 2_000)
	spend("canteen", "10.00", false, 8_000, 7_000)
	loaded := posVerb(t, n, POSRequest{Verb: POSLoad, Merchant: "ferry", Card: "fang", Insert: true, Amount: "100.00", PIN: "314159"}, OutcomeApproved)
	if loaded.PurseAfter == nil || loaded.PurseBefore.Minor() != 2_000 || loaded.PurseAfter.Minor() != 12_000 || loaded.PurseAfter.Currency().Code() != "HKD" {
		t.Errorf("purse %v → %v", loaded.PurseBefore, loaded.PurseAfter)
	}
	spend("ferry", "100.00", false, 12_000, 2_000)
	cash := posVerb(t, n, POSRequest{Verb: POSCashBalance, Merchant: "ferry", Card: "fang"}, OutcomeDone)
	if len(cash.Purses) != 2 || cash.Purses[0].Balance.Minor() != 7_000 || cash.Purses[1].Balance.Minor() != 2_000 {
		t.Errorf("purses %+v", cash.Purses)
	}
	log, err := n.PurseLog(t.Context(), "fang")
	if err != nil || log.Second == nil || log.Second.Minor() != 2_000 || len(log.Payments) == 0 || !strings.HasPrefix(log.Payments[0].Amount, "HKD") {
		t.Errorf("log %+v, %v", log, err)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	bank, id := n.issuers["10010000"], n.holders["fang"].personal.Record.Card
	if err := bank.look(t.Context(), func() {
		account, shadow := bank.core.Second(id)
		if account != 40_000 || shadow != 2_000 {
			t.Errorf("%d on the second account, %d in its purse", account, shadow)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := n.acquirer.look(t.Context(), func() {
		if posted, pending := n.acquirer.core.Earned("T0000020", 344); posted != 12_000 || pending != 0 {
			t.Errorf("the ferry has earned %d, and %d is held", posted, pending)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, merchant := range []string{"ferry", "canteen"} {
		got := posVerb(t, n, POSRequest{Verb: POSSettle, Merchant: merchant}, OutcomeDone)
		if got.Sheet == nil || !got.Sheet.Agreed {
			t.Errorf("%s: sheet %+v", merchant, got.Sheet)
		}
	}
	if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	n = newSecondWorld(t, dir)
	spend("ferry", "5.00", false, 2_000, 1_500)
	if err := n.Settle(t.Context()); err != nil { // until then the bank does not know of it
		t.Fatal(err)
	}
	lost, err := n.ReportLoss(t.Context(), LossRequest{Card: "fang"})
	if err != nil || !lost.Blocked || lost.AtRisk.Minor() != 7_000 || lost.SecondAtRisk == nil || lost.SecondAtRisk.Minor() != 1_500 {
		t.Errorf("lost: %+v, %v", lost, err)
	}
	closeWorld(t, n)
	for _, settled := range []bool{true, false} {
		report, err := Verify(t.Context(), dir, verify.Options{Settled: settled})
		cleanReport(t, report, err)
	}
}
