package imprint

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
)

// issued is a test card as an application with keys.
func issued(t testing.TB, o cardtest.Options) Chip {
	t.Helper()
	_, i := cardtest.New(t, o)
	return Chip{i.Image.Applications[0], i.Image.State.Applications[0], Keys{Suite: i.Suite, Card: i.CardKeys, Private: i.Key}}
}

func written(t testing.TB, c Chip) cps.List {
	t.Helper()
	list, err := Write(&c.Application, &c.State, &c.Keys)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	for name, o := range map[string]cardtest.Options{
		"contactless": {}, "contact": {Contact: true}, "AES": {Suite: cryptogram.AES()}, "SM4": {Suite: cryptogram.SM4()}, "long key": {LongKey: true},
	} {
		c := issued(t, o)
		list := written(t, c)
		parsed, err := cps.Parse(list.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := Read(c.Application.AID, parsed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := written(t, got); !bytes.Equal(again.Bytes(), list.Bytes()) {
			t.Errorf("%s: written again it differs", name)
		}
		if got.Keys.Suite.Name() != c.Keys.Suite.Name() || got.Keys.Card != c.Keys.Card {
			t.Errorf("%s: other keys", name)
		}
	}
}

func TestWithoutKeys(t *testing.T) {
	c := issued(t, cardtest.Options{})
	list, err := Write(&c.Application, &c.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if g.ID().Secret() {
			t.Errorf("%v without keys", g)
		}
	}
	if _, err := Read(c.Application.AID, list); !errors.Is(err, cps.ErrContent) {
		t.Errorf("an application without keys: %v", err)
	}
}

// TestReadRefused: each grouping missing or spoilt is refused, or does not matter, and the refusal names no data.
func TestReadRefused(t *testing.T) {
	c := issued(t, cardtest.Options{Contact: true})
	list := written(t, c)
	needed := map[cps.DGI]bool{cps.CardKeys: true, cps.KeyCheckValues: true, cps.PINCounters: true, cps.FCIContactless: true, cps.GPOResponseContactless: true,
		cps.IssuerApplicationData: true, cps.ContactInternalData: true, EngineSettings: true, cps.ICCKeyP: true}
	for at, g := range list {
		without := append(append(cps.List{}, list[:at]...), list[at+1:]...)
		if _, err := Read(c.Application.AID, without); needed[g.ID()] && !errors.Is(err, cps.ErrContent) {
			t.Errorf("without %v: %v", g, err)
		}
	}
	keys, _ := list.Find(cps.CardKeys)
	spoilt := keys.Reveal()
	spoilt[0] ^= 2
	g, err := cps.NewGrouping(cps.CardKeys, spoilt)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Read(c.Application.AID, append(append(cps.List{}, list...), g))
	if !errors.Is(err, cps.ErrContent) || strings.Contains(err.Error(), fmt.Sprintf("%X", spoilt[:4])) {
		t.Errorf("a key that does not match its check value: %v", err)
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	c := issued(t, cardtest.Options{})
	value := c.Keys.Card.AC.Reveal()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, c)
		if strings.Contains(strings.ToUpper(text), fmt.Sprintf("%X", value[:4])) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func FuzzRead(f *testing.F) {
	c := issued(f, cardtest.Options{Contact: true})
	c.Keys.Private = oda.PrivateKey{} // checking primes takes most of the time
	f.Add(written(f, c).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := cps.Parse(b)
		if err != nil {
			return
		}
		if chip, err := Read(c.Application.AID, list); err == nil {
			_, _ = Write(&chip.Application, &chip.State, &chip.Keys) // must not panic
		}
	})
}
