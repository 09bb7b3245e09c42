package issuer

import (
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// told is what a genuine cryptogram of a later payment says about the last load: whether the chip followed, and whether that is known at all. A balance that
// only the load explains proves it; so does one that it excludes, and the balance of the payment right behind it. By contact the card counts the commands it
// carried out [REF 1.8]: there were no others, for none are sent while this is open. That it counts none proves nothing: a host that answered for the bank,
// without its cryptogram, makes the card forget. Then the books decide, as far as nothing is missing in them.
func (i *Issuer) told(r *request, l load) (happened, known bool) {
	if r.card.sideOf(l).second != r.side.second {
		return r.toldElsewhere(l)
	}
	before := r.balance
	if r.approvalAC && r.fromPurse {
		before += r.minor // the balance is that after the payment
	}
	o, _ := operationOf(l.reason)
	switch {
	case o.up && before > l.before:
		return true, true
	case !o.up && before > l.after:
		return false, true
	case r.atc == l.atc+1:
		return before == l.after, true
	case r.reaches && r.cvr.ScriptCount() > 0 && !r.cvr.Has(emv.CVRLastScriptFailed) && !r.cvr.Has(emv.CVRLastOnlineIncomplete):
		return true, true
	case r.atc <= r.card.window.highest:
		return false, false // a later payment has been booked: what the books hold is not what they held then
	}
	without, with := i.state.shadowOn(r.side), i.state.shadowOn(r.side)
	change := l.minor
	if !o.up {
		change = -change
	}
	if l.state == loadBooked && l.reason != UnloadHeld {
		without -= change
	} else {
		with += change
	}
	switch {
	case before > min(without, with):
		return with > without, before <= max(without, with)
	case before == min(without, with):
		// A payment of the same amount that nobody has uploaded yet would look alike. That the card has carried out nothing speaks for a load that did not happen.
		silent := o.up && r.reaches && r.cvr.ScriptCount() == 0 && (r.card.Second == nil || r.card.online <= l.atc)
		if !silent && r.card.window.gap(l.atc, r.atc) {
			return false, false
		}
		return with < without, true
	}
	return false, false // payments that nobody has uploaded yet leave room for both
}

// toldElsewhere is what a payment with the other purse says: nothing by its balance, but the card counts the commands behind its last answer online whatever
// they were about, and forgets the number with the next answer.
func (r *request) toldElsewhere(l load) (happened, known bool) {
	done := r.cvr.ScriptCount() > 0 && !r.cvr.Has(emv.CVRLastScriptFailed) && !r.cvr.Has(emv.CVRLastOnlineIncomplete)
	return done, r.reaches && (done || r.atc == l.atc+1 && r.cvr.ScriptCount() < 2)
}

// settle lets a cryptogram settle the last load: what is held is booked or let go; what was booked on a terminal's word is put right when the chip says
// otherwise. It runs before the decision on the payment itself.
func (i *Issuer) settle(now time.Time, r *request, step *journal.Step) {
	if r.card == nil {
		return
	}
	l := r.card.chipNow().load
	if l.seq == 0 || r.cryptogram != CryptogramValid || !r.chipAgrees || !r.proven || r.atc <= l.atc {
		return
	}
	happened, known := i.told(r, l)
	switch {
	case !known:
	case l.reason == UnloadHeld && l.state == loadBooked && happened: // the pay-out is still to come
	case l.reason == UnloadHeld && l.state == loadBooked:
		i.release(now, r.card, l, LoadDisproven, r.businessDate, step)
	case l.state == loadHeld && happened:
		i.confirm(now, r.card, l, LoadProven, r.businessDate, step)
	case l.state == loadHeld:
		i.release(now, r.card, l, LoadDisproven, r.businessDate, step)
	case l.state == loadBooked && !happened:
		i.adjust(now, r, l, l.credit, l.debit, LoadDisproven, step)
	case l.state == loadReturned && happened:
		i.adjust(now, r, l, i.stillPays(r.card, l), l.credit, LoadProven, step)
	default:
		r.settles = true
	}
}

// stillPays is the account that pays for a load that was let go and had happened all the same: the payer's if it can, else the bank bears it.
func (i *Issuer) stillPays(c *Card, l load) ledger.Account {
	if !ofCard(l.debit) {
		return l.debit
	}
	of := c.sideOf(l)
	payer, err := i.state.beside(c, cardOf(l.debit))
	if err != nil || payer == nil {
		return of.funding
	}
	if from, has := payer.side(of.currency); !has || l.debit == from.account && i.state.availableOn(from) < l.minor {
		return of.funding
	}
	return l.debit
}

// confirm books what a load held. The money of an unload stays held until it is paid out.
func (i *Issuer) confirm(now time.Time, c *Card, l load, why Reason, date int32, step *journal.Step) {
	row := journal.Row{Kind: journal.Loaded, Card: c.Enrolment.Card, ATC: l.atc, Reason: uint16(why), BusinessDate: date, Linked: l.seq,
		Debit: l.debit, Credit: l.credit, Amount: l.minor, Currency: uint16(c.sideOf(l).currency), Phase: ledger.Post, Resolves: l.seq}
	if l.reason == UnloadHeld {
		row = journal.Row{Kind: journal.ScriptReported, Card: c.Enrolment.Card, ATC: l.atc, Reason: uint16(why), BusinessDate: date, Linked: l.seq,
			Note: []byte{resultDone, 0}}
	}
	i.append(step, now, row)
}

// release lets go what a load held.
func (i *Issuer) release(now time.Time, c *Card, l load, why Reason, date int32, step *journal.Step) {
	i.append(step, now, journal.Row{Kind: journal.Voided, Card: c.Enrolment.Card, ATC: l.atc, Reason: uint16(why), BusinessDate: date, Linked: l.seq,
		Debit: l.debit, Credit: l.credit, Amount: l.minor, Currency: uint16(c.sideOf(l).currency), Phase: ledger.Void, Resolves: l.seq})
}

// adjust moves the money to where the chip says it is.
func (i *Issuer) adjust(now time.Time, r *request, l load, debit, credit ledger.Account, why Reason, step *journal.Step) {
	i.append(step, now, journal.Row{Kind: journal.Adjusted, Card: r.card.Enrolment.Card, ATC: l.atc, Reason: uint16(why), BusinessDate: r.businessDate,
		Linked: l.seq, Debit: debit, Credit: credit, Amount: l.minor, Currency: uint16(r.card.sideOf(l).currency)})
}

// applySettled folds what became of a load: Loaded, Voided, Adjusted. On a terminal's word it is remembered until a cryptogram has confirmed it.
func (s *state) applySettled(r *journal.Row) error {
	c, fresh, err := s.moneyRow(r)
	if err != nil || !fresh {
		return err
	}
	c.setChip(func(h *chip) {
		if h.load.seq != r.Linked {
			return
		}
		l := h.load
		happened := r.Kind == journal.Loaded || r.Kind == journal.Adjusted && Reason(r.Reason) == LoadProven
		h.load.state = loadReturned
		if happened {
			h.load.state = loadBooked
		}
		if Reason(r.Reason) == LoadProven || Reason(r.Reason) == LoadDisproven {
			h.load = load{}
		}
		switch {
		case l.reason == LoadCashHeld && happened:
			h.cash = l.seq
		case l.reason == LoadCashHeld && h.cash == l.seq, l.reason == LoadCashVoidHeld && happened:
			h.cash = 0
		case l.reason == UnloadHeld && !c.sideOf(l).second:
			h.emptied = 0
		}
	})
	return nil
}

// applyPaidOut folds the end of an unload.
func (s *state) applyPaidOut(r *journal.Row) error {
	c, fresh, err := s.moneyRow(r)
	if err != nil || !fresh {
		return err
	}
	c.setChip(func(h *chip) {
		if h.unloaded.seq == r.Linked {
			h.unloaded = waits{}
		} else {
			h.load = load{}
		}
	})
	return nil
}

// report takes a terminal's word for what became of scripts. It says whether the results were about this card's.
func (i *Issuer) report(now time.Time, c *Card, results []result, date int32, step *journal.Step) {
	for _, r := range results {
		l := c.chipNow().load
		sent := c.chipNow().sent
		switch {
		case c.chipNow().pin.seq != 0 && r.id == c.chipNow().pin.id():
			i.pinTold(now, c, r, date, step)
		case l.seq != 0 && l.state == loadHeld && r.id == l.id() && r.status == resultDone:
			i.confirm(now, c, l, LoadConfirmed, date, step)
		case l.seq != 0 && l.state == loadHeld && r.id == l.id():
			i.release(now, c, l, LoadFailed, date, step)
		case sent.count > 0 && r.id == [4]byte{orderedScript, byte(sent.count), byte(sent.atc >> 8), byte(sent.atc)}:
			i.append(step, now, journal.Row{Kind: journal.ScriptReported, Card: c.Enrolment.Card, ATC: sent.atc, BusinessDate: date,
				Note: []byte{r.status, byte(r.failed)}})
		}
	}
}

// notice takes what a terminal says about scripts behind their payment (0620). It may come twice: the second time changes nothing and is answered alike.
func (i *Issuer) notice(now time.Time, ev *journal.Event, m *unionpay.ScriptNotice, step *journal.Step) {
	f, _ := ev.Finding.(*Finding)
	if f == nil || f.failed {
		return // the sender repeats it
	}
	reason := ScriptNoted
	c, err := i.noticed(m, f)
	switch {
	case err != nil:
		return
	case c == nil:
		reason = UnknownCard
	default:
		i.report(now, c, readResults(&m.Payment), i.businessDate(now, m.SettlementDate), step)
	}
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: reason.ResponseCode()})})
}

