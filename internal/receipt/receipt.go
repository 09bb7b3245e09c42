// Package receipt writes what a point of sale prints: a receipt as text of 32 columns for a thermal printer, and as a page of HTML that prints.
//
// Promise: a receipt that is not for an approved transaction says so in words; both forms show the same lines in the same order, in English, in Chinese or
// in both; no line of the text is wider than 32 cells, with Chinese characters counting two; the page is self-contained, without script and without
// anything to load, and marks each text with its language. The account number appears only masked, and a receipt with the full number in any other place
// is refused. Layout follows the bank card receipts of the trade, which no published standard fixes.
//
// Not here: which receipts a payment needs, where they are kept, pictures (a QR code is its text, for whoever draws it), printers and their commands.
package receipt

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/money"
	"tapnet/pan"
)

// Columns is the width of a line of text: a roll of 58 mm.
const Columns = 32

// ErrInvalid is wrapped by every refusal. It never holds an account number.
var ErrInvalid = errors.New("a receipt cannot show this")

// Kind is the kind of transaction.
type Kind uint8

// The kinds.
const (
	Sale Kind = iota + 1
	SaleVoid
	Refund
	Preauthorization
	PreauthorizationVoid
	Completion
	CompletionVoid
	Balance
	CashSale // from the electronic cash purse, offline
	CashLoad // from an account into the purse
	CashLoadFromNotes
	CashLoadVoid
	CashUnload
	Settlement // of a batch: Totals
	PINChange
	PINUnblock
)

// Moneyless reports whether a transaction of this kind moves no money, so that its receipt has no amount.
func (k Kind) Moneyless() bool {
	return k == Balance || k == Settlement || k == PINChange || k == PINUnblock
}

// Result is what became of the transaction. The zero value is approved.
type Result uint8

// The results.
const (
	Approved Result = iota
	Declined
	Reversed  // taken back
	Cancelled // never made, or voided since
	Pending   // no answer yet
	Uncertain // only the card and its issuer know
)

// Totals are those of a settlement.
type Totals struct {
	DebitCount, CreditCount int64
	Debit, Credit           money.Amount
	Agreed                  bool
}

// Copy is whose copy it is.
type Copy uint8

// The copies.
const (
	CardholderCopy Copy = iota
	MerchantCopy
)

// Entry is how the card was read.
type Entry uint8

// The ways to read a card.
const (
	Contactless Entry = iota
	Contact
	Stripe
	Keyed
	QRCode
)

// Verification is how the cardholder was verified.
type Verification uint8

// The methods.
const (
	NoVerification Verification = iota
	Signature
	OnlinePIN
	OfflinePIN
	PINAndSignature
	Document // the cashier checked an identity document
	OnDevice // the phone asked
)

func (v Verification) signed() bool { return v == Signature || v == PINAndSignature }

// Merchant is who is paid.
type Merchant struct {
	Name    glossary.Term // in one language or in both
	Number  string        // merchant number, field 42
	Address string
}

// Chip is what the card and its kernel said. The zero value is none: a stripe, a code.
type Chip struct {
	AID            emv.AID
	Label          string // application label or preferred name
	TVR            emv.TVR
	TSI            emv.TSI
	ATC            uint16
	CryptogramType string // "TC", "ARQC", "AAC"
	Cryptogram     [8]byte
}

// Original points to the transaction that this one reverses, refunds or completes. The zero value is none.
type Original struct {
	Date      time.Time
	Trace     string
	Reference string
	AuthCode  string
}

// Data is a receipt before it is checked. Empty texts, zero amounts without currency and zero values are left out of what is printed.
type Data struct {
	Kind     Kind
	Copy     Copy
	Result   Result
	Reprint  bool
	Totals   *Totals // of a settlement, which has no amount
	Merchant Merchant
	Terminal string // terminal number, field 41
	Cashier  string

	Acquirer, Issuer glossary.Term
	Card             pan.Number // printed masked
	Entry            Entry
	Verification     Verification
	Chip             Chip

	Amount       money.Amount // not negative; voids and refunds print it with a minus
	Tip          money.Amount
	PurseBalance money.Amount // of electronic cash, afterwards
	Available    money.Amount // of the account, for Balance

	Time      time.Time // printed as it stands, in its own location
	Trace     string
	Batch     string
	Reference string // retrieval reference number, field 37
	AuthCode  string
	Original  Original

	QR   string        // payload of a code, printed as text
	Note glossary.Term // last line: a slogan, a warning

	Languages []glossary.Lang // one or two, in the order of printing
}

// Limits of texts. A receipt is read by people at a till.
const (
	maxText = 64  // characters of a name or number
	maxNote = 200 // characters of an address or a note
	maxQR   = 512 // characters, what a code on a slip of this width can hold and a phone can read
)

// Receipt is checked data. It masks the account number as pan.Number does.
type Receipt struct{ data Data }

