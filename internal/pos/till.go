package pos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Vault is what a till asks of its secure module.
type Vault interface {
	EncipherPIN(key string, clear pinblock.Block) (pinblock.Block, error)
	delivery.Sealer
}

// Deps is what a till needs from outside.
type Deps struct {
	Terminal string // field 41
	Merchant string // field 42
	Acquirer string // the acquirer as a peer
	Vault    Vault
	PINKey   string // name of the terminal's PIN key
	SealKey  string
	Calendar clock.Calendar
	// NoPINLimit is the amount up to which a PIN that the kernel asked for is skipped [REF 6.3].
	NoPINLimit money.Amount
	// AnswerWithin is how long the acquirer may take; zero means answerWithinDefault.
	AnswerWithin time.Duration
	Tap          Tapper
	// Capacity says how many rows lie between two write-backs. Sales that have ended are not kept in memory.
	Capacity journal.Capacity
}

const (
	// answerWithinDefault is the practice of the trade [REF 6.5].
	answerWithinDefault = 60 * time.Second
	sealContext         = "till message"
	// traceModulus keeps trace numbers within field 11's six digits.
	traceModulus = 999_999
)

// Till is a till. Handle, Replay and Rearm belong to its single writer; Prepare and Finish may run anywhere; Sell is for one cashier at a time.
type Till struct {
	deps     Deps
	state    *state
	queue    delivery.Queue
	envelope delivery.Envelope
	closed   []string // keys of payments that could not be opened after a restart
	selling  sync.Mutex
	mu       sync.Mutex
	waiting  map[uint64]chan Outcome
	sales    uint64
	taps     uint32
	ask      asker
}

// New makes a till that has sold nothing.
func New(deps Deps) (*Till, error) {
	if deps.Terminal == "" || deps.Merchant == "" || deps.Acquirer == "" || deps.Vault == nil || deps.PINKey == "" || deps.SealKey == "" {
		return nil, errors.New("pos: terminal, merchant, acquirer, vault, PIN key and seal key are needed")
	}
	if deps.AnswerWithin <= 0 {
		deps.AnswerWithin = answerWithinDefault
	}
	return &Till{
		deps: deps, state: newState(deps.Capacity), waiting: map[uint64]chan Outcome{},
		envelope: delivery.Envelope{Vault: deps.Vault, Key: deps.SealKey, Context: sealContext, Dialect: unionpay.Terminal},
	}, nil
}

// Authorize is the command that asks the acquirer for a payment. The till fills in trace number and batch. Its end is an Outcome for the sale.
type Authorize struct {
	Sale    uint64
	Request unionpay.FinancialRequest
	PIN     *pinblock.PIN
}

// Store is the command that takes a payment the card approved offline: durable first, uploaded later. The reply is Stored.
type Store struct{ Request unionpay.FinancialRequest }

// Stored is the reply to Store.
type Stored struct{ STAN uint32 }

// Outcome is how an online payment ended.
type Outcome struct {
	Sale   uint64
	STAN   uint32
	Answer unionpay.Answer
	// Reversed means that no answer came in time: the payment is being taken back.
	Reversed bool
	// Failed means that the secure module or the till itself could not send it.
	Failed bool
}

// Prepare enciphers the PIN in the secure module.
func (t *Till) Prepare(ev *journal.Event) {
	command, ok := ev.Command.(Authorize)
	if !ok || command.PIN == nil {
		return
	}
	block, err := t.deps.Vault.EncipherPIN(t.deps.PINKey, pinblock.Format0(*command.PIN, command.Request.PAN))
	if err != nil {
		ev.Finding = err
		return
	}
	ev.Finding = &block
}

// Handle decides one event.
func (t *Till) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialResponse:
		t.answered(now, ev.From, m, step)
		return
	case *unionpay.ReversalResponse:
		t.acknowledged(now, ev.From, m, step)
		return
	}
	switch c := ev.Command.(type) {
	case Authorize:
		t.authorize(now, ev, c, step)
		return
	case Store:
		t.store(now, c, step)
		return
	case delivery.Up:
		t.queue.Reached(c.Peer, step)
		return
	}
	t.queue.Due(ev.Timer, step, func(key string) { t.timeout(now, key, step) }, func() { t.pickUp(t.closed, step) })
}

