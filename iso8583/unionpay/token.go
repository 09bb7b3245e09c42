package unionpay

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"tapnet/iso8583"
	"tapnet/pan"
	"tapnet/tlv"
)

// The message that resolves a token, on the links switch–token service and token service–cloud secure element. Both ask and answer with one pair of types of
// the authorization class whose originator, the fourth digit, is neither acquirer nor issuer [ISO 8583:1987 4.1]; the operation in field 48 tells them apart.
//
// A request repeats what identifies the payment (7, 11, 32, 33: NetworkKey joins it with the payment's own messages) and what the rules look at:
//
//	2   the token                     19  country of the acquirer, where known
//	3, 4, 49  as in the payment       22, 23  how the token was read, its sequence number
//	7, 11, 32, 33, 37  as in the payment   41, 42, 43  terminal, merchant
//	14  the token's expiry            52  PIN block bound to the token, under the zone key of the link
//	18  merchant category             55  chip data with the cryptogram
//	48  TokenData: operation; requestor and device where the channel names them
//
// The answer repeats 2, 3, 4, 7, 11, 18, 23, 25, 32, 33, 37, 41, 42, 49 and has field 39 and TokenData in 48. With 00 of OperationResolve and OperationMap it
// has, instead of the token's, the account number in 2, its expiry in 14, its sequence number in 23, and the PIN block bound to it in 52. Any other code is a
// refusal: 2 stays the token and TokenData has the reason. A repeat, same key and content, gets the first answer; a PIN block is bound anew each time.
const (
	TypeTokenRequest  MTI = "0104"
	TypeTokenResponse MTI = "0114"
)

// TokenRequest asks about a token (0104). Additional holds TokenData; see Data.
type TokenRequest struct{ Payment }

// Type is 0104.
func (m *TokenRequest) Type() MTI { return TypeTokenRequest }

// Data reads field 48. A message that Decode gave has been checked.
func (m *TokenRequest) Data() (TokenData, error) { return ParseTokenData(m.Additional) }

func (m *TokenRequest) check() error { return checkTokenData(m.Additional) }

// TokenResponse answers a TokenRequest (0114).
type TokenResponse struct{ Payment }

// Type is 0114.
func (m *TokenResponse) Type() MTI { return TypeTokenResponse }

// Data reads field 48. A message that Decode gave has been checked.
func (m *TokenResponse) Data() (TokenData, error) { return ParseTokenData(m.Additional) }

func (m *TokenResponse) check() error { return checkTokenData(m.Additional) }

func checkTokenData(o Opaque) error {
	if _, err := ParseTokenData(o); err != nil {
		return &iso8583.FieldError{Field: fieldAdditional, Offset: iso8583.UnknownOffset, Err: err}
	}
	return nil
}

// TokenOperation says what is asked about a token.
type TokenOperation uint8

// The operations.
const (
	// OperationResolve is for an authorization: all rules of the token's domain hold, and whoever has its keys verifies the cryptogram and uses up the counter.
	OperationResolve TokenOperation = iota + 1
	// OperationMap is for what follows a payment (refund, reversal, advice, completion): it maps whatever state the token is in, and looks at no cryptogram.
	OperationMap
	// OperationVerify is the token service's question to the cloud secure element: is the cryptogram right, of a key that was given out for that class and
	// amount, and not used yet? A yes has used the counter durably. There is no account number in either direction.
	OperationVerify
)

// TokenStorage is where the credentials of a token are.
type TokenStorage uint8

// The storages.
const (
	StorageHCE  TokenStorage = iota + 1 // keys from the cloud, in a phone
	StorageSE                           // keys in a secure element
	StorageQR                           // shown as a code
	StorageFile                         // card on file
)

// CredentialClass is the class of the key that made a cryptogram.
type CredentialClass uint8

// The classes.
const (
	ClassNoCVM CredentialClass = iota + 1 // masked without verification of the cardholder
	ClassCVM                              // unmasked by password or biometrics only
)

// Verification is what became of the cryptogram.
type Verification uint8

// The outcomes; zero says nothing.
const (
	NotVerified        Verification = iota + 1 // nobody looked: mapping only, or a channel without cryptogram
	CryptogramVerified                         // right, and its counter used by this payment
	CryptogramRefused                          // see the reason
)

// TokenEvidence is what the phone says about the tap inside the data its tag protects [REF 8].
type TokenEvidence struct {
	Method  uint8 // how the cardholder was verified: 0 not, 1 device credential, 2 fingerprint, 3 face, 4 payment password
	Age     uint8 // since the verification, in units of 2 s; 255 is 510 s or more
	Risk    uint8 // the phone's own flags
	Latency uint8 // longest gap between an answer and the next command, in units of 4 ms
}

// TokenData is field 48 of both messages; the switch passes the answer's on to the issuer in the same field. A zero member is absent.
type TokenData struct {
	Operation    TokenOperation
	Token        pan.Number // the token, where field 2 has the account number
	Reference    string     // token reference: up to 32 letters and digits, no secret
	PAR          string     // payment account reference, 29 letters and digits
	Requestor    string     // token requestor id, 11 digits
	Assurance    string     // assurance method, two digits
	Reason       TokenReason
	Class        CredentialClass
	Verification Verification
	Storage      TokenStorage
	Device       string // device reference: up to 48 printable characters without blank
	Evidence     *TokenEvidence
}

