package verify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
)

// What an operator keeps beside its rows: its whole state as of one row, in two places by turns.
//
//	cell 1 or 2               version, place (0 or 1), row, number of pieces, SHA-256 of the pieces; big endian
//	cells (place+1)<<32 + n   the pieces in order, n from 1; all but the last of one length
const (
	keptVersion       = 2
	keptVersionFormer = 1 // is read by nobody: the operator reads its rows instead
	keptPlaces        = 2
	keptShift         = 32
	keptHeader        = 1 + 1 + 8 + 8 + sha256.Size
	keptRowAt         = 2
	keptPiecesAt      = 10
	keptSumAt         = 18
)

// transitKept is the kept state while rows are followed up to its row.
type transitKept struct {
	reader    *journalsql.Reader
	watermark uint64
	cell      int64 // of the header; 0: there is nothing to compare
	pieces    uint64
	sound     bool // the pieces are those of the header
}

// openKept finds the header and holds the pieces against it. What does not fit is a finding; the error is that ctx ended or the file cannot be opened.
func (t *transit) openKept(ctx context.Context, path string) error {
	reader, err := journalsql.OpenReader(ctx, path)
	if err != nil {
		return err
	}
	t.kept = transitKept{reader: reader}
	k := &t.kept
	if k.watermark, err = reader.Watermark(ctx); err != nil {
		t.keptWrong(0, FieldCell, verbatim(err.Error()), fill("cells that can be read", "可读取的存储单元"))
		return ctx.Err()
	}
	if k.watermark == 0 {
		return nil
	}
	for place := range int64(keptPlaces) {
		header, found, err := reader.FindCell(ctx, place+1)
		if err != nil {
			t.keptWrong(place+1, FieldCell, verbatim(err.Error()), fill("a cell that can be read", "可读取的存储单元"))
			continue
		}
		if !found || len(header.Data) != keptHeader || binary.BigEndian.Uint64(header.Data[keptRowAt:]) != k.watermark || header.Data[1] != byte(place) {
			continue
		}
		switch header.Data[0] {
		case keptVersionFormer:
			return nil
		case keptVersion:
			k.cell = place + 1
			t.keptPieces(ctx, &header)
			return ctx.Err()
		}
	}
	t.keptWrong(0, FieldCell, wordNone, fill("a state as of row %d, the watermark", "截至水位第%d行的状态", k.watermark))
	return nil
}

// keptPieces reads all pieces once, and compares their hash.
func (t *transit) keptPieces(ctx context.Context, header *journal.Cell) {
	k := &t.kept
	k.pieces = binary.BigEndian.Uint64(header.Data[keptPiecesAt:])
	sum := sha256.New()
	t.report.Kept = TransitKept{Row: k.watermark}
	before := t.findings.total
	if header.Seq != k.watermark {
		t.keptWrong(k.cell, FieldWatermark, fill("a cell as of row %d", "存储单元截至第%d行", header.Seq), number(k.watermark))
	}
	for at := range k.pieces {
		piece, wrong := k.piece(ctx, at)
		if wrong.EN != "" {
			t.keptWrong(k.cell, FieldCell, wrong, fill("piece %d of %d, as of row %d", "第%d块（共%d块），截至第%d行", at+1, k.pieces, k.watermark))
			return
		}
		sum.Write(piece)
		t.report.Kept.Bytes += uint64(len(piece))
	}
	if found, said := [32]byte(sum.Sum(nil)), [32]byte(header.Data[keptSumAt:]); found != said {
		a, b := hashes(found, said)
		t.keptWrong(k.cell, FieldCell, fill("pieces with the hash %s", "各块哈希为%s", a.EN), b)
	}
	k.sound = t.findings.total == before
}

// piece reads one; what is wrong with it in words.
func (k *transitKept) piece(ctx context.Context, at uint64) (data []byte, wrong glossary.Term) {
	c, found, err := k.reader.FindCell(ctx, k.cell<<keptShift+int64(at)+1)
	switch {
	case err != nil:
		return nil, verbatim(err.Error())
	case !found:
		return nil, fill("no piece %d", "缺少第%d块", at+1)
	case c.Seq != k.watermark:
		return nil, fill("piece %d as of row %d", "第%d块截至第%d行", at+1, c.Seq)
	case len(c.Data) == 0, len(c.Data) != journal.MaxCellBytes && at+1 < k.pieces:
		return nil, fill("piece %d of %d octets", "第%d块长%d字节", at+1, len(c.Data))
	}
	return c.Data, wrong
}

