package personalization

import (
	"fmt"
	"io"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/hsm"
	"tapnet/internal/testkeys"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Vault is what personalisation asks of an issuer's HSM.
type Vault interface {
	SealCardKeys(request hsm.CardKeyRequest) (hsm.SealedCardKeys, error)
	CardLoader(transport string) (*hsm.CardLoader, error)
	PANFingerprint(key string, n pan.Number) ([16]byte, error)
	SealPAN(key string, n pan.Number) ([]byte, error)
	NewPINReference(key string, pin pinblock.PIN, n pan.Number) ([16]byte, error)
}

// KeyNames names the issuer's keys that make a card.
type KeyNames struct {
	MasterAC, MasterMAC, MasterENC string
	Transport                      string
	Fingerprint, PANSeal           string
	PINReference                   string
}

// Record is what the issuer keeps of a card. It holds no key, no PIN and no card number in the clear.
type Record struct {
	Card          int64
	Name          string
	Issuer        string
	Fingerprint   [16]byte
	SealedPAN     []byte
	Masked        string
	Sequence      string
	Expiry        string
	Product       string
	Currency      int
	PINReference  [16]byte
	NoPIN         bool
	TapMinor      int64
	DayMinor      int64
	DayCount      int
	NoPINDayMinor int64
	OpeningMinor  int64
	CreditMinor   int64
	PurseMinor    int64
}

// Card is one personalised card: the chip's side and the issuer's side.
type Card struct {
	Spec   CardSpec
	PAN    pan.Number
	Expiry pan.Expiry
	PIN    pinblock.PIN // what the made-up holder knows
	Image  card.Image
	Crypto *card.SoftCrypto
	Record Record
}

// String names the card, never its number.
func (c Card) String() string { return "card " + c.Spec.Name + " " + c.PAN.Masked() }

// Format prints String for every verb.
func (c Card) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// Number gives the card number of a card of the profile: the issuer's prefix, the serial, the check digit.
func Number(issuer Issuer, spec CardSpec) (pan.Number, error) {
	return pan.CompleteLuhn(fmt.Sprintf("%s%07d", issuer.Prefix, spec.Serial))
}

// cardsPerIssuer keeps card ids of different issuers apart, as bits of the id.
const cardsPerIssuer = 10_000_000

// Personalize makes one card of the profile with the keys of its issuer's HSM.
func (p *Profile) Personalize(name string, vault Vault, keys KeyNames) (*Card, error) {
	spec, place, err := p.cardSpec(name)
	if err != nil {
		return nil, err
	}
	issuer, ok := p.Issuer(spec.Issuer)
	if !ok {
		return nil, fmt.Errorf("%w: card %q: no issuer %q", ErrProfile, name, spec.Issuer)
	}
	c := &Card{Spec: spec}
	if c.PAN, err = Number(issuer, spec); err != nil {
		return nil, fmt.Errorf("card %q: %w", name, err)
	}
	if c.Expiry, err = pan.ParseExpiry(spec.Expiry); err != nil {
		return nil, fmt.Errorf("card %q: expiry: %w", name, err)
	}
	if c.PIN, err = pinblock.ParsePIN(spec.PIN); err != nil {
		return nil, fmt.Errorf("card %q: PIN: %w", name, err)
	}
	icc := testkeys.ICC(place % (testkeys.ICCCount - 2))
	if spec.LongKey {
		icc = testkeys.ICCLarge(place % (testkeys.ICCLargeCount - 1))
	}
	suite := cryptogram.TDES()
	if c.Crypto, err = loadKeys(vault, keys, suite, c, icc); err != nil {
		return nil, fmt.Errorf("card %q: keys: %w", name, err)
	}
	if c.Image, err = p.image(c, issuer, suite, icc); err != nil {
		return nil, fmt.Errorf("card %q: image: %w", name, err)
	}
	if c.Record, err = p.record(c, issuer, vault, keys); err != nil {
		return nil, fmt.Errorf("card %q: record: %w", name, err)
	}
	return c, nil
}

func (p *Profile) cardSpec(name string) (CardSpec, int, error) {
	for i, c := range p.Cards {
		if c.Name == name {
			if c.Sequence == "" {
				c.Sequence = "00"
			}
			return c, i, nil
		}
	}
	return CardSpec{}, 0, fmt.Errorf("%w: no card %q", ErrProfile, name)
}

// loadKeys carries the card's own keys from the HSM onto the chip as a sealed image.
func loadKeys(vault Vault, keys KeyNames, suite cryptogram.Suite, c *Card, icc oda.PrivateKey) (*card.SoftCrypto, error) {
	sealed, err := vault.SealCardKeys(hsm.CardKeyRequest{
		ACMaster: keys.MasterAC, MACMaster: keys.MasterMAC, ENCMaster: keys.MasterENC, Transport: keys.Transport,
		PAN: c.PAN, Sequence: c.Spec.Sequence, Suite: suite,
	})
	if err != nil {
		return nil, err
	}
	loader, err := vault.CardLoader(keys.Transport)
	if err != nil {
		return nil, err
	}
	own, err := loader.Unseal(sealed, c.PAN, c.Spec.Sequence)
	if err != nil {
		return nil, err
	}
	return card.NewSoftCrypto(suite, own, icc), nil
}

func (p *Profile) record(c *Card, issuer Issuer, vault Vault, keys KeyNames) (Record, error) {
	spec := c.Spec
	r := Record{
		Card: int64(spec.Serial) % cardsPerIssuer, Name: spec.Name, Issuer: issuer.Institution, Masked: c.PAN.Masked(), Sequence: spec.Sequence,
		Expiry: spec.Expiry, Product: spec.Product, Currency: p.Money().Number(), NoPIN: spec.NoPIN, TapMinor: p.minor(spec.TapLimit),
		DayMinor: p.minor(spec.DayLimit), DayCount: spec.DayCount, NoPINDayMinor: p.minor(spec.NoPINDayLimit), OpeningMinor: p.minor(spec.Balance),
		CreditMinor: p.minor(spec.Credit), PurseMinor: p.minor(spec.Purse),
	}
	var err error
	if r.Fingerprint, err = vault.PANFingerprint(keys.Fingerprint, c.PAN); err != nil {
		return Record{}, err
	}
	if r.SealedPAN, err = vault.SealPAN(keys.PANSeal, c.PAN); err != nil {
		return Record{}, err
	}
	r.PINReference, err = vault.NewPINReference(keys.PINReference, c.PIN, c.PAN)
	return r, err
}

// product is what the cards of a kind have in common.
type product struct {
	aid        emv.AID
	label      string
	processing emv.AdditionalProcessing
}

// products by name. All check low-value offline payments against the purse, keep a log of them and know online PIN and signature; the additional
// processing bytes are those of [REF 1.6], with the log switched on.
var products = map[string]product{
	"debit":  {emv.AIDDebit, "TAPNET DEBIT", emv.AdditionalProcessing{0x99, 0x10, 0xF0, 0x00}},
	"credit": {emv.AIDCredit, "TAPNET CREDIT", emv.AdditionalProcessing{0x19, 0x10, 0xF0, 0x00}},
	"e-cash": {emv.AIDElectronicCash, "TAPNET E-CASH", emv.AdditionalProcessing{0x99, 0x10, 0xF0, 0x00}},
}
