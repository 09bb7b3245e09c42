package verify

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/ledger"
)

// Operator is a transit operator's back office, whose journal lies in a directory of its own.
const Operator = "operator"

// transitJournal is its file.
const transitJournal = "transit"

// TransitOptions of TransitDir. The zero value verifies the operator by itself.
type TransitOptions struct {
	Most int
	// Network is the data directory of the network whose acquirer the operator is a merchant of; "" leaves the acquirer out.
	Network string
	// Settled says that nothing may be under way.
	Settled bool
	// Anchor is the journal's end as an earlier report gave it; Row 0 is none.
	Anchor Anchor
	// ListKey is the public key of the deny list; nil leaves the signatures of its deltas out.
	ListKey ed25519.PublicKey
	Clock   clock.Clock
}

// TransitKept is the state that an operator keeps beside its rows, as far as it was held against them.
type TransitKept struct {
	Row      uint64 `json:"row"` // 0: there is none
	Bytes    uint64 `json:"bytes"`
	Compared bool   `json:"compared"`
}

// TransitListed is how far the deny list has come.
type TransitListed struct {
	Epoch    uint32 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	Listed   int    `json:"listed"`
	// Waiting are the entries that the next delta has to change.
	Waiting int `json:"waiting"`
	// Signed says that the signatures of the deltas were held against a key.
	Signed bool `json:"signed"`
}

// TransitReport is what the rows of an operator add up to. Amounts are minor units.
type TransitReport struct {
	Dir     string
	Rows    uint64
	Anchor  Anchor
	Devices int
	Taps    uint64 // of cards, opened or not
	Opened  uint64
	Riders  int // credentials
	Bills   uint64

	ChargedMinor, CreditedMinor, PaidMinor, RefundedMinor, SettledMinor, OwedMinor, LostMinor, PurseMinor int64

	List     TransitListed
	Kept     TransitKept
	Requests uint64
	Underway uint64 // requests and bills that had not ended
	Compared uint64 // requests held against the acquirer's journal
	Findings []Wrong
	Total    int
	Elapsed  time.Duration
}

// Clean reports whether everything holds.
func (r *TransitReport) Clean() bool { return r.Total == 0 }

// IsTransit reports whether a directory is an operator's.
func IsTransit(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, journalsDir, transitJournal+journalSuffix))
	return err == nil
}

