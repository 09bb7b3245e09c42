package issuer

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// purseLimitMinor is the most a purse may hold: 1,000.00 by practice [REF 5].
const purseLimitMinor = 100_000

// operation is one way in which a script changes a purse. Its reason is the answer of its approval.
type operation struct {
	reason     Reason
	processing unionpay.ProcessingCode
	up         bool // the balance rises
	pin        bool // a payer's account and its PIN
}

var operations = [...]operation{
	{LoadHeld, unionpay.ProcessingLoad, true, true},
	{LoadOtherHeld, unionpay.ProcessingLoadOther, true, true},
	{LoadCashHeld, unionpay.ProcessingLoadCash, true, false},
	{LoadCashVoidHeld, unionpay.ProcessingLoadCashCancel, false, false},
	{UnloadHeld, unionpay.ProcessingUnload, false, false},
	{AutoLoadHeld, "", true, false}, // comes with the answer to a payment
}

func operationOf(reason Reason) (operation, bool) {
	for _, o := range operations {
		if o.reason == reason {
			return o, true
		}
	}
	return operation{}, false
}

// loading is the operation that a request asks for.
func loading(m *unionpay.FinancialRequest) (operation, bool) {
	if m.Authorization || m.Advice {
		return operation{}, false
	}
	for _, o := range operations {
		if o.processing == m.Processing && o.processing != "" {
			return o, true
		}
	}
	return operation{}, false
}

// reaches reports whether scripts in the answer find the card: not when a tap gave the cryptogram without a dialogue [REF 7.3].
func reaches(e unionpay.EntryMode) bool {
	return e.Mode() == unionpay.EntryContact || e.Mode() == unionpay.EntryContactlessFull
}

// loadRules decide on loads, their voids and unloads, in order of precedence.
var loadRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{SystemUnavailable, func(r *request) bool { return r.unavailable }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{CardStolen, withStatus(Stolen)},
	{CardLost, withStatus(Lost)},
	{CardRestricted, withStatus(Restricted)},
	{CardClosed, withStatus(Closed)},
	{CardExpired, onCard(func(r *request, c *Card) bool { return r.operation.up && c.expired(r.now) })},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool { return !c.holds(r.currency) })},
	{PayerUnknown, onCard(func(r *request, c *Card) bool {
		return r.operation.pin && (r.payer == nil || r.payer.Status != Active || r.payer.expired(r.now) || !r.payer.holds(r.currency))
	})},
	{ScriptOutOfReach, func(r *request) bool { return !r.reaches }},
	{ChipDataMissing, func(r *request) bool { return !r.chip || r.cryptogram == CryptogramAbsent }},
	{ChipDataMismatch, func(r *request) bool { return !r.chipAgrees }},
	{CryptogramWrong, func(r *request) bool { return r.cryptogram == CryptogramInvalid }},
	{NotARequestCryptogram, func(r *request) bool { return !r.requestAC }},
	{CounterUsed, onCard(func(r *request, c *Card) bool { return !c.risesTo(r.atc) })},
	{PurseNotProven, onCard(func(r *request, c *Card) bool {
		return !r.proven || r.balance > r.shadow || c.chipNow().load.state == loadHeld
	})},
	{PINFormatWrong, func(r *request) bool { return r.operation.pin && r.pin == PINUnreadable }},
	{PINBlocked, func(r *request) bool { return r.operation.pin && r.pin != PINAbsent && r.payer.Tries == 0 }},
	{PINWrong, func(r *request) bool { return r.operation.pin && r.pin == PINIncorrect }},
	{LoadNeedsPIN, func(r *request) bool { return r.operation.pin && r.pin == PINAbsent }},
	{PurseEmptied, onCard(func(r *request, c *Card) bool { return c.chipNow().emptiedOn(r.side) != 0 })},
	{PurseFull, func(r *request) bool { return r.operation.up && r.balance+r.minor > purseLimitMinor }},
	{NothingToVoid, onCard(func(r *request, c *Card) bool {
		return r.operation.reason == LoadCashVoidHeld && (r.original.seq == 0 || r.original.seq != c.chipNow().cash || r.original.minor != r.minor)
	})},
	{PurseTooLow, func(r *request) bool {
		return !r.operation.up && (r.minor > r.balance || r.operation.reason == UnloadHeld && r.minor != r.balance)
	}},
	{NotEnoughMoney, func(r *request) bool { return r.operation.pin && r.minor > r.availableFor(r.payer) }},
}

