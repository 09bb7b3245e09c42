package cloudkey

import (
	"encoding/binary"
	"fmt"

	"tapnet/emv/cryptogram"
)

// Class is who must have agreed before a key can be used. It is a property of the key, kept by the server for each counter: what a phone
// claims about verification counts only as far as the class of the key allows.
type Class byte

// The classes.
const (
	ClassOpen     Class = iota // no cardholder verification: small amounts only
	ClassDevice                // the device verified its holder: the binding key is released by the device's lock or a biometric
	ClassPassword              // the payment password is part of the mask
)

// CVM reports whether a key of the class stands for cardholder verification.
func (c Class) CVM() bool { return c == ClassDevice || c == ClassPassword }

// Valid reports whether the class is known.
func (c Class) Valid() bool { return c <= ClassPassword }

// String names the class.
func (c Class) String() string {
	switch c {
	case ClassOpen:
		return "no CVM"
	case ClassDevice:
		return "device CVM"
	case ClassPassword:
		return "password CVM"
	}
	return fmt.Sprintf("Class(%d)", byte(c))
}

// Labels keep the uses of one key apart.
const (
	labelBind     = "QCK1-BIND"
	labelMask     = "QCK1-MASK"
	labelTag      = "QCK1-DT"
	labelRemote   = "QCK1-RT" // of a payment without a reader: the merchant is covered too
	labelTagKey   = "DT"
	labelBlob     = "QCK1-BLOB"
	labelBatch    = "QCK1-BATCH"
	labelTR       = "QCK1-TR"
	labelRatchet  = "QCK1-RATCHET"
	labelEnvelope = "QCK1-ENVELOPE"
	labelRequest  = "QCK1-REPLENISH"
	labelConfirm  = "QCK1-CONFIRM"
)

// BindingKey derives K_bind of a device, a token and a class from the issuer's device base key. Each class has its own: the phone may hold
// one behind a fingerprint and another free for use, and neither opens the other's keys.
func BindingKey(base Secret, device, token string, class Class) Secret {
	input := appendText(nil, labelBind)
	input = appendText(input, device)
	input = appendText(input, token)
	return base.mac(append(input, byte(class)))
}

// MaskInput is what K_bind authenticates to make the mask of the key of a counter: label, token, counter, class, and the password
// verifier for ClassPassword, nothing otherwise. A phone hands it to its key store.
func MaskInput(token string, atc uint16, class Class, password Secret) []byte {
	input := appendText(nil, labelMask)
	input = appendText(input, token)
	input = binary.BigEndian.AppendUint16(input, atc)
	input = append(input, byte(class))
	if class == ClassPassword {
		return appendText(input, password.b[:])
	}
	return appendText(input, "")
}

// Mask hides or shows a key: the first 16 bytes of the authentication code over MaskInput are added to it. It cannot fail: every password
// gives a key, and only the server can tell which is right.
func Mask(key cryptogram.Key, code Secret) cryptogram.Key {
	b := key.Reveal()
	for i := range b {
		b[i] ^= code.b[i]
	}
	masked, err := cryptogram.NewKey(b[:])
	if err != nil {
		panic("cloudkey: " + err.Error()) // the length is right
	}
	return masked
}

// MaskCode computes the code over MaskInput where K_bind is at hand: in the cloud's security module, or in a software key store.
func MaskCode(bind Secret, token string, atc uint16, class Class, password Secret) Secret {
	return bind.mac(MaskInput(token, atc, class, password))
}

// TagKeyInput is what K_bind authenticates to make the device tag key of a counter.
func TagKeyInput(atc uint16) []byte {
	return binary.BigEndian.AppendUint16(appendText(nil, labelTagKey), atc)
}

// TagKey computes K_dt of a counter where K_bind is at hand.
func TagKey(bind Secret, atc uint16) Secret { return bind.mac(TagKeyInput(atc)) }

// NextRatchet is R(n+1): what a batch gives the phone to ask for the next one with. It follows from the request that it answers, so that the
// same request gets the same batch again, and two phones that ask from one state get different ones.
func NextRatchet(base Secret, token string, bseq uint32, current Secret, nonce [NonceBytes]byte) Secret {
	input := appendText(nil, labelRatchet)
	input = appendText(input, token)
	input = appendBSEQ(input, bseq)
	input = append(input, current.b[:]...)
	return base.mac(append(input, nonce[:]...))
}

// Password verifier: Argon2id [RFC 9106] of the payment password with the token's salt, computed on the phone each time the password is
// entered and never stored there.
const (
	PasswordTime      = 3         // passes
	PasswordMemoryKiB = 64 * 1024 // what a phone of the lower class can spare
	PasswordLanes     = 1
	PasswordSaltBytes = 16
)
