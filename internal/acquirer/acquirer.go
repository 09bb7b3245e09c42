package acquirer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Merchant is somebody the acquirer pays.
type Merchant struct {
	ID       string // field 42, up to 15 characters
	Name     string // field 43
	Category string // field 18, merchant category code
	// Waiting means that the merchant has applied and nobody has approved it yet; see SetMerchant.
	Waiting bool
	// MostMinor is the highest amount of one request that was agreed with the merchant. Zero: nothing was agreed; then TransitRule bounds requests for rides.
	MostMinor int64
}

// Terminal is a device of a merchant.
type Terminal struct {
	ID       string // field 41, 8 characters
	Merchant string // ID of its merchant
	Currency uint16 // that of its batches; zero is that of the books
}

// Vault is what the acquirer asks of its HSM.
type Vault interface {
	TranslatePIN(from, to string, block pinblock.Block, n pan.Number) (pinblock.Block, hsm.PINResult, error)
	TranslateUniquePIN(base string, serial hsm.Serial, to string, block pinblock.Block, n pan.Number) (pinblock.Block, hsm.PINResult, error)
	delivery.Sealer
}

// Deps is what an acquirer needs from outside.
type Deps struct {
	Institution string // own institution id, fields 32 and 33
	Switch      string // the switch as a peer
	Merchants   []Merchant
	Terminals   []Terminal
	Vault       Vault
	PINKey      func(peer string) string // name of a terminal's or the switch's PIN key
	// BaseKey is the name of the base key of a terminal that has a key for every transaction [X9.24]; "" when it has not. Nil: none has.
	BaseKey  func(terminal string) string
	SealKey  string
	Calendar clock.Calendar
	Currency uint16 // ISO 4217 number of the books
	// Currencies are others in which merchants are paid; a batch's totals are those of its terminal's currency alone.
	Currencies []uint16
	// AnswerWithin is how long the switch may take; zero means answerWithinDefault.
	AnswerWithin time.Duration
	// Capacity bounds what is kept in memory of payments and reversals that have ended.
	Capacity journal.Capacity
	// Rules say what merchants may do; nil means DefaultRules.
	Rules []CategoryRule
	// Transit is what operators of transport are held to; the zero value is DefaultTransit.
	Transit TransitRule
}

const (
	// answerWithinDefault is longer than the switch waits and shorter than a terminal does [REF 6.5].
	answerWithinDefault = 45 * time.Second
	sealContext         = "acquirer message"
	// traceModulus keeps system trace audit numbers within field 11's six digits.
	traceModulus = 999_999
)

// Acquirer is the core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type Acquirer struct {
	deps      Deps
	terminals map[string]int  // terminal → place of its merchant
	operators map[string]bool // terminals of transit operators
	state     *state
	queue     delivery.Queue
	envelope  delivery.Envelope
	// closed are keys of payments, and closedReversals of reversals and notices, that the HSM could not open after a restart.
	closed, closedReversals []string
	admission               admission
}

// New makes an acquirer without payments.
func New(deps Deps) (*Acquirer, error) {
	if deps.Institution == "" || deps.Switch == "" || deps.Vault == nil || deps.PINKey == nil || deps.SealKey == "" || deps.Currency == 0 {
		return nil, errors.New("acquirer: institution, switch, vault, PIN key names, seal key and currency are needed")
	}
	if deps.AnswerWithin <= 0 {
		deps.AnswerWithin = answerWithinDefault
	}
	if err := deps.checkCurrencies(); err != nil {
		return nil, err
	}
	operators, err := deps.checkTransit()
	if err != nil {
		return nil, err
	}
	places := map[string]int{}
	for i, m := range deps.Merchants {
		if _, twice := places[m.ID]; twice || m.ID == "" {
			return nil, fmt.Errorf("acquirer: merchant id %q is empty or used twice", m.ID)
		}
		places[m.ID] = i
	}
	if deps.Rules == nil {
		deps.Rules = DefaultRules()
	}
	terminals := map[string]int{}
	for _, t := range deps.Terminals {
		place, ok := places[t.Merchant]
		if !ok {
			return nil, fmt.Errorf("acquirer: terminal %q belongs to unknown merchant %q", t.ID, t.Merchant)
		}
		terminals[t.ID] = place
	}
	a := &Acquirer{
		deps: deps, terminals: terminals, operators: operators, state: newState(deps),
		envelope: delivery.Envelope{Vault: deps.Vault, Key: deps.SealKey, Context: sealContext, Dialect: unionpay.Switch},
	}
	a.admission.publish(a)
	return a, nil
}

