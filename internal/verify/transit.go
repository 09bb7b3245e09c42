package verify

import (
	"context"
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
	Clock  clock.Clock
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

// TransitDir derives an operator's taps, bills, debts and money again from its rows, and holds its requests against the journal of its acquirer. The chain
// keys of the devices and what is sealed are the operator's secrets: that records follow one another is checked by the links that stand in the rows, not
// that a gate made them; what a journey costs is the tariff's, and here only that the lines of a journey never come to less than nothing.
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
	if err := t.stream(ctx, reader); err != nil {
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
	buf      []byte

	devices     map[string]int32
	names       []string
	spans       map[int32][]transitSpan
	taps        map[transitTap]tapStand
	journeys    map[transitTap]int64 // what a journey has been billed, while it is above nothing
	credentials map[[idBytes]byte]int32
	owed        map[int32]int64 // by credential: what is owed to the rider
	bills       map[uint64]*transitBill
	asks        map[uint64]*transitAsk // that have not ended
	byKey       map[string]uint64
	purses      int64 // uploads that are still to be told
	stan        uint32
	terminal    string
	day, closed int32
	closing     bool
	list        uint64
	net         map[ledger.Account]int64 // debits less credits
	told        []toldAsk                // approved, in order, to be held against the acquirer
}

func newTransit(o TransitOptions) *transit {
	return &transit{
		options: o, findings: findings{most: o.Most}, devices: map[string]int32{}, spans: map[int32][]transitSpan{}, taps: map[transitTap]tapStand{},
		journeys: map[transitTap]int64{}, credentials: map[[idBytes]byte]int32{}, owed: map[int32]int64{}, bills: map[uint64]*transitBill{},
		asks: map[uint64]*transitAsk{}, byKey: map[string]uint64{}, net: map[ledger.Account]int64{},
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
	t.last, t.chain = r.Seq, stored
	t.report.Anchor = Anchor{Row: r.Seq, Chain: hex.EncodeToString(stored[:])}
}

// take derives one row.
func (t *transit) take(r *journal.Row) {
	if r.Debit != 0 || r.Credit != 0 {
		t.net[r.Debit] += r.Amount
		t.net[r.Credit] -= r.Amount
		if r.Amount <= 0 || r.Phase != ledger.Single {
			t.fault(r, "amount", number(r.Amount), fill("above zero, moved at once", "大于零，单步入账"))
		}
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
		t.list++
		t.moves(r, 0, 0, 0)
		if want := fmt.Sprintf("d/%020d", t.list); r.Key != want {
			t.fault(r, "key", quoted(r.Key), quoted(want))
		}
	default:
		t.fault(r, "kind", r.Kind.Term(), fill("a kind of a transit operator", "公交运营方的行类型"))
	}
}

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
			if b.state == billOwed {
				report.OwedMinor += b.minor
			}
		}
	}
	report.Underway += uint64(len(t.asks))
	report.Devices, report.Riders, report.Bills = len(t.names), len(t.credentials), uint64(len(t.bills))
	end := &journal.Row{}
	for _, line := range []struct {
		account  ledger.Account
		expected int64
	}{
		{operatorRiders, unpaid - credit}, {operatorLoss, report.LostMinor}, {operatorCounter, report.SettledMinor},
		{operatorAcquirer, report.PaidMinor - report.RefundedMinor + report.PurseMinor},
		{operatorFares, report.CreditedMinor - report.ChargedMinor - report.PurseMinor},
	} {
		if found := t.net[line.account]; found != line.expected {
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
