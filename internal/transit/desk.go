package transit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
	"tapnet/iso8583/unionpay"
)

// What a rider or the operator can ask for. Each reply is Done, or an error that wraps ErrUnknown or ErrRefused.
type (
	// Correct states where the missing tap of a journey was.
	Correct struct {
		Account int64
		Journey fares.TapID
		Place   string
	}
	// Settle says that bills were paid another way: one, or with Bill 0 all that the account owes.
	Settle struct {
		Account int64
		Bill    uint64
	}
	// Retry asks for a debt again now. A rider may do so some times an hour: each is a request to the bank.
	Retry struct {
		Bill  uint64
		Rider bool
	}
	// RefundBill gives a part of a paid bill back, or takes it off one that is not paid; Minor 0 is all of it.
	RefundBill struct {
		Bill  uint64
		Minor int64
	}
	// WriteOff gives a debt up.
	WriteOff struct{ Bill uint64 }
	// Block stops a credential with a reason; Unblock lets it ride again.
	Block struct {
		Credential int64
		Reason     denylist.Reason
	}
	// Unblock takes back what Block, or an answer that stopped the card, did.
	Unblock struct{ Credential int64 }
	// Enrol connects a rider's app to an account, and sets the category.
	Enrol struct {
		Account  int64
		Category string
		Token    [32]byte // SHA-256 of the app's token; zero leaves it
	}
)

// Done is the reply to what was done.
type Done struct {
	Minor int64 `json:"minor,omitempty"`
}

// Errors of the desk.
var (
	ErrUnknown = errors.New("nothing is known by this number")
	ErrRefused = errors.New("this cannot be done now")
	// ErrTooOften is wrapped when a bound of the profile on what riders may ask for is reached.
	ErrTooOften = errors.New("this was asked for too often")
)

// change is what a CardChanged row says besides its columns.
type change struct {
	Account  int64          `json:"a,omitempty"`
	Device   string         `json:"d,omitempty"`
	Sequence uint64         `json:"s,omitempty"`
	Place    string         `json:"p,omitempty"`
	Stop     uint8          `json:"x,omitempty"`
	Category string         `json:"c,omitempty"`
	Token    []byte         `json:"t,omitempty"`
	PAR      *denylist.ID   `json:"r,omitempty"`
	ID       *denylist.ID   `json:"i,omitempty"`
	Epoch    denylist.Epoch `json:"e,omitempty"` // of PAR or ID; 0: the first
	Other    *denylist.ID   `json:"o,omitempty"` // PAR under the other key in use
	Beside   denylist.Epoch `json:"f,omitempty"` // its epoch
	Sealed   []byte         `json:"v,omitempty"` // the reference
	Year     int            `json:"y,omitempty"` // of a restriction
	Bill     uint64         `json:"b,omitempty"` // that is asked for again
}

// maxName bounds names from outside.
const maxName = 64

func (o *Office) desk(now time.Time, command any, step *journal.Step) {
	reply := func(v any) { step.Emit(journal.Effect{Reply: v}) }
	var done Done
	var err error
	switch c := command.(type) {
	case Correct:
		err = o.correct(now, c, step)
	case Settle:
		done, err = o.settle(now, c, step)
	case Retry:
		err = o.retry(now, c, step)
	case RefundBill:
		done, err = o.refundBill(now, c, step)
	case WriteOff:
		err = o.writeOff(now, c, step)
	case Block:
		if o.state.credential(c.Credential) == nil || c.Reason == 0 || c.Reason > denylist.Debt {
			err = ErrUnknown
			break
		}
		o.changed(now, c.Credential, ReasonBlock, change{Stop: uint8(c.Reason)}, step)
	case Unblock:
		if o.state.credential(c.Credential) == nil {
			err = ErrUnknown
			break
		}
		o.changed(now, c.Credential, ReasonUnblock, change{}, step)
	case Enrol:
		err = o.enrol(now, c, step)
	default:
		return
	}
	if err != nil {
		reply(err)
		return
	}
	reply(done)
}

