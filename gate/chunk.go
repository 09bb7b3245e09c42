package gate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// MaxChunk bounds the records of one chunk, in bytes: five hundred taps, a few seconds of a slow line.
const MaxChunk = 256 << 10

// The encoding of a chunk, all numbers big endian: the header, the records as they stand in the log, the code over both.
const (
	chunkMagic = "TC\x01\x00"

	atChunkDevice = len(chunkMagic)
	atChunkFirst  = atChunkDevice + MaxDevice
	atChunkBefore = atChunkFirst + 8
	atChunkAfter  = atChunkBefore + chainBytes
	atChunkLength = atChunkAfter + chainBytes
	chunkHeader   = atChunkLength + 4

	// MaxEncodedChunk is the most that EncodeChunk makes: what a server has to read.
	MaxEncodedChunk = chunkHeader + MaxChunk + macBytes
)

// Chunk is a piece of one device's tap log on its way to the back office: whole records, one behind the other, as they stand in the log.
//
// Its identity is (Device, First): the same chunk may arrive any number of times, in any order, and may overlap others, as long as
// every record of one number is the same. A chunk whose Before is the zero Link and whose First is above 1 begins a new chain: the device
// lost its log, and took up numbers beyond all that it may have used; the numbers between are lost.
type Chunk struct {
	Device  string
	First   uint64 // number of the first record
	Records []byte // at least one, at most MaxChunk bytes
	Before  Link   // of the record before First; zero when there is none
	After   Link   // of the last record
	MAC     [macBytes]byte
}

// ErrChunk is wrapped when bytes are no chunk, or one that no device makes.
var ErrChunk = errors.New("not a chunk of a tap log")

// ErrLost is wrapped when the back office has records of a device that its log never had, or has no more.
var ErrLost = errors.New("tap log has lost records that the back office has")

// NewChunk makes the chunk of records that follow from: the first part of log that fits, whole records only. It verifies what it takes.
func NewChunk(key ChainKey, device string, from Head, log []byte) (Chunk, error) {
	records := log[:wholeRecords(log, MaxChunk)]
	if len(records) == 0 {
		return Chunk{}, fmt.Errorf("no whole record: %w", ErrChunk)
	}
	c := Chunk{Device: device, First: from.Sequence + 1, Records: records, Before: from.Link}
	head, err := c.walk(key, nil)
	if err != nil {
		return Chunk{}, err
	}
	c.After = head.Link
	c.MAC = key.seal(purposeChunk, c.unsealed())
	return c, nil
}

// wholeRecords is the length of the whole records at the beginning of a log, at most limit bytes.
func wholeRecords(log []byte, limit int) (total int) {
	for {
		n := recordLength(log[total:])
		if n == 0 || total+n > min(len(log), limit) {
			return total
		}
		total += n
	}
}

func (c *Chunk) unsealed() []byte {
	b := make([]byte, chunkHeader, chunkHeader+len(c.Records)+macBytes)
	copy(b, chunkMagic)
	copy(b[atChunkDevice:atChunkFirst], c.Device)
	binary.BigEndian.PutUint64(b[atChunkFirst:], c.First)
	copy(b[atChunkBefore:], c.Before[:])
	copy(b[atChunkAfter:], c.After[:])
	binary.BigEndian.PutUint32(b[atChunkLength:], uint32(len(c.Records)))
	return append(b, c.Records...)
}

// EncodeChunk is the chunk as it travels.
func EncodeChunk(c Chunk) []byte { return append(c.unsealed(), c.MAC[:]...) }

// ParseChunk reads a chunk. It checks shape alone; Verify checks where it comes from. Records aliases b.
func ParseChunk(b []byte) (Chunk, error) {
	if len(b) < chunkHeader+macBytes || string(b[:len(chunkMagic)]) != chunkMagic {
		return Chunk{}, fmt.Errorf("no chunk begins here: %w", ErrChunk)
	}
	n := binary.BigEndian.Uint32(b[atChunkLength:])
	if n > MaxChunk {
		return Chunk{}, fmt.Errorf("%d bytes of records: %w", n, ErrChunk)
	}
	if want := chunkHeader + int(n) + macBytes; len(b) != want {
		return Chunk{}, fmt.Errorf("%d bytes, %d are named: %w", len(b), want, ErrChunk)
	}
	device, err := parseDevice(b[atChunkDevice:atChunkFirst])
	if err != nil {
		return Chunk{}, err
	}
	c := Chunk{
		Device: device, First: binary.BigEndian.Uint64(b[atChunkFirst:]), Records: b[chunkHeader : chunkHeader+int(n)],
		Before: Link(b[atChunkBefore:atChunkAfter]), After: Link(b[atChunkAfter:atChunkLength]), MAC: [macBytes]byte(b[chunkHeader+int(n):]),
	}
	if c.First == 0 || n == 0 || wholeRecords(c.Records, MaxChunk) != int(n) {
		return Chunk{}, fmt.Errorf("records are not whole, or none: %w", ErrChunk)
	}
	return c, nil
}

// parseDevice reads a name that zeros fill up.
func parseDevice(b []byte) (string, error) {
	name := string(bytes.TrimRight(b, "\x00"))
	if !validDevice(name) {
		return "", fmt.Errorf("device %q: %w", name, ErrChunk)
	}
	return name, nil
}

func validDevice(name string) bool {
	return name != "" && len(name) <= MaxDevice && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Verify checks that the device whose key this is made the chunk as it is, and that its records are a piece of the device's chain. visit,
// which may be nil, is called for each record, in order; on an error it may have been called for some. The Head is that of the last record.
// An error wraps ErrForged: made without the key or changed; or ErrBroken: made with the key, and still no piece of a log.
func (c Chunk) Verify(key ChainKey, visit func(Record)) (Head, error) {
	if _, err := key.unseal(purposeChunk, EncodeChunk(c)); err != nil {
		return Head{}, fmt.Errorf("chunk of %s from record %d: %w", c.Device, c.First, err)
	}
	head, err := c.walk(key, visit)
	if err != nil {
		return Head{}, err
	}
	if head.Link != c.After {
		return Head{}, fmt.Errorf("chunk of %s from record %d ends with another link: %w", c.Device, c.First, ErrBroken)
	}
	return head, nil
}

// walk verifies the records, and that all are the device's own.
func (c *Chunk) walk(key ChainKey, visit func(Record)) (Head, error) {
	stranger := ""
	head, broken := Verify(c.Records, key, Head{Sequence: c.First - 1, Link: c.Before}, func(r Record) {
		if r.Device != c.Device {
			stranger = r.Device
		}
		if visit != nil {
			visit(r)
		}
	})
	switch {
	case broken != nil:
		return Head{}, fmt.Errorf("chunk of %s from record %d: %v: %w", c.Device, c.First, broken, ErrBroken)
	case stranger != "":
		return Head{}, fmt.Errorf("chunk of %s has records of %q: %w", c.Device, stranger, ErrBroken)
	}
	return head, nil
}
