package operator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transithttp"
	"tapnet/iso8583/unionpay"
)

// Names in a data directory.
const (
	journalFile  = "transit.db"
	tokenFile    = "transit.token"
	whereFile    = "transit.json"
	journals     = "journals"
	tokenBytes   = 24
	closeEvery   = time.Minute
	headersFirst = 10 * time.Second
	drainWithin  = 10 * time.Second
)

// Line carries messages to the acquirer.
type Line interface {
	Send(m unionpay.Message) error
}

// Options say what to run.
type Options struct {
	Dir    string // of the operator: journal, secret, token
	Config string // file; empty is the city that comes with the program
	Listen string // overrides the configuration's
	Clock  clock.Clock
	Log    *slog.Logger
	// Line, unless nil, is used instead of the acquirer's address.
	Line Line
}

// Operator is a running office.
type Operator struct {
	office   *transit.Office
	writer   *journal.Writer
	timers   *journal.Timers
	store    journal.Store
	clock    clock.Clock
	log      *slog.Logger
	line     Line
	acquirer string
	config   Config
	book     *fares.Book
	calendar fares.Calendar
	server   *http.Server
	where    Where

	effects  chan struct{} // something waits in queue
	mu       sync.Mutex
	queue    []journal.Effect
	cancel   context.CancelFunc
	group    sync.WaitGroup
	finished chan error
}

// Where says how to reach a running operator.
type Where struct {
	URL   string `json:"url"`
	Token string `json:"-"`
}

// Start opens the journal and the interface.
func Start(ctx context.Context, o Options) (op *Operator, err error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config, book, calendar, err := LoadConfig(o.Config)
	if err != nil {
		return nil, err
	}
	if o.Listen != "" {
		config.Listen = o.Listen
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, journals), 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	secret, err := OpenSecret(o.Dir)
	if err != nil {
		return nil, err
	}
	deps, err := config.deps(secret, book, calendar)
	if err != nil {
		return nil, err
	}
	op = &Operator{clock: o.Clock, log: o.Log, line: o.Line, acquirer: deps.Acquirer, config: config, book: book, calendar: calendar,
		effects: make(chan struct{}, 1), finished: make(chan error, 1)}
	if op.office, err = transit.New(deps); err != nil {
		return nil, err
	}
	if op.store, err = journalsql.Open(ctx, filepath.Join(o.Dir, journals, journalFile)); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	op.cancel = cancel
	if err := op.run(ctx, running); err != nil {
		cancel()
		return nil, errors.Join(err, op.store.Close())
	}
	if err := op.connect(running); err != nil {
		return nil, errors.Join(err, op.Stop(ctx))
	}
	if err := op.serve(running, o.Dir, deps); err != nil {
		return nil, errors.Join(err, op.Stop(ctx))
	}
	op.group.Go(func() { op.closeDays(running) })
	return op, nil
}

