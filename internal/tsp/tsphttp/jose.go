package tsphttp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"tapnet/pan"
)

// The algorithms in use: agreement on P-256 or RSA-OAEP for the key, AES-256-GCM for the content. Nothing else is accepted.
var (
	keyAlgorithms     = []jose.KeyAlgorithm{jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}
	contentAlgorithms = []jose.ContentEncryption{jose.A256GCM}
	// SignatureAlgorithm is that of webhooks.
	SignatureAlgorithm = jose.ES256
)

// maxPayloadChars bounds an encrypted payload: two numbers and a header take some 500.
const maxPayloadChars = 4 << 10

// secrets is the content of an encrypted payload.
type secrets struct {
	Number string `json:"number,omitempty"` // account or token number
	Other  string `json:"other,omitempty"`  // the new account number, where a card is replaced
	Code   string `json:"code,omitempty"`   // a one-time code, to a bank
}

// errPayload says nothing of what the payload held.
var errPayload = errors.New("the encrypted payload cannot be read")

// openPayload gives the numbers of a payload; an empty payload has none.
func openPayload(key *ecdsa.PrivateKey, payload string) (number, other pan.Number, err error) {
	if payload == "" {
		return number, other, nil
	}
	if len(payload) > maxPayloadChars {
		return number, other, errPayload
	}
	object, err := jose.ParseEncryptedCompact(payload, keyAlgorithms, contentAlgorithms)
	if err != nil {
		return number, other, errPayload
	}
	plain, err := object.Decrypt(key)
	if err != nil {
		return number, other, errPayload
	}
	defer clear(plain)
	var s secrets
	if json.Unmarshal(plain, &s) != nil {
		return number, other, errPayload
	}
	if number, err = parseNumber(s.Number); err == nil {
		other, err = parseNumber(s.Other)
	}
	if err != nil {
		return pan.Number{}, pan.Number{}, errPayload
	}
	return number, other, nil
}

func parseNumber(digits string) (pan.Number, error) {
	if digits == "" {
		return pan.Number{}, nil
	}
	return pan.Parse(digits)
}

// seal makes a payload for the holder of a public key, which is that of its certificate.
func seal(to crypto.PublicKey, s secrets) (string, error) {
	algorithm := jose.ECDH_ES_A256KW
	switch to.(type) {
	case *ecdsa.PublicKey:
	case *rsa.PublicKey:
		algorithm = jose.RSA_OAEP_256
	default:
		return "", errors.New("tsphttp: the caller's certificate has a key that nothing can be enciphered to")
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: algorithm, Key: to}, nil)
	if err != nil {
		return "", fmt.Errorf("tsphttp: payload: %w", err)
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("tsphttp: payload: %w", err)
	}
	defer clear(plain)
	object, err := encrypter.Encrypt(plain)
	if err != nil {
		return "", fmt.Errorf("tsphttp: payload: %w", err)
	}
	return object.CompactSerialize()
}

// sign makes the detached signature of a body.
func sign(key *ecdsa.PrivateKey, body []byte) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: SignatureAlgorithm, Key: key}, nil)
	if err != nil {
		return "", fmt.Errorf("tsphttp: signature: %w", err)
	}
	object, err := signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("tsphttp: signature: %w", err)
	}
	return object.DetachedCompactSerialize()
}

// CheckSignature is the receiver's side of a webhook: whether the token service has signed that body.
func CheckSignature(key *ecdsa.PublicKey, body []byte, signature string) error {
	object, err := jose.ParseDetached(signature, body, []jose.SignatureAlgorithm{SignatureAlgorithm})
	if err != nil {
		return fmt.Errorf("tsphttp: signature: %w", err)
	}
	if _, err := object.Verify(key); err != nil {
		return fmt.Errorf("tsphttp: signature: %w", err)
	}
	return nil
}

// publicKeys are what callers encipher to and check signatures with.
func publicKeys(key *ecdsa.PrivateKey) jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &key.PublicKey, KeyID: "payload", Algorithm: string(jose.ECDH_ES_A256KW), Use: "enc"},
		{Key: &key.PublicKey, KeyID: "webhook", Algorithm: string(SignatureAlgorithm), Use: "sig"},
	}}
}
