package cloudse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// A token is kept in the store as a cell: its number is the cell's, the hash of its reference the cell's name, and the data is, in this order,
//
//	version 1, causes, wrong cryptograms, next counter, last batch, taps and amount since contact,
//	at home and abroad: date, count, amount,
//	ratchet (32 bytes), digest of the last batch (32 bytes), number of answered requests, each with two hashes (8 bytes) and its instant,
//	the last batch as it went out when it is not confirmed,
//	number of batches, the batches (appendBatch), the profile (appendProfile).
//
// Numbers are unsigned varints; texts have their length before them. With 32 counters a batch it is at most some 3,700 bytes.
const cellVersion = 1

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendNumbers(dst []byte, all ...int64) []byte {
	for _, v := range all {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return dst
}

func (t *token) append(dst []byte) []byte {
	dst = append(dst, cellVersion, byte(t.causes))
	dst = appendNumbers(dst, int64(t.wrong), int64(t.nextATC), int64(t.bseq), int64(t.contact.taps), t.contact.minor)
	for _, d := range t.days {
		dst = appendNumbers(dst, int64(d.date), int64(d.count), d.minor)
	}
	dst = append(append(dst, t.ratchet[:]...), t.digest[:]...)
	dst = appendNumbers(dst, int64(len(t.answered)))
	for _, a := range t.answered {
		dst = appendNumbers(append(append(dst, a.body[:]...), a.signed[:]...), a.at)
	}
	dst = appendText(dst, t.wire)
	dst = appendNumbers(dst, int64(len(t.batches)))
	for i := range t.batches {
		dst = t.batches[i].append(dst)
	}
	return t.profile.append(dst)
}

// append writes a batch: number, when it was given out, its life from then, revoked since (0: not), confirmed, keys, uses, reported counters.
func (b *batch) append(dst []byte) []byte {
	confirmed := int64(0)
	if b.confirmed {
		confirmed = 1
	}
	dst = appendNumbers(dst, int64(b.bseq), b.grantedAt, b.notAfter-b.grantedAt, b.revokedAt, confirmed, int64(len(b.keys)))
	for _, k := range b.keys {
		dst = append(appendNumbers(dst, int64(k.atc)), k.uses, byte(k.class))
		packed := k.index.Packed()
		dst = appendText(dst, trimZeros(packed[:]))
	}
	dst = appendNumbers(dst, int64(len(b.used)))
	for _, u := range b.used {
		dst = append(appendNumbers(dst, int64(u.atc), u.at, int64(u.reason)), u.hash[:]...)
	}
	dst = appendNumbers(dst, int64(len(b.reported)))
	for _, atc := range b.reported {
		dst = appendNumbers(dst, int64(atc))
	}
	return dst
}

// trimZeros leaves out an index that is none.
func trimZeros(b []byte) []byte {
	for _, v := range b {
		if v != 0 {
			return b
		}
	}
	return nil
}

func (p *profile) append(dst []byte) []byte {
	software := byte(0)
	if p.software {
		software = 1
	}
	dst = append(dst, byte(p.scheme), p.algorithm, p.dki, p.cvn, byte(p.cvm), software)
	dst = append(dst, p.fingerprint[:]...)
	l := p.limits
	dst = appendNumbers(dst, int64(p.currency), l.OpenTapMinor, l.TapMinor, l.DayMinor, int64(l.DayCount), l.ForeignDayMinor, int64(l.ContactTaps), l.ContactMinor,
		int64(p.keys.CVM), int64(p.keys.Open))
	for _, text := range [...]string{p.ref, p.device, p.sequence} {
		dst = appendText(dst, text)
	}
	for _, blob := range [...][]byte{p.sealedNumber, p.signing, p.agreement, p.password} {
		dst = appendText(dst, blob)
	}
	return dst
}

var errCell = errors.New("stored token is damaged")

// cellReader reads varints and texts; the first thing that does not fit ends it.
type cellReader struct {
	b   []byte
	bad bool
}

func (r *cellReader) number(most int64) int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(most) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

func (r *cellReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *cellReader) octet() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// text gives a piece of the reader's own memory; nothing changes it.
func (r *cellReader) text() []byte {
	b := r.take(int(r.number(journal.MaxCellBytes)))
	if len(b) == 0 {
		return nil
	}
	return b
}

// count is how many of something follow.
func (r *cellReader) count(most int64) int { return int(r.number(most)) }

func (r *cellReader) done(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%s: %w", what, errCell)
	}
	return nil
}

// Bounds of what a cell may say.
const (
	maxUses     = cloudkey.MaxTaps
	maxReported = cloudkey.MaxUses
	maxCount    = math.MaxInt32
)

