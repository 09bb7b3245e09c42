package iso8583

import (
	"errors"
	"strconv"
)

// What can be wrong with a message; always inside a *FieldError.
var (
	ErrTruncated = errors.New("stops short")
	ErrLength    = errors.New("length not allowed")
	ErrContent   = errors.New("character or value not allowed")
	ErrPadding   = errors.New("padding is not zero")
	ErrUndefined = errors.New("field not defined in this dialect")
	ErrDialect   = errors.New("message belongs to another dialect")
	ErrTrailing  = errors.New("bytes after the last field")
)

// Numbers a FieldError uses for the parts of a message that are not fields.
const (
	MTIField    = 0  // the message type indicator
	BitmapField = 1  // the bitmaps
	EndField    = -1 // behind the last field
)

// UnknownOffset is the offset of a FieldError that is not about received bytes.
const UnknownOffset = -1

// FieldError tells which field is wrong and where its first byte lies, counted from the message type indicator.
// It never holds content.
type FieldError struct {
	Field  int
	Offset int
	Err    error
}

// Error reads "field 55 (offset 131): stops short".
func (e *FieldError) Error() string {
	name := "field " + strconv.Itoa(e.Field)
	switch e.Field {
	case MTIField:
		name = "message type"
	case BitmapField:
		name = "bitmap"
	case EndField:
		name = "message end"
	}
	if e.Offset != UnknownOffset {
		name += " (offset " + strconv.Itoa(e.Offset) + ")"
	}
	return name + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldError(field, offset int, err error) error {
	return &FieldError{Field: field, Offset: offset, Err: err}
}
