package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// Deps is what an issuer needs from outside.
type Deps struct {
	Institution string // own institution id, field 100
	Vault       Vault
	Keys        KeyNames
	Calendar    clock.Calendar
	Currency    uint16 // ISO 4217 number of the books
	Capacity    Capacity
	// PINVariant is the key with which a new PIN is mixed for the chip, as its personalisation says.
	PINVariant cryptogram.PINVariant
	// Transit is the rule for rides that are paid after they were taken; the zero value is DefaultTransit.
	Transit TransitPolicy
}

// Issuer is the bank's core. Handle, Replay and Rearm belong to the single writer; Prepare and Finish may run anywhere.
type Issuer struct {
	deps     Deps
	profiles map[byte]profile
	state    *state
}

// New makes an issuer with empty books. Its state comes from Replay and from Enrol commands.
func New(deps Deps) (*Issuer, error) {
	if deps.Institution == "" || deps.Vault == nil || !deps.Keys.complete() || deps.Currency == 0 {
		return nil, errors.New("issuer: institution, vault, key names and currency are needed")
	}
	deps.Transit = deps.Transit.orDefault()
	if err := deps.Transit.Check(); err != nil {
		return nil, err
	}
	return &Issuer{deps: deps, profiles: profiles(deps.Keys), state: newState(deps.Currency, deps.Capacity)}, nil
}

// Institution is the issuer's own id.
func (i *Issuer) Institution() string { return i.deps.Institution }

// Enrol is the command that takes a card and its accounts in. The reply is nil or an error.
type Enrol struct{ Enrolment Enrolment }

// Alter is the command that changes a card. The reply is nil or an error.
type Alter struct{ Change Change }

// Handle decides one event.
func (i *Issuer) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	switch m := ev.Message.(type) {
	case *unionpay.FinancialRequest:
		i.financial(now, ev, m, step)
		return
	case *unionpay.ReversalRequest:
		i.reverse(now, ev, m, step)
		return
	case *unionpay.ScriptNotice:
		i.notice(now, ev, m, step)
		return
	}
	switch c := ev.Command.(type) {
	case Enrol:
		step.Emit(journal.Effect{Reply: reply(i.enrol(now, c.Enrolment, step))})
	case Alter:
		step.Emit(journal.Effect{Reply: reply(i.alter(now, c.Change, step))})
	case PayOut:
		step.Emit(journal.Effect{Reply: reply(i.payOut(now, c.Card, step))})
	case ReportLoss:
		step.Emit(journal.Effect{Reply: i.reportLoss(now, c, step)})
	}
}

// Done is the reply to a command that was carried out.
type Done struct{}

func reply(err error) any {
	if err != nil {
		return err
	}
	return Done{}
}

// append makes a decided row part of the step and of the state. A row that the state refuses is a bug: the decision must not have made it.
func (i *Issuer) append(step *journal.Step, now time.Time, row journal.Row) {
	row.At = now.UTC().Truncate(time.Microsecond)
	row.Seq = step.Append(row)
	if err := i.state.apply(&row); err != nil {
		panic("issuer: own decision does not apply: " + err.Error())
	}
}

