package transit

import (
	"fmt"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/transit/fares"
)

// The operator's accounts.
const (
	AccountRiders   ledger.Account = 1 // what riders owe for bills, less what they are owed
	AccountAcquirer ledger.Account = 2 // what the acquirer owes for approved payments
	AccountFares    ledger.Account = 3 // fares earned
	AccountLoss     ledger.Account = 4 // debts written off
	AccountCounter  ledger.Account = 5 // what riders paid another way
)

// device is a gate, bus or inspector's device as far as its log is here.
type device struct {
	name     string
	number   int32
	spans    []span
	taps     uint64 // of cards, opened or not
	opened   uint64
	refused  uint64 // chunks, since the start of this process
	why      string // of the last refused chunk
	heard    time.Time
	health   gate.Health
	reported stamp  // the last report about itself
	ahead    uint64 // taps from further in the future than a clock may be
}

// material says where the sealed data of a credential's last tap lie: a record of an Uploaded row.
type material struct {
	device   int32
	row      uint64 // first record of that row
	sequence uint64
	at       int64
	used     bool // its cryptogram has been in a request
	shown    bool // and may have been seen: the request was not answered
}

// proof is a request that the issuer decided by a cryptogram of the credential's, or may have: a later one without a cryptogram of its own names it.
type proof struct {
	stan  uint32
	batch uint32
	date  string // MMDD
	hold  bool   // it was a pre-authorization
}

// credential is a card, or a token of one, as the gates know it.
type credential struct {
	number  int32
	account int32
	names
	twin      int32 // the credential that this one turned out to be; 0 for none
	outside   int32 // the mark by which an entry from outside names it; 0 for none
	atc       uint16
	verifying bool
	refused   bool            // the last verification was, for want of money
	stop      denylist.Reason // the card will not pay, or the operator stopped it
	owing     int32           // bills that keep it on the list
	material  material
	proof     *proof   // nil: none
	approved  stamp    // of the last approval; zero: never
	credit    int64    // what is owed to the rider and no bill was found to give it back on
	recovered stamp    // the last attempt because of a tap
	hold      *payment // an approved maximum that the next bill completes
	claimed   stamp    // the first ride without authentication that was granted
	bills     []uint64
}

// booked is what a journey has been billed.
type booked struct {
	tap        tapKey
	minor      int64
	day        fares.Date
	credential int32
	gap        gap
}

type tapKey struct {
	device   int32
	sequence uint64
}

// account is a rider as far as the operator knows: one credential, or all that share a payment account reference.
type account struct {
	number      int32
	merged      int32 // the account that this one became part of; 0 for none
	credentials []int32
	taps        []tap
	booked      []booked
	*person           // never nil, see own
	since       int64 // the first tap that no bill has seen, milliseconds; 0 for none
	estimate    int64 // what the unbilled taps come to, as looked at last, and how many they were then
	looked      int32
	unbilled    int32    // taps since the last bill
	first       [1]int32 // credentials of an account that has one
	waiting     bool     // the next close has to look at it
}

// person is what most riders never tell: they tap, and that is all.
type person struct {
	par         int32 // mark of the account reference; 0 for none
	corrections []fares.Correction
	category    string
	token       [32]byte                // hash of the rider's token for the app; zero for none
	earlier     map[int]fares.YearCount // of years whose taps are forgotten
	restricted  int                     // the year in which too many journeys are incomplete; 0: none
	forgiven    int                     // the year in which the operator let the rider ride all the same
	paid        []paid                  // taps that cards paid by themselves, the latest
}

// nobody is the person of all who have told nothing.
var nobody = new(person)

// own is the person of an account, to be changed.
func (a *account) own() *person {
	if a.person == nobody {
		a.person = new(person)
	}
	return a.person
}

// stamp is an instant in microseconds, zero for none: there are tens of millions of them.
type stamp int64

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.UnixMicro())
}

// Time is the instant, zero for none.
func (s stamp) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(s)).UTC()
}

// bill is a sum that one credential is asked for.
type bill struct {
	seq        uint64
	credential int32
	day        fares.Date
	ridden     fares.Date // the day of the first of its journeys
	state      BillState
	tries      uint8
	code       uint16 // of the last answer
	minor      int64  // what is asked for
	refunded   int64
	returning  int64
	next       stamp    // when it is asked for next; zero: not by itself
	paid       *receipt // nil until the acquirer has approved it
}

// receipt is how a later message names a payment.
type receipt struct {
	rrn   string
	stan  uint32
	batch uint32
	date  string // MMDD
}

// purse is a tap that the card paid by itself.
type purse struct {
	credential int32
	minor      int64
	material   material
}

