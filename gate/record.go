package gate

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"tapnet/gate/denylist"
)

// RecordKind says what a record tells.
type RecordKind uint8

// Kinds of records.
const (
	TapRecord   RecordKind = iota + 1 // a card was tapped and answered
	NotPassed                         // the rider whose tap is named did not go through: the tap does not count
	StartRecord                       // the gate started; Discarded bytes at the log's end had not been made durable
	kindEnd
)

// MaxSealed bounds a card's sealed data: field 55 has at most 255 bytes, track 2 and the seal are small.
const MaxSealed = 1024

// The encoding of a record, all numbers big endian. Everything before the sealed data has a fixed place.
const (
	recordMagic = "TG\x01"

	atKind      = 3
	atLength    = 4 // of the whole record
	atSequence  = 6
	atTime      = 14 // milliseconds since 1970
	atDevice    = 22
	atStation   = atDevice + MaxDevice
	atDirection = atStation + 4
	atReason    = atDirection + 1
	atFlags     = atReason + 1
	atSubject   = atFlags + 2 // sequence of the tap that a NotPassed takes back; Discarded of a StartRecord
	atID        = atSubject + 8
	atEpoch     = atID + sha256.Size
	atATC       = atEpoch + 4
	atUN        = atATC + 2
	atAmount    = atUN + 4
	atCurrency  = atAmount + 8
	atList      = atCurrency + 2
	atSealed    = atList + 8

	chainBytes     = sha256.Size
	minRecord      = atSealed + chainBytes
	maxRecord      = minRecord + MaxSealed
	maxRecordClock = 1 << 45 // milliseconds: the year 3084
)

// Record is one line of the tap log.
type Record struct {
	Kind      RecordKind
	Sequence  uint64 // counts from 1 and never repeats for a device
	At        time.Time
	Device    string
	Station   uint32
	Direction Direction
	Reason    Reason // OK: the gate was told to open
	Flags     Flags
	Subject   uint64      // of NotPassed: the tap that does not count
	Discarded uint64      // of StartRecord: bytes that were cut off
	ID        denylist.ID // of the credential; zero when no number was read
	Epoch     denylist.Epoch
	ATC       uint16
	Random    [4]byte // the unpredictable number that the card signed
	Amount    int64   // minor units
	Currency  uint16  // ISO 4217 number
	List      uint64  // sequence number of the deny list that was asked
	Sealed    []byte  // the card's data for the back office
}

// ChainKey makes the chain of one device's log. Who has it can verify the log; who has not cannot change it unseen. It masks itself.
type ChainKey struct{ key []byte }

// Lengths of a chain key in bytes.
const (
	minChainKey = 16
	maxChainKey = 64
)

// NewChainKey takes a key of 16 to 64 bytes.
func NewChainKey(key []byte) (ChainKey, error) {
	if len(key) < minChainKey || len(key) > maxChainKey {
		return ChainKey{}, fmt.Errorf("chain key of %d bytes: %w", len(key), ErrConfig)
	}
	return ChainKey{key: bytes.Clone(key)}, nil
}

// IsZero reports whether there is no key.
func (k ChainKey) IsZero() bool { return len(k.key) == 0 }

// String says that there is a key.
func (k ChainKey) String() string { return "chain key" }

