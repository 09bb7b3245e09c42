package sm

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	gmsm2 "github.com/emmansun/gmsm/sm2"
	gmsm4 "github.com/emmansun/gmsm/sm4"
	"pgregory.net/rapid"
)

type vector map[string]string

func readVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/sm.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for block := range strings.SplitSeq(string(text), "\n\n") {
		v := vector{}
		for line := range strings.Lines(block) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && line[0] != '#' {
				v[name] = value
			}
		}
		if len(v) > 0 {
			all = append(all, v)
		}
	}
	return all
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHex(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if fmt.Sprintf("%X", got) != want {
		t.Errorf("%s = %X, want %s", what, got, want)
	}
}

func TestVectors(t *testing.T) {
	vectors := readVectors(t)
	if len(vectors) != 6 {
		t.Fatalf("%d vectors", len(vectors))
	}
	checks := map[string]func(testing.TB, vector){"sm2": checkSM2, "sm3": checkSM3, "sm4": checkSM4}
	for _, v := range vectors {
		check := checks[v["kind"]]
		if check == nil || v["source"] == "" {
			t.Fatalf("kind %q, source %q", v["kind"], v["source"])
		}
		check(t, v)
	}
}

func checkSM3(t testing.TB, v vector) {
	sum := SM3([]byte(v["text"]))
	wantHex(t, "SM3", sum[:], v["expect"])
}

func checkSM4(t testing.TB, v vector) {
	block, err := NewCipher(unhex(t, v["key"]))
	if err != nil {
		t.Fatal(err)
	}
	plain, want := unhex(t, v["plain"]), unhex(t, v["expect"])
	got, back := make([]byte, len(plain)), make([]byte, len(plain))
	if v["mode"] == "cbc" {
		iv := unhex(t, v["iv"])
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(got, plain)
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(back, want)
	} else {
		for i := 0; i < len(plain); i += BlockBytes {
			block.Encrypt(got[i:], plain[i:i+BlockBytes])
			block.Decrypt(back[i:], want[i:i+BlockBytes])
		}
	}
	wantHex(t, "SM4", got, v["expect"])
	wantHex(t, "SM4 back", back, v["plain"])
}

func checkSM2(t testing.TB, v vector) {
	key := mustPrivate(t, v["d"])
	public := key.Public().Bytes()
	wantHex(t, "public key", public[:], v["public"])
	za := key.Public().ZA(v["identity"])
	wantHex(t, "ZA", za[:], v["za"])
	digest := SM3(append(za[:], v["text"]...))
	wantHex(t, "digest", digest[:], v["digest"])
	signature, ok := key.signWith(digest, new(big.Int).SetBytes(unhex(t, v["nonce"])))
	if !ok {
		t.Error("nonce refused")
	}
	wantHex(t, "signature", signature[:], v["signature"])
	if !key.Public().Verify(digest, signature[:]) {
		t.Error("the published signature does not verify")
	}
	signature = key.Sign(digest)
	wantHex(t, "signature with derived nonce", signature[:], v["derived"])
	if !key.Public().Verify(digest, signature[:]) {
		t.Error("the derived signature does not verify")
	}
}

func mustPrivate(t testing.TB, digits string) PrivateKey {
	t.Helper()
	key, err := NewPrivateKey(unhex(t, digits))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Random keys and blocks.
func TestSM4AgreesWithAnotherImplementation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), KeyBytes, KeyBytes).Draw(t, "key")
		data := rapid.SliceOfN(rapid.Byte(), BlockBytes, BlockBytes).Draw(t, "block")
		theirs, err := gmsm4.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		want, got := make([]byte, BlockBytes), make([]byte, BlockBytes)
		theirs.Encrypt(want, data)
		ours.Encrypt(got, data)
		if !bytes.Equal(want, got) {
			t.Fatalf("encrypt %X, want %X", got, want)
		}
		ours.Decrypt(got, got)
		if !bytes.Equal(got, data) {
			t.Fatalf("decrypt %X, want %X", got, data)
		}
	})
}

