package verify

import (
	"encoding/binary"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// earlyReversal is a reversal that came before its payment: the row behind it spends the payment's key.
type earlyReversal struct {
	seq uint64
	at  int64
	key string
}

// isMarker tells that row. An issuer's other refusals have no key; nobody else has others.
func (m *member) isMarker(r *journal.Row) bool {
	return r.Kind == journal.Refused && (m.role != theIssuers || r.Reason == reasonKeySpent || r.Key != "" || r.Linked != 0)
}

// cameEarly notes a reversal that came before its payment.
func (m *member) cameEarly(r *journal.Row, key string, join uint64) {
	m.early = &earlyReversal{seq: r.Seq, at: r.At.UnixMicro(), key: strings.Clone(key)}
	m.spent[join] = r.Seq
}

// unspent holds a payment that begins against the keys that are spent.
func (m *member) unspent(r *journal.Row, join uint64) {
	if by, spent := m.spent[join]; spent {
		m.fault(r, FieldMarker, quoted(r.Key), fill("a key that the reversal of row %d has not spent", "未被第%d行冲正占用的键", by))
	}
}

// marked is called for every row: the one behind an early reversal is its marker, and no other is one.
func (m *member) marked(r *journal.Row) {
	e := m.early
	m.early = nil
	switch marker := m.isMarker(r); {
	case e != nil && marker:
		sameText(m, r, "key", r.Key, e.key)
		sameText(m, r, "payment", r.Payment, e.key)
		same(m, r, "linked", r.Linked, e.seq)
		if want := uint16(reasonKeySpent); m.role == theIssuers {
			m.issuerReason(r, want)
		} else {
			m.reason(r, unionpay.ResponseLate)
		}
	case e != nil:
		m.unmarked(e)
	case marker:
		m.fault(r, FieldMarker, fill("a marker", "标记"), fill("a reversal before it that came early", "前一行为提前到达的冲正"))
	}
}

// unmarked: the request may still come, and nothing would refuse it.
func (m *member) unmarked(e *earlyReversal) {
	m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: e.seq, Kind: journal.Reversed, Field: FieldMarker, Found: wordNone,
		Expected: fill("row %d, which spends the key of the payment", "第%d行占用该交易的键", e.seq+1), at: e.at})
}

// takenBytes is the answer of a reversal that releases a hold: the date on which the payment counted towards the card's limits, and one byte, 1 when it
// did so without PIN.
const takenBytes = 5

// takenBack holds what a reversal says of its payment against the payment.
func (m *member) takenBack(r *journal.Row, s *side) {
	if len(r.Answer) != takenBytes || r.Answer[takenBytes-1] > 1 {
		m.fault(r, FieldTaken, wordUnfit, wordReadable)
		return
	}
	if date := int32(binary.BigEndian.Uint32(r.Answer)); date != s.date {
		m.fault(r, FieldTaken, number(date), fill("%d, the date of row %d", "%d，即第%d行的日期", s.date, s.begin))
	}
	if noPIN := r.Answer[takenBytes-1] == 1; noPIN == s.pin {
		m.fault(r, FieldTaken, pinTerm(!noPIN), pinTerm(s.pin))
	}
}

func pinTerm(given bool) glossary.Term {
	if given {
		return fill("a payment with PIN", "凭密交易")
	}
	return fill("a payment without PIN", "免密交易")
}

// finish looks at what the end of a journal leaves open.
func (m *member) finish() {
	if e := m.early; e != nil && !m.lost {
		m.unmarked(e)
	}
	if m.bank != nil {
		m.finishCells()
	}
	m.finishKept()
}
