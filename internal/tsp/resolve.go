package tsp

import (
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/delivery"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
)

// resolveFinding is what Prepare found out about a resolution.
type resolveFinding struct {
	token   hint
	card    hint   // of a deleted token
	tokenID uint64 // 0: no such token
	sealed  string // which seal was opened: a number that was sealed anew since is opened again
	number  pan.Number
	pin     *pinblock.Block
	badPIN  bool
	failed  bool // the store or the security module failed: nobody knows
	key     string
	content [16]byte
	earlier journal.Recall[answer]
}

// pending is a resolution that waits for the cloud secure element. It is in memory only: whoever asked asks again, and the verifier answers a repeat as before.
type pending struct {
	from     string
	verifier string
	request  *unionpay.TokenRequest
	finding  *resolveFinding
	token    uint64
	data     unionpay.TokenData
}

// prepareResolve finds the token, opens the account number behind it and binds the PIN block to it.
func (s *TSP) prepareResolve(from string, m *unionpay.TokenRequest) *resolveFinding {
	f := &resolveFinding{}
	if from != s.deps.Switch {
		return f
	}
	name, err := s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, m.PAN)
	if err != nil {
		f.key, f.content, f.failed = unionpay.NetworkKey(m), unionpay.ContentHash(m), true
		return f
	}
	// The record is far from the processor: what must be done anyway is done while it comes.
	s.state.packed.near(&name)
	f.key = unionpay.NetworkKey(m)
	f.earlier = s.state.resolved.Foresee(f.key, s.state.look)
	s.state.packed.nearer(&name)
	f.content = unionpay.ContentHash(m)
	r, h, err := s.state.findName(name)
	f.token = h
	t, found, err := as[*Token](r, err)
	if err != nil || !found {
		f.failed = err != nil
		return f
	}
	f.tokenID = t.Number
	account := t.Account
	if account == nil {
		r, f.card, err = s.state.find(cellOf(kindCard, t.Card))
		c, found, err := as[*Card](r, err)
		if err != nil || !found {
			f.failed = true
			return f
		}
		account = c.account()
	}
	s.openFor(f, from, m, account, s.state.settings.Load())
	return f
}

// openFor opens an account's number and binds the PIN block to it.
func (s *TSP) openFor(f *resolveFinding, from string, m *unionpay.TokenRequest, c *Account, kept *settings) {
	f.sealed, f.number, f.failed, f.badPIN, f.pin = string(c.Sealed), pan.Number{}, false, false, nil
	if len(c.Sealed) == 0 {
		return // replaced or closed: there is nothing to open, and a rule says so
	}
	key, known := kept.key(c.Tenant, c.Epoch)
	var err error
	if f.number, err = s.deps.Numbers.OpenNumber(key, c.Name, c.Sealed); err != nil || !known {
		f.failed = true
		return
	}
	if m.PINBlock == nil {
		return
	}
	zone := s.deps.Keys.PINKey(from)
	bound, result, err := s.deps.Vault.RebindPIN(zone, zone, *m.PINBlock, m.PAN, f.number)
	switch {
	case err != nil:
		f.failed = true
	case result != hsm.PINOK:
		f.badPIN = true
	default:
		f.pin = &bound
	}
}

