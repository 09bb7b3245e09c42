package cloudkey

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// Limits of a batch.
const (
	MaxKeys = 32 // a phone that was stolen gives away at most these
	// MaxTaps bounds the taps of all keys together, and with it what a phone reports about them.
	MaxTaps = 64
	// MaxBatchBytes is more than the longest batch has.
	MaxBatchBytes = 4096
	// LastATC is the last counter a batch may reach: a token that comes near it gets a new card key.
	LastATC = 60000
	// MaxArmSeconds bounds how long a key may wait in the phone's memory.
	MaxArmSeconds = 120

	batchVersion = 1
	pointBytes   = 65 // an uncompressed point of P-256
	tagAEADBytes = 16
	blobBytes    = 16 + tagAEADBytes // a masked key, sealed
	ratchetBytes = SecretBytes + tagAEADBytes
	digestBytes  = 16 // of the header
	keyBytes     = 2 + 1 + 1 + 8 + 4 + blobBytes
)

// Thresholds say when a phone must speak to the cloud again. The server enforces them as well.
type Thresholds struct {
	RefillAt      byte // keys left, of either kind, at which the phone asks for more
	RefillPercent byte // of the life of the batch, 1 to 100, after which it asks for more
	ArmSeconds    byte // how long a key may stay armed, 1 to MaxArmSeconds
	Taps          byte // consecutive taps without contact; 0: as many as there are keys
	// Amount caps the sum of taps without contact, in minor units of the token's currency; 0: no cap.
	Amount int64
}

func (t Thresholds) check() error {
	if t.RefillPercent == 0 || t.RefillPercent > 100 || t.ArmSeconds == 0 || t.ArmSeconds > MaxArmSeconds || t.Amount < 0 {
		return fmt.Errorf("thresholds of a batch are out of range: %w", ErrFormat)
	}
	return nil
}

// Key is one key of a batch, as it travels: masked, then sealed for the device.
type Key struct {
	ATC      uint16 // the first counter it serves
	Uses     byte   // how many counters, from ATC on
	Class    Class
	NotAfter int64 // seconds since 1970, UTC
	Index    Index // of a limited-use key
	blob     [blobBytes]byte
}

// Slot is what the scheme derives the key from.
func (k Key) Slot() Slot { return Slot{ATC: k.ATC, Index: k.Index} }

// Serves reports whether the key is for a counter.
func (k Key) Serves(atc uint16) bool { return atc >= k.ATC && int(atc) < int(k.ATC)+int(k.Uses) }

// Batch is the keys a phone gets at one time.
type Batch struct {
	Scheme     SchemeID
	Token      string
	BSEQ       uint32 // 1 for the first, one more each time
	ServerTime int64  // seconds since 1970, UTC: when the batch was made
	Thresholds Thresholds
	Keys       []Key // by counter

	ephemeral [pointBytes]byte
	ratchet   [ratchetBytes]byte // sealed
	digest    [digestBytes]byte  // proves that the header belongs to the keys
	wire      []byte
}

// check is what a batch must be, for the one who makes it and the one who reads it.
func (b *Batch) check() error {
	scheme, err := SchemeOf(b.Scheme)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := CheckRef(b.Token); err != nil {
		return err
	}
	if b.BSEQ == 0 || b.BSEQ > MaxBSEQ || b.ServerTime < 0 {
		return fmt.Errorf("batch number %d or its time is out of range: %w", b.BSEQ, ErrFormat)
	}
	if len(b.Keys) == 0 || len(b.Keys) > MaxKeys {
		return fmt.Errorf("%d keys, want 1 to %d: %w", len(b.Keys), MaxKeys, ErrFormat)
	}
	next, taps := 1, 0
	for i := range b.Keys {
		k := &b.Keys[i]
		last := int(k.ATC) + int(k.Uses) - 1
		indexed := k.Index != (Index{})
		switch {
		case !k.Class.Valid() || k.Uses == 0 || int(k.Uses) > scheme.MaxUses() || k.NotAfter <= b.ServerTime:
			return fmt.Errorf("key %d: class, uses or life is out of range: %w", i+1, ErrFormat)
		case int(k.ATC) < next || last > LastATC:
			return fmt.Errorf("key %d: counter %d is out of order or out of range: %w", i+1, k.ATC, ErrFormat)
		case indexed != (b.Scheme == SchemeLUK):
			return fmt.Errorf("key %d: an index does not go with the scheme: %w", i+1, ErrFormat)
		}
		next = last + 1
		taps += int(k.Uses)
	}
	if taps > MaxTaps {
		return fmt.Errorf("keys for %d taps, at most %d: %w", taps, MaxTaps, ErrFormat)
	}
	return b.Thresholds.check()
}

