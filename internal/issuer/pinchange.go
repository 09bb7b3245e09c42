package issuer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"tapnet/emv"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// A PIN is changed in two places that cannot be written at once: on the chip, by a script, and at the bank. The new one waits at the bank until somebody knows
// what the chip made of the script: its terminal (DF31), or the chip itself, which counts the commands it has carried out [REF 1.8]. Until then, and when
// nobody ever knows, the old PIN is the account's.

// pinState is how much the bank knows of a PIN script.
type pinState uint8

const (
	pinSent      pinState = iota + 1 // nothing yet
	pinRefused                       // the terminal, or a reversal, says that it was not carried out; the chip's word is still to come
	pinUnknown                       // the chip's next word told nothing; only a late one of the terminal does
	lastPINState = pinUnknown
)

// pinChange is the last script about the PIN while its outcome is open. The row that granted it is its number; zero is none.
type pinChange struct {
	seq       uint64
	state     pinState
	atc       uint16
	unblock   bool     // only the tries come back
	reference [16]byte // of the new PIN
}

// pinOrder is what a request asks to do about the PIN; the reason is that of its grant, zero for other requests.
func pinOrder(m *unionpay.FinancialRequest) Reason {
	switch {
	case m.Authorization || m.Advice:
	case m.Processing == unionpay.ProcessingPINChange && m.Info.MessageType == unionpay.KindPINChange:
		return PINChangeSent
	case m.Processing == unionpay.ProcessingPINUnblock && m.Info.MessageType == unionpay.KindPINUnblock:
		return PINUnblockSent
	}
	return 0
}

// answers tells the reasons of Noted rows that are the answer to a request, from the others, which say what became of one.
func answers(reason Reason) bool {
	return reason == BalanceTold || reason == CardVerified || grantsPIN(reason)
}

// grantsPIN tells the reasons of rows that begin a change.
func grantsPIN(reason Reason) bool { return reason == PINChangeSent || reason == PINUnblockSent }

// pinRules decide on a change of the PIN and on getting the chip's tries back, in order of precedence.
var pinRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{SystemUnavailable, func(r *request) bool { return r.unavailable }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{CardStolen, withStatus(Stolen)},
	{CardLost, withStatus(Lost)},
	{CardRestricted, withStatus(Restricted)},
	{CardClosed, withStatus(Closed)},
	{CardExpired, onCard(func(r *request, c *Card) bool { return c.expired(r.now) })},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool { return r.currency != c.Currency })},
	{ScriptOutOfReach, func(r *request) bool { return !r.reaches }},
	{ChipDataMissing, func(r *request) bool { return !r.chip || r.cryptogram == CryptogramAbsent }},
	{ChipDataMismatch, func(r *request) bool { return !r.chipAgrees }},
	{CryptogramWrong, func(r *request) bool { return r.cryptogram == CryptogramInvalid }},
	{NotARequestCryptogram, func(r *request) bool { return !r.requestAC }},
	{CounterUsed, onCard(func(r *request, c *Card) bool { return !c.risesTo(r.atc) })},
	{ChipInDoubt, onCard(func(r *request, c *Card) bool { return c.unsettled(r) })},
	{PINFormatWrong, func(r *request) bool { return r.pin == PINUnreadable }},
	{NewPINFormatWrong, func(r *request) bool { return r.newPIN == PINUnreadable }},
	{PINBlocked, onCard(func(r *request, c *Card) bool { return r.pin != PINAbsent && c.Tries == 0 })},
	{PINWrong, func(r *request) bool { return r.pin == PINIncorrect }},
	{PINNeeded, func(r *request) bool { return r.pin == PINAbsent }},
}

