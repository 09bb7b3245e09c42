package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Book is one member's set of accounts. The zero value is not usable; NewBook makes one.
type Book struct {
	index    map[Account]int32
	accounts []account
	holds    holds
	lastID   uint64
	order    []int32 // accounts by number; rebuilt when stale
	stale    bool
	undo     []undo  // what ApplyLinked puts back
	free     []int32 // places of accounts that were put away
	part     bool    // some accounts or holds were put away: sums over all of them mean nothing
}

type account struct {
	id      Account // zero: the place is free
	spec    AccountSpec
	balance Balance
	last    uint64 // the last transfer that touched it
}

// hold names its accounts: they may be put away and come back at another place while it stands.
type hold struct {
	debit, credit Account
	amount        int64
	currency      uint16
}

type undo struct {
	debit, credit   int32
	before, beforeC account
	resolved        uint64 // hold to put back
	hold            hold
	held            uint64 // hold to take out
}

// NewBook is a book without accounts.
func NewBook() *Book {
	return &Book{index: make(map[Account]int32), holds: newHolds()}
}

// Open opens an account. Opening it again with the same rules changes nothing and is OK, so that replay may repeat it.
func (b *Book) Open(a Account, spec AccountSpec) Code {
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
		return OK
	}
	b.place(account{id: a, spec: spec})
	return OK
}

func (b *Book) place(a account) {
	b.stale = true
	if n := len(b.free); n > 0 {
		at := b.free[n-1]
		b.free = b.free[:n-1]
		b.index[a.id], b.accounts[at] = at, a
		return
	}
	if len(b.accounts) == math.MaxInt32 {
		panic("ledger: more accounts than one book numbers")
	}
	b.index[a.id] = int32(len(b.accounts))
	b.accounts = append(b.accounts, a)
}

// Spec is what the account was opened with.
func (b *Book) Spec(a Account) (AccountSpec, bool) {
	at, ok := b.index[a]
	if !ok {
		return AccountSpec{}, false
	}
	return b.accounts[at].spec, true
}

// Balance is the account's sums, zero for an account that is not open.
func (b *Book) Balance(a Account) Balance {
	at, ok := b.index[a]
	if !ok {
		return Balance{}
	}
	return b.accounts[at].balance
}

// Available is what may still be taken out of the account, in minor units: what is posted on its growing side less
// what is posted and held on the other. Incoming holds do not count. It is zero for an account that is not open.
func (b *Book) Available(a Account) int64 {
	at, ok := b.index[a]
	if !ok {
		return 0
	}
	acc := &b.accounts[at]
	return acc.spec.available(acc.balance)
}

// available cannot overflow: the sums are at or above zero and a posted sum plus its pending sum fits (SumTooLarge).
func (s AccountSpec) available(x Balance) int64 {
	if s.Kind.debitNormal() {
		return x.DebitsPosted - (x.CreditsPosted + x.CreditsPending)
	}
	return x.CreditsPosted - (x.DebitsPosted + x.DebitsPending)
}

// Hold is the open hold of that id.
func (b *Book) Hold(id uint64) (Hold, bool) {
	h, ok := b.holds.get(id)
	if !ok {
		return Hold{}, false
	}
	return publicHold(id, h), true
}

func publicHold(id uint64, h hold) Hold {
	return Hold{ID: id, Debit: h.debit, Credit: h.credit, Amount: h.amount, Currency: h.currency}
}

// Holds are the open holds in order of id.
func (b *Book) Holds() []Hold {
	out := make([]Hold, 0, b.holds.len())
	for id, h := range b.holds.all() {
		out = append(out, publicHold(id, h))
	}
	slices.SortFunc(out, func(x, y Hold) int {
		if x.ID < y.ID {
			return -1
		}
		return 1 // ids are unique
	})
	return out
}

// LastID is the id of the last transfer applied.
func (b *Book) LastID() uint64 { return b.lastID }

// Line is one account in a balance sheet.
type Line struct {
	Account   Account
	Spec      AccountSpec
	Balance   Balance
	Available int64
}

