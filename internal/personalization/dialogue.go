package personalization

import (
	"fmt"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/money"
	"tapnet/tlv"
)

// Records of the dialogue with GENERATE AC: of issuerFile, the signed static data stand in 1; of cardFile, 2 is the certificate for contact, 3 that for
// electronic cash there, 4 that for the same dialogue over contactless; of dataFile, 2 is what all cover.
const (
	staticRecord                       = 1
	contactRecord                      = 2
	cashRecord                         = 3
	fullRecord                         = 4
	dialogueData                       = 2
	accountActions, cashActions        = 1, 2
	consecutiveMost                    = 0xFF
	everyCheck                         = "C738"
	iacDefault, cashDefault            = "D86004A800", "D8603CA800"
	iacDenial, cashDenial              = "0010980000", "0010800000"
	iacOnline, cashOnline              = "D86804F800", "D8683CF800"
	dataAuthenticationCode      uint16 = 0xDAC5
)

// dialogueProfiles are the AIPs of the dialogue. Signed static data are there for contact alone. Electronic cash asks nobody who he is [REF 2.9].
func dialogueProfiles() (contact, cash, full emv.AIP) {
	return emv.AIP{0x7D, 0x00}, emv.AIP{0x2D, 0x00}, emv.AIP{0x3D, 0x80}
}

// dialogue adds what payments by GENERATE AC need [EMV B3 10] [REF 1.11].
func (m *making) dialogue() error {
	of := m.product.Contact
	if of == nil || !m.contact {
		return nil
	}
	a := &m.application
	aip, cashAIP, fullAIP := dialogueProfiles()
	files := func(certificate, actions byte) emv.AFL {
		return emv.AFL{{SFI: issuerFile, First: staticRecord, Last: 2}, {SFI: cardFile, First: certificate, Last: certificate},
			{SFI: dataFile, First: dialogueData, Last: dialogueData, ODA: 1}, {SFI: actionFile, First: actions, Last: actions}}
	}
	k := &card.ContactProfile{
		AIP: aip, AFL: files(contactRecord, accountActions), IDD: a.IDD, Checks: card.CheckConsecutive | card.CheckCumulative, PINTryLimit: pinTries,
	}
	if of.Cash {
		k.PDOL, k.CashAIP, k.CashAFL = dol(contactPDOLHex), cashAIP, files(cashRecord, cashActions)
	}
	if of.FullContactless {
		k.FullAIP, k.FullAFL, k.FullOnly = fullAIP, files(fullRecord, accountActions), of.FullOnly
	}
	a.Contact = k
	if m.product.Purse != nil {
		a.LoadLog = card.LogLayout{SFI: loadLogFile, Format: dol(loadLogFormatHex)}
	}
	if !m.product.NoPIN {
		pin, err := m.spec.pin()
		if err != nil {
			return err
		}
		m.state.PIN = card.StorePIN(pin)
	}
	if err := m.limits(of, k); err != nil {
		return fmt.Errorf("contact: %w", err)
	}
	return m.dialogueRecords(of, k)
}

// limits sets the velocity checks [REF 1.3]; those that the product does not name are off.
func (m *making) limits(of *ProductContact, k *card.ContactProfile) error {
	a, s := &m.application, &m.state
	for _, count := range []int{of.ConsecutiveLower, of.ConsecutiveUpper, of.ForeignCountry, of.ForeignCurrency} {
		if count < 0 || count > consecutiveMost {
			return fmt.Errorf("a count of %d, at most %d", count, consecutiveMost)
		}
	}
	var err error
	if s.CumulativeLimit, err = m.profile.Minor(of.TotalLower); err != nil {
		return err
	}
	if s.CumulativeUpperLimit, err = m.profile.Minor(of.TotalUpper); err != nil {
		return err
	}
	a.Objects.Set(emv.TagDefaultAction, of.DefaultAction.or(everyCheck))
	a.Objects.Set(emv.TagLowerConsecutiveLimit, []byte{byte(of.ConsecutiveLower)})
	a.Objects.Set(emv.TagUpperConsecutiveLimit, []byte{byte(of.ConsecutiveUpper)})
	if of.ForeignCountry > 0 {
		k.Checks |= card.CheckCountry
		a.Objects.Set(emv.TagConsecutiveIntlCountry, []byte{byte(of.ForeignCountry)})
	}
	if of.ForeignCurrency > 0 {
		k.Checks |= card.CheckCurrency
		s.InternationalLimit = byte(of.ForeignCurrency)
	}
	if len(of.Conversion) == 0 {
		return nil
	}
	return m.dualLimit(of, k)
}

