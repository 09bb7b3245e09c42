package contact_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/tlv"
)

// The sessions are dialogues as text: ">" what the terminal sends, "<" what the card answers ("< gone" when it is taken out), "?" a
// question to people or to the host, "=" the outcome. Every byte sent is compared; -record records them again.
var record = flag.Bool("record", false, "record the sessions again")

var recorded = map[string]struct {
	comment string
	change  func(*scene)
}{
	"online-dda":    {"sale, offline PIN, DDA, the issuer approves with a script after the last cryptogram", scripts("7215 9F180400000001 860C 04DA9F540700000050000011 00")},
	"offline-cda":   {"sale approved offline, the cryptogram signed with CDA", with(cda, offline)},
	"enciphered":    {"sale with an enciphered PIN: GET CHALLENGE, then VERIFY", cvmList("0400")},
	"by-name":       {"no directory: the application is found by its name", func(s *scene) { s.pse = false }},
	"cash":          {"electronic cash [REF 2.9]", cash},
	"load":          {"load from the account: balance and limit first, the script writes the new balance [REF 5]", with(loads(contact.PurseLoad, 5000), puts(25_000))},
	"load-torn":     {"the card is taken out while the script runs", with(loads(contact.PurseLoad, 5000), puts(25_000), gone(17))},
	"declined-cash": {"a card for cash machines only", setTag(emv.TagUsageControl, "C200")},
}

func describe(o contact.Outcome) string {
	authentication := [...]string{"not performed", "passed", "failed"}[o.ODA.Status]
	return fmt.Sprintf("%v | %v | %v %s | TVR %s TSI %s CVM %s | scripts %X", o.Kind, o.Reason, o.Method, authentication, o.TVR.Hex(), o.TSI.Hex(), o.CVM.Hex(),
		o.Data.Get(emv.TagScriptResults))
}

// script writes a dialogue down while it is played.
func script(s *scene) string {
	var b bytes.Buffer
	m := contact.New(s.cfg, s.tx)
	a := m.Start()
	for a.Outcome == nil {
		if a.Send == nil {
			ev := s.people(a)
			fmt.Fprintf(&b, "\n? %s\n", strings.TrimPrefix(fmt.Sprintf("%T", ev), "contact."))
			a = m.Next(ev)
			continue
		}
		answer := s.reply(*a.Send)
		fmt.Fprintf(&b, "\n> %X # %s\n", a.Send.Bytes(), apdu.InstructionName(a.Send.INS).EN)
		if len(answer) == 0 {
			fmt.Fprintln(&b, "< gone")
			a = m.Next(contact.CardLost{})
			continue
		}
		fmt.Fprintf(&b, "< %X\n", answer)
		a = m.Next(contact.Response{Data: answer})
	}
	fmt.Fprintf(&b, "\n= %s\n", describe(*a.Outcome))
	return b.String()
}

func TestSessions(t *testing.T) {
	for name, r := range recorded {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			r.change(s)
			s.sign()
			got := fmt.Sprintf("source: made by the tests with TEST keys\ncomment: %s\n%s", r.comment, script(s))
			path := filepath.Join("testdata", "sessions", name+".apdu")
			if *record {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s has changed:\n%s", path, got)
			}
		})
	}
}

