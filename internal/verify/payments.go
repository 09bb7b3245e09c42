package verify

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// state is where a payment stands at a member.
type state uint8

const (
	open state = iota
	approved
	declined
	timedOut
	reversed
)

// payment is one payment as one member's rows tell it.
type payment struct {
	seq      uint64
	terminal string // key between terminal and acquirer, where the member knows it
	network  string // key between institutions, where the member knows it
	rrn      string
	amount   int64
	currency uint16
	upload   bool
	state    state
	hold     uint64 // row whose hold stands
	posted   bool   // the money has moved for good
	business uint16 // what the acquirer says it is about
	sign     int64  // 1: it raises what an issuer owes the scheme and the scheme an acquirer; -1: it lowers it; 0: it is between cardholder and bank
	late     bool   // it was reversed, and stands at its two ends all the same: the chip has it
	disputed bool   // the chip said otherwise than the terminal: to be cleared between the members
	loose    bool   // what one member holds for it the other may have moved for good
	passing  bool   // its money is no claim: an advice, an inquiry, a load that the chip did not take
}

// story is what a member's rows say about payments, deliveries and where they contradict themselves.
type story struct {
	member     *Member
	payments   []*payment
	bySeq      map[uint64]*payment
	byTerminal map[string]*payment
	byNetwork  map[string]*payment
	deliveries map[string]uint64 // by key: row that sent it, while not acknowledged
	sentBy     map[uint64]string // the same the other way round, for ever
	wrong      *journal.Row
	why        glossary.Term
}

func tell(m *Member) *story {
	s := &story{member: m, bySeq: map[uint64]*payment{}, byTerminal: map[string]*payment{}, byNetwork: map[string]*payment{},
		deliveries: map[string]uint64{}, sentBy: map[uint64]string{}}
	for i := range m.Rows {
		r := &m.Rows[i]
		switch m.Role {
		case Issuer:
			s.issuer(r)
		case Switch:
			s.network(r)
		case Acquirer:
			s.acquirer(r)
		case Till:
			s.till(r)
		}
	}
	return s
}

func (s *story) fail(r *journal.Row, en, zh string) {
	if s.wrong == nil {
		s.wrong, s.why = r, glossary.Term{EN: en, ZH: zh}
	}
}

func (s *story) begin(r *journal.Row, terminal, network string) *payment {
	p := &payment{seq: r.Seq, terminal: terminal, network: network, rrn: r.RRN, amount: r.Amount, currency: r.Currency}
	p.sign = schemeSign(r)
	s.payments = append(s.payments, p)
	s.bySeq[r.Seq] = p
	if terminal != "" {
		s.byTerminal[terminal] = p
	}
	if network != "" {
		s.byNetwork[network] = p
	}
	return p
}

// schemeSign says what a row with money means for the account with the scheme, which has the same number in the books of issuers and acquirers: an issuer owes
// more when it is credited, an acquirer claims more when it is debited.
func schemeSign(r *journal.Row) int64 {
	switch issuerScheme {
	case int64(r.Credit):
		return 1
	case int64(r.Debit):
		return -1
	}
	return 0
}

// end gives a payment its one end.
func (s *story) end(p *payment, r *journal.Row, to state) {
	switch {
	case p == nil:
		s.fail(r, "it ends a payment that never began", "所结束的交易从未开始")
	case p.state != open:
		s.fail(r, "it ends a payment that had ended before", "所结束的交易此前已结束")
	default:
		p.state = to
	}
}

// undo takes a payment back; one that ended without money stays as it was.
func (s *story) undo(p *payment) {
	if p != nil && (p.state == open || p.state == approved) && !p.upload {
		p.state = reversed
	}
}

func (s *story) send(key string, r *journal.Row) {
	s.deliveries[key], s.sentBy[r.Seq] = r.Seq, key
}

func (s *story) acknowledge(key string, r *journal.Row) {
	if _, waiting := s.deliveries[key]; !waiting {
		s.fail(r, "it acknowledges what was not sent or was acknowledged before", "所确认的报文未发送或已确认")
	}
	delete(s.deliveries, key)
}

func answerState(r *journal.Row) state {
	if unionpay.UnpackResponseCode(r.Reason).Approved() {
		return approved
	}
	return declined
}

