package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// writeLog puts the payment in front of the log as the log format lays it out; what the terminal did not tell is zeros.
// It becomes durable with the payment.
func (a *application) writeLog(paid *ApplicationState, sources ...emv.Source) {
	if a.Log.SFI == 0 {
		return
	}
	var entry LogRecord
	b := a.Log.Format.Build(entry.Bytes[:0], sources...)
	entry.Length = byte(len(b)) // the image was checked: the format fits
	copy(entry.Bytes[:], b)
	paid.Log.add(entry)
}

// loadHead is what a load log record begins with: tag, old and new balance [REF 3.4].
const loadHead = 2 + 6 + 6

// writeLoadLog puts a load in front of the load log. It becomes durable with the balance.
func (c *Card) writeLoadLog(a *application, s *ApplicationState, tag tlv.Tag, before, after int64) {
	if a.LoadLog.SFI == 0 {
		return
	}
	d := &c.tx.dialogue
	values := cardValues{aip: d.aip, atc: [2]byte{byte(s.ATC >> 8), byte(s.ATC)}}
	var entry LogRecord
	b := append(entry.Bytes[:0], byte(tag>>8), byte(tag))
	was, is := n12(before), n12(after)
	b = append(append(b, was[:]...), is[:]...)
	b = a.LoadLog.Format.Build(b, &values, d.first, d.pdol)
	entry.Length = byte(len(b))
	copy(entry.Bytes[:], b)
	s.LoadLog.add(entry)
}

// readLog answers a log record: 1 is the newest; there is no template around it [REF 3.1].
func (c *Card) readLog(a *application, log *Log, number byte) (apdu.Response, error) {
	switch {
	case a.Withhold.Has(WithholdLog):
		return refuse(apdu.FileNotFound), nil
	case number > log.Count:
		return refuse(apdu.RecordNotFound), nil
	}
	entry := &log.Records[number-1]
	return answer(append([]byte(nil), entry.Bytes[:entry.Length]...))
}

// readLoadLog answers the whole load log as record 0: counter, number of records, records, MAC of the current counter [REF 3.4].
// Records that a short answer has no room for stay out, the oldest first.
func (c *Card) readLoadLog(a *application) (apdu.Response, error) {
	if a.Withhold.Has(WithholdLog) {
		return refuse(apdu.FileNotFound), nil
	}
	s := &c.state.Applications[c.selected]
	b := []byte{byte(s.ATC >> 8), byte(s.ATC), 0}
	for i := range s.LoadLog.Records[:s.LoadLog.Count] {
		entry := &s.LoadLog.Records[i]
		if len(b)+int(entry.Length)+scriptMACBytes > MaxRecordBytes {
			break
		}
		b[2]++
		b = append(b, entry.Bytes[:entry.Length]...)
	}
	mac, err := a.crypto.MAC(s.ATC, b)
	if err != nil {
		return refuse(noDiagnosis), nil
	}
	return answer(append(b, mac[:]...))
}
