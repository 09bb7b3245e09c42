package personalization

import (
	"embed"
	"errors"
	"fmt"
	"strings"

	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

//go:embed profiles/*.toml
var profiles embed.FS

// Profile describes a test world: who takes part and which cards exist. Amounts are decimal strings of the profile's currency.
type Profile struct {
	Name         string     `toml:"name"`
	Currency     string     `toml:"currency"`
	AuthorityKey int        `toml:"authority"` // place in the pool of TEST CA keys
	Switch       string     `toml:"switch"`    // institution id
	Issuers      []Issuer   `toml:"issuer"`
	Acquirer     Acquirer   `toml:"acquirer"`
	Merchants    []Merchant `toml:"merchant"`
	Cards        []CardSpec `toml:"card"`
	Products     []Product  `toml:"product"` // besides those that come with the program
	Carriers     []Carrier  `toml:"carrier"`
	Transit      Transit    `toml:"transit"`
}

// Transit is a transit operator among the merchants: its back office is the terminal, and no till is.
type Transit struct {
	Merchant string `toml:"merchant"` // short name; "" is no operator
	Config   string `toml:"config"`   // file that describes it; "" is the city that comes with the program
}

// Issuer is a bank that issues cards.
type Issuer struct {
	Institution string        `toml:"institution"`
	Name        string        `toml:"name"`
	Prefix      string        `toml:"prefix"` // eight digits in the test range
	Key         int           `toml:"key"`    // place in the pool of TEST issuer keys
	Transit     IssuerTransit `toml:"transit"`
}

// Acquirer is the merchants' bank.
type Acquirer struct {
	Institution string          `toml:"institution"`
	Name        string          `toml:"name"`
	Transit     AcquirerTransit `toml:"transit"`
}

// Merchant has one terminal.
type Merchant struct {
	Name     string `toml:"name"` // short name for commands
	ID       string `toml:"id"`
	Label    string `toml:"label"` // printed name, field 43
	Category string `toml:"category"`
	Terminal string `toml:"terminal"`
	// Floor is the amount above which the terminal goes online; "0" sends every tap online.
	Floor string `toml:"floor"`
	// CVMLimit is the amount from which the terminal wants the cardholder verified, TapLimit from which it takes no tap.
	CVMLimit string `toml:"cvm_limit"`
	TapLimit string `toml:"tap_limit"`
	Offline  bool   `toml:"offline"` // the terminal has no network
	Mobile   string `toml:"mobile"`  // the terminal is a phone with a secure access module: how it derives its keys, "tdes" or "aes"; "" it is none
	// Machine: nobody stands beside the terminal. "vending" sells, "load" fills purses; "" is a till with a cashier. Price is what a machine sells for.
	Machine string `toml:"machine"`
	Price   string `toml:"price"`
	// Currency is what the merchant sells in; "" is the world's.
	Currency string `toml:"currency"`
	// Waiting: the merchant has applied; its terminal signs on once the acquirer has approved it.
	Waiting bool `toml:"waiting"`
	// RideLimit is the highest amount of one request that the merchant and its bank have agreed on, an operator of transport's highest bill; "" is none, then the
	// bank's own bound holds for requests for rides.
	RideLimit string `toml:"ride_limit"`
}

// CardSpec describes one card.
type CardSpec struct {
	Name    string `toml:"name"`
	Holder  string `toml:"holder"`
	Issuer  string `toml:"issuer"` // institution id
	Product string `toml:"product"`
	// Carrier is what the card is made of; "" is a plain card that speaks contactless QuickPass and nothing else.
	Carrier  string `toml:"carrier"`
	Crypto   string `toml:"crypto"` // algorithms; "" is what the product says
	Serial   int    `toml:"serial"` // makes the card number unique within the issuer
	Sequence string `toml:"sequence"`
	Expiry   string `toml:"expiry"` // YYMM
	PIN      string `toml:"pin"`
	Balance  string `toml:"balance"` // money on the account
	Credit   string `toml:"credit"`  // credit line
	Purse    string `toml:"purse"`   // money on the chip
	// SecondPurse is money on the chip in the product's second currency.
	SecondPurse string `toml:"second_purse"`
	// SecondBalance is money on the account in that currency.
	SecondBalance string `toml:"second_balance"`
	// LinkedBalance and LinkedPurse are the money of an application with an account of its own.
	LinkedBalance string `toml:"linked_balance"`
	LinkedPurse   string `toml:"linked_purse"`
	NoPIN         bool   `toml:"no_pin"` // small payments without PIN
	LongKey       bool   `toml:"long_key"`
	FDDA00        bool   `toml:"fdda00"` // the card knows the old dynamic signature only
	// Limits of the bank; "" is none.
	TapLimit      string `toml:"tap_limit"`
	DayLimit      string `toml:"day_limit"`
	DayCount      int    `toml:"day_count"`
	NoPINDayLimit string `toml:"no_pin_day_limit"`
}

// ErrProfile says that a profile cannot be used.
var ErrProfile = errors.New("profile cannot be used")

// maxProfileBytes bounds a profile file; a world for a demonstration or a lesson needs a small part of it.
const maxProfileBytes = 1 << 20

// Load gives one of the profiles that come with the program.
func Load(name string) (*Profile, error) {
	text, err := profiles.ReadFile("profiles/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("%w: there is no profile %q", ErrProfile, name)
	}
	return Parse(text)
}

// Parse reads a profile. Unknown keys are errors.
func Parse(text []byte) (*Profile, error) {
	var p Profile
	if err := strictly(text, &p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		if errors.Is(err, ErrProfile) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	return &p, nil
}

// testPrefix starts every card number that a profile may make.
const testPrefix = "629999"

func (p *Profile) check() error {
	if _, err := money.ParseCurrency(p.Currency); err != nil {
		return fmt.Errorf("currency: %w", err)
	}
	institutions := map[string]bool{}
	for _, id := range append([]string{p.Switch, p.Acquirer.Institution}, issuerIDs(p.Issuers)...) {
		if len(id) != 8 || strings.Trim(id, "0123456789") != "" || institutions[id] {
			return fmt.Errorf("institution id %q is not eight digits of its own", id)
		}
		institutions[id] = true
	}
	for _, i := range p.Issuers {
		if len(i.Prefix) != 8 || !strings.HasPrefix(i.Prefix, testPrefix) {
			return fmt.Errorf("issuer %s: prefix %q is not eight digits in the test range %s", i.Name, i.Prefix, testPrefix)
		}
	}
	if err := p.checkMerchants(); err != nil {
		return err
	}
	if err := p.checkTransit(); err != nil {
		return err
	}
	if _, known := p.Merchant(p.Transit.Merchant); p.Transit.Merchant != "" && !known {
		return fmt.Errorf("transit: there is no merchant %q", p.Transit.Merchant)
	}
	for i := range p.Products {
		if err := p.Products[i].check(); err != nil {
			return err
		}
	}
	for i := range p.Carriers {
		if err := p.Carriers[i].check(); err != nil {
			return err
		}
	}
	return p.checkCards()
}

func issuerIDs(issuers []Issuer) []string {
	ids := make([]string, len(issuers))
	for i, issuer := range issuers {
		ids[i] = issuer.Institution
	}
	return ids
}

func (p *Profile) checkMerchants() error {
	names, terminals := map[string]bool{}, map[string]bool{}
	for _, m := range p.Merchants {
		if m.Name == "" || names[m.Name] || len(m.Terminal) != 8 || terminals[m.Terminal] || len(m.ID) != 15 || len(m.Category) != 4 {
			return fmt.Errorf("merchant %q: name and terminal (8 characters) must be its own, id has 15 characters, category 4", m.Name)
		}
		names[m.Name], terminals[m.Terminal] = true, true
		if m.Machine != "" && m.Machine != "vending" && m.Machine != "load" {
			return fmt.Errorf(`merchant %q: machine is "vending" or "load"`, m.Name)
		}
		currency, err := p.MoneyOf(m)
		if err != nil {
			return fmt.Errorf("merchant %q: %w", m.Name, err)
		}
		for _, amount := range []string{m.Floor, m.CVMLimit, m.TapLimit, m.Price} {
			if _, err := minorIn(amount, currency); err != nil {
				return fmt.Errorf("merchant %q: %w", m.Name, err)
			}
		}
	}
	return nil
}

func (p *Profile) checkCards() error {
	names, numbers := map[string]bool{}, map[string]bool{}
	for _, c := range p.Cards {
		number := fmt.Sprintf("%s/%d", c.Issuer, c.Serial)
		if c.Name == "" || names[c.Name] || numbers[number] || c.Serial < 1 || c.Serial > maxSerial {
			return fmt.Errorf("card %q: name and serial (1 to %d) must be its own", c.Name, maxSerial)
		}
		names[c.Name], numbers[number] = true, true
		if err := p.checkCard(c); err != nil {
			return err
		}
		product, err := p.Product(c.Product)
		if err != nil {
			return fmt.Errorf("card %q: %w", c.Name, err)
		}
		if !product.linked() {
			continue
		}
		// The account of its own has the serial from the other end of the range.
		if number := fmt.Sprintf("%s/%d", c.Issuer, linkedSerial(c.Serial)); numbers[number] {
			return fmt.Errorf("card %q: serial %d is needed for its second account", c.Name, linkedSerial(c.Serial))
		}
		numbers[fmt.Sprintf("%s/%d", c.Issuer, linkedSerial(c.Serial))] = true
	}
	return nil
}

const maxSerial = 9_999_999

// linkedSerial numbers the second account of a card.
func linkedSerial(serial int) int { return maxSerial + 1 - serial }

func (p *Profile) checkCard(c CardSpec) error {
	if _, ok := p.Issuer(c.Issuer); !ok {
		return fmt.Errorf("card %q: no issuer %q", c.Name, c.Issuer)
	}
	if _, err := p.Carrier(c.Carrier); err != nil {
		return fmt.Errorf("card %q: %w", c.Name, err)
	}
	if _, err := cryptoOf(c.Crypto); err != nil {
		return fmt.Errorf("card %q: %w", c.Name, err)
	}
	if _, err := pan.ParseExpiry(c.Expiry); err != nil {
		return fmt.Errorf("card %q: expiry: %w", c.Name, err)
	}
	if _, err := c.pin(); err != nil {
		return fmt.Errorf("card %q: PIN: %w", c.Name, err)
	}
	for _, amount := range []string{c.Balance, c.Credit, c.Purse, c.SecondPurse, c.SecondBalance, c.LinkedBalance, c.LinkedPurse, c.TapLimit, c.DayLimit,
		c.NoPINDayLimit} {
		if _, err := p.Minor(amount); err != nil {
			return fmt.Errorf("card %q: %w", c.Name, err)
		}
	}
	return nil
}

func (c CardSpec) pin() (pinblock.PIN, error) { return pinblock.ParsePIN(c.PIN) }

// Product finds a product: the world's own, or one that comes with the program.
func (p *Profile) Product(name string) (Product, error) {
	for _, own := range p.Products {
		if own.Name == name {
			return own, nil
		}
	}
	return FindProduct(name)
}

// Carrier finds a carrier likewise; "" is the plain one.
func (p *Profile) Carrier(name string) (Carrier, error) {
	if name == "" {
		return plain, nil
	}
	for _, own := range p.Carriers {
		if own.Name == name {
			return own, nil
		}
	}
	return FindCarrier(name)
}

// plain is the carrier of a card that names none.
var plain = Carrier{
	Interfaces: []string{nameContactless}, Air: InductiveAir, Power: powerReader, Historical: "tapnet", Waiting: 9, Frame: 8,
	WakeMS: 5, CommandMS: 8, Speed: 10_000,
}

// Issuer finds an issuer by institution id.
func (p *Profile) Issuer(id string) (Issuer, bool) {
	for _, i := range p.Issuers {
		if i.Institution == id {
			return i, true
		}
	}
	return Issuer{}, false
}

// Merchant finds a merchant by its short name.
func (p *Profile) Merchant(name string) (Merchant, bool) {
	for _, m := range p.Merchants {
		if m.Name == name {
			return m, true
		}
	}
	return Merchant{}, false
}

// Money is the currency of the profile.
func (p *Profile) Money() money.Currency {
	currency, err := money.ParseCurrency(p.Currency)
	if err != nil {
		panic("personalization: the currency was checked: " + err.Error())
	}
	return currency
}

// MoneyOf is what a merchant sells in.
func (p *Profile) MoneyOf(m Merchant) (money.Currency, error) {
	if m.Currency == "" {
		return p.Money(), nil
	}
	return money.ParseCurrency(m.Currency)
}

// Minor reads an amount of the profile in minor units; "" is zero. Negative amounts are refused.
func (p *Profile) Minor(amount string) (int64, error) { return minorIn(amount, p.Money()) }

// minor reads an amount that check has already accepted.
func (p *Profile) minor(amount string) int64 {
	minor, err := p.Minor(amount)
	if err != nil {
		panic("personalization: the amount was checked: " + err.Error())
	}
	return minor
}
