package gate

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

const operatorFile = 0x15

// operator has the keys of one card's record.
type operator struct {
	testing.TB
	suite   cryptogram.Suite
	opening cryptogram.Key
	key     cryptogram.Key
	chip    *card.Card
	issued  *cardtest.Issued
	fail    error
}

func (o *operator) RecordMAC(_ []byte, atc uint16, message []byte) (mac [4]byte, err error) {
	input := bytes.Clone(message)
	input[6] ^= byte(atc >> 8)
	input[7] ^= byte(atc)
	all := o.suite.Cryptogram(o.key, input)
	copy(mac[:], all[:])
	return mac, o.fail
}

// newOperator gives a card the operator's file, and a record in it.
func newOperator(t testing.TB, indicator byte, balance int64) *operator {
	t.Helper()
	key := func(fill byte) cryptogram.Key {
		k, err := cryptogram.NewKey(bytes.Repeat([]byte{fill}, 16))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, issued := cardtest.New(t, cardtest.Options{Balance: balance, Change: func(image *card.Image) {
		a := &image.Applications[0]
		a.PDOL = append(a.PDOL, emv.DOLEntry{Tag: emv.TagCAPPIndicator, Len: 1})
		a.Extended = emv.ExtendedIndicator{indicator}
		a.Files = []card.ExtendedFile{{SFI: operatorFile}}
		a.Objects.Set(emv.TagSegmentLimit, []byte{0, 0, 0, 0, 0x20, 0})
	}})
	o := &operator{TB: t, suite: issued.Suite, opening: key(0x11), key: key(0x23), issued: issued}
	keys := card.NewSoftCrypto(issued.Suite, issued.CardKeys, issued.Key).WithFileKey(operatorFile, o.opening)
	var err error
	if o.chip, err = card.New(&issued.Image, keys, nil, rand.NewChaCha8([32]byte{1})); err != nil {
		t.Fatal(err)
	}
	return o
}

// register appends the record.
func (o *operator) register(content string) {
	o.Helper()
	field := card.NewField(o.chip)
	wrapped := o.suite.WrapKey(o.opening, o.key)
	data := append(wrapped[:], content...)
	mac := o.suite.Cryptogram(o.opening, append([]byte{4, apdu.InsAppendRecord, 0, operatorFile << 3, byte(len(data) + 4)}, data...))
	for _, c := range [][]byte{apdu.Select(emv.AIDDebit.Bytes()).Bytes(),
		apdu.Command{CLA: 4, INS: apdu.InsAppendRecord, P2: operatorFile << 3, Data: append(data, mac[:4]...)}.Bytes()} {
		response, err := field.Transceive(context.Background(), c)
		if err != nil || !good(response) {
			o.Fatalf("%X: %X, %v", c, response, err)
		}
	}
}

// tap runs the spine's terminal over a Segment, as a gate that takes purses.
func (o *operator) tap(minor int64, next func([]byte) ([]byte, bool)) (*Segment, kernel.Outcome, error) {
	o.Helper()
	return o.with(&Segment{Card: card.NewField(o.chip), Keys: o, SFI: operatorFile, ID: [2]byte{'T', '1'}, Next: next,
		Random: rand.NewChaCha8([32]byte{3})}, minor)
}

func (o *operator) with(s *Segment, minor int64) (*Segment, kernel.Outcome, error) {
	o.Helper()
	amount := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x26, 0, 0, 0x80}, Random: rand.NewChaCha8([32]byte{2}),
		Combinations: []terminal.Combination{{AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay, Limits: terminal.Limits{Floor: amount(100_000)}}},
		Kernel: kernel.Config{Type: 0x25, Capabilities: emv.TerminalCapabilities{0, 8, 0xC8}, MerchantName: "METRO", SerialNumber: "00000001",
			CAKeys: o.issued.CAKeys},
	})
	if err != nil {
		o.Fatal(err)
	}
	result, err := term.Tap(context.Background(), s, terminal.Request{Amount: amount(minor), Other: amount(0), Now: cardtest.Today, Counter: 1, OfflineOnly: true})
	return s, result.Outcome, err
}

func (o *operator) write(minor int64, content string) (*Segment, kernel.Outcome) {
	o.Helper()
	s, outcome, err := o.tap(minor, func([]byte) ([]byte, bool) { return []byte(content), true })
	if err != nil {
		o.Fatal(err)
	}
	return s, outcome
}

func (o *operator) purse() (balance, advanced int64) {
	s := o.chip.State().Applications[0]
	return s.Purses[0].Balance, s.SegmentUsed
}

