package contact

import (
	"errors"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/tlv"
)

// authenticate chooses the method of offline data authentication and starts it [EMV B3 10.3].
func (m *Machine) authenticate() Action {
	can := m.config.Terminal.Capabilities
	switch {
	case m.aip.Has(emv.AIPCDA) && can.Has(emv.CapCDA):
		m.method = ODACombined
		return m.prepareCombined()
	case m.aip.Has(emv.AIPDDA) && can.Has(emv.CapDDA):
		m.method = ODADynamic
		return m.authenticateDynamic()
	case m.aip.Has(emv.AIPSDA) && can.Has(emv.CapSDA):
		m.method = ODAStatic
		m.tvr.Set(emv.TVRSDASelected)
		m.authenticateStatic()
	default:
		m.tvr.Set(emv.TVRODANotPerformed)
	}
	return m.restrict()
}

func (m *Machine) chain() *kernel.Chain {
	number, _ := m.pan()
	c := &kernel.Chain{Keys: m.config.Terminal.CAKeys, Cache: m.config.Terminal.Cache, Date: m.tx.Date, PAN: number, AIP: m.aip,
		Records: m.records, Signed: m.signed}
	copy(c.RID[:], m.candidate.AID)
	return c
}

var failedBits = [...]emv.TVRBit{ODAStatic: emv.TVRSDAFailed, ODADynamic: emv.TVRDDAFailed, ODACombined: emv.TVRCDAFailed}

// odaEnds records how authentication ended.
func (m *Machine) odaEnds(err error) {
	m.tsi.Set(emv.TSIODAPerformed)
	if err == nil {
		m.oda = kernel.ODAResult{Status: kernel.ODAPassed}
		return
	}
	failure := new(oda.Failure)
	if !errors.As(err, &failure) {
		panic("contact: authentication failed without a failure: " + err.Error())
	}
	m.oda = kernel.ODAResult{Status: kernel.ODAFailed, Failure: failure}
	m.tvr.Set(failedBits[m.method])
	if failure.Check == oda.CheckMissing {
		m.tvr.Set(emv.TVRICCDataMissing)
	}
}

func (m *Machine) authenticateStatic() {
	dac, err := m.verifyStatic()
	m.odaEnds(err)
	if err == nil {
		m.terminal.Set(emv.TagDataAuthCode, dac[:])
	}
}

func (m *Machine) verifyStatic() (dac [2]byte, err error) {
	ssad := m.records.Get(emv.TagSSAD)
	if len(ssad) == 0 {
		return dac, &oda.Failure{Step: oda.StepSSAD, Check: oda.CheckMissing}
	}
	chain := m.chain()
	static, err := chain.Static()
	if err != nil {
		return dac, err
	}
	issuer, err := chain.Issuer()
	if err != nil {
		return dac, err
	}
	return oda.VerifySSAD(issuer, ssad, static)
}

// authenticateDynamic recovers the card's key, then asks the card to sign [EMV B2 6.5].
func (m *Machine) authenticateDynamic() Action {
	ddol, err := m.ddol()
	if err == nil {
		m.icc, err = m.chain().ICC()
	}
	if err != nil {
		m.odaEnds(err)
		return m.restrict()
	}
	data := m.build(ddol)
	return m.send(apdu.InternalAuthenticate(data), func(r apdu.Response) Action { return m.dynamic(r, data) })
}

// ddol is what the card wants signed. Without a random number of the terminal the signature would prove nothing [EMV B2 6.5.1].
func (m *Machine) ddol() (emv.DOL, error) {
	ddol := m.candidate.application.DefaultDDOL
	if m.records.Has(emv.TagDDOL) {
		ddol = m.dol(emv.TagDDOL)
	} else if ddol == nil {
		ddol = emv.DOL{{Tag: emv.TagUnpredictableNumber, Len: 4}}
	}
	if !ddol.Has(emv.TagUnpredictableNumber) {
		return nil, &oda.Failure{Step: oda.StepDDA, Check: oda.CheckTagList}
	}
	return ddol, nil
}

func (m *Machine) dynamic(r apdu.Response, data []byte) Action {
	if r.SW != apdu.OK {
		return m.broken(ReasonCommandRefused, r.SW.Term())
	}
	var sdad []byte
	template, rest, err := tlv.Next(r.Data)
	if err != nil || len(rest) != 0 {
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	switch template.Tag {
	case emv.TagResponse1:
		sdad = template.Value
	case emv.TagResponse2:
		answer, err := emv.ParseData(template.Value)
		if err != nil {
			return m.broken(malformed(err), glossary.Term{})
		}
		if sdad = answer.Get(emv.TagSDAD); sdad == nil {
			return m.broken(ReasonMissingData, glossary.Term{})
		}
	default:
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	signed, failed := oda.VerifyDDA(m.icc, sdad, data)
	if failed == nil {
		number, ok := oda.DynamicNumber(signed)
		if ok {
			m.terminal.Set(emv.TagICCDynamicNumber, number)
		} else {
			failed = &oda.Failure{Step: oda.StepDDA, Check: oda.CheckDynamicData}
		}
	}
	m.odaEnds(failed)
	return m.restrict()
}

// prepareCombined recovers the card's key; the signature comes with the cryptogram [EMV B2 6.6].
func (m *Machine) prepareCombined() Action {
	key, err := m.chain().ICC()
	if err != nil {
		m.odaEnds(err)
	} else {
		m.icc = key
	}
	return m.restrict()
}

// combined reports whether a cryptogram is to be asked for together with a signature.
func (m *Machine) combined() bool { return m.method == ODACombined && m.oda.Status != kernel.ODAFailed }

// verifyCombined checks the signature of a cryptogram. transaction is everything that went to the card and what came back, without
// the signature [EMV B2 6.6.2]. On success it returns the cryptogram that the signature covers.
func (m *Machine) verifyCombined(sdad []byte, cid emv.CID, transaction ...[]byte) ([8]byte, bool) {
	signed, err := oda.VerifyCombined(m.icc, sdad, m.tx.UnpredictableNumber, oda.HashTransaction(m.icc.PublicKey().Algorithm(), transaction...))
	if err == nil && emv.CID(signed.CID) != cid {
		err = &oda.Failure{Step: oda.StepCDA, Check: oda.CheckCID}
	}
	m.odaEnds(err)
	if err != nil {
		return [8]byte{}, false
	}
	m.terminal.Set(emv.TagICCDynamicNumber, signed.Number)
	return signed.Cryptogram, true
}
