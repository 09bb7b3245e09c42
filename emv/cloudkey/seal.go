package cloudkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tapnet/emv/cryptogram"
)

// ErrNotAuthentic says that a batch or an envelope was not made for this device, or was changed.
var ErrNotAuthentic = errors.New("not authentic")

// Agreement is a device's private agreement key, where ever it is kept: the shared x coordinate with a peer's point, 32 bytes.
type Agreement interface {
	Agree(peer []byte) ([]byte, error)
}

// PrivateAgreement is an Agreement over a key in memory.
func PrivateAgreement(private *ecdh.PrivateKey) Agreement { return privateAgreement{private} }

type privateAgreement struct{ private *ecdh.PrivateKey }

func (p privateAgreement) Agree(peer []byte) ([]byte, error) {
	public, err := ecdh.P256().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("peer's point: %w", ErrNotAuthentic)
	}
	return p.private.ECDH(public)
}

// Format keeps the key out of every print.
func (privateAgreement) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "agreement key "+redacted)
}

// NewEphemeral draws a P-256 key from a random source, so that a seed repeats it.
func NewEphemeral(random io.Reader) (*ecdh.PrivateKey, error) {
	const attempts = 16 // each is out of range with a chance of 2^-32
	for range attempts {
		scalar, err := DrawSecret(random)
		if err != nil {
			return nil, err
		}
		if key, err := ecdh.P256().NewPrivateKey(scalar.b[:]); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("random source gives no key of P-256")
}

// Order is a batch to be made: nothing in it is secret but the ratchet.
type Order struct {
	Scheme     SchemeID
	Token      string
	BSEQ       uint32
	ServerTime int64
	Thresholds Thresholds
	Keys       []Key  // what stands before the blob
	Ratchet    Secret // R(n+1)
	Device     []byte // the device's agreement key, an uncompressed point of P-256
}

// Material is what only a security module has.
type Material struct {
	Master    Master
	Binding   func(Class) Secret // K_bind of the device and token
	Password  Secret             // verifier; needed when a key is of ClassPassword
	Ephemeral *ecdh.PrivateKey   // fresh for each batch: NewEphemeral
}

// Seal makes a batch: it derives every key, masks it, and seals it for the device. It is one operation of a security module, and no key
// leaves it in the clear. The error wraps ErrFormat when the order is not possible.
func Seal(o Order, m Material) (*Batch, error) {
	b := &Batch{Scheme: o.Scheme, Token: o.Token, BSEQ: o.BSEQ, ServerTime: o.ServerTime, Thresholds: o.Thresholds}
	b.Keys = append(b.Keys, o.Keys...)
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("seal batch: %w", err)
	}
	if o.Ratchet.IsZero() {
		return nil, fmt.Errorf("seal batch: ratchet is missing: %w", ErrFormat)
	}
	shared, err := PrivateAgreement(m.Ephemeral).Agree(o.Device)
	if err != nil {
		return nil, fmt.Errorf("seal batch: %w", err)
	}
	copy(b.ephemeral[:], m.Ephemeral.PublicKey().Bytes())
	t, err := b.transport(shared, o.Device)
	if err != nil {
		return nil, fmt.Errorf("seal batch: %w", err)
	}
	scheme, err := SchemeOf(b.Scheme)
	if err != nil {
		return nil, fmt.Errorf("seal batch: %w", err)
	}
	ratchet := o.Ratchet.Reveal()
	t.aead.Seal(b.ratchet[:0], nonce(b.BSEQ, 0), ratchet[:], b.ratchetData())
	for i := range b.Keys {
		k := &b.Keys[i]
		if k.Class == ClassPassword && m.Password.IsZero() {
			return nil, fmt.Errorf("seal batch: key %d needs a password verifier: %w", i+1, ErrFormat)
		}
		key, err := scheme.Derive(m.Master, k.Slot())
		if err != nil {
			return nil, fmt.Errorf("seal batch: key %d: %w", i+1, err)
		}
		masked := Mask(key, MaskCode(m.Binding(k.Class), b.Token, k.ATC, k.Class, m.Password)).Reveal()
		t.aead.Seal(k.blob[:0], nonce(b.BSEQ, k.ATC), masked[:], b.keyData(k))
	}
	header := b.header()
	b.digest = t.digest(header)
	b.wire = append(header, b.digest[:]...)
	return b, nil
}

// Opened is what a device finds in a batch. The keys are still masked.
type Opened struct {
	Ratchet Secret
	Masked  []cryptogram.Key // in the order of Batch.Keys
}

// Open opens a batch on the device it was made for. public is the device's own agreement key. The error wraps ErrNotAuthentic when the
// batch was made for another device or changed in one bit.
func (b *Batch) Open(device Agreement, public []byte) (Opened, error) {
	shared, err := device.Agree(b.ephemeral[:])
	if err != nil {
		return Opened{}, fmt.Errorf("open batch: %w", err)
	}
	t, err := b.transport(shared, public)
	if err != nil {
		return Opened{}, fmt.Errorf("open batch: %w", err)
	}
	digest := t.digest(b.header())
	if subtle.ConstantTimeCompare(digest[:], b.digest[:]) != 1 {
		return Opened{}, fmt.Errorf("open batch: header: %w", ErrNotAuthentic)
	}
	ratchet, err := t.aead.Open(nil, nonce(b.BSEQ, 0), b.ratchet[:], b.ratchetData())
	if err != nil {
		return Opened{}, fmt.Errorf("open batch: ratchet: %w", ErrNotAuthentic)
	}
	var o Opened
	copy(o.Ratchet.b[:], ratchet)
	for i := range b.Keys {
		k := &b.Keys[i]
		masked, err := t.aead.Open(nil, nonce(b.BSEQ, k.ATC), k.blob[:], b.keyData(k))
		if err != nil {
			return Opened{}, fmt.Errorf("open batch: key %d: %w", i+1, ErrNotAuthentic)
		}
		o.Masked = append(o.Masked, newKey([cryptogram.KeyBytes]byte(masked)))
		clear(masked)
	}
	return o, nil
}

