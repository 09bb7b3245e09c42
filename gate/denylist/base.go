package denylist

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"

	"github.com/FastFilter/xorfilter"
)

// MaxEntries bounds a base: three times the 10⁷ of a large operator, 480 MB.
const MaxEntries = 1 << 25

// The image, all numbers little endian: the header, its signature, the sorted hashes, what each stands for, the filter.
const (
	baseMagic = "TNDLBAS2"

	atEpoch         = 8
	atSequence      = 16
	atCount         = 24
	atCreated       = 32
	atNotAfter      = 40
	atChain         = 48
	atSeed          = atChain + digestBytes
	atSegmentLength = atSeed + 8
	atSegmentCount  = atSegmentLength + 4
	atDigest        = atSegmentCount + 4
	atSigner        = atDigest + digestBytes
	atSignature     = atSigner + signerBytes
	headerBytes     = atSignature + signatureBytes // divisible by 8, so that a mapped image has its hashes aligned

	hashBytes        = 8
	meaningBytes     = 4 // kind, reason, day
	fingerprintBytes = 2 // 16 bits: one card in 65,536 is looked up in vain

	// A filter has 1.125 slots for each entry, more when there are few, and some segments in any case.
	slotsPerEntry = 4
	slotsInAnyway = 64
	filterArity   = 3
)

// Info is what a base or delta says about itself.
type Info struct {
	Epoch    Epoch
	Sequence uint64    // of the last delta that is part of it
	Created  time.Time // to the second
	NotAfter time.Time // the publisher promises a newer list before it
}

// maxSecond keeps times within what every encoding of them can say.
const maxSecond = 1 << 40

func (i Info) check() error {
	for _, t := range [...]time.Time{i.Created, i.NotAfter} {
		if t.Unix() < 0 || t.Unix() > maxSecond {
			return fmt.Errorf("instant before 1970 or far from now: %w", ErrFormat)
		}
	}
	return nil
}

func (i Info) put(b []byte, epoch, sequence, created, notAfter int) {
	binary.LittleEndian.PutUint32(b[epoch:], uint32(i.Epoch))
	binary.LittleEndian.PutUint64(b[sequence:], i.Sequence)
	binary.LittleEndian.PutUint64(b[created:], uint64(i.Created.Unix()))
	binary.LittleEndian.PutUint64(b[notAfter:], uint64(i.NotAfter.Unix()))
}

func parseInfo(b []byte, epoch, sequence, created, notAfter int) (Info, error) {
	i := Info{
		Epoch:    Epoch(binary.LittleEndian.Uint32(b[epoch:])),
		Sequence: binary.LittleEndian.Uint64(b[sequence:]),
	}
	from, to := binary.LittleEndian.Uint64(b[created:]), binary.LittleEndian.Uint64(b[notAfter:])
	if from > maxSecond || to > maxSecond {
		return Info{}, fmt.Errorf("instant far from now: %w", ErrFormat)
	}
	i.Created, i.NotAfter = time.Unix(int64(from), 0).UTC(), time.Unix(int64(to), 0).UTC()
	return i, nil
}

// Base is the whole list as of one sequence number. It aliases its image, which must not change as long as the Base is in use. It is
// safe for concurrent use.
type Base struct {
	info     Info
	chain    Digest
	count    int
	hashes   []byte
	meanings []byte
	filter   filter
}

