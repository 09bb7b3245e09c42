package oda

import (
	"encoding/binary"
	"fmt"
)

// VerifySSAD verifies signed static application data (tag 93) and returns the data authentication code, tag 9F45
// [EMV B2 5.4]. static is the data of StaticData. Errors are *Failure.
func VerifySSAD(issuer IssuerKey, ssad, static []byte) (dac [2]byte, err error) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	if issuer.key.algorithm == SM2 {
		if check := a.sm2StaticData(&issuer.key, ssad, static); check != CheckNone {
			return dac, fail(StepSSAD, check)
		}
		return [2]byte(ssad[1:3]), nil
	}
	block, check := a.recover(&issuer.key, ssad)
	if check == CheckNone {
		check = a.staticBlock(block, static)
	}
	if check != CheckNone {
		return dac, fail(StepSSAD, check)
	}
	return [2]byte(block[3:5]), nil
}

func (a *arith) staticBlock(block, static []byte) Check {
	if check := checkFrame(block, formatStatic); check != CheckNone {
		return check
	}
	if block[2] != hashSHA1 {
		return CheckHashAlgorithm
	}
	hashed, sum := split(block)
	if !a.hashMatches(sum, hashed, static) {
		return CheckHash
	}
	return CheckNone
}

// dynamicFixed is what signed dynamic data needs besides the ICC dynamic data: 6A 05 01 LDD, hash and trailer.
const dynamicFixed = 4 + trailing

// dynamicBlock checks signed dynamic data and returns the ICC dynamic data inside the working space [EMV B2 6.5.2].
// Padding is covered by the hash, so that its value is not looked at.
func (a *arith) dynamicBlock(block, terminalData []byte) ([]byte, Check) {
	if check := checkFrame(block, formatDynamic); check != CheckNone {
		return nil, check
	}
	if block[2] != hashSHA1 {
		return nil, CheckHashAlgorithm
	}
	hashed, sum := split(block)
	if !a.hashMatches(sum, hashed, terminalData) {
		return nil, CheckHash
	}
	length := int(block[3])
	if length > len(block)-dynamicFixed {
		return nil, CheckDynamicData
	}
	return block[4 : 4+length], CheckNone
}

// dynamicData verifies signed dynamic data under either algorithm. What it returns is valid until the arith is used again.
func (a *arith) dynamicData(key *PublicKey, sdad, terminalData []byte) ([]byte, Check) {
	if key.algorithm == SM2 {
		return a.sm2DynamicData(key, sdad, terminalData)
	}
	block, check := a.recover(key, sdad)
	if check != CheckNone {
		return nil, check
	}
	return a.dynamicBlock(block, terminalData)
}

// VerifyDDA verifies signed dynamic application data (tag 9F4B) over ddolData, the terminal data that went into
// INTERNAL AUTHENTICATE, and returns the ICC dynamic data [EMV B2 6.5.2]. Errors are *Failure.
func VerifyDDA(icc ICCKey, sdad, ddolData []byte) (dynamicData []byte, err error) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	data, check := a.dynamicData(&icc.key, sdad, ddolData)
	if check != CheckNone {
		return nil, fail(StepDDA, check)
	}
	return append([]byte(nil), data...), nil
}

// DynamicNumber is the ICC dynamic number (tag 9F4C, 2 to 8 bytes) at the start of ICC dynamic data [EMV B2 6.5.1].
func DynamicNumber(dynamicData []byte) ([]byte, bool) {
	if len(dynamicData) == 0 {
		return nil, false
	}
	n := int(dynamicData[0])
	if n < 2 || n > 8 || len(dynamicData) < 1+n {
		return nil, false
	}
	return dynamicData[1 : 1+n], true
}

// FDDAInput is the terminal's and the card's data under a contactless dynamic signature [REF 2.6].
type FDDAInput struct {
	Version             byte // 0 or 1
	UnpredictableNumber [4]byte
	// Amount, Currency and CardAuthData are signed by version 01 only.
	Amount   [6]byte
	Currency [2]byte
	// CardAuthData is the whole value of tag 9F69.
	CardAuthData []byte
}

// Bounds of tag 9F69 [REF 2.6].
const (
	minCardAuthData = 8
	maxCardAuthData = 16
)

// check looks at the parts that the signature itself cannot vouch for.
func (in *FDDAInput) check() Check {
	switch in.Version {
	case 0:
		return CheckNone
	case 1:
		if n := len(in.CardAuthData); n < minCardAuthData || n > maxCardAuthData || in.CardAuthData[0] != 1 {
			return CheckCardAuthData
		}
		return CheckNone
	}
	return CheckVersion
}

// maxFDDAData is the longest terminal data under fDDA: number, amount, currency and tag 9F69.
const maxFDDAData = 4 + 6 + 2 + maxCardAuthData

// appendTo writes what is hashed after the signed block. The ATC is inside the block and is not hashed again.
func (in *FDDAInput) appendTo(dst []byte) []byte {
	dst = append(dst, in.UnpredictableNumber[:]...)
	if in.Version == 0 {
		return dst
	}
	dst = append(dst, in.Amount[:]...)
	dst = append(dst, in.Currency[:]...)
	return append(dst, in.CardAuthData...)
}

// VerifyFDDA verifies the dynamic signature of a contactless transaction (tag 9F4B) and returns the application
// transaction counter that it covers [REF 2.6]. The caller compares it with tag 9F36. Errors are *Failure.
func VerifyFDDA(icc ICCKey, sdad []byte, in FDDAInput) (atc uint16, err error) {
	if check := in.check(); check != CheckNone {
		return 0, fail(StepFDDA, check)
	}
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	data, check := a.dynamicData(&icc.key, sdad, in.appendTo(a.terminal[:0]))
	if check != CheckNone {
		return 0, fail(StepFDDA, check)
	}
	if len(data) != 3 || data[0] != 2 {
		return 0, fail(StepFDDA, CheckDynamicData)
	}
	return binary.BigEndian.Uint16(data[1:]), nil
}

// applicationVersion3 is the first card application version (tag 9F08) that signs with version 01 [REF 2.6].
const applicationVersion3 = 0x0030

// FDDAVersion applies the selection rules [REF 2.6]: cardAuthData is tag 9F69 (nil when the card sent none), whose
// absence means version 00; applicationVersion is tag 9F08; terminalSupports01 is the terminal's bit in tag 9F66. A card
// of version 0030 or later must use 01 with a terminal that supports it; an older card must not use it.
func FDDAVersion(cardAuthData []byte, applicationVersion uint16, terminalSupports01 bool) (byte, error) {
	modern := applicationVersion >= applicationVersion3
	if cardAuthData == nil {
		if modern && terminalSupports01 {
			return 0, fail(StepFDDA, CheckVersion)
		}
		return 0, nil
	}
	if !modern {
		return 0, fail(StepFDDA, CheckVersion)
	}
	in := FDDAInput{Version: 1, CardAuthData: cardAuthData}
	if check := in.check(); check != CheckNone {
		return 0, fail(StepFDDA, check)
	}
	return 1, nil
}

// String names the version only; the rest is transaction data.
func (in FDDAInput) String() string { return fmt.Sprintf("fDDA %02d", in.Version) }
