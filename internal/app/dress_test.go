package app

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/internal/personalization"
	"tapnet/internal/vpcd"
)

// TestDressOfCarriers: what a PC/SC reader shows of each carrier, in each form that can be asked for.
func TestDressOfCarriers(t *testing.T) {
	carriers := append(personalization.Carriers(), personalization.Carrier{
		Name: "one", Title: personalization.Title{EN: "card", ZH: "卡"}, Interfaces: []string{"contact"}, Protocol: "T=1", Historical: "one",
	})
	type row struct {
		form vpcd.Form
		atr  string // hexadecimal; "" is the basic one
	}
	const gone = "gone"
	for name, want := range map[string]map[CardForm]row{
		"dual-interface": {"": {vpcd.Contactless, "3B868001" + "7461706E6574"}, FormContactless: {vpcd.Contactless, "3B868001" + "7461706E6574"},
			FormContact: {vpcd.ContactT0, "3B660000" + "7461706E6574"}, FormContactT1: {vpcd.ContactT1, ""}},
		"contactless":    {"": {vpcd.Contactless, "3B868001"}, FormContact: {0, gone}, FormContactT1: {0, gone}},
		"sim":            {"": {vpcd.Contactless, "3B8A8001" + "7461706E65742053494D"}, FormContact: {0, gone}},
		"smart-sd":       {"": {vpcd.Contactless, "3B898001" + "7461706E6574205344"}, FormContact: {0, gone}},
		"secure-element": {"": {vpcd.Contactless, "3B898001" + "7461706E6574205345"}, FormContact: {0, gone}},
		"rfid-sim":       {"": {0, gone}, FormContactless: {0, gone}, FormContact: {0, gone}},
		"one":            {"": {vpcd.ContactT1, "3BE300008131FE456F6E65"}, FormContact: {vpcd.ContactT1, "3BE3"}, FormContactT1: {vpcd.ContactT1, "3BE3"}, FormContactless: {0, gone}},
		"":               {"": {vpcd.Contactless, ""}, FormContact: {vpcd.ContactT0, ""}, FormContactT1: {vpcd.ContactT1, ""}},
	} {
		card := &personalization.Card{Spec: personalization.CardSpec{Carrier: name}}
		for _, c := range carriers {
			if c.Name == name {
				card.Carrier = c
			}
		}
		for form, w := range want {
			d, err := dressOf(card, form, bytes.NewReader(make([]byte, 64)))
			var known *ReaderError
			switch got := fmt.Sprintf("%X", d.ATR); {
			case w.atr == gone:
				if !errors.As(err, &known) || known.Why.ZH == "" || known.Next.EN == "" {
					t.Errorf("%s as %q: %v", name, form, err)
				}
			case err != nil:
				t.Errorf("%s as %q: %v", name, form, err)
			case d.Form != w.form || !strings.HasPrefix(got, w.atr) || w.atr == "" && got != "":
				t.Errorf("%s as %q: form %d, ATR %s, want %d, %s", name, form, d.Form, got, w.form, w.atr)
			case got != "" && vpcd.CheckATR(d.ATR) != nil:
				t.Errorf("%s as %q: %v", name, form, vpcd.CheckATR(d.ATR))
			}
		}
	}
	if _, err := dressOf(&personalization.Card{}, "round", nil); !errors.Is(err, errBadRequest) {
		t.Errorf("%v", err)
	}
}