// state is the journal, folded; only apply changes what survives a restart.
type state struct {
	deps          *Deps
	devices       []*device
	deviceBy      map[string]int32
	credentials   []*credential // from 1
	credentialBy  index
	accounts      []*account // from 1
	marks         []*mark    // from 1
	markBy        index
	keys          epochs
	shared        sharedEpochs
	forced        stamp  // when the epoch in force came into force by a rotation; zero: it was the first
	begun         uint64 // the row that began the last rotation
	pages         int32  // rows that hold sealed values
	listedOutside int    // entries from outside
	bills         map[uint64]*bill
	takenBack     map[tapKey]bool // taps that do not count and are not here yet
	payments      map[string]*payment
	bySeq         map[uint64]*payment
	stan, batch   uint32
	book          *ledger.Book
	closed        fares.Date // the last day closed; 0 for none
	closing       *closing
	list          list
	agenda        agenda
	tokens        map[[32]byte]int32 // account of a rider's token, by its hash
	freed         map[int32]int64    // credentials that were stopped as copies and released: when, in milliseconds
	restricted    map[int32]bool     // accounts with too many incomplete journeys
	united        []union            // accounts that have become one, and no row says so yet
	claims        map[int32]bool     // credentials whose first ride was granted, until they are approved
	approved      []approval         // of those, the latest, in order
	purses        []purse            // to be told to the acquirer, in order
	returns       map[uint64]int32   // uploads that the acquirer took for no ride, by the row of the request: whose they are
	totals        Totals
	tallies       tallies
	last          uint64
}

// accountNames are all of them.
var accountNames = [...]accountName{
	{AccountRiders, "riders", ledger.Asset}, {AccountAcquirer, "acquirer", ledger.Asset}, {AccountFares, "fares", ledger.Income},
	{AccountLoss, "written off", ledger.Expense}, {AccountCounter, "counter", ledger.Asset},
}

type accountName struct {
	number ledger.Account
	name   string
	kind   ledger.Kind
}

func (a accountName) spec(deps *Deps) ledger.AccountSpec {
	return ledger.AccountSpec{Name: a.name, Currency: currencyNumber(deps), Kind: a.kind}
}

func newState(deps *Deps) (*state, error) {
	s := &state{
		deps: deps, keys: epochs{now: deps.Epoch}, marks: []*mark{nil}, markBy: newIndex(), deviceBy: map[string]int32{},
		credentials: []*credential{nil}, credentialBy: newIndex(), accounts: []*account{nil},
		bills: map[uint64]*bill{}, takenBack: map[tapKey]bool{}, payments: map[string]*payment{},
		bySeq: map[uint64]*payment{}, claims: map[int32]bool{}, returns: map[uint64]int32{},
		freed: map[int32]int64{}, restricted: map[int32]bool{}, tokens: map[[32]byte]int32{}, batch: 1, book: ledger.NewBook(),
	}
	s.tallies = tallies{debts: map[uint64]bool{}, days: map[fares.Date]*DayView{}}
	s.list.told, s.list.stale = map[int32]listing{}, map[int32]bool{}
	s.totals.States = map[TapState]uint64{}
	s.shared.set(s.keys)
	for _, a := range accountNames {
		if code := s.book.Open(a.number, a.spec(deps)); code != ledger.OK {
			return nil, fmt.Errorf("transit: open the account %q: %s", a.name, code)
		}
	}
	return s, nil
}

func currencyNumber(deps *Deps) uint16 { return uint16(deps.Currency.Number()) }

// deviceOf finds a device, or takes it up.
func (s *state) deviceOf(name string) *device {
	if at, ok := s.deviceBy[name]; ok {
		return s.devices[at]
	}
	d := &device{name: name, number: int32(len(s.devices))}
	s.devices, s.deviceBy[name] = append(s.devices, d), d.number
	return d
}

func (s *state) credential(number int64) *credential {
	if number <= 0 || number >= int64(len(s.credentials)) {
		return nil
	}
	return s.credentials[number]
}

// accountOf is the account a number leads to, through what it became part of; nil for none.
func (s *state) accountOf(number int64) *account {
	for number > 0 && number < int64(len(s.accounts)) {
		a := s.accounts[number]
		if a.merged == 0 {
			return a
		}
		number = int64(a.merged)
	}
	return nil
}

// merge makes a part of b.
func (s *state) merge(a, b *account) {
	for _, n := range a.credentials {
		s.credentials[n].account = b.number
	}
	b.credentials = append(b.credentials, a.credentials...)
	b.taps = append(b.taps, a.taps...)
	b.booked = append(b.booked, a.booked...)
	if a.person != nobody {
		b.own().join(a.person)
	}
	if b.par != 0 {
		s.marks[b.par].of = b.number
	}
	if par := a.par; par != 0 && par != b.par {
		defer func() { s.review(s.marks[par]) }() // it speaks for itself from now on
	}
	if b.since == 0 || a.since != 0 && a.since < b.since {
		b.since = a.since
	}
	b.unbilled += a.unbilled
	b.waiting = true
	s.joined(a, b)
	*a = account{number: a.number, merged: b.number, person: nobody}
	s.list.stale[b.number] = true
}

