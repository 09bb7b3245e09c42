package unionpay

import "tapnet/glossary"

// TokenReason says why a token was resolved or not: one reason per rule, in the order in which the rules are looked at. The numbers are on the wire and in
// journals: they are never reused or moved. 1 to 99 answer, 100 to 199 refuse by the token's state and domain, 200 to 299 by its cryptogram and keys, and
// 300 to 399 say that nobody could decide.
type TokenReason uint16

// The reasons.
const (
	TokenResolved TokenReason = 1 // all rules hold
	TokenMapped   TokenReason = 2 // mapping only: no rule was asked
	TokenVerified TokenReason = 3 // the cryptogram is right and its counter used

	TokenKeyReused          TokenReason = 100 // the key of another message
	TokenUnknown            TokenReason = 102
	TokenDeleted            TokenReason = 104
	TokenNotActive          TokenReason = 106
	TokenLost               TokenReason = 108
	TokenPasswordLocked     TokenReason = 110
	TokenSuspended          TokenReason = 112
	TokenExpired            TokenReason = 114
	TokenCardClosed         TokenReason = 116
	TokenRequestorSuspended TokenReason = 118
	TokenWrongRequestor     TokenReason = 120
	TokenWrongPresentment   TokenReason = 122
	TokenWrongMerchant      TokenReason = 124
	TokenWrongCategory      TokenReason = 126
	TokenWrongCountry       TokenReason = 128
	TokenWrongCurrency      TokenReason = 130
	TokenWrongDevice        TokenReason = 132
	TokenCooling            TokenReason = 134 // above the limit of its first day
	TokenAssuranceLimit     TokenReason = 136 // above the limit of how its holder was verified
	TokenPINFormat          TokenReason = 138
	TokenNoCryptogram       TokenReason = 140

	CredentialUnknown     TokenReason = 200 // no key was given out for this counter
	CredentialRevoked     TokenReason = 202
	CredentialExpired     TokenReason = 204
	CredentialSuspended   TokenReason = 206 // the token or its keys wait for a new verification of their holder
	CounterRepeated       TokenReason = 208 // used by another payment: two devices have the keys
	CredentialCryptogram  TokenReason = 210
	CredentialDeviceTag   TokenReason = 212 // right cryptogram, wrong device
	CredentialNeedsCVM    TokenReason = 214 // amount or channel asks for a verified cardholder
	CredentialTapLimit    TokenReason = 216
	CredentialDayLimit    TokenReason = 218
	CredentialNeedsRefill TokenReason = 220 // too many taps since the last contact
	CredentialEvidence    TokenReason = 222 // what the phone says of the tap does not fit the terminal's claim
	CredentialMerchant    TokenReason = 224 // made for another merchant: a payment without a reader
	CredentialAmount      TokenReason = 226 // or for another amount or currency

	TokenServiceUnavailable TokenReason = 300 // the service cannot open its vault, or is not that payment's
	VerifierUnavailable     TokenReason = 302 // the cloud secure element did not answer
)

type tokenReasonRow struct {
	reason TokenReason
	code   ResponseCode
	term   glossary.Term
}

