package unionpay

import (
	"slices"

	"tapnet/iso8583"
)

// rule names the fields a message must have and must not have. kind "" is the rule for every other kind.
type rule struct {
	mti       MTI
	kind      MessageType
	mandatory []int
	forbidden []int
}

// A terminal's payment without and with an amount.
var (
	inquiry = []int{3, 11, 22, 25, 41, 42, 49, 60}
	payment = []int{3, 4, 11, 22, 25, 41, 42, 49, 60}
)

func with(base []int, more ...int) []int { return append(slices.Clone(base), more...) }

// A reversal carries no PIN and no track [REF 6.1].
var noReversal = []int{fieldTrack2, fieldTrack3, fieldPIN}

// An answer carries none either.
var noAnswer = []int{fieldTrack2, fieldTrack3, fieldPIN}

// terminalRules is the extract of [REF 6.1]: what is marked conditional there is not demanded here.
var terminalRules = [...]rule{
	{TypeAuthorizationRequest, KindPreAuthCancel, with(payment, 38, 61), nil},
	{TypeAuthorizationRequest, "", payment, nil},
	{TypeFinancialRequest, KindBalance, inquiry, nil},
	{TypeFinancialRequest, KindVoid, with(payment, 37, 61), nil},
	{TypeFinancialRequest, KindCompletion, with(payment, 61), nil},
	{TypeFinancialRequest, KindCompletionVoid, with(payment, 37, 61), nil},
	{TypeFinancialRequest, KindOfflineUpload, with(payment, 63), nil},
	{TypeFinancialRequest, KindLoadOther, with(payment, 48), nil},
	{TypeFinancialRequest, KindLoadCashCancel, with(payment, 37, 61), nil},
	{TypeFinancialRequest, KindPINChange, with(inquiry, fieldPIN, fieldNewPIN), nil},
	{TypeFinancialRequest, KindPINUnblock, with(inquiry, fieldPIN), nil},
	{TypeFinancialRequest, "", payment, nil},
	{TypeFinancialAdvice, KindCompletionNote, with(payment, 61), nil},
	{TypeFinancialAdvice, KindRefund, with(payment, 37, 61, 63), nil},
	{TypeFinancialAdvice, KindOfflineRefund, with(payment, 61, 63), nil},
	{TypeFinancialAdvice, "", payment, nil},
	{TypeReversalRequest, KindVoid, with(payment, 39, 61), noReversal},
	{TypeReversalRequest, KindLoadCashCancel, with(payment, 39, 61), noReversal},
	{TypeReversalRequest, "", with(payment, 39), noReversal},
	{TypeScriptNotice, "", with(inquiry, 32, 37, 61), noReversal},
	{TypeSettlementRequest, "", []int{11, 41, 42, 48, 49, 60, 63}, noReversal},
	{TypeSettlementResponse, "", []int{11, 39, 41, 42, 48, 60}, noAnswer},
	{TypeBatchUpload, "", []int{11, 41, 42, 60}, noReversal},
	{TypeBatchUploadReply, "", []int{11, 39, 41, 42, 60}, noAnswer},
	{TypeAuthorizationResponse, "", []int{11, 39, 41, 42}, noAnswer},
	{TypeFinancialResponse, "", []int{11, 39, 41, 42}, noAnswer},
	{TypeFinancialAdviceReply, "", []int{11, 39, 41, 42}, noAnswer},
	{TypeReversalResponse, "", []int{11, 39, 41, 42}, noAnswer},
	{TypeScriptNoticeReply, "", []int{11, 39, 41, 42}, noAnswer},
	{TypeNetworkRequest, "", []int{41, 42, 60}, nil},
	{TypeNetworkAdvice, "", []int{41, 42, 60}, nil},
	{TypeNetworkResponse, "", []int{39, 41, 42, 60}, nil},
	{TypeNetworkAdviceReply, "", []int{39, 41, 42, 60}, nil},
}

