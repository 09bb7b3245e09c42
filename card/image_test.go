package card_test

import (
	"bytes"
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
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// What cannot be a card is refused when it is built, not when it is tapped.
func TestImageRefused(t *testing.T) {
	first := func(change func(*card.Application)) func(*card.Image) {
		return func(image *card.Image) { change(&image.Applications[0]) }
	}
	dol := func(hex string) emv.DOL {
		d, err := emv.ParseDOL(unhex(t, hex))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, change := range map[string]func(*card.Image){
		"no application":           func(image *card.Image) { image.Applications = nil },
		"too many applications":    func(image *card.Image) { image.Applications = make([]card.Application, card.MaxApplications+1) },
		"twice the same":           func(image *card.Image) { image.Applications = append(image.Applications, image.Applications[0]) },
		"historical bytes":         func(image *card.Image) { image.Historical = make([]byte, 16) },
		"AID":                      first(func(a *card.Application) { a.AID = "\xA0" }),
		"label":                    first(func(a *card.Application) { a.Label = strings.Repeat("x", 17) }),
		"preferred name":           first(func(a *card.Application) { a.PreferredName = strings.Repeat("x", 17) }),
		"holder":                   first(func(a *card.Application) { a.Holder = strings.Repeat("x", 27) }),
		"language":                 first(func(a *card.Application) { a.Language = "z" }),
		"product":                  first(func(a *card.Application) { a.Product = []byte{1} }),
		"no track 2":               first(func(a *card.Application) { a.Track2 = pan.Track2{} }),
		"sequence":                 first(func(a *card.Application) { a.Sequence = "1" }),
		"sequence digits":          first(func(a *card.Application) { a.Sequence = "0x" }),
		"full contactless":         first(func(a *card.Application) { a.AIP[1] = 0x80 }),
		"algorithm":                first(func(a *card.Application) { a.Algorithm = 4 }),
		"cryptogram version":       first(func(a *card.Application) { a.CVN = 2 }),
		"PDOL without TTQ":         first(func(a *card.Application) { a.PDOL = a.PDOL[1:] }),
		"PDOL without anything":    first(func(a *card.Application) { a.PDOL = nil }),
		"PDOL too short for 01":    first(func(a *card.Application) { a.PDOL = dol("9F66049F02065F2A029F3704") }),
		"PDOL twice the same":      first(func(a *card.Application) { a.PDOL = append(a.PDOL, a.PDOL[0]) }),
		"PDOL with a short amount": first(func(a *card.Application) { a.PDOL = dol("9F66049F02045F2A029F3704") }),
		"two funds checks":         first(func(a *card.Application) { a.Processing.Set(emv.APLowValueOrCTTA) }),
		"no currency":              first(func(a *card.Application) { a.Currency = money.Currency{} }),
		"the same currency twice":  first(func(a *card.Application) { a.SecondCurrency = a.Currency }),
		"second currency alone":    first(func(a *card.Application) { a.SecondCurrency = money.MOP; a.Processing.Clear(emv.APLowValue) }),
		"no offline AFL":           first(func(a *card.Application) { a.OfflineAFL = nil }),
		"IDD":                      first(func(a *card.Application) { a.IDD = 6 }),
		"unknown to withhold":      first(func(a *card.Application) { a.Withhold = 0x80 }),
		"balance told in 9F10": first(func(a *card.Application) {
			a.Withhold = card.WithholdBalance
			a.Processing.Clear(emv.APReturnAvailable)
		}),
		"balance told in 9F5D": first(func(a *card.Application) { a.Withhold = card.WithholdBalance; a.IDD = 0 }),
		"record 0":             first(func(a *card.Application) { a.Records = append(a.Records, card.Record{SFI: 5}) }),
		"file 31":              first(func(a *card.Application) { a.Records = append(a.Records, card.Record{SFI: 31, Number: 1}) }),
		"record twice":         first(func(a *card.Application) { a.Records = append(a.Records, a.Records[0]) }),
		"record not TLV": first(func(a *card.Application) {
			a.Records = append(a.Records, card.Record{SFI: 5, Number: 1, Body: []byte{0x5A, 9}})
		}),
		"record too long": first(func(a *card.Application) {
			a.Records = append(a.Records, card.Record{SFI: 5, Number: 1, Body: tlv.Append(nil, 0x5A, make([]byte, 252))})
		}),
		"AFL of a missing record": first(func(a *card.Application) { a.OnlineAFL = emv.AFL{{SFI: 3, First: 1, Last: 2}} }),
		"AFL twice the same": first(func(a *card.Application) {
			a.OnlineAFL = emv.AFL{{SFI: 3, First: 1, Last: 1}, {SFI: 3, First: 1, Last: 1}}
		}),
		"AFL malformed":         first(func(a *card.Application) { a.OfflineAFL = emv.AFL{{SFI: 3, First: 2, Last: 1}} }),
		"last record certified": first(func(a *card.Application) { a.OfflineAFL = a.OfflineAFL[:3] }),
		"last record can grow":  first(func(a *card.Application) { a.Records[3].Body = tlv.Append(nil, 0x5A, make([]byte, 244)) }),
		"log without a file":    first(func(a *card.Application) { a.Log = card.LogLayout{} }),
		"log in a record file":  first(func(a *card.Application) { a.Log.SFI = 3 }),
		"log in a used file":    first(func(a *card.Application) { a.Records = append(a.Records, card.Record{SFI: 0x0B, Number: 1}) }),
		"log record too long":   first(func(a *card.Application) { a.Log.Format = emv.DOL{{Tag: emv.TagMerchantName, Len: 65}} }),
		"log record empty":      first(func(a *card.Application) { a.Log.Format = nil }),
		"answer too long": first(func(a *card.Application) {
			for n := byte(5); n < 20; n++ {
				a.OfflineAFL = append(emv.AFL{{SFI: 3, First: 1, Last: 1}}, a.OfflineAFL...)
			}
		}),
		"negative balance":        func(image *card.Image) { image.State.Applications[0].Purses[0].Balance = -1 },
		"balance above its limit": func(image *card.Image) { image.State.Applications[0].Purses[0].Balance = 100001 },
		"amount above n12":        func(image *card.Image) { image.State.Applications[0].Purses[1].SingleLimit = card.MaxMinor + 1 },
		"cumulative":              func(image *card.Image) { image.State.Applications[0].Cumulative = -1 },
		"PIN tries":               func(image *card.Image) { image.State.Applications[0].PINTries = 16 },
	} {
		if _, _, err := cardtest.Issue(cardtest.Options{Change: change}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "62999910") {
			t.Errorf("%s: the error tells the number: %v", name, err)
		}
	}
}

func TestNewArguments(t *testing.T) {
	_, issued := cardtest.New(t, cardtest.Options{})
	random := bytes.NewReader(nil)
	unsigned := card.NewSoftCrypto(issued.Suite, issued.CardKeys, oda.PrivateKey{})
	for name, build := range map[string]func() (*card.Card, error){
		"no image":  func() (*card.Card, error) { return card.New(nil, issued.Crypto, nil, random) },
		"no keys":   func() (*card.Card, error) { return card.New(&issued.Image, nil, nil, random) },
		"no random": func() (*card.Card, error) { return card.New(&issued.Image, issued.Crypto, nil, nil) },
		"no suite":  func() (*card.Card, error) { return card.New(&issued.Image, &card.SoftCrypto{}, nil, random) },
		"keyring too long": func() (*card.Card, error) {
			return card.New(&issued.Image, card.Keyring{issued.Crypto, issued.Crypto}, nil, random)
		},
		"promised signature": func() (*card.Card, error) { return card.New(&issued.Image, unsigned, nil, random) },
	} {
		if _, err := build(); !errors.Is(err, card.ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := unsigned.SignFDDA(1, oda.FDDAInput{}); err == nil {
		t.Error("signed without a key")
	}
	if _, err := card.New(&issued.Image, issued.Crypto, nil, random); err != nil {
		t.Errorf("without a memory: %v", err)
	}
}

// unreadable is a memory that cannot be read any more.
type unreadable struct{ card.Memory }

func (unreadable) Load() (card.State, error) { return card.State{}, errors.New("cell is worn out") }

func TestMemoryUnreadable(t *testing.T) {
	_, issued := cardtest.New(t, cardtest.Options{})
	if _, err := card.New(&issued.Image, issued.Crypto, unreadable{}, bytes.NewReader(nil)); err == nil {
		t.Error("a card without a state")
	}
}

// Two applications have keys of their own.
func TestKeyring(t *testing.T) {
	_, issued := cardtest.New(t, cardtest.Options{})
	twoApplications(&issued.Image)
	masters := issued.Masters
	masters.AC, masters.MAC = masters.MAC, masters.AC
	other := *issued
	other.CardKeys = issued.Suite.CardKeys(masters, issued.PAN, "02")
	third := cryptogram.CardKeys{}
	ring := card.Keyring{issued.Crypto, card.NewSoftCrypto(issued.Suite, other.CardKeys, oda.PrivateKey{}), card.NewSoftCrypto(issued.Suite, third, oda.PrivateKey{})}
	for i := 1; i < 3; i++ {
		issued.Image.Applications[i].AIP = emv.AIP{}
	}
	c, err := card.New(&issued.Image, ring, nil, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	r := present(t, c, issued)
	s := sale{ttq: onlineOnly, amount: 100}
	if !cryptogramOK(t, issued, r.pay(s), s) {
		t.Error("first application")
	}
	r.aid = emv.AIDCredit
	gpo := r.pay(s)
	if !cryptogramOK(t, &other, gpo, s) || cryptogramOK(t, issued, gpo, s) {
		t.Error("second application")
	}
	// Purses and counters are apart too.
	state := c.State()
	if state.Applications[0].ATC != 2 || state.Applications[1].ATC != 2 || state.Applications[2].ATC != 1 {
		t.Error("counters are mixed up")
	}
	// The keyring itself is the first application's keys.
	if data := []byte{1}; true {
		a, _ := ring.Cryptogram(1, data)
		b, _ := ring[0].Cryptogram(1, data)
		m, _ := ring.IDDMAC(1, data)
		n, _ := ring[0].IDDMAC(1, data)
		if a != b || m != n || ring.SignatureLength() != 128 {
			t.Error("keyring")
		}
		if _, err := ring.SignFDDA(1, oda.FDDAInput{}); err != nil {
			t.Error(err)
		}
	}
}

func TestImageEncoding(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		twoApplications(image)
		image.NoContactless = true
		a := &image.Applications[1]
		a.SecondCurrency, a.Product, a.Holder, a.Withhold = money.MOP, bytes.Repeat([]byte{1}, 16), "LIN", card.WithholdLog
		a.OnlineAFL = emv.AFL{{SFI: 3, First: 1, Last: 1}}
		a.Discretionary.Set(emv.TagLoadLogEntry, []byte{0x0C, 0x0A})
	}})
	b, err := issued.Image.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read card.Image
	if err := read.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	again, err := read.MarshalBinary()
	if err != nil || !bytes.Equal(b, again) {
		t.Fatalf("read back differently: %v", err)
	}
	other, err := card.New(&read, issued.Crypto, nil, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []*card.Card{c, other} {
		one.PowerOn(card.Contact)
	}
	selectIt := apdu.Select(emv.AIDCredit.Bytes()).Bytes()
	x, _ := c.Process(selectIt)
	y, _ := other.Process(selectIt)
	if !bytes.Equal(x, y) || c.State() != other.State() {
		t.Error("the card read back is another")
	}
	for _, bad := range [][]byte{nil, []byte("{}"), b[:len(b)-1], bytes.Replace(b, []byte(`"Version":1`), []byte(`"Version":2`), 1),
		bytes.Replace(b, []byte(`"CNY"`), []byte(`"ZZZ"`), 1), bytes.Replace(b, []byte(`"CTQ":"AAA="`), []byte(`"CTQ":"AAAA"`), 1)} {
		var image card.Image
		if err := image.UnmarshalBinary(bad); err == nil {
			t.Errorf("accepted %.40q…", bad)
		}
	}
}

func TestStateEncoding(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	r.tap(sale{ttq: offlineGate, amount: 1})
	state := c.State()
	b, err := state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read card.State
	if err := read.UnmarshalBinary(b); err != nil || read != state {
		t.Fatalf("read back differently: %v", err)
	}
	for name, change := range map[string]func(*card.State){
		"balance":     func(s *card.State) { s.Applications[3].Purses[1].Balance = 1 },
		"log count":   func(s *card.State) { s.Applications[0].Log.Count = 11 },
		"log record":  func(s *card.State) { s.Applications[0].Log.Records[9].Length = 65 },
		"last record": func(s *card.State) { s.Applications[0].LastRecord.Length = 257 },
		"load log":    func(s *card.State) { s.Applications[0].LoadLog.Count = 11 },
		"load record": func(s *card.State) { s.Applications[0].LoadLog.Records[0].Length = 65 },
		"scripts":     func(s *card.State) { s.Applications[0].History.ScriptCount = 16 },
		"setting":     func(s *card.State) { s.Applications[0].Settings[0].Length = 2 },
		"PIN":         func(s *card.State) { s.Applications[0].PIN = card.StoredPIN{0x24, 0x12} },
		"changed":     func(s *card.State) { s.Updated[0].Length = 257 },
		"changed by":  func(s *card.State) { s.Updated[0].Application = 4 },
		"extended":    func(s *card.State) { s.Extended[0].Length = 129 },
		"extended of": func(s *card.State) { s.Extended[0].Application = 4 },
		"set aside":   func(s *card.State) { s.Applications[0].Preauths[0].Amount = 1 },
		"advanced":    func(s *card.State) { s.Applications[0].SegmentUsed = -1 },
	} {
		bad := state
		change(&bad)
		b, err := bad.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := read.UnmarshalBinary(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	flag := bytes.Clone(b)
	flag[1] = 2
	for _, bad := range [][]byte{nil, flag, b[1:], b[:len(b)-1], append(bytes.Clone(b), 0), append([]byte{1}, b[1:]...), append([]byte{3}, b[1:]...)} {
		if err := read.UnmarshalBinary(bad); err == nil {
			t.Errorf("accepted %d bytes", len(bad))
		}
	}
	if read != state {
		t.Error("a failed decoding changed the state")
	}
}

// Nothing prints a number, a name or a key.
func TestMasking(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) { image.Applications[0].Holder = "XU/XIAOMEI" }})
	number := issued.PAN.Reveal()
	key := issued.CardKeys.AC.Reveal()
	a := issued.Image.Applications[0]
	for _, v := range []any{issued.Image, &issued.Image, a, &a, a.Records[2], a.Records, issued.Crypto, issued.Image.State, c, issued, card.Keyring{issued.Crypto}} {
		marshalled, _ := json.Marshal(v)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v) + string(marshalled)
			for _, secret := range []string{number, "XIAOMEI", fmt.Sprintf("%x", key), fmt.Sprintf("%d", key[:4]), number[:12], fmt.Sprintf("%x", []byte(number))} {
				if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
					t.Errorf("%T with %s tells a secret", v, verb)
				}
			}
		}
	}
}
