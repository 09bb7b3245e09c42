package cryptogram

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"tapnet/pan"
)

// Algorithm identifiers, byte 8 of the issuer application data [REF 1.7].
const (
	AlgorithmTDES byte = 0x01
	AlgorithmSM4  byte = 0x04
	// AlgorithmAES is the project's own: no published document gives AES an identifier. See WithAlgorithmID.
	AlgorithmAES byte = 0x05
)

// Cipher is the block cipher of a suite.
type Cipher uint8

// The ciphers.
const (
	CipherTDES Cipher = iota + 1 // two-key 3DES
	CipherSM4                    // [GM/T 0002]
	CipherAES                    // AES-128
)

// String names the cipher.
func (c Cipher) String() string {
	switch c {
	case CipherTDES:
		return "3DES"
	case CipherSM4:
		return "SM4"
	case CipherAES:
		return "AES"
	}
	return fmt.Sprintf("Cipher(%d)", uint8(c))
}

// Suite is one way to derive keys and compute cryptograms, as a value. Copies are independent; the With methods return
// a changed copy. The zero value is no suite: using it panics.
type Suite struct {
	cipher     Cipher
	algorithm  byte
	derivation Derivation
	session    SessionRule
	script     ScriptProfile
	lists      []DataList // never changed in place
	primitives *primitives
}

// primitives is what one cipher does. Keys and blocks go by value, so that nothing on the way of a derivation moves to
// the heap.
type primitives struct {
	blockBytes int
	mac        func(key [KeyBytes]byte, data []byte) [8]byte
	arpc       func(key [KeyBytes]byte, arqc [8]byte, arc [2]byte) [8]byte
	encipher   func(key, block [16]byte) [16]byte // two 8-byte blocks or one of 16
	decipher   func(key, block [16]byte) [16]byte
	checkValue func(key [KeyBytes]byte) [8]byte
}

// SuiteTDES is the classic suite of UnionPay and PBOC: two-key 3DES, derivation option A, cryptogram versions 01 and 17.
var SuiteTDES = TDES()

// TDES returns SuiteTDES.
func TDES() Suite {
	return Suite{cipher: CipherTDES, algorithm: AlgorithmTDES, lists: standardLists(), primitives: &tdesPrimitives}
}

// SuiteSM4 is the suite of PBOC cards with Chinese cryptography [JR/T 0025.17] [REF 4.6]: the rules of SuiteTDES with SM4 and its
// blocks of 16 bytes. No published example covers its derivation and cryptogram: what could be otherwise is a parameter.
var SuiteSM4 = SM4()

// SM4 returns SuiteSM4.
func SM4() Suite {
	return Suite{cipher: CipherSM4, algorithm: AlgorithmSM4, lists: standardLists(), primitives: &sm4Primitives}
}

// SuiteAES is the suite of an issuer of its own with AES-128: derivation option C, the counter alone in the session key, CMAC, and
// scripts in cipher block chaining [EMV B2 A1.4.3] [EMV B2 A1.3.1] [EMV B2 8.1.2].
var SuiteAES = AES()

// AES returns SuiteAES.
func AES() Suite {
	return Suite{cipher: CipherAES, algorithm: AlgorithmAES, derivation: OptionC, session: SessionCounter,
		script: ScriptProfile{Chained: true}, lists: standardLists(), primitives: &aesPrimitives}
}

// Standard returns the suite that an algorithm identifier of the issuer application data names, with the parameters it has by
// itself; false when there is none.
func Standard(algorithm byte) (Suite, bool) {
	switch algorithm {
	case AlgorithmTDES:
		return SuiteTDES, true
	case AlgorithmSM4:
		return SuiteSM4, true
	case AlgorithmAES:
		return SuiteAES, true
	}
	return Suite{}, false
}

// WithOptionB returns the suite with card key derivation option B: PANs of more than 16 digits are hashed
// [EMV B2 A1.4.2]. UnionPay issuers use option A unless they say otherwise [REF 4.1].
func (s Suite) WithOptionB() Suite { return s.WithDerivation(OptionB) }

// WithDerivation returns the suite with another card key derivation option.
func (s Suite) WithDerivation(d Derivation) Suite {
	s.derivation = d
	return s
}

// WithSession returns the suite with another session key rule.
func (s Suite) WithSession(r SessionRule) Suite {
	s.session = r
	return s
}

// WithScript returns the suite with another form of secure messaging.
func (s Suite) WithScript(p ScriptProfile) Suite {
	s.script = p
	return s
}

// WithAlgorithmID returns the suite under another algorithm identifier.
func (s Suite) WithAlgorithmID(id byte) Suite {
	s.algorithm = id
	return s
}

// Name returns the name of the cipher.
func (s Suite) Name() string { return s.cipher.String() }

// Cipher returns the block cipher; 0 when there is no suite.
func (s Suite) Cipher() Cipher { return s.cipher }

// AlgorithmID returns the algorithm identifier of the issuer application data.
func (s Suite) AlgorithmID() byte { return s.algorithm }

// IsZero reports whether there is no suite.
func (s Suite) IsZero() bool { return s.primitives == nil }

// CardKey derives a card's key from a master key [EMV B2 A1.4]. sequence is the PAN sequence number as digits, tag 5F34
// or field 23: "01", "001"; empty means 00. Only its last two digits count.
func (s Suite) CardKey(master Key, n pan.Number, sequence string) Key {
	return Key{s.primitives.encipher(master.b, s.diversify(n, sequence))}
}

// CardKeys derives all three keys of a card from the three master keys.
func (s Suite) CardKeys(masters CardKeys, n pan.Number, sequence string) CardKeys {
	y := s.diversify(n, sequence)
	return CardKeys{
		AC:  Key{s.primitives.encipher(masters.AC.b, y)},
		MAC: Key{s.primitives.encipher(masters.MAC.b, y)},
		ENC: Key{s.primitives.encipher(masters.ENC.b, y)},
	}
}

// SessionKey derives the key of one transaction from a card key and the transaction counter [REF 4.1]. The same rule
// serves the AC, MAC and ENC keys.
func (s Suite) SessionKey(card Key, atc uint16) Key {
	return Key{s.primitives.encipher(card.b, s.session.diversifier(atc))}
}

// KCV returns the first three bytes of a key's check value: of eight enciphered zero bytes for 3DES, of a block of them for SM4
// [REF 6.1], of the CMAC of a block of them for AES [X9.24].
func (s Suite) KCV(k Key) [3]byte {
	value := s.primitives.checkValue(k.b)
	return [3]byte(value[:])
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
// bytes (of sixteen with SM4 and AES), with the MAC session key [REF 1.7]. value is the IDD without its identifier, 5 or 10 bytes.
func (s Suite) IDDMAC(macSession Key, atc uint16, value []byte) [4]byte {
	input := make([]byte, 0, 24)
	input = binary.BigEndian.AppendUint16(input, atc)
	input = append(input, value...)
	for len(input)%s.primitives.blockBytes != 0 {
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
