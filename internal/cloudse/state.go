package cloudse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// state is everything the decisions read. It is the journal, folded: only apply changes it, whether a row was just decided or is replayed.
type state struct {
	cache    cache
	payments *journal.Recent[answer]
	alarms   *journal.Begun // those nobody has taken notice of
	last     uint64         // last row applied
	backed   uint64         // last row written back
	grace    int64          // seconds for which confirmed keys stay good
}

// answer is what a verification was answered.
type answer struct {
	content [16]byte
	reason  unionpay.TokenReason
	class   unionpay.CredentialClass
	proven  bool // cryptogram and device tag were right
}

func newState(c Capacity, p Policy) *state {
	c = c.orDefault()
	return &state{
		cache: cache{capacity: c.Tokens}, payments: journal.NewRecent[answer](c.Ended, true, nil), alarms: journal.NewBegun(c.Rows),
		grace: int64(p.ConfirmGrace.Seconds()),
	}
}

// What a CardChanged row says.
const (
	changeSuspend uint16 = iota + 1
	changeResume
	changeRevoke
)

const markAlarm = 1

// apply brings the state to where the row left it. Every row about a token has its reference in Payment.
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	if r.Kind == journal.Answered { // an alarm that somebody has taken notice of
		s.alarms.End(string(r.Note))
		return nil
	}
	if r.Kind == journal.Refused {
		return nil
	}
	if r.Payment == "" { // a payment with a token that is not known
		return s.remember(r)
	}
	old, err := s.cache.token(nameOf(r.Payment))
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if r.Kind != journal.Opened && old == nil {
		return fmt.Errorf("row %d: unknown token", r.Seq)
	}
	if old == nil || old.seq < r.Seq {
		t, err := s.fold(old, r)
		if err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		t.seq = r.Seq
		s.cache.put(t)
	}
	return s.remember(r)
}

// remember keeps what a payment was answered, and an alarm.
func (s *state) remember(r *journal.Row) error {
	if r.Kind == journal.Approved || r.Kind == journal.Declined {
		n, err := readNote(r)
		if err != nil {
			return err
		}
		s.payments.End(r.Key, answer{r.Content, unionpay.TokenReason(r.Reason), n.credential(), n.has(noteProven)}, r.Seq)
		if n.cause != 0 {
			s.alarms.Begin(alarmKey(r.Payment, n.cause, r.Seq), markAlarm)
		}
	}
	if r.Kind == journal.Noted {
		s.alarms.Begin(alarmKey(r.Payment, cloudseapi.Cause(r.Reason), r.Seq), markAlarm)
	}
	return nil
}

// alarmKey names an alarm; it says everything there is to say.
func alarmKey(ref string, cause cloudseapi.Cause, seq uint64) string {
	return fmt.Sprintf("%s/%d/%d", ref, cause, seq)
}

func alarmOf(key string) cloudseapi.Alarm {
	a := cloudseapi.Alarm{Key: key}
	var cause int
	parts := [3]string{}
	for i, rest := 0, key; i < len(parts); i++ {
		at := slices.Index([]byte(rest), '/')
		if at < 0 {
			at = len(rest)
		}
		parts[i], rest = rest[:at], rest[min(at+1, len(rest)):]
	}
	a.Token = parts[0]
	cause, _ = strconv.Atoi(parts[1])
	a.Cause = cloudseapi.Cause(cause)
	a.Serial, _ = strconv.ParseUint(parts[2], 10, 64)
	return a
}

// fold makes the token that a row leaves.
func (s *state) fold(old *token, r *journal.Row) (*token, error) {
	if r.Kind == journal.Opened {
		return foldEnrolment(old, r)
	}
	t := old.copy()
	at := r.At.Unix()
	switch r.Kind {
	case journal.KeysChanged:
		return t, t.foldGrant(r, s.grace)
	case journal.Acknowledged:
		t.confirm(at + s.grace)
	case journal.CardChanged:
		switch r.Reason {
		case changeSuspend:
			t.causes |= cloudseapi.CauseService
		case changeResume:
			t.causes &^= cloudseapi.CauseService
		case changeRevoke:
			t.revoke(at)
		default:
			return nil, fmt.Errorf("unknown change %d", r.Reason)
		}
	case journal.Noted:
		t.stop(cloudseapi.Cause(r.Reason), at)
	case journal.Approved, journal.Declined:
		return t, t.foldPayment(r)
	default:
		return nil, fmt.Errorf("kind %s has no meaning for a cloud secure element", r.Kind)
	}
	return t, nil
}

func foldEnrolment(old *token, r *journal.Row) (*token, error) {
	rd := cellReader{b: r.Note}
	t := &token{id: r.Card, nextATC: 1}
	copy(t.ratchet[:], rd.take(len(t.ratchet)))
	t.profile = rd.profile()
	if err := rd.done("enrolment"); err != nil {
		return nil, err
	}
	if old == nil {
		return t, t.profile.check()
	}
	// A new beginning on the old counter, unless the card key is another: then counters begin again. Numbers of batches always begin again: the phone has none.
	t.days = old.days
	t.causes = old.causes & cloudseapi.CauseService
	if old.sequence == t.sequence {
		t.nextATC = old.nextATC
	}
	return t, t.profile.check()
}

// stop is what happens to a token whose keys are in wrong hands.
func (t *token) stop(cause cloudseapi.Cause, at int64) {
	t.causes |= cause
	if cause&(cloudseapi.CauseClone|cloudseapi.CauseDevice) != 0 {
		t.revoke(at)
	}
}

func (t *token) revoke(at int64) {
	for i := range t.batches {
		if b := &t.batches[i]; b.revokedAt == 0 || b.revokedAt > at {
			b.revokedAt = at
		}
	}
}

