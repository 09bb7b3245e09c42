package interchange

import (
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
)

// A request whose number is a token goes to the token service first (0104). On a yes it goes on to the issuer under the card's number, with what is known of
// the token in field 48; towards the acquirer it stays the token's throughout. The Requested row comes with the answer of the service, before the issuer hears
// of the payment: what is lost before that row has reached no issuer. Rows and sealed messages have the token, never the card's number, so a reversal asks the
// service again (OperationMap) [REF 8].

// TokenRoute says whose numbers are tokens, and who knows the cards behind them. The zero value knows no tokens.
type TokenRoute struct {
	Prefix  string
	Service string
}

// tokenShare of the time for an answer is the token service's; the issuer has the whole of it afterwards, and the acquirer waits longer than both.
const tokenShare = 3

// question is what the token service was asked and has not answered.
type question struct {
	message *unionpay.TokenRequest
	// A payment waits: as received without its PIN, and sealed.
	from    string
	request *unionpay.FinancialRequest
	content [16]byte
	sealed  []byte
	// Or reversals wait, which are queued when it is answered.
	reversals []held
}

// held is a reversal that waits for the number of its card.
type held struct {
	key, to string
	message *unionpay.ReversalRequest
}

// questions are those under way, by their own keys, and the keys by the payments that wait. They are in memory only: a payment that was not resolved before a
// crash has no row, and reversals ask again.
type questions struct {
	asked   map[string]*question
	waiting map[string]string
}

func newQuestions() questions {
	return questions{asked: map[string]*question{}, waiting: map[string]string{}}
}

func (q *questions) end(key string) {
	if one := q.asked[key]; one != nil && one.request != nil {
		delete(q.waiting, unionpay.NetworkKey(one.request))
	}
	delete(q.asked, key)
}

func (s *Switch) isToken(n pan.Number) bool {
	return s.deps.Tokens.Service != "" && n.HasPrefix(s.deps.Tokens.Prefix)
}

// claimsToken tells a request that brings what only the switch may say: the issuer believes what field 48 says of a token.
func claimsToken(m *unionpay.FinancialRequest) bool {
	if m.Additional == "" {
		return false
	}
	_, err := unionpay.ParseTokenData(m.Additional)
	return err == nil
}

// mapsOnly tells a request that follows a payment: its token is mapped whatever state it is in.
func mapsOnly(m *unionpay.FinancialRequest) bool { return m.Original != nil || persists(m) }

// prepareToken translates the PIN into the token service's zone, where it stays bound to the token, and makes the question.
func (s *Switch) prepareToken(from string, m *unionpay.FinancialRequest) *Finding {
	f := &Finding{to: s.deps.Tokens.Service}
	if _, sound := resolution(m.Additional); !sound || m.NewPIN != nil {
		f.refuse = unionpay.NotPermittedToCard // a phone has no PIN of its own
		return f
	}
	kept := *m
	kept.PINBlock = nil
	if f.sealed = s.envelope.Seal(&kept); f.sealed == nil {
		f.refuse = unionpay.SystemFault
		return f
	}
	pin, refuse := s.translate(from, f.to, m.PINBlock, m.PAN)
	if f.refuse = refuse; refuse != "" {
		return f
	}
	f.question = s.ask(m)
	f.question.PINBlock = pin
	return f
}

func (s *Switch) translate(from, to string, block *pinblock.Block, n pan.Number) (*pinblock.Block, unionpay.ResponseCode) {
	if block == nil {
		return nil, ""
	}
	translated, result, err := s.deps.Vault.TranslatePIN(s.deps.PINKey(from), s.deps.PINKey(to), *block, n)
	switch {
	case err != nil:
		return nil, unionpay.SystemFault
	case result != hsm.PINOK:
		return nil, unionpay.PINFormatError
	}
	return &translated, ""
}

// ask is the question about a request's token, without its PIN.
func (s *Switch) ask(m *unionpay.FinancialRequest) *unionpay.TokenRequest {
	if mapsOnly(m) {
		return s.mapping(&m.Payment)
	}
	p := m.Payment
	p.PINBlock, p.Track2, p.Track3, p.Info, p.Receiver = nil, pan.Track2{}, unionpay.Track3{}, unionpay.Info{}, s.deps.Tokens.Service
	p.Additional, _ = resolution(m.Additional)
	return &unionpay.TokenRequest{Payment: p}
}

// resolution is the question, with what the acquirer says of where the token comes from: whose wallet or shop, on which device. The token service compares it
// with the token's domain. false is field 48 of a token's request that says anything else: that is for the switch and the token service to say.
func resolution(said unionpay.Opaque) (unionpay.Opaque, bool) {
	if said == "" {
		return operation(unionpay.OperationResolve), true
	}
	d, err := unionpay.ParseTokenData(said)
	if err != nil {
		return "", false
	}
	claim, err := unionpay.TokenData{Operation: unionpay.OperationResolve, Requestor: d.Requestor, Device: d.Device}.Opaque()
	return claim, err == nil && claim == said
}

