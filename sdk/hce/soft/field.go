package soft

import (
	"context"
	"fmt"

	"tapnet/apdu"
	"tapnet/sdk/hce"
)

// Field is a phone at a reader: an apdu.Transceiver over an engine.
type Field struct {
	engine  *hce.Engine
	elapsed func() int64 // nanoseconds, monotonic
	gone    bool
	buffer  [512]byte
}

var _ apdu.Transceiver = (*Field)(nil)

// NewField holds a phone to a reader. elapsed is the platform's monotonic clock.
func NewField(engine *hce.Engine, elapsed func() int64) *Field {
	return &Field{engine: engine, elapsed: elapsed}
}

// Transceive implements apdu.Transceiver.
func (f *Field) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("phone: %w", err)
	}
	if f.gone {
		return nil, fmt.Errorf("phone: %w", apdu.ErrCardLost)
	}
	n := f.engine.ProcessInto(command, f.buffer[:], f.elapsed())
	if n <= 0 {
		return nil, fmt.Errorf("phone does not answer (%d): %w", n, apdu.ErrCardLost)
	}
	return append([]byte(nil), f.buffer[:n]...), nil
}

// Remove takes the phone out of the field.
func (f *Field) Remove() {
	f.gone = true
	f.engine.Deactivated(0)
}
