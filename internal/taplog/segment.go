package taplog

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tapnet/gate"
)

// A segment: its beginning, the head of the chain before its first record, then records.
const (
	segmentMagic  = "TAPSEGM1"
	segmentPrefix = "tap-"
	atSequence    = 8
	atLink        = atSequence + 8
	segmentHeader = atLink + 32
)

// segment is one file as the log knows it.
type segment struct {
	from gate.Head
	to   gate.Head
	size int64     // durable bytes of records, header not counted
	last time.Time // of the last record
}

func (s *segment) name() string { return segmentName(s.from.Sequence) }

func segmentName(after uint64) string { return fmt.Sprintf("%s%016x", segmentPrefix, after) }

// parseSegmentName gives false for other files.
func parseSegmentName(name string) (after uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	after, err := strconv.ParseUint(digits, 16, 64)
	return after, err == nil && segmentName(after) == name
}

func encodeHeader(from gate.Head) []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	binary.BigEndian.PutUint64(b[atSequence:], from.Sequence)
	copy(b[atLink:], from.Link[:])
	return b
}

func parseHeader(b []byte) (gate.Head, bool) {
	if len(b) < segmentHeader || string(b[:len(segmentMagic)]) != segmentMagic {
		return gate.Head{}, false
	}
	return gate.Head{Sequence: binary.BigEndian.Uint64(b[atSequence:]), Link: gate.Link(b[atLink:segmentHeader])}, true
}

// begins reports whether a head is the beginning of a chain and not its continuation.
func begins(h gate.Head) bool { return h.Link == gate.Link{} }
