package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
)

// Decision is what the card's own risk management made of one GET PROCESSING OPTIONS.
type Decision struct {
	SW     apdu.SW // OK, or the refusal
	CID    emv.CID // meaningless when SW is not OK
	CTQ    emv.CTQ
	CVR    emv.CVR
	Reason Reason
	Step   string // of [REF 2.2], "1" to "7"

	spendPurse, spendCumulative, countInternational bool
}

// Reason says why the card decided as it did.
type Reason uint8

// The reasons, in the order of the decision tree.
const (
	ReasonNone Reason = iota
	ReasonCounterExhausted
	ReasonForeignRefused
	ReasonNewCardOffline
	ReasonPINBlockedOffline
	ReasonNoVerification
	ReasonOnlinePIN
	ReasonReaderWantsOnline
	ReasonForeignOnline
	ReasonNewCard
	ReasonPINBlocked
	ReasonNoOfflineFunds
	ReasonOverSingleLimit
	ReasonOverBalance
	ReasonBelowThreshold
	ReasonOverCumulative
	ReasonForeignCount
	ReasonPreferContact
	ReasonPrepayFunds
	ReasonSpent
	ReasonForeignSpent

	// Those of the dialogue with GENERATE AC.
	ReasonTerminalDeclined
	ReasonApplicationBlocked
	ReasonLastOnlineIncomplete
	ReasonIssuerAuthFailedBefore
	ReasonScriptFailedBefore
	ReasonConsecutive
	ReasonForeignCountry
	ReasonPINBlockedBefore
	ReasonDataChanged
	ReasonOfflineApproved
	ReasonIssuerDeclined
	ReasonIssuerAuthFailed
	ReasonIssuerAuthMissing
	ReasonIssuerApproved
)

var reasonTerms = [...]glossary.Term{
	ReasonNone:              {EN: "no decision", ZH: "无决定"},
	ReasonCounterExhausted:  {EN: "the transaction counter is used up; the card must be replaced", ZH: "交易计数器已用尽，须换卡"},
	ReasonForeignRefused:    {EN: "the card refuses this currency", ZH: "卡片拒绝该货币"},
	ReasonNewCardOffline:    {EN: "a new card must pay online once before it pays offline", ZH: "新卡须先完成一次联机交易"},
	ReasonPINBlockedOffline: {EN: "the PIN is blocked and the terminal is offline", ZH: "密码已锁定且终端仅脱机"},
	ReasonNoVerification:    {EN: "card and terminal share no way to verify the cardholder", ZH: "卡片与终端没有共同的持卡人验证方式"},
	ReasonOnlinePIN:         {EN: "the amount needs the PIN, so the issuer decides", ZH: "该金额需要密码，由发卡行决定"},
	ReasonReaderWantsOnline: {EN: "the terminal asks for an online decision", ZH: "终端要求联机"},
	ReasonForeignOnline:     {EN: "another currency than the card's, so the issuer decides", ZH: "货币不匹配，由发卡行决定"},
	ReasonNewCard:           {EN: "a new card, so the issuer decides", ZH: "新卡，由发卡行决定"},
	ReasonPINBlocked:        {EN: "the PIN is blocked, so the issuer decides", ZH: "密码已锁定，由发卡行决定"},
	ReasonNoOfflineFunds:    {EN: "the card holds no money of its own", ZH: "卡片不支持脱机消费"},
	ReasonOverSingleLimit:   {EN: "above the limit of one electronic cash payment", ZH: "超过电子现金单笔限额"},
	ReasonOverBalance:       {EN: "not enough electronic cash on the card", ZH: "电子现金余额不足"},
	ReasonBelowThreshold:    {EN: "electronic cash would fall below the threshold for a load", ZH: "电子现金将低于重置阈值"},
	ReasonOverCumulative:    {EN: "above the total that may be spent before an online payment", ZH: "超过累计脱机限额"},
	ReasonForeignCount:      {EN: "too many offline payments in another currency", ZH: "货币不匹配的脱机交易次数超限"},
	ReasonPreferContact:     {EN: "the card wants to be inserted", ZH: "卡片要求插卡"},
	ReasonPrepayFunds:       {EN: "not enough electronic cash to pay in advance", ZH: "预付余额不足"},
	ReasonSpent:             {EN: "paid from the card", ZH: "由卡内资金支付"},
	ReasonForeignSpent:      {EN: "approved by the card in another currency", ZH: "卡片批准货币不匹配的交易"},

	ReasonTerminalDeclined:       {EN: "the terminal declines", ZH: "终端拒绝"},
	ReasonApplicationBlocked:     {EN: "the application is blocked by its issuer", ZH: "应用已被发卡行锁定"},
	ReasonLastOnlineIncomplete:   {EN: "the last online payment did not end, so the issuer decides", ZH: "上次联机交易未完成，由发卡行决定"},
	ReasonIssuerAuthFailedBefore: {EN: "the issuer could not be authenticated last time, so it decides now", ZH: "上次发卡行认证失败，由发卡行决定"},
	ReasonScriptFailedBefore:     {EN: "a command of the issuer failed last time, so it decides now", ZH: "上次发卡行脚本失败，由发卡行决定"},
	ReasonConsecutive:            {EN: "too many offline payments in a row", ZH: "连续脱机交易次数超限"},
	ReasonForeignCountry:         {EN: "too many offline payments abroad", ZH: "境外脱机交易次数超限"},
	ReasonPINBlockedBefore:       {EN: "the PIN has been blocked before", ZH: "密码此前已锁定"},
	ReasonDataChanged:            {EN: "the terminal told the card two different payments", ZH: "终端前后提供的交易数据不一致"},
	ReasonOfflineApproved:        {EN: "approved by the card", ZH: "卡片脱机批准"},
	ReasonIssuerDeclined:         {EN: "declined by the issuer", ZH: "发卡行拒绝"},
	ReasonIssuerAuthFailed:       {EN: "the answer does not come from the issuer", ZH: "发卡行认证失败"},
	ReasonIssuerAuthMissing:      {EN: "the issuer's answer lacks its authentication", ZH: "缺少发卡行认证"},
	ReasonIssuerApproved:         {EN: "approved by the issuer", ZH: "发卡行批准"},
}

