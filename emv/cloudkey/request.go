package cloudkey

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// Limits of requests.
const (
	NonceBytes = 16
	// MaxUses is what a phone can report: the taps of the batch in use and of the one before.
	MaxUses             = 2 * MaxTaps
	MaxAttestationBytes = 8192 // a chain of certificates
	maxSignatureBytes   = 72   // of P-256, in DER
	// MaxRequestBytes is more than the longest request has.
	MaxRequestBytes = MaxAttestationBytes + 1024
)

// UseState is what became of a counter on the phone.
type UseState byte

// The states. A counter that a report does not name was not used.
const (
	UseArmed    UseState = 1 // given up for a tap; whether an answer left the phone is not known
	UseAnswered UseState = 2 // an answer with its cryptogram left the phone
)

// Use is one counter of a report.
type Use struct {
	ATC   uint16
	State UseState
}

// ReplenishRequest asks for the next batch. A phone makes it durable before it sends it, and repeats it word for word until it has kept an
// answer: the same request gets the same batch. Another request with a ratchet that was already answered means two phones. While a
// request waits the phone may tap on: a tap that the service has seen stands in this request or in the next.
type ReplenishRequest struct {
	Token, Device string
	BSEQ          uint32 // of the last batch the phone has; 0: none
	Ratchet       Secret // R(n); for the first batch the secret of the profile
	Nonce         [NonceBytes]byte
	Used          []Use // in the order of use
	Attestation   string
}

// Bytes returns what the device signs. It panics when the request cannot be encoded: that is a bug of the phone.
func (q ReplenishRequest) Bytes() []byte {
	if len(q.Used) > MaxUses || len(q.Attestation) > MaxAttestationBytes || q.BSEQ > MaxBSEQ || CheckRef(q.Token) != nil || CheckRef(q.Device) != nil {
		panic("cloudkey: request cannot be encoded")
	}
	w := appendText(nil, labelRequest)
	w = appendText(w, q.Token)
	w = appendText(w, q.Device)
	w = appendBSEQ(w, q.BSEQ)
	w = append(w, q.Ratchet.b[:]...)
	w = append(w, q.Nonce[:]...)
	w = append(w, byte(len(q.Used)))
	for _, u := range q.Used {
		w = binary.BigEndian.AppendUint16(w, u.ATC)
		w = append(w, byte(u.State))
	}
	return appendText(w, q.Attestation)
}

// ParseReplenish reads a signed request: what it says, the bytes that are signed, the signature. The error wraps ErrFormat.
func ParseReplenish(b []byte) (q ReplenishRequest, signed Signed, err error) {
	if signed, err = parseSigned(b); err != nil {
		return ReplenishRequest{}, Signed{}, err
	}
	r := &reader{what: "replenish request", b: signed.Body}
	r.label(labelRequest)
	q = ReplenishRequest{Token: r.ref(), Device: r.ref(), BSEQ: r.bseq(), Ratchet: r.secret(), Nonce: [NonceBytes]byte(r.take(NonceBytes))}
	count := int(r.byte())
	if count > MaxUses {
		r.fail("%d uses, at most %d", count, MaxUses)
	}
	for range count {
		if r.err != nil {
			break
		}
		u := Use{ATC: r.uint16(), State: UseState(r.byte())}
		if u.State != UseArmed && u.State != UseAnswered {
			r.fail("state %d of a counter", u.State)
		}
		q.Used = append(q.Used, u)
	}
	q.Attestation = string(r.text(MaxAttestationBytes))
	if err := r.end(); err != nil {
		return ReplenishRequest{}, Signed{}, err
	}
	return q, signed, nil
}

// Format tells who asks, and nothing secret.
func (q ReplenishRequest) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "replenish request of token %s after batch %d", q.Token, q.BSEQ)
}

// ConfirmRequest says that a batch is durable on the phone: the keys of the one before may go. It may be repeated.
type ConfirmRequest struct {
	Token, Device string
	BSEQ          uint32
	Batch         [sha256.Size]byte // Batch.Digest
}

// Bytes returns what the device signs.
func (c ConfirmRequest) Bytes() []byte {
	w := appendText(nil, labelConfirm)
	w = appendText(w, c.Token)
	w = appendText(w, c.Device)
	w = appendBSEQ(w, c.BSEQ)
	return append(w, c.Batch[:]...)
}

// ParseConfirm reads a signed confirmation. The error wraps ErrFormat.
func ParseConfirm(b []byte) (c ConfirmRequest, signed Signed, err error) {
	if signed, err = parseSigned(b); err != nil {
		return ConfirmRequest{}, Signed{}, err
	}
	r := &reader{what: "confirmation", b: signed.Body}
	r.label(labelConfirm)
	c = ConfirmRequest{Token: r.ref(), Device: r.ref(), BSEQ: r.bseq(), Batch: [sha256.Size]byte(r.take(sha256.Size))}
	if err := r.end(); err != nil {
		return ConfirmRequest{}, Signed{}, err
	}
	return c, signed, nil
}

// Signed is the body of a request and the device's signature, ECDSA P-256 over SHA-256 in DER.
type Signed struct{ Body, Signature []byte }

// Bytes returns both behind their lengths.
func (s Signed) Bytes() []byte { return appendText(appendText(nil, s.Body), s.Signature) }

// By reports whether the device with this key signed the body.
func (s Signed) By(public *ecdsa.PublicKey) bool {
	digest := sha256.Sum256(s.Body)
	return public != nil && ecdsa.VerifyASN1(public, digest[:], s.Signature)
}

// Format tells the lengths only: a body holds a ratchet.
func (s Signed) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("signed request of %d bytes", len(s.Body)))
}

func parseSigned(b []byte) (Signed, error) {
	r := &reader{what: "signed request", b: b}
	if len(b) > MaxRequestBytes {
		r.fail("%d bytes, at most %d", len(b), MaxRequestBytes)
	}
	s := Signed{Body: r.text(MaxRequestBytes), Signature: r.text(maxSignatureBytes)}
	return s, r.end()
}
