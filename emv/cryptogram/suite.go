package cryptogram

import (
	"crypto/subtle"
	"encoding/binary"

	"tapnet/pan"
)

// Algorithm identifiers, byte 8 of the issuer application data [REF 1.7].
const (
	AlgorithmTDES byte = 0x01
	AlgorithmSM4  byte = 0x04
)

// Suite is one way to derive keys and compute cryptograms, as a value. Copies are independent; the With methods return
// a changed copy. The zero value is no suite: using it panics.
type Suite struct {
	name       string
	algorithm  byte
	optionB    bool
	lists      []DataList // never changed in place
	primitives *primitives
}

// primitives is what one cipher does. Keys and blocks go by value, so that nothing on the way of a derivation moves to
// the heap.
type primitives struct {
	cardKey    func(master [KeyBytes]byte, y [8]byte) [KeyBytes]byte
	sessionKey func(card [KeyBytes]byte, atc uint16) [KeyBytes]byte
	mac        func(key [KeyBytes]byte, data []byte) [8]byte
	arpc       func(key [KeyBytes]byte, arqc [8]byte, arc [2]byte) [8]byte
	encipher   func(key, block [16]byte) [16]byte // two 8-byte blocks or one of 16
	decipher   func(key, block [16]byte) [16]byte
}

// SuiteTDES is the classic suite of UnionPay and PBOC: two-key 3DES, derivation option A, cryptogram versions 01 and 17.
var SuiteTDES = TDES()

// TDES returns SuiteTDES.
func TDES() Suite {
	return Suite{name: "3DES", algorithm: AlgorithmTDES, lists: standardLists(), primitives: &tdesPrimitives}
}

// WithOptionB returns the suite with card key derivation option B: PANs of more than 16 digits are hashed
// [EMV B2 A1.4.2]. UnionPay issuers use option A unless they say otherwise [REF 4.1].
func (s Suite) WithOptionB() Suite {
	s.optionB = true
	return s
}

// Name returns the name of the cipher.
func (s Suite) Name() string { return s.name }

// AlgorithmID returns the algorithm identifier of the issuer application data.
func (s Suite) AlgorithmID() byte { return s.algorithm }

// IsZero reports whether there is no suite.
func (s Suite) IsZero() bool { return s.primitives == nil }

// CardKey derives a card's key from a master key [EMV B2 A1.4]. sequence is the PAN sequence number as digits, tag 5F34
// or field 23: "01", "001"; empty means 00. Only its last two digits count.
func (s Suite) CardKey(master Key, n pan.Number, sequence string) Key {
	return Key{s.primitives.cardKey(master.b, s.diversify(n, sequence))}
}

// CardKeys derives all three keys of a card from the three master keys.
func (s Suite) CardKeys(masters CardKeys, n pan.Number, sequence string) CardKeys {
	y := s.diversify(n, sequence)
	return CardKeys{
		AC:  Key{s.primitives.cardKey(masters.AC.b, y)},
		MAC: Key{s.primitives.cardKey(masters.MAC.b, y)},
		ENC: Key{s.primitives.cardKey(masters.ENC.b, y)},
	}
}

func (s Suite) diversify(n pan.Number, sequence string) [8]byte {
	if s.optionB && n.Len() > optionBAbove {
		return optionB(n, sequence)
	}
	return optionA(n, sequence)
}

// SessionKey derives the key of one transaction from a card key and the transaction counter [REF 4.1]. The same rule
// serves the AC, MAC and ENC keys.
func (s Suite) SessionKey(card Key, atc uint16) Key {
	return Key{s.primitives.sessionKey(card.b, atc)}
}

// Cryptogram returns the application cryptogram over data, as AppendData builds it, with the AC session key
// [EMV B2 8.1.2]. It serves every other MAC with padding method 2 that is not cut, too.
func (s Suite) Cryptogram(session Key, data []byte) [8]byte {
	return s.primitives.mac(session.b, data)
}

// Verify reports whether ac is the cryptogram over data, in constant time.
func (s Suite) Verify(session Key, data []byte, ac [8]byte) bool {
	want := s.primitives.mac(session.b, data)
	return subtle.ConstantTimeCompare(want[:], ac[:]) == 1
}

// ARPC returns the issuer's answer to a cryptogram, method 1 [EMV B2 8.2.1]. arc is the response code as two characters.
func (s Suite) ARPC(session Key, arqc [8]byte, arc [2]byte) [8]byte {
	return s.primitives.arpc(session.b, arqc, arc)
}

// IssuerAuthData returns the value of tag 91: ARPC and response code [REF 4.4].
func IssuerAuthData(arpc [8]byte, arc [2]byte) [10]byte {
	var data [10]byte
	copy(data[:], arpc[:])
	copy(data[8:], arc[:])
	return data
}

// ParseIssuerAuthData splits the value of tag 91; false when it does not have the ten bytes of method 1.
func ParseIssuerAuthData(b []byte) (arpc [8]byte, arc [2]byte, ok bool) {
	if len(b) != 10 {
		return arpc, arc, false
	}
	return [8]byte(b), [2]byte(b[8:]), true
}

// IDDMAC returns the MAC of issuer discretionary data: over counter and value, filled with 00 to a multiple of eight
// bytes, with the MAC session key [REF 1.7]. value is the IDD without its identifier, 5 or 10 bytes.
func (s Suite) IDDMAC(macSession Key, atc uint16, value []byte) [4]byte {
	input := make([]byte, 0, 24)
	input = binary.BigEndian.AppendUint16(input, atc)
	input = append(input, value...)
	for len(input)%8 != 0 {
		input = append(input, 0)
	}
	full := s.primitives.mac(macSession.b, input)
	return [4]byte(full[:4])
}

// ScriptMAC returns the MAC of an issuer script command: over header, counter, cryptogram of this transaction and data
// field, with the MAC session key [EMV B2 9.2], [REF 3.4]. header is CLA INS P1 P2 Lc of the command as sent: its Lc
// counts the four MAC bytes. data is the data field as sent, enciphered or not, without the MAC.
func (s Suite) ScriptMAC(macSession Key, header [5]byte, atc uint16, arqc [8]byte, data []byte) [4]byte {
	input := make([]byte, 0, len(header)+2+len(arqc)+len(data))
	input = append(input, header[:]...)
	input = binary.BigEndian.AppendUint16(input, atc)
	input = append(input, arqc[:]...)
	input = append(input, data...)
	full := s.primitives.mac(macSession.b, input)
	return [4]byte(full[:4])
}

// AppendPadding appends EMV padding to the end of dst: one byte 80, then 00 to a multiple of blockBytes, ISO 9797-1
// method 2 [EMV B2 A1.2.1], [ISO 9797-1 6.3.3].
func AppendPadding(dst []byte, blockBytes int) []byte {
	dst = append(dst, 0x80)
	for len(dst)%blockBytes != 0 {
		dst = append(dst, 0)
	}
	return dst
}
