package transit

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// status is where a request stands. Legal transitions: pending → done, silent, held; held → done, returning; silent, returning → done.
type status uint8

const (
	pending   status = iota + 1
	silent           // no answer in time: a reversal is on its way
	held             // an approved maximum that a bill completes
	returning        // approved, and given back by a reversal
)

// payment is one request to the acquirer that has not ended.
type payment struct {
	seq        uint64
	at         time.Time
	key        string
	ask        Ask
	credential int32
	bill       uint64
	minor      int64
	status     status
	chip       bool                       // the card's cryptogram is in it
	request    *unionpay.FinancialRequest // only in the process that sent it
	sealed     []byte
	stan       uint32
	batch      uint32
	date       string
	auth       string
	rrn        string
}

const (
	sealContext = "transit message"
	// traceModulus keeps trace numbers within field 11's six digits.
	traceModulus = 999_999
)

// send asks the acquirer. False: the request cannot be made now, and nothing has changed.
func (o *Office) send(now time.Time, ask Ask, c *credential, b *bill, minor int64, step *journal.Step) bool {
	// A cryptogram is shown once. A debt that is tried by the calendar goes by the card's number, as does a completion by its original.
	chip := !c.material.used && ask != AskRetry && ask != AskRefund && ask != AskComplete
	return o.sendWith(now, ask, c, b, minor, c.material, chip, step)
}

// sendUpload tells the acquirer of what a card paid by itself.
func (o *Office) sendUpload(now time.Time, u purse, step *journal.Step) bool {
	return o.sendWith(now, AskUpload, o.state.credentials[u.credential], nil, u.minor, u.material, true, step)
}

func (o *Office) sendWith(now time.Time, ask Ask, c *credential, b *bill, minor int64, from material, chip bool, step *journal.Step) bool {
	data, ok := o.cardData(from)
	if !ok {
		return false
	}
	m, ok := o.requestOf(c, data, minor, chip)
	if !ok {
		return false
	}
	o.shape(&m, ask, c, b)
	o.indicate(now, &m, ask, c, b, chip)
	sealed := o.envelope.Seal(&m)
	if sealed == nil {
		return false
	}
	r := journal.Row{
		Kind: journal.Requested, Key: unionpay.TerminalKey(&m), Content: unionpay.ContentHash(&m), Terminal: m.Terminal, STAN: m.STAN, Card: int64(c.number),
		Reason: uint16(ask), Amount: minor, Currency: currencyNumber(&o.deps), Note: sealed,
	}
	if b != nil {
		r.Linked = b.seq
	}
	if chip && ask != AskUpload {
		r.ATC = max(c.atc, 1)
	}
	o.append(step, now, r)
	p := o.state.payments[r.Key]
	p.request = &m
	if repeats(ask) {
		o.queue.Send(p.key, o.deps.Acquirer, &m, step)
		return true
	}
	step.Emit(journal.Effect{To: o.deps.Acquirer, Message: &m})
	step.Emit(delivery.Await(p.key, o.deps.AnswerWithin))
	return true
}

// repeats tells requests that are sent again until they are answered, rather than taken back: they tell of what has happened.
func repeats(ask Ask) bool { return ask == AskUpload || ask == AskRefund || ask == AskReturn }

// batchOf reads the batch out of a terminal's key: behind the eight characters of the terminal.
func batchOf(key string) (uint32, error) {
	const from, to = 8, 14
	if len(key) <= to {
		return 0, errors.New("a request without a key")
	}
	batch, err := strconv.ParseUint(key[from:to], 10, 32)
	return uint32(batch), err
}

