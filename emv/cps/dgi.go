package cps

import (
	"fmt"

	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// DGI is a data grouping identifier. Below 1F00 it names a record: file and number.
type DGI uint16

// The identifiers in use. [EMV CPS] [JR/T 0025.10]
const (
	ContactInternalData     DGI = 0x0D01
	ContactlessInternalData DGI = 0x0E01
	CardKeys                DGI = 0x8000 // AC ‖ MAC ‖ ENC
	PIN                     DGI = 0x8010 // clear PIN block of format 2
	FileKeys                DGI = 0x8020 // of extended-application files
	ICCKeyExponent          DGI = 0x8101
	PINKeyExponent          DGI = 0x8102
	ICCKeyModulus           DGI = 0x8103
	PINKeyModulus           DGI = 0x8104
	ICCKeyQInverse          DGI = 0x8201 // q⁻¹ mod p
	ICCKeyDQ                DGI = 0x8202 // d mod (q−1)
	ICCKeyDP                DGI = 0x8203 // d mod (p−1)
	ICCKeyQ                 DGI = 0x8204
	ICCKeyP                 DGI = 0x8205
	PINKeyQInverse          DGI = 0x8301
	PINKeyDQ                DGI = 0x8302
	PINKeyDP                DGI = 0x8303
	PINKeyQ                 DGI = 0x8304
	PINKeyP                 DGI = 0x8305
	KeyCheckValues          DGI = 0x9000 // of 8000, three bytes each
	PINCounters             DGI = 0x9010 // tries left ‖ tries allowed
	FileKeyCheckValues      DGI = 0x9020
	FCI                     DGI = 0x9102 // contact
	FCIContactless          DGI = 0x9103
	GPOResponse             DGI = 0x9104 // AIP and AFL, contact
	IssuerApplicationData   DGI = 0x9200
	GPOResponseCash         DGI = 0x9203 // electronic cash
	GPOResponseContactless  DGI = 0x9207 // qPBOC
	ExtendedFiles           DGI = 0xA001
)

const (
	sfiFirst, sfiLast = 1, 30
	// Files up to this one hold records in template 70. [EMV B3 6.5.11.4]
	sfiTemplates = 10

	keyBytes = 16
	kcvBytes = 3

	tagRecord tlv.Tag = 0x70
)

var names = map[DGI]glossary.Term{
	ContactInternalData:     {EN: "internal data, contact", ZH: "接触式内部数据"},
	ContactlessInternalData: {EN: "internal data, contactless", ZH: "非接触内部数据"},
	CardKeys:                {EN: "card keys", ZH: "卡片密钥"},
	PIN:                     {EN: "PIN block", ZH: "PIN数据块"},
	FileKeys:                {EN: "keys of extended files", ZH: "扩展应用文件密钥"},
	ICCKeyExponent:          {EN: "card key, private exponent", ZH: "IC卡私钥指数"},
	PINKeyExponent:          {EN: "PIN key, private exponent", ZH: "PIN加密私钥指数"},
	ICCKeyModulus:           {EN: "card key, modulus", ZH: "IC卡密钥模"},
	PINKeyModulus:           {EN: "PIN key, modulus", ZH: "PIN加密密钥模"},
	ICCKeyQInverse:          {EN: "card key, q⁻¹ mod p", ZH: "IC卡私钥q⁻¹ mod p"},
	ICCKeyDQ:                {EN: "card key, d mod (q−1)", ZH: "IC卡私钥d mod (q−1)"},
	ICCKeyDP:                {EN: "card key, d mod (p−1)", ZH: "IC卡私钥d mod (p−1)"},
	ICCKeyQ:                 {EN: "card key, q", ZH: "IC卡私钥q"},
	ICCKeyP:                 {EN: "card key, p", ZH: "IC卡私钥p"},
	PINKeyQInverse:          {EN: "PIN key, q⁻¹ mod p", ZH: "PIN加密私钥q⁻¹ mod p"},
	PINKeyDQ:                {EN: "PIN key, d mod (q−1)", ZH: "PIN加密私钥d mod (q−1)"},
	PINKeyDP:                {EN: "PIN key, d mod (p−1)", ZH: "PIN加密私钥d mod (p−1)"},
	PINKeyQ:                 {EN: "PIN key, q", ZH: "PIN加密私钥q"},
	PINKeyP:                 {EN: "PIN key, p", ZH: "PIN加密私钥p"},
	KeyCheckValues:          {EN: "key check values", ZH: "密钥校验值"},
	PINCounters:             {EN: "PIN try counter and limit", ZH: "PIN尝试计数器与上限"},
	FileKeyCheckValues:      {EN: "check values of file keys", ZH: "扩展应用文件密钥校验值"},
	FCI:                     {EN: "answer to SELECT, contact", ZH: "SELECT响应，接触式"},
	FCIContactless:          {EN: "answer to SELECT, contactless", ZH: "SELECT响应，非接触"},
	GPOResponse:             {EN: "answer to GET PROCESSING OPTIONS, contact", ZH: "GPO响应，接触式"},
	IssuerApplicationData:   {EN: "issuer application data", ZH: "发卡行应用数据"},
	GPOResponseCash:         {EN: "answer to GET PROCESSING OPTIONS, electronic cash", ZH: "GPO响应，电子现金"},
	GPOResponseContactless:  {EN: "answer to GET PROCESSING OPTIONS, contactless", ZH: "GPO响应，非接触"},
	ExtendedFiles:           {EN: "files of the extended application", ZH: "扩展应用文件"},
}

// String returns four hexadecimal digits.
func (d DGI) String() string { return fmt.Sprintf("%04X", uint16(d)) }

// Term is the name of the identifier in both languages.
func (d DGI) Term() glossary.Term {
	if term, ok := names[d]; ok {
		return term
	}
	if sfi, number, ok := d.Record(); ok {
		return glossary.Term{EN: fmt.Sprintf("file %d, record %d", sfi, number), ZH: fmt.Sprintf("文件%d记录%d", sfi, number)}
	}
	return glossary.Term{EN: "data of the application " + d.String(), ZH: "应用数据" + d.String()}
}

// Record takes the identifier of a record apart. The identifiers of internal data lie among them and are none.
func (d DGI) Record() (sfi, number byte, ok bool) {
	sfi, number = byte(d>>8), byte(d)
	if d == ContactInternalData || d == ContactlessInternalData {
		return 0, 0, false
	}
	return sfi, number, sfi >= sfiFirst && sfi <= sfiLast && number != 0
}

// Secret reports whether the data go enciphered: keys, PINs and private components, all that begins with 8. [EMV CPS]
func (d DGI) Secret() bool { return d>>12 == 8 }

// check looks at what the identifier asks of its data alone.
func (g Grouping) check() error {
	n := len(g.data)
	wrong := func(want string) error {
		return fmt.Errorf("data grouping %v of %d bytes, want %s: %w", g.id, n, want, ErrContent)
	}
	switch g.id {
	case CardKeys, FileKeys:
		if n == 0 || n%keyBytes != 0 {
			return wrong("keys of 16 bytes")
		}
	case KeyCheckValues, FileKeyCheckValues:
		if n == 0 || n%kcvBytes != 0 {
			return wrong("check values of 3 bytes")
		}
	case PIN:
		if n != pinBlockBytes {
			return wrong("8")
		}
	case PINCounters:
		if n != 2 {
			return wrong("2")
		}
	default:
		if sfi, _, ok := g.id.Record(); ok && sfi <= sfiTemplates {
			return g.checkTemplate()
		}
	}
	return nil
}

const pinBlockBytes = 8

// checkTemplate checks that a record is one template 70 and nothing behind it.
func (g Grouping) checkTemplate() error {
	element, rest, err := tlv.Next(g.data)
	if err != nil || element.Tag != tagRecord || len(rest) != 0 {
		return fmt.Errorf("data grouping %v is not one record in template 70: %w", g.id, ErrContent)
	}
	return nil
}

// Record makes the grouping of one record. SFI is 1 to 30, number 1 to 255, and the record of a file up to 10 a template 70.
// The error wraps ErrContent or ErrLimit.
func Record(sfi, number byte, record []byte) (Grouping, error) {
	id := DGI(sfi)<<8 | DGI(number)
	if _, _, ok := id.Record(); !ok {
		return Grouping{}, fmt.Errorf("record %d of file %d: %w", number, sfi, ErrContent)
	}
	return NewGrouping(id, record)
}

// CardKeyGroupings makes the groupings of the three card keys and of their check values.
func CardKeyGroupings(keys cryptogram.CardKeys) List {
	var values, checks []byte
	for _, k := range []cryptogram.Key{keys.AC, keys.MAC, keys.ENC} {
		value, check := k.Reveal(), k.KCV()
		values, checks = append(values, value[:]...), append(checks, check[:]...)
	}
	return List{{id: CardKeys, data: values}, {id: KeyCheckValues, data: checks}}
}

// PINGroupings makes the groupings of the reference PIN, as a block of format 2, and of its counters. The tries left are those allowed.
func PINGroupings(p pinblock.PIN, tries byte) List {
	block := pinblock.Format2(p).Reveal()
	return List{{id: PIN, data: block[:]}, {id: PINCounters, data: []byte{tries, tries}}}
}

// RSAKey is a private key in the form of the Chinese remainder theorem: the primes p and q, the private exponent reduced by each, and q⁻¹ mod p,
// as big-endian numbers.
type RSAKey struct{ P, Q, DP, DQ, QInverse []byte }

// Format masks the key.
func (RSAKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// MarshalText masks the key.
func (RSAKey) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// maxComponentBytes is half of the longest modulus that fits a card's answers. [EMV B2 6.1]
const maxComponentBytes = 124

// Groupings makes the five groupings of a key from first on: ICCKeyQInverse or PINKeyQInverse. Components are filled with zeros on the left to the length of
// the longest. The error wraps ErrContent.
func (k RSAKey) Groupings(first DGI) (List, error) {
	if first != ICCKeyQInverse && first != PINKeyQInverse {
		return nil, fmt.Errorf("RSA key from data grouping %v on: %w", first, ErrContent)
	}
	parts := [crtComponents][]byte{k.QInverse, k.DQ, k.DP, k.Q, k.P}
	length := 0
	for i, part := range parts {
		if len(part) == 0 || len(part) > maxComponentBytes {
			return nil, fmt.Errorf("RSA component %d of %d bytes, want 1 to %d: %w", i+1, len(part), maxComponentBytes, ErrContent)
		}
		length = max(length, len(part))
	}
	var list List
	for i, part := range parts {
		data := make([]byte, length)
		copy(data[length-len(part):], part)
		list = append(list, Grouping{id: first + DGI(i), data: data})
	}
	return list, nil
}