func (o *Office) changed(now time.Time, credential int64, why Reason, c change, step *journal.Step) {
	o.append(step, now, journal.Row{Kind: journal.CardChanged, Card: credential, Reason: uint16(why), Note: c.text()})
}

func (c *change) text() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic("transit: a change cannot be written: " + err.Error())
	}
	return text
}

func (o *Office) correct(now time.Time, c Correct, step *journal.Step) error {
	a := o.state.accountOf(c.Account)
	if a == nil {
		return ErrUnknown
	}
	if len(c.Place) == 0 || len(c.Place) > maxName {
		return fmt.Errorf("a place has 1 to %d bytes: %w", maxName, ErrRefused)
	}
	device, known := o.state.deviceBy[c.Journey.Device]
	at := slices.IndexFunc(a.taps, func(t tap) bool {
		return known && t.device == device && t.sequence == c.Journey.Sequence && !t.state.Final()
	})
	if at < 0 {
		return fmt.Errorf("no journey of this rider waits for a tap under this name: %w", ErrRefused)
	}
	if !o.deps.Book.Reaches(o.state.fareTap(&a.taps[at]), c.Place) {
		return fmt.Errorf("the tariff has no fare between this journey's tap and %q: %w", c.Place, ErrRefused)
	}
	if most := o.deps.Profile.Corrections; most > 0 && o.stated(now, a, c.Journey) >= most {
		return fmt.Errorf("missing taps of %d journeys were stated this year, the most there may be: %w", most, ErrTooOften)
	}
	o.changed(now, int64(a.credentials[0]), ReasonStatement, change{Device: c.Journey.Device, Sequence: c.Journey.Sequence, Place: c.Place}, step)
	return nil
}

// stated is for how many other journeys a rider has said this year where a tap was.
func (o *Office) stated(now time.Time, a *account, but fares.TapID) int {
	zone := o.deps.Calendar.Zone
	journeys := map[fares.TapID]bool{}
	for i := range a.corrections {
		if c := &a.corrections[i]; c.Journey != but && c.Made.In(zone).Year() == now.In(zone).Year() {
			journeys[c.Journey] = true
		}
	}
	return len(journeys)
}

func (o *Office) settle(now time.Time, c Settle, step *journal.Step) (done Done, err error) {
	a := o.state.accountOf(c.Account)
	if a == nil {
		return done, ErrUnknown
	}
	for _, n := range a.credentials {
		for _, seq := range o.state.credentials[n].bills {
			b := o.state.bills[seq]
			if b == nil || c.Bill != 0 && seq != c.Bill {
				continue
			}
			if _, ok := b.state.next(EventSettle); !ok || c.Bill == 0 && !b.state.Denies() {
				if c.Bill != 0 {
					return done, fmt.Errorf("the bill is %q: %w", b.state, ErrRefused)
				}
				continue
			}
			r := journal.Row{
				Kind: journal.Settled, Linked: seq, Card: int64(n), Amount: b.minor, Currency: currencyNumber(&o.deps), Reason: uint16(ReasonRider),
				Debit: AccountCounter, Credit: AccountRiders,
			}
			if b.state == WrittenOff {
				r.Credit = AccountLoss
			}
			o.append(step, now, r)
			done.Minor += b.minor
		}
	}
	if done.Minor == 0 {
		return done, fmt.Errorf("nothing is owed: %w", ErrRefused)
	}
	o.publish(now, false, allDeltas, step)
	return done, nil
}

func (o *Office) billFor(seq uint64) (*bill, error) {
	b := o.state.bills[seq]
	if b == nil {
		return nil, ErrUnknown
	}
	return b, nil
}

func (o *Office) retry(now time.Time, c Retry, step *journal.Step) error {
	b, err := o.billFor(c.Bill)
	if err != nil {
		return err
	}
	if b.state != Owed && b.state != Due {
		return fmt.Errorf("the bill is %q: %w", b.state, ErrRefused)
	}
	if c.Rider {
		if err := o.asksAgain(now, o.state.credentials[b.credential].account); err != nil {
			return err
		}
	}
	o.changed(now, int64(b.credential), againBy(c.Rider), change{Bill: b.seq}, step)
	o.state.agenda.put(b, now)
	o.pump(now, step)
	return nil
}

