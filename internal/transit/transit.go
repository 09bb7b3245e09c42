package transit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tapnet/gate"
	"tapnet/glossary"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// Office is the core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type Office struct {
	deps     Deps
	state    *state
	queue    delivery.Queue
	envelope delivery.Envelope
	archive  journal.Archive
	recent   []kept
	closed   []string          // keys of requests that the security module could not open after a restart
	under    int               // requests under way
	verify   []doubt           // credentials to be verified when there is room
	troubles uint64            // riders whose taps could not be rated
	riders   map[int32][]stamp // when accounts asked for a debt again by themselves, within the last hour
	kept     keptState
	saving   *saving // nil: no snapshot is on its way
	saveSoon bool
	work     atomic.Pointer[keyWork] // what is to be named under a new key next
	pass     keyPass
	ranOut   outsideSweep
}

// New makes an office that has seen no tap.
func New(deps Deps) (*Office, error) {
	deps.withDefaults()
	if err := deps.check(); err != nil {
		return nil, err
	}
	o := &Office{deps: deps}
	var err error
	if o.state, err = newState(&o.deps); err != nil {
		return nil, err
	}
	o.envelope = delivery.Envelope{Vault: deps.Vault, Key: deps.SealKey, Context: sealContext, Dialect: unionpay.Terminal}
	return o, nil
}

// Prepare verifies a chunk, names what comes from outside, and opens what is to be named under a new key: all that costs time and needs no state but which
// keys are in use.
func (o *Office) Prepare(ev *journal.Event) {
	switch c := ev.Command.(type) {
	case Ingest:
		ev.Finding = o.prepareChunk(&c.Chunk)
	case List:
		ev.Finding = o.prepareEntries(c.Entries, o.state.shared.all(), true)
	case Unlist:
		ev.Finding = o.prepareEntries(c.Entries, o.state.shared.all(), false)
	}
	if ev.Timer == keysTimer {
		if w := o.work.Load(); w != nil {
			ev.Finding = o.openWork(w)
		}
	}
}

// Handle decides one event.
func (o *Office) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	o.handle(now, ev, step)
	o.tellUnited(now, step)
}

func (o *Office) handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialResponse:
		o.answered(now, ev.From, m, step)
		return
	case *unionpay.ReversalResponse:
		o.acknowledged(now, ev.From, m, step)
		return
	}
	if ev.Command != nil {
		o.command(now, ev, step)
		return
	}
	switch ev.Timer {
	case closeTimer:
		o.closeSome(now, step)
	case listTimer:
		o.publishOn(now, step)
	case keysTimer:
		o.rotateOn(now, ev, step)
	case dueTimer, purseTimer:
		o.pump(now, step)
	default:
		if key, ok := strings.CutPrefix(ev.Timer, voidTimer); ok {
			if p := o.state.payments[key]; p != nil && p.status == held && p.ask == AskVerify {
				o.void(now, p, step)
			}
			return
		}
		o.queue.Due(ev.Timer, step, func(key string) { o.timeout(now, key, step) }, func() { o.pickUp(o.closed, step) })
	}
}

func (o *Office) command(now time.Time, ev *journal.Event, step *journal.Step) {
	switch c := ev.Command.(type) {
	case Ingest:
		o.ingest(now, ev, &c.Chunk, step)
	case CloseDay:
		o.closeDay(now, c, step)
	case CloseOn:
		o.closeSome(now, step)
		step.Emit(journal.Effect{Reply: o.progress()})
	case Publish:
		done, _ := o.publish(now, true, allDeltas, step)
		step.Emit(journal.Effect{Reply: done})
	case BuildBase:
		step.Emit(journal.Effect{Reply: o.base(now)})
	case Heard:
		o.heard(now, c, step)
	case Claim:
		o.claim(now, c, step)
	case List:
		o.list(now, ev, c, step)
	case Unlist:
		o.unlist(now, ev, c, step)
	case Rotate:
		step.Emit(journal.Effect{Reply: o.rotate(now, c, step)})
	case Retire:
		step.Emit(journal.Effect{Reply: o.retire(now, c, step)})
	case delivery.Up:
		o.queue.Reached(c.Peer, step)
	default:
		if reply, asked := o.view(now, ev.Command); asked {
			step.Emit(journal.Effect{Reply: reply})
			return
		}
		o.desk(now, ev.Command, step)
	}
}

