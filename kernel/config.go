package kernel

import (
	"fmt"
	"io"
	"time"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/money"
)

// Limits on one tap.
const (
	// MaxRecords bounds how long a card keeps the reader reading; real cards list fewer than ten records.
	MaxRecords = 32
	// MaxCommands is GET PROCESSING OPTIONS and the records.
	MaxCommands = 1 + MaxRecords
)

// Config is what the acquirer sets for a terminal. It does not change during a tap, and a Machine reads it only.
type Config struct {
	// What goes into data objects for card and host.
	Type             byte                               // 9F35, terminal type [EMV B4 Annex A1]
	Capabilities     emv.TerminalCapabilities           // 9F33
	Additional       emv.AdditionalTerminalCapabilities // 9F40
	Version          uint16                             // 9F09, application version of the terminal; 0 means DefaultVersion
	SerialNumber     string                             // 9F1E, 8 characters
	TerminalID       string                             // 9F1C, 8 characters
	MerchantID       string                             // 9F16, 15 characters
	MerchantName     string                             // 9F4E, for the card's log
	MerchantType     [2]byte                            // 9F15, merchant category code, packed
	NoElectronicCash bool                               // 9F7A is 00 instead of 01
	SM               bool                               // DF69 is 01: the terminal knows SM2, SM3 and SM4 [REF 4.6]

	// Offline data authentication.
	CAKeys *oda.Keys // nil: no card can be authenticated offline
	Cache  KeyCache  // recovered keys; nil: recover every time

	// ExceptionFile reports whether a card is on the terminal's stop list. nil: no list. It is asked before the card pays, and again at the end. It must not
	// keep the number.
	ExceptionFile func(Presented) bool

	// Choices where the sources leave room.
	FDDA00Allowed      bool // dynamic signature version 00 is accepted [REF 2.6]
	ODAForOnline       bool // approve an online cryptogram at once when the card proves itself offline, authorise later [REF 2.7]
	SwitchIfNoCVM      bool // no cardholder verification in common: other interface, where there is one, instead of declined
	AllowUnaskedTC     bool // accept an offline approval although the reader asked for an online cryptogram
	PINBlockedDeclines bool // 6984 at GET PROCESSING OPTIONS: declined instead of other interface
}

// DefaultVersion is tag 9F09 unless the configuration says otherwise: PBOC 3.0 [REF 1.3].
const DefaultVersion = 0x0030

// Transaction is what changes from tap to tap. Amounts are 0 to money.MaxN12 minor units of one currency.
type Transaction struct {
	Amount, Other       money.Amount
	Type                byte      // 9C: 00 purchase [ISO 8583:1987]
	Date                time.Time // local to the terminal
	UnpredictableNumber [4]byte
	Country             uint16  // ISO 3166 number, 156
	TTQ                 emv.TTQ // after pre-processing [REF 7.1]
	Counter             uint32  // 9F41, the terminal's count of transactions, at most eight digits
}

// Check reports why a transaction cannot be written into data objects.
func (tx Transaction) Check() error {
	if _, err := tx.Amount.BCD(); err != nil {
		return fmt.Errorf("transaction amount: %w", err)
	}
	if _, err := tx.Other.BCD(); err != nil {
		return fmt.Errorf("other amount: %w", err)
	}
	if tx.Amount.Currency().IsZero() {
		return fmt.Errorf("transaction amount has no currency: %w", money.ErrCurrency)
	}
	if !tx.Other.IsZero() && tx.Other.Currency() != tx.Amount.Currency() {
		return fmt.Errorf("other amount: %w", money.ErrCurrency)
	}
	const maxCountry = 999
	if tx.Country > maxCountry {
		return fmt.Errorf("country %d is no number of ISO 3166", tx.Country)
	}
	return nil
}

// Selection is the application that the entry point selected: its name and the card's answer to SELECT.
type Selection struct {
	AID emv.AID
	FCI []byte
}

// CacheKey identifies the recovery of one key: a SHA-256 value over everything that went into it, the day included.
type CacheKey [32]byte

// KeyCache remembers keys out of verified certificates. Implementations are bounded and safe for concurrent use.
type KeyCache interface {
	Issuer(CacheKey) (oda.IssuerKey, bool)
	StoreIssuer(CacheKey, oda.IssuerKey)
	ICC(CacheKey) (oda.ICCKey, bool)
	StoreICC(CacheKey, oda.ICCKey)
}

// Event is what the reader reports about the last command: a Response or CardLost.
type Event interface{ event() }

// Response is the card's answer as it came: data and status word.
type Response struct{ Data []byte }

// CardLost says that the card left the field, or that the answer did not arrive.
type CardLost struct{}

func (Response) event() {}
func (CardLost) event() {}

// Format keeps card data out of prints.
func (r Response) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "response of %d bytes", len(r.Data))
}

// Format prints the event's name for every verb.
func (CardLost) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "card lost") }
