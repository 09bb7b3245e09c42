package kernel

import (
	"bytes"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/pan"
	"tapnet/tlv"
)

// Times the reader keeps [REF 2.7].
const (
	fieldOffSeePhone = time.Second // 10 units of 100 ms, so that the phone notices
	noRemovalWait    = 0
)

// verdict is a decision in the making.
type verdict struct {
	kind     OutcomeKind
	why      Reason
	detail   glossary.Term
	cvm      CVM
	oda      ODAResult
	deferred bool
}

// decide is what follows when nothing more is to be read.
func (m *Machine) decide() Action {
	if m.cid == emv.TC {
		return m.finish(m.decideApproval(m.authenticate))
	}
	return m.finish(m.decideRequest())
}

// decideRequest judges an ARQC [REF 2.7].
func (m *Machine) decideRequest() verdict {
	cvm, ok := m.verification()
	if !ok {
		return m.withoutCVM()
	}
	v := verdict{kind: OnlineRequest, why: ReasonIssuerDecides, cvm: cvm}
	if m.config.ODAForOnline && m.tx.TTQ.Has(emv.TTQODAForOnline) && m.extended.Has(emv.EIODAForOnline) && m.hasSignature() {
		// A gate cannot wait for the issuer [REF 2.7]. A PIN cannot wait either.
		v.oda = m.authenticate()
		if v.oda.Status == ODAPassed && (cvm == CVMNone || cvm == CVMConfirmationCode) && !m.expired() && !m.listed() {
			v.kind, v.why, v.deferred = Approved, ReasonDeferred, true
		}
	}
	return v
}

func (m *Machine) hasSignature() bool {
	_, ok := m.value(emv.TagSDAD)
	return ok
}

// foresee judges a TC before its last record: reading that one makes the card pay [REF 2.4], so what is already known to fail
// ends here and costs the holder nothing. It stands back when the last record may still matter to what it checks.
func (m *Machine) foresee() (verdict, bool) {
	if m.cid != emv.TC || m.next != len(m.list)-1 || m.list[m.next].Signed {
		return verdict{}, false
	}
	if !m.haveAll(emv.TagPAN, emv.TagExpiryDate, emv.TagCAIndex, emv.TagIssuerCertificate, emv.TagIssuerExponent, emv.TagICCCertificate,
		emv.TagICCExponent) {
		return verdict{}, false
	}
	v := m.decideApproval(m.authenticateKeys)
	_, known := m.value(emv.TagCardAuthData)
	switch {
	case v.kind == Approved:
		return v, false
	case m.ctq.Has(emv.CTQCDCVM) && !known && (v.kind == OnlineRequest || v.why == ReasonNoCVM):
		return v, false // the signed proof that the holder's device verified stands in the last record [REF 2.6]
	case v.oda.Status == ODAFailed && !m.haveAll(emv.TagSDATagList, emv.TagIssuerRemainder, emv.TagICCRemainder):
		return v, false // what is optional in the chain may still come
	}
	return v, true
}

func (m *Machine) haveAll(tags ...tlv.Tag) bool {
	for _, tag := range tags {
		if !m.records.Has(tag) {
			return false
		}
	}
	return true
}

// decideApproval judges a TC once the records are read [REF 2.7]. A nil authenticate: the payment was torn and the card has paid,
// but its last record is not to be had, so that nothing can be asked of the records and nothing authenticated.
func (m *Machine) decideApproval(authenticate func() ODAResult) verdict {
	recovered := authenticate == nil
	if !recovered {
		if why := m.checkRecords(); why != ReasonNone {
			return verdict{kind: EndApplication, why: why}
		}
	}
	if m.expired() {
		if !m.hasCTQ || !m.ctq.Has(emv.CTQOnlineIfExpired) || m.offlineOnly() {
			return verdict{kind: Declined, why: ReasonExpired}
		}
		cvm, ok := m.verification()
		if !ok {
			return m.withoutCVM()
		}
		return verdict{kind: OnlineRequest, why: ReasonExpiredOnline, cvm: cvm}
	}
	if m.listed() {
		return verdict{kind: Declined, why: ReasonExceptionFile}
	}
	cvm, ok := m.verification()
	if !ok {
		return m.withoutCVM()
	}
	v := verdict{kind: Approved, why: ReasonApproved, cvm: cvm}
	if !recovered {
		if v.oda = authenticate(); v.oda.Status != ODAPassed {
			return m.withoutODA(v)
		}
	}
	if cvm == CVMOnlinePIN {
		// Only the issuer can check the PIN.
		v.kind, v.why = OnlineRequest, ReasonPINOnline
		if m.offlineOnly() {
			return m.withoutCVM()
		}
	}
	return v
}

