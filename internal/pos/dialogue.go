package pos

import (
	"errors"
	"time"

	"tapnet/emv"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Conclude is the command that says what the card in the slot made of the issuer's answer. The reply is Concluded or an error.
type Conclude struct {
	Trace Trace
	End   CardEnd
	Last  emv.Data // field 55 of the last cryptogram, with the results of scripts
	Slip  Slip
}

// Concluded is the reply to Conclude.
type Concluded struct{ Status Status }

// CardEnd is what the card made of an approval.
type CardEnd uint8

// The ends.
const (
	CardFollowed CardEnd = iota + 1
	CardDeclined         // the approval is reversed, or for a load the script result tells the issuer
	CardGone             // only the card knows: its next cryptogram tells the issuer
	CardKeptOld          // it approved, and the script did nothing: the script result tells the issuer
)

var errTrace = errors.New("pos: no such transaction is under way")

// conclude writes down what the card said, and sends on what others must know of it.
func (t *Till) conclude(now time.Time, c Conclude, step *journal.Step) {
	p := t.state.named(c.Trace)
	if p == nil || p.stage != inSlot && p.stage != ended {
		step.Emit(journal.Effect{Reply: errTrace})
		return
	}
	request := p.request()
	if request == nil { // it has ended, so the message is at rest
		request = t.openRequest(p.sealed)
	}
	if request == nil {
		step.Emit(journal.Effect{Reply: errors.New("pos: the secure module cannot open the transaction")})
		return
	}
	if p.stage == inSlot {
		p.sale = 0
		t.cardSaid(now, p, request, c, step)
	}
	if _, told := c.Last.Value(emv.TagScriptResults); told && c.End != CardGone { // then only the card knows
		t.notify(now, p, request, c.Last, step)
	}
	t.drained(now, step)
	step.Emit(journal.Effect{Reply: Concluded{p.status}})
}

// cardSaid ends a dialogue.
func (t *Till) cardSaid(now time.Time, p *payment, request *unionpay.FinancialRequest, c Conclude, step *journal.Step) {
	last := *request
	last.ICC = finalTags(request.ICC, c.Last)
	sealed := t.seal(atRest(&last), c.Slip) // nil when the secure module cannot: then the slip shows what was said first
	follow := func(kind journal.Kind) {
		t.append(step, now, journal.Row{Kind: kind, Terminal: request.Terminal, STAN: p.trace.STAN, ATC: counterOf(last.ICC), Amount: p.minor,
			Currency: uint16(request.Amount.Currency().Number()), Linked: p.seq, Payment: p.key, Note: sealed})
	}
	switch {
	case c.End == CardFollowed:
		follow(journal.Completed)
		if t.deps.AdviseTC && p.verb == VerbSale {
			t.advise(now, p, &last, step)
		}
	case c.End == CardGone:
		follow(journal.Expired)
	case p.verb.isLoad(), c.End == CardKeptOld:
		follow(journal.Declined)
	default:
		t.takeBack(now, p, journal.Reversed, unionpay.ReasonOther, sealed, c.Last, step)
	}
}

// breakOff ends a dialogue that nobody goes on with: the till was killed while the card was in the slot. A payment is taken back; of a load the issuer learns
// from the card's next cryptogram.
func (t *Till) breakOff(now time.Time, p *payment, step *journal.Step) {
	if p.verb.isLoad() || p.verb.managesPIN() {
		t.append(step, now, journal.Row{Kind: journal.Expired, Terminal: t.deps.Terminal, STAN: p.trace.STAN, Linked: p.seq, Payment: p.key})
		t.drained(now, step)
		return
	}
	t.takeBack(now, p, journal.Reversed, unionpay.ReasonSystemFault, nil, emv.Data{}, step)
}

// lastWord is what the card said last, empty when it said nothing more; false when the secure module cannot open it now.
func (t *Till) lastWord(p *payment) (emv.Data, bool) {
	if len(p.final) == 0 {
		return emv.Data{}, true
	}
	m, _, ok := t.open(p.final)
	if !ok {
		return emv.Data{}, false
	}
	return unionpay.PaymentOf(m).ICC, true
}

// finalTags are those of a request, with what the card said last, and the results of scripts behind them.
func finalTags(first, last emv.Data) (icc emv.Data) {
	for _, tag := range onlineTags {
		if value, ok := (emv.Sources{last, first}).Value(tag); ok {
			icc.Set(tag, value)
		}
	}
	if value, ok := last.Value(emv.TagScriptResults); ok {
		icc.Set(emv.TagScriptResults, value)
	}
	return icc
}

// noticeTags is field 55 of a script notice, in order [REF 6.1].
var noticeTags = [...]tagNumber{
	emv.TagTerminalCapabilities, emv.TagTVR, emv.TagUnpredictableNumber, emv.TagDeviceSerial, emv.TagIAD, emv.TagAC, emv.TagATC, emv.TagAIP, emv.TagScriptResults,
	emv.TagTerminalCountry, emv.TagTransactionDate,
}

// Field 60.3 of a script notice [REF 6.1].
const networkScript = "951"

// notify sends what became of the scripts (0620), again and again until it is acknowledged.
func (t *Till) notify(now time.Time, p *payment, request *unionpay.FinancialRequest, last emv.Data, step *journal.Step) {
	m := &unionpay.ScriptNotice{Payment: request.Payment}
	answer, err := unionpay.ParseAnswer(p.answer)
	if err != nil {
		panic("pos: a checked answer cannot be read: " + err.Error())
	}
	q := &m.Payment
	q.NewPIN = nil
	q.PINBlock, q.PINCapture, q.Security, q.Detail, q.Additional, q.Reserved = nil, "", "", "", "", ""
	q.Track2 = emptyTrack
	q.Acquirer, q.RRN, q.AuthCode = t.deps.Acquirer, answer.RRN, answer.AuthCode
	q.Info.MessageType, q.Info.NetworkCode = unionpay.KindNetwork, networkScript
	q.Original = &unionpay.Original{Batch: p.trace.Batch, STAN: p.trace.STAN, Date: answer.LocalDate}
	q.ICC = emv.Data{}
	for _, tag := range noticeTags {
		if value, ok := (emv.Sources{last, request.ICC}).Value(tag); ok {
			q.ICC.Set(tag, value)
		}
	}
	t.number(now, q, step)
	sealed := t.seal(m, Slip{})
	if sealed == nil {
		return // the issuer learns it from the card's next cryptogram
	}
	r := beginRow(journal.ScriptSent, m, header{verb: VerbScriptNotice, of: p.trace}.bytes(sealed))
	r.Linked = p.seq
	t.append(step, now, r)
	t.state.payments[r.Key].message = m
	t.queue.Send(r.Key, t.deps.Acquirer, m, step)
}

// noticed ends the repeating of a script notice.
func (t *Till) noticed(now time.Time, from string, m *unionpay.ScriptNoticeResponse, step *journal.Step) {
	key := unionpay.TerminalKey(m)
	p := t.state.payments[key]
	if p == nil || p.begin != journal.ScriptSent || !delivery.Definite(m.Response) || !t.queue.Acknowledged(key, from, step) {
		return
	}
	t.append(step, now, journal.Row{Kind: journal.ScriptReported, Terminal: t.deps.Terminal, STAN: m.STAN, Linked: p.seq, Payment: key, Reason: m.Response.Pack()})
	t.drained(now, step)
}

// advise sends the card's last word (0220), which names its payment.
func (t *Till) advise(now time.Time, p *payment, last *unionpay.FinancialRequest, step *journal.Step) {
	m := *last
	answer, err := unionpay.ParseAnswer(p.answer)
	if err != nil {
		panic("pos: a checked answer cannot be read: " + err.Error())
	}
	m.Advice, m.RRN, m.AuthCode = true, answer.RRN, answer.AuthCode
	m.PINBlock, m.PINCapture, m.Security, m.Detail, m.Track2 = nil, "", "", "", emptyTrack
	m.Original = &unionpay.Original{Batch: p.trace.Batch, STAN: p.trace.STAN, Date: answer.LocalDate}
	t.number(now, &m.Payment, step)
	sealed := t.seal(&m, Slip{})
	if sealed == nil {
		return // the certificate stays in the journal with the payment
	}
	r := beginRow(journal.Advised, &m, header{verb: VerbCardAdvice, of: p.trace}.bytes(sealed))
	r.Linked = p.seq
	t.append(step, now, r)
	t.state.payments[r.Key].message = &m
	t.queue.Send(r.Key, t.deps.Acquirer, &m, step)
}
