package hcetest

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
	"tapnet/tlv"
)

// Subject is something that pays at a reader.
type Subject interface {
	// Present makes it ready for one payment whose holder has verified, and holds it to a reader.
	Present() apdu.Transceiver
	// Remove takes it out of the field.
	Remove()
	// Verify is the issuer's side: whether field 55 holds a cryptogram for this payment. It says why not.
	Verify(icc emv.Data) (why string)
	// AID is the application that pays.
	AID() emv.AID
}

// Suite runs the suite. make gives a fresh subject.
func Suite(t *testing.T, make func(testing.TB) Subject) {
	t.Helper()
	for name, run := range map[string]func(testing.TB, Subject){
		"pays online": paysOnline, "pays with verification": paysVerified, "counters rise": countersRise, "order of commands": orderOfCommands,
		"malformed commands": malformedCommands, "names": names, "one cryptogram for one selection": oneCryptogram, "hostile reader": hostileReader,
		"offline-only reader": offlineOnly, "PDOL data": pdolData, "proves itself offline": provesItself,
	} {
		t.Run(name, func(t *testing.T) { run(t, make(t)) })
	}
}

// unpredictable gives numbers that never repeat and are the same in every run.
type unpredictable struct{ n byte }

func (c *unpredictable) Read(b []byte) (int, error) {
	for i := range b {
		c.n++
		b[i] = c.n
	}
	return len(b), nil
}