// checkRecords looks for what an offline approval cannot do without, and for contradictions.
func (m *Machine) checkRecords() Reason {
	number, ok := m.records.Value(emv.TagPAN)
	expiry, dated := m.value(emv.TagExpiryDate)
	if !ok || !dated {
		return ReasonMissingData
	}
	n, err := pan.FromBCD(number)
	if _, valid := parseDate(expiry); err != nil || !valid {
		return ReasonCardAnswerMalformed
	}
	// Track 2 is not signed: it must not name another account than the signed number.
	if track, err := pan.ParseTrack2(m.answer.Get(emv.TagTrack2)); m.answer.Has(emv.TagTrack2) && (err != nil || track.PAN() != n) {
		return ReasonContradictoryData
	}
	return ReasonNone
}

// Date reads the day of a tag like 5F24, YYMMDD packed; false when it is none.
func Date(b []byte) (time.Time, bool) { return parseDate(b) }

// parseDate reads YYMMDD, packed.
func parseDate(b []byte) (time.Time, bool) {
	if len(b) != dateBytes {
		return time.Time{}, false
	}
	month, err := pan.ParseExpiry(digits(b[:2]))
	day := int(b[2]>>4)*bcdDigit + int(b[2]&0xF)
	if err != nil || b[2]>>4 >= bcdDigit || b[2]&0xF >= bcdDigit || day == 0 || day > month.LastDay().Day() {
		return time.Time{}, false
	}
	last := month.LastDay()
	return time.Date(last.Year(), last.Month(), day, 0, 0, 0, 0, time.UTC), true
}

// expired compares calendar days; the last day is still good. A card that gave no date is for the other checks.
func (m *Machine) expired() bool {
	b, ok := m.value(emv.TagExpiryDate)
	last, valid := parseDate(b)
	if !ok || !valid {
		return false
	}
	y, mo, d := m.tx.Date.Date()
	return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC).After(last)
}

func (m *Machine) pan() (pan.Number, bool) {
	if m.records.Has(emv.TagPAN) {
		return cardPAN(m.records)
	}
	return cardPAN(m.answer)
}

// verification chooses the cardholder verification [REF 2.7]; false when the card or the reader wants one and they share none.
func (m *Machine) verification() (CVM, bool) {
	required := m.tx.TTQ.Has(emv.TTQCVMRequired)
	pin, signature := m.tx.TTQ.Has(emv.TTQOnlinePIN), m.tx.TTQ.Has(emv.TTQSignature)
	if !m.hasCTQ {
		switch {
		case !required:
			return CVMNone, true
		case signature:
			return CVMSignature, true
		case pin:
			return CVMOnlinePIN, true
		}
		return CVMNotApplicable, false
	}
	switch {
	case m.ctq.Has(emv.CTQOnlinePIN) && pin:
		return CVMOnlinePIN, true
	case m.ctq.Has(emv.CTQCDCVM) && m.deviceVerified():
		return CVMConfirmationCode, true
	case m.ctq.Has(emv.CTQSignature) && signature:
		return CVMSignature, true
	}
	// The card may want more than this reader can do: a card product that demands the PIN on every tap gets it or nothing.
	asked := m.ctq.Has(emv.CTQOnlinePIN) || m.ctq.Has(emv.CTQSignature)
	return CVMNone, !required && !asked
}

