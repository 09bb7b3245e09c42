package verify

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// resolution decides again what a token service was asked for a payment, as far as the rows before it say: state, suspenders, expiry, card, requestor, currency
// and the limits of a new or weakly verified token. Merchant, category, country and presentment are in the message alone.
func (a *auditor) resolution(m *member, r *journal.Row, j join, t *vaultToken) {
	sameText(m, r, "payment", r.Payment, r.Key)
	if m.networkKey(r, "key", r.Key, classAuthorization) {
		m.networkSTAN(r, r.Key)
	}
	reason := unionpay.TokenReason(r.Reason)
	d, err := unionpay.ParseTokenData(unionpay.Opaque(r.Answer))
	if err != nil {
		m.fault(r, "answer", wordUnfit, wordReadable)
	} else if d.Reason != reason {
		m.fault(r, "reason", reasonTerm(reason), reasonTerm(d.Reason))
	}
	approved := reason.Known() && reason.ResponseCode().Approved()
	if !reason.Known() || reason >= unionpay.TokenServiceUnavailable || reason == unionpay.TokenVerified || reason == unionpay.TokenKeyReused ||
		approved != (r.Kind == journal.Answered) {
		m.fault(r, "reason", reasonTerm(reason), fill("a reason to %s", "%s的理由", r.Kind.Term().EN))
	}
	m.tally.count(map[bool]outcome{true: isApproved, false: isDeclined}[approved])
	a.resolved(m, r, j, d)
	if r.Card == 0 {
		if reason != unionpay.TokenUnknown {
			m.fault(r, "card", number(r.Card), fill("a token", "令牌"))
		}
		return
	}
	if t == nil {
		m.fault(r, "card", number(r.Card), fill("a token that was given out", "已发放的令牌"))
		return
	}
	m.describes(r, t, &d)
	first := m.firstRule(r, t)
	switch {
	case reason == unionpay.TokenMapped:
	case reason == unionpay.TokenCardClosed: // of a mapping the only one
		if t.account.sealed != 0 {
			m.fault(r, "reason", reasonTerm(reason), fill("a card that is open", "卡片正常"))
		}
	case reason == unionpay.TokenResolved && first != 0:
		m.fault(r, "reason", reasonTerm(reason), reasonTerm(first))
	case derivableRule(reason) && first != reason, first != 0 && first < reason:
		m.fault(r, "reason", reasonTerm(reason), reasonTerm(first))
	}
	m.noted(r, t, reason)
}

func reasonTerm(r unionpay.TokenReason) glossary.Term {
	if r == 0 {
		return fill("no reason to refuse", "无拒绝理由")
	}
	t := r.Term()
	return glossary.Term{EN: strconv.Itoa(int(r)) + " " + t.EN, ZH: strconv.Itoa(int(r)) + " " + t.ZH}
}

// derivableRule are the reasons that follow from the row and those before it.
func derivableRule(r unionpay.TokenReason) bool {
	switch r {
	case unionpay.TokenDeleted, unionpay.TokenNotActive, unionpay.TokenLost, unionpay.TokenPasswordLocked, unionpay.TokenSuspended, unionpay.TokenExpired,
		unionpay.TokenRequestorSuspended, unionpay.TokenWrongCurrency, unionpay.TokenCooling, unionpay.TokenAssuranceLimit:
		return true
	}
	return false
}

// firstRule is the first of those that applies, 0 when none does.
func (m *member) firstRule(r *journal.Row, t *vaultToken) unionpay.TokenReason {
	q := m.vault.requestor(t.requestor)
	expiry, err := pan.ParseExpiry(t.expiry)
	currency := tail("00"+strconv.Itoa(int(r.Currency)), 3)
	outside := func(list []string) bool { return len(list) > 0 && !slices.Contains(list, currency) }
	switch {
	case t.state == tokenDeactivated:
		return unionpay.TokenDeleted
	case t.state == tokenInactive || t.state == tokenRequested:
		return unionpay.TokenNotActive
	case t.suspenders&byDeviceLost != 0:
		return unionpay.TokenLost
	case t.suspenders&byPasswordLocked != 0:
		return unionpay.TokenPasswordLocked
	case t.state != tokenActive || t.suspenders != 0:
		return unionpay.TokenSuspended
	case err != nil || expiry.Expired(r.At):
		return unionpay.TokenExpired
	case t.account.sealed == 0:
		return unionpay.TokenCardClosed
	case q == nil || q.suspended:
		return unionpay.TokenRequestorSuspended
	case outside(q.currencies) || t.narrowed && t.currencies != "" && !strings.Contains(t.currencies, currency+","):
		return unionpay.TokenWrongCurrency
	case q.coolingMinor > 0 && r.Amount > q.coolingMinor && t.cools(r.At, q.coolingHours):
		return unionpay.TokenCooling
	case q.limitedMinor > 0 && r.Amount > q.limitedMinor && weak(t.idv):
		return unionpay.TokenAssuranceLimit
	}
	return 0
}

func (t *vaultToken) cools(at time.Time, hours int64) bool {
	return t.activated != 0 && hours != 0 && at.Before(time.Unix(t.activated, 0).Add(time.Duration(hours)*time.Hour))
}

// describes holds what an answer says of a token against its records.
func (m *member) describes(r *journal.Row, t *vaultToken, d *unionpay.TokenData) {
	q := m.vault.requestor(t.requestor)
	if d.Reference == "" || q == nil || d.Requestor != q.id || d.Device != t.reference || uint8(d.Storage) != t.storage || d.Assurance != assurances[t.idv] {
		m.fault(r, "answer", fill("requestor %s, device %q, storage %d, assurance %s", "请求方%s，设备%q，存储%d，验证%s", d.Requestor, d.Device, d.Storage, d.Assurance),
			fill("what token %d is", "与令牌%d一致", r.Card))
		return
	}
	m.refers(r, "answer", uint64(r.Card), d.Reference)
	par := m.auditor.hash(d.PAR)
	account := t.account.par
	if c := m.vault.card(t.card); account == 0 && c != nil {
		account = c.par
	}
	if known, named := m.vault.pars[account]; named && known != par {
		m.fault(r, "answer", quoted(d.PAR), fill("the account reference of card %d", "卡%d的账户参考号", t.card))
	}
	m.vault.pars[account] = par
	file := unionpay.TokenStorage(t.storage) == unionpay.StorageFile
	if d.Reason == unionpay.TokenResolved && d.Verification != unionpay.CryptogramVerified && !file {
		m.fault(r, "answer", number(uint8(d.Verification)), fill("a cryptogram that was verified", "已验证的密文"))
	}
}

// noted: a payment leaves the date of its last use, and an alarm suspends.
func (m *member) noted(r *journal.Row, t *vaultToken, reason unionpay.TokenReason) {
	alarm := reason == unionpay.CounterRepeated || reason == unionpay.CredentialDeviceTag
	changes := len(r.Note) != 0
	switch {
	case reason == unionpay.TokenResolved && changes != (t.used != r.BusinessDate):
		m.fault(r, "note", yesNo(changes), fill("the date of its use where it is another: %d", "使用日期变更时写明：%d", t.used))
	case changes && reason != unionpay.TokenResolved && !alarm:
		m.fault(r, "note", wordSomething, wordNothing)
	case alarm && !changes && t.state != tokenDeactivated:
		m.fault(r, "note", wordNothing, fill("the suspension of the token", "暂停该令牌"))
	}
}

func yesNo(b bool) glossary.Term {
	if b {
		return wordSomething
	}
	return wordNothing
}
