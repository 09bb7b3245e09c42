package verify

import (
	"cmp"
	"context"
	"math"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// kept is what a member's store keeps beside its rows, for every role but the issuers, whose cards have rules of their own (cells.go). Each cell says the state
// as of its row; what of it has not changed up to the watermark is the state there too. So each is compared once, at its own row or at the watermark, whichever
// is later, with what the rows up to there add up to.
type kept struct {
	watermark uint64
	cells     map[int64]keptCell
	later     []keptCell // of a live store: those written back after the watermark was read, by their rows
	open      map[string]keptOpen
	loose     bool   // the store was written while it was read: what is open cannot be compared
	compared  bool   // the watermark was passed
	until     uint64 // the last row of any of them
}

type keptCell struct {
	id       int64
	seq      uint64
	data     []byte // unless a hash is enough
	sum      uint64
	readable bool
}

// keptOpen is a cell of what a member has begun and not ended.
type keptOpen struct {
	mark byte
	id   int64
	seq  uint64
}

// derivedCell is what a cell must say by the rows.
type derivedCell struct {
	id   int64
	seq  uint64              // the last row about it
	same func(keptCell) bool // whether the cell says so
	term func(keptCell) (found, expected glossary.Term)
}

// keeping gives what a member's cells must say.
type keeping interface {
	// cell gives one of them, false when the rows know nothing of it.
	cell(id int64) (derivedCell, bool)
	// all calls fn with every number that must have a cell once everything is written back.
	all(fn func(id int64, since uint64))
	// exact: a cell's row is the last about it, and not the one at which it was written back.
	exact() bool
	// opened is what has begun and not ended, with its mark; nil when the member keeps none.
	opened() map[string]byte
}

// readKept reads a member's cells before its rows, as readCells does for an issuer.
func (m *member) readKept(ctx context.Context, source Cells) error {
	const tries = 3
	k := &kept{}
	for try := 1; ; try++ {
		*k = kept{cells: map[int64]keptCell{}, open: map[string]keptOpen{}}
		var err error
		if k.watermark, err = source.Watermark(ctx); err == nil {
			err = source.Cells(ctx, m.keep(k))
		}
		after := k.watermark
		if err == nil {
			after, err = source.Watermark(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldCell, Found: verbatim(err.Error()),
				Expected: fill("cells that can be read", "可读取的存储单元"), at: math.MaxInt64})
			return nil
		}
		if k.loose = after != k.watermark; !k.loose || try == tries {
			break
		}
	}
	if k.watermark == 0 && len(k.cells) == 0 && len(k.open) == 0 && len(k.later) == 0 {
		return nil
	}
	slices.SortFunc(k.later, func(a, b keptCell) int { return cmp.Compare(a.seq, b.seq) })
	m.kept, k.until = k, k.watermark
	for _, c := range k.later {
		k.until = max(k.until, c.seq)
	}
	if m.role < theIssuers {
		m.opened = newOpenBook()
	}
	return nil
}

// keep takes a cell in.
func (m *member) keep(k *kept) func(*journal.Cell) error {
	return func(cell *journal.Cell) error {
		if cell.ID >= journal.FirstBegun {
			if len(cell.Data) == 0 {
				return nil // free
			}
			if len(cell.Data) < 3 || cell.Data[0] != 1 || cell.Data[1] == 0 {
				m.keptWrong(cell.Seq, cell.ID, FieldCell, wordUnfit, fill("a cell that can be read", "可读取的存储单元"))
				return nil
			}
			k.open[string(cell.Data[2:])] = keptOpen{cell.Data[1], cell.ID, cell.Seq}
			return nil
		}
		one := m.shrink(cell)
		if cell.Seq > k.watermark {
			k.later = append(k.later, one)
			return nil
		}
		k.cells[cell.ID] = one
		return nil
	}
}

