package acquirer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

// TransitRule is what the acquirer holds merchants of transit categories to. They ask for fares later, with what a chip said at a gate: the acquirer knows
// them, and stops a request above what was agreed, and a cryptogram that is shown a second time as if it were new, before a bank hears of it.
type TransitRule struct {
	// Categories are the merchants it is for [REF 2.7]: local transport, railways, buses.
	Categories []string
	// MostMinor is the most that one request for rides asks for when nothing was agreed with the merchant (Merchant.MostMinor).
	MostMinor int64
}

// DefaultTransit is what a Deps without a rule gets; the bound is that of the issuers of the test world.
func DefaultTransit() TransitRule {
	return TransitRule{Categories: []string{"4111", "4112", "4131"}, MostMinor: 5000}
}

// Limits of a rule.
const (
	transitCategoriesMax = 16
	// transitMostMax is the highest limit without PIN that there was [REF 6.3]: no ride is above it.
	transitMostMax = 100_000
)

// ErrTransit is wrapped when a rule cannot be used.
var ErrTransit = errors.New("acquirer: transit rule cannot be used")

// Check says why a rule cannot be used.
func (t *TransitRule) Check() error {
	if len(t.Categories) == 0 || len(t.Categories) > transitCategoriesMax || t.MostMinor <= 0 || t.MostMinor > transitMostMax {
		return fmt.Errorf("%w: %d categories, want 1 to %d; at most %d for a request, want above 0 and at most %d", ErrTransit, len(t.Categories),
			transitCategoriesMax, t.MostMinor, transitMostMax)
	}
	for _, c := range t.Categories {
		if len(c) != 4 || strings.Trim(c, "0123456789") != "" {
			return fmt.Errorf("%w: category %q is not four digits", ErrTransit, c)
		}
	}
	return nil
}

// Names reports whether the rule is for merchants of a category.
func (t *TransitRule) Names(category string) bool { return slices.Contains(t.Categories, category) }

// checkTransit fills the rule in, and says which merchants it is for.
func (d *Deps) checkTransit() (operators map[string]bool, err error) {
	if len(d.Transit.Categories) == 0 && d.Transit.MostMinor == 0 {
		d.Transit = DefaultTransit()
	}
	if err := d.Transit.Check(); err != nil {
		return nil, err
	}
	for _, m := range d.Merchants {
		if m.MostMinor < 0 {
			return nil, fmt.Errorf("acquirer: merchant %q: at most %d for a request", m.ID, m.MostMinor)
		}
		if !d.Transit.Names(m.Category) {
			continue
		}
		for _, t := range d.Terminals {
			if t.Merchant == m.ID {
				if operators == nil {
					operators = map[string]bool{}
				}
				operators[t.ID] = true
			}
		}
	}
	return operators, nil
}

// tooMuch refuses a request above what the merchant may ask for: any with the agreed amount, those for rides without one. What a card has paid already is not
// asked for.
func (a *Acquirer) tooMuch(m *unionpay.FinancialRequest, merchant Merchant, b Business) unionpay.ResponseCode {
	if merchant.MostMinor == 0 && !a.operators[m.Terminal] {
		return ""
	}
	most := merchant.MostMinor
	if a.operators[m.Terminal] {
		ride, err := unionpay.TransitOf(m.Detail)
		switch {
		case err != nil:
			return unionpay.FormatError
		case most == 0 && !ride.IsZero():
			most = a.deps.Transit.MostMinor
		}
	}
	switch b {
	case Sale, PreAuth, Completion, CompletionNotice:
		if most != 0 && m.Amount.Minor() > most {
			return unionpay.AmountLimit
		}
	}
	return ""
}

// verifies tells the pre-authorization of nothing by which an operator asks whether a card is good.
func (a *Acquirer) verifies(m *unionpay.FinancialRequest, b Business) bool {
	if b != PreAuth || !a.operators[m.Terminal] {
		return false
	}
	ride, err := unionpay.TransitOf(m.Detail)
	return err == nil && ride.Use == unionpay.TransitVerify
}

// What a Noted row says, as its reason: the cryptogram of a gate came, came again and was refused for it, or came again with the request that first brought it.
const (
	shownFirst uint16 = 1
	shownAgain uint16 = 2
	shownNamed uint16 = 3
)

// showing is where a cryptogram came first.
type showing struct {
	seq uint64
	by  string // key of the request
}