// load decides on a change of the chip's balance. The money is held until somebody knows whether the chip followed [REF 5].
func (i *Issuer) load(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	if err := i.joinLoad(ev, m, r); err != nil {
		return // nobody knows the payer or the original: no answer is better than a wrong one
	}
	reason := r.operation.reason
	for _, rule := range loadRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	if reason == PINWrong && r.payer != r.card {
		reason = PayerPINWrong // the tries are the other card's
	}
	row := i.row(m, r)
	row.Kind, row.Reason = journal.Declined, uint16(reason)
	n := note{loading: true, settles: r.settles, pinGiven: r.pin != PINAbsent && r.payer == r.card}
	if r.card != nil {
		n.tries = r.card.Tries
		n.counterUsed = r.cryptogram == CryptogramValid && r.chipAgrees && r.requestAC && r.card.risesTo(r.atc)
	}
	tries := i.payerTries(r, reason)
	if r.payer != nil && r.payer == r.card {
		n.tries = tries
	}
	var s scripts
	if reason == r.operation.reason {
		l := r.newLoad(r.operation)
		s = l.script(r.side.second)
		row.Kind, row.Phase, row.Debit, row.Credit = journal.Held, ledger.Pending, l.debit, l.credit
		n.authCode, n.load = authCode(step.NextSeq()), l
	}
	row.Answer, row.Note = append([]byte(n.authCode), s...), n.bytes()
	i.append(step, now, row)
	if r.payer != nil && r.payer != r.card && tries != r.payer.Tries {
		i.changeTries(now, r.payer.Enrolment.Card, tries, step)
	}
	i.answerChip(ev, m, reason, n.authCode, s, step)
}

// joinLoad finds whose account pays, and what a void names.
func (i *Issuer) joinLoad(ev *journal.Event, m *unionpay.FinancialRequest, r *request) (err error) {
	f, _ := ev.Finding.(*Finding)
	r.payer = r.card
	if r.operation.reason == LoadOtherHeld {
		r.payer = nil
		if f != nil && f.payer != nil && r.card != nil {
			r.payer, err = i.state.beside(r.card, f.payer.Card)
			i.recheckPIN(ev, m, r, r.payer)
		}
	}
	if err != nil || r.operation.reason != LoadCashVoidHeld {
		return err
	}
	if key := unionpay.OriginalKey(m); key != "" {
		r.original, _, err = i.state.payment(key, nil)
	}
	return err
}

// payerTries is triesAfter for the account that pays.
func (i *Issuer) payerTries(r *request, reason Reason) int {
	switch {
	case r.payer == nil:
		return 0
	case reason == PINWrong || reason == PayerPINWrong:
		return r.payer.Tries - 1
	case r.operation.pin && r.pin == PINRight && (reason == r.operation.reason || reason > PINWrong && reason < Approving):
		return pinTriesMax
	}
	return r.payer.Tries
}

// newLoad is the load that an approval begins.
func (r *request) newLoad(o operation) load {
	l := load{reason: o.reason, state: loadHeld, atc: r.atc, before: r.balance, after: r.balance + r.minor, minor: r.minor, credit: r.side.purse}
	switch o.reason {
	case LoadCashHeld:
		l.debit = r.side.scheme // the merchant has the cash, so the scheme owes it
	case LoadCashVoidHeld:
		l.after, l.debit, l.credit = r.balance-r.minor, r.side.purse, r.side.scheme
	case UnloadHeld:
		l.after, l.debit, l.credit = 0, r.side.purse, r.side.account
	default:
		from, _ := r.payer.side(r.currency)
		l.debit = from.account
	}
	return l
}

func (l load) script(second bool) scripts {
	value, minor, tag := make([]byte, amountBytes), l.after, emv.TagECBalance
	if second {
		tag = emv.TagSecondBalance
	}
	for at := amountBytes - 1; at >= 0; at-- {
		value[at] = byte(minor/10%10)<<4 | byte(minor%10)
		minor /= 100
	}
	return newScripts(loadingScript, l.atc, []Script{{Command: scriptSetBalance, Tag: uint16(tag), Value: value}})
}

func (l load) id() [4]byte { return [4]byte(l.script(false)[1:batchHead]) }

// changeTries is the row that counts a PIN given for another card than the row before is about.
func (i *Issuer) changeTries(now time.Time, card int64, tries int, step *journal.Step) {
	// What alter refuses cannot be: the card was read a moment ago and tries are in range.
	_ = i.alter(now, Change{Card: card, PINTries: &tries}, step)
}

