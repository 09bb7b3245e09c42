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
	Acquirer string // the acquirer as a peer, and field 32
	Vault    Vault
	PINKey   string // name of the terminal's PIN key
	SealKey  string
	Calendar clock.Calendar
	// NoPINLimit is the amount up to which a PIN that the kernel asked for is skipped [REF 6.3]. Downloaded parameters replace it.
	NoPINLimit money.Amount
	// AnswerWithin is how long the acquirer may take; zero means answerWithinDefault.
	AnswerWithin time.Duration
	Tap          Tapper
	// Capacity says how many rows lie between two write-backs. Of sales that have ended only those of the open batch are kept in memory.
	Capacity journal.Capacity
	// BatchLimit is how many trace numbers a batch has before the next one begins by itself; zero means batchLimitDefault.
	BatchLimit int
	// AdviseTC sends the card's last word after a sale in the slot to the issuer (0220); it is also in what is settled.
	AdviseTC bool
	// SAM, when set, enciphers PINs under keys of one transaction, as a till that is a phone does (mPOS). It takes the place of PINKey.
	SAM SecureAccess
	// Configure makes a terminal of downloaded parameters; nil keeps Tap. An error keeps the parameters from being used.
	Configure func(Parameters) (Tapper, error)
}

// SecureAccess is the secure access module of an mPOS: every PIN has a key of its own, named by the serial number that travels with the message [X9.24].
type SecureAccess interface {
	EncipherPINUnique(clear pinblock.Block) (block pinblock.Block, serial unionpay.KeySerial, err error)
}

const (
	// answerWithinDefault is the practice of the trade [REF 6.5].
	answerWithinDefault = 60 * time.Second
	// batchLimitDefault keeps the numbers of a batch within the three digits that field 48 has for them, and its slips in memory.
	batchLimitDefault = 999
	sealContext       = "till message"
	paperContext      = "till paper"
	// traceModulus keeps trace numbers and batches within their six digits.
	traceModulus = 999_999
)

// Till is a till. Handle, Replay and Rearm belong to its single writer; Prepare and Finish may run anywhere; its verbs are for one cashier at a time.
type Till struct {
	deps     Deps
	state    *state
	queue    delivery.Queue
	envelope delivery.Envelope
	closed   []string // keys of payments that could not be opened after a restart
	settling settling
	fetching uint64 // who waits for the answer to a download
	selling  sync.Mutex
	active   *Parameters // what the terminal runs on, nil: Deps
	tap      Tapper
	mu       sync.Mutex
	waiting  map[uint64]chan Outcome
	sales    uint64
	taps     uint32
	mute     time.Time // when a chip last gave no answer; under selling
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
	if deps.BatchLimit <= 0 || deps.BatchLimit > traceModulus {
		deps.BatchLimit = batchLimitDefault
	}
	return &Till{
		deps: deps, state: newState(deps.Capacity), waiting: map[uint64]chan Outcome{}, tap: deps.Tap,
		envelope: delivery.Envelope{Vault: deps.Vault, Key: deps.SealKey, Context: sealContext, Dialect: unionpay.Terminal},
	}, nil
}

// Authorize is the command that asks the acquirer. The till fills in trace number and batch. Its end is an Outcome for the sale.
type Authorize struct {
	Sale    uint64
	Request unionpay.FinancialRequest
	PIN     *pinblock.PIN
	NewPIN  *pinblock.PIN // of a change, never with SAM
	// Dialogue: the card is in the slot and has the last word: Conclude follows an approval.
	Dialogue bool
	Of       Trace // what this one follows; zero: nothing, or something before this till's memory
	Slip     Slip
}

// Store is the command that takes a payment the card approved offline: durable first, uploaded later. The reply is Stored.
type Store struct {
	Request unionpay.FinancialRequest
	Slip    Slip
}

// Stored is the reply to Store.
type Stored struct{ STAN, Batch uint32 }

// Outcome is how an online payment ended.
type Outcome struct {
	Sale   uint64
	STAN   uint32
	Batch  uint32
	Answer unionpay.Answer
	// Reversed means that no answer came in time: the payment is being taken back.
	Reversed bool
	// Silent means that no answer came to something that needs no taking back: an inquiry, a settlement, a download. Underway: it is repeated until it has
	// arrived.
	Silent, Underway bool
	// Failed means that the secure module or the till itself could not send it.
	Failed bool
	// Refusal is why the till did not begin.
	Refusal Refusal
	Sheet   Sheet // of a settlement
	Network *unionpay.NetworkResponse
}

// pinFinding is what Prepare made of a PIN.
type pinFinding struct {
	block  pinblock.Block
	fresh  *pinblock.Block
	serial unionpay.KeySerial
}

