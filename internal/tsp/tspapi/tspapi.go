// Package tspapi is the token service's interface as plain data: what requestors, banks and operators ask of it and what it answers.
//
// Every type is what its JSON says. There is no full account or token number in any of them: those travel beside, inside encrypted payloads, and enter the
// service as values that mask themselves. The limits in the tags are the ones a server enforces before anything else looks at a request.
package tspapi

import "time"

// Domain is where a token may be used: every list that is not empty must contain what the payment says. A token's domain is never wider than its
// requestor's.
type Domain struct {
	Presentments []string `json:"presentments,omitempty" maxItems:"4" enum:"contactless,contact,code,remote" doc:"ways of paying"`
	Merchants    []string `json:"merchants,omitempty" maxItems:"16" doc:"merchant ids, field 42"`
	Categories   []string `json:"categories,omitempty" maxItems:"32" doc:"merchant category codes, field 18"`
	Countries    []string `json:"countries,omitempty" maxItems:"32" doc:"ISO 3166 numbers"`
	Currencies   []string `json:"currencies,omitempty" maxItems:"16" doc:"ISO 4217 numbers"`
}

// Policy is what a requestor's tokens may do beside their domain; amounts are minor units of the payment, zero is no limit.
type Policy struct {
	CoolingMinor  int64 `json:"cooling_minor" minimum:"0" doc:"most for one payment during a token's first hours"`
	CoolingHours  int   `json:"cooling_hours" minimum:"0" maximum:"720" doc:"how long these hours are"`
	LimitedMinor  int64 `json:"limited_minor" minimum:"0" doc:"most for one payment of a token whose holder was only weakly verified"`
	TokenMonths   int   `json:"token_months" minimum:"1" maximum:"120" doc:"life of a token"`
	DeviceTokens  int   `json:"device_tokens" minimum:"1" maximum:"32" doc:"cards on one device; more is refused"`
	WatchedTokens int   `json:"watched_tokens" minimum:"0" maximum:"32" doc:"cards on one device from which on the holder is asked again; 0 is never"`
}

// RegisterRequestor asks for a token requestor. Only an operator may.
type RegisterRequestor struct {
	Entity      string   `json:"entity" minLength:"1" maxLength:"60" doc:"legal name"`
	UseCases    []string `json:"use_cases" minItems:"1" maxItems:"4" enum:"HCE,SE,QR,COF" doc:"storages its tokens may have"`
	Domain      Domain   `json:"domain" doc:"the widest domain of its tokens"`
	Policy      Policy   `json:"policy"`
	Webhook     string   `json:"webhook,omitempty" maxLength:"200" doc:"https address that is told of changes"`
	Certificate string   `json:"certificate" minLength:"1" maxLength:"64" doc:"common name of the certificate it calls with"`
}

// Requestor is a token requestor.
type Requestor struct {
	ID        string   `json:"requestor" doc:"token requestor id, 11 digits"`
	Entity    string   `json:"entity"`
	UseCases  []string `json:"use_cases"`
	Domain    Domain   `json:"domain"`
	Policy    Policy   `json:"policy"`
	Webhook   string   `json:"webhook,omitempty"`
	Suspended bool     `json:"suspended"`
}

// SuspendRequestor stops or restarts all tokens of a requestor.
type SuspendRequestor struct {
	Suspended bool `json:"suspended"`
}

// Device is what a requestor says about the device a token goes to.
type Device struct {
	Reference   string `json:"reference" minLength:"1" maxLength:"48" doc:"the requestor's name of the device"`
	Attestation string `json:"attestation,omitempty" enum:"none,software,hardware" doc:"who vouches for its keys"`
	Owner       string `json:"owner,omitempty" maxLength:"64" doc:"opaque name of the person the device is registered to"`
	SIMChanged  bool   `json:"sim_changed,omitempty" doc:"the SIM was changed within the last 24 hours"`
}

