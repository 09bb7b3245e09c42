package verify_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// original is the world that errors are planted into. It is made once; every plant works on a copy.
type original struct {
	rows  map[string][]journal.Row
	chips []verify.Chip
	dir   string
}

func newOriginal(t *testing.T) *original {
	t.Helper()
	dir, chips := generate(t, verifytest.Options{Payments: 400, Tills: 2, Cards: 8, Seed: 3, Sealed: 12, Cells: true})
	o := &original{rows: map[string][]journal.Row{}, chips: chips, dir: dir}
	for _, name := range journals {
		rows, err := verifytest.Rows(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		o.rows[name] = rows
	}
	return o
}

const (
	issuerA  = "issuer-" + verifytest.IssuerOne
	issuerB  = "issuer-" + verifytest.IssuerTwo
	tillA    = "pos-T0000001"
	tillB    = "pos-T0000002"
	acquirer = "acquirer"
	switches = "switch"
)

var journals = []string{issuerA, issuerB, tillA, tillB, acquirer, switches}

// planted is a copy of the world while errors are planted. Rows are known by their address: their numbers change when others come and go.
type planted struct {
	testing.TB
	rows    map[string][]*journal.Row
	chips   []verify.Chip
	dirty   map[string]bool // journals that somebody changes and then seals
	used    map[string]bool // payments that another error was planted into, by reference number
	late    []func()        // what is done after sealing, without covering it up
	files   []func(dir string)
	expect  []expected
	settled bool
	origin  *original
	paired  bool // with another error, which may move rows
}

// expected is what must be found: a row of a journal, or the journal as a whole.
type expected struct {
	journal string
	row     *journal.Row // nil: the journal
	gone    bool         // the row is not there any more: its number is missing
	cell    int64        // the cell that is wrong, 0 for a row
	at      uint64       // row that the cell is wrong at, unless other errors move rows
}

func (o *original) copy(t testing.TB) *planted {
	w := &planted{TB: t, origin: o, rows: map[string][]*journal.Row{}, chips: slices.Clone(o.chips), dirty: map[string]bool{}, used: map[string]bool{}}
	for name, rows := range o.rows {
		for i := range rows {
			r := rows[i]
			r.Answer, r.Note = slices.Clone(r.Answer), slices.Clone(r.Note)
			w.rows[name] = append(w.rows[name], &r)
		}
	}
	return w
}

// write seals what was changed and makes a directory of it.
func (w *planted) write(o *original) string {
	w.Helper()
	for name := range w.dirty {
		w.seal(name)
	}
	for _, late := range w.late {
		late()
	}
	dir := w.TempDir()
	place := func(name string, link bool) {
		from, to := filepath.Join(o.dir, name), filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(to), 0o700)
		if link {
			err = errors.Join(err, os.Link(from, to))
		} else {
			content, readErr := os.ReadFile(from)
			err = errors.Join(err, readErr, os.WriteFile(to, content, 0o600))
		}
		if err != nil {
			w.Fatal(err)
		}
	}
	place(verify.WorldFile, true)
	for name, rows := range w.rows {
		flat := make([]journal.Row, len(rows))
		for i, r := range rows {
			flat[i] = *r
		}
		same := slices.EqualFunc(flat, o.rows[name], func(a, b journal.Row) bool { return reflect.DeepEqual(a, b) })
		place(filepath.Join("journals", name+".db"), same && len(w.files) == 0)
		cells := journalsql.CellsPath(filepath.Join("journals", name+".db"))
		segments, err := filepath.Glob(filepath.Join(o.dir, cells, "*"))
		if err != nil {
			w.Fatal(err)
		}
		for _, segment := range segments {
			place(filepath.Join(cells, filepath.Base(segment)), len(w.files) == 0)
		}
		if same {
			continue
		}
		if err := verifytest.Replace(dir, name, flat); err != nil {
			w.Fatal(err)
		}
	}
	for _, change := range w.files {
		change(dir)
	}
	return dir
}

// seal numbers a journal's rows anew, lets references follow, and computes every hash again: what an insider would do.
func (w *planted) seal(name string) {
	moved := map[uint64]uint64{}
	for i, r := range w.rows[name] {
		if r.Seq != 0 {
			moved[r.Seq] = uint64(i + 1)
		}
	}
	var chain journal.Chain
	for _, r := range w.rows[name] {
		for _, reference := range []*uint64{&r.Linked, &r.Resolves} {
			if to, ok := moved[*reference]; ok {
				*reference = to
			}
		}
		chain.Seal(r)
	}
}

