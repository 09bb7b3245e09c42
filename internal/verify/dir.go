package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/ledger"
)

// DefaultMost is how many findings a report holds unless told otherwise.
const DefaultMost = 1000

// Options of Dir. The zero value is right for a directory of any kind.
type Options struct {
	// Most is how many findings are kept; the rest are counted. Zero is DefaultMost.
	Most int
	// Settled says that nothing may be under way: a payment that has not ended is a finding then.
	Settled bool
	// Chips reads what the chips say. It is called after the journals: a chip is always ahead of the books. Nil leaves the chips out.
	Chips func(ctx context.Context) ([]Chip, error)
	// Anchors are the ends of the journals as an earlier report gave them, by the journal's name: rows up to there must be the same still.
	Anchors map[string]Anchor
	// Progress is called now and then with the rows done and those to do.
	Progress func(done, of uint64)
	// Clock tells how long it took; nil is the real one.
	Clock clock.Clock
}

// Chip is what a chip says. Its card is named as its enrolment names it, or by issuer and number.
type Chip struct {
	Name       string
	Issuer     string
	Card       int64
	ATC        uint16
	PurseMinor int64
	// Others are the chip's applications behind the first: those with an account of their own have a card of their own at the bank, named after this one.
	Others []ChipApplication
}

// ChipApplication is what another application of a chip says.
type ChipApplication struct {
	ATC        uint16
	PurseMinor int64
}

// Anchor is the end of a journal at some time.
type Anchor struct {
	Row   uint64 `json:"row"`
	Chain string `json:"chain"` // hexadecimal
}

// Report is what was found in a directory.
type Report struct {
	Dir      string
	Members  []MemberReport
	Rows     uint64
	Payments uint64 // payments that began
	Underway uint64 // payments that had not ended when the journals were read
	// Findings are the first ones, in the order of time; Total counts all.
	Findings []Wrong
	Total    int
	Elapsed  time.Duration
}

// Clean reports whether everything holds.
func (r *Report) Clean() bool { return r.Total == 0 }

// Anchors are the ends of the journals, for Options of a later run.
func (r *Report) Anchors() map[string]Anchor {
	anchors := map[string]Anchor{}
	for _, m := range r.Members {
		anchors[m.Journal] = m.Anchor
	}
	return anchors
}

// MemberReport is what a member's rows add up to.
type MemberReport struct {
	Role, Name, Journal string
	Rows                uint64
	Anchor              Anchor
	Currency            uint16
	// Posted and Held are what stands on the member's account with the scheme: what an issuer owes, what an acquirer claims. Tills and switches keep no books:
	// their Posted is what merchants are owed for what was approved and not taken back, sales and completions less voids and refunds; a pre-authorization
	// is no claim, so it is in neither.
	PostedMinor, HeldMinor int64
	Approved, Declined     uint64
	Reversed               uint64
	Cards                  int // enrolled
	PurseMinor             int64
	Outstanding            uint64 // messages that nobody has acknowledged yet
}

// errMoved says that a journal got a writer while it was read as one without.
var errMoved = errors.New("verify: a journal got a writer meanwhile")

// moves is how often Dir begins again because of that before it gives up.
const moves = 3

// Dir verifies the journals of a data directory: each by itself and all against each other. The error is about the directory
// (fs.ErrNotExist, ErrNoJournals, journalsql.ErrNotJournal) or ctx; what is wrong with rows is in the report.
func Dir(ctx context.Context, dir string, o Options) (Report, error) {
	for range moves {
		report, err := dirOnce(ctx, dir, o)
		if !errors.Is(err, errMoved) {
			return report, err
		}
	}
	return Report{}, errMoved
}

func dirOnce(ctx context.Context, dir string, o Options) (report Report, err error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	began := o.Clock.Now()
	world, err := readWorld(dir)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if o.Most <= 0 {
		o.Most = DefaultMost
	}
	a := newAuditor(world, o)
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.open(ctx, dir); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if err := a.stream(ctx); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if err := a.finish(ctx); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	report = a.report()
	report.Dir, report.Elapsed = dir, o.Clock.Now().Sub(began)
	return report, nil
}