// financial answers a payment: the first answer to a repeat, a decision to a new one.
func (i *Issuer) financial(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, step *journal.Step) {
	finding, _ := ev.Finding.(*Finding)
	id := identify(m, finding)
	var foreseen *recall
	if finding != nil {
		foreseen = finding.earlier
	}
	first, seen, err := i.state.payment(id.key, foreseen)
	if err != nil {
		return // nobody knows whether this is a repeat: no answer is better than a second one
	}
	if seen && (finding == nil || finding.failed) {
		// The first answer cannot be given again without the security module, which made its cryptogram: the sender asks once more, or takes the payment back.
		return
	}
	if seen && !first.early {
		if first.content == id.content && finding.samePIN(i.state.recent.scripts[keyOf(id.key)]) {
			i.answerFirst(ev, m, first, step)
			return
		}
		i.append(step, now, journal.Row{Kind: journal.Refused, Content: id.content, Payment: id.key, RRN: m.RRN, Terminal: m.Terminal, STAN: m.STAN,
			Reason: uint16(KeyReused), BusinessDate: i.businessDate(now, m.SettlementDate), Amount: m.Amount.Minor()})
		i.answer(ev, m, KeyReused, "", step)
		return
	}
	if seen {
		// The key belongs to the reversal that came first: the late request is refused without taking it.
		i.answer(ev, m, AlreadyReversed, "", step)
		return
	}
	r, err := i.request(now, m, finding)
	if err != nil {
		return
	}
	r.id = id
	if r.card != nil && r.cryptogram == CryptogramValid {
		i.report(now, r.card, readResults(&m.Payment), r.businessDate, step)
	}
	i.settle(now, r, step)
	i.settlePIN(now, r, step)
	if r.operation.reason != LoadOtherHeld {
		i.recheckPIN(ev, m, r, r.card)
	}
	if r.card != nil {
		r.shadow = i.state.shadowOn(r.side) // as settled
	}
	q, follows := sequelOf(m)
	switch {
	case r.operation.reason != 0:
		i.load(now, ev, m, r, step)
		return
	case r.pinOrder != 0:
		i.changePIN(now, ev, m, r, step)
		return
	case follows:
		i.follow(now, ev, m, r, q, step)
		return
	case m.Advice && (m.Original != nil || r.chip && !r.requestAC && !r.approvalAC):
		i.advice(now, ev, m, r, step)
		return
	}
	if m.Info.MessageType == unionpay.KindOfflineUpload {
		i.upload(now, ev, m, r, step)
		return
	}
	i.authorize(now, ev, m, r, step)
}

func (i *Issuer) authorize(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	if err := i.deferral(m, r); err != nil {
		return // the sender asks again, or takes it back
	}
	r.verifies()
	d := decide(r)
	row := i.row(m, r)
	row.Kind, row.Reason = journal.Declined, uint16(d.Reason)
	n := note{tries: d.Tries, pinGiven: r.pin != PINAbsent, offlinePIN: r.offlinePIN, settles: r.settles, counterUsed: d.CounterUsed, token: r.token,
		deferred: r.deferred, proof: r.proof}
	var s scripts
	var filling load
	switch {
	case d.Approved() && r.inquiry && r.preAuth:
		row.Kind, row.Reason = journal.Noted, uint16(CardVerified)
	case d.Approved() && r.inquiry:
		row.Kind, row.Reason = journal.Noted, uint16(BalanceTold)
	case d.Approved():
		row.Kind, row.Phase = journal.Approved, ledger.Pending
		if r.preAuth {
			row.Reason = uint16(PreAuthHeld)
		}
		row.Debit, row.Credit = d.Card.account, AccountScheme
		n.authCode = authCode(step.NextSeq())
		var due bool
		if filling, due = i.autoLoad(r, step.NextSeq()); due {
			s = filling.script(false)
		}
	}
	if d.CounterUsed && r.reaches && s == nil && !d.Card.unsettled(r) {
		s = d.Card.nextScripts(r.atc)
	}
	row.Answer, row.Note = append([]byte(n.authCode), s...), n.bytes()
	told := int64(0)
	if Reason(row.Reason) == BalanceTold {
		told = i.state.available(d.Card)
		row.Note = append(appendTold(row.Note[:noteBytes], told), r.proof...)
	}
	i.append(step, now, row)
	if r.recalled && row.Kind == journal.Approved {
		i.serve(now, r, step)
	}
	if filling.reason != 0 {
		i.hold(now, r, filling, step)
	}
	i.answerTold(ev, m, Reason(row.Reason), n.authCode, s, told, step)
}

// row fills what every decision on m has in common.
func (i *Issuer) row(m *unionpay.FinancialRequest, r *request) journal.Row {
	row := journal.Row{
		Key: r.id.key, Content: r.id.content, Payment: r.id.key, RRN: m.RRN, Terminal: m.Terminal, STAN: m.STAN,
		ATC: r.atc, Amount: r.minor, Currency: uint16(r.currency), BusinessDate: r.businessDate,
	}
	if r.card != nil {
		row.Card = r.card.Enrolment.Card
	}
	return row
}