// payment is the rows of one payment.
type payment struct {
	rrn    string
	issuer string // journal
	till   string
	decide *journal.Row
	void   *journal.Row
	rows   map[string]map[journal.Kind]*journal.Row
}

func (p *payment) at(name string, kind journal.Kind) *journal.Row { return p.rows[name][kind] }

// reserved are the cards whose limits are changed: no payment of theirs is removed or moved.
var reserved = map[string][]int64{issuerA: {2, 5}, issuerB: {4, 6}}

// take finds a payment whose decision at the issuer is of a kind and that fits, and that no other plant has used.
func (w *planted) take(issuer string, fits func(*payment) bool) *payment {
	w.Helper()
	for _, r := range w.rows[issuer] {
		if r.Key == "" || r.Kind == journal.Reversed || w.used[r.RRN] || slices.Contains(reserved[issuer], r.Card) {
			continue
		}
		if p := w.payment(issuer, r); fits(p) {
			w.used[p.rrn] = true
			return p
		}
	}
	w.Fatal("no such payment is left")
	return nil
}

func (w *planted) payment(issuer string, decide *journal.Row) *payment {
	p := &payment{rrn: decide.RRN, issuer: issuer, till: "pos-" + decide.Terminal, decide: decide, rows: map[string]map[journal.Kind]*journal.Row{}}
	stan := uint32(0)
	for _, r := range w.rows[acquirer] {
		if r.RRN == p.rrn && r.Kind == journal.Requested {
			stan = r.STAN
		}
	}
	for name, rows := range w.rows {
		p.rows[name] = map[journal.Kind]*journal.Row{}
		for _, r := range rows {
			if r.RRN == p.rrn || name == p.till && r.STAN == stan {
				p.rows[name][r.Kind] = r
			}
		}
	}
	p.void = p.rows[issuer][journal.Reversed]
	return p
}

func decided(kind journal.Kind, reason uint16) func(*payment) bool {
	return func(p *payment) bool { return p.decide.Kind == kind && p.decide.Reason == reason && p.void == nil }
}

func plainApproval(p *payment) bool { return decided(journal.Approved, 0)(p) && p.decide.Note[0] == 2 }
func reversedByTill(p *payment) bool {
	return p.decide.Kind == journal.Approved && p.void != nil && p.at(acquirer, journal.Reversed) != nil
}

var (
	wrongPIN = decided(journal.Declined, 54)
	tooPoor  = decided(journal.Declined, 66)
	uploaded = decided(journal.Uploaded, 110)
)

// change plants into a row of a journal that is sealed again, and expects it to be named.
func (w *planted) change(name string, r *journal.Row, change func(r *journal.Row)) {
	w.Helper()
	if r == nil {
		w.Fatal("no such row")
	}
	change(r)
	w.dirty[name] = true
	w.expect = append(w.expect, expected{journal: name, row: r})
}

// tamper is change without sealing.
func (w *planted) tamper(name string, r *journal.Row, change func(r *journal.Row)) {
	w.Helper()
	w.late = append(w.late, func() { change(r) })
	w.expect = append(w.expect, expected{journal: name, row: r})
}

// remove takes a row out of a journal that is sealed again; by is the row that tells.
func (w *planted) remove(name string, r *journal.Row, by string, witness *journal.Row) {
	w.Helper()
	w.rows[name] = slices.DeleteFunc(w.rows[name], func(x *journal.Row) bool { return x == r })
	w.dirty[name] = true
	w.expect = append(w.expect, expected{journal: by, row: witness})
}

// insert puts a row behind another one.
func (w *planted) insert(name string, after *journal.Row, r journal.Row) *journal.Row {
	at := slices.Index(w.rows[name], after) + 1
	added := &r
	added.Seq, added.Answer, added.Note = 0, slices.Clone(r.Answer), slices.Clone(r.Note)
	w.rows[name] = slices.Insert(w.rows[name], at, added)
	w.dirty[name] = true
	return added
}

// last is the last row of a journal.
func (w *planted) last(name string) *journal.Row { return w.rows[name][len(w.rows[name])-1] }

func setCode(r *journal.Row, code unionpay.ResponseCode) {
	r.Reason = code.Pack()
	at := strings.Index(string(r.Answer), "\x00\x27\x00\x02")
	copy(r.Answer[at+4:], code)
}

func setAuth(r *journal.Row, code string) {
	at := strings.Index(string(r.Answer), "\x00\x26\x00\x06")
	copy(r.Answer[at+4:], code)
}

// plant is one error.
type plant struct {
	name  string
	plant func(w *planted)
}

// paired are the errors that go with any other.
var paired = slices.Concat(plants, earlyPlants, cellPlants)

