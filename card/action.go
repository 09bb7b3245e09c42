package card

import (
	"tapnet/apdu"
	"tapnet/emv"
)

// analysis is what card action analysis looks at [EMV B3 10.8], [REF 1.8], [REF 1.9]. It changes nothing.
type analysis struct {
	application *application
	state       *ApplicationState
	dialogue    *dialogue
	purse       *Purse
	action      emv.DefaultAction
	asked       emv.CID
	amount      int64
	currency    [2]byte
	country     [2]byte
	cardBlocked bool
}

// wish is what one check wants.
type wish uint8

const (
	wishNothing wish = iota
	wishOnline
	wishDecline
)

// check is one row of card action analysis.
type check struct {
	clause string
	ask    func(*analysis, *emv.CVR) (wish, Reason)
}

// firstChecks are those of the first GENERATE AC of debit and credit, in order. All are made: each leaves its mark in the card
// verification results. The heaviest wish counts, the first among equals gives the reason.
var firstChecks = [...]check{
	{"blocked", checkBlocked},
	{"last online", checkLastOnline},
	{"issuer authentication", checkLastAuthentication},
	{"static data", checkLastStatic},
	{"script", checkLastScript},
	{"9F58", checkLowerConsecutive},
	{"9F53", checkForeignCurrency},
	{"9F72", checkForeignCountry},
	{"9F54", checkCumulative},
	{"9F75", checkDual},
	{"new card", checkNewCard},
	{"PIN", checkPINBefore},
}

// cashChecks are those of electronic cash, whose conditions were looked at in GET PROCESSING OPTIONS [REF 2.9]: the purse is its limit.
// The marks of earlier payments are left all the same.
var cashChecks = [...]check{
	{"blocked", checkBlocked},
	{"2.9", checkSamePayment},
	{"9F79", checkPurse},
	{"marks", leaveMarks},
}

// first decides the first GENERATE AC.
func (a *analysis) first() Decision {
	checks := firstChecks[:]
	if a.dialogue.cash {
		checks = cashChecks[:]
	}
	d := Decision{SW: apdu.OK, CVR: a.dialogue.cvr}
	heaviest := a.run(checks, &d)
	switch {
	case heaviest == wishDecline:
		d.CID = emv.AAC
	case a.asked == emv.AAC:
		d.CID, d.Reason, d.Step = emv.AAC, ReasonTerminalDeclined, "terminal"
	case heaviest == wishOnline:
		d.CID = emv.ARQC
	case a.asked == emv.ARQC:
		d.CID, d.Reason, d.Step = emv.ARQC, ReasonReaderWantsOnline, "terminal"
	default:
		d.CID, d.Reason, d.Step = emv.TC, ReasonOfflineApproved, "TC"
		if a.dialogue.cash {
			d.Reason = ReasonSpent
		}
	}
	d.CVR.SetFirst(d.CID)
	d.CVR.SetSecondNotRequested()
	return d
}

func (a *analysis) run(checks []check, d *Decision) (heaviest wish) {
	for i := range checks {
		w, reason := checks[i].ask(a, &d.CVR)
		if w > heaviest {
			heaviest, d.Reason, d.Step = w, reason, checks[i].clause
		}
	}
	return heaviest
}

// advise adds the request for an advice to a declined payment [REF 1.9] [EMV B3 6.5.5.4]. The later row has the more telling reason.
func (a *analysis) advise(d *Decision) {
	const (
		advice        emv.CID = 0x08
		pinLimit      emv.CID = 0x02
		authenticated emv.CID = 0x03
	)
	if d.CID.Type() != emv.AAC {
		return
	}
	if a.action.Has(emv.ADADeclinedAdvice) {
		d.CID |= advice
	}
	if a.action.Has(emv.ADAPINLimitAdvice) && a.state.PINTries == 0 && a.dialogue.triesBefore > 0 {
		d.CID = emv.AAC | advice | pinLimit
	}
	if a.action.Has(emv.ADAIssuerAuthAdvice) && (d.Reason == ReasonIssuerAuthFailed || d.Reason == ReasonIssuerAuthMissing) {
		d.CID = emv.AAC | advice | authenticated
	}
}

