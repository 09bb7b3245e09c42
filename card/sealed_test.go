package card_test

import (
	"bytes"
	"errors"
	"testing"

	"tapnet/card"
	"tapnet/card/cardtest"
)

// box is a vault that turns bits around, counts, and notices what is not its own.
type box struct {
	seals int
	full  bool
}

var errBox = errors.New("not from this box")

func turned(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		b[i] ^= 0x5A
	}
	return b
}

func (x *box) Seal(plain []byte) ([]byte, error) {
	if x.seals++; x.full {
		return nil, errBox
	}
	return append([]byte("box"), turned(plain)...), nil
}

func (x *box) Open(sealed []byte) ([]byte, error) {
	if !bytes.HasPrefix(sealed, []byte("box")) {
		return nil, errBox
	}
	return turned(sealed[3:]), nil
}

func TestSealedState(t *testing.T) {
	c, _ := contactCard(t, nil)
	s, vault := c.State(), &box{}
	s.Extended[0] = card.ExtendedRecord{SFI: merchantFile, Number: 1, Length: 3, Key: card.RecordKey{0xC0, 0xFF, 0xEE, 0xC0, 0xFF, 0xEE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	pin := card.StorePIN(cardtest.HolderPIN())
	keep := card.NewSealed(vault)
	encoded, err := keep.Encode(&s)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"PIN": pin[:], "key": s.Extended[0].Key[:]} {
		if bytes.Contains(encoded, secret) {
			t.Errorf("the %s stands in the clear", name)
		}
	}
	if s.Applications[0].PIN != pin {
		t.Error("encoding took the PIN out of the state")
	}
	if got, err := card.NewSealed(vault).Decode(encoded); err != nil || got != s {
		t.Errorf("comes back differently: %v", err)
	}
	// A payment changes no secret: it is not sealed again.
	s.Applications[0].ATC++
	if again, err := keep.Encode(&s); err != nil || vault.seals != 1 || bytes.Equal(again, encoded) {
		t.Errorf("sealed %d times, %v", vault.seals, err)
	}
	other := card.NewSealed(vault)
	if _, err := other.Decode(encoded); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Encode(&s); err != nil || vault.seals != 1 {
		t.Errorf("sealed %d times after reading, %v", vault.seals, err)
	}
	s.Applications[0].PIN = card.StoredPIN{}
	if _, err := keep.Encode(&s); err != nil || vault.seals != 2 {
		t.Errorf("another PIN: sealed %d times, %v", vault.seals, err)
	}
	public, err := card.DecodeOpen(encoded)
	if err != nil || !public.Applications[0].PIN.IsZero() || public.Applications[0].Purses != s.Applications[0].Purses || public.Extended[0].Key != (card.RecordKey{}) {
		t.Errorf("without secrets: %v", err)
	}
}

// A store from before secrets were sealed is still read, with and without them.
func TestSealedReadsOlder(t *testing.T) {
	c, _ := contactCard(t, nil)
	s := c.State()
	old, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := card.NewSealed(&box{}).Decode(old); err != nil || got != s {
		t.Errorf("%v", err)
	}
	if got, err := card.DecodeOpen(old); err != nil || !got.Applications[0].PIN.IsZero() {
		t.Errorf("%v", err)
	}
}

func TestSealedRefuses(t *testing.T) {
	c, _ := contactCard(t, nil)
	s := c.State()
	good, err := card.NewSealed(&box{}).Encode(&s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.NewSealed(&box{full: true}).Encode(&s); !errors.Is(err, errBox) {
		t.Errorf("%v", err)
	}
	if _, err := card.NewSealed(large{}).Encode(&s); err == nil {
		t.Error("a vault that makes much of little was accepted")
	}
	bent := func(change func([]byte) []byte) []byte { return change(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"nothing": nil, "a version alone": good[:1], "half a length": good[:2], "no secrets": good[:3], "half": good[:len(good)/2], "cut": good[:len(good)-1],
		"long":                 append(bytes.Clone(good), 0),
		"length of nothing":    bent(func(b []byte) []byte { b[1], b[2] = 0, 0; return b }),
		"length of everything": bent(func(b []byte) []byte { b[1], b[2] = 0xFF, 0xFF; return b }),
		"another box":          bent(func(b []byte) []byte { b[3] = 'f'; return b }),
		"no PIN":               bent(func(b []byte) []byte { b[6] = 0xFF ^ 0x5A; return b }),
		"too little":           append([]byte{0x83, 0, 4, 'b', 'o', 'x', 1}, good[3+3+len(s.Applications)*8+len(s.Extended)*16:]...),
	} {
		if _, err := card.NewSealed(&box{}).Decode(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// large is a vault that makes much of little.
type large struct{}

func (large) Seal([]byte) ([]byte, error)   { return make([]byte, 5000), nil }
func (large) Open(b []byte) ([]byte, error) { return b, nil }
