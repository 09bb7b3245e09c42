package oda

import (
	"bytes"
	"crypto/sha1" // the standard's hash algorithm 01
	"fmt"
	"slices"

	"tapnet/sm"
)

// Combined is what a combined signature covers besides the transaction: the card's random number and its cryptogram [EMV B2 6.6].
type Combined struct {
	Number     []byte // ICC dynamic number, tag 9F4C, 2 to 8 bytes
	CID        byte   // tag 9F27
	Cryptogram [8]byte
}

// combinedHead is what stands before the transaction hash in the ICC dynamic data of a combined signature, without the number:
// CID and cryptogram.
const combinedHead = 1 + 8

// HashTransaction is TransactionHash with the hash of a chain: 20 bytes of SHA-1 with RSA, 32 of SM3 with SM2 [REF 4.6].
func HashTransaction(a Algorithm, parts ...[]byte) []byte {
	if a == SM2 {
		sum := sm.SM3(slices.Concat(parts...))
		return sum[:]
	}
	sum := TransactionHash(parts...)
	return sum[:]
}

// TransactionHash is SHA-1 over the data of one transaction, in the order given: the values of the PDOL and of the CDOLs, then the
// data objects of the answer without the signature [EMV B2 6.6.1]; also over the data of a TDOL, tag 98 [EMV B3 10.7].
func TransactionHash(parts ...[]byte) (sum [sha1.Size]byte) {
	h := sha1.New()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// VerifyCDA is VerifyCombined for an RSA chain: transaction is TransactionHash of the same transaction.
func VerifyCDA(icc ICCKey, sdad []byte, unpredictableNumber [4]byte, transaction [sha1.Size]byte) (Combined, error) {
	return VerifyCombined(icc, sdad, unpredictableNumber, transaction[:])
}

// VerifyCombined verifies signed dynamic application data (tag 9F4B) that came with a cryptogram, under either algorithm
// [EMV B2 6.6.2] [REF 4.6]. transaction is HashTransaction of the same transaction with the algorithm of the key. The caller
// compares the CID with tag 9F27. Errors are *Failure.
func VerifyCombined(icc ICCKey, sdad []byte, unpredictableNumber [4]byte, transaction []byte) (Combined, error) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	data, check := a.dynamicData(&icc.key, sdad, unpredictableNumber[:])
	if check != CheckNone {
		return Combined{}, fail(StepCDA, check)
	}
	number, ok := DynamicNumber(data)
	if !ok || len(data) != 1+len(number)+combinedHead+icc.key.hashLength() {
		return Combined{}, fail(StepCDA, CheckDynamicData)
	}
	rest := data[1+len(number):]
	if !bytes.Equal(rest[combinedHead:], transaction) {
		return Combined{}, fail(StepCDA, CheckTransaction)
	}
	return Combined{Number: bytes.Clone(number), CID: rest[0], Cryptogram: [8]byte(rest[1:9])}, nil
}

func (k PublicKey) hashLength() int {
	if k.algorithm == SM2 {
		return sm.HashBytes
	}
	return sha1.Size
}

// SignCDA is SignCombined for an RSA key: transaction is TransactionHash of the transaction.
func SignCDA(icc PrivateKey, c Combined, unpredictableNumber [4]byte, transaction [sha1.Size]byte) []byte {
	return SignCombined(icc, c, unpredictableNumber, transaction[:])
}

// SignCombined makes the combined signature of a card, tag 9F4B, under either algorithm [EMV B2 6.6.1] [REF 4.6]. transaction is
// HashTransaction with the algorithm of the key. It panics on a hash of the other algorithm, on a number that is not 2 to 8 bytes
// long and when the key is too short: the card chooses them.
func SignCombined(icc PrivateKey, c Combined, unpredictableNumber [4]byte, transaction []byte) []byte {
	if public := icc.Public(); len(transaction) != public.hashLength() {
		panic(fmt.Sprintf("oda: sign CDA: a transaction hash of %d bytes under %v", len(transaction), public))
	}
	if len(c.Number) < 2 || len(c.Number) > 8 {
		panic("oda: sign CDA: dynamic number is not 2 to 8 bytes long")
	}
	data := append([]byte{byte(len(c.Number))}, c.Number...)
	data = append(append(data, c.CID), c.Cryptogram[:]...)
	return SignDynamic(icc, append(data, transaction...), unpredictableNumber[:])
}