// append makes a decided row part of the step and of the state.
func (t *Till) append(step *journal.Step, now time.Time, row journal.Row) {
	row.BusinessDate = t.deps.Calendar.BusinessDate(now)
	step.Decide(now, row, t.state.apply)
}

func row(kind journal.Kind, p *unionpay.Payment) journal.Row {
	return journal.Row{Kind: kind, RRN: p.RRN, Terminal: p.Terminal, STAN: p.STAN, ATC: counterOf(p.ICC), Amount: p.Amount.Minor(),
		Currency: uint16(p.Amount.Currency().Number())}
}

// number gives a request the till's own fields.
func (t *Till) number(m *unionpay.FinancialRequest) {
	m.STAN = t.state.stan%traceModulus + 1
	m.Info.Batch = t.state.batch
	m.Terminal, m.Merchant = t.deps.Terminal, t.deps.Merchant
}

func (t *Till) authorize(now time.Time, ev *journal.Event, c Authorize, step *journal.Step) {
	m := c.Request
	t.number(&m)
	sealed := t.envelope.Seal(&m)
	_, vaultFailed := ev.Finding.(error)
	if sealed == nil || vaultFailed {
		step.Emit(journal.Effect{Finding: Outcome{Sale: c.Sale, Failed: true}})
		return
	}
	// A reversal that is still open goes out again before the next sale [REF 6.5].
	for _, effect := range t.queue.Resume() {
		step.Emit(effect)
	}
	key := unionpay.TerminalKey(&m)
	r := row(journal.Requested, &m.Payment)
	r.Key, r.Content, r.Payment, r.Note = key, unionpay.ContentHash(&m), key, sealed
	t.append(step, now, r)
	kept := m
	p := t.state.payments[key]
	p.request, p.sale = &kept, c.Sale
	if block, ok := ev.Finding.(*pinblock.Block); ok {
		m.PINBlock = block
	}
	step.Emit(journal.Effect{To: t.deps.Acquirer, Message: &m})
	step.Emit(delivery.Await(key, t.deps.AnswerWithin))
}

func (t *Till) store(now time.Time, c Store, step *journal.Step) {
	m := c.Request
	t.number(&m)
	sealed := t.envelope.Seal(&m)
	if sealed == nil {
		step.Emit(journal.Effect{Reply: errors.New("pos: the secure module cannot seal the payment")})
		return
	}
	key := unionpay.TerminalKey(&m)
	r := row(journal.Queued, &m.Payment)
	r.Key, r.Content, r.Payment, r.Note = key, unionpay.ContentHash(&m), key, sealed
	t.append(step, now, r)
	step.Emit(journal.Effect{Reply: Stored{STAN: m.STAN}})
	t.queue.Send(key, t.deps.Acquirer, &m, step)
}

// answered ends a sale, or the upload of an offline payment.
func (t *Till) answered(now time.Time, from string, m *unionpay.FinancialResponse, step *journal.Step) {
	key := unionpay.TerminalKey(m)
	p := t.state.payments[key]
	if p == nil || p.status != pending || from != t.deps.Acquirer {
		return // late, unknown or from somebody else: nothing changes, the trace shows the message
	}
	if p.offline && (!delivery.Definite(m.Response) || !t.queue.Acknowledged(key, from, step)) {
		return // the network could not say: the upload is repeated
	}
	answer := unionpay.AnswerOf(&m.Payment)
	asked := &m.Payment
	if p.request != nil { // a refusal without MAC may repeat the request as it was garbled on the way
		asked = &p.request.Payment
	}
	r := row(journal.Answered, asked)
	r.RRN = answer.RRN
	r.Linked, r.Payment, r.Reason, r.Answer = p.seq, key, answer.Response.Pack(), answer.AppendBinary(nil)
	t.append(step, now, r)
	if p.offline {
		return
	}
	step.Emit(delivery.Awaited(key))
	step.Emit(journal.Effect{Finding: Outcome{Sale: p.sale, STAN: m.STAN, Answer: answer}})
}

// timeout takes a payment back that was not answered in time.
func (t *Till) timeout(now time.Time, key string, step *journal.Step) {
	p := t.state.payments[key]
	if p == nil || p.status != pending || p.offline || p.request == nil {
		return
	}
	m := reversalOf(p.request)
	r := row(journal.TimedOut, &p.request.Payment)
	r.Linked, r.Payment, r.Reason = p.seq, key, m.Response.Pack()
	sale := p.sale
	t.append(step, now, r)
	t.queue.Send(unionpay.TerminalKey(m), t.deps.Acquirer, m, step)
	step.Emit(journal.Effect{Finding: Outcome{Sale: sale, STAN: m.STAN, Reversed: true}})
}

