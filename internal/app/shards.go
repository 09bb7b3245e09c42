package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/interchange"
	"tapnet/internal/journal/journalpg"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
)

const (
	// DefaultLeaseTerm is above the pauses of a healthy node and database, and short beside what a cardholder waits through.
	DefaultLeaseTerm = 5 * time.Second
	// beatsPerTerm lets a beat or two be lost without anybody taking it for a death.
	beatsPerTerm = 5
	// maxShards is what the last two digits of a station's number can count.
	maxShards = 99
	// stationDigits end an institution's number; they are zero where it has stations.
	stationDigits = "00"
)

// ErrShards says that the issuers of a world cannot be cut into that many shards.
var ErrShards = errors.New("the issuers cannot be cut into these shards")

// ErrLeaseLost is wrapped by the error of a node whose shard another one has taken over: what it has in memory is worth nothing any more.
var ErrLeaseLost = errors.New("another node has taken the shard over")

// stationOf is the member number of an issuer's shard: the institution's, with the place counted from one in its last two digits.
func stationOf(institution string, shard int) string {
	return fmt.Sprintf("%s%02d", strings.TrimSuffix(institution, stationDigits), shard+1)
}

// stationsOf are the stations of an issuer, none when it is whole.
func stationsOf(institution string, shards int) []string {
	var stations []string
	for shard := range shards {
		stations = append(stations, stationOf(institution, shard))
	}
	return stations
}

// membersOf is who an issuer is to the switch: itself, or its stations.
func membersOf(institution string, shards int) []string {
	if shards == 0 {
		return []string{institution}
	}
	return stationsOf(institution, shards)
}

// checkShards reports numbers of stations that are not free.
func checkShards(p *personalization.Profile, shards int) error {
	if shards < 0 || shards > maxShards {
		return fmt.Errorf("%w: %d, at most %d", ErrShards, shards, maxShards)
	}
	taken := map[string]bool{}
	for _, id := range institutions(p) {
		taken[id] = true
	}
	for _, i := range p.Issuers {
		if shards > 0 && !strings.HasSuffix(i.Institution, stationDigits) {
			return fmt.Errorf("%w: the number of %s does not end with %s", ErrShards, i.Institution, stationDigits)
		}
		for _, station := range stationsOf(i.Institution, shards) {
			if taken[station] {
				return fmt.Errorf("%w: station %s is another member's number", ErrShards, station)
			}
		}
	}
	return nil
}

// stationSide is the side of a station's keys in its institution's HSM, where every station has its own with the switch.
func stationSide(station string) string { return sideNetwork + "/" + station }

// shareStation gives the switch and an issuer's station the same new master key.
func (v vaults) shareStation(center, institution, station string, random randomness) error {
	key := make([]byte, hsm.TDES.Bytes())
	defer clear(key)
	if _, err := io.ReadFull(random.source("master "+center+" "+station), key); err != nil {
		return fmt.Errorf("master key of station %s: %w", station, err)
	}
	for owner, name := range map[string]string{center: masterKeyOf(sideNetwork)(station), institution: masterKeyOf(stationSide(station))(center)} {
		if _, err := v[owner].ImportClear(name, hsm.UsageKeyEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable, key); err != nil {
			return fmt.Errorf("master key of station %s: %w", station, err)
		}
	}
	return nil
}

// checkStations reports keys that were made for another number of shards: a card would be looked for where it is not.
func (v vaults) checkStations(p *personalization.Profile, shards int) error {
	for _, i := range p.Issuers {
		found := 0
		for found < maxShards {
			if _, err := v[p.Switch].Info(masterKeyOf(sideNetwork)(stationOf(i.Institution, found))); err != nil {
				break
			}
			found++
		}
		if found != shards {
			return fmt.Errorf("%w: this world was made with %d shards for each issuer, not %d", ErrShards, found, shards)
		}
	}
	return nil
}

// shard is a part of an issuer's cards, with a journal and a member number of its own.
type shard struct {
	institution string
	place, of   int
	station     string
	journal     string
	index       int // among all shards, in order
}