// What one implementation signs, the other verifies, in both directions.
func TestSM2AgreesWithAnotherImplementation(t *testing.T) {
	random := &counter{}
	for i := range 8 {
		key, err := GeneratePrivateKey(random)
		if err != nil {
			t.Fatal(err)
		}
		x, y := key.Public().affine()
		theirs := new(gmsm2.PrivateKey)
		theirs.D, theirs.X, theirs.Y, theirs.Curve = &key.k.d, x, y, gmsm2.P256()
		message := []byte{byte(i), 1, 2}
		za := key.Public().ZA(DefaultIdentity)
		digest := SM3(append(za[:], message...))
		r, s, err := gmsm2.SignWithSM2(random, &theirs.PrivateKey, nil, message)
		if err != nil {
			t.Fatal(err)
		}
		var signature [SignatureBytes]byte
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		if !key.Public().Verify(digest, signature[:]) {
			t.Errorf("key %d: a foreign signature does not verify", i)
		}
		own := key.Sign(digest)
		if !gmsm2.Verify(&theirs.PublicKey, digest[:], new(big.Int).SetBytes(own[:32]), new(big.Int).SetBytes(own[32:])) {
			t.Errorf("key %d: our signature does not verify elsewhere", i)
		}
	}
}

// counter is a source that never repeats a block.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n += 0x35
		p[i] = c.n ^ byte(i)*7
	}
	return len(p), nil
}

func TestWrongSignaturesAreRefused(t *testing.T) {
	key := mustPrivate(t, strings.Repeat("17", PrivateBytes))
	digest := SM3([]byte("x"))
	good := key.Sign(digest)
	edit := func(change func([]byte)) []byte { b := bytes.Clone(good[:]); change(b); return b }
	orderBytes := order.Bytes()
	cases := map[string][]byte{
		"empty": nil, "short": good[:63], "long": append(good[:], 0),
		"r zero":      edit(func(b []byte) { clear(b[:32]) }),
		"s zero":      edit(func(b []byte) { clear(b[32:]) }),
		"all zero":    make([]byte, 64),
		"r the order": edit(func(b []byte) { copy(b, orderBytes) }),
		"s the order": edit(func(b []byte) { copy(b[32:], orderBytes) }),
		"r above":     edit(func(b []byte) { copy(b, bytes.Repeat([]byte{0xFF}, 32)) }),
		"r changed":   edit(func(b []byte) { b[31] ^= 1 }),
		"s changed":   edit(func(b []byte) { b[63] ^= 1 }),
		"swapped":     append(bytes.Clone(good[32:]), good[:32]...),
		"r + s zero": edit(func(b []byte) {
			new(big.Int).Sub(order, new(big.Int).SetBytes(b[:32])).FillBytes(b[32:])
		}),
	}
	for name, signature := range cases {
		if key.Public().Verify(digest, signature) {
			t.Errorf("%s verifies", name)
		}
	}
	other := mustPrivate(t, strings.Repeat("18", PrivateBytes))
	if other.Public().Verify(digest, good[:]) || key.Public().Verify(SM3([]byte("y")), good[:]) || (PublicKey{}).Verify(digest, good[:]) {
		t.Error("a signature verifies for another key, message or no key")
	}
	if key.Public().ZA("1") == key.Public().ZA("2") {
		t.Error("the identity does not matter")
	}
}

