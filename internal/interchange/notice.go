package interchange

import (
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// prepareNotice finds whose card a notice is about and seals it for rest.
func (s *Switch) prepareNotice(m *unionpay.ScriptNotice) *Finding {
	f := &Finding{own: s.state.reversals.Foresee(unionpay.NetworkKey(m), s.state.lookReversal),
		earlier: s.state.payments.Foresee(unionpay.OriginalKey(m), s.state.look)}
	if !m.PAN.IsZero() {
		f.to = s.route(m.PAN)
	}
	if f.sealed = s.envelope.Seal(m); f.sealed == nil {
		f.refuse = unionpay.SystemFault
	}
	return f
}

// notice takes an acquirer's word for what became of scripts (0620): acknowledged as soon as it is durable, then delivered to the issuer until acknowledged
// there. It goes to whom the payment went that it names; else to the card's issuer.
func (s *Switch) notice(now time.Time, ev *journal.Event, m *unionpay.ScriptNotice, step *journal.Step) {
	answer := func(code unionpay.ResponseCode) {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: code})})
	}
	if !speaksFor(ev.From, &m.Payment) {
		answer(unionpay.TerminalNotRegistered)
		return
	}
	key, content := unionpay.NetworkKey(m), unionpay.ContentHash(m)
	finding, _ := ev.Finding.(*Finding)
	if finding == nil {
		finding = &Finding{refuse: unionpay.SystemFault}
	}
	first, taken, err := s.state.reversals.Find(key, finding.own, s.state.lookReversal)
	switch {
	case err != nil:
		return // the acquirer repeats a notice until it is acknowledged
	case taken && first.content != content:
		answer(unionpay.DuplicateTransmission)
		return
	case taken:
		answer(unionpay.Approved)
		return
	case finding.refuse != "":
		answer(finding.refuse)
		return
	}
	original, to := unionpay.OriginalKey(m), finding.to
	if original != "" {
		p, known, err := s.state.payments.Find(original, finding.earlier, s.state.look)
		if err != nil {
			return
		}
		if known {
			to = p.to
		}
	}
	row := s.row(journal.ScriptReported, &m.Payment, original)
	row.Key, row.Content, row.Note = key, content, partiesNote(ev.From, to, finding.sealed)
	s.append(step, now, row)
	answer(unionpay.Approved)
	if to == "" {
		return
	}
	forward := *m
	forward.Receiver = to
	s.queue.Send(key, to, &forward, step)
}
