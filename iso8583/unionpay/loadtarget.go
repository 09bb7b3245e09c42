package unionpay

import (
	"fmt"

	"tapnet/emv"
	"tapnet/pan"
	"tapnet/tlv"
)

// NewLoadTarget is field 48 of a load from another account: field 2 is the card that pays, tag 5A in field 48 the card that is loaded [REF 5]. The sources
// say that the number stands there, not how.
func NewLoadTarget(n pan.Number) Opaque { return Opaque(tlv.Append(nil, emv.TagPAN, n.BCD())) }

// LoadTarget is the card that is loaded. Errors wrap ErrContent and hold no number.
func LoadTarget(additional Opaque) (pan.Number, error) {
	value, found := tlv.Find([]byte(additional), emv.TagPAN)
	if !found {
		return pan.Number{}, fmt.Errorf("load target: %w", ErrContent)
	}
	n, err := pan.FromBCD(value)
	if err != nil {
		return pan.Number{}, fmt.Errorf("load target: %w", ErrContent)
	}
	return n, nil
}
