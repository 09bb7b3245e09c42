package kernel

import (
	"tapnet/emv"
	"tapnet/pan"
	"tapnet/tlv"
)

// Presented is a card in front of a stop list: what an entry may name of it.
type Presented struct {
	Number    pan.Number
	Sequence  string     // two digits; empty when the card has none
	Expiry    pan.Expiry // month; the zero Expiry when the card did not say it
	Reference string     // payment account reference, 9F24; empty when the card did not show it
	// Paid: the card has paid already, with an approval of its own. Whoever declines now has to give the money back.
	Paid bool
}

// Present collects what a card has said so far; false without an account number.
func Present(value func(tlv.Tag) ([]byte, bool)) (Presented, bool) {
	var o Outcome
	for _, tag := range [...]tlv.Tag{emv.TagPAN, emv.TagTrack2, emv.TagPANSequence, emv.TagExpiryDate} {
		if b, ok := value(tag); ok {
			o.Data.Set(tag, b)
		}
	}
	number, ok := o.PAN()
	if !ok {
		return Presented{}, false
	}
	p := Presented{Number: number, Sequence: o.Sequence()}
	p.Expiry, _ = o.Expiry()
	if reference, ok := value(emv.TagPAR); ok {
		p.Reference = string(reference)
	}
	return p, true
}

// listed asks the exception file.
func (m *Machine) listed() bool {
	if m.config.ExceptionFile == nil {
		return false
	}
	p, ok := Present(m.value)
	p.Paid = m.cid == emv.TC && (m.state == stateTorn || m.next == len(m.list)) // a card pays when it answers its last record [REF 2.4]
	return ok && m.config.ExceptionFile(p)
}
