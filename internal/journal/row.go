package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"tapnet/internal/ledger"
)

// Row is one decided event, or one leg of it when Linked names the first. It holds what is needed to rebuild the role's
// state and to give the same answer again. Fields that a kind does not use are zero.
type Row struct {
	Seq          uint64    // rises by one from 1
	Kind         Kind      //
	At           time.Time // UTC, whole microseconds
	BusinessDate int32     // yyyymmdd as a number
	Key          string    // payment key, unique when not empty, ordered by time
	Content      [16]byte  // content hash of the message with that key
	Answer       []byte    // what was answered, without the MAC
	Payment      string    // the role's own id of the payment
	RRN          string    // retrieval reference number
	Terminal     string
	STAN         uint32
	Card         int64 // the role's own number of the card, never a PAN
	ATC          uint16
	Reason       uint16
	Debit        ledger.Account
	Credit       ledger.Account
	Amount       int64  // minor units
	Currency     uint16 // ISO 4217 number
	Phase        ledger.Phase
	Resolves     uint64   // Seq of the hold this row posts or voids
	Linked       uint64   // Seq of the first row of the same event
	Note         []byte   // the role's own, small
	Chain        [32]byte // SHA-256 of the previous row's Chain and this row's encoding
}

// Transfer is the row's movement of money as the ledger takes it; the row's number is the transfer's.
func (r *Row) Transfer() ledger.Transfer {
	return ledger.Transfer{ID: r.Seq, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency,
		Phase: r.Phase, Resolves: r.Resolves}
}

// Limits on the parts of a row. They bound what a damaged store can make a reader allocate and keep a row within a few
// pages; the largest ISO 8583 message is well below MaxBlobBytes.
const (
	MaxTextBytes = 255
	MaxBlobBytes = 64 << 10
)

// rowVersion is the first byte of every encoding. A changed layout gets a new number; the old one stays readable.
const rowVersion = 1

// fixedRowBytes is the length of the encoding with every text and blob empty.
const fixedRowBytes = 1 + 8 + 1 + 8 + 4 + 16 + 4 + 8 + 2 + 2 + 8 + 8 + 8 + 2 + 1 + 8 + 8 + 4*1 + 2*4

// AppendBinary appends the row's encoding without Chain: fixed-width big-endian numbers, then each text behind one
// length byte and each blob behind four. One row has exactly one encoding. A row that breaks Check is a bug and panics.
func (r *Row) AppendBinary(dst []byte) []byte {
	if err := r.Check(); err != nil {
		panic("journal: " + err.Error())
	}
	be := binary.BigEndian
	dst = append(dst, rowVersion)
	dst = be.AppendUint64(dst, r.Seq)
	dst = append(dst, byte(r.Kind))
	dst = be.AppendUint64(dst, uint64(r.At.UnixMicro()))
	dst = be.AppendUint32(dst, uint32(r.BusinessDate))
	dst = append(dst, r.Content[:]...)
	dst = be.AppendUint32(dst, r.STAN)
	dst = be.AppendUint64(dst, uint64(r.Card))
	dst = be.AppendUint16(dst, r.ATC)
	dst = be.AppendUint16(dst, r.Reason)
	dst = be.AppendUint64(dst, uint64(r.Debit))
	dst = be.AppendUint64(dst, uint64(r.Credit))
	dst = be.AppendUint64(dst, uint64(r.Amount))
	dst = be.AppendUint16(dst, r.Currency)
	dst = append(dst, byte(r.Phase))
	dst = be.AppendUint64(dst, r.Resolves)
	dst = be.AppendUint64(dst, r.Linked)
	dst = appendText(dst, r.Key)
	dst = appendText(dst, r.Payment)
	dst = appendText(dst, r.RRN)
	dst = appendText(dst, r.Terminal)
	dst = appendBlob(dst, r.Answer)
	return appendBlob(dst, r.Note)
}

func appendText(dst []byte, s string) []byte { return append(append(dst, byte(len(s))), s...) }

