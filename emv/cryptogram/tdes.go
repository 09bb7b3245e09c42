package cryptogram

import (
	"encoding/binary"

	"tapnet/des"
)

// tdesPrimitives is the classic suite [REF 4.1], [REF 4.2], [REF 4.4].
var tdesPrimitives = primitives{
	cardKey:    tdesCardKey,
	sessionKey: tdesSessionKey,
	mac:        retailMAC,
	arpc:       tdesARPC,
	encipher:   tdesEncipher,
	decipher:   tdesDecipher,
}

// tdesCardKey enciphers Y and its complement [EMV B2 A1.4.1].
func tdesCardKey(master [KeyBytes]byte, y [8]byte) [KeyBytes]byte {
	return tdesPair(master, binary.BigEndian.Uint64(y[:]), ^binary.BigEndian.Uint64(y[:]))
}

// tdesSessionKey enciphers the counter and its complement, each after six zero bytes [REF 4.1]. UnionPay uses no
// unpredictable number here.
func tdesSessionKey(card [KeyBytes]byte, atc uint16) [KeyBytes]byte {
	return tdesPair(card, uint64(atc), uint64(^atc))
}

func tdesPair(key [KeyBytes]byte, left, right uint64) (out [KeyBytes]byte) {
	var cipher des.Triple
	cipher.Set(&key)
	binary.BigEndian.PutUint64(out[:], des.Enter(left).EncryptTriple(&cipher).Leave())
	binary.BigEndian.PutUint64(out[8:], des.Enter(right).EncryptTriple(&cipher).Leave())
	return out
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

// tdesEncipher enciphers two blocks, each on its own, as scripts do [REF 3.4].
func tdesEncipher(key, data [16]byte) (out [16]byte) {
	var cipher des.Triple
	cipher.Set(&key)
	left, right := des.EnterBytes(data[:8]).EncryptTriple(&cipher).LeaveBytes(), des.EnterBytes(data[8:]).EncryptTriple(&cipher).LeaveBytes()
	copy(out[:8], left[:])
	copy(out[8:], right[:])
	return out
}

func tdesDecipher(key, data [16]byte) (out [16]byte) {
	var cipher des.Triple
	cipher.Set(&key)
	left, right := des.EnterBytes(data[:8]).DecryptTriple(&cipher).LeaveBytes(), des.EnterBytes(data[8:]).DecryptTriple(&cipher).LeaveBytes()
	copy(out[:8], left[:])
	copy(out[8:], right[:])
	return out
}
