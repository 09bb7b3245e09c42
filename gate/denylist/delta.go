package denylist

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxChanges bounds one delta: an hour of a large operator's changes in one piece, 1 MB.
const MaxChanges = 1 << 16

// A delta, all numbers little endian: the header, the changes sorted by hash, the signature.
const (
	deltaMagic = "TNDLDLT1"

	atDeltaCount    = 12
	atDeltaSequence = 16
	atDeltaCreated  = 24
	atDeltaNotAfter = 32
	atDeltaPrevious = 40
	atDeltaSigner   = atDeltaPrevious + digestBytes
	deltaHeader     = atDeltaSigner + signerBytes

	changeBytes = hashBytes + meaningBytes + 4 // the removal, and three bytes of zero
)

// Delta is what changed between two sequence numbers. It is a valid, signed value: only OpenDelta and ReadDelta make one.
type Delta struct {
	info     Info
	previous Digest
	digest   Digest
	changes  []Change
}

// Info is what the delta says about itself.
func (d *Delta) Info() Info { return d.info }

// Digest names the delta: the next one and every base that contains it carry it.
func (d *Delta) Digest() Digest { return d.digest }

// Previous is the digest of the delta before.
func (d *Delta) Previous() Digest { return d.previous }

// Changes are sorted by hash. They are not to be changed.
func (d *Delta) Changes() []Change { return d.changes }

// BuildDelta makes the signed bytes of a delta. Changes may be none: such a delta says that nothing changed. No hash may change twice.
// previous is the digest of the delta numbered one lower, zero for the first, whose number is 1. The changes are sorted in place.
func BuildDelta(changes []Change, info Info, previous Digest, signer crypto.Signer) ([]byte, error) {
	if err := info.check(); err != nil {
		return nil, err
	}
	if len(changes) > MaxChanges {
		return nil, fmt.Errorf("%d changes: %w", len(changes), ErrLimit)
	}
	key, err := public(signer)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.entry.hash, b.entry.hash) })
	b := make([]byte, deltaHeader, deltaHeader+len(changes)*changeBytes+signatureBytes)
	copy(b, deltaMagic)
	info.put(b, atEpoch, atDeltaSequence, atDeltaCreated, atDeltaNotAfter)
	binary.LittleEndian.PutUint32(b[atDeltaCount:], uint32(len(changes)))
	copy(b[atDeltaPrevious:], previous[:])
	id := signerID(key)
	copy(b[atDeltaSigner:], id[:])
	for _, c := range changes {
		b = c.append(b)
	}
	if _, err := parseDelta(b); err != nil {
		return nil, fmt.Errorf("build the delta: %w", err)
	}
	signature, err := sign(signer, purposeDelta, b)
	if err != nil {
		return nil, err
	}
	return append(b, signature...), nil
}

func (c Change) append(b []byte) []byte {
	var line [changeBytes]byte
	binary.LittleEndian.PutUint64(line[:], c.entry.hash)
	putMeaning(line[hashBytes:], c.entry)
	line[hashBytes+meaningBytes] = byte(c.removal)
	return append(b, line[:]...)
}

func parseChange(b []byte) (Change, error) {
	c := Change{
		entry:   meaning(b[hashBytes:], binary.LittleEndian.Uint64(b)),
		removal: Removal(b[hashBytes+meaningBytes]),
	}
	if !bytes.Equal(b[hashBytes+meaningBytes+1:changeBytes], []byte{0, 0, 0}) {
		return Change{}, fmt.Errorf("bytes in reserve are not zero: %w", ErrFormat)
	}
	if c.removal == 0 {
		return c, c.entry.check()
	}
	if c.removal >= removalEnd || c.entry != (Entry{hash: c.entry.hash}) {
		return Change{}, fmt.Errorf("removal %d: %w", c.removal, ErrEntry)
	}
	return c, nil
}

// deltaLength is the length of the delta that begins with a header, signature included.
func deltaLength(header []byte) (int, error) {
	if string(header[:len(deltaMagic)]) != deltaMagic {
		return 0, ErrFormat
	}
	count := binary.LittleEndian.Uint32(header[atDeltaCount:])
	if count > MaxChanges {
		return 0, fmt.Errorf("%d changes: %w", count, ErrLimit)
	}
	return deltaHeader + int(count)*changeBytes + signatureBytes, nil
}

