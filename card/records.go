package card

import (
	"tapnet/apdu"
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
	answer   []byte // template 70 included
	withhold Withhold
}

// readRecord answers a record of a file, of the log, or the last record of an approved payment, which pays [REF 2.4].
func (c *Card) readRecord(cmd apdu.Command) (apdu.Response, error) {
	id := recordID{sfi: cmd.P2 >> sfiShift, number: cmd.P1}
	switch {
	case cmd.P2&(1<<sfiShift-1) != recordNumberInP1 || id.sfi == 0 || id.sfi > maxSFI || id.number == 0:
		return refuse(apdu.WrongParameters), nil
	case len(cmd.Data) != 0:
		return refuse(apdu.WrongLength), nil
	}
	a := &c.applications[c.selected]
	switch {
	case id.sfi == a.Log.SFI:
		return c.readLog(a, id.number)
	case a.hasLast && id == a.last:
		return c.readLastRecord(a)
	}
	r, ok := a.records[id]
	switch {
	case !ok && a.files[id.sfi]:
		return refuse(apdu.RecordNotFound), nil
	case !ok:
		return refuse(apdu.FileNotFound), nil
	case !c.tx.answered && a.Withhold&r.withhold != 0:
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	return answer(r.answer)
}

// readLastRecord answers the record that ends an offline payment. Outside a payment it is not to be read: a terminal that gets
// it after an interruption may take it as the proof that the card has paid.
func (c *Card) readLastRecord(a *application) (apdu.Response, error) {
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
