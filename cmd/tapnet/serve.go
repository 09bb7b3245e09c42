package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"tapnet/explain"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/vpcd"
)

type cardServeCommand struct {
	VPCD        string `name:"vpcd" required:"" placeholder:"HOST:PORT" help:"${card_serve_vpcd}"`
	Card        string `placeholder:"NAME" help:"${card_serve_card}"`
	Contactless bool   `help:"${card_serve_contactless}"`
	Contact     bool   `help:"${card_serve_contact}"`
	T1          bool   `name:"t1" help:"${card_serve_t1}"`
	Show        bool   `help:"${card_serve_show}"`
	dataFlag
}

// Run keeps the card in the reader until it is told to stop.
func (c cardServeCommand) Run(ctx context.Context, s *session) (err error) {
	request, err := c.request()
	if err != nil {
		return err
	}
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	if world.throwaway && !s.json {
		for _, line := range lang.Wrap(s.text(lang.ServeThrown, world.dir), s.screen.Columns) {
			fmt.Fprintln(s.err, line)
		}
	}
	if request.Card == "" {
		if request.Card, err = firstCard(ctx, world); err != nil {
			return err
		}
	}
	if !s.json {
		s.say(lang.ServeTitle, request.Card, c.VPCD)
	}
	err = world.ServeCard(ctx, request, func(e app.ServeEvent) { s.printServed(c, e) })
	if err == nil && !s.json {
		s.say(lang.ServeStopped)
	}
	if errors.Is(err, app.ErrNetworkGone) {
		return &problem{code: exitEnvironment, what: lang.ServeGone, next: lang.ServeGoneNext, err: err}
	}
	return unknownName(err, request.Card, "")
}

func (c cardServeCommand) request() (app.ServeRequest, error) {
	r := app.ServeRequest{Card: c.Card, Address: c.VPCD, Form: app.FormContactless}
	switch {
	case c.Contactless && (c.Contact || c.T1):
		return r, &problem{code: exitUsage, what: lang.ServeForms, next: lang.Verbatim("tapnet card serve --help")}
	case c.T1:
		r.Form = app.FormContactT1
	case c.Contact:
		r.Form = app.FormContact
	}
	if _, port, err := net.SplitHostPort(c.VPCD); err != nil || port == "" {
		return r, &problem{code: exitUsage, what: lang.ServeAddress, why: lang.ServeAddrWhy, next: lang.Fill(lang.ServeAddrNext, vpcd.DefaultPort), err: err}
	}
	return r, nil
}

func firstCard(ctx context.Context, world app.World) (string, error) {
	cards, err := world.Cards(ctx)
	if err != nil {
		return "", fmt.Errorf("list the cards: %w", err)
	}
	if len(cards) == 0 {
		return "", &problem{code: exitNo, what: lang.Fill(lang.TapUnknownCard, "?"), next: lang.TapCardNext}
	}
	return cards[0].Name, nil
}

// printServed prints what happens to the card as it happens; for a program one object a line.
func (s *session) printServed(c cardServeCommand, e app.ServeEvent) {
	if e.Kind == app.ServeExchange && !c.Show {
		return
	}
	if s.json {
		_ = s.printJSON(s.out, e) // nowhere to report that standard output is gone
		return
	}
	switch e.Kind {
	case app.ServeWaiting:
		s.because(s.out, lang.Fill(lang.ServeWaits, c.VPCD, e.Reason), lang.ServeHint)
	case app.ServeInserted:
		s.line("  " + s.text(lang.ServeInserted, e.ATR))
	case app.ServeRemoved:
		s.line("  " + s.text(lang.ServeRemoved))
	case app.ServeExchange:
		s.line("    " + explain.Harmless(e.Command) + "  " + e.SW)
	}
}

// median is the middle of an odd number of times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
