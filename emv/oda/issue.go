package oda

import (
	"crypto/sha1" // the standard's hash algorithm 01
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/pan"
)

// errSpec is what a certificate maker refuses a specification with.
var errSpec = errors.New("certificate specification")

// IssuerCertSpec says what an issuer certificate certifies.
type IssuerCertSpec struct {
	// IIN is the start of the issuer's account numbers, 3 to 8 digits.
	IIN    string
	Expiry pan.Expiry
	Serial [3]byte
	Public PublicKey
	// SM2Parameter is the curve parameter byte of an SM2 certificate; 0 stands for 11, as in a published one [REF 4.6].
	SM2Parameter byte
}

// MakeIssuerCertificate signs an issuer's public key with a CA key: tag 90 and, when the modulus does not fit into
// the certificate, its remainder for tag 92 [EMV B2 5.1]. The exponent for tag 9F32 is spec.Public.Exponent().
func MakeIssuerCertificate(ca PrivateKey, spec IssuerCertSpec) (cert, remainder []byte, err error) {
	iin, ok := packIIN(spec.IIN)
	if !ok {
		return nil, nil, fmt.Errorf("%w: issuer identifier of %d characters, want 3 to 8 digits", errSpec, len(spec.IIN))
	}
	if ca.Public().algorithm == SM2 {
		cert, err = makeSM2Certificate(ca, append([]byte{sm2FormatIssuer}, iin[:]...), spec.Expiry, spec.Serial, spec.Public,
			orDefault(spec.SM2Parameter, sm2ParameterIssuer), nil)
		return cert, nil, err
	}
	header := append([]byte{blockHeader, formatIssuer}, iin[:]...)
	return makeCertificate(ca, header, spec.Expiry, spec.Serial, spec.Public, issuerRoom, nil)
}

// ICCCertSpec says what an ICC certificate certifies.
type ICCCertSpec struct {
	PAN    pan.Number
	Expiry pan.Expiry
	Serial [3]byte
	Public PublicKey
	// Static is the data of StaticData that the certificate covers.
	Static []byte
	// SM2Parameter is the curve parameter byte of an SM2 certificate; 0 stands for 04, as in a published one [REF 4.6].
	SM2Parameter byte
}

// MakeICCCertificate signs a card's public key and static data with the issuer's key: tag 9F46 and, when the modulus
// does not fit, its remainder for tag 9F48 [EMV B2 6.1]. The exponent for tag 9F47 is spec.Public.Exponent().
func MakeICCCertificate(issuer PrivateKey, spec ICCCertSpec) (cert, remainder []byte, err error) {
	field, ok := panField(spec.PAN)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no PAN", errSpec)
	}
	if len(spec.Static) > MaxStaticDataBytes {
		return nil, nil, fmt.Errorf("%w: static data of %d bytes, at most %d", errSpec, len(spec.Static), MaxStaticDataBytes)
	}
	if issuer.Public().algorithm == SM2 {
		cert, err = makeSM2Certificate(issuer, append([]byte{sm2FormatICC}, field[:]...), spec.Expiry, spec.Serial, spec.Public,
			orDefault(spec.SM2Parameter, sm2ParameterICC), spec.Static)
		return cert, nil, err
	}
	header := append([]byte{blockHeader, formatICC}, field[:]...)
	return makeCertificate(issuer, header, spec.Expiry, spec.Serial, spec.Public, iccRoom, spec.Static)
}

// makeCertificate lays a certificate out; room is what it needs besides the modulus.
func makeCertificate(signer PrivateKey, header []byte, expiry pan.Expiry, serial [3]byte, public PublicKey, room int,
	static []byte) (cert, remainder []byte, err error) {
	signerLength := signer.Public().Len()
	switch {
	case signer.IsZero():
		return nil, nil, fmt.Errorf("%w: no signing key", errSpec)
	case public.IsZero():
		return nil, nil, fmt.Errorf("%w: no public key", errSpec)
	case public.algorithm != RSA:
		return nil, nil, fmt.Errorf("%w: %v key under an RSA key", errSpec, public)
	case public.Len() > signerLength:
		return nil, nil, fmt.Errorf("%w: %d-bit key under a %d-bit key", errSpec, public.BitLen(), signerLength*8)
	}
	mmyy, ok := packMonth(expiry)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no expiry", errSpec)
	}
	exponent := public.Exponent()
	block := make([]byte, 0, signerLength)
	block = append(block, header...)
	block = append(block, mmyy[:]...)
	block = append(block, serial[:]...)
	block = append(block, hashSHA1, algorithmRSA, public.length, byte(len(exponent)))
	modulus := public.Modulus()
	inside := min(len(modulus), signerLength-room)
	block = append(block, modulus[:inside]...)
	if rest := modulus[inside:]; len(rest) > 0 {
		remainder = rest
	}
	return signer.sign(seal(block, signerLength, remainder, exponent, static)), remainder, nil
}

