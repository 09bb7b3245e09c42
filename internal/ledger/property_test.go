package ledger

import (
	"testing"

	"pgregory.net/rapid"
)

// model is the book done the slow way: signed sums per account and a list of holds.
type model struct {
	posted map[Account]int64 // credits less debits
	held   map[uint64]Hold
}

func (m *model) apply(t Transfer) {
	switch t.Phase {
	case Single:
		m.posted[t.Debit] -= t.Amount
		m.posted[t.Credit] += t.Amount
	case Pending:
		m.held[t.ID] = Hold{ID: t.ID, Debit: t.Debit, Credit: t.Credit, Amount: t.Amount, Currency: t.Currency}
	case Post:
		h := m.held[t.Resolves]
		m.posted[h.Debit] -= t.Amount
		m.posted[h.Credit] += t.Amount
		delete(m.held, t.Resolves)
	case Void:
		delete(m.held, t.Resolves)
	}
}

func (m *model) available(a Account, k Kind) int64 {
	sum := m.posted[a]
	if k.debitNormal() {
		sum = -sum
	}
	for _, h := range m.held {
		if k.debitNormal() && h.Credit == a || !k.debitNormal() && h.Debit == a {
			sum -= h.Amount
		}
	}
	return sum
}

var propertyAccounts = []Account{holder, scheme, cash, fees, dollar, 1002, 31, 99}

func propertyBook(t testing.TB) *Book {
	b := newBook(t)
	b.Open(1002, AccountSpec{Name: "holder 2", Currency: 156, Kind: Liability, NoOverdraft: true})
	b.Open(31, AccountSpec{Name: "dollar 2", Currency: 840, Kind: Liability, NoOverdraft: true})
	return b // 99 stays closed
}

func drawTransfer(t *rapid.T, last uint64) Transfer {
	x := Transfer{
		ID:     last + uint64(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 0}).Draw(t, "id step")),
		Phase:  Phase(rapid.SampledFrom([]int{0, 0, 1, 1, 1, 2, 2, 3, 3, 4}).Draw(t, "phase")),
		Amount: rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, 1000), rapid.Int64()).Draw(t, "amount"),
	}
	if x.Phase == Post || x.Phase == Void {
		x.Resolves = rapid.Uint64Range(max(last, 12)-12, last).Draw(t, "resolves")
		if x.Phase == Void && rapid.Bool().Draw(t, "whole") {
			x.Amount = 0
		}
		return x
	}
	x.Debit = rapid.SampledFrom(propertyAccounts).Draw(t, "debit")
	x.Credit = rapid.SampledFrom(propertyAccounts).Draw(t, "credit")
	x.Currency = uint16(rapid.SampledFrom([]int{156, 156, 156, 840}).Draw(t, "currency"))
	return x
}

// Whatever is thrown at a book: money is conserved per currency, no account without overdraft has less than nothing
// available, a refusal changes nothing, Check foretells Apply, the slow model agrees, and the accepted transfers
// alone give the same book again.
func TestBookProperties(t *testing.T) {
	tt := t
	rapid.Check(t, func(t *rapid.T) {
		b := propertyBook(tt)
		m := model{posted: map[Account]int64{}, held: map[uint64]Hold{}}
		var accepted []Transfer
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			x := drawTransfer(t, b.LastID())
			before := b.Digest()
			foretold := b.Check(x)
			code := b.Apply(x)
			if code != foretold {
				t.Fatalf("Check %v, Apply %v: %+v", foretold, code, x)
			}
			if code != OK {
				if b.Digest() != before {
					t.Fatalf("refusal %v changed the book: %+v", code, x)
				}
				continue
			}
			accepted = append(accepted, x)
			m.apply(x)
			if err := b.Audit(); err != nil {
				t.Fatalf("after %+v: %v", x, err)
			}
		}
		for line := range b.Lines() {
			if want := m.available(line.Account, line.Spec.Kind); line.Available != want {
				t.Fatalf("account %d: available %d, model %d", line.Account, line.Available, want)
			}
		}
		if len(b.Holds()) != len(m.held) {
			t.Fatalf("%d holds, model %d", len(b.Holds()), len(m.held))
		}
		again := propertyBook(tt)
		for _, x := range accepted {
			if code := again.Apply(x); code != OK {
				t.Fatalf("replay of %+v: %v", x, code)
			}
		}
		if again.Digest() != b.Digest() {
			t.Fatal("replay gave another book")
		}
	})
}

// A linked set is all or nothing, and when it is all it equals its parts one by one.
func TestLinkedProperties(t *testing.T) {
	tt := t
	rapid.Check(t, func(t *rapid.T) {
		b, single := propertyBook(tt), propertyBook(tt)
		for range rapid.IntRange(1, 20).Draw(t, "sets") {
			var set []Transfer
			last := b.LastID()
			for range rapid.IntRange(1, 5).Draw(t, "legs") {
				x := drawTransfer(t, last)
				set, last = append(set, x), x.ID
			}
			before := b.Digest()
			at, code := b.ApplyLinked(set...)
			if err := b.Audit(); err != nil {
				t.Fatal(err)
			}
			if code != OK {
				if at >= len(set) || b.Digest() != before {
					t.Fatalf("refused set (%d, %v) changed the book", at, code)
				}
				continue
			}
			for _, x := range set {
				if code := single.Apply(x); code != OK {
					t.Fatalf("%+v alone: %v", x, code)
				}
			}
			if single.Digest() != b.Digest() {
				t.Fatal("a linked set differs from its parts")
			}
		}
	})
}
