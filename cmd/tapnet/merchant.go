package main

import (
	"context"

	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type merchantCommand struct {
	List merchantListCommand `cmd:"" help:"${merchant_list}"`
	Set  merchantSetCommand  `cmd:"" help:"${merchant_set}"`
}

type merchantListCommand struct{ dataFlag }

// Run lists the acquirer's merchants.
func (c merchantListCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		list, err := world.Merchants(ctx)
		if err != nil {
			return err
		}
		if s.json {
			return s.printJSON(s.out, map[string]any{"merchants": list})
		}
		t := &lang.Table{Indent: 1, Gap: 2}
		for _, m := range list {
			t.Row(m.Name, m.Label, m.Category, m.Terminal, m.Currency, s.text(m.Standing))
		}
		s.table(t)
		return nil
	})
}

type merchantSetCommand struct {
	Name  string `arg:"" help:"${merchant_name}"`
	State string `arg:"" enum:"approved,suspended,ended" help:"${merchant_state}"`
	dataFlag
}

// Run changes how a merchant stands. The answer is no where that is not possible.
func (c merchantSetCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		r, err := world.SetMerchant(ctx, app.MerchantRequest{Merchant: c.Name, Standing: c.State})
		if err != nil {
			return unknownName(err, "", c.Name)
		}
		if !r.Done {
			s.code = exitNo
		}
		if s.json {
			return s.printJSON(s.out, map[string]any{"merchant": r.Merchant, "done": r.Done, "standing": s.text(r.Standing), "why": s.text(r.Why)})
		}
		if !r.Done {
			s.explain(s.out, &problem{what: lang.Fill(lang.MerchantStands, r.Merchant, r.Standing), why: r.Why, next: lang.Verbatim("tapnet merchant list")})
			return nil
		}
		s.line(s.screen.Mark(true) + " " + s.text(lang.MerchantStands, r.Merchant, r.Standing))
		return nil
	})
}
