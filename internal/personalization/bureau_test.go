package personalization

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/hsm"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/terminal"
)

var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// keyNames are those of the tests' HSM.
func keyNames() KeyNames {
	return KeyNames{
		MasterAC: "ac", MasterMAC: "mac", MasterENC: "enc", SM4: MasterNames{"ac-sm4", "mac-sm4", "enc-sm4"}, AES: MasterNames{"ac-aes", "mac-aes", "enc-aes"},
		Transport: "transport", Fingerprint: "fingerprint", PANSeal: "seal", PINReference: "pin",
	}
}

// vault is an issuer's HSM with masters of every cipher.
var vault = sync.OnceValue(func() *hsm.HSM {
	h := hsm.New(rand.NewChaCha8([32]byte{1}))
	n := keyNames()
	type row struct {
		name      string
		usage     hsm.Usage
		mode      hsm.Mode
		algorithm hsm.Algorithm
	}
	rows := []row{
		{n.Transport, hsm.UsagePersonalization, hsm.ModeBoth, hsm.AES256}, {n.Fingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
		{n.PANSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256}, {n.PINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES256},
	}
	for _, m := range []struct {
		MasterNames
		algorithm hsm.Algorithm
	}{{MasterNames{n.MasterAC, n.MasterMAC, n.MasterENC}, hsm.TDES}, {n.SM4, hsm.SM4}, {n.AES, hsm.AES128}} {
		rows = append(rows, row{m.AC, hsm.UsageEMVAC, hsm.ModeDerive, m.algorithm}, row{m.MAC, hsm.UsageEMVMAC, hsm.ModeDerive, m.algorithm},
			row{m.ENC, hsm.UsageEMVENC, hsm.ModeDerive, m.algorithm})
	}
	for _, r := range rows {
		if _, err := h.Generate(r.name, r.usage, r.mode, r.algorithm, hsm.NotExportable); err != nil {
			panic(err)
		}
	}
	return h
})

// world is the demo's with cards of one's own.
func world(t testing.TB, cards ...CardSpec) *Profile {
	t.Helper()
	p, err := Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	p.Cards = cards
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// specOf is a card of a product.
func specOf(t testing.TB, product, carrier, algorithms string) CardSpec {
	t.Helper()
	of, err := FindProduct(product)
	if err != nil {
		t.Fatal(err)
	}
	s := CardSpec{Name: "card", Holder: "LIN/TEST", Issuer: "10010000", Product: product, Carrier: carrier, Crypto: algorithms, Serial: 77, Sequence: "01",
		Expiry: "3012", PIN: "2468", Balance: "1000.00"}
	if of.Applications[0].Purse != nil {
		s.Purse = "87.50"
	}
	if of.Applications[0].SecondPurse != nil {
		s.SecondPurse = "40.00"
	}
	if of.linked() {
		s.LinkedPurse = "30.00"
	}
	return s
}

// issued is a card in somebody's hand.
type issued struct {
	*Card
	testing.TB
	profile *Profile
	chip    *card.Card
}

func issue(t testing.TB, product, carrier, algorithms string) *issued {
	t.Helper()
	p := world(t, specOf(t, product, carrier, algorithms))
	c, err := p.Personalize("card", vault(), keyNames())
	if err != nil {
		t.Fatal(err)
	}
	return &issued{Card: c, TB: t, profile: p, chip: chipOf(t, c.Image, c.Crypto)}
}

func chipOf(t testing.TB, image card.Image, crypto card.Crypto) *card.Card {
	t.Helper()
	chip, err := card.New(&image, crypto, nil, rand.NewChaCha8([32]byte{2}))
	if err != nil {
		t.Fatal(err)
	}
	return chip
}

func yuan(minor int64) money.Amount { return money.New(minor, money.CNY) }

// till is a terminal that pays offline up to a floor and knows every test authority; aids are what it accepts besides UnionPay's.
func (c *issued) till(floor int64, sm bool, aids ...emv.AID) *terminal.Terminal {
	c.Helper()
	return c.tillIn(money.CNY, floor, sm, aids...)
}

func (c *issued) tillIn(currency money.Currency, floor int64, sm bool, aids ...emv.AID) *terminal.Terminal {
	c.Helper()
	yuan := func(minor int64) money.Amount { return money.New(minor, currency) }
	authorities, err := oda.NewKeys(c.profile.Authorities()...)
	if err != nil {
		c.Fatal(err)
	}
	limits := terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(floor), CVM: yuan(100_000)}
	tvr := func(s string) emv.TVR { return emv.TVR(unhex(s)) }
	config := terminal.Config{
		Country: 156, Currency: currency, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: rand.NewChaCha8([32]byte{3}),
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xF9, 0xC8}, Additional: emv.AdditionalTerminalCapabilities{0x70, 0, 0xF0, 0xB0, 1},
			MerchantName: "CANTEEN ONE", SerialNumber: "00000001", CAKeys: authorities, SM: sm},
		Contact: contact.Config{},
	}
	for _, aid := range append([]emv.AID{emv.UnionPayKernelPrefix}, aids...) {
		config.Combinations = append(config.Combinations, terminal.Combination{AID: aid, Kernel: emv.KernelUnionPay, Limits: limits})
		config.Contact.Applications = append(config.Contact.Applications, contact.Application{AID: aid, FloorLimit: yuan(floor), ECLimit: yuan(100_000),
			TACDefault: tvr("D84000A800"), TACOnline: tvr("D84004F800"), TACDenial: tvr("0010000000")})
	}
	term, err := terminal.New(config)
	if err != nil {
		c.Fatal(err)
	}
	return term
}

