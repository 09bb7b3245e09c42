package card

import (
	"tapnet/apdu"
)

// writeLog puts the payment in front of the log as the log format lays it out; what the terminal did not tell is zeros.
// It becomes durable with the payment.
func (a *application) writeLog(paid *ApplicationState, r *request) {
	if a.Log.SFI == 0 {
		return
	}
	values := cardValues{aip: a.AIP, atc: [2]byte{byte(paid.ATC >> 8), byte(paid.ATC)}}
	var entry LogRecord
	b := a.Log.Format.Build(entry.Bytes[:0], &values, r.terminal)
	entry.Length = byte(len(b)) // the image was checked: the format fits
	copy(entry.Bytes[:], b)
	paid.Log.add(entry)
}

// readLog answers a log record: 1 is the newest; there is no template around it [REF 3.1].
func (c *Card) readLog(a *application, number byte) (apdu.Response, error) {
	log := &c.state.Applications[c.selected].Log
	switch {
	case a.Withhold.Has(WithholdLog):
		return refuse(apdu.FileNotFound), nil
	case number > log.Count:
		return refuse(apdu.RecordNotFound), nil
	}
	entry := &log.Records[number-1]
	return answer(append([]byte(nil), entry.Bytes[:entry.Length]...))
}