func shardsOf(p *personalization.Profile, shards int) map[string]shard {
	all := map[string]shard{}
	for _, i := range p.Issuers {
		for place, station := range stationsOf(i.Institution, shards) {
			s := shard{institution: i.Institution, place: place, of: shards, station: station, journal: RoleIssuer + "-" + station, index: len(all)}
			all[s.journal] = s
		}
	}
	return all
}

// runningShard is a shard that this node writes.
type runningShard struct {
	*issuerNode
	hangUp context.CancelFunc
	hung   chan struct{}
}

// stop ends the connection, finishes what was taken in, and closes the journal.
func (r *runningShard) stop() error {
	r.hangUp()
	<-r.hung
	return r.node.stop()
}

// runShard takes a journal over and signs its station on. The journal's epoch goes up before its rows are read, so nothing that an earlier writer commits is
// missed and nothing that it tries afterwards is taken.
func (n *Network) runShard(ctx context.Context, s shard, holds func(ctx context.Context) (bool, error)) (*runningShard, error) {
	ring, err := keyring.New(keyring.Config{
		HSM: n.vaults[s.institution], Prefix: stationSide(s.station) + "/", MasterKey: masterKeyOf(stationSide(s.station)), MAC: hsm.X99CBC, PINMode: hsm.ModeBoth,
	})
	if err != nil {
		return nil, err
	}
	role, err := n.newIssuerAt(s.station, s.institution, ring)
	if err != nil {
		return nil, err
	}
	node, err := n.startNode(ctx, s.journal, s.institution, role)
	if err != nil {
		return nil, err
	}
	d, err := n.dial(node, RoleSwitch, s.station, "", n.options.Profile.Switch, unionpay.Switch, ring)
	if err != nil {
		return nil, errors.Join(err, node.store.Close())
	}
	node.send = func(_ string, m unionpay.Message) error { return d.Send(m) }
	if err := node.start(ctx); err != nil {
		return nil, errors.Join(err, node.store.Close())
	}
	r := &runningShard{issuerNode: &issuerNode{node, role}, hung: make(chan struct{})}
	its := func(h *holder) bool { return interchange.StationOf(h.personal.PAN, s.of) == s.place }
	if err := n.enrol(ctx, r.issuerNode, s.institution, its); err != nil {
		return nil, errors.Join(err, node.stop())
	}
	var linked context.Context
	linked, r.hangUp = context.WithCancel(n.background.ctx)
	d.allow(holds)
	go func() {
		defer close(r.hung)
		if err := d.Run(linked); err != nil {
			node.log.Error("link stopped", "error", err)
		}
	}()
	return r, nil
}

// shardKeeper takes shards over and lets them go. Its rounds run one after the other on one goroutine.
type shardKeeper struct {
	network *Network
	catalog *journalpg.Catalog
	name    string // of this node, and of this process of it
	term    time.Duration
	shards  map[string]shard
	watch   leaseWatch
	running map[string]*runningShard

	stopped chan struct{} // closed when the last round is over
}

// startShards joins the nodes that share the issuers' shards. It returns when the first round is over.
func (n *Network) startShards(ctx context.Context) error {
	server, ok := n.stores.(serverStores)
	if !ok {
		return fmt.Errorf("app: %w: shards need a PostgreSQL database", ErrStore)
	}
	k := &shardKeeper{network: n, catalog: server.catalog, name: incarnation(n.options.Node), term: n.options.LeaseTerm,
		shards: shardsOf(n.options.Profile, n.options.Shards), running: map[string]*runningShard{}, stopped: make(chan struct{})}
	if k.term <= 0 {
		k.term = DefaultLeaseTerm
	}
	k.watch = newLeaseWatch(k.name, k.term)
	names := make([]string, len(k.shards))
	for name, s := range k.shards {
		names[s.index] = name
	}
	if err := k.catalog.OfferLeases(ctx, names); err != nil {
		return err
	}
	if err := k.round(ctx); err != nil {
		return errors.Join(err, k.stop())
	}
	n.stops = append(n.stops, k.stop)
	n.shards = k
	n.background.group.Go(k.run)
	return nil
}

