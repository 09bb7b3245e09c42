package mac

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
)

// Reduction constants of the two field sizes. [NIST SP800-38B 5.3]
const (
	reduction64  = 0x1B
	reduction128 = 0x87
)

// CMAC returns the full code over a cipher with 8-byte or 16-byte blocks, one block long. [NIST SP800-38B 6.2]
// A cipher of another width panics.
func CMAC(block cipher.Block, data []byte) []byte {
	size := block.BlockSize()
	whole, padded := subkeys(block)

	state := make([]byte, size)
	for len(data) > size {
		subtle.XORBytes(state, state, data[:size])
		block.Encrypt(state, state)
		data = data[size:]
	}
	subtle.XORBytes(state, state, data)
	if len(data) == size {
		subtle.XORBytes(state, state, whole)
	} else {
		state[len(data)] ^= paddingMark
		subtle.XORBytes(state, state, padded)
	}
	block.Encrypt(state, state)
	return state
}

// subkeys returns K1, for a last block that is whole, and K2, for one that was padded. [NIST SP800-38B 6.1]
func subkeys(block cipher.Block) (whole, padded []byte) {
	size := block.BlockSize()
	var reduction byte
	switch size {
	case 8:
		reduction = reduction64
	case 16:
		reduction = reduction128
	default:
		panic(fmt.Sprintf("mac: CMAC over %d-byte blocks", size))
	}
	zero := make([]byte, size)
	block.Encrypt(zero, zero)
	whole = double(zero, reduction)
	return whole, double(whole, reduction)
}

// double multiplies by x in the field, without a branch on key material.
func double(in []byte, reduction byte) []byte {
	out := make([]byte, len(in))
	carry := byte(0)
	for i := len(in) - 1; i >= 0; i-- {
		out[i] = in[i]<<1 | carry
		carry = in[i] >> 7
	}
	out[len(out)-1] ^= reduction & -carry
	return out
}
