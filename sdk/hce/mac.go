package hce

import (
	"crypto/aes"
	"crypto/cipher"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
)

// maker computes one cryptogram with one key without allocating. The suites of 3DES and SM4 do that by themselves; the standard library's AES
// makes an object for each key, so it is made when the phone is armed.
type maker struct {
	scheme cloudkey.Scheme
	suite  cryptogram.Suite
	key    cryptogram.Key

	aes                  cipher.Block
	whole, padded, state [aes.BlockSize]byte // subkeys [NIST SP800-38B 6.1]
}

func (m *maker) set(scheme cloudkey.Scheme, suite cryptogram.Suite, key cryptogram.Key) int32 {
	*m = maker{scheme: scheme, suite: suite, key: key}
	if suite.Cipher() != cryptogram.CipherAES {
		return ArmOK
	}
	raw := key.Reveal()
	defer clear(raw[:])
	block, err := aes.NewCipher(raw[:])
	if err != nil {
		return ArmDamaged
	}
	m.aes = block
	block.Encrypt(m.whole[:], m.whole[:])
	double(&m.whole)
	m.padded = m.whole
	double(&m.padded)
	return ArmOK
}

// double multiplies by x in the field of 128 bits.
func double(b *[aes.BlockSize]byte) {
	const reduction = 0x87
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		b[i], carry = b[i]<<1|carry, b[i]>>7
	}
	b[len(b)-1] ^= reduction & -carry
}

// cryptogram is the application cryptogram over data.
func (m *maker) cryptogram(data []byte) [8]byte {
	if m.aes == nil {
		return m.scheme.Cryptogram(m.suite, m.key, data)
	}
	for len(data) > aes.BlockSize {
		for i := range m.state {
			m.state[i] ^= data[i]
		}
		m.aes.Encrypt(m.state[:], m.state[:])
		data = data[aes.BlockSize:]
	}
	subkey := &m.whole
	if len(data) < aes.BlockSize {
		subkey = &m.padded
		m.state[len(data)] ^= 0x80
	}
	for i, b := range data {
		m.state[i] ^= b
	}
	for i := range m.state {
		m.state[i] ^= subkey[i]
	}
	m.aes.Encrypt(m.state[:], m.state[:])
	return [8]byte(m.state[:])
}

// erase forgets the key. What the standard library expanded is left to the collector.
func (m *maker) erase() { *m = maker{} }
