package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/card"
	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/link"
	"tapnet/internal/memnet"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/trace"
	"tapnet/iso8583/unionpay"
)

// Options say which network to run.
type Options struct {
	Profile *personalization.Profile
	// Dir holds journals, keys and card memories. It must exist.
	Dir string
	// Seed makes everything random follow from one number: for worlds that are thrown away. Nil takes the system's randomness.
	Seed *uint64
	// Clock is the time of this world; nil is the real one.
	Clock clock.Clock
	// Roles to run in this process; nil runs all.
	Roles []string
	// Listen gives the TCP address of a listening role; nil keeps everything in memory, within the process.
	Listen map[string]string
	// Trace keeps what happened; nil makes one.
	Trace *trace.Store
	Log   *slog.Logger
	// Store is where the journals are kept: empty for SQLite files in Dir, or the URL of a PostgreSQL database.
	Store string
	// Shards cuts the journal of each issuer into so many, each with a writer of its own on one of the nodes that run the issuers on one PostgreSQL
	// database; zero leaves it whole. The switch must be told the same number. It is fixed with the keys of the world.
	Shards int
	// Node names this process among those nodes; empty makes a name.
	Node string
	// LeaseTerm is how long a node may be silent before others take its shards over; zero is DefaultLeaseTerm.
	LeaseTerm time.Duration
	// AnswerWithin is how long the switch waits for an issuer; zero is its default. The acquirer and the tills wait half as long again each.
	AnswerWithin time.Duration
	// Quiet links ask for no echo and do not close idle terminals: for worlds whose clock stands still.
	Quiet bool
	// byHand leaves it to the caller to pass on what one token role decides and the other must know: a story does it in one order. Nobody opens
	// the world again, so what costs time only for those who would is left out.
	byHand bool
	hooks  webhookTaker // of the token service
}

// Network is the nodes of this process and the cards of its world.
type Network struct {
	options     Options
	random      randomness
	vaults      vaults
	trace       *trace.Store
	memory      *memnet.Network
	nodes       []*node
	issuers     map[string]*issuerNode
	interchange *node
	acquirer    *acquirerNode
	tills       map[string]*tillNode // by merchant name
	holders     map[string]*holder   // of the profile
	issued      issued
	addresses   map[string]string // role → where it listens
	stops       []func() error    // undone in reverse order
	committed   commits
	failed      chan error // why a role stopped for good
	taps        tapNumbers
	stores      stores
	shards      *shardKeeper
	tokens      *tokenWorld
	elements    *elementWorld // nil where the service manager does not run
	metro       *metroNode    // nil where no transit operator runs
	background
}

// background counts the goroutines of links and ends them.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
}

type issuerNode struct {
	*node
	core *issuer.Issuer
}

type acquirerNode struct {
	*node
	core *acquirer.Acquirer
}

type tillNode struct {
	*node
	core     *pos.Till
	merchant personalization.Merchant
	line     *carriedLine // of a machine without a network
	dialer   *dialer      // of any other
}

// Start builds the world, or opens it again from its directory, and brings the links up.
func Start(ctx context.Context, o Options) (*Network, error) { return start(ctx, o, nil) }

// start is Start with somebody who wants to see the connections of a network in memory.
func start(ctx context.Context, o Options, connected func(dialler, listener *memnet.Conn)) (*Network, error) {
	if o.Profile == nil || o.Dir == "" {
		return nil, errors.New("app: profile and directory are needed")
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Roles == nil {
		o.Roles = Roles()
	}
	for _, role := range o.Roles {
		if !slices.Contains(EveryRole(), role) {
			return nil, fmt.Errorf("app: there is no role %q, only %v", role, EveryRole())
		}
	}
	if err := checkShards(o.Profile, o.Shards); err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	if err := CheckProfile(o.Profile); err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	n := &Network{
		options: o, random: randomness{o.Seed}, trace: o.Trace, memory: memnet.New(o.Clock), issuers: map[string]*issuerNode{}, tills: map[string]*tillNode{},
		holders: map[string]*holder{}, addresses: map[string]string{}, failed: make(chan error, 1),
		tokens: newTokenWorld(),
	}
	n.memory.OnConnect(connected)
	n.background.ctx, n.background.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.build(ctx); err != nil {
		return nil, errors.Join(err, n.Stop(ctx))
	}
	return n, nil
}

func (n *Network) build(ctx context.Context) error {
	var err error
	if n.trace == nil {
		if n.trace, err = newTrace(n); err != nil {
			return err
		}
		n.stops = append(n.stops, n.trace.Close)
	}
	if n.vaults, err = openVaults(n.options.Dir, n.options.Profile, n.options.Shards, n.random); err != nil {
		return err
	}
	if err := n.issueCards(); err != nil {
		return err
	}
	if n.stores, err = openStores(ctx, n.options); err != nil {
		return err
	}
	n.stops = append(n.stops, n.stores.close)
	for _, step := range []struct {
		role  string
		start func(context.Context) error
	}{{RoleSwitch, n.startSwitch}, {RoleIssuer, n.startIssuers}, {RoleAcquirer, n.startAcquirer}, {RolePOS, n.startTills},
		{RoleTSP, n.startTSP}, {RoleCloudSE, n.startCloudSE}, {RoleTSM, n.startTSM}, {RoleTransit, n.startTransit}} {
		if !slices.Contains(n.options.Roles, step.role) {
			continue
		}
		if err := step.start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", step.role, err)
		}
	}
	if err := n.describe(ctx); err != nil {
		return fmt.Errorf("describe the data directory: %w", err)
	}
	return nil
}

