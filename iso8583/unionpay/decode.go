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
	wire := MTI(mti[:])
	m := messageOf(d, wire)
	if m == nil { // before the fields: a type we do not know may have fields we do not know
		return nil, &iso8583.FieldError{Field: iso8583.MTIField, Offset: 0, Err: ErrUnknownType}
	}
	if err := spec.Unpack(body, &w.message); err != nil {
		return nil, err
	}
	w.dropBlanks(spec)
	var kind MessageType
	if p := PaymentOf(m); p != nil {
		if err := w.takePayment(d, p); err != nil {
			return nil, err
		}
		kind = p.kind()
	} else if err := w.takeNetwork(d, networkOf(m), wire); err != nil {
		return nil, err
	}
	return m, ruleFor(d, wire, kind).check(&w.message)
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
	case TypeNetworkRequest, TypeNetworkAdvice:
		return &NetworkRequest{MTI: wire}
	case TypeNetworkResponse, TypeNetworkAdviceReply:
		return &NetworkResponse{MTI: wire}
	}
	return nil
}

// dropBlanks takes out padded fields that hold nothing but blanks: some hosts fill a field they have no value for.
func (w *workspace) dropBlanks(spec *iso8583.Spec) {
	for number := w.message.Next(1); number != 0; number = w.message.Next(number) {
		if field, _ := spec.Field(number); isPadded(field) && w.message.Get(number)[0] == ' ' {
			if len(bytes.TrimRight(w.message.Get(number), " ")) == 0 {
				w.message.Clear(number)
			}
		}
	}
}

func (w *workspace) takePayment(d Dialect, p *Payment) error {
	spec := SpecOf(d)
	for number := w.message.Next(1); number != 0; number = w.message.Next(number) {
		if number == macField(d) {
			continue
		}
		start, _ := w.message.Range(number)
		bound := bindingOf[number]
		if bound == nil {
			return &iso8583.FieldError{Field: number, Offset: start, Err: ErrUnexpected}
		}
		text := w.message.Text(w.text[:0], number)
		if bound.text == nil {
			if err := bound.take(p, &w.message, text); err != nil {
				return &iso8583.FieldError{Field: number, Offset: start, Err: err}
			}
			continue
		}
		if field, _ := spec.Field(number); isPadded(field) {
			text = bytes.TrimRight(text, " ")
		}
		value := string(text)
		if bound.check != nil && !bound.check(value) {
			return &iso8583.FieldError{Field: number, Offset: start, Err: ErrContent}
		}
		*bound.text(p) = value
	}
	return nil
}
