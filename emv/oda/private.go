package oda

import (
	"errors"
	"fmt"
	"log/slog"
	"math/big"

	"tapnet/sm"
)

// PrivateKey is a TEST private key: an RSA key with exponent 3 or 65537, kept with the numbers of the Chinese
// remainder theorem, or an SM2 key. It prints itself masked; only Reveal and RevealSM2 give the secret. Copies share the same numbers, which never
// change. The zero value is no key. Operations run in variable time: never put a production key in here.
type PrivateKey struct{ k *privateNumbers }

type privateNumbers struct {
	public        PublicKey
	p, q          big.Int
	dp, dq, qInvP big.Int
	sm2           sm.PrivateKey
}

var errPrivateKey = errors.New("not an EMV RSA private key")

// primeRounds of Miller-Rabin follow the Baillie-PSW test when a key is read: a typing mistake must not pass, and
// nobody gains from a crafted composite in a test key.
const primeRounds = 1

// NewPrivateKey makes a key from its primes (big endian) and its exponent, 3 or 65537. The modulus has whole bytes,
// its top bit set, and 512 to 1984 bits.
func NewPrivateKey(p, q []byte, e int) (PrivateKey, error) {
	if len(p) > MaxModulusBytes || len(q) > MaxModulusBytes {
		return PrivateKey{}, fmt.Errorf("%w: primes of %d and %d bytes", errPrivateKey, len(p), len(q))
	}
	k := new(privateNumbers)
	k.p.SetBytes(p)
	k.q.SetBytes(q)
	n := new(big.Int).Mul(&k.p, &k.q)
	exponent := big.NewInt(int64(e))
	var err error
	if e < 0 {
		return PrivateKey{}, fmt.Errorf("%w: exponent %d", errPrivateKey, e)
	}
	if k.public, err = NewPublicKey(n.Bytes(), exponent.Bytes()); err != nil {
		return PrivateKey{}, fmt.Errorf("%w: %w", errPrivateKey, err)
	}
	if k.p.BitLen() != k.q.BitLen() {
		return PrivateKey{}, fmt.Errorf("%w: primes of %d and %d bits", errPrivateKey, k.p.BitLen(), k.q.BitLen())
	}
	if k.p.Cmp(&k.q) == 0 || !k.p.ProbablyPrime(primeRounds) || !k.q.ProbablyPrime(primeRounds) {
		return PrivateKey{}, fmt.Errorf("%w: p and q are not two primes", errPrivateKey)
	}
	one := big.NewInt(1)
	less := new(big.Int)
	if k.dp.ModInverse(exponent, less.Sub(&k.p, one)) == nil {
		return PrivateKey{}, fmt.Errorf("%w: the exponent divides p-1", errPrivateKey)
	}
	if k.dq.ModInverse(exponent, less.Sub(&k.q, one)) == nil {
		return PrivateKey{}, fmt.Errorf("%w: the exponent divides q-1", errPrivateKey)
	}
	k.qInvP.ModInverse(&k.q, &k.p)
	return PrivateKey{k}, nil
}

// IsZero reports whether k is no key.
func (k PrivateKey) IsZero() bool { return k.k == nil }

// Public is the public half.
func (k PrivateKey) Public() PublicKey {
	if k.k == nil {
		return PublicKey{}
	}
	return k.k.public
}

// Equal compares two keys by their public halves.
func (k PrivateKey) Equal(other PrivateKey) bool { return k.Public() == other.Public() }

// Reveal gives the primes and the exponent, as NewPrivateKey takes them; nothing of an SM2 key, see RevealSM2.
func (k PrivateKey) Reveal() (p, q []byte, e int) {
	if k.k == nil || k.k.public.algorithm != RSA {
		return nil, nil, 0
	}
	return k.k.p.Bytes(), k.k.q.Bytes(), int(k.k.public.exponent)
}

// sign computes block^d mod n by the Chinese remainder theorem. The block begins with 6A, so that it is below any
// modulus whose top bit is set.
func (k PrivateKey) sign(block []byte) []byte {
	n := k.k
	m := new(big.Int).SetBytes(block)
	m1, m2, reduced := new(big.Int), new(big.Int), new(big.Int)
	m1.Exp(reduced.Mod(m, &n.p), &n.dp, &n.p)
	m2.Exp(reduced.Mod(m, &n.q), &n.dq, &n.q)
	h := m1.Sub(m1, m2)
	h.Mul(h, &n.qInvP)
	h.Mod(h, &n.p)
	h.Mul(h, &n.q)
	return h.Add(h, m2).FillBytes(make([]byte, len(block)))
}

func (k PrivateKey) masked() string {
	if k.k == nil {
		return "no private key"
	}
	return fmt.Sprintf("[redacted %v private key]", k.k.public)
}

// String, Format, LogValue, MarshalText and MarshalJSON show the size and the exponent only.
func (k PrivateKey) String() string { return k.masked() }

// Format masks the key under every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.masked())) }

// LogValue masks the key in structured logs.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.masked()) }

// MarshalText masks the key.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(k.masked()), nil }

// MarshalJSON masks the key.
func (k PrivateKey) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", k.masked()), nil }
