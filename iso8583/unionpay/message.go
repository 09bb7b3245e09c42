package unionpay

import (
	"errors"

	"tapnet/iso8583"
)

// Dialect is one of the two ways the same message lies on the wire.
type Dialect uint8

const (
	// Terminal is the terminal-to-acquirer dialect: packed digits, MAC in field 64 (mac.LegacyECB) [REF 6.1].
	Terminal Dialect = iota
	// Switch is the dialect between acquirer, switch and issuer: ASCII digits, binary bitmap of 16 bytes, MAC in
	// field 128 (mac.CBC) [REF 6.4].
	Switch
)

// String names the dialect.
func (d Dialect) String() string {
	switch d {
	case Terminal:
		return "terminal"
	case Switch:
		return "switch"
	}
	return "unknown dialect"
}

// MTI is a message type indicator: four digits [ISO 8583:1987].
type MTI string

// The message types in use. Reversals are 0400/0410 between terminal and acquirer and 0420/0430 at the switch;
// Type names both by the first pair.
const (
	TypeAuthorizationRequest  MTI = "0100"
	TypeAuthorizationResponse MTI = "0110"
	TypeFinancialRequest      MTI = "0200"
	TypeFinancialResponse     MTI = "0210"
	TypeFinancialAdvice       MTI = "0220"
	TypeFinancialAdviceReply  MTI = "0230"
	TypeBatchUpload           MTI = "0320"
	TypeBatchUploadReply      MTI = "0330"
	TypeReversalRequest       MTI = "0400"
	TypeReversalResponse      MTI = "0410"
	TypeReversalAdvice        MTI = "0420"
	TypeReversalAdviceReply   MTI = "0430"
	TypeSettlementRequest     MTI = "0500"
	TypeSettlementResponse    MTI = "0510"
	TypeScriptNotice          MTI = "0620"
	TypeScriptNoticeReply     MTI = "0630"
	TypeNetworkRequest        MTI = "0800"
	TypeNetworkResponse       MTI = "0810"
	TypeNetworkAdvice         MTI = "0820"
	TypeNetworkAdviceReply    MTI = "0830"
)

// Class is the second digit of the type: '1' authorization, '2' financial, '3' batch upload, '4' reversal, '5' settlement, '6' notice, '8' network.
func (t MTI) Class() byte {
	if len(t) != 4 {
		return '0'
	}
	return t[1]
}

// IsResponse says whether the type answers another message.
func (t MTI) IsResponse() bool { return len(t) == 4 && (t[2] == '1' || t[2] == '3') }

// ErrUnknownType is wrapped by the *iso8583.FieldError of Decode when the type is none of the above, or does not
// belong to the dialect.
var ErrUnknownType = errors.New("message type unknown")

// ErrMissing is wrapped by the *iso8583.FieldError that names a mandatory field which is absent.
var ErrMissing = errors.New("mandatory field missing")

// ErrUnexpected is wrapped by the *iso8583.FieldError that names a field this message type does not have.
var ErrUnexpected = errors.New("field does not belong to this message type")

// ErrContent is wrapped when a field's characters are right but their value is not.
var ErrContent = iso8583.ErrContent

// Message is one of *FinancialRequest, *FinancialResponse, *ReversalRequest, *ReversalResponse, *ScriptNotice,
// *ScriptNoticeResponse, *SettlementRequest, *SettlementResponse, *BatchUpload, *BatchUploadResponse, *TokenRequest,
// *TokenResponse, *NetworkRequest and *NetworkResponse.
type Message interface {
	// Type is the message's type indicator; a reversal gives 0400 or 0410 in both dialects, see WireType.
	Type() MTI
}

// FinancialRequest asks for a payment: 0200, or 0100 with Authorization (pre-authorization and its cancellation),
// or 0220 with Advice (the terminal tells what has happened: refund, completion notice). Never both.
type FinancialRequest struct {
	Payment
	Advice        bool
	Authorization bool
}

