package hsm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"tapnet/ff1"
	"tapnet/pan"
	"tapnet/pinblock"
)

// RebindPIN makes, inside, of a PIN block bound to a token the PIN block bound to the account number behind it [ISO 9564-1]: the PIN neither leaves nor
// changes. The token must differ from the number. A block that is not bound to the token gives PINBadFormat and no block.
//
// Whoever may call this with numbers of his choice can turn a block into one of another account, so the key under which blocks arrive is shared with the
// switch only and the numbers come from the vault, never from a message.
func (h *HSM) RebindPIN(from, to string, block pinblock.Block, token, number pan.Number) (pinblock.Block, PINResult, error) {
	source, err := h.use("binding a PIN anew from", from, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	target, err := h.use("binding a PIN anew to", to, UsagePINEncryption, ModeBoth, ModeEncrypt)
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	if token.IsZero() || number.IsZero() || token.Equal(number) {
		return pinblock.Block{}, PINWrong, errors.New("hsm: binding a PIN anew: a token and another number are needed")
	}
	pin, result, err := source.decipherPIN(block, token)
	if err != nil || result != PINOK {
		return pinblock.Block{}, result, err
	}
	bound, err := target.encipherPIN(pinblock.Format0(pin, number))
	if err != nil {
		return pinblock.Block{}, PINWrong, err
	}
	return bound, PINOK, nil
}

// EncipherDigits is FF1 [NIST SP800-38G] over decimal digits, walked on until the result belongs.
func (h *HSM) EncipherDigits(name string, tweak []byte, digits string, belongs func(string) bool) (string, error) {
	c, err := h.digitCipher("enciphering digits", name)
	if err != nil {
		return "", err
	}
	return c.Walk(tweak, digits, belongs)
}

// DecipherDigits is the inverse of EncipherDigits.
func (h *HSM) DecipherDigits(name string, tweak []byte, digits string, belongs func(string) bool) (string, error) {
	c, err := h.digitCipher("deciphering digits", name)
	if err != nil {
		return "", err
	}
	return c.Unwalk(tweak, digits, belongs)
}

func (h *HSM) digitCipher(operation, name string) (*ff1.Cipher, error) {
	e, err := h.use(operation, name, UsageTokenization, ModeBoth)
	if err != nil {
		return nil, err
	}
	return ff1.New(e.block, 10)
}

// HashDigits gives so many decimal digits of the HMAC-SHA-256 [RFC 2104] of an account number and a context: always the same, and not to be tried out
// without the key. Up to 19 digits differ from equally likely ones by less than 2⁻¹⁹⁰.
func (h *HSM) HashDigits(name string, context []byte, n pan.Number, digits int) (string, error) {
	e, err := h.use("hashing to digits", name, UsageHMAC, ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return "", err
	}
	if digits < 1 || digits > paddedPAN {
		return "", fmt.Errorf("hsm: hashing to digits: 1 to %d", paddedPAN)
	}
	m := hmac.New(sha256.New, e.value)
	input := append([]byte("tapnet token digits 1\x00"), context...)
	input = n.RevealTo(append(input, 0))
	m.Write(input)
	clear(input)
	value := new(big.Int).SetBytes(m.Sum(nil))
	value.Mod(value, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
	text := value.Text(10)
	return strings.Repeat("0", digits-len(text)) + text, nil
}

// RandomDigits gives so many decimal digits, each equally likely.
func (h *HSM) RandomDigits(digits int) (string, error) {
	out := make([]byte, 0, digits)
	for len(out) < digits {
		var b [32]byte
		if _, err := h.random.Read(b[:]); err != nil {
			return "", fmt.Errorf("hsm: random digits: %w", err)
		}
		for _, c := range b {
			if c < 250 && len(out) < digits { // 250 is a multiple of ten
				out = append(out, '0'+c%10)
			}
		}
	}
	return string(out), nil
}

// CoverNumber makes an opaque name of 16 bytes from a small number of a kind: one-to-one, and without the key nobody can make or read one.
func (h *HSM) CoverNumber(name string, kind byte, number uint64) ([16]byte, error) {
	var b [16]byte
	e, err := h.use("covering a number", name, UsageTokenization, ModeBoth)
	if err != nil {
		return b, err
	}
	b[0] = kind
	binary.BigEndian.PutUint64(b[8:], number)
	e.block.Encrypt(b[:], b[:])
	return b, nil
}

// UncoverNumber reads what CoverNumber made; found is false for anything else.
func (h *HSM) UncoverNumber(name string, kind byte, covered [16]byte) (number uint64, found bool, err error) {
	e, err := h.use("uncovering a number", name, UsageTokenization, ModeBoth)
	if err != nil {
		return 0, false, err
	}
	e.block.Decrypt(covered[:], covered[:])
	for i, c := range covered[:8] {
		if i == 0 && c != kind || i > 0 && c != 0 {
			return 0, false, nil
		}
	}
	return binary.BigEndian.Uint64(covered[8:]), true, nil
}
