// Package cardtest issues complete test cards: an image with real certificates under a TEST chain, keys, and what an issuer
// and a terminal need to check them [REF 1.11]. The cards follow one debit-with-electronic-cash profile that Options change.
//
// It is for tests and demonstrations. Its private keys are public: nothing it makes protects anything.
package cardtest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// CAIndex is the index of the test certification authority.
const CAIndex = 0xF1

// Today is a date on which every test certificate is valid.
var Today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Options change the profile. The zero value is a debit card with 87.50 of electronic cash, a 1024-bit key and dynamic
// signature version 01.
type Options struct {
	PAN     string                               // digits without the check digit, in the test range; default 629999100000001
	Balance int64                                // minor units of electronic cash; 0 means 87.50, negative means none
	LongKey bool                                 // 1152-bit card key: the signature stands in the last record
	Contact bool                                 // also a contact profile with offline PIN, electronic cash and velocity checks
	SM      bool                                 // also a second set of algorithms for terminals with SM2, SM3 and SM4
	Suite   cryptogram.Suite                     // of cryptograms; the zero value is 3DES
	Memory  func(initial card.State) card.Memory // nil: a Volatile
	Random  io.Reader                            // nil: a seeded generator, always the same
	// Change has the last word on the image.
	Change func(*card.Image)
}

// Issued is what issuer and terminal know about a card.
type Issued struct {
	Image    card.Image
	Memory   card.Memory
	Crypto   card.Crypto
	Key      oda.PrivateKey // of the card, a TEST key
	PAN      pan.Number
	Sequence string
	Expiry   pan.Expiry
	Suite    cryptogram.Suite
	Masters  cryptogram.CardKeys // of the issuer
	CardKeys cryptogram.CardKeys
	SM       cryptogram.CardKeys // of the second set of algorithms, with cryptogram.SM4
	CA       oda.CAKey
	CAKeys   *oda.Keys
}

// New issues a card and fails the test if it cannot.
func New(t testing.TB, o Options) (*card.Card, *Issued) {
	t.Helper()
	c, issued, err := Issue(o)
	if err != nil {
		t.Fatalf("issue test card: %v", err)
	}
	return c, issued
}

const (
	defaultPAN     = "629999100000001"
	defaultBalance = 8750
	sequence       = "01"
	expiry         = "3012"
	issuerIIN      = "629999"
	serviceCode    = "201"
)

// Issue issues a card.
func Issue(o Options) (*card.Card, *Issued, error) {
	if o.PAN == "" {
		o.PAN = defaultPAN
	}
	number, err := pan.CompleteLuhn(o.PAN)
	if err != nil {
		return nil, nil, err
	}
	expires, err := pan.ParseExpiry(expiry)
	if err != nil {
		return nil, nil, err
	}
	ca := CA()
	known := []oda.CAKey{ca}
	if o.SM {
		known = append(known, SMCA())
	}
	authorities, err := oda.NewKeys(known...)
	if err != nil {
		return nil, nil, err
	}
	issued := &Issued{
		PAN: number, Sequence: sequence, Expiry: expires, Suite: cryptogram.TDES(), Masters: Masters(),
		CA: ca, CAKeys: authorities,
	}
	if !o.Suite.IsZero() {
		issued.Suite = o.Suite
	}
	issued.CardKeys = issued.Suite.CardKeys(issued.Masters, number, sequence)
	key := keys().card
	if o.LongKey {
		key = keys().longCard
	}
	if issued.Image, err = profile(issued, &o, key); err != nil {
		return nil, nil, err
	}
	if o.Contact {
		if err := addContact(issued, &issued.Image, key); err != nil {
			return nil, nil, err
		}
	}
	if o.SM {
		if err := addSM(issued, &issued.Image); err != nil {
			return nil, nil, err
		}
	}
	if o.Change != nil {
		o.Change(&issued.Image)
	}
	issued.Key = key
	issued.Crypto = card.NewSoftCrypto(issued.Suite, issued.CardKeys, key)
	if o.SM {
		issued.SM = cryptogram.SM4().CardKeys(issued.Masters, number, sequence)
		issued.Crypto = card.Dual{Crypto: issued.Crypto, SM: card.NewSoftCrypto(cryptogram.SM4(), issued.SM, smKeys().card)}
	}
	issued.Memory = card.NewVolatile(issued.Image.State)
	if o.Memory != nil {
		issued.Memory = o.Memory(issued.Image.State)
	}
	if o.Random == nil {
		o.Random = rand.NewChaCha8([32]byte([]byte("card random numbers for testing.")))
	}
	c, err := card.New(&issued.Image, issued.Crypto, issued.Memory, o.Random)
	if err != nil {
		return nil, nil, err
	}
	return c, issued, nil
}