// shrink leaves of a cell what is compared.
func (m *member) shrink(cell *journal.Cell) keptCell {
	one, seed := keptCell{id: cell.ID, seq: cell.Seq}, m.auditor.seed
	switch m.role {
	case theTokenServices:
		one.sum = sumOf(seed, cell.Name, cell.Data)
		_, one.readable = readRecord(seed, cell.ID, cell.Data)
	case theCloudElements:
		t, ok := readCloudCell(seed, cell)
		one.sum, one.readable = t.sum(seed), ok && cell.Name == cloudName(t.ref)
	default:
		one.data, one.readable = slices.Clone(cell.Data), true
	}
	return one
}

func (m *member) keptWrong(row uint64, cell int64, field string, found, expected glossary.Term) {
	m.auditor.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: row, Cell: cell, Field: field, Found: found, Expected: expected, at: math.MaxInt64})
}

// followKept is called after every row.
func (m *member) followKept(r *journal.Row) {
	k := m.kept
	if r.Seq > k.until {
		return
	}
	if m.opened != nil {
		m.opened.follow(m, r)
	}
	for len(k.later) > 0 && k.later[0].seq <= r.Seq {
		m.compareCell(k.later[0])
		k.later = k.later[1:]
	}
	if r.Seq == k.watermark {
		m.compareKept()
	}
}

func (m *member) compareCell(c keptCell) {
	d, known := m.keeping().cell(c.id)
	switch {
	case !known:
		m.keptWrong(c.seq, c.id, FieldCell, fill("a cell that no row has made", "没有对应行的存储单元"), wordNothing)
	case !c.readable:
		m.keptWrong(c.seq, c.id, FieldCell, wordUnfit, fill("a cell that can be read", "可读取的存储单元"))
	case m.keeping().exact() && c.seq != d.seq, c.seq < d.seq:
		m.keptWrong(d.seq, c.id, FieldWatermark, fill("a cell as of row %d", "存储单元截至第%d行", c.seq), fill("row %d in it", "应计入第%d行", d.seq))
	case !d.same(c):
		found, expected := d.term(c)
		m.keptWrong(d.seq, c.id, FieldCell, found, expected)
	}
}

// compareKept compares every cell when the rows have come to the watermark.
func (m *member) compareKept() {
	k, b := m.kept, m.keeping()
	k.compared = true
	written := map[int64]bool{}
	for _, c := range k.later {
		written[c.id] = true
	}
	ids := make([]int64, 0, len(k.cells))
	for id := range k.cells {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m.compareCell(k.cells[id])
	}
	b.all(func(id int64, since uint64) {
		if _, there := k.cells[id]; !there && !written[id] {
			m.keptWrong(since, id, FieldCell, wordNone, fill("a cell: the watermark is %d", "应有：水位为%d", k.watermark))
		}
	})
	if open := b.opened(); open != nil && !k.loose {
		m.compareOpen(open)
	}
}

