package personalization

import (
	"cmp"
	"encoding/hex"
	"fmt"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// The files of a card. The last record of an approved payment is that of lastFile; reading it commits the payment [REF 2.4]. actionFile has the action codes
// of the contact dialogue, 1 for the account and 2 for electronic cash; no certificate covers them, so that one serves both.
const (
	issuerFile, cardFile, dataFile, lastFile, actionFile = 1, 2, 3, 4, 5
	logFile, loadLogFile                                 = 0x0B, 0x0C
)

// The data lists: what a payment needs, plus time and merchant for the card's log [REF 1.3] [REF 1.11].
const (
	pdolHex          = "9F66049F7A019F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14"
	extendedPDOLHex  = "DF6001"
	logFormatHex     = "9A039F21039F02069F03069F1A025F2A029F4E149C019F3602"
	loadLogFormatHex = "9A039F21039F1A029F4E149F3602"
	contactPDOLHex   = "9F7A019F02065F2A02"
	cdol1Hex         = "9F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14"
	cdol2Hex         = "8A02" + cdol1Hex
	ddolHex          = "9F3704"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("personalization: constant of the package: " + err.Error())
	}
	return b
}

func dol(s string) emv.DOL {
	list, err := emv.ParseDOL(unhex(s))
	if err != nil {
		panic("personalization: constant of the package: " + err.Error())
	}
	return list
}

// pinTries is how often a wrong PIN may be entered; three is the practice of the trade.
const pinTries = 3

// making is one application being made.
type making struct {
	profile *Profile
	product ProductApplication
	spec    CardSpec
	issuer  Issuer
	number  pan.Number
	expiry  pan.Expiry
	suite   cryptogram.Suite
	chain   chain
	second  *chain // of SM2 keys on a card that has both; nil otherwise
	place   int
	contact bool // the carrier has contacts and the product uses them

	application card.Application
	state       card.ApplicationState
}

// serviceCode of a product that names none: international, no restrictions, PIN as the card asks [ISO 7813].
const serviceCode = "201"

