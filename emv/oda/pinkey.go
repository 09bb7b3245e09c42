package oda

import (
	"io"
	"math/big"

	"tapnet/pinblock"
)

// What a PIN is enciphered with [EMV B2 7.2].
const (
	pinHeader     = 0x7F
	pinBlockEnd   = 9
	challengeEnd  = 17
	challengeSize = 8
)

// EncipherPIN enciphers a PIN block for VERIFY with the card's PIN encipherment key, or its ordinary key [EMV B2 7.2]. challenge is
// the card's answer to GET CHALLENGE. random fills the rest of the block; its error is returned. No public source says how SM2
// would do it: such a key is refused.
func EncipherPIN(key ICCKey, block pinblock.Block, challenge [challengeSize]byte, random io.Reader) ([]byte, error) {
	if key.key.algorithm != RSA {
		return nil, fail(StepPINKey, CheckPublicKeyAlgorithm)
	}
	plain := make([]byte, key.key.Len())
	if len(plain) < MinModulusBytes {
		return nil, fail(StepPINKey, CheckModulus)
	}
	plain[0] = pinHeader
	clear := block.Reveal()
	copy(plain[1:pinBlockEnd], clear[:])
	copy(plain[pinBlockEnd:challengeEnd], challenge[:])
	if _, err := io.ReadFull(random, plain[challengeEnd:]); err != nil {
		return nil, err
	}
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	enciphered, check := a.recover(&key.key, plain) // the public operation of verification and encipherment is the same
	if check != CheckNone {
		return nil, fail(StepPINKey, check)
	}
	return append([]byte(nil), enciphered...), nil
}

// DecipherPIN is the card's side: it takes the block back when the header and the challenge are right [EMV B2 7.2].
func DecipherPIN(key PrivateKey, enciphered []byte, challenge [challengeSize]byte) (pinblock.Block, bool) {
	if key.IsZero() || key.Public().algorithm != RSA || len(enciphered) != key.Public().Len() {
		return pinblock.Block{}, false
	}
	if modulus := new(big.Int).SetBytes(key.Public().Modulus()); new(big.Int).SetBytes(enciphered).Cmp(modulus) >= 0 {
		return pinblock.Block{}, false
	}
	plain := key.sign(enciphered) // the private operation is the same
	if plain[0] != pinHeader || [challengeSize]byte(plain[pinBlockEnd:challengeEnd]) != challenge {
		return pinblock.Block{}, false
	}
	block, err := pinblock.FromBytes(plain[1:pinBlockEnd])
	return block, err == nil
}