// noticed is the card that a notice is about: that of the payment it names, for a load may have been paid by another card; else the one whose number it has.
func (i *Issuer) noticed(m *unionpay.ScriptNotice, f *Finding) (*Card, error) {
	if key := unionpay.OriginalKey(m); key != "" {
		p, seen, err := i.state.payment(key, nil)
		if err != nil {
			return nil, err
		}
		if seen && p.card != 0 {
			return i.state.card(p.card)
		}
	}
	return i.state.touch(f)
}

// beside gives another card while the first one stays in memory.
func (s *state) beside(first *Card, id int64) (*Card, error) {
	if first.Enrolment.Card == id {
		return first, nil
	}
	s.cache.pinned = first.Enrolment.Card
	c, err := s.card(id)
	s.cache.pinned = 0
	return c, err
}

// payOutAfterDays is how long an emptied purse waits for payments that were made before: longer than any batch stays open.
const payOutAfterDays = 10

// PayOut is the command that pays out an unloaded purse and closes the card, once its last payments have had the time to arrive. The reply is Done or an
// error.
type PayOut struct{ Card int64 }

func (i *Issuer) payOut(now time.Time, id int64, step *journal.Step) error {
	c, err := i.state.card(id)
	if err != nil || c == nil {
		return fmt.Errorf("card %d: %w: no such card", id, ErrChange)
	}
	h, today := c.chipNow(), i.deps.Calendar.BusinessDate(now)
	first := h.load.reason == UnloadHeld && h.load.state == loadBooked
	if !first && h.unloaded.seq == 0 {
		return fmt.Errorf("card %d: %w: the purse was not unloaded", id, ErrChange)
	}
	if due := laterDate(h.emptied, payOutAfterDays); first && today < due {
		return fmt.Errorf("card %d: %w: pay-out from %d on", id, ErrChange, due)
	}
	l, closed := h.load, Closed
	second, both, err := i.dueSecond(c, today)
	if err != nil {
		return err
	}
	if first {
		i.append(step, now, i.payOutRow(c, l, c.first(), today))
	}
	if both {
		i.append(step, now, second)
	}
	if c.Status.May(Closed) {
		return i.alter(now, Change{Card: id, Status: &closed}, step)
	}
	return nil
}

