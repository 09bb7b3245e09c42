// Package apdu reads and writes the messages between a card and a reader: [ISO 7816-4 5.1], with the commands of
// [EMV B3 6.5] and the status words of [REF 3.2].
//
// Promise: short APDUs of cases 1 to 4, strict and without panic on any input; an accepted APDU re-encodes to the
// same bytes. Not here: extended length, logical channels, the transmission protocols below, what a command means.
package apdu

import (
	"context"
	"errors"
	"fmt"
)

// ErrFormat is wrapped when bytes are no short APDU, or a command cannot be written as one.
var ErrFormat = errors.New("malformed APDU")

// ErrCardLost is wrapped by a Transceiver when the card left the field.
var ErrCardLost = errors.New("card left the field")

const (
	swBytes          = 2
	maxResponseBytes = MaxLe + swBytes
)

// Transceiver sends one command to a card and returns its response, both as on the wire. An error means that the
// card is gone (it wraps ErrCardLost) or the reader is in trouble; a refusal by the card is a status word.
type Transceiver interface {
	Transceive(ctx context.Context, command []byte) (response []byte, err error)
}

// Response is a response APDU.
type Response struct {
	Data []byte // at most MaxLe bytes
	SW   SW
}

// ParseResponse reads a response of 2 to 258 bytes. Data aliases b; it is empty when there is none.
// The error wraps ErrFormat.
func ParseResponse(b []byte) (Response, error) {
	if len(b) < swBytes || len(b) > maxResponseBytes {
		return Response{}, fmt.Errorf("parse response APDU of %d bytes, want %d to %d: %w", len(b), swBytes, maxResponseBytes, ErrFormat)
	}
	end := len(b) - swBytes
	return Response{Data: b[:end:end], SW: SW(b[end])<<8 | SW(b[end+1])}, nil
}

// Check reports whether the response can be written. The error wraps ErrFormat.
func (r Response) Check() error {
	if len(r.Data) > MaxLe {
		return fmt.Errorf("response with %d data bytes, want at most %d: %w", len(r.Data), MaxLe, ErrFormat)
	}
	return nil
}

// AppendTo appends the response as sent. It panics when Check would refuse the response.
func (r Response) AppendTo(dst []byte) []byte {
	if err := r.Check(); err != nil {
		panic("apdu: " + err.Error())
	}
	dst = append(dst, r.Data...)
	return r.SW.Append(dst)
}

// Bytes returns the response as sent. It panics when Check would refuse the response.
func (r Response) Bytes() []byte { return r.AppendTo(make([]byte, 0, len(r.Data)+swBytes)) }

// String gives the status word and the length of the data, never the data, which may hold an account number.
func (r Response) String() string { return fmt.Sprintf("%s data %d", r.SW, len(r.Data)) }

// GoString keeps the data out of %#v as well.
func (r Response) GoString() string { return "apdu.Response{" + r.String() + "}" }
