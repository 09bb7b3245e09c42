package hsm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"tapnet/emv/cps"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/pan"
	"tapnet/scp03"
)

// UsageElementSign is the master of the signature keys of applications on secure elements. Like UsageElementMaster it serves nothing else.
const UsageElementSign Usage = "25"

// elementSignRule is its line of the table.
func elementSignRule(u Usage) (rule, bool) {
	if u == UsageElementSign {
		return rule{glossary.Term{EN: "master of signature keys on secure elements", ZH: "安全单元签名密钥主密钥"}, deriveOnly, []Algorithm{AES256}}, true
	}
	return rule{}, false
}

// InjectElement gives the keys of one element's channel. It is the one moment in which master and element meet: at the element's production, in a room.
func (h *HSM) InjectElement(k ElementKeys) (scp03.Keys, error) {
	return h.elementKeys("injecting the keys of a secure element", k)
}

// ElementSignKeyRequest asks for the signature key of one application on one secure element.
type ElementSignKeyRequest struct {
	Keys      ElementKeys
	Master    string // usage 25
	AID       []byte
	PAN       pan.Number
	Sequence  string // two digits
	Algorithm oda.Algorithm
}

// rsaElementKeyBytes is a modulus of 1024 bits: its signature still fits into the answer to GET PROCESSING OPTIONS [REF 2.3].
const rsaElementKeyBytes = 128

// SealElementSignKey gives out the signature key of an application: the public half to be certified, and the private one as groupings enciphered under the data
// encryption key of its element [EMV CPS]. The key follows from what is asked, so that asking again gives the same and nothing is kept.
func (h *HSM) SealElementSignKey(q ElementSignKeyRequest) (public oda.PublicKey, sealed cps.List, err error) {
	const operation = "making a signature key for a secure element"
	if q.PAN.IsZero() || len(q.AID) == 0 {
		return public, nil, errors.New("hsm: " + operation + ": application or account number is missing")
	}
	transport, err := h.elementKeys(operation, q.Keys)
	if err != nil {
		return public, nil, err
	}
	master, err := h.use(operation, q.Master, UsageElementSign, ModeDerive)
	if err != nil {
		return public, nil, err
	}
	stream := newKeyStream(master.value, &q)
	var list cps.List
	if q.Algorithm == oda.SM2 {
		public, list, err = stream.sm2()
	} else {
		public, list, err = stream.rsa()
	}
	if err == nil {
		sealed, err = elementSealing(transport).Seal(list)
	}
	if err != nil {
		return public, nil, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return public, sealed, nil
}

// keyStream gives bytes that follow from a master and a request.
type keyStream struct {
	seed    []byte
	counter uint32
}

func newKeyStream(master []byte, q *ElementSignKeyRequest) *keyStream {
	h := hmac.New(sha256.New, master)
	h.Write([]byte("tapnet element signature key\x00"))
	h.Write(q.Keys.Element[:])
	h.Write([]byte{byte(q.Algorithm), byte(len(q.AID))})
	h.Write(q.AID)
	h.Write(q.PAN.BCD())
	h.Write([]byte("/" + q.Sequence))
	return &keyStream{seed: h.Sum(nil)}
}

func (s *keyStream) next(n int) []byte {
	var out []byte
	for len(out) < n {
		h := hmac.New(sha256.New, s.seed)
		h.Write(binary.BigEndian.AppendUint32(nil, s.counter))
		out = h.Sum(out)
		s.counter++
	}
	return out[:n]
}

// maxDraws bounds the search: a candidate of 512 bits is a prime of the wanted kind once in some 350 draws.
const maxDraws = 100_000

var errNoKey = errors.New("no key was found")

// prime draws candidates until one is a prime p with p mod 3 = 2, which the exponent 3 needs.
func (s *keyStream) prime() (*big.Int, error) {
	p, three, rest := new(big.Int), big.NewInt(3), new(big.Int)
	for range maxDraws {
		b := s.next(rsaElementKeyBytes / 2)
		b[0] |= 0xC0 // the modulus has its top bit
		b[len(b)-1] |= 1
		p.SetBytes(b)
		clear(b)
		const rounds = 20
		if rest.Mod(p, three).Int64() == 2 && p.ProbablyPrime(rounds) {
			return p, nil
		}
	}
	return nil, errNoKey
}

func (s *keyStream) rsa() (public oda.PublicKey, list cps.List, err error) {
	p, err := s.prime()
	if err != nil {
		return public, nil, err
	}
	q, err := s.prime()
	if err != nil {
		return public, nil, err
	}
	const exponent = 3
	key, err := oda.NewPrivateKey(p.Bytes(), q.Bytes(), exponent)
	if err != nil {
		return public, nil, err
	}
	e, one := big.NewInt(exponent), big.NewInt(1)
	reduced := func(prime *big.Int) []byte { return new(big.Int).ModInverse(e, new(big.Int).Sub(prime, one)).Bytes() }
	whole := cps.RSAKey{P: p.Bytes(), Q: q.Bytes(), DP: reduced(p), DQ: reduced(q), QInverse: new(big.Int).ModInverse(q, p).Bytes()}
	list, err = whole.Groupings(cps.ICCKeyQInverse)
	return key.Public(), list, err
}

func (s *keyStream) sm2() (public oda.PublicKey, list cps.List, err error) {
	for range maxDraws {
		d := s.next(sha256.Size)
		key, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
		if err != nil {
			continue // zero, or not below the order: hardly ever
		}
		point, err := cps.NewGrouping(cps.ICCKeyModulus, key.Public().Modulus())
		if err != nil {
			return public, nil, err
		}
		private, err := cps.NewGrouping(cps.ICCKeyExponent, d)
		return key.Public(), cps.List{point, private}, err
	}
	return public, nil, errNoKey
}
