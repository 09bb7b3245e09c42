package verify

import (
	"encoding/binary"

	"tapnet/internal/journal"
)

// The verbs of a till, in its numbers.
const (
	verbSale = iota + 1
	verbOfflineSale
	verbVoid
	verbRefund
	verbPreAuth
	verbPreAuthCancel
	verbCompletion
	verbCompletionNote
	verbCompletionVoid
	verbBalance
	verbLoad
	verbLoadOther
	verbLoadCash
	verbLoadCashVoid
	verbUnload
	verbOfflineRefund
	verbCardAdvice
	verbScriptNotice
	verbSettlement
	verbPINChange
	verbPINUnblock
)

// tillVerb is what a verb is in a till's journal, what its acquirer makes of it, and where it counts in a batch.
type tillVerb struct {
	begin    journal.Kind
	business uint16
	side     int8 // 1 the merchant is owed, -1 he gave back
	follows  bool // an earlier transaction, which its header names
}

var tillVerbs = map[byte]tillVerb{
	verbSale: {journal.Requested, businessSale, 1, false}, verbOfflineSale: {journal.Queued, businessOffline, 1, false},
	verbVoid: {journal.Requested, businessVoid, -1, true}, verbRefund: {journal.Advised, businessSaleRefund, -1, true},
	verbPreAuth: {journal.Requested, businessPreAuth, 0, false}, verbPreAuthCancel: {journal.Requested, businessPreAuthVoid, 0, true},
	verbCompletion: {journal.Requested, businessCompletion, 1, true}, verbCompletionNote: {journal.Advised, businessCompletionNote, 1, true},
	verbCompletionVoid: {journal.Requested, businessCompletionVoid, -1, true}, verbBalance: {journal.Noted, businessBalance, 0, false},
	verbLoad: {journal.Requested, businessLoad, 0, false}, verbLoadOther: {journal.Requested, businessLoadOther, 0, false},
	verbLoadCash: {journal.Requested, businessLoadCash, -1, false}, verbLoadCashVoid: {journal.Requested, businessLoadCashVoid, 1, true},
	verbUnload: {journal.Requested, businessUnload, 0, false}, verbOfflineRefund: {journal.Advised, businessRefund, -1, true},
	verbCardAdvice: {journal.Advised, businessLastWord, 0, false}, verbScriptNotice: {journal.ScriptSent, 0, 0, false},
	verbSettlement: {journal.Cleared, 0, 0, false}, verbPINChange: {journal.Requested, businessPINChange, 0, false},
	verbPINUnblock: {journal.Requested, businessPINUnblock, 0, false},
}

// heading is what a till's row says in clear about what it begins: mark, verb, flags, batch and trace number of what it follows. Rows of a till that knew sales
// only have none.
type heading struct {
	verb     byte
	dialogue bool
	of       uint64 // batch and trace number, 0: nothing
	rest     []byte
}

const (
	headingMark  = 'T'
	headingBytes = 3
)

func headingOf(r *journal.Row) (h heading, ok bool) {
	if len(r.Note) == 0 || r.Note[0] != headingMark {
		h = heading{verb: verbSale, rest: r.Note}
		if r.Kind == journal.Queued {
			h.verb = verbOfflineSale
		}
		return h, true
	}
	if len(r.Note) < headingBytes {
		return h, false
	}
	batch, n := binary.Uvarint(r.Note[headingBytes:])
	if n <= 0 {
		return h, false
	}
	stan, k := binary.Uvarint(r.Note[headingBytes+n:])
	if k <= 0 || batch > traceModulus || stan > traceModulus {
		return h, false
	}
	return heading{r.Note[1], r.Note[2]&1 != 0, traceOf(batch, stan), r.Note[headingBytes+n+k:]}, true
}

// traceOf is batch and trace number in one.
func traceOf(batch, stan uint64) uint64 { return batch*(traceModulus+1) + stan }

// traceIn reads it out of a key between terminal and acquirer, 0 when that is none.
func traceIn(key string) uint64 {
	if len(key) != terminalKeyChars {
		return 0
	}
	batch, _ := digits(key[batchAt:terminalSTANAt])
	stan, _ := digits(key[terminalSTANAt : terminalKeyChars-1])
	return traceOf(batch, stan)
}

// headed holds the heading of a row against its kind and key.
func (m *member) headed(r *journal.Row) heading {
	h, ok := headingOf(r)
	v, known := tillVerbs[h.verb]
	switch {
	case !ok || !known:
		m.fault(r, "note", wordUnfit, wordReadable)
	case v.begin != r.Kind:
		m.fault(r, "kind", r.Kind.Term(), v.begin.Term())
	case r.Kind == journal.Noted && r.Amount != 0:
		m.fault(r, "amount", number(r.Amount), number(0))
	case v.follows && h.of == 0:
		m.fault(r, "note", wordNothing, fill("the transaction that it follows", "原交易"))
	}
	return h
}

// batchSums are what a batch adds up to.
type batchSums struct{ debits, debit, credits, credit uint64 }

// stands counts what is done in its batch.
func (m *member) stands(r *journal.Row, verb byte) {
	key := r.Payment
	if len(key) != terminalKeyChars {
		return
	}
	batch, _ := digits(key[batchAt:terminalSTANAt])
	if m.sheets == nil {
		m.sheets = map[uint64]batchSums{}
	}
	s := m.sheets[batch]
	switch tillVerbs[verb].side {
	case 1:
		s.debits, s.debit = s.debits+1, s.debit+uint64(r.Amount)
	case -1:
		s.credits, s.credit = s.credits+1, s.credit+uint64(r.Amount)
	}
	m.sheets[batch] = s
}

// sheet holds what a till says of a batch against what its rows add up to.
func (m *member) sheet(r *journal.Row, b []byte) (batch uint64, ok bool) {
	var n [5]uint64
	for i := range n {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			m.fault(r, "note", wordUnfit, wordReadable)
			return 0, false
		}
		n[i], b = v, b[k:]
	}
	if len(b) != 1 || b[0] > 1 {
		m.fault(r, "note", wordUnfit, wordReadable)
		return 0, false
	}
	want := m.sheets[n[0]]
	same(m, r, FieldTotal, n[1], want.debits)
	same(m, r, FieldTotal, n[2], want.debit)
	same(m, r, FieldTotal, n[3], want.credits)
	same(m, r, FieldTotal, n[4], want.credit)
	return n[0], true
}

// closes is the answer to a settlement.
func (m *member) closes(r *journal.Row) {
	batch, ok := m.sheet(r, r.Note)
	if !ok {
		return
	}
	asked := m.row(r.Linked)
	if asked == nil || asked.Kind != journal.Cleared {
		m.fault(r, "linked", number(r.Linked), fill("a batch that is to be settled", "待结算的批次"))
	} else if h, readable := headingOf(asked); readable {
		first, _ := binary.Uvarint(h.rest)
		same(m, r, FieldTotal, batch, first)
	}
	delete(m.sheets, batch)
	if batch == m.batch {
		m.batch, m.serial = m.batch+1, 0
	}
}