// changePIN grants a change of the PIN or refuses it. The script leaves with the answer; what the row keeps of the new PIN is its reference, as at enrolment.
func (i *Issuer) changePIN(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	reason := r.pinOrder
	for _, rule := range pinRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	row := i.row(m, r)
	row.Kind, row.Reason = journal.Declined, uint16(reason)
	n := note{pinGiven: r.pin != PINAbsent, settles: r.settles}
	if r.card != nil {
		n.tries = r.card.Tries
		n.counterUsed = r.cryptogram == CryptogramValid && r.chipAgrees && r.requestAC && r.card.risesTo(r.atc)
	}
	var s scripts
	switch {
	case reason == r.pinOrder:
		row.Kind, n.tries = journal.Noted, pinTriesMax
		finding, _ := ev.Finding.(*Finding)
		s = newScripts(pinScript, r.atc, []Script{finding.pinCommand(r.pinOrder)})
	case reason == PINWrong:
		n.tries--
	}
	row.Answer, row.Note = s, n.bytes()
	i.append(step, now, row)
	i.answerChip(ev, m, reason, "", s, step)
}

func (f *Finding) pinCommand(order Reason) Script {
	if order == PINUnblockSent {
		return Script{Command: ScriptUnblockPIN}
	}
	return Script{Command: scriptChangePIN, Value: append([]byte(nil), f.newReference[:]...)}
}

// prepareNewPIN makes of the new PIN in a request what the bank keeps of it, and what the chip gets [REF 3.4].
func (i *Issuer) prepareNewPIN(peer string, m *unionpay.FinancialRequest, f *Finding) {
	if m.NewPIN == nil {
		return
	}
	key := i.deps.Keys.PINKey(peer)
	reference, result, err := i.deps.Vault.PINReference(i.deps.Keys.PINReference, key, *m.NewPIN, f.number)
	if err == nil && result == hsm.PINOK && f.cryptogram == CryptogramValid {
		f.enciphered, result, err = i.deps.Vault.EncipherPINChange(f.check, i.deps.PINVariant, key, hsm.PINBlock{Narrow: *m.NewPIN})
	}
	switch {
	case err != nil:
		f.failed = true
	case result != hsm.PINOK:
		f.newPIN = PINUnreadable
	default:
		f.newPIN, f.newReference = PINRight, reference
	}
}

// samePIN reports whether a repeat asks for the same new PIN as the first request, whose scripts these are: PIN blocks are not part of what is compared else.
func (f *Finding) samePIN(s scripts) bool {
	if len(s) < batchHead || s[1] != pinScript {
		return true
	}
	for _, command := range s.commands() {
		if command.Command == scriptChangePIN && string(command.Value) != string(f.newReference[:]) {
			return false
		}
	}
	return true
}

// recheckPIN looks at a PIN once more when it was compared with another than the card's: the card's was changed since, or by this very request.
func (i *Issuer) recheckPIN(ev *journal.Event, m *unionpay.FinancialRequest, r *request, holder *Card) {
	f, _ := ev.Finding.(*Finding)
	if f == nil || f.failed || m.PINBlock == nil || holder == nil || f.against == holder.reference {
		return
	}
	i.verifyPIN(ev.From, m, f, holder.reference)
	r.pin, r.unavailable = f.pin, f.failed
}

var errPINChanged = errors.New("the new PIN is another")

// pinOf reads the change that a row grants.
func pinOf(r *journal.Row, carried scripts) (pinChange, bool) {
	if r.Kind != journal.Noted || !grantsPIN(Reason(r.Reason)) || !carried.sound() || carried[1] != pinScript {
		return pinChange{}, false
	}
	p := pinChange{seq: r.Seq, state: pinSent, atc: r.ATC, unblock: Reason(r.Reason) == PINUnblockSent}
	for _, command := range carried.commands() {
		copy(p.reference[:], command.Value)
	}
	return p, true
}

func (p pinChange) id() [4]byte { return [4]byte{pinScript, 1, byte(p.atc >> 8), byte(p.atc)} }

// pinTold takes the word of a terminal about the PIN script: DF31, or a reversal, which says that nothing reached the card.
func (i *Issuer) pinTold(now time.Time, c *Card, told result, date int32, step *journal.Step) {
	p := c.chipNow().pin
	switch {
	case told.status == resultDone:
		i.pinRow(now, c, told, PINChangeDone, date, step)
	case p.state == pinSent:
		i.pinRow(now, c, told, PINChangeFailed, date, step)
	}
}