// authCode is six digits from the row's number: unique among the approvals of a day and the same when replayed.
func authCode(seq uint64) string {
	var code approvalCode
	for at := len(code) - 1; at >= 0; at-- {
		code[at] = '0' + byte(seq%10)
		seq /= 10
	}
	return string(code[:])
}

// upload books a payment that a card made offline, from its purse or from the account. The chip has already given the money away, so only a card, cryptogram
// or counter that cannot be true is refused; limits and PIN are the card's business [REF 5].
func (i *Issuer) upload(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	if r.unavailable {
		// The sender repeats an upload until it is decided, so trouble of our own must not become the answer: nothing is journaled.
		i.answer(ev, m, SystemUnavailable, "", step)
		return
	}
	first, err := i.joinFirst(m, r)
	if err != nil {
		return // the sender repeats it
	}
	reason := PurseAccepted
	for _, rule := range uploadRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	row := i.row(m, r)
	row.Kind, row.Reason = journal.Declined, uint16(reason)
	n := note{settles: r.settles}
	if r.card != nil {
		n.tries = r.card.Tries
	}
	if reason == PurseAccepted {
		if r.takesOver {
			i.takeOver(now, r, first, step)
			row.Linked = r.original.seq
		}
		row.Kind, row.Credit, n.counterUsed = journal.Uploaded, r.side.scheme, !r.takesOver
		row.Debit, reason = i.offlinePayer(r)
		row.Reason, n.authCode = uint16(reason), authCode(step.NextSeq())
	}
	row.Answer, row.Note = []byte(n.authCode), n.bytes()
	booked := step.NextSeq()
	i.append(step, now, row)
	if row.Linked != 0 {
		i.mark(now, first, 1, standing{became: OfflineTakesOver}, booked, row.Card, row.BusinessDate, step)
	}
	i.answer(ev, m, reason, n.authCode, step)
}

// reverse takes a payment back: once, whatever the order in which request and reversal arrive.
func (i *Issuer) reverse(now time.Time, ev *journal.Event, m *unionpay.ReversalRequest, step *journal.Step) {
	key, content := unionpay.NetworkKey(m), unionpay.ContentHash(m)
	finding, _ := ev.Finding.(*reversalFinding)
	if finding == nil {
		finding = &reversalFinding{}
	}
	first, seen, err := i.state.payment(key, finding.own)
	if err != nil {
		return // the sender repeats a reversal until it is acknowledged
	}
	if seen {
		reason := first.reason
		if first.content != content {
			reason = KeyReused
		}
		i.acknowledge(ev, m, reason, step)
		return
	}
	originalKey := unionpay.OriginalKey(m)
	row := journal.Row{
		Kind: journal.Reversed, Key: key, Content: content, Payment: originalKey, RRN: m.RRN, Terminal: m.Terminal, STAN: m.STAN,
		Reason: uint16(ReversalNoEffect), BusinessDate: i.businessDate(now, m.SettlementDate), Note: []byte(originalKey),
	}
	original, seen, err := i.state.payment(originalKey, finding.original)
	if err != nil {
		return
	}
	if seen && original.held {
		if c, err := i.state.card(original.card); err != nil || c == nil {
			return
		}
		hold, _ := i.state.book.Hold(original.seq)
		row.Reason, row.Card, row.Phase, row.Resolves = uint16(ReversalDone), original.card, ledger.Void, original.seq
		row.Debit, row.Credit, row.Amount, row.Currency = hold.Debit, hold.Credit, hold.Amount, hold.Currency
		row.Answer = taken{date: original.date, noPIN: original.noPIN}.bytes()
	}
	if !seen {
		row.Reason = uint16(ReversalEarly)
	}
	if seen {
		if err := i.reverseLoad(now, m, original, &row, step); err != nil {
			return
		}
		if err := i.pinUndone(now, m, original, row.BusinessDate, step); err != nil {
			return
		}
	}
	var behind func()
	if seen && reversible(original.reason) {
		if behind, err = i.undo(now, originalKey, original, &row, step); err != nil {
			return
		}
	}
	reversal := step.NextSeq()
	i.append(step, now, row)
	if behind != nil {
		behind()
	}
	if !seen {
		// The key is spent: the request may still come, however late.
		i.append(step, now, journal.Row{Kind: journal.Refused, Key: originalKey, Payment: originalKey, Reason: uint16(AlreadyReversed),
			BusinessDate: row.BusinessDate, Linked: reversal})
	}
	i.acknowledge(ev, m, Reason(row.Reason), step)
}

