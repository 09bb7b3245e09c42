package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"tapnet/emv"
	"tapnet/internal/personalization"
	"tapnet/internal/verify"
)

// withMachines adds machines to a world: one that sells without a network, one that loads purses, and a bank's counter.
func withMachines(p *personalization.Profile) {
	p.Merchants = append(p.Merchants,
		personalization.Merchant{Name: "vending", ID: "301000054990010", Label: "CANS AND BARS", Category: "5499", Terminal: "T0000010", Floor: "50.00",
			CVMLimit: "50.00", TapLimit: "50.00", Offline: true, Machine: "vending", Price: "3.50"},
		personalization.Merchant{Name: "atm", ID: "301000060110011", Label: "HARBOUR BANK MACHINE", Category: "6011", Terminal: "T0000011", Floor: "0",
			CVMLimit: "1000.00", TapLimit: "50000.00", Machine: "load"})
}

func newMachineWorld(t *testing.T, dir string) *Network {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	withMachines(profile)
	seed := uint64(5)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A machine without a network sells out of purses, keeps what it was paid over a restart, and is collected from.
func TestVendingMachine(t *testing.T) {
	dir := t.TempDir()
	n := newMachineWorld(t, dir)
	sale := POSRequest{Verb: POSSale, Merchant: "vending", Card: "chen"}
	first := posVerb(t, n, sale, OutcomeApprovedOffline)
	if first.Amount.Minor() != 350 || first.Held == nil || *first.Held != 1 || first.PurseAfter == nil {
		t.Errorf("%+v", first)
	}
	till := n.tills["vending"]
	if err := till.look(t.Context(), func() {
		if till.core.Outstanding() != 1 {
			t.Errorf("%d outstanding", till.core.Outstanding())
		}
	}); err != nil {
		t.Fatal(err)
	}
	sale.Card, sale.Insert = "mei", true
	posVerb(t, n, sale, OutcomeApprovedOffline)
	sale.Card, sale.Insert, sale.Amount = "lin", false, "50.01" // above what it may take
	posVerb(t, n, sale, OutcomeFailed)
	sale.Card, sale.Amount = "liu", "" // credit: its bank would have to be asked
	if got := posVerb(t, n, sale, OutcomeDeclined); got.Next.ZH == "" {
		t.Errorf("%+v", got.TapResult)
	}
	for _, verb := range []POSVerb{POSVoid, POSRefund, POSBalance, POSLoad} {
		if got := posVerb(t, n, POSRequest{Verb: verb, Merchant: "vending", Card: "lin", Amount: "1.00", Trace: 1}, OutcomeRefusedByTill); got.Reason != whyNoCashier {
			t.Errorf("%s: %s", verb, got.Reason.EN)
		}
	}
	if err := n.Settle(t.Context()); err != nil { // does not wait for what nobody collects
		t.Fatal(err)
	}
	if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	n = newMachineWorld(t, dir)
	sale.Card = "lin"
	if got := posVerb(t, n, sale, OutcomeApprovedOffline); *got.Held != 3 {
		t.Errorf("%d held after a restart", *got.Held)
	}
	got := posVerb(t, n, POSRequest{Verb: POSCollect, Merchant: "vending"}, OutcomeDone)
	if got.Collected == nil || *got.Collected != 3 || *got.Held != 0 || got.Sheet == nil || !got.Sheet.Agreed || got.Sheet.Debit.Minor() != 1_050 {
		t.Errorf("%+v, sheet %+v", got, got.Sheet)
	}
	posVerb(t, n, POSRequest{Verb: POSCollect, Merchant: "vending"}, OutcomeRefusedByTill) // nothing since
	posVerb(t, n, POSRequest{Verb: POSCollect, Merchant: "shop-1"}, OutcomeRefusedByTill)
	posVerb(t, n, sale, OutcomeApprovedOffline)
	posVerb(t, n, POSRequest{Verb: POSCollect, Merchant: "vending"}, OutcomeDone)
	closeWorld(t, n)
}

// A machine that loads purses asks for the PIN and not for a signature.
func TestLoadMachine(t *testing.T) {
	n := newMachineWorld(t, t.TempDir())
	loaded := posVerb(t, n, POSRequest{Verb: POSLoad, Merchant: "atm", Card: "mei", Insert: true, Amount: "20.00", PIN: "667788"}, OutcomeApproved)
	if loaded.PurseAfter == nil || loaded.PurseAfter.Minor()-loaded.PurseBefore.Minor() != 2_000 {
		t.Errorf("purse %v → %v", loaded.PurseBefore, loaded.PurseAfter)
	}
	posVerb(t, n, POSRequest{Verb: POSLoad, Merchant: "atm", Card: "mei", Insert: true, Amount: "20.00"}, OutcomePINNeeded)
	posVerb(t, n, POSRequest{Verb: POSBalance, Merchant: "atm", Card: "mei", Insert: true, PIN: "667788"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSSale, Merchant: "atm", Card: "mei", Amount: "1.00"}, OutcomeRefusedByTill)
	closeWorld(t, n)
}

// A world that was built without machines gains them; a terminal that has a journal and has lost its keys does not start.
func TestAWorldGainsATerminal(t *testing.T) {
	dir := t.TempDir()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	posVerb(t, n, POSRequest{Verb: POSSale, Card: "lin", Amount: "1.00"}, OutcomeApproved)
	if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		n = newMachineWorld(t, dir)
		posVerb(t, n, POSRequest{Verb: POSSale, Merchant: "vending", Card: "chen"}, OutcomeApprovedOffline)
		posVerb(t, n, POSRequest{Verb: POSCollect, Merchant: "vending"}, OutcomeDone)
		posVerb(t, n, POSRequest{Verb: POSLoad, Merchant: "atm", Card: "mei", Insert: true, Amount: "1.00", PIN: "667788"}, OutcomeApproved)
		closeWorld(t, n)
	}
	if err := os.Remove(filepath.Join(dir, keyDirectory, "T0000010.hsm")); err != nil {
		t.Fatal(err)
	}
	withMachines(profile)
	if _, err := Start(t.Context(), Options{Profile: profile, Dir: dir}); err == nil {
		t.Error("a terminal that lost its keys started with others")
	}
}

// What a machine says of itself to cards: nobody is there, no signature is looked at, and one that sells takes no PIN.
func TestMachinesSayWhatTheyAre(t *testing.T) {
	n := newMachineWorld(t, t.TempDir())
	defer func() { _ = n.Stop(context.WithoutCancel(t.Context())) }()
	for name, want := range map[string]struct {
		kind byte
		cvm  byte
	}{"shop-1": {terminalTypeAttended, 0}, "vending": {terminalUnattendedOffline, 0x08}, "atm": {terminalUnattendedOnlineBank, 0xD8}} {
		c, err := n.terminalConfig(n.tills[name].merchant)
		if err != nil {
			t.Fatal(err)
		}
		if c.Kernel.Type != want.kind || want.cvm != 0 && (c.Kernel.Capabilities[1] != want.cvm || c.TTQ.Has(emv.TTQSignature)) {
			t.Errorf("%s: type %02X, capabilities %X, TTQ %X", name, c.Kernel.Type, c.Kernel.Capabilities, c.TTQ)
		}
	}
}

func closeWorld(t *testing.T, n *Network) {
	t.Helper()
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