func (i *Issuer) pinRow(now time.Time, c *Card, told result, why Reason, date int32, step *journal.Step) {
	p := c.chipNow().pin
	i.append(step, now, journal.Row{Kind: journal.ScriptReported, Card: c.Enrolment.Card, ATC: p.atc, BusinessDate: date, Reason: uint16(why), Linked: p.seq,
		Note: []byte{told.status, byte(told.failed)}})
}

// settlePIN lets a cryptogram say what the chip made of the PIN script. By contact the card tells how many commands it carried out behind its last answer
// online, and whether one failed; nothing else was on its way. In the payment right behind, none means none. Later, or when another command may be the one
// that failed, nobody knows.
func (i *Issuer) settlePIN(now time.Time, r *request, step *journal.Step) {
	if r.card == nil {
		return
	}
	p := r.card.chipNow().pin
	if p.seq == 0 || p.state == pinUnknown || r.cryptogram != CryptogramValid || !r.chipAgrees || !r.reaches || r.atc <= p.atc {
		return
	}
	count, failed, incomplete := r.cvr.ScriptCount(), r.cvr.Has(emv.CVRLastScriptFailed), r.cvr.Has(emv.CVRLastOnlineIncomplete)
	next, why := r.atc == p.atc+1, PINChangeUnknown
	switch {
	case incomplete && next:
		why = PINChangeDisproven // the card never heard the answer
	case incomplete:
	case count > 0 && !failed:
		why = PINChangeProven
	case count == 1 || count == 0 && next:
		why = PINChangeDisproven
	}
	told := result{}
	if why == PINChangeProven {
		told.status = resultDone
	}
	i.pinRow(now, r.card, told, why, r.businessDate, step)
}

// applyPIN folds what became of a PIN script.
func (s *state) applyPIN(c *Card, r *journal.Row) {
	p := c.chipNow().pin
	switch Reason(r.Reason) {
	case PINChangeDone, PINChangeProven:
		if !p.unblock {
			c.reference = p.reference
			s.directory.put(c)
		}
		p = pinChange{}
	case PINChangeFailed:
		p.state = pinRefused
	case PINChangeUnknown:
		p.state = pinUnknown
	default:
		p = pinChange{}
	}
	c.setChip(func(h *chip) { h.pin = p })
}

// PINOpen reports whether a script about the PIN is on its way, or its outcome still to be told by the chip.
func (c *Card) PINOpen() bool {
	p := c.chipNow().pin
	return p.seq != 0 && p.state != pinUnknown
}

// A cell of version 3 is one of version 2 and behind it: the row of the open change of the PIN, and unless that is zero: state, counter, whether it only
// unblocks, reference (16 bytes).
func (p pinChange) bytes(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.seq)
	if p.seq == 0 {
		return dst
	}
	unblock := byte(0)
	if p.unblock {
		unblock = 1
	}
	dst = append(binary.AppendUvarint(append(dst, byte(p.state)), uint64(p.atc)), unblock)
	return append(dst, p.reference[:]...)
}

func (r *cellReader) pinChange() (p pinChange) {
	if p.seq = r.number(); p.seq == 0 {
		return p
	}
	p.state, p.atc = pinState(r.octet()), uint16(r.upTo(math.MaxUint16))
	unblock := r.octet()
	p.unblock = unblock == 1
	copy(p.reference[:], r.bytes(uint64(len(p.reference))))
	r.bad = r.bad || p.state == 0 || p.state > lastPINState || unblock > 1
	return p
}

// pinUndone is a reversal's word: the terminal, or the network for it, takes the request back, so that the script has probably never left. A terminal that
// sent it says so in DF31, which was heard before.
func (i *Issuer) pinUndone(now time.Time, m *unionpay.ReversalRequest, original payment, date int32, step *journal.Step) error {
	if !grantsPIN(original.reason) {
		return nil
	}
	c, err := i.state.card(original.card)
	if err != nil || c == nil {
		return fmt.Errorf("card %d: %w", original.card, err)
	}
	i.report(now, c, readResults(&m.Payment), date, step)
	if p := c.chipNow().pin; p.seq == original.seq && p.state == pinSent {
		i.pinTold(now, c, result{}, date, step)
	}
	return nil
}