// Format prints String for every verb.
func (k ChainKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k ChainKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k ChainKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Link is the last hash of a chain. The zero Link stands before the first record.
type Link [chainBytes]byte

func (k ChainKey) link(previous Link, body []byte) (l Link) {
	mac := hmac.New(sha256.New, k.key)
	mac.Write(previous[:])
	mac.Write(body)
	mac.Sum(l[:0])
	return l
}

// Head is how far a log has come: what a verification starts from and ends with.
type Head struct {
	Sequence uint64
	Link     Link
}

// ErrRecord is wrapped when bytes are no record.
var ErrRecord = errors.New("not a record of a tap log")

func (r *Record) body() []byte {
	b := make([]byte, atSealed, minRecord+len(r.Sealed))
	copy(b, recordMagic)
	b[atKind] = byte(r.Kind)
	binary.BigEndian.PutUint16(b[atLength:], uint16(minRecord+len(r.Sealed)))
	binary.BigEndian.PutUint64(b[atSequence:], r.Sequence)
	binary.BigEndian.PutUint64(b[atTime:], uint64(r.At.UnixMilli()))
	copy(b[atDevice:atStation], r.Device)
	binary.BigEndian.PutUint32(b[atStation:], r.Station)
	b[atDirection], b[atReason] = byte(r.Direction), byte(r.Reason)
	binary.BigEndian.PutUint16(b[atFlags:], uint16(r.Flags))
	binary.BigEndian.PutUint64(b[atSubject:], r.Subject|r.Discarded) // never both
	copy(b[atID:], r.ID[:])
	binary.BigEndian.PutUint32(b[atEpoch:], uint32(r.Epoch))
	binary.BigEndian.PutUint16(b[atATC:], r.ATC)
	copy(b[atUN:], r.Random[:])
	binary.BigEndian.PutUint64(b[atAmount:], uint64(r.Amount))
	binary.BigEndian.PutUint16(b[atCurrency:], r.Currency)
	binary.BigEndian.PutUint64(b[atList:], r.List)
	return append(b, r.Sealed...)
}

// additional is what the sealed data are bound to: everything that is known before they are sealed.
func (r *Record) additional() []byte {
	plain := *r
	plain.Sealed = nil
	return plain.body()
}

// Additional is what a Sealer was given beside the card's data, for whoever opens them.
func (r *Record) Additional() []byte { return r.additional() }

// MaxRecord is the longest record, in bytes: what a loss of power may tear off.
const MaxRecord = maxRecord

// RecordLength is the length in bytes of the record that begins with b; 0 when none begins there. b may be shorter than the record.
func RecordLength(b []byte) int { return recordLength(b) }

// ParseRecord reads one whole record of a log, and its link. It verifies nothing: Verify does. Sealed aliases b.
func ParseRecord(b []byte) (Record, Link, error) {
	if n := recordLength(b); n == 0 || n != len(b) {
		return Record{}, Link{}, fmt.Errorf("%d bytes: %w", len(b), ErrRecord)
	}
	r, err := parseRecord(b[:len(b)-chainBytes])
	return r, Link(b[len(b)-chainBytes:]), err
}

// recordLength is the length that the beginning of a record names; 0 when the bytes are no beginning.
func recordLength(b []byte) int {
	if len(b) < atSequence || string(b[:len(recordMagic)]) != recordMagic {
		return 0
	}
	n := int(binary.BigEndian.Uint16(b[atLength:]))
	if n < minRecord || n > maxRecord {
		return 0
	}
	return n
}

// parseRecord reads the body of a record. Sealed aliases it.
func parseRecord(b []byte) (Record, error) {
	r := Record{
		Kind: RecordKind(b[atKind]), Sequence: binary.BigEndian.Uint64(b[atSequence:]),
		Station: binary.BigEndian.Uint32(b[atStation:]), Direction: Direction(b[atDirection]), Reason: Reason(b[atReason]),
		Flags: Flags(binary.BigEndian.Uint16(b[atFlags:])), ID: denylist.ID(b[atID:atEpoch]),
		Epoch: denylist.Epoch(binary.BigEndian.Uint32(b[atEpoch:])), ATC: binary.BigEndian.Uint16(b[atATC:]),
		Random: [4]byte(b[atUN:atAmount]), Amount: int64(binary.BigEndian.Uint64(b[atAmount:])),
		Currency: binary.BigEndian.Uint16(b[atCurrency:]), List: binary.BigEndian.Uint64(b[atList:]), Sealed: b[atSealed:],
	}
	device := bytes.TrimRight(b[atDevice:atStation], "\x00")
	r.Device = string(device)
	subject := binary.BigEndian.Uint64(b[atSubject:])
	switch r.Kind {
	case NotPassed:
		r.Subject = subject
	case StartRecord:
		r.Discarded = subject
	case TapRecord:
		if subject != 0 {
			return Record{}, fmt.Errorf("tap with a subject: %w", ErrRecord)
		}
	default:
		return Record{}, fmt.Errorf("kind %d: %w", r.Kind, ErrRecord)
	}
	ms := binary.BigEndian.Uint64(b[atTime:])
	if ms > maxRecordClock || r.Amount < 0 || r.Sequence == 0 || r.Flags >= flagsEnd || bytes.IndexByte(device, 0) >= 0 {
		return Record{}, fmt.Errorf("value out of range: %w", ErrRecord)
	}
	tap := r.Kind == TapRecord
	if tap != r.Direction.Valid() || tap != (r.Reason > 0 && r.Reason < reasonEnd) || !tap && (r.Direction != 0 || r.Reason != 0) {
		return Record{}, fmt.Errorf("direction or reason: %w", ErrRecord)
	}
	r.At = time.UnixMilli(int64(ms)).UTC()
	return r, nil
}

// Broken says where a log is not what a device wrote.
type Broken struct {
	Offset   int    // of the first byte of the first bad record
	Sequence uint64 // of the last good one
	Torn     bool   // the log ends inside this record: what a loss of power leaves
	Why      string
}

// String describes the break.
func (b *Broken) String() string {
	return fmt.Sprintf("tap log breaks at byte %d, after record %d: %s", b.Offset, b.Sequence, b.Why)
}

// Verify reads a log, or a piece of one that follows from, and calls visit for each good record in order; visit may be nil. It returns how
// far the good records go, and the first break, nil when there is none. It cannot see that whole records are missing at the end: the
// next piece shows it. The records' Sealed alias the log.
func Verify(log []byte, key ChainKey, from Head, visit func(Record)) (Head, *Broken) {
	head, offset := from, 0
	stop := func(torn bool, why string) (Head, *Broken) {
		return head, &Broken{Offset: offset, Sequence: head.Sequence, Torn: torn, Why: why}
	}
	for offset < len(log) {
		rest := log[offset:]
		n := recordLength(rest)
		switch {
		case n == 0 && len(rest) < atSequence && bytes.HasPrefix([]byte(recordMagic), rest[:min(len(rest), len(recordMagic))]):
			return stop(true, "the record is cut off")
		case n == 0:
			return stop(false, "no record begins here")
		case len(rest) < n:
			return stop(true, "the record is cut off")
		}
		body, link := rest[:n-chainBytes], rest[n-chainBytes:n]
		want := key.link(head.Link, body)
		if !hmac.Equal(want[:], link) {
			return stop(false, "the record does not follow the one before, or was changed")
		}
		r, err := parseRecord(body)
		if err != nil {
			return stop(false, err.Error())
		}
		if r.Sequence != head.Sequence+1 {
			return stop(false, fmt.Sprintf("number %d does not follow", r.Sequence))
		}
		if visit != nil {
			visit(r)
		}
		head, offset = Head{Sequence: r.Sequence, Link: want}, offset+n
	}
	return head, nil
}
