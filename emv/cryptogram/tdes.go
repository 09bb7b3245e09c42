package cryptogram

import (
	"encoding/binary"

	"tapnet/des"
)

// tdesPrimitives is the classic suite [REF 4.1], [REF 4.2], [REF 4.4].
var tdesPrimitives = primitives{
	blockBytes: des.BlockBytes,
	mac:        retailMAC,
	arpc:       tdesARPC,
	encipher:   tdesEncipher,
	decipher:   tdesDecipher,
	checkValue: tdesCheckValue,
}

func tdesCheckValue(key [KeyBytes]byte) [8]byte {
	var cipher des.Triple
	cipher.Set(&key)
	return des.Enter(0).EncryptTriple(&cipher).LeaveBytes()
}

// retailMAC is algorithm 3 with padding method 2 [ISO 9797-1 7.4], [EMV B2 A1.2.1]: package mac has the same on top of any
// cipher; this one keeps schedule and state on the stack.
func retailMAC(key [KeyBytes]byte, data []byte) [8]byte {
	var cipher des.Triple
	cipher.Set(&key)
	var state des.State
	for len(data) >= des.BlockBytes {
		state = state.Xor(des.EnterBytes(data)).Encrypt(&cipher.Left)
		data = data[des.BlockBytes:]
	}
	var last [des.BlockBytes]byte
	copy(last[:], data)
	last[len(data)] = 0x80
	return state.Xor(des.EnterBytes(last[:])).EncryptTriple(&cipher).LeaveBytes()
}

// tdesARPC is method 1: the response code is added to the left of the cryptogram [EMV B2 8.2.1].
func tdesARPC(key [KeyBytes]byte, arqc [8]byte, arc [2]byte) [8]byte {
	arqc[0] ^= arc[0]
	arqc[1] ^= arc[1]
	var cipher des.Triple
	cipher.Set(&key)
	return des.EnterBytes(arqc[:]).EncryptTriple(&cipher).LeaveBytes()
}

// tdesEncipher enciphers two blocks, each on its own, as derivations and scripts do [EMV B2 A1.4.1] [REF 4.1] [REF 3.4].
func tdesEncipher(key, data [16]byte) (out [16]byte) {
	var cipher des.Triple
	cipher.Set(&key)
	left, right := des.EncryptTriplePair(des.EnterBytes(data[:8]), des.EnterBytes(data[8:]), &cipher)
	binary.BigEndian.PutUint64(out[:], left.Leave())
	binary.BigEndian.PutUint64(out[8:], right.Leave())
	return out
}

func tdesDecipher(key, data [16]byte) (out [16]byte) {
	var cipher des.Triple
	cipher.Set(&key)
	left, right := des.DecryptTriplePair(des.EnterBytes(data[:8]), des.EnterBytes(data[8:]), &cipher)
	binary.BigEndian.PutUint64(out[:], left.Leave())
	binary.BigEndian.PutUint64(out[8:], right.Leave())
	return out
}
