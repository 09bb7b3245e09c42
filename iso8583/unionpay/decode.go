package unionpay

import (
	"bytes"
	"fmt"

	"tapnet/iso8583"
)

// Decode reads a message of d, without its frame. Every field is checked and must have a place in the message; the
// MAC is not looked at (see MACInput). The result shares no memory with body. Errors wrap *iso8583.FieldError.
func Decode(d Dialect, body []byte) (Message, error) {
	w := workspaces.Get().(*workspace)
	defer w.release()
	m, err := w.decode(d, body)
	if err != nil {
		return nil, fmt.Errorf("decode %v message: %w", d, err)
	}
	return m, nil
}

func (w *workspace) decode(d Dialect, body []byte) (Message, error) {
	spec := SpecOf(d)
	mti, _, err := spec.Outline(body)
	if err != nil {
		return nil, err
	}
	wire := typeOf(mti)
	m := messageOf(d, wire)
	if m == nil { // before the fields: a type we do not know may have fields we do not know
		return nil, &iso8583.FieldError{Field: iso8583.MTIField, Offset: 0, Err: ErrUnknownType}
	}
	if err := spec.Unpack(body, &w.message); err != nil {
		return nil, err
	}
	w.dropBlanks(d)
	var kind MessageType
	if p := PaymentOf(m); p != nil {
		if err := w.takePayment(d, p); err != nil {
			return nil, err
		}
		kind = p.kind()
	} else if err := w.takeNetwork(d, networkOf(m), wire); err != nil {
		return nil, err
	}
	if err := ruleFor(d, wire, kind).check(&w.message); err != nil {
		return m, err
	}
	if c, ok := m.(interface{ check() error }); ok {
		return m, c.check()
	}
	return m, nil
}

// typeOf gives the types of payments, which come by the million, without new memory.
func typeOf(mti [4]byte) MTI {
	for _, known := range [...]MTI{TypeFinancialRequest, TypeFinancialResponse, TypeReversalAdvice, TypeReversalAdviceReply} {
		if string(mti[:]) == string(known) {
			return known
		}
	}
	return MTI(mti[:])
}

// messageOf makes the message for a type indicator of d, nil when there is none.
func messageOf(d Dialect, wire MTI) Message {
	if ruleFor(d, wire, "") == nil {
		return nil
	}
	switch wire {
	case TypeAuthorizationRequest:
		return &FinancialRequest{Authorization: true}
	case TypeAuthorizationResponse:
		return &FinancialResponse{Authorization: true}
	case TypeFinancialRequest:
		return &FinancialRequest{}
	case TypeFinancialResponse:
		return &FinancialResponse{}
	case TypeFinancialAdvice:
		return &FinancialRequest{Advice: true}
	case TypeFinancialAdviceReply:
		return &FinancialResponse{Advice: true}
	case TypeReversalRequest, TypeReversalAdvice:
		return &ReversalRequest{}
	case TypeReversalResponse, TypeReversalAdviceReply:
		return &ReversalResponse{}
	case TypeScriptNotice:
		return &ScriptNotice{}
	case TypeScriptNoticeReply:
		return &ScriptNoticeResponse{}
	case TypeTokenRequest:
		return &TokenRequest{}
	case TypeTokenResponse:
		return &TokenResponse{}
	case TypeSettlementRequest:
		return &SettlementRequest{}
	case TypeSettlementResponse:
		return &SettlementResponse{}
	case TypeBatchUpload:
		return &BatchUpload{}
	case TypeBatchUploadReply:
		return &BatchUploadResponse{}
	case TypeNetworkRequest, TypeNetworkAdvice:
		return &NetworkRequest{MTI: wire}
	case TypeNetworkResponse, TypeNetworkAdviceReply:
		return &NetworkResponse{MTI: wire}
	}
	return nil
}

// dropBlanks takes out padded fields that hold nothing but blanks: some hosts fill a field they have no value for.
func (w *workspace) dropBlanks(d Dialect) {
	places := &placesOf[d]
	for number := w.message.Next(1); number != 0; number = w.message.Next(number) {
		if !places[number].padded {
			continue
		}
		if content := w.message.Get(number); content[0] == ' ' && len(bytes.TrimRight(content, " ")) == 0 {
			w.message.Clear(number)
		}
	}
}

// span is where in the workspace's joined text a field's characters lie.
type span struct {
	bound    *binding
	from, to uint16 // a message has fewer characters than 16 bits count
}

// takePayment joins the characters of all fields that are nobody's secret into one string, of which the fields are parts: one piece of memory instead of
// twenty. Sensitive fields get their own, since a part keeps the whole alive.
func (w *workspace) takePayment(d Dialect, p *Payment) error {
	places, joined, count := &placesOf[d], w.joined[:0], 0
	for number := w.message.Next(1); number != 0; number = w.message.Next(number) {
		if number == macField(d) {
			continue
		}
		bound := places[number].bound
		var text []byte
		cause := ErrUnexpected
		if bound != nil {
			text = w.message.Text(w.text[:0], number)
			cause = bound.read(p, &w.message, &text, places[number].padded)
		}
		if cause != nil {
			start, _ := w.message.Range(number)
			return &iso8583.FieldError{Field: number, Offset: start, Err: cause}
		}
		if bound.text == nil {
			continue
		}
		if places[number].apart {
			*bound.text(p) = string(text)
			continue
		}
		from := len(joined)
		joined = append(joined, text...)
		w.spans[count] = span{bound, uint16(from), uint16(len(joined))}
		count++
	}
	whole := string(joined)
	for _, s := range w.spans[:count] {
		*s.bound.text(p) = whole[s.from:s.to]
	}
	w.joined = joined[:0] // it may have grown
	return nil
}

// read checks characters, of which it takes the padding off, or gives them to the binding.
func (b *binding) read(p *Payment, m *iso8583.Message, text *[]byte, padded bool) error {
	if b.text == nil {
		return b.take(p, m, *text)
	}
	if padded {
		*text = bytes.TrimRight(*text, " ")
	}
	if b.check != nil && !b.check(*text) {
		return ErrContent
	}
	return nil
}