// Type is 0200, 0100 or 0220.
func (m *FinancialRequest) Type() MTI {
	switch {
	case m.Authorization:
		return TypeAuthorizationRequest
	case m.Advice:
		return TypeFinancialAdvice
	}
	return TypeFinancialRequest
}

// FinancialResponse answers a FinancialRequest with the same flags: 0210, 0110 or 0230.
type FinancialResponse struct {
	Payment
	Advice        bool
	Authorization bool
}

// Type is 0210, 0110 or 0230.
func (m *FinancialResponse) Type() MTI {
	switch {
	case m.Authorization:
		return TypeAuthorizationResponse
	case m.Advice:
		return TypeFinancialAdviceReply
	}
	return TypeFinancialResponse
}

// ReversalRequest takes a payment back: 0400 on the terminal's side, 0420 on the switch's; the dialect decides.
// Response holds the reason (ReasonTimeout, ReasonMACError…). At the switch Original names what is reversed;
// a terminal repeats the original's own STAN and batch.
type ReversalRequest struct{ Payment }

// Type is 0400.
func (m *ReversalRequest) Type() MTI { return TypeReversalRequest }

// ReversalResponse answers a ReversalRequest: 0410, or 0430 at the switch.
type ReversalResponse struct{ Payment }

// Type is 0410.
func (m *ReversalResponse) Type() MTI { return TypeReversalResponse }

// ScriptNotice tells the issuer how its script ended on the card (0620); ICC carries the result in DF31.
type ScriptNotice struct{ Payment }

// Type is 0620.
func (m *ScriptNotice) Type() MTI { return TypeScriptNotice }

// ScriptNoticeResponse acknowledges a ScriptNotice (0630).
type ScriptNoticeResponse struct{ Payment }

// Type is 0630.
func (m *ScriptNoticeResponse) Type() MTI { return TypeScriptNoticeReply }

// PaymentOf gives the payment inside m, nil for network messages.
func PaymentOf(m Message) *Payment {
	switch m := m.(type) {
	case *FinancialRequest:
		return &m.Payment
	case *FinancialResponse:
		return &m.Payment
	case *ReversalRequest:
		return &m.Payment
	case *ReversalResponse:
		return &m.Payment
	case *ScriptNotice:
		return &m.Payment
	case *ScriptNoticeResponse:
		return &m.Payment
	case *TokenRequest:
		return &m.Payment
	case *TokenResponse:
		return &m.Payment
	case *SettlementRequest:
		return &m.Payment
	case *SettlementResponse:
		return &m.Payment
	case *BatchUpload:
		return &m.Payment
	case *BatchUploadResponse:
		return &m.Payment
	}
	return nil
}

// WireType is the type indicator m has on the wire of d.
func WireType(d Dialect, m Message) MTI {
	t := m.Type()
	if n, ok := m.(*NetworkRequest); ok && n.MTI == "" {
		return n.Code.usualType(d)
	}
	if n, ok := m.(*NetworkResponse); ok && n.MTI == "" {
		return n.Code.usualType(d).Response()
	}
	if d == Switch {
		switch t {
		case TypeReversalRequest:
			return TypeReversalAdvice
		case TypeReversalResponse:
			return TypeReversalAdviceReply
		}
	}
	return t
}

// Response is the type that answers t: 0200 → 0210, 0820 → 0830. A response gives itself.
func (t MTI) Response() MTI {
	switch t {
	case TypeAuthorizationRequest:
		return TypeAuthorizationResponse
	case TypeFinancialRequest:
		return TypeFinancialResponse
	case TypeFinancialAdvice:
		return TypeFinancialAdviceReply
	case TypeReversalRequest:
		return TypeReversalResponse
	case TypeReversalAdvice:
		return TypeReversalAdviceReply
	case TypeScriptNotice:
		return TypeScriptNoticeReply
	case TypeTokenRequest:
		return TypeTokenResponse
	case TypeSettlementRequest:
		return TypeSettlementResponse
	case TypeBatchUpload:
		return TypeBatchUploadReply
	case TypeNetworkRequest:
		return TypeNetworkResponse
	case TypeNetworkAdvice:
		return TypeNetworkAdviceReply
	}
	return t
}
