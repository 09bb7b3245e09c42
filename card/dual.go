package card

import (
	"errors"
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
)

// SMProfile is the second set of algorithms of an application, for terminals that know SM2, SM3 and SM4 [REF 4.6]: what GET PROCESSING
// OPTIONS then answers instead. Certificates and signed data stand in records of their own, under the application's other records. Purse,
// counters, limits and PIN are the same: there is one application, with two sets of keys.
type SMProfile struct {
	Algorithm  byte // of the cryptogram
	AIP        emv.AIP
	OfflineAFL emv.AFL // ends with the same record as that of the first set: it is what a payment is recognised by
	OnlineAFL  emv.AFL

	// The dialogue with GENERATE AC. Each is there where ContactProfile has one.
	Contact, Cash, Full DialogueFiles
}

// DialogueFiles is what opens a dialogue with GENERATE AC.
type DialogueFiles struct {
	AIP emv.AIP
	AFL emv.AFL
}

// Dual is the keys of an application with two sets of algorithms: those for every terminal, and those for terminals with SM2, SM3 and SM4.
// As a Crypto it acts for the first.
type Dual struct {
	Crypto
	SM Crypto
}

// String shows no key.
func (Dual) String() string { return redacted }

// Format shows no key, whatever the verb.
func (Dual) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText shows no key.
func (Dual) MarshalText() ([]byte, error) { return []byte(redacted), nil }

var (
	errSMKeys  = errors.New("profile has two sets of algorithms, and the keys have not, or the other way round")
	errSMAsked = errors.New("profile has two sets of algorithms, but a PDOL does not ask for DF69")
	errSMLast  = errors.New("offline AFLs of both sets of algorithms end with different records")
	errSMFiles = errors.New("one set of algorithms has a dialogue that the other has not")
)

// application is the selected application with the set of algorithms that serves the transaction.
func (c *Card) application() *application {
	a := &c.applications[c.selected]
	if c.tx.sm {
		return a.sm
	}
	return a
}

// chosen is the application with the algorithms for a terminal: SM when both sides know it [REF 4.6].
func (a *application) chosen(terminal emv.Data) *application {
	if a.sm == nil {
		return a
	}
	if at, _ := cryptogram.Choose(terminal.Get(emv.TagSMSupport), a.suite, a.sm.suite); at == 1 {
		return a.sm
	}
	return a
}

// prepareSM makes the second set of algorithms ready. keys is what New was given for the application.
func (a *application) prepareSM(keys Crypto) error {
	dual, two := keys.(Dual)
	if two != (a.SM != nil) {
		return errSMKeys
	}
	if !two {
		return nil
	}
	if dual.Crypto == nil || dual.SM == nil || dual.SM.Suite().Cipher() != cryptogram.CipherSM4 {
		return errSMKeys
	}
	if len(a.PDOL) > 0 && !a.PDOL.Has(emv.TagSMSupport) || a.Contact != nil && !a.Contact.PDOL.Has(emv.TagSMSupport) {
		return errSMAsked
	}
	sm := &application{Application: a.Application, crypto: dual.SM, suite: dual.SM.Suite(), secondSet: true}
	p := a.SM
	sm.SM, sm.Algorithm, sm.AIP, sm.OfflineAFL, sm.OnlineAFL = nil, p.Algorithm, p.AIP, p.OfflineAFL, p.OnlineAFL
	if a.Contact != nil {
		k := *a.Contact
		if len(k.CashAFL) > 0 != (len(p.Cash.AFL) > 0) || len(k.FullAFL) > 0 != (len(p.Full.AFL) > 0) {
			return errSMFiles
		}
		k.AIP, k.AFL, k.CashAIP, k.CashAFL, k.FullAIP, k.FullAFL = p.Contact.AIP, p.Contact.AFL, p.Cash.AIP, p.Cash.AFL, p.Full.AIP, p.Full.AFL
		sm.Contact = &k
	}
	if err := sm.prepare(); err != nil {
		return fmt.Errorf("second set of algorithms: %w", err)
	}
	if sm.last != a.last || sm.hasLast != a.hasLast {
		return errSMLast
	}
	a.sm = sm
	return nil
}