func (i *Issuer) enrol(now time.Time, e Enrolment, step *journal.Step) error {
	c, err := newCard(e)
	if err != nil {
		return err
	}
	if uint16(e.Currency) != i.deps.Currency {
		return fmt.Errorf("card %d: %w: the books are in currency %03d", e.Card, ErrEnrolment, i.deps.Currency)
	}
	if err := i.isFree(e); err != nil {
		return fmt.Errorf("card %d: %w", e.Card, err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("card %d: %w", e.Card, err)
	}
	date := i.deps.Calendar.BusinessDate(now)
	first := step.NextSeq()
	i.append(step, now, journal.Row{Kind: journal.Opened, Card: e.Card, BusinessDate: date, Note: text})
	deposit := func(of side, account ledger.Account, minor int64) {
		if minor > 0 {
			i.append(step, now, journal.Row{Kind: journal.Posted, Card: e.Card, BusinessDate: date, Debit: of.funding, Credit: account,
				Amount: minor, Currency: uint16(of.currency), Phase: ledger.Single, Linked: first})
		}
	}
	deposit(c.first(), c.account, e.OpeningMinor)
	deposit(c.first(), c.purse, e.PurseMinor)
	if e.Second != nil {
		of, _ := c.side(e.Second.Currency)
		deposit(of, of.account, e.Second.OpeningMinor)
		deposit(of, of.purse, e.Second.PurseMinor)
	}
	return nil
}

// ErrChange says that a change of a card is not legal.
var ErrChange = errors.New("change refused")

// isFree says why a card's id or number cannot be taken.
func (i *Issuer) isFree(e Enrolment) error {
	old, err := i.state.card(e.Card)
	switch {
	case err != nil:
		return err
	case old != nil:
		return fmt.Errorf("%w: the id is taken", ErrEnrolment)
	}
	if i.state.directory.find(e.Fingerprint) != nil {
		return fmt.Errorf("%w: the number is taken", ErrEnrolment)
	}
	switch other, err := i.state.fetch(e.Fingerprint); {
	case err != nil:
		return err
	case other != nil:
		return fmt.Errorf("%w: the number is taken", ErrEnrolment)
	}
	return nil
}

func (i *Issuer) alter(now time.Time, change Change, step *journal.Step) error {
	c, err := i.state.card(change.Card)
	if err != nil {
		return fmt.Errorf("card %d: %w", change.Card, err)
	}
	if c == nil {
		return fmt.Errorf("card %d: %w: no such card", change.Card, ErrChange)
	}
	if change.Status != nil && !c.Status.May(*change.Status) {
		return fmt.Errorf("card %d: %w: %s may not become %s", change.Card, ErrChange, c.Status.Term().EN, change.Status.Term().EN)
	}
	if change.PINTries != nil && (*change.PINTries < 0 || *change.PINTries > pinTriesMax) {
		return fmt.Errorf("card %d: %w: PIN tries are 0 to %d", change.Card, ErrChange, pinTriesMax)
	}
	if change.Limits != nil && !change.Limits.sound() {
		return fmt.Errorf("card %d: %w: a limit is negative", change.Card, ErrChange)
	}
	if err := i.checkChip(c, change); err != nil {
		return fmt.Errorf("card %d: %w: %w", change.Card, ErrChange, err)
	}
	text, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("card %d: %w", change.Card, err)
	}
	i.append(step, now, journal.Row{Kind: journal.CardChanged, Card: change.Card, BusinessDate: i.deps.Calendar.BusinessDate(now), Note: text})
	return nil
}