// TestSegmentedJourney: an entry for the smallest unit, a look at the exit, and the rest of the fare, with and without a code over what is read.
func TestSegmentedJourney(t *testing.T) {
	for _, indicator := range []byte{0x01, 0x81} {
		o := newOperator(t, indicator, 500)
		o.register("T1 out")
		s, outcome := o.write(1, "T1 in 7")
		if outcome.Kind != kernel.Approved || !s.Written || string(s.Record) != "T1 out" {
			t.Fatalf("entry: %v %v, record %q", outcome.Kind, outcome.Reason, s.Record)
		}
		look, outcome, err := o.tap(1, nil)
		if err != nil || outcome.Kind == kernel.Approved || string(look.Record) != "T1 in 7" {
			t.Fatalf("look: %v, record %q, %v", outcome.Kind, look.Record, err)
		}
		if balance, _ := o.purse(); balance != 499 {
			t.Fatalf("a look cost the card %d", 499-balance)
		}
		if _, outcome = o.write(599, "T1 out"); outcome.Kind != kernel.Approved {
			t.Fatalf("exit: %v %v", outcome.Kind, outcome.Reason)
		}
		if balance, advanced := o.purse(); balance != 0 || advanced != 100 {
			t.Errorf("%d left, %d advanced", balance, advanced)
		}
	}
}

// TestSegmentRefusals: whatever goes wrong before the last record leaves the card unpaid.
func TestSegmentRefusals(t *testing.T) {
	o := newOperator(t, 0x81, 500)
	o.register("T1 out")
	s, outcome, err := o.tap(100, func([]byte) ([]byte, bool) { return nil, false })
	if err != nil || outcome.Kind == kernel.Approved || s.Written {
		t.Errorf("the operator says no: %v, %v", outcome.Kind, err)
	}
	for name, content := range map[string]string{"other record": "T2 out", "nothing": "", "too long": "T1" + string(make([]byte, 200))} {
		if _, outcome, err := o.tap(100, func([]byte) ([]byte, bool) { return []byte(content), true }); outcome.Kind == kernel.Approved {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.fail = errors.New("module")
	if _, outcome, _ := o.tap(100, func(b []byte) ([]byte, bool) { return b, true }); outcome.Kind == kernel.Approved {
		t.Error("without a code")
	}
	o.fail = nil
	key := o.key
	if o.key, err = cryptogram.NewKey(bytes.Repeat([]byte{0x44}, 16)); err != nil {
		t.Fatal(err)
	}
	if s, outcome, _ := o.tap(100, func(b []byte) ([]byte, bool) { return b, true }); outcome.Kind == kernel.Approved || s.Written {
		t.Error("with a wrong key")
	}
	o.key = key
	if balance, advanced := o.purse(); balance != 500 || advanced != 0 {
		t.Errorf("%d left, %d advanced", balance, advanced)
	}
}

// TestSegmentOfOtherCards: a card without a record, or without the file, pays like any other once it is asked to, and nothing before.
func TestSegmentOfOtherCards(t *testing.T) {
	o := newOperator(t, 0x01, 500)
	s, outcome := o.write(100, "T1 in")
	if outcome.Kind == kernel.Approved || s.Record != nil || s.Written || !s.Absent {
		t.Errorf("no record: %v %v, %+v", outcome.Kind, outcome.Reason, s.Record)
	}
	s.Ordinary = true
	again, outcome, err := o.with(s, 100)
	if err != nil || outcome.Kind != kernel.Approved || again.Written {
		t.Errorf("no record, again: %v %v, %v", outcome.Kind, outcome.Reason, err)
	}
	plain, issued := cardtest.New(t, cardtest.Options{Balance: 500})
	o.chip, o.issued = plain, issued
	if s, outcome = o.write(1, "T1 in"); outcome.Kind == kernel.Approved || !s.Absent || plain.State().Applications[0].Purses[0].Balance != 500 {
		t.Errorf("no file: %v %v, %+v", outcome.Kind, outcome.Reason, s)
	}
	s.Ordinary = true
	if s, outcome, err = o.with(s, 100); err != nil || outcome.Kind != kernel.Approved || s.Written {
		t.Errorf("no file, again: %v %v, %v", outcome.Kind, outcome.Reason, err)
	}
	if balance, _ := o.purse(); balance != 400 {
		t.Errorf("%d left", balance)
	}
}

func FuzzSegment(f *testing.F) {
	f.Add([]byte{0x6F, 0x02, 0xA5, 0x00, 0x90, 0x00}, []byte{0x77, 0x00, 0x90, 0x00})
	f.Fuzz(func(t *testing.T, selected, answer []byte) {
		answers := [][]byte{selected, answer, answer, answer, answer, answer}
		s := &Segment{SFI: 1, Random: rand.NewChaCha8([32]byte{}), Keys: &operator{suite: cryptogram.TDES()},
			Card: apduFunc(func([]byte) []byte {
				if len(answers) == 0 {
					return nil
				}
				first := answers[0]
				answers = answers[1:]
				return first
			})}
		for _, c := range [][]byte{{0, 0xA4, 4, 0, 1, 1}, {0x80, 0xA8, 0, 0, 9, 0x83, 7, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0xB2, 1, 0x0C, 0}} {
			_, _ = s.Transceive(t.Context(), c)
		}
	})
}

type apduFunc func([]byte) []byte

func (f apduFunc) Transceive(_ context.Context, command []byte) ([]byte, error) {
	return f(command), nil
}
