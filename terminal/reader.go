package terminal

import (
	"context"
	"errors"
	"fmt"

	"tapnet/apdu"
)

// Reader is a card reader that is really there, or pretends to be: PC/SC, a virtual reader, a simulated slot. One goroutine uses
// it at a time.
type Reader interface {
	// Name is what the system calls the reader.
	Name() string
	// Connect powers the card and returns its answer to reset, or what the reader makes of a contactless card's answer. A reader
	// without a card returns an error that wraps ErrNoCard. Connecting again resets the card.
	Connect() (atr []byte, err error)
	// Transmit sends one command APDU and returns the response APDU: 2 to 258 bytes, the status word last. An error that wraps
	// apdu.ErrCardLost says that the card is gone; any other is the reader's trouble.
	Transmit(command []byte) (response []byte, err error)
	// Disconnect takes the power off. It is no error when the card is gone already.
	Disconnect() error
}

// ErrNoCard is wrapped by Connect when there is no card in the reader.
var ErrNoCard = errors.New("no card in the reader")

// OverReader makes a Transceiver of a connected Reader: the terminal's flows talk to Transceivers. It fetches what SW 61xx announces
// and repeats what 6Cxx corrects, so that the flows see whole answers whichever protocol the card speaks [EMV B1 9.3].
func OverReader(r Reader) apdu.Transceiver { return WholeAnswers(bare{r}) }

// bare is a Reader without care for T=0.
type bare struct{ reader Reader }

func (b bare) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("reader %s: %w", b.reader.Name(), err)
	}
	response, err := b.reader.Transmit(command)
	if err != nil {
		return nil, fmt.Errorf("reader %s: %w", b.reader.Name(), err)
	}
	return response, nil
}

// maxPieces bounds the GET RESPONSE commands after one command: an answer is at most 256 bytes, in pieces of one byte at worst, but
// no real card cuts finer than this.
const maxPieces = 16

// WholeAnswers hides how a card with T=0 hands out its answers: 61xx, "more bytes wait", is followed by GET RESPONSE, and 6Cxx,
// "wrong Le", by the same command with the right Le [EMV B1 9.3.1.2]. A card that speaks T=1 never notices.
func WholeAnswers(t apdu.Transceiver) apdu.Transceiver { return &pieces{t} }

type pieces struct{ apdu.Transceiver }

func (p *pieces) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	response, err := p.Transceiver.Transceive(ctx, command)
	if err != nil {
		return nil, err
	}
	r, err := apdu.ParseResponse(response)
	if err != nil {
		return response, nil //nolint:nilerr // what is no response is for the caller to judge
	}
	if le, ok := r.SW.CorrectLe(); ok {
		if response, r, err = p.again(ctx, command, le); err != nil {
			return nil, err
		}
	}
	if _, ok := r.SW.MoreData(); !ok {
		return response, nil
	}
	return p.fetch(ctx, r)
}

// again repeats a command with another Le. A command that cannot be read, or an answer that cannot, ends the repetition.
func (p *pieces) again(ctx context.Context, command []byte, le int) ([]byte, apdu.Response, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, apdu.Response{}, fmt.Errorf("repeat command: %w", err)
	}
	c.Le = le
	response, err := p.Transceiver.Transceive(ctx, c.Bytes())
	if err != nil {
		return nil, apdu.Response{}, err
	}
	r, err := apdu.ParseResponse(response)
	if err != nil {
		return response, apdu.Response{}, nil //nolint:nilerr // as above
	}
	return response, r, nil
}

// fetch collects the pieces of an answer. More than fits one response is cut short with "wrong length".
func (p *pieces) fetch(ctx context.Context, r apdu.Response) ([]byte, error) {
	data := append([]byte(nil), r.Data...)
	for range maxPieces {
		n, more := r.SW.MoreData()
		if !more {
			break
		}
		response, err := p.Transceiver.Transceive(ctx, apdu.GetResponse(n).Bytes())
		if err != nil {
			return nil, err
		}
		if r, err = apdu.ParseResponse(response); err != nil {
			return response, nil //nolint:nilerr // as above
		}
		if le, wrong := r.SW.CorrectLe(); wrong {
			r.SW = apdu.SW(0x6100 | le&0xFF)
		}
		data = append(data, r.Data...)
	}
	if _, more := r.SW.MoreData(); more || len(data) > apdu.MaxLe {
		return apdu.WrongLength.Append(nil), nil
	}
	return r.SW.Append(data), nil
}
