package terminal_test

import (
	"context"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/kernel"
	"tapnet/terminal"
)

// BenchmarkECashTap is a whole offline payment: card and terminal. Goal: 2 ms.
func BenchmarkECashTap(b *testing.B) {
	c, issued := cardtest.New(b, cardtest.Options{Change: func(im *card.Image) {
		p := &im.State.Applications[0].Purses[0]
		p.Balance, p.BalanceLimit = card.MaxMinor/2, card.MaxMinor
	}})
	term := newTerminal(b, config(issued))
	field := card.NewField(c)
	b.ReportAllocs()
	for b.Loop() {
		field.Present()
		r, err := term.Tap(context.Background(), field, request(150))
		if err != nil || r.Outcome.Kind != kernel.Approved {
			if atc, _ := r.Outcome.ATC(); atc > 0xFFF0 { // the card is used up: the next one
				b.StopTimer()
				c, _ = cardtest.New(b, cardtest.Options{})
				field = card.NewField(c)
				b.StartTimer()
				continue
			}
			b.Fatal(r.Outcome.Kind, r.Outcome.Reason, err)
		}
	}
}

// player answers by heart, as fast as can be.
type player struct {
	lines []exchange
	next  int
}

func (p *player) Transceive(context.Context, []byte) ([]byte, error) {
	line := p.lines[p.next]
	p.next++
	return line.answer, nil
}

var _ apdu.Transceiver = (*player)(nil)

// benchmarkTerminal is the terminal's share of BenchmarkECashTap: the card's answers are read from a session. Goal: 100 µs.
func benchmarkTerminal(b *testing.B, session string, cache kernel.KeyCache) {
	x, _ := readTape(b, sessionPath(session))
	_, issued := cardtest.New(b, cardtest.Options{})
	cfg := config(issued)
	cfg.Kernel.Cache = cache
	random := new(counter)
	cfg.Random = random
	term, err := terminal.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	p := &player{lines: x.lines}
	b.ReportAllocs()
	for b.Loop() {
		p.next, random.n = 0, 0
		r, err := term.Tap(context.Background(), p, request(1250))
		if err != nil || r.Outcome.Kind != kernel.Approved {
			b.Fatal(r.Outcome.Kind, r.Outcome.Reason, err)
		}
	}
}

func BenchmarkTerminalShare(b *testing.B) { benchmarkTerminal(b, "ecash", nil) }
func BenchmarkTerminalShareCached(b *testing.B) {
	benchmarkTerminal(b, "ecash", new(kernel.MemoryCache))
}
func BenchmarkTerminalShareLongKey(b *testing.B) { benchmarkTerminal(b, "ecash-long-key", nil) }
