package verify

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// Cells is what a store keeps beside its rows, in any order. A journal.Archive has it, and so has journalsql.Reader.
type Cells interface {
	Watermark(ctx context.Context) (uint64, error)
	Cells(ctx context.Context, fn func(*journal.Cell) error) error
	FindCell(ctx context.Context, id int64) (journal.Cell, bool, error)
}

// cells are those of an issuer while its rows are followed. Of each card's only hashes are kept, so that a million cost some 40 MB; one that does not
// agree is read again.
type cells struct {
	watermark uint64
	cards     []storedCell // in order of number
	next      int          // where the next card is looked for first: cards are mostly opened in order
	bank      storedBank
	again     func(id int64) (journal.Cell, bool)
}

type storedCell struct {
	id              int64
	seq             uint64
	identity, state uint64 // hashes
	opened          bool   // its enrolment was met
	met             bool   // its row was
	behind          bool   // a row up to the watermark is missing in it
	damaged         bool
}

type storedBank struct {
	seq             uint64
	scheme, funding sums
	own             []ownInCell
	found, met      bool
	damaged         bool
}

func (c *cells) empty() bool { return c.watermark == 0 && len(c.cards) == 0 && !c.bank.found }

// readCells reads a member's cells before anything else of it: then none of them is further than the rows that are read later, and all are as far as
// the watermark, which is read first. What cannot be read is a finding; the error is that ctx ended.
func (m *member) readCells(ctx context.Context, source Cells) error {
	c := m.bank.cells
	c.again = func(id int64) (journal.Cell, bool) {
		again := source
		if m.path != "" { // the stream is using the source
			reader := m.lookups()
			if reader == nil {
				return journal.Cell{}, false
			}
			again = reader
		}
		cell, found, err := again.FindCell(context.Background(), id)
		return cell, found && err == nil
	}
	var err error
	if c.watermark, err = source.Watermark(ctx); err == nil {
		err = source.Cells(ctx, func(cell *journal.Cell) error {
			m.store(cell)
			return nil
		})
	}
	slices.SortFunc(c.cards, func(a, b storedCell) int { return cmp.Compare(a.id, b.id) })
	for i := 1; i < len(c.cards); i++ {
		if s := &c.cards[i]; s.id == c.cards[i-1].id {
			m.cellWrong(s.seq, 0, math.MaxInt64, s.id, FieldCell, fill("another cell of the card", "该卡的另一单元"), fill("one", "只有一个"))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldCell, Found: verbatim(err.Error()),
			Expected: fill("cells that can be read", "可读取的存储单元"), at: math.MaxInt64})
		*c = cells{} // nothing can be compared
	}
	return nil
}

// store takes a cell in.
func (m *member) store(cell *journal.Cell) {
	c, readable := m.bank.cells, false
	if cell.ID == bankCell {
		c.bank = storedBank{seq: cell.Seq, found: true}
		c.bank.scheme, c.bank.funding, c.bank.own, readable = readBankCell(cell)
		c.bank.damaged = !readable
	} else {
		var id cellIdentity
		var state cellState
		id, state, readable = readCardCell(cell)
		seed := m.auditor.seed
		c.cards = append(c.cards, storedCell{id: cell.ID, seq: cell.Seq, identity: maphash.Comparable(seed, id), state: maphash.Comparable(seed, state),
			damaged: !readable})
	}
	if !readable {
		m.cellWrong(cell.Seq, 0, math.MaxInt64, cell.ID, FieldCell, wordUnfit, fill("a cell that can be read", "可读取的存储单元"))
	}
}

func (m *member) cellWrong(row uint64, kind journal.Kind, at, cell int64, field string, found, expected glossary.Term) {
	m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: row, Kind: kind, Cell: cell, Field: field, Found: found, Expected: expected, at: at})
}

func (m *member) cellFault(r *journal.Row, cell int64, field string, found, expected glossary.Term) {
	m.cellWrong(r.Seq, r.Kind, r.At.UnixMicro(), cell, field, found, expected)
}

// place finds a card's cell, below zero for none.
func (c *cells) place(card int64) int32 {
	if c.next >= len(c.cards) || c.cards[c.next].id != card {
		at, found := slices.BinarySearchFunc(c.cards, card, func(s storedCell, id int64) int { return cmp.Compare(s.id, id) })
		if !found {
			return -1
		}
		c.next = at
	}
	c.next++
	return int32(c.next - 1)
}

