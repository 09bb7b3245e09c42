package kernel

import (
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/pan"
)

// Action is what the reader does next: exactly one of the two is set.
type Action struct {
	Send    *apdu.Command
	Outcome *Outcome
}

// OutcomeKind is what becomes of the tap [EMV BookA 6.2] [REF 7.2].
type OutcomeKind uint8

// Outcomes. The zero value is none.
const (
	SelectNext          OutcomeKind = iota + 1 // the entry point tries the next application
	TryAgain                                   // the card is to be presented again
	Approved                                   // offline
	Declined                                   // offline
	OnlineRequest                              // the issuer decides
	TryAnotherInterface                        // insert or swipe
	EndApplication                             // nothing to be done with this card here
)

var kindTerms = [...]glossary.Term{
	SelectNext:          {EN: "select next", ZH: "选择下一应用"},
	TryAgain:            {EN: "try again", ZH: "请重试"},
	Approved:            {EN: "approved", ZH: "交易批准"},
	Declined:            {EN: "declined", ZH: "交易拒绝"},
	OnlineRequest:       {EN: "online request", ZH: "请求联机"},
	TryAnotherInterface: {EN: "try another interface", ZH: "请换用其他界面"},
	EndApplication:      {EN: "end application", ZH: "应用终止"},
}

// Term names the outcome.
func (k OutcomeKind) Term() glossary.Term {
	if k == 0 || int(k) >= len(kindTerms) {
		return glossary.Term{EN: "no outcome", ZH: "无结果"}
	}
	return kindTerms[k]
}

// String is the outcome in English.
func (k OutcomeKind) String() string { return k.Term().EN }

// Start says where the entry point goes on after an outcome [EMV BookA 6.2]. The zero value: nowhere.
type Start uint8

// Starts.
const (
	StartNone Start = iota
	StartA          // pre-processing
	StartB          // polling
	StartC          // the next application
	StartD          // the kernel, after an online answer
)

// String returns "N/A", "A" to "D".
func (s Start) String() string {
	if s == StartNone || s > StartD {
		return "N/A"
	}
	return string(rune('A' + s - StartA))
}

// CVM is the cardholder verification that remains to be done [EMV BookA 6.2].
type CVM uint8

// Methods. The zero value: not applicable.
const (
	CVMNotApplicable    CVM = iota
	CVMNone                 // nothing: no PIN, no signature
	CVMSignature            // obtain a signature
	CVMOnlinePIN            // ask for the PIN, the issuer checks it
	CVMConfirmationCode     // done on the holder's own device
)

var cvmTerms = [...]glossary.Term{
	CVMNotApplicable:    {EN: "not applicable", ZH: "不适用"},
	CVMNone:             {EN: "no verification", ZH: "无需验证"},
	CVMSignature:        {EN: "signature", ZH: "签名"},
	CVMOnlinePIN:        {EN: "online PIN", ZH: "联机密码"},
	CVMConfirmationCode: {EN: "verified on the holder's device", ZH: "持卡人设备已验证"},
}

// Term names the method.
func (c CVM) Term() glossary.Term {
	if int(c) >= len(cvmTerms) {
		return cvmTerms[CVMNotApplicable]
	}
	return cvmTerms[c]
}

// String is the method in English.
func (c CVM) String() string { return c.Term().EN }

// ODAStatus is how offline data authentication ended.
type ODAStatus uint8

// Results of offline data authentication.
const (
	ODANotPerformed ODAStatus = iota
	ODAPassed
	ODAFailed
)

// ODAResult is the result of offline data authentication.
type ODAResult struct {
	Status  ODAStatus
	Version byte         // of the dynamic signature, 0 or 1; meaningful when it passed
	Failure *oda.Failure // set when it failed
}

// Outcome is the end of a tap. Tags in Data are what field 55 and the receipt are made of.
type Outcome struct {
	Kind           OutcomeKind
	Reason         Reason
	Detail         glossary.Term // more than Reason says: a status word, the step of a failed authentication; may be empty
	Start          Start
	CVM            CVM
	UI             UIRequest // on the outcome; the zero value: none
	RestartUI      UIRequest // when the reader starts again; the zero value: none
	Cryptogram     emv.CID   // meaningful when the card answered GET PROCESSING OPTIONS
	Data           emv.Data  // data record [REF 7.2]
	Discretionary  emv.Data
	ODA            ODAResult
	Deferred       bool          // Approved, and to be authorised later (ODAForOnline)
	PreferContact  bool          // alternate interface preference
	Receipt        bool          // the holder signs, so print
	FieldOff       time.Duration // switch the field off this long before starting again
	RemovalTimeout time.Duration // 0: the card may leave at once
	Removed        bool          // the card left during the dialogue
}

// PAN is the account number out of tag 5A, or of track 2 where there is no 5A.
func (o *Outcome) PAN() (pan.Number, bool) { return cardPAN(o.Data) }

// Expiry is the month of tag 5F24, or of track 2 where there is no 5F24.
func (o *Outcome) Expiry() (pan.Expiry, bool) {
	if b := o.Data.Get(emv.TagExpiryDate); len(b) == dateBytes {
		if e, err := pan.ParseExpiry(digits(b[:2])); err == nil {
			return e, true
		}
	}
	track, ok := o.Track2()
	return track.Expiry(), ok
}

// Track2 is tag 57.
func (o *Outcome) Track2() (pan.Track2, bool) {
	t, err := pan.ParseTrack2(o.Data.Get(emv.TagTrack2))
	return t, err == nil
}

// Sequence is the two digits of tag 5F34; empty when the card sent none.
func (o *Outcome) Sequence() string { return digits(o.Data.Get(emv.TagPANSequence)) }

// ATC is the card's transaction counter, tag 9F36.
func (o *Outcome) ATC() (uint16, bool) { return uint16At(o.Data.Get(emv.TagATC)) }
