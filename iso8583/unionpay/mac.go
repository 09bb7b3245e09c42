package unionpay

import (
	"fmt"

	"tapnet/iso8583"
)

// MACFunc computes the MAC over input: mac.LegacyECB for Terminal, mac.CBC for Switch.
type MACFunc func(input []byte) ([8]byte, error)

// MACInput gives the bytes a MAC covers, type indicator to the last field before it, and the MAC itself, nil when the
// message carries none (then input is the whole message). Both alias body. Only the type indicator and the
// bitmaps are looked at: Decode checks the rest. In both dialects the MAC is the last field and 8 bytes long, so a
// message with bytes behind it or without room for it is told apart by Decode or by a MAC that does not match.
func MACInput(d Dialect, body []byte) (input []byte, mac []byte, err error) {
	_, last, err := SpecOf(d).Outline(body)
	if err != nil {
		return nil, nil, fmt.Errorf("find MAC: %w", err)
	}
	if last != macField(d) {
		return body, nil, nil
	}
	at := len(body) - macBytes
	if at < len(MTI("0000")) {
		return nil, nil, &iso8583.FieldError{Field: last, Offset: len(body), Err: iso8583.ErrTruncated}
	}
	return body[:at], body[at:], nil
}