// plants are errors of every kind; the rows that each must name are what it expects.
var plants = []plant{
	// Amounts.
	{"an issuer's approval of another amount", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Amount++ })
	}},
	{"a request of another amount at the switch", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Requested), func(r *journal.Row) { r.Amount-- })
	}},
	{"a request of another amount at the acquirer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Requested), func(r *journal.Row) { r.Amount += 100 })
	}},
	{"a hold of another amount at the acquirer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Amount *= 2 })
	}},
	{"a sale of another amount at the till", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(p.till, p.at(p.till, journal.Requested), func(r *journal.Row) { r.Amount++ })
	}},
	{"an offline payment booked low", func(w *planted) {
		p := w.take(issuerA, uploaded)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Amount-- })
	}},
	{"a deposit of more than the enrolment says", func(w *planted) {
		for _, r := range w.rows[issuerA] {
			if r.Kind == journal.Posted && r.Credit%10 == 1 {
				w.change(issuerA, r, func(r *journal.Row) { r.Amount += 5000 })
				return
			}
		}
	}},
	{"a deposit that no enrolment asked for", func(w *planted) {
		r := w.insert(issuerA, w.last(issuerA), journal.Row{Kind: journal.Posted, At: w.last(issuerA).At, BusinessDate: w.last(issuerA).BusinessDate, Card: 1,
			Debit: 2, Credit: 1010, Amount: 5, Currency: 156, Linked: 1})
		w.expect = append(w.expect, expected{journal: issuerA, row: r})
	}},
	{"another currency", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(issuerB, p.decide, func(r *journal.Row) { r.Currency = 840 })
	}},
	// Accounts and holds.
	{"another cardholder's account", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Debit = ledger.Account(1000 + 10*(r.Card%8+1)) })
	}},
	{"in favour of another account", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Credit = 2 })
	}},
	{"another merchant's account", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Credit = 201 - r.Credit })
	}},
	{"a hold that was posted at once", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Phase = ledger.Single })
	}},
	{"an approval without money", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Debit, r.Credit, r.Phase = 0, 0, 0 })
	}},
	{"a missing void at the issuer", func(w *planted) {
		p := w.take(issuerA, reversedByTill)
		w.remove(issuerA, p.void, issuerA, p.decide)
	}},
	{"a missing void at the acquirer", func(w *planted) {
		p := w.take(issuerB, reversedByTill)
		w.change(acquirer, p.at(acquirer, journal.Reversed), func(r *journal.Row) { r.Debit, r.Credit, r.Phase, r.Resolves = 0, 0, 0, 0 })
	}},
	{"a void of another hold", func(w *planted) {
		p, other := w.take(issuerA, reversedByTill), w.take(issuerA, plainApproval)
		w.change(issuerA, p.void, func(r *journal.Row) { r.Resolves = other.decide.Seq })
	}},
	{"a void of a part", func(w *planted) {
		p := w.take(issuerB, reversedByTill)
		w.change(issuerB, p.void, func(r *journal.Row) { r.Amount-- })
	}},
	{"a hold released twice", func(w *planted) {
		p := w.take(issuerA, reversedByTill)
		again := w.insert(issuerA, w.last(issuerA), *p.void)
		again.Key, again.At, again.BusinessDate = again.Key[:27]+"00000010000"+"4", w.last(issuerA).At, w.last(issuerA).BusinessDate
		w.expect = append(w.expect, expected{journal: issuerA, row: again})
	}},
	{"a void that nobody asked for", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		r := *p.decide
		r.Kind, r.Key, r.Reason, r.Phase, r.Resolves, r.Answer, r.Note, r.ATC = journal.Reversed, r.Key[:38]+"4", 100, ledger.Void, r.Seq, nil, []byte(r.Key), 0
		void := w.insert(issuerA, w.last(issuerA), r)
		void.At, void.BusinessDate = w.rows[issuerA][len(w.rows[issuerA])-2].At, w.rows[issuerA][len(w.rows[issuerA])-2].BusinessDate
		w.expect = append(w.expect, expected{journal: issuerA, row: void})
	}},
	// Cards: counters, tries, limits, money.
	{"a doubled counter", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		q := w.take(issuerA, func(q *payment) bool {
			return plainApproval(q) && q.decide.Card == p.decide.Card && q.decide.Seq > p.decide.Seq
		})
		w.change(issuerA, q.decide, func(r *journal.Row) { r.ATC = p.decide.ATC })
	}},
	{"a counter that was not spent", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(issuerB, p.decide, func(r *journal.Row) { r.Note[0] = 0 })
	}},
	{"a counter that the chip has not reached", func(w *planted) {
		top := map[int64]*journal.Row{}
		for _, r := range w.rows[issuerB] {
			if r.Kind == journal.Approved {
				top[r.Card] = r
			}
		}
		r := top[3]
		for i := range w.chips {
			if w.chips[i].Name == fmt.Sprintf("%s-%d", verifytest.IssuerTwo, r.Card) {
				w.chips[i].ATC = r.ATC - 1
			}
		}
		w.expect = append(w.expect, expected{journal: issuerB, row: r})
	}},
	{"a wrong PIN that took no try", func(w *planted) {
		p := w.take(issuerA, wrongPIN)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Note[1]++ })
	}},
	{"tries that came back by themselves", func(w *planted) {
		p := w.take(issuerA, wrongPIN)
		for _, r := range w.rows[issuerA] {
			if r.Seq > p.decide.Seq && r.Card == p.decide.Card && r.Kind == journal.Approved && r.Note[0] == 2 && r.Note[1] < 3 {
				w.change(issuerA, r, func(r *journal.Row) { r.Note[1] = 3 })
				return
			}
			if r.Seq > p.decide.Seq && r.Card == p.decide.Card && r.Kind == journal.Approved && r.Note[1] == 3 {
				break
			}
		}
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Note[1] = 3 })
	}},
	{"nine PIN tries", func(w *planted) {
		r := w.insert(issuerB, w.last(issuerB), journal.Row{Kind: journal.CardChanged, At: w.last(issuerB).At, BusinessDate: w.last(issuerB).BusinessDate, Card: 2,
			Note: []byte(`{"card":2,"pin_tries":9}`)})
		w.expect = append(w.expect, expected{journal: issuerB, row: r})
	}},
	{"a day's limit that was lowered", func(w *planted) {
		w.lower(issuerA, 2, `"day_count":1`, 1)
	}},
	{"a limit for one tap that was lowered", func(w *planted) {
		w.lower(issuerB, 4, `"tap_minor":1`, 0)
	}},
	{"a card that had expired", func(w *planted) {
		open := w.opened(issuerA, 5)
		w.change(issuerA, open, func(r *journal.Row) { r.Note = []byte(strings.Replace(string(r.Note), "3012", "2512", 1)) })
		w.expect[len(w.expect)-1].row = w.nthApproval(issuerA, 5, 0)
	}},
	{"a payment without PIN from a card that wants one", func(w *planted) {
		open := w.opened(issuerB, 6)
		w.change(issuerB, open, func(r *journal.Row) {
			r.Note = []byte(strings.Replace(string(r.Note), `"no_pin":true`, `"no_pin":false`, 1))
		})
		w.expect[len(w.expect)-1].row = w.nthApproval(issuerB, 6, 0)
	}},
	{"a payment beyond the money", func(w *planted) {
		p := w.take(issuerA, tooPoor)
		w.change(issuerA, p.decide, func(r *journal.Row) {
			r.Kind, r.Reason, r.Debit, r.Credit, r.Phase = journal.Approved, 0, ledger.Account(1000+10*r.Card), 1, ledger.Pending
			r.Answer = fmt.Appendf(nil, "%06d", r.Seq)
		})
	}},
	{"a refusal for another reason", func(w *planted) {
		p := w.take(issuerB, tooPoor)
		w.change(issuerB, p.decide, func(r *journal.Row) { r.Reason = 62 })
	}},
	{"an approval made a refusal", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(issuerB, p.decide, func(r *journal.Row) {
			r.Kind, r.Reason, r.Debit, r.Credit, r.Phase, r.Answer = journal.Declined, 66, 0, 0, 0, nil
		})
	}},
	{"a purse that holds too much", func(w *planted) {
		w.chips[1].PurseMinor += 100_000
		w.expect = append(w.expect, expected{journal: issuerB, row: w.opened(issuerB, 1)})
	}},
	{"a chip that lost money", func(w *planted) {
		w.chips[4].PurseMinor -= 7
		w.expect = append(w.expect, expected{journal: issuerA})
	}},
	// Dates and instants.
	{"a wrong business date at the acquirer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.BusinessDate++ })
	}},
	{"a date far off at the issuer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.BusinessDate += 3 })
	}},
	{"a neighbouring date at the issuer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(issuerB, p.decide, func(r *journal.Row) { r.BusinessDate++ })
	}},
	{"an hour later at the acquirer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Requested), func(r *journal.Row) { r.At = r.At.Add(time.Hour) })
	}},
	// Answers, keys and references.
	{"another answer at the acquirer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) {
			setCode(r, unionpay.InsufficientFunds)
			r.Debit, r.Credit, r.Phase = 0, 0, 0
		})
	}},
	{"another answer at the till", func(w *planted) {
		p := w.take(issuerA, tooPoor)
		w.change(p.till, p.at(p.till, journal.Answered), func(r *journal.Row) { setCode(r, unionpay.Approved) })
	}},
	{"an answer that is not its reason", func(w *planted) {
		p := w.take(issuerB, tooPoor)
		w.change(switches, p.at(switches, journal.Answered), func(r *journal.Row) { r.Reason = unionpay.WrongPIN.Pack() })
	}},
	{"another authorization code", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Answered), func(r *journal.Row) { setAuth(r, "999999") })
	}},
	{"another authorization code at the issuer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(issuerB, p.decide, func(r *journal.Row) { r.Answer = []byte("123456") })
	}},
	{"other chip data in an answer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Answer[len(r.Answer)-1] ^= 1 })
	}},
	{"an answer that cannot be read", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(p.till, p.at(p.till, journal.Answered), func(r *journal.Row) { r.Answer = r.Answer[:len(r.Answer)-1] })
	}},
	{"another key at the till", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(p.till, p.at(p.till, journal.Requested), func(r *journal.Row) { r.Key = r.Key[:14] + "777777" + "2"; r.Payment = r.Key })
	}},
	{"another key at the issuer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Key = "0" + r.Key[1:8] + "59" + r.Key[10:]; r.Payment = r.Key })
	}},
	{"a key for another payment at the acquirer", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Requested), func(r *journal.Row) { r.Payment = r.Payment[:15] + "x" + r.Payment[16:] })
	}},
	{"one key twice", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		again := w.insert(issuerA, w.last(issuerA), *p.decide)
		again.At, again.ATC = w.rows[issuerA][len(w.rows[issuerA])-2].At, 9999
		again.Answer = fmt.Appendf(nil, "%06d", len(w.rows[issuerA]))
		w.expect = append(w.expect, expected{journal: issuerA, row: again})
	}},
	{"another reference number", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Requested), func(r *journal.Row) { r.RRN = "000000000000" })
	}},
	{"another terminal", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(issuerA, p.decide, func(r *journal.Row) { r.Terminal = "T0000009" })
	}},
	{"another trace number", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.STAN++ })
	}},
	{"an answer to another request", func(w *planted) {
		p, q := w.take(issuerA, plainApproval), w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Answered), func(r *journal.Row) { r.Linked = q.at(switches, journal.Requested).Seq })
	}},
	{"another issuer as the receiver", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Requested), func(r *journal.Row) {
			copy(r.Note[1+len(verifytest.AcquirerName)+1:], verifytest.IssuerTwo)
		})
		w.expect[len(w.expect)-1] = expected{journal: issuerA, row: p.decide}
	}},
	{"an offline payment made one in real time", func(w *planted) {
		p := w.take(issuerA, uploaded)
		w.change(acquirer, p.at(acquirer, journal.Requested), func(r *journal.Row) { r.Reason = 0 })
	}},
	{"a kind of row that the role does not write", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(switches, p.at(switches, journal.Answered), func(r *journal.Row) { r.Kind = journal.Settled })
	}},
	{"a column that the kind does not use", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(p.till, p.at(p.till, journal.Answered), func(r *journal.Row) { r.Card = 7 })
	}},
	// Rows that came and went.
	{"an approval removed at the issuer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.remove(issuerA, p.decide, switches, p.at(switches, journal.Answered))
	}},
	{"a request and its answer removed at the switch", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.remove(switches, p.at(switches, journal.Requested), issuerB, p.decide)
		w.remove(switches, p.at(switches, journal.Answered), acquirer, p.at(acquirer, journal.Answered))
	}},
	{"a payment removed at the acquirer", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.remove(acquirer, p.at(acquirer, journal.Answered), switches, p.at(switches, journal.Requested))
		w.remove(acquirer, p.at(acquirer, journal.Requested), p.till, p.at(p.till, journal.Answered))
	}},
	{"a sale removed at the till", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.remove(p.till, p.at(p.till, journal.Requested), acquirer, p.at(acquirer, journal.Requested))
		w.remove(p.till, p.at(p.till, journal.Answered), acquirer, p.at(acquirer, journal.Requested))
	}},
	{"an approval that no till ever sent", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		forged := w.insert(issuerB, w.last(issuerB), *p.decide)
		forged.Key = forged.Key[:10] + "888888" + forged.Key[16:]
		forged.Payment, forged.STAN, forged.ATC, forged.RRN = forged.Key, 888888, 60000, "632504888888"
		forged.At = w.rows[issuerB][len(w.rows[issuerB])-2].At
		forged.Answer = fmt.Appendf(nil, "%06d", len(w.rows[issuerB]))
		w.expect = append(w.expect, expected{journal: issuerB, row: forged})
	}},
	{"a second end", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		again := w.insert(switches, p.at(switches, journal.Answered), *p.at(switches, journal.Answered))
		w.expect = append(w.expect, expected{journal: switches, row: again})
	}},
	{"an acknowledgement of nothing", func(w *planted) {
		p := w.take(issuerA, reversedByTill)
		again := w.insert(acquirer, p.at(acquirer, journal.Acknowledged), *p.at(acquirer, journal.Acknowledged))
		w.expect = append(w.expect, expected{journal: acquirer, row: again})
	}},
	{"a reversal that was never acknowledged", func(w *planted) {
		w.settled = true
		p := w.take(issuerB, reversedByTill)
		w.remove(switches, p.at(switches, journal.Acknowledged), switches, p.at(switches, journal.Reversed))
	}},
	{"a payment that never ended", func(w *planted) {
		w.settled = true
		p := w.take(issuerB, plainApproval)
		w.remove(p.till, p.at(p.till, journal.Answered), p.till, p.at(p.till, journal.Requested))
	}},
	{"two approvals in the wrong order", func(w *planted) {
		rows := w.rows[issuerA]
		p := w.take(issuerA, func(p *payment) bool {
			next := rows[slices.Index(rows, p.decide)+1]
			return plainApproval(p) && next.Kind == journal.Approved && !w.used[next.RRN] && !slices.Contains(reserved[issuerA], next.Card)
		})
		at := slices.Index(rows, p.decide)
		w.used[rows[at+1].RRN] = true
		rows[at], rows[at+1] = rows[at+1], rows[at]
		w.dirty[issuerA] = true
		w.expect = append(w.expect, expected{journal: issuerA, row: p.decide})
	}},
	{"two requests in the wrong order", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		var other *journal.Row
		rows := w.rows[acquirer]
		at := slices.Index(rows, p.at(acquirer, journal.Requested))
		for i := at + 1; other == nil; i++ {
			if rows[i].Kind == journal.Requested {
				other = rows[i]
				rows[at], rows[i] = rows[i], rows[at]
			}
		}
		w.dirty[acquirer] = true
		w.expect = append(w.expect, expected{journal: acquirer, row: other})
	}},
	{"an approval in another issuer's journal", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		moved := w.insert(issuerB, w.last(issuerB), *p.decide)
		moved.At = w.rows[issuerB][len(w.rows[issuerB])-2].At
		w.expect = append(w.expect, expected{journal: issuerB, row: moved})
		w.rows[issuerA] = slices.DeleteFunc(w.rows[issuerA], func(x *journal.Row) bool { return x == p.decide })
		w.dirty[issuerA] = true
	}},
	// Without sealing.
	{"an amount changed in the file", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.tamper(issuerA, p.decide, func(r *journal.Row) { r.Amount-- })
	}},
	{"a reference changed in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.tamper(switches, p.at(switches, journal.Requested), func(r *journal.Row) { r.RRN = "632504999999" })
	}},
	{"a content hash changed in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.tamper(acquirer, p.at(acquirer, journal.Requested), func(r *journal.Row) { r.Content[3] ^= 1 })
	}},
	{"a sealed message changed in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.tamper(p.till, p.at(p.till, journal.Requested), func(r *journal.Row) { r.Note[9] ^= 1 })
	}},
	{"a hash changed in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.tamper(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Chain[31] ^= 1 })
	}},
	{"a row removed from the file", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.late = append(w.late, func() {
			w.rows[issuerA] = slices.DeleteFunc(w.rows[issuerA], func(x *journal.Row) bool { return x == p.decide })
		})
		w.expect = append(w.expect, expected{journal: issuerA, row: p.decide, gone: true})
	}},
	{"the first row removed from the file", func(w *planted) {
		first := w.rows[tillB][0]
		w.late = append(w.late, func() { w.rows[tillB] = w.rows[tillB][1:] })
		w.expect = append(w.expect, expected{journal: tillB, row: first, gone: true})
	}},
	{"two rows swapped in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.late = append(w.late, func() {
			rows := w.rows[issuerB]
			at := slices.Index(rows, p.decide)
			rows[at], rows[at+1] = rows[at+1], rows[at]
			rows[at].Seq, rows[at+1].Seq = rows[at+1].Seq, rows[at].Seq
		})
		w.expect = append(w.expect, expected{journal: issuerB, row: p.decide})
	}},
	{"a row doubled in the file", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		double := *p.decide
		w.late = append(w.late, func() {
			double = *p.decide
			double.Seq = uint64(len(w.rows[issuerB]) + 1)
			w.rows[issuerB] = append(w.rows[issuerB], &double)
		})
		w.expect = append(w.expect, expected{journal: issuerB, row: &double})
	}},
	{"a number that no counter can be", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.files = append(w.files, func(dir string) { w.exec(dir, issuerA, "UPDATE journal SET atc = 70000 WHERE seq = %d", p.decide.Seq) })
		w.expect = append(w.expect, expected{journal: issuerA, row: p.decide})
	}},
	{"a kind that does not exist", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		r := p.at(switches, journal.Answered)
		w.files = append(w.files, func(dir string) { w.exec(dir, switches, "UPDATE journal SET kind = 200 WHERE seq = %d", r.Seq) })
		w.expect = append(w.expect, expected{journal: switches, row: r})
	}},
	{"the index that keeps keys unique dropped", func(w *planted) {
		w.files = append(w.files, func(dir string) { w.exec(dir, tillA, "DROP INDEX IF EXISTS journal_key") })
		w.expect = append(w.expect, expected{journal: tillA})
	}},
}

