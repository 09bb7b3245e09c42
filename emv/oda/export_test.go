package oda

import (
	"time"

	"tapnet/pan"
)

// SignBlock signs a block as it stands, well formed or not.
func SignBlock(k PrivateKey, block []byte) []byte { return k.sign(block) }

// Reseal gives a block the hash of its present contents, so that a test reaches the checks behind the hash.
func Reseal(block []byte, following ...[]byte) []byte {
	return seal(append([]byte(nil), block[:len(block)-trailing]...), len(block), following...)
}

// IssuerKeyFromBlock and ICCKeyFromBlock read recovered blocks without the arithmetic before it.
func IssuerKeyFromBlock(block, remainder, exponent []byte, number pan.Number, now time.Time) (IssuerKey, Check) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	return a.issuerKey(block, remainder, exponent, number, now)
}

func ICCKeyFromBlock(block, remainder, exponent []byte, number pan.Number, static []byte, now time.Time) (ICCKey, Check) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	return a.iccKey(block, remainder, exponent, number, static, now)
}

// DynamicDataFromBlock reads a recovered block of signed dynamic data.
func DynamicDataFromBlock(block, terminalData []byte) ([]byte, Check) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	return a.dynamicBlock(block, terminalData)
}

// StepTerms and CheckTerms are the tables of texts.
func StepTerms() []Step {
	var all []Step
	for s := range stepTerms {
		all = append(all, s)
	}
	return all
}

func CheckTerms() []Check {
	var all []Check
	for c := range checkTerms {
		all = append(all, c)
	}
	return all
}

// ParseCAKeys reads a table of keys as cakeys.txt holds it.
func ParseCAKeys(text string) ([]CAKey, error) { return parseCAKeys(text) }

// PublishedText is cakeys.txt.
func PublishedText() string { return publishedText }

// SignSM2 appends a signature to a head, well formed or not.
func SignSM2(k PrivateKey, head, following []byte) []byte { return k.signSM2(head, following) }
