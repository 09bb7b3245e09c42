package hsm

import (
	"crypto/subtle"
	"fmt"
)

// wraps says which keys a key-encrypting key may carry: none of another family, whose check value nobody could compute.
func (a Algorithm) wraps(key Algorithm) bool {
	switch a {
	case TDES:
		return key == DES || key == TDES
	case SM4:
		return key == SM4
	}
	return false
}

// WrapUnder gives a DES-family key, or an SM4 key under an SM4 key, enciphered under a key-encrypting key, with its check value, in the
// electronic-codebook form that sign-on and key-reset messages carry [REF 6.1]: 8 bytes for a single-length key, 16 for another. The
// form binds neither usage nor order, so the key must have been made Exportable and the receiving HSM fixes usage and mode itself.
func (h *HSM) WrapUnder(kek, name string) (wrapped []byte, kcv [4]byte, err error) {
	k, err := h.use("wrapping", kek, UsageKeyEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return nil, kcv, err
	}
	e, err := h.find(name)
	if err != nil {
		return nil, kcv, fmt.Errorf("hsm: wrapping: %w", err)
	}
	if !TDES.wraps(e.info.Algorithm) && !SM4.wraps(e.info.Algorithm) || !e.info.Exportable() {
		return nil, kcv, &MisuseError{Operation: "being wrapped", Key: name, Usage: e.info.Usage, Mode: e.info.Mode}
	}
	if !k.info.Algorithm.wraps(e.info.Algorithm) {
		operation := "wrapping a key of " + e.info.Algorithm.String() + " under one of " + k.info.Algorithm.String()
		return nil, kcv, &MisuseError{Operation: operation, Key: kek, Usage: k.info.Usage, Mode: k.info.Mode}
	}
	wrapped = make([]byte, len(e.value))
	ecb(k.block.BlockSize(), k.block.Encrypt, wrapped, e.value)
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
	switch {
	case k.info.Algorithm == SM4 && len(wrapped) == SM4.Bytes():
		algorithm = SM4
	case k.info.Algorithm == TDES && len(wrapped) == DES.Bytes():
		algorithm = DES
	case k.info.Algorithm == TDES && len(wrapped) == TDES.Bytes():
		algorithm = TDES
	default:
		return fmt.Errorf("hsm: unwrapping key %q: %d bytes is no wrapped key", newName, len(wrapped))
	}
	value := make([]byte, len(wrapped))
	ecb(k.block.BlockSize(), k.block.Decrypt, value, wrapped)
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
func ecb(size int, operation func(dst, src []byte), dst, src []byte) {
	for i := 0; i+size <= len(src); i += size {
		operation(dst[i:i+size], src[i:i+size])
	}
}