// realCard is the published trace of a real contact card [REF V-8]: its certificates and its signature are genuine. The records
// that the source does not give are laid out here; the two cryptograms are answered as recorded.
func realCard(t testing.TB) (*scene, map[string][]byte) {
	t.Helper()
	dump, err := oda.ParseDump(oda.ExampleDump())
	if err != nil {
		t.Fatal(err)
	}
	value := func(tag tlv.Tag) []byte {
		b, ok := dump.Value(tag)
		if !ok {
			t.Fatalf("the trace has no %v", tag)
		}
		return b
	}
	put := func(tags ...tlv.Tag) []byte {
		var b []byte
		for _, tag := range tags {
			b = tlv.Append(b, tag, value(tag))
		}
		return ok(tlv.Append(nil, emv.TagRecord, b))
	}
	static := unhex(t, `5F24033010315A0862109480000000115F3401019F0702FF008E0E00000000000000005E0342031F009F0D05D8609CA8009F0E0500100000009F0F05D8689CF8005F28020156
		8C1E9F02069F03069F1A0295055F2A029A039C019F37049F21039F4E149F34038D1C8A029F02069F03069F1A0295055F2A029A039C019F37049F21039B029F4A0182`)
	answers := map[string][]byte{
		"00A404000E315041592E5359532E444446303100": ok(unhex(t, "6F15840E315041592E5359532E4444463031A503880101")),
		"00B2010C00":                     ok(unhex(t, "701C611A4F08A000000333010102500B55494343204352454449548701 04")),
		"00B2020C00":                     sw(apdu.RecordNotFound),
		"00A4040008A00000033301010200":   ok(unhex(t, "6F3B8408A000000333010102A52F500B55494343204352454449548701015F2D02636E9F1101019F120B55494343204352454449 54BF0C059F4D020B0A")),
		"80A8000002830000":               ok(unhex(t, "800E7C00 08010100 10010501 20010100")),
		"00B2011400":                     ok(tlv.Append(nil, emv.TagRecord, static)),
		"00B2021400":                     put(emv.TagCAIndex, emv.TagIssuerExponent, emv.TagIssuerCertificate),
		"00B2031400":                     put(emv.TagIssuerRemainder, emv.TagICCExponent, emv.TagICCRemainder),
		"00B2041400":                     put(emv.TagICCCertificate),
		"00B2051400":                     put(emv.TagSSAD),
		"00B2012400":                     ok(tlv.Append(nil, emv.TagRecord, tlv.Append(nil, emv.TagDDOL, unhex(t, "9F3704")))),
		"0088000004" + "7863AFC6" + "00": ok(tlv.Append(nil, emv.TagResponse1, value(emv.TagSDAD))),
	}
	s := newScene(t)
	keys, err := oda.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range oda.PublishedCAKeys() {
		key.Expiry = ""
		if err := keys.Add(key); err != nil {
			t.Fatal(err)
		}
	}
	s.cfg.Terminal.CAKeys, s.cfg.Terminal.MerchantName = keys, ""
	s.cfg.Applications[0].Versions = []uint16{0x0030}
	s.cfg.Applications[0].FloorLimit = money.Amount{}
	s.tx.Country, s.tx.UnpredictableNumber = 36, [4]byte{0x78, 0x63, 0xAF, 0xC6}
	s.tx.Date = time.Date(2015, 3, 16, 16, 1, 36, 0, time.UTC)
	aud, err := money.CurrencyByNumber(36)
	if err != nil {
		t.Fatal(err)
	}
	s.tx.Amount, s.tx.Other = money.New(6580, aud), money.New(0, aud)
	return s, answers
}

func TestRealCardTrace(t *testing.T) {
	s, answers := realCard(t)
	const (
		first  = "80AE800037 000000006580 000000000000 0036 0000008000 0036 150316 00 7863AFC6 160136 0000000000000000000000000000000000000000 5E0300 00"
		second = "80AE40002B 3030 000000006580 000000000000 0036 0000008000 0036 150316 00 7863AFC6 160136 F800 00"
	)
	flat := func(hexes string) string { return fmt.Sprintf("%X", unhex(t, hexes)) }
	seconds := strings.Replace(flat(second), "80AE40002B", "80AE400024", 1)
	answers[flat(first)] = ok(unhex(t, "80138000 06B04398D218017BF907000103A0A80201"))
	answers[seconds] = ok(unhex(t, "80134000 06E5869B494D460AB40700010360AC0201"))
	answers["008200000A"+"01020304050607083030"] = ok(nil)
	m := contact.New(s.cfg, s.tx)
	a := m.Start()
	for a.Outcome == nil {
		if a.Send == nil {
			a = m.Next(s.people(a))
			continue
		}
		answer, known := answers[fmt.Sprintf("%X", a.Send.Bytes())]
		if !known {
			t.Fatalf("the trace has no answer to %X", a.Send.Bytes())
		}
		a = m.Next(contact.Response{Data: answer})
	}
	o := a.Outcome
	if o.Kind != kernel.Approved || o.Reason != contact.ReasonIssuerApproved || o.ODA.Status != kernel.ODAPassed || !o.Signature {
		t.Errorf("%s, %v", describe(*o), o.Detail.EN)
	}
	if atc, _ := o.ATC(); atc != 6 || o.Cryptogram != emv.TC {
		t.Errorf("counter %d, %v", atc, o.Cryptogram)
	}
}