// A payment at the switch: its key (7, 11, 32, 33) and what the issuer decides on. No public source has a presence
// table for the switch; this one is ours.
var (
	switchInquiry = []int{3, 7, 11, 22, 25, 32, 33, 37, 41, 42, 49}
	switchPayment = []int{3, 4, 7, 11, 22, 25, 32, 33, 37, 41, 42, 49}
	switchAnswer  = []int{7, 11, 32, 33, 39}
)

var switchRules = [...]rule{
	{TypeAuthorizationRequest, "", switchPayment, nil},
	{TypeFinancialRequest, KindBalance, switchInquiry, nil},
	{TypeFinancialRequest, KindPINChange, switchInquiry, nil}, // at rest it has no PIN
	{TypeFinancialRequest, KindPINUnblock, switchInquiry, nil},
	{TypeFinancialRequest, "", switchPayment, nil},
	{TypeFinancialAdvice, "", switchPayment, nil},
	{TypeReversalAdvice, "", []int{3, 4, 7, 11, 32, 33, 41, 42, 49, 90}, noReversal},
	{TypeScriptNotice, "", []int{3, 7, 11, 32, 33, 41, 42}, noReversal},
	{TypeAuthorizationResponse, "", switchAnswer, noAnswer},
	{TypeFinancialResponse, "", switchAnswer, noAnswer},
	{TypeFinancialAdviceReply, "", switchAnswer, noAnswer},
	{TypeReversalAdviceReply, "", switchAnswer, noAnswer},
	{TypeScriptNoticeReply, "", switchAnswer, noAnswer},
	{TypeTokenRequest, "", []int{2, 3, 7, 11, 32, 33, 41, 42, 48, 49}, nil},
	{TypeTokenResponse, "", []int{2, 7, 11, 32, 33, 39, 48}, []int{fieldTrack2, fieldTrack3}},
	{TypeNetworkRequest, "", []int{7, 11, 33, 70}, nil},
	{TypeNetworkAdvice, "", []int{7, 11, 33, 70}, nil},
	{TypeNetworkResponse, "", []int{7, 11, 39, 70}, nil},
	{TypeNetworkAdviceReply, "", []int{7, 11, 39, 70}, nil},
}

// ruleFor finds the rule of a type in a dialect; nil when the dialect does not have the type.
func ruleFor(d Dialect, mti MTI, kind MessageType) *rule {
	rules := terminalRules[:]
	if d == Switch {
		rules = switchRules[:]
	}
	for i := range rules {
		if rules[i].mti == mti && (rules[i].kind == kind || rules[i].kind == "") {
			return &rules[i]
		}
	}
	return nil
}

// Mandatory lists the fields a message of this type and kind of transaction must have in d, nil when the dialect
// does not have the type.
func Mandatory(d Dialect, mti MTI, kind MessageType) []int {
	r := ruleFor(d, mti, kind)
	if r == nil {
		return nil
	}
	return slices.Clone(r.mandatory)
}

func (r *rule) demands(field int) bool { return slices.Contains(r.mandatory, field) }

func (r *rule) check(m *iso8583.Message) error {
	for _, field := range r.mandatory {
		if !m.Has(field) {
			return &iso8583.FieldError{Field: field, Offset: iso8583.UnknownOffset, Err: ErrMissing}
		}
	}
	for _, field := range r.forbidden {
		if m.Has(field) {
			return unexpected(m, field)
		}
	}
	if m.Has(fieldNewPIN) && r.kind != KindPINChange { // a PIN does not travel for nothing
		return unexpected(m, fieldNewPIN)
	}
	return nil
}

func unexpected(m *iso8583.Message, field int) error {
	start, end := m.Range(field)
	if end == 0 { // set, not received
		start = iso8583.UnknownOffset
	}
	return &iso8583.FieldError{Field: field, Offset: start, Err: ErrUnexpected}
}

// kind is the kind of transaction of p: field 60.1, or a balance inquiry by its processing code.
func (p *Payment) kind() MessageType {
	if p.Info.MessageType == "" && p.Processing == ProcessingBalance {
		return KindBalance
	}
	return p.Info.MessageType
}
