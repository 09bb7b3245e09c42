// Package mac computes message authentication codes over block ciphers: the CBC-MACs of [ISO 9797-1] in the profiles
// of [X9.9] and [X9.19], the exclusive-or code of terminal messages [REF 6.1], and CMAC [NIST SP800-38B].
//
// Promise: the exact codes, checked by published vectors, and a comparison in constant time. All of them but CMAC are
// what the field runs, not what one would choose: the names say which. Keys are raw here; who may use which is the
// business of the security module.
package mac

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"

	"tapnet/des"
)

const (
	// Size is the length of every code here but CMAC over a 16-byte cipher.
	Size      = 8
	blockSize = Size

	paddingMark = 0x80 // the one bit that padding method 2 puts before the zeros [ISO 9797-1 6.3.3]
)

// Retail returns the code of algorithm 3 with padding method 2, which EMV uses for cryptograms and scripts: a single-DES
// CBC-MAC under the left half of key whose last block also passes the right half. [ISO 9797-1 7.4] [EMV B2 A1.2.1]
func Retail(key [16]byte, data []byte) [8]byte {
	left, right := halves(key)
	return RetailBlocks(left, right, data)
}

// RetailZeroPad is Retail with padding method 1: zeros up to a full block, none when there is one. [X9.19]
// Messages that differ in trailing zeros share a code; the formats that use it carry their length elsewhere.
func RetailZeroPad(key [16]byte, data []byte) [8]byte {
	left, right := halves(key)
	return lastBlock(left, right, chain(left, data, false))
}

// RetailBlocks is Retail with the two halves of the key already scheduled. Both ciphers have 8-byte blocks.
func RetailBlocks(left, right cipher.Block, data []byte) [8]byte {
	mustBlock8(left)
	mustBlock8(right)
	return lastBlock(left, right, chain(left, data, true))
}

// CBC returns the code of algorithm 1 with padding method 1 over an 8-byte cipher, which [X9.9] uses with single DES.
// Messages that differ in trailing zeros share a code.
func CBC(block cipher.Block, data []byte) [8]byte {
	mustBlock8(block)
	return chain(block, data, false)
}

// CBCPair is CBC on two messages, each under its own cipher. With single DES it takes little more time than one of them.
func CBCPair(first, second cipher.Block, a, b []byte) (codeA, codeB [8]byte) {
	k, own := first.(*des.Cipher)
	q, too := second.(*des.Cipher)
	if !own || !too {
		return CBC(first, a), CBC(second, b)
	}
	return chainPair(k.Schedule(), q.Schedule(), a, b)
}

// LegacyECB returns field 64 of a terminal message: eight ASCII characters. The blocks of the zero-padded data are
// folded by exclusive or and written as sixteen hexadecimal characters; the first eight are enciphered, the last
// eight folded in, the result is enciphered again; four of its bytes are written as characters. [REF 6.1]
//
// It is no sound code: swapping two blocks of a message keeps it. It is here because terminals speak it.
func LegacyECB(block cipher.Block, data []byte) [8]byte {
	mustBlock8(block)
	var folded [blockSize]byte
	for i, c := range data {
		folded[i%blockSize] ^= c
	}
	var text [2 * blockSize]byte
	writeHex(text[:], folded[:])

	state := [blockSize]byte(text[:blockSize])
	block.Encrypt(state[:], state[:])
	subtle.XORBytes(state[:], state[:], text[blockSize:])
	block.Encrypt(state[:], state[:])

	var out [Size]byte
	writeHex(out[:], state[:Size/2])
	return out
}

// LegacyECB16 is LegacyECB over a cipher with 16-byte blocks, for terminals with SM4: folded to one block, written as thirty-two
// characters, enciphered in two halves of sixteen. [REF 6.1] No published example shows it; the rule is that of 8 bytes.
func LegacyECB16(block cipher.Block, data []byte) [8]byte {
	const size = 16
	if block.BlockSize() != size {
		panic(fmt.Sprintf("mac: cipher with %d-byte blocks, want %d", block.BlockSize(), size))
	}
	var folded [size]byte
	for i, c := range data {
		folded[i%size] ^= c
	}
	var text [2 * size]byte
	writeHex(text[:], folded[:])

	state := [size]byte(text[:size])
	block.Encrypt(state[:], state[:])
	subtle.XORBytes(state[:], state[:], text[size:])
	block.Encrypt(state[:], state[:])

	var out [Size]byte
	writeHex(out[:], state[:Size/2])
	return out
}