// BuildBase makes the signed image of a base. Of several entries with one hash the strongest stays. chain is the digest of the delta
// numbered info.Sequence, zero when there was none. The entries are sorted in place. The same input gives the same image.
func BuildBase(entries []Entry, info Info, chain Digest, signer crypto.Signer) ([]byte, error) {
	if err := info.check(); err != nil {
		return nil, err
	}
	for i := range entries {
		if err := entries[i].check(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("%d entries: %w", len(entries), ErrLimit)
	}
	key, err := public(signer)
	if err != nil {
		return nil, err
	}
	sortEntries(entries)
	entries = slices.CompactFunc(entries, func(a, b Entry) bool { return a.hash == b.hash }) // the strongest is the first
	image, err := assemble(entries)
	if err != nil {
		return nil, err
	}
	copy(image, baseMagic)
	info.put(image, atEpoch, atSequence, atCreated, atNotAfter)
	copy(image[atChain:], chain[:])
	id := signerID(key)
	copy(image[atSigner:], id[:])
	signature, err := sign(signer, purposeBase, image[:atSignature])
	if err != nil {
		return nil, err
	}
	copy(image[atSignature:], signature)
	return image, nil
}

// assemble makes the image but for what names it: the body, its digest, and the shape of the filter. The filter takes most of the time, so
// the exact set is written and hashed beside it.
func assemble(entries []Entry) ([]byte, error) {
	type made struct {
		filter xorfilter.BinaryFuse[uint16]
		err    error
	}
	done := make(chan made, 1)
	go func() {
		built, err := buildFilter(entries)
		done <- made{built, err}
	}()
	exact := headerBytes + len(entries)*(hashBytes+meaningBytes)
	image := make([]byte, exact, exact+(len(entries)+len(entries)/4+slotsInAnyway)*fingerprintBytes)
	fillExact(image[headerBytes:], entries)
	hash := sha256.New()
	hash.Write(image[headerBytes:])
	built := <-done
	if built.err != nil {
		return nil, built.err
	}
	image = appendFingerprints(image, built.filter.Fingerprints)
	hash.Write(image[exact:])
	hash.Sum(image[atDigest:atDigest])
	binary.LittleEndian.PutUint64(image[atCount:], uint64(len(entries)))
	binary.LittleEndian.PutUint64(image[atSeed:], built.filter.Seed)
	binary.LittleEndian.PutUint32(image[atSegmentLength:], built.filter.SegmentLength)
	binary.LittleEndian.PutUint32(image[atSegmentCount:], built.filter.SegmentCount)
	return image, nil
}

func bodyBytes(entries, slots int) int {
	return entries*(hashBytes+meaningBytes) + slots*fingerprintBytes
}

func fillExact(body []byte, entries []Entry) {
	meanings := body[len(entries)*hashBytes:]
	for i, e := range entries {
		binary.LittleEndian.PutUint64(body[i*hashBytes:], e.hash)
		putMeaning(meanings[i*meaningBytes:], e)
	}
}

func putMeaning(b []byte, e Entry) {
	b[0], b[1] = byte(e.kind), byte(e.reason)
	binary.LittleEndian.PutUint16(b[2:], uint16(e.until))
}

func meaning(b []byte, hash uint64) Entry {
	return Entry{hash: hash, kind: Kind(b[0]), reason: Reason(b[1]), until: Day(binary.LittleEndian.Uint16(b[2:]))}
}

// buildFilter gives the zero filter for no entries.
func buildFilter(entries []Entry) (xorfilter.BinaryFuse[uint16], error) {
	if len(entries) == 0 {
		return xorfilter.BinaryFuse[uint16]{}, nil
	}
	keys := make([]uint64, len(entries))
	for i := range entries {
		keys[i] = entries[i].hash
	}
	built, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return xorfilter.BinaryFuse[uint16]{}, fmt.Errorf("build the filter: %w", err)
	}
	return *built, nil
}

// baseShape is what a verified header says about the body.
type baseShape struct {
	count, slots int
}

// checkHeader verifies a header before anything it says is believed.
func checkHeader(b []byte, trust Trust) (baseShape, error) {
	if len(b) < headerBytes {
		return baseShape{}, ErrTruncated
	}
	if string(b[:len(baseMagic)]) != baseMagic || binary.LittleEndian.Uint32(b[atEpoch+4:]) != 0 {
		return baseShape{}, ErrFormat
	}
	if err := trust.verify(purposeBase, b[atSigner:atSignature], b[:atSignature], b[atSignature:headerBytes]); err != nil {
		return baseShape{}, err
	}
	return parseShape(b)
}

func parseShape(b []byte) (baseShape, error) {
	count := binary.LittleEndian.Uint64(b[atCount:])
	if count > MaxEntries {
		return baseShape{}, fmt.Errorf("%d entries: %w", count, ErrLimit)
	}
	length, segments := uint64(binary.LittleEndian.Uint32(b[atSegmentLength:])), uint64(binary.LittleEndian.Uint32(b[atSegmentCount:]))
	if count == 0 {
		if length != 0 || segments != 0 {
			return baseShape{}, fmt.Errorf("filter of an empty list: %w", ErrFormat)
		}
		return baseShape{}, nil
	}
	if bits.OnesCount64(length) != 1 || segments == 0 {
		return baseShape{}, fmt.Errorf("filter of %d segments of %d: %w", segments, length, ErrFormat)
	}
	slots := (segments + filterArity - 1) * length // below 2⁶⁴: both have 32 bits
	if slots > slotsPerEntry*count+slotsInAnyway {
		return baseShape{}, fmt.Errorf("filter of %d slots: %w", slots, ErrLimit)
	}
	return baseShape{count: int(count), slots: int(slots)}, nil
}

// OpenBase checks an image and gives the Base that reads from it. It looks at every byte once; the image may be a mapped file.
func OpenBase(image []byte, trust Trust) (*Base, error) {
	shape, err := checkHeader(image, trust)
	if err != nil {
		return nil, fmt.Errorf("open the base: %w", err)
	}
	b, err := openBody(image, shape)
	if err != nil {
		return nil, fmt.Errorf("open the base: %w", err)
	}
	return b, nil
}

