package hsm

import (
	"crypto/sha256"
	"fmt"

	"tapnet/dukpt"
	"tapnet/glossary"
	"tapnet/pan"
	"tapnet/pinblock"
)

// UsageDUKPTBase is a key from which the keys of single transactions of terminals are derived [X9.24]: a usage of its own, in the proprietary range, so that
// none of them deciphers anything but a PIN on its way to a zone key.
const UsageDUKPTBase Usage = "24"

// uniqueUsageRule is the part of the table for terminals with a key for every transaction.
func uniqueUsageRule(u Usage) (rule, bool) {
	if u == UsageDUKPTBase {
		return rule{glossary.Term{EN: "base key of unique transaction keys", ZH: "每交易唯一密钥的基础密钥"}, deriveOnly, []Algorithm{TDES, AES128, AES256}}, true
	}
	return elementUsageRule(u)
}

// Serial names the key of one transaction of a device: method and key serial number, as unionpay.KeySerial has them.
type Serial struct {
	AES    bool // [X9.24] part 3; else part 1
	Number []byte
}

// TranslateUniquePIN re-enciphers a format 0 PIN block [ISO 9564-1] from the key of one transaction, derived by DUKPT from a base key [X9.24], to a zone key. A
// block that is none gives PINBadFormat and no block, and so does a serial number that names no key: it comes from a wire.
func (h *HSM) TranslateUniquePIN(base string, serial Serial, to string, block pinblock.Block, n pan.Number) (pinblock.Block, PINResult, error) {
	source, err := h.use("translating a PIN from", base, UsageDUKPTBase, ModeDerive)
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
	key, known, err := source.uniqueKey(serial)
	if err != nil || !known {
		return pinblock.Block{}, PINBadFormat, err
	}
	unique, err := key.Cipher()
	if err != nil {
		return pinblock.Block{}, PINWrong, fmt.Errorf("translating a PIN from %q: %w", base, err)
	}
	clearBlock := block.Reveal()
	defer clear(clearBlock[:])
	unique.Decrypt(clearBlock[:], clearBlock[:])
	opened, err := pinblock.FromBytes(clearBlock[:])
	if err != nil {
		return pinblock.Block{}, PINBadFormat, nil
	}
	pin, err := pinblock.ParseFormat0(opened, n)
	if err != nil {
		return pinblock.Block{}, PINBadFormat, nil
	}
	translated, err := target.encipherPIN(pinblock.Format0(pin, n))
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	return translated, PINOK, nil
}

var uniqueKinds = map[Algorithm]dukpt.Type{TDES: dukpt.TDEA2, AES128: dukpt.AES128, AES256: dukpt.AES256}

// uniqueKey derives the PIN key that a serial number names; known is false when it names none. PIN blocks have eight bytes, so the key is one for triple DES.
func (e *entry) uniqueKey(serial Serial) (key dukpt.Key, known bool, err error) {
	kind := uniqueKinds[e.info.Algorithm]
	if serial.AES == (e.info.Algorithm == TDES) {
		return key, false, nil
	}
	base, err := dukpt.NewKey(kind, e.value)
	if err != nil {
		return key, false, fmt.Errorf("base key %q: %w", e.info.Name, err)
	}
	if !serial.AES {
		ksn, err := dukpt.ParseTDESKSN(serial.Number)
		if err != nil {
			return key, false, nil //nolint:nilerr // what comes from a wire is no surprise
		}
		key, err = dukpt.TDESHostKey(base, ksn, dukpt.PINEncryption)
		return key, err == nil, nil
	}
	parse := dukpt.ParseAESKSN
	if len(serial.Number) == dukpt.AESShortKSNBytes {
		parse = dukpt.ParseAESShortKSN
	}
	ksn, err := parse(serial.Number)
	if err != nil {
		return key, false, nil //nolint:nilerr // as above
	}
	key, err = dukpt.AESHostKey(base, ksn, dukpt.PINEncryption, dukpt.TDEA2)
	return key, err == nil, nil
}

// InjectUnique gives the initial key of a terminal and its serial number, for its secure access module. The number
// follows from the terminal's name; the initial key opens what this terminal sends, and no other's.
func (h *HSM) InjectUnique(base, terminal string) (dukpt.Key, []byte, error) {
	e, err := h.use("deriving an initial key", base, UsageDUKPTBase, ModeDerive)
	if err != nil {
		return dukpt.Key{}, nil, err
	}
	kind := uniqueKinds[e.info.Algorithm]
	key, err := dukpt.NewKey(kind, e.value)
	if err != nil {
		return dukpt.Key{}, nil, fmt.Errorf("deriving an initial key: %w", err)
	}
	device := sha256.Sum256([]byte(terminal))
	if kind == dukpt.TDEA2 {
		// Base 5 bytes, device 19 bits, counter 21 bits [X9.24].
		serial := append([]byte{0xFF, 0xFF, 1, 0, 0}, device[:3]...)
		serial = append(serial, 0, 0)
		serial[7] &= 0xE0
		ksn, err := dukpt.ParseTDESKSN(serial)
		if err != nil {
			return dukpt.Key{}, nil, fmt.Errorf("deriving an initial key: %w", err)
		}
		initial, err := dukpt.TDESInitialKey(key, ksn)
		return initial, serial, err
	}
	id := [dukpt.InitialKeyIDBytes]byte{0, 0, 0, 1, device[0], device[1], device[2], device[3]}
	initial, err := dukpt.AESInitialKey(key, id)
	return initial, id[:], err
}
