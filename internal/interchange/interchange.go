package interchange

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Route sends card numbers that begin with a prefix to a member. The longest prefix wins.
type Route struct {
	Prefix string
	Issuer string
	// Stations, when there are any, stand for the issuer: each serves a part of its cards and signs on as a member of its own.
	Stations []string
}

// member is who answers for a card number of the route.
func (r Route) member(n pan.Number) string {
	if len(r.Stations) == 0 {
		return r.Issuer
	}
	return r.Stations[StationOf(n, len(r.Stations))]
}

// StationOf is the place of a card number among so many stations, evenly spread. It depends on the number alone, so that an issuer finds the same place
// when it takes the card in. The place says next to nothing about the number.
func StationOf(n pan.Number, stations int) int {
	var digits [maxPANDigits]byte
	sum := sha256.Sum256(n.RevealTo(digits[:0]))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(stations))
}

// maxPANDigits is the longest card number [ISO 7812].
const maxPANDigits = 19

// Vault is what the switch asks of its HSM.
type Vault interface {
	TranslatePIN(from, to string, block pinblock.Block, n pan.Number) (pinblock.Block, hsm.PINResult, error)
	delivery.Sealer
}

// Deps is what a switch needs from outside.
type Deps struct {
	Institution string
	Routes      []Route
	Tokens      TokenRoute
	Vault       Vault
	PINKey      func(member string) string // name of a member's zone PIN key
	SealKey     string                     // name of the key that seals messages at rest
	Calendar    clock.Calendar
	// AnswerWithin is how long an issuer may take; zero means answerWithinDefault.
	AnswerWithin time.Duration
	// Capacity bounds what is kept in memory of payments and reversals that have ended.
	Capacity journal.Capacity
}

const (
	// answerWithinDefault leaves the acquirer, who waits longer, time to hear of it [REF 6.5].
	answerWithinDefault = 30 * time.Second
	sealContext         = "interchange message"
)

// Switch is the core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type Switch struct {
	deps      Deps
	state     *state
	queue     delivery.Queue // reversals
	questions questions
	envelope  delivery.Envelope
	// closed are keys of payments, and closedReversals of reversals, that the HSM could not open after a restart.
	closed, closedReversals []string
}

// New makes a switch without payments.
func New(deps Deps) (*Switch, error) {
	if deps.Institution == "" || deps.Vault == nil || deps.PINKey == nil || deps.SealKey == "" {
		return nil, errors.New("interchange: institution, vault, PIN key names and seal key are needed")
	}
	for _, route := range deps.Routes {
		if route.Prefix == "" || route.Issuer == "" {
			return nil, fmt.Errorf("interchange: a route needs prefix and issuer, got %q → %q", route.Prefix, route.Issuer)
		}
	}
	if deps.AnswerWithin <= 0 {
		deps.AnswerWithin = answerWithinDefault
	}
	return &Switch{
		deps: deps, state: newState(deps.Institution, deps.Capacity), questions: newQuestions(),
		envelope: delivery.Envelope{Vault: deps.Vault, Key: deps.SealKey, Context: sealContext, Dialect: unionpay.Switch},
	}, nil
}

// route finds the issuer of a card number, "" when nobody issues it.
func (s *Switch) route(n pan.Number) string {
	best := Route{}
	for _, route := range s.deps.Routes {
		if len(route.Prefix) > len(best.Prefix) && n.HasPrefix(route.Prefix) {
			best = route
		}
	}
	return best.member(n)
}

// Finding is what Prepare found out about a message.
type Finding struct {
	to     string
	pin    *pinblock.Block
	newPIN *pinblock.Block       // of a PIN change
	refuse unionpay.ResponseCode // set when the message cannot be forwarded
	sealed []byte
	// question is what the token service is asked first, when the number is a token.
	question *unionpay.TokenRequest
	// What the journal says of the payment and of the reversal, when memory may have forgotten them.
	earlier journal.Recall[*payment]
	own     journal.Recall[*reversal]
}

// Prepare finds the route, translates the PIN into the issuer's zone and seals the message for rest. It looks for payments that memory may have forgotten.
func (s *Switch) Prepare(ev *journal.Event) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialRequest:
		if !speaksFor(ev.From, &m.Payment) {
			return
		}
		f := s.prepareRequest(ev.From, m)
		f.earlier = s.state.payments.Foresee(unionpay.NetworkKey(m), s.state.look)
		ev.Finding = f
	case *unionpay.ReversalRequest:
		if !speaksFor(ev.From, &m.Payment) {
			return
		}
		f := &Finding{to: s.route(m.PAN)}
		if s.isToken(m.PAN) {
			f.to = s.deps.Tokens.Service
		}
		f.own = s.state.reversals.Foresee(unionpay.NetworkKey(m), s.state.lookReversal)
		f.earlier = s.state.payments.Foresee(unionpay.OriginalKey(m), s.state.look)
		if f.to != "" {
			f.sealed = s.envelope.Seal(m)
		}
		if f.to != "" && f.sealed == nil {
			f.refuse = unionpay.SystemFault
		}
		ev.Finding = f
	case *unionpay.TokenResponse:
		ev.Finding = s.prepareResolved(ev.From, m)
	case *unionpay.ScriptNotice:
		if speaksFor(ev.From, &m.Payment) {
			ev.Finding = s.prepareNotice(m)
		}
	}
}

