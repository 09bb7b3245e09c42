package verifytest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"tapnet/internal/journal"
)

// Places in a delta of the deny list, numbers little endian.
const (
	deltaEpoch     = 8
	deltaCount     = 12
	deltaSequence  = 16
	deltaCreated   = 24
	deltaNotAfter  = 32
	deltaPrevious  = 40
	deltaHeader    = deltaPrevious + sha256.Size + 8
	deltaLine      = 16
	deltaSignature = 64
)

// DeltaChange is one line of a delta: an entry that comes, or with Removal a hash that goes.
type DeltaChange struct {
	Hash         uint64
	Kind, Reason uint8
	Until        uint16
	Removal      uint8
}

// Delta is a delta of the deny list as a row has it, to be changed as somebody with the operator's journal could.
type Delta struct {
	Row               *journal.Row
	Epoch             uint32
	Sequence          uint64
	Created, NotAfter int64 // seconds since 1970
	Previous          [sha256.Size]byte
	Lines             []DeltaChange
	rest              []byte // what is not in the fields
}

// EditDeltas gives every delta of an operator's rows to edit, in order, and writes back what it leaves; those behind name the changed one. A delta whose
// Previous edit changes keeps it. The signatures stay those of what was there before.
func EditDeltas(rows []journal.Row, edit func(n int, d *Delta)) {
	var before, after [sha256.Size]byte // digest of the last delta as it was, and as it is now
	n := 0
	for i := range rows {
		r := &rows[i]
		if r.Kind != journal.Noted || len(r.Note) < deltaHeader+deltaSignature {
			continue
		}
		d := readDelta(r)
		named := d.Previous == before
		if named {
			d.Previous = after
		}
		before = sha256.Sum256(r.Note[:len(r.Note)-deltaSignature])
		edit(n, d)
		d.write()
		after = sha256.Sum256(r.Note[:len(r.Note)-deltaSignature])
		n++
	}
}

func readDelta(r *journal.Row) *Delta {
	little, b := binary.LittleEndian, r.Note
	d := &Delta{Row: r, Epoch: little.Uint32(b[deltaEpoch:]), Sequence: little.Uint64(b[deltaSequence:]), Created: int64(little.Uint64(b[deltaCreated:])),
		NotAfter: int64(little.Uint64(b[deltaNotAfter:])), Previous: [sha256.Size]byte(b[deltaPrevious:]), rest: slices.Clone(b)}
	for lines := b[deltaHeader : len(b)-deltaSignature]; len(lines) >= deltaLine; lines = lines[deltaLine:] {
		d.Lines = append(d.Lines, DeltaChange{little.Uint64(lines), lines[8], lines[9], little.Uint16(lines[10:]), lines[12]})
	}
	return d
}

func (d *Delta) write() {
	little := binary.LittleEndian
	b := slices.Clone(d.rest[:deltaHeader])
	little.PutUint32(b[deltaEpoch:], d.Epoch)
	little.PutUint32(b[deltaCount:], uint32(len(d.Lines)))
	little.PutUint64(b[deltaSequence:], d.Sequence)
	little.PutUint64(b[deltaCreated:], uint64(d.Created))
	little.PutUint64(b[deltaNotAfter:], uint64(d.NotAfter))
	copy(b[deltaPrevious:], d.Previous[:])
	for _, c := range d.Lines {
		b = little.AppendUint64(b, c.Hash)
		b = append(b, c.Kind, c.Reason)
		b = little.AppendUint16(b, c.Until)
		b = append(b, c.Removal, 0, 0, 0)
	}
	d.Row.Note = append(b, d.rest[len(d.rest)-deltaSignature:]...)
}
