package gate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/gate/denylist"
	"tapnet/money"
	"tapnet/pan"
)

// Direction is which way a rider goes.
type Direction uint8

// Directions.
const (
	In      Direction = iota + 1 // into the paid area
	Out                          // out of it
	Ride                         // one tap for a ride: a bus with a flat fare, a taxi, a ticket machine
	Inspect                      // shown to an inspector: nothing opens, and nothing is charged
	directionEnd
)

// Valid reports whether it is one of the directions.
func (d Direction) Valid() bool { return d > 0 && d < directionEnd }

// StalePolicy says what a gate does about a deny list that is too old, or none.
type StalePolicy uint8

// Policies.
const (
	StaleOpens StalePolicy = iota // opens, and marks the tap
	StaleShuts                    // stays shut with ListStale
)

// Defaults of Config.
const (
	DefaultListAge        = 24 * time.Hour // metro; a bus takes 72 hours
	DefaultDoubleTap      = 5 * time.Second
	DefaultPassBack       = 10 * time.Minute
	DefaultVelocityWindow = time.Hour
	DefaultVelocityLimit  = 12
	DefaultFirstRideWait  = 20 * time.Minute // without an approval in that time there is a debt
	DefaultRemembered     = 1 << 16          // cards; 10 MB
)

// Limits on what a configuration may say.
const (
	MaxDevice     = 16      // characters of a device's name
	MaxRules      = 4096    // ranges of numbers
	MaxVelocity   = 64      // taps in a window: so many instants are kept for each card
	MaxRemembered = 1 << 20 // cards
	maxPrefix     = 11      // digits of a range: an extended issuer number and a product
)

// Rule is what a gate does with account numbers that begin with Prefix. Of several that match the longest counts.
type Rule struct {
	Prefix     string // digits; empty matches every number
	Refuse     bool
	WithoutODA bool // tokens that cannot authenticate offline get one ride on trust until it is approved
	// Claim: a ride in waits until the back office grants it, which it does once before a first approval. Without a line there is no ride.
	Claim bool
}

// Config is one gate. The zero value of each time and limit is its default; Never switches a rule off.
type Config struct {
	Device   string       // the name the back office knows it by, 1 to 16 printable ASCII characters
	Station  uint32       // the back office's number
	Amount   money.Amount // what a card signs: nothing, or the highest fare, or the flat one
	Highest  money.Amount // what a tap may name in its place, at most: a taxi's meter; zero: none may
	ChainKey ChainKey     // makes the log's chain
	Rules    []Rule       // no rule: every number is accepted, and none without authentication
	Country  uint16       // ISO 3166 number of the gate's country, for the card's usage control
	Purse    bool         // a card that pays at the gate out of its own purse is accepted; otherwise it is NotAccepted
	ShutIn   bool         // the deny list and its age also stop a rider who wants out; otherwise the tap is marked and the gate opens

	ListAge        time.Duration
	Stale          StalePolicy
	DoubleTap      time.Duration
	PassBack       time.Duration
	VelocityWindow time.Duration
	VelocityLimit  int
	FirstRideWait  time.Duration
	Remembered     int
}

// Never is a duration that switches DoubleTap, PassBack, VelocityWindow or FirstRideWait off.
const Never = time.Duration(-1)

// ErrConfig is wrapped when a gate cannot be built from its configuration.
var ErrConfig = errors.New("gate configuration is not usable")

// Identifier makes keyed hashes: in software a denylist.EpochKey, at a gate its secure module.
type Identifier interface {
	Epoch() denylist.Epoch
	Credential(number pan.Number, sequence string, expiry pan.Expiry) denylist.ID
	Token(number pan.Number) denylist.ID
	PAR(reference string) denylist.ID
}

// Sealer encrypts a card's data for the back office. The additional data bind the sealed bytes to their record. It must not keep plain.
type Sealer interface {
	Seal(plain, additional []byte) ([]byte, error)
}

// Log keeps records. Append returns when the record will survive a loss of power, and not before; it may wait for others to share one
// flush. After an error the record may or may not be there: the gate then stays shut until Replay has read the log again.
type Log interface {
	Append(record []byte) error
}

func (c *Config) withDefaults() {
	for _, d := range [...]struct {
		value *time.Duration
		text  time.Duration
	}{
		{&c.ListAge, DefaultListAge}, {&c.DoubleTap, DefaultDoubleTap}, {&c.PassBack, DefaultPassBack},
		{&c.VelocityWindow, DefaultVelocityWindow}, {&c.FirstRideWait, DefaultFirstRideWait},
	} {
		if *d.value == 0 {
			*d.value = d.text
		}
	}
	if c.VelocityLimit == 0 {
		c.VelocityLimit = DefaultVelocityLimit
	}
	if c.Remembered == 0 {
		c.Remembered = DefaultRemembered
	}
}

func (c *Config) check() error {
	switch {
	case !validDevice(c.Device):
		return fmt.Errorf("device %q is not 1 to %d printable characters", c.Device, MaxDevice)
	case c.Amount.Currency().IsZero() || c.Amount.Sign() < 0:
		return errors.New("amount is negative or has no currency")
	case !c.Highest.IsZero() && (c.Highest.Currency() != c.Amount.Currency() || c.Highest.Sign() < 0):
		return errors.New("highest amount is negative or in another currency")
	case c.ChainKey.IsZero():
		return errors.New("no key for the log")
	case len(c.Rules) > MaxRules:
		return fmt.Errorf("%d rules, at most %d", len(c.Rules), MaxRules)
	case c.VelocityLimit < 1 || c.VelocityLimit > MaxVelocity:
		return fmt.Errorf("velocity limit %d is not 1 to %d", c.VelocityLimit, MaxVelocity)
	case c.Remembered < 1 || c.Remembered > MaxRemembered:
		return fmt.Errorf("%d cards to remember, at most %d", c.Remembered, MaxRemembered)
	case c.ListAge < 0:
		return fmt.Errorf("list age %v is negative", c.ListAge)
	case c.Stale > StaleShuts:
		return fmt.Errorf("stale policy %d", c.Stale)
	}
	if _, err := c.Amount.BCD(); err != nil {
		return err
	}
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	for i, r := range c.Rules {
		if len(r.Prefix) > maxPrefix || strings.ContainsFunc(r.Prefix, notDigit) {
			return fmt.Errorf("rule %d: %q is not up to %d digits", i, r.Prefix, maxPrefix)
		}
	}
	return nil
}

// rule is the longest that matches; false when none does.
func (c *Config) rule(n pan.Number) (best Rule, found bool) {
	for _, r := range c.Rules {
		if (!found || len(r.Prefix) > len(best.Prefix)) && n.HasPrefix(r.Prefix) {
			best, found = r, true
		}
	}
	return best, found
}