// Prepare enciphers the PIN in the secure module.
func (t *Till) Prepare(ev *journal.Event) {
	command, ok := ev.Command.(Authorize)
	if !ok || command.PIN == nil {
		return
	}
	clearBlock := pinblock.Format0(*command.PIN, command.Request.PAN)
	var f pinFinding
	var err error
	if t.deps.SAM != nil {
		f.block, f.serial, err = t.deps.SAM.EncipherPINUnique(clearBlock)
	} else {
		f.block, err = t.deps.Vault.EncipherPIN(t.deps.PINKey, clearBlock)
	}
	if err == nil && command.NewPIN != nil {
		f.fresh = new(pinblock.Block)
		*f.fresh, err = t.deps.Vault.EncipherPIN(t.deps.PINKey, pinblock.Format0(*command.NewPIN, command.Request.PAN))
	}
	if err != nil {
		ev.Finding = err
		return
	}
	ev.Finding = &f
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
	case *unionpay.ScriptNoticeResponse:
		t.noticed(now, ev.From, m, step)
		return
	case *unionpay.NetworkResponse:
		t.fetched(ev.From, m, step)
		return
	case nil:
	default:
		t.settlementAnswer(now, ev.From, m, step)
		return
	}
	switch c := ev.Command.(type) {
	case Authorize:
		t.authorize(now, ev, c, step)
	case Store:
		t.store(now, c, step)
	case Conclude:
		t.conclude(now, c, step)
	case Settle:
		t.settle(now, c, step)
	case Look:
		step.Emit(journal.Effect{Reply: t.look(c)})
	case Fetch:
		t.fetch(c, step)
	case Stage:
		t.stageSet(now, c, step)
	case Switch:
		t.switchSet(now, c, step)
	case Library:
		step.Emit(journal.Effect{Reply: t.state.library.shelves()})
	case delivery.Up:
		t.queue.Reached(c.Peer, step)
	default:
		t.queue.Due(ev.Timer, step, func(key string) { t.timeout(now, key, step) }, func() { t.pickUp(t.closed, step) })
	}
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

// beginRow is the row of a message that begins something.
func beginRow(kind journal.Kind, m unionpay.Message, note []byte) journal.Row {
	key := unionpay.TerminalKey(m)
	r := row(kind, unionpay.PaymentOf(m))
	r.RRN = "" // the original's, where it names one
	r.Key, r.Content, r.Payment, r.Note = key, unionpay.ContentHash(m), key, note
	return r
}

// number gives a request the till's own fields. A full batch is followed by the next one: a till never stops.
func (t *Till) number(now time.Time, p *unionpay.Payment, step *journal.Step) {
	if s := t.state; s.stan >= uint32(t.deps.BatchLimit) {
		t.append(step, now, journal.Row{Kind: journal.BatchOpened, Terminal: t.deps.Terminal})
	}
	p.STAN = t.state.stan + 1
	p.Info.Batch = t.state.batch
	p.Terminal, p.Merchant = t.deps.Terminal, t.deps.Merchant
}

// admit says whether a request may begin.
func (t *Till) admit(c *Authorize) Refusal {
	if t.settling.on() {
		return RefusedSettling
	}
	verb := verbOf(&c.Request)
	if len(cycles[verb].of) == 0 || c.Of.IsZero() {
		return NotRefused
	}
	if c.Of.Batch != t.state.batch {
		switch {
		case cycles[verb].within:
			return RefusedWithin
		case c.Request.RRN == "" && verb != VerbPreAuthCancel && verb != VerbCompletion && verb != VerbCompletionNote:
			return RefusedReference
		}
		return NotRefused
	}
	original := t.state.entries[c.Of.STAN]
	if original == nil {
		return RefusedUnknown
	}
	return verb.may(original, c.Request.Amount.Minor())
}

func (t *Till) authorize(now time.Time, ev *journal.Event, c Authorize, step *journal.Step) {
	if refusal := t.admit(&c); refusal != NotRefused {
		step.Emit(journal.Effect{Finding: Outcome{Sale: c.Sale, Refusal: refusal}})
		return
	}
	if _, vaultFailed := ev.Finding.(error); vaultFailed {
		step.Emit(journal.Effect{Finding: Outcome{Sale: c.Sale, Failed: true}})
		return
	}
	m := c.Request
	verb := verbOf(&m)
	t.number(now, &m.Payment, step)
	f, _ := ev.Finding.(*pinFinding)
	if f != nil && !f.serial.IsZero() {
		m.Detail = unionpay.AppendKeySerial(m.Detail, f.serial)
	}
	sealed := t.seal(atRest(&m), c.Slip)
	if sealed == nil {
		step.Emit(journal.Effect{Finding: Outcome{Sale: c.Sale, Failed: true}})
		return
	}
	// A reversal that is still open goes out again before the next sale [REF 6.5].
	for _, effect := range t.queue.Resume() {
		step.Emit(effect)
	}
	r := beginRow(cycles[verb].begin, &m, header{verb, c.Dialogue, c.Of}.bytes(sealed))
	t.append(step, now, r)
	kept := m
	p := t.state.payments[r.Key]
	p.message, p.sale = &kept, c.Sale
	if f != nil {
		m.PINBlock, m.NewPIN = &f.block, f.fresh
	}
	if p.repeated() {
		t.queue.Send(r.Key, t.deps.Acquirer, &kept, step)
	} else {
		step.Emit(journal.Effect{To: t.deps.Acquirer, Message: &m})
	}
	step.Emit(delivery.Await(r.Key, t.deps.AnswerWithin))
}