// New checks data. The error wraps ErrInvalid and names the field.
func New(d Data) (Receipt, error) {
	switch {
	case d.Kind < Sale || d.Kind > PINUnblock || (d.Kind == Settlement) != (d.Totals != nil):
		return Receipt{}, fmt.Errorf("kind %d: %w", d.Kind, ErrInvalid)
	case d.Copy > MerchantCopy || d.Entry > QRCode || d.Verification > OnDevice || d.Result > Uncertain:
		return Receipt{}, fmt.Errorf("copy %d, entry %d, verification %d: %w", d.Copy, d.Entry, d.Verification, ErrInvalid)
	case d.Time.IsZero():
		return Receipt{}, fmt.Errorf("no time: %w", ErrInvalid)
	case d.Merchant.Name == (glossary.Term{}) || d.Merchant.Number == "" || d.Terminal == "":
		return Receipt{}, fmt.Errorf("no merchant name, merchant number or terminal number: %w", ErrInvalid)
	case d.Amount.Currency().IsZero() && !d.Kind.Moneyless():
		return Receipt{}, fmt.Errorf("no amount: %w", ErrInvalid)
	}
	if _, err := d.sum(); err != nil {
		return Receipt{}, fmt.Errorf("amount and tip: %w", errors.Join(err, ErrInvalid))
	}
	for name, a := range map[string]money.Amount{"amount": d.Amount, "tip": d.Tip, "purse balance": d.PurseBalance} {
		if a.Sign() < 0 { // an account may be overdrawn, so its balance is not here
			return Receipt{}, fmt.Errorf("negative %s: %w", name, ErrInvalid)
		}
	}
	if err := errors.Join(checkLanguages(d.Languages), d.checkTexts()); err != nil {
		return Receipt{}, err
	}
	d.Languages = append([]glossary.Lang(nil), d.Languages...)
	for _, name := range []*glossary.Term{&d.Merchant.Name, &d.Acquirer, &d.Issuer, &d.Note} {
		if name.EN == "" { // a name in one language stands for both
			name.EN = name.ZH
		}
	}
	return Receipt{d}, nil
}

// sum is the amount with the tip.
func (d Data) sum() (money.Amount, error) {
	if d.Tip.Currency().IsZero() {
		return d.Amount, nil
	}
	return d.Amount.Add(d.Tip)
}

func checkLanguages(languages []glossary.Lang) error {
	if n := len(languages); n < 1 || n > 2 || n == 2 && languages[0] == languages[1] {
		return fmt.Errorf("languages %v, want one or two: %w", languages, ErrInvalid)
	}
	for _, l := range languages {
		if l != glossary.English && l != glossary.Chinese {
			return fmt.Errorf("language %d: %w", l, ErrInvalid)
		}
	}
	return nil
}

// text is a field with what it may hold.
type text struct {
	name, value string
	limit       int
}

func (d Data) texts() []text {
	return []text{
		{"merchant name", d.Merchant.Name.EN, maxText}, {"merchant name", d.Merchant.Name.ZH, maxText}, {"merchant number", d.Merchant.Number, maxText},
		{"merchant address", d.Merchant.Address, maxNote}, {"terminal number", d.Terminal, maxText}, {"cashier", d.Cashier, maxText},
		{"acquirer", d.Acquirer.EN, maxText}, {"acquirer", d.Acquirer.ZH, maxText}, {"issuer", d.Issuer.EN, maxText}, {"issuer", d.Issuer.ZH, maxText},
		{"application label", d.Chip.Label, maxText}, {"cryptogram type", d.Chip.CryptogramType, maxText},
		{"trace number", d.Trace, maxText}, {"batch number", d.Batch, maxText}, {"reference number", d.Reference, maxText},
		{"authorization code", d.AuthCode, maxText}, {"original trace number", d.Original.Trace, maxText},
		{"original reference number", d.Original.Reference, maxText}, {"original authorization code", d.Original.AuthCode, maxText},
		{"QR payload", d.QR, maxQR}, {"note", d.Note.EN, maxNote}, {"note", d.Note.ZH, maxNote},
	}
}

// checkTexts refuses what would break a line or show the account number: these fields come from a card, a host and a keyboard.
func (d Data) checkTexts() error {
	full := d.Card.Reveal()
	for _, t := range d.texts() {
		if !utf8.ValidString(t.value) || utf8.RuneCountInString(t.value) > t.limit {
			return fmt.Errorf("%s: not text of at most %d characters: %w", t.name, t.limit, ErrInvalid)
		}
		for _, r := range t.value {
			if !unicode.IsPrint(r) {
				return fmt.Errorf("%s: a character that cannot be printed: %w", t.name, ErrInvalid)
			}
		}
		if full != "" && strings.Contains(digitsOf(t.value), full) {
			return fmt.Errorf("%s: holds the account number: %w", t.name, ErrInvalid)
		}
	}
	return nil
}

// digitsOf leaves out what people put between the digits of a card number, and turns full-width digits into plain ones.
func digitsOf(s string) string {
	const fullWidthZero, fullWidthNine = '\uFF10', '\uFF19'
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || strings.ContainsRune(".,_/", r):
			return -1
		case r >= fullWidthZero && r <= fullWidthNine:
			return '0' + r - fullWidthZero
		}
		return r
	}, s)
}

// negative reports whether money goes back to the cardholder.
func (k Kind) negative() bool {
	switch k {
	case SaleVoid, Refund, PreauthorizationVoid, CompletionVoid, CashLoadVoid:
		return true
	}
	return false
}
