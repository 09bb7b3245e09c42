package app

import (
	"context"
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
)

// Snapshot is what verify checks: every journal of this process with its books, and what the chips say.
func (n *Network) Snapshot(ctx context.Context) (verify.Snapshot, error) {
	s := verify.Snapshot{Calendar: calendar(), Quiet: true, At: n.options.Clock.Now()}
	add := func(role, name string, node *node, book func() *ledger.Book) error {
		rows, err := node.rows(ctx)
		if err != nil {
			return fmt.Errorf("journal of %s: %w", node.name, err)
		}
		member := verify.Member{Role: role, Name: name, Rows: rows}
		if book != nil {
			member.Balances = map[ledger.Account]ledger.Balance{}
			err = node.look(ctx, func() {
				for line := range book().Lines() {
					member.Balances[line.Account] = line.Balance
				}
			})
		}
		s.Members = append(s.Members, member)
		return err
	}
	for _, i := range n.options.Profile.Issuers {
		if node := n.issuers[i.Institution]; node != nil {
			if err := add(verify.Issuer, i.Institution, node.node, node.core.Book); err != nil {
				return s, err
			}
		}
	}
	if n.interchange != nil {
		if err := add(verify.Switch, n.options.Profile.Switch, n.interchange, nil); err != nil {
			return s, err
		}
	}
	if n.acquirer != nil {
		if err := add(verify.Acquirer, n.options.Profile.Acquirer.Institution, n.acquirer.node, n.acquirer.core.Book); err != nil {
			return s, err
		}
	}
	for _, m := range n.options.Profile.Merchants {
		if node := n.tills[m.Name]; node != nil {
			if err := add(verify.Till, m.Terminal, node.node, nil); err != nil {
				return s, err
			}
		}
	}
	for _, spec := range n.specs() {
		h, _ := n.holderNamed(spec.Name)
		h.mu.Lock()
		application := h.state().Applications[0]
		h.mu.Unlock()
		s.Cards = append(s.Cards, verify.CardState{
			Issuer: spec.Issuer, Card: h.personal.Record.Card, ATC: application.ATC, PurseMinor: application.Purses[0].Balance,
		})
	}
	return s, nil
}

// invariants tries every law on a snapshot.
func invariants(s verify.Snapshot) []DemoInvariant {
	var out []DemoInvariant
	for _, law := range verify.Invariants() {
		ok, detail := law.Check(&s)
		if ok && detail.EN == "" {
			detail = glossary.Term{EN: "holds", ZH: "成立"}
		}
		out = append(out, DemoInvariant{Name: law.Name, Title: law.Title, OK: ok, Detail: detail})
	}
	return out
}
