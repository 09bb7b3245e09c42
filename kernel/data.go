package kernel

import (
	"encoding/hex"
	"time"

	"tapnet/emv"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

const (
	dateBytes = 3 // YYMMDD, packed
	bcdDigit  = 10
)

// digits is packed decimal as text; empty for nothing.
func digits(b []byte) string { return hex.EncodeToString(b) }

func uint16At(b []byte) (uint16, bool) {
	if len(b) != 2 {
		return 0, false
	}
	return uint16(b[0])<<8 | uint16(b[1]), true
}

// cardPAN reads 5A, or the start of track 2.
func cardPAN(d emv.Data) (pan.Number, bool) {
	if b, ok := d.Value(emv.TagPAN); ok {
		n, err := pan.FromBCD(b)
		return n, err == nil
	}
	t, err := pan.ParseTrack2(d.Get(emv.TagTrack2))
	return t.PAN(), err == nil
}

// packed writes a number as n bytes of packed decimal, low-order digits.
func packed(v uint64, n int) []byte {
	b := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(v%bcdDigit) | byte(v/bcdDigit%bcdDigit)<<4
		v /= bcdDigit * bcdDigit
	}
	return b
}

func packedDate(t time.Time) []byte {
	y, mo, d := t.Date()
	return packed(uint64(y%100)*10000+uint64(mo)*100+uint64(d), dateBytes)
}

func packedTime(t time.Time) []byte {
	h, mi, s := t.Clock()
	return packed(uint64(h)*10000+uint64(mi)*100+uint64(s), dateBytes)
}

func amountBytes(a money.Amount) []byte {
	b, err := a.BCD()
	if err != nil {
		panic("kernel: amount was checked: " + err.Error())
	}
	return b[:]
}

// terminalData is everything the terminal says about itself and the transaction.
func (m *Machine) terminalData() emv.Data {
	d := m.config.Objects(m.tx)
	d.Set(emv.TagTTQ, m.tx.TTQ[:])
	return d
}

// Objects is everything a terminal says about itself and a transaction on any interface, as data objects. Verification results are
// zero. The transaction has passed Check.
func (c *Config) Objects(tx Transaction) emv.Data {
	version := c.Version
	if version == 0 {
		version = DefaultVersion
	}
	cash := byte(1)
	if c.NoElectronicCash {
		cash = 0
	}
	var d emv.Data
	d.Set(emv.TagAmount, amountBytes(tx.Amount))
	d.Set(emv.TagAmountOther, amountBytes(tx.Other))
	d.Set(emv.TagTerminalCountry, packed(uint64(tx.Country), 2))
	d.Set(emv.TagTVR, make([]byte, len(emv.TVR{})))
	d.Set(emv.TagCurrency, packed(uint64(tx.Amount.Currency().Number()), 2))
	d.Set(emv.TagCurrencyExponent, packed(uint64(tx.Amount.Currency().Exponent()), 1))
	d.Set(emv.TagTransactionDate, packedDate(tx.Date))
	d.Set(emv.TagTransactionTime, packedTime(tx.Date))
	d.Set(emv.TagTransactionType, []byte{tx.Type})
	d.Set(emv.TagUnpredictableNumber, tx.UnpredictableNumber[:])
	d.Set(emv.TagECTerminalSupport, []byte{cash})
	d.Set(emv.TagTerminalType, []byte{c.Type})
	d.Set(emv.TagTerminalCapabilities, c.Capabilities[:])
	d.Set(emv.TagAdditionalTermCaps, c.Additional[:])
	d.Set(emv.TagTerminalVersion, []byte{byte(version >> 8), byte(version)})
	d.Set(emv.TagTransactionCounter, packed(uint64(tx.Counter), 4))
	d.Set(emv.TagMerchantCategory, c.MerchantType[:])
	if c.SM {
		d.Set(emv.TagSMSupport, []byte{1})
	}
	for _, text := range [...]struct {
		tag  tlv.Tag
		text string
		n    int
	}{
		{emv.TagDeviceSerial, c.SerialNumber, 8}, {emv.TagTerminalID, c.TerminalID, 8}, {emv.TagMerchant, c.MerchantID, 15},
		{emv.TagMerchantName, c.MerchantName, 20},
	} {
		if text.text != "" {
			d.Set(text.tag, fit(text.text, text.n))
		}
	}
	return d
}