// deviceVerified: the qualifiers are not signed by themselves. The issuer sees them in an online request; offline the signed
// copy in 9F69 must agree [REF 2.7].
func (m *Machine) deviceVerified() bool {
	if m.cid == emv.ARQC {
		return true
	}
	const ctqAt = 5 // behind the version and the card's random number
	b, _ := m.value(emv.TagCardAuthData)
	return len(b) >= ctqAt+len(m.ctq) && bytes.Equal(b[ctqAt:ctqAt+len(m.ctq)], m.ctq[:])
}

// withoutCVM ends a tap that needs a verification nobody can do.
func (m *Machine) withoutCVM() verdict {
	if m.config.SwitchIfNoCVM && m.tx.TTQ.Has(emv.TTQContact) {
		return verdict{kind: TryAnotherInterface, why: ReasonNoCVM}
	}
	return verdict{kind: Declined, why: ReasonNoCVM}
}

// withoutODA follows the card's wishes for a failed authentication [REF 2.7].
func (m *Machine) withoutODA(v verdict) verdict {
	if v.oda.Failure != nil {
		v.detail = v.oda.Failure.Term()
	}
	switch {
	case m.hasCTQ && m.ctq.Has(emv.CTQOnlineIfODAFails) && !m.offlineOnly():
		v.kind, v.why = OnlineRequest, ReasonODAFailedOnline
	case m.hasCTQ && m.ctq.Has(emv.CTQSwitchIfODAFails) && m.tx.TTQ.Has(emv.TTQContact):
		v.kind, v.why, v.cvm = TryAnotherInterface, ReasonODAFailedSwitch, CVMNotApplicable
	default:
		v.kind, v.why, v.cvm = Declined, ReasonODAFailed, CVMNotApplicable
	}
	return v
}

// NewOutcome is an outcome without a card's data, for an entry point whose kernel never ran.
func NewOutcome(kind OutcomeKind, why Reason, detail glossary.Term) Outcome {
	return *new(Machine).end(kind, why, detail).Outcome
}

func (m *Machine) end(kind OutcomeKind, why Reason, detail glossary.Term) Action {
	return m.finish(verdict{kind: kind, why: why, detail: detail})
}

// screens is what each outcome shows [EMV BookA 6.2] [REF 7.2].
var screens = [...]UIRequest{
	SelectNext:          {},
	TryAgain:            {Message: MessagePresentAgain, Status: StatusProcessingError},
	Approved:            {Message: MessageApproved, Status: StatusCardRead},
	Declined:            {Message: MessageNotAuthorised, Status: StatusCardRead},
	OnlineRequest:       {Message: MessageAuthorising, Status: StatusCardRead},
	TryAnotherInterface: {Message: MessageInsertOrSwipe, Status: StatusProcessingError},
	EndApplication:      {Message: MessageTryAnotherCard, Status: StatusProcessingError},
}

// finish turns a decision into the outcome.
func (m *Machine) finish(v verdict) Action {
	m.state = stateDone
	o := &Outcome{
		Kind: v.kind, Reason: v.why, Detail: v.detail, CVM: v.cvm, UI: screens[v.kind], Cryptogram: m.cid, ODA: v.oda, Deferred: v.deferred,
		Discretionary: m.discretionary(), RemovalTimeout: noRemovalWait, Removed: v.why == ReasonCardRemoved || v.why == ReasonTorn,
	}
	if m.answer.Len() > 0 {
		o.Data = m.dataRecord(v.cvm)
	}
	switch v.kind {
	case SelectNext:
		o.Start = StartC
	case TryAgain:
		o.Start = StartB
		o.RestartUI = UIRequest{Message: MessagePresentAgain, Status: StatusReadyToRead}
		if v.why == ReasonSeePhone {
			o.UI = UIRequest{Message: MessageSeePhone, Status: StatusProcessingError}
			o.FieldOff = fieldOffSeePhone
		}
	case TryAnotherInterface:
		o.PreferContact = true
	case Approved, OnlineRequest:
		o.Receipt = v.cvm == CVMSignature
		switch {
		case v.cvm == CVMOnlinePIN:
			o.UI.Message = MessageEnterPIN
		case v.kind == Approved && v.cvm == CVMSignature:
			o.UI.Message = MessageApprovedSign
		}
	}
	return Action{Outcome: o}
}