// make builds the application and the state it starts with.
func (m *making) make() error {
	track2, err := pan.NewTrack2(m.number, m.expiry, cmp.Or(m.product.Service, serviceCode), "0000000")
	if err != nil {
		return err
	}
	a, of := &m.application, m.product
	*a = card.Application{
		AID: of.aid(), Label: of.Label, PreferredName: of.Label, CodeTable: 1, Language: "zh",
		Priority: byte(m.place + 1), PDOL: dol(pdolHex), AIP: emv.AIP{0x7C, 0x00},
		Track2: track2, Sequence: m.spec.Sequence, Holder: m.spec.Holder, Currency: m.profile.Money(), DKI: 1, CVN: cryptogram.CVN01,
		Algorithm: m.suite.AlgorithmID(), IDD: issuerData[of.IssuerData], FDDA01: !m.spec.FDDA00, NoContactless: of.NoContactless,
		DeclineWithoutCVM: of.DeclineWithoutCVM, Log: card.LogLayout{SFI: logFile, Format: dol(logFormatHex)},
	}
	copy(a.Processing[:], of.Processing)
	copy(a.CTQ[:], of.CTQ)
	copy(a.Extended[:], of.Extended)
	if of.Language != "" {
		a.Language = of.Language
	}
	if of.Priority > 0 {
		a.Priority = byte(of.Priority)
	}
	if of.Nameless {
		a.Holder = ""
	}
	if _, known := a.AID.Kernel(); !known {
		a.Kernel = []byte{emv.KernelUnionPay} // no terminal could guess it from an operator's own identifier
	}
	for _, w := range of.Withhold {
		a.Withhold |= withholdable[w]
	}
	a.Objects.Set(emv.TagDefaultAction, []byte{0xC0, 0x00})
	a.Objects.Set(emv.TagIssuerCountryCard, []byte{0x01, 0x56})
	// Counter and last online counter of 1: the card has been tried at the bureau, so it is no "new card".
	m.state = card.ApplicationState{ATC: 1, LastOnlineATC: 1, PINTries: pinTries}
	for _, step := range [...]func() error{m.purses, m.contactless, m.extended, m.dialogue, m.secondSet} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// purses fills the purses [REF 1.3]. The limit for payments without verification is the card's also where it has no purse.
func (m *making) purses() error {
	s, of := &m.state, m.product
	currency := m.profile.Money()
	held, second := m.spec.Purse, m.spec.SecondPurse
	if m.linked() {
		held, second = m.spec.LinkedPurse, ""
	}
	var err error
	if s.Purses[0], err = m.purse(of.Purse, of.CVMLimit, held, currency); err != nil || of.SecondPurse == nil {
		return err
	}
	if m.application.SecondCurrency, err = money.ParseCurrency(of.SecondPurse.Currency); err != nil {
		return err
	}
	s.Purses[1], err = m.purse(of.SecondPurse, of.SecondPurse.CVMLimit, second, m.application.SecondCurrency)
	return err
}

func (m *making) purse(of *ProductPurse, cvmLimit, held string, c money.Currency) (p card.Purse, err error) {
	amount := func(text string) int64 {
		minor, failed := minorIn(text, c)
		if failed != nil && err == nil {
			err = failed
		}
		return minor
	}
	p.CVMLimit = amount(cvmLimit)
	if of != nil {
		p.Balance, p.BalanceLimit, p.SingleLimit, p.ResetThreshold = amount(held), amount(of.Ceiling), amount(of.Single), amount(of.Reset)
	}
	if err == nil && amount(held) > p.BalanceLimit {
		return p, &Fault{
			What: glossary.Term{EN: "the purse cannot hold so much money", ZH: "电子钱包放不下这笔金额"},
			Why:  glossary.Term{EN: fmt.Sprintf("%s of at most %s", held, money.New(p.BalanceLimit, c)), ZH: fmt.Sprintf("金额%s，上限%s", held, money.New(p.BalanceLimit, c))},
			Next: glossary.Term{EN: "put less money on the card, or choose a product with a larger purse", ZH: "请减少金额，或选用钱包上限更高的产品"},
		}
	}
	return p, err
}

func (m *making) linked() bool { return m.product.Account == "linked" }

// data is what certificates of a dialogue cover.
func (m *making) data(cvmList []byte) emv.Data {
	var d emv.Data
	d.Set(emv.TagPAN, m.number.BCD())
	d.Set(emv.TagExpiryDate, unhex(m.expiry.LastDay().Format("060102")))
	d.Set(emv.TagEffectiveDate, unhex("250101"))
	d.Set(emv.TagIssuerCountry, unhex("0156"))
	d.Set(emv.TagUsageControl, unhex("FF00"))
	d.Set(emv.TagCVMList, cvmList)
	return d
}

// contactless writes the records of an offline payment: certificates and the data they cover [EMV B2 6.4]. A product without a purse never pays offline.
func (m *making) contactless() error {
	if m.product.Purse == nil {
		return nil
	}
	a := &m.application
	data := m.data(m.product.RecordCVMList.or("000000000000000042031F00"))
	data.Set(emv.TagIACDefault, unhex("D8609CA800"))
	data.Set(emv.TagIACDenial, unhex("0010800000"))
	data.Set(emv.TagIACOnline, unhex("D8689CF800"))
	m.covered(&data)
	body := data.Bytes()
	issuerBody, err := issuerRecord(m.chain, m.issuer, m.expiry)
	if err != nil {
		return err
	}
	own, err := m.certificate(body, a.AIP)
	if err != nil {
		return err
	}
	a.Records = append(a.Records,
		card.Record{SFI: issuerFile, Number: 2, Body: issuerBody}, card.Record{SFI: cardFile, Number: 1, Body: own},
		card.Record{SFI: dataFile, Number: 1, Body: body}, card.Record{SFI: lastFile, Number: 1, Body: tlv.Append(nil, emv.TagECAuthCode, []byte("ECC001"))})
	a.OfflineAFL = emv.AFL{
		{SFI: issuerFile, First: 2, Last: 2}, {SFI: cardFile, First: 1, Last: 1}, {SFI: dataFile, First: 1, Last: 1, ODA: 1}, {SFI: lastFile, First: 1, Last: 1},
	}
	return nil
}

// covered adds what every list of certified data ends with.
func (m *making) covered(data *emv.Data) {
	data.Set(emv.TagPANSequence, unhex(m.spec.Sequence))
	data.Set(emv.TagCardVersion, unhex(cardVersion(m.spec)))
	data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
}

func (m *making) static(body []byte, aip emv.AIP) ([]byte, error) {
	return oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
}

func (m *making) certificate(body []byte, aip emv.AIP) ([]byte, error) {
	static, err := m.static(body, aip)
	if err != nil {
		return nil, err
	}
	return cardRecord(m.chain, m.number, m.expiry, m.spec.Serial, static)
}

// cardVersion is 9F08: a terminal holds version 0030 to the new dynamic signature [REF 2.6].
func cardVersion(spec CardSpec) string {
	if spec.FDDA00 {
		return "0020"
	}
	return "0030"
}

// extended gives the application its merchant files [REF 2.8].
func (m *making) extended() error {
	a := &m.application
	if len(m.product.Files) == 0 {
		return nil
	}
	a.PDOL = dol(pdolHex + extendedPDOLHex)
	for _, sfi := range m.product.Files {
		a.Files = append(a.Files, card.ExtendedFile{SFI: byte(sfi)})
	}
	limit, err := money.Parse(orZero(m.product.SegmentLimit), m.profile.Money())
	if err != nil {
		return err
	}
	value, err := limit.BCD()
	if err != nil {
		return fmt.Errorf("limit of segmented deduction: %w", err)
	}
	a.Objects.Set(emv.TagSegmentLimit, value[:])
	return nil
}

func orZero(amount string) string {
	if amount == "" {
		return "0"
	}
	return amount
}