// seal fills a block with BB up to the hash, hashes it with what follows, and closes it.
func seal(block []byte, length int, following ...[]byte) []byte {
	for len(block) < length-trailing {
		block = append(block, blockPad)
	}
	h := sha1.New()
	h.Write(block[1:])
	for _, part := range following {
		h.Write(part)
	}
	return append(h.Sum(block), blockTrailer)
}

// SignStatic makes signed static application data, tag 93 [EMV B2 5.1]. static is the data of StaticData.
func SignStatic(issuer PrivateKey, dac [2]byte, static []byte) []byte {
	if issuer.Public().algorithm == SM2 {
		return issuer.signSM2([]byte{sm2FormatStatic, dac[0], dac[1]}, static)
	}
	block := []byte{blockHeader, formatStatic, hashSHA1, dac[0], dac[1]}
	return issuer.sign(seal(block, issuer.Public().Len(), static))
}

// MaxDynamicData is how much ICC dynamic data a key can sign.
func (k PublicKey) MaxDynamicData() int {
	if k.algorithm == SM2 {
		return sm2MaxDynamicData
	}
	return min(int(k.length)-dynamicFixed, 0xFF)
}

// SignDynamic makes signed dynamic application data, tag 9F4B, over ICC dynamic data and the terminal's data
// [EMV B2 6.5.1]. It panics when dynamic is longer than icc.Public().MaxDynamicData(): the card chooses its length.
func SignDynamic(icc PrivateKey, dynamic []byte, terminalData []byte) []byte {
	public := icc.Public()
	if len(dynamic) > public.MaxDynamicData() {
		panic(fmt.Sprintf("oda: %d bytes of dynamic data under %v", len(dynamic), public))
	}
	if public.algorithm == SM2 {
		return icc.signSM2(append([]byte{sm2FormatDynamic, byte(len(dynamic))}, dynamic...), terminalData)
	}
	block := append([]byte{blockHeader, formatDynamic, hashSHA1, byte(len(dynamic))}, dynamic...)
	return icc.sign(seal(block, public.Len(), terminalData))
}

// SignFDDA makes the dynamic signature of a contactless transaction, tag 9F4B [REF 2.6]. It panics on a version other
// than 0 and 1 and on a malformed 9F69: the card makes both itself.
func SignFDDA(icc PrivateKey, atc uint16, in FDDAInput) []byte {
	if check := in.check(); check != CheckNone {
		panic("oda: sign fDDA: " + string(check))
	}
	return SignDynamic(icc, binary.BigEndian.AppendUint16([]byte{2}, atc), in.appendTo(nil))
}

func packIIN(digits string) (iin [4]byte, ok bool) {
	if len(digits) < 3 || len(digits) > 8 {
		return iin, false
	}
	for i := range 8 {
		nibble := byte(0x0F)
		if i < len(digits) {
			if nibble = digits[i] - '0'; nibble > 9 {
				return iin, false
			}
		}
		iin[i/2] |= nibble << (4 * (1 - i%2))
	}
	return iin, true
}

// packMonth turns an expiry into packed MMYY.
func packMonth(expiry pan.Expiry) (mmyy [2]byte, ok bool) {
	yymm := expiry.YYMM()
	if expiry.IsZero() || len(yymm) != 4 {
		return mmyy, false
	}
	pack := func(tens, units byte) byte { return (tens-'0')<<4 | (units - '0') }
	return [2]byte{pack(yymm[2], yymm[3]), pack(yymm[0], yymm[1])}, true
}
