package unionpay

import "tapnet/glossary"

// ResponseCode is field 39: two characters. "" means absent.
type ResponseCode string

// The response codes of [REF 6.2]. In a reversal request the same field holds the reason.
const (
	Approved               ResponseCode = "00"
	CallIssuer             ResponseCode = "01"
	InvalidMerchant        ResponseCode = "03"
	PickUp                 ResponseCode = "04"
	DoNotHonour            ResponseCode = "05"
	GeneralError           ResponseCode = "06"
	PartialApproval        ResponseCode = "10"
	ApprovedVIP            ResponseCode = "11"
	InvalidTransaction     ResponseCode = "12"
	InvalidAmount          ResponseCode = "13"
	InvalidCardNumber      ResponseCode = "14"
	NoSuchIssuer           ResponseCode = "15"
	Cancelled              ResponseCode = "17"
	CardNotInitialised     ResponseCode = "21"
	SuspectedMalfunction   ResponseCode = "22"
	OriginalNotFound       ResponseCode = "25"
	FormatError            ResponseCode = "30"
	FraudPickUp            ResponseCode = "34"
	PINTriesExceededPickUp ResponseCode = "38"
	FunctionUnsupported    ResponseCode = "40"
	LostCard               ResponseCode = "41"
	StolenCard             ResponseCode = "43"
	FallbackNotAllowed     ResponseCode = "45"
	InsufficientFunds      ResponseCode = "51"
	ExpiredCard            ResponseCode = "54"
	WrongPIN               ResponseCode = "55"
	NotPermittedToCard     ResponseCode = "57"
	NotPermittedToTerminal ResponseCode = "58"
	SuspectedFraud         ResponseCode = "59"
	AmountLimit            ResponseCode = "61"
	RestrictedCard         ResponseCode = "62"
	AmountMismatch         ResponseCode = "64"
	FrequencyLimit         ResponseCode = "65"
	ResponseLate           ResponseCode = "68"
	PINTriesExceeded       ResponseCode = "75"
	CutOverInProgress      ResponseCode = "90"
	IssuerInoperative      ResponseCode = "91"
	NetworkUnreachable     ResponseCode = "92"
	DuplicateTransmission  ResponseCode = "94"
	SystemFault            ResponseCode = "96"
	TerminalNotRegistered  ResponseCode = "97"
	IssuerTimeout          ResponseCode = "98"
	PINFormatError         ResponseCode = "99"
	MACError               ResponseCode = "A0"
	CurrencyMismatch       ResponseCode = "A1"
	ApprovedConfirm        ResponseCode = "A2"
	AccountWrong           ResponseCode = "A3"
	ApprovedConfirmA4      ResponseCode = "A4"
	ApprovedConfirmA5      ResponseCode = "A5"
	ApprovedConfirmA6      ResponseCode = "A6"
	SwitchPINKeyFault      ResponseCode = "A7"
)

// The reasons of a reversal, field 39 of a ReversalRequest [REF 6.1].
const (
	ReasonOther       = GeneralError
	ReasonCancel      = Cancelled
	ReasonSystemFault = SystemFault
	ReasonTimeout     = IssuerTimeout
	ReasonMACError    = MACError
)

type responseRow struct {
	code     ResponseCode
	approved bool
	meaning  glossary.Term
}

