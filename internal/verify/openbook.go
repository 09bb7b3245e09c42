package verify

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// openBook is what till, acquirer or switch must have beside its rows: what has begun and not ended, and what it adds up. It is followed as far as there are
// cells to compare.
type openBook struct {
	open   map[string]byte    // by key, with the mark it has in the store
	bySeq  map[uint64]begunAt // rows that something may still follow
	sentAs map[string]string  // acquirer: by the key towards the switch, the key of the row that sent it

	accounts map[ledger.Account]*accountNow // acquirer
	lists    map[uint16][3]uint64           // acquirer: last version, current one, the one before
	taken    uint64                         // acquirer: payments and notices so far
	batch    uint64                         // till: the open one
	older    []uint64                       // till: batches that ended without settlement
	since    uint64                         // till: the row that began the batch
	stan     uint64                         // till: the last trace number of the batch
	entries  map[uint64]uint64              // till: rows of the batch's transactions, by trace number
}

type begunAt struct {
	key      string
	dialogue bool
}

type accountNow struct {
	ledger.Balance
	last uint64
}

// Marks of what is open, in the numbers of each role.
const (
	openPayment  byte = 1
	openReversal byte = 2

	tillPending  byte = 1
	tillTimedOut byte = 2
	tillInSlot   byte = 3
	tillEnded    byte = 4
)

func newOpenBook() *openBook {
	return &openBook{batch: 1, open: map[string]byte{}, bySeq: map[uint64]begunAt{}, sentAs: map[string]string{}, accounts: map[ledger.Account]*accountNow{},
		lists: map[uint16][3]uint64{}, entries: map[uint64]uint64{}}
}

func (b *openBook) begin(r *journal.Row, mark byte, dialogue bool) {
	key := strings.Clone(r.Key)
	b.open[key], b.bySeq[r.Seq] = mark, begunAt{key, dialogue}
}

func (b *openBook) end(seq uint64) {
	delete(b.open, b.bySeq[seq].key)
	delete(b.bySeq, seq)
}

// follow brings it to where the row left it.
func (b *openBook) follow(m *member, r *journal.Row) {
	switch m.role {
	case theTills:
		b.till(r)
	case theAcquirers:
		b.acquirer(r)
	case theSwitches:
		b.network(r)
	}
}

func (b *openBook) network(r *journal.Row) {
	switch r.Kind {
	case journal.Requested:
		b.begin(r, openPayment, false)
	case journal.Answered:
		b.end(r.Linked)
	case journal.TimedOut:
		b.end(r.Linked)
		b.begin(r, openReversal, false)
	case journal.Reversed, journal.ScriptReported:
		if hasReceiver(r) {
			b.begin(r, openReversal, false)
		}
		if r.Kind == journal.Reversed && b.open[r.Payment] == openPayment {
			delete(b.open, r.Payment)
		}
	case journal.Acknowledged:
		b.end(r.Linked)
	}
}

func (b *openBook) acquirer(r *journal.Row) {
	if r.Debit != 0 {
		b.transfer(r)
	}
	send := func() {
		b.begin(r, openReversal, false)
		b.sentAs[strings.Clone(r.Payment)] = b.bySeq[r.Seq].key
	}
	switch r.Kind {
	case journal.Requested:
		b.taken++
		b.begin(r, openPayment, false)
	case journal.Declined:
		b.taken++
	case journal.Answered:
		b.end(r.Linked)
	case journal.TimedOut:
		b.end(r.Linked)
		send()
	case journal.Reversed:
		if r.Linked != 0 {
			b.end(r.Linked)
			if r.Payment != "" {
				send()
			}
		}
	case journal.ScriptReported:
		b.taken++
		send()
	case journal.Acknowledged:
		delete(b.open, b.sentAs[r.Payment])
		delete(b.sentAs, r.Payment)
	case journal.ParameterChanged:
		v, version := b.lists[r.Reason], uint64(r.STAN)
		if r.Key == "" {
			v[1], v[2] = version, 0
		} else {
			v = [3]uint64{version, version, v[1]}
		}
		b.lists[r.Reason] = v
	}
}