// auditor goes through the journals of one directory once.
type auditor struct {
	options  Options
	world    World
	calendar clock.Calendar
	seed     maphash.Seed
	members  []*member
	tills    map[string]*member // by terminal
	acquirer *member
	switches *member
	issuers  []*member
	findings findings
	// The token service and the cloud secure element, and the payments by token that are not complete yet.
	tokenServices, cloudElements *member
	tokenCases                   map[uint64]*tokenCase
	cases                        cases
	merchant                     map[string]ledger.Account
	operators                    map[string]MerchantAccount // terminals held to more than others, see shown.go
	abroad                       map[string]uint16          // currencies of terminals that sell in another
	payments                     uint64
	rows                         uint64
	of                           uint64
	current                      *payCase // of the row that is being looked at
	refused                      int64    // purse money of payments that issuers refused
	chips                        bool     // tills and with them the chips are in this directory
}

func newAuditor(world World, o Options) *auditor {
	a := &auditor{options: o, world: world, calendar: world.Zone.calendar(), seed: maphash.MakeSeed(), tills: map[string]*member{},
		findings: findings{most: o.Most}, merchant: map[string]ledger.Account{}, abroad: map[string]uint16{}, tokenCases: map[uint64]*tokenCase{},
		operators: map[string]MerchantAccount{}}
	for _, m := range world.Merchants {
		a.merchant[m.Terminal] = m.Account
		if m.Rides || m.MostMinor > 0 {
			a.operators[m.Terminal] = m
		}
		if m.Currency != 0 {
			a.abroad[m.Terminal] = m.Currency
		}
	}
	a.cases.init(keptSettled)
	return a
}

// open opens the journals from the tills towards the issuers: whatever one of them has heard of, the next one has in writing by then.
func (a *auditor) open(ctx context.Context, dir string) error {
	members := slices.Clone(a.world.Members)
	slices.SortStableFunc(members, func(x, y WorldMember) int { return int(roleOf(x.Role)) - int(roleOf(y.Role)) })
	for _, w := range members {
		path := filepath.Join(dir, journalsDir, w.Journal+journalSuffix)
		m := newMember(a, w)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			a.findings.add(Wrong{Role: w.Role, Member: w.Name, Field: FieldJournal, Found: wordNone, Expected: verbatim(journalsDir + "/" + w.Journal + journalSuffix)})
			continue
		}
		a.members = append(a.members, m)
		if err := m.open(ctx, path); err != nil {
			return err
		}
	}
	if len(a.members) == 0 {
		return fmt.Errorf("%w in %s", ErrNoJournals, dir)
	}
	for _, m := range a.members {
		if err := m.measure(); err != nil {
			return err
		}
		a.of += min(m.last, uint64(len(m.marks)))
		a.enlist(m)
	}
	return nil
}

func (a *auditor) enlist(m *member) {
	switch m.role {
	case theTills:
		a.tills[m.Name] = m
		a.chips = true
	case theAcquirers:
		a.acquirer = m
	case theSwitches:
		a.switches = m
	case theIssuers:
		a.issuers = append(a.issuers, m)
	case theTokenServices:
		a.tokenServices = m
	case theCloudElements:
		a.cloudElements = m
	}
}