func checkBlocked(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if a.state.BlockedByPIN {
		cvr.Set(emv.CVRBlockedByPIN)
	}
	if a.state.Blocked || a.cardBlocked {
		return wishDecline, ReasonApplicationBlocked
	}
	return wishNothing, ReasonNone
}

func checkLastOnline(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if !a.state.History.LastOnlineIncomplete {
		return wishNothing, ReasonNone
	}
	cvr.Set(emv.CVRLastOnlineIncomplete)
	return wishOnline, ReasonLastOnlineIncomplete
}

func checkLastAuthentication(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if !a.state.History.IssuerAuthFailed {
		return wishNothing, ReasonNone
	}
	cvr.Set(emv.CVRLastIssuerAuthFailed)
	if a.action.Has(emv.ADAIssuerAuthFailedOnline) {
		return wishOnline, ReasonIssuerAuthFailedBefore
	}
	return wishNothing, ReasonNone
}

func checkLastStatic(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if a.state.History.SDAFailed {
		cvr.Set(emv.CVRLastSDAFailed)
	}
	if a.state.History.DDAFailed {
		cvr.Set(emv.CVRLastDDAFailed)
	}
	return wishNothing, ReasonNone
}

func checkLastScript(a *analysis, cvr *emv.CVR) (wish, Reason) {
	cvr.SetScriptCount(int(a.state.History.ScriptCount))
	if !a.state.History.ScriptFailed {
		return wishNothing, ReasonNone
	}
	cvr.Set(emv.CVRLastScriptFailed)
	if a.action.Has(emv.ADAScriptFailedOnline) {
		return wishOnline, ReasonScriptFailedBefore
	}
	return wishNothing, ReasonNone
}

func leaveMarks(a *analysis, cvr *emv.CVR) (wish, Reason) {
	for _, mark := range [...]func(*analysis, *emv.CVR) (wish, Reason){
		checkLastOnline, checkLastAuthentication, checkLastStatic, checkLastScript, checkNewCard, checkPINBefore,
	} {
		_, _ = mark(a, cvr)
	}
	return wishNothing, ReasonNone
}

// consecutive is how many payments the card has made since the last online one, this one included [REF 1.3].
func (a *analysis) consecutive() int { return int(a.state.ATC) - int(a.state.LastOnlineATC) }

func checkLowerConsecutive(a *analysis, cvr *emv.CVR) (wish, Reason) {
	return a.over(cvr, CheckConsecutive, func() bool {
		return a.consecutive() > int(a.application.setting(a.state, emv.TagLowerConsecutiveLimit)[0])
	}, ReasonConsecutive)
}

// over marks and reports an exceeded velocity limit.
func (a *analysis) over(cvr *emv.CVR, need Checks, exceeded func() bool, reason Reason) (wish, Reason) {
	if !a.application.contact.Checks.Has(need) || !exceeded() {
		return wishNothing, ReasonNone
	}
	cvr.Set(emv.CVRVelocityExceeded)
	return wishOnline, reason
}

func (a *analysis) foreign() bool {
	return a.currency != a.application.currency && !a.secondary()
}

// secondary: the currency is the second application currency (9F76), whose amounts are converted.
func (a *analysis) secondary() bool {
	second := a.application.Objects.Get(emv.TagSecondCurrency)
	return a.application.contact.Checks.Has(CheckDual) && a.currency == [2]byte(second)
}

func (a *analysis) abroad() bool { return a.country != a.application.contact.issuerCountry }

func checkForeignCurrency(a *analysis, cvr *emv.CVR) (wish, Reason) {
	return a.over(cvr, CheckCurrency, func() bool {
		return a.foreign() && a.state.InternationalCount >= a.state.InternationalLimit
	}, ReasonForeignCount)
}

func checkForeignCountry(a *analysis, cvr *emv.CVR) (wish, Reason) {
	return a.over(cvr, CheckCountry, func() bool {
		return a.abroad() && a.state.CountryCount >= a.application.setting(a.state, emv.TagConsecutiveIntlCountry)[0]
	}, ReasonForeignCountry)
}

func checkCumulative(a *analysis, cvr *emv.CVR) (wish, Reason) {
	return a.over(cvr, CheckCumulative, func() bool {
		return a.currency == a.application.currency && a.state.Cumulative+a.amount > a.state.CumulativeLimit
	}, ReasonOverCumulative)
}

