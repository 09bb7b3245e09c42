package app

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"tapnet/card"
	"tapnet/internal/personalization"
	"tapnet/money"
	"tapnet/pinblock"
)

// Every product can be issued into a running network, all at once, and pays there.
func TestIssueEveryProduct(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var requests []IssueRequest
	for _, product := range personalization.Products() {
		if product.Stripe {
			continue // see TestSwipe
		}
		requests = append(requests, IssueRequest{Product: product.Name})
	}
	for _, crypto := range []string{personalization.CryptoSM, personalization.CryptoAES} { // other ciphers, end to end
		requests = append(requests, IssueRequest{Product: "debit", Crypto: crypto}, IssueRequest{Product: "e-cash", Crypto: crypto})
	}
	cards := make([]IssuedCard, len(requests))
	for i, r := range requests {
		group.Go(func() {
			var err error
			r.Groupings = true
			if cards[i], err = n.IssueCard(t.Context(), r); err != nil {
				t.Errorf("%s %s: %v", r.Product, r.Crypto, err)
			}
		})
	}
	group.Wait()
	numbers := map[string]bool{}
	for _, c := range cards {
		if numbers[c.Masked] || len(c.Groupings) < 3 || c.ATR == "" {
			t.Errorf("%s: number %s, %d instances", c.Name, c.Masked, len(c.Groupings))
		}
		numbers[c.Masked] = true
		pin, err := pinblock.ParsePIN(c.PIN)
		if err != nil {
			t.Fatal(err)
		}
		for _, merchant := range []string{"canteen", "shop-1"} {
			r := TapRequest{Card: c.Name, Merchant: merchant, Amount: money.New(1250, money.CNY), PIN: &pin}
			result, err := n.Tap(t.Context(), r)
			if c.Product == "atm" {
				if err != nil || result.Paid() && !result.PINEntered {
					t.Errorf("%s at %s: paid without a PIN: %v, %v", c.Name, merchant, result.Why.EN, err)
				}
				r.AskPIN = true
				result, err = n.Tap(t.Context(), r)
			}
			// A purse without an account cannot pay where the terminal asks the bank about everything.
			purseOnly := strings.HasPrefix(c.Product, "e-cash") && merchant == "shop-1"
			if err != nil || result.Paid() == purseOnly {
				t.Errorf("%s at %s: %v %v (%v), %v", c.Name, merchant, result.Outcome, result.Reason.EN, result.Why.EN, err)
			}
		}
	}
	before := cardState(t, n, cards[0].Name)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err = Start(t.Context(), Options{Profile: profile, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if got := cardState(t, n, cards[0].Name); got != before {
		t.Error("the card has forgotten what it did")
	}
	if list, err := n.Cards(t.Context()); err != nil || len(list) != len(profile.Cards)+len(cards) {
		t.Errorf("%d cards, %v", len(list), err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func cardState(t testing.TB, n *Network, name string) card.State {
	t.Helper()
	h, ok := n.holderNamed(name)
	if !ok {
		t.Fatalf("no card %s", name)
	}
	return h.state()
}

// What cannot be issued is refused with the fault named, and nothing is left behind.
func TestIssueRefused(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Roles: []string{RoleSwitch, RoleIssuer}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]IssueRequest{
		"product": {Product: "gold"}, "nothing": {}, "carrier": {Product: "debit", Carrier: "ring"}, "algorithms": {Product: "debit", Crypto: "rot13"},
		"bank": {Product: "debit", Issuer: "99999999"}, "taken": {Product: "debit", Name: "lin"},
		"path": {Product: "debit", Name: "../lin"}, "capital": {Product: "debit", Name: "Lin"}, "long": {Product: "debit", Name: strings.Repeat("x", 25)},
	} {
		var fault *personalization.Fault
		if _, err := n.IssueCard(t.Context(), r); !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if cards, err := n.Cards(t.Context()); err != nil || len(cards) != len(profile.Cards) {
		t.Errorf("%d cards, %v", len(cards), err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err = Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Roles: []string{RoleSwitch}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.IssueCard(t.Context(), IssueRequest{Product: "debit"}); !errors.Is(err, ErrIssue) {
		t.Errorf("without the bank: %v", err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