func (a *auditor) close() error {
	var errs []error
	for _, m := range a.members {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

func (a *auditor) report() Report {
	a.findings.cut()
	r := Report{Rows: a.rows, Payments: a.payments, Underway: a.cases.underway, Findings: a.findings.kept, Total: a.findings.total}
	if len(r.Findings) < a.options.Most {
		r.Total = len(r.Findings) // without the repetitions
	}
	for _, m := range a.members {
		r.Members = append(r.Members, m.report())
	}
	return r
}

// member is one journal and what its rows have told so far.
type member struct {
	WorldMember
	role    role
	auditor *auditor
	path    string
	reader  *journalsql.Reader // of the stream
	lookup  *journalsql.Reader // of single rows, opened when it is needed
	last    uint64             // rows up to here are verified
	rows    []journal.Row      // of a snapshot, instead of readers
	lost    bool               // the journal could not be read to its end

	flow  flow
	dates dates
	marks []outcome // by row: how a payment that began there ended, once it is settled

	currency    uint16
	tally       tally
	batch       uint64               // till: the open one, zero before the first payment
	sheets      map[uint64]batchSums // till: what its batches add up to, until they are settled
	serial      uint64               // till and acquirer: payments begun; a till's in its batch
	notices     map[uint64]uint64    // that wait for an acknowledgement: by join, and the row
	noticed     map[uint64]bool      // notices that the member has had, by join
	series      series               // of trace numbers, references or authorization codes
	serials     map[deviceKey]uint32 // acquirer: the last key of each device
	tap         tapShown             // acquirer: a cryptogram whose request comes next
	institution string               // acquirer and switch: as keys write it
	bank        *bank                // issuer
	vault       *vault               // token service
	clouds      *clouds              // cloud secure element
	opened      *openBook            // what till, acquirer and switch must keep, where they keep something
	kept        *kept                // cells of every role but the issuers; nil without any
	early       *earlyReversal       // one whose marker is still to come
	spent       map[uint64]uint64    // keys that an early reversal has spent, by join: the reversal's row
	posted      int64
	held        int64
	balances    map[ledger.Account]ledger.Balance // of the member's own accounts and merchants'
}

type tally struct{ approved, declined, reversed, outstanding uint64 }

func newMember(a *auditor, w WorldMember) *member {
	m := &member{WorldMember: w, role: roleOf(w.Role), auditor: a, balances: map[ledger.Account]ledger.Balance{}, spent: map[uint64]uint64{},
		notices: map[uint64]uint64{}, noticed: map[uint64]bool{}}
	switch m.role {
	case theIssuers:
		m.bank = newBank()
	case theTokenServices:
		m.vault = newVault()
	case theCloudElements:
		m.clouds = newClouds()
	}
	m.dates.calendar = a.calendar
	return m
}

func (m *member) open(ctx context.Context, path string) error {
	m.path = path
	var err error
	if m.reader, err = journalsql.OpenReader(ctx, path); err != nil {
		return err
	}
	if m.role == theIssuers {
		return m.readCells(ctx, m.reader)
	}
	return m.readKept(ctx, m.reader)
}

// measure finds out how far the journal is verified. It comes after the cells of all members were read, which takes its time.
func (m *member) measure() error {
	first, last, err := m.reader.Ends()
	m.last = uint64(max(last, 0))
	if err != nil {
		m.last = math.MaxInt64 // as far as it can be read
	}
	if first < 0 || first == 0 && last != 0 {
		m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldSequence, Found: number(first), Expected: number(1)})
	}
	if indexed, err := m.reader.HasKeyIndex(); err == nil && !indexed {
		m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: "key",
			Found:    fill("no index that keeps keys unique", "没有保证键唯一的索引"),
			Expected: fill("the unique index journal_key", "唯一索引journal_key")})
	}
	size, err := m.reader.Size()
	m.marks = make([]outcome, min(m.last, uint64(size)/leastRowBytes)+1)
	return err
}

// leastRowBytes is less than any row takes in the file: a forged row number cannot make us allocate more than the file justifies.
const leastRowBytes = 64

func (m *member) close() error {
	var errs []error
	for _, r := range []*journalsql.Reader{m.reader, m.lookup} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

func (m *member) report() MemberReport {
	r := MemberReport{Role: m.Role, Name: m.Name, Journal: m.Journal, Rows: m.flow.rows, Anchor: Anchor{Row: m.flow.seq, Chain: fmt.Sprintf("%x", m.flow.hash)},
		Currency: m.currency, PostedMinor: m.posted, HeldMinor: m.held, Approved: m.tally.approved, Declined: m.tally.declined,
		Reversed: m.tally.reversed, Outstanding: m.tally.outstanding}
	if m.bank != nil {
		r.Cards, r.PurseMinor = len(m.bank.cards), m.bank.purses()
	}
	if m.vault != nil {
		r.Cards = int(m.vault.settings.count[kindToken])
	}
	if m.clouds != nil {
		r.Cards = len(m.clouds.tokens)
	}
	return r
}

// role orders the members from the tills towards the issuers. Who is asked about tokens comes behind them: whatever an issuer has heard of a token, they have
// in writing by then.
type role uint8

const (
	theTills role = iota
	theAcquirers
	theSwitches
	theIssuers
	noRole
	theTokenServices
	theCloudElements
	roles = int(iota)
	sides = int(noRole) // of a payment
)

func roleOf(name string) role {
	switch name {
	case Till:
		return theTills
	case Acquirer:
		return theAcquirers
	case Switch:
		return theSwitches
	case Issuer:
		return theIssuers
	case TokenService:
		return theTokenServices
	case CloudSE:
		return theCloudElements
	}
	return noRole
}
