package app

import (
	"testing"

	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// TestAFoundPhone has cards of two banks: each bank's word brings back its own tokens, and the keys that were on the phone meanwhile are worth nothing.
func TestAFoundPhone(t *testing.T) {
	n, _ := tokenNetwork(t)
	issuer := func(card string) string {
		h, known := n.holderNamed(card)
		if !known {
			t.Fatal(card)
		}
		return h.personal.Record.Issuer
	}
	cards := []string{"lin"}
	for _, card := range []string{"mei", "zhao", "wang", "liu"} {
		if issuer(card) != issuer("lin") || len(cards) == 1 {
			cards = append(cards, card)
		}
	}
	banks, tokens := map[string]bool{}, []string{}
	for _, card := range cards {
		banks[issuer(card)] = true
		tokens = append(tokens, act(t, n, PhoneRequest{Verb: PhoneAdd, Card: card, Label: "CARD " + card}).Token)
	}
	if len(banks) < 2 {
		t.Fatalf("cards %v are of one bank", cards)
	}
	standing := func(token string) tspapi.Token {
		t.Helper()
		v, err := askToken[tspapi.Token](t.Context(), n.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for round := range 2 {
		act(t, n, PhoneRequest{Verb: PhoneLose})
		for _, token := range tokens {
			if v := standing(token); v.State != "SUSPENDED" || len(v.Suspenders) != 1 || v.Suspenders[0] != "DEVICE_LOST" {
				t.Errorf("round %d, lost: %+v", round, v)
			}
		}
		act(t, n, PhoneRequest{Verb: PhoneFind})
		for _, token := range tokens {
			r := byFinger("12.50")
			r.Token = token
			if v, tap := standing(token), act(t, n, r); v.State != "ACTIVE" || !tap.Paid() {
				t.Errorf("round %d, found: %+v, %+v", round, v, tap.Tap)
			}
		}
	}
}
