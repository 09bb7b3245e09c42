package verify

import (
	"context"
	"math"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal/journalsql"
	"tapnet/iso8583/unionpay"
)

// verdict collects what does not hold about one payment.
type verdict struct {
	auditor *auditor
	p       *payCase
	wrong   []Wrong
}

// judge compares the sides of a payment. It says nothing of what may still come.
func (a *auditor) judge(p *payCase) []Wrong {
	v := verdict{auditor: a, p: p}
	v.facts()
	v.codes()
	v.approvals()
	if p.closed() && !p.tail {
		v.complete()
		v.undone()
		v.money()
	}
	return v.wrong
}

func (v *verdict) side(r role) *side { return &v.p.sides[r] }

// point is a row of the payment at one member.
type point struct {
	role role
	row  uint64
	at   int64
}

func (v *verdict) begins(r role) point {
	s := v.side(r)
	return point{role: r, row: s.begin, at: s.beginAt}
}

func (v *verdict) ends(r role) point {
	s := v.side(r)
	if s.end == 0 {
		return v.begins(r)
	}
	return point{role: r, row: s.end, at: s.endAt}
}

func (v *verdict) undoes(r role) point {
	s := v.side(r)
	return point{role: r, row: s.undo, at: s.undoAt}
}

func (v *verdict) add(at point, field string, found, expected glossary.Term, by point) {
	m := v.side(at.role).member
	w := Wrong{Role: m.Role, Member: m.Name, Row: at.row, Field: field, Found: found, Expected: expected, at: at.at}
	if other := v.side(by.role).member; by.row != 0 && other != nil {
		w.Witness = Witness{other.Role, other.Name, by.row}
	}
	v.wrong = append(v.wrong, w)
}

// vote is what one member's row says.
type vote[T comparable] struct {
	at   point
	says T
}