// issueCards makes the chips; their memories outlive the process.
func (n *Network) issueCards() error {
	cards := filepath.Join(n.options.Dir, cardDirectory)
	if err := os.MkdirAll(cards, 0o700); err != nil {
		return fmt.Errorf("make card directory: %w", err)
	}
	for _, spec := range n.options.Profile.Cards {
		personal, err := n.options.Profile.Personalize(spec.Name, n.vaults[spec.Issuer], personalizationKeys())
		if err != nil {
			return err
		}
		memory := n.chipMemory(filepath.Join(cards, spec.Name+chipSuffix), personal)
		chip, err := card.New(&personal.Image, personal.Crypto, memory, n.random.source("card "+spec.Name))
		if err != nil {
			return fmt.Errorf("card %q: %w", spec.Name, err)
		}
		n.holders[spec.Name] = &holder{personal: personal, chip: chip}
	}
	return n.reopenIssued()
}

// startNode opens a role's journal and starts it.
func (n *Network) startNode(ctx context.Context, name, id string, role Role) (*node, error) {
	store, err := n.stores.open(ctx, name)
	if err != nil {
		return nil, err
	}
	node := newNode(nodeConfig{name: name, shown: n.nameOf(id), role: role, store: store, clock: n.options.Clock, log: n.options.Log, told: n.traceRows,
		broke: n.breakDown})
	node.send = func(peer string, _ unionpay.Message) error { return fmt.Errorf("%w: %s", link.ErrNotConnected, peer) }
	return node, nil
}

// run starts a node whose connections are set, and stops it with the network.
func (n *Network) run(ctx context.Context, node *node) error {
	if err := node.start(ctx); err != nil {
		return errors.Join(err, node.store.Close())
	}
	n.nodes = append(n.nodes, node)
	n.stops = append(n.stops, node.stop)
	return nil
}

func (n *Network) startSwitch(ctx context.Context) error {
	role, ring, err := n.newSwitch()
	if err != nil {
		return err
	}
	node, err := n.startNode(ctx, RoleSwitch, n.options.Profile.Switch, role)
	if err != nil {
		return err
	}
	server, err := n.serve(node, RoleSwitch, n.options.Profile.Switch, unionpay.Switch, ring)
	if err != nil {
		return err
	}
	node.send = server.Send
	n.interchange = node
	return n.run(ctx, node)
}

func (n *Network) startIssuers(ctx context.Context) error {
	if n.options.Shards > 0 {
		return n.startShards(ctx)
	}
	for _, i := range n.options.Profile.Issuers {
		role, ring, err := n.newIssuer(i)
		if err != nil {
			return err
		}
		node, err := n.startNode(ctx, RoleIssuer+"-"+i.Institution, i.Institution, role)
		if err != nil {
			return err
		}
		dialer, err := n.dial(node, RoleSwitch, i.Institution, "", n.options.Profile.Switch, unionpay.Switch, ring)
		if err != nil {
			return err
		}
		node.send = func(_ string, m unionpay.Message) error { return dialer.Send(m) }
		if err := n.run(ctx, node); err != nil {
			return err
		}
		n.issuers[i.Institution] = &issuerNode{node, role}
		if err := n.enrol(ctx, n.issuers[i.Institution], i.Institution, func(*holder) bool { return true }); err != nil {
			return err
		}
		if err := n.connect(ctx, dialer, node.name); err != nil {
			return err
		}
	}
	return nil
}