// BuildBase is the command that asks for the whole list. The reply is a Base.
type BuildBase struct{}

// append makes a decided row part of the step and of the state.
func (o *Office) append(step *journal.Step, now time.Time, row journal.Row) {
	if row.BusinessDate == 0 {
		row.BusinessDate = dateNumber(o.deps.Book.ServiceDate(now))
	}
	step.Decide(now, row, o.state.apply)
}

const (
	dueTimer   = "due"
	purseTimer = "purse"
)

// follow does what new taps ask for: verifications, bills that need not wait for the close, recoveries.
func (o *Office) follow(now time.Time, found *received, pieces []piece, touched map[int32]bool, step *journal.Step) {
	s := o.state
	for _, p := range pieces {
		for i := p.from; i < p.to; i++ {
			if r := &found.records[i]; r.Kind == gate.TapRecord && r.Reason == gate.DeniedDebt && found.tapped[i] != 0 {
				o.recover(now, s.credentials[found.tapped[i]])
			} else if found.tapped[i] != 0 && provesCopy(r) {
				o.accuse(now, s.credentials[found.tapped[i]], r.At, step)
			}
		}
	}
	risky := o.risks(found, pieces)
	for _, n := range slices.Sorted(maps.Keys(touched)) {
		c := s.credentials[n]
		o.judge(now, c, step)
		if o.distrusts(now, c, risky[n]) {
			o.verify = append(o.verify, doubt{n, risky[n]})
		}
		o.early(now, s.accounts[c.account], step)
	}
	o.pump(now, step)
}

// doubt is a credential to be verified, and whether a mark of its tap is the reason.
type doubt struct {
	credential int32
	risky      bool
}

// riskMarks of a tap that opened ask for a verification though the last approval still stands [REF 2.4]: the gate's list was old, the card proved nothing, or
// it tapped where it should not have been able to.
const riskMarks = gate.FlagStaleList | gate.FlagNoODA | gate.FlagCounter | gate.FlagTooOften

// risks gives the credentials with such a tap since their last approval.
func (o *Office) risks(found *received, pieces []piece) map[int32]bool {
	var risky map[int32]bool
	if o.deps.Profile.RiskTrust == 0 {
		return nil
	}
	for _, p := range pieces {
		for i := p.from; i < p.to; i++ {
			r, n := &found.records[i], found.tapped[i]
			if n == 0 || r.Kind != gate.TapRecord || r.Reason != gate.OK || r.Flags&riskMarks == 0 || !r.At.After(o.state.credentials[n].approved.Time()) {
				continue
			}
			if risky == nil {
				risky = map[int32]bool{}
			}
			risky[n] = true
		}
	}
	return risky
}

// distrusts reports whether a credential that was tapped has to be verified.
func (o *Office) distrusts(now time.Time, c *credential, risky bool) bool {
	m := &c.material
	if o.deps.Profile.Verify == VerifyNothing || c.verifying || c.refused || c.stop != 0 || c.owing > 0 || m.row == 0 || m.used || m.shown {
		return false
	}
	if o.deps.Profile.Verify == VerifyMaximum {
		return c.hold == nil && len(o.state.accounts[c.account].taps) > 0
	}
	since := now.Sub(c.approved.Time())
	return c.approved == 0 || since >= o.deps.Profile.Trust || risky && since >= o.deps.Profile.RiskTrust
}

// recover brings debts of a card forward that was tapped and refused: fresh chip data may go through.
func (o *Office) recover(now time.Time, c *credential) {
	if c.owing == 0 || c.stop != 0 || c.recovered != 0 && now.Sub(c.recovered.Time()) < o.deps.Profile.TapRecovery {
		return
	}
	for _, seq := range c.bills {
		if b := o.state.bills[seq]; b != nil && b.state == Owed {
			o.state.agenda.put(b, now)
		}
	}
}