// transfer moves a row's money: held, posted, or one instead of the other.
func (b *openBook) transfer(r *journal.Row) {
	held, posted := int64(0), int64(0)
	switch r.Phase {
	case ledger.Single:
		posted = r.Amount
	case ledger.Pending:
		held = r.Amount
	case ledger.Post:
		held, posted = -r.Amount, r.Amount
	case ledger.Void:
		held = -r.Amount
	}
	at := func(a ledger.Account) *accountNow {
		if b.accounts[a] == nil {
			b.accounts[a] = &accountNow{}
		}
		return b.accounts[a]
	}
	debit, credit := at(r.Debit), at(r.Credit)
	debit.DebitsPending, debit.DebitsPosted, debit.last = debit.DebitsPending+held, debit.DebitsPosted+posted, r.Seq
	credit.CreditsPending, credit.CreditsPosted, credit.last = credit.CreditsPending+held, credit.CreditsPosted+posted, r.Seq
}

func (b *openBook) nextBatch(r *journal.Row) {
	b.batch, b.since, b.stan, b.entries = b.batch%traceModulus+1, r.Seq, 0, map[uint64]uint64{}
}

func (b *openBook) till(r *journal.Row) {
	switch r.Kind {
	case journal.Requested, journal.Queued, journal.Advised, journal.Noted, journal.ScriptSent, journal.Cleared:
		h, _ := headingOf(r)
		b.begin(r, tillPending, h.dialogue)
		b.stan, b.entries[uint64(r.STAN)] = uint64(r.STAN), r.Seq
	case journal.BatchOpened:
		b.older = append(b.older, b.batch)
		b.nextBatch(r)
	case journal.Answered:
		if first := b.bySeq[r.Linked]; first.dialogue && answerOutcome(r.Reason) == isApproved {
			b.open[first.key] = tillInSlot
			return
		}
		b.end(r.Linked)
	case journal.TimedOut, journal.Reversed:
		if first, known := b.bySeq[r.Linked]; known {
			b.open[first.key] = tillTimedOut
		}
	case journal.BatchClosed:
		b.end(r.Linked)
		if batch, _ := binary.Uvarint(r.Note); batch == b.batch {
			b.nextBatch(r)
		} else {
			b.older = slices.DeleteFunc(b.older, func(n uint64) bool { return n == batch })
		}
	case journal.Completed, journal.Declined, journal.Expired, journal.Acknowledged, journal.ScriptReported:
		b.end(r.Linked)
	}
}

// bookKeeping are the cells of till, acquirer and switch. All of them are as after the row at which they were written back.
type bookKeeping struct{ m *member }

func (k bookKeeping) exact() bool             { return false }
func (k bookKeeping) opened() map[string]byte { return k.m.opened.open }

// Where an acquirer keeps what: its accounts by their numbers, and above them what it counts, its terminals, its merchants and its lists.
const (
	acquirerCounters int64 = 1 << 39
	acquirerTills    int64 = 1 << 38
	acquirerLists    int64 = 1<<39 + 1
	acquirerVersion        = 1
	tillCounters     int64 = 1
	tillEntries      int64 = 1 << 20
	tillSheets       int64 = 1 << 30
	tillVersion            = 2
)

func (k bookKeeping) all(fn func(int64, uint64)) {
	switch k.m.role {
	case theAcquirers:
		fn(acquirerCounters, 0)
		for a, now := range k.m.opened.accounts {
			fn(int64(a), now.last)
		}
	case theTills:
		fn(tillCounters, 0)
		for stan, row := range k.m.opened.entries {
			fn(tillEntries+int64(stan), row)
		}
	}
}

func (k bookKeeping) cell(id int64) (derivedCell, bool) {
	switch k.m.role {
	case theAcquirers:
		return k.acquirer(id)
	case theTills:
		return k.till(id)
	}
	return derivedCell{}, false
}

// numbersIn reads a version and numbers up to the end.
func numbersIn(b []byte, version byte) (numbers []uint64, ok bool) {
	if len(b) == 0 || b[0] != version {
		return nil, false
	}
	for b = b[1:]; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		numbers, b = append(numbers, v), b[n:]
	}
	return numbers, true
}

func numbersTerm(list []uint64) glossary.Term { return fill("%d", "%d", list) }

