package hsm

import (
	"crypto/subtle"
	"fmt"
	"io"

	"tapnet/pan"
	"tapnet/pinblock"
)

// PINBlock is an enciphered PIN block under a zone key of any algorithm: format 0 under DES and triple DES, format 4 under AES
// [ISO 9564-1], and under SM4 the layout that the parties agreed on. It prints as redacted.
type PINBlock struct {
	// Narrow is a block of 8 bytes, for DES and triple DES.
	Narrow pinblock.Block
	// Wide is a block of 16 bytes, for AES and SM4.
	Wide pinblock.WideBlock
	// Layout counts with SM4 only.
	Layout pinblock.SM4Layout
}

// String is masked.
func (PINBlock) String() string { return "[redacted]" }

// Format masks under every verb.
func (b PINBlock) Format(f fmt.State, _ rune) { io.WriteString(f, b.String()) }

// SealPIN enciphers a clear PIN for an account under a zone key, in the format that the algorithm of the key asks for: what the
// secure part of a terminal does. The layout counts with SM4 only.
func (h *HSM) SealPIN(name string, pin pinblock.PIN, n pan.Number, layout pinblock.SM4Layout) (PINBlock, error) {
	e, err := h.use("enciphering a PIN", name, UsagePINEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return PINBlock{}, err
	}
	if pin.IsZero() || n.IsZero() {
		return PINBlock{}, fmt.Errorf("hsm: enciphering a PIN: PIN or account number is missing")
	}
	return h.sealPIN(e, pin, n, layout)
}

// TranslatePINBlock re-enciphers a PIN from one zone to another, whatever the algorithms of their keys, after checking that it is a
// PIN block of that account. A malformed block gives PINBadFormat and no block. layout is that of the new block.
func (h *HSM) TranslatePINBlock(from, to string, block PINBlock, n pan.Number, layout pinblock.SM4Layout) (PINBlock, PINResult, error) {
	source, err := h.use("translating a PIN from", from, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return PINBlock{}, PINWrong, err
	}
	target, err := h.use("translating a PIN to", to, UsagePINEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return PINBlock{}, PINWrong, err
	}
	pin, result, err := source.openPIN(block, n)
	if err != nil || result != PINOK {
		return PINBlock{}, result, err
	}
	translated, err := h.sealPIN(target, pin, n, layout)
	if err != nil {
		return PINBlock{}, PINWrong, err
	}
	return translated, PINOK, nil
}

// VerifyPINBlock is VerifyPIN for a zone key of any algorithm.
func (h *HSM) VerifyPINBlock(pinKey string, block PINBlock, n pan.Number, referenceKey string, reference [16]byte) (PINResult, error) {
	zone, err := h.use("deciphering a PIN", pinKey, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return PINWrong, err
	}
	e, err := h.use("verifying a PIN", referenceKey, UsagePINVerification, ModeGenerateVerify, ModeVerify)
	if err != nil {
		return PINWrong, err
	}
	pin, result, err := zone.openPIN(block, n)
	if err != nil || result != PINOK {
		return result, err
	}
	want := e.pinReference(pin, n)
	if subtle.ConstantTimeCompare(want[:], reference[:]) != 1 {
		return PINWrong, nil
	}
	return PINOK, nil
}

// sealPIN makes the block of one zone.
func (h *HSM) sealPIN(e *entry, pin pinblock.PIN, n pan.Number, layout pinblock.SM4Layout) (PINBlock, error) {
	switch e.info.Algorithm {
	case AES128, AES256:
		var random [8]byte
		if _, err := h.random.Read(random[:]); err != nil {
			return PINBlock{}, fmt.Errorf("hsm: enciphering a PIN: reading random bytes: %w", err)
		}
		return PINBlock{Wide: pinblock.EncipherFormat4(e.block, pin, n, random)}, nil
	case SM4:
		b := pinblock.FormatSM4(pin, n, layout).Reveal()
		e.block.Encrypt(b[:], b[:])
		wide, err := pinblock.WideFromBytes(b[:])
		if err != nil {
			return PINBlock{}, fmt.Errorf("hsm: enciphering a PIN: %w", err)
		}
		return PINBlock{Wide: wide, Layout: layout}, nil
	}
	narrow, err := e.encipherPIN(pinblock.Format0(pin, n))
	return PINBlock{Narrow: narrow}, err
}

// openPIN answers PINBadFormat when the block is malformed or not of the width of the key; the reason is dropped, because it would
// tell about the PIN.
func (e *entry) openPIN(block PINBlock, n pan.Number) (pinblock.PIN, PINResult, error) {
	if n.IsZero() {
		return pinblock.PIN{}, PINWrong, fmt.Errorf("hsm: deciphering a PIN: account number is missing")
	}
	var pin pinblock.PIN
	var err error
	switch e.info.Algorithm {
	case AES128, AES256:
		pin, err = pinblock.DecipherFormat4(e.block, block.Wide, n)
	case SM4:
		if block.Wide.IsZero() {
			return pinblock.PIN{}, PINBadFormat, nil
		}
		b := block.Wide.Reveal()
		e.block.Decrypt(b[:], b[:])
		var opened pinblock.WideBlock
		if opened, err = pinblock.WideFromBytes(b[:]); err == nil {
			pin, err = pinblock.ParseFormatSM4(opened, n, block.Layout)
		}
		clear(b[:])
	default:
		if block.Narrow.IsZero() {
			return pinblock.PIN{}, PINBadFormat, nil
		}
		return e.decipherPIN(block.Narrow, n)
	}
	if err != nil {
		return pinblock.PIN{}, PINBadFormat, nil
	}
	return pin, PINOK, nil
}

// wrongWidth refuses a block that the cipher of the key cannot take.
func (e *entry) wrongWidth(operation string) error {
	return &MisuseError{Operation: operation + " under a key of " + e.info.Algorithm.String(), Key: e.info.Name, Usage: e.info.Usage, Mode: e.info.Mode}
}
