package card_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/pinblock"
)

// An image with everything in it is written and read back, and makes the same card.
func TestWholeImageEncoding(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) {
		image.Interfaces, image.NoPSE = card.Contact, true
		a := &image.Applications[0]
		a.Extended, a.Files = emv.ExtendedIndicator{1}, []card.ExtendedFile{{SFI: merchantFile}}
		a.Contact.PINTryLimit, a.Contact.PINVariant = 5, cryptogram.PINVariantAC
	})
	b, err := issued.Image.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read card.Image
	if err := read.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if again, err := read.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		t.Errorf("written again differently: %v", err)
	}
	twin, err := card.New(&read, issued.Crypto, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []apdu.Command{
		apdu.Select([]byte(emv.PSE)), apdu.Select(emv.AIDDebit.Bytes()), apdu.GPO(unhex(t, "010000000010000156")), apdu.ReadRecord(5, 2), apdu.ReadRecord(5, 1),
		apdu.GetData(emv.TagLoadLogFormat),
	} {
		for _, chip := range []*card.Card{c, twin} {
			if cmd.INS == apdu.InsSelect && cmd.Data[0] == '1' {
				chip.PowerOn(card.Contact)
			}
		}
		one, err := c.Process(cmd.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		two, err := twin.Process(cmd.Bytes())
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%v: %X and %X, %v", cmd, one, two, err)
		}
	}
	// An image from before there was any of this has none of it.
	_, plain := cardtest.New(t, cardtest.Options{})
	b, err = plain.Image.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"Contact\":{", "LoadLog", "Files", "Interfaces", "NoPSE", "Updatable"} {
		if bytes.Contains(b, []byte(word)) {
			t.Errorf("an image without a contact profile writes %s", word)
		}
	}
	for _, bad := range []string{`"PDOL":"nw=="`, `"AIP":"AA=="`, `"AFL":"AA=="`} {
		whole, err := issued.Image.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		key, _, _ := strings.Cut(bad, ":")
		at := bytes.LastIndex(whole, []byte(key))
		end := at + bytes.IndexByte(whole[at:], ',')
		bent := append(append(bytes.Clone(whole[:at]), bad...), whole[end:]...)
		if err := read.UnmarshalBinary(bent); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
}

// Neither the PIN nor a record's key nor anything of the state is printed.
func TestStateMasking(t *testing.T) {
	c, _ := contactCard(t, nil)
	s := c.State()
	s.Extended[0] = card.ExtendedRecord{Length: 3, Key: card.RecordKey{0xDE, 0xAD, 0xBE, 0xEF}}
	for _, v := range []any{s, &s, s.Applications[0], s.Applications[0].PIN, s.Extended[0].Key, struct{ P card.StoredPIN }{s.Applications[0].PIN}} {
		marshalled, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := strings.ToLower(fmt.Sprintf(verb, v) + string(marshalled))
			for _, secret := range []string{"242468", "36, 36, 104", "[36 36 104", "deadbeef", "222, 173", "222 173"} {
				if strings.Contains(text, secret) {
					t.Errorf("%T with %s tells a secret: %s", v, verb, text)
				}
			}
		}
	}
	if got := s.Applications[0].PIN.LogValue().String() + s.Applications[0].PIN.String() + s.Extended[0].Key.String() + s.Applications[0].String(); strings.Contains(got, "24") {
		t.Errorf("%q", got)
	}
}

// A keyring acts for the first application where a Crypto is asked for.
func TestKeyringActsForTheFirst(t *testing.T) {
	_, issued := contactCard(t, nil)
	ring := card.Keyring{issued.Crypto}
	ac, arc := [8]byte{1, 2, 3}, [2]byte{'0', '0'}
	same := func(name string, one, two any, err error) {
		t.Helper()
		if err != nil || fmt.Sprint(one) != fmt.Sprint(two) {
			t.Errorf("%s: %v and %v, %v", name, one, two, err)
		}
	}
	one, err := issued.Crypto.ARPC(7, ac, arc)
	two, err2 := ring.ARPC(7, ac, arc)
	same("ARPC", one, two, errors.Join(err, err2))
	m1, err := issued.Crypto.ScriptMAC(7, [5]byte{4}, ac, nil)
	m2, err2 := ring.ScriptMAC(7, [5]byte{4}, ac, nil)
	same("script MAC", m1, m2, errors.Join(err, err2))
	m1, err = issued.Crypto.MAC(7, ac[:])
	m2, err2 = ring.MAC(7, ac[:])
	same("MAC", m1, m2, errors.Join(err, err2))
	s1, err := issued.Crypto.SignDynamic(ac[:], ac[:])
	s2, err2 := ring.SignDynamic(ac[:], ac[:])
	same("signature", s1, s2, errors.Join(err, err2))
	combined := oda.Combined{Number: ac[:], CID: 0x80, Cryptogram: ac}
	s1, err = issued.Crypto.SignCombined(combined, [4]byte{}, ac[:])
	s2, err2 = ring.SignCombined(combined, [4]byte{}, ac[:])
	same("combined signature", s1, s2, errors.Join(err, err2))
	if _, ok := ring.DecipherPIN(make([]byte, ring.PINLength()), ac); ok || ring.PINLength() != issued.Crypto.PINLength() {
		t.Error("deciphered nothing")
	}
	data := issued.Suite.EncipherPINChange(issued.CardKeys, 7, cryptogram.PINVariantENC, cardtest.HolderPIN(), pinblock.PIN{})
	if pin, err := ring.DecipherPINChange(7, ac, cryptogram.PINVariantENC, data, pinblock.PIN{}); err != nil || !pin.Equal(cardtest.HolderPIN()) {
		t.Errorf("PIN change: %v", err)
	}
	// A card without an ICC key.
	bare := card.NewSoftCrypto(issued.Suite, issued.CardKeys, oda.PrivateKey{})
	if _, err := bare.SignDynamic(ac[:], ac[:]); err == nil {
		t.Error("signed without a key")
	}
	if _, err := bare.SignCombined(combined, [4]byte{}); err == nil {
		t.Error("signed without a key")
	}
	if _, err := card.New(&issued.Image, bare, nil, rand.Reader); err == nil {
		t.Error("a card that promises signatures has no key")
	}
}

