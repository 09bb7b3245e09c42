package issuer

import (
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
}

// KeyNames names the keys of the issuer in its HSM. PIN keys are per peer: PINKey gives the name for the peer a request came from.
type KeyNames struct {
	MasterAC       string
	MasterMAC      string
	PANFingerprint string
	PINReference   string
	PINKey         func(peer string) string
}

func (k KeyNames) complete() bool {
	return k.MasterAC != "" && k.MasterMAC != "" && k.PANFingerprint != "" && k.PINReference != "" && k.PINKey != nil
}

// suites are the cryptogram suites this issuer accepts, by the algorithm named in the issuer application data.
func suites() map[byte]cryptogram.Suite {
	tdes := cryptogram.TDES()
	return map[byte]cryptogram.Suite{tdes.AlgorithmID(): tdes}
}
