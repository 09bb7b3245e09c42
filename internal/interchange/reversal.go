package interchange

import (
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// reversalOf builds the switch's own reversal of a request that was not answered in time. It keeps the original's time and trace number; the forwarder is the
// switch (set by the caller), which makes its key differ from a reversal by the acquirer. It carries no PIN and no track [REF 6.1].
func reversalOf(m *unionpay.FinancialRequest) *unionpay.ReversalRequest {
	p := m.Payment
	p.PINBlock, p.NewPIN, p.PINCapture, p.Security, p.Track2, p.Track3, p.Response = nil, nil, "", "", pan.Track2{}, unionpay.Track3{}, unionpay.ReasonTimeout
	p.Original = &unionpay.Original{Type: m.Type(), STAN: m.STAN, TransmissionTime: m.TransmissionTime, Acquirer: m.Acquirer, Forwarder: m.Forwarder}
	return &unionpay.ReversalRequest{Payment: p}
}

// timeout reverses a payment whose issuer did not answer in time, and tells the acquirer.
func (s *Switch) timeout(now time.Time, key string, step *journal.Step) {
	p, known := s.state.payments.Get(key)
	if s.unresolved(now, key, step) || !known || p.status != pending || p.request == nil {
		return
	}
	request, from := p.request, p.from
	m := reversalOf(request)
	m.Forwarder = s.deps.Institution
	answer := unionpay.Answer{Response: unionpay.IssuerTimeout, SettlementDate: request.SettlementDate}
	row := s.row(journal.TimedOut, &request.Payment, key)
	row.Key, row.Linked, row.Reason, row.Answer = unionpay.NetworkKey(m), p.seq, answer.Response.Pack(), answer.AppendBinary(nil)
	s.append(step, now, row)
	step.Emit(journal.Effect{To: from, Message: unionpay.Respond(request, answer)})
	s.deliver(row.Key, request.Receiver, m, step)
}

// reverse takes a reversal from an acquirer: acknowledged as soon as it is durable, then delivered to the issuer until acknowledged there.
func (s *Switch) reverse(now time.Time, ev *journal.Event, m *unionpay.ReversalRequest, step *journal.Step) {
	if !speaksFor(ev.From, &m.Payment) {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.TerminalNotRegistered})})
		return
	}
	key, content := unionpay.NetworkKey(m), unionpay.ContentHash(m)
	answer := unionpay.Answer{Response: unionpay.Approved}
	finding, _ := ev.Finding.(*Finding)
	if finding == nil {
		finding = &Finding{refuse: unionpay.SystemFault}
	}
	first, taken, err := s.state.reversals.Find(key, finding.own, s.state.lookReversal)
	if err != nil {
		return // the acquirer repeats a reversal until it is acknowledged
	}
	if taken {
		if first.content != content {
			answer.Response = unionpay.DuplicateTransmission
		}
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
		return
	}
	if finding.refuse != "" {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.SystemFault})})
		return
	}
	originalKey, to := unionpay.OriginalKey(m), finding.to
	p, known, err := s.state.payments.Find(originalKey, finding.earlier, s.state.look)
	if err != nil {
		return
	}
	if s.isToken(m.PAN) {
		if to = ""; known {
			to = p.to
		}
		s.abandon(originalKey, step)
	}
	if known && p.to == "" {
		to = "" // the switch itself refused the original: no issuer ever saw it
	}
	row := s.row(journal.Reversed, &m.Payment, originalKey)
	row.Key, row.Content, row.Reason, row.Note = key, content, m.Response.Pack(), partiesNote(ev.From, to, finding.sealed)
	reversal := step.NextSeq()
	s.append(step, now, row)
	if !known && namesRequest(originalKey) {
		// The key is spent: the request may still come, however late.
		s.append(step, now, journal.Row{Kind: journal.Refused, Key: originalKey, Payment: originalKey, Reason: unionpay.ResponseLate.Pack(), Linked: reversal})
	}
	step.Emit(delivery.Awaited(originalKey))
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
	if to == "" {
		return
	}
	forward := *m
	forward.Receiver = to
	s.deliver(key, to, &forward, step)
}

// namesRequest tells the key of a payment from that of a reversal, which a message may name as its original as well: that one is not spent, it may be a row's.
func namesRequest(key string) bool {
	return key != "" && key[len(key)-1] != unionpay.TypeReversalRequest.Class()
}

// acknowledged ends the repeating of a reversal or a notice. A notice about a card that its issuer does not know is not asked again.
func (s *Switch) acknowledged(now time.Time, ev *journal.Event, m unionpay.Message, step *journal.Step) {
	key, p := unionpay.NetworkKey(m), unionpay.PaymentOf(m)
	v, known := s.state.reversals.Get(key)
	settled := delivery.Settles(p.Response) || known && v.notice && delivery.Definite(p.Response)
	if !known || !settled || !s.queue.Acknowledged(key, ev.From, step) {
		return
	}
	row := s.row(journal.Acknowledged, p, v.original)
	row.Linked, row.Reason = v.seq, p.Response.Pack()
	s.append(step, now, row)
}

// Rearm picks up after a restart. Answers to what was pending may have been lost with the process, so those payments time out at once; reversals that
// nobody acknowledged are sent again.
func (s *Switch) Rearm(time.Time) []journal.Effect {
	var step journal.Step
	s.pickUp(s.state.begun.Keys(markPayment), s.state.begun.Keys(markReversal), &step)
	return step.Effects
}

// pickUp goes on with payments and reversals that have not ended. What the HSM cannot open now is tried again later: a payment must end.
func (s *Switch) pickUp(payments, reversals []string, step *journal.Step) {
	s.closed, s.closedReversals = nil, nil
	for _, key := range payments {
		p, known := s.state.payments.Get(key)
		if !known || p.status != pending || p.request != nil {
			continue
		}
		request := s.envelope.OpenRequest(p.sealed)
		if request == nil {
			s.closed = append(s.closed, key)
			continue
		}
		if !persists(request) {
			request.Receiver, request.SettlementDate = p.to, monthDay(p.date)
			p.request = request
			step.Emit(delivery.Overdue(key))
		}
	}
	for _, key := range reversals {
		v, known := s.state.reversals.Get(key)
		if !known || v.sealed == nil {
			continue
		}
		m := s.reopen(v)
		if m == nil {
			s.closedReversals = append(s.closedReversals, key)
			continue
		}
		s.deliver(key, v.to, m, step)
	}
	if s.closedCount() > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

func (s *Switch) closedCount() int { return len(s.closed) + len(s.closedReversals) }

// reopen rebuilds the message of a stored notice or reversal: the acquirer's own, or the switch's from the request it reverses.
func (s *Switch) reopen(v *reversal) unionpay.Message {
	switch m := s.envelope.Open(v.sealed).(type) {
	case *unionpay.ScriptNotice:
		m.Receiver = v.to
		return m
	case *unionpay.ReversalRequest:
		m.Receiver = v.to
		return m
	case *unionpay.FinancialRequest:
		built := reversalOf(m)
		built.Forwarder, built.Receiver, built.SettlementDate = s.deps.Institution, v.to, monthDay(v.date)
		return built
	}
	return nil
}