func checkDual(a *analysis, cvr *emv.CVR) (wish, Reason) {
	return a.over(cvr, CheckDual, func() bool {
		converted, counts := a.converted()
		limit, _ := parseN12(a.application.setting(a.state, emv.TagDualCurrencyLimit))
		return counts && a.state.Dual+converted > limit
	}, ReasonOverCumulative)
}

// converted is the amount in the first currency, for the total of both; false for a third currency.
func (a *analysis) converted() (int64, bool) {
	switch {
	case a.currency == a.application.currency:
		return a.amount, true
	case a.secondary():
		return convert(a.amount, [4]byte(a.application.setting(a.state, emv.TagConversionFactor))), true
	}
	return 0, false
}

// convert multiplies by seven digits and moves the decimal point by the high half of the first byte [REF 1.3]. It rounds up: the
// card's limit must not be escaped by small amounts. Digits above nine count as nine.
func convert(amount int64, factor [4]byte) int64 {
	digits := int64(factor[0] & 0x0F)
	for _, b := range factor[1:] {
		digits = digits*100 + int64(min(b>>4, 9))*10 + int64(min(b&0x0F, 9))
	}
	scale := int64(1)
	for range min(factor[0]>>4, 9) {
		scale *= 10
	}
	if digits == 0 {
		return 0
	}
	if amount > (1<<62)/digits {
		return MaxMinor
	}
	return min((amount*digits+scale-1)/scale, MaxMinor)
}

func checkNewCard(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if a.state.LastOnlineATC != 0 {
		return wishNothing, ReasonNone
	}
	cvr.Set(emv.CVRNewCard)
	if a.action.Has(emv.ADANewCardOnline) {
		return wishOnline, ReasonNewCard
	}
	return wishNothing, ReasonNone
}

// checkPINBefore: the PIN was blocked before this payment began.
func checkPINBefore(a *analysis, cvr *emv.CVR) (wish, Reason) {
	if a.state.PINTries == 0 {
		cvr.Set(emv.CVRPINLimitExceeded)
	}
	switch {
	case a.dialogue.triesBefore != 0:
	case a.action.Has(emv.ADAPINLimitPreviousBlock), a.action.Has(emv.ADAPINLimitPreviousDecline):
		return wishDecline, ReasonPINBlockedBefore
	case a.action.Has(emv.ADAPINLimitPreviousOnline):
		return wishOnline, ReasonPINBlocked
	}
	return wishNothing, ReasonNone
}

func checkSamePayment(a *analysis, _ *emv.CVR) (wish, Reason) {
	if a.dialogue.changed {
		return wishDecline, ReasonDataChanged
	}
	return wishNothing, ReasonNone
}

func checkPurse(a *analysis, _ *emv.CVR) (wish, Reason) {
	switch {
	case a.amount > a.purse.SingleLimit:
		return wishOnline, ReasonOverSingleLimit
	case a.amount > a.purse.Balance:
		return wishOnline, ReasonOverBalance
	}
	return wishNothing, ReasonNone
}

// unableChecks are those of the second GENERATE AC when nobody could be asked [REF 3.3].
var unableChecks = [...]check{
	{"blocked", checkBlocked},
	{"9F59", func(a *analysis, cvr *emv.CVR) (wish, Reason) {
		return a.refuseOver(cvr, CheckConsecutive, func() bool {
			return a.consecutive() > int(a.application.setting(a.state, emv.TagUpperConsecutiveLimit)[0])
		}, ReasonConsecutive)
	}},
	{"9F5C", func(a *analysis, cvr *emv.CVR) (wish, Reason) {
		return a.refuseOver(cvr, CheckCumulative, func() bool {
			return a.currency == a.application.currency && a.state.Cumulative+a.amount > a.state.CumulativeUpperLimit
		}, ReasonOverCumulative)
	}},
	{"new card", func(a *analysis, _ *emv.CVR) (wish, Reason) {
		if a.state.LastOnlineATC == 0 && a.action.Has(emv.ADANewCardDecline) {
			return wishDecline, ReasonNewCardOffline
		}
		return wishNothing, ReasonNone
	}},
	{"PIN", func(a *analysis, _ *emv.CVR) (wish, Reason) {
		if a.dialogue.triesBefore == 0 && a.action.Has(emv.ADAPINLimitPreviousOffline) {
			return wishDecline, ReasonPINBlockedOffline
		}
		return wishNothing, ReasonNone
	}},
}

