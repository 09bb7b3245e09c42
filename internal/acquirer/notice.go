package acquirer

import (
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/tlv"
)

// notice takes a terminal's word for what became of scripts (0620): acknowledged as soon as it is durable, then delivered to the switch until acknowledged
// there. Of a cash load and its void it settles what the merchant owes, as it settles the load at the bank [REF 5].
func (a *Acquirer) notice(now time.Time, ev *journal.Event, m *unionpay.ScriptNotice, step *journal.Step) {
	key, content := unionpay.TerminalKey(m), unionpay.ContentHash(m)
	answer := unionpay.Answer{Response: unionpay.Approved, SettlementDate: a.monthDay(now)}
	if !a.speaksFor(ev.From, m.Terminal) {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.TerminalNotRegistered})})
		return
	}
	finding, _ := ev.Finding.(*reversalFinding)
	if finding == nil {
		finding = &reversalFinding{}
	}
	first, taken, err := a.state.taken.Find(key, finding.own, a.state.lookTaken)
	if err != nil {
		return // the terminal repeats a notice until it is acknowledged
	}
	if taken {
		answer.SettlementDate = monthDay(first.date)
		if first.content != content {
			answer.Response = unionpay.DuplicateTransmission
		}
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
		return
	}
	original := unionpay.OriginalKey(m)
	p, known, err := a.state.payments.Find(original, finding.original, a.state.look)
	if err != nil {
		return
	}
	if !known || p.network == "" {
		p = &payment{}
	}
	forward := a.noticeOf(now, m, p)
	sealed := a.envelope.Seal(forward)
	if sealed == nil {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.SystemFault})})
		return
	}
	r := row(journal.ScriptReported, &m.Payment)
	r.Key, r.Content, r.Payment, r.Note, r.RRN, r.Linked = key, content, unionpay.NetworkKey(forward), sealed, forward.RRN, p.seq
	r.Answer = []byte(original)
	results, _ := m.ICC.Value(emv.TagScriptResults)
	if done, told := p.purseChanged(results); told && p.hold.ID != 0 && p.business.changesPurse() {
		phase := ledger.Void
		if done {
			phase = ledger.Post
		}
		resolve(&r, p.hold, phase)
	}
	a.append(step, now, r)
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
	a.queue.Send(r.Payment, a.deps.Switch, forward, step)
}

// noticeOf turns a terminal's notice into the switch's.
func (a *Acquirer) noticeOf(now time.Time, m *unionpay.ScriptNotice, p *payment) *unionpay.ScriptNotice {
	forward := *m
	merchant := a.deps.Merchants[a.terminals[m.Terminal]]
	forward.TransmissionTime = now.UTC().Format("0102150405")
	forward.STAN = uint32(a.state.requests%traceModulus + 1)
	forward.Acquirer, forward.Forwarder = a.deps.Institution, a.deps.Institution
	forward.MerchantType, forward.MerchantName = merchant.Category, merchant.Name
	forward.SettlementDate = a.monthDay(now)
	forward.PINBlock, forward.Track2, forward.Original = nil, pan.Track2{}, p.named()
	if p.rrn != "" {
		forward.RRN = p.rrn
	}
	forward.PBOC, forward.Custom, forward.Reserved, forward.Institutions = "", "", "", ""
	return &forward
}

// Layout of a result in DF31 [REF 5]: result and number of the command that failed, then the script's identifier.
const (
	resultBytes   = 5
	resultDone    = 2
	statusShift   = 4
	identifierAt  = 1
	templateDepth = emv.TagScript2
)

// purseChanged reports what results of scripts say about the script in the payment's own answer: whether the chip followed, and whether they speak of it at
// all.
func (p *payment) purseChanged(results []byte) (done, told bool) {
	if p == nil || len(p.answer) == 0 {
		return false, false
	}
	template, _ := p.given().ICC.Value(templateDepth)
	id, found := tlv.Find(template, emv.TagScriptID)
	if !found || len(id) != resultBytes-identifierAt {
		return false, false
	}
	for ; len(results) >= resultBytes; results = results[resultBytes:] {
		if string(results[identifierAt:resultBytes]) == string(id) {
			return results[0]>>statusShift == resultDone, true
		}
	}
	return false, false
}

// applyNotice folds a notice.
func (s *state) applyNotice(r *journal.Row) error {
	s.requests++
	s.taken.End(r.Key, receivedOf(r), r.Seq)
	if err := s.resolved(r, string(r.Answer)); err != nil {
		return err
	}
	s.outgoing[r.Payment] = outgoingOf(r, append([]byte(nil), r.Note...))
	s.begun.Begin(r.Key, markReversal)
	return nil
}

// cardsLastWord makes the row of an advice that the bank took release the hold of the payment, when the advice is the card's refusal: the bank has let it go as
// well, for it has checked the cryptogram. It is false when nobody knows the payment now.
func (a *Acquirer) cardsLastWord(p *payment, r *journal.Row) bool {
	data, _ := p.forward.ICC.Value(emv.TagIAD)
	iad, err := emv.ParseIAD(data)
	if err != nil || p.original == "" {
		return true
	}
	if second, asked := iad.CVR.Second(); !asked || second.Type() != emv.AAC {
		return true
	}
	original, known, err := a.state.payments.Find(p.original, journal.Recall[*payment]{}, a.state.look)
	if err != nil {
		return false
	}
	if known && original.business == Sale && original.hold.ID != 0 && original.hold.Amount == p.amount {
		resolve(r, original.hold, ledger.Void)
		r.Note = []byte(p.original)
	}
	return true
}