// asksAgain counts a rider's own attempts within the hour. A restart forgets them: they spare the bank requests, and decide nothing.
func (o *Office) asksAgain(now time.Time, account int32) error {
	most := o.deps.Profile.RiderRetries
	if most == 0 {
		return nil
	}
	since := stampOf(now.Add(-time.Hour))
	for n, asked := range o.riders {
		if asked = slices.DeleteFunc(asked, func(at stamp) bool { return at <= since }); len(asked) == 0 {
			delete(o.riders, n)
		} else {
			o.riders[n] = asked
		}
	}
	if asked := o.riders[account]; len(asked) >= most {
		again := asked[0].Time().Add(time.Hour).In(o.deps.Calendar.Zone)
		return fmt.Errorf("asked for %d times within an hour, again from %s: %w", most, again.Format(time.TimeOnly), ErrTooOften)
	}
	if o.riders == nil {
		o.riders = map[int32][]stamp{}
	}
	o.riders[account] = append(o.riders[account], stampOf(now))
	return nil
}

func (o *Office) refundBill(now time.Time, c RefundBill, step *journal.Step) (Done, error) {
	b, err := o.billFor(c.Bill)
	if err != nil {
		return Done{}, err
	}
	minor := c.Minor
	if minor == 0 {
		minor = b.minor - b.refunded
	}
	lowers := b.state == Due || b.state == Owed || b.state == Stopped
	if b.state != Paid && !lowers || minor <= 0 || minor > b.minor-b.refunded {
		return Done{}, fmt.Errorf("the bill is %q, %d of %d can go back: %w", b.state, b.minor-b.refunded, b.minor, ErrRefused)
	}
	if within := o.deps.Profile.RefundWithin; within > 0 && !lowers && now.Sub(o.deps.closingInstant(b.day)) > within {
		return Done{}, fmt.Errorf("the bill is of %s, and can go back for %d days: %w", b.day, int(within/day), ErrRefused)
	}
	credential := o.state.credentials[b.credential]
	// The operator's grace is booked like a lower fare, so that riders, fares and refunds go on adding up.
	o.append(step, now, journal.Row{
		Kind: journal.Charged, Card: int64(credential.number), Amount: minor, Currency: currencyNumber(&o.deps), Reason: uint16(ReasonOperator),
		Debit: AccountFares, Credit: AccountRiders, BusinessDate: dateNumber(b.day),
	})
	if lowers { // [REF 2.5]
		o.append(step, now, journal.Row{
			Kind: journal.Adjusted, Linked: b.seq, Card: int64(b.credential), Amount: minor, Currency: currencyNumber(&o.deps), Reason: uint16(ReasonOperator),
		})
		o.publish(now, false, allDeltas, step)
		return Done{Minor: minor}, nil
	}
	if !o.refund(now, b, minor, false, step) {
		return Done{Minor: minor}, nil // it stays owed to the rider and goes out later
	}
	return Done{Minor: minor}, nil
}

// refund sends money back for a bill.
func (o *Office) refund(now time.Time, b *bill, minor int64, _ bool, step *journal.Step) bool {
	c := o.state.credentials[b.credential]
	if b.paid == nil || b.paid.rrn == "" || minor > c.credit || !o.send(now, AskRefund, c, b, minor, step) {
		return false
	}
	o.under++
	return true
}

func (o *Office) writeOff(now time.Time, c WriteOff, step *journal.Step) error {
	b, err := o.billFor(c.Bill)
	if err != nil {
		return err
	}
	if _, ok := b.state.next(EventGiveUp); !ok {
		return fmt.Errorf("the bill is %q: %w", b.state, ErrRefused)
	}
	o.giveUp(now, b, ReasonOperator, step)
	return nil
}