// unableCashChecks: electronic cash needs nobody else.
var unableCashChecks = [...]check{
	{"blocked", checkBlocked},
	{"2.9", checkSamePayment},
	{"9F79", func(a *analysis, cvr *emv.CVR) (wish, Reason) {
		if w, reason := checkPurse(a, cvr); w != wishNothing {
			return wishDecline, reason
		}
		return wishNothing, ReasonNone
	}},
}

func (a *analysis) refuseOver(cvr *emv.CVR, need Checks, exceeded func() bool, reason Reason) (wish, Reason) {
	if w, _ := a.over(cvr, need, exceeded, reason); w == wishNothing {
		return wishNothing, ReasonNone
	}
	return wishDecline, reason
}

// onlineChecks are those of the second GENERATE AC after the issuer has answered [REF 3.3].
var onlineChecks = [...]check{
	{"blocked", checkBlocked},
	{"issuer authentication", checkAuthentication},
}

func checkAuthentication(a *analysis, cvr *emv.CVR) (wish, Reason) {
	switch a.dialogue.authentication {
	case authenticationFailed:
		cvr.Set(emv.CVRIssuerAuthFailed)
		if a.action.Has(emv.ADAIssuerAuthFailedDecline) {
			return wishDecline, ReasonIssuerAuthFailed
		}
	case authenticationMissing:
		cvr.Set(emv.CVRIssuerAuthMissing)
		if a.application.authenticationMandatory() && a.action.Has(emv.ADANoARPCDecline) {
			return wishDecline, ReasonIssuerAuthMissing
		}
	case authenticationGood:
	}
	return wishNothing, ReasonNone
}

// Response codes [REF 3.3] [EMV B4 Annex A6].
var (
	approvals = map[[2]byte]bool{{'0', '0'}: true, {'1', '0'}: true, {'1', '1'}: true, {'0', '1'}: true, {'0', '2'}: true}
	unable    = map[[2]byte]bool{{'Y', '3'}: true, {'Z', '3'}: true}
	offline   = map[[2]byte]bool{{'Y', '1'}: true, {'Z', '1'}: true}
)

// second decides the second GENERATE AC. online reports that the issuer took part.
func (a *analysis) second(arc [2]byte) (d Decision, online bool) {
	d = Decision{SW: apdu.OK, CVR: a.dialogue.cvr}
	var heaviest wish
	switch {
	case unable[arc] || offline[arc]:
		if unable[arc] {
			d.CVR.Set(emv.CVRUnableOnline)
		}
		checks := unableChecks[:]
		if a.dialogue.cash {
			checks = unableCashChecks[:]
		}
		heaviest = a.run(checks, &d)
	default:
		online = true
		if heaviest = a.run(onlineChecks[:], &d); heaviest == wishNothing && !a.approved(arc) {
			heaviest, d.Reason, d.Step = wishDecline, ReasonIssuerDeclined, "8A"
		}
	}
	switch {
	case heaviest == wishDecline:
		d.CID = emv.AAC
	case a.asked == emv.AAC:
		d.CID, d.Reason, d.Step = emv.AAC, ReasonTerminalDeclined, "terminal"
	case online:
		d.CID, d.Reason, d.Step = emv.TC, ReasonIssuerApproved, "TC"
	default:
		d.CID, d.Reason, d.Step = emv.TC, ReasonOfflineApproved, "TC"
		if a.dialogue.cash {
			d.Reason = ReasonSpent
		}
	}
	d.CVR.SetSecond(d.CID)
	return d, online
}

// approved: the code means yes, and it is the one that the issuer authenticated, if it authenticated one. Without that a terminal could
// show the card another answer than the issuer gave.
func (a *analysis) approved(arc [2]byte) bool {
	if a.dialogue.authentication == authenticationGood && arc != a.dialogue.arc {
		return false
	}
	return approvals[arc]
}