// Lines is the balance sheet: every account in order of number. The book must not be changed during the walk.
func (b *Book) Lines() iter.Seq[Line] {
	b.sortAccounts()
	return func(yield func(Line) bool) {
		for _, at := range b.order {
			a := &b.accounts[at]
			if !yield(Line{Account: a.id, Spec: a.spec, Balance: a.balance, Available: a.spec.available(a.balance)}) {
				return
			}
		}
	}
}

// Sheet is Lines as a slice.
func (b *Book) Sheet() []Line { return slices.AppendSeq(make([]Line, 0, len(b.accounts)), b.Lines()) }

func (b *Book) sortAccounts() {
	if !b.stale {
		return
	}
	b.order = b.order[:0]
	for at := range b.accounts {
		if b.accounts[at].id != 0 {
			b.order = append(b.order, int32(at))
		}
	}
	slices.SortFunc(b.order, func(x, y int32) int {
		if b.accounts[x].id < b.accounts[y].id {
			return -1
		}
		return 1 // numbers are unique
	})
	b.stale = false
}

// SumZero is, per currency, posted debits less posted credits over all accounts. Every value is zero in a sound book.
// The sum is taken modulo 2^64, in which zero stays zero.
func (b *Book) SumZero() map[uint16]int64 {
	sums := make(map[uint16]int64)
	for i := range b.accounts {
		a := &b.accounts[i]
		sums[a.spec.Currency] += a.balance.DebitsPosted - a.balance.CreditsPosted
	}
	return sums
}

// Audit derives again everything the book keeps running and reports the first thing that does not hold: posted and
// pending sums per currency, the pending sums of each account against the open holds, and the overdraft rule. Of a book of
// which something was put away only what is there is looked at: no account may hold less than its holds.
func (b *Book) Audit() error {
	for currency, sum := range b.SumZero() {
		if sum != 0 && !b.part {
			return fmt.Errorf("ledger: currency %03d: posted debits and credits differ by %d", currency, sum)
		}
	}
	held := make(map[Account]Balance, b.holds.len())
	for _, h := range b.holds.all() {
		debit, credit := held[h.debit], held[h.credit]
		debit.DebitsPending += h.amount
		credit.CreditsPending += h.amount
		held[h.debit], held[h.credit] = debit, credit
	}
	for i := range b.accounts {
		a := &b.accounts[i]
		want := held[a.id]
		missing, more := a.balance.DebitsPending-want.DebitsPending, a.balance.CreditsPending-want.CreditsPending
		if missing < 0 || more < 0 || !b.part && missing+more > 0 {
			return fmt.Errorf("ledger: account %d: pending sums differ from its open holds", a.id)
		}
		if a.spec.NoOverdraft && a.spec.available(a.balance) < 0 {
			return fmt.Errorf("ledger: account %d: overdrawn", a.id)
		}
	}
	return nil
}

// Digest is a SHA-256 over every account, balance and open hold and the last id: two books are the same when their
// digests are.
func (b *Book) Digest() [32]byte {
	hash := sha256.New()
	buf := make([]byte, 0, 128)
	for line := range b.Lines() {
		buf = binary.BigEndian.AppendUint64(buf[:0], uint64(line.Account))
		buf = binary.BigEndian.AppendUint16(buf, line.Spec.Currency)
		buf = append(buf, byte(line.Spec.Kind), 0)
		if line.Spec.NoOverdraft {
			buf[len(buf)-1] = 1
		}
		for _, sum := range [...]int64{line.Balance.DebitsPending, line.Balance.DebitsPosted,
			line.Balance.CreditsPending, line.Balance.CreditsPosted} {
			buf = binary.BigEndian.AppendUint64(buf, uint64(sum))
		}
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(line.Spec.Name)))
		buf = append(buf, line.Spec.Name...)
		hash.Write(buf)
	}
	for _, h := range b.Holds() {
		buf = binary.BigEndian.AppendUint64(buf[:0], h.ID)
		buf = binary.BigEndian.AppendUint64(buf, uint64(h.Debit))
		buf = binary.BigEndian.AppendUint64(buf, uint64(h.Credit))
		buf = binary.BigEndian.AppendUint64(buf, uint64(h.Amount))
		hash.Write(buf)
	}
	hash.Write(binary.BigEndian.AppendUint64(buf[:0], b.lastID))
	return [32]byte(hash.Sum(nil))
}
