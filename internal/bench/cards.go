package bench

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/issuer"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// Names of the issuer's keys in its HSM.
const (
	keyMasterAC     = "imk-ac"
	keyMasterMAC    = "imk-mac"
	keyFingerprint  = "pan-fingerprint"
	keyPINReference = "pin-reference"
)

// openingMinor is the money on each account: more than any run spends.
const openingMinor = 1_000_000_000_00

// tapMinor is what each payment takes: below every limit, without PIN.
const tapMinor = 12_50

// chip is a card as the generator needs it: its number and the keys from which it computes cryptograms. It holds digits and no pan.Number, which would keep
// the issuer's copy alive and make it cheap.
type chip struct {
	id     int64
	digits string
	keys   cryptogram.CardKeys
	atc    uint16
}

// number is the card's account number.
func (c *chip) number() (pan.Number, error) { return pan.Parse(c.digits) }

// track is the card's second track; the last digits are its own.
func (c *chip) track() (pan.Track2, error) {
	return pan.ParseTrack2String(fmt.Sprintf("%s=3012220%010d", c.digits, c.id))
}

// population is the cards of a run and the issuer's HSM that knows their masters.
type population struct {
	vault *hsm.HSM
	chips []chip
}

// newPopulation makes the masters and the cards. Their numbers are in the test range 629999.
func newPopulation(cards int) (*population, error) {
	p := &population{vault: hsm.New(rand.Reader), chips: make([]chip, cards)}
	var masters cryptogram.CardKeys
	for _, k := range []struct {
		name  string
		usage hsm.Usage
		key   *cryptogram.Key
	}{{keyMasterAC, hsm.UsageEMVAC, &masters.AC}, {keyMasterMAC, hsm.UsageEMVMAC, &masters.MAC}, {"", "", &masters.ENC}} {
		var value [16]byte
		if _, err := io.ReadFull(rand.Reader, value[:]); err != nil {
			return nil, err
		}
		var err error
		if *k.key, err = cryptogram.NewKey(value[:]); err != nil {
			return nil, err
		}
		if k.name == "" {
			continue // an issuer's cards have this key, but no payment needs it
		}
		if _, err := p.vault.ImportClear(k.name, k.usage, hsm.ModeDerive, hsm.TDES, hsm.NotExportable, value[:]); err != nil {
			return nil, err
		}
	}
	if _, err := p.vault.Generate(keyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC, hsm.NotExportable); err != nil {
		return nil, err
	}
	if _, err := p.vault.Generate(keyPINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES256, hsm.NotExportable); err != nil {
		return nil, err
	}
	suite := cryptogram.TDES()
	for i := range p.chips {
		c := &p.chips[i]
		c.id = int64(i) + 1
		number, err := pan.CompleteLuhn(fmt.Sprintf("629999%09d", c.id))
		if err != nil {
			return nil, err
		}
		c.digits, c.keys = number.Reveal(), suite.CardKeys(masters, number, "01")
	}
	return p, nil
}

// enrolment is the card as its issuer takes it in: no limit but its money.
func (p *population) enrolment(c *chip) (issuer.Enrolment, error) {
	number, err := c.number()
	if err != nil {
		return issuer.Enrolment{}, err
	}
	fingerprint, err := p.vault.PANFingerprint(keyFingerprint, number)
	return issuer.Enrolment{
		Card: c.id, Name: fmt.Sprintf("bench-%d", c.id), Fingerprint: fingerprint, Masked: number.Masked(), Sequence: "01", Expiry: "3012", Product: "bench",
		Currency: money.CNY.Number(), NoPIN: true, Contactless: true, OpeningMinor: openingMinor,
	}, err
}

// fixed data objects of a tap, in the order of field 55.
var (
	tapCountry  = []byte{0x01, 0x56}
	tapCurrency = []byte{0x01, 0x56}
	tapAIP      = []byte{0x7C, 0x00}
	tapTVR      = []byte{0, 0, 0, 0, 0}
	tapDate     = []byte{0x26, 0x11, 0x21}
	tapType     = []byte{0x00}
	tapOther    = []byte{0, 0, 0, 0, 0, 0}
	tapCID      = []byte{byte(emv.ARQC)}
	tapCVM      = []byte{0x1F, 0x03, 0x02}
	tapReader   = []byte{0xE0, 0xF1, 0xC8}
	tapTerminal = []byte{0x22}
	tapSerial   = []byte("TAPNET01")
	tapName     = []byte{0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x01}
	tapVersion  = []byte{0x00, 0x30}
	tapCount    = []byte{0x00, 0x00, 0x00, 0x01}
)

// tapFixed are the data objects that no cryptogram covers and that travel with it all the same: a real field 55 has some twenty of them.
var tapFixed = []struct {
	tag   tlv.Tag
	value []byte
}{
	{emv.TagCID, tapCID}, {emv.TagTerminalCapabilities, tapReader}, {emv.TagCVMResults, tapCVM}, {emv.TagTerminalType, tapTerminal},
	{emv.TagDeviceSerial, tapSerial}, {emv.TagDFName, tapName}, {emv.TagTerminalVersion, tapVersion}, {emv.TagTransactionCounter, tapCount},
}

// tap makes the chip's next online cryptogram and puts what a terminal sends about it into icc [REF 6.1].
func (c *chip) tap(suite cryptogram.Suite, amount []byte, icc *emv.Data) error {
	c.atc++
	var counter [2]byte
	binary.BigEndian.PutUint16(counter[:], c.atc)
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], uint32(c.id)*2654435761+uint32(c.atc))
	iad := emv.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: emv.CVR{0x03, 0xA0, 0x00, 0x00}, Algorithm: suite.AlgorithmID()}
	icc.Reset()
	icc.Set(emv.TagAmount, amount)
	icc.Set(emv.TagAmountOther, tapOther)
	icc.Set(emv.TagTerminalCountry, tapCountry)
	icc.Set(emv.TagTVR, tapTVR)
	icc.Set(emv.TagCurrency, tapCurrency)
	icc.Set(emv.TagTransactionDate, tapDate)
	icc.Set(emv.TagTransactionType, tapType)
	icc.Set(emv.TagUnpredictableNumber, number[:])
	icc.Set(emv.TagAIP, tapAIP)
	icc.Set(emv.TagATC, counter[:])
	icc.Set(emv.TagIAD, iad.Bytes())
	data, err := suite.AppendData(make([]byte, 0, 64), iad.CVN, iad.CVR, *icc)
	if err != nil {
		return fmt.Errorf("bench: cryptogram data: %w", err)
	}
	ac := suite.Cryptogram(suite.SessionKey(c.keys.AC, c.atc), data)
	icc.Set(emv.TagAC, ac[:])
	for _, fixed := range tapFixed {
		icc.Set(fixed.tag, fixed.value)
	}
	return nil
}

// answers reports whether the issuer's answer is right for a cryptogram with this counter [REF 4.4].
func (c *chip) answers(suite cryptogram.Suite, atc uint16, arqc [8]byte, issuerData []byte) bool {
	arpc, arc, ok := cryptogram.ParseIssuerAuthData(issuerData)
	return ok && arpc == suite.ARPC(suite.SessionKey(c.keys.AC, atc), arqc, arc)
}