// Tags of field 48, primitive and private but for the payment account reference, which is EMV's. They lie in this order.
const (
	tagPAR          tlv.Tag = 0x9F24
	tagOperation    tlv.Tag = 0xDF20
	tagToken        tlv.Tag = 0xDF21
	tagReference    tlv.Tag = 0xDF22
	tagRequestor    tlv.Tag = 0xDF23
	tagAssurance    tlv.Tag = 0xDF24
	tagReason       tlv.Tag = 0xDF25
	tagClass        tlv.Tag = 0xDF26
	tagVerification tlv.Tag = 0xDF27
	tagStorage      tlv.Tag = 0xDF28
	tagDevice       tlv.Tag = 0xDF29
	tagEvidence     tlv.Tag = 0xDF2A
)

// Sizes of what TokenData holds.
const (
	PARChars              = 29
	RequestorDigits       = 11
	MaxTokenReferenceSize = 32
	MaxDeviceChars        = 48
	assuranceDigits       = 2
	evidenceBytes         = 4
)

// Opaque writes the data as field 48 has it. What a parser would refuse is an error.
func (d TokenData) Opaque() (Opaque, error) {
	out := d.append(make([]byte, 0, 192))
	if err := checkTokenData(Opaque(out)); err != nil {
		return "", fmt.Errorf("write token data: %w", err)
	}
	return Opaque(out), nil
}

func (d *TokenData) append(dst []byte) []byte {
	text := func(tag tlv.Tag, s string) {
		if s != "" {
			dst = tlv.Append(dst, tag, []byte(s))
		}
	}
	octet := func(tag tlv.Tag, v uint8) {
		if v != 0 {
			dst = tlv.Append(dst, tag, []byte{v})
		}
	}
	text(tagPAR, d.PAR)
	octet(tagOperation, uint8(d.Operation))
	if !d.Token.IsZero() {
		dst = tlv.Append(dst, tagToken, d.Token.BCD())
	}
	text(tagReference, d.Reference)
	text(tagRequestor, d.Requestor)
	text(tagAssurance, d.Assurance)
	if d.Reason != 0 {
		dst = tlv.Append(dst, tagReason, binary.BigEndian.AppendUint16(nil, uint16(d.Reason)))
	}
	octet(tagClass, uint8(d.Class))
	octet(tagVerification, uint8(d.Verification))
	octet(tagStorage, uint8(d.Storage))
	text(tagDevice, d.Device)
	if e := d.Evidence; e != nil {
		dst = tlv.Append(dst, tagEvidence, []byte{e.Method, e.Age, e.Risk, e.Latency})
	}
	return dst
}

// ParseTokenData reads field 48. Tags are in order, none twice and none unknown, lengths in their shortest form, so that what is
// accepted is written again as it was.
func ParseTokenData(o Opaque) (TokenData, error) {
	var d TokenData
	last := tlv.Tag(0)
	for rest := []byte(o); len(rest) > 0; {
		before := len(rest)
		element, after, err := tlv.Next(rest)
		if err != nil {
			return TokenData{}, fmt.Errorf("token data at %d: %w: %w", len(o)-before, ErrContent, err)
		}
		if element.Tag <= last || !d.take(element.Tag, element.Value) || before-len(after) != element.Tag.Len()+1+len(element.Value) {
			return TokenData{}, fmt.Errorf("token data %s: %w", element.Tag, ErrContent)
		}
		last, rest = element.Tag, after
	}
	return d, nil
}

// take puts one element in its place and reports whether it is sound.
func (d *TokenData) take(tag tlv.Tag, v []byte) bool {
	if len(v) == 0 {
		return false
	}
	octet := func(most uint8) bool { return len(v) == 1 && v[0] >= 1 && v[0] <= most }
	switch tag {
	case tagPAR:
		d.PAR = string(v)
		return len(v) == PARChars && isAlphanumeric(v)
	case tagOperation:
		d.Operation = TokenOperation(v[0])
		return octet(uint8(OperationVerify))
	case tagToken:
		var err error
		d.Token, err = pan.FromBCD(v)
		return err == nil && bytes.Equal(d.Token.BCD(), v)
	case tagReference:
		d.Reference = string(v)
		return len(v) <= MaxTokenReferenceSize && isAlphanumeric(v)
	case tagRequestor:
		d.Requestor = string(v)
		return isDigits(v, RequestorDigits)
	case tagAssurance:
		d.Assurance = string(v)
		return isDigits(v, assuranceDigits)
	case tagReason:
		if len(v) != 2 {
			return false
		}
		d.Reason = TokenReason(binary.BigEndian.Uint16(v))
		return d.Reason != 0
	case tagClass:
		d.Class = CredentialClass(v[0])
		return octet(uint8(ClassCVM))
	case tagVerification:
		d.Verification = Verification(v[0])
		return octet(uint8(CryptogramRefused))
	case tagStorage:
		d.Storage = TokenStorage(v[0])
		return octet(uint8(StorageFile))
	case tagDevice:
		d.Device = string(v)
		return len(v) <= MaxDeviceChars && isGraphic(v)
	case tagEvidence:
		if len(v) != evidenceBytes {
			return false
		}
		d.Evidence = &TokenEvidence{Method: v[0], Age: v[1], Risk: v[2], Latency: v[3]}
		return true
	}
	return false
}

// isAlphanumeric reports whether there is at least one character and all are letters or digits.
func isAlphanumeric(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(b) > 0
}

// isGraphic reports whether there is at least one character and all are printable and no blank.
func isGraphic(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}
