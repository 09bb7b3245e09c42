package issuer

import (
	"errors"
	"fmt"
	"time"

	"tapnet/glossary"
	"tapnet/internal/ledger"
	"tapnet/pan"
)

// Fingerprint is a keyed hash of a card number: the only form in which the issuer looks cards up.
type Fingerprint [16]byte

// Status is a card's standing at the bank. Legal transitions: see statusTransitions.
type Status uint8

// The standings of a card.
const (
	Active Status = iota + 1
	Restricted
	Lost
	Stolen
	Closed
)

var statusTerms = [...]glossary.Term{
	Active:     {EN: "active", ZH: "正常"},
	Restricted: {EN: "blocked", ZH: "受限"},
	Lost:       {EN: "lost", ZH: "挂失"},
	Stolen:     {EN: "stolen", ZH: "被盗"},
	Closed:     {EN: "closed", ZH: "销户"},
}

// statusTransitions lists every legal change of standing; a closed card stays closed.
var statusTransitions = map[Status][]Status{
	Active:     {Restricted, Lost, Stolen, Closed},
	Restricted: {Active, Lost, Stolen, Closed},
	Lost:       {Active, Stolen, Closed},
	Stolen:     {Closed},
}

// Term names the standing in both languages.
func (s Status) Term() glossary.Term {
	if int(s) < len(statusTerms) {
		return statusTerms[s]
	}
	return glossary.Term{EN: "unknown", ZH: "未知"}
}

// May reports whether the standing may change to next.
func (s Status) May(next Status) bool {
	for _, legal := range statusTransitions[s] {
		if legal == next {
			return true
		}
	}
	return false
}

// Limits bound what a card may do. Amounts are in minor units of the account's currency; zero means that the rule does not apply.
type Limits struct {
	TapMinor      int64 `json:"tap_minor"`        // most for one payment
	DayMinor      int64 `json:"day_minor"`        // most for one business date
	DayCount      int   `json:"day_count"`        // most payments on one business date
	NoPINDayMinor int64 `json:"no_pin_day_minor"` // most without PIN on one business date
}

// sound reports whether no limit is negative: a negative one would read as none.
func (l Limits) sound() bool {
	return l.TapMinor >= 0 && l.DayMinor >= 0 && l.DayCount >= 0 && l.NoPINDayMinor >= 0
}

// pinTriesMax is how often a wrong PIN may be given in a row before the PIN is blocked; three is the practice of the trade.
const pinTriesMax = 3

// Enrolment is what personalisation tells the bank about one card and its accounts. It enters the journal as the card's first row.
type Enrolment struct {
	Card         int64       `json:"card"`
	Name         string      `json:"name"`
	Fingerprint  Fingerprint `json:"fingerprint"`
	SealedPAN    []byte      `json:"sealed_pan"`
	Masked       string      `json:"masked"`
	Sequence     string      `json:"sequence"`
	Expiry       string      `json:"expiry"` // YYMM
	Product      string      `json:"product"`
	Currency     int         `json:"currency"` // ISO 4217 number
	PINReference [16]byte    `json:"pin_reference"`
	NoPIN        bool        `json:"no_pin"`      // small payments without PIN allowed by the cardholder
	Contactless  bool        `json:"contactless"` // contactless payment allowed by the cardholder
	Limits       Limits      `json:"limits"`
	OpeningMinor int64       `json:"opening_minor"` // money on the account at opening
	PurseMinor   int64       `json:"purse_minor"`   // money on the chip at opening
	CreditMinor  int64       `json:"credit_minor"`  // how far the account may go below zero (credit line)
	// Algorithms are those of the card's suites, as its issuer application data name them [REF 1.7]; none is 3DES alone.
	Algorithms []byte `json:"algorithms,omitempty"`
	// Stripe: the card has no chip. Its stripe pays, always with the PIN; the stripe of a card with a chip never does.
	Stripe bool `json:"stripe,omitempty"`
	// Second is the second currency of a dual-currency card.
	Second *SecondPurse `json:"second,omitempty"`
}

// Change is a change of a card by the cardholder or the bank; nil members stay as they are.
type Change struct {
	Card        int64   `json:"card"`
	Status      *Status `json:"status,omitempty"`
	NoPIN       *bool   `json:"no_pin,omitempty"`
	Contactless *bool   `json:"contactless,omitempty"`
	Limits      *Limits `json:"limits,omitempty"`
	PINTries    *int    `json:"pin_tries,omitempty"`
	// Scripts are put behind the commands that wait for the card's next online payment by contact.
	Scripts []Script `json:"scripts,omitempty"`
	// AutoLoad replaces the standing order to load; zero amounts end it.
	AutoLoad *AutoLoad `json:"auto_load,omitempty"`
}

// Card is one card of this bank as the decision sees it.
type Card struct {
	Enrolment
	expiry pan.Expiry
	// reference is the PIN's, which a script may have changed since the enrolment.
	reference [16]byte
	Status    Status
	Tries     int
	account   ledger.Account
	purse     ledger.Account
	online    uint16  // highest counter honoured online
	window    counter // counters honoured, for late offline uploads
	days      usageDays
	chip      *chip
	residence
}

// usage is what a card did on one business date.
type usage struct {
	date       int32
	minor      int64
	noPINMinor int64
	count      int
}

// usageDays are the last business dates on which the card was used, newest first. Payments of neighbouring dates may arrive mixed around a cut-off, and
// the network's date may be one off the bank's, so three dates can be open at once.
type usageDays [3]usage

// on gives what the card did on a date.
func (d *usageDays) on(date int32) usage {
	for _, u := range d {
		if u.date == date {
			return u
		}
	}
	return usage{date: date}
}