func (s *Switch) prepareRequest(from string, m *unionpay.FinancialRequest) *Finding {
	if s.isToken(m.PAN) {
		return s.prepareToken(from, m)
	}
	f := &Finding{to: s.route(m.PAN)}
	if claimsToken(m) {
		f.refuse = unionpay.FormatError
		return f
	}
	if f.to == "" {
		f.refuse = unionpay.NoSuchIssuer
		return f
	}
	if f.pin, f.refuse = s.translate(from, f.to, m.PINBlock, m.PAN); f.refuse != "" {
		return f
	}
	if f.newPIN, f.refuse = s.translate(from, f.to, m.NewPIN, m.PAN); f.refuse != "" {
		return f
	}
	kept := *m
	kept.PINBlock, kept.NewPIN = nil, nil // a PIN is never stored, not even enciphered
	if f.sealed = s.envelope.Seal(&kept); f.sealed == nil {
		f.refuse = unionpay.SystemFault
	}
	return f
}

// Handle decides one event.
func (s *Switch) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialRequest:
		s.request(now, ev, m, step)
		return
	case *unionpay.FinancialResponse:
		s.answered(now, ev, m, step)
		return
	case *unionpay.ReversalRequest:
		s.reverse(now, ev, m, step)
		return
	case *unionpay.ReversalResponse, *unionpay.ScriptNoticeResponse:
		s.acknowledged(now, ev, m, step)
		return
	case *unionpay.ScriptNotice:
		s.notice(now, ev, m, step)
		return
	case *unionpay.TokenResponse:
		s.resolved(now, ev, m, step)
		return
	}
	if up, ok := ev.Command.(delivery.Up); ok {
		s.queue.Reached(up.Peer, step)
		return
	}
	s.queue.Due(ev.Timer, step, func(key string) { s.timeout(now, key, step) }, func() { s.pickUp(s.closed, s.closedReversals, step) })
}

// append makes a decided row part of the step and of the state.
func (s *Switch) append(step *journal.Step, now time.Time, row journal.Row) {
	row.BusinessDate = s.deps.Calendar.BusinessDate(now)
	step.Decide(now, row, s.state.apply)
}

func (s *Switch) row(kind journal.Kind, p *unionpay.Payment, key string) journal.Row {
	return journal.Row{Kind: kind, Payment: key, RRN: p.RRN, Terminal: p.Terminal, STAN: p.STAN, Amount: p.Amount.Minor(),
		Currency: uint16(p.Amount.Currency().Number())}
}

// request forwards a new payment and answers a repeat.
func (s *Switch) request(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, step *journal.Step) {
	if !speaksFor(ev.From, &m.Payment) {
		// No row: somebody else's message must not take the member's key.
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.TerminalNotRegistered})})
		return
	}
	key, content := unionpay.NetworkKey(m), unionpay.ContentHash(m)
	finding, _ := ev.Finding.(*Finding)
	if finding == nil {
		finding = &Finding{refuse: unionpay.SystemFault}
	}
	first, known, err := s.state.payments.Find(key, finding.earlier, s.state.look)
	if err != nil {
		return // nobody knows whether this is a repeat: no answer is better than a second one
	}
	if known {
		s.repeat(ev, m, first, content, step)
		return
	}
	if persists(m) && finding.refuse != "" && !delivery.Definite(finding.refuse) {
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: finding.refuse})})
		return // no row: the acquirer sends it again
	}
	row := s.row(journal.Requested, &m.Payment, key)
	row.Key, row.Content = key, content
	if finding.refuse != "" {
		answer := unionpay.Answer{Response: finding.refuse, SettlementDate: monthDay(s.deps.Calendar.BusinessDate(now))}
		row.Kind, row.Reason, row.Answer = journal.Declined, finding.refuse.Pack(), answer.AppendBinary(nil)
		s.append(step, now, row)
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
		return
	}
	if finding.question != nil {
		s.resolve(ev, m, content, finding, step)
		return
	}
	row.Note = partiesNote(ev.From, finding.to, finding.sealed)
	if m.Advice {
		row.Reason = adviceReason
	}
	s.append(step, now, row)
	p, _ := s.state.payments.Get(key)
	s.forward(m, p, finding, step)
	if !persists(m) {
		step.Emit(delivery.Await(key, s.deps.AnswerWithin))
	}
}

