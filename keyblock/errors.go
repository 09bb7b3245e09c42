package keyblock

import (
	"fmt"

	"tapnet/glossary"
)

// Reason says why a block is refused.
type Reason uint8

// The reasons, in the order in which a block is looked at.
const (
	TooShort Reason = iota + 1
	TooLong
	NotPrintable
	VariantVersion
	UnknownVersion
	WrongLength
	BadUsage
	BadAlgorithm
	BadMode
	BadKeyVersion
	BadExport
	BadCount
	BadReserved
	BadOptional
	BadAlignment
	BadHex
	WrongProtection
	NotAuthentic
	BadKeyLength
)

var reasons = [...]glossary.Term{
	TooShort:        {EN: "the key block is cut short", ZH: "密钥块被截断"},
	TooLong:         {EN: "the key block is longer than any may be", ZH: "密钥块超过最大长度"},
	NotPrintable:    {EN: "a character is not printable", ZH: "含不可打印字符"},
	VariantVersion:  {EN: "versions A and C bind the attributes too weakly and are not accepted", ZH: "版本 A 和 C 对属性的绑定过弱，不予接受"},
	UnknownVersion:  {EN: "unknown version", ZH: "未知版本"},
	WrongLength:     {EN: "the length in the header is not the block's", ZH: "头部长度与密钥块不符"},
	BadUsage:        {EN: "malformed key usage", ZH: "密钥用途格式错"},
	BadAlgorithm:    {EN: "malformed algorithm", ZH: "算法标识格式错"},
	BadMode:         {EN: "unknown mode of use", ZH: "未知使用方式"},
	BadKeyVersion:   {EN: "malformed key version", ZH: "密钥版本格式错"},
	BadExport:       {EN: "unknown exportability", ZH: "未知可导出性"},
	BadCount:        {EN: "malformed number of optional blocks", ZH: "可选块数量格式错"},
	BadReserved:     {EN: "a reserved field is not zero", ZH: "保留字段非零"},
	BadOptional:     {EN: "malformed optional block", ZH: "可选块格式错"},
	BadAlignment:    {EN: "a part does not end with a cipher block", ZH: "长度不是分组的整数倍"},
	BadHex:          {EN: "a character is no hexadecimal digit", ZH: "含非十六进制字符"},
	WrongProtection: {EN: "the protection key is not of this version's cipher", ZH: "保护密钥的算法与版本不符"},
	NotAuthentic:    {EN: "the code is wrong: another protection key, or altered", ZH: "校验码错误：保护密钥不同或内容被改动"},
	BadKeyLength:    {EN: "the key's length does not suit its algorithm", ZH: "密钥长度与算法不符"},
}

// Term says the reason in both languages.
func (r Reason) Term() glossary.Term {
	if int(r) >= len(reasons) || r == 0 {
		return glossary.Term{EN: "unknown reason", ZH: "未知原因"}
	}
	return reasons[r]
}

// Error is a refused block. It never holds key bytes.
type Error struct {
	Reason Reason
	Offset int // in characters from the block's beginning
}

func (e *Error) Error() string {
	return fmt.Sprintf("keyblock: at %d: %s", e.Offset, e.Reason.Term().EN)
}

// Is makes errors.Is(err, &Error{Reason: r}) compare reasons only.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

func refuse(r Reason, offset int) error { return &Error{Reason: r, Offset: offset} }