// acknowledged ends the repeating of a reversal.
func (t *Till) acknowledged(now time.Time, from string, m *unionpay.ReversalResponse, step *journal.Step) {
	key := unionpay.TerminalKey(m)
	original := unionpay.OriginalKey(m)
	p := t.state.payments[original]
	if p == nil || p.status != timedOut || !delivery.Settles(m.Response) || !t.queue.Acknowledged(key, from, step) {
		return
	}
	r := row(journal.Acknowledged, &m.Payment)
	r.Payment, r.Linked, r.Reason = original, p.seq, m.Response.Pack()
	t.append(step, now, r)
}

// reversalOf repeats the original without PIN and track, with the reason and the reversal's own list of chip data [REF 6.1].
func reversalOf(m *unionpay.FinancialRequest) *unionpay.ReversalRequest {
	p := m.Payment
	p.PINBlock, p.Track2, p.PINCapture, p.Security = nil, pan.Track2{}, "", ""
	p.Response = unionpay.ReasonTimeout
	var icc emv.Data
	for _, tag := range []tagNumber{emv.TagTVR, emv.TagDeviceSerial, emv.TagIAD, emv.TagATC} {
		if value, ok := m.ICC.Value(tag); ok {
			icc.Set(tag, value)
		}
	}
	p.ICC = icc
	return &unionpay.ReversalRequest{Payment: p}
}

// Finish tells the waiting cashier how the sale ended.
func (t *Till) Finish(eff *journal.Effect) {
	outcome, ok := eff.Finding.(Outcome)
	if !ok {
		return
	}
	t.mu.Lock()
	waiting := t.waiting[outcome.Sale]
	delete(t.waiting, outcome.Sale)
	t.mu.Unlock()
	if waiting != nil {
		waiting <- outcome
	}
}

// Open implements journal.Keeper.
func (t *Till) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	return t.state.begin(ctx, archive, watermark)
}

// WriteBack implements journal.Keeper.
func (t *Till) WriteBack(back *journal.Back, rows int, _ uint64) { t.state.writeBack(back, rows) }

// Replay rebuilds the state from a committed row.
func (t *Till) Replay(r *journal.Row) error { return t.state.apply(r) }

// Rearm picks up after a restart: payments that were waiting for an answer time out at once, because nobody waits for them any more; open reversals and
// offline payments are sent again.
func (t *Till) Rearm(time.Time) []journal.Effect {
	var step journal.Step
	t.pickUp(slices.Sorted(maps.Keys(t.state.payments)), &step)
	return step.Effects
}

// pickUp goes on with payments that have not ended. What the secure module cannot open now is tried again later: a payment must end.
func (t *Till) pickUp(keys []string, step *journal.Step) {
	t.closed = nil
	for _, key := range keys {
		p := t.state.payments[key]
		if p == nil {
			continue
		}
		request := t.envelope.OpenRequest(p.sealed)
		switch {
		case request == nil:
			t.closed = append(t.closed, key)
		case p.status == timedOut:
			m := reversalOf(request)
			t.queue.Send(unionpay.TerminalKey(m), t.deps.Acquirer, m, step)
		case p.offline:
			t.queue.Send(key, t.deps.Acquirer, request, step)
		default:
			p.request = request
			step.Emit(delivery.Overdue(key))
		}
	}
	if len(t.closed) > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

// Describe says what a row means.
func (t *Till) Describe(r *journal.Row) glossary.Term {
	kind, code := r.Kind.Term(), unionpay.UnpackResponseCode(r.Reason)
	if code == "" {
		return kind
	}
	meaning := code.Term()
	return glossary.Term{EN: fmt.Sprintf("%s: %s %s", kind.EN, code, meaning.EN), ZH: fmt.Sprintf("%s：%s %s", kind.ZH, code, meaning.ZH)}
}

// Outstanding is the number of messages that the acquirer has not acknowledged yet.
func (t *Till) Outstanding() int { return t.queue.Len() + len(t.closed) }
