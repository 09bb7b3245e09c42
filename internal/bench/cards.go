package bench

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

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
	vault   *hsm.HSM
	masters cryptogram.CardKeys
	chips   []*chip       // made when they are first used: ten million at once would take the memory that the issuer is to do without
	sent    atomic.Uint64 // requests ever prepared, by which their times rise
}

// newPopulation makes the masters. The numbers of the cards are in the test range 629999.
func newPopulation(cards int) (*population, error) {
	p := &population{vault: hsm.New(rand.Reader), chips: make([]*chip, cards)}
	masters := &p.masters
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
	return p, nil
}

// numberOf is the account number of card i, counted from 0.
func numberOf(i int) (pan.Number, error) { return pan.CompleteLuhn(fmt.Sprintf("629999%09d", i+1)) }

// chip gives card i. Two goroutines may ask for different cards at the same time.
func (p *population) chip(i int) (*chip, error) {
	if c := p.chips[i]; c != nil {
		return c, nil
	}
	number, err := numberOf(i)
	if err != nil {
		return nil, err
	}
	p.chips[i] = &chip{id: int64(i) + 1, digits: number.Reveal(), keys: cryptogram.TDES().CardKeys(p.masters, number, "01")}
	return p.chips[i], nil
}

// deck is every n-th card from the first on, in an order in which neighbours in number are not neighbours in time.
type deck struct {
	p              *population
	first, n, size int
	at             int
}

// stride steps through a deck: with a prime that does not divide its size every card comes once before any comes again.
const stride = 7_368_787

func (p *population) deck(first, n int) deck {
	return deck{p: p, first: first, n: n, size: (len(p.chips) - first + n - 1) / n}
}

// draw gives the next card.
func (d *deck) draw() (*chip, error) {
	d.at = (d.at + stride) % d.size
	return d.p.chip(d.first + d.at*d.n)
}

// enrolment is card i as its issuer takes it in: no limit but its money.
func (p *population) enrolment(i int) (issuer.Enrolment, error) {
	number, err := numberOf(i)
	if err != nil {
		return issuer.Enrolment{}, err
	}
	fingerprint, err := p.vault.PANFingerprint(keyFingerprint, number)
	return issuer.Enrolment{
		Card: int64(i) + 1, Name: fmt.Sprintf("bench-%d", i+1), Fingerprint: fingerprint, Masked: number.Masked(), Sequence: "01", Expiry: "3012", Product: "bench",
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
