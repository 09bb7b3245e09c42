package cardtest

import (
	"fmt"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// PIN is what the made-up holders of test cards know.
const PIN = "2468"

// HolderPIN is PIN as a value.
func HolderPIN() pinblock.PIN {
	p, err := pinblock.ParsePIN(PIN)
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // a constant of this file
	}
	return p
}

// The lists of the contact profile [REF 1.11]. The PDOL also asks for what the log wants.
const (
	contactPDOL = "9F7A019F02065F2A02"
	cdol1       = "9F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14"
	cdol2       = "8A02" + cdol1
	loadFormat  = "9A039F21039F3602"
)

// Records of the contact profile: of issuerFile, the signed static data stand in 1; of cardFile, 2 is the certificate for the contact
// profile and 3 that for the full dialogue over contactless; of dataFile, 2 is what both cover. actionFile has the action codes, 1 for
// debit and 2 for electronic cash; they are not certified, so that one certificate serves both.
const actionFile = 5

var (
	contactAIP = emv.AIP{0x7D, 0x00}
	fullAIP    = emv.AIP{0x7D, 0x80}
)

func contactAFL(certificate, action byte) emv.AFL {
	return emv.AFL{{SFI: issuerFile, First: 1, Last: 2}, {SFI: cardFile, First: certificate, Last: certificate},
		{SFI: dataFile, First: 2, Last: 2, ODA: 1}, {SFI: actionFile, First: action, Last: action}}
}

// addContact gives the application of a test card the contact dialogue, electronic cash in it, and the same dialogue over contactless.
func addContact(issued *Issued, image *card.Image, key oda.PrivateKey) error {
	a, s := &image.Applications[0], &image.State.Applications[0]
	a.Contact = &card.ContactProfile{
		PDOL: mustDOL(contactPDOL), AIP: contactAIP, AFL: contactAFL(2, 1), CashAIP: contactAIP, CashAFL: contactAFL(2, 2),
		FullAIP: fullAIP, FullAFL: contactAFL(3, 1), IDD: emv.IDDBalance,
		Checks: card.CheckConsecutive | card.CheckCurrency | card.CheckCountry | card.CheckCumulative,
	}
	a.LoadLog = card.LogLayout{SFI: 0x0C, Format: mustDOL(loadFormat)}
	a.Objects.Set(emv.TagDefaultAction, mustHex("C738")) // every check that goes online or declines, none that blocks
	a.Objects.Set(emv.TagLowerConsecutiveLimit, []byte{5})
	a.Objects.Set(emv.TagUpperConsecutiveLimit, []byte{8})
	a.Objects.Set(emv.TagConsecutiveIntlCountry, []byte{2})
	s.InternationalLimit, s.CumulativeLimit, s.CumulativeUpperLimit = 2, 50_000, 80_000
	s.PIN = card.StorePIN(HolderPIN())

	var data emv.Data
	data.Set(emv.TagPAN, issued.PAN.BCD())
	data.Set(emv.TagExpiryDate, mustHex(expiry+"31"))
	data.Set(emv.TagEffectiveDate, mustHex("250101"))
	data.Set(emv.TagIssuerCountry, mustHex("0156"))
	data.Set(emv.TagUsageControl, mustHex("FF00"))
	data.Set(emv.TagCVMList, mustHex("0000000000000000440341031E031F00")) // enciphered PIN, plaintext PIN, signature, none
	data.Set(emv.TagPANSequence, mustHex(sequence))
	data.Set(emv.TagCardVersion, mustHex("0030"))
	data.Set(emv.TagCDOL1, mustHex(cdol1))
	data.Set(emv.TagCDOL2, mustHex(cdol2))
	data.Set(emv.TagDDOL, mustHex("9F3704"))
	data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	body := data.Bytes()
	for number, aip := range map[byte]emv.AIP{2: contactAIP, 3: fullAIP} {
		static, err := oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
		if err != nil {
			return err
		}
		own, err := cardRecord(issued, key, static)
		if err != nil {
			return err
		}
		a.Records = append(a.Records, card.Record{SFI: cardFile, Number: number, Body: own})
		if number == 2 {
			signed := tlv.Append(nil, emv.TagSSAD, oda.SignStatic(keys().issuer, [2]byte{0xDA, 0xC5}, static))
			a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: 1, Body: signed})
		}
	}
	action := func(hex ...string) (b []byte) {
		for i, tag := range []tlv.Tag{emv.TagIACDefault, emv.TagIACDenial, emv.TagIACOnline} {
			b = tlv.Append(b, tag, mustHex(hex[i]))
		}
		return b
	}
	cash := append(action("D8603CA800", "0010800000", "D8683CF800"), tlv.Append(nil, emv.TagECAuthCode, []byte("ECC001"))...)
	a.Records = append(a.Records,
		card.Record{SFI: dataFile, Number: 2, Body: body},
		card.Record{SFI: actionFile, Number: 1, Body: action("D86004A800", "0010980000", "D86804F800"), Updatable: true},
		card.Record{SFI: actionFile, Number: 2, Body: cash},
	)
	return nil
}
