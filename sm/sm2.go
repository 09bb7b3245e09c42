package sm

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

const (
	// HashBytes is the length of an SM3 value.
	HashBytes = 32
	// PointBytes is the length of a public key: the coordinates X ‖ Y.
	PointBytes = 64
	// SignatureBytes is the length of a signature: r ‖ s.
	SignatureBytes = 64
	// PrivateBytes is the length of a private key.
	PrivateBytes = 32
	// MaxIdentityBytes is the longest identity: its length in bits has two bytes [GM/T 0003.2 5.5].
	MaxIdentityBytes = 0x1FFF

	coordinateBytes = PointBytes / 2
	uncompressed    = 0x04 // marks a point as the library takes it
)

// DefaultIdentity is the identity of a signer where nothing else is agreed.
const DefaultIdentity = "1234567812345678"

// What this package refuses. Neither holds a key.
var (
	ErrPublicKey  = errors.New("sm: not a point of the SM2 curve")
	ErrPrivateKey = errors.New("sm: not an SM2 private key")
)

// group is what the library's curve can do. Its own type is hidden, and the standard interface lacks the joint multiplication.
type group interface {
	Unmarshal(data []byte) (x, y *big.Int)
	ScalarBaseMult(scalar []byte) (x, y *big.Int)
	CombinedMult(x, y *big.Int, base, scalar []byte) (sumX, sumY *big.Int)
}

var (
	curve = sm2.P256().(group)
	order = sm2.P256().Params().N
	one   = big.NewInt(1)
	// parameters is a ‖ b ‖ G of the curve, as ZA takes them.
	parameters = func() (out [4 * coordinateBytes]byte) {
		p := sm2.P256().Params()
		for i, n := range []*big.Int{new(big.Int).Sub(p.P, big.NewInt(3)), p.B, p.Gx, p.Gy} {
			n.FillBytes(out[i*coordinateBytes : (i+1)*coordinateBytes])
		}
		return out
	}()
)

// SM3 hashes data [GM/T 0004].
func SM3(data []byte) [HashBytes]byte { return sm3.Sum(data) }

// PublicKey is a point of the curve. It is comparable; the zero value is no key.
type PublicKey struct{ b [PointBytes]byte }

// ParsePublicKey reads X ‖ Y, 64 bytes, and checks that the point lies on the curve. The error is ErrPublicKey.
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != PointBytes {
		return PublicKey{}, ErrPublicKey
	}
	k := PublicKey{[PointBytes]byte(b)}
	if x, _ := k.affine(); x == nil {
		return PublicKey{}, ErrPublicKey
	}
	return k, nil
}

func (k PublicKey) affine() (x, y *big.Int) {
	var point [1 + PointBytes]byte
	point[0] = uncompressed
	copy(point[1:], k.b[:])
	return curve.Unmarshal(point[:])
}

// Bytes is X ‖ Y.
func (k PublicKey) Bytes() [PointBytes]byte { return k.b }

// IsZero reports whether there is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// ZA is the hash that binds a signature to its signer: over the identity, the curve and the public key [GM/T 0003.2 5.5]. An
// identity longer than MaxIdentityBytes panics: it is configuration.
func (k PublicKey) ZA(identity string) [HashBytes]byte {
	if len(identity) > MaxIdentityBytes {
		panic(fmt.Sprintf("sm: identity of %d bytes", len(identity)))
	}
	input := make([]byte, 0, 2+len(DefaultIdentity)+len(parameters)+PointBytes)
	input = append(input, byte(len(identity)>>5), byte(len(identity)<<3))
	input = append(input, identity...)
	input = append(input, parameters[:]...)
	input = append(input, k.b[:]...)
	return SM3(input)
}

// Verify reports whether signature is the key's over digest, which is SM3 over ZA and the message [GM/T 0003.2 7.1].
func (k PublicKey) Verify(digest [HashBytes]byte, signature []byte) bool {
	if len(signature) != SignatureBytes {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:coordinateBytes]), new(big.Int).SetBytes(signature[coordinateBytes:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return false
	}
	t := new(big.Int).Add(r, s)
	if t.Cmp(order) >= 0 {
		t.Sub(t, order)
	}
	if t.Sign() == 0 {
		return false
	}
	px, py := k.affine()
	if px == nil {
		return false
	}
	var scalar [coordinateBytes]byte
	x, y := curve.CombinedMult(px, py, signature[coordinateBytes:], t.FillBytes(scalar[:]))
	if x.Sign() == 0 && y.Sign() == 0 { // the point at infinity signs nothing
		return false
	}
	return reduce(x.Add(x, new(big.Int).SetBytes(digest[:]))).Cmp(r) == 0
}

// reduce brings a sum into the range of the order.
func reduce(n *big.Int) *big.Int { return n.Mod(n, order) }

// PrivateKey is a TEST private key: it prints itself masked, and only Reveal gives it. Copies share the same number, which never
// changes. The zero value is no key.
type PrivateKey struct{ k *private }

