package pcsc

import (
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/glossary"
	"tapnet/terminal"
)

// Code is an error code of PC/SC, 80100001 and up. It is an error to test for with errors.Is.
type Code uint32

// The codes that this package gives words to.
const (
	InternalError      Code = 0x80100001
	InvalidHandle      Code = 0x80100003
	NoMemory           Code = 0x80100006
	InsufficientBuffer Code = 0x80100008
	UnknownReader      Code = 0x80100009
	Timeout            Code = 0x8010000A
	SharingViolation   Code = 0x8010000B
	NoSmartcard        Code = 0x8010000C
	ProtocolMismatch   Code = 0x8010000F
	NotReady           Code = 0x80100010
	CommunicationError Code = 0x80100013
	NotTransacted      Code = 0x80100016
	ReaderUnavailable  Code = 0x80100017
	NoService          Code = 0x8010001D
	ServiceStopped     Code = 0x8010001E
	NoReaders          Code = 0x8010002E
	UnsupportedCard    Code = 0x80100065
	UnresponsiveCard   Code = 0x80100066
	UnpoweredCard      Code = 0x80100067
	ResetCard          Code = 0x80100068
	RemovedCard        Code = 0x80100069
	SecurityViolation  Code = 0x8010006A
)

// meaning is a code in words: what is the case, and what to do about it.
type meaning struct {
	what, next glossary.Term
}

var (
	startDaemon = glossary.Term{
		EN: "start it: systemctl start pcscd, or as root pcscd --foreground; on Debian it is in the package pcscd",
		ZH: "启动它：systemctl start pcscd，或以root运行pcscd --foreground；Debian上的软件包名为pcscd"}
	putCard   = glossary.Term{EN: "put a card on or into the reader", ZH: "把卡片放到或插入读卡器"}
	presentIt = glossary.Term{EN: "present the card again and hold it still", ZH: "重新出示卡片并保持不动"}
	turnCard  = glossary.Term{
		EN: "turn the card over, clean its contacts, or try another card",
		ZH: "把卡片翻面、清洁触点，或换一张卡片试试"}
	plugReader = glossary.Term{EN: "plug the reader in again: tapnet doctor --reader", ZH: "重新插上读卡器：tapnet doctor --reader"}
	nameReader = glossary.Term{EN: "tapnet doctor --reader names those there are", ZH: "tapnet doctor --reader 会列出现有读卡器"}
	otherGone  = glossary.Term{EN: "end the other program, or try again", ZH: "结束那个程序，或重试"}
)

var meanings = map[Code]meaning{
	InternalError:      {glossary.Term{EN: "the PC/SC daemon failed inside", ZH: "PC/SC守护进程内部出错"}, startDaemon},
	InvalidHandle:      {glossary.Term{EN: "the daemon does not know this connection any more", ZH: "守护进程已不认识此连接"}, presentIt},
	NoMemory:           {glossary.Term{EN: "the daemon has no memory left", ZH: "守护进程内存不足"}, startDaemon},
	InsufficientBuffer: {glossary.Term{EN: "the card answers more than a short APDU holds", ZH: "卡片应答超过短APDU的长度"}, turnCard},
	UnknownReader:      {glossary.Term{EN: "the daemon knows no reader of this name", ZH: "守护进程没有此名称的读卡器"}, nameReader},
	Timeout:            {glossary.Term{EN: "nothing happened in time", ZH: "超时"}, putCard},
	SharingViolation:   {glossary.Term{EN: "another program is using the card", ZH: "另一个程序正在使用卡片"}, otherGone},
	NoSmartcard:        {glossary.Term{EN: "there is no card in the reader", ZH: "读卡器中没有卡片"}, putCard},
	ProtocolMismatch:   {glossary.Term{EN: "the card speaks neither T=0 nor T=1", ZH: "卡片不支持T=0和T=1"}, turnCard},
	NotReady:           {glossary.Term{EN: "the reader is not ready", ZH: "读卡器未就绪"}, plugReader},
	CommunicationError: {glossary.Term{EN: "the reader lost the card while it was talking to it", ZH: "读卡器与卡片通信时中断"}, presentIt},
	NotTransacted:      {glossary.Term{EN: "the card did not answer the command", ZH: "卡片未应答命令"}, presentIt},
	ReaderUnavailable:  {glossary.Term{EN: "the reader has been taken away", ZH: "读卡器已被移除"}, plugReader},
	NoService:          {glossary.Term{EN: "the PC/SC daemon is not running", ZH: "PC/SC守护进程未运行"}, startDaemon},
	ServiceStopped:     {glossary.Term{EN: "the PC/SC daemon has stopped", ZH: "PC/SC守护进程已停止"}, startDaemon},
	NoReaders:          {glossary.Term{EN: "no card reader is connected", ZH: "没有连接读卡器"}, plugReader},
	UnsupportedCard:    {glossary.Term{EN: "the reader cannot talk to this kind of card", ZH: "读卡器不支持此类卡片"}, turnCard},
	UnresponsiveCard:   {glossary.Term{EN: "the card is mute: it does not answer the reset", ZH: "卡片无应答：复位后没有响应"}, turnCard},
	UnpoweredCard:      {glossary.Term{EN: "the card has no power", ZH: "卡片未上电"}, presentIt},
	ResetCard:          {glossary.Term{EN: "another program has reset the card", ZH: "另一个程序复位了卡片"}, otherGone},
	RemovedCard:        {glossary.Term{EN: "the card was taken out of the reader", ZH: "卡片已从读卡器移开"}, presentIt},
	SecurityViolation: {
		glossary.Term{EN: "this user may not use the card reader", ZH: "当前用户无权使用读卡器"},
		glossary.Term{EN: "run as root, or allow org.debian.pcsc-lite.access_pcsc in polkit", ZH: "以root运行，或在polkit中允许org.debian.pcsc-lite.access_pcsc"}},
}

