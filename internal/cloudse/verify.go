package cloudse

import (
	"time"

	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// verify answers the token service: the first answer to a repeat, a decision to a new payment.
func (s *Service) verify(now time.Time, ev *journal.Event, m *unionpay.TokenRequest, step *journal.Step) {
	f, _ := ev.Finding.(*finding)
	if f == nil || f.failed {
		// Nothing is journaled: a repeat will be decided.
		s.answer(ev, m, f, answer{reason: unionpay.VerifierUnavailable}, step)
		return
	}
	first, seen, err := s.state.payments.Find(f.key, f.recalled, s.state.look)
	if err != nil {
		return // nobody knows whether this is a repeat: no answer is better than a second one
	}
	if seen {
		if first.content == f.content {
			s.answer(ev, m, f, first, step)
			return
		}
		s.decideRow(now, journal.Row{Kind: journal.Refused, Content: f.content, Payment: f.key, RRN: m.RRN, Reason: uint16(unionpay.TokenKeyReused)}, step)
		s.answer(ev, m, f, answer{reason: unionpay.TokenKeyReused}, step)
		return
	}
	p, err := s.payment(now, m, f)
	if err != nil || p == nil {
		s.answer(ev, m, f, answer{reason: unionpay.VerifierUnavailable}, step)
		return
	}
	s.conclude(now, ev, p, s.decide(p), step)
}

// payment joins the message, what Prepare found and the token as it is now. It is nil when Prepare tried another key than the one that serves the counter by
// now: the sender asks again.
func (s *Service) payment(now time.Time, m *unionpay.TokenRequest, f *finding) (*payment, error) {
	p := &payment{now: now, date: s.deps.Calendar.BusinessDate(now), minor: m.Amount.Minor(), m: m, f: f}
	p.abroad = m.Country != "" && m.Country != s.policy.Country
	var err error
	if p.t, err = s.state.cache.token(nameOf(f.data.Reference)); err != nil || p.t == nil {
		return p, err
	}
	p.home = m.Amount.Currency().Number() == p.t.currency
	if !f.chip.present {
		return p, nil
	}
	p.hash = hashPayment(m, &f.chip)
	batch, current := p.t.find(f.chip.atc)
	p.batch = batch
	if f.slot != current && p.t.speaks(&f.chip.iad) && f.chip.agrees && f.number == p.t.fingerprint {
		return nil, nil
	}
	return p, nil
}

// conclude makes the decision durable and answers.
func (s *Service) conclude(now time.Time, ev *journal.Event, p *payment, out outcome, step *journal.Step) {
	n := note{cause: out.cause}
	set := func(on bool, flag byte) {
		if on {
			n.flags |= flag
		}
	}
	set(out.uses, noteUses)
	set(out.wrong, noteWrong)
	set(out.right, noteRight)
	set(out.counts, noteCounts)
	set(p.abroad, noteAbroad)
	set(out.proven, noteProven)
	if p.f.slot.found {
		n.flags |= noteHasClass
		n.class = p.f.slot.class
	}
	if out.uses {
		n.hash = p.hash
	}
	row := journal.Row{
		Kind: journal.Declined, Key: p.f.key, Content: p.f.content, RRN: p.m.RRN, Terminal: p.m.Terminal, STAN: p.m.STAN, ATC: p.f.chip.atc,
		Reason: uint16(out.reason), Amount: p.minor, Currency: uint16(p.m.Amount.Currency().Number()), BusinessDate: p.date, Note: n.bytes(),
	}
	if out.reason == unionpay.TokenVerified {
		row.Kind = journal.Approved
	}
	if p.t != nil {
		row.Card, row.Payment = p.t.id, p.t.ref
	}
	serial := step.NextSeq()
	s.decideRow(now, row, step)
	s.answer(ev, p.m, p.f, answer{reason: out.reason, class: n.credential(), proven: out.proven}, step)
	if out.cause != 0 {
		s.raise(alarmKey(row.Payment, out.cause, serial), step)
	}
}

// decideRow makes a row part of the step and of the state.
func (s *Service) decideRow(now time.Time, row journal.Row, step *journal.Step) {
	step.Decide(now, row, s.state.apply)
}

// answer emits the response. It depends on the request and the answer only, so that a repeat gets the same bytes.
func (s *Service) answer(ev *journal.Event, m *unionpay.TokenRequest, f *finding, a answer, step *journal.Step) {
	d := unionpay.TokenData{Operation: unionpay.OperationVerify, Reason: a.reason, Class: a.class, Storage: unionpay.StorageHCE}
	if f != nil {
		d.Reference = f.data.Reference
		d.Requestor = f.data.Requestor
	}
	switch {
	case a.reason == unionpay.TokenVerified:
		d.Verification = unionpay.CryptogramVerified
	case a.class != 0:
		d.Verification = unionpay.CryptogramRefused
	default:
		d.Verification = unionpay.NotVerified
	}
	// The evidence is only as good as the tag over it: it is passed on where that was right.
	if f != nil && a.proven {
		e := f.chip.iad.Evidence
		d.Evidence = &unionpay.TokenEvidence{Method: byte(e.CVM), Age: e.CVMAge, Risk: byte(e.Risk), Latency: e.Latency}
	}
	opaque, err := d.Opaque()
	if err != nil {
		panic("cloudse: own answer: " + err.Error()) // every part was parsed
	}
	response, ok := unionpay.Respond(m, unionpay.Answer{Response: a.reason.ResponseCode()}).(*unionpay.TokenResponse)
	if !ok {
		panic("cloudse: a token request has another response")
	}
	response.Additional = opaque
	step.Emit(journal.Effect{To: ev.From, Message: response})
}

// raise tells of an alarm; it is told again until somebody has taken notice.
func (s *Service) raise(key string, step *journal.Step) {
	step.Emit(journal.Effect{Finding: alarmOf(key)})
	step.Emit(journal.Effect{Timer: timerAlarms, After: alarmAgain})
}

const (
	timerAlarms = "cloudse alarms"
	// alarmAgain is how long an alarm waits to be taken notice of: a person is at its end, but the service in between is a machine.
	alarmAgain = time.Minute
)

// remind tells of every alarm that still waits.
func (s *Service) remind() []journal.Effect {
	var all []journal.Effect
	for _, key := range s.state.alarms.Keys(markAlarm) {
		all = append(all, journal.Effect{Finding: alarmOf(key)})
	}
	if len(all) > 0 {
		all = append(all, journal.Effect{Timer: timerAlarms, After: alarmAgain})
	}
	return all
}

// Finish tells of an alarm that has become durable.
func (s *Service) Finish(eff *journal.Effect) {
	if a, ok := eff.Finding.(cloudseapi.Alarm); ok && s.deps.Notify != nil {
		s.deps.Notify(a)
	}
}