// resolve answers a question of the switch, or asks the cloud secure element first.
func (s *TSP) resolve(now time.Time, ev *journal.Event, m *unionpay.TokenRequest, step *journal.Step) {
	f, _ := ev.Finding.(*resolveFinding)
	data, err := m.Data()
	if ev.From != s.deps.Switch || f == nil || err != nil || data.Operation != unionpay.OperationResolve && data.Operation != unionpay.OperationMap {
		s.refuse(ev.From, m, unionpay.TokenServiceUnavailable, step)
		return
	}
	key, content := f.key, f.content
	if p, waits := s.pending[key]; waits && p.from == ev.From && p.finding.content == content {
		p.finding.pin = f.pin // the answer that is on its way serves both
		return
	}
	first, known, err := s.state.resolved.Find(key, f.earlier, s.state.look)
	if err != nil {
		s.refuse(ev.From, m, unionpay.TokenServiceUnavailable, step)
		return
	}
	a, reason := s.gather(now, ev.From, m, data, f)
	if known {
		s.repeat(ev.From, m, first, content, a, f, reason, step)
		return
	}
	if reason == 0 && data.Operation == unionpay.OperationResolve {
		reason = judge(a)
	}
	switch {
	case reason == unionpay.TokenServiceUnavailable:
		s.refuse(ev.From, m, reason, step) // no row: asked again, it may be otherwise
	case reason != 0:
		s.decide(now, ev.From, m, a, f, unionpay.TokenData{Reason: reason, Verification: unionpay.NotVerified}, step)
	case data.Operation == unionpay.OperationMap:
		s.decide(now, ev.From, m, a, f, unionpay.TokenData{Reason: unionpay.TokenMapped, Verification: unionpay.NotVerified}, step)
	case !needsCryptogram(a.token) && !a.payment.ICC.Has(emv.TagAC):
		s.decide(now, ev.From, m, a, f, unionpay.TokenData{Reason: unionpay.TokenResolved, Verification: unionpay.NotVerified}, step)
	default:
		s.askVerifier(key, ev.From, m, a, f, step)
	}
}

// gather gives the records of a token as they are now. Its reason is that there is no token, or that nobody can say.
func (s *TSP) gather(now time.Time, from string, m *unionpay.TokenRequest, data unionpay.TokenData, f *resolveFinding) (*attempt, unionpay.TokenReason) {
	a := &attempt{now: now, payment: &m.Payment, data: data}
	if f.tokenID == 0 && !f.failed {
		return a, unionpay.TokenUnknown
	}
	if f.tokenID == 0 {
		return a, unionpay.TokenServiceUnavailable
	}
	var err error
	if a.token, err = s.state.token(f.tokenID, f.token); err != nil || a.token == nil {
		return a, unionpay.TokenServiceUnavailable
	}
	if a.account = a.token.Account; a.account == nil {
		card, err := s.state.card(a.token.Card, f.card)
		if err != nil || card == nil {
			return a, unionpay.TokenServiceUnavailable
		}
		a.account = card.account()
	}
	if a.requestor = s.state.requestorAt(a.token.Requestor); a.requestor == nil {
		return a, unionpay.TokenServiceUnavailable
	}
	if f.sealed != string(a.account.Sealed) {
		s.openFor(f, from, m, a.account, s.state.settings.Load()) // re-linked or sealed anew between Prepare and now
	}
	if f.failed {
		return a, unionpay.TokenServiceUnavailable
	}
	if data.Operation == unionpay.OperationMap && f.number.IsZero() {
		return a, unionpay.TokenCardClosed
	}
	a.badPIN = f.badPIN
	return a, 0
}

// repeat gives the first answer again.
func (s *TSP) repeat(to string, m *unionpay.TokenRequest, first answer, content [16]byte, a *attempt, f *resolveFinding, reason unionpay.TokenReason,
	step *journal.Step,
) {
	switch {
	case first.content != content:
		s.refuse(to, m, unionpay.TokenKeyReused, step)
	case reason == unionpay.TokenServiceUnavailable:
		s.refuse(to, m, reason, step)
	default:
		d, err := unionpay.ParseTokenData(unionpay.Opaque(first.body))
		if err != nil {
			s.refuse(to, m, unionpay.TokenServiceUnavailable, step)
			return
		}
		s.answer(to, m, d, a, f, step)
	}
}

// verifier is who has the keys of a token.
func (s *TSP) verifier(t *Token) string {
	if unionpay.TokenStorage(t.Storage) == unionpay.StorageSE && s.deps.Elements != "" {
		return s.deps.Elements
	}
	return s.deps.CloudSE
}

