package app

import (
	"context"
	"strings"
	"testing"

	"tapnet/internal/personalization"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// newCounterWorld is a world in memory with a dual-interface card, whose PIN is 246810.
func newCounterWorld(t *testing.T) (*Network, string) {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	for i := range profile.Cards {
		if profile.Cards[i].Name == "lin" {
			profile.Cards[i].Carrier = "dual-interface"
		}
	}
	seed := uint64(5)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return n, "lin"
}

func posVerb(t *testing.T, w TillWorld, r POSRequest, want TapOutcome) POSResult {
	t.Helper()
	if r.Merchant == "" {
		r.Merchant = "shop-1"
	}
	got, err := w.POS(t.Context(), r)
	if err != nil {
		t.Fatalf("%s: %v", r.Verb, err)
	}
	if got.Outcome != want {
		t.Errorf("%s ended %s (%s: %s; %s), want %s", r.Verb, got.Outcome, got.ResponseCode, got.Reason.EN, got.Why.EN, want)
	}
	return got
}

func TestCounter(t *testing.T) {
	n, name := newCounterWorld(t)
	tapped := posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Amount: "29.90"}, OutcomeApproved)
	if !strings.Contains(tapped.Slip, "SHOP ONE GROCERIES") || !strings.Contains(tapped.Slip, "Lantern Bank") || tapped.STAN != 1 {
		t.Errorf("slip of %d:\n%s", tapped.STAN, tapped.Slip)
	}
	inserted := posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Insert: true, Amount: "1500.00", PIN: "246810", HTML: true}, OutcomeApproved)
	if !strings.Contains(inserted.HTML, "<html") || !strings.Contains(inserted.Slip, "chip") {
		t.Errorf("slip:\n%s", inserted.Slip)
	}
	posVerb(t, n, POSRequest{Verb: POSCashBalance, Card: name}, OutcomeDone)
	posVerb(t, n, POSRequest{Verb: POSVoid, Trace: 77}, OutcomeRefusedByTill)
	copied := posVerb(t, n, POSRequest{Verb: POSReprint, Trace: inserted.STAN, Lang: "both"}, OutcomeDone)
	if !strings.Contains(copied.Slip, "REPRINT") || !strings.Contains(copied.Slip, "消费") {
		t.Errorf("copy:\n%s", copied.Slip)
	}
	loaded := posVerb(t, n, POSRequest{Verb: POSLoad, Card: name, Insert: true, Amount: "10.00", PIN: "246810"}, OutcomeApproved)
	if loaded.PurseAfter == nil || loaded.PurseAfter.Minor()-loaded.PurseBefore.Minor() != 1_000 {
		t.Errorf("purse %v → %v", loaded.PurseBefore, loaded.PurseAfter)
	}
	posVerb(t, n, POSRequest{Verb: POSLoad, Card: name, Insert: true, Amount: "10.00", PIN: "135790", From: "wang"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSLoad, Card: name, Insert: true, Amount: "10.00", From: "cash"}, OutcomeDeclined) // a grocer takes no cash for purses
	settled := posVerb(t, n, POSRequest{Verb: POSSettle}, OutcomeDone)
	if settled.Sheet == nil || !settled.Sheet.Agreed || settled.Sheet.DebitCount != 2 || settled.Sheet.Debit.Minor() != 152_990 {
		t.Errorf("sheet %+v", settled.Sheet)
	}
	for list := range POSLists() {
		d := posVerb(t, n, POSRequest{Verb: POSDownload, List: list}, OutcomeDone)
		if !d.Download.Fresh || d.Download.Now != 1 {
			t.Errorf("%s: %+v", list, d.Download)
		}
	}
	posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Amount: "5.00"}, OutcomeApproved)
	if err := n.PublishList(t.Context(), unionpay.DownloadApplications, nil); err != nil {
		t.Fatal(err)
	}
	if d := posVerb(t, n, POSRequest{Verb: POSDownload, List: "applications"}, OutcomeDone); d.Download.Now != 2 {
		t.Errorf("%+v", d.Download)
	}
	if d := posVerb(t, n, POSRequest{Verb: POSRollback, List: "applications"}, OutcomeDone); d.Download.Now != 1 {
		t.Errorf("%+v", d.Download)
	}
	posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Insert: true, Amount: "1200.00", PIN: "246810"}, OutcomeApproved)
	afterSales(t, n, name)
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