func (t *transit) keptWrong(cell int64, field string, found, expected glossary.Term) {
	t.findings.add(Wrong{Role: Operator, Member: t.terminal, Row: t.kept.watermark, Cell: cell, Field: field, Found: found, Expected: expected, at: t.at})
}

// keptReader takes values off the pieces, which meet anywhere; the first that does not fit ends it.
type keptReader struct {
	b    []byte
	more func() []byte // nil at the end
	bad  bool
}

// fill makes sure that so many octets are there, as far as there are any.
func (r *keptReader) fill(n int) {
	for len(r.b) < n {
		next := r.more()
		if next == nil {
			return
		}
		r.b = append(r.b[:len(r.b):len(r.b)], next...)
	}
}

func (r *keptReader) u() uint64 {
	v, n := binary.Uvarint(r.b)
	if n == 0 {
		r.fill(binary.MaxVarintLen64)
		v, n = binary.Uvarint(r.b)
	}
	if n <= 0 || r.bad {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// i reads a signed number: the sign is the lowest bit.
func (r *keptReader) i() int64 {
	v := r.u()
	return int64(v>>1) ^ -int64(v&1)
}

// count is how many of something follow, each of one octet at least; the sum of all is bounded by what is there.
func (r *keptReader) count() uint64 {
	if n := r.u(); n <= 1<<40 {
		return n
	}
	r.b, r.bad = nil, true
	return 0
}

func (r *keptReader) n32() int32   { return int32(r.u()) }
func (r *keptReader) octet() uint8 { return uint8(r.u()) }
func (r *keptReader) flag() bool   { return r.u() == 1 }

func (r *keptReader) raw(into []byte) {
	if r.fill(len(into)); len(r.b) < len(into) {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[copy(into, r.b):]
}

// maxKeptText bounds one text: a rider's corrections.
const maxKeptText = 1 << 24

func (r *keptReader) text() []byte {
	n := r.u()
	if n > maxKeptText {
		r.b, r.bad = nil, true
		return nil
	}
	b := make([]byte, n)
	r.raw(b)
	return b
}

func (r *keptReader) json(into any) {
	if text := r.text(); !r.bad && json.Unmarshal(text, into) != nil {
		r.b, r.bad = nil, true
	}
}

func (r *keptReader) key() transitTap { return transitTap{r.n32(), r.u()} }

func (r *keptReader) names() (s transitNames) {
	n := r.u()
	if n > uint64(len(s.all)) {
		r.b, r.bad = nil, true
		return s
	}
	for i := range n {
		s.all[i].epoch = uint32(r.u())
		r.raw(s.all[i].id[:])
		s.n++
	}
	return s
}

// material is where the card data of a tap lie: nothing that follows from the rows alone.
func (r *keptReader) material() {
	for range 3 {
		r.u()
	}
	r.i()
	r.flag()
	r.flag()
}

// keptBill is a bill in the kept state.
type keptBill struct {
	seq                        uint64
	state, tries               uint8
	code                       uint16
	day, ridden                int64 // days since 1970
	minor, refunded, returning int64
	paid                       bool
	rrn                        string
}

func (r *keptReader) bill() (b keptBill) {
	b.seq, b.state, b.tries, b.code = r.u(), r.octet(), r.octet(), uint16(r.u())
	b.day, b.ridden = r.i(), r.i()
	b.minor, b.refunded, b.returning = r.i(), r.i(), r.i()
	r.i() // when it is asked for next
	if b.paid = r.flag(); b.paid {
		b.rrn = string(r.text())
		r.u()
		r.u()
		r.text()
	}
	return b
}

// term is the names in words, by epoch: so much of each hash as is asked for.
func (s *transitNames) term(octets int) glossary.Term {
	text := ""
	for _, name := range s.all[:s.n] {
		text += fmt.Sprintf(" %d:%x", name.epoch, name.id[:octets])
	}
	if text == "" {
		return wordNone
	}
	return verbatim(text[1:])
}

// differ puts two lists of names into words that differ as they do.
func (s *transitNames) differ(other *transitNames) (glossary.Term, glossary.Term) {
	if a, b := s.term(hashShown), other.term(hashShown); a != b || *s == *other {
		return a, b
	}
	return s.term(idBytes), other.term(idBytes)
}
