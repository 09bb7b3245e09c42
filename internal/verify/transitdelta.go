package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// A delta of the deny list as it stands in rows, numbers little endian: a header, the changes in order of hash, a signature.
const (
	deltaMagic      = "TNDLDLT1"
	deltaEpochAt    = 8
	deltaCountAt    = 12
	deltaSequenceAt = 16
	deltaCreatedAt  = 24
	deltaUntilAt    = 32
	deltaPreviousAt = 40
	deltaSignerAt   = deltaPreviousAt + sha256.Size
	deltaSigner     = 8
	deltaHeader     = deltaSignerAt + deltaSigner
	deltaLine       = 16 // hash, kind, reason, last day, removal, three octets of zero
	deltaPurpose    = "tapnet denylist delta 1\x00"
	deltaFormat     = "d/%020d" // its row's key

	// deltaFull is how many changes a delta has before the rest goes into the next one.
	deltaFull = 3000
)

// transitDelta is one delta, read from its description.
type transitDelta struct {
	epoch          uint32
	sequence       uint64
	created, until time.Time
	previous       [sha256.Size]byte
	digest         [sha256.Size]byte
	signer         [deltaSigner]byte
	lines          []deltaChange
	signed, proof  []byte
}

type deltaChange struct {
	hash    uint64
	entry   transitListing
	removal uint8
}

// readDelta reads one; what is wrong with it in words, nothing when it can be read to its end.
func readDelta(b []byte) (d transitDelta, wrong string) {
	if len(b) < deltaHeader+ed25519.SignatureSize || string(b[:len(deltaMagic)]) != deltaMagic {
		return d, "no delta of this format"
	}
	little := binary.LittleEndian
	count := uint64(little.Uint32(b[deltaCountAt:]))
	if uint64(len(b)) != deltaHeader+count*deltaLine+ed25519.SignatureSize {
		return d, fmt.Sprintf("%d octets for %d changes", len(b), count)
	}
	d.epoch, d.sequence = little.Uint32(b[deltaEpochAt:]), little.Uint64(b[deltaSequenceAt:])
	d.created, d.until = time.Unix(int64(little.Uint64(b[deltaCreatedAt:])), 0), time.Unix(int64(little.Uint64(b[deltaUntilAt:])), 0)
	d.previous, d.signer = [sha256.Size]byte(b[deltaPreviousAt:]), [deltaSigner]byte(b[deltaSignerAt:])
	d.signed, d.proof = b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	d.digest = sha256.Sum256(d.signed)
	for lines := d.signed[deltaHeader:]; len(lines) > 0; lines = lines[deltaLine:] {
		c := deltaChange{hash: little.Uint64(lines), entry: transitListing{kind: lines[8], reason: lines[9], until: little.Uint16(lines[10:])}, removal: lines[12]}
		switch {
		case !bytes.Equal(lines[13:deltaLine], []byte{0, 0, 0}), c.removal >= removalEnd, c.removal != 0 && c.entry != transitListing{},
			c.removal == 0 && !c.entry.possible():
			return d, fmt.Sprintf("change %d that says what no entry can", len(d.lines))
		case len(d.lines) > 0 && d.lines[len(d.lines)-1].hash >= c.hash:
			return d, fmt.Sprintf("change %d out of order", len(d.lines))
		}
		d.lines = append(d.lines, c)
	}
	return d, ""
}