// Term says what the code means.
func (c Code) Term() glossary.Term {
	if m, ok := meanings[c]; ok {
		return m.what
	}
	return glossary.Term{EN: "the reader refused", ZH: "读卡器拒绝"}
}

// Next says what to do about it.
func (c Code) Next() glossary.Term {
	if m, ok := meanings[c]; ok {
		return m.next
	}
	return plugReader
}

// Error is the meaning in English with the code.
func (c Code) Error() string { return fmt.Sprintf("%s (PC/SC %08X)", c.Term().EN, uint32(c)) }

// lost reports whether the code means that the dialogue with the card is over because the card, or its memory of it, is gone.
func (c Code) lost() bool {
	switch c {
	case NoSmartcard, CommunicationError, NotTransacted, ReaderUnavailable, UnresponsiveCard, UnpoweredCard, ResetCard, RemovedCard, InvalidHandle:
		return true
	}
	return false
}

// Error is a call that failed: what was being done, the code, and the cause behind it.
type Error struct {
	Doing string // in English, without secrets
	Code  Code
	cause error // may be nil
}

// Error is one line in English.
func (e *Error) Error() string {
	text := e.Doing + ": " + e.Code.Error()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap gives the code and the cause to errors.Is; a card that is gone is apdu.ErrCardLost too, an empty reader terminal.ErrNoCard.
func (e *Error) Unwrap() []error {
	wrapped := []error{e.Code}
	if e.cause != nil {
		wrapped = append(wrapped, e.cause)
	}
	if e.Code.lost() {
		wrapped = append(wrapped, apdu.ErrCardLost)
	}
	if e.Code == NoSmartcard {
		wrapped = append(wrapped, terminal.ErrNoCard)
	}
	return wrapped
}

// Explain gives any error of this package in three parts for a person: what is the case (with the code), why (the cause, if more is
// known), and what to do.
func Explain(err error) (what, why, next glossary.Term) {
	var e *Error
	if !errors.As(err, &e) {
		return glossary.Term{EN: "the card reader cannot be used", ZH: "无法使用读卡器"}, verbatim(err.Error()), plugReader
	}
	code := fmt.Sprintf("%08X", uint32(e.Code))
	t := e.Code.Term()
	what = glossary.Term{EN: t.EN + " (PC/SC " + code + ")", ZH: t.ZH + "（PC/SC " + code + "）"}
	if e.cause != nil {
		why = verbatim(e.cause.Error())
	}
	return what, why, e.Code.Next()
}

func verbatim(text string) glossary.Term { return glossary.Term{EN: text, ZH: text} }

// failure makes the error of a call.
func failure(doing string, code Code, cause error) error { return &Error{doing, code, cause} }
