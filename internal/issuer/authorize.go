package issuer

import (
	"time"

	"tapnet/emv"
)

// Cryptogram is what the HSM said about a cryptogram.
type Cryptogram uint8

// Results of a cryptogram check.
const (
	CryptogramAbsent Cryptogram = iota
	CryptogramValid
	CryptogramInvalid
)

// PINResult is what the HSM said about a PIN block.
type PINResult uint8

// Results of a PIN check.
const (
	PINAbsent PINResult = iota
	PINRight
	PINIncorrect
	PINUnreadable
)

// request is a payment as the decision sees it: what the message says and what the HSM found.
type request struct {
	id           identity
	now          time.Time
	businessDate int32
	malformed    bool
	card         *Card // nil when no card has this number and sequence
	sale         bool  // a sale, a pre-authorization or a balance inquiry
	preAuth      bool
	inquiry      bool
	stripe       bool // read from the stripe, not the chip
	chipless     bool // the stripe of a card that has no chip: neither cryptogram nor counter
	contactless  bool
	minor        int64
	currency     int
	chip         bool // field 55 with the data the decision needs
	chipAgrees   bool // the chip signed the amount, currency and number of the message
	requestAC    bool // the cryptogram asks to go online
	approvalAC   bool // the cryptogram is the card's own approval
	unavailable  bool // the HSM could not answer
	token        bool // the network vouches for a token: cryptogram and counter are not of this bank's keys
	atc          uint16
	cryptogram   Cryptogram
	pin          PINResult
	newPIN       PINResult // of a change
	pinOrder     Reason    // what to do about the PIN; zero: nothing
	offlinePIN   bool      // the card has checked the PIN and says so under the cryptogram
	offlineWrong bool      // it has, and the PIN was wrong
	reaches      bool      // scripts in the answer find the card
	proven       bool      // the balance is the chip's own word, under its MAC
	balance      int64
	shadow       int64 // what the bank believes to be on the chip, at most
	cvr          emv.CVR
	settles      bool // this cryptogram has confirmed what was booked of the last load
	operation    operation
	payer        *Card   // whose account pays for a load; nil when it is not known
	original     payment // what a void or a refund names
	sequel       sequel
	became       standing // what became of it so far
	undone       bool     // it was reversed
	fromPurse    bool     // the chip took an offline payment off its purse
	side         side     // the accounts of the message's currency; zero when the card has none in it
	takesOver    bool     // an upload names the request whose place it takes
	named        bool     // an advice names its payment
	advised      bool     // an advice is about a sale
	deferred     bool     // rides are paid after they were taken, see TransitPolicy
	recalled     bool     // and their cryptogram came with an earlier request
	proof        string   // the key of that one
	served       int      // how many payments rest on it so far
	exhausted    bool     // with this one they would come to more than may
	availableFor func(*Card) int64
}

// Decision is the answer to a request. Tries is the number of PIN tries left after it.
type Decision struct {
	Reason      Reason
	Card        *Card
	Tries       int
	CounterUsed bool // the counter was proven by a valid cryptogram and is spent, whatever the answer
}

// Approved reports whether money is held.
func (d Decision) Approved() bool { return d.Reason == Approved }

// rule refuses a request. Rules are asked in order; the first that applies is the reason.
type rule struct {
	reason  Reason
	applies func(*request) bool
}

// onCard guards rules that need a known card.
func onCard(applies func(r *request, c *Card) bool) func(*request) bool {
	return func(r *request) bool { return r.card != nil && applies(r, r.card) }
}

func withStatus(status Status) func(*request) bool {
	return onCard(func(_ *request, c *Card) bool { return c.Status == status })
}