func laterDate(date int32, days int) int32 {
	y, m, d := time.Date(int(date)/10000, time.Month(date/100%100), int(date)%100+days, 12, 0, 0, 0, time.UTC).Date()
	return int32(y*10000 + int(m)*100 + d)
}

// ReportLoss is the command of a cardholder who misses a card. The reply is a LossReport or an error.
type ReportLoss struct {
	Card   int64
	Stolen bool
}

// LossReport says what a loss report achieved: the account is safe, the purse is not.
type LossReport struct {
	Status Status
	// Purse is PurseCannotBeBlocked: whoever holds the card can spend what is on the chip, without PIN and without asking anybody [REF 5].
	Purse      Reason
	PurseMinor int64 // what the bank believes to be on the chip, at most
	// SecondMinor is the same in the card's second currency.
	SecondMinor int64
}

func (i *Issuer) reportLoss(now time.Time, report ReportLoss, step *journal.Step) any {
	status := Lost
	if report.Stolen {
		status = Stolen
	}
	if err := i.alter(now, Change{Card: report.Card, Status: &status}, step); err != nil {
		return err
	}
	c, err := i.state.card(report.Card)
	if err != nil || c == nil {
		return fmt.Errorf("card %d: %w: no such card", report.Card, ErrChange)
	}
	answer := LossReport{Status: c.Status, Purse: PurseCannotBeBlocked, PurseMinor: i.state.shadow(c)}
	if c.Second != nil {
		of, _ := c.side(c.Second.Currency)
		answer.SecondMinor = i.state.shadowOn(of)
	}
	return answer
}

// shadow is what the purse's account says the chip holds, or less: payments that have not been uploaded are still in it.
func (s *state) shadow(c *Card) int64 { return s.shadowOn(c.first()) }