func appendBlob(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

// Check reports what makes the row impossible to store: a number a 64-bit signed column cannot hold, a text or blob
// beyond its limit, or an unknown kind or phase.
func (r *Row) Check() error {
	switch {
	case r.Seq == 0 || r.Seq > math.MaxInt64 || r.Resolves > math.MaxInt64 || r.Linked > math.MaxInt64:
		return fmt.Errorf("row %d: number out of range", r.Seq)
	case !r.Kind.Valid():
		return fmt.Errorf("row %d: kind %d is not known", r.Seq, uint8(r.Kind))
	case !r.Phase.Valid():
		return fmt.Errorf("row %d: phase %d is not known", r.Seq, uint8(r.Phase))
	case len(r.Key) > MaxTextBytes || len(r.Payment) > MaxTextBytes || len(r.RRN) > MaxTextBytes || len(r.Terminal) > MaxTextBytes:
		return fmt.Errorf("row %d: a text is longer than %d bytes", r.Seq, MaxTextBytes)
	case len(r.Answer) > MaxBlobBytes || len(r.Note) > MaxBlobBytes:
		return fmt.Errorf("row %d: a blob is longer than %d bytes", r.Seq, MaxBlobBytes)
	}
	return nil
}

// Seal sets the row's Chain from the previous row's. buf is working space; the grown buffer is returned for the next
// call.
func (r *Row) Seal(previous [32]byte, buf []byte) []byte {
	buf = append(buf[:0], previous[:]...)
	buf = r.AppendBinary(buf)
	r.Chain = sha256.Sum256(buf)
	return buf
}

// ErrRow is wrapped by every error of ParseRow.
var ErrRow = errors.New("journal: damaged row")

// ParseRow reads what AppendBinary wrote. Chain is left zero. The row shares no memory with b.
func ParseRow(b []byte) (Row, error) {
	if len(b) < fixedRowBytes {
		return Row{}, fmt.Errorf("%w: %d bytes, at least %d", ErrRow, len(b), fixedRowBytes)
	}
	if b[0] != rowVersion {
		return Row{}, fmt.Errorf("%w: version %d", ErrRow, b[0])
	}
	rd := rowReader{b: b[1:]}
	r := Row{Seq: rd.u64(), Kind: Kind(rd.u8())}
	r.At = time.UnixMicro(int64(rd.u64())).UTC()
	r.BusinessDate = int32(rd.u32())
	copy(r.Content[:], rd.take(len(r.Content)))
	r.STAN = rd.u32()
	r.Card = int64(rd.u64())
	r.ATC, r.Reason = rd.u16(), rd.u16()
	r.Debit, r.Credit = ledger.Account(rd.u64()), ledger.Account(rd.u64())
	r.Amount = int64(rd.u64())
	r.Currency = rd.u16()
	r.Phase = ledger.Phase(rd.u8())
	r.Resolves, r.Linked = rd.u64(), rd.u64()
	r.Key, r.Payment, r.RRN, r.Terminal = rd.text(), rd.text(), rd.text(), rd.text()
	r.Answer, r.Note = rd.blob(), rd.blob()
	if rd.short || len(rd.b) != 0 {
		return Row{}, fmt.Errorf("%w: lengths do not add up", ErrRow)
	}
	if err := r.Check(); err != nil {
		return Row{}, fmt.Errorf("%w: %w", ErrRow, err)
	}
	return r, nil
}

// rowReader takes fields off the front of b. Once a field does not fit, short stays set and every field is zero.
type rowReader struct {
	b     []byte
	short bool
}

func (rd *rowReader) take(n int) []byte {
	if rd.short || n > len(rd.b) {
		rd.short = true
		return nil
	}
	out := rd.b[:n]
	rd.b = rd.b[n:]
	return out
}

func (rd *rowReader) u8() uint8 {
	if b := rd.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (rd *rowReader) u16() uint16 {
	if b := rd.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (rd *rowReader) u32() uint32 {
	if b := rd.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (rd *rowReader) u64() uint64 {
	if b := rd.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (rd *rowReader) text() string { return string(rd.take(int(rd.u8()))) }

func (rd *rowReader) blob() []byte {
	n := rd.u32()
	if n == 0 {
		return nil
	}
	if n > MaxBlobBytes {
		rd.short = true
		return nil
	}
	return append([]byte(nil), rd.take(int(n))...)
}
