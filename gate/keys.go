package gate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"tapnet/gate/denylist"
)

// MaxKeys bounds the epochs whose keys a device holds: the one in use and the one before or after it.
const MaxKeys = 2

// maxSealedKey bounds a sealed key: nonce, key and seal are 92 bytes at most.
const maxSealedKey = 128

// SealedKey is the key of an epoch for one device, encrypted under a key derived from the device's. Whoever has it and not the device's key has nothing, so
// it may travel and lie on a disk.
type SealedKey struct {
	Epoch  denylist.Epoch `json:"epoch"`
	Sealed []byte         `json:"sealed"`
}

// Keys are the keys of epochs that a device holds, for its courier.
type Keys interface {
	// Epochs are those whose keys are held, rising.
	Epochs() []denylist.Epoch
	// KeepKey takes a key as it came, and returns when it will survive a loss of power; a device with a secure module hands it on. It does not keep the
	// bytes. A key that is held already is taken again without effect. An error wraps ErrForged when the key is not the back office's for this device.
	KeepKey(k SealedKey) error
}

// SealEpochKey encrypts an epoch's key for one device with AES-256 in Galois/Counter Mode. Device and epoch are bound to it: a key that is sealed for one is
// not the key of another. random is where the nonce comes from.
func SealEpochKey(key ChainKey, device string, k denylist.EpochKey, random io.Reader) (SealedKey, error) {
	if key.IsZero() || !validDevice(device) || random == nil {
		return SealedKey{}, fmt.Errorf("seal %v for %q: a device's name and key, and randomness are needed: %w", k, device, ErrConfig)
	}
	plain := k.Reveal()
	if len(plain) == 0 {
		return SealedKey{}, fmt.Errorf("seal %v for %s: no key: %w", k, device, ErrConfig)
	}
	aead, err := key.epochSeal()
	if err != nil {
		return SealedKey{}, err
	}
	sealed := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(random, sealed); err != nil {
		return SealedKey{}, fmt.Errorf("draw a nonce: %w", err)
	}
	return SealedKey{Epoch: k.Epoch(), Sealed: aead.Seal(sealed, sealed, plain, keyBinding(device, k.Epoch()))}, nil
}

// OpenEpochKey is the key that SealEpochKey has sealed for this device; an error wraps ErrForged.
func OpenEpochKey(key ChainKey, device string, s SealedKey) (denylist.EpochKey, error) {
	forged := func(err error) (denylist.EpochKey, error) {
		return denylist.EpochKey{}, fmt.Errorf("key of epoch %d for %s: %w", s.Epoch, device, err)
	}
	if key.IsZero() || !validDevice(device) || len(s.Sealed) > maxSealedKey {
		return forged(ErrForged)
	}
	aead, err := key.epochSeal()
	if err != nil {
		return denylist.EpochKey{}, err
	}
	if len(s.Sealed) < aead.NonceSize() {
		return forged(ErrForged)
	}
	plain, err := aead.Open(nil, s.Sealed[:aead.NonceSize()], s.Sealed[aead.NonceSize():], keyBinding(device, s.Epoch))
	if err != nil {
		return forged(ErrForged)
	}
	k, err := denylist.NewEpochKey(s.Epoch, plain)
	if err != nil { // sealed with the key, and still no key
		return forged(fmt.Errorf("%w: %w", ErrForged, err))
	}
	return k, nil
}

const purposeEpochKey = "tapnet gate epoch key 1"

// epochSeal is under a key of its own, so that no code of a message can be taken for it.
func (k ChainKey) epochSeal() (cipher.AEAD, error) {
	derive := hmac.New(sha256.New, k.key)
	derive.Write([]byte(purposeEpochKey))
	block, err := aes.NewCipher(derive.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("seal of epoch keys: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal of epoch keys: %w", err)
	}
	return aead, nil
}

// keyBinding is what a sealed key is bound to: the epoch, and the name behind its length.
func keyBinding(device string, epoch denylist.Epoch) []byte {
	b := append([]byte(purposeEpochKey), byte(len(device)))
	return binary.BigEndian.AppendUint32(append(b, device...), uint32(epoch))
}

// rising reports whether epochs may be those of a device: at most MaxKeys, each above the one before.
func rising(epochs []denylist.Epoch) bool {
	for i := 1; i < len(epochs); i++ {
		if epochs[i] <= epochs[i-1] {
			return false
		}
	}
	return len(epochs) <= MaxKeys
}

// usable reports whether an answer's keys may be those of a device.
func usable(keys []SealedKey) bool {
	epochs := make([]denylist.Epoch, 0, MaxKeys)
	for i := range keys {
		if i == MaxKeys || len(keys[i].Sealed) == 0 || len(keys[i].Sealed) > maxSealedKey {
			return false
		}
		epochs = append(epochs, keys[i].Epoch)
	}
	return rising(epochs)
}
