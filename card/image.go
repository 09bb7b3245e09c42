package card

import (
	"errors"
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/money"
	"tapnet/pan"
)

// Interface is the way the card is powered.
type Interface uint8

// The interfaces of a dual-interface card; the zero value is no power.
const (
	Contactless Interface = 1 << iota
	Contact
	// NoInterface is that of a card without a chip, a stripe on plastic: no reader ever powers it.
	NoInterface
)

// Image is everything personalisation wrote on one card, and the state it starts with. It holds the card's data in the
// clear: print it freely (it masks itself), store it only through MarshalBinary and where card data may be stored.
type Image struct {
	Historical    []byte        // bytes the card presents when it wakes up, at most MaxHistoricalBytes
	NoContactless bool          // contactless is switched off: the PPSE answers 6A82
	Interfaces    Interface     // what the carrier offers, for example a SIM behind an antenna Contactless only; 0: both
	NoPSE         bool          // no directory on contact: a terminal tries its own list
	Applications  []Application // in the order of partial selection; 1 to MaxApplications
	State         State
}

// MaxHistoricalBytes is what an ATR has room for [ISO 7816-4 8.1.1].
const MaxHistoricalBytes = 15

// Application is one payment application.
type Application struct {
	// What SELECT and the directory tell [REF 1.2]. Empty values are left out.
	AID           emv.AID
	Label         string   // 50
	PreferredName string   // 9F12
	CodeTable     byte     // 9F11, code table of the preferred name
	Language      string   // 5F2D
	Priority      byte     // 87
	Kernel        []byte   // 9F2A of the directory entry; most cards omit it
	PDOL          emv.DOL  // 9F38
	Discretionary emv.Data // further objects of BF0C, for example the load log entry DF4D
	NoContactless bool     // this application alone is switched off on contactless
	Withhold      Withhold // what is not told to a reader that does not pay

	// What GET PROCESSING OPTIONS answers.
	AIP        emv.AIP
	OfflineAFL emv.AFL    // of an approved (TC) transaction; its last record commits the payment
	OnlineAFL  emv.AFL    // of ARQC and AAC; empty: 94 is left out
	Track2     pan.Track2 // 57
	Sequence   string     // 5F34, two digits; empty: left out
	Holder     string     // 5F20 in online answers; empty: left out
	Product    []byte     // 9F63 in online answers; empty: left out
	CTQ        emv.CTQ    // 9F6C, the bits that do not depend on the transaction

	// What the card's own risk management follows [REF 2.2].
	Currency          money.Currency           // 9F51
	SecondCurrency    money.Currency           // DF71; zero: none
	Processing        emv.AdditionalProcessing // 9F68
	Extended          emv.ExtendedIndicator    // DF61
	DeclineWithoutCVM bool                     // no common cardholder verification: answer AAC instead of 6985 [REF C]

	// How it speaks to its issuer [REF 1.7].
	DKI       byte
	CVN       byte // 01 or 17
	Algorithm byte // of the cryptogram: cryptogram.AlgorithmTDES and so on
	IDD       byte // issuer discretionary data, emv.IDDBalance and so on; 0: none
	FDDA01    bool // dynamic signature version 01 is supported

	Records []Record
	Objects emv.Data  // constants for GET DATA that nothing above holds: 9F52, 9F56, 9F57, 9F58…
	Log     LogLayout // of payments
	LoadLog LogLayout // of loads: SFI of DF4D, usually 0C, and DF4F; each record begins with tag, old and new balance [REF 3.4]

	Contact *ContactProfile // the dialogue with GENERATE AC; nil: none, the application speaks qPBOC only
	SM      *SMProfile      // a second set of algorithms, with keys that are a Dual; nil: there is one
	Files   []ExtendedFile  // of the extended application [REF 2.8]
}

// Record is one record of a file: the contents of template 70.
type Record struct {
	SFI, Number byte
	Body        []byte
	Updatable   bool // the issuer's scripts may replace it
}

// LogLayout describes a log. A zero LogLayout keeps no log.
type LogLayout struct {
	SFI    byte    // first byte of 9F4D (usually 0B) or DF4D
	Format emv.DOL // 9F4F or DF4F
}

// Withhold names what the card keeps from a reader that only reads. It is enforced where the reader reads: a payment needs
// number and expiry and so tells them, and uses up a transaction counter for it, which the issuer can see.
type Withhold uint8

// Each readable object can be withheld by itself.
const (
	WithholdNumber  Withhold = 1 << iota // records with 5A or 57, before GET PROCESSING OPTIONS
	WithholdExpiry                       // records with 5F24 or 57, before GET PROCESSING OPTIONS
	WithholdCounter                      // GET DATA 9F36 and 9F13
	WithholdLog                          // log records, 9F4F, 9F4D, DF4F, DF4D
	WithholdBalance                      // GET DATA of balances, available and cumulative amounts

	withholdAll = WithholdNumber | WithholdExpiry | WithholdCounter | WithholdLog | WithholdBalance
)

// Has reports whether every named object is withheld.
func (w Withhold) Has(objects Withhold) bool { return w&objects == objects }

// String names the card, never its number.
func (im Image) String() string {
	return fmt.Sprintf("card image with %d applications", len(im.Applications))
}

// Format prints String for every verb, so that no verb shows card data.
func (im Image) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, im.String()) }

// MarshalText is String, which also keeps card data out of JSON.
func (im Image) MarshalText() ([]byte, error) { return []byte(im.String()), nil }

// String names the application, never its number.
func (a Application) String() string { return fmt.Sprintf("application %v (%s)", a.AID, a.Label) }

// Format prints String for every verb.
func (a Application) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }

// MarshalText is String.
func (a Application) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String names the record, never its contents.
func (r Record) String() string {
	return fmt.Sprintf("record %d.%d, %d bytes", r.SFI, r.Number, len(r.Body))
}

// Format prints String for every verb.
func (r Record) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// MarshalText is String.
func (r Record) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ErrImage says that personalisation wrote something that cannot be a card.
var ErrImage = errors.New("card image is not usable")
