package ledger

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The accounts of the tests: what a cardholder is owed, what the scheme is owed, cash, fees, and one in another currency.
const (
	holder Account = 1001
	scheme Account = -1
	cash   Account = 10
	fees   Account = 20
	dollar Account = 30
)

func newBook(t testing.TB) *Book {
	t.Helper()
	b := NewBook()
	for a, spec := range map[Account]AccountSpec{
		holder: {Name: "holder", Currency: 156, Kind: Liability, NoOverdraft: true},
		scheme: {Name: "scheme", Currency: 156, Kind: Liability},
		cash:   {Name: "cash", Currency: 156, Kind: Asset, NoOverdraft: true},
		fees:   {Name: "fees", Currency: 156, Kind: Income},
		dollar: {Name: "dollar", Currency: 840, Kind: Asset},
	} {
		if code := b.Open(a, spec); code != OK {
			t.Fatalf("Open(%d): %v", a, code)
		}
	}
	return b
}

func apply(t testing.TB, b *Book, transfers ...Transfer) {
	t.Helper()
	for _, x := range transfers {
		if code := b.Apply(x); code != OK {
			t.Fatalf("Apply(%+v): %v", x, code)
		}
		if err := b.Audit(); err != nil {
			t.Fatal(err)
		}
	}
}

// funded is a book in which the holder has 1000 and a hold, number 2, of 300.
func funded(t testing.TB) *Book {
	b := newBook(t)
	apply(t, b,
		Transfer{ID: 1, Debit: cash, Credit: holder, Amount: 1000, Currency: 156},
		Transfer{ID: 2, Debit: holder, Credit: scheme, Amount: 300, Currency: 156, Phase: Pending})
	return b
}

func TestTwoPhases(t *testing.T) {
	b := funded(t)
	if got := b.Available(holder); got != 700 {
		t.Fatalf("available with a hold of 300: %d", got)
	}
	if got := b.Available(scheme); got != 0 {
		t.Fatalf("a hold that comes in is not available: %d", got)
	}
	want := Hold{ID: 2, Debit: holder, Credit: scheme, Amount: 300, Currency: 156}
	if h, ok := b.Hold(2); !ok || h != want {
		t.Fatalf("Hold = %+v, %v", h, ok)
	}
	apply(t, b, Transfer{ID: 3, Debit: holder, Credit: scheme, Amount: 250, Currency: 156, Phase: Post, Resolves: 2})
	if got := b.Available(holder); got != 750 {
		t.Fatalf("available after posting 250 of 300: %d", got)
	}
	if got := b.Available(scheme); got != 250 {
		t.Fatalf("scheme after posting: %d", got)
	}
	apply(t, b,
		Transfer{ID: 4, Debit: holder, Credit: scheme, Amount: 750, Currency: 156, Phase: Pending},
		Transfer{ID: 5, Phase: Void, Resolves: 4})
	wantBalance := Balance{DebitsPosted: 250, CreditsPosted: 1000}
	if got := b.Balance(holder); got != wantBalance {
		t.Fatalf("balance %+v, want %+v", got, wantBalance)
	}
	if len(b.Holds()) != 0 {
		t.Fatalf("holds left: %v", b.Holds())
	}
}

func TestAssetWithoutOverdraft(t *testing.T) {
	b := funded(t)
	if code := b.Apply(Transfer{ID: 3, Debit: scheme, Credit: cash, Amount: 1001, Currency: 156}); code != CreditOverdrawn {
		t.Fatalf("taking out more cash than there is: %v", code)
	}
	apply(t, b, Transfer{ID: 3, Debit: scheme, Credit: cash, Amount: 1000, Currency: 156})
	if got := b.Available(cash); got != 0 {
		t.Fatalf("cash %d", got)
	}
}