func request(minor int64) terminal.Request {
	return terminal.Request{Amount: yuan(minor), Other: yuan(0), Now: today, Counter: 1}
}

func (c *issued) tap(term *terminal.Terminal, r terminal.Request) terminal.Result {
	c.Helper()
	result, err := term.Tap(context.Background(), card.NewField(c.chip), r)
	if err != nil {
		c.Fatal(err)
	}
	return result
}

// verified checks a cryptogram as the issuer does, from the data record and the HSM alone.
func (c *issued) verified(number pan.Number, data emv.Data) bool {
	c.Helper()
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	if err != nil {
		c.Fatal(err)
	}
	suite, ok := cryptogram.Standard(iad.Algorithm)
	if !ok {
		c.Fatalf("algorithm %02X", iad.Algorithm)
	}
	masters, err := keyNames().masters(suite)
	if err != nil {
		c.Fatal(err)
	}
	input, err := suite.AppendData(nil, iad.CVN, iad.CVR, data, data)
	if err != nil {
		c.Fatal(err)
	}
	atc := data.Get(emv.TagATC)
	result, err := vault().VerifyCryptogram(hsm.CryptogramCheck{MasterKey: masters.AC, MACMasterKey: masters.MAC, PAN: number, Sequence: c.Spec.Sequence,
		ATC: uint16(atc[0])<<8 | uint16(atc[1]), Data: input, AC: [8]byte(data.Get(emv.TagAC)), Suite: suite})
	if err != nil {
		c.Fatal(err)
	}
	return result.OK
}

// host answers insertions as the bank does.
type host struct {
	*issued
	asked, pins int
	online      int // PINs for the issuer
}

func (h *host) people() terminal.People {
	return terminal.People{
		Online: func(_ context.Context, q contact.Online) (*contact.HostAnswer, error) {
			h.asked++
			if !h.verified(h.PAN, q.Data) {
				h.Error("the issuer cannot verify the cryptogram")
			}
			own := h.keys[0]
			if iad, err := emv.ParseIAD(q.Data.Get(emv.TagIAD)); err == nil && own.Second != nil && iad.Algorithm == cryptogram.AlgorithmSM4 {
				own = *own.Second
			}
			raw := q.Data.Get(emv.TagATC)
			arc := [2]byte{'0', '0'}
			session := own.Suite.SessionKey(own.Card.AC, uint16(raw[0])<<8|uint16(raw[1]))
			auth := cryptogram.IssuerAuthData(own.Suite.ARPC(session, [8]byte(q.Data.Get(emv.TagAC)), arc), arc)
			return &contact.HostAnswer{ARC: arc, Approved: true, IssuerAuth: auth[:], Code: "123456"}, nil
		},
		PIN: func(_ context.Context, p contact.PINRequest) (contact.Event, error) {
			h.pins++
			if p.Online {
				h.online++
				return contact.PINEntered{}, nil
			}
			return contact.PINEntered{PIN: h.PIN}, nil
		},
	}
}

func (h *host) insert(term *terminal.Terminal, minor int64) terminal.InsertResult {
	h.Helper()
	result, err := term.Insert(context.Background(), card.NewSlot(h.chip), terminal.InsertRequest{Request: request(minor)}, h.people())
	if err != nil {
		h.Fatal(err)
	}
	return result
}

// everyCard calls f with every product on every carrier.
func everyCard(t *testing.T, f func(t *testing.T, product Product, carrier Carrier)) {
	for _, p := range Products() {
		if p.Stripe {
			continue // no reader meets it
		}
		for _, c := range Carriers() {
			t.Run(p.Name+"/"+c.Name, func(t *testing.T) { f(t, p, c) })
		}
	}
}

func answers(t testing.TB, reader apdu.Transceiver, command apdu.Command) apdu.SW {
	t.Helper()
	b, err := reader.Transceive(context.Background(), command.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		t.Fatal(err)
	}
	return r.SW
}
