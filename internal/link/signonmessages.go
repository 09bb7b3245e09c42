package link

import (
	"time"

	"tapnet/iso8583/unionpay"
)

// ask sends a question of this side and remembers its trace number, by which the answer is known.
func (m *SignOn) ask(now time.Time, code unionpay.NetworkCode, keys *unionpay.WrappedKeys, sign Signing) {
	r := m.question(now, code)
	r.Keys = keys
	m.asked = r.STAN
	m.act(Action{Kind: ActSend, Message: r, Sign: sign})
}

// echo sends an echo. Its answer is not matched: any frame is a sign of life.
func (m *SignOn) echo(now time.Time) {
	m.act(Action{Kind: ActSend, Message: m.question(now, unionpay.Echo)})
}

func (m *SignOn) question(now time.Time, code unionpay.NetworkCode) *unionpay.NetworkRequest {
	c := m.config
	r := &unionpay.NetworkRequest{STAN: c.STAN(), Code: code}
	if c.Dialect == unionpay.Switch {
		r.Time = transmissionTime(now)
		r.Institution = c.Name
		return r
	}
	r.Terminal, r.Merchant, r.Batch = c.Name, c.Merchant, c.Batch()
	if code.SignsOn() {
		r.Operator = c.Operator
	}
	return r
}

// answer repeats what identifies the question and adds the response code.
func (m *SignOn) answer(now time.Time, q *unionpay.NetworkRequest, code unionpay.ResponseCode, keys *unionpay.WrappedKeys, sign Signing) {
	c := m.config
	r := &unionpay.NetworkResponse{
		STAN: q.STAN, Time: q.Time, Institution: q.Institution, Terminal: q.Terminal, Merchant: q.Merchant, Batch: q.Batch,
		Code: q.Code, Response: code, Keys: keys,
	}
	if q.MTI != "" {
		r.MTI = q.MTI.Response()
	}
	if c.Dialect == unionpay.Terminal {
		local := now.In(c.Zone)
		r.LocalTime, r.LocalDate = local.Format("150405"), local.Format("0102")
		if isInstitution(c.Name) {
			r.Acquirer = c.Name
		}
		r.RRN = retrievalReference(local, q.STAN)
	}
	m.act(Action{Kind: ActSend, Message: r, Sign: sign})
}

// transmissionTime is field 7: month, day and time of day in UTC.
func transmissionTime(now time.Time) string { return now.UTC().Format("0102150405") }

// retrievalReference is 12 digits: day of the year, hour, trace number, made so that it can be read.
func retrievalReference(local time.Time, stan uint32) string {
	b := []byte(local.Format("00215") + "0")
	digits := [6]byte{}
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(stan%10)
		stan /= 10
	}
	return string(append(b, digits[:]...))
}

// isInstitution: field 32 takes up to 11 digits.
func isInstitution(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 11
}
