// Package terminal is a point of interaction: for cards in the field the entry point of [EMV BookA 4] and [EMV BookB 3] around kernel 7.
// It prepares the transaction for each combination of application and kernel, finds and selects the application, runs the
// kernel and returns its outcome; it recovers a payment that was torn after the card had approved (闪卡) [REF 2.5]; and it
// reads what a card tells any reader.
//
// It promises that a tap ends after a bounded number of commands with an outcome, and that a torn payment is never reported
// approved without evidence from the same card that the money moved, nor started again while the card may have paid.
//
// It also holds the whole dialogue with a card in the slot, sale or purse (Insert), hides readers behind Reader, and says of a
// payment that failed whose fault it was (Diagnose).
//
// It keeps no time (the caller passes it), shows nothing (an Observer does) and asks no host: an outcome that wants the issuer
// is the caller's to carry on.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
)

// Defaults of recovery after a torn tap, terminal parameters FF803A and FF803C [REF 2.5].
const (
	DefaultRetapWindow  = 10 * time.Second
	DefaultRetapProcess = 60 * time.Second
)

// Limits of one combination in minor units. A limit without a currency (the zero Amount) is not checked.
type Limits struct {
	Transaction money.Amount // at or above it: not contactless (DF20)
	Floor       money.Amount // above it: online (DF19); zero of a currency: everything online
	CVM         money.Amount // at or above it: cardholder verification (DF21)
	StatusCheck bool         // an amount of one unit of currency (1.00) asks whether the card is good
	ZeroAllowed bool         // an amount of nothing is allowed, and goes online
}

// Combination is an application with the kernel that handles it [EMV BookB 3.1].
type Combination struct {
	AID    emv.AID // the card's identifier begins with it
	Kernel byte    // kernel identifier, 07 for QuickPass
	TTQ    emv.TTQ // replaces Config.TTQ unless it is all zeros
	Limits Limits
	// ExtendedSelection appends tag 9F29 of the directory entry to the name in SELECT [EMV BookB 3.3].
	ExtendedSelection bool
}

// Config is one terminal.
type Config struct {
	Country      uint16         // ISO 3166 number
	Currency     money.Currency // of every amount
	TTQ          emv.TTQ        // before pre-processing: what the terminal can do [REF 1.4]
	Combinations []Combination
	Kernel       kernel.Config // terminal and merchant identity, capabilities, CA keys, exception file
	// Contact is what the reader with contacts is set to; its Terminal is Kernel. Without applications there is no such reader.
	Contact  contact.Config
	Random   io.Reader // unpredictable numbers; 4 bytes for each kernel activation, 36 for each insertion, 32 for a dialogue that follows a tap
	Observer Observer  // may be nil

	RetapWindow  time.Duration // 0 means DefaultRetapWindow
	RetapProcess time.Duration // 0 means DefaultRetapProcess
	// RetapNeedsSignature: a torn payment counts as made only when the card shows its last record again and the signature
	// verifies. Otherwise the balance or the card's log will do as well [REF 2.5].
	RetapNeedsSignature bool
}

// Observer sees what happens during a tap, in order. It does not keep the slices.
type Observer interface {
	Exchange(command, response []byte, err error)
	Screen(kernel.UIRequest)
}

// Terminal is a configured terminal. It may be used by many goroutines if Random, Observer and the kernel's ports may.
type Terminal struct {
	config Config
}

// Request is one payment.
type Request struct {
	Amount, Other money.Amount
	Type          byte      // tag 9C: 00 purchase
	Now           time.Time // local to the terminal
	OfflineOnly   bool      // no line to the host: the issuer cannot be asked
	AskIssuer     bool      // the issuer decides whatever the amount: money is held, not paid from the chip
	Counter       uint32    // tag 9F41
	// Dialogue answers what the full dialogue asks, for cards that hold nothing else without contact [REF 2.1]. nil: such cards are to be
	// inserted. Card and terminal must both offer it: TTQ B1b7, and an application in Config.Contact.
	Dialogue *People
}

// Result is how a tap ended.
type Result struct {
	Outcome kernel.Outcome
	AID     emv.AID            // the selected application; empty when none was
	Torn    *Torn              // set when the card left after it had approved: present the same card to Retap
	UI      []kernel.UIRequest // everything the Observer was asked to show, in order
	// Dialogue is the full dialogue that the tap went on with; nil: none. Outcome then repeats its end, with ReasonDialogueHeld: the issuer
	// has been asked already.
	Dialogue *InsertResult
}

// Diagnose says whose fault it was that a tap failed.
func (r *Result) Diagnose() Diagnosis {
	if r.Dialogue != nil {
		return DiagnoseInsert(&r.Dialogue.Outcome)
	}
	return Diagnose(&r.Outcome)
}

// ErrConfig is wrapped when a terminal cannot be built from its configuration.
var ErrConfig = errors.New("terminal configuration is not usable")

// ErrRequest is wrapped when a request is not a payment this terminal can attempt.
var ErrRequest = errors.New("request is not usable")

// New checks the configuration.
func New(c Config) (*Terminal, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.RetapWindow == 0 {
		c.RetapWindow = DefaultRetapWindow
	}
	if c.RetapProcess == 0 {
		c.RetapProcess = DefaultRetapProcess
	}
	c.Contact.Terminal = c.Kernel
	return &Terminal{config: c}, nil
}

// Tap runs one payment with a card in the field. The error is a surprise: the reader failed, the context ended, the request
// is impossible. Whatever the card does is an outcome.
func (t *Terminal) Tap(ctx context.Context, reader apdu.Transceiver, r Request) (Result, error) {
	return t.tap(ctx, reader, r)
}

// Retap is 闪卡: the card whose payment was torn is back in the field [REF 2.5]. If the card has paid, the outcome is Approved
// with the data of the interrupted payment. If it has not, and the re-tap window is still open, a new payment follows at
// once and its result is returned. Otherwise the payment is interrupted: not approved. Another card is sent away with
// TryAgain, and Torn stays set.
func (t *Terminal) Retap(ctx context.Context, reader apdu.Transceiver, torn *Torn, now time.Time) (Result, error) {
	return t.retap(ctx, reader, torn, now)
}
