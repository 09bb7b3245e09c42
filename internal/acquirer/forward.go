package acquirer

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// forwardOf turns a terminal's request into the switch's: own trace number and reference, transmission time, institutions, merchant [REF 6.4]. The PIN is
// left out; the caller adds the translated one to what it sends, not to what it keeps. What the terminal names in field 61 the switch's dialect names in field
// 90.
func (a *Acquirer) forwardOf(now time.Time, m *unionpay.FinancialRequest, original *payment) *unionpay.FinancialRequest {
	forward := *m
	merchant := a.deps.Merchants[a.terminals[m.Terminal]]
	serial := a.state.requests + 1
	forward.TransmissionTime = now.UTC().Format("0102150405")
	forward.STAN = uint32((serial-1)%traceModulus + 1)
	forward.Acquirer, forward.Forwarder = a.deps.Institution, a.deps.Institution
	forward.MerchantType, forward.MerchantName = merchant.Category, merchant.Name
	forward.RRN = a.reference(now, serial)
	forward.SettlementDate = a.monthDay(now)
	forward.PINBlock, forward.NewPIN, forward.Original = nil, nil, nil
	if original != nil {
		forward.Original = original.named()
	}
	// What only the terminal's dialect has.
	forward.PBOC, forward.Custom, forward.Reserved, forward.Institutions = "", "", "", ""
	if serial, err := unionpay.KeySerialOf(m.Detail); err != nil || !serial.IsZero() {
		forward.Detail = "" // it named the key of a PIN that has another one now
	}
	return &forward
}

// named is the payment in field 90.
func (p *payment) named() *unionpay.Original {
	t := unionpay.TypeFinancialRequest
	if p.business == PreAuth || p.business == PreAuthCancel {
		t = unionpay.TypeAuthorizationRequest
	}
	return unionpay.OriginalAt(p.network, t)
}

// reference is field 37: last digit of the year, day of the year, hour, and the serial number within the acquirer, twelve digits in all.
func (a *Acquirer) reference(now time.Time, serial uint64) string {
	utc := now.UTC()
	return fmt.Sprintf("%d%03d%02d%06d", utc.Year()%10, utc.YearDay(), utc.Hour(), serial%1_000_000)
}

// terminalRequest is the terminal's view of a forwarded request, enough to respond to it in the terminal's dialect.
func terminalRequest(forward *unionpay.FinancialRequest, stan uint32) *unionpay.FinancialRequest {
	m := *forward
	m.STAN, m.TransmissionTime, m.Forwarder, m.MerchantType, m.MerchantName, m.Receiver = stan, "", "", "", "", ""
	return &m
}

// reversalOf builds the reversal of a forwarded request: the same time and trace number, the original named in field 90, no PIN and no track [REF 6.1]. With
// results it tells what became of the scripts in the answer.
func reversalOf(m *unionpay.FinancialRequest, reason unionpay.ResponseCode, results []byte) *unionpay.ReversalRequest {
	p := m.Payment
	if len(results) > 0 {
		p.ICC = p.ICC.Clone()
		p.ICC.Set(emv.TagScriptResults, results)
	}
	p.PINBlock, p.NewPIN, p.PINCapture, p.Security, p.Track2, p.Track3, p.Response = nil, nil, "", "", pan.Track2{}, unionpay.Track3{}, reason
	p.Original = &unionpay.Original{Type: m.Type(), STAN: m.STAN, TransmissionTime: m.TransmissionTime, Acquirer: m.Acquirer, Forwarder: m.Forwarder}
	return &unionpay.ReversalRequest{Payment: p}
}

// counterOf reads the card's transaction counter for the journal, 0 when the message has none.
func counterOf(m *unionpay.FinancialRequest) uint16 {
	if b, ok := m.ICC.Value(emv.TagATC); ok && len(b) == 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// reverse takes a terminal's reversal: acknowledged as soon as it is durable, then delivered to the switch until acknowledged there.
func (a *Acquirer) reverse(now time.Time, ev *journal.Event, m *unionpay.ReversalRequest, step *journal.Step) {
	key, content := unionpay.TerminalKey(m), unionpay.ContentHash(m)
	answer := unionpay.Answer{Response: unionpay.Approved, SettlementDate: a.monthDay(now)}
	if !a.speaksFor(ev.From, m.Terminal) {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.TerminalNotRegistered})})
		return
	}
	original := unionpay.OriginalKey(m)
	finding, _ := ev.Finding.(*reversalFinding)
	if finding == nil {
		finding = &reversalFinding{}
	}
	p, known, err := a.state.payments.Find(original, finding.original, a.state.look)
	if err != nil {
		return // the terminal repeats a reversal until it is acknowledged
	}
	if known {
		answer.RRN = p.given().RRN
	}
	first, taken, err := a.state.taken.Find(key, finding.own, a.state.lookTaken)
	if err != nil {
		return
	}
	if taken {
		answer.SettlementDate = monthDay(first.date)
		if first.content != content {
			answer.Response = unionpay.DuplicateTransmission
		}
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
		return
	}
	r := row(journal.Reversed, &m.Payment)
	r.Key, r.Content, r.Reason, r.Note, r.RRN = key, content, m.Response.Pack(), []byte(original), answer.RRN
	outgoing, planned := a.planReversal(p, m, &r)
	if !planned {
		// No row and no promise: a reversal that is acknowledged must reach the switch. The terminal repeats it.
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.SystemFault})})
		return
	}
	if _, here := a.state.payments.Get(original); known && !here {
		a.state.payments.End(original, p, p.last) // back from the journal, to be changed
	}
	reversal := step.NextSeq()
	a.append(step, now, r)
	if !known {
		// The key is spent: the request may still come, however late.
		a.append(step, now, journal.Row{Kind: journal.Refused, Key: original, Payment: original, Reason: unionpay.ResponseLate.Pack(), Linked: reversal})
	}
	step.Emit(delivery.Awaited(original))
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
	if outgoing != nil {
		a.queue.Send(r.Payment, a.deps.Switch, outgoing, step)
	}
}