// applyRequested takes up a request.
func (s *state) applyRequested(r *journal.Row) error {
	c := s.credential(r.Card)
	if c == nil {
		return fmt.Errorf("row %d: asks for credential %d, which is not known", r.Seq, r.Card)
	}
	batch, err := batchOf(r.Key)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	const monthAndDay = 10_000
	p := &payment{
		seq: r.Seq, at: r.At, key: r.Key, ask: Ask(r.Reason), credential: c.number, bill: r.Linked, minor: r.Amount, status: pending,
		sealed: append([]byte(nil), r.Note...), stan: r.STAN, batch: batch, date: fmt.Sprintf("%04d", r.BusinessDate%monthAndDay),
	}
	s.payments[p.key], s.bySeq[p.seq] = p, p
	if s.stan = r.STAN; s.stan == traceModulus {
		s.batch++
	}
	if r.ATC != 0 {
		c.material.used, p.chip = true, true
	}
	switch p.ask {
	case AskVerify, AskHold:
		c.verifying = true
		return nil
	case AskUpload:
		if len(s.purses) == 0 {
			return fmt.Errorf("row %d: no card has paid by itself", r.Seq)
		}
		first := s.purses[0]
		s.purses = s.purses[1:]
		if x := s.accounts[s.credentials[first.credential].account].paidAt(tapKey{first.material.device, first.material.sequence}); x != nil {
			x.Request = r.Seq
		}
		return nil
	case AskReturn:
		x := s.paidBy(c.number, r.Linked)
		if x == nil || x.State != PurseTaken || !x.Back || x.Minor != r.Amount {
			return fmt.Errorf("row %d: gives back what no card paid for nothing", r.Seq)
		}
		x.State = PurseReturning
		delete(s.returns, r.Linked)
		return nil
	case AskTap:
		c.recovered = stampOf(r.At)
	}
	b := s.bills[p.bill]
	if b == nil {
		return fmt.Errorf("row %d: asks for row %d, which is no bill", r.Seq, p.bill)
	}
	if p.ask == AskRefund {
		if p.minor > b.minor-b.refunded || p.minor > c.credit {
			return fmt.Errorf("row %d: gives back more than was paid or is owed", r.Seq)
		}
		c.credit -= p.minor
		b.returning = p.minor
		return s.move(b, EventRefund, r)
	}
	b.next = 0
	return s.move(b, EventAsk, r)
}

// applyPayment follows a request that has been sent.
func (s *state) applyPayment(r *journal.Row) error {
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: follows row %d, which is no request that goes on", r.Seq, r.Linked)
	}
	c := s.credentials[p.credential]
	var legal bool
	switch r.Kind {
	case journal.Answered:
		legal = p.status == pending
	case journal.TimedOut:
		legal = p.status == pending && !repeats(p.ask)
	case journal.Voided:
		legal = p.status == held
	case journal.Acknowledged:
		legal = p.status == silent || p.status == returning
	}
	if !legal {
		return fmt.Errorf("row %d: kind %s does not follow from where the request stands", r.Seq, r.Kind)
	}
	switch r.Kind {
	case journal.Answered:
		return s.applyAnswer(r, p, c)
	case journal.TimedOut:
		p.status, p.request = silent, nil
		if b := s.bills[p.bill]; b != nil {
			return s.move(b, EventSilence, r)
		}
		return nil
	case journal.Voided:
		p.status = returning
		c.hold = nil
		return nil
	}
	wasSilent := p.status == silent
	s.end(p)
	if !wasSilent {
		return nil
	}
	if p.chip && c.material.used {
		// Whether the issuer has seen the cryptogram nobody knows: the next request shows it again and names this one.
		c.material.used, c.material.shown = false, true
		c.proof = p.proof()
	}
	c.verifying = c.verifying && p.ask != AskVerify && p.ask != AskHold
	if b := s.bills[p.bill]; b != nil {
		if err := s.move(b, EventTakenBack, r); err != nil {
			return err
		}
		s.again(b, r.At)
	}
	return nil
}

// proof is the request as a later one names it. Its key ends with the class of its message.
func (p *payment) proof() *proof {
	return &proof{stan: p.stan, batch: p.batch, date: p.date, hold: p.key[len(p.key)-1] == unionpay.TypeAuthorizationRequest.Class()}
}

// end forgets a request.
func (s *state) end(p *payment) {
	delete(s.payments, p.key)
	delete(s.bySeq, p.seq)
}