// Equal compares two codes in constant time. Codes of different lengths differ.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// halves schedules the two single-DES keys of a double-length key.
func halves(key [16]byte) (left, right cipher.Block) {
	return mustDES(key[:8]), mustDES(key[8:])
}

func mustDES(key []byte) cipher.Block {
	block, err := des.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("mac: schedule DES key: %v", err))
	}
	return block
}

// mustBlock8 stops a cipher of the wrong width: that is a mistake in the program, not in a message.
func mustBlock8(block cipher.Block) {
	if block.BlockSize() != blockSize {
		panic(fmt.Sprintf("mac: cipher with %d-byte blocks, want %d", block.BlockSize(), blockSize))
	}
}

// chain runs the CBC-MAC over data with padding method 2 (marked) or 1. Empty data are one padded block. [ISO 9797-1 6.3]
func chain(block cipher.Block, data []byte, marked bool) [8]byte {
	if own, ok := block.(*des.Cipher); ok {
		return chainDES(own.Schedule(), data, marked)
	}
	var state [blockSize]byte
	for len(data) >= blockSize {
		subtle.XORBytes(state[:], state[:], data[:blockSize])
		data = data[blockSize:]
		block.Encrypt(state[:], state[:])
		if len(data) == 0 && !marked {
			return state
		}
	}
	subtle.XORBytes(state[:], state[:], data)
	if marked {
		state[len(data)] ^= paddingMark
	}
	block.Encrypt(state[:], state[:])
	return state
}

// chainDES is chain for the cipher of nearly every message: it allocates nothing and permutes each block once instead of twice.
func chainDES(key *des.Schedule, data []byte, marked bool) [8]byte {
	if len(data) == 0 && !marked {
		data = zeroBlock[:]
	}
	return continueDES(key, des.State{}, data, marked)
}

var zeroBlock [blockSize]byte // what an empty message is padded to

// continueDES goes on from a state. Data that are marked end with a padded block in any case; those that are not may be at their end.
func continueDES(key *des.Schedule, state des.State, data []byte, marked bool) [8]byte {
	for len(data) >= blockSize {
		state = state.Xor(des.EnterBytes(data)).Encrypt(key)
		data = data[blockSize:]
	}
	if len(data) > 0 || marked {
		var last [blockSize]byte
		copy(last[:], data)
		if marked {
			last[len(data)] = paddingMark
		}
		state = state.Xor(des.EnterBytes(last[:])).Encrypt(key)
	}
	return state.LeaveBytes()
}

// chainPair runs two chains side by side as far as both go, and the longer one to its end.
func chainPair(k, q *des.Schedule, a, b []byte) (codeA, codeB [8]byte) {
	if len(a) == 0 || len(b) == 0 {
		return chainDES(k, a, false), chainDES(q, b, false)
	}
	var one, two des.State
	for len(a) >= blockSize && len(b) >= blockSize {
		one, two = des.EncryptPair(one.Xor(des.EnterBytes(a)), two.Xor(des.EnterBytes(b)), k, q)
		a, b = a[blockSize:], b[blockSize:]
	}
	return continueDES(k, one, a, false), continueDES(q, two, b, false)
}

// lastBlock is output transformation 3: the last block, enciphered under left already, passes right backwards and left again.
func lastBlock(left, right cipher.Block, state [8]byte) [8]byte {
	right.Decrypt(state[:], state[:])
	left.Encrypt(state[:], state[:])
	return state
}

// writeHex writes src as upper-case hexadecimal characters into dst, which is twice as long.
func writeHex(dst, src []byte) {
	const alphabet = "0123456789ABCDEF"
	for i, c := range src {
		dst[2*i], dst[2*i+1] = alphabet[c>>4], alphabet[c&0x0F]
	}
}