// rules is the whole decision, in order of precedence: message, card, chip, PIN, limits, money.
var rules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{SystemUnavailable, func(r *request) bool { return r.unavailable }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{CardStolen, withStatus(Stolen)},
	{CardLost, withStatus(Lost)},
	{CardRestricted, withStatus(Restricted)},
	{CardClosed, withStatus(Closed)},
	{CardExpired, onCard(func(r *request, c *Card) bool { return c.expired(r.now) })},
	{TypeNotPermitted, func(r *request) bool { return !r.sale }},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool { return r.currency != c.Currency })},
	{ContactlessOff, onCard(func(r *request, c *Card) bool { return r.contactless && !c.Contactless })},
	{StripeNotAllowed, func(r *request) bool { return r.stripe && !r.chipless }},
	{ChipDataMissing, func(r *request) bool {
		return !r.chip || r.cryptogram == CryptogramAbsent && !r.token && !r.recalled && !r.chipless
	}},
	{ChipDataMismatch, func(r *request) bool { return !r.chipAgrees }},
	{CryptogramWrong, func(r *request) bool { return r.cryptogram == CryptogramInvalid }},
	{NotARequestCryptogram, func(r *request) bool { return !r.requestAC }},
	{CounterUsed, onCard(func(r *request, c *Card) bool { return !r.token && !r.chipless && !r.counts(c) })},
	{PINFormatWrong, func(r *request) bool { return r.pin == PINUnreadable }},
	{PINBlocked, onCard(func(r *request, c *Card) bool { return r.pin != PINAbsent && c.Tries == 0 })},
	{PINWrong, func(r *request) bool { return r.pin == PINIncorrect }},
	{OfflinePINWrong, func(r *request) bool { return r.offlineWrong && r.pin != PINRight }},
	{NoPINSwitchedOff, onCard(func(r *request, c *Card) bool { return !r.verified() && (!c.NoPIN || r.stripe) })},
	{AboveNoPINLimit, onCard(aboveNoPINLimit)},
	{AboveTapLimit, onCard(func(r *request, c *Card) bool { return c.Limits.TapMinor > 0 && r.minor > c.Limits.TapMinor })},
	{AboveDayLimit, onCard(aboveDayLimit)},
	{TooManyToday, onCard(func(r *request, c *Card) bool {
		return !r.inquiry && c.Limits.DayCount > 0 && c.days.on(r.businessDate).count >= c.Limits.DayCount
	})},
	{NotEnoughMoney, onCard(func(r *request, c *Card) bool { return !r.inquiry && r.minor > r.availableFor(c) })},
	{ProofExhausted, func(r *request) bool { return r.exhausted }},
}

// uploadRules decide on a payment that the chip has already approved.
var uploadRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{TypeNotPermitted, func(r *request) bool { return !r.sale }},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool { return !c.holds(r.currency) })},
	{ChipDataMissing, func(r *request) bool { return !r.chip || r.cryptogram == CryptogramAbsent }},
	{ChipDataMismatch, func(r *request) bool { return !r.chipAgrees }},
	{CryptogramWrong, func(r *request) bool { return r.cryptogram == CryptogramInvalid }},
	{NotAnApproval, func(r *request) bool { return !r.approvalAC }},
	{CounterUsed, onCard(func(r *request, c *Card) bool { return !r.takesOver && !c.window.fresh(r.atc) })},
}

// risesTo holds real-time payments to rising counters: a tap's counter is above every counter honoured online and was not used offline.
func (c *Card) risesTo(atc uint16) bool { return atc > c.online && c.window.fresh(atc) }

// verified reports whether a PIN was given, to the bank or to the card: what the rules about payments without PIN ask.
func (r *request) verified() bool { return r.pin != PINAbsent || r.offlinePIN }

// aboveNoPINLimit applies the small-amount rule a second time: the terminal's word is not enough [REF 6.3].
func aboveNoPINLimit(r *request, c *Card) bool {
	if r.verified() {
		return false
	}
	day := c.days.on(r.businessDate)
	overDay := c.Limits.NoPINDayMinor > 0 && day.noPINMinor+r.minor > c.Limits.NoPINDayMinor
	return overDay || r.minor > NoPINLimitMinor(r.businessDate)
}

func aboveDayLimit(r *request, c *Card) bool {
	return !r.inquiry && c.Limits.DayMinor > 0 && c.days.on(r.businessDate).minor+r.minor > c.Limits.DayMinor
}

// decide gives the first rule that applies, or approves. It changes nothing.
func decide(r *request) Decision {
	d := Decision{Reason: Approved, Card: r.card}
	for _, rule := range rules {
		if rule.applies(r) {
			d.Reason = rule.reason
			break
		}
	}
	if r.card == nil {
		return d
	}
	// A cryptogram of another kind spends nothing here: a stolen approval, shown as a request, must not take the counter from the upload that is due.
	d.CounterUsed = r.cryptogram == CryptogramValid && r.chipAgrees && r.requestAC && !r.recalled && r.counts(r.card)
	d.Tries = triesAfter(r, d)
	return d
}

// triesAfter counts a wrong PIN once, and only when the decision got as far as the PIN: a stolen or replayed card teaches nobody the PIN. A right PIN
// gives the tries back.
func triesAfter(r *request, d Decision) int {
	switch {
	case d.Reason == PINWrong:
		return r.card.Tries - 1
	case r.pin == PINRight && (d.Reason == Approved || d.Reason > PINWrong):
		return pinTriesMax
	default:
		return r.card.Tries
	}
}
