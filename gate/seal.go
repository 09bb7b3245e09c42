package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// ErrForged is wrapped when what claims to come from a device or from the back office was made without the device's key, or changed.
var ErrForged = errors.New("message is not authentic")

// macBytes is the length of every message authentication code between device and back office.
const macBytes = sha256.Size

// Purposes keep a code over one kind of message from being taken for another.
const (
	purposeChunk  = "tapnet gate chunk 1"
	purposeAnswer = "tapnet gate answer 1"
	purposeReport = "tapnet gate report 1"
)

// seal is the code of a message under a key derived for its purpose, so that no message can be taken for a link of the chain.
func (k ChainKey) seal(purpose string, message []byte) (code [macBytes]byte) {
	derive := hmac.New(sha256.New, k.key)
	derive.Write([]byte(purpose))
	mac := hmac.New(sha256.New, derive.Sum(nil))
	mac.Write(message)
	mac.Sum(code[:0])
	return code
}

// sealed appends the code.
func (k ChainKey) sealed(purpose string, message []byte) []byte {
	code := k.seal(purpose, message)
	return append(message, code[:]...)
}

// unseal gives the message in front of its code.
func (k ChainKey) unseal(purpose string, b []byte) ([]byte, error) {
	if k.IsZero() || len(b) < macBytes {
		return nil, ErrForged
	}
	message := b[:len(b)-macBytes]
	want := k.seal(purpose, message)
	if !hmac.Equal(want[:], b[len(message):]) {
		return nil, ErrForged
	}
	return message, nil
}
