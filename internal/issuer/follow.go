package issuer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// sequel is one way in which a merchant goes on with an earlier payment [REF 6.1]. done is the reason of the row that does it.
type sequel struct {
	done    Reason
	kind    unionpay.MessageType
	of      []Reason // what it may follow, by the reason of the earlier payment's row
	becomes Reason   // what that one is then
	whole   bool     // with the same amount
	percent int64    // else up to so much of it, less what was given back
}

// completionPercent is what may be taken of a pre-authorization: 15 per cent more, for tips and the mini-bar. Practice of the trade.
const completionPercent = 115

var sequels = [...]sequel{
	{VoidDone, unionpay.KindVoid, []Reason{Approved}, VoidDone, true, 0},
	{SaleRefunded, unionpay.KindRefund, []Reason{Approved, CompletionDone}, SaleRefunded, false, 100},
	{RefundDone, unionpay.KindOfflineRefund, []Reason{PurseAccepted, OfflineAccepted}, RefundDone, false, 100},
	{PreAuthCancelled, unionpay.KindPreAuthCancel, []Reason{PreAuthHeld}, PreAuthCancelled, true, 0},
	{CompletionDone, unionpay.KindCompletion, []Reason{PreAuthHeld}, CompletionDone, false, completionPercent},
	{CompletionDone, unionpay.KindCompletionNote, []Reason{PreAuthHeld}, CompletionDone, false, completionPercent},
	{CompletionVoidDone, unionpay.KindCompletionVoid, []Reason{CompletionDone}, CompletionVoidDone, true, 0},
}

// sequelOf is what a request asks to do to an earlier payment.
func sequelOf(m *unionpay.FinancialRequest) (sequel, bool) {
	for _, q := range sequels {
		processing := unionpay.ProcessingVoid
		if q.done == CompletionDone {
			processing = unionpay.ProcessingSale
		}
		advice := q.done == SaleRefunded || q.done == RefundDone || q.kind == unionpay.KindCompletionNote
		if q.kind == m.Info.MessageType && processing == m.Processing && advice == m.Advice && m.Authorization == (q.done == PreAuthCancelled) {
			return q, true
		}
	}
	return sequel{}, false
}

// reversible tells sequels that a reversal undoes: those that nobody repeats until they are answered.
func reversible(reason Reason) bool {
	switch reason {
	case VoidDone, PreAuthCancelled, CompletionDone, CompletionVoidDone:
		return true
	}
	return false
}

// mark behind a payment's key and a number from the second on is the key of a row that says what became of the payment: the last of them counts.
const mark = "r"

// marksMax bounds how often something is done to one payment: refunds in parts, voids that were reversed.
const marksMax = 32

func markKey(key string, n int) string {
	if n == 1 {
		return key + mark
	}
	return key + mark + strconv.Itoa(n)
}

// standing is what became of a payment so far.
type standing struct {
	marks    int
	became   Reason // StandsAgain or zero while it stands
	refunded int64
	hold     uint64 // row whose hold stands for it; zero: none
}

func (s standing) stands() bool { return s.became == 0 || s.became == StandsAgain }

// standing looks for the marks of a payment.
func (s *state) standing(key string, p payment) (now standing, err error) {
	if p.held {
		now.hold = p.seq
	}
	for n := 1; n <= marksMax; n++ {
		m, found, err := s.payment(markKey(key, n), nil)
		if err != nil || !found {
			return now, err
		}
		now = standing{marks: n, became: m.reason, refunded: m.minor, hold: m.hold}
	}
	return now, nil
}

// sequelRules decide on what follows an earlier payment, in order of precedence. The card need not be there, and what became of it since takes no money from
// the cardholder and none from the merchant: a lost or expired card does not keep a void from being done.
var sequelRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{CardClosed, withStatus(Closed)},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool {
		return !c.holds(r.currency) || r.original.seq != 0 && !r.original.early && int(r.original.currency) != r.currency
	})},
	{NotEnoughMoney, onCard(func(r *request, c *Card) bool {
		return r.names() && r.sequel.done == CompletionDone && r.minor <= r.original.minor*completionPercent/100 && r.minor > r.availableFor(c)+r.heldFor()
	})},
	{NothingToRefund, func(r *request) bool { return r.refunds() && (!r.names() || r.became.refunded >= r.original.minor) }},
	{RefundTooHigh, func(r *request) bool { return r.refunds() && r.minor > r.original.minor-r.became.refunded }},
	{NothingToUndo, func(r *request) bool { return !r.refunds() && !r.names() }},
	{OtherAmount, func(r *request) bool {
		return r.sequel.whole && r.minor != r.original.minor || r.sequel.percent > 100 && r.minor > r.original.minor*r.sequel.percent/100
	}},
}