var responseCodes = [...]responseRow{
	{Approved, true, glossary.Term{EN: "approved", ZH: "交易成功"}},
	{CallIssuer, false, glossary.Term{EN: "call the issuer", ZH: "请持卡人与发卡银行联系"}},
	{InvalidMerchant, false, glossary.Term{EN: "invalid merchant", ZH: "无效商户"}},
	{PickUp, false, glossary.Term{EN: "keep the card", ZH: "此卡被没收"}},
	{DoNotHonour, false, glossary.Term{EN: "do not honour: cardholder authentication failed", ZH: "持卡人认证失败"}},
	{GeneralError, false, glossary.Term{EN: "error", ZH: "一般错误"}},
	{PartialApproval, true, glossary.Term{EN: "approved for a part of the amount", ZH: "部分金额批准"}},
	{ApprovedVIP, true, glossary.Term{EN: "approved, VIP", ZH: "成功,VIP客户"}},
	{InvalidTransaction, false, glossary.Term{EN: "invalid transaction", ZH: "无效交易"}},
	{InvalidAmount, false, glossary.Term{EN: "invalid amount", ZH: "无效金额"}},
	{InvalidCardNumber, false, glossary.Term{EN: "invalid card number", ZH: "无效卡号"}},
	{NoSuchIssuer, false, glossary.Term{EN: "no such issuer", ZH: "此卡无对应发卡方"}},
	{Cancelled, false, glossary.Term{EN: "cancelled", ZH: "交易取消"}},
	{CardNotInitialised, false, glossary.Term{EN: "card not initialised", ZH: "该卡未初始化或为睡眠卡"}},
	{SuspectedMalfunction, false, glossary.Term{EN: "suspected malfunction, or beyond the days allowed", ZH: "操作有误,或超出交易允许天数"}},
	{OriginalNotFound, false, glossary.Term{EN: "original transaction not found", ZH: "没有原始交易"}},
	{FormatError, false, glossary.Term{EN: "format error", ZH: "报文格式错误"}},
	{FraudPickUp, false, glossary.Term{EN: "fraud, keep the card", ZH: "有作弊嫌疑的卡,没收"}},
	{PINTriesExceededPickUp, false, glossary.Term{EN: "PIN tries exceeded, keep the card", ZH: "密码错误次数超限,没收卡"}},
	{FunctionUnsupported, false, glossary.Term{EN: "function not supported", ZH: "发卡方不支持的交易类型"}},
	{LostCard, false, glossary.Term{EN: "lost card", ZH: "挂失的卡"}},
	{StolenCard, false, glossary.Term{EN: "stolen card", ZH: "被窃卡"}},
	{FallbackNotAllowed, false, glossary.Term{EN: "use the chip: falling back to the stripe is not allowed", ZH: "芯片卡不允许降级使用磁条"}},
	{InsufficientFunds, false, glossary.Term{EN: "not enough money", ZH: "可用余额不足"}},
	{ExpiredCard, false, glossary.Term{EN: "expired card", ZH: "该卡已过期"}},
	{WrongPIN, false, glossary.Term{EN: "wrong PIN", ZH: "密码错"}},
	{NotPermittedToCard, false, glossary.Term{EN: "transaction not permitted to this card", ZH: "不允许此卡交易"}},
	{NotPermittedToTerminal, false, glossary.Term{EN: "transaction not permitted to this terminal", ZH: "不允许该终端进行此交易"}},
	{SuspectedFraud, false, glossary.Term{EN: "suspected fraud: card verification failed", ZH: "卡片校验错,疑似欺诈"}},
	{AmountLimit, false, glossary.Term{EN: "amount limit exceeded", ZH: "交易金额超限"}},
	{RestrictedCard, false, glossary.Term{EN: "restricted card", ZH: "受限制的卡"}},
	{AmountMismatch, false, glossary.Term{EN: "amount differs from the original's", ZH: "交易金额与原交易不匹配"}},
	{FrequencyLimit, false, glossary.Term{EN: "too many transactions", ZH: "超出消费次数限制"}},
	{ResponseLate, false, glossary.Term{EN: "answer too late", ZH: "交易超时,应答迟到"}},
	{PINTriesExceeded, false, glossary.Term{EN: "PIN tries exceeded", ZH: "密码错误次数超限"}},
	{CutOverInProgress, false, glossary.Term{EN: "day cut-over in progress", ZH: "系统日切,请稍后重试"}},
	{IssuerInoperative, false, glossary.Term{EN: "issuer inoperative", ZH: "发卡方状态不正常"}},
	{NetworkUnreachable, false, glossary.Term{EN: "network unreachable", ZH: "发卡方线路异常"}},
	{DuplicateTransmission, false, glossary.Term{EN: "duplicate transmission", ZH: "重复交易"}},
	{SystemFault, false, glossary.Term{EN: "switch failure", ZH: "交换中心系统异常"}},
	{TerminalNotRegistered, false, glossary.Term{EN: "terminal not registered", ZH: "终端未登记"}},
	{IssuerTimeout, false, glossary.Term{EN: "issuer did not answer in time", ZH: "发卡方超时"}},
	{PINFormatError, false, glossary.Term{EN: "PIN format error, sign on again", ZH: "PIN格式错,请重新签到"}},
	{MACError, false, glossary.Term{EN: "MAC error, sign on again", ZH: "MAC校验错,请重新签到"}},
	{CurrencyMismatch, false, glossary.Term{EN: "transfer currencies differ", ZH: "转账货币不一致"}},
	{ApprovedConfirm, true, glossary.Term{EN: "approved, confirm with the issuer", ZH: "交易成功,请向发卡行确认"}},
	{AccountWrong, false, glossary.Term{EN: "account wrong", ZH: "账户不正确"}},
	{ApprovedConfirmA4, true, glossary.Term{EN: "approved, confirm with the issuer (A4)", ZH: "交易成功,请向发卡行确认(A4)"}},
	{ApprovedConfirmA5, true, glossary.Term{EN: "approved, confirm with the issuer (A5)", ZH: "交易成功,请向发卡行确认(A5)"}},
	{ApprovedConfirmA6, true, glossary.Term{EN: "approved, confirm with the issuer (A6)", ZH: "交易成功,请向发卡行确认(A6)"}},
	{SwitchPINKeyFault, false, glossary.Term{EN: "switch failure: PIN key", ZH: "安全处理失败"}},
}

// ResponseCodes lists the known codes in order.
func ResponseCodes() []ResponseCode {
	codes := make([]ResponseCode, len(responseCodes))
	for i := range responseCodes {
		codes[i] = responseCodes[i].code
	}
	return codes
}

// Known says whether the code is in the table of [REF 6.2].
func (c ResponseCode) Known() bool {
	_, ok := c.row()
	return ok
}

// Approved says whether the payment went through, in whole or in part: 00, 10, 11, A2, A4, A5, A6.
func (c ResponseCode) Approved() bool {
	row, _ := c.row()
	return row.approved
}

// Term is the meaning in both languages.
func (c ResponseCode) Term() glossary.Term {
	if row, ok := c.row(); ok {
		return row.meaning
	}
	return glossary.Term{EN: "unknown response code", ZH: "未知应答码"}
}

func (c ResponseCode) row() (responseRow, bool) {
	for i := range responseCodes {
		if responseCodes[i].code == c {
			return responseCodes[i], true
		}
	}
	return responseRow{}, false
}
