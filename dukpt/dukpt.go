// Package dukpt derives a key for every transaction from one base key, so that a terminal that is opened gives away neither its past nor the keys of
// other terminals: [X9.24], part 1 of 2009 with triple DES and part 3 of 2017 with AES.
//
// A host holds the base derivation key (BDK), derives from it the initial key of a terminal and from that, given the key serial number (KSN) that
// travels with a message, the keys of the transaction. A terminal holds only the keys of transactions to come, TDESDevice and AESDevice: each call of
// Next erases what it hands out, and the whole state is one block of bytes that a caller stores before it uses the key.
//
// Promise: the published keys, for every usage and key type of the standards; a device never yields the keys of a counter twice, walks the counters that
// the standard allows and then says ErrExhausted; everything that is or holds a key masks itself. Not here: where the block is stored and that an old copy
// of it is not loaded again (the counter tells), the enciphering of PINs and data itself, single-length DES, key blocks.
package dukpt

import (
	"errors"
	"fmt"

	"tapnet/glossary"
)

// Refusals of this package. They never hold key bytes.
var (
	// ErrKey says that bytes are no key of the type that was asked for, or a key is of the wrong type for its place.
	ErrKey = errors.New("not a key of this type")
	// ErrKSN says that bytes are no key serial number.
	ErrKSN = errors.New("malformed key serial number")
	// ErrCounter says that a counter belongs to no transaction: 0, or with more one bits than a device ever uses.
	ErrCounter = errors.New("transaction counter that no device uses")
	// ErrUsage says that the method has no such key: for this usage, or of this type.
	ErrUsage = errors.New("no such working key")
	// ErrExhausted says that a device has used its last key. It needs a new initial key.
	ErrExhausted = errors.New("the device has used its last key")
	// ErrState says that bytes are not the state of a device.
	ErrState = errors.New("not the state of a device")
)

// Type is an algorithm with a key length. The zero value is none.
type Type uint8

// The key types that the standards name. [X9.24]
const (
	TDEA2 Type = iota + 1 // triple DES with two keys, 16 bytes
	TDEA3                 // triple DES with three keys, 24 bytes
	AES128
	AES192
	AES256
	HMAC128
	HMAC192
	HMAC256
)

const bitsPerByte = 8

// typeRow says what a type is in the derivation data of part 3.
type typeRow struct {
	name      string
	indicator uint16 // algorithm indicator
	bytes     int
	strength  int // in bits, what the type is worth when keys are compared
}

// TDEA keys are worth less than their length: any AES key may derive them.
var types = [...]typeRow{
	TDEA2:   {"TDEA-2", 0, 16, 80},
	TDEA3:   {"TDEA-3", 1, 24, 112},
	AES128:  {"AES-128", 2, 16, 128},
	AES192:  {"AES-192", 3, 24, 192},
	AES256:  {"AES-256", 4, 32, 256},
	HMAC128: {"HMAC-128", 5, 16, 128},
	HMAC192: {"HMAC-192", 5, 24, 192},
	HMAC256: {"HMAC-256", 5, 32, 256},
}

func (t Type) valid() bool { return t != 0 && int(t) < len(types) }

// Bytes is the length of a key, 0 for an unknown type.
func (t Type) Bytes() int {
	if !t.valid() {
		return 0
	}
	return types[t].bytes
}

func (t Type) isAES() bool  { return t == AES128 || t == AES192 || t == AES256 }
func (t Type) isHMAC() bool { return t == HMAC128 || t == HMAC192 || t == HMAC256 }

// String returns the name, "AES-128".
func (t Type) String() string {
	if !t.valid() {
		return fmt.Sprintf("key type %d", uint8(t))
	}
	return types[t].name
}

// Usage is what a working key is for, seen from the terminal: it generates the MAC of a request and verifies that of the answer.
type Usage uint8

// The usages of a working key. [X9.24]
const (
	PINEncryption Usage = iota + 1
	MACGeneration
	MACVerification
	MACBoth
	DataEncrypt
	DataDecrypt
	DataBoth
	KeyEncryption // AES only: a key that carries another key to the terminal
)

// usageRow joins the two standards: the variant of part 1 and the key usage indicator of part 3.
type usageRow struct {
	name      glossary.Term
	indicator uint16
	variant   variant
}

var usages = [...]usageRow{
	PINEncryption:   {glossary.Term{EN: "PIN encryption", ZH: "PIN加密"}, 0x1000, variantPIN},
	MACGeneration:   {glossary.Term{EN: "MAC generation", ZH: "MAC生成"}, 0x2000, variantMACRequest},
	MACVerification: {glossary.Term{EN: "MAC verification", ZH: "MAC验证"}, 0x2001, variantMACResponse},
	MACBoth:         {glossary.Term{EN: "MAC in both directions", ZH: "双向MAC"}, 0x2002, variantMACRequest},
	DataEncrypt:     {glossary.Term{EN: "data encryption", ZH: "数据加密"}, 0x3000, variantDataRequest},
	DataDecrypt:     {glossary.Term{EN: "data decryption", ZH: "数据解密"}, 0x3001, variantDataResponse},
	DataBoth:        {glossary.Term{EN: "data in both directions", ZH: "双向数据加密"}, 0x3002, variantDataRequest},
	KeyEncryption:   {glossary.Term{EN: "key encryption", ZH: "密钥加密"}, 0x0002, variant{}},
}

func (u Usage) valid() bool { return u != 0 && int(u) < len(usages) }

// Term is the name of the usage in both languages.
func (u Usage) Term() glossary.Term {
	if !u.valid() {
		return glossary.Term{EN: fmt.Sprintf("key usage %d", uint8(u)), ZH: fmt.Sprintf("密钥用途%d", uint8(u))}
	}
	return usages[u].name
}

// String is the English name.
func (u Usage) String() string { return u.Term().EN }
