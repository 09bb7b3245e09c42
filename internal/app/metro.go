package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tapnet/internal/app/operator"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/transit"
	"tapnet/iso8583/unionpay"
)

// RoleTransit is the back office of a transit operator: the terminal of one of the merchants, and an interface of its own for gates, riders and staff.
const RoleTransit = "transit"

// transitDirectory is the operator's own directory in that of the network: what `transit`, `gate` and `verify` are told as --data.
const transitDirectory = "transit"

// quietList is longer than any story: its lists are published by hand.
const quietList = 30 * 24 * time.Hour

// metroNode is the office of the operator.
type metroNode struct {
	*node
	plan *operator.Plan
	core *transit.Office
	desk *operator.Desk // nil in a network in memory
}

// TransitDir is the directory of the operator that runs in a network's directory.
func TransitDir(dir string) string { return filepath.Join(dir, transitDirectory) }

// startTransit runs the office of the world's transit operator, unless the world has none.
func (n *Network) startTransit(ctx context.Context) error {
	p := n.options.Profile
	if p.Transit.Merchant == "" {
		return nil
	}
	m, known := p.Merchant(p.Transit.Merchant)
	if !known {
		return fmt.Errorf("%w: %q", ErrUnknownMerchant, p.Transit.Merchant)
	}
	acquirer := operator.AcquirerConfig{Institution: p.Acquirer.Institution, Terminal: m.Terminal, Merchant: m.ID}
	plan, err := operator.NewPlan(operator.Options{Dir: TransitDir(n.options.Dir), Config: p.Transit.Config,
		Listen: cmp.Or(n.options.Listen[RoleTransit], loopback), Clock: n.options.Clock, Log: n.options.Log, Acquirer: &acquirer, Random: n.random.source("transit")})
	if err != nil {
		return err
	}
	if n.options.Quiet {
		// A story does one thing after the other.
		plan.Deps.ListEvery, plan.Deps.Under = quietList, 1
	}
	office, err := transit.New(plan.Deps)
	if err != nil {
		return err
	}
	store, err := n.openTransit(ctx, plan)
	if err != nil {
		return err
	}
	node := newNode(nodeConfig{name: RoleTransit, shown: m.Label, role: office, store: store, clock: n.options.Clock, log: n.options.Log, told: n.traceRows,
		broke: n.breakDown})
	ring, err := n.vaults.ring(m.Terminal, sideTerminal, hsm.LegacyECB, hsm.ModeEncrypt)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	dialer, err := n.dial(node, RoleAcquirer, m.Terminal, m.ID, p.Acquirer.Institution, unionpay.Terminal, ring)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	node.send = func(_ string, m unionpay.Message) error { return dialer.Send(m) }
	if err := n.run(ctx, node); err != nil {
		return err
	}
	n.metro = &metroNode{node: node, plan: plan, core: office}
	if n.options.Listen != nil {
		if n.metro.desk, err = plan.Open(ctx, node.ask, office.Archive); err != nil {
			return err
		}
		n.addresses[RoleTransit] = n.metro.desk.Where().URL
		n.stops = append(n.stops, func() error { return n.metro.desk.Close(context.Background()) })
	}
	return n.connect(ctx, dialer, node.name)
}

// openTransit opens the operator's journal: beside the others in a database, otherwise in its own directory.
func (n *Network) openTransit(ctx context.Context, plan *operator.Plan) (journal.Store, error) {
	if n.options.Store != "" {
		return n.stores.open(ctx, RoleTransit)
	}
	return plan.OpenFile(ctx)
}