// Finding is what Prepare found out about a terminal's request.
type Finding struct {
	pin      *pinblock.Block
	newPIN   *pinblock.Block    // of a PIN change
	serial   unionpay.KeySerial // of the key that the PIN came under; zero: the session's
	refuse   unionpay.ResponseCode
	earlier  journal.Recall[*payment] // what the journal says of the key, when memory may have forgotten it
	original journal.Recall[*payment] // the same of the payment that the request names
	shown    journal.Recall[showing]  // and of the cryptogram of a gate
}

// reversalFinding is what Prepare found out about a terminal's reversal or notice.
type reversalFinding struct {
	own      journal.Recall[received]
	original journal.Recall[*payment]
}

// Prepare translates the PIN from the terminal's key into the zone of the switch, and looks for payments that memory may have forgotten.
func (a *Acquirer) Prepare(ev *journal.Event) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialRequest:
		if a.speaksFor(ev.From, m.Terminal) {
			a.prepareRequest(ev, m)
		}
	case *unionpay.ReversalRequest, *unionpay.ScriptNotice:
		if a.speaksFor(ev.From, unionpay.PaymentOf(m).Terminal) {
			ev.Finding = &reversalFinding{a.state.taken.Foresee(unionpay.TerminalKey(m), a.state.lookTaken),
				a.state.payments.Foresee(unionpay.OriginalKey(m), a.state.look)}
		}
	}
}

func (a *Acquirer) prepareRequest(ev *journal.Event, m *unionpay.FinancialRequest) {
	f := &Finding{earlier: a.state.payments.Foresee(unionpay.TerminalKey(m), a.state.look)}
	if key := unionpay.OriginalKey(m); key != "" {
		f.original = a.state.payments.Foresee(key, a.state.look)
	}
	if key := a.shownKey(m); key != "" {
		f.shown = a.state.shown.Foresee(key, a.state.lookShown)
	}
	ev.Finding = f
	if m.PINBlock == nil {
		return
	}
	f.pin = a.translate(ev.From, m, m.PINBlock, f)
	if f.pin != nil && a.unique(ev.From) {
		f.serial, _ = unionpay.KeySerialOf(m.Detail) // translated with it
	}
	if m.NewPIN != nil {
		f.newPIN = a.translate(ev.From, m, m.NewPIN, f)
	}
}

// translate brings a PIN under the switch's key, or says in the finding why it cannot.
func (a *Acquirer) translate(terminal string, m *unionpay.FinancialRequest, block *pinblock.Block, f *Finding) *pinblock.Block {
	translated, result, err := a.translateBlock(terminal, m, *block)
	switch {
	case err != nil:
		f.refuse = unionpay.SystemFault
	case result != hsm.PINOK:
		f.refuse = unionpay.PINFormatError
	default:
		return &translated
	}
	return nil
}

// translateBlock does it from the terminal's own key or from the one of this transaction alone.
func (a *Acquirer) translateBlock(terminal string, m *unionpay.FinancialRequest, block pinblock.Block) (pinblock.Block, hsm.PINResult, error) {
	serial, err := unionpay.KeySerialOf(m.Detail)
	to := a.deps.PINKey(a.deps.Switch)
	unique := a.unique(terminal)
	if err != nil || unique == serial.IsZero() {
		return pinblock.Block{}, hsm.PINBadFormat, nil //nolint:nilerr // a key that the terminal may not use opens nothing
	}
	if unique {
		key := hsm.Serial{AES: serial.Method() != unionpay.KeyTDES, Number: serial.Bytes()}
		return a.deps.Vault.TranslateUniquePIN(a.deps.BaseKey(terminal), key, to, block, m.PAN)
	}
	return a.deps.Vault.TranslatePIN(a.deps.PINKey(terminal), to, block, m.PAN)
}

// unique reports whether a terminal has a key for every transaction.
func (a *Acquirer) unique(terminal string) bool {
	return a.deps.BaseKey != nil && a.deps.BaseKey(terminal) != ""
}