// issuer reads an issuer's rows: a decision is the end.
func (s *story) issuer(r *journal.Row) {
	switch r.Kind {
	case journal.Approved:
		p := s.begin(r, "", r.Key)
		p.state, p.hold = approved, r.Seq
		if r.Reason == reasonPreAuth {
			p.sign = 0 // the merchant says later what he takes
		}
	case journal.Uploaded:
		p := s.begin(r, "", r.Key)
		p.state, p.upload, p.posted = approved, true, true
	case journal.Held:
		if p := s.bySeq[r.Linked]; r.Reason == reasonHeldAgain && p != nil {
			p.hold, s.bySeq[r.Seq] = r.Seq, p
		}
		if r.Key != "" {
			p := s.begin(r, "", r.Key)
			p.state, p.hold = approved, r.Seq
		}
	case journal.Loaded, journal.Voided, journal.Completed:
		if r.Key != "" {
			p := s.begin(r, "", r.Key)
			p.state, p.posted, p.loose = approved, r.Kind == journal.Completed, true
		}
		if p := s.bySeq[r.Resolves]; p != nil {
			p.hold, p.posted = 0, r.Phase == ledger.Post
			p.disputed = p.disputed || r.Reason == reasonLoadProven || r.Reason == reasonLoadDisproven
		}
	case journal.Adjusted:
		if p := s.bySeq[r.Linked]; p != nil {
			p.posted, p.disputed = r.Reason == reasonLoadProven, true
		}
	case journal.Refunded:
		p := s.begin(r, "", r.Key)
		p.state, p.posted, p.loose = approved, true, r.Reason != reasonRefund
	case journal.Noted:
		if answers(r) {
			s.begin(r, "", r.Key).state = approved
		}
	case journal.Declined:
		s.begin(r, "", r.Key).state = declined
	case journal.Reversed:
		if p := s.bySeq[r.Linked]; r.Resolves == 0 && r.Linked != 0 && p != nil {
			p.state, p.posted = reversed, false // what followed an earlier payment is undone
			return
		}
		if r.Resolves == 0 {
			if p := s.byNetwork[string(r.Note)]; p != nil && p.hold != 0 {
				s.fail(r, "it reverses a payment and leaves its hold", "冲正后冻结未解除")
			}
			return
		}
		p := s.bySeq[r.Resolves]
		if p == nil || p.hold == 0 {
			s.fail(r, "it releases a hold that does not stand", "所解除的冻结不存在")
			return
		}
		p.state, p.hold = reversed, 0
	}
}

// network reads a switch's rows.
func (s *story) network(r *journal.Row) {
	switch r.Kind {
	case journal.Requested:
		s.begin(r, "", r.Key)
	case journal.Declined:
		s.begin(r, "", r.Key).state = declined
	case journal.Answered:
		s.end(s.bySeq[r.Linked], r, answerState(r))
	case journal.TimedOut:
		s.end(s.bySeq[r.Linked], r, timedOut)
		s.send(r.Key, r)
	case journal.Reversed:
		s.undo(s.byNetwork[r.Payment])
		if hasReceiver(r) {
			s.send(r.Key, r)
		}
	case journal.ScriptReported:
		if hasReceiver(r) {
			s.send(r.Key, r)
		}
	case journal.Acknowledged:
		s.acknowledge(s.sentBy[r.Linked], r)
	}
}

// hasReceiver reads the note of a switch's Reversed row: sender and receiver, each behind a length byte. Without a receiver there is nothing to send.
func hasReceiver(r *journal.Row) bool {
	b := r.Note
	if len(b) == 0 || len(b) < 2+int(b[0]) {
		return false
	}
	return b[1+int(b[0])] != 0
}

// acquirer reads an acquirer's rows.
func (s *story) acquirer(r *journal.Row) {
	switch r.Kind {
	case journal.Requested:
		p := s.begin(r, r.Key, r.Payment)
		p.business, p.upload, p.passing = r.Reason, r.Reason == businessOffline, r.Reason == businessLastWord || r.Reason == businessBalance || aboutPIN(r.Reason)
		p.upload = p.upload || persists(r.Reason)
		p.loose = r.Reason >= businessVoid
	case journal.Declined:
		s.begin(r, r.Key, "").state = declined
	case journal.Answered:
		s.acquirerAnswered(r)
	case journal.TimedOut:
		s.end(s.bySeq[r.Linked], r, timedOut)
		s.send(r.Payment, r)
	case journal.Reversed:
		p := s.bySeq[r.Linked]
		s.undo(p)
		s.acquirerResolves(p, r)
		if r.Payment != "" {
			s.send(r.Payment, r)
		}
	case journal.ScriptReported:
		s.acquirerResolves(s.byTerminal[string(r.Answer)], r)
		s.send(r.Payment, r)
	case journal.Acknowledged:
		s.acknowledge(r.Payment, r)
	}
}

