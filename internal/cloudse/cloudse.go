package cloudse

import (
	"context"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/glossary"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Service is the cloud secure element's core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type Service struct {
	deps   Deps
	policy Policy
	state  *state
}

// New makes a service without tokens. Its state comes from Replay and from enrolments.
func New(deps Deps) (*Service, error) {
	if err := deps.check(); err != nil {
		return nil, err
	}
	policy := deps.Policy.orDefault()
	if n := policy.CVMKeys + policy.OpenKeys; n < 1 || n > cloudkey.MaxKeys {
		return nil, errKeys
	}
	return &Service{deps: deps, policy: policy, state: newState(deps.Capacity, policy)}, nil
}

// Institution is the service's own id.
func (s *Service) Institution() string { return s.deps.Institution }

// Handle decides one event.
func (s *Service) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	if m, ok := ev.Message.(*unionpay.TokenRequest); ok {
		s.verify(now, ev, m, step)
		return
	}
	if ev.Timer == timerAlarms {
		for _, e := range s.remind() {
			step.Emit(e)
		}
		return
	}
	switch c := ev.Command.(type) {
	case cloudseapi.Enrolment:
		step.Emit(journal.Effect{Reply: s.enrol(now, ev, step)})
	case cloudseapi.Replenish:
		step.Emit(journal.Effect{Reply: s.replenish(now, ev, step)})
	case cloudseapi.Confirm:
		step.Emit(journal.Effect{Reply: s.confirm(now, ev, step)})
	case cloudseapi.Suspend:
		step.Emit(journal.Effect{Reply: s.change(now, c.Token, changeSuspend, step)})
	case cloudseapi.Resume:
		step.Emit(journal.Effect{Reply: s.change(now, c.Token, changeResume, step)})
	case cloudseapi.Revoke:
		step.Emit(journal.Effect{Reply: s.change(now, c.Token, changeRevoke, step)})
	case cloudseapi.Inquire:
		step.Emit(journal.Effect{Reply: s.inquire(c.Token)})
	case cloudseapi.AlarmHandled:
		s.decideRow(now, journal.Row{Kind: journal.Answered, Note: []byte(c.Key)}, step)
		step.Emit(journal.Effect{Reply: cloudseapi.Done{}})
	}
}

// change suspends, resumes or revokes. What is so already is done without a row.
func (s *Service) change(now time.Time, ref string, what uint16, step *journal.Step) any {
	t, err := s.state.cache.token(nameOf(ref))
	if err != nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	if t == nil {
		return refusal(cloudseapi.UnknownToken, nil)
	}
	suspended := t.causes&cloudseapi.CauseService != 0
	if what == changeSuspend && suspended || what == changeResume && !suspended {
		return cloudseapi.Done{}
	}
	s.decideRow(now, journal.Row{Kind: journal.CardChanged, Card: t.id, Payment: t.ref, Reason: what}, step)
	return cloudseapi.Done{}
}

func (s *Service) inquire(ref string) any {
	t, err := s.state.cache.look(nameOf(ref))
	if err != nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	if t == nil {
		return refusal(cloudseapi.UnknownToken, nil)
	}
	return t.standing()
}

// Open implements journal.Keeper.
func (s *Service) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	return s.state.open(ctx, archive, watermark)
}

// WriteBack implements journal.Keeper.
func (s *Service) WriteBack(back *journal.Back, rows int, durable uint64) {
	s.state.writeBack(back, rows, durable)
}

// Replay rebuilds the state from a committed row.
func (s *Service) Replay(r *journal.Row) error {
	err := s.state.apply(r)
	s.state.payments.Settle(r.Seq)
	return err
}

// Rearm tells again of the alarms that nobody has taken notice of.
func (s *Service) Rearm(time.Time) []journal.Effect { return s.remind() }

// Describe says what a row means.
func (s *Service) Describe(r *journal.Row) glossary.Term {
	switch r.Kind {
	case journal.Approved, journal.Declined:
		return unionpay.TokenReason(r.Reason).Term()
	case journal.Opened:
		return glossary.Term{EN: "token bound to a device", ZH: "令牌已绑定设备"}
	case journal.KeysChanged:
		return glossary.Term{EN: "batch of keys made", ZH: "已生成一批密钥"}
	case journal.Acknowledged:
		return glossary.Term{EN: "batch confirmed by the phone", ZH: "手机已确认收到密钥"}
	case journal.Noted:
		if terms := cloudseapi.Cause(r.Reason).Terms(); len(terms) > 0 {
			return terms[0]
		}
	case journal.Answered:
		return glossary.Term{EN: "alarm taken notice of", ZH: "告警已处理"}
	case journal.CardChanged:
		switch r.Reason {
		case changeSuspend:
			return glossary.Term{EN: "keys suspended by the token service", ZH: "令牌服务暂停密钥"}
		case changeResume:
			return glossary.Term{EN: "keys resumed", ZH: "密钥已恢复"}
		case changeRevoke:
			return glossary.Term{EN: "keys revoked", ZH: "密钥已撤销"}
		}
	}
	return r.Kind.Term()
}
