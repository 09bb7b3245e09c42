package acquirer

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Standing is where a merchant stands with its bank. The numbers are stored.
type Standing uint8

// The standings. Only terminals of approved merchants sign on and pay.
const (
	MerchantWaiting Standing = iota + 1
	MerchantApproved
	MerchantSuspended
	MerchantEnded
)

var standingTerms = map[Standing]glossary.Term{
	MerchantWaiting: {EN: "waits for approval", ZH: "待审核"}, MerchantApproved: {EN: "approved", ZH: "已审核"},
	MerchantSuspended: {EN: "suspended", ZH: "已暂停"}, MerchantEnded: {EN: "ended", ZH: "已解约"},
}

// Term names the standing.
func (s Standing) Term() glossary.Term { return standingTerms[s] }

// May reports whether a merchant may go from one standing to another. One that has ended stays so.
func (s Standing) May(to Standing) bool {
	switch to {
	case MerchantApproved:
		return s == MerchantWaiting || s == MerchantSuspended
	case MerchantSuspended:
		return s == MerchantApproved
	case MerchantEnded:
		return s != MerchantEnded
	}
	return false
}

type merchantStanding struct {
	standing Standing
	last     uint64 // last row about it
}

// SetMerchant is the command that approves, suspends or ends a merchant. The reply is Done or an error.
type SetMerchant struct {
	Merchant string   `json:"merchant"`
	Standing Standing `json:"standing"`
}

// Done is the reply to a command that was carried out.
type Done struct{}

// ErrMerchant says that a merchant's standing cannot be changed so.
var ErrMerchant = errors.New("acquirer: merchant")

// command carries out what comes from the bank's own staff; false when it is for somebody else.
func (a *Acquirer) command(now time.Time, ev *journal.Event, step *journal.Step) bool {
	var err error
	switch c := ev.Command.(type) {
	case SetMerchant:
		err = a.setMerchant(now, c, step)
	case Publish:
		err = a.publish(now, c, step)
	case RollBack:
		err = a.rollBack(now, c, step)
	default:
		return false
	}
	reply := any(Done{})
	if err != nil {
		reply = err
	}
	step.Emit(journal.Effect{Reply: reply})
	return true
}

func (a *Acquirer) setMerchant(now time.Time, c SetMerchant, step *journal.Step) error {
	place, known := a.state.places[c.Merchant]
	if !known {
		return fmt.Errorf("%w %q is unknown", ErrMerchant, c.Merchant)
	}
	if is := a.state.standing[place].standing; !is.May(c.Standing) {
		return fmt.Errorf("%w %q: %s may not become %s", ErrMerchant, c.Merchant, is.Term().EN, c.Standing.Term().EN)
	}
	note, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMerchant, err)
	}
	a.append(step, now, journal.Row{Kind: journal.MerchantChanged, Note: note, Reason: uint16(c.Standing)})
	a.admission.publish(a)
	return nil
}

// applyMerchant folds a change of a merchant's standing: Note = SetMerchant as JSON, Reason = its standing.
func (s *state) applyMerchant(r *journal.Row) error {
	var c SetMerchant
	if err := json.Unmarshal(r.Note, &c); err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if place, known := s.places[c.Merchant]; known { // a merchant that is gone from the list needs no standing
		s.standing[place] = merchantStanding{c.Standing, r.Seq}
	}
	return nil
}

func (s *state) restoreMerchant(cell *journal.Cell) error {
	place := cell.ID - merchantCell
	n, err := readCell(cell, 1)
	if err != nil || place >= int64(len(s.standing)) {
		return err
	}
	s.standing[place] = merchantStanding{Standing(n[0]), s.written}
	return nil
}

func (a *Acquirer) merchantOf(terminal string) Merchant {
	return a.deps.Merchants[a.terminals[terminal]]
}

func (a *Acquirer) standingOf(terminal string) Standing {
	return a.state.standing[a.terminals[terminal]].standing
}

// Standing is how a merchant stands; false when it is unknown. It belongs to the writer.
func (a *Acquirer) Standing(merchant string) (Standing, bool) {
	place, known := a.state.places[merchant]
	if !known {
		return 0, false
	}
	return a.state.standing[place].standing, true
}

// admission is which terminals may sign on, for the links, which ask beside the writer.
type admission struct {
	refused atomic.Pointer[map[string]bool]
}

func (d *admission) publish(a *Acquirer) {
	refused := map[string]bool{}
	for terminal, place := range a.terminals {
		if a.state.standing[place].standing != MerchantApproved {
			refused[terminal] = true
		}
	}
	d.refused.Store(&refused)
}

// Admits reports whether a terminal may sign on: it is known and its merchant is approved. It may be called from anywhere.
func (a *Acquirer) Admits(terminal string) bool {
	_, known := a.terminals[terminal]
	return known && !(*a.admission.refused.Load())[terminal]
}

// vet refuses what the acquirer itself can see is wrong. original is the payment that the request names, when there is one.
func (a *Acquirer) vet(m *unionpay.FinancialRequest, f *Finding, original *payment) unionpay.ResponseCode {
	merchant, b := a.merchantOf(m.Terminal), BusinessOf(m)
	named := unionpay.OriginalKey(m) != "" && b != OfflineSale || b.names()
	switch {
	case merchant.ID != m.Merchant || a.standingOf(m.Terminal) != MerchantApproved && !persists(m):
		return unionpay.InvalidMerchant
	case m.Amount.Minor() < 0 || m.Amount.Minor() == 0 && !b.amountless() && !a.verifies(m, b):
		return unionpay.InvalidAmount
	case !a.deps.keeps(uint16(m.Amount.Currency().Number())):
		return unionpay.NotPermittedToTerminal
	case b == Unknown:
		return unionpay.InvalidTransaction
	case !may(a.deps.Rules, merchant.Category, b):
		return unionpay.NotPermittedToTerminal
	case named && (original == nil || original.network == ""):
		return unionpay.OriginalNotFound
	}
	if refuse := b.follows(m, original); refuse != "" {
		return refuse
	}
	if refuse := a.tooMuch(m, merchant, b); refuse != "" {
		return refuse
	}
	if a.state.spent(m.Terminal, f.serial) {
		return unionpay.PINFormatError // a PIN that was recorded: its key has been used
	}
	return f.refuse
}
