package personalization

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/kernel"
	"tapnet/tlv"
)

func marshalled(t testing.TB, image card.Image) []byte {
	t.Helper()
	b, err := image.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// From image to data groupings, through the commands of a personalization session, and back: nothing is lost, nothing is added, over all products, carriers,
// algorithms and everything that a card's specification can vary.
func TestImageThroughDataGroupings(t *testing.T) {
	products, carriers := Products(), Carriers()
	rapid.Check(t, func(rt *rapid.T) {
		spec := specOf(t, rapid.SampledFrom(products).Draw(rt, "product").Name, rapid.SampledFrom(carriers).Draw(rt, "carrier").Name,
			rapid.SampledFrom(Cryptos()).Draw(rt, "algorithms"))
		spec.Serial = rapid.IntRange(1, maxSerial/2).Draw(rt, "serial")
		spec.PIN = rapid.StringMatching("[0-9]{4,12}").Draw(rt, "PIN")
		spec.FDDA00, spec.LongKey = rapid.Bool().Draw(rt, "old signature"), rapid.Bool().Draw(rt, "long key")
		if rapid.Bool().Draw(rt, "plain") {
			spec.Carrier = ""
		}
		p := world(t, spec)
		c, err := p.Personalize(spec.Name, vault(), keyNames())
		if err != nil {
			rt.Fatal(err)
		}
		all, err := c.Groupings()
		if err != nil {
			rt.Fatal(err)
		}
		session, err := NewSession(TestPersonalizationKey(), uint16(rapid.IntRange(0, 0xFFFF).Draw(rt, "session")))
		if err != nil {
			rt.Fatal(err)
		}
		var received []Instance
		for _, instance := range all {
			commands, err := session.Commands(instance)
			if err != nil {
				rt.Fatal(err)
			}
			list, err := session.Receive(commands)
			if err != nil {
				rt.Fatal(err)
			}
			if !bytes.Equal(list.Bytes(), instance.List.Bytes()) {
				rt.Errorf("%v: the commands changed the groupings", instance.AID)
			}
			received = append(received, Instance{instance.AID, list})
		}
		image, _, err := FromGroupings(received)
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(marshalled(t, image), marshalled(t, c.Image)) {
			rt.Error("the image came back differently")
		}
	})
}

// A card made of its data groupings alone pays as the first does.
func TestCardFromDataGroupings(t *testing.T) {
	for _, product := range []string{"debit", "co-brand", "e-cash-alone"} {
		for _, algorithms := range Cryptos() {
			c := issue(t, product, "dual-interface", algorithms)
			all, err := c.Groupings()
			if err != nil {
				t.Fatal(err)
			}
			image, crypto, err := FromGroupings(all)
			if err != nil {
				t.Fatal(err)
			}
			c.chip = chipOf(t, image, crypto)
			if r := c.tap(c.till(5000, algorithms == CryptoSM), request(1250)); r.Outcome.Kind != kernel.Approved || !c.verified(c.PAN, r.Outcome.Data) {
				t.Errorf("%s, %s: %v", product, algorithms, r.Outcome.Reason)
			}
		}
	}
}

// The groupings of SELECT are what the card answers.
func TestSelectionGroupings(t *testing.T) {
	for _, product := range Products() {
		if product.Stripe {
			continue
		}
		c := issue(t, product.Name, "dual-interface", "")
		all, err := c.Groupings()
		if err != nil {
			t.Fatal(err)
		}
		for _, instance := range all {
			for id, present := range map[cps.DGI]func(*card.Card) *card.Field{cps.FCI: card.NewSlot, cps.FCIContactless: card.NewField} {
				if instance.AID == emv.PPSE && id == cps.FCI {
					present = card.NewField
				}
				g, ok := instance.List.Find(id)
				if !ok {
					continue
				}
				b, err := present(c.chip).Transceive(context.Background(), apdu.Select(instance.AID.Bytes()).Bytes())
				if err != nil {
					t.Fatal(err)
				}
				answer, _ := tlv.Find(b[:len(b)-2], emv.TagFCI)
				if !bytes.HasSuffix(answer, g.Reveal()) {
					t.Errorf("%s, %v, %v: the card answers %X, the grouping holds %X", product.Name, instance.AID, id, answer, g.Reveal())
				}
			}
		}
	}
}

// Groupings that make no card are refused and name where.
func TestBadGroupings(t *testing.T) {
	c := issue(t, "co-brand", "dual-interface", "")
	all, err := c.Groupings()
	if err != nil {
		t.Fatal(err)
	}
	at := len(all) - 2
	change := func(id cps.DGI, data []byte) []Instance {
		bad := append([]Instance{}, all...)
		bad[at].List = append(cps.List{}, bad[at].List...)
		g, err := cps.NewGrouping(id, data)
		if err != nil {
			t.Fatal(err)
		}
		bad[at].List = append(bad[at].List, g)
		return bad
	}
	for name, bad := range map[string][]Instance{
		"nothing":              nil,
		"directory alone":      all[:1],
		"settings":             change(EngineSettings, []byte{0xC1}),
		"settings empty":       change(EngineSettings, nil),
		"no template":          change(cps.FCIContactless, []byte{0x50, 1, 0x41}),
		"check values":         change(cps.KeyCheckValues, make([]byte, 9)),
		"two keys":             change(cps.CardKeys, make([]byte, 32)),
		"contact answer":       change(cps.GPOResponse, []byte{0x82, 1, 0}),
		"contactless answer":   change(cps.GPOResponseContactless, []byte{0x82, 2, 0, 0}),
		"issuer data":          change(cps.IssuerApplicationData, []byte{0x9F, 0x10, 1, 7}),
		"internal data":        change(cps.ContactInternalData, []byte{0x9F, 0x36, 1, 1}),
		"prime of another key": change(cps.ICCKeyP, make([]byte, 64)),
		"files without keys":   change(cps.ExtendedFiles, []byte{21}),
	} {
		if _, _, err := FromGroupings(bad); !errors.Is(err, cps.ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := append([]Instance{}, all[0])
	for range card.MaxApplications + 1 {
		many = append(many, all[at])
	}
	if _, _, err := FromGroupings(many); !errors.Is(err, cps.ErrContent) {
		t.Errorf("too many: %v", err)
	}
	c.Image.State.Applications[0].Log.Count = 1
	if _, err := c.Groupings(); err == nil {
		t.Error("a used card was written")
	}
}

// What has no place in the groupings is not written.
func TestUnwritable(t *testing.T) {
	for name, change := range map[string]func(*Card){
		"no application":        func(c *Card) { c.Image.Applications, c.keys = nil, nil },
		"an application's keys": func(c *Card) { c.keys = c.keys[:1] },
		"named as a directory":  func(c *Card) { c.Image.Applications[1].AID = emv.PPSE },
		"blocked":               func(c *Card) { c.Image.State.Blocked = true },
		"switched off":          func(c *Card) { c.Image.State.NoContactless = true },
		"state of a third":      func(c *Card) { c.Image.State.Applications[2].ATC = 1 },
		"application blocked":   func(c *Card) { c.Image.State.Applications[0].Blocked = true },
		"file without key":      func(c *Card) { c.Image.Applications[0].Files = []card.ExtendedFile{{SFI: 21}} },
	} {
		c := issue(t, "co-brand", "dual-interface", "")
		change(c.Card)
		if _, err := c.Groupings(); !errors.Is(err, errGroupings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSession(t *testing.T) {
	one, err := NewSession(TestPersonalizationKey(), 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewSession(TestPersonalizationKey(), 2)
	if err != nil {
		t.Fatal(err)
	}
	c := issue(t, "debit", "dual-interface", "")
	all, err := c.Groupings()
	if err != nil {
		t.Fatal(err)
	}
	instance := all[len(all)-1]
	commands, err := one.Commands(instance)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := instance.List.Find(cps.CardKeys)
	pin := c.Image.State.Applications[0].PIN
	for _, command := range commands {
		if bytes.Contains(command.Bytes(), secret.Reveal()[:8]) || bytes.Contains(command.Bytes(), pin[:]) {
			t.Error("a secret goes in clear")
		}
	}
	if list, err := two.Receive(commands); err == nil && bytes.Equal(list.Bytes(), instance.List.Bytes()) {
		t.Error("another session opens it")
	}
	if _, err := one.Receive(commands[:len(commands)-1]); err == nil {
		t.Error("accepted without the last command")
	}
	if _, err := one.Receive(commands[1:]); !errors.Is(err, cps.ErrSequence) {
		t.Errorf("without the first: %v", err)
	}
	text, err := json.Marshal(c.Card)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%X", secret.Reveal()[:8])
	for _, print := range []string{fmt.Sprintf("%v %+v %#v %x", one, one, one, one), fmt.Sprintf("%v %+v %#v %x", c.Card, c.Card, *c.Card, *c.Card), string(text),
		fmt.Sprintf("%v %+v %#v", instance, instance, all)} {
		if strings.Contains(strings.ToUpper(print), key) || strings.Contains(print, c.PAN.Reveal()) || strings.Contains(print, c.Spec.PIN) {
			t.Errorf("tells a secret: %s", print)
		}
	}
}