// join takes over what another has told.
func (p *person) join(other *person) {
	p.corrections = append(p.corrections, other.corrections...)
	p.paid = append(p.paid, other.paid...)
	if p.par == 0 {
		p.par = other.par
	}
	if p.category == "" {
		p.category = other.category
	}
	if p.token == [32]byte{} {
		p.token = other.token
	}
	for year, n := range other.earlier {
		p.count(year, n)
	}
	p.restricted, p.forgiven = max(p.restricted, other.restricted), max(p.forgiven, other.forgiven)
}

// count adds to what is remembered of a year.
func (p *person) count(year int, n fares.YearCount) {
	if p.earlier == nil {
		p.earlier = map[int]fares.YearCount{}
	}
	was := p.earlier[year]
	p.earlier[year] = fares.YearCount{Incomplete: was.Incomplete + n.Incomplete, Completed: was.Completed + n.Completed}
}

// apply brings the state to where the row left it. Terminal of a device's row is its name; Card is a credential's number, or in Noted rows of the kinds below
// an account's.
//
//	Uploaded          records of a device: Terminal, Key, Note = records, Answer = links around them, other names of cards, and account references
//	Charged           a bill, or what a bill would be if it were not nothing or less: Card, Note = lines
//	Requested         a request to the acquirer: Key, Card, Reason = ask, Linked = bill (upload's row for a return of it, 0 for a verification), Note = sealed
//	                  request
//	Answered          its answer: Linked = Requested row, Reason = code, Answer
//	TimedOut          no answer in time, a reversal is on its way: Linked = Requested row
//	Voided            an approval is given back by a reversal: Linked = Requested row
//	Acknowledged      the reversal was acknowledged: Linked = Requested row
//	Expired           a debt is written off: Linked = bill
//	Settled           a bill is paid another way: Linked = bill
//	Adjusted          a bill is lowered: Linked = bill, Amount
//	DayClosed         a close begins (Reason 1) or ends (Reason 2): BusinessDate
//	CardChanged       the operator's, the rider's or the network's word about a credential or account, or what the office found out: Reason = change, Note
//	TerminalChanged   what a device says about itself: Terminal, Note
//	Noted             a delta of the deny list: Key, Note = delta
//	KeysChanged       a rotation of the deny list's key: Reason = how far, Note = epoch and new names
//	Advised           entries of the deny list from outside: Reason, Key, Note
func (s *state) apply(r *journal.Row) error { return s.applyWith(r, nil, nil) }

// applyWith is apply for a caller that has the records of an Uploaded row already, and wants to know whose they are.
func (s *state) applyWith(r *journal.Row, records []gate.Record, tapped []int32) error {
	s.last = r.Seq
	if err := s.transfer(r); err != nil {
		return err
	}
	switch r.Kind {
	case journal.Uploaded:
		return s.applyUploaded(r, records, tapped)
	case journal.Charged:
		return s.applyCharged(r)
	case journal.Requested:
		return s.applyRequested(r)
	case journal.Answered, journal.TimedOut, journal.Voided, journal.Acknowledged:
		return s.applyPayment(r)
	case journal.Expired, journal.Settled, journal.Adjusted:
		return s.applyBill(r)
	case journal.DayClosed:
		return s.applyDay(r)
	case journal.CardChanged:
		return s.applyChange(r)
	case journal.TerminalChanged:
		return s.applyHealth(r)
	case journal.Noted:
		return s.applyDelta(r)
	case journal.KeysChanged:
		return s.applyKeys(r)
	case journal.Advised:
		return s.applyAdvised(r)
	}
	return fmt.Errorf("row %d: kind %s has no meaning for a transit operator", r.Seq, r.Kind)
}

func (s *state) transfer(r *journal.Row) error {
	if r.Debit == 0 {
		return nil
	}
	if code := s.book.Apply(r.Transfer()); code != ledger.OK {
		return fmt.Errorf("row %d: the ledger refuses it: %s", r.Seq, code)
	}
	return nil
}

// move changes the state of a bill by the table; anything else is a damaged journal.
func (s *state) move(b *bill, e BillEvent, r *journal.Row) error {
	to, ok := b.state.next(e)
	if !ok {
		return fmt.Errorf("row %d: a bill that is %q cannot be %q", r.Seq, b.state, e)
	}
	c := s.credentials[b.credential]
	if b.state.Denies() != to.Denies() {
		if to.Denies() {
			c.owing++
		} else {
			c.owing--
		}
		s.list.stale[c.account] = true
	}
	s.totals.move(b, to)
	s.tallies.bill(b, -1)
	b.state = to
	s.tallies.bill(b, 1)
	return nil
}