func (o *Office) enrol(now time.Time, c Enrol, step *journal.Step) error {
	a := o.state.accountOf(c.Account)
	if a == nil {
		return ErrUnknown
	}
	if len(c.Category) > maxName {
		return fmt.Errorf("a category has at most %d bytes: %w", maxName, ErrRefused)
	}
	if !o.deps.Book.Knows(c.Category) {
		return fmt.Errorf("no tariff has a category %q: %w", c.Category, ErrRefused)
	}
	if c.Token != [32]byte{} {
		o.changed(now, int64(a.credentials[0]), ReasonToken, change{Token: c.Token[:]}, step)
	}
	if c.Category != a.category {
		o.changed(now, int64(a.credentials[0]), ReasonCategory, change{Category: c.Category}, step)
	}
	return nil
}

// linkAnswer takes the account reference out of an answer: it makes one rider of a card and its tokens.
func (o *Office) linkAnswer(now time.Time, c *credential, p *unionpay.Payment, step *journal.Step) {
	reference := p.ICC.Get(emv.TagPAR)
	if len(reference) == 0 {
		return
	}
	s := o.state
	var called []alias
	for _, k := range o.identifiers(s.keys.all()) {
		called = append(called, alias{k.PAR(string(reference)), k.Epoch()})
	}
	if len(called) == 0 {
		return // the security module cannot tell now: the next answer will
	}
	m := s.markOf(called)
	a := s.accounts[c.account]
	if m == nil && a.par != 0 || m != nil && m.page != 0 && s.accountOf(int64(m.of)) == a {
		return
	}
	note := change{PAR: &called[0].id, Epoch: called[0].epoch}
	if len(called) > 1 {
		note.Other, note.Beside = &called[1].id, called[1].epoch
	}
	r := journal.Row{Kind: journal.CardChanged, Card: int64(c.number), Reason: uint16(ReasonPAR)}
	if sealed, err := o.sealValue(Outside{Kind: denylist.PAR, Reference: string(reference)}); err == nil {
		note.Sealed, r.Key = sealed, fmt.Sprintf(pageKeyFormat, s.pages+1)
	}
	r.Note = note.text()
	o.append(step, now, r)
}

// applyChange follows a word about a credential or its account.
func (s *state) applyChange(r *journal.Row) error {
	var note change
	if err := json.Unmarshal(r.Note, &note); err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if Reason(r.Reason) == ReasonClaim && note.ID != nil {
		c := s.credentialOf(alias{*note.ID, cmp.Or(note.Epoch, s.deps.Epoch)}, nil)
		c.claimed = stampOf(r.At)
		s.claims[c.number] = true
		return nil
	}
	c := s.credential(r.Card)
	if c == nil {
		return fmt.Errorf("row %d: credential %d is not known", r.Seq, r.Card)
	}
	a := s.accounts[c.account]
	switch Reason(r.Reason) {
	case ReasonPAR:
		if note.PAR == nil {
			return fmt.Errorf("row %d: no reference", r.Seq)
		}
		called := []alias{{*note.PAR, cmp.Or(note.Epoch, s.deps.Epoch)}}
		if note.Other != nil {
			called = append(called, alias{*note.Other, note.Beside})
		}
		m := s.link(c, called)
		if len(note.Sealed) > 0 {
			if s.pages++; m != nil {
				m.page = s.pages
			}
		}
	case ReasonBlock:
		c.stop = denylist.Reason(note.Stop)
		s.list.stale[a.number] = true
	case ReasonUnblock:
		s.released(c, r.At)
		c.stop, c.refused = 0, false
		s.list.stale[a.number] = true
	case ReasonStatement:
		made := fares.Correction{Journey: fares.TapID{Device: note.Device, Sequence: note.Sequence}, Place: note.Place, Made: r.At}
		a.own().corrections = append(a.corrections, made)
		a.waiting = true
	case ReasonCategory:
		a.own().category, a.waiting = note.Category, true
	case ReasonToken:
		if len(note.Token) != len(a.token) {
			return fmt.Errorf("row %d: a token's hash of %d bytes", r.Seq, len(note.Token))
		}
		delete(s.tokens, a.token)
		a.own().token = [32]byte(note.Token)
		s.tokens[a.token] = a.number
	default:
		return s.applyDecision(r, &note, c)
	}
	return nil
}

