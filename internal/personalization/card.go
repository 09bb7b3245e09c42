package personalization

import (
	"fmt"
	"io"

	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/hsm"
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

// KeyNames names the issuer's keys that make a card. SM4 and AES may be empty at an issuer that has no cards with those ciphers.
type KeyNames struct {
	MasterAC, MasterMAC, MasterENC string
	SM4, AES                       MasterNames
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
	// Algorithms are those of the card's suites, as its issuer application data name them; none is triple DES alone.
	Algorithms []byte
	Stripe     bool // there is no chip: the stripe pays
	Second     *SecondRecord
}

// SecondRecord is the second currency of a dual-currency card, for the issuer.
type SecondRecord struct {
	Currency     int
	OpeningMinor int64
	PurseMinor   int64
}

// Card is one personalised card: the chip's side and the issuer's side.
type Card struct {
	Spec    CardSpec
	Product Product
	Carrier Carrier
	PAN     pan.Number
	Expiry  pan.Expiry
	PIN     pinblock.PIN // what the made-up holder knows
	Image   card.Image
	Crypto  card.Crypto
	Record  Record
	Linked  []Record // of applications with an account of their own
	keys    []imprint.Keys
}

// Algorithms is the set of algorithms of the card, one of Cryptos.
func (c *Card) Algorithms() string {
	for _, name := range []string{c.Spec.Crypto, c.Product.Crypto} {
		if name != "" {
			return name
		}
	}
	return CryptoRSA
}

// Optional are the applications that the cardholder may switch off and keep the rest.
func (c *Card) Optional() (aids []emv.AID) {
	for _, a := range c.Product.Applications {
		if a.Optional {
			aids = append(aids, a.aid())
		}
	}
	return aids
}

// String names the card, never its number.
func (c Card) String() string { return "card " + c.Spec.Name + " " + c.PAN.Masked() }

// Format prints String for every verb.
func (c Card) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String, which also keeps card data and the PIN out of JSON.
func (c Card) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Number gives the card number of a card of the profile: the issuer's prefix, the serial, the check digit.
func Number(issuer Issuer, spec CardSpec) (pan.Number, error) {
	return pan.CompleteLuhn(fmt.Sprintf("%s%07d", issuer.Prefix, spec.Serial))
}

// cardsPerIssuer keeps card ids of different issuers apart, as bits of the id.
const cardsPerIssuer = 10_000_000

// Personalize makes one card of the profile with the keys of its issuer's HSM. The error wraps ErrProfile when the profile is to blame.
func (p *Profile) Personalize(name string, vault Vault, keys KeyNames) (*Card, error) {
	spec, place, err := p.cardSpec(name)
	if err != nil {
		return nil, err
	}
	c := &Card{Spec: spec}
	issuer, ok := p.Issuer(spec.Issuer)
	if !ok {
		return nil, fmt.Errorf("%w: card %q: no issuer %q", ErrProfile, name, spec.Issuer)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"product", func() (err error) { c.Product, err = p.Product(spec.Product); return err }},
		{"carrier", func() (err error) { c.Carrier, err = p.Carrier(spec.Carrier); return err }},
		{"number", func() (err error) { c.PAN, err = Number(issuer, spec); return err }},
		{"expiry", func() (err error) { c.Expiry, err = pan.ParseExpiry(spec.Expiry); return err }},
		{"PIN", func() (err error) { c.PIN, err = spec.pin(); return err }},
		{"image", func() error { return p.applications(c, issuer, place, vault, keys) }},
		{"record", func() error { return p.records(c, issuer, vault, keys) }},
	} {
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("card %q: %s: %w", name, step.name, err)
		}
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

// keyStride keeps the TEST keys of a card's applications apart.
const keyStride = 5

// applications makes the image and the keys of all applications.
func (p *Profile) applications(c *Card, issuer Issuer, place int, vault Vault, keys KeyNames) error {
	algorithms, err := cryptoOf(c.Algorithms())
	if err != nil {
		return err
	}
	c.Image = card.Image{Historical: []byte(c.Carrier.Historical), Interfaces: c.Carrier.Offers()}
	if c.Spec.Carrier == "" {
		c.Image.Interfaces = 0
	}
	if c.Product.Stripe {
		c.Image.Interfaces = card.NoInterface
	}
	var ring card.Keyring
	for i, of := range c.Product.Applications {
		m := &making{profile: p, product: of, spec: c.Spec, issuer: issuer, number: c.PAN, expiry: c.Expiry, suite: algorithms.suite, place: i,
			chain:   p.chain(algorithms.algorithm, ridOf(of.aid()), issuer, place+keyStride*i, c.Spec.LongKey),
			contact: c.Spec.Carrier != "" && c.Image.Interfaces&card.Contact != 0}
		if algorithms.second {
			second := p.chain(oda.SM2, ridOf(of.aid()), issuer, place+keyStride*i, false)
			m.second = &second
		}
		if m.linked() {
			m.spec.Serial = linkedSerial(c.Spec.Serial)
			if m.number, err = Number(issuer, m.spec); err != nil {
				return err
			}
		}
		own, err := m.load(vault, keys)
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		if err := m.make(); err != nil {
			return fmt.Errorf("application %d: %w", i+1, err)
		}
		c.keys, ring = append(c.keys, own), append(ring, own.Crypto())
		c.Image.Applications = append(c.Image.Applications, m.application)
		c.Image.State.Applications[i] = m.state
	}
	if c.Crypto = ring; len(ring) == 1 {
		c.Crypto = ring[0]
	}
	return nil
}

// load carries the application's own keys from the HSM onto the chip as sealed images.
func (m *making) load(vault Vault, keys KeyNames) (imprint.Keys, error) {
	loader, err := vault.CardLoader(keys.Transport)
	if err != nil {
		return imprint.Keys{}, err
	}
	carry := func(suite cryptogram.Suite, sequence string) (cryptogram.CardKeys, error) {
		masters, err := keys.masters(suite)
		if err != nil {
			return cryptogram.CardKeys{}, err
		}
		sealed, err := vault.SealCardKeys(hsm.CardKeyRequest{
			ACMaster: masters.AC, MACMaster: masters.MAC, ENCMaster: masters.ENC, Transport: keys.Transport, PAN: m.number, Sequence: sequence, Suite: suite,
		})
		if err != nil {
			return cryptogram.CardKeys{}, err
		}
		return loader.Unseal(sealed, m.number, sequence)
	}
	own := imprint.Keys{Suite: m.suite, Private: m.chain.private}
	if own.Card, err = carry(m.suite, m.spec.Sequence); err != nil {
		return imprint.Keys{}, err
	}
	if m.second != nil {
		own.Second = &imprint.Keys{Suite: cryptogram.SM4(), Private: m.second.private}
		if own.Second.Card, err = carry(cryptogram.SM4(), m.spec.Sequence); err != nil {
			return imprint.Keys{}, err
		}
	}
	// No public source says where the opening key of a merchants' file comes from. Here it is the ENC key with the file in the place of the sequence number.
	for _, sfi := range m.product.Files {
		opening, err := carry(m.suite, fmt.Sprintf("%02d", sfi))
		if err != nil {
			return imprint.Keys{}, err
		}
		own.Files = append(own.Files, imprint.FileKey{SFI: byte(sfi), Key: opening.ENC})
	}
	return own, nil
}

// records writes what the issuer keeps: one record for each account.
func (p *Profile) records(c *Card, issuer Issuer, vault Vault, keys KeyNames) error {
	var err error
	if c.Record, err = p.record(c, c.Spec, c.PAN, issuer, vault, keys); err != nil {
		return err
	}
	for _, of := range c.Product.Applications {
		if of.Account != "linked" {
			continue
		}
		spec := c.Spec
		spec.Serial, spec.Name, spec.Balance, spec.Purse, spec.Credit = linkedSerial(spec.Serial), spec.Name+"/"+of.Label, spec.LinkedBalance, spec.LinkedPurse, ""
		number, err := Number(issuer, spec)
		if err != nil {
			return err
		}
		linked, err := p.record(c, spec, number, issuer, vault, keys)
		if err != nil {
			return err
		}
		linked.Product, linked.Second = "e-cash", nil
		c.Linked = append(c.Linked, linked)
	}
	return nil
}

func (p *Profile) record(c *Card, spec CardSpec, number pan.Number, issuer Issuer, vault Vault, keys KeyNames) (Record, error) {
	r := Record{
		Card: int64(spec.Serial) % cardsPerIssuer, Name: spec.Name, Issuer: issuer.Institution, Masked: number.Masked(), Sequence: spec.Sequence,
		Expiry: spec.Expiry, Product: c.Product.Account, Currency: p.Money().Number(), NoPIN: spec.NoPIN && !c.Product.alwaysPIN(), TapMinor: p.minor(spec.TapLimit),
		DayMinor: p.minor(spec.DayLimit), DayCount: spec.DayCount, NoPINDayMinor: p.minor(spec.NoPINDayLimit), OpeningMinor: p.minor(spec.Balance),
		CreditMinor: p.minor(spec.Credit), PurseMinor: p.minor(spec.Purse), Stripe: c.Product.Stripe,
	}
	algorithms, err := cryptoOf(c.Algorithms())
	if err != nil {
		return Record{}, err
	}
	if r.Second, err = c.Product.secondRecord(spec); err != nil {
		return Record{}, err
	}
	if id := algorithms.suite.AlgorithmID(); id != cryptogram.AlgorithmTDES {
		r.Algorithms = []byte{id}
	}
	if algorithms.second {
		r.Algorithms = []byte{cryptogram.AlgorithmTDES, cryptogram.AlgorithmSM4}
	}
	if r.Fingerprint, err = vault.PANFingerprint(keys.Fingerprint, number); err != nil {
		return Record{}, err
	}
	if r.SealedPAN, err = vault.SealPAN(keys.PANSeal, number); err != nil {
		return Record{}, err
	}
	r.PINReference, err = vault.NewPINReference(keys.PINReference, c.PIN, number)
	return r, err
}