// whole are errors that concern a journal as a whole. They go with none of the others.
var whole = []plant{
	{"the end of an issuer's journal cut off", func(w *planted) { w.cut(issuerA, 40, switches) }},
	{"the end of the switch's journal cut off", func(w *planted) { w.cut(switches, 60, acquirer) }},
	{"the end of the acquirer's journal cut off", func(w *planted) { w.cut(acquirer, 60, switches) }},
	{"the end of a till's journal cut off", func(w *planted) { w.cut(tillA, 30, acquirer) }},
	{"an issuer's journal missing", func(w *planted) { w.lose(issuerB) }},
	{"the switch's journal missing", func(w *planted) { w.lose(switches) }},
	{"a till's journal missing", func(w *planted) { w.lose(tillB) }},
	{"the issuers' journals swapped", func(w *planted) {
		w.rows[issuerA], w.rows[issuerB] = w.rows[issuerB], w.rows[issuerA]
		w.expect = append(w.expect, expected{journal: issuerB, row: w.nthApproval(issuerB, 1, 0)})
	}},
	{"the tills' journals swapped", func(w *planted) {
		w.rows[tillA], w.rows[tillB] = w.rows[tillB], w.rows[tillA]
		w.expect = append(w.expect, expected{journal: tillA, row: w.rows[tillA][0]})
	}},
	{"a damaged file", func(w *planted) {
		w.files = append(w.files, func(dir string) {
			path := verifytest.Path(dir, acquirer)
			content, err := os.ReadFile(path)
			if err != nil {
				w.Fatal(err)
			}
			for i := len(content) / 2; i < len(content)/2+8192; i++ {
				content[i] = byte(i)
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				w.Fatal(err)
			}
		})
		w.expect = append(w.expect, expected{journal: acquirer})
	}},
}