func showingOf(r *journal.Row) showing { return showing{r.Seq, r.Payment} }

// shownKey is the key of a cryptogram that a transit operator's request carries: of card, counter, unpredictable number and the cryptogram itself. Without the
// cryptogram among them a journal could be searched for card numbers; one that was changed to get past is refused by the bank that made its key. It is empty
// for every other request.
func (a *Acquirer) shownKey(m *unionpay.FinancialRequest) string {
	if !a.operators[m.Terminal] || counterOf(m) == 0 {
		return ""
	}
	switch BusinessOf(m) {
	case Sale, PreAuth, BalanceInquiry:
	default:
		return ""
	}
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "%s=%s=", m.PAN.Reveal(), m.CardSequence))
	for _, tag := range [...]tlv.Tag{emv.TagATC, emv.TagUnpredictableNumber, emv.TagAC} {
		value := m.ICC.Get(tag)
		h.Write(append([]byte{byte(len(value))}, value...))
	}
	const kept = 16
	return "oda-" + hex.EncodeToString(h.Sum(nil)[:kept])
}

// chainMax is how many requests in a row may name each other without an answer: a calendar of retries, twice over.
const chainMax = 16

// shown is what is known of the cryptogram that a request carries; how is zero for one of somebody who is no operator, or without one.
type shown struct {
	key   string
	how   uint16
	first showing
}

// look says whether a request's cryptogram came before: shownFirst when it did not, shownNamed when the request names the one that brought it, itself or by
// those that it names: then it claims nothing new, and the bank adds up what rests on it. Whether that request was answered or taken back does not matter.
func (a *Acquirer) look(m *unionpay.FinancialRequest, f *Finding, original *payment) (shown, unionpay.ResponseCode, error) {
	key := a.shownKey(m)
	if key == "" {
		return shown{}, "", nil
	}
	first, found, err := a.state.shown.Find(key, f.shown, a.state.lookShown)
	if err != nil || !found {
		return shown{key: key, how: shownFirst}, "", err
	}
	for range chainMax {
		if original == nil {
			break
		}
		if original.key == first.by {
			return shown{key, shownNamed, first}, "", nil
		}
		if original.original == "" {
			break
		}
		if original, _, err = a.state.payments.Find(original.original, journal.Recall[*payment]{}, a.state.look); err != nil {
			return shown{}, "", err
		}
	}
	return shown{key, shownAgain, first}, unionpay.DuplicateTransmission, nil
}

// show notes what look found.
func (a *Acquirer) show(now time.Time, m *unionpay.FinancialRequest, tap shown, step *journal.Step) {
	r := journal.Row{Kind: journal.Noted, Key: tap.key, Payment: unionpay.TerminalKey(m), Terminal: m.Terminal, STAN: m.STAN, ATC: counterOf(m), Reason: tap.how}
	if tap.how != shownFirst {
		r.Key, r.Linked = "", tap.first.seq
	}
	a.append(step, now, r)
}

// applyShown folds a cryptogram that came for the first time.
func (s *state) applyShown(r *journal.Row) error {
	switch {
	case r.Reason == shownFirst && r.Key != "":
		s.shown.End(r.Key, showingOf(r), r.Seq)
	case r.Reason != shownAgain && r.Reason != shownNamed || r.Linked == 0:
		return fmt.Errorf("row %d: says nothing of a cryptogram", r.Seq)
	}
	return nil
}

func (s *state) lookShown(key string) (showing, bool, error) {
	row, found, err := s.row(key)
	if err != nil || !found || row.Kind != journal.Noted {
		return showing{}, false, err
	}
	return showingOf(row), true, nil
}

// shownTerm says what a row about a cryptogram means.
func shownTerm(r *journal.Row) glossary.Term {
	switch r.Reason {
	case shownAgain:
		return glossary.Term{
			EN: fmt.Sprintf("the cryptogram of a gate came again, first in row %d: refused", r.Linked), ZH: fmt.Sprintf("闸机密文重复使用（首次见第%d行），拒绝", r.Linked),
		}
	case shownNamed:
		return glossary.Term{
			EN: fmt.Sprintf("the cryptogram of row %d again, with the request that first brought it", r.Linked),
			ZH: fmt.Sprintf("第%d行的密文再次出现，并指明首次携带它的请求", r.Linked),
		}
	}
	return glossary.Term{EN: "the cryptogram of a gate came", ZH: "收到闸机密文"}
}
