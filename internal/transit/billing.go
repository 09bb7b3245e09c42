package transit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
)

// charge makes the bills of a plan: one for each credential, for what its lines add up to, or more when that is above what one request may ask for. What a
// rider is owed goes back on earlier bills.
func (o *Office) charge(now time.Time, a *account, p *plan, through fares.Date, why Reason, step *journal.Step) {
	for from := 0; from < len(p.lines); {
		to := from + 1
		for to < len(p.lines) && p.lines[to].credential == p.lines[from].credential && to-from < linesPerBill {
			to++
		}
		for _, part := range split(p.lines[from:to], o.deps.Profile.BillMinor) {
			o.chargeLines(now, part, through, why, step)
		}
		from = to
	}
	a.waiting = p.waiting
}

// split cuts the lines of a credential so that no part comes to more than most, 0 for as much as they come to. A journey that alone is dearer has a line in
// each of its parts.
func split(lines []line, most int64) (parts [][]line) {
	if most <= 0 || total(lines) <= most {
		return [][]line{lines}
	}
	// What goes back comes first: no part is below zero then.
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(x, y line) int { return cmp.Compare(min(x.minor, 0), min(y.minor, 0)) })
	var part []line
	var sum int64
	end := func() {
		parts, part, sum = append(parts, part), nil, 0
	}
	for _, l := range lines {
		if sum > 0 && sum+l.minor > most {
			end()
		}
		for sum+l.minor > most {
			piece := l
			piece.minor = most - sum
			l.minor -= piece.minor
			part = append(part, piece)
			end()
		}
		part, sum = append(part, l), sum+l.minor
	}
	if len(part) > 0 {
		end()
	}
	return parts
}

// linesPerBill keeps a row within its bounds.
const linesPerBill = 1000

func (o *Office) chargeLines(now time.Time, lines []line, through fares.Date, why Reason, step *journal.Step) {
	sum := total(lines)
	r := journal.Row{
		Kind: journal.Charged, Card: int64(lines[0].credential), Note: appendLines(nil, lines), Reason: uint16(why), BusinessDate: dateNumber(through),
		Currency: currencyNumber(&o.deps),
	}
	switch {
	case sum > 0:
		r.Amount, r.Debit, r.Credit = sum, AccountRiders, AccountFares
	case sum < 0:
		r.Amount, r.Debit, r.Credit = -sum, AccountFares, AccountRiders
	}
	o.append(step, now, r)
	o.giveBack(now, o.state.credentials[lines[0].credential], step)
}

// dateNumber is a service day as yyyymmdd.
func dateNumber(d fares.Date) int32 {
	year, month, dayOfMonth := time.Unix(int64(d)*int64(day/time.Second), 0).UTC().Date()
	return int32(year*10000 + int(month)*100 + dayOfMonth)
}

// dateOf is the inverse.
func dateOf(number int32) fares.Date {
	at := time.Date(int(number)/10000, time.Month(number/100%100), int(number)%100, 0, 0, 0, 0, time.UTC)
	return fares.Date(at.Unix() / int64(day/time.Second))
}

// applyCharged books the lines, makes the bill, and says what the taps have become.
func (s *state) applyCharged(r *journal.Row) error {
	c := s.credential(r.Card)
	lines, err := parseLines(r.Note)
	if c == nil || err != nil {
		return fmt.Errorf("row %d: a bill of credential %d: %w", r.Seq, r.Card, errLines)
	}
	a := s.accounts[c.account]
	if Reason(r.Reason) == ReasonOperator { // a refund by grace: no journey has changed
		s.newBill(c, r, -r.Amount, dateOf(r.BusinessDate))
		return nil
	}
	places := make(map[tapKey]int, len(a.taps))
	for i := range a.taps {
		places[tapKey{a.taps[i].device, a.taps[i].sequence}] = i
	}
	known := make(map[tapKey]int, len(a.booked))
	for i := range a.booked {
		known[a.booked[i].tap] = i
	}
	ridden := dateOf(r.BusinessDate)
	for _, l := range lines {
		if l.minor != 0 {
			ridden = min(ridden, l.day)
		}
		for _, key := range [...]tapKey{l.tap, l.other} {
			if i, ok := places[key]; ok && a.taps[i].state != l.state && a.taps[i].state != TapTakenBack {
				s.totals.state(a.taps[i].state, l.state)
				a.taps[i].state = l.state
			}
		}
		if i, ok := known[l.tap]; ok {
			s.tallies.day(a.booked[i].day).Minor += l.minor
			a.booked[i].minor += l.minor
			a.booked[i].gap = l.gapOf()
			continue
		}
		known[l.tap] = len(a.booked)
		a.booked = append(a.booked, booked{tap: l.tap, minor: l.minor, day: l.day, credential: c.number, gap: l.gapOf()})
		s.tallies.journey(&a.booked[len(a.booked)-1], 1)
	}
	s.forget(a, dateOf(r.BusinessDate))
	a.since, a.unbilled, a.estimate, a.looked = 0, 0, 0, 0
	s.newBill(c, r, total(lines), ridden)
	return nil
}

