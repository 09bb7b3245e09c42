package celllog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"tapnet/internal/journal"
)

// Sizes of what stands in a segment. Everything begins at a multiple of alignBytes, so that the index has room for it.
const (
	alignBytes  = 32
	headerBytes = alignBytes
	markBytes   = 2 * alignBytes
	// cellHead is what stands before a cell's data.
	cellHead = 40
	// maxRecord is the largest cell's.
	maxRecord = (cellHead + journal.MaxCellBytes + alignBytes - 1) / alignBytes * alignBytes
)

// A segment begins with its header: magic, version (4), number (4), zeros, checksum of all that (4). Numbers are little-endian.
const (
	magic   = "TAPCELLS"
	version = 1
)

// Kinds of records. Both begin with a checksum of the rest (4), the kind (1), flags (1) and the length of the data (2).
//
//	cell  number (8), row (8), name (16), data, zeros up to the next multiple of alignBytes
//	mark  watermark (8), last row (8), segment and offset of the mark (4, 4), the same of what is settled (4, 4), sum (4), zeros
//
// Before a place that is settled everything was on the disk when the mark was written. The sum is over the checksums of the segment's records up to the mark: a
// mark that stands behind other records than it was written behind is none.
const (
	kindCell = 1
	kindMark = 2
	// flagSealed says that the segment ends with this mark and the next one goes on.
	flagSealed = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errRecord = errors.New("celllog: not a record")

// place is where something begins: a segment's number, and bytes from its beginning.
type place struct{ segment, offset uint32 }

func (p place) before(q place) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

// mark ends what one commit wrote.
type mark struct {
	watermark, last uint64
	at, settled     place
	sum             uint32
	sealed          bool
}

func appendHeader(dst []byte, number uint32) []byte {
	from := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, number)
	dst = append(dst, make([]byte, headerBytes-4-(len(dst)-from))...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

// isHeader reports whether b begins as the segment with that number does.
func isHeader(b []byte, number uint32) bool {
	var want [headerBytes]byte
	return len(b) >= headerBytes && string(b[:headerBytes]) == string(appendHeader(want[:0], number))
}

// recordBytes is how long the record of a cell with so many bytes of data is.
func recordBytes(data int) int { return (cellHead + data + alignBytes - 1) &^ (alignBytes - 1) }

func appendCell(dst []byte, c *journal.Cell) []byte {
	from := len(dst)
	dst = append(dst, 0, 0, 0, 0, kindCell, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Data)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.ID))
	dst = binary.LittleEndian.AppendUint64(dst, c.Seq)
	dst = append(append(dst, c.Name[:]...), c.Data...)
	return seal(dst, from, from+recordBytes(len(c.Data)))
}

func appendMark(dst []byte, m *mark) []byte {
	from := len(dst)
	dst = append(dst, 0, 0, 0, 0, kindMark, 0, 0, 0)
	if m.sealed {
		dst[from+5] = flagSealed
	}
	dst = binary.LittleEndian.AppendUint64(dst, m.watermark)
	dst = binary.LittleEndian.AppendUint64(dst, m.last)
	for _, v := range [...]uint32{m.at.segment, m.at.offset, m.settled.segment, m.settled.offset, m.sum} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return seal(dst, from, from+markBytes)
}

var zeros [alignBytes]byte

// seal fills the record up to its end and puts the checksum before it.
func seal(dst []byte, from, end int) []byte {
	dst = append(dst, zeros[:end-len(dst)]...)
	binary.LittleEndian.PutUint32(dst[from:], crc32.Checksum(dst[from+4:], castagnoli))
	return dst
}

// sizeOf is the length of the record that b begins with, 0 when b is not the beginning of one or too short to tell.
func sizeOf(b []byte) int {
	if len(b) < cellHead {
		return 0
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	switch {
	case b[4] == kindCell && b[5] == 0 && n <= journal.MaxCellBytes:
		return recordBytes(n)
	case b[4] == kindMark && b[5] <= flagSealed && n == 0:
		return markBytes
	}
	return 0
}

// whole is sizeOf of a record that is there to its end and as it was written, otherwise 0.
func whole(b []byte) int {
	n := sizeOf(b)
	if n == 0 || n > len(b) || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:n], castagnoli) {
		return 0
	}
	return n
}

// addSum carries the sum of a segment on over a record.
func addSum(sum uint32, record []byte) uint32 { return crc32.Update(sum, castagnoli, record[:4]) }

func isCell(record []byte) bool     { return record[4] == kindCell }
func cellID(record []byte) int64    { return int64(binary.LittleEndian.Uint64(record[8:])) }
func cellName(record []byte) []byte { return record[24:cellHead] }
func cellSeq(record []byte) uint64  { return binary.LittleEndian.Uint64(record[16:]) }
func cellData(record []byte) []byte {
	return record[cellHead : cellHead+int(binary.LittleEndian.Uint16(record[6:]))]
}
func validCell(record []byte) bool {
	return cellID(record) > 0 && emptyFrom(record, cellHead+len(cellData(record)))
}
func emptyFrom(b []byte, at int) bool {
	for _, v := range b[at:] {
		if v != 0 {
			return false
		}
	}
	return true
}

// readCell reads a whole record of a cell; the data is in the record's memory.
func readCell(record []byte, c *journal.Cell) error {
	if !isCell(record) || !validCell(record) {
		return errRecord
	}
	c.ID, c.Seq, c.Data = cellID(record), cellSeq(record), cellData(record)
	copy(c.Name[:], cellName(record))
	return nil
}

// readMark reads a whole record of a mark.
func readMark(record []byte) (m mark, err error) {
	if isCell(record) || !emptyFrom(record, 44) {
		return m, errRecord
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(record[at:]) }
	m = mark{watermark: binary.LittleEndian.Uint64(record[8:]), last: binary.LittleEndian.Uint64(record[16:]), at: place{u32(24), u32(28)},
		settled: place{u32(32), u32(36)}, sum: u32(40), sealed: record[5] == flagSealed}
	if m.at.before(m.settled) || m.at.offset > math.MaxUint32-markBytes {
		return m, errRecord
	}
	return m, nil
}
