// Package cloudseapi is what others say to the cloud secure element and hear from it: plain types without behaviour.
//
// It promises that nothing in it is a key in the clear: bindings and password verifiers are sealed for their holder, and the one secret, the first ratchet,
// masks itself. It does not carry messages; packages cloudsehttp and app do.
package cloudseapi

import (
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/glossary"
	"tapnet/pan"
)

// Limits are what a token's keys may be used for. Amounts are in minor units of the token's currency; zero is the service's default.
type Limits struct {
	OpenTapMinor    int64 `json:"open_tap_minor,omitempty"` // a tap with a key without cardholder verification
	TapMinor        int64 `json:"tap_minor,omitempty"`
	DayMinor        int64 `json:"day_minor,omitempty"`
	DayCount        int   `json:"day_count,omitempty"`
	ForeignDayMinor int64 `json:"foreign_day_minor,omitempty"` // taps in other countries, counted by themselves
	ContactTaps     int   `json:"contact_taps,omitempty"`      // taps since the phone was last heard of
	ContactMinor    int64 `json:"contact_minor,omitempty"`
}

// Keys says how many keys of each kind a batch has; zero is the service's default.
type Keys struct {
	CVM  int `json:"cvm,omitempty"`
	Open int `json:"open,omitempty"`
}

// Enrolment binds a token to a device. Of a token that is enrolled already it is a new beginning: every key given out is revoked, the reasons why keys were
// suspended are gone, and a new sequence number starts the counter again.
type Enrolment struct {
	Token     string     // reference
	Number    pan.Number // of the token
	Sequence  string     // two digits
	Device    string     // reference
	Signing   []byte     // the device's signature key, an uncompressed point of P-256
	Agreement []byte     // the device's agreement key, the same
	Scheme    cloudkey.SchemeID
	Algorithm byte // of the cryptogram suite, as the issuer data name it
	DKI, CVN  byte
	Currency  int            // ISO 4217 number
	CVM       cloudkey.Class // of the keys with cardholder verification
	Password  []byte         // envelope of the verifier, when CVM is ClassPassword
	Software  bool           // the device keeps keys in software only: they live shorter
	Limits    Limits
	Keys      Keys
	Nonce     [cloudkey.NonceBytes]byte // fresh for each enrolment
}

// Enrolled is what goes into the phone's profile.
type Enrolled struct {
	Ratchet  cloudkey.Secret
	Bindings []cloudkey.Binding
}

// Suspend stops a token's keys, Resume lets them work again: the token service says so, for whatever reasons it has. Reasons of the cloud secure element's own
// (a copy of the phone, wrong passwords) end only with a new Enrolment.
type (
	Suspend struct{ Token string }
	Resume  struct{ Token string }
)

// Revoke takes back every key that was given out; the phone must ask for new ones.
type Revoke struct{ Token string }

// Replenish is a phone's signed request as it came; At is when.
type Replenish struct {
	Request []byte
	At      time.Time
}

// Confirm is a phone's signed confirmation as it came.
type Confirm struct{ Request []byte }

// Inquire asks what is known of a token's keys.
type Inquire struct{ Token string }

// Standing is what is known of a token's keys.
type Standing struct {
	Token     string    `json:"token"`
	Device    string    `json:"device"`
	Suspended []string  `json:"suspended,omitempty"` // causes
	BSEQ      uint32    `json:"bseq"`
	Waiting   bool      `json:"unacknowledged"` // the last batch is not confirmed
	KeysLeft  int       `json:"keys_left"`      // counters of the last batch that are not used
	NextATC   int       `json:"next_atc"`
	Wrong     int       `json:"wrong_cryptograms"`
	NotAfter  time.Time `json:"not_after"`
}

// Done is the reply to a command that was carried out, Batch the one to Replenish.
type (
	Done  struct{}
	Batch struct{ Wire []byte }
)

// Reason says why a phone or an operator is refused.
type Reason uint8

// The reasons, in the order in which they are looked at.
const (
	Malformed Reason = iota + 1
	UnknownToken
	NotAuthentic
	Suspended
	Copied
	Repeated
	NeedsEnrolment
	NotGiven
	Busy
	Unavailable
	BadEnrolment
)

var reasons = [...]glossary.Term{
	Malformed:      {EN: "the request is malformed", ZH: "请求格式错误"},
	UnknownToken:   {EN: "no such token on this device", ZH: "此设备上没有该令牌"},
	NotAuthentic:   {EN: "the device's signature is wrong", ZH: "设备签名错误"},
	Suspended:      {EN: "the keys are suspended until the holder is verified again", ZH: "密钥已暂停，需重新验证持卡人"},
	Copied:         {EN: "a second phone has the same state: the token is suspended", ZH: "检测到手机状态被复制，令牌已暂停"},
	Repeated:       {EN: "the request was answered before", ZH: "该请求已处理过"},
	NeedsEnrolment: {EN: "the token's counter is used up: it must be provisioned again", ZH: "令牌计数器已用尽，需重新开通"},
	NotGiven:       {EN: "no such batch was given out", ZH: "没有下发过该批次"},
	Busy:           {EN: "the token changed meanwhile: ask again", ZH: "令牌状态刚刚变化，请重试"},
	Unavailable:    {EN: "the security module cannot answer now", ZH: "加密机暂不可用"},
	BadEnrolment:   {EN: "the enrolment is not possible", ZH: "登记信息无效"},
}

// Term says the reason in both languages.
func (r Reason) Term() glossary.Term {
	if r == 0 || int(r) >= len(reasons) {
		return glossary.Term{EN: "unknown reason", ZH: "未知原因"}
	}
	return reasons[r]
}

// Refusal is the reply to a command that was not carried out.
type Refusal struct {
	Reason Reason
	Detail string // for people who look for the cause; never a secret
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "cloudse: " + r.Reason.Term().EN
	}
	return "cloudse: " + r.Reason.Term().EN + ": " + r.Detail
}

// Is makes errors.Is(err, &Refusal{Reason: r}) compare reasons only.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Reason == r.Reason
}

// Cause is a reason why a token's keys do not work.
type Cause uint8

// The causes; a token has a set of them.
const (
	CauseService  Cause = 1 << iota // the token service said so
	CauseClone                      // two phones have one state
	CausePassword                   // three wrong cryptograms: wrong password, or wrong key
	CauseDevice                     // a right key on another device
)

// Terms names the causes in a set.
func (c Cause) Terms() []glossary.Term {
	var all []glossary.Term
	for _, row := range [...]struct {
		cause Cause
		term  glossary.Term
	}{
		{CauseService, glossary.Term{EN: "suspended by the token service", ZH: "令牌服务暂停"}},
		{CauseClone, glossary.Term{EN: "copy of the phone", ZH: "手机被复制"}},
		{CausePassword, glossary.Term{EN: "wrong password or key", ZH: "密码或密钥错误"}},
		{CauseDevice, glossary.Term{EN: "key used off its device", ZH: "密钥在其他设备上使用"}},
	} {
		if c&row.cause != 0 {
			all = append(all, row.term)
		}
	}
	return all
}

// Alarm tells of a token whose keys the cloud secure element has stopped by itself. It is told again until AlarmHandled names it.
type Alarm struct {
	Key    string // names the alarm
	Token  string
	Cause  Cause
	Serial uint64 // of the row that says so
}

// AlarmHandled says that user, issuer and token service know of an alarm.
type AlarmHandled struct{ Key string }
