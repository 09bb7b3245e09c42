package pcsc

import (
	"context"
	"fmt"

	"tapnet/apdu"
)

// shaped is a command as the transmission protocol takes it. T=0 has always five bytes or more, and never Lc and Le at once: the card
// announces its answer with 61xx instead. [EMV B1 9.2]
func shaped(command []byte, p Protocol) ([]byte, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, fmt.Errorf("send a command: %w", err)
	}
	if p != T0 {
		return command, nil
	}
	if len(c.Data) > 0 {
		c.Le = apdu.NoLe
	}
	b := c.Bytes()
	const headerOnly = 4
	if len(b) == headerOnly {
		b = append(b, 0)
	}
	return b, nil
}

// plain is a reader without the care for 61xx and 6Cxx.
type plain struct{ reader *Reader }

// Transceive implements apdu.Transceiver.
func (p plain) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	return p.reader.send(ctx, command)
}