func (s *story) acquirerAnswered(r *journal.Row) {
	p := s.bySeq[r.Linked]
	s.end(p, r, answerState(r))
	if p == nil {
		return
	}
	if r.Resolves != 0 { // the card declined in the end
		original := s.byTerminal[string(r.Note)]
		if p.business != businessLastWord || original == nil || original.hold != r.Resolves || answerState(r) != approved {
			s.fail(r, "it releases a hold that does not stand", "所解除的冻结不存在")
			return
		}
		original.state, original.hold = reversed, 0
		return
	}
	if why, whyZH := moneyOf(p.business, answerState(r) == approved, r); why != "" {
		s.fail(r, why, whyZH)
	}
	if r.Debit != 0 {
		p.sign = -acquirerSign(r)
		p.posted = r.Phase == ledger.Single
		if r.Phase == ledger.Pending {
			p.hold = r.Seq
		}
	}
}

// acquirerResolves is a row that may end a hold: a reversal, or what became of a cash load.
func (s *story) acquirerResolves(p *payment, r *journal.Row) {
	if r.Resolves == 0 {
		return
	}
	if p == nil || p.hold != r.Resolves || r.Phase == ledger.Post && !cashBusiness(p.business) {
		s.fail(r, "it releases a hold that does not stand", "所解除的冻结不存在")
		return
	}
	p.hold, p.posted = 0, r.Phase == ledger.Post
	if r.Phase == ledger.Void {
		p.state = reversed
	} else if p.state == reversed {
		p.state, p.late = approved, true // the reversal came too late: the chip has it
	}
}

// till reads a till's rows.
func (s *story) till(r *journal.Row) {
	switch r.Kind {
	case journal.Requested:
		s.begin(r, r.Key, "")
	case journal.Noted:
		s.begin(r, r.Key, "").passing = true
	case journal.Queued, journal.Advised:
		p := s.begin(r, r.Key, "")
		p.upload, p.passing = true, r.Kind == journal.Advised
		s.send(r.Key, r)
	case journal.ScriptSent:
		s.send(r.Key, r)
	case journal.ScriptReported:
		s.acknowledge(s.sentBy[r.Linked], r)
	case journal.Answered:
		p := s.bySeq[r.Linked]
		s.end(p, r, answerState(r))
		if p != nil && p.upload {
			s.acknowledge(p.terminal, r)
		}
	case journal.TimedOut:
		p := s.bySeq[r.Linked]
		s.end(p, r, timedOut)
		if p != nil {
			s.send("reversal of "+p.terminal, r)
		}
	case journal.Acknowledged:
		p := s.bySeq[r.Linked]
		if p == nil || p.state != timedOut {
			s.fail(r, "it acknowledges the reversal of a payment that did not time out", "所确认冲正的交易并未超时")
			return
		}
		p.state = reversed
		s.acknowledge("reversal of "+p.terminal, r)
	default:
		s.tillCard(r)
	}
}

// tillCard reads what a till says of the card in the slot.
func (s *story) tillCard(r *journal.Row) {
	p := s.bySeq[r.Linked]
	switch r.Kind {
	case journal.Reversed: // the card did not follow the approval
		if p == nil || p.state != approved {
			s.fail(r, "it takes back what is not approved", "所撤回的交易并未批准")
			return
		}
		p.state = timedOut
		s.send("reversal of "+p.terminal, r)
	case journal.Declined: // the chip did not take the load
		if p != nil {
			p.passing = true
		}
	case journal.Expired: // an inquiry without an answer, or a load whose end only the card knows
		if p == nil {
			return
		}
		p.passing = true
		if p.state == open {
			p.state = declined
		}
	}
}

func checkEnds(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		told := tell(m)
		if r := told.wrong; r != nil {
			return bad("%s %s: row %d (%s): "+told.why.EN, "%s %s：第%d行（%s）："+told.why.ZH, m.Role, m.Name, r.Seq, r.Kind)
		}
		for _, p := range told.payments {
			if s.Quiet && p.state == open {
				return bad("%s %s: the payment of row %d never ended", "%s %s：第%d行的交易未结束", m.Role, m.Name, p.seq)
			}
		}
	}
	return true, good
}

func checkDeliveries(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		told := tell(m)
		for at := range m.Rows {
			key, sent := told.sentBy[m.Rows[at].Seq]
			if _, waiting := told.deliveries[key]; sent && waiting && s.Quiet {
				return bad("%s %s: what row %d sends was never acknowledged", "%s %s：第%d行发出的报文未被确认", m.Role, m.Name, m.Rows[at].Seq)
			}
		}
		if m.Role != Acquirer || !s.Quiet {
			continue
		}
		for _, p := range told.payments {
			if p.upload && p.state == open && s.Quiet {
				return bad("%s %s: the upload of row %d was never answered", "%s %s：第%d行的上送未得到应答", m.Role, m.Name, p.seq)
			}
		}
	}
	return true, good
}