// enrol gives the issuer the cards of an institution that are its and that it does not know yet.
func (n *Network) enrol(ctx context.Context, node *issuerNode, institution string, its func(*holder) bool) error {
	for _, spec := range n.options.Profile.Cards {
		record := n.holders[spec.Name].personal.Record
		if spec.Issuer != institution || !its(n.holders[spec.Name]) {
			continue
		}
		var known bool
		if err := node.look(ctx, func() { _, known = node.core.Card(record.Card) }); err != nil {
			return err
		}
		if known {
			continue
		}
		if _, err := node.ask(ctx, issuer.Enrol{Enrolment: enrolment(record)}); err != nil {
			return fmt.Errorf("enrol card %q: %w", spec.Name, err)
		}
	}
	return nil
}

func (n *Network) startAcquirer(ctx context.Context) error {
	p := n.options.Profile
	role, terminals, network, err := n.newAcquirer()
	if err != nil {
		return err
	}
	node, err := n.startNode(ctx, RoleAcquirer, p.Acquirer.Institution, role)
	if err != nil {
		return err
	}
	server, err := n.serve(node, RoleAcquirer, p.Acquirer.Institution, unionpay.Terminal, admittedKeys{terminals, role.Admits})
	if err != nil {
		return err
	}
	dialer, err := n.dial(node, RoleSwitch, p.Acquirer.Institution, "", p.Switch, unionpay.Switch, network)
	if err != nil {
		return err
	}
	node.send = func(peer string, m unionpay.Message) error {
		if peer == p.Switch {
			return dialer.Send(m)
		}
		return server.Send(peer, m)
	}
	if err := n.run(ctx, node); err != nil {
		return err
	}
	n.acquirer = &acquirerNode{node, role}
	return n.connect(ctx, dialer, node.name)
}

func (n *Network) startTills(ctx context.Context) error {
	for _, m := range n.options.Profile.Merchants {
		if m.Name == n.options.Profile.Transit.Merchant {
			continue // its terminal is an office
		}
		role, ring, err := n.newTill(m)
		if err != nil {
			return err
		}
		node, err := n.startNode(ctx, RolePOS+"-"+m.Terminal, m.Terminal, role)
		if err != nil {
			return err
		}
		line := n.carried(node, m, ring)
		var dialer *dialer
		if line == nil {
			if dialer, err = n.dial(node, RoleAcquirer, m.Terminal, m.ID, n.options.Profile.Acquirer.Institution, unionpay.Terminal, ring); err != nil {
				return err
			}
			node.send = func(_ string, m unionpay.Message) error { return dialer.Send(m) }
		}
		role.Attach(node.ask)
		if err := n.run(ctx, node); err != nil {
			return err
		}
		currency, err := n.options.Profile.MoneyOf(m)
		if err != nil {
			return err
		}
		if err := role.Restore(ctx, currency); err != nil {
			return fmt.Errorf("till %q: downloaded parameters: %w", m.Name, err)
		}
		n.tills[m.Name] = &tillNode{node, role, m, line, dialer}
		if line != nil {
			continue
		}
		if n.acquirer != nil && !n.acquirer.core.Admits(m.Terminal) {
			n.keepDialing(dialer, node.name) // it signs on when its merchant is approved
			continue
		}
		if err := n.connect(ctx, dialer, node.name); err != nil {
			return err
		}
	}
	return nil
}

// quietWriteTimeout is longer than any story moves its clock in one step.
const quietWriteTimeout = 30 * 24 * time.Hour

// limits of the links of this network.
func (n *Network) limits() link.Limits {
	if n.options.Quiet {
		// Whoever moves the clock on must not cut off a burst that is being written at that moment.
		return link.Limits{EchoAfter: -1, IdleClose: -1, WriteTimeout: quietWriteTimeout}
	}
	return link.Limits{}
}

func (n *Network) session(node *node, name, merchant, peer string, dialect unionpay.Dialect, ring link.Keys) link.Config {
	return link.Config{
		Name: name, Merchant: merchant, Peer: peer, Dialect: dialect, Clock: n.options.Clock, Keys: ring, Limits: n.limits(), OnMessage: node.receive,
		Trace: func(e link.TraceEvent) { n.traceMessage(node, dialect, e) }, TraceRoom: n.trace.Room, Log: node.log, OnUp: node.reached,
	}
}

// serve opens the listener of a role and accepts its peers.
func (n *Network) serve(node *node, role, name string, dialect unionpay.Dialect, ring link.Keys) (*link.Server, error) {
	listener, err := n.listen(role)
	if err != nil {
		return nil, err
	}
	server, err := link.NewServer(n.session(node, name, "", "", dialect, ring))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	n.addresses[role] = listener.Addr().String()
	n.background.group.Go(func() {
		if err := server.Serve(n.background.ctx, listener); err != nil {
			node.log.Error("listener stopped", "error", err)
		}
	})
	return server, nil
}

