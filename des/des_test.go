package des

import (
	standard "crypto/des"
	"fmt"
	"math/rand/v2"
	"testing"
)

func random(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, seed))
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// TestAgainstStandardLibrary: own schedules and rounds, random keys and blocks, both directions, crypto/des as judge.
func TestAgainstStandardLibrary(t *testing.T) {
	r := random(t)
	for range 2000 {
		var key [TripleKeyBytes]byte
		var block, want, got [BlockBytes]byte
		fill(r, key[:])
		fill(r, block[:])
		single, err := standard.NewCipher(key[:8])
		if err != nil {
			t.Fatal(err)
		}
		triple, err := standard.NewTripleDESCipher(append(key[:], key[:8]...))
		if err != nil {
			t.Fatal(err)
		}
		own, err := NewCipher(key[:8])
		if err != nil {
			t.Fatal(err)
		}
		ownTriple, err := NewTripleCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name      string
			own, want func(dst, src []byte)
		}{
			{"DES encrypt", own.Encrypt, single.Encrypt}, {"DES decrypt", own.Decrypt, single.Decrypt},
			{"3DES encrypt", ownTriple.Encrypt, triple.Encrypt}, {"3DES decrypt", ownTriple.Decrypt, triple.Decrypt},
		} {
			c.want(want[:], block[:])
			if c.own(got[:], block[:]); got != want {
				t.Fatalf("%s %X, want %X", c.name, got, want)
			}
		}
	}
}

// TestTableAgainstStandard: the key table is built from parts; every part, and sums of parts, must be the schedule as the standard describes it.
func TestTableAgainstStandard(t *testing.T) {
	for i := range 8 {
		for v := range 128 {
			var key [KeyBytes]byte
			key[i] = byte(v<<1) | byte(v&1) // parity does not count
			var s Schedule
			s.Set(key[:])
			if want := slowSchedule(uint64(v) << (8*(7-i) + 1)); s.k != want {
				t.Fatalf("byte %d value %02X: schedule differs", i, v)
			}
		}
	}
}

// TestChain: permutations only at the ends of a chain give what they give around every block.
func TestChain(t *testing.T) {
	r := random(t)
	var key [KeyBytes]byte
	fill(r, key[:])
	c, err := NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	var state State
	var plain [BlockBytes]byte
	for range 50 {
		var block [BlockBytes]byte
		fill(r, block[:])
		state = state.Xor(EnterBytes(block[:])).Encrypt(c.Schedule())
		for i := range plain {
			plain[i] ^= block[i]
		}
		c.Encrypt(plain[:], plain[:])
	}
	if state.LeaveBytes() != plain {
		t.Fatal("chains differ")
	}
}

func TestKeyLength(t *testing.T) {
	for n := range 33 {
		if _, err := NewCipher(make([]byte, n)); (err == nil) != (n == KeyBytes) {
			t.Errorf("single, %d bytes: %v", n, err)
		}
		if _, err := NewTripleCipher(make([]byte, n)); (err == nil) != (n == TripleKeyBytes) {
			t.Errorf("triple, %d bytes: %v", n, err)
		}
	}
}

func TestKeysMaskThemselves(t *testing.T) {
	c, _ := NewCipher([]byte("ABCDEFGH"))
	triple, _ := NewTripleCipher([]byte("ABCDEFGHIJKLMNOP"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{c, triple, c.Schedule(), &triple.key} {
			if got := fmt.Sprintf(verb, v); got != masked {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var key [TripleKeyBytes]byte
	var triple Triple
	c, _ := NewCipher(key[:8])
	var block [BlockBytes]byte
	for name, f := range map[string]func(){
		"triple": func() { triple.Set(&key); block = EnterBytes(block[:]).EncryptTriple(&triple).LeaveBytes() },
		"single": func() { c.Encrypt(block[:], block[:]) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkSchedule(b *testing.B) {
	key := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	var s Schedule
	for b.Loop() {
		s.Set(key[:])
	}
}

func BenchmarkBlock(b *testing.B) {
	key := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	own, _ := NewCipher(key[:])
	crypto, _ := standard.NewCipher(key[:])
	var block [8]byte
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			own.Encrypt(block[:], block[:])
		}
	})
	b.Run("chain", func(b *testing.B) {
		var s State
		for b.Loop() {
			s = s.Xor(EnterBytes(block[:])).Encrypt(own.Schedule())
		}
		block = s.LeaveBytes()
	})
	b.Run("crypto/des", func(b *testing.B) {
		for b.Loop() {
			crypto.Encrypt(block[:], block[:])
		}
	})
}