// pump sends what waits, as far as there is room, and sets the timer for what is due later.
func (o *Office) pump(now time.Time, step *journal.Step) {
	for len(o.state.purses) > 0 && o.under < o.deps.Under && o.sendUpload(now, o.state.purses[0], step) {
		o.under++
	}
	o.sendReturns(now, step)
	if o.under < o.deps.Under && len(o.state.purses)+len(o.state.returns) > 0 {
		step.Emit(journal.Effect{Timer: purseTimer, After: presentLater}) // the security module cannot open a card's data now
	}
	for len(o.verify) > 0 && o.under < o.deps.Under {
		first := o.verify[0]
		c := o.state.credentials[first.credential]
		o.verify = o.verify[1:]
		if o.distrusts(now, c, first.risky) && o.sendVerification(now, c, step) {
			o.under++
		}
	}
	for o.under < o.deps.Under {
		b := o.state.agenda.first(o.state.bills)
		if b == nil {
			return
		}
		if next := b.next.Time(); next.After(now) {
			step.Emit(journal.Effect{Timer: dueTimer, After: next.Sub(now)})
			return
		}
		o.state.agenda.drop()
		if o.mustWait(b) {
			o.state.agenda.put(b, now.Add(presentLater))
			continue
		}
		if !o.present(now, b, step) {
			// The security module or the disk cannot give the card's data now.
			o.state.agenda.put(b, now.Add(presentLater))
			continue
		}
		o.under++
	}
}

// presentLater is when a bill is tried again whose card's data could not be read, or that waits for another request.
const presentLater = time.Minute

// mustWait reports whether a bill has to wait for another request of its credential: there is one cryptogram, and until the issuer has seen it nothing proves
// the card; and what is held completes one bill.
func (o *Office) mustWait(b *bill) bool {
	c := o.state.credentials[b.credential]
	if c.hold == nil && (c.proof != nil || !c.material.used || c.material.shown) {
		return false
	}
	if c.verifying && c.hold == nil {
		return true
	}
	return slices.ContainsFunc(c.bills, func(seq uint64) bool {
		other := o.state.bills[seq]
		return other != b && (other.state == Asked || other.state == Recovering)
	})
}

func (o *Office) sendVerification(now time.Time, c *credential, step *journal.Step) bool {
	switch o.deps.Profile.Verify {
	case VerifyMaximum:
		most := o.deps.Profile.MaximumMinor
		if bill := o.deps.Profile.BillMinor; bill > 0 {
			most = min(most, bill)
		}
		return o.send(now, AskHold, c, nil, most, step)
	case VerifyZero:
		return o.send(now, AskVerify, c, nil, 0, step)
	}
	return o.send(now, AskVerify, c, nil, o.deps.Profile.VerifyMinor, step)
}

// present asks for a bill: out of what is held when that is enough, by the calendar when it is a debt, with the chip's data when they are fresh.
func (o *Office) present(now time.Time, b *bill, step *journal.Step) bool {
	c := o.state.credentials[b.credential]
	ask := AskPay
	switch {
	case b.state == Owed && !c.material.used && c.recovered.Time().Before(now.Add(-o.deps.Profile.TapRecovery)) && c.owing > 0:
		ask = AskTap
	case b.state == Owed:
		ask = AskRetry
	case c.hold != nil && c.hold.status == held && c.hold.minor >= b.minor:
		ask = AskComplete
	}
	return o.send(now, ask, c, b, b.minor, step)
}

