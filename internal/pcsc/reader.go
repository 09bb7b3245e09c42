package pcsc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"tapnet/apdu"
	"tapnet/terminal"
)

// Reader is one reader of the machine with the card in it, for one program: a terminal.Reader, and an apdu.Transceiver. It may be used
// by several goroutines; one command runs at a time.
type Reader struct {
	config Config
	name   string

	mu       sync.Mutex
	client   *client // nil: not connected
	card     uint32
	protocol Protocol
}

var (
	_ terminal.Reader  = (*Reader)(nil)
	_ apdu.Transceiver = (*Reader)(nil)
)

// NewReader names a reader, as Choose gave it. Nothing happens before Connect.
func NewReader(config Config, name string) *Reader {
	return &Reader{config: config.filled(), name: name}
}

// Name is the reader's name.
func (r *Reader) Name() string { return r.name }

// Protocol is what the card speaks, zero while no card is connected.
func (r *Reader) Protocol() Protocol {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.protocol
}

// Connect powers the card and takes it for this program alone: a payment that shares its card could be torn by anybody. It returns the
// answer to reset.
func (r *Reader) Connect() (atr []byte, err error) { return r.ConnectContext(context.Background()) }

// ConnectContext is Connect with an end from outside.
func (r *Reader) ConnectContext(ctx context.Context) (atr []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget() // connecting again resets the card: the daemon does when its holder goes
	if len(r.name) >= MaxReaderNameBytes {
		return nil, failure("connect to the card", UnknownReader, fmt.Errorf("the name has %d bytes, at most %d", len(r.name), MaxReaderNameBytes-1))
	}
	c, err := dial(ctx, r.config)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx, c); err != nil {
		c.drop()
		return nil, err
	}
	states, err := c.states(ctx)
	if err != nil {
		r.forget()
		return nil, err
	}
	for _, s := range states {
		if s.Name == r.name {
			return s.ATR, nil
		}
	}
	r.forget()
	return nil, failure("connect to the card", ReaderUnavailable, nil)
}

// connect opens the context and the card in it.
func (r *Reader) connect(ctx context.Context, c *client) error {
	const doing = "connect to the card"
	const shareExclusive = 1
	if err := c.establish(ctx); err != nil {
		return err
	}
	body := words(make([]byte, 0, connectBytes), c.context)
	var name [MaxReaderNameBytes]byte
	copy(name[:], r.name)
	body = words(append(body, name[:]...), shareExclusive, uint32(T0|T1), 0, 0, 0)
	answer, err := c.callWithin(ctx, doing, request(commandConnect, body), connectBytes, r.config.CardWithin)
	if err != nil {
		return err
	}
	numbers := answer[wordBytes+MaxReaderNameBytes:]
	if code := Code(word(numbers, 4)); code != 0 {
		return failure(doing, code, nil)
	}
	card, protocol := word(numbers, 2), Protocol(word(numbers, 3))
	if protocol != T0 && protocol != T1 {
		return failure(doing, ProtocolMismatch, fmt.Errorf("the daemon chose %v", protocol))
	}
	r.client, r.card, r.protocol = c, card, protocol
	return nil
}

// forget drops the connection without a word to the card.
func (r *Reader) forget() {
	if r.client != nil {
		r.client.drop()
	}
	r.client, r.card, r.protocol = nil, 0, 0
}

// Disconnect takes the power from the card and lets it go. Without a card it does nothing.
func (r *Reader) Disconnect() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return nil
	}
	const doing = "let the card go"
	const unpower = 2
	ctx, c, card := context.Background(), r.client, r.card
	r.client, r.card, r.protocol = nil, 0, 0
	answer, err := c.callWithin(ctx, doing, request(commandDisconnect, words(nil, card, unpower, 0)), closeBytes, r.config.CardWithin)
	if err != nil {
		return err
	}
	if code := Code(word(answer, 2)); code != 0 && !code.lost() { // a card that is gone already is let go
		c.drop()
		return failure(doing, code, nil)
	}
	return c.close(ctx)
}

// Transmit sends one command APDU and returns the response of 2 to 258 bytes. 61xx and 6Cxx are left to the caller.
func (r *Reader) Transmit(command []byte) (response []byte, err error) {
	return r.send(context.Background(), command)
}

// Transceive implements apdu.Transceiver. 61xx and 6Cxx are answered here [EMV B1 9.3].
func (r *Reader) Transceive(ctx context.Context, command []byte) (response []byte, err error) {
	return terminal.WholeAnswers(plain{r}).Transceive(ctx, command)
}

func (r *Reader) send(ctx context.Context, command []byte) (response []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return nil, failure("send a command", UnpoweredCard, errors.New("no card is connected"))
	}
	command, err = shaped(command, r.protocol)
	if err != nil {
		return nil, err
	}
	return r.transmit(ctx, command)
}

// transmit sends one command to the card as it stands.
func (r *Reader) transmit(ctx context.Context, command []byte) (response []byte, err error) {
	const doing = "send a command"
	message := make([]byte, 0, headerBytes+transmitBytes+len(command))
	message = words(message, transmitBytes, uint32(commandTransmit),
		r.card, uint32(r.protocol), pciBytes, uint32(len(command)), uint32(r.protocol), pciBytes, maxAnswerBytes, 0)
	message = append(message, command...)
	c := r.client
	g := c.guard(ctx, r.config.CardWithin)
	defer g.stop()
	if _, err := c.conn.Write(message); err != nil {
		r.forget()
		return nil, g.broken(doing, err)
	}
	if _, err := io.ReadFull(c.in, c.scratch[:]); err != nil {
		r.forget()
		return nil, g.broken(doing, err)
	}
	t, err := decodeTransmitted(c.scratch[:])
	if err != nil {
		r.forget()
		return nil, failure(doing, ServiceStopped, err)
	}
	if t.code != 0 {
		return nil, failure(doing, t.code, nil)
	}
	response = make([]byte, t.length)
	if _, err := io.ReadFull(c.in, response); err != nil {
		r.forget()
		return nil, g.broken(doing, err)
	}
	return response, nil
}