// autoLoad is the load that goes with the answer to an approved payment, by the cardholder's standing order [REF 2.9].
func (i *Issuer) autoLoad(r *request, parent uint64) (load, bool) {
	auto := r.card.chipNow().auto
	if auto == (AutoLoad{}) || r.side.second || r.preAuth || !r.reaches || !r.proven || r.balance >= auto.ThresholdMinor || r.balance > r.shadow ||
		r.card.chipNow().load.state == loadHeld || r.card.chipNow().emptied != 0 {
		return load{}, false
	}
	if r.balance+auto.AmountMinor > purseLimitMinor || r.minor+auto.AmountMinor > r.availableFor(r.card) {
		return load{}, false
	}
	return load{reason: AutoLoadHeld, parent: parent, state: loadHeld, atc: r.atc, before: r.balance, after: r.balance + auto.AmountMinor,
		minor: auto.AmountMinor, debit: r.card.account, credit: r.card.purse}, true
}

// hold is the row of an automatic load.
func (i *Issuer) hold(now time.Time, r *request, l load, step *journal.Step) {
	i.append(step, now, journal.Row{Kind: journal.Held, Card: r.card.Enrolment.Card, ATC: r.atc, BusinessDate: r.businessDate, Linked: l.parent,
		Payment: r.id.key, Reason: uint16(AutoLoadHeld), Debit: l.debit, Credit: l.credit, Amount: l.minor, Currency: uint16(r.currency), Phase: ledger.Pending,
		Note: note{loading: true, tries: r.card.Tries, load: l}.bytes()})
}

// bytes of a load in the note of its row: balance before and after. Everything else are columns.
func (l load) bytes(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(l.before)), uint64(l.after))
}

// loadOf reads the load that a Held row begins.
func loadOf(r *journal.Row) (load, error) {
	o, known := operationOf(Reason(r.Reason))
	l := load{seq: r.Seq, parent: r.Linked, reason: o.reason, state: loadHeld, atc: r.ATC, minor: r.Amount, debit: r.Debit, credit: r.Credit}
	rd := cellReader{b: r.Note[min(len(r.Note), noteBytes):]}
	l.before, l.after = rd.minor(), rd.minor()
	if rd.bad || len(rd.b) != 0 || !known {
		return load{}, fmt.Errorf("row %d: not a load", r.Seq)
	}
	return l, nil
}

// applyHeld folds a load whose money is held.
func (s *state) applyHeld(r *journal.Row) error {
	l, err := loadOf(r)
	if err != nil {
		return err
	}
	if r.Key != "" {
		p, err := paymentOf(r)
		if err != nil {
			return err
		}
		s.recall(keyOf(r.Key), referenceOf(r.RRN), p, r.Answer)
	}
	c, fresh, err := s.moneyRow(r)
	if err != nil || !fresh {
		return err
	}
	n, err := readNote(r)
	if err != nil {
		return err
	}
	c.Tries = n.tries
	if n.counterUsed {
		c.window.use(r.ATC)
		c.online = max(c.online, r.ATC)
	}
	c.setChip(func(h *chip) { h.load = l })
	return nil
}

// moneyRow does the transfer of a row about loads, on all cards it touches. fresh says that the row is still to be folded into its card.
func (s *state) moneyRow(r *journal.Row) (c *Card, fresh bool, err error) {
	if c, fresh, err = s.rowCard(r); err != nil {
		return nil, false, err
	}
	if fresh {
		s.changed(c, r.Seq)
	}
	for _, a := range [...]ledger.Account{r.Debit, r.Credit} {
		if !ofCard(a) || cardOf(a) == r.Card {
			continue
		}
		other, err := s.beside(c, cardOf(a))
		switch {
		case err != nil:
			return nil, false, fmt.Errorf("row %d: the other card: %w", r.Seq, err)
		case other == nil:
			return nil, false, fmt.Errorf("row %d: unknown card %d", r.Seq, cardOf(a))
		}
		if r.Seq > other.seq {
			s.changed(other, r.Seq)
		}
	}
	if r.Phase == ledger.Post || r.Phase == ledger.Void {
		if _, open := s.book.Hold(r.Resolves); !open {
			s.book.Adopt(ledger.Hold{ID: r.Resolves, Debit: r.Debit, Credit: r.Credit, Amount: c.heldAmount(r), Currency: r.Currency})
		}
	}
	return c, fresh, s.transfer(r)
}

// heldAmount is the amount of the hold that a row ends; a pay-out may post less than was held.
func (c *Card) heldAmount(r *journal.Row) int64 {
	if l := c.chipNow().load; l.seq == r.Resolves {
		return l.minor
	}
	if n := len(r.Note); n > 0 {
		if held, used := binary.Uvarint(r.Note); used == n && held <= math.MaxInt64 {
			return int64(held)
		}
	}
	return r.Amount
}