// introduce holds a new card's cell against its enrolment.
func (m *member) introduce(r *journal.Row, h *holder, o *opening) {
	c := m.bank.cells
	if h.cell = c.place(o.Card); h.cell < 0 {
		if r.Seq <= c.watermark {
			m.cellFault(r, o.Card, FieldCell, wordNone, fill("a cell: every card up to row %d has one", "应有：第%d行及以前开户的卡均有存储单元", c.watermark))
		}
		return
	}
	s := &c.cards[h.cell]
	s.opened = true
	want := cellIdentity{fingerprint: o.Fingerprint, credit: o.CreditMinor, opening: o.OpeningMinor, purse: o.PurseMinor,
		currency: o.Currency, stripe: o.Stripe, name: o.Name, masked: o.Masked, sequence: o.Sequence, expiry: o.Expiry, product: o.Product}
	if s.damaged || s.identity == maphash.Comparable(m.auditor.seed, want) {
		return
	}
	cell, found := c.again(o.Card)
	if !found {
		m.cellFault(r, o.Card, FieldIdentity, fill("another card's", "另一张卡的资料"), fill("what the row says", "与该行一致"))
		return
	}
	have, _, _ := readCardCell(&cell)
	m.differs(r, o.Card, FieldFingerprint, hexTerm(have.fingerprint), hexTerm(want.fingerprint))
	m.differs(r, o.Card, FieldCredit, number(have.credit), number(want.credit))
	m.differs(r, o.Card, FieldIdentity, have.term(), want.term())
}

func hexTerm(b [16]byte) glossary.Term { return verbatim(hex.EncodeToString(b[:])) }

// term is the rest of an enrolment. The number is masked in it.
func (id *cellIdentity) term() glossary.Term {
	return verbatim(fmt.Sprintf("%q %q %q %q %q %03d %d %d", id.name, id.masked, id.sequence, id.expiry, id.product, id.currency, id.opening, id.purse))
}

func (m *member) differs(r *journal.Row, cell int64, field string, found, expected glossary.Term) {
	if found != expected {
		m.cellFault(r, cell, field, found, expected)
	}
}

// followCells holds cells against the state after the row that they stand at.
func (m *member) followCells(r *journal.Row) {
	b := m.bank
	c := b.cells
	if c.bank.found && c.bank.seq == r.Seq {
		c.bank.met = true
		if !c.bank.damaged {
			m.sameSums(r, bankCell, FieldAccount, c.bank.scheme, b.scheme)
			m.sameSums(r, bankCell, FieldAccount, c.bank.funding, b.funding)
			m.sameOwn(r, c.bank.own)
		}
	}
	h := b.touched
	if h == nil || h.cell < 0 {
		return
	}
	s := &c.cards[h.cell]
	switch {
	case s.seq == r.Seq:
		if s.met = true; !s.damaged && s.state != maphash.Comparable(m.auditor.seed, h.cellState) {
			m.stateDiffers(r, s.id, &h.cellState)
		}
	case s.seq < r.Seq && r.Seq <= c.watermark && !s.behind:
		s.behind = true
		m.cellFault(r, s.id, FieldWatermark, fill("a cell as of row %d", "存储单元截至第%d行", s.seq), fill("this row in it, as in every cell up to row %d", "已计入该行：水位为第%d行", c.watermark))
	}
}

