package personalization

import (
	"errors"
	"testing"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
)

// FuzzFromGroupings: whatever groupings say, there is an image or a refusal. An image that is a card comes back from its own encoding.
func FuzzFromGroupings(f *testing.F) {
	for _, product := range []string{"debit", "co-brand", "private"} {
		for _, algorithms := range Cryptos() {
			all, err := issue(f, product, "dual-interface", algorithms).Groupings()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(all[len(all)-1].List.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := cps.Parse(b)
		if err != nil {
			return
		}
		image, crypto, err := FromGroupings([]Instance{{emv.AIDDebit, list}})
		if err != nil {
			if !errors.Is(err, cps.ErrContent) {
				t.Fatal(err)
			}
			return
		}
		if _, err := card.New(&image, crypto, nil, zeros{}); err != nil {
			return
		}
		text, err := image.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again card.Image
		if err := again.UnmarshalBinary(text); err != nil {
			t.Errorf("a card's image does not come back: %v", err)
		}
	})
}

// FuzzParseProduct: a product is accepted whole or refused with what, why and what to do, and an accepted one makes a card or an error.
func FuzzParseProduct(f *testing.F) {
	f.Add(goodProduct)
	f.Add(goodCarrier)
	f.Add("name = \"x\"\n[[application]]\naid = \"A0000003330101\"")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProduct([]byte(text))
		if err != nil {
			isFault(t, text, err)
			return
		}
		spec := CardSpec{Name: "card", Issuer: "10010000", Product: p.Name, Carrier: "dual-interface", Serial: 1, Expiry: "3012", PIN: "1234"}
		world, err := Load("demo")
		if err != nil {
			t.Fatal(err)
		}
		world.Products, world.Cards = []Product{p}, []CardSpec{spec}
		if world.check() != nil {
			return
		}
		c, err := world.Personalize("card", vault(), keyNames())
		if err != nil {
			return
		}
		if _, err := card.New(&c.Image, c.Crypto, nil, zeros{}); err == nil {
			if _, err := c.Groupings(); err != nil {
				t.Errorf("a card that cannot be written: %v", err)
			}
		}
	})
}