func (t *Till) store(now time.Time, c Store, step *journal.Step) {
	m := c.Request
	t.number(now, &m.Payment, step)
	sealed := t.seal(&m, c.Slip)
	if sealed == nil {
		step.Emit(journal.Effect{Reply: errors.New("pos: the secure module cannot seal the payment")})
		return
	}
	r := beginRow(journal.Queued, &m, header{verb: VerbOfflineSale}.bytes(sealed))
	t.append(step, now, r)
	step.Emit(journal.Effect{Reply: Stored{STAN: m.STAN, Batch: m.Info.Batch}})
	t.queue.Send(r.Key, t.deps.Acquirer, &m, step)
}

// answered ends a sale, or what is repeated until it is answered.
func (t *Till) answered(now time.Time, from string, m *unionpay.FinancialResponse, step *journal.Step) {
	key := unionpay.TerminalKey(m)
	p := t.state.payments[key]
	if p == nil || p.stage != pending || from != t.deps.Acquirer {
		return // late, unknown or from somebody else: nothing changes, the trace shows the message
	}
	if p.repeated() && (!delivery.Definite(m.Response) || !t.queue.Acknowledged(key, from, step)) {
		return // the network could not say: it is repeated
	}
	answer := unionpay.AnswerOf(&m.Payment)
	asked := &m.Payment
	if request := p.request(); request != nil { // a refusal without MAC may repeat the request as it was garbled on the way
		asked = &request.Payment
	}
	sale := p.sale
	r := row(journal.Answered, asked)
	r.RRN = answer.RRN
	r.Linked, r.Payment, r.Reason, r.Answer = p.seq, key, answer.Response.Pack(), answer.AppendBinary(nil)
	t.append(step, now, r)
	t.drained(now, step)
	if p.begin == journal.Queued {
		return
	}
	step.Emit(delivery.Awaited(key))
	step.Emit(journal.Effect{Finding: Outcome{Sale: sale, STAN: m.STAN, Batch: m.Info.Batch, Answer: answer}})
}

// timeout is a timer that fell due: of an answer that did not come, or of a dialogue that broke off.
func (t *Till) timeout(now time.Time, key string, step *journal.Step) {
	if t.impatient(key, step) {
		return
	}
	p := t.state.payments[key]
	switch {
	case p == nil || p.message == nil:
		return
	case p.stage == inSlot:
		t.breakOff(now, p, step)
	case p.stage != pending:
		return
	case p.begin == journal.Noted || p.begin == journal.Cleared:
		t.expire(now, p, step)
	case p.begin == journal.Requested:
		t.takeBack(now, p, journal.TimedOut, unionpay.ReasonTimeout, nil, emv.Data{}, step)
	case p.sale != 0: // repeated until it arrives; the cashier waits no longer
		step.Emit(journal.Effect{Finding: Outcome{Sale: p.sale, STAN: p.trace.STAN, Batch: p.trace.Batch, Underway: true}})
		p.sale = 0
	}
}

// takeBack reverses a payment. last is what the card said, sealed; script its results.
func (t *Till) takeBack(now time.Time, p *payment, kind journal.Kind, why unionpay.ResponseCode, last []byte, icc emv.Data, step *journal.Step) {
	request, sale := p.request(), p.sale
	m := reversalOf(request, why, icc)
	r := row(kind, &request.Payment)
	r.RRN = ""
	r.Linked, r.Payment, r.Reason, r.Note = p.seq, p.key, why.Pack(), last
	t.append(step, now, r)
	t.queue.Send(unionpay.TerminalKey(m), t.deps.Acquirer, m, step)
	if sale != 0 {
		step.Emit(journal.Effect{Finding: Outcome{Sale: sale, STAN: m.STAN, Batch: m.Info.Batch, Reversed: true}})
	}
}