// afterSales goes through what may follow an earlier transaction, over the real network.
func afterSales(t *testing.T, n *Network, name string) {
	t.Helper()
	told := func() int64 {
		t.Helper()
		got := posVerb(t, n, POSRequest{Verb: POSBalance, Card: name, PIN: "246810"}, OutcomeApproved)
		if got.Balance == nil {
			t.Fatal("no balance")
		}
		return got.Balance.Minor()
	}
	left := told()
	is := func(change int64) {
		t.Helper()
		if now := told(); now != left+change {
			t.Errorf("the account changed by %d, want %d", now-left, change)
		}
	}
	sold := posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Amount: "29.90"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSVoid, Trace: sold.STAN}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSVoid, Trace: sold.STAN}, OutcomeRefusedByTill)
	is(0)
	sold = posVerb(t, n, POSRequest{Verb: POSSale, Card: name, Amount: "29.90"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSRefund, Trace: sold.STAN, Amount: "10.00"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSRefund, Trace: sold.STAN}, OutcomeApproved)
	is(0)
	held := posVerb(t, n, POSRequest{Verb: POSPreAuth, Card: name, Insert: true, Amount: "1200.00", PIN: "246810"}, OutcomeApproved)
	is(-120_000)
	posVerb(t, n, POSRequest{Verb: POSCancel, Trace: held.STAN}, OutcomeApproved)
	is(0)
	held = posVerb(t, n, POSRequest{Verb: POSPreAuth, Card: name, Amount: "100.00"}, OutcomeApproved)
	taken := posVerb(t, n, POSRequest{Verb: POSComplete, Trace: held.STAN, Amount: "115.00"}, OutcomeApproved)
	is(-11_500)
	posVerb(t, n, POSRequest{Verb: POSVoidCompletion, Trace: taken.STAN}, OutcomeApproved)
	is(0)
	held = posVerb(t, n, POSRequest{Verb: POSPreAuth, Card: name, Amount: "100.00"}, OutcomeApproved)
	posVerb(t, n, POSRequest{Verb: POSComplete, Trace: held.STAN, Amount: "80.00", Notice: true}, OutcomeApproved)
	is(-8_000)
	settled := posVerb(t, n, POSRequest{Verb: POSSettle}, OutcomeDone)
	if settled.Sheet == nil || !settled.Sheet.Agreed || settled.Sheet.CreditCount != 4 || settled.Sheet.Credit.Minor() != 2_990+1_000+1_990+11_500 {
		t.Errorf("sheet %+v", settled.Sheet)
	}
}

// A card whose service code asks for the PIN is asked for it below the no-PIN limit too.
func TestAlwaysPINCard(t *testing.T) {
	n, _ := newCounterWorld(t)
	issued, err := n.IssueCard(t.Context(), IssueRequest{Product: "atm", Name: "counter"})
	if err != nil {
		t.Fatal(err)
	}
	posVerb(t, n, POSRequest{Verb: POSSale, Card: "counter", Amount: "9.90"}, OutcomePINNeeded)
	got := posVerb(t, n, POSRequest{Verb: POSSale, Card: "counter", Amount: "9.90", PIN: issued.PIN}, OutcomeApproved)
	if !got.PINEntered || !strings.Contains(got.Slip, "PIN") {
		t.Errorf("slip:\n%s", got.Slip)
	}
}

// A till that is a phone enciphers every PIN under a key of its own, and the acquirer's security module opens it.
func TestMobileTill(t *testing.T) {
	for _, method := range []string{mobileTDES, mobileAES} {
		profile, err := personalization.Load("demo")
		if err != nil {
			t.Fatal(err)
		}
		profile.Merchants[0].Mobile = method
		merchant, seed, dir := profile.Merchants[0].Name, uint64(5), t.TempDir()
		for range 2 { // and after a restart with the same keys
			n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got := posVerb(t, n, POSRequest{Verb: POSSale, Merchant: merchant, Card: "lin", Amount: "1200.00", PIN: "246810"}, OutcomeApproved)
				if !got.PINEntered {
					t.Errorf("%s: no PIN was entered", method)
				}
			}
			posVerb(t, n, POSRequest{Verb: POSSale, Merchant: merchant, Card: "lin", Amount: "1200.00", PIN: "111111"}, OutcomeDeclined)
			if err := n.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
}
