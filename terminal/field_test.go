package terminal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// counter gives unpredictable numbers that never repeat and are the same in every run.
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		c.n++
		b[i] = c.n
	}
	return len(b), nil
}

func yuan(minor int64) money.Amount { return money.New(minor, money.CNY) }

// config is an e-cash terminal: offline up to 50 yuan, online above, verification from 1000 yuan on.
func config(issued *cardtest.Issued) terminal.Config {
	return terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: new(counter),
		Combinations: []terminal.Combination{{
			AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(5000), CVM: yuan(100_000), ZeroAllowed: true, StatusCheck: true},
		}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, MerchantName: "CANTEEN ONE",
			SerialNumber: "00000001", CAKeys: issued.CAKeys},
	}
}

// onlineConfig asks the issuer about everything.
func onlineConfig(issued *cardtest.Issued) terminal.Config {
	c := config(issued)
	c.Combinations[0].Limits.Floor = yuan(0)
	return c
}

func newTerminal(t testing.TB, c terminal.Config) *terminal.Terminal {
	t.Helper()
	term, err := terminal.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func request(minor int64) terminal.Request {
	return terminal.Request{Amount: yuan(minor), Other: yuan(0), Now: cardtest.Today, Counter: 1}
}

func tap(t testing.TB, term *terminal.Terminal, reader apdu.Transceiver, r terminal.Request) terminal.Result {
	t.Helper()
	result, err := term.Tap(context.Background(), reader, r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func retap(t testing.TB, term *terminal.Terminal, reader apdu.Transceiver, torn *terminal.Torn, after time.Duration) terminal.Result {
	t.Helper()
	result, err := term.Retap(context.Background(), reader, torn, cardtest.Today.Add(after))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func want(t testing.TB, r terminal.Result, kind kernel.OutcomeKind, why kernel.Reason) {
	t.Helper()
	if r.Outcome.Kind != kind || r.Outcome.Reason != why {
		t.Errorf("%v, %q (%v), want %v, %q", r.Outcome.Kind, r.Outcome.Reason, r.Outcome.Detail, kind, why)
	}
}

func balance(c *card.Card) int64 {
	s := c.State()
	return s.Applications[0].Purses[0].Balance
}

// through passes commands on and lets a test change the answers.
type through struct {
	to     apdu.Transceiver
	change func(command apdu.Command, response []byte) []byte
	sent   int
}

func (x *through) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	x.sent++
	response, err := x.to.Transceive(ctx, command)
	if err != nil || x.change == nil {
		return response, err
	}
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	response = x.change(c, bytes.Clone(response))
	if response == nil {
		return nil, apdu.ErrCardLost
	}
	return response, nil
}

// reply is a card made of a function; a nil answer: gone.
type reply func(c apdu.Command) []byte

func (f reply) Transceive(_ context.Context, command []byte) ([]byte, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	if b := f(c); b != nil {
		return b, nil
	}
	return nil, apdu.ErrCardLost
}

var errReader = errors.New("reader unplugged")

// broken is a reader that fails at command n, counted from 1.
type broken struct {
	to apdu.Transceiver
	n  int
}

func (b *broken) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if b.n--; b.n == 0 {
		return nil, errReader
	}
	return b.to.Transceive(ctx, command)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