// put keeps what the card did on a date and forgets the oldest date for a new one.
func (d *usageDays) put(u usage) {
	for at := range d {
		switch {
		case d[at].date == u.date:
			d[at] = u
			return
		case d[at].date < u.date:
			copy(d[at+1:], d[at:])
			d[at] = u
			return
		}
	}
}

// ErrEnrolment says that personalisation data cannot be taken.
var ErrEnrolment = errors.New("enrolment refused")

func newCard(e Enrolment) (*Card, error) {
	if e.Card <= 0 || e.Fingerprint == (Fingerprint{}) || e.Currency <= 0 {
		return nil, fmt.Errorf("card %d: %w: id, fingerprint and currency are needed", e.Card, ErrEnrolment)
	}
	if e.Card > cardMax || e.Currency > currencyMax {
		return nil, fmt.Errorf("card %d: %w: id or currency is out of range", e.Card, ErrEnrolment)
	}
	if e.OpeningMinor < 0 || e.PurseMinor < 0 || e.CreditMinor < 0 || !e.Limits.sound() {
		return nil, fmt.Errorf("card %d: %w: money cannot be negative", e.Card, ErrEnrolment)
	}
	if !e.Second.sound(e.Currency) {
		return nil, fmt.Errorf("card %d: %w: second currency", e.Card, ErrEnrolment)
	}
	if err := checkAlgorithms(e.Algorithms); err != nil {
		return nil, fmt.Errorf("card %d: %w: %w", e.Card, ErrEnrolment, err)
	}
	expiry, err := pan.ParseExpiry(e.Expiry)
	if err != nil {
		return nil, fmt.Errorf("card %d: %w: expiry: %w", e.Card, ErrEnrolment, err)
	}
	return &Card{
		Enrolment: e, expiry: expiry, reference: e.PINReference, Status: Active, Tries: pinTriesMax,
		account: accountOf(e.Card), purse: purseOf(e.Card),
	}, nil
}

func (c *Card) expired(on time.Time) bool { return c.expiry.Expired(on) }

// counter remembers which transaction counters of a card were honoured: the highest and a window below it, so that an offline payment uploaded late
// and out of order is taken once and an old one is not taken at all.
type counter struct {
	highest uint16
	seen    uint64 // bit i: highest - i was honoured
}

// counterWindow is how far behind the highest counter an offline payment may arrive: the purse's ten log records many times over.
const counterWindow = 64

// fresh reports whether atc was not honoured yet and is inside the window.
func (c counter) fresh(atc uint16) bool {
	if atc > c.highest || c.seen == 0 {
		return true
	}
	behind := c.highest - atc
	return behind < counterWindow && c.seen&(1<<behind) == 0
}

// gap reports whether a counter between two was not honoured, or whether nobody knows any more.
func (c counter) gap(low, high uint16) bool {
	if high-low > counterWindow {
		return true
	}
	for atc := low + 1; atc < high; atc++ {
		if c.fresh(atc) {
			return true
		}
	}
	return false
}

func (c *counter) use(atc uint16) {
	switch {
	case c.seen == 0:
		c.highest, c.seen = atc, 1
	case atc > c.highest:
		shift := atc - c.highest
		if shift >= counterWindow {
			c.seen = 0
		} else {
			c.seen <<= shift
		}
		c.highest, c.seen = atc, c.seen|1
	default:
		c.seen |= 1 << (c.highest - atc)
	}
}

// The bank's own accounts; a card's accounts follow from its id.
const (
	AccountScheme  ledger.Account = 1 // what the bank owes the scheme for its cardholders
	AccountFunding ledger.Account = 2 // where opening money comes from

	accountsPerCard = 10
	firstCard       = 1000
	// cardMax keeps account numbers, which follow from the card's, far from the end of their type; currencyMax is that of ISO 4217.
	cardMax     = 1 << 53
	currencyMax = 999
)

func accountOf(card int64) ledger.Account { return ledger.Account(firstCard + card*accountsPerCard) }
func purseOf(card int64) ledger.Account   { return ledger.Account(firstCard + card*accountsPerCard + 1) }

// cardOf is the card whose account it is, or a number that no card has.
func cardOf(a ledger.Account) int64 { return int64(a-firstCard) / accountsPerCard }

// AccountName names an account of the bank's books for people: the bank's own, or a card's by the card's id.
func AccountName(a ledger.Account) string {
	switch {
	case a == AccountScheme:
		return "scheme"
	case a == AccountFunding:
		return "funding"
	case a > ownElsewhere+fundingOffset:
		return fmt.Sprintf("funding in %03d", a-ownElsewhere-fundingOffset)
	case a > ownElsewhere:
		return fmt.Sprintf("scheme in %03d", a-ownElsewhere)
	case a >= firstCard && (a-firstCard)%accountsPerCard == 0:
		return fmt.Sprintf("account of card %d", (a-firstCard)/accountsPerCard)
	case a >= firstCard && (a-firstCard)%accountsPerCard == purseAt:
		return fmt.Sprintf("purse of card %d", (a-firstCard)/accountsPerCard)
	case a >= firstCard && (a-firstCard)%accountsPerCard == secondAccountAt:
		return fmt.Sprintf("account of card %d in its second currency", (a-firstCard)/accountsPerCard)
	case a >= firstCard && (a-firstCard)%accountsPerCard == secondPurseAt:
		return fmt.Sprintf("purse of card %d in its second currency", (a-firstCard)/accountsPerCard)
	}
	return fmt.Sprintf("account %d", a)
}
