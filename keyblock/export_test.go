package keyblock

import "crypto/cipher"

func newCBC(p *ProtectionKey, iv []byte) cipher.BlockMode {
	return cipher.NewCBCDecrypter(p.encrypt, iv)
}
