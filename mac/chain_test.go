package mac

import (
	"crypto/cipher"
	standard "crypto/des"
	"math/rand/v2"
	"testing"

	"tapnet/des"
)

// TestChainsAgree: the way for single DES and the way for any cipher give the same codes, for every length and both paddings.
func TestChainsAgree(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, seed))
	for length := range 200 {
		key, data := make([]byte, 8), make([]byte, length)
		for _, b := range [][]byte{key, data} {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
		own, err := des.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		other, err := standard.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, marked := range []bool{false, true} {
			if got, want := chain(own, data, marked), chain(other, data, marked); got != want {
				t.Fatalf("seed %d: %d bytes, marked %t: %X, want %X", seed, length, marked, got, want)
			}
		}
	}
}

// TestPairAgrees: two messages side by side have the codes they have alone, whatever their lengths and ciphers.
func TestPairAgrees(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, seed))
	cipherOf := func() cipher.Block {
		key := make([]byte, 8)
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		var block cipher.Block
		var err error
		if block, err = des.NewCipher(key); r.IntN(4) == 0 {
			block, err = standard.NewCipher(key)
		}
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	for range 500 {
		a, b := make([]byte, r.IntN(60)), make([]byte, r.IntN(60))
		for _, data := range [][]byte{a, b} {
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		}
		first, second := cipherOf(), cipherOf()
		codeA, codeB := CBCPair(first, second, a, b)
		if codeA != CBC(first, a) || codeB != CBC(second, b) {
			t.Fatalf("seed %d: %d and %d bytes: %X %X, want %X %X", seed, len(a), len(b), codeA, codeB, CBC(first, a), CBC(second, b))
		}
	}
}

func TestCBCDoesNotAllocate(t *testing.T) {
	block, err := des.NewCipher([]byte("01234567"))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 430)
	if n := testing.AllocsPerRun(100, func() { CBC(block, data) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCBC430(b *testing.B) {
	block, err := des.NewCipher([]byte("01234567"))
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 430)
	b.ReportAllocs()
	for b.Loop() {
		CBC(block, data)
	}
}