// ballot names the rows that say other than most. When there is no majority every row is named but the first.
func ballot[T comparable](v *verdict, field string, word func(T) glossary.Term, votes []vote[T]) {
	best, most := 0, 0
	for i := range votes {
		n := 0
		for k := range votes {
			if votes[k].says == votes[i].says {
				n++
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	for i := range votes {
		if votes[i].says != votes[best].says {
			v.add(votes[i].at, field, word(votes[i].says), word(votes[best].says), votes[best].at)
		}
	}
	if len(votes) == 2 && votes[0].says != votes[1].says { // one against one: each is named
		v.add(votes[0].at, field, word(votes[0].says), word(votes[1].says), votes[1].at)
	}
}

// facts are what all members must have written alike.
func (v *verdict) facts() {
	var amounts [sides]vote[int64]
	var currencies, counters [sides]vote[uint16]
	var terminals, references [sides]vote[uint64]
	n, refs, atcs := 0, 0, 0
	for i := range v.p.sides {
		s, r := v.side(role(i)), role(i)
		if s.begin == 0 || s.parked {
			continue
		}
		at := v.begins(r)
		amounts[n], currencies[n], terminals[n] = vote[int64]{at, s.amount}, vote[uint16]{at, s.currency}, vote[uint64]{at, s.terminal}
		n++
		if s.rrn != 0 {
			where := at
			if r == theTills {
				where = v.ends(r)
			}
			references[refs] = vote[uint64]{where, s.rrn}
			refs++
		}
		if s.atc != 0 && r != theSwitches {
			counters[atcs] = vote[uint16]{at, s.atc}
			atcs++
		}
	}
	if n > 1 {
		ballot(v, "amount", number[int64], amounts[:n])
		ballot(v, "currency", number[uint16], currencies[:n])
		ballot(v, "terminal", v.textOf("terminal"), terminals[:n])
	}
	ballot(v, "rrn", v.textOf("rrn"), references[:refs])
	ballot(v, "atc", number[uint16], counters[:atcs])
	v.partners()
}

// textOf finds the text behind a hash in the rows of the payment, which is needed only when something is wrong.
func (v *verdict) textOf(field string) func(uint64) glossary.Term {
	return func(hash uint64) glossary.Term {
		for i := range v.p.sides {
			s := v.side(role(i))
			if s.member == nil {
				continue
			}
			for _, seq := range [...]uint64{s.begin, s.end} {
				r := s.member.row(seq)
				if r == nil {
					continue
				}
				text := r.RRN
				if field == "terminal" {
					text = r.Terminal
				}
				if v.auditor.hash(text) == hash {
					return quoted(text)
				}
			}
		}
		return wordSomething
	}
}

// partners: who asked whom, in what way, and under which date.
func (v *verdict) partners() {
	till, acquirer, sw, issuer := v.side(theTills), v.side(theAcquirers), v.side(theSwitches), v.side(theIssuers)
	kind := func(upload bool) glossary.Term {
		if upload {
			return fill("an offline payment", "脱机交易")
		}
		return fill("a payment in real time", "联机交易")
	}
	if till.begin != 0 && acquirer.begin != 0 && till.upload != acquirer.upload && v.p.network != 0 { // what it refused itself it does not say
		v.add(v.begins(theAcquirers), "reason", kind(acquirer.upload), kind(till.upload), v.begins(theTills))
	}
	if till.begin != 0 && acquirer.begin != 0 && acquirer.end != 0 && !till.parked && !acquirer.parked && v.p.network != 0 {
		if till.business != acquirer.business {
			v.add(v.begins(theAcquirers), "reason", number(acquirer.business), number(till.business), v.begins(theTills))
		}
		if till.of != 0 && acquirer.of != 0 && till.of != acquirer.of {
			v.add(v.begins(theTills), "note", number(till.of), number(acquirer.of), v.begins(theAcquirers))
		}
	}
	if acquirer.begin != 0 && issuer.begin != 0 && issuer.state != isDeclined && !issuer.either && issuer.upload != acquirer.upload {
		v.add(v.begins(theIssuers), "kind", kind(issuer.upload), kind(acquirer.upload), v.begins(theAcquirers))
	}
	if sw.begin == 0 || issuer.begin == 0 {
		return
	}
	if v.p.to != issuer.member.Name {
		v.add(v.begins(theIssuers), FieldParties, verbatim(issuer.member.Name), quoted(v.p.to), v.begins(theSwitches))
	}
	if own := v.auditor.calendar.BusinessDate(instant(issuer.beginAt)); issuer.date != sw.date && issuer.date != own {
		v.add(v.begins(theIssuers), "business_date", number(issuer.date), number(sw.date), v.begins(theSwitches))
	}
}

// codes: an answer is the same for everybody it passes.
func (v *verdict) codes() {
	var codes [sides]vote[uint16]
	var auths [sides]vote[[6]byte]
	var extras [sides]vote[uint64]
	n := 0
	flush := func() {
		if n > 1 {
			ballot(v, "answer", codeTerm, codes[:n])
			ballot(v, FieldAuthCode, authTerm, auths[:n])
			chip := extras[:n]
			if chip[0].at.role == theIssuers {
				chip = chip[1:] // an issuer's row does not hold the chip data of its answer
			}
			ballot(v, "answer", hashTerm, chip)
		}
		n = 0
	}
	for r := theIssuers; ; r-- {
		s := v.side(r)
		if !s.answered && r != theIssuers {
			flush() // what it says is its own
		}
		if s.code != 0 && s.begin != 0 && !s.parked {
			codes[n], auths[n], extras[n] = vote[uint16]{v.ends(r), s.code}, vote[[6]byte]{v.ends(r), s.auth}, vote[uint64]{v.ends(r), s.extra}
			n++
		} else {
			flush()
		}
		if r == theTills {
			break
		}
	}
	flush()
}

func authTerm(code [6]byte) glossary.Term {
	if code == ([6]byte{}) {
		return wordNothing
	}
	return quoted(string(code[:]))
}

func hashTerm(uint64) glossary.Term { return fill("other chip data", "不同的芯片数据") }

// onlyLink tells the answers that the link gives, or a role without making a row: they have no counterpart.
func onlyLink(code uint16) bool {
	switch unionpay.UnpackResponseCode(code) {
	case unionpay.MACError, unionpay.TerminalNotRegistered:
		return true
	}
	return false
}

// present reports whether the journals of the next member towards the issuer, or back, are in this directory.
func (v *verdict) present(r role) (name glossary.Term, ok bool) {
	a := v.auditor
	switch r {
	case theTills:
		acquirer := v.side(theAcquirers)
		row := acquirer.member.row(acquirer.begin)
		if row == nil {
			return name, false
		}
		m := a.tills[row.Terminal]
		if m == nil || m.lost {
			return name, false
		}
		return m.place(), true
	case theAcquirers:
		return a.acquirer.place(), a.acquirer != nil && !a.acquirer.lost
	case theSwitches:
		return a.switches.place(), a.switches != nil && !a.switches.lost
	}
	for _, m := range a.issuers {
		if m.Name == v.p.to {
			return m.place(), !m.lost
		}
	}
	return name, false
}

func (m *member) place() glossary.Term {
	if m == nil {
		return glossary.Term{}
	}
	return Wrong{Role: m.Role, Member: m.Name}.Place()
}

// lacks adds that a row has no counterpart at another member.
func (v *verdict) lacks(at point, there role) {
	name, ok := v.present(there)
	if !ok {
		return
	}
	v.add(at, FieldCounterpart, glossary.Term{EN: "no row at " + name.EN, ZH: name.ZH + "没有记录"},
		glossary.Term{EN: "its payment at " + name.EN, ZH: name.ZH + "有该交易"}, point{})
}

// approvals: what one member says is approved, the next one towards the issuer has approved before.
func (v *verdict) approvals() {
	for r := theTills; r < theIssuers; r++ {
		s, next := v.side(r), v.side(r+1)
		if s.begin == 0 || s.state != isApproved || s.parked {
			continue
		}
		switch {
		case next.begin == 0 && r == theSwitches && s.business == businessLastWord: // its issuer needs no row for it
		case next.begin == 0:
			v.lacks(v.ends(r), r+1)
		case next.state == isDeclined && s.code == next.code, next.state == isOpen, next.state == isTimedOut:
			v.add(v.ends(r), FieldEnd, stateTerm(s.state), stateTerm(next.state), v.ends(r+1))
		}
	}
}

func stateTerm(s outcome) glossary.Term {
	switch s {
	case isOpen:
		return fill("not ended", "未结束")
	case isApproved:
		return fill("approved", "已批准")
	case isDeclined:
		return fill("declined", "已拒绝")
	case isTimedOut:
		return fill("timed out", "已超时")
	}
	return fill("reversed", "已冲正")
}

// complete: who was asked has it in writing, and so has who asked.
func (v *verdict) complete() {
	till, acquirer, sw, issuer := v.side(theTills), v.side(theAcquirers), v.side(theSwitches), v.side(theIssuers)
	if issuer.begin != 0 && sw.begin == 0 && sw.undo == 0 {
		v.lacks(v.begins(theIssuers), theSwitches)
	}
	if sw.begin != 0 && acquirer.begin == 0 {
		v.lacks(v.begins(theSwitches), theAcquirers)
	}
	if acquirer.begin != 0 && till.begin == 0 {
		v.lacks(v.begins(theAcquirers), theTills)
	}
	for r, s := range [...]*side{till, acquirer, sw} {
		next := v.side(role(r) + 1)
		if s.begin != 0 && s.answered && s.state != isApproved && next.begin == 0 && !onlyLink(s.code) && !s.parked && v.mustKnow(role(r)+1, s) {
			v.lacks(v.ends(role(r)), role(r)+1)
		}
	}
}

// mustKnow: an answer comes from a row of the next member, except that an issuer refuses without one what was reversed before it came.
func (v *verdict) mustKnow(next role, s *side) bool {
	if next == theIssuers {
		code := unionpay.UnpackResponseCode(s.code)
		return code != unionpay.ResponseLate && code != unionpay.DuplicateTransmission
	}
	return v.side(next).undo == 0
}

// undone: a reversal goes all the way, and nobody reverses by himself.
func (v *verdict) undone() {
	till, acquirer, sw, issuer := v.side(theTills), v.side(theAcquirers), v.side(theSwitches), v.side(theIssuers)
	if till.undo != 0 && acquirer.undo == 0 {
		v.notUndone(v.undoes(theTills), theAcquirers)
	}
	acquirerSent := acquirer.undo != 0 && acquirer.state == isReversed || acquirer.state == isTimedOut
	if acquirerSent && sw.undo == 0 {
		v.notUndone(v.sender(theAcquirers), theSwitches)
	}
	switchSent := sw.passed || sw.state == isTimedOut
	if switchSent && issuer.undo == 0 {
		v.notUndone(v.sender(theSwitches), theIssuers)
	}
	if acquirer.undo != 0 && till.undo == 0 {
		v.unasked(theAcquirers, theTills)
	}
	if sw.undo != 0 && !acquirerSent && !sw.parked {
		v.unasked(theSwitches, theAcquirers)
	}
	if issuer.undo != 0 && !switchSent && !sw.parked {
		v.unasked(theIssuers, theSwitches)
	}
}

// sender is the row that sends a member's reversal.
func (v *verdict) sender(r role) point {
	if v.side(r).undo != 0 {
		return v.undoes(r)
	}
	return v.ends(r)
}

// notUndone: the next member did not take back what this one reversed and had acknowledged. Where the next one still knows the payment, its row
// is the one that is wrong: something should have ended it.
func (v *verdict) notUndone(sent point, there role) {
	name, ok := v.present(there)
	if !ok {
		return
	}
	if next := v.side(there); next.begin != 0 {
		v.add(v.begins(there), FieldEnd, stateTerm(next.state), stateTerm(isReversed), sent)
		return
	}
	v.add(sent, FieldCounterpart, glossary.Term{EN: "no reversal at " + name.EN, ZH: name.ZH + "没有冲正"},
		glossary.Term{EN: "its reversal at " + name.EN, ZH: name.ZH + "有该冲正"}, point{})
}

// unasked: a member reversed what the one before it did not.
func (v *verdict) unasked(r, before role) {
	name, ok := v.presentBefore(before)
	if !ok {
		return
	}
	by := point{}
	if v.side(before).begin != 0 {
		by = v.ends(before)
	}
	v.add(v.undoes(r), FieldEnd, stateTerm(isReversed), glossary.Term{EN: "no reversal: " + name.EN + " sent none", ZH: name.ZH + "未发出冲正"}, by)
}

func (v *verdict) presentBefore(r role) (glossary.Term, bool) {
	if r == theTills && v.side(theAcquirers).begin == 0 {
		return glossary.Term{}, false // whose till it was is not known
	}
	return v.present(r)
}

// money: what an issuer owes is what an acquirer claims.
func (v *verdict) money() {
	acquirer, issuer := v.side(theAcquirers), v.side(theIssuers)
	if v.p.flawed || len(v.wrong) > 0 || acquirer.begin == 0 || issuer.begin == 0 {
		return // the reason has been named
	}
	owed, claimed := issuer.hold && issuer.business != businessPreAuth || issuer.posted, acquirer.hold || acquirer.posted
	switch {
	case issuer.disputed: // clearing settles it: the chip proved what no terminal had told
	case owed && !claimed:
		v.add(v.begins(theIssuers), FieldHold, fill("owed", "应付"), fill("not claimed", "无应收"), v.ends(theAcquirers))
	case claimed && !owed:
		v.add(v.ends(theAcquirers), FieldHold, fill("claimed", "应收"), fill("not owed", "无应付"), v.begins(theIssuers))
	}
}

// finish judges what is still in memory, and what concerns no single payment.
func (a *auditor) finish(ctx context.Context) error {
	list := a.cases.all()
	if err := a.tails(ctx, list); err != nil {
		return err
	}
	for _, p := range list {
		if !p.known() {
			continue
		}
		a.refused += p.refusedPurse()
		wrong := a.judge(p)
		for _, w := range wrong {
			a.findings.add(w)
		}
		if !p.closed() {
			a.underway(p)
		}
	}
	for _, m := range a.members {
		m.finish()
	}
	a.unheard()
	a.finishTokens()
	a.totals(list)
	return a.checkChips(ctx, list)
}

func (p *payCase) known() bool {
	return slices.ContainsFunc(p.sides[:], func(s side) bool { return s.known() })
}

// underway counts a payment that has not ended; where nothing may be under way it is a finding.
func (a *auditor) underway(p *payCase) {
	a.cases.underway++
	for i := range p.sides {
		s := &p.sides[i]
		if s.member == nil {
			continue
		}
		s.member.tally.outstanding += s.waiting()
		if s.begin != 0 && s.state == isOpen && s.upload {
			s.member.tally.outstanding++
		}
		if !a.options.Settled {
			continue
		}
		place := Wrong{Role: s.member.Role, Member: s.member.Name, Row: s.begin, at: s.beginAt}
		if s.begin != 0 && s.state == isOpen {
			place.Field, place.Found, place.Expected = FieldEnd, stateTerm(isOpen), fill("an end", "已结束")
			a.findings.add(place)
		}
		for _, row := range [...]uint64{s.undoSent, s.timeSent} {
			if row != 0 {
				place.Row, place.Field = row, FieldDelivery
				place.Found, place.Expected = fill("not acknowledged", "未确认"), fill("an acknowledgement", "已确认")
				a.findings.add(place)
			}
		}
	}
}

// tails looks for what has been written since the journals were opened: a payment that an issuer has heard of and a till has not was begun
// meanwhile.
func (a *auditor) tails(ctx context.Context, list []*payCase) error {
	waiting := false
	for _, p := range list {
		waiting = waiting || len(a.judge(p)) > 0
	}
	for _, m := range a.members {
		if before, now := m.reader.Still(); before && !now {
			return errMoved
		}
		if !waiting || m.role >= theIssuers || m.lost {
			continue
		}
		_, last, err := m.reader.Ends()
		if err != nil || uint64(max(last, 0)) <= m.last {
			continue
		}
		err = m.reader.Rows(ctx, m.last, uint64(last), batchRows, new(journalsql.Batch), func(b *journalsql.Batch) (*journalsql.Batch, error) {
			for i := range b.Rows {
				r := &b.Rows[i]
				for _, key := range [...]string{r.Key, r.Payment, string(r.Note[:min(len(r.Note), networkKeyChars)])} {
					if p := a.cases.byJoin[a.join(key)]; p != nil {
						p.tail = true
					}
				}
			}
			return b, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// totals compares sums where no payment alone is wrong: a second look at the same books.
func (a *auditor) totals(list []*payCase) {
	if a.findings.total > 0 || a.acquirer == nil || len(a.issuers) == 0 || a.switches == nil || slices.ContainsFunc(list, func(p *payCase) bool {
		return p.tail || !p.closed()
	}) {
		return
	}
	var owed, claimed int64
	for _, m := range a.issuers {
		owed += m.posted + m.held
	}
	claimed = a.acquirer.posted + a.acquirer.held
	open := int64(0) // what only one of the two books, because the chip proved otherwise than the terminal told: clearing settles it
	for _, p := range list {
		if p.contested() {
			open += p.books(theIssuers) - p.books(theAcquirers)
		}
	}
	if owed != claimed+open {
		a.findings.add(Wrong{Role: Acquirer, Member: a.acquirer.Name, Field: FieldTotal, Found: number(claimed + open), Expected: fill("%d, what the issuers owe", "%d，即发卡行应付合计", owed), at: math.MaxInt64})
	}
	scheme := a.acquirer.balances[1]
	if got := scheme.DebitsPosted + scheme.DebitsPending - scheme.CreditsPosted - scheme.CreditsPending; got != claimed {
		a.findings.add(Wrong{Role: Acquirer, Member: a.acquirer.Name, Field: FieldTotal, Found: number(got), Expected: number(claimed), at: math.MaxInt64})
	}
}
