package apdu

import (
	"fmt"
	"slices"

	"tapnet/glossary"
)

// SW is the status word that ends every response. [ISO 7816-4 5.1.3] [REF 3.2]
type SW uint16

// Status words the cards of this network give. [REF 3.2] [REF 2.8]
const (
	OK                         SW = 0x9000
	ApplicationBlocked         SW = 0x6283
	IssuerAuthenticationFailed SW = 0x6300
	MemoryFailure              SW = 0x6581
	WrongLength                SW = 0x6700
	TooManyPreauthorizations   SW = 0x6971
	DuplicatePreauthorization  SW = 0x6972
	NoMatchingPreauthorization SW = 0x6973
	CAPPRecordNotUpdated       SW = 0x6974
	LoadLimitExceeded          SW = 0x6976
	SecurityStatusNotSatisfied SW = 0x6982
	PINBlocked                 SW = 0x6983
	PINBlockedBefore           SW = 0x6984
	ConditionsNotSatisfied     SW = 0x6985
	CommandNotAllowed          SW = 0x6986
	SecureMessagingMissing     SW = 0x6987
	SecureMessagingIncorrect   SW = 0x6988
	WrongData                  SW = 0x6A80
	FunctionNotSupported       SW = 0x6A81
	FileNotFound               SW = 0x6A82
	RecordNotFound             SW = 0x6A83
	NotEnoughMemory            SW = 0x6A84
	WrongParameters            SW = 0x6A86
	DataNotFound               SW = 0x6A88
	InstructionNotSupported    SW = 0x6D00
	ClassNotSupported          SW = 0x6E00
	TransProveUnavailable      SW = 0x9406
)

// Status words that carry a number in their low byte or nibble.
const (
	wrongPINBase  SW = 0x63C0
	moreDataBase  SW = 0x6100
	correctLeBase SW = 0x6C00
	lowByte       SW = 0x00FF
	lowNibble     SW = 0x000F
)

// meanings is the one table of status words.
var meanings = map[SW]glossary.Term{
	OK:                         {EN: "normal end", ZH: "正常结束"},
	ApplicationBlocked:         {EN: "selected application is blocked", ZH: "所选应用已锁定"},
	IssuerAuthenticationFailed: {EN: "issuer authentication failed", ZH: "发卡行认证失败"},
	MemoryFailure:              {EN: "memory failure", ZH: "存储器故障"},
	WrongLength:                {EN: "wrong length", ZH: "长度错误"},
	TooManyPreauthorizations:   {EN: "too many open pre-authorizations", ZH: "未完成的预授权过多"},
	DuplicatePreauthorization:  {EN: "pre-authorization exists already", ZH: "预授权重复"},
	NoMatchingPreauthorization: {EN: "no matching pre-authorization", ZH: "没有匹配的预授权"},
	CAPPRecordNotUpdated:       {EN: "extended application record not updated before the last record", ZH: "读最后一条记录前未更新扩展应用"},
	LoadLimitExceeded:          {EN: "load exceeds the limit, pre-authorizations included", ZH: "圈存金额超过上限（含预授权）"},
	SecurityStatusNotSatisfied: {EN: "security status not satisfied", ZH: "安全状态不满足"},
	PINBlocked:                 {EN: "PIN is blocked", ZH: "密码已锁定"},
	PINBlockedBefore:           {EN: "PIN was blocked before this transaction", ZH: "密码在本次交易前已锁定"},
	ConditionsNotSatisfied:     {EN: "conditions of use not satisfied", ZH: "使用条件不满足"},
	CommandNotAllowed:          {EN: "command not allowed", ZH: "命令不允许"},
	SecureMessagingMissing:     {EN: "secure messaging object is missing", ZH: "缺少安全报文数据项"},
	SecureMessagingIncorrect:   {EN: "secure messaging object is incorrect", ZH: "安全报文数据项不正确"},
	WrongData:                  {EN: "wrong data field", ZH: "数据域错误"},
	FunctionNotSupported:       {EN: "function not supported, or card is blocked", ZH: "功能不支持或卡片已锁定"},
	FileNotFound:               {EN: "file or application not found", ZH: "未找到文件或应用"},
	RecordNotFound:             {EN: "record not found", ZH: "未找到记录"},
	NotEnoughMemory:            {EN: "not enough memory in the file", ZH: "文件存储空间不足"},
	WrongParameters:            {EN: "wrong parameter P1 or P2", ZH: "参数 P1 或 P2 错误"},
	DataNotFound:               {EN: "data object not found", ZH: "未找到引用的数据"},
	InstructionNotSupported:    {EN: "instruction not supported", ZH: "指令不支持"},
	ClassNotSupported:          {EN: "class not supported", ZH: "类别不支持"},
	TransProveUnavailable:      {EN: "transaction certificate not available", ZH: "交易认证不可用"},
}