// counted is a cell that must say certain numbers.
func counted(id int64, seq uint64, want ...uint64) derivedCell {
	return derivedCell{id: id, seq: seq, same: func(c keptCell) bool {
		have, ok := numbersIn(c.data, acquirerVersion)
		return ok && slices.Equal(have, want)
	}, term: func(c keptCell) (glossary.Term, glossary.Term) {
		have, _ := numbersIn(c.data, acquirerVersion)
		return numbersTerm(have), numbersTerm(want)
	}}
}

// acquirer gives what an acquirer's cell must say. What its terminals and merchants are in order is not in the rows: of those cells only the form is looked at.
func (k bookKeeping) acquirer(id int64) (derivedCell, bool) {
	b := k.m.opened
	switch {
	case id == acquirerCounters:
		return counted(id, 0, b.taken), true
	case id >= acquirerLists && ledger.Account(id) < acquirerElsewhere:
		v, known := b.lists[uint16(id-acquirerLists)]
		return counted(id, 0, v[:]...), known
	case id >= acquirerTills && id < acquirerCounters:
		return derivedCell{id: id, same: func(c keptCell) bool {
			_, ok := numbersIn(c.data, acquirerVersion)
			return ok
		}, term: func(keptCell) (glossary.Term, glossary.Term) { return wordUnfit, wordReadable }}, true
	}
	a := b.accounts[ledger.Account(id)]
	if a == nil {
		return derivedCell{}, false
	}
	return counted(id, a.last, uint64(a.DebitsPending), uint64(a.DebitsPosted), uint64(a.CreditsPending), uint64(a.CreditsPosted), a.last), true
}

// Cells of a till, as far as they are compared: JSON behind a version.
type (
	tillTrace  struct{ Batch, STAN uint64 }
	tillTotals struct{ DebitCount, CreditCount, Debit, Credit int64 }
	tillCount  struct {
		STAN, Batch uint64
		Since       uint64
		Totals      tillTotals
		Older       int
	}
	tillSheet struct {
		Batch  uint64
		Totals tillTotals
	}
	tillEntry struct {
		Seq         uint64
		Verb, Stage byte
		Dialogue    bool
		Trace       tillTrace
		Minor       int64
		Begin       journal.Kind
		Key         string
	}
)

// told is a till's cell that must say what want says.
func told[T comparable](id int64, want T) derivedCell {
	read := func(c keptCell) (have T, ok bool) {
		ok = len(c.data) > 0 && c.data[0] == tillVersion && json.Unmarshal(c.data[1:], &have) == nil
		return have, ok
	}
	return derivedCell{id: id, same: func(c keptCell) bool {
		have, ok := read(c)
		return ok && have == want
	}, term: func(c keptCell) (glossary.Term, glossary.Term) {
		have, ok := read(c)
		if !ok {
			return wordUnfit, wordReadable
		}
		return fill("%+v", "%+v", have), fill("%+v", "%+v", want)
	}}
}

func (k bookKeeping) till(id int64) (derivedCell, bool) {
	m, b := k.m, k.m.opened
	switch {
	case id == tillCounters:
		return told(id, tillCount{STAN: b.stan, Batch: b.batch, Since: b.since, Totals: m.totalsOf(b.batch), Older: len(b.older)}), true
	case id >= tillSheets && id-tillSheets < int64(len(b.older)):
		batch := b.older[id-tillSheets]
		return told(id, tillSheet{batch, m.totalsOf(batch)}), true
	case id >= tillSheets:
		return anything(id), true // a place that is not used any more
	}
	seq, known := b.entries[uint64(id-tillEntries)]
	r := m.row(seq)
	if !known || r == nil {
		return anything(id), true // of an earlier batch
	}
	h, _ := headingOf(r)
	stage, open := b.open[r.Key]
	if !open {
		stage = tillEnded
	}
	return told(id, tillEntry{Seq: seq, Verb: h.verb, Stage: stage, Dialogue: h.dialogue, Trace: tillTrace{b.batch, uint64(r.STAN)}, Minor: r.Amount,
		Begin: r.Kind, Key: strings.Clone(r.Key)}), true
}

func anything(id int64) derivedCell {
	return derivedCell{id: id, same: func(keptCell) bool { return true }}
}

// totalsOf is what a batch adds up to.
func (m *member) totalsOf(batch uint64) tillTotals {
	s := m.sheets[batch]
	return tillTotals{int64(s.debits), int64(s.credits), int64(s.debit), int64(s.credit)}
}
