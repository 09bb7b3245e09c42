package ledger

import "math"

// move is a transfer that has passed every rule but those of the balances: accounts by place, and what changes.
type move struct {
	debit, credit int32
	hold          int64 // added to the pending sums; below zero it releases
	post          int64 // added to the posted sums
}

// Check is what Apply would answer. It changes nothing.
func (b *Book) Check(t Transfer) Code {
	m, code := b.plan(&t)
	if code != OK {
		return code
	}
	_, _, code = b.outcome(m)
	return code
}

// Apply does the transfer, or refuses it and changes nothing.
func (b *Book) Apply(t Transfer) Code {
	m, code := b.plan(&t)
	if code != OK {
		return code
	}
	debit, credit, code := b.outcome(m)
	if code != OK {
		return code
	}
	b.commit(&t, m, debit, credit)
	return OK
}

// ApplyLinked does all the transfers or none: more than two legs, such as a conversion or a fee. When one is refused
// it returns that one's place and code.
func (b *Book) ApplyLinked(transfers ...Transfer) (int, Code) {
	b.undo = b.undo[:0]
	before := b.lastID
	for i := range transfers {
		t := &transfers[i]
		m, code := b.plan(t)
		var debit, credit Balance
		if code == OK {
			debit, credit, code = b.outcome(m)
		}
		if code != OK {
			b.rollback(before)
			return i, code
		}
		u := undo{debit: m.debit, credit: m.credit, before: b.accounts[m.debit], beforeC: b.accounts[m.credit]}
		switch t.Phase {
		case Pending:
			u.held = t.ID
		case Post, Void:
			u.resolved = t.Resolves
			u.hold, _ = b.holds.get(t.Resolves)
		}
		b.undo = append(b.undo, u)
		b.commit(t, m, debit, credit)
	}
	return len(transfers), OK
}

func (b *Book) rollback(lastID uint64) {
	for i := len(b.undo) - 1; i >= 0; i-- {
		u := &b.undo[i]
		b.accounts[u.debit], b.accounts[u.credit] = u.before, u.beforeC
		if u.held != 0 {
			b.holds.drop(u.held)
		}
		if u.resolved != 0 {
			b.holds.put(u.resolved, u.hold)
		}
	}
	b.lastID = lastID
}

// plan applies the rules of shape, account and hold, in the order of the codes.
func (b *Book) plan(t *Transfer) (move, Code) {
	resolving := t.Phase == Post || t.Phase == Void
	switch {
	case t.ID == 0:
		return move{}, IDMissing
	case !t.Phase.Valid():
		return move{}, PhaseUnknown
	case resolving && t.Resolves == 0:
		return move{}, ResolvesMissing
	case !resolving && t.Resolves != 0:
		return move{}, ResolvesUnexpected
	case t.Amount < 0 || t.Amount == 0 && t.Phase != Void:
		return move{}, AmountNotPositive
	case t.Currency == 0 && !resolving:
		return move{}, CurrencyMissing
	case t.Debit == t.Credit && t.Debit != 0:
		return move{}, AccountsSame
	case t.ID <= b.lastID:
		return move{}, IDNotRising
	case resolving:
		return b.planResolve(t)
	}
	debit, ok := b.index[t.Debit]
	if !ok {
		return move{}, DebitUnknown
	}
	credit, ok := b.index[t.Credit]
	switch {
	case !ok:
		return move{}, CreditUnknown
	case b.accounts[debit].spec.Currency != t.Currency:
		return move{}, DebitCurrency
	case b.accounts[credit].spec.Currency != t.Currency:
		return move{}, CreditCurrency
	case t.Phase == Pending:
		return move{debit: debit, credit: credit, hold: t.Amount}, OK
	}
	return move{debit: debit, credit: credit, post: t.Amount}, OK
}

// planResolve ends a hold. Its accounts were checked when the hold was made, so only the hold's own terms are left to compare, and that the accounts
// are there and not put away.
func (b *Book) planResolve(t *Transfer) (move, Code) {
	h, ok := b.holds.get(t.Resolves)
	if !ok {
		return move{}, HoldUnknown
	}
	debit, okDebit := b.index[h.debit]
	credit, okCredit := b.index[h.credit]
	switch {
	case t.Debit != 0 && t.Debit != h.debit, t.Credit != 0 && t.Credit != h.credit:
		return move{}, HoldAccounts
	case !okDebit:
		return move{}, DebitUnknown
	case !okCredit:
		return move{}, CreditUnknown
	case t.Currency != 0 && t.Currency != h.currency:
		return move{}, HoldCurrency
	case t.Phase == Post && t.Amount > h.amount:
		return move{}, HoldExceeded
	case t.Phase == Void && t.Amount != 0 && t.Amount != h.amount:
		return move{}, VoidAmount
	}
	m := move{debit: debit, credit: credit, hold: -h.amount}
	if t.Phase == Post {
		m.post = t.Amount
	}
	return m, OK
}

// outcome computes both balances after the move and applies the rules of sums and overdraft.
func (b *Book) outcome(m move) (debit, credit Balance, code Code) {
	d, c := &b.accounts[m.debit], &b.accounts[m.credit]
	debit, credit = d.balance, c.balance
	var okDebit, okCredit bool
	debit.DebitsPending, debit.DebitsPosted, okDebit = grow(debit.DebitsPending, debit.DebitsPosted, m)
	credit.CreditsPending, credit.CreditsPosted, okCredit = grow(credit.CreditsPending, credit.CreditsPosted, m)
	if !okDebit || !okCredit {
		return debit, credit, SumTooLarge
	}
	// A debit takes from an account that grows by credits, and the other way round; the growing side never overdraws.
	if d.spec.NoOverdraft && !d.spec.Kind.debitNormal() && m.hold+m.post > 0 && d.spec.available(debit) < 0 {
		return debit, credit, DebitOverdrawn
	}
	if c.spec.NoOverdraft && c.spec.Kind.debitNormal() && m.hold+m.post > 0 && c.spec.available(credit) < 0 {
		return debit, credit, CreditOverdrawn
	}
	return debit, credit, OK
}

// grow adds the move to one side's sums. Their total must fit as well, so that available never overflows.
func grow(pending, posted int64, m move) (newPending, newPosted int64, ok bool) {
	if m.hold > math.MaxInt64-pending || m.post > math.MaxInt64-posted {
		return pending, posted, false
	}
	pending, posted = pending+m.hold, posted+m.post
	return pending, posted, pending >= 0 && pending <= math.MaxInt64-posted
}

func (b *Book) commit(t *Transfer, m move, debit, credit Balance) {
	d, c := &b.accounts[m.debit], &b.accounts[m.credit]
	d.balance, d.last = debit, t.ID
	c.balance, c.last = credit, t.ID
	switch t.Phase {
	case Pending:
		b.holds.put(t.ID, hold{debit: t.Debit, credit: t.Credit, amount: t.Amount, currency: t.Currency})
	case Post, Void:
		b.holds.drop(t.Resolves)
	}
	b.lastID = t.ID
}
