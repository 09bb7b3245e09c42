package tsp

import (
	"tapnet/internal/hsm"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Vault is what the token service asks of its security module. Keys are named; none is seen.
type Vault interface {
	PANFingerprint(key string, number pan.Number) ([16]byte, error)
	RebindPIN(from, to string, block pinblock.Block, token, number pan.Number) (pinblock.Block, hsm.PINResult, error)
	SealPAN(key string, number pan.Number) ([]byte, error)
	OpenPAN(key string, sealed []byte) (pan.Number, error)
	SealData(key, context string, data []byte) ([]byte, error)
	OpenData(key, context string, sealed []byte) ([]byte, error)
	RandomDigits(digits int) (string, error)
	HashDigits(key string, context []byte, number pan.Number, digits int) (string, error)
	EncipherDigits(key string, tweak []byte, digits string, belongs func(string) bool) (string, error)
	DecipherDigits(key string, tweak []byte, digits string, belongs func(string) bool) (string, error)
	CoverNumber(key string, kind byte, number uint64) ([16]byte, error)
	UncoverNumber(key string, kind byte, covered [16]byte) (number uint64, found bool, err error)
}

// Numbers is the vault of account numbers: data keys that rotate, usable once the custodians have unlocked it.
type Numbers interface {
	NewDataKey(tenant string, epoch uint32) (hsm.DataKey, error)
	SealNumber(key hsm.DataKey, name [16]byte, number pan.Number) ([]byte, error)
	OpenNumber(key hsm.DataKey, name [16]byte, sealed []byte) (pan.Number, error)
	ResealNumber(from, to hsm.DataKey, name [16]byte, sealed []byte) ([]byte, error)
}

// KeyNames names the keys of the token service in its security module.
type KeyNames struct {
	Fingerprint string // HMAC: names of cards and tokens at rest
	Hash        string // HMAC: tokens by keyed hash, one-time codes
	Digits      string // tokens by reversible encryption
	Names       string // references of tokens, payment account references
	TokenSeal   string // token numbers and one-time codes at rest
	PINKey      func(peer string) string
}

func (k KeyNames) complete() bool {
	return k.Fingerprint != "" && k.Hash != "" && k.Digits != "" && k.Names != "" && k.TokenSeal != "" && k.PINKey != nil
}
