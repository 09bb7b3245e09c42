package tsp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Issuer is a bank whose cards may be tokenised.
type Issuer struct {
	Institution string
	Terms       string   // id of the terms its cardholders accept
	Methods     []string // ways in which it verifies its cardholders, best first
	Webhook     string   // address that is told of changes of its tokens, and that gets one-time codes; "" is none
	Certificate string   // common name it calls with
}

// Deps is what a token service needs from outside.
type Deps struct {
	Institution string // own institution id
	Switch      string // who may ask for resolutions
	CloudSE     string // who verifies cryptograms; "" is nobody: tokens that need one do not resolve
	Elements    string // who verifies those of secure elements; "" is CloudSE
	Code        string // token service code, the first three digits of requestor ids
	Controller  string // BIN controller id, the first four characters of payment account references
	Vault       Vault
	Numbers     Numbers
	Keys        KeyNames
	Calendar    clock.Calendar
	Ranges      []Range
	Issuers     []Issuer
	// VerifyWithin is how long the cloud secure element may take; zero means verifyWithinDefault.
	VerifyWithin time.Duration
	Capacity     Capacity
}

// verifyWithinDefault is well below the time an acquirer waits [REF 6.5].
const verifyWithinDefault = 5 * time.Second

// TSP is the core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type TSP struct {
	deps    Deps
	state   *state
	pending map[string]*pending // resolutions that wait for the cloud secure element, by key
	queue   delivery.Queue      // notices
	closed  []string            // keys of notices that could not be opened after a restart
}

// New makes a token service without requestors.
func New(deps Deps) (*TSP, error) {
	if deps.Institution == "" || deps.Switch == "" || deps.Vault == nil || deps.Numbers == nil || !deps.Keys.complete() {
		return nil, errors.New("tsp: institution, switch, vault, vault of numbers and key names are needed")
	}
	if len(deps.Code) != 3 || len(deps.Controller) != 4 {
		return nil, errors.New("tsp: the service's code has three digits and the BIN controller's id four characters")
	}
	for i := range deps.Ranges {
		if err := deps.Ranges[i].check(); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(deps.Issuers, func(b Issuer) bool { return b.Institution == deps.Ranges[i].Issuer }) {
			return nil, fmt.Errorf("%w: issuer %q is not known", errRange, deps.Ranges[i].Issuer)
		}
	}
	if deps.VerifyWithin <= 0 {
		deps.VerifyWithin = verifyWithinDefault
	}
	deps.Capacity = deps.Capacity.orDefault()
	return &TSP{deps: deps, state: newState(deps.Capacity), pending: map[string]*pending{}}, nil
}

// Institution is the service's own id.
func (s *TSP) Institution() string { return s.deps.Institution }

func (s *TSP) issuer(institution string) *Issuer {
	for i := range s.deps.Issuers {
		if s.deps.Issuers[i].Institution == institution {
			return &s.deps.Issuers[i]
		}
	}
	return nil
}

// Prepare does what costs time: it finds records in the store, opens the account number, binds the PIN block anew, makes candidates for a token.
func (s *TSP) Prepare(ev *journal.Event) {
	switch m := ev.Message.(type) {
	case *unionpay.TokenRequest:
		ev.Finding = s.prepareResolve(ev.From, m)
		return
	}
	switch c := ev.Command.(type) {
	case *Command:
		ev.Finding = s.prepareCommand(c)
	}
	if ev.Timer == rekeyTimer {
		ev.Finding = s.prepareRekey()
	}
}

// Handle decides one event.
func (s *TSP) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.TokenRequest:
		s.resolve(now, ev, m, step)
		return
	case *unionpay.TokenResponse:
		s.verified(now, ev, m, step)
		return
	}
	switch c := ev.Command.(type) {
	case *Command:
		s.command(now, ev, c, step)
		return
	case delivery.Up:
		s.queue.Reached(c.Peer, step)
		return
	case Delivered:
		s.delivered(now, c, step)
		return
	}
	if ev.Timer == rekeyTimer {
		s.rekeySlice(now, ev, step)
		return
	}
	s.queue.Due(ev.Timer, step, func(key string) { s.unanswered(now, key, step) }, func() { s.pickUp(step) })
}

// append makes a decided row part of the step and of the state.
func (s *TSP) append(step *journal.Step, now time.Time, row journal.Row) {
	row.BusinessDate = s.deps.Calendar.BusinessDate(now)
	step.Decide(now, row, s.state.apply)
}

// Open implements journal.Keeper.
func (s *TSP) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	return s.state.begin(ctx, archive, watermark)
}

// Warm reads every token once, so that look-ups need not go to the store. It may run beside the writer at any time after Open; without it tokens are packed
// one by one as they have been used.
func (s *TSP) Warm(ctx context.Context) error {
	if err := s.state.warm(ctx); err != nil {
		return fmt.Errorf("tsp: packing tokens: %w", err)
	}
	return nil
}

// WriteBack implements journal.Keeper.
func (s *TSP) WriteBack(back *journal.Back, rows int, durable uint64) {
	s.state.writeBackAll(back, rows, durable)
}

// Replay rebuilds the state from a committed row.
func (s *TSP) Replay(r *journal.Row) error {
	err := s.state.apply(r)
	s.state.settle(r.Seq)
	return err
}

// Rearm sends what nobody has taken yet and goes on with a re-key.
func (s *TSP) Rearm(time.Time) []journal.Effect {
	step := journal.NewStep(s.state.last + 1)
	s.closed = s.state.begun.Keys(markNotice)
	s.pickUp(step)
	if s.state.settings.Load().Rekey.Tenant != "" {
		step.Emit(journal.Effect{Timer: rekeyTimer, After: rekeyPause})
	}
	return slices.Clone(step.Effects)
}

// Finish has nothing to add.
func (s *TSP) Finish(*journal.Effect) {}

// Describe says what a row means.
func (s *TSP) Describe(r *journal.Row) glossary.Term {
	if r.Kind == journal.Answered || r.Kind == journal.Declined {
		return describeResolution(r)
	}
	if e := Event(r.Reason); e != 0 && (r.Kind == journal.CardChanged || r.Kind == journal.Opened) {
		return glossary.Term{EN: "token " + e.Term().EN, ZH: "令牌" + e.Term().ZH}
	}
	return r.Kind.Term()
}

// Outstanding is the number of notices that nobody has taken yet.
func (s *TSP) Outstanding() int { return s.queue.Len() + len(s.closed) }