// Heard is the command that takes a device's report about itself, authenticated. The reply is the time and the approvals since, a gate.HealthAnswer.
type Heard struct{ Health gate.Health }

func (o *Office) heard(now time.Time, c Heard, step *journal.Step) {
	note, err := json.Marshal(c.Health)
	if err != nil {
		step.Emit(journal.Effect{Reply: err})
		return
	}
	d, known := o.state.deviceBy[c.Health.Device]
	if known && o.state.devices[d].health.Number >= c.Health.Number && c.Health.Number != 0 && !o.state.devices[d].heard.IsZero() {
		// An old report, played again, changes nothing; the device may have begun anew and is answered all the same.
		step.Emit(journal.Effect{Reply: gate.HealthAnswer{Device: c.Health.Device, Number: c.Health.Number, Time: now}})
		return
	}
	var before stamp // of the report before this one
	if known {
		before = o.state.devices[d].reported
	}
	o.append(step, now, journal.Row{Kind: journal.TerminalChanged, Terminal: c.Health.Device, Note: note})
	answer := gate.HealthAnswer{Device: c.Health.Device, Number: c.Health.Number, Time: now}
	answer.Approved, answer.Keys = o.state.approvals(now, before), o.keysFor(&c.Health)
	step.Emit(journal.Effect{Reply: answer})
}

// approval is the first of a credential whose first ride was granted before.
type approval struct {
	at         stamp
	credential int32
}

// approvalsFor is how long gates are told of an approval, and approvalsAgain how long before a gate's last report its answer reaches back: that one may have
// been lost. A gate that misses an approval asks for another grant, and gets it.
const (
	approvalsFor   = 10 * time.Minute
	approvalsAgain = time.Minute
)

// approvals are the latest, for a device that reported before.
func (s *state) approvals(now time.Time, before stamp) (ids []denylist.ID) {
	since := max(stampOf(now.Add(-approvalsFor)), before-stamp(approvalsAgain/time.Microsecond))
	for i := len(s.approved) - 1; i >= 0 && s.approved[i].at >= since && len(ids) < gate.MaxApprovals; i-- {
		c := s.credentials[s.credentials[s.approved[i].credential].subject()]
		for _, e := range s.keys.all() { // gates may know the card under either key
			if id, named := c.under(e); named && len(ids) < gate.MaxApprovals {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// approve ends the wait of a credential whose first ride was granted.
func (s *state) approve(c *credential, at time.Time) {
	c.approved, c.refused = stampOf(at), false
	if !s.claims[c.number] {
		return
	}
	delete(s.claims, c.number)
	old := 0
	for since := stampOf(at.Add(-approvalsFor)); old < len(s.approved) && s.approved[old].at < since; {
		old++
	}
	s.approved = append(s.approved[old:], approval{c.approved, c.number})
}

func (s *state) applyHealth(r *journal.Row) error {
	var h gate.Health
	if err := json.Unmarshal(r.Note, &h); err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	d := s.deviceOf(r.Terminal)
	d.health, d.heard, d.reported = h, r.At, stampOf(r.At)
	return nil
}

// Claim is the command that asks for the one ride of a credential without authentication before its first approval. The reply is a bool.
type Claim struct {
	ID    denylist.ID
	Epoch denylist.Epoch
}

func (o *Office) claim(now time.Time, c Claim, step *journal.Step) {
	s := o.state
	granted := s.keys.alive(c.Epoch) // a device with a key that is not in use asks for what nobody can find again
	if at, known := s.known(c.ID); known {
		cr := s.credentials[at]
		granted = granted && cr.stop == 0 && cr.owing == 0 && !cr.refused && s.accounts[cr.account].restricted == 0 &&
			(cr.claimed == 0 || cr.approved > cr.claimed) && s.outside(cr).reason == 0
	} else if at, listed := s.marked(c.ID); listed {
		granted = granted && s.marks[at].entry.reason == 0
	}
	if granted && !c.ID.IsZero() {
		o.changed(now, 0, ReasonClaim, change{ID: &c.ID, Epoch: c.Epoch}, step)
	}
	step.Emit(journal.Effect{Reply: granted})
}