// Every refusal, reached by one transfer on the book of funded. The book must stay as it was.
func TestRefusals(t *testing.T) {
	top := int64(math.MaxInt64)
	cases := []struct {
		want Code
		t    Transfer
	}{
		{IDMissing, Transfer{Debit: holder, Credit: scheme, Amount: 1, Currency: 156}},
		{PhaseUnknown, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 1, Currency: 156, Phase: 4}},
		{ResolvesMissing, Transfer{ID: 9, Amount: 1, Phase: Post}},
		{ResolvesMissing, Transfer{ID: 9, Phase: Void}},
		{ResolvesUnexpected, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 1, Currency: 156, Resolves: 2}},
		{ResolvesUnexpected, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 1, Currency: 156, Resolves: 2, Phase: Pending}},
		{AmountNotPositive, Transfer{ID: 9, Debit: holder, Credit: scheme, Currency: 156}},
		{AmountNotPositive, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: -1, Currency: 156}},
		{AmountNotPositive, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: math.MinInt64, Currency: 156, Phase: Pending}},
		{AmountNotPositive, Transfer{ID: 9, Phase: Post, Resolves: 2}},
		{AmountNotPositive, Transfer{ID: 9, Amount: -300, Phase: Void, Resolves: 2}},
		{CurrencyMissing, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 1}},
		{AccountsSame, Transfer{ID: 9, Debit: holder, Credit: holder, Amount: 1, Currency: 156}},
		{IDNotRising, Transfer{ID: 2, Debit: holder, Credit: scheme, Amount: 1, Currency: 156}},
		{IDNotRising, Transfer{ID: 1, Debit: holder, Credit: scheme, Amount: 1, Currency: 156}},
		{HoldUnknown, Transfer{ID: 9, Amount: 1, Phase: Post, Resolves: 1}},
		{HoldUnknown, Transfer{ID: 9, Phase: Void, Resolves: 9}},
		{HoldAccounts, Transfer{ID: 9, Debit: holder, Credit: fees, Amount: 1, Phase: Post, Resolves: 2}},
		{HoldAccounts, Transfer{ID: 9, Debit: scheme, Credit: holder, Phase: Void, Resolves: 2}},
		{HoldCurrency, Transfer{ID: 9, Amount: 1, Currency: 840, Phase: Post, Resolves: 2}},
		{HoldExceeded, Transfer{ID: 9, Amount: 301, Phase: Post, Resolves: 2}},
		{HoldExceeded, Transfer{ID: 9, Amount: top, Phase: Post, Resolves: 2}},
		{VoidAmount, Transfer{ID: 9, Amount: 299, Phase: Void, Resolves: 2}},
		{DebitUnknown, Transfer{ID: 9, Debit: 5, Credit: scheme, Amount: 1, Currency: 156}},
		{DebitUnknown, Transfer{ID: 9, Amount: 1, Currency: 156}},
		{CreditUnknown, Transfer{ID: 9, Debit: holder, Credit: 5, Amount: 1, Currency: 156}},
		{DebitCurrency, Transfer{ID: 9, Debit: dollar, Credit: scheme, Amount: 1, Currency: 156}},
		{DebitCurrency, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 1, Currency: 840}},
		{CreditCurrency, Transfer{ID: 9, Debit: holder, Credit: dollar, Amount: 1, Currency: 156}},
		{SumTooLarge, Transfer{ID: 9, Debit: cash, Credit: holder, Amount: top, Currency: 156}},
		{SumTooLarge, Transfer{ID: 9, Debit: scheme, Credit: holder, Amount: top - 999, Currency: 156, Phase: Pending}},
		{DebitOverdrawn, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 701, Currency: 156}},
		{DebitOverdrawn, Transfer{ID: 9, Debit: holder, Credit: scheme, Amount: 701, Currency: 156, Phase: Pending}},
		{DebitOverdrawn, Transfer{ID: 9, Debit: holder, Credit: cash, Amount: 5000, Currency: 156}}, // both sides
		{CreditOverdrawn, Transfer{ID: 9, Debit: scheme, Credit: cash, Amount: 1001, Currency: 156}},
	}
	seen := map[Code]bool{}
	for _, c := range cases {
		b := funded(t)
		before := b.Digest()
		if got := b.Check(c.t); got != c.want {
			t.Errorf("Check(%+v) = %v, want %v", c.t, got, c.want)
		}
		if got := b.Apply(c.t); got != c.want {
			t.Errorf("Apply(%+v) = %v, want %v", c.t, got, c.want)
		}
		if b.Digest() != before {
			t.Errorf("%v changed the book", c.want)
		}
		seen[c.want] = true
	}
	for code := IDMissing; code < AccountMissing; code++ {
		if !seen[code] {
			t.Errorf("no case for %v", code)
		}
	}
}

func TestPrecedence(t *testing.T) {
	// One transfer that breaks nearly every rule; as each is put right, the next one speaks.
	b := funded(t)
	x := Transfer{Debit: 5, Credit: 5, Amount: -1, Phase: 9}
	for _, step := range []struct {
		want Code
		fix  func()
	}{
		{IDMissing, func() { x.ID = 1 }},
		{PhaseUnknown, func() { x.Phase = Pending; x.Resolves = 2 }},
		{ResolvesUnexpected, func() { x.Resolves = 0 }},
		{AmountNotPositive, func() { x.Amount = math.MaxInt64 }},
		{CurrencyMissing, func() { x.Currency = 840 }},
		{AccountsSame, func() { x.Credit = 6 }},
		{IDNotRising, func() { x.ID = 9 }},
		{DebitUnknown, func() { x.Debit = holder }},
		{CreditUnknown, func() { x.Credit = cash }},
		{DebitCurrency, func() { x.Currency = 156; x.Credit = dollar }},
		{CreditCurrency, func() { x.Credit = scheme }},
		{SumTooLarge, func() { x.Amount = 701 }},
		{DebitOverdrawn, func() { x.Amount = 700 }},
		{OK, nil},
	} {
		if got := b.Check(x); got != step.want {
			t.Fatalf("%+v: %v, want %v", x, got, step.want)
		}
		if step.fix != nil {
			step.fix()
		}
	}
}