// planReversal says what reversing a payment means for the books and for the switch: nothing for a payment that is unknown, refused or already reversed. A load
// that reached the chip stays: the reversal tells the issuer so. It is false when the HSM cannot open the payment now.
func (a *Acquirer) planReversal(p *payment, m *unionpay.ReversalRequest, r *journal.Row) (*unionpay.ReversalRequest, bool) {
	if p == nil || p.network == "" || p.business.persists() || p.sealed == nil || p.status == timedOut || p.status == reversed {
		return nil, true
	}
	forward := p.forward
	if forward == nil {
		forward = a.envelope.OpenRequest(p.sealed)
	}
	if forward == nil {
		return nil, false
	}
	results, _ := m.ICC.Value(emv.TagScriptResults)
	outgoing := reversalOf(forward, m.Response, results)
	r.Linked, r.Payment, r.Answer = p.seq, unionpay.NetworkKey(outgoing), slices.Clone(results)
	r.RRN = forward.RRN
	if p.hold.ID != 0 {
		resolve(r, p.hold, ledger.Void)
		if done, known := p.purseChanged(results); p.business.changesPurse() && known && done {
			r.Phase = ledger.Post
		}
	}
	return outgoing, true
}

// acknowledged ends the repeating of a reversal or a notice.
func (a *Acquirer) acknowledged(now time.Time, ev *journal.Event, m unionpay.Message, step *journal.Step) {
	key, p := unionpay.NetworkKey(m), unionpay.PaymentOf(m)
	v := a.state.outgoing[key]
	if v == nil || !v.settledBy(p.Response) || !a.queue.Acknowledged(key, ev.From, step) {
		return
	}
	r := row(journal.Acknowledged, p)
	r.Payment, r.Linked, r.Reason = key, v.seq, p.Response.Pack()
	a.append(step, now, r)
}

// Rearm picks up after a restart. Answers to what was pending may have been lost with the process, so those payments time out at once; offline payments
// and reversals that nobody acknowledged are sent again.
func (a *Acquirer) Rearm(time.Time) []journal.Effect {
	var step journal.Step
	a.pickUp(a.state.begun.Keys(markPayment), slices.Sorted(maps.Keys(a.state.outgoing)), &step)
	return step.Effects
}

// pickUp goes on with payments and reversals that have not ended. What the HSM cannot open now is tried again later: a payment must end.
func (a *Acquirer) pickUp(payments, reversals []string, step *journal.Step) {
	a.closed, a.closedReversals = nil, nil
	for _, key := range payments {
		p, known := a.state.payments.Get(key)
		if !known || p.status != pending || p.forward != nil {
			continue
		}
		p.forward = a.envelope.OpenRequest(p.sealed)
		switch {
		case p.forward == nil:
			a.closed = append(a.closed, key)
		case p.business.persists():
			a.queue.Send(p.network, a.deps.Switch, p.forward, step)
		default:
			step.Emit(delivery.Overdue(key))
		}
	}
	for _, key := range reversals {
		v := a.state.outgoing[key]
		if v == nil {
			continue
		}
		var m unionpay.Message
		switch opened := a.envelope.Open(v.sealed).(type) {
		case *unionpay.FinancialRequest:
			m = reversalOf(opened, v.reason, v.results)
		case *unionpay.ScriptNotice:
			m = opened
		default:
			a.closedReversals = append(a.closedReversals, key)
			continue
		}
		a.queue.Send(key, a.deps.Switch, m, step)
	}
	if a.closedCount() > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

func (a *Acquirer) closedCount() int { return len(a.closed) + len(a.closedReversals) }