// Open implements journal.Keeper.
func (i *Issuer) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	return i.state.begin(ctx, archive, watermark)
}

// WriteBack implements journal.Keeper.
func (i *Issuer) WriteBack(back *journal.Back, rows int, durable uint64) {
	i.state.writeBack(back, rows, durable)
}

// Replay rebuilds the state from a committed row.
func (i *Issuer) Replay(r *journal.Row) error {
	i.state.again = true
	err := i.state.apply(r)
	i.state.again = false
	return err
}

// Rearm has nothing to do: an issuer asks nobody and waits for nothing.
func (i *Issuer) Rearm(time.Time) []journal.Effect { return nil }

// Describe says what a row means; for an approval, what it rests on.
func (i *Issuer) Describe(r *journal.Row) glossary.Term {
	switch r.Kind {
	case journal.Approved:
		if Reason(r.Reason) == PreAuthHeld {
			return PreAuthHeld.Term()
		}
		return approvalTerm(r)
	case journal.Declined, journal.Uploaded, journal.Reversed, journal.Refused, journal.Held, journal.Loaded, journal.Voided, journal.Adjusted, journal.Completed,
		journal.Refunded, journal.Noted:
		return Reason(r.Reason).Term()
	default:
		return r.Kind.Term()
	}
}

// approvalTerm names the checks that an approval passed.
func approvalTerm(r *journal.Row) glossary.Term {
	verified := glossary.Term{EN: "no PIN: within the no-PIN limit", ZH: "免密：未超过免密限额"}
	n, err := readNote(r)
	switch {
	case err != nil:
	case n.pinGiven:
		verified = glossary.Term{EN: "PIN right", ZH: "密码正确"}
	case n.deferred:
		return deferredApproved(r)
	case n.token && n.offlinePIN:
		verified = glossary.Term{EN: "the phone verified its holder", ZH: "手机已验证持卡人"}
	case n.offlinePIN:
		verified = glossary.Term{EN: "the card found the PIN right", ZH: "卡片脱机验证密码正确"}
	}
	if n.token {
		return tokenApproved(verified)
	}
	if swiped(r) {
		return swipeApproved(verified)
	}
	return glossary.Term{
		EN: fmt.Sprintf("approved: ARQC matches, counter %04X is new, %s", r.ATC, verified.EN),
		ZH: fmt.Sprintf("批准：ARQC 相符，计数器 %04X 未用过，%s", r.ATC, verified.ZH),
	}
}

// AccountName names an account for people, a card's by the card's number. It may be called from anywhere.
func (i *Issuer) AccountName(a ledger.Account) string { return AccountName(a) }

// AccountTitle names an account by its holder's name where the card is in memory. It belongs to the writer.
func (i *Issuer) AccountTitle(a ledger.Account) string {
	c := i.state.cards[cardOf(a)]
	switch {
	case c == nil:
		return AccountName(a)
	case a == c.purse:
		return namePurse + " " + c.Name
	}
	return nameAccount + " " + c.Name
}

// Book gives the ledger for display and checks; it belongs to the writer.
func (i *Issuer) Book() *ledger.Book { return i.state.book }

// Card gives a copy of the card with that id. It belongs to the writer.
func (i *Issuer) Card(id int64) (Card, bool) {
	c, err := i.state.card(id)
	if err != nil || c == nil {
		return Card{}, false
	}
	return *c, true
}

// ReasonOf gives the reason of the payment with a retrieval reference number, Approved when there is none.
func (i *Issuer) ReasonOf(rrn string) Reason { return i.state.recent.reasonOf(referenceOf(rrn)) }

// Available is what a card's account may still spend, in minor units.
func (i *Issuer) Available(id int64) int64 {
	c, err := i.state.card(id)
	if err != nil || c == nil {
		return 0
	}
	return i.state.available(c)
}

// Shadow is what a card's purse account says the chip holds, at most, in minor units.
func (i *Issuer) Shadow(id int64) int64 {
	c, err := i.state.card(id)
	if err != nil || c == nil {
		return 0
	}
	return i.state.shadow(c)
}
