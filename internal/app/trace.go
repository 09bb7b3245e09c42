package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/link"
	"tapnet/internal/personalization"
	"tapnet/internal/trace"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
)

// fingerprintKeyBytes of randomness make the key under which the trace recognises a card.
const fingerprintKeyBytes = 32

// newTrace starts the trace of a network. Its key is of this process only: a fingerprint means nothing elsewhere.
func newTrace(n *Network) (*trace.Store, error) {
	key := make([]byte, fingerprintKeyBytes)
	if _, err := io.ReadFull(n.random.source("trace"), key); err != nil {
		return nil, fmt.Errorf("trace key: %w", err)
	}
	return trace.New(trace.Config{Key: key})
}

// nameOf says who an institution or terminal is, as the profile calls it.
func (n *Network) nameOf(id string) string {
	p := n.options.Profile
	switch id {
	case p.Switch:
		return RoleSwitch
	case p.Acquirer.Institution:
		return RoleAcquirer
	case TokenService:
		return RoleTSP
	case CloudSE:
		return RoleCloudSE
	case ElementService:
		return RoleTSM
	}
	if i, ok := p.Issuer(id); ok {
		return i.Name
	}
	for _, m := range p.Merchants {
		if m.Terminal == id {
			return m.Name
		}
	}
	return id
}

// traceMessage remembers a message that passed a link.
func (n *Network) traceMessage(node *node, dialect unionpay.Dialect, e link.TraceEvent) {
	r := trace.FromMessage(e.At, node.shown, n.nameOf(e.Peer), dialect, e.Raw, e.Direction == link.Out)
	if e.Err != nil {
		r.Title = glossary.Term{EN: "refused: " + e.Err.Error(), ZH: "拒绝：" + e.Err.Error()}
	}
	n.trace.Add(r)
}

// traceRows remembers what has just become durable, and wakes who waits for it.
func (n *Network) traceRows(node *node, rows []journal.Row) {
	n.tokenRows(node, rows)
	for i := range rows {
		if !n.trace.Room(rows[i].At) {
			continue // naming it would cost more than writing it did
		}
		row := rows[i] // the writer uses its memory again
		n.trace.Add(trace.FromRow(node.shown, &row, node.role.Describe(&row), n.linesOf(node, &row)...))
	}
	n.committed.add()
}

// detailed is a role that says more of a row than its title.
type detailed interface {
	Details(*journal.Row) []glossary.Term
}

// detailsPerSecond is how many rows of one second are told of at length: under a load at which nobody reads them they would cost more than the rows did.
const detailsPerSecond = 200

// quota counts what was taken in a second.
type quota struct {
	second atomic.Int64
	taken  atomic.Int32
}

func (q *quota) take(at time.Time) bool {
	if now := at.Unix(); q.second.Swap(now) != now {
		q.taken.Store(0)
	}
	return q.taken.Add(1) <= detailsPerSecond
}

// linesOf is what stands below a row's title.
func (n *Network) linesOf(node *node, row *journal.Row) []trace.Line {
	lines := n.movement(node, row)
	if role, ok := node.role.(detailed); ok && n.tokens.details.take(row.At) {
		for _, said := range role.Details(row) {
			lines = append(lines, trace.Line{Name: said})
		}
	}
	return lines
}

// accounts names the accounts of a role that keeps books.
type accounts interface {
	AccountName(ledger.Account) string
}

// phaseVerbs say what a posting does with the money.
var phaseVerbs = map[ledger.Phase]glossary.Term{
	ledger.Single:  {EN: "moved", ZH: "划转"},
	ledger.Pending: {EN: "held", ZH: "冻结"},
	ledger.Post:    {EN: "posted", ZH: "入账"},
	ledger.Void:    {EN: "released", ZH: "解冻"},
}

// movement says which money a row moves: amount, from, to.
func (n *Network) movement(node *node, row *journal.Row) []trace.Line {
	names, ok := node.role.(accounts)
	currency, err := money.CurrencyByNumber(int(row.Currency))
	if !ok || row.Debit == 0 || err != nil {
		return nil
	}
	value := fmt.Sprintf("%s  %s → %s", money.New(row.Amount, currency), names.AccountName(row.Debit), names.AccountName(row.Credit))
	return []trace.Line{{Name: phaseVerbs[row.Phase], Value: value}}
}

// tapNumbers gives each terminal's taps their names in the trace and knows the one under way.
type tapNumbers struct {
	mu      sync.Mutex
	last    map[string]int
	current map[string]*trace.Tap
}

// beginTap opens the trace of a new tap at a terminal and returns what it is found by.
func (n *Network) beginTap(terminal string) string {
	n.taps.mu.Lock()
	defer n.taps.mu.Unlock()
	if n.taps.last == nil {
		n.taps.last, n.taps.current = map[string]int{}, map[string]*trace.Tap{}
	}
	n.taps.last[terminal]++
	tap := n.trace.Tap(n.options.Clock, stopwatch(), n.nameOf(terminal), fmt.Sprintf("%s/%d", terminal, n.taps.last[terminal]))
	n.taps.current[terminal] = tap
	return tap.ID()
}

// stopwatch measures real time, also in a world whose clock stands still.
func stopwatch() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// tapObserver tells the trace what terminal and card say to each other.
type tapObserver struct {
	network  *Network
	terminal string
}

func (n *Network) tapObserver(m personalization.Merchant) tapObserver {
	return tapObserver{network: n, terminal: m.Terminal}
}

func (o tapObserver) tap() *trace.Tap {
	o.network.taps.mu.Lock()
	defer o.network.taps.mu.Unlock()
	return o.network.taps.current[o.terminal]
}

// Exchange remembers a command and its answer.
func (o tapObserver) Exchange(command, response []byte, err error) {
	if tap := o.tap(); tap != nil {
		tap.Exchange(command, response, err)
	}
}

// Screen remembers what the terminal showed.
func (o tapObserver) Screen(ui kernel.UIRequest) {
	if tap := o.tap(); tap != nil {
		tap.Screen(ui.Message.Term())
	}
}

// TraceOf gives the records of one payment, explained and masked, as trace.Load reads them.
func (n *Network) TraceOf(_ context.Context, id string) ([]byte, error) {
	n.trace.Flush()
	records := n.trace.Find(id)
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoTrace, shown(id))
	}
	var saved bytes.Buffer
	if err := trace.Save(&saved, records); err != nil {
		return nil, fmt.Errorf("trace of %q: %w", id, err)
	}
	return saved.Bytes(), nil
}
