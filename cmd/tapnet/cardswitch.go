package main

import (
	"context"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type cardSwitchCommand struct {
	Name  string `arg:"" help:"${card_name}"`
	What  string `arg:"" help:"${card_switch_what}"`
	State string `arg:"" enum:"on,off" help:"${card_switch_state}"`
	dataFlag
}

// Run switches a function of a card. The answer is no when the card does not have it, or when it must stay.
func (c cardSwitchCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		r, err := world.SwitchCard(ctx, app.SwitchRequest{Card: c.Name, What: c.What, On: c.State == "on"})
		if err != nil {
			return unknownName(err, c.Name, "")
		}
		if !r.Done {
			s.code = exitNo
		}
		if s.json {
			return s.printJSON(s.out, map[string]any{"card": r.Card, "what": r.What, "on": r.On, "done": r.Done, "name": s.text(r.Name), "why": s.text(r.Why)})
		}
		if !r.Done {
			s.explain(s.out, &problem{what: lang.Fill(lang.SwitchNot, r.Card), why: r.Why, next: lang.SwitchNext})
			return nil
		}
		state := map[bool]glossary.Term{true: lang.SwitchIsOn, false: lang.SwitchIsOff}[r.On]
		s.line(s.screen.Mark(true) + " " + s.text(state, r.Card, r.Name))
		return nil
	})
}
