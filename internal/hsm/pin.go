package hsm

import (
	"crypto/subtle"
	"fmt"

	"tapnet/mac"
	"tapnet/pan"
	"tapnet/pinblock"
)

// PINResult is the outcome of looking at a PIN. Its zero value is PINWrong, so that a forgotten result refuses.
type PINResult uint8

// The outcomes.
const (
	PINWrong     PINResult = iota // the PIN is not the cardholder's
	PINOK                         // the PIN is right, or the block is well formed
	PINBadFormat                  // the deciphered block is no PIN block for this account: wrong key, wrong account or garbage
)

// String names the outcome.
func (r PINResult) String() string {
	switch r {
	case PINOK:
		return "ok"
	case PINBadFormat:
		return "bad format"
	}
	return "wrong"
}

// EncipherPIN enciphers a clear PIN block, as the secure part of a terminal does.
func (h *HSM) EncipherPIN(name string, clearBlock pinblock.Block) (pinblock.Block, error) {
	e, err := h.use("enciphering a PIN", name, UsagePINEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return pinblock.Block{}, err
	}
	return e.encipherPIN(clearBlock)
}

// TranslatePIN re-enciphers a format 0 PIN block [ISO 9564-1] from one zone key to another after checking that it is a PIN block of
// that account. A malformed block gives PINBadFormat and no block. Zones of other widths need TranslatePINBlock.
func (h *HSM) TranslatePIN(from, to string, block pinblock.Block, n pan.Number) (pinblock.Block, PINResult, error) {
	source, err := h.use("translating a PIN from", from, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	target, err := h.use("translating a PIN to", to, UsagePINEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	if target.block.BlockSize() != pinblock.Size {
		return pinblock.Block{}, PINWrong, target.wrongWidth("translating to a PIN block of 8 bytes")
	}
	pin, result, err := source.decipherPIN(block, n)
	if err != nil || result != PINOK {
		return pinblock.Block{}, result, err
	}
	translated, err := target.encipherPIN(pinblock.Format0(pin, n))
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	return translated, PINOK, nil
}

// NewPINReference gives the keyed check value stored for a card instead of its PIN: the leftmost 16 bytes of the AES-CMAC
// [NIST SP800-38B], under the PIN verification key, of
//
//	"tapnet pin reference 1" ‖ 00 ‖ PAN digits ‖ 00 ‖ PIN digits
//
// It holds the account number, so equal PINs of two cards have different references. A reference can be tried out against all PINs
// by anybody who may use the key, therefore the key stays here.
func (h *HSM) NewPINReference(referenceKey string, pin pinblock.PIN, n pan.Number) ([16]byte, error) {
	e, err := h.use("making a PIN reference", referenceKey, UsagePINVerification, ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return [16]byte{}, err
	}
	return e.pinReference(pin, n), nil
}

// PINReference makes the check value from an enciphered PIN block, as when a cardholder chooses a PIN.
func (h *HSM) PINReference(referenceKey, pinKey string, block pinblock.Block, n pan.Number) ([16]byte, PINResult, error) {
	zone, err := h.use("deciphering a PIN", pinKey, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return [16]byte{}, PINWrong, err
	}
	e, err := h.use("making a PIN reference", referenceKey, UsagePINVerification, ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return [16]byte{}, PINWrong, err
	}
	pin, result, err := zone.decipherPIN(block, n)
	if err != nil || result != PINOK {
		return [16]byte{}, result, err
	}
	return e.pinReference(pin, n), PINOK, nil
}

// VerifyPIN compares the PIN in an enciphered block with the stored check value.
func (h *HSM) VerifyPIN(pinKey string, block pinblock.Block, n pan.Number, referenceKey string, reference [16]byte) (PINResult, error) {
	zone, err := h.use("deciphering a PIN", pinKey, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return PINWrong, err
	}
	e, err := h.use("verifying a PIN", referenceKey, UsagePINVerification, ModeGenerateVerify, ModeVerify)
	if err != nil {
		return PINWrong, err
	}
	pin, result, err := zone.decipherPIN(block, n)
	if err != nil || result != PINOK {
		return result, err
	}
	want := e.pinReference(pin, n)
	if subtle.ConstantTimeCompare(want[:], reference[:]) != 1 {
		return PINWrong, nil
	}
	return PINOK, nil
}

func (e *entry) encipherPIN(clearBlock pinblock.Block) (pinblock.Block, error) {
	if e.block.BlockSize() != pinblock.Size {
		return pinblock.Block{}, e.wrongWidth("enciphering a PIN block of 8 bytes")
	}
	b := clearBlock.Reveal()
	e.block.Encrypt(b[:], b[:])
	out, err := pinblock.FromBytes(b[:])
	if err != nil {
		return pinblock.Block{}, fmt.Errorf("hsm: enciphering a PIN: %w", err)
	}
	return out, nil
}

// decipherPIN answers PINBadFormat when the block is malformed; the reason is dropped, because it would tell about the PIN.
func (e *entry) decipherPIN(block pinblock.Block, n pan.Number) (pinblock.PIN, PINResult, error) {
	if e.block.BlockSize() != pinblock.Size {
		return pinblock.PIN{}, PINWrong, e.wrongWidth("deciphering a PIN block of 8 bytes")
	}
	b := block.Reveal()
	e.block.Decrypt(b[:], b[:])
	defer clear(b[:])
	opened, err := pinblock.FromBytes(b[:])
	if err != nil {
		return pinblock.PIN{}, PINWrong, fmt.Errorf("hsm: deciphering a PIN: %w", err)
	}
	pin, err := pinblock.ParseFormat0(opened, n)
	if err != nil {
		return pinblock.PIN{}, PINBadFormat, nil
	}
	return pin, PINOK, nil
}

func (e *entry) pinReference(pin pinblock.PIN, n pan.Number) (reference [16]byte) {
	message := make([]byte, 0, 64)
	message = append(message, "tapnet pin reference 1\x00"...)
	message = append(message, n.Reveal()...)
	message = append(message, 0)
	message = append(message, pin.Reveal()...)
	copy(reference[:], mac.CMAC(e.block, message))
	clear(message)
	return reference
}