func (w *planted) exec(dir, name, statement string, args ...any) {
	if err := verifytest.Exec(dir, name, fmt.Sprintf(statement, args...)); err != nil {
		w.Fatal(err)
	}
}

func (w *planted) opened(issuer string, card int64) *journal.Row {
	for _, r := range w.rows[issuer] {
		if r.Kind == journal.Opened && r.Card == card {
			return r
		}
	}
	w.Fatal("no such card")
	return nil
}

// nthApproval is the nth approval of a card that needed no PIN.
func (w *planted) nthApproval(issuer string, card int64, n int) *journal.Row {
	for _, r := range w.rows[issuer] {
		if r.Kind == journal.Approved && r.Card == card && r.Note[0] == 2 {
			if n--; n < 0 {
				return r
			}
		}
	}
	w.Fatal("no such approval")
	return nil
}

// lower makes a card's limits stricter from the beginning; the nth approval is then beyond them.
func (w *planted) lower(issuer string, card int64, limit string, n int) {
	open := w.opened(issuer, card)
	w.change(issuer, open, func(r *journal.Row) {
		r.Note = []byte(strings.Replace(string(r.Note), `"limits":{`, `"limits":{`+limit, 1))
	})
	var nth *journal.Row
	for _, r := range w.rows[issuer] {
		if r.Kind == journal.Approved && r.Card == card {
			if n--; n < 0 {
				nth = r
				break
			}
		}
	}
	w.expect[len(w.expect)-1].row = nth
}