// TransitDir derives an operator's taps, bills, debts and money again from its rows, and from these what the deny list has to say and what the state kept
// beside the rows has to be; it holds requests against the journal of its acquirer. The chain keys of the devices, the keys of the deny list and what is sealed
// are the operator's secrets: that records follow one another is checked by the links that stand in the rows, not that a gate made them, and that a name under
// another key is the same card's only as far as names contradict each other; what a journey costs is the tariff's, and here only that the lines of a journey
// never come to less than nothing.
func TransitDir(ctx context.Context, dir string, o TransitOptions) (report TransitReport, err error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Most <= 0 {
		o.Most = DefaultMost
	}
	began := o.Clock.Now()
	path := filepath.Join(dir, journalsDir, transitJournal+journalSuffix)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w in %s", ErrNoJournals, dir)
		}
		return report, fmt.Errorf("verify: %w", err)
	}
	reader, err := journalsql.OpenReader(ctx, path)
	if err != nil {
		return report, fmt.Errorf("verify: %w", err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	t := newTransit(o)
	// The kept state comes first: it is of no later row than those that are read after it.
	err = t.openKept(ctx, path)
	defer func() { err = errors.Join(err, t.kept.close()) }()
	if err == nil {
		err = t.stream(ctx, reader)
	}
	if err != nil {
		return report, fmt.Errorf("verify: %w", err)
	}
	t.finish()
	if o.Network != "" {
		if err := t.atAcquirer(ctx, o.Network); err != nil {
			return report, fmt.Errorf("verify: %w", err)
		}
	}
	t.findings.cut()
	report = t.report
	report.Dir, report.Findings, report.Total, report.Elapsed = dir, t.findings.kept, t.findings.total, o.Clock.Now().Sub(began)
	return report, nil
}

// transit follows an operator's journal.
type transit struct {
	options  TransitOptions
	report   TransitReport
	findings findings
	chain    [32]byte
	last     uint64
	row      *journal.Row // being taken
	buf      []byte

	devices     map[string]int32
	names       []string
	seen        []transitSeen // of each device
	spans       map[int32][]transitSpan
	taps        map[transitTap]tapStand
	journeys    map[transitTap]int64 // what a journey has been billed, while it is above nothing
	riders      transitRiders
	marks       transitMarks
	epochs      transitEpochs
	owed        map[int32]int64 // by credential: what is owed to the rider
	bills       map[uint64]*transitBill
	claims      map[int32]bool // credentials with a first ride granted, until they are approved
	stops       transitStops
	asks        map[uint64]*transitAsk // that have not ended
	byKey       map[string]uint64
	purses      int64            // uploads that are still to be told
	uploads     map[uint64]int64 // those that the acquirer took, by the request, less those given back
	stan        uint32
	terminal    string
	day, closed int32
	closing     bool
	list        transitList
	books       map[ledger.Account]*transitSums
	kept        transitKept
	at          int64 // of the last row
	batch       uint32
	debts       uint64    // bills that were ever a debt
	told        []toldAsk // approved, in order, to be held against the acquirer
}

func newTransit(o TransitOptions) *transit {
	return &transit{
		options: o, findings: findings{most: o.Most}, devices: map[string]int32{}, spans: map[int32][]transitSpan{}, taps: map[transitTap]tapStand{},
		journeys: map[transitTap]int64{}, riders: newTransitRiders(), marks: newTransitMarks(), list: newTransitList(), owed: map[int32]int64{},
		bills: map[uint64]*transitBill{}, claims: map[int32]bool{}, stops: newTransitStops(),
		asks: map[uint64]*transitAsk{}, uploads: map[uint64]int64{}, byKey: map[string]uint64{}, books: map[ledger.Account]*transitSums{}, batch: 1,
	}
}

func (t *transit) fault(r *journal.Row, field string, found, expected glossary.Term) {
	t.findings.add(Wrong{Role: Operator, Member: t.terminal, Row: r.Seq, Kind: r.Kind, Field: field, Found: found, Expected: expected, at: r.At.UnixMicro()})
}

func (t *transit) same(r *journal.Row, field string, found, expected int64) {
	if found != expected {
		t.fault(r, field, number(found), number(expected))
	}
}

func (t *transit) stream(ctx context.Context, reader *journalsql.Reader) error {
	_, last, err := reader.Ends()
	if err != nil {
		return err
	}
	var batch journalsql.Batch
	return reader.Rows(ctx, 0, uint64(max(last, 0)), batchRows, &batch, func(b *journalsql.Batch) (*journalsql.Batch, error) {
		damaged := b.Damaged
		for i := range b.Rows {
			r := &b.Rows[i]
			if len(damaged) > 0 && damaged[0].At == i {
				t.fault(r, damaged[0].Column, wordUnfit, wordReadable)
				damaged = damaged[1:]
			} else {
				t.seal(r)
			}
			t.take(r)
			if t.kept.watermark == r.Seq {
				t.compareKept(ctx)
			}
		}
		return b, nil
	})
}

// seal checks number and chain.
func (t *transit) seal(r *journal.Row) {
	t.report.Rows++
	if r.Seq != t.last+1 {
		t.fault(r, FieldSequence, number(r.Seq), number(t.last+1))
	}
	stored := r.Chain
	if t.buf = r.Seal(t.chain, t.buf); r.Chain != stored {
		found, expected := hashes(stored, r.Chain)
		t.fault(r, FieldChain, found, expected)
	}
	r.Chain = stored
	if a := t.options.Anchor; a.Row == r.Seq && a.Row != 0 && a.Chain != hex.EncodeToString(stored[:]) {
		t.fault(r, FieldChain, verbatim(hex.EncodeToString(stored[:hashShown])), fill("%.16s, as reported before", "此前报告的%.16s", a.Chain))
	}
	t.last, t.chain, t.at = r.Seq, stored, r.At.UnixMicro()
	t.report.Anchor = Anchor{Row: r.Seq, Chain: hex.EncodeToString(stored[:])}
}

// take derives one row.
func (t *transit) take(r *journal.Row) {
	if r.Debit != 0 || r.Credit != 0 {
		t.sums(r.Debit).move(r.Amount, 0, r.Seq)
		t.sums(r.Credit).move(0, r.Amount, r.Seq)
		if r.Amount <= 0 || r.Phase != ledger.Single {
			t.fault(r, "amount", number(r.Amount), fill("above zero, moved at once", "大于零，单步入账"))
		}
	}
	t.row = r
	if r.Kind != journal.Noted {
		t.toldAll()
	}
	switch r.Kind {
	case journal.Uploaded:
		t.uploaded(r)
	case journal.TerminalChanged:
		t.device(r.Terminal)
		t.moves(r, 0, 0, 0)
	case journal.Charged:
		t.charged(r)
	case journal.Requested:
		t.requested(r)
	case journal.Answered, journal.TimedOut, journal.Voided, journal.Acknowledged:
		t.followed(r)
	case journal.Expired, journal.Settled, journal.Adjusted:
		t.decided(r)
	case journal.DayClosed:
		t.dayClosed(r)
	case journal.CardChanged:
		t.changed(r)
	case journal.Noted:
		t.delta(r)
	case journal.KeysChanged:
		t.keys(r)
	case journal.Advised:
		t.outside(r)
	default:
		t.fault(r, "kind", r.Kind.Term(), fill("a kind of a transit operator", "公交运营方的行类型"))
	}
}

// transitSums are what was booked on an account.
type transitSums struct {
	debits, credits int64
	last            uint64
}

func (t *transit) sums(a ledger.Account) *transitSums {
	s := t.books[a]
	if s == nil {
		s = &transitSums{}
		t.books[a] = s
	}
	return s
}

func (s *transitSums) move(debit, credit int64, row uint64) {
	s.debits, s.credits, s.last = s.debits+debit, s.credits+credit, row
}

// net is what was debited less what was credited.
func (s *transitSums) net() int64 { return s.debits - s.credits }

// moves holds what a row books against what it should.
func (t *transit) moves(r *journal.Row, debit, credit ledger.Account, minor int64) {
	t.same(r, "debit", int64(r.Debit), int64(debit))
	t.same(r, "credit", int64(r.Credit), int64(credit))
	if debit != 0 {
		t.same(r, "amount", r.Amount, minor)
	}
}

// Beginning and end of a day's close, as rows say it.
const (
	closeBegins = 1
	closeEnds   = 2
)

func (t *transit) dayClosed(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	switch {
	case r.Reason == closeBegins && !t.closing && r.BusinessDate > t.closed:
		t.closing, t.day = true, r.BusinessDate
	case r.Reason == closeEnds && t.closing && r.BusinessDate == t.day:
		t.closing, t.closed = false, t.day
	default:
		t.fault(r, "reason", number(r.Reason), fill("a close in turn, each day once", "按序日结，每日一次"))
	}
}

// finish holds the ends against each other.
func (t *transit) finish() {
	var unpaid, credit int64
	for _, c := range t.owed {
		credit += c
	}
	report := &t.report
	for _, b := range t.bills {
		credit += b.returning
		switch b.state {
		case billPaid:
			report.PaidMinor += b.minor
			report.RefundedMinor += b.refunded
		case billSettled:
			report.SettledMinor += b.minor
		case billLost:
			report.LostMinor += b.minor
		default:
			unpaid += b.minor
			report.Underway++
			if b.state == billOwed || b.state == billStopped {
				report.OwedMinor += b.minor
			}
		}
	}
	report.Underway += uint64(len(t.asks))
	t.finishList()
	if k := &t.kept; k.watermark > t.last {
		t.keptWrong(k.cell, FieldWatermark, number(k.watermark), fill("at most row %d, the last", "不超过最后的第%d行", t.last))
	}
	report.Devices, report.Riders, report.Bills = len(t.names), len(t.riders.all)-1, uint64(len(t.bills))
	end := &journal.Row{}
	for _, line := range []struct {
		account  ledger.Account
		expected int64
	}{
		{operatorRiders, unpaid - credit}, {operatorLoss, report.LostMinor}, {operatorCounter, report.SettledMinor},
		{operatorAcquirer, report.PaidMinor - report.RefundedMinor + report.PurseMinor},
		{operatorFares, report.CreditedMinor - report.ChargedMinor - report.PurseMinor},
	} {
		if found := t.sums(line.account).net(); found != line.expected {
			t.fault(end, FieldTotal, fill("%d on account %d", "%[2]d号账户余额%[1]d", found, line.account), number(line.expected))
		}
	}
	if a := t.options.Anchor; a.Row > t.last {
		t.fault(&journal.Row{Seq: a.Row}, FieldChain, wordNothing, fill("%.16s, as reported before", "此前报告的%.16s", a.Chain))
	}
	if t.options.Settled && len(t.asks) > 0 {
		t.fault(end, FieldEnd, fill("%d requests under way", "%d笔请求未结束", len(t.asks)), wordNone)
	}
}