func (r *request) refunds() bool { return r.sequel.done == SaleRefunded || r.sequel.done == RefundDone }

// names reports whether the request names a payment of the card that it may follow.
func (r *request) names() bool {
	if r.original.seq == 0 || r.original.early || r.card == nil || r.original.card != r.card.Enrolment.Card || r.undone || r.became.marks >= marksMax {
		return false
	}
	for _, reason := range r.sequel.of {
		if reason == r.original.reason {
			return r.became.stands() || r.refunds() && r.became.became == r.sequel.becomes
		}
	}
	return false
}

// heldFor is the money that is held for the pre-authorization the request names.
func (r *request) heldFor() int64 {
	if r.became.hold == 0 {
		return 0
	}
	return r.original.minor
}

// moved is what a sequel changes of the limits used: those of the payment it follows, given back.
type moved struct {
	date  int32
	noPIN bool
	minor int64
}

const movedBytes = 13

func (g moved) bytes(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(g.date))
	if g.noPIN {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(g.minor))
}

func readMoved(r *journal.Row, b []byte) (g moved, rest []byte, err error) {
	if len(b) < movedBytes {
		return g, nil, fmt.Errorf("row %d: what it gives back has %d bytes, want %d", r.Seq, len(b), movedBytes)
	}
	return moved{int32(binary.BigEndian.Uint32(b)), b[4] == 1, int64(binary.BigEndian.Uint64(b[5:movedBytes]))}, b[movedBytes:], nil
}

func (c *Card) give(g moved, sign int) {
	if g.minor == 0 {
		return
	}
	u := c.days.on(g.date)
	if u.count == 0 && sign < 0 {
		return // the date is forgotten
	}
	c.days.put(u.add(&payment{minor: g.minor, noPIN: g.noPIN}, sign))
}

// follow does something to an earlier payment, or says why not. Everything it does is in rows of one step:
//
//	Refunded   a void, a refund, the void of a completion: the money goes back to the account, Linked = the payment's row
//	Voided     with a key: a pre-authorization is cancelled, its hold released; without one: the hold gives way to a completion
//	Completed  with a key: the completion takes its amount
//	Noted      what the earlier payment became: Key = its key and mark, Linked = the row that did it, Reason, Amount = refunded so far, Note = row of its hold
func (i *Issuer) follow(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, q sequel, step *journal.Step) {
	if r.unavailable && m.Advice {
		i.answer(ev, m, SystemUnavailable, "", step) // without a row: the sender repeats it until it is decided
		return
	}
	r.sequel = q
	key := unionpay.OriginalKey(m)
	if err := i.joinOriginal(key, r); err != nil {
		return // the sender repeats it, or takes it back
	}
	reason := q.done
	for _, rule := range sequelRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	if r.unavailable {
		reason = SystemUnavailable // this is the answer for a copy of the message as well: whoever asked takes it for final
	}
	row := i.row(m, r)
	row.ATC, row.Kind, row.Reason = 0, journal.Declined, uint16(reason)
	n := note{pinGiven: !r.original.noPIN, follows: true}
	if r.card != nil {
		n.tries = r.card.Tries
	}
	if reason != q.done {
		n.pinGiven = false
		row.Note = n.bytes()
		i.append(step, now, row)
		i.answer(ev, m, reason, "", step)
		return
	}
	var given moved
	if !r.refunds() {
		given = moved{r.original.date, r.original.noPIN, r.original.minor}
	}
	next := standing{became: q.becomes, refunded: r.became.refunded, hold: 0}
	if r.refunds() {
		next.refunded, next.hold = next.refunded+r.minor, r.became.hold
	}
	switch q.done {
	case PreAuthCancelled:
		row.Kind = journal.Voided
		if r.became.hold != 0 {
			row.Phase, row.Resolves, row.Debit, row.Credit = ledger.Void, r.became.hold, r.card.account, AccountScheme
		}
	case CompletionDone:
		if r.became.hold != 0 {
			i.append(step, now, journal.Row{Kind: journal.Voided, Card: row.Card, Reason: uint16(PreAuthGivesWay), BusinessDate: row.BusinessDate,
				Payment: key, Linked: r.original.seq, Phase: ledger.Void, Resolves: r.became.hold, Debit: r.card.account, Credit: AccountScheme, Amount: r.original.minor,
				Currency: row.Currency})
		}
		row.Kind, row.Debit, row.Credit = journal.Completed, r.card.account, AccountScheme
	default:
		row.Kind, row.Debit, row.Credit = journal.Refunded, r.side.scheme, r.side.account
	}
	n.authCode = authCode(step.NextSeq())
	row.Linked, row.Answer = r.original.seq, []byte(n.authCode)
	row.Note = append(given.bytes(n.bytes()), key...)
	done := step.NextSeq()
	i.append(step, now, row)
	i.mark(now, key, r.became.marks+1, next, done, row.Card, row.BusinessDate, step)
	i.answer(ev, m, reason, n.authCode, step)
}

