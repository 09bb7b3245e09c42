package dukpt

import (
	"bytes"
	"crypto/des"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"tapnet/glossary"
)

func newTDESDevice(t testing.TB) *TDESDevice {
	t.Helper()
	d, err := NewTDESDevice(tdesInitial(t), tdesKSN(t, "FFFF9876543210E00000"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newAESDevice(t testing.TB, bdk string) *AESDevice {
	t.Helper()
	d, err := NewAESDevice(aesInitial(t, bdk), aesID)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// walkAt is the walk that stands before counter, as the host would build it.
func walkAt(l ladder, initial Key, counter uint32, derive deriveFunc) walk {
	w := walk{counter: counter, registers: make([]Key, l.width)}
	for j := range w.registers {
		if l.filled(counter, j) {
			w.registers[j] = descend(initial, counter>>j<<j|1<<j, derive)
		}
	}
	return w
}

func equalWalks(a, b walk) bool {
	if a.counter != b.counter || len(a.registers) != len(b.registers) {
		return false
	}
	for j := range a.registers {
		if !a.registers[j].Equal(b.registers[j]) {
			return false
		}
	}
	return true
}

// TestRegisterWalk follows the registers: those of a fresh device are the published keys of the powers of two, and each later state is what the host
// would put together for the same counter.
func TestRegisterWalk(t *testing.T) {
	tdes, initial := newTDESDevice(t), tdesInitial(t)
	for range 3000 {
		if !equalWalks(tdes.walk, walkAt(tdesLadder, initial, tdes.Counter(), tdes.ksn.step)) {
			t.Fatalf("%v: registers differ from the host's", tdes)
		}
		if _, err := tdes.Next(); err != nil {
			t.Fatal(err)
		}
	}
	device, first := newAESDevice(t, aesBDK), aesInitial(t, aesBDK)
	for range 3000 {
		if !equalWalks(device.walk, walkAt(aesLadder, first, device.Counter(), device.ksn.step)) {
			t.Fatalf("%v: registers differ from the host's", device)
		}
		if _, err := device.Next(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPublishedRegisters: before the first transaction, register n holds the key of counter 1<<n.
func TestPublishedRegisters(t *testing.T) {
	d := newTDESDevice(t)
	for _, v := range readVectors(t, "tdes.txt") {
		if v.fields["pin"] == "" {
			continue
		}
		counter := tdesKSN(t, v.fields["ksn"]).Counter()
		if bits.OnesCount32(counter) != 1 {
			continue
		}
		pin, err := TDESWorkingKey(d.walk.registers[bits.TrailingZeros32(counter)], PINEncryption)
		if err != nil || hex.EncodeToString(pin.Reveal()) != strings.ToLower(v.fields["pin"]) {
			t.Errorf("register of %X: %X, %v", counter, pin.Reveal(), err)
		}
	}
}

// TestTDESDeviceForLife uses every key a device has: 1,048,575 of them, in rising order, and no more. Each that the host derives for a sample agrees.
func TestTDESDeviceForLife(t *testing.T) {
	d, initial := newTDESDevice(t), tdesInitial(t)
	last, count := uint32(0), 0
	for {
		transaction, err := d.Next()
		if errors.Is(err, ErrExhausted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		counter := transaction.KSN().Counter()
		if counter <= last || bits.OnesCount32(counter) > tdesMaxOnes {
			t.Fatalf("counter %X after %X", counter, last)
		}
		last, count = counter, count+1
		if count%4099 != 0 {
			continue
		}
		want, err := TDESTransactionKey(initial, transaction.KSN())
		if err != nil || !want.Equal(transaction.key) {
			t.Fatalf("%v: device and host disagree: %v", transaction, err)
		}
	}
	if count != 1_048_575 || last != 0x1FF800 {
		t.Errorf("%d transactions, the last is %X", count, last)
	}
	for _, k := range d.walk.registers {
		if !k.IsZero() {
			t.Error("a key is left")
		}
	}
	if _, err := d.Next(); !errors.Is(err, ErrExhausted) || d.Counter() != 0 {
		t.Errorf("after the end: %v, counter %X", err, d.Counter())
	}
	restored, err := RestoreTDESDevice(d.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restored.Next(); !errors.Is(err, ErrExhausted) {
		t.Errorf("restored after the end: %v", err)
	}
}

// TestAESDeviceEnd walks the last counters of an AES device.
func TestAESDeviceEnd(t *testing.T) {
	d, initial := newAESDevice(t, aesBDK), aesInitial(t, aesBDK)
	d.walk = walkAt(aesLadder, initial, 0xFFFE0000, d.ksn.step)
	var got []string
	for {
		transaction, err := d.Next()
		if errors.Is(err, ErrExhausted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		want, err := AESTransactionKey(initial, transaction.KSN())
		if err != nil || !want.Equal(transaction.key) {
			t.Fatalf("%v: device and host disagree: %v", transaction, err)
		}
		got = append(got, fmt.Sprintf("%X", transaction.KSN().Counter()))
	}
	if n := len(got); n != 18 || got[0] != "FFFE0000" || strings.Join(got[n-3:], " ") != "FFFE4000 FFFE8000 FFFF0000" {
		t.Errorf("%d transactions: %v", n, got)
	}
	if d.Counter() != 0 {
		t.Errorf("counter %X", d.Counter())
	}
}

// TestSkippedCounters: the ladder of the standard's bound, and as many counters as it names.
func TestSkippedCounters(t *testing.T) {
	for _, c := range []struct{ from, to uint32 }{
		{0x1, 0x2}, {0xFFFE, 0xFFFF}, {0xFFFF, 0x10000}, {0x1FFFD, 0x1FFFE}, {0x1FFFE, 0x20000}, {0xFFFE8000, 0xFFFF0000}, {0xFFFF0000, 0},
	} {
		if got := aesLadder.next(c.from); got != c.to {
			t.Errorf("after %X comes %X, want %X", c.from, got, c.to)
		}
	}
	for _, c := range []struct{ from, to uint32 }{
		{0x3FF, 0x400}, {0x7FD, 0x7FE}, {0x7FE, 0x800}, {0xFF801, 0xFF802}, {0xFF802, 0xFF804}, {0xFFC00, 0x100000}, {0x1FF400, 0x1FF800}, {0x1FF800, 0},
	} {
		if got := tdesLadder.next(c.from); got != c.to {
			t.Errorf("after %X comes %X, want %X", c.from, got, c.to)
		}
	}
	sum := 0
	for ones := 1; ones <= aesMaxOnes; ones++ {
		choose := 1
		for i := range ones {
			choose = choose * (aesCounterBits - i) / (i + 1)
		}
		sum += choose
	}
	if sum != 2_448_023_842 {
		t.Errorf("%d AES transactions", sum)
	}
}

// TestRestore stops a device at random points and goes on from its block.
func TestRestore(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, seed))
	d, plain := newAESDevice(t, aesBDK+aesBDK), newAESDevice(t, aesBDK+aesBDK)
	td, tplain := newTDESDevice(t), newTDESDevice(t)
	for range 300 {
		if r.IntN(3) == 0 {
			var err error
			if d, err = RestoreAESDevice(d.Reveal()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if td, err = RestoreTDESDevice(td.Reveal()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		a, errA := d.Next()
		b, errB := plain.Next()
		c, errC := td.Next()
		e, errE := tplain.Next()
		if err := errors.Join(errA, errB, errC, errE); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if a.KSN() != b.KSN() || !a.key.Equal(b.key) || c.KSN() != e.KSN() || !c.key.Equal(e.key) {
			t.Fatalf("seed %d: %v %v, %v %v", seed, a, b, c, e)
		}
		if bytes.Contains(d.Reveal(), a.key.Reveal()) || bytes.Contains(td.Reveal(), c.key.Reveal()) {
			t.Fatalf("seed %d: a used key is still in the state", seed)
		}
	}
}

func TestRestoreRefused(t *testing.T) {
	d := newTDESDevice(t)
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	good := d.Reveal()
	change := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = b
		return bad
	}
	counterAt := stateHeaderBytes + TDESKSNBytes
	for name, state := range map[string][]byte{
		"nothing": nil, "one byte": good[:1], "header only": good[:2], "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"version": change(0, 2), "type TDEA-3": change(1, byte(TDEA3)), "type AES": change(1, byte(AES128)), "type 0": change(1, 0),
		"counter of 22 bits": change(counterAt+1, 0x20), "key in the register used last": change(counterAt+stateCounterBytes, 1),
		"counter in the name":            change(stateHeaderBytes+9, 7),
		"registers filled after the end": change(counterAt+3, 0),
	} {
		if _, err := RestoreTDESDevice(state); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	aesState := newAESDevice(t, aesBDK).Reveal()
	aesState[1] = byte(TDEA2)
	if _, err := RestoreAESDevice(aesState); !errors.Is(err, ErrState) {
		t.Errorf("AES state with a TDEA type: %v", err)
	}
	aesState[1] = byte(AES256)
	if _, err := RestoreAESDevice(aesState); !errors.Is(err, ErrState) {
		t.Errorf("AES state with a longer type: %v", err)
	}
	copy(aesState[stateHeaderBytes+InitialKeyIDBytes:], []byte{0, 1, 0xFF, 0xFF})
	aesState[1] = byte(AES128)
	if _, err := RestoreAESDevice(aesState); !errors.Is(err, ErrState) {
		t.Errorf("AES state with a counter of 17 ones: %v", err)
	}
}

func TestRefused(t *testing.T) {
	tdea, aes128 := tdesInitial(t), aesInitial(t, aesBDK)
	tdea3 := mustKey(t, TDEA3, make([]byte, 24))
	ksn, aksn := tdesKSN(t, "FFFF9876543210E00001"), NewAESKSN(aesID, 1)
	transaction, err := AESTransactionKey(aes128, aksn)
	if err != nil {
		t.Fatal(err)
	}
	one := func(_ Key, err error) error { return err }
	for name, c := range map[string]struct{ err, want error }{
		"short key":                 {one(NewKey(AES128, make([]byte, 15))), ErrKey},
		"long key":                  {one(NewKey(TDEA2, make([]byte, 24))), ErrKey},
		"no type":                   {one(NewKey(0, nil)), ErrKey},
		"unknown type":              {one(NewKey(99, make([]byte, 16))), ErrKey},
		"TDES initial from AES":     {one(TDESInitialKey(aes128, ksn)), ErrKey},
		"TDES initial from TDEA-3":  {one(TDESInitialKey(tdea3, ksn)), ErrKey},
		"TDES initial from nothing": {one(TDESInitialKey(Key{}, ksn)), ErrKey},
		"AES initial from TDEA":     {one(AESInitialKey(tdea, aesID)), ErrKey},
		"AES initial from nothing":  {one(AESInitialKey(Key{}, aesID)), ErrKey},
		"TDES counter 0":            {one(TDESTransactionKey(tdea, ksn.WithCounter(0))), ErrCounter},
		"TDES counter of 11 ones":   {one(TDESTransactionKey(tdea, ksn.WithCounter(0x7FF))), ErrCounter},
		"TDES counter of 21 ones":   {one(TDESTransactionKey(tdea, ksn.WithCounter(0x1FFFFF))), ErrCounter},
		"TDES transaction from AES": {one(TDESTransactionKey(aes128, ksn)), ErrKey},
		"AES counter 0":             {one(AESTransactionKey(aes128, NewAESKSN(aesID, 0))), ErrCounter},
		"AES counter of key update": {one(AESTransactionKey(aes128, NewAESKSN(aesID, 0xFFFFFFFF))), ErrCounter},
		"AES transaction from TDEA": {one(AESTransactionKey(tdea, aksn)), ErrKey},
		"update key from TDEA":      {one(AESUpdateKey(tdea, aesID)), ErrKey},
		"TDES key encryption":       {one(TDESWorkingKey(tdea, KeyEncryption)), ErrUsage},
		"TDES usage 0":              {one(TDESWorkingKey(tdea, 0)), ErrUsage},
		"TDES usage 99":             {one(TDESWorkingKey(tdea, 99)), ErrUsage},
		"TDES working key from AES": {one(TDESWorkingKey(aes128, PINEncryption)), ErrKey},
		"AES usage 0":               {one(AESWorkingKey(transaction, aksn, 0, AES128)), ErrUsage},
		"AES usage 99":              {one(AESWorkingKey(transaction, aksn, 99, AES128)), ErrUsage},
		"AES type 0":                {one(AESWorkingKey(transaction, aksn, PINEncryption, 0)), ErrUsage},
		"AES-192 from AES-128":      {one(AESWorkingKey(transaction, aksn, PINEncryption, AES192)), ErrUsage},
		"AES-256 from AES-128":      {one(AESWorkingKey(transaction, aksn, PINEncryption, AES256)), ErrUsage},
		"HMAC-192 from AES-128":     {one(AESWorkingKey(transaction, aksn, MACBoth, HMAC192)), ErrUsage},
		"HMAC for PINs":             {one(AESWorkingKey(transaction, aksn, PINEncryption, HMAC128)), ErrUsage},
		"HMAC for data":             {one(AESWorkingKey(transaction, aksn, DataBoth, HMAC128)), ErrUsage},
		"AES working key from TDEA": {one(AESWorkingKey(tdea, aksn, PINEncryption, AES128)), ErrKey},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if _, err := NewTDESDevice(aes128, ksn); !errors.Is(err, ErrKey) {
		t.Errorf("TDES device with an AES key: %v", err)
	}
	if _, err := NewAESDevice(tdea, aesID); !errors.Is(err, ErrKey) {
		t.Errorf("AES device with a TDEA key: %v", err)
	}
	for _, n := range []int{0, 1, 7, 11, 12} {
		if _, err := ParseTDESKSN(make([]byte, n)); !errors.Is(err, ErrKSN) {
			t.Errorf("TDES serial number of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, 10, 11, 13} {
		if _, err := ParseAESKSN(make([]byte, n)); !errors.Is(err, ErrKSN) {
			t.Errorf("AES serial number of %d bytes: %v", n, err)
		}
	}
	if _, err := mustKey(t, HMAC128, make([]byte, 16)).Cipher(); !errors.Is(err, ErrKey) {
		t.Errorf("cipher of an HMAC key: %v", err)
	}
	if _, err := (Key{}).Cipher(); !errors.Is(err, ErrKey) {
		t.Errorf("cipher of no key: %v", err)
	}
}

func TestSerialNumbers(t *testing.T) {
	short := tdesKSN(t, "9876543210E00001")
	if short.String() != "FFFF9876543210E00001" || short.Counter() != 1 {
		t.Errorf("%v, counter %X", short, short.Counter())
	}
	full := short.WithCounter(0xFFFFFFFF)
	if full.String() != "FFFF9876543210FFFFFF" || full.Counter() != 0x1FFFFF || full.WithCounter(1) != short {
		t.Errorf("%v, counter %X", full, full.Counter())
	}
	ksn, err := ParseAESKSN(unhex(t, "123456789012345680000001"))
	if err != nil || ksn.Counter() != 0x80000001 || ksn.InitialKeyID() != aesID || ksn.String() != "123456789012345680000001" {
		t.Errorf("%v, %v", ksn, err)
	}
}

// TestCiphers compares triple DES with three keys with the standard library, and round trips every cipher.
func TestCiphers(t *testing.T) {
	key := unhex(t, "0123456789ABCDEF23456789ABCDEF01456789ABCDEF0123")
	own := mustCipher(t, mustKey(t, TDEA3, key))
	other, err := des.NewTripleDESCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	block, want := []byte("8 bytes."), make([]byte, 8)
	other.Encrypt(want, block)
	own.Encrypt(block, block)
	if !bytes.Equal(block, want) {
		t.Errorf("%X, want %X", block, want)
	}
	for kind := TDEA2; kind <= AES256; kind++ {
		c := mustCipher(t, mustKey(t, kind, bytes.Repeat([]byte{0x5B, 0x6E}, kind.Bytes()/2)))
		plain := []byte("sixteen bytes...")[:c.BlockSize()]
		out := make([]byte, len(plain))
		c.Encrypt(out, plain)
		c.Decrypt(out, out)
		if !bytes.Equal(out, plain) {
			t.Errorf("%v: %q", kind, out)
		}
	}
}

// TestNothingPrintsKeys prints what holds keys in every way there is, also from unexported fields of another struct.
func TestNothingPrintsKeys(t *testing.T) {
	key := tdesInitial(t)
	device, aesDevice := newTDESDevice(t), newAESDevice(t, aesBDK)
	transaction, err := device.Next()
	if err != nil {
		t.Fatal(err)
	}
	aesTransaction, err := aesDevice.Next()
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct {
		key         Key
		transaction TDESTransaction
		aes         AESTransaction
		device      TDESDevice
	}{key, transaction, aesTransaction, *device}
	secrets := [][]byte{key.Reveal(), transaction.key.Reveal(), aesTransaction.key.Reveal(), device.walk.registers[3].Reveal()}
	var out strings.Builder
	for _, v := range []any{key, &key, []Key{key}, device, *device, transaction, aesDevice, *aesDevice, aesTransaction, hidden, &hidden} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, secret := range secrets {
		decimal := strings.Trim(fmt.Sprint(secret[:4]), "[]")
		for _, form := range []string{string(secret), hex.EncodeToString(secret[:4]), strings.ToUpper(hex.EncodeToString(secret[:4])), decimal} {
			if strings.Contains(out.String(), form) {
				t.Errorf("a key was printed as %q", form)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for u := Usage(0); u <= KeyEncryption+1; u++ {
		if term := u.Term(); term.EN == "" || term.In(glossary.Chinese) == term.EN {
			t.Errorf("usage %d: %v", u, term)
		}
	}
	for k := Type(0); k <= HMAC256+1; k++ {
		if k.String() == "" || k.valid() != (k.Bytes() > 0) {
			t.Errorf("type %d: %v, %d bytes", k, k, k.Bytes())
		}
	}
}

func FuzzRestore(f *testing.F) {
	initial, err := NewKey(TDEA2, bytes.Repeat([]byte{7}, 16))
	if err != nil {
		f.Fatal(err)
	}
	d, err := NewTDESDevice(initial, TDESKSN{})
	if err != nil {
		f.Fatal(err)
	}
	a, err := NewAESDevice(aesInitial(f, aesBDK), aesID)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.Reveal())
	f.Add(a.Reveal())
	f.Fuzz(func(t *testing.T, state []byte) {
		if d, err := RestoreTDESDevice(state); err == nil {
			if !bytes.Equal(d.Reveal(), state) {
				t.Errorf("%X became %X", state, d.Reveal())
			}
			_, _ = d.Next()
		}
		if d, err := RestoreAESDevice(state); err == nil {
			if !bytes.Equal(d.Reveal(), state) {
				t.Errorf("%X became %X", state, d.Reveal())
			}
			_, _ = d.Next()
		}
	})
}

func BenchmarkTDESDeviceNext(b *testing.B) {
	d := newTDESDevice(b)
	for b.Loop() {
		if _, err := d.Next(); err != nil {
			d = newTDESDevice(b)
		}
	}
}

func BenchmarkAESHost(b *testing.B) {
	initial, ksn := aesInitial(b, aesBDK), NewAESKSN(aesID, 0xFFFF0000)
	b.ReportAllocs()
	for b.Loop() {
		transaction, err := AESTransactionKey(initial, ksn)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := AESWorkingKey(transaction, ksn, PINEncryption, AES128); err != nil {
			b.Fatal(err)
		}
	}
}