// mapping asks for the card behind a token and nothing else. The switch is the forwarder, so that the key is not that of the payment's own question; a payment
// and its reversal ask the same.
func (s *Switch) mapping(p *unionpay.Payment) *unionpay.TokenRequest {
	return &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: p.PAN, Processing: p.Processing, Amount: p.Amount, TransmissionTime: p.TransmissionTime, STAN: p.STAN, MerchantType: p.MerchantType,
		Acquirer: p.Acquirer, Forwarder: s.deps.Institution, Receiver: s.deps.Tokens.Service, RRN: p.RRN, Terminal: p.Terminal, Merchant: p.Merchant,
		Condition: p.Condition, Additional: operation(unionpay.OperationMap),
	}}
}

func operation(o unionpay.TokenOperation) unionpay.Opaque {
	opaque, err := unionpay.TokenData{Operation: o}.Opaque()
	if err != nil {
		panic("interchange: an operation cannot be written: " + err.Error())
	}
	return opaque
}

// resolve asks the token service about a new payment. There is no row yet.
func (s *Switch) resolve(ev *journal.Event, m *unionpay.FinancialRequest, content [16]byte, f *Finding, step *journal.Step) {
	key := unionpay.NetworkKey(f.question)
	if first := s.questions.asked[key]; first != nil {
		if first.request != nil && first.content == content {
			first.message.PINBlock = f.question.PINBlock
			step.Emit(journal.Effect{To: s.deps.Tokens.Service, Message: f.question}) // the answer serves both
			return
		}
		step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.DuplicateTransmission})})
		return
	}
	kept := *m
	kept.PINBlock = nil
	s.questions.asked[key] = &question{message: f.question, from: ev.From, request: &kept, content: content, sealed: f.sealed}
	s.questions.waiting[unionpay.NetworkKey(m)] = key
	step.Emit(journal.Effect{To: s.deps.Tokens.Service, Message: f.question})
	step.Emit(delivery.Await(key, s.deps.AnswerWithin/tokenShare))
}

// unresolved ends the wait for the token service; false when the key is no question's. No issuer has seen the payment, so there is nothing to take back.
func (s *Switch) unresolved(now time.Time, key string, step *journal.Step) bool {
	q := s.questions.asked[key]
	if q == nil || q.request == nil {
		return false
	}
	s.questions.end(key)
	s.refuseToken(now, q, unionpay.IssuerInoperative, unionpay.TokenData{Reason: unionpay.TokenServiceUnavailable}, step)
	return true
}

// abandon forgets a payment that was taken back before its token was resolved.
func (s *Switch) abandon(payment string, step *journal.Step) {
	if key, waits := s.questions.waiting[payment]; waits {
		s.questions.end(key)
		step.Emit(delivery.Awaited(key))
	}
}

// refuseToken answers a payment that goes no further. What only says what has happened is sent again, unless the refusal is for good.
func (s *Switch) refuseToken(now time.Time, q *question, code unionpay.ResponseCode, d unionpay.TokenData, step *journal.Step) {
	answer := unionpay.Answer{Response: code, SettlementDate: monthDay(s.deps.Calendar.BusinessDate(now))}
	key := unionpay.NetworkKey(q.request)
	_, known := s.state.payments.Get(key)
	if !known && (!persists(q.request) || delivery.Definite(code)) {
		row := s.row(journal.Declined, &q.request.Payment, key)
		row.Key, row.Content, row.Reason, row.Answer, row.Note = key, q.content, code.Pack(), answer.AppendBinary(nil), resolutionNote(d)
		s.append(step, now, row)
	}
	if !known {
		step.Emit(journal.Effect{To: q.from, Message: unionpay.Respond(q.request, answer)})
	}
}

// resolutionNote is what a row says of a token: why it was resolved or not, its reference, account and requestor; no number.
func resolutionNote(d unionpay.TokenData) []byte {
	d.Token = pan.Number{}
	opaque, err := d.Opaque()
	if err != nil {
		panic("interchange: token data that were read cannot be written: " + err.Error())
	}
	return []byte(opaque)
}

// prepareResolved finds the issuer of the card behind a token and translates the PIN into its zone.
func (s *Switch) prepareResolved(from string, m *unionpay.TokenResponse) *Finding {
	f := &Finding{}
	if from != s.deps.Tokens.Service || !m.Response.Approved() {
		return f
	}
	if f.to = s.route(m.PAN); f.to == "" {
		f.refuse = unionpay.NoSuchIssuer
		return f
	}
	f.pin, f.refuse = s.translate(from, f.to, m.PINBlock, m.PAN)
	return f
}