// joinOriginal finds the payment that a request names, and what became of it.
func (i *Issuer) joinOriginal(key string, r *request) (err error) {
	if key == "" {
		return nil
	}
	if r.original, _, err = i.state.payment(key, nil); err != nil || r.original.seq == 0 {
		return err
	}
	if r.became, err = i.state.standing(key, r.original); err != nil {
		return err
	}
	// A sale that was reversed has no hold any more; everything else says by a mark what became of it.
	r.undone = r.original.reason == Approved && !r.original.held
	return nil
}

// mark says in a row what a payment became.
func (i *Issuer) mark(now time.Time, key string, n int, next standing, by uint64, card int64, date int32, step *journal.Step) {
	row := journal.Row{Kind: journal.Noted, Key: markKey(key, n), Payment: key, Linked: by, Card: card, BusinessDate: date, Reason: uint16(next.became),
		Amount: next.refunded}
	if next.hold != 0 {
		row.Note = binary.AppendUvarint(nil, next.hold)
	}
	i.append(step, now, row)
}

// applySequel folds a sequel that has a key.
func (s *state) applySequel(r *journal.Row) error {
	p, err := paymentOf(r)
	if err != nil {
		return err
	}
	s.recall(keyOf(r.Key), referenceOf(r.RRN), p, r.Answer)
	f, err := followedOf(r)
	if err != nil {
		return err
	}
	s.recent.follows[keyOf(r.Key)] = f
	c, fresh, err := s.moneyRow(r)
	if err != nil {
		return err
	}
	s.released(f.original, r.Resolves)
	if !fresh {
		return nil
	}
	c.give(f.given, -1)
	if r.Kind == journal.Completed {
		c.give(moved{r.BusinessDate, p.noPIN, p.minor}, 1)
	}
	return nil
}

// followed is which payment a sequel went on with, and what it gave back of the limits used.
type followed struct {
	original string
	given    moved
}

// followedOf reads it out of a sequel's row: in the note, behind the flags.
func followedOf(r *journal.Row) (f followed, err error) {
	given, key, err := readMoved(r, r.Note[min(noteBytes, len(r.Note)):])
	return followed{string(key), given}, err
}

// followed finds it in memory or in the archive.
func (s *state) followed(key string) (followed, error) {
	if f, known := s.recent.follows[keyOf(key)]; known || s.archive == nil {
		return f, nil
	}
	row, found, err := s.archive.FindKey(context.Background(), key)
	if err != nil || !found {
		return followed{}, err
	}
	return followedOf(row)
}

// released notes that the hold of a payment is gone, where memory has the payment.
func (s *state) released(key string, hold uint64) {
	if e := s.recent.ring.find(keyOf(key)); e != nil && hold != 0 && e.seq == hold {
		e.held = false
	}
}

// applyGivesWay folds the hold of a pre-authorization that gives way to its completion, which comes in the next row.
func (s *state) applyGivesWay(r *journal.Row) error {
	if _, _, err := s.moneyRow(r); err != nil {
		return err
	}
	s.released(r.Payment, r.Resolves)
	return nil
}