// fit pads with blanks or cuts: the tags are of fixed length in the host's field 55 and in the card's log.
func fit(s string, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = ' '
	}
	copy(b, s)
	return b
}

// cardTags and terminalTags make up the data record: field 55, then what else the host and the receipt need.
var (
	cardTags = [...]tlv.Tag{emv.TagAC, emv.TagIAD, emv.TagATC, emv.TagAIP, emv.TagCardProduct, emv.TagECAuthCode, emv.TagTrack2,
		emv.TagPAN, emv.TagExpiryDate, emv.TagPANSequence, emv.TagCardholderName, emv.TagCTQ, emv.TagAvailableOffline}
	terminalTags = [...]tlv.Tag{emv.TagUnpredictableNumber, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount,
		emv.TagCurrency, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities, emv.TagTerminalType,
		emv.TagDeviceSerial, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagTransactionTime, emv.TagTTQ}
)

// dataRecord is what the acquirer gets.
func (m *Machine) dataRecord(cvm CVM) emv.Data {
	var d emv.Data
	for _, tag := range cardTags {
		if value, ok := m.value(tag); ok {
			d.Set(tag, value)
		}
	}
	d.Set(emv.TagCID, []byte{byte(m.cid)})
	for _, tag := range terminalTags {
		if value, ok := m.terminal.Value(tag); ok {
			d.Set(tag, value)
		}
	}
	results := cvmResults(cvm)
	d.Set(emv.TagCVMResults, results[:])
	name, ok := tlv.Find(m.sel.FCI, emv.TagFCI, emv.TagDFName)
	if _, err := emv.ParseAID(name); !ok || err != nil {
		name = m.sel.AID.Bytes()
	}
	d.Set(emv.TagDFName, name)
	return d
}

// forTerminal is what a reader that decides by itself goes on to look at: a gate checks the restrictions and the account of the card.
var forTerminal = [...]tlv.Tag{emv.TagPAR, emv.TagUsageControl, emv.TagEffectiveDate, emv.TagIssuerCountry}

// discretionary is what only this terminal needs: the application's name for the receipt, and what a gate asks.
func (m *Machine) discretionary() emv.Data {
	var d emv.Data
	for _, tag := range [...]tlv.Tag{emv.TagApplicationLabel, emv.TagPreferredName} {
		value, ok := tlv.Find(m.sel.FCI, emv.TagFCI, emv.TagFCIProprietary, tag)
		if ok && emv.CheckLength(tag, len(value)) {
			d.Set(tag, value)
		}
	}
	for _, tag := range forTerminal {
		if value, ok := m.records.Value(tag); ok && emv.CheckLength(tag, len(value)) {
			d.Set(tag, value)
		}
	}
	return d
}

// value is what the card said about tag: in its answer, or in a record.
func (m *Machine) value(tag tlv.Tag) ([]byte, bool) {
	if value, ok := m.answer.Value(tag); ok {
		return value, true
	}
	return m.records.Value(tag)
}

// cvmResults is tag 9F34. What was done on the holder's device has no code of its own; others report it as a PIN checked by
// the card.
func cvmResults(c CVM) emv.CVMResults {
	switch c {
	case CVMSignature:
		return emv.NewCVMResults(emv.CVMSignature, emv.CVMAlways, emv.CVMResultUnknown)
	case CVMOnlinePIN:
		return emv.NewCVMResults(emv.CVMOnlinePIN, emv.CVMAlways, emv.CVMResultUnknown)
	case CVMConfirmationCode:
		return emv.NewCVMResults(emv.CVMPlaintextPIN, emv.CVMAlways, emv.CVMResultSuccessful)
	case CVMNone:
		return emv.NewCVMResults(emv.CVMNone, emv.CVMAlways, emv.CVMResultSuccessful)
	}
	return emv.NewCVMResults(emv.CVMNotPerformed, emv.CVMAlways, emv.CVMResultUnknown)
}
