package pos

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

type tagNumber = tlv.Tag

// stage is where the till stands with something it has begun. Legal transitions: pending → inSlot, timedOut, ended; inSlot → timedOut, ended;
// timedOut → ended. What has ended stays in its batch for slips and what may follow; the till numbers its requests itself, so nobody repeats one, and a
// late answer changes nothing.
type stage uint8

const (
	pending  stage = iota + 1 // no answer yet
	timedOut                  // its reversal is not acknowledged
	inSlot                    // approved, and the card has not had its say
	ended
)

// payment is one thing the till has begun.
type payment struct {
	header
	seq      uint64
	key      string
	stage    stage
	status   Status
	trace    Trace
	at       time.Time
	minor    int64
	refunded int64
	busy     bool // something that follows it is under way
	begin    journal.Kind
	sale     uint64           // who waits for its end
	message  unionpay.Message // without PIN; only while open and only in the process that sent it
	sealed   []byte           // the same for rest
	final    []byte           // what the card said last, sealed
	answer   []byte           // without scripts
	reason   uint16           // of the reversal
	dirty    bool             // against its cell
}

// repeated: sent again until it is answered.
func (p *payment) repeated() bool {
	switch p.begin {
	case journal.Queued, journal.Advised, journal.ScriptSent:
		return true
	}
	return false
}

func (p *payment) request() *unionpay.FinancialRequest {
	m, _ := p.message.(*unionpay.FinancialRequest)
	return m
}

// Totals are what a batch adds up to: what the merchant is owed, and what he gave back.
type Totals struct {
	DebitCount, CreditCount int64
	Debit, Credit           int64 // minor units
}

func (t *Totals) add(v Verb, minor int64) {
	switch cycles[v].side {
	case debit:
		t.DebitCount++
		t.Debit += minor
	case credit:
		t.CreditCount++
		t.Credit += minor
	}
}

// IsZero reports whether nothing counts.
func (t Totals) IsZero() bool { return t == Totals{} }

// Sheet is a batch as it is settled.
type Sheet struct {
	Batch  uint32
	Totals Totals
	Reason unionpay.ResponseCode // field 39 of the answer
	Agreed bool                  // the acquirer has the same totals
	At     time.Time
}

// state is the journal, folded; only apply changes what survives a restart.
type state struct {
	stan     uint32
	batch    uint32
	since    uint64 // the row that began the batch
	totals   Totals
	older    []Sheet             // batches that ended without settlement, oldest first
	last     Sheet               // the last settlement
	newest   uint32              // trace number of the last slip
	payments map[string]*payment // those that have not ended, by their key
	bySeq    map[uint64]*payment
	entries  map[uint32]*payment // of this batch, by trace number
	dirty    []*payment
	library  library
	archive  journal.Archive
	begun    *journal.Begun
	row      uint64 // last row applied
}

func newState(capacity journal.Capacity) *state {
	return &state{batch: 1, payments: map[string]*payment{}, bySeq: map[uint64]*payment{}, entries: map[uint32]*payment{},
		begun: journal.NewBegun(capacity.OrDefault().Rows)}
}

