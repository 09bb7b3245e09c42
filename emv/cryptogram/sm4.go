package cryptogram

import "tapnet/sm"

// sm4Primitives is the suite with Chinese cryptography [REF 4.6]. Schedules stay on the stack.
var sm4Primitives = primitives{
	blockBytes: sm.BlockBytes,
	mac:        sm4MAC,
	arpc:       sm4ARPC,
	encipher:   sm4Encipher,
	decipher:   sm4Decipher,
	checkValue: sm4CheckValue,
}

// sm4MAC is the left half of a CBC-MAC with padding method 2 [ISO 9797-1 7.2] [REF 4.6].
func sm4MAC(key [KeyBytes]byte, data []byte) [8]byte {
	var cipher sm.Schedule
	cipher.Set(&key)
	var state [sm.BlockBytes]byte
	for len(data) >= sm.BlockBytes {
		for i := range state {
			state[i] ^= data[i]
		}
		state = cipher.Encrypt(state)
		data = data[sm.BlockBytes:]
	}
	for i, b := range data {
		state[i] ^= b
	}
	state[len(data)] ^= 0x80
	state = cipher.Encrypt(state)
	return [8]byte(state[:])
}

// sm4ARPC is method 1 for a block of 16 bytes: zeros follow [EMV B2 8.2.1] [REF 4.6].
func sm4ARPC(key [KeyBytes]byte, arqc [8]byte, arc [2]byte) [8]byte {
	out := sm4Encipher(key, responseBlock(arqc, arc))
	return [8]byte(out[:])
}

// responseBlock is the cryptogram with the response code added to its left, then zeros.
func responseBlock(arqc [8]byte, arc [2]byte) (block [16]byte) {
	copy(block[:], arqc[:])
	block[0] ^= arc[0]
	block[1] ^= arc[1]
	return block
}

func sm4Encipher(key, block [16]byte) [16]byte {
	var cipher sm.Schedule
	cipher.Set(&key)
	return cipher.Encrypt(block)
}

func sm4Decipher(key, block [16]byte) [16]byte {
	var cipher sm.Schedule
	cipher.Set(&key)
	return cipher.Decrypt(block)
}

func sm4CheckValue(key [KeyBytes]byte) [8]byte {
	out := sm4Encipher(key, [16]byte{})
	return [8]byte(out[:])
}