func openBody(image []byte, shape baseShape) (*Base, error) {
	body := image[headerBytes:]
	switch want := bodyBytes(shape.count, shape.slots); {
	case len(body) < want:
		return nil, ErrTruncated
	case len(body) > want:
		return nil, fmt.Errorf("%d bytes after the end: %w", len(body)-want, ErrFormat)
	}
	if digest := sha256.Sum256(body); !bytes.Equal(digest[:], image[atDigest:atSigner]) {
		return nil, ErrDigest
	}
	info, err := parseInfo(image, atEpoch, atSequence, atCreated, atNotAfter)
	if err != nil {
		return nil, err
	}
	meanings := body[shape.count*hashBytes:]
	b := &Base{
		info: info, chain: Digest(image[atChain:atSeed]), count: shape.count,
		hashes:   body[:shape.count*hashBytes],
		meanings: meanings[:shape.count*meaningBytes],
		filter: newFilter(meanings[shape.count*meaningBytes:], binary.LittleEndian.Uint64(image[atSeed:]),
			binary.LittleEndian.Uint32(image[atSegmentLength:]), binary.LittleEndian.Uint32(image[atSegmentCount:])),
	}
	return b, b.check()
}

// check looks for what a publisher's mistake would leave behind a good signature.
func (b *Base) check() error {
	for i := range b.count {
		if i > 0 && b.hash(i-1) >= b.hash(i) {
			return fmt.Errorf("entry %d is out of order: %w", i, ErrFormat)
		}
		if err := b.entry(i).check(); err != nil {
			return fmt.Errorf("entry %d: %w: %w", i, err, ErrFormat)
		}
	}
	return nil
}

// ReadBase reads one image from a stream, and nothing behind it. It allocates nothing before the header's signature is verified.
func ReadBase(r io.Reader, trust Trust) (*Base, error) {
	image, err := FetchBase(r, trust)
	if err != nil {
		return nil, err
	}
	return OpenBase(image, trust)
}

// FetchBase is ReadBase for somebody who wants to keep the image: it verifies the header and reads as many bytes as that says.
// OpenBase verifies the rest.
func FetchBase(r io.Reader, trust Trust) ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, fmt.Errorf("read the base's header: %w", early(err))
	}
	shape, err := checkHeader(header[:], trust)
	if err != nil {
		return nil, fmt.Errorf("read the base's header: %w", err)
	}
	image := make([]byte, headerBytes+bodyBytes(shape.count, shape.slots))
	copy(image, header[:])
	if _, err := io.ReadFull(r, image[headerBytes:]); err != nil {
		return nil, fmt.Errorf("read the base: %w", early(err))
	}
	return image, nil
}

// early turns the end of a stream into ErrTruncated and leaves other trouble as it is.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// Info is what the base says about itself.
func (b *Base) Info() Info { return b.info }

// Len is the number of entries.
func (b *Base) Len() int { return b.count }

// FilterBytes is the size of the filter.
func (b *Base) FilterBytes() int { return len(b.filter.low) + len(b.filter.high) }

func (b *Base) hash(i int) uint64 { return binary.LittleEndian.Uint64(b.hashes[i*hashBytes:]) }

func (b *Base) entry(i int) Entry { return meaning(b.meanings[i*meaningBytes:], b.hash(i)) }

// All calls visit for every entry in the order of hashes, until it returns false.
func (b *Base) All(visit func(Entry) bool) {
	for i := range b.count {
		if !visit(b.entry(i)) {
			return
		}
	}
}

// Lookup finds the entry of a hash: the filter first, then the exact set. It allocates nothing.
func (b *Base) Lookup(hash uint64) (Entry, bool) {
	if b.count == 0 || !b.filter.mayContain(hash) {
		return Entry{}, false
	}
	i, found := b.find(hash)
	if !found {
		return Entry{}, false
	}
	return b.entry(i), true
}

// find searches outward from where an evenly spread hash ought to stand, then by halves: a few cache lines in place of two dozen.
func (b *Base) find(hash uint64) (int, bool) {
	guess, _ := bits.Mul64(hash, uint64(b.count))
	low, high := int(guess), int(guess)
	step := 1 + bits.Len(uint(b.count))*8
	for low > 0 && b.hash(low) > hash {
		low, step = max(0, low-step), step*2
	}
	for high < b.count && b.hash(high) < hash {
		high, step = min(b.count, high+step), step*2
	}
	for low < high { // every hash before low is smaller, every one from high on is not
		if middle := int(uint(low+high) >> 1); b.hash(middle) < hash {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < b.count && b.hash(low) == hash
}
