package contact

import (
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/pinblock"
)

// Action is what the terminal does next: exactly one of the pointers is set. Each is answered by the events its type names.
type Action struct {
	Send     *apdu.Command // Response or CardLost
	Choose   *Choice       // Chosen or Cancelled
	PIN      *PINRequest   // PINEntered, PINBypassed, PINPadFailed or Cancelled
	Document *Document     // DocumentChecked
	Online   *Online       // HostAnswer or HostSilent
	Outcome  *Outcome      // the end
}

// Choice asks the cardholder for an application, the best first. A list of one asks for a confirmation.
type Choice struct {
	Candidates []Candidate
	Again      bool // the last choice could not be used: "try again"
}

// Candidate is an application that card and terminal share.
type Candidate struct {
	AID           emv.AID
	Label         string // 50
	PreferredName string // 9F12, in the character table CodeTable
	CodeTable     byte   // 9F11
	Priority      byte   // 1 is the best, 0 is none
	Confirm       bool   // not without the cardholder's confirmation

	application *Application
}

// Name is what the cardholder reads: the label, or what the identifier stands for.
func (c *Candidate) Name() string {
	if c.Label != "" {
		return c.Label
	}
	if term, ok := c.AID.Term(); ok {
		return term.EN
	}
	return c.AID.String()
}

// PINRequest asks the cardholder for a PIN.
type PINRequest struct {
	Online    bool // for the issuer: the PIN pad keeps it, PINEntered needs no PIN
	TriesLeft int  // of an offline PIN; -1: not known
	Wrong     bool // the last one was wrong
}

// Document asks the merchant to compare a document with what the card says, PBOC's verification method 20 [REF 1.11].
type Document struct {
	Type   byte // 9F62: 00 identity card, 01 officer, 02 passport, 03 entry permit, 04 temporary identity card, 05 other
	number string
}

// Reveal is the document's number, tag 9F61.
func (d Document) Reveal() string { return d.number }

// Format hides the number.
func (d Document) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "document of type %02X", d.Type) }

// Online is the request to the issuer.
type Online struct {
	Data      emv.Data // data record, as Outcome.Data
	OnlinePIN bool     // the cardholder has entered a PIN for the issuer
	Signature bool
	Purse     PurseOperation
	Cash      bool // a sale with electronic cash whose purse is running low: the issuer may fill it [REF 2.9]
}

// Event is what happened: one of the types below.
type Event interface{ event() }

// Each type below is one event.

// Response is the card's answer as it came: data and status word.
type Response struct{ Data []byte }

// CardLost says that the card was taken out, or that the answer did not arrive.
type CardLost struct{}

// Chosen is the index of the application the cardholder chose.
type Chosen struct{ Index int }

// Cancelled says that the cardholder or the merchant does not want to go on.
type Cancelled struct{}

// PINEntered is the cardholder's PIN. For an online PIN it stays zero.
type PINEntered struct{ PIN pinblock.PIN }

// PINBypassed says that the cardholder does not know the PIN and the merchant lets that pass.
type PINBypassed struct{}

// PINPadFailed says that the PIN pad does not work.
type PINPadFailed struct{}

// DocumentChecked is the merchant's finding.
type DocumentChecked struct{ Matches bool }

// HostAnswer is what the issuer said.
type HostAnswer struct {
	ARC        [2]byte // tag 8A, two characters: the response code of field 39
	Approved   bool    // what the response code means
	IssuerAuth []byte  // tag 91; empty: none
	Scripts    []byte  // templates 71 and 72 as they came, one after the other; empty: none
	Code       string  // tag 89, authorisation code; may be empty
}

// HostSilent says that there is no answer: no line, or it did not come in time.
type HostSilent struct{}

func (Response) event()        {}
func (CardLost) event()        {}
func (Chosen) event()          {}
func (Cancelled) event()       {}
func (PINEntered) event()      {}
func (PINBypassed) event()     {}
func (PINPadFailed) event()    {}
func (DocumentChecked) event() {}
func (HostAnswer) event()      {}
func (HostSilent) event()      {}

// Format keeps card data out of prints.
func (r Response) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "response of %d bytes", len(r.Data))
}

// Format prints no script and no cryptogram.
func (h HostAnswer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "host answer %q, scripts of %d bytes", h.ARC[:], len(h.Scripts))
}

// Format prints the event's name for every verb.
func (PINEntered) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "PIN entered") }