// Terminal is a terminal that asks the issuer about everything, with verification from 1000 yuan on.
func Terminal(t testing.TB) *terminal.Terminal {
	t.Helper()
	yuan := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: new(unpredictable),
		Combinations: []terminal.Combination{{
			AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(0), CVM: yuan(100_000)},
		}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, MerchantName: "CANTEEN ONE", SerialNumber: "00000001"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// Tap runs one payment.
func Tap(t testing.TB, term *terminal.Terminal, reader apdu.Transceiver, minor int64) kernel.Outcome {
	t.Helper()
	result, err := term.Tap(context.Background(), reader, terminal.Request{
		Amount: money.New(minor, money.CNY), Other: money.New(0, money.CNY), Now: cardtest.Today, Counter: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return result.Outcome
}

func paysOnline(t testing.TB, s Subject) {
	term := Terminal(t)
	o := Tap(t, term, s.Present(), 29_900)
	if o.Kind != kernel.OnlineRequest || o.Cryptogram != emv.ARQC {
		t.Fatalf("outcome %v, %v", o.Kind, o.Reason)
	}
	if why := s.Verify(o.Data); why != "" {
		t.Errorf("the issuer refuses: %s", why)
	}
	changed := o.Data.Clone()
	changed.Set(emv.TagAmount, []byte{0, 0, 0, 0x29, 0x90, 0x01})
	if why := s.Verify(changed); why == "" {
		t.Error("the cryptogram does not cover the amount")
	}
}

func paysVerified(t testing.TB, s Subject) {
	o := Tap(t, Terminal(t), s.Present(), 200_000)
	if o.Kind != kernel.OnlineRequest || o.CVM != kernel.CVMOnlinePIN && o.CVM != kernel.CVMConfirmationCode && o.CVM != kernel.CVMSignature {
		t.Fatalf("outcome %v, %v, %v", o.Kind, o.Reason, o.CVM)
	}
	if why := s.Verify(o.Data); why != "" {
		t.Errorf("the issuer refuses: %s", why)
	}
}

func countersRise(t testing.TB, s Subject) {
	term, last := Terminal(t), -1
	for i := range 4 {
		o := Tap(t, term, s.Present(), 100+int64(i))
		b := o.Data.Get(emv.TagATC)
		if o.Kind != kernel.OnlineRequest || len(b) != 2 {
			t.Fatalf("payment %d: %v, %v", i+1, o.Kind, o.Reason)
		}
		if atc := int(b[0])<<8 | int(b[1]); atc <= last {
			t.Errorf("counter %d after %d", atc, last)
		} else {
			last = atc
		}
		if why := s.Verify(o.Data); why != "" {
			t.Errorf("payment %d: the issuer refuses: %s", i+1, why)
		}
		s.Remove()
	}
}

func send(t testing.TB, reader apdu.Transceiver, command []byte) apdu.Response {
	t.Helper()
	b, err := reader.Transceive(context.Background(), command)
	if err != nil {
		t.Fatalf("%X: %v", command, err)
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		t.Fatalf("%X is answered with %X: %v", command, b, err)
	}
	return r
}

func expect(t testing.TB, reader apdu.Transceiver, command apdu.Command, want ...apdu.SW) apdu.Response {
	t.Helper()
	r := send(t, reader, command.Bytes())
	for _, sw := range want {
		if r.SW == sw {
			return r
		}
	}
	t.Errorf("%v: %v, want %v", command, r.SW, want)
	return r
}

// selectApplication selects and returns the PDOL data of a small online payment, and their list.
func selectApplication(t testing.TB, s Subject, reader apdu.Transceiver) (emv.DOL, []byte) {
	t.Helper()
	expect(t, reader, apdu.Select([]byte(emv.PPSE)), apdu.OK)
	fci := expect(t, reader, apdu.Select(s.AID().Bytes()), apdu.OK).Data
	b, ok := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagPDOL)
	if !ok {
		t.Fatal("answer to SELECT has no PDOL")
	}
	pdol, err := emv.ParseDOL(b)
	if err != nil || !pdol.Has(emv.TagTTQ) {
		t.Fatalf("PDOL %v: %v", pdol, err)
	}
	return pdol, pdol.Build(nil, readerData(emv.TTQ{0x36, 0x80, 0, 0x80}))
}

func readerData(ttq emv.TTQ) *emv.Data {
	var d emv.Data
	d.Set(emv.TagTTQ, ttq[:])
	d.Set(emv.TagAmount, []byte{0, 0, 0, 0, 0x12, 0x50})
	d.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	d.Set(emv.TagCurrency, []byte{0x01, 0x56})
	d.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	d.Set(emv.TagUnpredictableNumber, []byte{1, 2, 3, 4})
	return &d
}

func orderOfCommands(t testing.TB, s Subject) {
	reader := s.Present()
	expect(t, reader, apdu.GPO(make([]byte, 33)), apdu.ConditionsNotSatisfied)
	expect(t, reader, apdu.ReadRecord(1, 1), apdu.ConditionsNotSatisfied)
	expect(t, reader, apdu.Select([]byte(emv.PPSE)), apdu.OK)
	expect(t, reader, apdu.GPO(make([]byte, 33)), apdu.ConditionsNotSatisfied)
}

func malformedCommands(t testing.TB, s Subject) {
	reader := s.Present()
	for wire, want := range map[string]apdu.SW{
		"": apdu.WrongLength, "00A404": apdu.WrongLength, "00A4040000": apdu.WrongLength, "00A404000E3250": apdu.WrongLength,
		"C0A4040000": apdu.ClassNotSupported, "00FE0000": apdu.InstructionNotSupported,
	} {
		b, err := hex.DecodeString(wire)
		if err != nil {
			t.Fatal(err)
		}
		// A SELECT without a name is of a good form: what is wrong with it may be said in two ways.
		if r := send(t, reader, b); r.SW != want && !strings.HasPrefix(wire, "00A4040000") {
			t.Errorf("%s: %v, want %v", wire, r.SW, want)
		} else if r.SW == apdu.OK || len(r.Data) != 0 {
			t.Errorf("%s: %v with data", wire, r.SW)
		}
	}
	expect(t, reader, apdu.Select([]byte(emv.PPSE)), apdu.OK) // none of it did harm
}

func names(t testing.TB, s Subject) {
	reader := s.Present()
	fci := expect(t, reader, apdu.Select([]byte(emv.PPSE)), apdu.OK).Data
	name, ok := tlv.Find(fci, emv.TagFCI, emv.TagDFName)
	entry, listed := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary, emv.TagApplicationTemplate, emv.TagAID)
	if !ok || string(name) != string(emv.PPSE) || !listed || string(entry) != string(s.AID()) {
		t.Errorf("directory names %X and lists %X", name, entry)
	}
	expect(t, reader, apdu.Select([]byte("\xA0\x00\x00\x00\x03\x10\x10")), apdu.FileNotFound)
	expect(t, reader, apdu.Select([]byte(emv.PSE)), apdu.FileNotFound) // that directory is for contact
	partial := expect(t, reader, apdu.Select(s.AID().Bytes()[:7]), apdu.OK)
	whole := expect(t, reader, apdu.Select(s.AID().Bytes()), apdu.OK)
	if !bytes.Equal(partial.Data, whole.Data) {
		t.Error("the beginning of a name selects something else")
	}
}

func oneCryptogram(t testing.TB, s Subject) {
	reader := s.Present()
	_, data := selectApplication(t, s, reader)
	first := expect(t, reader, apdu.GPO(data), apdu.OK)
	if _, ok := tlv.Find(first.Data, emv.TagResponse2, emv.TagAC); !ok {
		t.Error("no cryptogram")
	}
	expect(t, reader, apdu.GPO(data), apdu.ConditionsNotSatisfied)
}

func pdolData(t testing.TB, s Subject) {
	reader := s.Present()
	_, data := selectApplication(t, s, reader)
	for name, wire := range map[string][]byte{
		"short":        apdu.GPO(data[:len(data)-1]).Bytes(),
		"long":         apdu.GPO(append(bytes.Clone(data), 0)).Bytes(),
		"no template":  apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: append([]byte{0x84, byte(len(data))}, data...), Le: apdu.MaxLe}.Bytes(),
		"template cut": apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: append([]byte{0x83, byte(len(data) + 1)}, data...), Le: apdu.MaxLe}.Bytes(),
	} {
		if r := send(t, reader, wire); r.SW != apdu.WrongLength && r.SW != apdu.WrongData && r.SW != apdu.ConditionsNotSatisfied || len(r.Data) != 0 {
			t.Errorf("%s: %v", name, r)
		}
	}
	reader = s.Present()
	pdol, data := selectApplication(t, s, reader)
	at := 0
	for _, e := range pdol {
		if e.Tag == emv.TagAmount {
			data[at] = 0xFA
		}
		at += e.Len
	}
	expect(t, reader, apdu.GPO(data), apdu.WrongData)
}

func offlineOnly(t testing.TB, s Subject) {
	reader := s.Present()
	pdol, _ := selectApplication(t, s, reader)
	r := send(t, reader, apdu.GPO(pdol.Build(nil, readerData(emv.TTQ{0x28, 0, 0, 0x80}))).Bytes())
	if iad, ok := tlv.Find(r.Data, emv.TagResponse2, emv.TagIAD); ok {
		if cid, _ := emv.IADCryptogramType(iad); cid == emv.ARQC {
			t.Error("asks for the issuer at a reader that cannot ask")
		}
	}
}

// hostileReader: whatever comes is answered, with a status word and nothing of a key.
func hostileReader(t testing.TB, s Subject) {
	reader := s.Present()
	for ins := range 256 {
		for _, cla := range []byte{0x00, 0x80, 0x84, 0xFF} {
			r := send(t, reader, []byte{cla, byte(ins), 0, 0})
			if r.SW == apdu.OK && len(r.Data) > 0 && ins != int(apdu.InsGetData) && ins != int(apdu.InsGetChallenge) {
				t.Errorf("%02X%02X is answered with data", cla, ins)
			}
		}
	}
}