// WrongPIN returns 63Cx for 0 to 15 tries left. [EMV B3 6.5.12]
func WrongPIN(triesLeft int) SW {
	if triesLeft < 0 || triesLeft > int(lowNibble) {
		panic(fmt.Sprintf("apdu: %d tries do not fit a status word", triesLeft))
	}
	return wrongPINBase | SW(triesLeft)
}

// TriesLeft returns the tries that 63Cx leaves.
func (sw SW) TriesLeft() (int, bool) {
	return int(sw & lowNibble), sw&^lowNibble == wrongPINBase
}

// MoreData returns the bytes that 61xx says are waiting, 1 to 256. [EMV B1 9.3]
func (sw SW) MoreData() (int, bool) {
	return leFrom(byte(sw)), sw&^lowByte == moreDataBase
}

// CorrectLe returns the Le that 6Cxx asks for, 1 to 256. [EMV B1 9.3]
func (sw SW) CorrectLe() (int, bool) {
	return leFrom(byte(sw)), sw&^lowByte == correctLeBase
}

// IsWarning reports whether the command was carried out with a warning: 62xx, 63xx. [ISO 7816-4 5.1.3]
func (sw SW) IsWarning() bool { return sw>>8 == 0x62 || sw>>8 == 0x63 }

// String returns four hexadecimal digits: "9000".
func (sw SW) String() string { return fmt.Sprintf("%04X", uint16(sw)) }

// Append appends the two bytes of the status word.
func (sw SW) Append(dst []byte) []byte { return append(dst, byte(sw>>8), byte(sw)) }

// Term returns the meaning. A status word that is not in the table gets the meaning of its class.
func (sw SW) Term() glossary.Term {
	if t, ok := meanings[sw]; ok {
		return t
	}
	if n, ok := sw.TriesLeft(); ok {
		return glossary.Term{EN: fmt.Sprintf("wrong PIN, %d tries left", n), ZH: fmt.Sprintf("密码错误，还可尝试 %d 次", n)}
	}
	if n, ok := sw.MoreData(); ok {
		return glossary.Term{EN: fmt.Sprintf("%d more bytes to fetch", n), ZH: fmt.Sprintf("还有 %d 字节可取", n)}
	}
	if n, ok := sw.CorrectLe(); ok {
		return glossary.Term{EN: fmt.Sprintf("wrong Le, want %d", n), ZH: fmt.Sprintf("Le 错误，应为 %d", n)}
	}
	switch sw >> 12 {
	case 0x6:
		if sw.IsWarning() {
			return glossary.Term{EN: "warning", ZH: "警告"}
		}
		return glossary.Term{EN: "error", ZH: "错误"}
	case 0x9:
		return glossary.Term{EN: "status particular to the application", ZH: "应用自定义状态"}
	}
	return glossary.Term{EN: "not a status word", ZH: "无效状态字"}
}

// StatusWords returns the status words of the table in ascending order.
func StatusWords() []SW {
	words := make([]SW, 0, len(meanings))
	for sw := range meanings {
		words = append(words, sw)
	}
	slices.Sort(words)
	return words
}
