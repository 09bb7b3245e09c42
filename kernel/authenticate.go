package kernel

import (
	"errors"

	"tapnet/emv"
	"tapnet/emv/oda"
)

// authenticate is offline data authentication: the chain of certificates, then the dynamic signature [REF 2.6].
func (m *Machine) authenticate() ODAResult { return odaResult(m.verifySignature()) }

// authenticateKeys is the part that needs no dynamic signature: the certificates, and the static data they cover.
func (m *Machine) authenticateKeys() ODAResult {
	aip, err := emv.ParseAIP(m.answer.Get(emv.TagAIP))
	if err == nil {
		_, err = m.iccKey(aip)
	}
	return odaResult(0, err)
}

func odaResult(version byte, err error) ODAResult {
	if err == nil {
		return ODAResult{Status: ODAPassed, Version: version}
	}
	failure := new(oda.Failure)
	if !errors.As(err, &failure) {
		panic("kernel: authentication failed without a failure: " + err.Error())
	}
	return ODAResult{Status: ODAFailed, Failure: failure}
}

func (m *Machine) verifySignature() (version byte, err error) {
	aip, err := emv.ParseAIP(m.answer.Get(emv.TagAIP))
	if err != nil || !aip.Has(emv.AIPDDA) {
		// No static authentication on this path: what does not change can be copied [REF 2.6].
		return 0, &oda.Failure{Step: oda.StepFDDA, Check: oda.CheckMissing}
	}
	version, err = m.signatureVersion()
	if err != nil {
		return 0, err
	}
	key, err := m.iccKey(aip)
	if err != nil {
		return 0, err
	}
	sdad, ok := m.value(emv.TagSDAD)
	if !ok {
		return 0, &oda.Failure{Step: oda.StepFDDA, Check: oda.CheckMissing}
	}
	in := oda.FDDAInput{Version: version, UnpredictableNumber: m.tx.UnpredictableNumber}
	copy(in.Amount[:], m.terminal.Get(emv.TagAmount))
	copy(in.Currency[:], m.terminal.Get(emv.TagCurrency))
	in.CardAuthData, _ = m.value(emv.TagCardAuthData)
	atc, err := oda.VerifyFDDA(key, sdad, in)
	if err != nil {
		return 0, err
	}
	if told, ok := uint16At(m.answer.Get(emv.TagATC)); !ok || told != atc {
		return 0, &oda.Failure{Step: oda.StepFDDA, Check: oda.CheckATC}
	}
	return version, nil
}

// signatureVersion applies the version rules. A card without an application version is taken for the oldest.
func (m *Machine) signatureVersion() (byte, error) {
	card, _ := uint16At(m.records.Get(emv.TagCardVersion))
	cardAuthData, _ := m.value(emv.TagCardAuthData)
	version, err := oda.FDDAVersion(cardAuthData, card, m.tx.TTQ.Has(emv.TTQFDDA01))
	if err != nil {
		return 0, err
	}
	if version == 0 && !m.config.FDDA00Allowed {
		return 0, &oda.Failure{Step: oda.StepFDDA, Check: oda.CheckVersion}
	}
	return version, nil
}

// iccKey is the card's key out of everything read so far.
func (m *Machine) iccKey(aip emv.AIP) (oda.ICCKey, error) {
	if m.icc != (oda.ICCKey{}) {
		return m.icc, nil
	}
	key, err := m.recoverKey(aip)
	if err == nil {
		m.icc = key
	}
	return key, err
}

// recoverKey recovers the card's key, or finds it in the cache.
func (m *Machine) recoverKey(aip emv.AIP) (oda.ICCKey, error) {
	number, _ := m.pan()
	chain := Chain{Keys: m.config.CAKeys, Cache: m.config.Cache, Date: m.tx.Date, PAN: number, AIP: aip, Records: m.records, Signed: m.signed}
	copy(chain.RID[:], m.sel.AID) // the registered provider of the selected application: whose CA keys count
	return chain.ICC()
}