// Term is the reason as a sentence.
func (r Reason) Term() glossary.Term {
	if int(r) >= len(reasonTerms) {
		return reasonTerms[ReasonNone]
	}
	return reasonTerms[r]
}

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

// situation is everything the decision tree looks at.
type situation struct {
	application *Application
	state       *ApplicationState
	purse       *Purse // of the transaction currency; that of the first currency when none matches
	ttq         emv.TTQ
	amount      int64
	matched     bool  // the transaction is in a currency of the card
	extended    byte  // DF60, when the card can do what it asks for
	advance     int64 // what segmented deduction adds to the purse, or a completion gives back
}

func (s *situation) offlineOnly() bool { return s.ttq.Has(emv.TTQOfflineOnly) }

func (s *situation) card(bit emv.AdditionalProcessingBit) bool {
	return s.application.Processing.Has(bit)
}

// verificationNeeded: the reader asks for it, the amount is above the card's own limit, or the currency is foreign.
func (s *situation) verificationNeeded() bool {
	return s.ttq.Has(emv.TTQCVMRequired) || s.matched && s.amount > s.purse.CVMLimit || !s.matched && s.card(emv.APCVMMismatched)
}

func (s *situation) bothSign() bool { return s.card(emv.APSignature) && s.ttq.Has(emv.TTQSignature) }

func (s *situation) bothPIN() bool {
	supported := s.card(emv.APOnlinePINMatched)
	if !s.matched {
		supported = s.card(emv.APOnlinePINMismatched)
	}
	return supported && s.ttq.Has(emv.TTQOnlinePIN)
}

// step is one question of the tree: done means that the decision is made.
type step struct {
	clause string
	ask    func(*situation, *Decision) (done bool)
}

// riskSteps is the card decision tree [REF 2.2] [JR/T 0025.12], in order. Step 7 follows whenever the answer is ARQC.
var riskSteps = [...]step{
	{"1", refuseForeign},
	{"2a", refuseNewCardOffline},
	{"2b", refuseBlockedPINOffline},
	{"2c", verifyOffline},
	{"2d", verifyOnline},
	{"3", goOnlineWhenAsked},
	{"4", goOnlineWhenNew},
	{"5", goOnlineWhenPINBlocked},
	{"6", spendOffline},
}

