package kernel

import (
	"time"

	"tapnet/glossary"
)

// Message is the identifier of what a reader shows [EMV BookA 9.4] [REF 7.2]. The zero value shows nothing.
type Message uint8

// Messages.
const (
	MessageNone            Message = 0x00
	MessageApproved        Message = 0x03
	MessageNotAuthorised   Message = 0x07
	MessageEnterPIN        Message = 0x09
	MessageProcessingError Message = 0x0F
	MessageRemoveCard      Message = 0x10
	MessageWelcome         Message = 0x14
	MessagePresentCard     Message = 0x15
	MessageProcessing      Message = 0x16
	MessageCardReadOK      Message = 0x17
	MessageInsertOrSwipe   Message = 0x18
	MessageOneCardOnly     Message = 0x19
	MessageApprovedSign    Message = 0x1A
	MessageAuthorising     Message = 0x1B
	MessageTryAnotherCard  Message = 0x1C
	MessageInsertCard      Message = 0x1D
	MessageClear           Message = 0x1E
	MessageSeePhone        Message = 0x20
	MessagePresentAgain    Message = 0x21
)

var messageTerms = map[Message]glossary.Term{
	MessageApproved:        {EN: "Approved", ZH: "交易成功"},
	MessageNotAuthorised:   {EN: "Not authorised", ZH: "交易拒绝"},
	MessageEnterPIN:        {EN: "Please enter your PIN", ZH: "请输入密码"},
	MessageProcessingError: {EN: "Processing error", ZH: "处理错误"},
	MessageRemoveCard:      {EN: "Please remove card", ZH: "请移开卡片"},
	MessageWelcome:         {EN: "Welcome", ZH: "欢迎"},
	MessagePresentCard:     {EN: "Present card", ZH: "请挥卡"},
	MessageProcessing:      {EN: "Processing", ZH: "处理中"},
	MessageCardReadOK:      {EN: "Card read OK, please remove card", ZH: "读卡成功，请移开卡片"},
	MessageInsertOrSwipe:   {EN: "Please insert or swipe card", ZH: "请插卡或刷卡"},
	MessageOneCardOnly:     {EN: "Please present one card only", ZH: "请只出示一张卡"},
	MessageApprovedSign:    {EN: "Approved, please sign", ZH: "交易成功，请签名"},
	MessageAuthorising:     {EN: "Authorising, please wait", ZH: "联机授权中，请稍候"},
	MessageTryAnotherCard:  {EN: "Insert, swipe or try another card", ZH: "请插卡、刷卡或换卡"},
	MessageInsertCard:      {EN: "Please insert card", ZH: "请插卡"},
	MessageClear:           {EN: " ", ZH: " "},
	MessageSeePhone:        {EN: "See phone for instructions", ZH: "请查看手机提示"},
	MessagePresentAgain:    {EN: "Present card again", ZH: "请再次挥卡"},
}

// Term is the text, empty for MessageNone.
func (m Message) Term() glossary.Term { return messageTerms[m] }

// String is the English text.
func (m Message) String() string { return m.Term().EN }

// Status is the state of the reader that lamps and beeps follow [EMV BookA 9.4].
type Status uint8

// Statuses.
const (
	StatusNone Status = iota
	StatusNotReady
	StatusIdle
	StatusReadyToRead
	StatusProcessing
	StatusCardRead
	StatusProcessingError
)

var statusTerms = [...]glossary.Term{
	StatusNone:            {},
	StatusNotReady:        {EN: "not ready", ZH: "未就绪"},
	StatusIdle:            {EN: "idle", ZH: "空闲"},
	StatusReadyToRead:     {EN: "ready to read", ZH: "等待读卡"},
	StatusProcessing:      {EN: "processing", ZH: "处理中"},
	StatusCardRead:        {EN: "card read successfully", ZH: "读卡成功"},
	StatusProcessingError: {EN: "processing error", ZH: "处理错误"},
}

// Term names the status, empty for StatusNone.
func (s Status) Term() glossary.Term {
	if int(s) >= len(statusTerms) {
		return glossary.Term{}
	}
	return statusTerms[s]
}

// String is the status in English.
func (s Status) String() string { return s.Term().EN }

// UIRequest asks the reader to show something. It compares with ==; the zero value asks for nothing.
type UIRequest struct {
	Message Message
	Status  Status
	Hold    time.Duration // at least this long
}

// IsZero reports whether nothing is to be shown.
func (u UIRequest) IsZero() bool { return u == UIRequest{} }