func TestLinked(t *testing.T) {
	b := funded(t)
	before := b.Digest()
	at, code := b.ApplyLinked(
		Transfer{ID: 3, Amount: 300, Phase: Post, Resolves: 2},
		Transfer{ID: 4, Debit: holder, Credit: fees, Amount: 5, Currency: 156, Phase: Pending},
		Transfer{ID: 5, Phase: Void, Resolves: 4},
		Transfer{ID: 6, Debit: holder, Credit: fees, Amount: 701, Currency: 156},
	)
	if at != 3 || code != DebitOverdrawn {
		t.Fatalf("ApplyLinked = %d, %v", at, code)
	}
	if b.Digest() != before {
		t.Fatal("a refused set changed the book")
	}
	at, code = b.ApplyLinked(
		Transfer{ID: 3, Amount: 300, Phase: Post, Resolves: 2},
		Transfer{ID: 4, Debit: holder, Credit: fees, Amount: 700, Currency: 156},
	)
	if at != 2 || code != OK || b.Available(holder) != 0 || b.Available(fees) != 700 {
		t.Fatalf("ApplyLinked = %d, %v; available %d, %d", at, code, b.Available(holder), b.Available(fees))
	}
}

func TestOpen(t *testing.T) {
	b := newBook(t)
	spec, ok := b.Spec(holder)
	if !ok {
		t.Fatal("holder is not open")
	}
	other := spec
	other.NoOverdraft = false
	for _, c := range []struct {
		a    Account
		spec AccountSpec
		want Code
	}{
		{holder, spec, OK},
		{holder, other, AccountDiffers},
		{0, spec, AccountMissing},
		{50, AccountSpec{Currency: 156}, SpecInvalid},
		{50, AccountSpec{Currency: 156, Kind: 6}, SpecInvalid},
		{50, AccountSpec{Kind: Asset}, SpecInvalid},
	} {
		if got := b.Open(c.a, c.spec); got != c.want {
			t.Errorf("Open(%d, %+v) = %v, want %v", c.a, c.spec, got, c.want)
		}
	}
	if _, ok := b.Spec(50); ok || b.Available(50) != 0 || b.Balance(50) != (Balance{}) {
		t.Error("an account that was refused is open")
	}
}

func TestSheet(t *testing.T) {
	b := funded(t)
	var got []Account
	for line := range b.Lines() {
		got = append(got, line.Account)
	}
	if want := []Account{scheme, cash, fees, dollar, holder}; !slices.Equal(got, want) {
		t.Fatalf("accounts %v, want %v", got, want)
	}
	if code := b.Open(15, AccountSpec{Name: "new", Currency: 156, Kind: Expense}); code != OK {
		t.Fatal(code)
	}
	sheet := b.Sheet()
	want := Line{Account: 15, Spec: AccountSpec{Name: "new", Currency: 156, Kind: Expense}}
	if diff := cmp.Diff(want, sheet[2]); diff != "" {
		t.Fatalf("line (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[uint16]int64{156: 0, 840: 0}, b.SumZero()); diff != "" {
		t.Fatalf("sums (-want +got):\n%s", diff)
	}
}

func TestAuditNotices(t *testing.T) {
	for name, damage := range map[string]func(b *Book){
		"posted":    func(b *Book) { b.accounts[b.index[cash]].balance.DebitsPosted++ },
		"pending":   func(b *Book) { b.accounts[b.index[holder]].balance.DebitsPending++ },
		"hold lost": func(b *Book) { b.holds.drop(2) },
		"overdrawn": func(b *Book) {
			b.accounts[b.index[holder]].balance.DebitsPosted += 1000
			b.accounts[b.index[fees]].balance.CreditsPosted += 1000
		},
	} {
		b := funded(t)
		damage(b)
		if b.Audit() == nil {
			t.Errorf("%s: Audit found nothing", name)
		}
	}
}

func TestTerms(t *testing.T) {
	for c := OK; c <= AccountDiffers; c++ {
		if term := c.Term(); term.EN == "" || term.ZH == "" || c.String() == "" || c.String() == "unknown" {
			t.Errorf("code %d has no text", c)
		}
	}
	for k := Asset; k <= Expense; k++ {
		if term := k.Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("kind %d has no text", k)
		}
	}
	for p := Single; p <= Void; p++ {
		if term := p.Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("phase %d has no text", p)
		}
	}
	if Code(200).String() != "unknown" || Code(200).Term().ZH == "" || Kind(9).String() == "" || Phase(9).String() == "" {
		t.Error("unknown values have no text")
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	b := funded(t)
	id := b.LastID()
	allocs := testing.AllocsPerRun(1000, func() {
		id += 2
		if b.Apply(Transfer{ID: id, Debit: holder, Credit: scheme, Amount: 1, Currency: 156, Phase: Pending}) != OK ||
			b.Apply(Transfer{ID: id + 1, Phase: Void, Resolves: id}) != OK {
			t.Fatal("refused")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkApply(b *testing.B) {
	book := funded(b)
	id := book.LastID()
	for b.Loop() {
		id++
		book.Apply(Transfer{ID: id, Debit: cash, Credit: holder, Amount: 1, Currency: 156})
	}
}
