package sim

import (
	"errors"

	"tapnet/internal/hsm"
	"tapnet/pan"
	"tapnet/pinblock"
)

// vault is an institution's security module on a line that fails now and then: the answer is an error, and nothing has happened.
type vault struct {
	*hsm.HSM
	world *world
}

var errNoAnswer = errors.New("sim: the security module does not answer")

func (v vault) trouble() error {
	if v.world.chance(v.world.faults.Vault) {
		v.world.counts.Unanswered++
		return errNoAnswer
	}
	return nil
}

// EncipherPIN passes on, or fails.
func (v vault) EncipherPIN(key string, clear pinblock.Block) (pinblock.Block, error) {
	if err := v.trouble(); err != nil {
		return pinblock.Block{}, err
	}
	return v.HSM.EncipherPIN(key, clear)
}

// TranslatePIN passes on, or fails.
func (v vault) TranslatePIN(from, to string, block pinblock.Block, n pan.Number) (pinblock.Block, hsm.PINResult, error) {
	if err := v.trouble(); err != nil {
		return pinblock.Block{}, hsm.PINResult(0), err
	}
	return v.HSM.TranslatePIN(from, to, block, n)
}

// SealData passes on, or fails.
func (v vault) SealData(name, context string, data []byte) ([]byte, error) {
	if err := v.trouble(); err != nil {
		return nil, err
	}
	return v.HSM.SealData(name, context, data)
}

// OpenData passes on, or fails.
func (v vault) OpenData(name, context string, sealed []byte) ([]byte, error) {
	if err := v.trouble(); err != nil {
		return nil, err
	}
	return v.HSM.OpenData(name, context, sealed)
}

// PANFingerprint passes on, or fails.
func (v vault) PANFingerprint(key string, number pan.Number) ([16]byte, error) {
	if err := v.trouble(); err != nil {
		return [16]byte{}, err
	}
	return v.HSM.PANFingerprint(key, number)
}

// VerifyCryptogram passes on, or fails.
func (v vault) VerifyCryptogram(check hsm.CryptogramCheck) (hsm.CryptogramResult, error) {
	if err := v.trouble(); err != nil {
		return hsm.CryptogramResult{}, err
	}
	return v.HSM.VerifyCryptogram(check)
}

// VerifyPIN passes on, or fails.
func (v vault) VerifyPIN(pinKey string, block pinblock.Block, number pan.Number, referenceKey string, reference [16]byte) (hsm.PINResult, error) {
	if err := v.trouble(); err != nil {
		return hsm.PINResult(0), err
	}
	return v.HSM.VerifyPIN(pinKey, block, number, referenceKey, reference)
}
