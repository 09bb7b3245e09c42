package unionpay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tapnet/emv"
	"tapnet/iso8583"
)

// Answer is what a response adds to its request. Kept beside the request's key it makes the same response again.
type Answer struct {
	Response       ResponseCode
	AuthCode       string
	RRN            string // "" = the request's
	LocalTime      string // "" = the request's; terminals learn the host's time from it
	LocalDate      string // "" = the request's
	SettlementDate string // "" = the request's
	Institutions   string
	Balance        *Balance
	ICC            emv.Data // issuer authentication data and scripts
}

// AnswerOf takes the answer out of a response.
func AnswerOf(p *Payment) Answer {
	return Answer{
		Response: p.Response, AuthCode: p.AuthCode, RRN: p.RRN, LocalTime: p.LocalTime, LocalDate: p.LocalDate,
		SettlementDate: p.SettlementDate, Institutions: p.Institutions, Balance: p.Balance, ICC: p.ICC,
	}
}

// fill puts the answer into an empty payment.
func (a *Answer) fill(p *Payment) {
	p.Response, p.AuthCode, p.RRN, p.LocalTime, p.LocalDate = a.Response, a.AuthCode, a.RRN, a.LocalTime, a.LocalDate
	p.SettlementDate, p.Institutions, p.Balance, p.ICC = a.SettlementDate, a.Institutions, a.Balance, a.ICC
}

// answerFields are the fields of an Answer, in the order AppendBinary writes them.
var answerFields = [...]int{
	fieldLocalTime, fieldLocalDate, fieldSettlement, fieldRRN, fieldAuthCode, fieldResponse, fieldInstitutions, fieldBalance, fieldICC,
}

// errAnswer is wrapped by ParseAnswer; the bytes come from our own journal.
var errAnswer = errors.New("not an answer")

// AppendBinary writes the answer behind dst: for each field that is present its number and length in 2 bytes each
// and its characters. Equal answers give equal bytes.
func (a Answer) AppendBinary(dst []byte) []byte {
	var p Payment
	a.fill(&p)
	for _, number := range answerFields {
		dst = appendHashed(dst, number, bindingOf[number].content(&p, nil))
	}
	return dst
}

// ParseAnswer reads what AppendBinary wrote.
func ParseAnswer(b []byte) (Answer, error) {
	var p Payment
	var none iso8583.Message
	last := 0
	for rest := b; len(rest) > 0; {
		if len(rest) < 4 {
			return Answer{}, errAnswer
		}
		number, size := int(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if number <= last || !slices.Contains(answerFields[:], number) || size == 0 || size > len(rest) || number == fieldBalance && size != balanceChars {
			return Answer{}, fmt.Errorf("field %d: %w", number, errAnswer)
		}
		bound, content := bindingOf[number], rest[:size]
		if bound.text != nil {
			*bound.text(&p) = string(content)
		} else if err := bound.take(&p, &none, content); err != nil {
			return Answer{}, fmt.Errorf("field %d: %w", number, err)
		}
		rest, last = rest[size:], number
	}
	return AnswerOf(&p), nil
}

// Respond makes the response to a request: what identifies the payment, repeated, and the answer; no PIN, track or
// chip data of the request. It panics when m is a response itself.
func Respond(m Message, a Answer) Message {
	switch m := m.(type) {
	case *FinancialRequest:
		r := &FinancialResponse{Advice: m.Advice, Authorization: m.Authorization}
		m.respond(&a, &r.Payment)
		return r
	case *ReversalRequest:
		r := new(ReversalResponse)
		m.respond(&a, &r.Payment)
		return r
	case *ScriptNotice:
		r := new(ScriptNoticeResponse)
		m.respond(&a, &r.Payment)
		return r
	case *SettlementRequest:
		r := new(SettlementResponse)
		m.respond(&a, &r.Payment)
		return r
	case *BatchUpload:
		r := new(BatchUploadResponse)
		m.respond(&a, &r.Payment)
		return r
	case *TokenRequest:
		r := new(TokenResponse)
		m.respond(&a, &r.Payment)
		return r
	case *NetworkRequest:
		return m.Answer(a.Response)
	}
	panic("unionpay: a response cannot be answered")
}

// respond fills the empty payment of a response.
func (p *Payment) respond(a *Answer, r *Payment) {
	a.fill(r)
	r.ICC = a.ICC.Clone() // the issuer adds to it
	r.PAN, r.Processing, r.Amount, r.TransmissionTime, r.STAN = p.PAN, p.Processing, p.Amount, p.TransmissionTime, p.STAN
	r.MerchantType, r.CardSequence, r.Condition = p.MerchantType, p.CardSequence, p.Condition
	r.Acquirer, r.Forwarder, r.Receiver = p.Acquirer, p.Forwarder, p.Receiver
	r.Terminal, r.Merchant, r.Info = p.Terminal, p.Merchant, p.Info
	r.RRN, r.SettlementDate = cmp.Or(r.RRN, p.RRN), cmp.Or(r.SettlementDate, p.SettlementDate)
	r.LocalTime, r.LocalDate = cmp.Or(r.LocalTime, p.LocalTime), cmp.Or(r.LocalDate, p.LocalDate)
}

// Answer begins the response to m: no keys, no data.
func (m *NetworkRequest) Answer(code ResponseCode) *NetworkResponse {
	answer := NetworkResponse(*m)
	answer.MTI, answer.Response = m.MTI.Response(), code
	answer.Keys, answer.Data, answer.Operator, answer.Security = nil, "", "", ""
	return &answer
}

// Pack puts the two characters into a number; 0 for "" and for what is not two characters.
func (c ResponseCode) Pack() uint16 {
	if len(c) != 2 {
		return 0
	}
	return uint16(c[0])<<8 | uint16(c[1])
}

// UnpackResponseCode is the inverse of Pack.
func UnpackResponseCode(packed uint16) ResponseCode {
	if packed == 0 {
		return ""
	}
	return ResponseCode([]byte{byte(packed >> 8), byte(packed)})
}
