package personalization

import (
	"encoding/hex"
	"fmt"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
	"tapnet/pan"
	"tapnet/tlv"
)

// The files of a card. The last record of an approved payment is that of lastFile; reading it commits the payment [REF 2.4].
const (
	issuerFile, cardFile, dataFile, lastFile = 1, 2, 3, 4
	logFile                                  = 0x0B
)

// The data lists: what a payment needs, plus time and merchant for the card's log [REF 1.3] [REF 1.11].
const (
	pdolHex      = "9F66049F7A019F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14"
	logFormatHex = "9A039F21039F02069F03069F1A025F2A029F4E149C019F3602"
)

// Limits of the purse [REF 1.3]: the ceiling of 1,000.00 and the single payment up to it are the regulation's; below the reset threshold the card goes
// online to be loaded. The CVM limit is the card's own no-PIN limit.
const (
	purseCeilingMinor = 100_000
	purseSingleMinor  = 100_000
	purseResetMinor   = 1_000
	cardCVMMinor      = 100_000
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

// image builds what goes onto the chip: one payment application with certificates and purse.
func (p *Profile) image(c *Card, issuer Issuer, suite cryptogram.Suite, icc oda.PrivateKey) (card.Image, error) {
	kind, ok := products[c.Spec.Product]
	if !ok {
		return card.Image{}, fmt.Errorf("%w: no product %q", ErrProfile, c.Spec.Product)
	}
	track2, err := pan.NewTrack2(c.PAN, c.Expiry, "201", "0000000")
	if err != nil {
		return card.Image{}, err
	}
	aip := emv.AIP{0x7C, 0x00}
	records, err := p.records(c, issuer, aip, icc)
	if err != nil {
		return card.Image{}, err
	}
	application := card.Application{
		AID: kind.aid, Label: kind.label, PreferredName: kind.label, CodeTable: 1, Language: "zh", Priority: 1, PDOL: dol(pdolHex), AIP: aip,
		OfflineAFL: emv.AFL{
			{SFI: issuerFile, First: 2, Last: 2}, {SFI: cardFile, First: 1, Last: 1}, {SFI: dataFile, First: 1, Last: 1, ODA: 1}, {SFI: lastFile, First: 1, Last: 1},
		},
		Track2: track2, Sequence: c.Spec.Sequence, Holder: c.Spec.Holder, Currency: p.Money(), Processing: kind.processing, DKI: 1, CVN: cryptogram.CVN01,
		Algorithm: suite.AlgorithmID(), IDD: emv.IDDBalance, FDDA01: !c.Spec.FDDA00, Records: records,
		Log: card.LogLayout{SFI: logFile, Format: dol(logFormatHex)},
	}
	application.Objects.Set(emv.TagDefaultAction, []byte{0xC0, 0x00})
	application.Objects.Set(emv.TagIssuerCountryCard, []byte{0x01, 0x56})
	image := card.Image{Historical: []byte("tapnet"), Applications: []card.Application{application}}
	// Counter and last online counter of 1: the card has been tried at the bureau, so it is no "new card".
	image.State.Applications[0] = card.ApplicationState{
		ATC: 1, LastOnlineATC: 1, PINTries: 3,
		Purses: [2]card.Purse{{
			Balance: p.minor(c.Spec.Purse), BalanceLimit: purseCeilingMinor, SingleLimit: purseSingleMinor, ResetThreshold: purseResetMinor, CVMLimit: cardCVMMinor,
		}},
	}
	return image, nil
}

// records writes the certificates and the data they cover [EMV B2 6.4].
func (p *Profile) records(c *Card, issuer Issuer, aip emv.AIP, icc oda.PrivateKey) ([]card.Record, error) {
	var data emv.Data
	data.Set(emv.TagPAN, c.PAN.BCD())
	data.Set(emv.TagExpiryDate, unhex(c.Expiry.LastDay().Format("060102")))
	data.Set(emv.TagEffectiveDate, unhex("250101"))
	data.Set(emv.TagIssuerCountry, unhex("0156"))
	data.Set(emv.TagUsageControl, unhex("FF00"))
	data.Set(emv.TagCVMList, unhex("000000000000000042031F00"))
	data.Set(emv.TagIACDefault, unhex("D8609CA800"))
	data.Set(emv.TagIACDenial, unhex("0010800000"))
	data.Set(emv.TagIACOnline, unhex("D8689CF800"))
	data.Set(emv.TagPANSequence, unhex(c.Spec.Sequence))
	data.Set(emv.TagCardVersion, unhex(cardVersion(c.Spec)))
	data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	body := data.Bytes()
	static, err := oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
	if err != nil {
		return nil, err
	}
	issuerRecord, err := p.issuerRecord(issuer, c.Expiry)
	if err != nil {
		return nil, err
	}
	certificate, remainder, err := oda.MakeICCCertificate(testkeys.Issuer(issuer.Key), oda.ICCCertSpec{
		PAN: c.PAN, Expiry: c.Expiry, Serial: [3]byte{0, 1, byte(c.Spec.Serial)}, Public: icc.Public(), Static: static,
	})
	if err != nil {
		return nil, err
	}
	own := tlv.Append(nil, emv.TagICCCertificate, certificate)
	own = tlv.Append(own, emv.TagICCExponent, icc.Public().Exponent())
	if len(remainder) > 0 {
		own = tlv.Append(own, emv.TagICCRemainder, remainder)
	}
	return []card.Record{
		{SFI: issuerFile, Number: 2, Body: issuerRecord},
		{SFI: cardFile, Number: 1, Body: own},
		{SFI: dataFile, Number: 1, Body: body},
		{SFI: lastFile, Number: 1, Body: tlv.Append(nil, emv.TagECAuthCode, []byte("ECC001"))},
	}, nil
}

// cardVersion is 9F08: a terminal holds version 0030 to the new dynamic signature [REF 2.6].
func cardVersion(spec CardSpec) string {
	if spec.FDDA00 {
		return "0020"
	}
	return "0030"
}

// issuerRecord holds the issuer's certificate under the TEST authority.
func (p *Profile) issuerRecord(issuer Issuer, valid pan.Expiry) ([]byte, error) {
	public := testkeys.Issuer(issuer.Key).Public()
	certificate, remainder, err := oda.MakeIssuerCertificate(testkeys.CA(p.AuthorityKey), oda.IssuerCertSpec{
		IIN: issuer.Prefix, Expiry: valid, Serial: [3]byte{0, 0, byte(issuer.Key + 1)}, Public: public,
	})
	if err != nil {
		return nil, err
	}
	body := tlv.Append(nil, emv.TagCAIndex, []byte{testkeys.CAKey(p.AuthorityKey).Index})
	body = tlv.Append(body, emv.TagIssuerExponent, public.Exponent())
	if len(remainder) > 0 {
		body = tlv.Append(body, emv.TagIssuerRemainder, remainder)
	}
	return tlv.Append(body, emv.TagIssuerCertificate, certificate), nil
}

// Authority is the TEST certification authority of the profile, as terminals know it.
func (p *Profile) Authority() oda.CAKey { return testkeys.CAKey(p.AuthorityKey) }