// parseDelta reads what is signed.
func parseDelta(b []byte) (*Delta, error) {
	if len(b) < deltaHeader {
		return nil, ErrTruncated
	}
	total, err := deltaLength(b)
	if err != nil {
		return nil, err
	}
	switch want := total - signatureBytes; {
	case len(b) < want:
		return nil, ErrTruncated
	case len(b) > want:
		return nil, fmt.Errorf("%d bytes after the end: %w", len(b)-want, ErrFormat)
	}
	info, err := parseInfo(b, atEpoch, atDeltaSequence, atDeltaCreated, atDeltaNotAfter)
	if err != nil {
		return nil, err
	}
	d := &Delta{info: info, previous: Digest(b[atDeltaPrevious:atDeltaSigner]), digest: sha256.Sum256(b)}
	if info.Sequence == 0 || info.Sequence == 1 && d.previous != (Digest{}) {
		return nil, fmt.Errorf("delta %d after another: %w", info.Sequence, ErrFormat)
	}
	lines := b[deltaHeader:]
	d.changes = make([]Change, 0, len(lines)/changeBytes)
	for i := 0; len(lines) > 0; i, lines = i+1, lines[changeBytes:] {
		c, err := parseChange(lines)
		if err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
		if i > 0 && d.changes[i-1].entry.hash >= c.entry.hash {
			return nil, fmt.Errorf("change %d is out of order: %w", i, ErrFormat)
		}
		d.changes = append(d.changes, c)
	}
	return d, nil
}

// OpenDelta checks one delta and copies it.
func OpenDelta(b []byte, trust Trust) (*Delta, error) {
	if len(b) < deltaHeader+signatureBytes {
		return nil, fmt.Errorf("open the delta: %w", ErrTruncated)
	}
	total, err := deltaLength(b)
	if err != nil {
		return nil, fmt.Errorf("open the delta: %w", err)
	}
	switch {
	case len(b) < total:
		return nil, fmt.Errorf("open the delta: %w", ErrTruncated)
	case len(b) > total:
		return nil, fmt.Errorf("open the delta: %d bytes after the end: %w", len(b)-total, ErrFormat)
	}
	signed := b[:total-signatureBytes]
	if err := trust.verify(purposeDelta, b[atDeltaSigner:deltaHeader], signed, b[total-signatureBytes:]); err != nil {
		return nil, fmt.Errorf("open the delta: %w", err)
	}
	d, err := parseDelta(signed)
	if err != nil {
		return nil, fmt.Errorf("open the delta: %w", err)
	}
	return d, nil
}

// SplitDelta cuts the first delta off deltas that stand one behind the other. It checks its length alone.
func SplitDelta(b []byte) (first, rest []byte, err error) {
	if len(b) < deltaHeader {
		return nil, nil, ErrTruncated
	}
	n, err := deltaLength(b)
	if err != nil {
		return nil, nil, err
	}
	if len(b) < n {
		return nil, nil, ErrTruncated
	}
	return b[:n], b[n:], nil
}

// ReadDelta reads one delta from a stream, and nothing behind it. io.EOF as it is says that the stream ended before it. It takes up to
// 1 MB on the word of an unverified header.
func ReadDelta(r io.Reader, trust Trust) (*Delta, error) {
	b, err := fetchDelta(r)
	if err != nil {
		return nil, err
	}
	return OpenDelta(b, trust)
}

func fetchDelta(r io.Reader) ([]byte, error) {
	var header [deltaHeader]byte
	switch n, err := io.ReadFull(r, header[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("read the delta's header: %w", early(err))
	}
	total, err := deltaLength(header[:])
	if err != nil {
		return nil, fmt.Errorf("read the delta's header: %w", err)
	}
	b := make([]byte, total)
	copy(b, header[:])
	if _, err := io.ReadFull(r, b[deltaHeader:]); err != nil {
		return nil, fmt.Errorf("read the delta: %w", early(err))
	}
	return b, nil
}

// CopySince copies the deltas numbered above after from a log, which is deltas one behind the other, to a gate that asks for them:
// what a publisher answers. It counts the deltas and checks their numbers, not their signatures. When the log begins later than after+1
// it copies nothing and returns ErrGap: the gate needs a base.
func CopySince(w io.Writer, log io.Reader, after uint64) (copied int, err error) {
	last := after
	for {
		b, err := fetchDelta(log)
		if err == io.EOF { //nolint:errorlint // fetchDelta promises io.EOF itself
			return copied, nil
		}
		if err != nil {
			return copied, fmt.Errorf("delta after number %d: %w", last, err)
		}
		sequence := binary.LittleEndian.Uint64(b[atDeltaSequence:])
		if sequence <= after {
			continue
		}
		if sequence != last+1 {
			return copied, fmt.Errorf("delta %d after number %d: %w", sequence, last, ErrGap)
		}
		if _, err := w.Write(b); err != nil {
			return copied, fmt.Errorf("copy delta %d: %w", sequence, err)
		}
		copied, last = copied+1, sequence
	}
}