// incarnation tells two processes of one node apart: the later one must not keep the leases of the earlier alive.
func incarnation(node string) string {
	if node == "" {
		node, _ = os.Hostname() // a node without a name is told apart by the rest
	}
	return fmt.Sprintf("%s/%d/%s", node, os.Getpid(), rand.Text())
}

// run makes a round every so often until the network ends or a shard is lost.
func (k *shardKeeper) run() {
	defer close(k.stopped)
	ctx := k.network.background.ctx
	for pause(ctx, k.network.options.Clock, k.term/beatsPerTerm) {
		err := k.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLeaseLost):
			k.network.breakDown(err)
			return
		case err != nil: // without the database nothing can be committed either; the epoch decides who may go on
			k.network.options.Log.Warn("shards: round failed", "node", k.name, "error", err)
		}
	}
}

// pause waits on the clock; false when ctx ended.
func pause(ctx context.Context, c clock.Clock, d time.Duration) bool {
	over := make(chan struct{})
	timer := c.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// round shows that this node lives, looks who else does, and takes or gives shards accordingly.
func (k *shardKeeper) round(ctx context.Context) error {
	standing, err := k.catalog.Beat(ctx, k.name)
	if err != nil {
		return err
	}
	p := k.watch.plan(k.network.options.Clock.Now(), standing)
	for name := range k.running {
		if !p.mine[name] {
			return fmt.Errorf("%s: %w", name, ErrLeaseLost)
		}
	}
	for _, node := range p.gone {
		if err := k.catalog.Forget(ctx, node, standing.Nodes[node]); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range p.give {
		errs = append(errs, k.give(ctx, name))
	}
	for name := range p.mine { // taken, but starting it failed
		if s, ours := k.shards[name]; ours && k.running[name] == nil && len(p.give) == 0 {
			errs = append(errs, k.start(ctx, s))
		}
	}
	for _, lease := range p.take {
		s, ours := k.shards[lease.Name]
		if !ours {
			continue
		}
		taken, err := k.catalog.Take(ctx, lease, k.name)
		if err == nil && taken {
			err = k.start(ctx, s)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// beatMeanwhile keeps this node's counts going up while it is busy: a replay may take longer than others would take for silence.
func (k *shardKeeper) beatMeanwhile(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, k.network.options.Clock, k.term/beatsPerTerm) {
			if _, err := k.catalog.Beat(ctx, k.name); err != nil && ctx.Err() == nil {
				k.network.options.Log.Warn("shards: beat failed", "node", k.name, "error", err)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (k *shardKeeper) start(ctx context.Context, s shard) error {
	defer k.beatMeanwhile(ctx)()
	r, err := k.network.runShard(ctx, s, func(ctx context.Context) (bool, error) { return k.catalog.Holds(ctx, s.journal, k.name) })
	if err != nil {
		return fmt.Errorf("take over %s: %w", s.journal, err)
	}
	k.running[s.journal] = r
	k.network.options.Log.Info("shards: taken over", "node", k.name, "shard", s.journal)
	return nil
}

func (k *shardKeeper) give(ctx context.Context, name string) error {
	r := k.running[name]
	if r == nil {
		return nil
	}
	delete(k.running, name)
	defer k.beatMeanwhile(ctx)()
	return errors.Join(r.stop(), k.catalog.Give(ctx, name, k.name))
}

// stop lets everything go, so that others need not wait for this node's silence.
func (k *shardKeeper) stop() error {
	if k.network.shards == k {
		<-k.stopped
	}
	var errs []error
	for name := range k.running {
		errs = append(errs, k.running[name].stop())
	}
	clear(k.running)
	return errors.Join(append(errs, k.catalog.Leave(context.Background(), k.name))...)
}