func TestWrongKeysAreRefused(t *testing.T) {
	p := sm2Params()
	cases := map[string]string{
		"empty": "", "short": strings.Repeat("01", 63), "zero": strings.Repeat("00", 64), "off the curve": strings.Repeat("11", 64),
		"x not reduced": fmt.Sprintf("%X", append(bytes.Repeat([]byte{0xFF}, 32), p...)),
	}
	for name, digits := range cases {
		if _, err := ParsePublicKey(unhex(t, digits)); !errors.Is(err, ErrPublicKey) {
			t.Errorf("public key, %s: %v", name, err)
		}
	}
	atOrder := order.Bytes()
	justBelow := new(big.Int).Sub(order, one).Bytes()
	for name, b := range map[string][]byte{
		"empty": nil, "short": make([]byte, 31), "zero": make([]byte, 32), "order": atOrder, "order less one": justBelow, "ones": bytes.Repeat([]byte{255}, 32),
	} {
		if _, err := NewPrivateKey(b); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("private key, %s: %v", name, err)
		}
	}
	if _, err := GeneratePrivateKey(bytes.NewReader(make([]byte, 9*PrivateBytes))); !errors.Is(err, ErrPrivateKey) {
		t.Errorf("a source of zeros: %v", err)
	}
	if _, err := GeneratePrivateKey(bytes.NewReader(nil)); err == nil {
		t.Error("an empty source gives a key")
	}
	for _, n := range []int{0, 15, 17} {
		if _, err := NewCipher(make([]byte, n)); !errors.Is(err, ErrKeyLength) {
			t.Errorf("SM4 key of %d bytes: %v", n, err)
		}
	}
	if !(PrivateKey{}).IsZero() || !(PrivateKey{}).Public().IsZero() || (PrivateKey{}).Reveal() != [32]byte{} {
		t.Error("the zero key is a key")
	}
}

func sm2Params() []byte { return make([]byte, coordinateBytes) }

func TestKeysMaskThemselves(t *testing.T) {
	key := mustPrivate(t, strings.Repeat("17", PrivateBytes))
	text, err := json.Marshal(struct{ K PrivateKey }{key})
	if err != nil {
		t.Fatal(err)
	}
	var s Schedule
	s.Set((*[16]byte)(bytes.Repeat([]byte{0x17}, 16)))
	block, _ := NewCipher(bytes.Repeat([]byte{0x17}, 16))
	for _, got := range []string{string(text), fmt.Sprintf("%v %+v %#v %x %d %s", key, key, key, key, key, key), key.LogValue().String(),
		fmt.Sprintf("%x %v %+v", &s, &s, block)} {
		if strings.Contains(got, "1717") || strings.Contains(got, "23 23") {
			t.Errorf("%q shows the key", got)
		}
	}
	if key.Reveal() != [32]byte(bytes.Repeat([]byte{0x17}, 32)) {
		t.Error("Reveal gives another key")
	}
}

func TestSM4DoesNotAllocate(t *testing.T) {
	key := [16]byte{1}
	if n := testing.AllocsPerRun(100, func() {
		var s Schedule
		s.Set(&key)
		key = s.Encrypt(key)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A key that is accepted reads back to itself, and a signature never verifies for a random key without panic.
func FuzzPublicKey(f *testing.F) {
	key := mustPrivate(f, strings.Repeat("17", PrivateBytes))
	public, digest := key.Public().Bytes(), SM3(nil)
	signature := key.Sign(digest)
	f.Add(public[:], signature[:])
	f.Add([]byte{4}, []byte{})
	f.Fuzz(func(t *testing.T, point, sig []byte) {
		k, err := ParsePublicKey(point)
		if err != nil {
			return
		}
		if b := k.Bytes(); !bytes.Equal(b[:], point) {
			t.Errorf("%X reads back as %X", point, b)
		}
		if k.Verify(digest, sig) && (k != key.Public() || !bytes.Equal(sig, signature[:])) {
			t.Errorf("forged: %X %X", point, sig)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key := mustPrivate(b, strings.Repeat("17", PrivateBytes))
	digest := SM3(nil)
	signature := key.Sign(digest)
	b.ReportAllocs()
	for b.Loop() {
		if !key.Public().Verify(digest, signature[:]) {
			b.Fatal("does not verify")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	key := mustPrivate(b, strings.Repeat("17", PrivateBytes))
	digest := SM3(nil)
	b.ReportAllocs()
	for b.Loop() {
		key.Sign(digest)
	}
}

func BenchmarkSM4ScheduleAndBlock(b *testing.B) {
	var key [16]byte
	b.ReportAllocs()
	for b.Loop() {
		var s Schedule
		s.Set(&key)
		key = s.Encrypt(key)
	}
}