// newBill takes up a bill. What the rider is owed is taken off it first.
func (s *state) newBill(c *credential, r *journal.Row, sum int64, ridden fares.Date) {
	if sum < 0 {
		c.credit -= sum
		s.totals.Credited -= sum
		return
	}
	s.totals.Charged += sum
	off := min(sum, c.credit)
	c.credit -= off
	if sum == off {
		return
	}
	b := &bill{seq: r.Seq, credential: c.number, day: dateOf(r.BusinessDate), ridden: ridden, state: Due, minor: sum - off}
	s.takeBill(c, b)
	s.totals.Bills++
	s.agenda.put(b, r.At)
}

// takeBill puts a bill where it is found.
func (s *state) takeBill(c *credential, b *bill) {
	s.bills[b.seq] = b
	s.tallies.bill(b, 1)
	c.bills = append(c.bills, b.seq)
	if b.next != 0 {
		s.agenda.push(b)
	}
}

// forgetTaps drops taps of days before one. What its chip's counter says of a clock that was wrong goes for it here as well.
func (s *state) forgetTaps(a *account, before fares.Date) {
	old := func(t time.Time) bool { return s.deps.Book.ServiceDate(t) < before }
	if !slices.ContainsFunc(a.taps, func(t tap) bool { return t.state.Final() && old(t.instant()) }) {
		return
	}
	times, keep := s.times(a), a.taps[:0]
	for i, t := range a.taps {
		if !t.state.Final() || !old(a.when(times, i)) {
			keep = append(keep, t)
		}
	}
	a.taps = keep
}

// forget drops taps and lines that can no longer change anything, and keeps what their years count.
func (s *state) forget(a *account, through fares.Date) {
	before := frozen(through) - contextDays
	s.forgetTaps(a, before)
	lines := a.booked[:0]
	for _, b := range a.booked {
		if b.day < before {
			s.tallies.journey(&b, -1)
		}
		switch {
		case b.day >= before:
			lines = append(lines, b)
		case b.gap == gapCompleted:
			a.own().count(b.day.Year(), fares.YearCount{Incomplete: 1, Completed: 1})
		case b.gap == gapMaximum:
			a.own().count(b.day.Year(), fares.YearCount{Incomplete: 1})
		}
	}
	a.booked = lines
}

// giveBack uses what a rider is owed: on bills that are not paid yet, then as refunds of those that are, the latest first. The rest waits for the next bill.
func (o *Office) giveBack(now time.Time, c *credential, step *journal.Step) {
	for _, paid := range [...]bool{false, true} {
		for i := len(c.bills) - 1; i >= 0 && c.credit > 0; i-- {
			b := o.state.bills[c.bills[i]]
			switch {
			case b == nil:
			case !paid && (b.state == Due || b.state == Owed || b.state == Stopped):
				o.append(step, now, journal.Row{
					Kind: journal.Adjusted, Linked: b.seq, Card: int64(c.number), Amount: min(c.credit, b.minor), Currency: currencyNumber(&o.deps),
					Reason: uint16(ReasonCorrection),
				})
			case paid && b.state == Paid && b.minor > b.refunded:
				o.refund(now, b, min(c.credit, b.minor-b.refunded), true, step)
			}
		}
	}
}

// applyBill follows a bill that is lowered, paid another way, or given up.
func (s *state) applyBill(r *journal.Row) error {
	b := s.bills[r.Linked]
	if b == nil {
		return fmt.Errorf("row %d: names row %d, which is no bill", r.Seq, r.Linked)
	}
	c := s.credentials[b.credential]
	switch r.Kind {
	case journal.Expired:
		return s.move(b, EventGiveUp, r)
	case journal.Settled:
		c.refused = false
		s.list.stale[c.account] = true
		return s.move(b, EventSettle, r)
	}
	if r.Amount <= 0 || r.Amount > b.minor || r.Amount > c.credit || b.state != Due && b.state != Owed && b.state != Stopped {
		return fmt.Errorf("row %d: a bill of %d that is %q cannot be lowered by %d", r.Seq, b.minor, b.state, r.Amount)
	}
	c.credit -= r.Amount
	if b.minor == r.Amount {
		if err := s.move(b, EventSettle, r); err != nil {
			return err
		}
		s.totals.Settled -= b.minor
		s.tallies.bill(b, -1)
		b.minor = 0
		s.tallies.bill(b, 1)
		return nil
	}
	if b.state.Denies() {
		s.totals.Owed -= r.Amount
	}
	s.tallies.bill(b, -1)
	b.minor -= r.Amount
	s.tallies.bill(b, 1)
	return nil
}
