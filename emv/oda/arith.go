package oda

import (
	"bytes"
	"crypto/sha1" // the standard's hash algorithm 01 [EMV B2 B3]
	"hash"
	"math/big"
	"sync"
)

// arith is the working space of one public operation. The numbers keep their storage, so that a terminal which
// authenticates card after card does not allocate.
type arith struct {
	n, s, x, product, quotient big.Int
	block                      [MaxModulusBytes]byte
	hash                       hash.Hash
	sum                        [sha1.Size]byte
	terminal                   [maxFDDAData]byte
	message                    []byte // what an SM2 signature covers
}

var ariths = sync.Pool{New: func() any { return &arith{hash: sha1.New()} }}

// recover computes signature^e mod n into the working space: x is squared once for e = 3 and sixteen times for
// e = 65537, then multiplied by the signature once more. A plain multiplication and division beats big.Int.Exp,
// which prepares for exponents far longer than these. The block is valid until the arith is used again.
func (a *arith) recover(key *PublicKey, signature []byte) ([]byte, Check) {
	if key.algorithm != RSA {
		return nil, CheckPublicKeyAlgorithm
	}
	if len(signature) != int(key.length) || key.length == 0 {
		return nil, CheckLength
	}
	a.n.SetBytes(key.modulus[:key.length])
	a.s.SetBytes(signature)
	// A value not below the modulus is a second spelling of another signature; the signer never writes one.
	if a.s.Cmp(&a.n) >= 0 {
		return nil, CheckRange
	}
	a.x.Set(&a.s)
	squarings := 1
	if key.exponent == exponentLarge {
		squarings = 16
	}
	for range squarings {
		a.product.Mul(&a.x, &a.x)
		a.quotient.QuoRem(&a.product, &a.n, &a.x)
	}
	a.product.Mul(&a.x, &a.s)
	a.quotient.QuoRem(&a.product, &a.n, &a.x)
	return a.x.FillBytes(a.block[:key.length]), CheckNone
}

// hashMatches compares SHA-1 over the parts with want.
func (a *arith) hashMatches(want []byte, parts ...[]byte) bool {
	a.hash.Reset()
	for _, p := range parts {
		a.hash.Write(p)
	}
	return bytes.Equal(a.hash.Sum(a.sum[:0]), want)
}

// Recover undoes a signature and returns the block as the signer wrote it (6A … BC when all is well), for people
// who want to look at it. Only the length and the range are checked.
func Recover(key PublicKey, signature []byte) ([]byte, error) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	block, check := a.recover(&key, signature)
	if check != CheckNone {
		return nil, fail(StepRecovery, check)
	}
	return bytes.Clone(block), nil
}

// Bytes that frame every signed block [EMV B2 A2.1].
const (
	blockHeader  = 0x6A
	blockTrailer = 0xBC
	blockPad     = 0xBB
	hashSHA1     = 0x01
	algorithmRSA = 0x01

	formatIssuer  = 0x02
	formatStatic  = 0x03
	formatICC     = 0x04
	formatDynamic = 0x05

	// trailing is the hash and the trailer byte.
	trailing = sha1.Size + 1
)

// checkFrame looks at header, trailer and format, in the order of [EMV B2 5.3].
func checkFrame(block []byte, format byte) Check {
	switch {
	case block[len(block)-1] != blockTrailer:
		return CheckTrailer
	case block[0] != blockHeader:
		return CheckHeader
	case block[1] != format:
		return CheckFormat
	}
	return CheckNone
}

// split cuts a block that passed checkFrame into what is hashed and the hash.
func split(block []byte) (hashed, sum []byte) {
	end := len(block) - trailing
	return block[1:end], block[end : len(block)-1]
}
