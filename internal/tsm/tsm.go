package tsm

import (
	"encoding/json"
	"fmt"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/iso8583/unionpay"
)

// Service is the service manager's core. Handle, Replay and Rearm belong to the single writer; Prepare may run anywhere.
type Service struct {
	deps    Deps
	wallets map[string]*Wallet
	state   *state
	proofs  proofs
}

// New makes a service without elements. Its state comes from Replay and from registrations.
func New(deps Deps) (*Service, error) {
	if err := deps.check(); err != nil {
		return nil, err
	}
	s := &Service{deps: deps, wallets: make(map[string]*Wallet), state: newState()}
	all := deps.Wallets
	if all == nil {
		all = Wallets()
	}
	for i := range all {
		if s.wallets[all[i].Name] != nil {
			return nil, fmt.Errorf("%w: two have the name %q", ErrWallet, all[i].Name)
		}
		s.wallets[all[i].Name] = &all[i]
	}
	return s, nil
}

// Institution is the service's own id.
func (s *Service) Institution() string { return s.deps.Institution }

func refusal(r tsmapi.Reason, err error) *tsmapi.Refusal {
	out := &tsmapi.Refusal{Reason: r}
	if err != nil {
		out.Detail = err.Error()
	}
	return out
}

// Prepare does what costs time and needs no state of the writer: scripts, cryptograms and codes. It runs in parallel and changes nothing.
func (s *Service) Prepare(ev *journal.Event) {
	if m, ok := ev.Message.(*unionpay.TokenRequest); ok {
		ev.Finding = s.prepareVerify(m)
		return
	}
	switch c := ev.Command.(type) {
	case tsmapi.Open:
		ev.Finding = s.prepareOpen(c)
	case tsmapi.Step:
		ev.Finding = s.prepareStep(c)
	}
}

// finding is what Prepare made of a command: where the element's session would be after it, if the element is still where it was.
type finding struct {
	seen    uint64 // version of the element
	next    session
	reply   tsmapi.Progress
	refused *tsmapi.Refusal
	repeat  bool // the reply is one that was given
}

// Handle decides one event.
func (s *Service) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	if m, ok := ev.Message.(*unionpay.TokenRequest); ok {
		s.verify(now, ev, m, step)
		return
	}
	switch c := ev.Command.(type) {
	case tsmapi.Register:
		step.Emit(journal.Effect{Reply: s.register(now, c, step)})
	case tsmapi.Open, tsmapi.Step:
		f, ok := ev.Finding.(*finding)
		if !ok {
			step.Emit(journal.Effect{Reply: refusal(tsmapi.Unavailable, nil)})
			return
		}
		step.Emit(journal.Effect{Reply: s.decide(now, f, step)})
	case tsmapi.Inquire:
		step.Emit(journal.Effect{Reply: s.inquire(c)})
	}
}

// decide takes what was found, unless the element has gone on meanwhile.
func (s *Service) decide(now time.Time, f *finding, step *journal.Step) any {
	if f.refused != nil {
		return f.refused
	}
	k := s.state.look(f.next.SEID)
	if k == nil || k.version != f.seen {
		return refusal(tsmapi.Busy, nil)
	}
	if f.repeat {
		return f.reply
	}
	kind := journal.ScriptSent
	if f.next.Ended {
		kind = journal.ScriptReported
	}
	row, err := rowOf(kind, note{Session: &f.next}, f.reply)
	if err != nil {
		return refusal(tsmapi.Unavailable, err)
	}
	row.Payment, row.Reason = f.next.ID, uint16(f.next.Reason)
	step.Decide(now, row, s.state.apply)
	return f.reply
}

func rowOf(kind journal.Kind, n note, reply any) (journal.Row, error) {
	body := noteOf(n)
	answer, err := json.Marshal(reply)
	if err != nil {
		return journal.Row{}, err
	}
	r := journal.Row{Kind: kind, Note: body, Answer: answer}
	if len(body) > journal.MaxBlobBytes || len(answer) > journal.MaxBlobBytes {
		return r, fmt.Errorf("tsm: a step of %d bytes", max(len(body), len(answer)))
	}
	return r, nil
}

// register makes an element known.
func (s *Service) register(now time.Time, c tsmapi.Register, step *journal.Step) any {
	e := c.Element
	if err := checkElement(&e); err != nil {
		return refusal(tsmapi.Malformed, err)
	}
	if s.wallets[e.Wallet] == nil {
		return refusal(tsmapi.UnknownWallet, nil)
	}
	if k := s.state.look(e.SEID); k != nil {
		if k.element != e {
			return refusal(tsmapi.OtherElement, nil)
		}
		return tsmapi.Done{}
	}
	if s.state.count() >= MaxElements {
		return refusal(tsmapi.Full, nil)
	}
	row, err := rowOf(journal.Opened, note{Element: &e}, tsmapi.Done{})
	if err != nil {
		return refusal(tsmapi.Unavailable, err)
	}
	step.Decide(now, row, s.state.apply)
	return tsmapi.Done{}
}

func (s *Service) inquire(c tsmapi.Inquire) any {
	k := s.state.look(c.SEID)
	if k == nil {
		return refusal(tsmapi.UnknownElement, nil)
	}
	out := tsmapi.Standing{Element: k.element, Applications: append([]tsmapi.Application{}, k.applications...)}
	if k.session != nil && !k.session.Ended {
		out.Session = k.session.ID
	}
	return out
}

// Replay rebuilds the state from a committed row.
func (s *Service) Replay(r *journal.Row) error { return s.state.apply(r) }

// Finish has nothing to do: what a row decides is complete.
func (s *Service) Finish(*journal.Effect) {}

// Rearm has nothing to tell: a phone asks again by itself.
func (s *Service) Rearm(time.Time) []journal.Effect { return nil }

// Describe says what a row means.
func (s *Service) Describe(r *journal.Row) glossary.Term {
	switch {
	case r.Kind == journal.Opened:
		return glossary.Term{EN: "secure element registered", ZH: "已登记安全单元"}
	case r.Kind == journal.ScriptReported && r.Reason == 0:
		return glossary.Term{EN: "session with a secure element complete", ZH: "安全单元会话完成"}
	case r.Kind == journal.ScriptReported:
		return tsmapi.Reason(r.Reason).Term()
	case r.Kind == journal.Approved, r.Kind == journal.Declined:
		return unionpay.TokenReason(r.Reason).Term()
	case r.Kind == journal.ScriptSent:
		return glossary.Term{EN: "commands for a secure element", ZH: "已下发安全单元命令"}
	}
	return r.Kind.Term()
}
