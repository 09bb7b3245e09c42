package contact

import (
	"errors"
	"fmt"

	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

// Limits on one payment.
const (
	// MaxRecords bounds how long a card keeps the terminal reading; a debit card with certificates has fewer than ten records.
	MaxRecords = 32
	// MaxApplications bounds the terminal's own list; a scheme has fewer than ten applications.
	MaxApplications = 32
	// MaxCandidates bounds what one card can make the terminal consider.
	MaxCandidates = 16
	// MaxDirectoryRecords bounds the card's directory; it ends with 6A83 at the latest there.
	MaxDirectoryRecords = 16
	// MaxPINTries bounds how often the cardholder is asked; cards allow three tries, fifteen at most [EMV B3 6.5.12].
	MaxPINTries = 15
	// MaxScripts and MaxScriptCommands bound what a host can make the terminal send to the card.
	MaxScripts        = 8
	MaxScriptCommands = 32
	// MaxScriptBytes is the longest script data of one answer: more than the 128 bytes every terminal must take [EMV B3 10.10].
	MaxScriptBytes = 1024

	maxSelections = MaxCandidates + MaxApplications // SELECT and SELECT NEXT by name
	// MaxCommands is selection, the final selections with GET PROCESSING OPTIONS each, records, authentication, PIN, counters,
	// two cryptograms and the scripts.
	MaxCommands = 1 + MaxDirectoryRecords + maxSelections + 2*MaxCandidates + MaxRecords + 1 + 2 + 2*MaxPINTries + 2 + 8 + 3 + MaxScriptCommands
	// MaxQuestions is the choice of an application, the PIN, the document and the host.
	MaxQuestions = MaxCandidates + MaxPINTries + 4
)

// Application is one application of the terminal with the acquirer's parameters for it [REF 1.3].
type Application struct {
	AID       emv.AID
	ExactOnly bool     // application selection indicator DF01 is 01; otherwise a card's name may go on behind AID
	Versions  []uint16 // 9F09: what the terminal supports; none: kernel.Config.Version

	TACDefault, TACOnline, TACDenial emv.TVR // DF11, DF12, DF13

	FloorLimit       money.Amount // 9F1B; the zero Amount: everything is at or above it
	Threshold        money.Amount // DF15: at or above it the share grows [EMV B3 10.6.2]
	TargetPercent    int          // DF17, 0 to 99
	MaxTargetPercent int          // DF16, TargetPercent to 99

	DefaultDDOL emv.DOL // DF14; nil: 9F37 alone
	DefaultTDOL emv.DOL // nil: none

	ECLimit money.Amount // 9F7B: electronic cash up to it; the zero Amount: no electronic cash
	// CashKeepsFloor holds electronic cash to the floor limit and the random selection as well. The sources leave room.
	CashKeepsFloor bool
}

// Config is what the acquirer sets for a terminal. It does not change during a payment, and a Machine reads it only.
type Config struct {
	Terminal     kernel.Config // identity, capabilities, CA keys, exception file
	Applications []Application

	// Selectable: there is a display and keys, so that the cardholder can choose and confirm an application [EMV B1 12.4].
	Selectable bool
	// OnlineOnlyDefault applies the default action codes of a terminal that is online only when the host does not answer; without
	// it such a terminal declines [EMV B3 10.7].
	OnlineOnlyDefault bool
	// ScriptsNeedApproval: issuer scripts of a declined payment are not sent to the card. EMV sends them [EMV B3 10.10].
	ScriptsNeedApproval bool
}

// Transaction is what changes from payment to payment. Amounts are 0 to money.MaxN12 minor units of one currency.
type Transaction struct {
	kernel.Transaction // TTQ counts only when the card is in the field

	Purse       PurseOperation // not a sale: the purse is loaded or emptied
	OfflineOnly bool           // no line to the host
	ForceOnline bool           // the merchant wants the issuer's word [EMV B3 10.6]
	Attended    bool           // somebody of the merchant's is there: for manual cash
	// Previous is what the same card has paid here before, in this batch: the floor limit is for the sum [EMV B3 10.6.1].
	Previous func(pan.Number) money.Amount
	// Seed decides the random selection and fills enciphered PIN blocks. 32 unpredictable bytes.
	Seed [32]byte
}

// ErrConfig is wrapped when a configuration or a transaction cannot be used.
var ErrConfig = errors.New("contact configuration is not usable")

// Check reports why a configuration cannot be used. The error wraps ErrConfig.
func (c *Config) Check() error {
	if len(c.Applications) == 0 || len(c.Applications) > MaxApplications {
		return fmt.Errorf("%w: %d applications, want 1 to %d", ErrConfig, len(c.Applications), MaxApplications)
	}
	for i := range c.Applications {
		if err := c.Applications[i].check(); err != nil {
			return fmt.Errorf("%w: application %d: %w", ErrConfig, i+1, err)
		}
	}
	return nil
}

func (a *Application) check() error {
	const percent = 99
	if _, err := emv.ParseAID(a.AID.Bytes()); err != nil {
		return err
	}
	if a.TargetPercent < 0 || a.TargetPercent > percent || a.MaxTargetPercent < a.TargetPercent || a.MaxTargetPercent > percent {
		return fmt.Errorf("random selection of %d to %d percent", a.TargetPercent, a.MaxTargetPercent)
	}
	if a.DefaultDDOL != nil && !a.DefaultDDOL.Has(emv.TagUnpredictableNumber) {
		return fmt.Errorf("default DDOL without unpredictable number")
	}
	return nil
}

// Check reports why a transaction cannot be attempted. The error wraps ErrConfig.
func (tx *Transaction) Check() error {
	if err := tx.Transaction.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if tx.Purse >= purseOperationCount {
		return fmt.Errorf("%w: purse operation %d", ErrConfig, tx.Purse)
	}
	if tx.Purse != PurseNone && tx.OfflineOnly {
		return fmt.Errorf("%w: the purse is loaded with the issuer's help only", ErrConfig)
	}
	if tx.Purse != PurseNone && tx.Purse != PurseUnload && tx.Amount.IsZero() {
		return fmt.Errorf("%w: nothing to load", ErrConfig)
	}
	return nil
}

// version is whether the terminal knows the card's application version [EMV B3 10.4.1].
func (a *Application) supports(card uint16, c *kernel.Config) bool {
	for _, v := range a.Versions {
		if v == card {
			return true
		}
	}
	if len(a.Versions) > 0 {
		return false
	}
	own := c.Version
	if own == 0 {
		own = kernel.DefaultVersion
	}
	return own == card
}

// terminal types: the low digit says where and how, the high digit who operates [EMV B4 Annex A1].
const (
	lowDigit          = 0x0F
	attendedOnline    = 1
	attendedOffline   = 3
	unattendedOnline  = 4
	unattendedOffline = 6
)

func (c *Config) onlineOnly() bool {
	t := c.Terminal.Type & lowDigit
	return t == attendedOnline || t == unattendedOnline
}

func (c *Config) offlineOnly() bool {
	t := c.Terminal.Type & lowDigit
	return t == attendedOffline || t == unattendedOffline
}

func (c *Config) unattended() bool { return c.Terminal.Type&lowDigit >= unattendedOnline }

// atm: a terminal of a financial institution, unattended, that pays out cash.
func (c *Config) atm() bool {
	const financial = 0x10
	return c.Terminal.Type&^lowDigit == financial && c.unattended() && c.Terminal.Additional.Has(emv.AddCapCash)
}