func (n *Network) listen(role string) (net.Listener, error) {
	if n.options.Listen == nil {
		return n.memory.Listen(role)
	}
	var tcp net.ListenConfig
	address := n.options.Listen[role]
	if address == "" {
		address = loopback // never on every interface of the machine unasked
	}
	listener, err := tcp.Listen(n.background.ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", role, err)
	}
	return listener, nil
}

// dialer is a connection that is kept up; up is closed when it has signed on for the first time.
type dialer struct {
	*link.Dialer
	up chan struct{}
	// may, when set, is asked before each call whether it is still this node's to make.
	may atomic.Pointer[func(ctx context.Context) (bool, error)]
}

// allow sets the question that is asked before each call.
func (d *dialer) allow(may func(ctx context.Context) (bool, error)) { d.may.Store(&may) }

// errNotOurs says that another node makes the call.
var errNotOurs = errors.New("app: another node has this link")

func (d *dialer) allowed(ctx context.Context) error {
	may := d.may.Load()
	if may == nil {
		return nil
	}
	ours, err := (*may)(ctx)
	if err == nil && !ours {
		err = errNotOurs
	}
	return err
}

// dial prepares the connection of a role to another.
func (n *Network) dial(node *node, role, name, merchant, peer string, dialect unionpay.Dialect, ring *keyring.Ring) (*dialer, error) {
	d := &dialer{up: make(chan struct{})}
	session := n.session(node, name, merchant, peer, dialect, ring)
	var once sync.Once
	session.OnUp = func(s *link.Session) {
		node.reached(s)
		once.Do(func() { close(d.up) })
	}
	var err error
	d.Dialer, err = link.NewDialer(link.DialerConfig{
		Session: session,
		Dial: func(ctx context.Context) (net.Conn, error) {
			if err := d.allowed(ctx); err != nil {
				return nil, err
			}
			if n.options.Listen == nil {
				return n.memory.Dial(ctx, role)
			}
			var tcp net.Dialer
			return tcp.DialContext(ctx, "tcp", n.address(role))
		},
	})
	return d, err
}

// address is where a role listens: in this process, or where the options say.
func (n *Network) address(role string) string {
	if at, ok := n.addresses[role]; ok {
		return at
	}
	return n.options.Listen[role]
}

// connectWithin is how long a link of a starting network may take to come up before the start goes on without it: the dialer keeps trying.
const connectWithin = 10 * time.Second

// connect starts a dialer and waits until it has signed on, one after the other, so that a seeded world exchanges its keys in one order.
func (n *Network) connect(ctx context.Context, dialer *dialer, name string) error {
	n.keepDialing(dialer, name)
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	select {
	case <-dialer.up:
	case <-ctx.Done():
		n.options.Log.Warn("link is not up yet, it keeps trying", "node", name)
	}
	return context.Cause(n.background.ctx)
}

func (n *Network) keepDialing(dialer *dialer, name string) {
	n.background.group.Go(func() {
		if err := dialer.Run(n.background.ctx); err != nil {
			n.options.Log.Error("link stopped", "node", name, "error", err)
		}
	})
}

// breakDown remembers the first role that stopped for good.
func (n *Network) breakDown(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Failed gives the reason when a role of this process has stopped for good. A network with a role that cannot remember must not go on: end the process.
func (n *Network) Failed() <-chan error { return n.failed }

// Addresses tells where the roles of this process listen.
func (n *Network) Addresses() map[string]string { return n.addresses }

// Trace is what happened in this process.
func (n *Network) Trace() *trace.Store { return n.trace }

// Stop ends the links, finishes what the roles have taken in, and closes the journals.
func (n *Network) Stop(context.Context) error {
	n.background.cancel()
	n.background.group.Wait()
	var errs []error
	for _, stop := range slices.Backward(n.stops) {
		errs = append(errs, stop())
	}
	n.stops = nil
	return errors.Join(errs...)
}

// rows reads a node's journal.
func (n *node) rows(ctx context.Context) ([]journal.Row, error) {
	var rows []journal.Row
	err := n.store.Load(ctx, 0, func(r *journal.Row) error {
		rows = append(rows, *r)
		return nil
	})
	return rows, err
}

// IsDataDir reports whether a directory holds a network.
func IsDataDir(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, passphraseFile))
	return !errors.Is(err, fs.ErrNotExist)
}
