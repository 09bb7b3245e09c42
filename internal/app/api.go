package app

import (
	"time"

	"tapnet/glossary"
	"tapnet/internal/personalization"
	"tapnet/internal/trace"
	"tapnet/money"
	"tapnet/pinblock"
)

// TapRequest asks for one tap: a card of the world at a merchant of the world.
type TapRequest struct {
	Card     string        `json:"card"`
	Merchant string        `json:"merchant"`
	Amount   money.Amount  `json:"-"`
	PIN      *pinblock.PIN `json:"-"`                 // what the holder enters when asked; nil: nothing
	AskPIN   bool          `json:"ask_pin,omitempty"` // the cashier asks for the PIN whatever the amount
	// AmountText and PINText carry the two over the control socket.
	AmountText string `json:"amount"`
	PINText    string `json:"pin,omitempty"`
}

// TapOutcome says in one word how a tap ended.
type TapOutcome string

// The ends of a tap.
const (
	OutcomeApproved        TapOutcome = "approved"
	OutcomeApprovedOffline TapOutcome = "approved-offline"
	OutcomeDeclined        TapOutcome = "declined"
	OutcomeReversed        TapOutcome = "reversed"   // no answer in time; the payment was taken back
	OutcomePINNeeded       TapOutcome = "pin-needed" // the terminal asked for a PIN and got none
	OutcomeFailed          TapOutcome = "failed"     // no payment was made: the card or the terminal ended it
)

// TapResult is how one tap ended, for people and machines. It holds no full card number.
type TapResult struct {
	Card         string        `json:"card"`
	Merchant     string        `json:"merchant"`
	Masked       string        `json:"masked"`
	Amount       money.Amount  `json:"amount"`
	Outcome      TapOutcome    `json:"outcome"`
	ResponseCode string        `json:"response_code,omitempty"` // field 39
	Reason       glossary.Term `json:"reason"`                  // what decided
	Why          glossary.Term `json:"why"`                     // the rule or byte behind it
	Cause        glossary.Term `json:"cause"`                   // of no payment: card, carrier, terminal, parameters, network, host, cardholder [row A7]
	Next         glossary.Term `json:"next"`                    // what to do
	RRN          string        `json:"rrn,omitempty"`
	AuthCode     string        `json:"auth_code,omitempty"`
	PINEntered   bool          `json:"pin_entered"`
	TriesLeft    *int          `json:"tries_left,omitempty"` // after a wrong PIN
	PurseBefore  *money.Amount `json:"purse_before,omitempty"`
	PurseAfter   *money.Amount `json:"purse_after,omitempty"`
	Trace        string        `json:"trace"` // what `tapnet trace` finds it by
	Duration     time.Duration `json:"duration_ns"`
}

// Paid reports whether the merchant gets the money.
func (r TapResult) Paid() bool {
	return r.Outcome == OutcomeApproved || r.Outcome == OutcomeApprovedOffline
}

// CardInfo is a card of the world as a list shows it.
type CardInfo struct {
	Name    string       `json:"name"`
	Holder  string       `json:"holder"`
	Masked  string       `json:"masked"`
	Product string       `json:"product"`
	Issuer  string       `json:"issuer"`
	Expiry  string       `json:"expiry"`
	ATC     uint16       `json:"atc"`
	Purse   money.Amount `json:"purse"`
	NoPIN   bool         `json:"no_pin"`
}

// MerchantInfo is a merchant of the world as a list shows it.
type MerchantInfo struct {
	Name     string       `json:"name"`
	Label    string       `json:"label"`
	ID       string       `json:"id"`
	Terminal string       `json:"terminal"`
	Owed     money.Amount `json:"owed"`
}

// DemoOptions say how `tapnet demo` runs.
type DemoOptions struct {
	Seed uint64
	// Progress is told what happens next; it may be nil.
	Progress func(glossary.Term)
	// hooks takes what the token service tells banks and requestors; nil: nobody does.
	hooks webhookTaker
	// adjust changes the world before it is built; nil: nobody does.
	adjust func(*personalization.Profile)
}

// DemoReport is everything a demo showed.
type DemoReport struct {
	Seed       uint64
	Day        string // simulated business date, YYYY-MM-DD
	World      WorldSummary
	FirstTap   string // what the trace of the first tap is found by
	Taps       []DemoTap
	Steps      []DemoStep
	Chapters   []DemoChapter
	Faults     []DemoFault
	Invariants []DemoInvariant
	Books      []BookLine
	Seconds    float64
	Trace      *trace.Store
	Digest     string // over all journals: the same for the same seed
}

// WorldSummary counts who takes part.
type WorldSummary struct {
	Authorities, Issuers, Acquirers, Switches, Merchants, Cards int
	Built                                                       time.Duration
}

// DemoTap is one tap of the story. OK says that it ended as the story expects.
type DemoTap struct {
	Name   glossary.Term
	Amount string
	Result TapResult
	OK     bool
}

// DemoStep is one verb of a till in the story of chip and purse. OK says that it ended as the story expects and that Proof was found afterwards: on the chip
// and in its bank's books.
type DemoStep struct {
	Name   glossary.Term
	Amount string // decimal
	Result POSResult
	OK     bool
	Proof  glossary.Term
}

// DemoFault is one thing broken on purpose. OK says that the network dealt with it.
type DemoFault struct {
	Name   glossary.Term
	OK     bool
	Detail glossary.Term
	Trace  string
}

// DemoInvariant is one law of the books, checked on the journals after the story.
type DemoInvariant struct {
	Name   string
	Title  glossary.Term
	OK     bool
	Detail glossary.Term
}

// BookLine is one account of one member.
type BookLine struct {
	Member  string
	Account string
	Posted  money.Amount // credits less debits, settled
	Pending money.Amount // credits less debits, held
}

// Good reports whether everything was as it must be.
func (r *DemoReport) Good() bool {
	good := true
	for _, t := range r.Taps {
		good = good && t.OK
	}
	for _, step := range r.Steps {
		good = good && step.OK
	}
	for _, chapter := range r.Chapters {
		for _, step := range chapter.Steps {
			good = good && step.OK
		}
	}
	for _, f := range r.Faults {
		good = good && f.OK
	}
	for _, i := range r.Invariants {
		good = good && i.OK
	}
	return good
}
