package personalization

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"

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
}

// Issuer is a bank that issues cards.
type Issuer struct {
	Institution string `toml:"institution"`
	Name        string `toml:"name"`
	Prefix      string `toml:"prefix"` // eight digits in the test range
	Key         int    `toml:"key"`    // place in the pool of TEST issuer keys
}

// Acquirer is the merchants' bank.
type Acquirer struct {
	Institution string `toml:"institution"`
	Name        string `toml:"name"`
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
}

// CardSpec describes one card.
type CardSpec struct {
	Name     string `toml:"name"`
	Holder   string `toml:"holder"`
	Issuer   string `toml:"issuer"` // institution id
	Product  string `toml:"product"`
	Serial   int    `toml:"serial"` // makes the card number unique within the issuer
	Sequence string `toml:"sequence"`
	Expiry   string `toml:"expiry"` // YYMM
	PIN      string `toml:"pin"`
	Balance  string `toml:"balance"` // money on the account
	Credit   string `toml:"credit"`  // credit line
	Purse    string `toml:"purse"`   // money on the chip
	NoPIN    bool   `toml:"no_pin"`  // small payments without PIN
	LongKey  bool   `toml:"long_key"`
	FDDA00   bool   `toml:"fdda00"` // the card knows the old dynamic signature only
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
	if len(text) > maxProfileBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrProfile, len(text), maxProfileBytes)
	}
	var p Profile
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("%w: unknown keys:\n%s", ErrProfile, strict.String())
		}
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	if err := p.check(); err != nil {
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
		for _, amount := range []string{m.Floor, m.CVMLimit, m.TapLimit} {
			if _, err := p.Minor(amount); err != nil {
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
		if c.Name == "" || names[c.Name] || numbers[number] || c.Serial < 1 || c.Serial > 9_999_999 {
			return fmt.Errorf("card %q: name and serial (1 to 9999999) must be its own", c.Name)
		}
		names[c.Name], numbers[number] = true, true
		if _, ok := p.Issuer(c.Issuer); !ok {
			return fmt.Errorf("card %q: no issuer %q", c.Name, c.Issuer)
		}
		if _, ok := products[c.Product]; !ok {
			return fmt.Errorf("card %q: no product %q", c.Name, c.Product)
		}
		if _, err := pan.ParseExpiry(c.Expiry); err != nil {
			return fmt.Errorf("card %q: expiry: %w", c.Name, err)
		}
		if _, err := pinblock.ParsePIN(c.PIN); err != nil {
			return fmt.Errorf("card %q: PIN: %w", c.Name, err)
		}
		for _, amount := range []string{c.Balance, c.Credit, c.Purse, c.TapLimit, c.DayLimit, c.NoPINDayLimit} {
			if _, err := p.Minor(amount); err != nil {
				return fmt.Errorf("card %q: %w", c.Name, err)
			}
		}
	}
	return nil
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

// Minor reads an amount of the profile in minor units; "" is zero. Negative amounts are refused.
func (p *Profile) Minor(amount string) (int64, error) {
	if amount == "" {
		return 0, nil
	}
	a, err := money.Parse(amount, p.Money())
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", amount, err)
	}
	if a.Minor() < 0 {
		return 0, fmt.Errorf("amount %q is negative", amount)
	}
	return a.Minor(), nil
}

// minor reads an amount that check has already accepted.
func (p *Profile) minor(amount string) int64 {
	minor, err := p.Minor(amount)
	if err != nil {
		panic("personalization: the amount was checked: " + err.Error())
	}
	return minor
}
