package ledger

// A book need not hold every account: an owner that keeps balances elsewhere puts accounts away and restores them when they are touched again. What is
// away is away with its balance; a transfer that names it is refused as for an account that was never opened.

// Restore opens an account with a balance that was kept elsewhere. last is the number of the last transfer in that balance.
func (b *Book) Restore(a Account, spec AccountSpec, balance Balance, last uint64) Code {
	switch {
	case a == 0:
		return AccountMissing
	case !spec.Kind.Valid() || spec.Currency == 0:
		return SpecInvalid
	}
	if at, ok := b.index[a]; ok {
		if b.accounts[at].spec != spec {
			return AccountDiffers
		}
		b.accounts[at].balance, b.accounts[at].last = balance, last
		return OK
	}
	b.place(account{id: a, spec: spec, balance: balance, last: last})
	return OK
}

// Last is the number of the last transfer that touched the account, zero when none did.
func (b *Book) Last(a Account) uint64 {
	at, ok := b.index[a]
	if !ok {
		return 0
	}
	return b.accounts[at].last
}

// PutAway forgets an account. Its owner has its balance and restores it before anything names it again.
func (b *Book) PutAway(a Account) {
	at, ok := b.index[a]
	if !ok {
		return
	}
	delete(b.index, a)
	b.accounts[at] = account{}
	b.free = append(b.free, at)
	b.stale, b.part = true, true
}

// PutHoldAway forgets an open hold; its money stays held in the balances. Its owner adopts it again before it resolves it.
func (b *Book) PutHoldAway(id uint64) {
	if b.holds.drop(id) {
		b.part = true
	}
}

// Adopt takes back an open hold that was put away, or one of which the balances know and the book does not yet.
func (b *Book) Adopt(h Hold) {
	b.holds.put(h.ID, hold{debit: h.Debit, credit: h.Credit, amount: h.Amount, currency: h.Currency})
}

// Partial says that the book was restored without all of its accounts and holds.
func (b *Book) Partial() { b.part = true }

// Redo does again a transfer that was applied once, after the balances of a restart were restored: a side whose balance has it already stays as it is. A Post
// or Void needs its hold to be there. No rule of balances is asked: the transfer has passed them.
func (b *Book) Redo(t Transfer) Code {
	debit, okDebit := b.index[t.Debit]
	credit, okCredit := b.index[t.Credit]
	h, held := b.holds.get(t.Resolves)
	switch {
	case t.ID == 0:
		return IDMissing
	case !okDebit:
		return DebitUnknown
	case !okCredit:
		return CreditUnknown
	case (t.Phase == Post || t.Phase == Void) && !held:
		return HoldUnknown
	}
	m := move{debit: debit, credit: credit}
	switch t.Phase {
	case Single:
		m.post = t.Amount
	case Pending:
		m.hold = t.Amount
		b.holds.put(t.ID, hold{debit: t.Debit, credit: t.Credit, amount: t.Amount, currency: t.Currency})
	case Post:
		m.hold, m.post = -h.amount, t.Amount
		b.holds.drop(t.Resolves)
	case Void:
		m.hold = -h.amount
		b.holds.drop(t.Resolves)
	default:
		return PhaseUnknown
	}
	if d := &b.accounts[debit]; d.last < t.ID {
		d.balance.DebitsPending += m.hold
		d.balance.DebitsPosted += m.post
		d.last = t.ID
	}
	if c := &b.accounts[credit]; c.last < t.ID {
		c.balance.CreditsPending += m.hold
		c.balance.CreditsPosted += m.post
		c.last = t.ID
	}
	b.lastID = max(b.lastID, t.ID)
	return OK
}