// decide runs the tree. It changes nothing: what follows from the decision is applied by the caller.
func decide(s *situation) Decision {
	d := Decision{SW: apdu.OK, CTQ: s.application.CTQ, CVR: emv.NewCVR()}
	for i := range riskSteps {
		d.Step = riskSteps[i].clause
		if riskSteps[i].ask(s, &d) {
			break
		}
	}
	if d.SW == apdu.OK && d.CID == emv.ARQC {
		beforeOnline(s, &d)
	}
	d.CVR.SetFirst(d.CID)
	d.CVR.SetSecondNotRequested()
	return d
}

func (d *Decision) decline(r Reason) bool {
	d.CID, d.Reason = emv.AAC, r
	return true
}

func (d *Decision) askIssuer(r Reason) bool {
	d.CID, d.Reason = emv.ARQC, r
	return true
}

func (d *Decision) refuse(r Reason) bool {
	d.SW, d.Reason = apdu.ConditionsNotSatisfied, r
	return true
}

func refuseForeign(s *situation, d *Decision) bool {
	return !s.matched && s.card(emv.APRefuseMismatchedCurrency) && d.decline(ReasonForeignRefused)
}

func refuseNewCardOffline(s *situation, d *Decision) bool {
	if !s.offlineOnly() || s.state.LastOnlineATC != 0 || !s.card(emv.APDeclineNewCardOffline) {
		return false
	}
	d.CVR.Set(emv.CVRNewCard)
	return d.decline(ReasonNewCardOffline)
}

func refuseBlockedPINOffline(s *situation, d *Decision) bool {
	if !s.offlineOnly() || s.state.PINTries != 0 || !s.card(emv.APPINTriesExceeded) {
		return false
	}
	d.CVR.Set(emv.CVRPINLimitExceeded)
	return d.decline(ReasonPINBlockedOffline)
}

func verifyOffline(s *situation, d *Decision) bool {
	if !s.offlineOnly() || !s.verificationNeeded() {
		return false
	}
	if !s.bothSign() {
		return noVerification(s, d)
	}
	d.CTQ.Set(emv.CTQSignature)
	return false
}

func verifyOnline(s *situation, d *Decision) bool {
	if s.offlineOnly() || !s.verificationNeeded() {
		return false
	}
	switch {
	case s.bothPIN():
		d.CTQ.Set(emv.CTQOnlinePIN)
		return d.askIssuer(ReasonOnlinePIN)
	case s.bothSign():
		d.CTQ.Set(emv.CTQSignature)
		return false
	}
	return noVerification(s, d)
}

// noVerification refuses with 6985; sources differ, so that AAC is a choice of the profile [REF C].
func noVerification(s *situation, d *Decision) bool {
	if s.application.DeclineWithoutCVM {
		return d.decline(ReasonNoVerification)
	}
	return d.refuse(ReasonNoVerification)
}

func goOnlineWhenAsked(s *situation, d *Decision) bool {
	switch {
	case s.ttq.Has(emv.TTQOnlineCryptogramRequired):
		return d.askIssuer(ReasonReaderWantsOnline)
	case !s.matched && !s.card(emv.APAllowMismatchedCurrency):
		return d.askIssuer(ReasonForeignOnline)
	}
	return false
}

func goOnlineWhenNew(s *situation, d *Decision) bool {
	if s.state.LastOnlineATC != 0 || !s.card(emv.APNewCard) {
		return false
	}
	d.CVR.Set(emv.CVRNewCard)
	return d.askIssuer(ReasonNewCard)
}

func goOnlineWhenPINBlocked(s *situation, d *Decision) bool {
	if s.state.PINTries != 0 || !s.card(emv.APPINTriesExceeded) {
		return false
	}
	d.CVR.Set(emv.CVRPINLimitExceeded)
	return d.askIssuer(ReasonPINBlocked)
}

