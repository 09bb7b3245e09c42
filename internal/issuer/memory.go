package issuer

import (
	"crypto/sha256"

	"tapnet/iso8583/unionpay"
)

// payment is what the issuer remembers of a request it answered, so that a repeat gets the first answer and a reversal finds its original. It holds no
// pointer: millions of them cost the garbage collector nothing.
type payment struct {
	seq     uint64
	content [16]byte
	card    int64
	minor   int64
	date    int32
	reason  Reason
	code    approvalCode
	noPIN   bool
	held    bool // the hold of seq still stands
	early   bool // the reversal came first; no request was decided
}

// identity is a request's key and content, by which a repeat is known.
type identity struct {
	key     string
	content [16]byte
}

// identify takes what Prepare has computed already, or computes it.
func identify(m *unionpay.FinancialRequest, f *Finding) identity {
	if f != nil && f.id.key != "" {
		return f.id
	}
	return identity{unionpay.NetworkKey(m), unionpay.ContentHash(m)}
}

// keyChars is the length of a payment's key at the switch; the keys of terminals are shorter.
const keyChars = 39

// paymentKey is a payment's key with its length behind it.
type paymentKey [keyChars + 1]byte

const hashedKey = 0xFF // in the place of the length

func keyOf(key string) (k paymentKey) {
	if len(key) > keyChars { // no message that was decoded has such a key
		sum := sha256.Sum256([]byte(key))
		copy(k[:], sum[:])
		k[keyChars] = hashedKey
		return k
	}
	copy(k[:], key)
	k[keyChars] = byte(len(key))
	return k
}

// reference is a retrieval reference number: 12 characters in field 37.
type reference [12]byte

func referenceOf(rrn string) (r reference) {
	copy(r[:], rrn)
	return r
}

// approvalCode is field 38 of an approval; zero is none.
type approvalCode [6]byte

func codeOf(s string) (c approvalCode) {
	copy(c[:], s)
	return c
}

// String gives the six digits, or nothing.
func (c approvalCode) String() string {
	if c == (approvalCode{}) {
		return ""
	}
	return string(c[:])
}

func (s *state) payment(key string) (payment, bool) {
	p, ok := s.payments[keyOf(key)]
	return p, ok
}