// header is everything before the digest.
func (b *Batch) header() []byte {
	w := appendText(make([]byte, 0, MaxBatchBytes), labelBatch)
	w = append(w, batchVersion, byte(b.Scheme))
	w = appendText(w, b.Token)
	w = appendBSEQ(w, b.BSEQ)
	w = binary.BigEndian.AppendUint64(w, uint64(b.ServerTime)) //nolint:gosec // checked: not negative
	t := b.Thresholds
	w = append(w, t.RefillAt, t.RefillPercent, t.ArmSeconds, t.Taps)
	w = binary.BigEndian.AppendUint64(w, uint64(t.Amount)) //nolint:gosec // checked: not negative
	w = append(w, b.ephemeral[:]...)
	w = append(w, b.ratchet[:]...)
	w = append(w, byte(len(b.Keys)))
	for i := range b.Keys {
		k := &b.Keys[i]
		w = binary.BigEndian.AppendUint16(w, k.ATC)
		w = append(w, k.Uses, byte(k.Class))
		w = binary.BigEndian.AppendUint64(w, uint64(k.NotAfter)) //nolint:gosec // checked: after ServerTime
		packed := k.Index.Packed()
		w = append(w, packed[:]...)
		w = append(w, k.blob[:]...)
	}
	return w
}

// ParseBatch reads a batch. Whether it is authentic only Open can tell. The error wraps ErrFormat.
func ParseBatch(wire []byte) (*Batch, error) {
	if len(wire) > MaxBatchBytes {
		return nil, fmt.Errorf("parse batch of %d bytes, at most %d: %w", len(wire), MaxBatchBytes, ErrFormat)
	}
	r := &reader{what: "batch", b: wire}
	r.label(labelBatch)
	if v := r.byte(); r.err == nil && v != batchVersion {
		r.fail("version %d, want %d", v, batchVersion)
	}
	b := &Batch{Scheme: SchemeID(r.byte()), Token: r.ref(), BSEQ: r.bseq(), ServerTime: r.int64()}
	b.Thresholds = Thresholds{RefillAt: r.byte(), RefillPercent: r.byte(), ArmSeconds: r.byte(), Taps: r.byte(), Amount: r.int64()}
	copy(b.ephemeral[:], r.take(pointBytes))
	copy(b.ratchet[:], r.take(ratchetBytes))
	count := int(r.byte())
	if count > MaxKeys {
		r.fail("%d keys, at most %d", count, MaxKeys)
	}
	for range count {
		if r.err != nil {
			break
		}
		k := Key{ATC: r.uint16(), Uses: r.byte(), Class: Class(r.byte()), NotAfter: r.int64()}
		index, err := ParseIndex([4]byte(r.take(4)))
		if err != nil {
			r.fail("%v", err)
		}
		k.Index = index
		copy(k.blob[:], r.take(blobBytes))
		b.Keys = append(b.Keys, k)
	}
	copy(b.digest[:], r.take(digestBytes))
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("parse batch: %w", err)
	}
	b.wire = append([]byte(nil), wire...)
	return b, nil
}

// Bytes returns the batch as it travels. The caller does not change it.
func (b *Batch) Bytes() []byte { return b.wire }

// Digest names the batch in a confirmation.
func (b *Batch) Digest() [sha256.Size]byte { return sha256.Sum256(b.wire) }

// Count tells how many taps the keys of a kind are for.
func (b *Batch) Count(cvm bool) (taps int) {
	for i := range b.Keys {
		if b.Keys[i].Class.CVM() == cvm {
			taps += int(b.Keys[i].Uses)
		}
	}
	return taps
}

// String tells number and size of the batch, nothing of its keys.
func (b *Batch) String() string {
	return fmt.Sprintf("batch %d of token %s: %d keys, scheme %d", b.BSEQ, b.Token, len(b.Keys), b.Scheme)
}

// Format prints String for every verb.
func (b *Batch) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.String()) }

// Format prints counter and class for every verb.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "key of counter %d, %v", k.ATC, k.Class)
}