// askVerifier asks whether the cryptogram is right.
func (s *TSP) askVerifier(key, from string, m *unionpay.TokenRequest, a *attempt, f *resolveFinding, step *journal.Step) {
	reference, err := s.reference(a.token)
	verifier := s.verifier(a.token)
	if verifier == "" || err != nil {
		s.refuse(from, m, unionpay.VerifierUnavailable, step)
		return
	}
	question := &unionpay.TokenRequest{Payment: m.Payment}
	question.PINBlock, question.Track2, question.Track3 = nil, pan.Track2{}, unionpay.Track3{}
	question.Receiver = verifier
	d := unionpay.TokenData{
		Operation: unionpay.OperationVerify, Reference: reference, Requestor: a.requestor.ID, Storage: unionpay.TokenStorage(a.token.Storage),
		Device: a.token.Reference,
	}
	if question.Additional, err = d.Opaque(); err != nil {
		s.refuse(from, m, unionpay.TokenServiceUnavailable, step)
		return
	}
	s.pending[key] = &pending{from: from, verifier: verifier, request: m, finding: f, token: a.token.Number, data: a.data}
	step.Emit(journal.Effect{To: verifier, Message: question})
	step.Emit(delivery.Await(key, s.deps.VerifyWithin))
}

// verified takes the verifier's answer. The rules are asked once more: the token may have been suspended meanwhile.
func (s *TSP) verified(now time.Time, ev *journal.Event, m *unionpay.TokenResponse, step *journal.Step) {
	key := unionpay.NetworkKey(m)
	p := s.pending[key]
	d, err := m.Data()
	if p == nil || ev.From != p.verifier || err != nil || d.Reason == 0 {
		return // late, unknown or from somebody else
	}
	delete(s.pending, key)
	step.Emit(delivery.Awaited(key))
	a, reason := s.gather(now, p.from, p.request, p.data, p.finding)
	if reason == 0 {
		reason = judge(a)
	}
	switch {
	case reason == unionpay.TokenServiceUnavailable:
		s.refuse(p.from, p.request, reason, step)
	case d.Reason >= unionpay.TokenServiceUnavailable || m.Response.Approved() != (d.Reason == unionpay.TokenVerified):
		s.refuse(p.from, p.request, unionpay.VerifierUnavailable, step)
	case reason != 0:
		s.decide(now, p.from, p.request, a, p.finding, unionpay.TokenData{Reason: reason, Verification: d.Verification}, step)
	case d.Reason != unionpay.TokenVerified:
		out := unionpay.TokenData{Reason: d.Reason, Class: d.Class, Verification: unionpay.CryptogramRefused, Evidence: d.Evidence}
		s.decide(now, p.from, p.request, a, p.finding, out, step)
	default:
		out := unionpay.TokenData{Reason: unionpay.TokenResolved, Class: d.Class, Verification: unionpay.CryptogramVerified, Evidence: d.Evidence}
		s.decide(now, p.from, p.request, a, p.finding, out, step)
	}
}

// unanswered ends the wait for the verifier.
func (s *TSP) unanswered(_ time.Time, key string, step *journal.Step) {
	if p := s.pending[key]; p != nil {
		delete(s.pending, key)
		s.refuse(p.from, p.request, unionpay.VerifierUnavailable, step)
	}
}

// decide records an answer and gives it.
func (s *TSP) decide(now time.Time, to string, m *unionpay.TokenRequest, a *attempt, f *resolveFinding, d unionpay.TokenData, step *journal.Step) {
	row := journal.Row{
		Kind: journal.Declined, Key: f.key, Content: f.content, Payment: f.key, RRN: m.RRN, Terminal: m.Terminal,
		STAN: m.STAN, Reason: uint16(d.Reason), Amount: m.Amount.Minor(), Currency: uint16(m.Amount.Currency().Number()),
	}
	if a.token != nil {
		if err := s.describe(&d, a); err != nil {
			s.refuse(to, m, unionpay.TokenServiceUnavailable, step)
			return
		}
		row.Card = int64(a.token.Number)
	}
	body, err := d.Opaque()
	if err != nil {
		s.refuse(to, m, unionpay.TokenServiceUnavailable, step)
		return
	}
	row.Answer = []byte(body.Reveal())
	if d.Reason.ResponseCode().Approved() {
		row.Kind = journal.Answered
		if today := s.deps.Calendar.BusinessDate(now); d.Reason == unionpay.TokenResolved && a.token.Used != today {
			used := *a.token
			used.Used = today
			row.Note = appendRecords(nil, []record{&used})
		}
	}
	told := s.alarm(now, step.NextSeq(), &row, d.Reason, a)
	s.append(step, now, row)
	s.answer(to, m, d, a, f, step)
	for i := range told {
		s.tell(now, &told[i], step)
	}
}

