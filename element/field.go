package element

import (
	"context"
	"fmt"

	"tapnet/apdu"
	"tapnet/card"
)

// Field holds an element to a reader, or connects it with the host: an apdu.Transceiver for one side.
type Field struct {
	element *Element
	side    card.Interface
	present bool
}

var _ apdu.Transceiver = (*Field)(nil)

// NewField presents an element to a reader's antenna.
func NewField(e *Element) *Field { return newField(e, card.Contactless) }

// NewHost connects the element with the phone's own software.
func NewHost(e *Element) *Field { return newField(e, card.Contact) }

func newField(e *Element, side card.Interface) *Field {
	f := &Field{element: e, side: side}
	f.Present()
	return f
}

// Present powers the element (again): it starts from what its memory holds.
func (f *Field) Present() { f.present = f.element.PowerOn(f.side) }

// Remove takes it away.
func (f *Field) Remove() {
	f.present = false
	f.element.PowerOff()
}

// Transceive implements apdu.Transceiver.
func (f *Field) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	if !f.present {
		return nil, apdu.ErrCardLost
	}
	response, err := f.element.Process(command)
	if err != nil {
		f.Remove()
		return nil, apdu.ErrCardLost
	}
	return response, nil
}