// stateDiffers names what of a card's cell is not what the rows up to it say.
func (m *member) stateDiffers(r *journal.Row, card int64, want *cellState) {
	cell, found := m.bank.cells.again(card)
	_, have, readable := readCardCell(&cell)
	before := m.auditor.findings.total
	if found && readable && cell.Seq == r.Seq {
		m.differs(r, card, FieldStanding, number(have.status), number(want.status))
		m.differs(r, card, FieldTries, number(have.tries), number(want.tries))
		m.differs(r, card, FieldSwitches, switchTerm(&have), switchTerm(want))
		m.differs(r, card, FieldCounter, number(have.online), number(want.online))
		m.differs(r, card, FieldWindow, have.window.term(), want.window.term())
		m.differs(r, card, FieldDays, daysTerm(&have), daysTerm(want))
		m.differs(r, card, FieldLimit, have.limits.term(), want.limits.term())
		m.sameSums(r, card, FieldAccount, have.account, want.account)
		m.sameSums(r, card, FieldPurse, have.purse, want.purse)
		m.differs(r, card, FieldChip, chipTerm(have.tail), chipTerm(want.tail))
		if have.pinReference != want.pinReference {
			m.cellFault(r, card, FieldPIN, fill("another one", "不同的值"), fill("the one of the enrolment or of the last change", "开户或最近修改的值"))
		}
	}
	if m.auditor.findings.total == before { // written back again meanwhile
		m.cellFault(r, card, FieldCell, fill("another state", "不同的状态"), fill("what the rows up to this one say", "与该行及以前各行一致"))
	}
}

func (m *member) sameSums(r *journal.Row, cell int64, field string, have, want sums) {
	m.differs(r, cell, FieldLast, number(have.last), number(want.last))
	have.last, want.last = 0, 0
	m.differs(r, cell, field, have.term(), want.term())
}

func (s *sums) term() glossary.Term {
	return fill("debits %d held and %d posted, credits %d held and %d posted", "借方冻结%d入账%d，贷方冻结%d入账%d", s.debitsPending, s.debitsPosted, s.creditsPending,
		s.creditsPosted)
}

func (w *window) term() glossary.Term { return verbatim(fmt.Sprintf("%d %#x", w.highest, w.seen)) }

func (l *limits) term() glossary.Term {
	return fill("%d a tap, %d a day in %d payments, %d a day without PIN", "单笔%d，当日%d（%d笔），当日免密%d", l.TapMinor, l.DayMinor, l.DayCount, l.NoPINDayMinor)
}

func switchTerm(s *cellState) glossary.Term {
	return fill("payment without PIN %t, contactless %t", "免密%t，闪付%t", s.noPIN, s.contactless)
}

func daysTerm(s *cellState) glossary.Term {
	text := ""
	for _, d := range s.days {
		if d.date != 0 {
			text += fmt.Sprintf(" %d: %d/%d/%d", d.date, d.minor, d.noPINMinor, d.count)
		}
	}
	if text == "" {
		return wordNothing
	}
	return verbatim(text[1:])
}

// finishCells names the cells that no row has answered for.
func (m *member) finishCells() {
	c, last := m.bank.cells, m.flow.seq
	if m.lost || c.empty() {
		return
	}
	wrong := func(row uint64, cell int64, field string, found, expected glossary.Term) {
		m.cellWrong(row, 0, math.MaxInt64, cell, field, found, expected)
	}
	atMost := fill("at most row %d, the last", "不超过最后的第%d行", last)
	if c.watermark > last {
		wrong(c.watermark, 0, FieldWatermark, number(c.watermark), atMost)
	}
	for i := range c.cards {
		s := &c.cards[i]
		switch {
		case !s.opened:
			wrong(s.seq, s.id, FieldCell, fill("a card that no row has opened", "没有开户行的卡"), fill("an enrolment", "有开户行"))
		case s.seq > last:
			wrong(s.seq, s.id, FieldCell, fill("row %d", "第%d行", s.seq), atMost)
		case !s.met:
			wrong(s.seq, s.id, FieldCell, fill("row %d", "第%d行", s.seq), fill("a row that changes the card", "变更该卡的行"))
		}
	}
	switch b := &c.bank; {
	case !b.found && c.watermark != 0:
		wrong(min(c.watermark, last), bankCell, FieldCell, wordNone, fill("a cell: the watermark is %d", "应有：水位为%d", c.watermark))
	case b.found && b.seq > last:
		wrong(b.seq, bankCell, FieldCell, fill("row %d", "第%d行", b.seq), atMost)
	case b.found && b.seq < c.watermark:
		wrong(b.seq, bankCell, FieldWatermark, fill("a cell as of row %d", "存储单元截至第%d行", b.seq), fill("every row up to %d in it", "已计入第%d行及以前各行", c.watermark))
	case b.found && !b.met:
		wrong(b.seq, bankCell, FieldCell, fill("row %d", "第%d行", b.seq), fill("a row of the journal", "日志中的行"))
	}
}