// dualLimit sets the check of both currencies together [JR/T 0025.15].
func (m *making) dualLimit(of *ProductContact, k *card.ContactProfile) error {
	a := &m.application
	total, err := money.Parse(orZero(of.BothTotal), m.profile.Money())
	if err != nil {
		return err
	}
	limit, err := total.BCD()
	if err != nil {
		return err
	}
	number := a.SecondCurrency.Number()
	k.Checks |= card.CheckDual
	a.Objects.Set(emv.TagSecondCurrency, unhex(fmt.Sprintf("%04d", number)))
	a.Objects.Set(emv.TagConversionFactor, of.Conversion)
	a.Objects.Set(emv.TagDualCurrencyLimit, limit[:])
	return nil
}

func (m *making) dialogueRecords(of *ProductContact, k *card.ContactProfile) error {
	a := &m.application
	list := []byte(of.CVMList)
	if m.chain.private.Public().Algorithm() == oda.SM2 {
		list = withoutEnciphered(list)
	}
	data := m.data(list)
	data.Set(emv.TagCDOL1, unhex(cdol1Hex))
	data.Set(emv.TagCDOL2, unhex(cdol2Hex))
	data.Set(emv.TagDDOL, unhex(ddolHex))
	m.covered(&data)
	body := data.Bytes()
	static, err := m.static(body, k.AIP)
	if err != nil {
		return err
	}
	signed := oda.SignStatic(m.chain.issuer, [2]byte{byte(dataAuthenticationCode >> 8), byte(dataAuthenticationCode & 0xFF)}, static)
	a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: staticRecord, Body: tlv.Append(nil, emv.TagSSAD, signed)})
	if m.product.Purse == nil {
		issuerBody, err := issuerRecord(m.chain, m.issuer, m.expiry)
		if err != nil {
			return err
		}
		a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: 2, Body: issuerBody})
	}
	for _, row := range []struct {
		record byte
		aip    emv.AIP
		wanted bool
	}{{contactRecord, k.AIP, true}, {cashRecord, k.CashAIP, of.Cash}, {fullRecord, k.FullAIP, of.FullContactless}} {
		if !row.wanted {
			continue
		}
		own, err := m.certificate(body, row.aip)
		if err != nil {
			return err
		}
		a.Records = append(a.Records, card.Record{SFI: cardFile, Number: row.record, Body: own})
	}
	actions := func(def, denial, online []byte) []byte {
		b := tlv.Append(nil, emv.TagIACDefault, def)
		b = tlv.Append(b, emv.TagIACDenial, denial)
		return tlv.Append(b, emv.TagIACOnline, online)
	}
	a.Records = append(a.Records, card.Record{SFI: dataFile, Number: dialogueData, Body: body},
		card.Record{SFI: actionFile, Number: accountActions, Updatable: true,
			Body: actions(of.IACDefault.or(iacDefault), of.IACDenial.or(iacDenial), of.IACOnline.or(iacOnline))})
	if of.Cash {
		a.Records = append(a.Records, card.Record{SFI: actionFile, Number: cashActions,
			Body: tlv.Append(actions(unhex(cashDefault), unhex(cashDenial), unhex(cashOnline)), emv.TagECAuthCode, []byte("ECC001"))})
	}
	return nil
}