// again sets when a bill is asked for next: by the calendar, and not by itself when that is at its end.
func (s *state) again(b *bill, now time.Time) {
	waits := s.deps.Profile.Retries
	if int(b.tries) < len(waits) {
		s.agenda.put(b, now.Add(waits[b.tries]))
	} else {
		b.next = 0
	}
	b.tries++
}

// applyAnswer ends a request, or keeps an approved maximum.
func (s *state) applyAnswer(r *journal.Row, p *payment, c *credential) error {
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	class, stop := ClassOf(answer.Response)
	s.proven(p, c, class, answer.Response)
	a := s.accounts[c.account]
	s.list.stale[a.number] = true
	if class == ClassApproved && !repeats(p.ask) {
		s.approve(c, r.At)
	}
	if class == ClassCard && p.ask != AskRefund && p.ask != AskReturn {
		c.stop = stop
	}
	switch p.ask {
	case AskVerify, AskHold:
		c.verifying = false
		c.refused = class == ClassFunds
		if class == ClassApproved && p.minor > 0 {
			p.status, p.auth, p.rrn, p.request = held, answer.AuthCode, answer.RRN, nil
			if p.ask == AskHold {
				c.hold = p
			}
			return nil
		}
	case AskUpload:
		s.told(p, class == ClassApproved, answer.RRN)
	case AskReturn:
		s.returned(p, class == ClassApproved)
	case AskRefund:
		return s.applyReturned(r, p, c, class == ClassApproved)
	default:
		if err := s.applyPaid(r, p, c, class, answer.RRN); err != nil {
			return err
		}
	}
	s.end(p)
	return nil
}

// proven remembers a request that the issuer has decided by the card's cryptogram, and forgets one that nobody knows.
func (s *state) proven(p *payment, c *credential, class Class, code unionpay.ResponseCode) {
	switch {
	case p.chip && (class == ClassApproved || class == ClassFunds):
		c.proof, c.material.shown = p.proof(), false
	case p.chip && class == ClassSystem && c.material.used && code != unionpay.DuplicateTransmission:
		// Whether the issuer has seen the cryptogram nobody knows, as after silence.
		c.material.used, c.material.shown, c.proof = false, true, p.proof()
	case code == unionpay.OriginalNotFound && !repeats(p.ask) && p.ask != AskComplete:
		c.proof = nil
	}
}

// applyPaid follows a bill that was asked for.
func (s *state) applyPaid(r *journal.Row, p *payment, c *credential, class Class, rrn string) error {
	b := s.bills[p.bill]
	b.code = r.Reason
	if p.ask == AskComplete && c.hold != nil {
		// Answered or refused: what was held is used, or gone.
		s.end(c.hold)
		c.hold = nil
	}
	switch class {
	case ClassApproved:
		b.paid = &receipt{rrn, p.stan, p.batch, p.date}
		return s.move(b, EventApproved, r)
	case ClassCard:
		return s.move(b, EventCard, r)
	}
	event := EventFunds
	if class != ClassFunds {
		event = EventSystem
		if int(b.tries) >= len(s.deps.Profile.Retries) {
			event = EventExhausted
		}
	}
	if err := s.move(b, event, r); err != nil {
		return err
	}
	s.again(b, r.At)
	return nil
}

// applyReturned ends a refund. What the acquirer refuses stays owed to the rider.
func (s *state) applyReturned(r *journal.Row, p *payment, c *credential, done bool) error {
	b := s.bills[p.bill]
	if done {
		s.tallies.bill(b, -1)
		b.refunded += p.minor
		s.tallies.bill(b, 1)
		s.totals.Refunded += p.minor
	} else {
		c.credit += p.minor
	}
	b.returning = 0
	s.end(p)
	return s.move(b, EventReturned, r)
}

// reversalOf repeats the original without track, with the reason [REF 6.1].
func reversalOf(m *unionpay.FinancialRequest, reason unionpay.ResponseCode) *unionpay.ReversalRequest {
	p := m.Payment
	p.Track2, p.Response = pan.Track2{}, reason
	return &unionpay.ReversalRequest{Payment: p}
}
