package app

import (
	"context"
	"errors"
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/personalization"
	"tapnet/money"
	"tapnet/terminal"
)

// A merchant that has applied cannot take a payment; once approved its terminal signs on by itself; suspended, it is refused.
func TestAMerchantIsApprovedBeforeItsTerminalSignsOn(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	profile.Merchants = append(profile.Merchants, personalization.Merchant{Name: "newcomer", ID: "301000054110030", Label: "NEW SHOP", Category: "5411",
		Terminal: "T0000030", Floor: "0", CVMLimit: "1000.00", TapLimit: "50000.00", Waiting: true})
	dir := t.TempDir()
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var w MerchantWorld = n
	set := func(state string, done bool, want acquirer.Standing) {
		t.Helper()
		r, err := w.SetMerchant(t.Context(), MerchantRequest{Merchant: "newcomer", Standing: state})
		if err != nil || r.Done != done || r.Standing != want.Term() {
			t.Errorf("%s: %+v, %v", state, r, err)
		}
	}
	list, err := w.Merchants(t.Context())
	if err != nil || len(list) != 5 || list[4].Standing != acquirer.MerchantWaiting.Term() || list[0].Standing != acquirer.MerchantApproved.Term() {
		t.Fatalf("%+v, %v", list, err)
	}
	sale := POSRequest{Verb: POSSale, Merchant: "newcomer", Card: "lin", Amount: "5.00"}
	if n.acquirer.core.Admits("T0000030") {
		t.Error("a terminal of a merchant that waits may sign on")
	}
	if got := posVerb(t, n, sale, OutcomeRefusedByTill); got.Reason != whyNotSignedOn || got.Cause != terminal.CauseHost.Term() {
		t.Errorf("%+v", got.TapResult)
	}
	amount := money.New(500, money.CNY)
	if got, err := n.Tap(t.Context(), TapRequest{Merchant: "newcomer", Card: "lin", Amount: amount}); err != nil || got.Reason != whyNotSignedOn {
		t.Errorf("%+v, %v", got, err)
	}
	set("suspended", false, acquirer.MerchantWaiting)
	set("approved", true, acquirer.MerchantApproved)
	if !n.acquirer.core.Admits("T0000030") {
		t.Error("a terminal of an approved merchant may not sign on")
	}
	<-n.tills["newcomer"].dialer.up
	posVerb(t, n, sale, OutcomeApproved)
	set("suspended", true, acquirer.MerchantSuspended)
	if got := posVerb(t, n, sale, OutcomeDeclined); got.ResponseCode != "03" {
		t.Errorf("refused with %s", got.ResponseCode)
	}
	set("ended", true, acquirer.MerchantEnded)
	set("approved", false, acquirer.MerchantEnded)
	for _, r := range []MerchantRequest{{Merchant: "nobody", Standing: "approved"}, {Merchant: "newcomer", Standing: "waiting"}} {
		if _, err := w.SetMerchant(t.Context(), r); !errors.Is(err, ErrUnknownMerchant) && !errors.Is(err, errBadRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	closeWorld(t, n)
	n, err = Start(t.Context(), Options{Profile: profile, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w = n
	set("approved", false, acquirer.MerchantEnded)
	if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}