// run starts the writer and whoever carries out its effects.
func (op *Operator) run(ctx, running context.Context) error {
	op.timers = journal.NewTimers(op.clock, func(name string) { op.submit(journal.Event{Timer: name}) })
	op.writer = journal.NewWriter(journal.Config{Machine: op.office, Store: op.store, Clock: op.clock, Owner: "transit", Release: op.release})
	op.group.Go(func() { op.carryOut(running) })
	go func() { op.finished <- op.writer.Run(running) }()
	select {
	case <-op.writer.Ready():
		return nil
	case err := <-op.finished:
		op.finished <- nil
		return fmt.Errorf("start the office: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release hands effects over without ever making the writer wait.
func (op *Operator) release(effects []journal.Effect) {
	op.mu.Lock()
	op.queue = append(op.queue, effects...)
	op.mu.Unlock()
	select {
	case op.effects <- struct{}{}:
	default:
	}
}

func (op *Operator) carryOut(ctx context.Context) {
	for {
		select {
		case <-op.effects:
		case <-ctx.Done():
			return
		}
		op.mu.Lock()
		batch := op.queue
		op.queue = nil
		op.mu.Unlock()
		for i := range batch {
			if op.timers.Apply(&batch[i]) || batch[i].Message == nil {
				continue
			}
			if op.line == nil {
				continue // the office's own timers repeat or take back what must not be lost
			}
			if err := op.line.Send(batch[i].Message); err != nil {
				op.log.Info("message not sent", "peer", batch[i].To, "error", err)
			}
		}
	}
}

func (op *Operator) submit(ev journal.Event) {
	op.office.Prepare(&ev)
	if err := op.writer.Submit(context.Background(), ev); err != nil {
		op.log.Warn("event not taken", "error", err)
	}
}

// Receive takes a message of the acquirer.
func (op *Operator) Receive(m unionpay.Message) {
	op.submit(journal.Event{From: op.acquirer, Message: m})
}

// Reached says that the acquirer can be reached again.
func (op *Operator) Reached() {
	op.submit(journal.Event{Command: delivery.Up{Peer: op.acquirer}})
}

// Ask gives the office a command and waits for the reply, which comes after the commit. A refusal is the error.
func (op *Operator) Ask(ctx context.Context, command any) (any, error) {
	ev := journal.Event{Command: command}
	op.office.Prepare(&ev)
	reply, err := op.writer.Ask(ctx, ev)
	if err != nil {
		return nil, fmt.Errorf("ask the office: %w", err)
	}
	if refused, no := reply.(error); no {
		return nil, refused
	}
	return reply, nil
}

// serve opens the interface and says in the data directory where it is.
func (op *Operator) serve(ctx context.Context, dir string, deps transit.Deps) error {
	token, err := openToken(dir)
	if err != nil {
		return err
	}
	handler, err := transithttp.New(transithttp.Config{
		Ask: op.Ask, Archive: op.office.Archive, Devices: deps.Devices, Signer: deps.Signer, Currency: deps.Currency, Operator: token,
	})
	if err != nil {
		return err
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(ctx, "tcp", op.config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", op.config.Listen, err)
	}
	op.server = &http.Server{Handler: handler, ReadHeaderTimeout: headersFirst, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(op.log.Handler(), slog.LevelWarn)}
	op.group.Go(func() {
		if err := op.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			op.log.Error("interface stopped", "error", err)
		}
	})
	op.where = Where{URL: "http://" + listener.Addr().String(), Token: token}
	text, err := json.Marshal(op.where)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, whereFile), text, 0o600)
}

// openToken reads the operator's token, or makes one.
func openToken(dir string) (string, error) {
	path := filepath.Join(dir, tokenFile)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(rand.Reader, raw); err != nil {
		return "", fmt.Errorf("make the operator's token: %w", err)
	}
	token := hex.EncodeToString(raw)
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("save the operator's token: %w", err)
	}
	return token, nil
}

// ErrNotRunning is wrapped by Find when no operator runs on a data directory.
var ErrNotRunning = errors.New("operator: no operator runs on this directory")

// Find says where the operator of a data directory is.
func Find(dir string) (Where, error) {
	text, err := os.ReadFile(filepath.Join(dir, whereFile))
	if err != nil {
		return Where{}, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	var w Where
	if err := json.Unmarshal(text, &w); err != nil {
		return w, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if w.Token, err = openToken(dir); err != nil {
		return w, err
	}
	return w, nil
}

// Where is how to reach this operator.
func (op *Operator) Where() Where { return op.where }

// Failed gives the error that stopped the office for good.
func (op *Operator) Failed() <-chan error { return op.finished }

// closeDays closes each day some time after its end.
func (op *Operator) closeDays(ctx context.Context) {
	after, err := time.ParseDuration(op.config.CloseAt)
	if err != nil {
		return
	}
	due := make(chan struct{}, 1)
	for {
		timer := op.clock.AfterFunc(closeEvery, func() { due <- struct{}{} })
		select {
		case <-due:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		day := op.book.ServiceDate(op.clock.Now().Add(-after)) - 1
		if _, err := op.Ask(ctx, transit.CloseDay{Day: day}); err != nil && !errors.Is(err, transit.ErrClosed) && ctx.Err() == nil {
			op.log.Warn("the day is not closed", "day", day.String(), "error", err)
		}
	}
}

// Stop ends the interface, finishes what is queued and closes the journal.
func (op *Operator) Stop(ctx context.Context) error {
	var err error
	if op.server != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		err = op.server.Shutdown(ctx)
	}
	op.timers.Stop()
	op.cancel()
	op.group.Wait()
	return errors.Join(err, <-op.finished, op.store.Close())
}