// applyHeldAgain folds the hold of a pre-authorization whose end was reversed.
func (s *state) applyHeldAgain(r *journal.Row) error {
	_, _, err := s.moneyRow(r)
	return err
}

// applyMark remembers what became of a payment.
func (s *state) applyMark(r *journal.Row) error {
	if r.Key == "" || r.Linked == 0 {
		return fmt.Errorf("row %d: names nothing", r.Seq)
	}
	c, fresh, err := s.rowCard(r)
	if err != nil {
		return err
	}
	if fresh {
		s.changed(c, r.Seq)
	}
	p, err := paymentOf(r)
	if err != nil {
		return err
	}
	s.remember(keyOf(r.Key), reference{}, p)
	if p.reason == ProofServes {
		s.recent.proofs[keyOf(r.Key)] = r.Payment
	}
	return nil
}

var errMark = errors.New("not a mark")

// markOf reads what a payment became.
func markOf(r *journal.Row) (payment, error) {
	p := payment{seq: r.Seq, card: r.Card, reason: Reason(r.Reason), minor: r.Amount}
	if p.reason == 0 {
		p.reason = RefundDone // rows of before there was anything else
	}
	if len(r.Note) > 0 {
		hold, n := binary.Uvarint(r.Note)
		if n != len(r.Note) {
			return p, fmt.Errorf("row %d: %w", r.Seq, errMark)
		}
		p.hold = hold
	}
	return p, nil
}

// undo makes a reversal's row take back a sequel: the money goes where it was, and the earlier payment stands again. What the cardholder has spent meanwhile
// the bank bears; a hold is made again as far as there is money for it.
func (i *Issuer) undo(now time.Time, key string, p payment, row *journal.Row, step *journal.Step) (func(), error) {
	was, err := i.state.standing(key, p)
	if err != nil || was.marks != 0 {
		return nil, err // undone before, or undone by a sequel of its own
	}
	f, err := i.state.followed(key)
	if err != nil || f.original == "" {
		return nil, err
	}
	first := f.original
	original, _, err := i.state.payment(first, nil)
	if err != nil || original.seq == 0 {
		return nil, err
	}
	became, err := i.state.standing(first, original)
	if err != nil || became.became != p.reason {
		return nil, err
	}
	c, err := i.state.card(p.card)
	if err != nil || c == nil {
		return nil, err
	}
	row.Reason, row.Card, row.Linked = uint16(ReversalDone), p.card, p.seq
	own := moved{}
	if p.reason == CompletionDone {
		own = moved{p.date, p.noPIN, p.minor}
	}
	row.Answer = own.bytes(f.given.bytes(nil))
	switch p.reason {
	case VoidDone, CompletionVoidDone:
		row.Debit, row.Credit, row.Amount = c.account, AccountScheme, p.minor
		if i.state.available(c) < p.minor {
			row.Debit = AccountFunding
		}
	case CompletionDone:
		row.Debit, row.Credit, row.Amount = AccountScheme, c.account, p.minor
	}
	if row.Debit != 0 {
		row.Currency = uint16(c.Currency)
	}
	reversal := step.NextSeq()
	return func() {
		next := standing{became: StandsAgain, refunded: became.refunded}
		if original.reason == PreAuthHeld && i.state.available(c) >= original.minor {
			next.hold = step.NextSeq()
			i.append(step, now, journal.Row{Kind: journal.Held, Card: p.card, BusinessDate: row.BusinessDate, Linked: original.seq, Payment: first,
				Reason: uint16(HeldAgain), Debit: c.account, Credit: AccountScheme, Amount: original.minor, Currency: uint16(c.Currency), Phase: ledger.Pending,
				Note: note{tries: c.Tries}.bytes()})
		}
		i.mark(now, first, became.marks+1, next, reversal, p.card, row.BusinessDate, step)
		i.mark(now, key, 1, standing{became: SequelUndone}, reversal, p.card, row.BusinessDate, step)
	}, nil
}

// applyUndone folds the reversal of a sequel.
func (s *state) applyUndone(r *journal.Row) error {
	given, rest, err := readMoved(r, r.Answer)
	if err != nil {
		return err
	}
	own, _, err := readMoved(r, rest)
	if err != nil {
		return err
	}
	c, fresh, err := s.moneyRow(r)
	if err != nil || !fresh {
		return err
	}
	c.give(given, 1)
	c.give(own, -1)
	return nil
}