// Handle decides one event.
func (a *Acquirer) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialRequest:
		a.request(now, ev, m, step)
		return
	case *unionpay.FinancialResponse:
		a.answered(now, ev, m, step)
		return
	case *unionpay.ReversalRequest:
		a.reverse(now, ev, m, step)
		return
	case *unionpay.ReversalResponse, *unionpay.ScriptNoticeResponse:
		a.acknowledged(now, ev, m, step)
		return
	case *unionpay.ScriptNotice:
		a.notice(now, ev, m, step)
		return
	case *unionpay.SettlementRequest:
		a.closeBatch(now, ev, m, step)
		return
	case *unionpay.BatchUpload:
		a.takeUpload(now, ev, m, step)
		return
	case *unionpay.NetworkRequest:
		a.download(now, ev, m, step)
		return
	}
	if a.command(now, ev, step) {
		return
	}
	if up, ok := ev.Command.(delivery.Up); ok {
		a.queue.Reached(up.Peer, step)
		return
	}
	a.queue.Due(ev.Timer, step, func(key string) { a.timeout(now, key, step) }, func() { a.pickUp(a.closed, a.closedReversals, step) })
}

// append makes a decided row part of the step and of the state.
func (a *Acquirer) append(step *journal.Step, now time.Time, row journal.Row) {
	row.BusinessDate = a.deps.Calendar.BusinessDate(now)
	step.Decide(now, row, a.state.apply)
}

func row(kind journal.Kind, p *unionpay.Payment) journal.Row {
	return journal.Row{Kind: kind, RRN: p.RRN, Terminal: p.Terminal, STAN: p.STAN, Amount: p.Amount.Minor(), Currency: uint16(p.Amount.Currency().Number())}
}

// request forwards a new payment and answers a repeat.
func (a *Acquirer) request(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, step *journal.Step) {
	if !a.speaksFor(ev.From, m.Terminal) {
		// No row: somebody else's message must not take the terminal's key.
		step.Emit(journal.Effect{To: ev.From, Message: a.respond(m, unionpay.Answer{Response: unionpay.TerminalNotRegistered})})
		return
	}
	key, content := unionpay.TerminalKey(m), unionpay.ContentHash(m)
	finding, _ := ev.Finding.(*Finding)
	if finding == nil {
		finding = &Finding{refuse: unionpay.SystemFault}
	}
	first, known, err := a.state.payments.Find(key, finding.earlier, a.state.look)
	if err != nil {
		return // nobody knows whether this is a repeat: no answer is better than a second one
	}
	if known {
		a.repeat(ev, m, first, content, step)
		return
	}
	original, err := a.originalOf(m, finding)
	if err != nil {
		return
	}
	refuse := a.vet(m, finding, original)
	var tap shown
	if refuse == "" {
		if tap, refuse, err = a.look(m, finding, original); err != nil {
			return
		}
	}
	var forward *unionpay.FinancialRequest
	var sealed []byte
	if refuse == "" {
		forward = a.forwardOf(now, m, original)
		if sealed = a.envelope.Seal(forward); sealed == nil {
			refuse = unionpay.SystemFault
		}
	}
	if persists(m) && refuse != "" && !delivery.Definite(refuse) {
		step.Emit(journal.Effect{To: ev.From, Message: a.respond(m, unionpay.Answer{Response: refuse})})
		return // no row: the terminal sends it again
	}
	a.spend(now, m, finding.serial, step)
	if tap.how == shownAgain || tap.how != 0 && refuse == "" {
		a.show(now, m, tap, step)
	}
	r := row(journal.Requested, &m.Payment)
	r.Key, r.Content, r.ATC = key, content, counterOf(m)
	if refuse != "" {
		answer := unionpay.Answer{Response: refuse, SettlementDate: a.monthDay(now), RRN: a.reference(now, a.state.requests+1)}
		r.Kind, r.RRN, r.Reason, r.Answer = journal.Declined, answer.RRN, refuse.Pack(), answer.AppendBinary(nil)
		a.append(step, now, r)
		step.Emit(journal.Effect{To: ev.From, Message: a.respond(m, answer)})
		return
	}
	r.Payment, r.RRN, r.Note, r.Reason = unionpay.NetworkKey(forward), forward.RRN, sealed, uint16(BusinessOf(m))
	if original != nil {
		r.Answer = []byte(original.key)
	}
	a.append(step, now, r)
	kept := *forward
	a.state.network[r.Payment].forward = &kept
	if persists(m) {
		a.queue.Send(r.Payment, a.deps.Switch, forward, step)
		return
	}
	forward.PINBlock, forward.NewPIN = finding.pin, finding.newPIN
	step.Emit(journal.Effect{To: a.deps.Switch, Message: forward})
	step.Emit(delivery.Await(key, a.deps.AnswerWithin))
}

