package card

import (
	"context"
	"fmt"

	"tapnet/apdu"
)

// Field holds a card to a reader's antenna, or in its slot. It is an apdu.Transceiver, and it can take the card away at a chosen
// moment: between two commands, or just before or after a write to the card's memory.
type Field struct {
	card    *Card
	on      Interface
	present bool

	commands, commits        int // since the card was last presented
	tearCommand, tearAnswer  int // 1 for the first; 0: never
	tearBefore, tearAfterOne int
	fed                      bool // see Feed
}

var _ apdu.Transceiver = (*Field)(nil)

// NewField presents the card.
func NewField(c *Card) *Field { return newField(c, Contactless) }

// NewSlot inserts the card into a contact reader.
func NewSlot(c *Card) *Field { return newField(c, Contact) }

func newField(c *Card, on Interface) *Field {
	f := &Field{card: c, on: on}
	f.Present()
	return f
}

// Present puts the card (back) into the field or slot: it starts anew from what its memory holds. Tears that were asked for before
// are forgotten. A card that does not have the interface is not there.
func (f *Field) Present() {
	*f = Field{card: f.card, on: f.on, fed: f.fed}
	f.card.faultHook = f.fault
	f.present = f.card.PowerOn(f.on) != nil
}

// Remove takes the card away.
func (f *Field) Remove() {
	f.present = false
	f.card.PowerOff()
}

// Feed: the carrier has power of its own, as a phone does. A write that has begun then comes to its end although the card has left; the
// answer is lost all the same.
func (f *Field) Feed() { f.fed = true }

// TearBeforeCommand takes the card away before it hears command n, counted from 1 since it was presented.
func (f *Field) TearBeforeCommand(n int) { f.tearCommand = n }

// TearAfterCommand takes the card away after it has handled command n and before the reader hears the answer.
func (f *Field) TearAfterCommand(n int) { f.tearAnswer = n }

// TearBeforeCommit takes the power away just before write n becomes durable.
func (f *Field) TearBeforeCommit(n int) { f.tearBefore = n }

// TearAfterCommit takes the power away just after write n has become durable, before the answer.
func (f *Field) TearAfterCommit(n int) { f.tearAfterOne = n }

// Commits is the number of writes since the card was presented.
func (f *Field) Commits() int { return f.commits }

// Commands is the number of commands since the card was presented.
func (f *Field) Commands() int { return f.commands }

// fault is asked before and after each write.
func (f *Field) fault(before bool) bool {
	if before {
		f.commits++
		return f.commits == f.tearBefore && !f.fed
	}
	return f.commits == f.tearAfterOne || f.commits == f.tearBefore && f.fed
}

// Transceive implements apdu.Transceiver.
func (f *Field) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	if !f.present {
		return nil, apdu.ErrCardLost
	}
	f.commands++
	if f.commands == f.tearCommand {
		f.Remove()
		return nil, apdu.ErrCardLost
	}
	response, err := f.card.Process(command)
	if err != nil || f.commands == f.tearAnswer {
		f.Remove()
		return nil, apdu.ErrCardLost
	}
	return response, nil
}