// cut takes rows off the end; somewhere at another member a row has lost its counterpart.
func (w *planted) cut(name string, n int, by string) {
	rows := w.rows[name]
	began := map[string]bool{} // keys of payments that are not known any more
	for _, r := range rows[len(rows)-n:] {
		if r.Key != "" && r.Kind != journal.Reversed && r.Kind != journal.TimedOut && r.Kind != journal.Answered {
			began[r.Key], began[r.Payment] = true, true
		}
	}
	w.rows[name] = rows[:len(rows)-n]
	for _, r := range w.rows[by] {
		late := r.Reason == unionpay.IssuerTimeout.Pack() // the issuer never knew the payment
		if telling := r.Kind == journal.Requested && by != acquirer && name == acquirer || r.Kind == journal.Answered && name != acquirer && !late ||
			r.Kind == journal.Requested && name == tillA; telling && (began[r.Key] || r.Kind == journal.Answered && began[r.Payment]) {
			w.expect = append(w.expect, expected{journal: by, row: r})
			return
		}
	}
	w.Fatal("nobody can tell")
}

func (w *planted) lose(name string) {
	w.files = append(w.files, func(dir string) {
		if err := os.Remove(verifytest.Path(dir, name)); err != nil {
			w.Fatal(err)
		}
	})
	w.expect = append(w.expect, expected{journal: name})
}