// spendOffline is the last question: it always decides.
func spendOffline(s *situation, d *Decision) bool {
	if !s.matched {
		if s.state.InternationalCount >= s.state.InternationalLimit {
			return overLimit(s, d, ReasonForeignCount)
		}
		d.CID, d.Reason, d.countInternational = emv.TC, ReasonForeignSpent, true
		return true
	}
	lowValue, cumulative := s.lowValueCheck(), s.cumulativeCheck()
	switch mode := s.application.fundsMode(); mode {
	case fundsNone:
		if s.offlineOnly() {
			return d.decline(ReasonNoOfflineFunds)
		}
		return d.askIssuer(ReasonNoOfflineFunds)
	case fundsLowValue:
		cumulative = ReasonNone
		// What a pre-authorisation sets aside and a completion takes is known with the merchant's record only [REF 2.8].
		d.spendPurse = s.extended == extendedNone || s.extended == extendedSegment
	case fundsBoth:
		d.spendPurse, d.spendCumulative = true, true
	case fundsEither:
		// The purse pays first; the cumulative total is the fallback [JR/T 0025.12].
		d.spendPurse = lowValue == ReasonNone
		d.spendCumulative = !d.spendPurse
		if d.spendPurse || cumulative == ReasonNone {
			lowValue, cumulative = ReasonNone, ReasonNone
		}
	}
	for _, exceeded := range [...]Reason{lowValue, cumulative} {
		if exceeded != ReasonNone {
			d.spendPurse, d.spendCumulative = false, false
			return overLimit(s, d, exceeded)
		}
	}
	d.CID, d.Reason = emv.TC, ReasonSpent
	return true
}

// overLimit asks the issuer, or declines where nobody can be asked.
func overLimit(s *situation, d *Decision, r Reason) bool {
	if s.offlineOnly() {
		d.CVR.Set(emv.CVRVelocityExceeded)
		return d.decline(r)
	}
	return d.askIssuer(r)
}

// lowValueCheck compares with the purse; ReasonNone: passed. An online-capable reader keeps the reset threshold untouched, so
// that the purse is loaded before it is empty.
func (s *situation) lowValueCheck() Reason {
	switch {
	case s.amount > s.purse.SingleLimit:
		return ReasonOverSingleLimit
	case s.amount > s.purse.Balance+s.advance:
		return ReasonOverBalance
	case s.extended == extendedNone && !s.offlineOnly() && s.amount+s.purse.ResetThreshold > s.purse.Balance:
		return ReasonBelowThreshold
	}
	return ReasonNone
}

// cumulativeCheck compares with what may be spent between two online payments; ReasonNone: passed.
func (s *situation) cumulativeCheck() Reason {
	limit := s.state.CumulativeLimit
	if s.offlineOnly() {
		limit = s.state.CumulativeUpperLimit
	}
	if s.state.Cumulative+s.amount > limit {
		return ReasonOverCumulative
	}
	return ReasonNone
}

// beforeOnline is step 7. A foreign currency cannot be paid from the purse in advance, so that pre-pay leaves it alone.
func beforeOnline(s *situation, d *Decision) {
	switch {
	case s.card(emv.APPreferContact) && s.ttq.Has(emv.TTQContact):
		d.Step = "7"
		d.refuse(ReasonPreferContact)
	case s.card(emv.APPrepay) && s.matched:
		if s.amount == 0 || s.amount > s.purse.Balance {
			d.Step = "7"
			d.decline(ReasonPrepayFunds)
			return
		}
		d.spendPurse = true
	}
}

// fundsMode is which of the card's own funds pay offline, from three bits of 9F68 [REF 1.6]. At most one is set.
type fundsMode uint8

const (
	fundsNone fundsMode = iota
	fundsLowValue
	fundsBoth
	fundsEither
)

func (a *Application) fundsMode() fundsMode {
	switch {
	case a.Processing.Has(emv.APLowValueAndCTTA):
		return fundsBoth
	case a.Processing.Has(emv.APLowValueOrCTTA):
		return fundsEither
	case a.Processing.Has(emv.APLowValue):
		return fundsLowValue
	}
	return fundsNone
}

// available is the available offline amount, 9F5D. For the combined checks the sources give no formula: the smaller of the
// two funds where both must hold, the larger where either will do.
func (a *Application) available(s *ApplicationState, purse int) int64 {
	balance := s.Purses[purse].Balance
	headroom := max(0, s.CumulativeLimit-s.Cumulative)
	switch a.fundsMode() {
	case fundsLowValue:
		return balance
	case fundsBoth:
		return min(balance, headroom)
	case fundsEither:
		return max(balance, headroom)
	}
	return 0
}