type private struct {
	d, inverse big.Int // the key, and 1 / (1 + key)
	public     PublicKey
}

// NewPrivateKey takes 32 bytes, a number from 1 to the order of the curve less two. The error is ErrPrivateKey.
func NewPrivateKey(b []byte) (PrivateKey, error) {
	if len(b) != PrivateBytes {
		return PrivateKey{}, ErrPrivateKey
	}
	k := new(private)
	k.d.SetBytes(b)
	next := new(big.Int).Add(&k.d, one)
	if k.d.Sign() == 0 || next.Cmp(order) >= 0 {
		return PrivateKey{}, ErrPrivateKey
	}
	k.inverse.ModInverse(next, order)
	x, y := curve.ScalarBaseMult(b)
	x.FillBytes(k.public.b[:coordinateBytes])
	y.FillBytes(k.public.b[coordinateBytes:])
	return PrivateKey{k}, nil
}

// GeneratePrivateKey draws a key from rand.
func GeneratePrivateKey(rand io.Reader) (PrivateKey, error) {
	var b [PrivateBytes]byte
	// A draw is out of range once in four thousand million: more than a few in a row mean a broken source.
	for range 8 {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return PrivateKey{}, fmt.Errorf("sm: generate SM2 key: %w", err)
		}
		if k, err := NewPrivateKey(b[:]); err == nil {
			return k, nil
		}
	}
	return PrivateKey{}, fmt.Errorf("sm: generate SM2 key: the random source repeats itself: %w", ErrPrivateKey)
}

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k.k == nil }

// Public is the public half.
func (k PrivateKey) Public() PublicKey {
	if k.k == nil {
		return PublicKey{}
	}
	return k.k.public
}

// Reveal gives the 32 bytes, as NewPrivateKey takes them: the only way the secret leaves.
func (k PrivateKey) Reveal() (d [PrivateBytes]byte) {
	if k.k != nil {
		k.k.d.FillBytes(d[:])
	}
	return d
}

// Sign signs digest, which is SM3 over ZA and the message [GM/T 0003.2 6.1]. The nonce follows from key and digest [RFC 6979]. The
// zero key panics.
func (k PrivateKey) Sign(digest [HashBytes]byte) [SignatureBytes]byte {
	for nonce := range k.nonces(digest) {
		if signature, ok := k.signWith(digest, nonce); ok {
			return signature
		}
	}
	panic("sm: nonces ended")
}

// signWith is one attempt; a nonce that gives a useless number is refused.
func (k PrivateKey) signWith(digest [HashBytes]byte, nonce *big.Int) (signature [SignatureBytes]byte, ok bool) {
	var scalar [coordinateBytes]byte
	x, _ := curve.ScalarBaseMult(nonce.FillBytes(scalar[:]))
	r := reduce(x.Add(x, new(big.Int).SetBytes(digest[:])))
	if r.Sign() == 0 || new(big.Int).Add(r, nonce).Cmp(order) == 0 {
		return signature, false
	}
	s := new(big.Int).Mul(r, &k.k.d)
	s.Sub(nonce, s)
	s.Mul(s, &k.k.inverse)
	if reduce(s).Sign() == 0 {
		return signature, false
	}
	r.FillBytes(signature[:coordinateBytes])
	s.FillBytes(signature[coordinateBytes:])
	return signature, true
}

// nonces yields the candidates of [RFC 6979 3.2] with SM3. The order has as many bits as the hash, so that nothing is shifted.
func (k PrivateKey) nonces(digest [HashBytes]byte) func(yield func(*big.Int) bool) {
	key := k.Reveal()
	var reduced [HashBytes]byte
	reduce(new(big.Int).SetBytes(digest[:])).FillBytes(reduced[:])
	return func(yield func(*big.Int) bool) {
		var v, h [HashBytes]byte
		for i := range v {
			v[i] = 1
		}
		step := func(parts ...[]byte) (out [HashBytes]byte) {
			m := hmac.New(sm3.New, h[:])
			for _, p := range parts {
				m.Write(p)
			}
			m.Sum(out[:0])
			return out
		}
		h = step(v[:], []byte{0}, key[:], reduced[:])
		v = step(v[:])
		h = step(v[:], []byte{1}, key[:], reduced[:])
		v = step(v[:])
		for {
			v = step(v[:])
			if n := new(big.Int).SetBytes(v[:]); n.Sign() > 0 && n.Cmp(order) < 0 && !yield(n) {
				return
			}
			h = step(v[:], []byte{0})
			v = step(v[:])
		}
	}
}

const redacted = "[redacted SM2 private key]"

// String, Format, LogValue, MarshalText and MarshalJSON show nothing of the key.
func (k PrivateKey) String() string { return redacted }

// Format masks the key under every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue masks the key in structured logs.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText masks the key.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON masks the key.
func (k PrivateKey) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
