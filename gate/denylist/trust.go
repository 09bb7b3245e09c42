package denylist

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Errors of everything that reads lists. A list that is refused changes nothing.
var (
	ErrFormat    = errors.New("not a deny list of this format")
	ErrLimit     = errors.New("deny list exceeds a limit")
	ErrSigner    = errors.New("deny list is signed by nobody we trust")
	ErrSignature = errors.New("signature of the deny list is wrong")
	ErrDigest    = errors.New("contents of the deny list are not those that were signed")
	ErrTruncated = errors.New("deny list ends too early")
)

const (
	digestBytes    = sha256.Size
	signerBytes    = 8
	signatureBytes = ed25519.SignatureSize
)

// Digest is a SHA-256 value.
type Digest [digestBytes]byte

// signerID is how a header names the key it is signed with: the beginning of the key's hash.
func signerID(key ed25519.PublicKey) (id [signerBytes]byte) {
	sum := sha256.Sum256(key)
	copy(id[:], sum[:])
	return id
}

// Trust is the set of keys whose lists a gate takes: usually the one in use and the next. The zero value trusts nobody.
type Trust struct {
	keys map[[signerBytes]byte]ed25519.PublicKey
}

// NewTrust takes public keys of Ed25519 [RFC 8032].
func NewTrust(keys ...ed25519.PublicKey) (Trust, error) {
	t := Trust{keys: make(map[[signerBytes]byte]ed25519.PublicKey, len(keys))}
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return Trust{}, fmt.Errorf("public key of %d bytes: %w", len(key), ErrKey)
		}
		t.keys[signerID(key)] = append(ed25519.PublicKey(nil), key...)
	}
	return t, nil
}

// purposes keep a signature over one kind of thing from being taken for another.
const (
	purposeBase  = "tapnet denylist base 1\x00"
	purposeDelta = "tapnet denylist delta 1\x00"
)

func (t Trust) verify(purpose string, signer, signed, signature []byte) error {
	key, ok := t.keys[[signerBytes]byte(signer)]
	if !ok {
		return ErrSigner
	}
	if !ed25519.Verify(key, append([]byte(purpose), signed...), signature) {
		return ErrSignature
	}
	return nil
}

// sign signs with an Ed25519 key, in memory or in a security module. The algorithm needs no randomness.
func sign(signer crypto.Signer, purpose string, signed []byte) ([]byte, error) {
	signature, err := signer.Sign(nil, append([]byte(purpose), signed...), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign the deny list: %w", err)
	}
	if len(signature) != signatureBytes {
		return nil, fmt.Errorf("sign the deny list: %w", ErrSignature)
	}
	return signature, nil
}

// public is the signer's Ed25519 key.
func public(signer crypto.Signer) (ed25519.PublicKey, error) {
	key, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("signer is not of Ed25519: %w", ErrKey)
	}
	return key, nil
}