// names reports whether a finding is about what was expected: it names the row, or has it as its witness.
func (e expected) in(findings []verify.Wrong) bool {
	member := map[string]string{issuerA: verifytest.IssuerOne, issuerB: verifytest.IssuerTwo, tillA: "T0000001", tillB: "T0000002",
		acquirer: verifytest.AcquirerName, switches: verifytest.SwitchName}[e.journal]
	return slices.ContainsFunc(findings, func(f verify.Wrong) bool {
		if f.Member != member {
			return false
		}
		if e.cell != 0 {
			return f.Cell == e.cell && (e.at == 0 || f.Row == e.at)
		}
		return e.row == nil || f.Row == e.row.Seq
	})
}

func (w *planted) judge(o *original, name string) {
	w.Helper()
	dir := w.write(o)
	report, err := verify.Dir(w.Context(), dir, verify.Options{Chips: chipsOf(w.chips), Settled: w.settled, Most: 5000})
	if err != nil {
		w.Errorf("%s: %v", name, err)
		return
	}
	for _, e := range w.expect {
		if w.paired {
			e.at = 0
		}
		if e.in(report.Findings) {
			continue
		}
		row := "the journal"
		if e.cell != 0 {
			row = fmt.Sprintf("cell %d at row %d", e.cell, e.at)
		}
		if e.row != nil {
			row = fmt.Sprintf("row %d (%s)", e.row.Seq, e.row.Kind)
		}
		w.Errorf("%s: %s of %s is not named. %d findings:", name, row, e.journal, report.Total)
		for _, f := range report.Findings[:min(8, len(report.Findings))] {
			w.Logf("    %s", f)
		}
	}
	for _, f := range report.Findings {
		if f.Found.EN == "" || f.Found.ZH == "" || f.Expected.EN == "" || f.Expected.ZH == "" || f.Field == "" || f.Member == "" {
			w.Errorf("%s: incomplete finding %+v", name, f)
		}
	}
	if testing.Verbose() {
		w.Logf("%-50s %3d findings, first: %s", name, report.Total, report.Findings[:min(1, len(report.Findings))])
	}
}