// originalOf is the payment that a request names; nil when there is none.
func (a *Acquirer) originalOf(m *unionpay.FinancialRequest, f *Finding) (*payment, error) {
	named := unionpay.OriginalKey(m)
	if named == "" {
		return nil, nil
	}
	original, _, err := a.state.payments.Find(named, f.original, a.state.look)
	if err == nil && BusinessOf(m) == OfflineSale && (original == nil || original.network == "" || original.business != Sale) {
		original = nil // the upload of what a card approved by itself names its request for the issuer, if there was one
	}
	return original, err
}

// speaksFor reports whether a peer may send messages of a terminal: only the terminal itself may.
func (a *Acquirer) speaksFor(peer, terminal string) bool {
	_, known := a.terminals[terminal]
	return known && peer == terminal
}

// respond answers a terminal's message. Every answer names the acquirer, so that the first one and its repetitions are the same bytes.
func (a *Acquirer) respond(m *unionpay.FinancialRequest, answer unionpay.Answer) unionpay.Message {
	named := *m
	named.Acquirer = a.deps.Institution
	return unionpay.Respond(&named, answer)
}

// repeat gives the first answer again; while there is none yet, the answer that is on its way serves both.
func (a *Acquirer) repeat(ev *journal.Event, m *unionpay.FinancialRequest, first *payment, content [16]byte, step *journal.Step) {
	answer := first.given()
	switch {
	case first.content == [16]byte{}:
		answer = unionpay.Answer{Response: unionpay.ResponseLate} // reversed before it came
	case first.content != content:
		answer = unionpay.Answer{Response: unionpay.DuplicateTransmission}
	case first.status == pending:
		return
	case answer.Response == "":
		answer = unionpay.Answer{Response: unionpay.ResponseLate} // reversed before it was answered
	}
	step.Emit(journal.Effect{To: ev.From, Message: a.respond(m, answer)})
}

// answered passes the switch's answer on to the terminal and books an approval.
func (a *Acquirer) answered(now time.Time, ev *journal.Event, m *unionpay.FinancialResponse, step *journal.Step) {
	key := unionpay.NetworkKey(m)
	p := a.state.network[key]
	if p == nil || ev.From != a.deps.Switch || p.forward == nil {
		return // late, unknown or from somebody else: nothing changes, the trace shows the message
	}
	if p.business.persists() && (!delivery.Definite(m.Response) || !a.queue.Acknowledged(key, ev.From, step)) {
		return // the network could not say: it is repeated
	}
	forward, answer := p.forward, unionpay.AnswerOf(&m.Payment)
	answer.RRN = forward.RRN
	r := row(journal.Answered, &forward.Payment)
	r.Key, r.Linked, r.Payment, r.Reason, r.Answer, r.STAN = p.key+endMark, p.seq, key, answer.Response.Pack(), answer.AppendBinary(nil), p.stan
	if answer.Response.Approved() {
		r.Debit, r.Credit, r.Phase = p.business.money(a.booksOf(p.terminal, r.Currency))
		if p.business == CardsLastWord && !a.cardsLastWord(p, &r) {
			return // nobody knows what it undoes: the network answers again
		}
	}
	a.append(step, now, r)
	step.Emit(delivery.Awaited(p.key))
	step.Emit(journal.Effect{To: p.terminal, Message: unionpay.Respond(terminalRequest(forward, p.stan), answer)})
}