// Masters are the issuer's master keys for test cards.
func Masters() cryptogram.CardKeys {
	key := func(s string) cryptogram.Key {
		k, err := cryptogram.NewKey(mustHex(s))
		if err != nil {
			panic(fmt.Sprintf("cardtest: %v", err)) // a constant below
		}
		return k
	}
	return cryptogram.CardKeys{
		AC: key("F0C34A8124CEE0A91A0B034AA97D6EAC"), MAC: key("12B1AC4AF070CC35612BFE2D30AB600D"), ENC: key("D30F45EABC12AC3EF56B0C0D7F8654DE"),
	}
}

// CA is the public key of the test certification authority.
func CA() oda.CAKey {
	public := keys().ca.Public()
	ca := oda.CAKey{RID: emv.RIDUnionPay, Index: CAIndex, Modulus: public.Modulus(), Exponent: public.Exponent(), Expiry: "20301231",
		Role: "test"}
	ca.SHA1 = ca.Checksum()
	return ca
}

func mustDOL(s string) emv.DOL {
	dol, err := emv.ParseDOL(mustHex(s))
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // a constant of this file
	}
	return dol
}

// The lists of the profile [REF 1.3] [REF 1.11]; the PDOL also asks for time and merchant, for the log.
func pdol() emv.DOL {
	return mustDOL("9F66049F7A019F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14")
}

func logFormat() emv.DOL { return mustDOL("9A039F21039F02069F03069F1A025F2A029F4E149C019F3602") }

// files of the profile. The last record of an approved payment is 4.1.
const (
	issuerFile, cardFile, dataFile, lastFile = 1, 2, 3, 4
)

func profile(issued *Issued, o *Options, key oda.PrivateKey) (card.Image, error) {
	track2, err := pan.NewTrack2(issued.PAN, issued.Expiry, serviceCode, "0000000")
	if err != nil {
		return card.Image{}, err
	}
	aip := emv.AIP{0x7C, 0x00}
	records, err := makeRecords(issued, aip, key)
	if err != nil {
		return card.Image{}, err
	}
	application := card.Application{
		AID: emv.AIDDebit, Label: "TAPNET DEBIT", PreferredName: "TAPNET DEBIT", CodeTable: 1, Language: "zh", Priority: 1,
		PDOL: pdol(), AIP: aip,
		OfflineAFL: emv.AFL{{SFI: issuerFile, First: 2, Last: 2}, {SFI: cardFile, First: 1, Last: 1},
			{SFI: dataFile, First: 1, Last: 1, ODA: 1}, {SFI: lastFile, First: 1, Last: 1}},
		Track2: track2, Sequence: sequence, CTQ: emv.CTQ{},
		Currency: money.CNY, Processing: emv.AdditionalProcessing{0x99, 0x10, 0xF0, 0x00},
		DKI: 1, CVN: cryptogram.CVN01, Algorithm: issued.Suite.AlgorithmID(), IDD: emv.IDDBalance, FDDA01: true,
		Records: records, Log: card.LogLayout{SFI: 0x0B, Format: logFormat()},
	}
	application.Objects.Set(emv.TagDefaultAction, []byte{0xC0, 0x00})
	application.Objects.Set(emv.TagIssuerCountryCard, []byte{0x01, 0x56})
	image := card.Image{Historical: []byte("tapnet"), Applications: []card.Application{application}}
	balance := o.Balance
	if balance == 0 {
		balance = defaultBalance
	}
	image.State.Applications[0] = card.ApplicationState{
		ATC: 1, LastOnlineATC: 1, PINTries: 3,
		Purses: [2]card.Purse{{Balance: max(0, balance), BalanceLimit: 100000, SingleLimit: 100000, ResetThreshold: 1000, CVMLimit: 100000}},
	}
	return image, nil
}