func TestPlantedCorruptionIsFound(t *testing.T) {
	o := newOriginal(t)
	clean := o.copy(t)
	clean.settled = true
	if report := check(t, clean.write(o), verify.Options{Chips: chipsOf(clean.chips), Settled: true}); !report.Clean() {
		t.Fatalf("the world itself is not clean: %v", report.Findings)
	}
	for _, p := range slices.Concat(plants, earlyPlants, cellPlants, cellFiles, whole) {
		w := o.copy(t)
		p.plant(w)
		w.judge(o, p.name)
	}
}

// TestPlantedPairsAreFound plants two errors at a time, whichever the seed says.
func TestPlantedPairsAreFound(t *testing.T) {
	const pairs = 24
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TAPNET_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: TAPNET_SEED=%d go test -run %s ./internal/verify", seed, t.Name())
		}
	})
	random := rand.New(rand.NewPCG(seed, 0))
	o := newOriginal(t)
	for range pairs {
		first, second := random.IntN(len(paired)), random.IntN(len(paired))
		pair(t, o, first, second)
	}
}

func pair(t *testing.T, o *original, first, second int) {
	t.Helper()
	w := o.copy(t)
	w.paired = true
	paired[first].plant(w)
	if second != first {
		paired[second].plant(w)
	}
	w.judge(o, paired[first].name+" + "+paired[second].name)
}
