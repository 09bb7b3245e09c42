// Package tsmapi is what others say to the trusted service manager and hear from it: plain types without behaviour.
//
// It promises that nothing in it is a key or an account number: what goes to an element is wrapped for that element alone. It carries no messages; packages
// tsmhttp and app do.
package tsmapi

import "tapnet/glossary"

// Element is a secure element that may be managed.
type Element struct {
	SEID       string `json:"seid" minLength:"20" maxLength:"20" pattern:"^[0-9A-F]{20}$" doc:"the element's 10 bytes of key diversification data, hexadecimal"`
	CPLC       string `json:"cplc,omitempty" maxLength:"90" pattern:"^([0-9A-F]{2})*$" doc:"production life cycle data, as the element gives them"`
	Domain     string `json:"domain,omitempty" maxLength:"32" pattern:"^([0-9A-F]{2})*$" doc:"name of the security domain; empty: the issuer's"`
	KeyVersion int    `json:"key_version" minimum:"0" maximum:"127" doc:"version of the domain's keys; 0: the first"`
	Wallet     string `json:"wallet" minLength:"1" maxLength:"32" doc:"name of a wallet profile"`
}

// Kind is what a session is for.
type Kind string

// The kinds.
const (
	Personalize Kind = "personalize"
	Default     Kind = "default" // first of the directory
	Lock        Kind = "lock"
	Unlock      Kind = "unlock"
	Delete      Kind = "delete"
)

// Register makes an element known. Saying the same again changes nothing.
type Register struct{ Element Element }

// Open begins a session: at most one for an element, a new one ends the one before. The same key with the same content gets the same answer.
type Open struct {
	Key   string
	SEID  string
	Kind  Kind
	Token string // reference of the token
}

// Step brings an element's answers: as many as there were commands, in their order. Number is that of the commands they answer.
type Step struct {
	Session string
	Number  int
	Answers [][]byte
}

// Progress is the reply to Open and Step.
type Progress struct {
	Session  string   `json:"session"`
	Number   int      `json:"number" doc:"of these commands: the next step says it"`
	Commands []string `json:"commands,omitempty" doc:"APDUs to relay, hexadecimal, all of them whatever is answered"`
	Done     bool     `json:"done" doc:"nothing follows"`
	Failed   string   `json:"failed,omitempty" doc:"why the session ended before its aim"`
	AID      string   `json:"aid,omitempty" doc:"name of the application on the element"`
}

// Inquire asks what is known of an element.
type Inquire struct{ SEID string }

// Standing is what is known of it.
type Standing struct {
	Element      Element       `json:"element"`
	Applications []Application `json:"applications"`
	Session      string        `json:"session,omitempty" doc:"the one that is open"`
}

// Application is a token on an element.
type Application struct {
	Token string `json:"token"`
	AID   string `json:"aid"`
	State State  `json:"state"`
}

// State is how far an application has come.
type State string

// The states.
const (
	Loading State = "loading" // its personalization has not come to its end
	Active  State = "active"
	Locked  State = "locked"
)

// Done is the reply to a command that was carried out and has nothing to tell.
type Done struct{}

// Reason says why a command is refused, or why a session failed.
type Reason uint8

// The reasons, in the order in which they are looked at.
const (
	Malformed Reason = iota + 1
	UnknownElement
	UnknownWallet
	OtherElement
	UnknownToken
	OtherContent
	WrongState
	Full
	UnknownSession
	SessionEnded
	OutOfOrder
	Busy
	Unavailable
	WeakChannel
	NotAuthentic
	Tampered
	ElementRefused
	Changed
)

var reasons = [...]glossary.Term{
	Malformed:      {EN: "the request is malformed", ZH: "请求格式错误"},
	UnknownElement: {EN: "no such secure element", ZH: "没有该安全单元"},
	UnknownWallet:  {EN: "no such wallet profile", ZH: "没有该钱包配置"},
	OtherElement:   {EN: "the secure element is known with other data", ZH: "该安全单元已以其他数据登记"},
	UnknownToken:   {EN: "no such token", ZH: "没有该令牌"},
	OtherContent:   {EN: "the key was used with another content", ZH: "该幂等键已用于其他内容"},
	WrongState:     {EN: "the application's state does not allow it", ZH: "应用当前状态不允许此操作"},
	Full:           {EN: "the secure element has no room for another application", ZH: "安全单元没有更多应用空间"},
	UnknownSession: {EN: "no such session", ZH: "没有该会话"},
	SessionEnded:   {EN: "the session has ended", ZH: "会话已结束"},
	OutOfOrder:     {EN: "these answers are not to the commands that are out", ZH: "应答与已下发的命令不对应"},
	Busy:           {EN: "the element changed meanwhile: ask again", ZH: "安全单元状态刚刚变化，请重试"},
	Unavailable:    {EN: "the security module cannot answer now", ZH: "加密机暂不可用"},
	WeakChannel:    {EN: "the element's channel protects less than the wallet asks for", ZH: "安全单元的安全通道强度低于钱包要求"},
	NotAuthentic:   {EN: "the element does not hold its keys", ZH: "安全单元未通过认证"},
	Tampered:       {EN: "an answer was altered on its way", ZH: "应答在传输中被篡改"},
	ElementRefused: {EN: "the element refused a command", ZH: "安全单元拒绝了命令"},
	Changed:        {EN: "the token changed during the session", ZH: "会话期间令牌数据发生变化"},
}

// Term says the reason in both languages.
func (r Reason) Term() glossary.Term {
	if r == 0 || int(r) >= len(reasons) {
		return glossary.Term{EN: "unknown reason", ZH: "未知原因"}
	}
	return reasons[r]
}

// Refusal is the reply to a command that was not carried out. Nothing has changed.
type Refusal struct {
	Reason Reason
	Detail string // for people who look for the cause; never a secret
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "tsm: " + r.Reason.Term().EN
	}
	return "tsm: " + r.Reason.Term().EN + ": " + r.Detail
}

// Is makes refusals of one reason the same.
func (r *Refusal) Is(target error) bool {
	other, ok := target.(*Refusal)
	return ok && other.Reason == r.Reason
}