// timeout reverses a payment that the switch did not answer in time, and tells the terminal.
func (a *Acquirer) timeout(now time.Time, key string, step *journal.Step) {
	p, known := a.state.payments.Get(key)
	if !known || p.status != pending || p.business.persists() || p.forward == nil {
		return
	}
	forward := p.forward
	m := reversalOf(forward, unionpay.ReasonTimeout, nil)
	answer := unionpay.Answer{Response: unionpay.IssuerTimeout, SettlementDate: a.monthDay(now), RRN: forward.RRN}
	r := row(journal.TimedOut, &forward.Payment)
	r.Key, r.Linked, r.Payment, r.STAN = p.key+endMark, p.seq, unionpay.NetworkKey(m), p.stan
	r.Reason, r.Answer = answer.Response.Pack(), answer.AppendBinary(nil)
	a.append(step, now, r)
	step.Emit(journal.Effect{To: p.terminal, Message: unionpay.Respond(terminalRequest(forward, p.stan), answer)})
	a.queue.Send(r.Payment, a.deps.Switch, m, step)
}

// monthDay is the business date as MMDD, for field 15.
func (a *Acquirer) monthDay(now time.Time) string {
	return monthDay(a.deps.Calendar.BusinessDate(now))
}

func monthDay(date int32) string { return fmt.Sprintf("%04d", date%10000) }

// accounts are those of a terminal's merchant: what it is owed, and what it owes for cash it took.
func (a *Acquirer) accounts(terminal string) (merchant, cash ledger.Account) {
	place := ledger.Account(a.terminals[terminal])
	return firstMerchant + place, firstCash + place
}

// Open implements journal.Keeper.
func (a *Acquirer) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	err := a.state.begin(ctx, archive, watermark)
	a.admission.publish(a)
	return err
}

// WriteBack implements journal.Keeper.
func (a *Acquirer) WriteBack(back *journal.Back, rows int, durable uint64) {
	a.state.writeBack(back, rows, durable)
}

// Replay rebuilds the state from a committed row.
func (a *Acquirer) Replay(r *journal.Row) error {
	err := a.state.apply(r)
	a.state.payments.Settle(r.Seq)
	a.state.taken.Settle(r.Seq)
	a.state.shown.Settle(r.Seq)
	if r.Kind == journal.MerchantChanged {
		a.admission.publish(a)
	}
	return err
}

// Finish has nothing to add.
func (a *Acquirer) Finish(*journal.Effect) {}

// Describe says what a row means.
func (a *Acquirer) Describe(r *journal.Row) glossary.Term {
	kind, code := r.Kind.Term(), unionpay.UnpackResponseCode(r.Reason)
	switch {
	case r.Kind == journal.Advised:
		outcome := UploadOutcome(r.Reason).Term()
		return glossary.Term{EN: "uploaded: " + outcome.EN, ZH: "批上送：" + outcome.ZH}
	case r.Kind == journal.KeysChanged:
		return serialTerm(r)
	case r.Kind == journal.Noted:
		return shownTerm(r)
	case r.Kind == journal.Requested && r.Reason != 0:
		name := Business(r.Reason).Term()
		return glossary.Term{EN: kind.EN + ": " + name.EN, ZH: kind.ZH + "：" + name.ZH}
	case code == "" || r.Kind == journal.Requested || r.Kind == journal.ParameterChanged:
		return kind
	}
	meaning := code.Term()
	return glossary.Term{EN: kind.EN + ": " + string(code) + " " + meaning.EN, ZH: kind.ZH + "：" + string(code) + " " + meaning.ZH}
}

// AccountName names an account for people.
func (a *Acquirer) AccountName(account ledger.Account) string {
	if account >= elsewhere {
		at := (account - elsewhere) / spread
		if int(at) < len(a.deps.Currencies) {
			return fmt.Sprintf("%s in %03d", a.AccountName(account-elsewhere-at*spread), a.deps.Currencies[at])
		}
	}
	if account == AccountScheme {
		return "scheme"
	}
	if place := int(account - firstMerchant); place >= 0 && place < len(a.deps.Merchants) {
		return a.deps.Merchants[place].Name
	}
	if place := int(account - firstCash); place >= 0 && place < len(a.deps.Merchants) {
		return "cash of " + a.deps.Merchants[place].Name
	}
	return fmt.Sprintf("account %d", account)
}

// Book gives the ledger for display and checks; it belongs to the writer.
func (a *Acquirer) Book() *ledger.Book { return a.state.book }

// Outstanding is the number of messages that nobody has acknowledged yet.
func (a *Acquirer) Outstanding() int { return a.queue.Len() + a.closedCount() }