// speaksFor reports whether a member may send a message: only in its own name, and about its own payments. Otherwise one member could take another's payment
// back.
func speaksFor(member string, p *unionpay.Payment) bool {
	own := func(institution string) bool {
		return strings.TrimLeft(institution, "0") == strings.TrimLeft(member, "0")
	} // field 90 has zeros in front
	return own(p.Forwarder) && (p.Original == nil || own(p.Original.Forwarder))
}

// persists tells a request that only says what has happened, such as a payment that the chip has already approved: it is never reversed, and the acquirer
// repeats it until it is answered.
func persists(m *unionpay.FinancialRequest) bool {
	return m.Advice || m.Info.MessageType == unionpay.KindOfflineUpload
}

// forward sends a request on to the issuer and remembers it, without its PINs, for the answer. Sent again later it is the same message: it keeps the business
// date under which it went out first.
func (s *Switch) forward(m *unionpay.FinancialRequest, p *payment, f *Finding, step *journal.Step) {
	if s.isToken(m.PAN) {
		s.forwardAgain(m, p, step)
		return
	}
	forward := *m
	forward.PINBlock, forward.NewPIN, forward.Receiver, forward.SettlementDate = f.pin, f.newPIN, p.to, monthDay(p.date)
	kept := forward
	kept.PINBlock, kept.NewPIN = nil, nil
	p.request = &kept
	step.Emit(journal.Effect{To: p.to, Message: &forward})
}

// repeat gives the first answer again; while there is none yet, the answer that is on its way serves both, and an upload is asked once more.
func (s *Switch) repeat(ev *journal.Event, m *unionpay.FinancialRequest, first *payment, content [16]byte, step *journal.Step) {
	answer := first.given()
	switch {
	case first.content == [16]byte{}:
		answer = unionpay.Answer{Response: unionpay.ResponseLate} // reversed before it came
	case first.content != content:
		answer = unionpay.Answer{Response: unionpay.DuplicateTransmission}
	case first.status == pending && persists(m):
		s.forward(m, first, &Finding{}, step)
		return
	case first.status == pending:
		return
	case answer.Response == "":
		answer = unionpay.Answer{Response: unionpay.ResponseLate} // reversed before it was answered
	}
	forwarded := *m
	forwarded.Receiver = first.to // as in the first answer, byte for byte
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(&forwarded, answer)})
}

// answered passes the issuer's answer on, if it came in time and from the issuer that was asked.
func (s *Switch) answered(now time.Time, ev *journal.Event, m *unionpay.FinancialResponse, step *journal.Step) {
	key := unionpay.NetworkKey(m)
	p, known := s.state.payments.Get(key)
	if !known || p.status != pending || p.to != ev.From || p.request == nil {
		return // late, unknown or from somebody else: nothing changes, the trace shows the message
	}
	answer, request, from := unionpay.AnswerOf(&m.Payment), p.request, p.from
	if persists(request) && !delivery.Definite(answer.Response) {
		return // the issuer could not say: the acquirer sends the upload again, and it must reach the issuer again
	}
	row := s.row(journal.Answered, &request.Payment, key)
	row.Key, row.Linked, row.Reason, row.Answer = key+endMark, p.seq, answer.Response.Pack(), answer.AppendBinary(nil)
	s.append(step, now, row)
	step.Emit(delivery.Awaited(key))
	step.Emit(journal.Effect{To: from, Message: unionpay.Respond(request, answer)})
}

// monthDay is the MMDD of a business date, for field 15.
func monthDay(date int32) string { return fmt.Sprintf("%04d", date%10000) }

// Open implements journal.Keeper.
func (s *Switch) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	return s.state.begin(ctx, archive, watermark)
}

// WriteBack implements journal.Keeper.
func (s *Switch) WriteBack(back *journal.Back, rows int, durable uint64) {
	s.state.writeBack(back, rows, durable)
}

// Replay rebuilds the state from a committed row.
func (s *Switch) Replay(r *journal.Row) error {
	err := s.state.apply(r)
	s.state.settle(r.Seq)
	return err
}

// Finish has nothing to add.
func (s *Switch) Finish(*journal.Effect) {}

// Describe says what a row means.
func (s *Switch) Describe(r *journal.Row) glossary.Term {
	if d, ok := resolutionOf(r); ok {
		kind, meaning := r.Kind.Term(), d.Reason.Term()
		return glossary.Term{EN: kind.EN + ": " + meaning.EN, ZH: kind.ZH + "：" + meaning.ZH}
	}
	code := unionpay.UnpackResponseCode(r.Reason)
	if code == "" || r.Kind == journal.Requested {
		return r.Kind.Term()
	}
	kind, meaning := r.Kind.Term(), code.Term()
	return glossary.Term{EN: kind.EN + ": " + string(code) + " " + meaning.EN, ZH: kind.ZH + "：" + string(code) + " " + meaning.ZH}
}

// Outstanding is the number of reversals that issuers have not acknowledged yet.
func (s *Switch) Outstanding() int { return s.queue.Len() + s.closedCount() }