// Eligibility asks whether a card can be tokenised. The card number is in the encrypted payload.
type Eligibility struct {
	Storage string `json:"storage" enum:"HCE,SE,QR,COF"`
	Device  Device `json:"device"`
	Expiry  string `json:"expiry" pattern:"^[0-9]{4}$" doc:"of the card, YYMM"`
}

// Eligible answers Eligibility.
type Eligible struct {
	ID       string   `json:"eligibility" doc:"to be given when the token is asked for"`
	Eligible bool     `json:"eligible"`
	Terms    string   `json:"terms,omitempty" doc:"id of the terms the holder must accept"`
	Methods  []string `json:"methods,omitempty" doc:"ways to verify the holder"`
	Last4    string   `json:"last4,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
}

// Provision asks for a token. The card number is in the encrypted payload.
type Provision struct {
	Eligibility string  `json:"eligibility" minLength:"16" maxLength:"16" doc:"what the eligibility call gave, today or yesterday"`
	Terms       string  `json:"terms" minLength:"1" maxLength:"40" doc:"id of the terms the holder accepted"`
	Storage     string  `json:"storage" enum:"HCE,SE,QR,COF"`
	Device      Device  `json:"device"`
	Expiry      string  `json:"expiry" pattern:"^[0-9]{4}$" doc:"of the card, YYMM"`
	Sequence    string  `json:"sequence,omitempty" pattern:"^[0-9]{0,3}$" doc:"of the card"`
	Source      string  `json:"source" enum:"manual,on-file,issuer-app,tap" doc:"where the card number came from"`
	Score       int     `json:"score,omitempty" minimum:"0" maximum:"5" doc:"account score of the requestor; 0 unknown, 1 bad, 5 good"`
	Domain      *Domain `json:"domain,omitempty" doc:"a narrower domain than the requestor's"`
}

// Token is a token as a list shows it.
type Token struct {
	Reference  string     `json:"token" doc:"token reference"`
	Masked     string     `json:"masked" doc:"token number, masked"`
	Card       string     `json:"card" doc:"last four digits of the card"`
	PAR        string     `json:"par"`
	Requestor  string     `json:"requestor"`
	Device     string     `json:"device"`
	Default    bool       `json:"default" doc:"what the device pays with unasked"`
	Storage    string     `json:"storage"`
	State      string     `json:"state" enum:"REQUESTED,INACTIVE,ACTIVE,SUSPENDED,DEACTIVATED"`
	Suspenders []string   `json:"suspenders,omitempty"`
	Expiry     string     `json:"expiry" doc:"of the token, YYMM"`
	Assurance  string     `json:"assurance" doc:"assurance method, two digits"`
	Limited    bool       `json:"limited" doc:"weakly verified: lower limits"`
	CoolingTo  *time.Time `json:"cooling_until,omitempty"`
	LastUsed   string     `json:"last_used,omitempty" doc:"business date, YYYYMMDD"`
	Domain     Domain     `json:"domain"`
}

// Provisioned answers Provision. The token number is in the encrypted payload.
type Provisioned struct {
	Token    Token    `json:"token"`
	Decision string   `json:"decision" enum:"green,yellow,red"`
	Reasons  []string `json:"reasons,omitempty"`
	Methods  []string `json:"methods,omitempty" doc:"ways to verify the holder, best first"`
}

// Challenge asks that the holder be verified.
type Challenge struct {
	Method string `json:"method" enum:"bank-app,card-tap,otp,call-centre"`
}

// Challenged answers Challenge. A one-time code goes to the bank, never to the requestor.
type Challenged struct {
	Method  string    `json:"method"`
	Expires time.Time `json:"expires"`
	Tries   int       `json:"tries"`
}

// Activate gives what the challenge asked for.
type Activate struct {
	Code string `json:"code,omitempty" maxLength:"8" doc:"one-time code"`
	// Found says that the device was lost and its holder has it again: the verification resumes its tokens of the same bank at once.
	Found bool `json:"found,omitempty" doc:"the lost device is in its holder's hands again"`
}

// Assert is the bank's word that it has verified the holder: in its app, by a cryptogram of the card held to the phone, or on the telephone. Only the bank
// whose card it is may give it.
type Assert struct {
	Method string `json:"method" enum:"bank-app,card-tap,call-centre"`
	Found  bool   `json:"found,omitempty" doc:"the lost device is in its holder's hands again"`
}

// Change suspends, resumes or deletes a token, or makes it the default.
type Change struct {
	Suspender string `json:"suspender,omitempty" enum:"ISSUER,TSP_RISK,REQUESTOR,CARDHOLDER,DEVICE_LOST,PASSWORD_LOCKED"`
	Reason    string `json:"reason" enum:"LOST,STOLEN,FRAUD,FOUND,ACCOUNT_CLOSED,CONSUMER,DEVICE_CHANGED,OTHER"`
}

// Relink says that a card has been replaced. Both numbers are in the encrypted payload. Only the bank may.
type Relink struct {
	Expiry   string `json:"expiry" pattern:"^[0-9]{4}$" doc:"of the new card, YYMM"`
	Sequence string `json:"sequence,omitempty" pattern:"^[0-9]{0,3}$"`
}

// CloseCard says that a card's account is closed: all its tokens are deleted. The number is in the encrypted payload. Only the bank may.
type CloseCard struct{}

// Affected lists the tokens that a change of a card or device concerned.
type Affected struct {
	PAR    string   `json:"par,omitempty"`
	Tokens []string `json:"tokens"`
}

// DeviceState reports a device lost or found.
type DeviceState struct {
	Device string `json:"device" minLength:"1" maxLength:"48"`
}

// PAR answers what the payment account reference of a card or token is.
type PAR struct {
	PAR string `json:"par"`
}

// History is what happened to a token, oldest first.
type History struct {
	Token   string    `json:"token"`
	Changes []Changed `json:"changes"`
	Dropped uint64    `json:"dropped,omitempty" doc:"changes after the first that are not kept here any more"`
}

// Changed is one change of a token.
type Changed struct {
	At         time.Time `json:"at"`
	Event      string    `json:"event" doc:"what the life cycle calls it; verification: one was asked for, or a wrong code given"`
	State      string    `json:"state" doc:"afterwards"`
	Suspenders []string  `json:"suspenders,omitempty" doc:"afterwards"`
	Actor      string    `json:"actor" enum:"requestor,issuer,operator,token service"`
	Who        string    `json:"who,omitempty" doc:"requestor id or bank; the operator's certificate, for operators only"`
	Reason     string    `json:"reason,omitempty"`
	Row        uint64    `json:"row,omitempty" doc:"of the service's journal, for operators only"`
}

// Changes are states of tokens in the order in which they came about, for who keeps their keys.
type Changes struct {
	Changes []Followed `json:"changes"`
	Next    uint64     `json:"next" doc:"the serial after which to ask next"`
	More    bool       `json:"more,omitempty" doc:"there is more already"`
}

// Followed is the state of a token as of a serial.
type Followed struct {
	Serial uint64 `json:"serial" doc:"the same for tokens that changed together"`
	Token  string `json:"token"`
	State  string `json:"state" enum:"REQUESTED,INACTIVE,ACTIVE,SUSPENDED,DEACTIVATED"`
}

// Tokens is a page of a list. Cursor, when there is one, asks for the next.
type Tokens struct {
	Tokens []Token `json:"tokens"`
	Cursor string  `json:"cursor,omitempty"`
}

// Notice is what a webhook carries.
type Notice struct {
	ID        string    `json:"id" doc:"the same however often it is sent"`
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	Token     string    `json:"token"`
	PAR       string    `json:"par"`
	State     string    `json:"state"`
	Suspended []string  `json:"suspenders,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// Problem is a refusal [RFC 9457]: a fixed code for programs, a sentence for people, and when to try again if that may help.
type Problem struct {
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Reason     string `json:"reason"`
	RetryAfter int    `json:"retry_after,omitempty" doc:"seconds"`
}

func (p *Problem) Error() string { return "token service: " + p.Code + ": " + p.Reason }
