package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// recordID names a record of a file.
type recordID struct{ sfi, number byte }

const (
	sfiShift         = 3
	recordNumberInP1 = 0x04 // low three bits of P2 [ISO 7816-4 11.3.3]
	maxSFI           = 30
)

// record is one record as it is answered, with what it would give away.
type record struct {
	answer    []byte // template 70 included
	withhold  Withhold
	updatable bool
}

// body is the contents of template 70.
func (r record) body() []byte {
	value, _ := tlv.Find(r.answer, emv.TagRecord)
	return value
}

// tells is what a record gives away.
func tells(body []byte) (w Withhold) {
	for tag, what := range map[tlv.Tag]Withhold{
		emv.TagPAN: WithholdNumber, emv.TagExpiryDate: WithholdExpiry, emv.TagTrack2: WithholdNumber | WithholdExpiry,
	} {
		if _, found := tlv.Find(body, tag); found {
			w |= what
		}
	}
	return w
}

// readRecord answers a record of a file, of a log, of the directory, or the last record of an approved payment, which pays [REF 2.4].
func (c *Card) readRecord(cmd apdu.Command) (apdu.Response, error) {
	id := recordID{sfi: cmd.P2 >> sfiShift, number: cmd.P1}
	switch {
	case cmd.P2&(1<<sfiShift-1) != recordNumberInP1 || id.sfi == 0 || id.sfi > maxSFI:
		return refuse(apdu.WrongParameters), nil
	case len(cmd.Data) != 0:
		return refuse(apdu.WrongLength), nil
	case c.phase == phaseDirectory:
		return c.readDirectory(id)
	}
	a, s := c.application(), &c.state.Applications[c.selected]
	switch {
	case id.number == 0 && id.sfi == a.LoadLog.SFI:
		return c.readLoadLog(a)
	case id.number == 0:
		return refuse(apdu.WrongParameters), nil
	case id.sfi == a.Log.SFI:
		return c.readLog(a, &s.Log, id.number)
	case id.sfi == a.LoadLog.SFI:
		return c.readLog(a, &s.LoadLog, id.number)
	case a.hasLast && id == a.last && !c.inDialogue():
		return c.readLastRecord(a)
	}
	r, ok := a.records[id]
	if changed, is := c.state.updated(byte(c.selected), id); ok && is {
		r = record{answer: changed, withhold: r.withhold | tells(record{answer: changed}.body())}
	}
	switch {
	case ok && r.answer == nil: // there only to carry the signature of a contactless payment
		return refuse(apdu.RecordNotFound), nil
	case !ok && a.files[id.sfi]:
		return refuse(apdu.RecordNotFound), nil
	case !ok:
		return refuse(apdu.FileNotFound), nil
	case !c.tx.answered && a.Withhold&r.withhold != 0:
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	return answer(r.answer)
}

// inDialogue: the payment ends in GENERATE AC, not in a record.
func (c *Card) inDialogue() bool { return c.phase&(phaseDialogue|phaseOnline|phaseCompleted) != 0 }

// readLastRecord answers the record that ends an offline payment. Outside a payment it is not to be read: a terminal that gets
// it after an interruption may take it as the proof that the card has paid.
func (c *Card) readLastRecord(a *application) (apdu.Response, error) {
	if c.tx.staged && c.tx.extended.kind != extendedNone && !c.tx.extended.cached {
		return refuse(apdu.CAPPRecordNotUpdated), nil
	}
	if c.tx.staged {
		if ok, err := c.commitPayment(); !ok {
			return refuse(apdu.MemoryFailure), err
		}
		return answer(c.tx.dynamic)
	}
	if again, ok := c.state.Applications[c.selected].replay(); ok {
		return answer(again)
	}
	switch {
	case !c.tx.answered:
	case c.tx.dynamic != nil: // offline authentication of an online payment: nothing is spent
		return answer(c.tx.dynamic)
	case a.lastOnline:
		return answer(a.records[a.last].answer)
	}
	return refuse(apdu.ConditionsNotSatisfied), nil
}