// answered ends a request.
func (o *Office) answered(now time.Time, from string, m *unionpay.FinancialResponse, step *journal.Step) {
	p := o.state.payments[unionpay.TerminalKey(m)]
	if p == nil || p.status != pending || from != o.deps.Acquirer {
		return // late, unknown or from somebody else: nothing changes, the trace shows the message
	}
	if repeats(p.ask) && (!delivery.Definite(m.Response) || !o.queue.Acknowledged(p.key, from, step)) {
		return // the network could not say: it is told again
	}
	c := o.state.credentials[p.credential]
	answer := unionpay.AnswerOf(&m.Payment)
	r := journal.Row{
		Kind: journal.Answered, Linked: p.seq, Card: int64(p.credential), Terminal: o.deps.Terminal, STAN: p.stan, RRN: answer.RRN, Amount: p.minor,
		Currency: currencyNumber(&o.deps), Reason: answer.Response.Pack(), Answer: answer.AppendBinary(nil),
	}
	if class, _ := ClassOf(answer.Response); !repeats(p.ask) {
		r.Note = o.state.planned(o.state.bills[p.bill], class, now)
	}
	if answer.Response.Approved() && p.minor > 0 {
		r.Debit, r.Credit = accountsOf(p.ask)
	}
	o.append(step, now, r)
	o.under--
	if !repeats(p.ask) {
		step.Emit(delivery.Awaited(p.key))
	}
	o.linkAnswer(now, c, &m.Payment, step)
	if p.status == held && p.ask == AskVerify {
		o.void(now, p, step)
	}
	if b := o.state.bills[p.bill]; b != nil && b.state == Owed && b.next == 0 {
		o.giveUp(now, b, ReasonCalendar, step)
	}
	if c.credit > 0 {
		o.giveBack(now, c, step)
	}
	o.pump(now, step)
}

// accountsOf is where an approval moves money.
func accountsOf(ask Ask) (debit, credit ledger.Account) {
	switch ask {
	case AskVerify, AskHold:
		return 0, 0
	case AskRefund:
		return AccountRiders, AccountAcquirer
	case AskUpload:
		return AccountAcquirer, AccountFares
	case AskReturn:
		return AccountFares, AccountAcquirer
	}
	return AccountAcquirer, AccountRiders
}

// void gives an approval back.
func (o *Office) void(now time.Time, p *payment, step *journal.Step) {
	request := o.envelope.OpenRequest(p.sealed)
	if request == nil {
		o.closed = append(o.closed, p.key)
		step.Emit(delivery.PickUpLater())
		return
	}
	o.append(step, now, journal.Row{Kind: journal.Voided, Linked: p.seq, Card: int64(p.credential), Amount: p.minor, Currency: currencyNumber(&o.deps)})
	m := reversalOf(request, unionpay.ReasonCancel)
	o.queue.Send(unionpay.TerminalKey(m), o.deps.Acquirer, m, step)
}

// timeout takes a request back that was not answered in time.
func (o *Office) timeout(now time.Time, key string, step *journal.Step) {
	p := o.state.payments[key]
	if p == nil || p.status != pending || repeats(p.ask) || p.request == nil {
		return
	}
	m := reversalOf(p.request, unionpay.ReasonTimeout)
	o.append(step, now, journal.Row{Kind: journal.TimedOut, Linked: p.seq, Card: int64(p.credential), Amount: p.minor, Currency: currencyNumber(&o.deps),
		Reason: m.Response.Pack()})
	o.under--
	o.queue.Send(unionpay.TerminalKey(m), o.deps.Acquirer, m, step)
	o.pump(now, step)
}

// acknowledged ends the repeating of a reversal.
func (o *Office) acknowledged(now time.Time, from string, m *unionpay.ReversalResponse, step *journal.Step) {
	p := o.state.payments[unionpay.OriginalKey(m)]
	if p == nil || p.status != silent && p.status != returning || !delivery.Settles(m.Response) ||
		!o.queue.Acknowledged(unionpay.TerminalKey(m), from, step) {
		return
	}
	o.append(step, now, journal.Row{Kind: journal.Acknowledged, Linked: p.seq, Card: int64(p.credential), Reason: m.Response.Pack(),
		Note: o.state.plannedAfterSilence(p, now)})
	if b := o.state.bills[p.bill]; b != nil && b.state == Owed && b.next == 0 {
		o.giveUp(now, b, ReasonCalendar, step)
	}
	o.pump(now, step)
}

// giveUp writes a debt off.
func (o *Office) giveUp(now time.Time, b *bill, why Reason, step *journal.Step) {
	o.append(step, now, journal.Row{
		Kind: journal.Expired, Linked: b.seq, Card: int64(b.credential), Amount: b.minor, Currency: currencyNumber(&o.deps), Reason: uint16(why),
		Debit: AccountLoss, Credit: AccountRiders,
	})
}