// apply brings the state to where the row left it. Rows with a key begin something and take the next trace number.
//
//	Requested        a payment went to the acquirer: Key, Note = header and sealed request
//	Queued           the card approved offline: Key, Note; to be uploaded
//	Advised          a refund, a completion notice, the card's last word: Key, Note; repeated until answered
//	Noted            an inquiry: Key, Note
//	ScriptSent       what became of scripts: Key, Note; repeated until acknowledged
//	Cleared          a batch is to be settled: Key, Note = header and sheet
//	Answered         the acquirer's answer: Linked = the row that began, Answer
//	TimedOut         no answer in time, a reversal is on its way: Linked = Requested row
//	Completed        the card in the slot followed the approval: Linked, Note = sealed last word
//	Reversed         it did not, or nobody knows: a reversal is on its way: Linked, Reason, Note = sealed last word
//	Declined         the chip did not take the load that was approved: Linked, Note
//	Acknowledged     the acquirer acknowledged the reversal: Linked = Requested row
//	Expired          no answer, and nothing to take back; or a load whose dialogue broke off: Linked
//	ScriptReported   the acquirer has the notice: Linked
//	BatchClosed      the batch was settled: Linked = Cleared row, Reason = response code, Note = sheet
//	BatchOpened      the batch is full: the next one begins, and it is settled later
//	ParameterChanged see library
func (s *state) apply(r *journal.Row) error {
	s.row = r.Seq
	switch r.Kind {
	case journal.Requested, journal.Queued, journal.Advised, journal.Noted, journal.ScriptSent, journal.Cleared:
		return s.begin(r)
	case journal.BatchOpened:
		s.older = append(s.older, Sheet{Batch: s.batch, Totals: s.totals})
		s.openBatch(r.Seq)
		return nil
	case journal.ParameterChanged:
		return s.library.apply(r)
	}
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: follows row %d, which is nothing that goes on", r.Seq, r.Linked)
	}
	return s.follow(p, r)
}

func (s *state) begin(r *journal.Row) error {
	p, err := paymentOf(r)
	if err != nil {
		return err
	}
	s.take(p)
	s.begun.Begin(r.Key, byte(pending))
	s.stan = r.STAN
	if cycles[p.verb].receipt != 0 {
		s.newest = r.STAN
	}
	if original := s.original(p); original != nil {
		original.busy = true
		s.touch(original)
	}
	return nil
}

// paymentOf reads what a row begins.
func paymentOf(r *journal.Row) (*payment, error) {
	h, sealed, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	batch := uint64(0)
	if len(r.Key) >= keyBatchEnd {
		batch, err = strconv.ParseUint(r.Key[keyBatchAt:keyBatchEnd], 10, 32)
	}
	if err != nil || len(r.Key) < keyBatchEnd {
		return nil, fmt.Errorf("row %d: %w", r.Seq, errHeader)
	}
	return &payment{header: h, seq: r.Seq, key: r.Key, stage: pending, status: StatusAsked, trace: Trace{uint32(batch), r.STAN}, at: r.At, minor: r.Amount,
		begin: r.Kind, sealed: sealed}, nil
}

// Where a key has the batch: behind the terminal's eight characters.
const (
	keyBatchAt  = 8
	keyBatchEnd = 14
)

// take makes a payment findable.
func (s *state) take(p *payment) {
	s.payments[p.key], s.bySeq[p.seq] = p, p
	if p.trace.Batch == s.batch {
		s.entries[p.trace.STAN] = p
		s.touch(p)
	}
}

// touch marks what a cell must learn.
func (s *state) touch(p *payment) {
	if !p.dirty && p.trace.Batch == s.batch {
		p.dirty = true
		s.dirty = append(s.dirty, p)
	}
}

// original is what p follows, when it is in this batch.
func (s *state) original(p *payment) *payment {
	if p.of.Batch != s.batch || len(cycles[p.verb].of) == 0 {
		return nil
	}
	return s.entries[p.of.STAN]
}