// makeRecords writes the certificates and the data they cover.
func makeRecords(issued *Issued, aip emv.AIP, key oda.PrivateKey) ([]card.Record, error) {
	var data emv.Data
	data.Set(emv.TagPAN, issued.PAN.BCD())
	data.Set(emv.TagExpiryDate, mustHex(expiry+"31"))
	data.Set(emv.TagEffectiveDate, mustHex("250101"))
	data.Set(emv.TagIssuerCountry, mustHex("0156"))
	data.Set(emv.TagUsageControl, mustHex("FF00"))
	data.Set(emv.TagCVMList, mustHex("000000000000000042031F00"))
	data.Set(emv.TagIACDefault, mustHex("D8609CA800"))
	data.Set(emv.TagIACDenial, mustHex("0010800000"))
	data.Set(emv.TagIACOnline, mustHex("D8689CF800"))
	data.Set(emv.TagPANSequence, mustHex(sequence))
	data.Set(emv.TagCardVersion, mustHex("0030"))
	data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	body := data.Bytes()
	static, err := oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
	if err != nil {
		return nil, err
	}
	own, err := cardRecord(issued, key, static)
	if err != nil {
		return nil, err
	}
	return []card.Record{
		{SFI: issuerFile, Number: 2, Body: issuerRecord()},
		{SFI: cardFile, Number: 1, Body: own},
		{SFI: dataFile, Number: 1, Body: body},
		{SFI: lastFile, Number: 1, Body: tlv.Append(nil, emv.TagECAuthCode, []byte("ECC001"))},
	}, nil
}

// cardRecord holds the card certificate over static data.
func cardRecord(issued *Issued, key oda.PrivateKey, static []byte) ([]byte, error) {
	certificate, remainder, err := cardCertificate(issued, key, static)
	if err != nil {
		return nil, err
	}
	own := tlv.Append(nil, emv.TagICCCertificate, certificate)
	own = tlv.Append(own, emv.TagICCExponent, key.Public().Exponent())
	if len(remainder) > 0 {
		own = tlv.Append(own, emv.TagICCRemainder, remainder)
	}
	return own, nil
}

// issuerRecord holds the issuer certificate.
var issuerRecord = sync.OnceValue(func() []byte {
	valid, err := pan.ParseExpiry(expiry)
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // a constant of this file
	}
	public := keys().issuer.Public()
	certificate, remainder, err := oda.MakeIssuerCertificate(keys().ca,
		oda.IssuerCertSpec{IIN: issuerIIN, Expiry: valid, Serial: [3]byte{0, 0, 1}, Public: public})
	if err != nil {
		panic(fmt.Sprintf("cardtest: %v", err)) // constants of this file
	}
	body := tlv.Append(nil, emv.TagCAIndex, []byte{CAIndex})
	body = tlv.Append(body, emv.TagIssuerExponent, public.Exponent())
	body = tlv.Append(body, emv.TagIssuerRemainder, remainder)
	return tlv.Append(body, emv.TagIssuerCertificate, certificate)
})

// made remembers card certificates: many tests issue the same card.
var made = struct {
	sync.Mutex
	certificates []madeCertificate
}{}

type madeCertificate struct {
	key                            oda.PrivateKey
	static, certificate, remainder []byte
}

func cardCertificate(issued *Issued, key oda.PrivateKey, static []byte) (certificate, remainder []byte, err error) {
	made.Lock()
	defer made.Unlock()
	for _, m := range made.certificates {
		if m.key.Equal(key) && bytes.Equal(m.static, static) {
			return m.certificate, m.remainder, nil
		}
	}
	certificate, remainder, err = oda.MakeICCCertificate(keys().issuer, oda.ICCCertSpec{
		PAN: issued.PAN, Expiry: issued.Expiry, Serial: [3]byte{0, 0, 2}, Public: key.Public(), Static: static,
	})
	if err == nil {
		made.certificates = append(made.certificates, madeCertificate{key, static, certificate, remainder})
	}
	return certificate, remainder, err
}