// A key of its own for enciphered PINs [EMV B2 7.1].
func TestPINKey(t *testing.T) {
	_, long := cardtest.New(t, cardtest.Options{LongKey: true})
	_, issued := contactCard(t, nil)
	keys := card.NewSoftCrypto(issued.Suite, issued.CardKeys, issued.Key).WithPINKey(long.Key)
	c, err := card.New(&issued.Image, keys, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := insert(t, c, issued)
	i.open(false)
	i.send(apdu.GetChallenge(), apdu.OK)
	i.send(apdu.Verify(apdu.VerifyEnciphered, make([]byte, 128)), apdu.WrongLength)
	i.send(apdu.GetChallenge(), apdu.OK)
	i.send(apdu.Verify(apdu.VerifyEnciphered, make([]byte, 144)), apdu.WrongPIN(2))
}

// A card whose random numbers run dry says so and spends nothing.
func TestNoRandomNumbers(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Contact: true, Random: bytes.NewReader(nil)})
	i := insert(t, c, issued)
	i.open(true)
	const noDiagnosis apdu.SW = 0x6F00
	i.send(apdu.GetChallenge(), noDiagnosis)
	i.send(apdu.InternalAuthenticate(make([]byte, 4)), noDiagnosis)
	before := c.State()
	i.send(apdu.GenerateAC(0x50, i.list(emv.TagCDOL1).Build(nil, i.terminalData(true, ""))), noDiagnosis)
	if c.State() != before {
		t.Error("state changed without a cryptogram")
	}
}

// After a write that lost its power only the memory knows what it holds.
func TestStaleState(t *testing.T) {
	memory := &brokenMemory{}
	c, issued := cardtest.New(t, cardtest.Options{Memory: func(s card.State) card.Memory {
		memory.Memory = card.NewVolatile(s)
		return memory
	}})
	r := present(t, c, issued)
	r.selectApplication()
	memory.torn = true
	r.try(r.gpo(sale{ttq: offlineGate, amount: 1}))
	written, err := memory.Memory.Load()
	if err != nil {
		t.Fatal(err)
	}
	written.Applications[0].ATC = 77 // the write came through after all
	if err := memory.Memory.Commit(&written); err != nil {
		t.Fatal(err)
	}
	if got := c.State().Applications[0].ATC; got != 77 {
		t.Errorf("counter %d", got)
	}
}

// A load leaves room for what pre-authorisations have set aside [REF 2.8]; the limit in two currencies is an amount.
func TestLoadBesidePreauthorisation(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) {
		image.State.Applications[0].Preauths[0] = card.Preauthorization{Open: true, SFI: merchantFile, ID: [2]byte{1, 2}, Amount: 5000}
		a := &image.Applications[0]
		a.Objects.Set(emv.TagSecondCurrency, []byte{0x08, 0x40})
		a.Objects.Set(emv.TagConversionFactor, []byte{0x20, 0, 7, 0x12})
		a.Objects.Set(emv.TagDualCurrencyLimit, bcd(1000))
		a.Contact.Checks |= card.CheckDual
	})
	i := insert(t, c, issued)
	ac := i.online()
	for _, row := range []struct {
		tag  uint16
		data []byte
		want apdu.SW
	}{
		{0x9F79, bcd(95_001), apdu.LoadLimitExceeded}, {0x9F79, bcd(95_000), apdu.OK},
		{0x9F75, []byte{0xAA, 0, 0, 0, 0, 0}, apdu.WrongData}, {0x9F75, bcd(500), apdu.OK}, {0x9F73, []byte{0x10, 0, 0, 0x71}, apdu.OK},
	} {
		i.send(i.seal(4, apdu.InsPutData, byte(row.tag>>8), byte(row.tag), row.data, ac), row.want)
	}
	if got := i.amount(emv.TagDualCurrencyLimit); got != 500 {
		t.Errorf("limit %d", got)
	}
	i.settle()
	i.sale = sale{amount: 80, currency: 0x0840} // 568 at the new factor
	i.open(false)
	i.generate(emv.TC, emv.ARQC, false, "")
}

// The dialogue is the same under every suite: cryptograms, issuer authentication, loads and PIN changes.
func TestOtherSuites(t *testing.T) {
	for _, suite := range []cryptogram.Suite{cryptogram.SM4(), cryptogram.AES()} {
		_, issued := contactCard(t, nil)
		issued.Suite, issued.CardKeys = suite, suite.CardKeys(issued.Masters, issued.PAN, issued.Sequence)
		issued.Image.Applications[0].Algorithm = suite.AlgorithmID()
		c, err := card.New(&issued.Image, card.NewSoftCrypto(suite, issued.CardKeys, issued.Key), nil, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		i := insert(t, c, issued)
		ac := i.online()
		data := suite.EncipherPINChange(issued.CardKeys, i.atc(), cryptogram.PINVariantENC, cardtest.HolderPIN(), cardtest.HolderPIN())
		i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINChangeWithOldPIN, data[:], ac), apdu.OK)
		i.settle()
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(100), ac), apdu.OK)
		i.open(true)
		i.sale.amount = 1000
		if got := i.state().Purses[0].Balance; got != 100 {
			t.Errorf("%v: balance %d", suite.Cipher(), got)
		}
	}
}
