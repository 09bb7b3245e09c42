package issuer

import (
	"errors"
	"fmt"
	"slices"

	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Vault is what the issuer asks of its HSM. Keys are named; none is seen.
type Vault interface {
	PANFingerprint(key string, number pan.Number) ([16]byte, error)
	VerifyCryptogram(check hsm.CryptogramCheck) (hsm.CryptogramResult, error)
	VerifyPIN(pinKey string, block pinblock.Block, number pan.Number, referenceKey string, reference [16]byte) (hsm.PINResult, error)
	PINReference(referenceKey, pinKey string, block pinblock.Block, number pan.Number) ([16]byte, hsm.PINResult, error)
	EncipherPINChange(r hsm.CryptogramResult, v cryptogram.PINVariant, pinKey string, next hsm.PINBlock) ([16]byte, hsm.PINResult, error)
}

// KeyNames names the keys of the issuer in its HSM. PIN keys are per peer: PINKey gives the name for the peer a request came from.
type KeyNames struct {
	// MasterAC, MasterMAC and MasterENC are the masters of 3DES cards. Without MasterENC no script of theirs has enciphered data.
	MasterAC       string
	MasterMAC      string
	MasterENC      string
	SM4            MasterNames // of cards with SM4; without them there are none
	AES            MasterNames // of cards with AES
	PANFingerprint string
	PINReference   string
	PINKey         func(peer string) string
}

// MasterNames names the master keys of the cards of one algorithm.
type MasterNames struct{ AC, MAC, ENC string }

func (k KeyNames) complete() bool {
	sound := func(m MasterNames) bool { return m == MasterNames{} || m.AC != "" && m.MAC != "" }
	return k.MasterAC != "" && k.MasterMAC != "" && k.PANFingerprint != "" && k.PINReference != "" && k.PINKey != nil && sound(k.SM4) && sound(k.AES)
}

// profile is one way in which cards of this issuer make cryptograms: the suite and the master keys that go with it.
type profile struct {
	suite   cryptogram.Suite
	masters MasterNames
}

// profiles are the suites this issuer has keys for, by the algorithm that the issuer application data name [REF 1.7].
func profiles(k KeyNames) map[byte]profile {
	all := map[byte]profile{cryptogram.AlgorithmTDES: {cryptogram.SuiteTDES, MasterNames{k.MasterAC, k.MasterMAC, k.MasterENC}}}
	if k.SM4.AC != "" {
		all[cryptogram.AlgorithmSM4] = profile{cryptogram.SuiteSM4, k.SM4}
	}
	if k.AES.AC != "" {
		all[cryptogram.AlgorithmAES] = profile{cryptogram.SuiteAES, k.AES}
	}
	return all
}

var errAlgorithms = errors.New("algorithms are unknown or named twice")

// checkAlgorithms looks at the algorithms of an enrolment.
func checkAlgorithms(ids []byte) error {
	for at, id := range ids {
		if _, known := cryptogram.Standard(id); !known || slices.Contains(ids[:at], id) {
			return fmt.Errorf("algorithm %02X: %w", id, errAlgorithms)
		}
	}
	return nil
}

// uses reports whether a card was enrolled with an algorithm: a card that could choose any other would be as weak as the weakest.
func (e *Enrolment) uses(algorithm byte) bool {
	if len(e.Algorithms) == 0 {
		return algorithm == cryptogram.AlgorithmTDES
	}
	return slices.Contains(e.Algorithms, algorithm)
}
