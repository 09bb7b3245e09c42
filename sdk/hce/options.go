package hce

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
)

// options answers GET PROCESSING OPTIONS with the cryptogram [REF 2.1] [REF 2.2]: the profile goes online always, so there is one answer. A
// refusal leaves what was armed as it is.
func (t *tap) options(c command, out []byte, elapsedNs int64) (int, apdu.SW) {
	const template83 = 0x83
	a := &t.armed
	switch {
	case t.phase != phaseSelected:
		return 0, apdu.ConditionsNotSatisfied
	case c.p1 != 0 || c.p2 != 0:
		return 0, apdu.WrongParameters
	case len(c.data) < 2 || len(c.data) != 2+int(c.data[1]):
		return 0, apdu.WrongLength
	case c.data[0] != template83:
		return 0, apdu.WrongData
	case len(c.data) != 2+a.layout.pdolBytes:
		return 0, apdu.WrongLength
	}
	reader := c.data[2:]
	amount, ok := decimal(reader[a.layout.amount : a.layout.amount+6])
	if !ok {
		return 0, apdu.WrongData
	}
	ttq := emv.TTQ(reader[a.layout.ttq : a.layout.ttq+4])
	own := [2]byte(reader[a.layout.currency:a.layout.currency+2]) == a.layout.currencyCode
	switch {
	case !ttq.Has(emv.TTQQPBOC) || ttq.Has(emv.TTQOfflineOnly):
		return 0, apdu.ConditionsNotSatisfied // the issuer decides, and cannot be asked
	case a.open && (ttq.Has(emv.TTQCVMRequired) || a.openLimit > 0 && (amount > a.openLimit || !own)):
		t.wantsCVM = true
		return 0, apdu.CommandNotAllowed // 6986: the phone wants its owner [REF 2.7]
	case a.amountLeft >= 0 && own && amount > a.amountLeft:
		return 0, apdu.ConditionsNotSatisfied
	}
	n := t.answer(reader, out, elapsedNs)
	t.done = answered{token: a.token, atc: a.atc}
	if own {
		t.done.amount = amount
	}
	a.erase()
	t.phase = phaseAnswered
	return n, apdu.OK
}

// answer makes cryptogram, evidence and device tag, and fills the template.
func (t *tap) answer(reader, out []byte, elapsedNs int64) int {
	a := &t.armed
	in := a.over(reader, t.data[:0])
	in.CVMAge = cloudkey.CVMAge(a.ageMs + max(0, elapsedNs-a.armedNs)/1e6)
	in.Latency = cloudkey.Latency(t.latencyNs)
	tag := cloudkey.DeviceTag(a.tagKey, a.token, in)

	n := copy(out, a.answer)
	out[a.iadAt+cloudkey.IADCVMAgeAt] = in.CVMAge
	out[a.iadAt+cloudkey.IADLatencyAt] = in.Latency
	copy(out[a.iadAt+cloudkey.IADTagAt:], tag[:])
	copy(out[a.acAt:], in.Cryptogram[:])
	return n
}

// over makes the cryptogram over what a reader says, and collects what the device tag covers beside the evidence. data is room for the former.
func (a *armed) over(reader, data []byte) cloudkey.TagInput {
	for _, p := range a.layout.pieces {
		if p.reader {
			data = append(data, reader[p.at:p.at+p.n]...)
		} else {
			data = append(data, a.fixed[p.at:p.at+p.n]...)
		}
	}
	in := cloudkey.TagInput{ATC: a.atc, Evidence: a.iad.Evidence, Cryptogram: a.mac.cryptogram(data)}
	copy(in.UnpredictableNumber[:], reader[a.layout.unknown:])
	copy(in.Amount[:], reader[a.layout.amount:])
	copy(in.Currency[:], reader[a.layout.currency:])
	return in
}

// decimal reads packed digits; false when one is none.
func decimal(b []byte) (v int64, ok bool) {
	for _, c := range b {
		if c>>4 > 9 || c&0xF > 9 {
			return 0, false
		}
		v = v*100 + int64(c>>4)*10 + int64(c&0xF)
	}
	return v, true
}