// expire ends what needs no taking back.
func (t *Till) expire(now time.Time, p *payment, step *journal.Step) {
	sale := p.sale
	t.append(step, now, journal.Row{Kind: journal.Expired, Terminal: t.deps.Terminal, STAN: p.trace.STAN, Linked: p.seq, Payment: p.key})
	if p.begin == journal.Cleared {
		t.settled(now, Outcome{Silent: true}, step)
		return
	}
	if sale != 0 {
		step.Emit(journal.Effect{Finding: Outcome{Sale: sale, STAN: p.trace.STAN, Batch: p.trace.Batch, Silent: true}})
	}
}

// acknowledged ends the repeating of a reversal.
func (t *Till) acknowledged(now time.Time, from string, m *unionpay.ReversalResponse, step *journal.Step) {
	key := unionpay.TerminalKey(m)
	original := unionpay.OriginalKey(m)
	p := t.state.payments[original]
	if p == nil || p.stage != timedOut || !delivery.Settles(m.Response) || !t.queue.Acknowledged(key, from, step) {
		return
	}
	r := row(journal.Acknowledged, &m.Payment)
	r.Payment, r.Linked, r.Reason = original, p.seq, m.Response.Pack()
	t.append(step, now, r)
	t.drained(now, step)
}

// reversalOf repeats the original without PIN and track, with the reason and the reversal's own list of chip data [REF 6.1]. What the card said last goes
// before what it said first.
func reversalOf(m *unionpay.FinancialRequest, why unionpay.ResponseCode, last emv.Data) *unionpay.ReversalRequest {
	p := m.Payment
	p.PINBlock, p.NewPIN, p.Track2, p.PINCapture, p.Security, p.Detail = nil, nil, pan.Track2{}, "", "", ""
	p.Response = why
	var icc emv.Data
	for _, tag := range []tagNumber{emv.TagTVR, emv.TagDeviceSerial, emv.TagIAD, emv.TagATC, emv.TagScriptResults} {
		if value, ok := (emv.Sources{last, m.ICC}).Value(tag); ok {
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
	return t.state.open(ctx, archive, watermark)
}

// WriteBack implements journal.Keeper.
func (t *Till) WriteBack(back *journal.Back, rows int, _ uint64) { t.state.writeBack(back, rows) }

// Replay rebuilds the state from a committed row.
func (t *Till) Replay(r *journal.Row) error { return t.state.apply(r) }

// Rearm picks up after a restart: payments that were waiting for an answer or for the card time out at once, because nobody waits for them any more; open
// reversals, uploads, advices and notices are sent again.
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
		if p == nil || p.message != nil {
			continue
		}
		if !t.reopen(p, step) {
			t.closed = append(t.closed, key)
		}
	}
	if len(t.closed) > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

// reopen takes one payment up again; false when the secure module cannot open it now.
func (t *Till) reopen(p *payment, step *journal.Step) bool {
	if p.begin == journal.Cleared { // settling again is up to the cashier
		p.message = &unionpay.NetworkRequest{}
		step.Emit(delivery.Overdue(p.key))
		return true
	}
	m, _, ok := t.open(p.sealed)
	if !ok {
		return false
	}
	if p.stage == timedOut {
		request, isRequest := m.(*unionpay.FinancialRequest)
		last, opened := t.lastWord(p)
		if !isRequest || !opened {
			return false
		}
		why := unionpay.UnpackResponseCode(p.reason)
		if why == "" {
			why = unionpay.ReasonTimeout
		}
		p.message = request
		reversal := reversalOf(request, why, last)
		t.queue.Send(unionpay.TerminalKey(reversal), t.deps.Acquirer, reversal, step)
		return true
	}
	p.message = m
	if p.repeated() {
		t.queue.Send(p.key, t.deps.Acquirer, m, step)
		return true
	}
	step.Emit(delivery.Overdue(p.key))
	return true
}

// Describe says what a row means.
func (t *Till) Describe(r *journal.Row) glossary.Term {
	kind, code := r.Kind.Term(), unionpay.UnpackResponseCode(r.Reason)
	if h, _, err := readHeader(r); err == nil && r.Key != "" && len(r.Note) > 0 && r.Note[0] == headerMark && r.Kind != journal.ParameterChanged {
		name := h.verb.Term()
		kind = glossary.Term{EN: kind.EN + ": " + name.EN, ZH: kind.ZH + "：" + name.ZH}
	}
	if code == "" {
		return kind
	}
	meaning := code.Term()
	return glossary.Term{EN: fmt.Sprintf("%s: %s %s", kind.EN, code, meaning.EN), ZH: fmt.Sprintf("%s：%s %s", kind.ZH, code, meaning.ZH)}
}

// Outstanding is the number of messages that the acquirer has not acknowledged yet.
func (t *Till) Outstanding() int { return t.queue.Len() + len(t.closed) }
