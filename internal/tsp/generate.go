package tsp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tapnet/pan"
)

// Method is a way to make token numbers.
type Method uint8

// The methods.
const (
	// MethodRandom takes random digits behind a prefix of the token service's own: nothing ties the token to the card but the vault. The default.
	MethodRandom Method = iota + 1
	// MethodHash takes the digits of a keyed hash of card, requestor and device: the same token again for the same three, and a map to get back.
	MethodHash
	// MethodDigits enciphers the card's digits into the token's (FF1): it can be undone with the key alone, so the key is worth all cards.
	MethodDigits
)

var methodNames = [...]string{MethodRandom: "random", MethodHash: "hash", MethodDigits: "ff1"}

// String is a short fixed name.
func (m Method) String() string {
	if m < MethodRandom || m > MethodDigits {
		return "unknown"
	}
	return methodNames[m]
}

// Range is where the tokens of one bank and storage come from. Prefixes of storages differ, so that their issuer master keys can.
type Range struct {
	Prefix       string // of the tokens, 6 to 10 digits
	Issuer       string // institution whose cards they stand for
	IssuerPrefix string // of these cards
	Storage      uint8
	Method       Method
	Digits       int // length of a token; MethodDigits keeps the length of the card's remaining digits instead
}

// maxAttempts is how many candidates are made for one token. Of random ones a second is hardly ever needed; the others count on.
const maxAttempts = 8

var (
	errRange    = errors.New("tsp: a token range is not sound")
	errNoNumber = errors.New("tsp: the card's number has no token in that range")
)

func (r *Range) check() error {
	switch {
	case len(r.Prefix) < 6 || len(r.Prefix) > 10 || r.Issuer == "" || r.IssuerPrefix == "" || r.Storage == 0:
	case r.Method != MethodDigits && (r.Digits < 13 || r.Digits > 19):
	case r.Method < MethodRandom || r.Method > MethodDigits:
	case strings.HasPrefix(r.Prefix, r.IssuerPrefix) || strings.HasPrefix(r.IssuerPrefix, r.Prefix):
	default:
		return nil
	}
	return fmt.Errorf("%w: prefix %q of issuer %q", errRange, r.Prefix, r.Issuer)
}

// luhnBehind reports whether digits behind a prefix make a number with a right check digit.
func luhnBehind(prefix string) func(string) bool {
	return func(digits string) bool {
		n, err := pan.Parse(prefix + digits)
		return err == nil && n.LuhnValid()
	}
}

// Candidate makes the token number of that attempt.
func (r *Range) Candidate(v Vault, keys KeyNames, n pan.Number, requestor, device string, attempt int) (pan.Number, error) {
	switch r.Method {
	case MethodHash:
		context := requestor + "\x00" + device + "\x00" + strconv.Itoa(attempt)
		digits, err := v.HashDigits(keys.Hash, []byte(context), n, r.Digits-len(r.Prefix)-1)
		if err != nil {
			return pan.Number{}, err
		}
		return pan.CompleteLuhn(r.Prefix + digits)
	case MethodDigits:
		rest, found := strings.CutPrefix(n.Reveal(), r.IssuerPrefix)
		if !found {
			return pan.Number{}, errNoNumber
		}
		// The card's check digit gives way to the token's, so that the walk starts where it must end: among numbers with a right one.
		start, err := pan.CompleteLuhn(r.Prefix + rest[:len(rest)-1])
		if err != nil {
			return pan.Number{}, errNoNumber
		}
		digits, err := v.EncipherDigits(keys.Digits, tweakOf(requestor, attempt), start.Reveal()[len(r.Prefix):], luhnBehind(r.Prefix))
		if err != nil {
			return pan.Number{}, err
		}
		return pan.Parse(r.Prefix + digits)
	}
	digits, err := v.RandomDigits(r.Digits - len(r.Prefix) - 1)
	if err != nil {
		return pan.Number{}, err
	}
	return pan.CompleteLuhn(r.Prefix + digits)
}

// Reverse gives the account number of a token of MethodDigits without any table: what makes that method fast, and what makes it dangerous.
func (r *Range) Reverse(v Vault, keys KeyNames, token pan.Number, requestor string, attempt int) (pan.Number, error) {
	digits, found := strings.CutPrefix(token.Reveal(), r.Prefix)
	if r.Method != MethodDigits || !found {
		return pan.Number{}, errNoNumber
	}
	start, err := v.DecipherDigits(keys.Digits, tweakOf(requestor, attempt), digits, luhnBehind(r.Prefix))
	if err != nil {
		return pan.Number{}, err
	}
	return pan.CompleteLuhn(r.IssuerPrefix + start[:len(start)-1])
}

func tweakOf(requestor string, attempt int) []byte { return append([]byte(requestor), byte(attempt)) }

// rangeFor finds the range of a bank's cards for a storage.
func rangeFor(ranges []Range, n pan.Number, storage uint8) *Range {
	for i := range ranges {
		if r := &ranges[i]; r.Storage == storage && n.HasPrefix(r.IssuerPrefix) {
			return r
		}
	}
	return nil
}