// readToken reads a cell; it keeps the cell's data.
func readToken(cell *journal.Cell) (*token, error) {
	r := cellReader{b: cell.Data}
	if r.octet() != cellVersion {
		return nil, fmt.Errorf("cell %d: %w: unknown version", cell.ID, errCell)
	}
	t := &token{id: cell.ID, seq: cell.Seq, causes: cloudseapi.Cause(r.octet())}
	t.wrong, t.nextATC, t.bseq = r.count(maxCount), uint16(r.number(math.MaxUint16)), uint32(r.number(cloudkey.MaxBSEQ))
	t.contact = contact{taps: r.count(maxCount), minor: r.number(math.MaxInt64)}
	for i := range t.days {
		t.days[i] = day{date: int32(r.number(math.MaxInt32)), count: r.count(maxCount), minor: r.number(math.MaxInt64)}
	}
	copy(t.ratchet[:], r.take(len(t.ratchet)))
	copy(t.digest[:], r.take(len(t.digest)))
	for range r.count(answeredMost) {
		t.answered = append(t.answered, r.answered())
	}
	t.wire = r.text()
	for range r.count(batchesMost) {
		t.batches = append(t.batches, r.batch())
	}
	t.profile = r.profile()
	if err := r.done(fmt.Sprintf("cell %d", cell.ID)); err != nil {
		return nil, err
	}
	return t, t.profile.check()
}

func (r *cellReader) answered() (a answered) {
	copy(a.body[:], r.take(len(a.body)))
	copy(a.signed[:], r.take(len(a.signed)))
	a.at = r.number(math.MaxInt64)
	return a
}

func (r *cellReader) batch() batch {
	b := batch{bseq: uint32(r.number(cloudkey.MaxBSEQ)), grantedAt: r.number(math.MaxInt64)}
	b.notAfter = b.grantedAt + r.number(math.MaxInt32)
	b.revokedAt, b.confirmed = r.number(math.MaxInt64), r.number(1) == 1
	for range r.count(cloudkey.MaxKeys) {
		k := key{atc: uint16(r.number(math.MaxUint16)), uses: r.octet(), class: cloudkey.Class(r.octet())}
		var packed [4]byte
		copy(packed[:], r.text())
		index, err := cloudkey.ParseIndex(packed)
		r.bad = r.bad || err != nil
		k.index = index
		b.keys = append(b.keys, k)
	}
	for range r.count(maxUses) {
		u := use{atc: uint16(r.number(math.MaxUint16)), at: r.number(math.MaxInt64), reason: unionpay.TokenReason(r.number(math.MaxUint16))}
		copy(u.hash[:], r.take(len(u.hash)))
		b.used = append(b.used, u)
	}
	for range r.count(maxReported) {
		b.reported = append(b.reported, uint16(r.number(math.MaxUint16)))
	}
	return b
}

func (r *cellReader) profile() *profile {
	p := &profile{scheme: cloudkey.SchemeID(r.octet()), algorithm: r.octet(), dki: r.octet(), cvn: r.octet(), cvm: cloudkey.Class(r.octet())}
	p.software = r.octet() == 1
	copy(p.fingerprint[:], r.take(len(p.fingerprint)))
	p.currency = r.count(maxCurrency)
	p.limits = cloudseapi.Limits{OpenTapMinor: r.number(math.MaxInt64), TapMinor: r.number(math.MaxInt64), DayMinor: r.number(math.MaxInt64),
		DayCount: r.count(maxCount), ForeignDayMinor: r.number(math.MaxInt64), ContactTaps: r.count(maxCount), ContactMinor: r.number(math.MaxInt64)}
	p.keys = cloudseapi.Keys{CVM: r.count(cloudkey.MaxKeys), Open: r.count(cloudkey.MaxKeys)}
	p.ref, p.device, p.sequence = string(r.text()), string(r.text()), string(r.text())
	p.sealedNumber, p.signing, p.agreement, p.password = r.text(), r.text(), r.text(), r.text()
	return p
}

const maxCurrency = 999

// check is what the rest relies on.
func (p *profile) check() error {
	if err := cloudkey.CheckRef(p.ref); err != nil {
		return err
	}
	if err := cloudkey.CheckRef(p.device); err != nil {
		return err
	}
	_, err := cloudkey.SchemeOf(p.scheme)
	_, known := cryptogram.Standard(p.algorithm)
	switch {
	case err != nil || !known:
		return fmt.Errorf("token %s: scheme %d or algorithm %02X is not known", p.ref, p.scheme, p.algorithm)
	case !p.cvm.CVM():
		return fmt.Errorf("token %s: %v is no class with cardholder verification", p.ref, p.cvm)
	case len(p.sequence) != 2 || p.keys.CVM+p.keys.Open < 1 || p.keys.CVM+p.keys.Open > cloudkey.MaxKeys:
		return fmt.Errorf("token %s: sequence number or number of keys is out of range", p.ref)
	}
	return nil
}