// tokenReasons is the one table, in the order of the rules.
var tokenReasons = [...]tokenReasonRow{
	{TokenResolved, Approved, glossary.Term{EN: "token resolved", ZH: "令牌已解析"}},
	{TokenMapped, Approved, glossary.Term{EN: "token mapped without authorization", ZH: "令牌仅映射，不作授权"}},
	{TokenVerified, Approved, glossary.Term{EN: "cryptogram right, counter used", ZH: "密文正确，计数器已使用"}},

	{TokenKeyReused, DuplicateTransmission, glossary.Term{EN: "the key of another request", ZH: "请求标识重复"}},
	{TokenUnknown, InvalidCardNumber, glossary.Term{EN: "no such token", ZH: "令牌不存在"}},
	{TokenDeleted, InvalidCardNumber, glossary.Term{EN: "token deleted", ZH: "令牌已删除"}},
	{TokenNotActive, RestrictedCard, glossary.Term{EN: "token not activated: its holder is not verified yet", ZH: "令牌未激活，持卡人尚未验证"}},
	{TokenLost, LostCard, glossary.Term{EN: "device reported lost", ZH: "设备已挂失"}},
	{TokenPasswordLocked, PINTriesExceeded, glossary.Term{EN: "payment password locked", ZH: "支付密码已锁定"}},
	{TokenSuspended, RestrictedCard, glossary.Term{EN: "token suspended", ZH: "令牌已暂停"}},
	{TokenExpired, ExpiredCard, glossary.Term{EN: "token expired", ZH: "令牌已过期"}},
	{TokenCardClosed, RestrictedCard, glossary.Term{EN: "the card behind the token is closed", ZH: "令牌对应的卡已销户"}},
	{TokenRequestorSuspended, NotPermittedToCard, glossary.Term{EN: "token requestor suspended", ZH: "令牌请求方已暂停"}},
	{TokenWrongRequestor, SuspectedFraud, glossary.Term{EN: "token of another requestor", ZH: "令牌属于其他请求方"}},
	{TokenWrongPresentment, NotPermittedToTerminal, glossary.Term{EN: "token not allowed for this way of paying", ZH: "令牌不支持此受理方式"}},
	{TokenWrongMerchant, InvalidMerchant, glossary.Term{EN: "token not allowed at this merchant", ZH: "令牌不支持此商户"}},
	{TokenWrongCategory, NotPermittedToTerminal, glossary.Term{EN: "token not allowed in this merchant category", ZH: "令牌不支持此商户类别"}},
	{TokenWrongCountry, NotPermittedToCard, glossary.Term{EN: "token not allowed in this country", ZH: "令牌不支持此国家或地区"}},
	{TokenWrongCurrency, NotPermittedToCard, glossary.Term{EN: "token not allowed in this currency", ZH: "令牌不支持此货币"}},
	{TokenWrongDevice, SuspectedFraud, glossary.Term{EN: "token of another device", ZH: "令牌属于其他设备"}},
	{TokenCooling, AmountLimit, glossary.Term{EN: "above the limit of a new token", ZH: "超过新令牌冷静期限额"}},
	{TokenAssuranceLimit, AmountLimit, glossary.Term{EN: "above the limit of this way of verifying the holder", ZH: "超过该验证方式的限额"}},
	{TokenPINFormat, PINFormatError, glossary.Term{EN: "malformed PIN block", ZH: "PIN 数据格式错"}},
	{TokenNoCryptogram, SuspectedFraud, glossary.Term{EN: "cryptogram missing", ZH: "缺少应用密文"}},

	{CredentialUnknown, SuspectedFraud, glossary.Term{EN: "no key was given out for this counter", ZH: "该计数器没有下发密钥"}},
	{CredentialRevoked, SuspectedFraud, glossary.Term{EN: "key revoked", ZH: "密钥已撤销"}},
	{CredentialExpired, ExpiredCard, glossary.Term{EN: "key expired", ZH: "密钥已过期"}},
	{CredentialSuspended, RestrictedCard, glossary.Term{EN: "keys suspended until the holder is verified again", ZH: "密钥已暂停，需重新验证持卡人"}},
	{CounterRepeated, SuspectedFraud, glossary.Term{EN: "counter used by another payment", ZH: "计数器已被其他交易使用"}},
	{CredentialCryptogram, SuspectedFraud, glossary.Term{EN: "wrong cryptogram", ZH: "应用密文错误"}},
	{CredentialDeviceTag, SuspectedFraud, glossary.Term{EN: "key used off its device", ZH: "密钥在其他设备上使用"}},
	{CredentialNeedsCVM, AmountLimit, glossary.Term{EN: "this amount needs a verified cardholder", ZH: "此金额需验证持卡人"}},
	{CredentialTapLimit, AmountLimit, glossary.Term{EN: "above the limit of one tap", ZH: "超过单笔限额"}},
	{CredentialDayLimit, AmountLimit, glossary.Term{EN: "above the limit of one day", ZH: "超过当日限额"}},
	{CredentialNeedsRefill, FrequencyLimit, glossary.Term{EN: "too many payments since the phone's last contact", ZH: "手机离线支付次数超限"}},
	{CredentialEvidence, SuspectedFraud, glossary.Term{EN: "the phone's evidence contradicts the terminal", ZH: "手机端证据与终端声明不符"}},
	{CredentialMerchant, InvalidMerchant, glossary.Term{EN: "cryptogram made for another merchant", ZH: "应用密文属于其他商户"}},
	{CredentialAmount, SuspectedFraud, glossary.Term{EN: "cryptogram made for another amount", ZH: "应用密文的金额与交易不符"}},

	{TokenServiceUnavailable, SystemFault, glossary.Term{EN: "token service cannot decide now", ZH: "令牌服务暂不可用"}},
	{VerifierUnavailable, IssuerInoperative, glossary.Term{EN: "cloud secure element did not answer", ZH: "云端安全单元无应答"}},
}

// TokenReasons lists the reasons in the order of the rules.
func TokenReasons() []TokenReason {
	all := make([]TokenReason, len(tokenReasons))
	for i := range tokenReasons {
		all[i] = tokenReasons[i].reason
	}
	return all
}

func (r TokenReason) row() (tokenReasonRow, bool) {
	for i := range tokenReasons {
		if tokenReasons[i].reason == r {
			return tokenReasons[i], true
		}
	}
	return tokenReasonRow{}, false
}

// Known reports whether the reason is in the table.
func (r TokenReason) Known() bool {
	_, ok := r.row()
	return ok
}

// ResponseCode is field 39 for the reason; a reason that is not in the table, as a newer peer may send, is a failure of the system.
func (r TokenReason) ResponseCode() ResponseCode {
	if row, ok := r.row(); ok {
		return row.code
	}
	return SystemFault
}

// Term says the reason in both languages.
func (r TokenReason) Term() glossary.Term {
	if row, ok := r.row(); ok {
		return row.term
	}
	return glossary.Term{EN: "unknown reason", ZH: "未知原因"}
}

// String is the reason in English.
func (r TokenReason) String() string { return r.Term().EN }
