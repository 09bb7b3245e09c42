package hsm

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"tapnet/pan"
)

const (
	sealVersion = 1
	sealNonce   = 12
	// MaxSealedBytes bounds what SealData takes and OpenData opens: card images and keys are a few kilobytes.
	MaxSealedBytes = 64 << 10

	panContext         = "tapnet pan 1"
	fingerprintContext = "tapnet pan fingerprint 1\x00"
	paddedPAN          = 19 // longest account number; sealing all to one length hides the real one
)

// PANFingerprint gives the keyed fingerprint by which a card is found at rest: the first 16 bytes of HMAC-SHA-256 [RFC 2104]. Equal
// account numbers give equal fingerprints; without the key none can be tried out.
func (h *HSM) PANFingerprint(name string, n pan.Number) ([16]byte, error) {
	e, err := h.use("fingerprinting", name, UsageHMAC, ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return [16]byte{}, err
	}
	d, _ := e.digests.Get().(*digest)
	if d == nil {
		d = &digest{mac: hmac.New(sha256.New, e.value)}
	}
	d.buffer = n.RevealTo(append(d.buffer[:0], fingerprintContext...))
	d.mac.Write(d.buffer)
	clear(d.buffer)
	d.buffer = d.mac.Sum(d.buffer[:0])
	fingerprint := [16]byte(d.buffer[:16])
	d.mac.Reset()
	e.digests.Put(d)
	return fingerprint, nil
}

// digest is an HMAC under one key and the memory that goes through it.
type digest struct {
	mac    hash.Hash
	buffer []byte
}

// Format masks a digest: its state stands for the key.
func (d *digest) Format(f fmt.State, _ rune) { io.WriteString(f, "hsm.digest") }

// SealPAN enciphers an account number for rest. Every call gives other bytes of the same length.
func (h *HSM) SealPAN(name string, n pan.Number) ([]byte, error) {
	e, err := h.use("sealing an account number", name, UsageData, ModeBoth, ModeEncrypt)
	if err != nil {
		return nil, err
	}
	padded := bytes.Repeat([]byte{'F'}, paddedPAN)
	copy(padded, n.Reveal())
	defer clear(padded)
	return h.seal(e, []byte(panContext), padded)
}

// OpenPAN is the inverse of SealPAN.
func (h *HSM) OpenPAN(name string, sealed []byte) (pan.Number, error) {
	e, err := h.use("opening an account number", name, UsageData, ModeBoth, ModeDecrypt)
	if err != nil {
		return pan.Number{}, err
	}
	padded, err := open(e.aead, []byte(panContext), sealed)
	if err != nil {
		return pan.Number{}, fmt.Errorf("hsm: opening an account number: %w", err)
	}
	n, err := pan.Parse(string(bytes.TrimRight(padded, "F")))
	clear(padded)
	if err != nil {
		return pan.Number{}, fmt.Errorf("hsm: opening an account number: %w", ErrSealed)
	}
	return n, nil
}

// SealData enciphers small secrets for rest (a card's private key, its image). The context names what it is and whose; OpenData needs
// the same one, so sealed data cannot be moved to another place.
func (h *HSM) SealData(name, context string, data []byte) ([]byte, error) {
	e, err := h.use("sealing data", name, UsageData, ModeBoth, ModeEncrypt)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSealedBytes {
		return nil, fmt.Errorf("hsm: sealing data: more than %d bytes", MaxSealedBytes)
	}
	return h.seal(e, dataBinding(context), data)
}

// OpenData is the inverse of SealData.
func (h *HSM) OpenData(name, context string, sealed []byte) ([]byte, error) {
	e, err := h.use("opening data", name, UsageData, ModeBoth, ModeDecrypt)
	if err != nil {
		return nil, err
	}
	plain, err := open(e.aead, dataBinding(context), sealed)
	if err != nil {
		return nil, fmt.Errorf("hsm: opening data: %w", err)
	}
	return plain, nil
}

// dataBinding keeps free contexts apart from the package's own.
func dataBinding(context string) []byte { return []byte("tapnet data 1\x00" + context) }

// seal gives version ‖ nonce ‖ ciphertext ‖ tag.
func (h *HSM) seal(e *entry, binding, plain []byte) ([]byte, error) {
	out := make([]byte, 1+sealNonce, 1+sealNonce+len(plain)+e.aead.Overhead())
	out[0] = sealVersion
	if _, err := h.random.Read(out[1:]); err != nil {
		return nil, fmt.Errorf("hsm: sealing: reading random bytes: %w", err)
	}
	return e.aead.Seal(out, out[1:1+sealNonce], plain, binding), nil
}

func open(aead cipher.AEAD, binding, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+sealNonce+aead.Overhead() || len(sealed) > 1+sealNonce+MaxSealedBytes+aead.Overhead() || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, sealed[1:1+sealNonce], sealed[1+sealNonce:], binding)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