// alarm suspends, in the row of the refusal, a token whose keys are in two places; the notices say so.
func (s *TSP) alarm(now time.Time, seq uint64, row *journal.Row, reason unionpay.TokenReason, a *attempt) []notice {
	if reason != unionpay.CounterRepeated && reason != unionpay.CredentialDeviceTag {
		return nil
	}
	next := *a.token
	card, err := s.state.card(next.Card)
	if err != nil || card == nil || !next.move(EventSuspend, ByRisk) {
		return nil
	}
	reference, err := s.reference(&next)
	if err != nil {
		return nil
	}
	par, err := s.par(a.account.PAR)
	if err != nil {
		return nil
	}
	changed := []record{&next}
	happened, err := s.histories(changed, lived{Row: seq, At: now.Unix(), Event: EventSuspend, Actor: actorService, Reason: reason.String()})
	if err != nil {
		return nil
	}
	row.Note = appendRecords(nil, append(changed, happened...))
	view := tspapi.Token{Reference: reference, PAR: par, State: next.State.String()}
	return s.noticesOf(EventSuspend, &next, card, a.requestor, view, reason.String(), nil)
}

// describe adds what is known of the token: its reference, account, requestor and how its holder was verified.
func (s *TSP) describe(d *unionpay.TokenData, a *attempt) (err error) {
	if d.Reference, err = s.reference(a.token); err != nil {
		return err
	}
	if d.PAR, err = s.par(a.account.PAR); err != nil {
		return err
	}
	d.Requestor, d.Assurance, d.Storage = a.requestor.ID, a.token.IDV.info().assurance, unionpay.TokenStorage(a.token.Storage)
	d.Device = a.token.Reference
	return nil
}

// answer sends what was decided. An approval has the account number in place of the token.
func (s *TSP) answer(to string, m *unionpay.TokenRequest, d unionpay.TokenData, a *attempt, f *resolveFinding, step *journal.Step) {
	code := d.Reason.ResponseCode()
	out := unionpay.Respond(m, unionpay.Answer{Response: code}).(*unionpay.TokenResponse)
	if code.Approved() {
		if f.number.IsZero() {
			s.refuse(to, m, unionpay.TokenCardClosed, step) // the first answer's card is gone
			return
		}
		out.PAN, out.PINBlock, d.Token = f.number, f.pin, m.PAN
		out.CardSequence = a.account.Sequence
		if e, err := pan.ParseExpiry(a.account.Expiry); err == nil {
			out.Expiry = e
		}
	}
	body, err := d.Opaque()
	if err != nil {
		s.refuse(to, m, unionpay.TokenServiceUnavailable, step)
		return
	}
	out.Additional = body
	step.Emit(journal.Effect{To: to, Message: out})
}

// refuse answers without a row.
func (s *TSP) refuse(to string, m *unionpay.TokenRequest, reason unionpay.TokenReason, step *journal.Step) {
	out := unionpay.Respond(m, unionpay.Answer{Response: reason.ResponseCode()}).(*unionpay.TokenResponse)
	body, err := unionpay.TokenData{Reason: reason}.Opaque()
	if err != nil {
		panic("tsp: a reason of the table cannot be written: " + err.Error())
	}
	out.Additional = body
	step.Emit(journal.Effect{To: to, Message: out})
}

func describeResolution(r *journal.Row) glossary.Term {
	reason := unionpay.TokenReason(r.Reason)
	kind, why := r.Kind.Term(), reason.Term()
	return glossary.Term{EN: "token " + kind.EN + ": " + why.EN, ZH: "令牌" + kind.ZH + "：" + why.ZH}
}

// Found reports whether Prepare has found the token of a resolution and opened its account number.
func Found(ev *journal.Event) bool {
	f, ok := ev.Finding.(*resolveFinding)
	return ok && f.tokenID != 0 && !f.failed && !f.number.IsZero()
}
