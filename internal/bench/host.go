package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/link"
	"tapnet/internal/trace"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// hostName is the issuer's institution number.
const hostName = "62999901"

func masterKeyOf(peer string) string { return "master/" + peer }

// newIssuer makes the bank that both the journal and the baseline serve.
func newIssuer(p *population) (*issuer.Issuer, *keyring.Ring, error) {
	ring, err := keyring.New(keyring.Config{HSM: p.vault, Prefix: "network/", MasterKey: masterKeyOf, MAC: hsm.X99CBC, PINMode: hsm.ModeBoth})
	if err != nil {
		return nil, nil, err
	}
	core, err := issuer.New(issuer.Deps{
		Institution: hostName, Vault: p.vault, Calendar: clock.Calendar{Zone: clock.Shanghai()}, Currency: uint16(money.CNY.Number()),
		Keys: issuer.KeyNames{
			MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, PANFingerprint: keyFingerprint, PINReference: keyPINReference, PINKey: ring.PINKey,
		},
	})
	return core, ring, err
}

// books make decisions durable: the journal, or the baseline's tables. take gets an event that is prepared, and blocks while there is no room.
type books interface {
	take(ev journal.Event) error
	// broken is closed when nothing more will become durable; stop says why.
	broken() <-chan struct{}
	stop() error
}

// host is an issuer behind a TCP port.
type host struct {
	core    *issuer.Issuer
	ring    *keyring.Ring
	server  *link.Server
	address string
	books   books
	outbox  outbox
	traces  *trace.Store // nil: untraced
	up      sync.Map     // peer → chan struct{}, closed when it has signed on
	log     *slog.Logger
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// newHost opens the port. open is given where to put what may be sent.
func newHost(core *issuer.Issuer, ring *keyring.Ring, o Options, open func(h *host) (books, error)) (*host, error) {
	h := &host{core: core, ring: ring, log: o.Log}
	h.outbox.ready = sync.NewCond(&h.outbox.mu)
	config := link.Config{
		Name: hostName, Dialect: unionpay.Switch, Clock: clock.Real(), Keys: ring, Limits: link.Limits{EchoAfter: -1, IdleClose: -1},
		OnMessage: h.receive, OnUp: h.signedOn, Log: o.Log,
	}
	var err error
	if !o.NoTrace {
		if h.traces, err = trace.New(trace.Config{Key: []byte("bench: a public key of traces")}); err != nil {
			return nil, err
		}
		config.Trace, config.TraceRoom = h.traceMessage, h.traces.Room
	}
	if h.server, err = link.NewServer(config); err != nil {
		return nil, err
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: listen: %w", err)
	}
	h.address = listener.Addr().String()
	if h.books, err = open(h); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.group.Go(func() {
		if err := h.server.Serve(ctx, listener); err != nil {
			h.log.Error("listener stopped", "error", err)
		}
	})
	h.group.Go(h.send)
	return h, nil
}

// expect gives what is closed when the peer has signed on. The caller's own word is not enough: it may be ahead of what it has still to send.
func (h *host) expect(peer string) <-chan struct{} {
	up := make(chan struct{})
	h.up.Store(peer, up)
	return up
}

func (h *host) signedOn(s *link.Session) {
	if up, ok := h.up.LoadAndDelete(s.Peer()); ok {
		close(up.(chan struct{})) // expect put it in
	}
}

// receive is the links' OnMessage: it runs on the reading goroutine of each connection.
func (h *host) receive(s *link.Session, m unionpay.Message, _ []byte) {
	ev := journal.Event{From: s.Peer(), Message: m}
	h.core.Prepare(&ev)
	if err := h.books.take(ev); err != nil {
		h.log.Error("event not taken", "error", err)
	}
}

// send carries out effects in order, after their commit.
func (h *host) send() {
	for {
		effects, ok := h.outbox.take()
		if !ok {
			return
		}
		for i := range effects {
			e := &effects[i]
			h.core.Finish(e)
			if e.Message == nil {
				continue
			}
			if err := h.server.Send(e.To, e.Message); err != nil {
				h.log.Error("answer not sent", "error", err)
			}
		}
	}
}

// traceMessage and traceRows do what a running network does.
func (h *host) traceMessage(e link.TraceEvent) {
	h.traces.Add(trace.FromMessage(e.At, "issuer", e.Peer, unionpay.Switch, e.Raw, e.Direction == link.Out))
}

func (h *host) traceRows(rows []journal.Row) {
	for i := range rows {
		if h.traces == nil || !h.traces.Room(rows[i].At) {
			continue
		}
		row := rows[i] // the writer uses its memory again
		h.traces.Add(trace.FromRow("issuer", &row, h.core.Describe(&row)))
	}
}

// share gives the host and a caller the same master key, each under the other's name.
func (h *host) share(vault *hsm.HSM, caller *hsm.HSM, name string) error {
	key := make([]byte, hsm.TDES.Bytes())
	if _, err := rand.Read(key); err != nil {
		return err
	}
	for _, side := range []struct {
		vault *hsm.HSM
		peer  string
	}{{vault, name}, {caller, hostName}} {
		_, err := side.vault.ImportClear(masterKeyOf(side.peer), hsm.UsageKeyEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable, key)
		if err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			return err
		}
	}
	return nil
}

func (h *host) stop() error {
	h.cancel()
	err := h.books.stop()
	h.outbox.close()
	h.group.Wait()
	if h.traces != nil {
		err = errors.Join(err, h.traces.Close())
	}
	return err
}

// outbox takes effects from the writer without making it wait.
type outbox struct {
	mu          sync.Mutex
	ready       *sync.Cond
	items, idle []journal.Effect
	closed      bool
}

func (q *outbox) put(effects []journal.Effect) {
	q.mu.Lock()
	q.items = append(q.items, effects...)
	q.mu.Unlock()
	q.ready.Signal()
}

// take gives everything that waits. The slice is used again after the next call.
func (q *outbox) take() ([]journal.Effect, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.idle)
	for len(q.items) == 0 && !q.closed {
		q.ready.Wait()
	}
	taken := q.items
	q.items, q.idle = q.idle[:0], taken
	return taken, len(taken) > 0
}

func (q *outbox) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}

// journalBooks is the real thing: the journal's writer over a durable store.
type journalBooks struct {
	store  journal.Store
	writer *journal.Writer
	cancel context.CancelFunc
	done   chan error
}

func openJournal(ctx context.Context, m medium, h *host) (*journalBooks, error) {
	store, err := m.journal(ctx)
	if err != nil {
		return nil, err
	}
	return startWriter(ctx, store, h.core, h.outbox.put, h.traceRows)
}

func (b *journalBooks) broken() <-chan struct{} { return b.writer.Done() }

func (b *journalBooks) take(ev journal.Event) error { return b.writer.Submit(context.Background(), ev) }

// command submits local commands without waiting for each, then waits for the last and reports the first refusal.
func (b *journalBooks) commands(ctx context.Context, n int, command func(i int) (any, error)) error {
	var refused atomic.Pointer[error]
	reply := func(v any) {
		if err, ok := v.(error); ok {
			refused.CompareAndSwap(nil, &err)
		}
	}
	for i := range n {
		c, err := command(i)
		if err != nil {
			return err
		}
		if err := b.writer.Submit(ctx, journal.Event{Command: c, Reply: reply}); err != nil {
			return err
		}
	}
	if _, err := b.writer.Ask(ctx, journal.Event{}); err != nil { // replies come in order
		return err
	}
	if err := refused.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *journalBooks) stop() error {
	b.cancel()
	return errors.Join(<-b.done, b.store.Close())
}
