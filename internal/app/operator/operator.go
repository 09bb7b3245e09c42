package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/transit"
	"tapnet/iso8583/unionpay"
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
	// Acquirer, unless nil, replaces what the configuration says of it.
	Acquirer *AcquirerConfig
	// Random, unless nil, is where secrets and seals come from: for worlds that are thrown away.
	Random io.Reader
	// Store is where the journal is kept: empty for a SQLite file in Dir, or the URL of a PostgreSQL database.
	Store string
}

// Operator is a running office.
type Operator struct {
	*Desk
	plan   *Plan
	office *transit.Office
	writer *journal.Writer
	timers *journal.Timers
	store  journal.Store
	line   Line

	effects  chan struct{} // something waits in queue
	mu       sync.Mutex
	queue    []journal.Effect
	cancel   context.CancelFunc
	group    sync.WaitGroup
	finished chan error
}

// Start opens the journal and the interface.
func Start(ctx context.Context, o Options) (op *Operator, err error) {
	plan, err := NewPlan(o)
	if err != nil {
		return nil, err
	}
	op = &Operator{plan: plan, line: o.Line, effects: make(chan struct{}, 1), finished: make(chan error, 1)}
	if op.office, err = transit.New(plan.Deps); err != nil {
		return nil, err
	}
	if op.store, err = plan.open(ctx); err != nil {
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
	if op.Desk, err = plan.Open(ctx, op.Ask, op.office.Archive); err != nil {
		return nil, errors.Join(err, op.Stop(ctx))
	}
	return op, nil
}

// run starts the writer and whoever carries out its effects.
func (op *Operator) run(ctx, running context.Context) error {
	op.timers = journal.NewTimers(op.plan.clock, func(name string) { op.submit(journal.Event{Timer: name}) })
	op.writer = journal.NewWriter(journal.Config{Machine: op.office, Store: op.store, Clock: op.plan.clock, Owner: "transit", Release: op.release})
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
				op.plan.log.Info("message not sent", "peer", batch[i].To, "error", err)
			}
		}
	}
}

func (op *Operator) submit(ev journal.Event) {
	op.office.Prepare(&ev)
	if err := op.writer.Submit(context.Background(), ev); err != nil {
		op.plan.log.Warn("event not taken", "error", err)
	}
}

// Receive takes a message of the acquirer.
func (op *Operator) Receive(m unionpay.Message) {
	op.submit(journal.Event{From: op.plan.Deps.Acquirer, Message: m})
}

// Reached says that the acquirer can be reached again.
func (op *Operator) Reached() {
	op.submit(journal.Event{Command: delivery.Up{Peer: op.plan.Deps.Acquirer}})
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

// Failed gives the error that stopped the office for good.
func (op *Operator) Failed() <-chan error { return op.finished }

// Stop ends the interface, finishes what is queued and closes the journal.
func (op *Operator) Stop(ctx context.Context) error {
	var err error
	if op.Desk != nil {
		err = op.Close(ctx)
	}
	op.timers.Stop()
	op.cancel()
	op.group.Wait()
	return errors.Join(err, <-op.finished, op.store.Close())
}