// follow folds a row about something that goes on.
func (s *state) follow(p *payment, r *journal.Row) error {
	legal := false
	switch r.Kind {
	case journal.Answered:
		legal = p.stage == pending && p.begin != journal.ScriptSent && p.begin != journal.Cleared
	case journal.TimedOut:
		legal = p.stage == pending && p.begin == journal.Requested
	case journal.Completed, journal.Reversed, journal.Declined:
		legal = p.stage == inSlot
	case journal.Acknowledged:
		legal = p.stage == timedOut
	case journal.Expired:
		legal = p.stage == inSlot || p.stage == pending && (p.begin == journal.Noted || p.begin == journal.Cleared)
	case journal.ScriptReported:
		legal = p.stage == pending && p.begin == journal.ScriptSent
	case journal.BatchClosed:
		legal = p.stage == pending && p.begin == journal.Cleared
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a till", r.Seq, r.Kind)
	}
	if !legal {
		return fmt.Errorf("row %d: kind %s does not follow from where the payment stands", r.Seq, r.Kind)
	}
	s.touch(p)
	switch r.Kind {
	case journal.Answered:
		return s.answered(p, r)
	case journal.TimedOut, journal.Reversed:
		p.stage, p.status, p.final, p.reason = timedOut, StatusTakenBack, append([]byte(nil), r.Note...), r.Reason
		s.begun.Begin(p.key, byte(timedOut))
		s.release(p)
		return nil
	case journal.Completed:
		p.final = append([]byte(nil), r.Note...)
		s.stands(p)
	case journal.Declined:
		p.status, p.final = StatusRefused, append([]byte(nil), r.Note...)
		s.release(p)
	case journal.Expired:
		p.status, p.final = StatusUnknown, append([]byte(nil), r.Note...)
		s.release(p)
	case journal.BatchClosed:
		return s.settled(p, r)
	}
	s.end(p)
	return nil
}

// answered folds an answer.
func (s *state) answered(p *payment, r *journal.Row) error {
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	answer.ICC = emv.Data{} // a slip shows nothing of it
	p.answer = answer.AppendBinary(nil)
	switch {
	case answer.Response.Approved() && p.dialogue:
		p.stage = inSlot
		s.begun.Begin(p.key, byte(inSlot))
		return nil
	case answer.Response.Approved():
		s.stands(p)
	default:
		p.status = StatusRefused
		s.release(p)
	}
	s.end(p)
	return nil
}

// stands counts what is done, and does to the original what follows from it.
func (s *state) stands(p *payment) {
	p.status = StatusDone
	if p.trace.Batch == s.batch {
		s.totals.add(p.verb, p.minor)
	}
	for i := range s.older {
		if s.older[i].Batch == p.trace.Batch {
			s.older[i].Totals.add(p.verb, p.minor)
		}
	}
	if original := s.original(p); original != nil {
		p.verb.becomes(original, p.minor)
	}
	s.release(p)
}

// release lets something else be done to the original.
func (s *state) release(p *payment) {
	if original := s.original(p); original != nil {
		original.busy = false
		s.touch(original)
	}
}

// end forgets that p goes on.
func (s *state) end(p *payment) {
	p.stage, p.message = ended, nil
	delete(s.payments, p.key)
	delete(s.bySeq, p.seq)
	s.begun.End(p.key)
}

// openBatch begins the next batch.
func (s *state) openBatch(seq uint64) {
	s.batch = s.batch%traceModulus + 1
	s.stan, s.newest, s.totals, s.since = 0, 0, Totals{}, seq
	s.entries, s.dirty = map[uint32]*payment{}, nil
}

// settled folds the end of a batch.
func (s *state) settled(p *payment, r *journal.Row) error {
	sheet, err := sheetOf(r.Note)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	sheet.Reason, sheet.At = unionpay.UnpackResponseCode(r.Reason), r.At
	p.status, s.last = StatusDone, sheet
	s.end(p)
	if sheet.Batch == s.batch {
		s.openBatch(r.Seq)
		return nil
	}
	for i := range s.older {
		if s.older[i].Batch == sheet.Batch {
			s.older = append(s.older[:i:i], s.older[i+1:]...)
			break
		}
	}
	return nil
}

// named finds a transaction that is open or in this batch.
func (s *state) named(t Trace) *payment {
	if p := s.entries[t.STAN]; p != nil && p.trace == t {
		return p
	}
	for _, p := range s.payments {
		if p.trace == t && p.begin != journal.Cleared {
			return p
		}
	}
	return nil
}

// counterOf reads the card's transaction counter, 0 when there is none.
func counterOf(icc emv.Data) uint16 {
	if b, ok := icc.Value(emv.TagATC); ok && len(b) == 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}
