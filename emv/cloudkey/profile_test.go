package cloudkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/money"
	"tapnet/pan"
)

func profile(t testing.TB) *Profile {
	t.Helper()
	number, err := pan.CompleteLuhn("62999812345678901")
	if err != nil {
		t.Fatal(err)
	}
	expiry, err := pan.ParseExpiry("2911")
	if err != nil {
		t.Fatal(err)
	}
	track2, err := pan.NewTrack2(number, expiry, "201", "")
	if err != nil {
		t.Fatal(err)
	}
	return &Profile{
		Token: token, Device: device, Scheme: SchemeQCK1, AID: emv.AIDDebit, Label: "TAPNET DEBIT", Priority: 1, Language: "zh",
		PDOL: emv.DOL{{Tag: emv.TagTTQ, Len: 4}}, AIP: emv.AIP{0x10, 0}, Track2: track2, Sequence: "01", DKI: 1, CVN: 1, Algorithm: 1, Currency: money.CNY,
		OpenLimit: 100, AFL: emv.AFL{{SFI: 1, First: 1, Last: 1}}, Records: []ProfileRecord{{1, 1, []byte{0x5F, 0x24, 3, 0x29, 0x11, 0x30}}},
		Ratchet: secret(1), Bindings: []Binding{{ClassOpen, []byte{1, 2, 3}}},
	}
}

func TestProfile(t *testing.T) {
	p := profile(t)
	b, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseProfile(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Bytes()
	if err != nil || !bytes.Equal(again, b) || back.Track2 != p.Track2 || back.Ratchet != p.Ratchet {
		t.Errorf("%v: %v", back, err)
	}
	if suite, err := back.Suite(); err != nil || suite.AlgorithmID() != 1 {
		t.Error(err)
	}
	if got := BindingAlias(token, ClassPassword); got != "bind/tok-1/2" {
		t.Errorf("alias %s", got)
	}
}

func TestProfilePrintsNothing(t *testing.T) {
	p := profile(t)
	marshalled, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %x %v %+v %s", p, p, p, p, p, *p, p.Records, marshalled)
	for _, hidden := range []string{p.Track2.PAN().Reveal(), fmt.Sprintf("%x", p.Track2.PAN().BCD()), "0101010101", "291130"} {
		if strings.Contains(text, hidden) {
			t.Errorf("prints %s…", hidden[:4])
		}
	}
}

func TestImpossibleProfiles(t *testing.T) {
	for name, change := range map[string]func(*Profile){
		"token":              func(p *Profile) { p.Token = "a b" },
		"device":             func(p *Profile) { p.Device = "" },
		"scheme":             func(p *Profile) { p.Scheme = 7 },
		"algorithm":          func(p *Profile) { p.Algorithm = 2 },
		"no track 2":         func(p *Profile) { p.Track2 = pan.Track2{} },
		"no currency":        func(p *Profile) { p.Currency = money.Currency{} },
		"no ratchet":         func(p *Profile) { p.Ratchet = Secret{} },
		"no label":           func(p *Profile) { p.Label = "" },
		"long label":         func(p *Profile) { p.Label = "A LABEL OF 17 LET" },
		"language":           func(p *Profile) { p.Language = "z" },
		"sequence":           func(p *Profile) { p.Sequence = "1" },
		"sequence letters":   func(p *Profile) { p.Sequence = "0x" },
		"full dialogue":      func(p *Profile) { p.AIP.Set(emv.AIPFullContactless) },
		"offline signature":  func(p *Profile) { p.AIP.Set(emv.AIPDDA) },
		"negative limit":     func(p *Profile) { p.OpenLimit = -1 },
		"record address":     func(p *Profile) { p.Records[0].SFI = 31 },
		"record 0":           func(p *Profile) { p.Records[0].Number = 0 },
		"record is no TLV":   func(p *Profile) { p.Records[0].Body = []byte{0x5F} },
		"long record":        func(p *Profile) { p.Records[0].Body = make([]byte, 201) },
		"too many records":   func(p *Profile) { p.Records = make([]ProfileRecord, 9) },
		"record is missing":  func(p *Profile) { p.Records = nil },
		"class of a binding": func(p *Profile) { p.Bindings[0].Class = 3 },
		"long binding":       func(p *Profile) { p.Bindings[0].Wrapped = make([]byte, MaxEnvelopeBytes+1) },
		"too many bindings":  func(p *Profile) { p.Bindings = make([]Binding, 4) },
	} {
		p := profile(t)
		change(p)
		if _, err := p.Bytes(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := profile(t).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "{", "version": strings.Replace(string(b), `"Version":1`, `"Version":2`, 1), "unknown field": strings.Replace(string(b), `"Label"`, `"Lable"`, 1),
		"AID": strings.Replace(string(b), `"AID":"oAAAAzMBAQE="`, `"AID":"oA=="`, 1), "followed": string(b) + "{}", "long": string(b) + strings.Repeat(" ", MaxProfileBytes),
		"currency": strings.Replace(string(b), `"CNY"`, `"ZZZ"`, 1), "salt": strings.Replace(string(b), `"Salt":"AAAA`, `"Salt":"`, 1),
	} {
		if _, err := ParseProfile([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseProfile: JSON has many spellings, so what is accepted is written in ours and read to the same.
func FuzzParseProfile(f *testing.F) {
	b, err := profile(f).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProfile(b)
		if err != nil {
			return
		}
		first, err := p.Bytes()
		if err != nil {
			t.Fatalf("accepted profile cannot be written: %v", err)
		}
		again, err := ParseProfile(first)
		if err != nil {
			t.Fatalf("written profile cannot be read: %v", err)
		}
		if second, err := again.Bytes(); err != nil || !bytes.Equal(first, second) {
			t.Error("written profile changes")
		}
	})
}
