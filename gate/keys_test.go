package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tapnet/gate/denylist"
)

func epochKey(t testing.TB, epoch denylist.Epoch) denylist.EpochKey {
	t.Helper()
	k, err := denylist.NewEpochKey(epoch, bytes.Repeat([]byte{byte(epoch)}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// noise is a source of bytes that a test can foresee.
type noise struct{ next byte }

func (n *noise) Read(b []byte) (int, error) {
	for i := range b {
		b[i], n.next = n.next, n.next+1
	}
	return len(b), nil
}

func sealedKey(t testing.TB, key ChainKey, device string, epoch denylist.Epoch) SealedKey {
	t.Helper()
	s, err := SealEpochKey(key, device, epochKey(t, epoch), &noise{next: byte(epoch)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedKey(t *testing.T) {
	chain := testChainKey(t, 2)
	s := sealedKey(t, chain, "GATE-07", 4)
	k, err := OpenEpochKey(chain, "GATE-07", s)
	if err != nil || k.Epoch() != 4 || !bytes.Equal(k.Reveal(), bytes.Repeat([]byte{4}, 32)) {
		t.Fatalf("%v: %v", k, err)
	}
	if bytes.Contains(s.Sealed, k.Reveal()[:8]) {
		t.Fatal("the key travels in clear")
	}
	k.Reveal()[0] ^= 1
	if k.Reveal()[0] != 4 {
		t.Fatal("the key was changed from outside")
	}
	for size := 16; size <= 64; size += 16 { // every length that a key may have
		k, err := denylist.NewEpochKey(9, bytes.Repeat([]byte{3}, size))
		if err != nil {
			t.Fatal(err)
		}
		s, err := SealEpochKey(chain, strings.Repeat("G", MaxDevice), k, &noise{})
		if err != nil || len(s.Sealed) > maxSealedKey {
			t.Fatalf("%d bytes: %v", len(s.Sealed), err)
		}
		if back, err := OpenEpochKey(chain, strings.Repeat("G", MaxDevice), s); err != nil || !bytes.Equal(back.Reveal(), k.Reveal()) {
			t.Fatalf("key of %d bytes: %v", size, err)
		}
	}
}

func TestSealedKeyForged(t *testing.T) {
	chain, other := testChainKey(t, 2), testChainKey(t, 3)
	good := sealedKey(t, chain, "GATE-07", 4)
	for name, c := range map[string]struct {
		key    ChainKey
		device string
		sealed SealedKey
	}{
		"another device's key":  {other, "GATE-07", good},
		"another device's name": {chain, "GATE-08", good},
		"another epoch":         {chain, "GATE-07", SealedKey{5, good.Sealed}},
		"no key":                {ChainKey{}, "GATE-07", good},
		"no device":             {chain, "", good},
		"empty":                 {chain, "GATE-07", SealedKey{Epoch: 4}},
		"a nonce alone":         {chain, "GATE-07", SealedKey{4, good.Sealed[:12]}},
		"cut off":               {chain, "GATE-07", SealedKey{4, good.Sealed[:len(good.Sealed)-1]}},
		"longer":                {chain, "GATE-07", SealedKey{4, append(bytes.Clone(good.Sealed), 0)}},
		"far too long":          {chain, "GATE-07", SealedKey{4, make([]byte, maxSealedKey+1)}},
	} {
		if k, err := OpenEpochKey(c.key, c.device, c.sealed); !errors.Is(err, ErrForged) || k.Reveal() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for bit := range len(good.Sealed) * 8 {
		bad := SealedKey{4, bytes.Clone(good.Sealed)}
		bad.Sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := OpenEpochKey(chain, "GATE-07", bad); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	// A sealed key is neither a message nor a link, and no message is a sealed key.
	message := EncodeReceipt(chain, Receipt{Device: "GATE-07"})
	if _, err := OpenEpochKey(chain, "GATE-07", SealedKey{4, message}); !errors.Is(err, ErrForged) {
		t.Error("a receipt is taken for a key")
	}
	aead, err := chain.epochSeal()
	if err != nil {
		t.Fatal(err)
	}
	short := SealedKey{4, aead.Seal(make([]byte, 12), make([]byte, 12), []byte("short"), keyBinding("GATE-07", 4))}
	if _, err := OpenEpochKey(chain, "GATE-07", short); !errors.Is(err, ErrForged) || !errors.Is(err, denylist.ErrKey) {
		t.Errorf("sealed with the key, and no key: %v", err)
	}
	k := epochKey(t, 4)
	for name, seal := range map[string]func() (SealedKey, error){
		"no device key": func() (SealedKey, error) { return SealEpochKey(ChainKey{}, "GATE-07", k, &noise{}) },
		"no device":     func() (SealedKey, error) { return SealEpochKey(chain, "", k, &noise{}) },
		"long device":   func() (SealedKey, error) { return SealEpochKey(chain, strings.Repeat("G", MaxDevice+1), k, &noise{}) },
		"no randomness": func() (SealedKey, error) { return SealEpochKey(chain, "GATE-07", k, nil) },
		"dry source":    func() (SealedKey, error) { return SealEpochKey(chain, "GATE-07", k, strings.NewReader("x")) },
		"no epoch key":  func() (SealedKey, error) { return SealEpochKey(chain, "GATE-07", denylist.EpochKey{}, &noise{}) },
	} {
		if s, err := seal(); err == nil || s.Sealed != nil {
			t.Errorf("%s: sealed", name)
		} else if !errors.Is(err, ErrConfig) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEpochsInMessages(t *testing.T) {
	key := testChainKey(t, 2)
	for name, c := range map[string]struct {
		epochs []denylist.Epoch
		good   bool
	}{
		"none": {nil, true}, "one": {[]denylist.Epoch{7}, true}, "two": {[]denylist.Epoch{7, 8}, true}, "zero": {[]denylist.Epoch{0, 9}, true},
		"falling": {[]denylist.Epoch{8, 7}, false}, "twice": {[]denylist.Epoch{8, 8}, false}, "three": {[]denylist.Epoch{1, 2, 3}, false},
	} {
		h, err := ParseHealth(key, "G", EncodeHealth(key, Health{Device: "G", Epochs: c.epochs}))
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrMessage) || err == nil && len(h.Epochs) != len(c.epochs) {
			t.Errorf("health, %s: %v", name, err)
		}
		a := HealthAnswer{Device: "G", Number: 1}
		for _, e := range c.epochs {
			a.Keys = append(a.Keys, sealedKey(t, key, "G", e|1<<8))
		}
		if len(a.Keys) == 2 {
			a.Keys[0].Epoch, a.Keys[1].Epoch = c.epochs[0], c.epochs[1]
		}
		if _, err := ParseHealthAnswer(key, "G", 1, EncodeHealthAnswer(key, a)); (err == nil) != c.good {
			t.Errorf("answer, %s: %v", name, err)
		}
	}
	for name, sealed := range map[string][]byte{"empty": nil, "long": make([]byte, maxSealedKey+1)} {
		a := HealthAnswer{Device: "G", Number: 1, Keys: []SealedKey{{Epoch: 1, Sealed: sealed}}}
		if _, err := ParseHealthAnswer(key, "G", 1, EncodeHealthAnswer(key, a)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s key: %v", name, err)
		}
	}
	// A device that knows of no epochs says what it said before.
	if b, err := json.Marshal(Health{Device: "G"}); err != nil || strings.Contains(string(b), "epochs") {
		t.Errorf("%s: %v", b, err)
	}
	if s := fmt.Sprintf("%+v %x", epochKey(t, 4), epochKey(t, 4)); strings.Contains(s, "0404") {
		t.Errorf("the key prints as %s", s)
	}
}

func FuzzOpenEpochKey(f *testing.F) {
	chain := testChainKey(f, 2)
	good := sealedKey(f, chain, "GATE-07", 4)
	f.Add(uint32(4), good.Sealed)
	f.Add(uint32(5), good.Sealed)
	f.Add(uint32(4), []byte{})
	f.Fuzz(func(t *testing.T, epoch uint32, sealed []byte) {
		k, err := OpenEpochKey(chain, "GATE-07", SealedKey{denylist.Epoch(epoch), sealed})
		if err != nil != errors.Is(err, ErrForged) {
			t.Fatal(err)
		}
		if err == nil && (k.Epoch() != 4 || !bytes.Equal(sealed, good.Sealed)) {
			t.Fatalf("%x of epoch %d is taken for a key", sealed, epoch)
		}
	})
}
