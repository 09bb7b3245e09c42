package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/pan"
	"tapnet/tlv"
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
	number, ok := m.pan()
	if !ok {
		return oda.ICCKey{}, &oda.Failure{Step: oda.StepICCCertificate, Check: oda.CheckMissing}
	}
	static, err := oda.StaticData(m.signed, aip[:], m.records.Get(emv.TagSDATagList))
	if err != nil {
		return oda.ICCKey{}, err
	}
	issuer, issuerID, err := m.issuerKey(number)
	if err != nil {
		return oda.ICCKey{}, err
	}
	cert := m.certificate(emv.TagICCCertificate, number)
	if len(cert.Certificate) == 0 || len(cert.Exponent) == 0 {
		return oda.ICCKey{}, &oda.Failure{Step: oda.StepICCCertificate, Check: oda.CheckMissing}
	}
	if m.config.Cache == nil {
		return oda.RecoverICCKey(issuer, cert.Certificate, cert.Remainder, cert.Exponent, number, static, m.tx.Date)
	}
	id := m.cacheKey(issuerID[:], cert.Certificate, cert.Remainder, cert.Exponent, number.BCD(), static)
	if key, ok := m.config.Cache.ICC(id); ok {
		return key, nil
	}
	key, err := oda.RecoverICCKey(issuer, cert.Certificate, cert.Remainder, cert.Exponent, number, static, m.tx.Date)
	if err == nil {
		m.config.Cache.StoreICC(id, key)
	}
	return key, err
}

// certificate collects the tags of one public key.
func (m *Machine) certificate(tag tlv.Tag, number pan.Number) oda.Certificate {
	remainder, exponent := emv.TagIssuerRemainder, emv.TagIssuerExponent
	if tag == emv.TagICCCertificate {
		remainder, exponent = emv.TagICCRemainder, emv.TagICCExponent
	}
	return oda.Certificate{
		Certificate: m.records.Get(tag), Remainder: m.records.Get(remainder), Exponent: m.records.Get(exponent), PAN: number,
	}
}

// issuerKey recovers the issuer's key, or finds it in the cache. A key on the revocation list is no key, cached or not.
func (m *Machine) issuerKey(number pan.Number) (key oda.IssuerKey, id CacheKey, err error) {
	index := m.records.Get(emv.TagCAIndex)
	cert := m.certificate(emv.TagIssuerCertificate, number)
	if len(index) != 1 || len(cert.Certificate) == 0 || len(cert.Exponent) == 0 {
		return key, id, &oda.Failure{Step: oda.StepIssuerCertificate, Check: oda.CheckMissing}
	}
	rid := m.rid()
	if m.config.CAKeys == nil {
		return key, id, &oda.Failure{Step: oda.StepCAKey, Check: oda.CheckUnknownKey}
	}
	ca, ok := m.config.CAKeys.Lookup(rid, index[0])
	if !ok {
		return key, id, &oda.Failure{Step: oda.StepCAKey, Check: oda.CheckUnknownKey}
	}
	if m.config.Cache == nil {
		key, err = m.config.CAKeys.RecoverIssuerKey(rid, index[0], cert, m.tx.Date)
		return key, id, err
	}
	const iinDigits = 8 // the certificate names at most this much of the number
	prefix := number.Reveal()[:iinDigits]
	id = m.cacheKey(rid[:], index, ca.SHA1[:], []byte(ca.Expiry), cert.Certificate, cert.Remainder, cert.Exponent, []byte(prefix))
	if key, ok = m.config.Cache.Issuer(id); ok {
		if m.config.CAKeys.Revoked(rid, index[0], key.Serial()) {
			return oda.IssuerKey{}, id, &oda.Failure{Step: oda.StepIssuerCertificate, Check: oda.CheckRevoked}
		}
		return key, id, nil
	}
	if key, err = m.config.CAKeys.RecoverIssuerKey(rid, index[0], cert, m.tx.Date); err == nil {
		m.config.Cache.StoreIssuer(id, key)
	}
	return key, id, err
}

// rid is the registered provider of the selected application: whose CA keys count.
func (m *Machine) rid() (rid [5]byte) {
	copy(rid[:], m.sel.AID)
	return rid
}

// cacheKey hashes everything a recovery depends on, and the day, since certificates expire.
func (m *Machine) cacheKey(parts ...[]byte) (k CacheKey) {
	h := sha256.New()
	y, mo, d := m.tx.Date.Date()
	writePart(h, packed(uint64(y)*10000+uint64(mo)*100+uint64(d), 4))
	for _, part := range parts {
		writePart(h, part)
	}
	h.Sum(k[:0])
	return k
}

// writePart separates parts by their length, so that no two lists hash alike.
func writePart(h hash.Hash, b []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(b)))
	_, _ = h.Write(n[:])
	_, _ = h.Write(b)
}