// confirm ends the life of the batches before the last at that instant.
func (t *token) confirm(at int64) {
	for i := range t.batches {
		b := &t.batches[i]
		switch {
		case i == len(t.batches)-1:
			b.confirmed = true
		case b.revokedAt == 0:
			b.revokedAt = at
		}
	}
	t.wire = nil
}

// grant is what a KeysChanged row says; the batch as it went out is the row's answer.
type grant struct {
	batch    batch
	next     uint16
	ratchet  [32]byte
	digest   [32]byte
	request  answered
	reported []uint16 // of the batch before
}

func (g *grant) note() []byte {
	dst := appendNumbers(nil, int64(g.next))
	dst = append(append(append(append(dst, g.ratchet[:]...), g.digest[:]...), g.request.body[:]...), g.request.signed[:]...)
	dst = appendNumbers(dst, g.request.at, int64(len(g.reported)))
	for _, atc := range g.reported {
		dst = appendNumbers(dst, int64(atc))
	}
	return g.batch.append(dst)
}

func readGrant(b []byte) (g grant, err error) {
	r := cellReader{b: b}
	g.next = uint16(r.number(1<<16 - 1))
	copy(g.ratchet[:], r.take(len(g.ratchet)))
	copy(g.digest[:], r.take(len(g.digest)))
	g.request = r.answered()
	for range r.count(maxReported) {
		g.reported = append(g.reported, uint16(r.number(1<<16-1)))
	}
	g.batch = r.batch()
	return g, r.done("grant")
}

// foldGrant adds a batch. That the phone asks with the ratchet of the batch before proves that it has that one, so it counts as confirmed.
func (t *token) foldGrant(r *journal.Row, grace int64) error {
	g, err := readGrant(r.Note)
	if err != nil {
		return err
	}
	if last := t.last(); last != nil {
		last.reported = g.reported
		if !last.confirmed {
			t.confirm(r.At.Unix() + grace)
		}
	}
	t.batches = append(t.batches, g.batch)
	if len(t.batches) > batchesMost {
		t.batches = t.batches[len(t.batches)-batchesMost:]
	}
	t.bseq, t.nextATC, t.ratchet, t.digest, t.wire = g.batch.bseq, g.next, g.ratchet, g.digest, r.Answer
	t.answered = append(slices.Clip(t.answered), g.request)
	if len(t.answered) > answeredMost {
		t.answered = t.answered[len(t.answered)-answeredMost:]
	}
	t.contact = contact{}
	return nil
}

// note is what a payment's row says beyond its columns.
type note struct {
	flags byte
	class cloudkey.Class
	cause cloudseapi.Cause
	hash  paymentHash
}

const (
	noteHasClass byte = 1 << iota
	noteUses          // the counter is used by this row
	noteWrong         // a wrong cryptogram
	noteRight         // a right one of the strongest class: wrong ones are forgotten
	noteAbroad
	noteCounts // the amount counts towards limits
	noteProven // cryptogram and device tag were right

	noteBytes = 3 + len(paymentHash{})
)

func (n note) bytes() []byte {
	return append(append(make([]byte, 0, noteBytes), n.flags, byte(n.class), byte(n.cause)), n.hash[:]...)
}

var errNote = errors.New("note is malformed")

func readNote(r *journal.Row) (n note, err error) {
	if len(r.Note) != noteBytes {
		return n, fmt.Errorf("row %d: %w", r.Seq, errNote)
	}
	n = note{flags: r.Note[0], class: cloudkey.Class(r.Note[1]), cause: cloudseapi.Cause(r.Note[2])}
	copy(n.hash[:], r.Note[3:])
	return n, nil
}

func (n note) has(flag byte) bool { return n.flags&flag != 0 }

// credential is the class as the message has it.
func (n note) credential() unionpay.CredentialClass {
	switch {
	case !n.has(noteHasClass):
		return 0
	case n.class.CVM():
		return unionpay.ClassCVM
	}
	return unionpay.ClassNoCVM
}

// foldPayment uses the counter and what else a payment leaves.
func (t *token) foldPayment(r *journal.Row) error {
	n, err := readNote(r)
	if err != nil {
		return err
	}
	at := r.At.Unix()
	if n.has(noteUses) {
		b, _ := t.find(r.ATC)
		if b == nil {
			return errors.New("a counter is used that was not given out")
		}
		if _, twice := b.findUse(r.ATC); twice {
			return errors.New("a counter is used twice")
		}
		b.used = append(slices.Clip(b.used), use{r.ATC, at, unionpay.TokenReason(r.Reason), n.hash})
		t.contact.taps++
	}
	if n.has(noteWrong) {
		t.wrong++
	}
	if n.has(noteRight) {
		t.wrong = 0
	}
	if n.has(noteCounts) {
		where := 0
		if n.has(noteAbroad) {
			where = 1
		}
		d := &t.days[where]
		if d.date != r.BusinessDate {
			*d = day{date: r.BusinessDate}
		}
		d.count++
		d.minor += r.Amount
		t.contact.minor += r.Amount
	}
	if n.cause != 0 {
		t.stop(n.cause, at)
	}
	return nil
}

// look asks the journal for an answer that memory may have forgotten. It may run beside the writer.
func (s *state) look(key string) (answer, bool, error) {
	row, found, err := s.cache.archive.FindKey(context.Background(), key)
	if err != nil || !found {
		return answer{}, false, err
	}
	n, err := readNote(row)
	return answer{row.Content, unionpay.TokenReason(row.Reason), n.credential(), n.has(noteProven)}, err == nil, err
}
