package cardtest

import (
	"fmt"
	"sync"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/pan"
	"tapnet/tlv"
)

// SMCAIndex is the index of the test certification authority with an SM2 key.
const SMCAIndex = 0xF2

// Records of the second set of algorithms: of issuerFile, 4 is the certificate and 3 the signed static data; of cardFile, 5 is the
// certificate of the contactless path, 6 that for contact and 7 that for the full dialogue over contactless.
const (
	smStaticRecord, smIssuerRecord            = 3, 4
	smCardRecord, smContactRecord, smFullCard = 5, 6, 7
)

type smKeySet struct{ ca, issuer, card oda.PrivateKey }

// smKeys are TEST keys whose numbers nobody could take for secret.
var smKeys = sync.OnceValue(func() smKeySet {
	key := func(last byte) oda.PrivateKey {
		d := make([]byte, 32)
		d[0], d[31] = 0x5A, last
		k, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
		if err != nil {
			panic(fmt.Sprintf("cardtest: %v", err)) // constants of this file
		}
		return k
	}
	return smKeySet{key(1), key(2), key(3)}
})

// SMCA is the public key of the test certification authority with SM2.
func SMCA() oda.CAKey {
	return oda.NewCAKey(emv.RIDUnionPay, SMCAIndex, smKeys().ca.Public(), "20301231", "test")
}

var smIssuerBody = sync.OnceValue(func() []byte {
	valid, err := pan.ParseExpiry(expiry)
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // a constant of this package
	}
	certificate, _, err := oda.MakeIssuerCertificate(smKeys().ca,
		oda.IssuerCertSpec{IIN: issuerIIN, Expiry: valid, Serial: [3]byte{0, 0, 3}, Public: smKeys().issuer.Public()})
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // constants of this package
	}
	return tlv.Append(tlv.Append(nil, emv.TagCAIndex, []byte{SMCAIndex}), emv.TagIssuerCertificate, certificate)
})

// addSM gives the application of a test card a second set of algorithms: an SM2 chain over the same data, SM4 keys from the same masters.
func addSM(issued *Issued, image *card.Image) error {
	a := &image.Applications[0]
	a.PDOL = append(a.PDOL[:len(a.PDOL):len(a.PDOL)], emv.DOLEntry{Tag: emv.TagSMSupport, Len: 1})
	a.SM = &card.SMProfile{
		Algorithm: cryptogram.AlgorithmSM4, AIP: a.AIP, OnlineAFL: a.OnlineAFL,
		OfflineAFL: emv.AFL{{SFI: issuerFile, First: smIssuerRecord, Last: smIssuerRecord}, {SFI: cardFile, First: smCardRecord, Last: smCardRecord},
			{SFI: dataFile, First: 1, Last: 1, ODA: 1}, {SFI: lastFile, First: 1, Last: 1}},
	}
	a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: smIssuerRecord, Body: smIssuerBody()})
	if err := smCertificate(issued, a, smCardRecord, 1, a.AIP); err != nil || a.Contact == nil {
		return err
	}
	k := a.Contact
	k.PDOL = append(k.PDOL[:len(k.PDOL):len(k.PDOL)], emv.DOLEntry{Tag: emv.TagSMSupport, Len: 1})
	files := func(certificate, action byte) emv.AFL {
		return emv.AFL{{SFI: issuerFile, First: smStaticRecord, Last: smIssuerRecord}, {SFI: cardFile, First: certificate, Last: certificate},
			{SFI: dataFile, First: 2, Last: 2, ODA: 1}, {SFI: actionFile, First: action, Last: action}}
	}
	a.SM.Contact = card.DialogueFiles{AIP: k.AIP, AFL: files(smContactRecord, 1)}
	a.SM.Cash = card.DialogueFiles{AIP: k.CashAIP, AFL: files(smContactRecord, 2)}
	a.SM.Full = card.DialogueFiles{AIP: k.FullAIP, AFL: files(smFullCard, 1)}
	if err := smCertificate(issued, a, smFullCard, 2, k.FullAIP); err != nil {
		return err
	}
	return smCertificate(issued, a, smContactRecord, 2, k.AIP)
}

// smCertificate certifies the card's SM2 key over a record of dataFile, and for contact signs that record too.
func smCertificate(issued *Issued, a *card.Application, number, data byte, aip emv.AIP) error {
	var body []byte
	for _, r := range a.Records {
		if r.SFI == dataFile && r.Number == data {
			body = r.Body
		}
	}
	static, err := oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
	if err != nil {
		return err
	}
	certificate, _, err := oda.MakeICCCertificate(smKeys().issuer, oda.ICCCertSpec{
		PAN: issued.PAN, Expiry: issued.Expiry, Serial: [3]byte{0, 0, 4}, Public: smKeys().card.Public(), Static: static,
	})
	if err != nil {
		return err
	}
	a.Records = append(a.Records, card.Record{SFI: cardFile, Number: number, Body: tlv.Append(nil, emv.TagICCCertificate, certificate)})
	if number == smContactRecord {
		signed := oda.SignStatic(smKeys().issuer, [2]byte{0xDA, 0xC5}, static)
		a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: smStaticRecord, Body: tlv.Append(nil, emv.TagSSAD, signed)})
	}
	return nil
}
