package cryptogram

import (
	"crypto/aes"
	"crypto/cipher"
	"sync"
)

// aesPrimitives is the suite with AES-128 [EMV B2 A1.2.2]. The cipher is the standard library's, which is constant in time and
// makes one object for each key: the working space beside it is kept.
var aesPrimitives = primitives{
	blockBytes: aes.BlockSize,
	mac:        aesMAC,
	arpc:       aesARPC,
	encipher:   aesEncipher,
	decipher:   aesDecipher,
	checkValue: aesCheckValue,
}

// aesSpace is memory that a cipher behind an interface may look at.
type aesSpace struct{ key, state, subkey [aes.BlockSize]byte }

var aesSpaces = sync.Pool{New: func() any { return new(aesSpace) }}

// withAES lends working space and a cipher, and forgets what was in it.
func withAES(key [KeyBytes]byte, use func(space *aesSpace, block cipher.Block)) [aes.BlockSize]byte {
	space := aesSpaces.Get().(*aesSpace)
	space.key = key
	block, err := aes.NewCipher(space.key[:])
	if err != nil {
		panic("cryptogram: " + err.Error())
	}
	use(space, block)
	out := space.state
	*space = aesSpace{}
	aesSpaces.Put(space)
	return out
}

func aesEncipher(key, block [16]byte) [16]byte {
	return withAES(key, func(space *aesSpace, cipher cipher.Block) {
		space.state = block
		cipher.Encrypt(space.state[:], space.state[:])
	})
}

func aesDecipher(key, block [16]byte) [16]byte {
	return withAES(key, func(space *aesSpace, cipher cipher.Block) {
		space.state = block
		cipher.Decrypt(space.state[:], space.state[:])
	})
}

// reduction is the constant of the field of 128 bits [NIST SP800-38B 5.3].
const reduction = 0x87

// aesMAC is the left half of the CMAC [EMV B2 A1.2.2] [NIST SP800-38B 6.2]. Package mac has the same over any cipher.
func aesMAC(key [KeyBytes]byte, data []byte) [8]byte {
	out := withAES(key, func(space *aesSpace, cipher cipher.Block) {
		cipher.Encrypt(space.subkey[:], space.subkey[:])
		double(&space.subkey)
		for len(data) > aes.BlockSize {
			for i := range space.state {
				space.state[i] ^= data[i]
			}
			cipher.Encrypt(space.state[:], space.state[:])
			data = data[aes.BlockSize:]
		}
		if len(data) < aes.BlockSize {
			double(&space.subkey)
			space.state[len(data)] ^= 0x80
		}
		for i, b := range data {
			space.state[i] ^= b
		}
		for i := range space.state {
			space.state[i] ^= space.subkey[i]
		}
		cipher.Encrypt(space.state[:], space.state[:])
	})
	return [8]byte(out[:])
}

// double multiplies by x in the field, without a branch on key material.
func double(b *[aes.BlockSize]byte) {
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		b[i], carry = b[i]<<1|carry, b[i]>>7
	}
	b[len(b)-1] ^= reduction & -carry
}

// aesARPC is method 1 for a block of 16 bytes: zeros follow [EMV B2 8.2.1].
func aesARPC(key [KeyBytes]byte, arqc [8]byte, arc [2]byte) [8]byte {
	out := aesEncipher(key, responseBlock(arqc, arc))
	return [8]byte(out[:])
}

func aesCheckValue(key [KeyBytes]byte) [8]byte { return aesMAC(key, make([]byte, aes.BlockSize)) }
