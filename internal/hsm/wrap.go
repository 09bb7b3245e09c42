package hsm

import (
	"crypto/subtle"
	"fmt"
)

const desBlock = 8

// WrapUnder gives a DES-family key enciphered under a key-encrypting key, with its check value, in the electronic-codebook form that
// sign-on and key-reset messages carry [REF 6.1]: 8 bytes for a single-length key, 16 for a double-length one. The form binds neither
// usage nor order, so the key must have been made Exportable and the receiving HSM fixes usage and mode itself.
func (h *HSM) WrapUnder(kek, name string) (wrapped []byte, kcv [4]byte, err error) {
	k, err := h.use("wrapping", kek, UsageKeyEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return nil, kcv, err
	}
	e, err := h.find(name)
	if err != nil {
		return nil, kcv, fmt.Errorf("hsm: wrapping: %w", err)
	}
	wrappable := e.info.Algorithm == DES || e.info.Algorithm == TDES
	if !wrappable || !e.info.Exportable() {
		return nil, kcv, &MisuseError{Operation: "being wrapped", Key: name, Usage: e.info.Usage, Mode: e.info.Mode}
	}
	wrapped = make([]byte, len(e.value))
	ecb(k.block.Encrypt, wrapped, e.value)
	return wrapped, e.info.KCV, nil
}

// UnwrapUnder installs a key received wrapped under a key-encrypting key, with the usage and mode this institution gives it. The check
// value is compared before the key comes into force. A key of that name with the same usage, mode and length gets the new value: that
// is a key change. An installed key cannot be wrapped again.
func (h *HSM) UnwrapUnder(kek, newName string, usage Usage, mode Mode, wrapped []byte, kcv [4]byte) error {
	k, err := h.use("unwrapping", kek, UsageKeyEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return err
	}
	var algorithm Algorithm
	switch len(wrapped) {
	case 8:
		algorithm = DES
	case 16:
		algorithm = TDES
	default:
		return fmt.Errorf("hsm: unwrapping key %q: %d bytes is no wrapped key", newName, len(wrapped))
	}
	value := make([]byte, len(wrapped))
	ecb(k.block.Decrypt, value, wrapped)
	info := KeyInfo{Name: newName, Usage: usage, Mode: mode, Algorithm: algorithm, Export: NotExportable}
	candidate, err := newEntry(info, value)
	if err != nil {
		return fmt.Errorf("hsm: unwrapping: %w", err)
	}
	if subtle.ConstantTimeCompare(candidate.info.KCV[:], kcv[:]) != 1 {
		return fmt.Errorf("%w: key %q", ErrKCV, newName)
	}
	_, err = h.add(newName, usage, mode, algorithm, NotExportable, value, true)
	return err
}

// ecb applies a block operation to each block. It is named for what it is; nothing but key wrapping uses it.
func ecb(operation func(dst, src []byte), dst, src []byte) {
	for i := 0; i+desBlock <= len(src); i += desBlock {
		operation(dst[i:i+desBlock], src[i:i+desBlock])
	}
}