// Finish has nothing to add.
func (o *Office) Finish(*journal.Effect) {}

// Replay rebuilds the state from a committed row.
func (o *Office) Replay(r *journal.Row) error { return o.state.apply(r) }

// Rearm picks up after a restart: the list's timer, a close under way, requests that wait for an answer, reversals that nobody acknowledged.
func (o *Office) Rearm(now time.Time) []journal.Effect {
	var step journal.Step
	step.Emit(journal.Effect{Timer: listTimer, After: o.deps.ListEvery})
	if o.state.closing != nil {
		step.Emit(journal.Effect{Timer: closeTimer, After: atOnce})
	}
	if o.state.keys.now != o.deps.Epoch || o.state.keys.next != 0 {
		step.Emit(journal.Effect{Timer: keysTimer, After: atOnce})
	}
	for _, p := range o.state.payments {
		if p.status == pending {
			o.under++
		}
	}
	o.pickUp(slices.Sorted(maps.Keys(o.state.payments)), &step)
	if o.state.agenda.first(o.state.bills) != nil || len(o.state.purses)+len(o.state.returns) > 0 {
		step.Emit(journal.Effect{Timer: dueTimer, After: atOnce})
	}
	return step.Effects
}

// pickUp goes on with requests that have not ended. What the security module cannot open now is tried again later: a payment must end.
func (o *Office) pickUp(keys []string, step *journal.Step) {
	o.closed = nil
	for _, key := range keys {
		p := o.state.payments[key]
		if p == nil || p.status == held && p.ask == AskHold {
			continue
		}
		request := o.envelope.OpenRequest(p.sealed)
		switch {
		case request == nil:
			o.closed = append(o.closed, key)
		case p.status == silent, p.status == returning:
			reason := unionpay.ReasonTimeout
			if p.status == returning {
				reason = unionpay.ReasonCancel
			}
			m := reversalOf(request, reason)
			o.queue.Send(unionpay.TerminalKey(m), o.deps.Acquirer, m, step)
		case p.status == held:
			p.request = request
			step.Emit(journal.Effect{Timer: voidTimer + key, After: atOnce})
		case repeats(p.ask):
			o.queue.Send(key, o.deps.Acquirer, request, step)
		default:
			p.request = request
			step.Emit(delivery.Overdue(key))
		}
	}
	if len(o.closed) > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

// voidTimer starts the name of the timer that gives an approval back after a restart; the request's key follows.
const voidTimer = "void "

// Describe says what a row means.
func (o *Office) Describe(r *journal.Row) glossary.Term {
	kind := r.Kind.Term()
	with := func(t glossary.Term) glossary.Term {
		if t == (glossary.Term{}) {
			return kind
		}
		return glossary.Term{EN: kind.EN + ": " + t.EN, ZH: kind.ZH + "：" + t.ZH}
	}
	switch r.Kind {
	case journal.Requested:
		return with(Ask(r.Reason).Term())
	case journal.Charged, journal.Expired, journal.Settled, journal.Adjusted, journal.CardChanged:
		return with(Reason(r.Reason).Term())
	case journal.KeysChanged:
		return with(keysTerm(r))
	case journal.Advised:
		return with(adviceTerm(r))
	case journal.Answered, journal.TimedOut, journal.Acknowledged:
		code := unionpay.UnpackResponseCode(r.Reason)
		class, _ := ClassOf(code)
		t := code.Term()
		if r.Kind == journal.Answered {
			return with(glossary.Term{EN: fmt.Sprintf("%s %s; %s", code, t.EN, class.Term().EN), ZH: fmt.Sprintf("%s %s；%s", code, t.ZH, class.Term().ZH)})
		}
		return with(t)
	}
	return kind
}

// Outstanding is the number of messages that the acquirer has not answered or acknowledged yet.
func (o *Office) Outstanding() int { return o.queue.Len() + len(o.closed) + o.under }
