package unionpay

import (
	"encoding/binary"
	"fmt"

	"tapnet/tlv"
)

// TransitUse is what a transit operator asks an issuer for.
type TransitUse byte

// The uses. The zero value: none.
const (
	TransitVerify TransitUse = 1 // whether the card that opened a gate is good
	TransitFares  TransitUse = 2 // the fares of one or more rides, added up
	TransitDebt   TransitUse = 3 // the same, refused before
	transitUseEnd TransitUse = 4
)

// Transit is the indicator of a payment for rides that were taken before it was asked for: the chip has signed a nominal amount or nothing at a gate, and
// field 4 is what the rides came to. It is no secret.
type Transit struct {
	Use TransitUse
	// Ridden is the service day of the first ride, yyyymmdd.
	Ridden int32
}

// transitTag holds use 1 ‖ day 4 (binary) in field 59. No public source has the domestic format: place and tag are ours.
const transitTag tlv.Tag = 0xC1

const transitBytes = 5

// IsZero reports whether there is none.
func (t Transit) IsZero() bool { return t.Use == 0 }

// AppendTransit puts the indicator behind what field 59 holds already.
func AppendTransit(detail Opaque, t Transit) Opaque {
	return Opaque(tlv.Append([]byte(detail), transitTag, binary.BigEndian.AppendUint32([]byte{byte(t.Use)}, uint32(t.Ridden))))
}

// TransitOf reads it out of field 59: the zero value when there is none. The error wraps ErrContent.
func TransitOf(detail Opaque) (Transit, error) {
	value, found := tlv.Find([]byte(detail), transitTag)
	if !found {
		return Transit{}, nil
	}
	if len(value) != transitBytes || value[0] == 0 || value[0] >= byte(transitUseEnd) {
		return Transit{}, fmt.Errorf("transit indicator: %w", ErrContent)
	}
	const lastDay = 99991231
	ridden := binary.BigEndian.Uint32(value[1:])
	if ridden == 0 || ridden > lastDay {
		return Transit{}, fmt.Errorf("transit indicator: %w", ErrContent)
	}
	return Transit{TransitUse(value[0]), int32(ridden)}, nil
}