// compareOpen compares what has begun and not ended.
func (m *member) compareOpen(open map[string]byte) {
	k := m.kept
	keys := make([]string, 0, len(open))
	for key := range open {
		if _, there := k.open[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		m.keptWrong(m.rowOf(key), journal.FirstBegun, FieldOpen, wordNone, fill("%q, which has not ended", "%q尚未结束", key))
	}
	keys = keys[:0]
	for key := range k.open {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		c := k.open[key]
		mark, known := open[key]
		if c.seq > k.watermark {
			continue
		}
		if !known {
			m.keptWrong(c.seq, c.id, FieldOpen, fill("%q, which has ended", "%q已结束", key), wordNothing)
		} else if mark != c.mark {
			m.keptWrong(c.seq, c.id, FieldOpen, fill("%q with mark %d", "%q标记%d", key, c.mark), number(mark))
		}
	}
}

// rowOf is the row of something open, 0 when it has no key of its own.
func (m *member) rowOf(key string) uint64 {
	if r := m.find(key); r != nil {
		return r.Seq
	}
	return 0
}

// finishKept names what the end of the rows leaves.
func (m *member) finishKept() {
	k := m.kept
	if m.lost || k == nil {
		return
	}
	atMost := fill("at most row %d, the last", "不超过最后的第%d行", m.flow.seq)
	if k.watermark > m.flow.seq {
		m.keptWrong(k.watermark, 0, FieldWatermark, number(k.watermark), atMost)
	}
	if !k.compared && k.watermark == 0 && len(k.cells)+len(k.open) > 0 {
		m.keptWrong(0, 0, FieldWatermark, number(0), fill("above zero: there are cells", "大于零：存在存储单元"))
	}
	for _, c := range k.later {
		m.keptWrong(c.seq, c.id, FieldCell, fill("row %d", "第%d行", c.seq), atMost)
	}
}

// keeping are the books of the member's role.
func (m *member) keeping() keeping {
	switch m.role {
	case theTokenServices:
		return vaultKeeping{m}
	case theCloudElements:
		return cloudKeeping{m}
	}
	return bookKeeping{m}
}

// vaultKeeping are the cells of a token service: its records, and the notices that nobody has taken.
type vaultKeeping struct{ m *member }

func (k vaultKeeping) exact() bool { return true }

func (k vaultKeeping) cell(id int64) (derivedCell, bool) {
	v, m := k.m.vault, k.m
	if id == settingsCell {
		sum := sumOf(m.auditor.seed, [16]byte{}, v.settings.bytes())
		return derivedCell{id: id, seq: v.changed, same: func(c keptCell) bool { return c.sum == sum }, term: func(c keptCell) (glossary.Term, glossary.Term) {
			return k.stored(c), (&record{one: &v.settings}).term()
		}}, v.known
	}
	r := v.records[id]
	if r == nil {
		return derivedCell{}, false
	}
	return derivedCell{id: id, seq: r.seq, same: func(c keptCell) bool { return c.sum == r.sum }, term: func(c keptCell) (glossary.Term, glossary.Term) {
		found, expected := k.stored(c), (&record{one: r.one}).term()
		if found == expected {
			return fill("another state", "不同的状态"), fill("what the rows up to this one say", "与该行及以前各行一致")
		}
		return found, expected
	}}, true
}

// stored is what a cell says, read again.
func (k vaultKeeping) stored(c keptCell) glossary.Term {
	if reader := k.m.lookups(); reader != nil {
		if cell, found, err := reader.FindCell(context.Background(), c.id); err == nil && found {
			if one, ok := readRecord(k.m.auditor.seed, cell.ID, cell.Data); ok {
				return one.term()
			}
		}
	}
	return fill("another state", "不同的状态")
}

func (k vaultKeeping) all(fn func(int64, uint64)) {
	if k.m.vault.known {
		fn(settingsCell, k.m.vault.changed)
	}
	for id, r := range k.m.vault.records {
		fn(id, r.seq)
	}
}

func (k vaultKeeping) opened() map[string]byte {
	open := map[string]byte{}
	for _, key := range k.m.vault.notices {
		open[key] = 1
	}
	return open
}

// cloudKeeping are the cells of a cloud secure element: its tokens, and the alarms that nobody has taken notice of.
type cloudKeeping struct{ m *member }

func (k cloudKeeping) exact() bool { return true }

func (k cloudKeeping) cell(id int64) (derivedCell, bool) {
	t := k.m.clouds.byID[id]
	if t == nil {
		return derivedCell{}, false
	}
	same := func(c keptCell) bool { return c.sum == t.sum(k.m.auditor.seed) }
	return derivedCell{id: id, seq: t.seq, same: same, term: func(c keptCell) (glossary.Term, glossary.Term) {
		found := fill("another state", "不同的状态")
		if reader := k.m.lookups(); reader != nil {
			if cell, ok, err := reader.FindCell(context.Background(), c.id); err == nil && ok {
				if stored, readable := readCloudCell(k.m.auditor.seed, &cell); readable {
					found = stored.term()
				}
			}
		}
		return found, t.term()
	}}, true
}

func (k cloudKeeping) all(fn func(int64, uint64)) {
	for id, t := range k.m.clouds.byID {
		fn(id, t.seq)
	}
}

func (k cloudKeeping) opened() map[string]byte {
	open := map[string]byte{}
	for key := range k.m.clouds.alarms {
		open[key] = 1
	}
	return open
}