// resolved takes the token service's answer.
func (s *Switch) resolved(now time.Time, ev *journal.Event, m *unionpay.TokenResponse, step *journal.Step) {
	key := unionpay.NetworkKey(m)
	q := s.questions.asked[key]
	d, err := m.Data()
	f, _ := ev.Finding.(*Finding)
	if q == nil || ev.From != s.deps.Tokens.Service || err != nil || d.Reason == 0 || f == nil {
		return // late, unknown or from somebody else
	}
	if q.request == nil {
		s.mapped(key, q, m, step)
		return
	}
	s.questions.end(key)
	step.Emit(delivery.Awaited(key))
	switch {
	case !m.Response.Approved():
		s.refuseToken(now, q, m.Response, d, step)
	case f.refuse != "":
		s.refuseToken(now, q, f.refuse, d, step)
	default:
		s.forwardToken(now, q, m, d, f, step)
	}
}

// forwardToken sends a payment by token on to the issuer under the card's number.
func (s *Switch) forwardToken(now time.Time, q *question, m *unionpay.TokenResponse, d unionpay.TokenData, f *Finding, step *journal.Step) {
	key := unionpay.NetworkKey(q.request)
	p, known := s.state.payments.Get(key)
	if known && p.status != pending {
		return // it has ended meanwhile
	}
	if !known {
		row := s.row(journal.Requested, &q.request.Payment, key)
		row.Key, row.Content, row.Note, row.Answer = key, q.content, partiesNote(q.from, f.to, q.sealed), resolutionNote(d)
		if q.request.Advice {
			row.Reason = adviceReason
		}
		s.append(step, now, row)
		p, _ = s.state.payments.Get(key)
	}
	kept := *q.request
	kept.Receiver, kept.SettlementDate = p.to, monthDay(p.date)
	p.request = &kept
	forward := kept
	forward.PAN, forward.Expiry, forward.CardSequence, forward.PINBlock = m.PAN, m.Expiry, m.CardSequence, f.pin
	forward.Track2, forward.Track3, forward.Additional = pan.Track2{}, unionpay.Track3{}, m.Additional
	step.Emit(journal.Effect{To: p.to, Message: &forward})
	if !persists(&kept) {
		step.Emit(delivery.Await(key, s.deps.AnswerWithin))
	}
}

// forwardAgain asks anew about a payment by token that only says what has happened and that its issuer has not answered.
func (s *Switch) forwardAgain(m *unionpay.FinancialRequest, p *payment, step *journal.Step) {
	asked := s.ask(m)
	key := unionpay.NetworkKey(asked)
	if s.questions.asked[key] == nil {
		kept := *m
		kept.PINBlock = nil
		s.questions.asked[key] = &question{message: asked, from: p.from, request: &kept, content: p.content, sealed: p.sealed}
		step.Emit(delivery.Await(key, s.deps.AnswerWithin/tokenShare))
	}
	step.Emit(journal.Effect{To: s.deps.Tokens.Service, Message: asked})
}

// deliver sends a reversal until its issuer has acknowledged it. One of a token finds its card first, and the question is repeated as the reversal would be.
func (s *Switch) deliver(key, to string, m unionpay.Message, step *journal.Step) {
	r, ok := m.(*unionpay.ReversalRequest)
	if !ok || !s.isToken(r.PAN) {
		s.queue.Send(key, to, m, step)
		return
	}
	asked := s.mapping(&r.Payment)
	at := unionpay.NetworkKey(asked)
	one := held{key: key, to: to, message: r}
	if q := s.questions.asked[at]; q != nil && q.request == nil {
		q.reversals = append(q.reversals, one)
		return
	}
	s.questions.asked[at] = &question{message: asked, reversals: []held{one}}
	s.queue.Send(at, s.deps.Tokens.Service, asked, step)
}

// mapped sends the reversals on that waited for a card's number. A service that cannot say now is asked again. Where it says no, the reversal goes with the
// token: the issuer finds the payment by field 90, and money must not stay held because a token is gone.
func (s *Switch) mapped(key string, q *question, m *unionpay.TokenResponse, step *journal.Step) {
	if !m.Response.Approved() && !delivery.Definite(m.Response) || !s.queue.Acknowledged(key, s.deps.Tokens.Service, step) {
		return
	}
	s.questions.end(key)
	for _, one := range q.reversals {
		forward := *one.message
		if m.Response.Approved() {
			forward.PAN, forward.Expiry, forward.CardSequence, forward.Additional = m.PAN, m.Expiry, m.CardSequence, m.Additional
		}
		forward.Receiver = one.to
		s.queue.Send(one.key, one.to, &forward, step)
	}
}

// resolutionOf reads what a row says of a token.
func resolutionOf(r *journal.Row) (unionpay.TokenData, bool) {
	note := r.Note
	if r.Kind == journal.Requested {
		note = r.Answer
	}
	if len(note) == 0 || r.Kind != journal.Requested && r.Kind != journal.Declined {
		return unionpay.TokenData{}, false
	}
	d, err := unionpay.ParseTokenData(unionpay.Opaque(note))
	return d, err == nil
}