// transport is K_tr and the key of the header.
type transport struct {
	aead   cipher.AEAD
	header Secret
}

// transport derives the keys of one batch [RFC 5869]: the ephemeral key is fresh, so they are used for this batch only.
func (b *Batch) transport(shared, device []byte) (transport, error) {
	info := appendText(nil, labelTR)
	info = appendText(info, device)
	info = appendText(info, b.Token)
	info = appendBSEQ(info, b.BSEQ)
	keys, err := hkdf.Key(sha256.New, shared, b.ephemeral[:], string(info), 2*SecretBytes)
	if err != nil {
		return transport{}, err
	}
	aead, err := newGCM(keys[:SecretBytes])
	return transport{aead: aead, header: Secret{[SecretBytes]byte(keys[SecretBytes:])}}, err
}

func (t transport) digest(header []byte) (digest [digestBytes]byte) {
	h := hmac.New(sha256.New, t.header.b[:])
	h.Write(header)
	copy(digest[:], h.Sum(nil))
	return digest
}

// keyData is the associated data of a key.
func (b *Batch) keyData(k *Key) []byte {
	d := appendText(nil, labelBlob)
	d = appendText(d, b.Token)
	d = appendBSEQ(d, b.BSEQ)
	d = binary.BigEndian.AppendUint16(d, k.ATC)
	d = append(d, byte(k.Class))
	return binary.BigEndian.AppendUint64(d, uint64(k.NotAfter)) //nolint:gosec // checked: not negative
}

func (b *Batch) ratchetData() []byte {
	return appendBSEQ(appendText(appendText(nil, labelRatchet), b.Token), b.BSEQ)
}

// nonce is unique under one K_tr: counters start at 1, and 0 is the ratchet's.
func nonce(bseq uint32, atc uint16) []byte {
	return binary.BigEndian.AppendUint16(appendBSEQ(make([]byte, 7, 12), bseq), atc)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Purposes of an envelope.
const (
	PurposeBinding  = "binding"  // K_bind to the device that will keep it; the context is the alias of the key
	PurposePassword = "password" // the password verifier to the security module; the context is the token
	PurposeProfile  = "profile"  // a token's profile to the device; the context is the device
)

// MaxEnvelopeBytes bounds an envelope.
const MaxEnvelopeBytes = 8192

// Wrap seals a secret for the holder of an agreement key: the ephemeral point, then the sealed bytes. recipient is an uncompressed point
// of P-256.
func Wrap(purpose, context string, recipient, plain []byte, ephemeral *ecdh.PrivateKey) ([]byte, error) {
	shared, err := PrivateAgreement(ephemeral).Agree(recipient)
	if err != nil {
		return nil, fmt.Errorf("wrap a %s: %w", purpose, err)
	}
	point := ephemeral.PublicKey().Bytes()
	aead, err := envelopeAEAD(purpose, context, recipient, point, shared)
	if err != nil {
		return nil, fmt.Errorf("wrap a %s: %w", purpose, err)
	}
	return aead.Seal(point, nonce(0, 0), plain, nil), nil
}

// Unwrap opens what Wrap sealed. public is the recipient's own point. The error wraps ErrNotAuthentic.
func Unwrap(purpose, context string, recipient Agreement, public, wrapped []byte) ([]byte, error) {
	if len(wrapped) < pointBytes+tagAEADBytes || len(wrapped) > MaxEnvelopeBytes {
		return nil, fmt.Errorf("unwrap a %s of %d bytes: %w", purpose, len(wrapped), ErrNotAuthentic)
	}
	point := wrapped[:pointBytes]
	shared, err := recipient.Agree(point)
	if err != nil {
		return nil, fmt.Errorf("unwrap a %s: %w", purpose, err)
	}
	aead, err := envelopeAEAD(purpose, context, public, point, shared)
	if err != nil {
		return nil, fmt.Errorf("unwrap a %s: %w", purpose, err)
	}
	plain, err := aead.Open(nil, nonce(0, 0), wrapped[pointBytes:], nil)
	if err != nil {
		return nil, fmt.Errorf("unwrap a %s: %w", purpose, ErrNotAuthentic)
	}
	return plain, nil
}

func envelopeAEAD(purpose, context string, recipient, point, shared []byte) (cipher.AEAD, error) {
	info := appendText(nil, labelEnvelope)
	info = appendText(info, purpose)
	info = appendText(info, context)
	info = appendText(info, recipient)
	key, err := hkdf.Key(sha256.New, shared, point, string(info), SecretBytes)
	if err != nil {
		return nil, err
	}
	return newGCM(key)
}
