package verify

import (
	"math/bits"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// tokenState is where a token is in its life, in the token service's numbers.
type tokenState uint8

const (
	tokenRequested tokenState = iota + 1
	tokenInactive
	tokenActive
	tokenSuspended
	tokenDeactivated
)

func (s tokenState) term() glossary.Term {
	switch s {
	case tokenRequested:
		return glossary.Term{EN: "requested", ZH: "已申请"}
	case tokenInactive:
		return glossary.Term{EN: "not activated", ZH: "未激活"}
	case tokenActive:
		return glossary.Term{EN: "active", ZH: "已激活"}
	case tokenSuspended:
		return glossary.Term{EN: "suspended", ZH: "已暂停"}
	case tokenDeactivated:
		return glossary.Term{EN: "deleted", ZH: "已删除"}
	}
	return wordUnfit
}

// Who may suspend a token: one bit each.
const (
	byRisk           uint8 = 1 << 1
	byDeviceLost     uint8 = 1 << 4
	byPasswordLocked uint8 = 1 << 5
	suspenderBits          = 6
)

// tokenEvent is what happens to a token, as the reason of its row has it.
type tokenEvent uint16

const (
	eventNone tokenEvent = iota
	eventGreen
	eventYellow
	eventActivate
	eventSuspend
	eventResume
	eventResumeLast
	eventDelete
	eventRelink
	eventFound // the lost device is back, and the holder is verified
)

// How the holder of a token was verified, in the token service's numbers, and the assurance method that messages have for it [REF 8].
const (
	idvNone = iota
	idvRisk
	idvIssuer
	idvBankApp
	idvCardTap
	idvOneTimeCode
	idvCallCentre
	idvEnd
)

var assurances = [idvEnd]string{"00", "13", "14", "12", "11", "11", "14"}

// weak: such a verification gives lower limits.
func weak(idv uint8) bool { return idv == idvNone || idv == idvRisk || idv == idvOneTimeCode }

// life is the published life cycle: what is not in it may not happen.
var life = map[struct {
	from  tokenState
	event tokenEvent
}]tokenState{
	{tokenRequested, eventGreen}: tokenActive, {tokenRequested, eventYellow}: tokenInactive,
	{tokenInactive, eventActivate}: tokenActive, {tokenInactive, eventSuspend}: tokenInactive, {tokenInactive, eventResume}: tokenInactive,
	{tokenInactive, eventResumeLast}: tokenInactive, {tokenInactive, eventRelink}: tokenInactive, {tokenInactive, eventDelete}: tokenDeactivated,
	{tokenActive, eventSuspend}: tokenSuspended, {tokenActive, eventRelink}: tokenActive, {tokenActive, eventDelete}: tokenDeactivated,
	{tokenSuspended, eventActivate}: tokenSuspended, {tokenSuspended, eventSuspend}: tokenSuspended, {tokenSuspended, eventResume}: tokenSuspended,
	{tokenSuspended, eventResumeLast}: tokenActive, {tokenSuspended, eventRelink}: tokenSuspended, {tokenSuspended, eventDelete}: tokenDeactivated,
	{tokenInactive, eventFound}: tokenActive, {tokenSuspended, eventFound}: tokenActive,
}

// after is the state that an event leads to; the set of suspenders is the one after it. A token that was suspended before it was activated stays so.
func (s tokenState) after(e tokenEvent, suspenders uint8) (tokenState, bool) {
	to, legal := life[struct {
		from  tokenState
		event tokenEvent
	}{s, e}]
	if to == tokenActive && suspenders != 0 {
		to = tokenSuspended
	}
	return to, legal
}

// tokenRow is a row that changes tokens, with what it says happens.
type tokenRow struct {
	*journal.Row
	member *member
	event  tokenEvent
}

// what of a token may change at once.
const (
	partLife = 1 << iota
	partCard
	partAccount
	partIDV
	partUsed
	partChallenge
)

// changes lists what of a token is not as before.
func (t *vaultToken) changes(old *vaultToken) (parts int) {
	set := func(differs bool, part int) {
		if differs {
			parts |= part
		}
	}
	set(t.state != old.state || t.suspenders != old.suspenders, partLife)
	set(t.card != old.card, partCard)
	set(t.account != old.account, partAccount)
	set(t.idv != old.idv || t.activated != old.activated, partIDV)
	set(t.used != old.used, partUsed)
	set(t.challenge != old.challenge, partChallenge)
	return parts
}

// mayChange is what of a token a row may change.
func (r *tokenRow) mayChange() int {
	switch r.Kind {
	case journal.Answered:
		return partUsed
	case journal.Declined:
		return partLife
	case journal.KeysChanged:
		return partAccount
	case journal.Refused:
		return partChallenge
	case journal.CardChanged:
		switch r.event {
		case eventNone:
			return partChallenge
		case eventActivate, eventFound:
			return partLife | partIDV | partChallenge
		case eventSuspend, eventResume:
			return partLife
		case eventDelete:
			return partLife | partAccount | partChallenge
		case eventRelink:
			return partCard | partAccount
		}
	}
	return 0
}

// lives holds a change of a token against the life cycle.
func (r *tokenRow) lives(number uint64, old, t *vaultToken) {
	m := r.member
	if odd := t.changes(old) &^ r.mayChange(); odd != 0 || t.tokenFixed != old.tokenFixed {
		m.fault(r.Row, FieldToken, fill("token %d: a change of parts %06b", "令牌%d：变更部分%06b", number, odd),
			fill("parts %06b at most, after row %d", "最多变更部分%06b（此前第%d行）", r.mayChange(), m.vault.at(kindToken, number)))
		return
	}
	switch {
	case r.Kind == journal.Refused:
		r.wrongCode(number, old, t)
	case r.Kind == journal.Answered:
		same(m, r.Row, FieldToken, t.used, r.BusinessDate)
	case r.Kind == journal.Declined:
		r.moved(number, old, t, eventSuspend, old.suspenders|byRisk)
	case r.Kind != journal.CardChanged:
	case r.event == eventSuspend:
		added := t.suspenders &^ old.suspenders
		want := old.suspenders | added
		if bits.OnesCount8(added) > 1 {
			want = old.suspenders // one of them at a time
		}
		r.moved(number, old, t, eventSuspend, want)
	case r.event == eventResume:
		r.resumed(number, old, t)
	case r.event == eventDelete:
		r.moved(number, old, t, eventDelete, 0)
	case r.event == eventRelink:
		r.moved(number, old, t, eventRelink, old.suspenders)
	case r.event == eventActivate:
		r.activated(number, old, t)
	case r.event == eventFound:
		r.found(number, old, t)
	case r.event == eventNone && old.state == tokenDeactivated && t.challenge != old.challenge:
		m.fault(r.Row, FieldState, old.state.term(), fill("a token that is not deleted", "未删除的令牌"))
	}
}

// moved: an event leads from state to state as the life cycle has it.
func (r *tokenRow) moved(number uint64, old, t *vaultToken, e tokenEvent, suspenders uint8) {
	m := r.member
	want, legal := old.state.after(e, suspenders)
	switch {
	case !legal:
		m.fault(r.Row, FieldState, fill("token %d %s, then %s", "令牌%d：%s，其后%s", number, old.state.term().EN, t.state.term().EN),
			fill("what may follow in the life of a token", "令牌生命周期所允许的变更"))
	case t.state != want:
		m.fault(r.Row, FieldState, t.state.term(), want.term())
	case t.suspenders != suspenders:
		m.fault(r.Row, FieldSuspenders, suspenderTerm(t.suspenders), suspenderTerm(suspenders))
	}
}

func suspenderTerm(set uint8) glossary.Term { return fill("set %06b", "集合%06b", set) }

// resumed: one of those who suspended it leaves the set, and nobody joins.
func (r *tokenRow) resumed(number uint64, old, t *vaultToken) {
	want := t.suspenders & old.suspenders
	if bits.OnesCount8(old.suspenders&^t.suspenders) != 1 {
		r.member.fault(r.Row, FieldSuspenders, suspenderTerm(t.suspenders), fill("set %06b without one", "集合%06b减去一个", old.suspenders))
		return
	}
	e := eventResume
	if want == 0 {
		e = eventResumeLast
	}
	r.moved(number, old, t, e, want)
	if old.suspenders&^t.suspenders == byDeviceLost && r.member.vault.lost(t.device) {
		r.member.fault(r.Row, FieldSuspenders, suspenderTerm(t.suspenders), fill("the lost device in it", "含设备挂失"))
	}
}

// activated: a verification of the holder. A better one of an active token starts no new first day.
func (r *tokenRow) activated(number uint64, old, t *vaultToken) {
	m := r.member
	suspenders := old.suspenders
	if old.state == tokenActive {
		if t.state != tokenActive || t.suspenders != suspenders {
			m.fault(r.Row, FieldState, t.state.term(), tokenActive.term())
		}
	} else {
		if t.idv == idvOneTimeCode { // a changed SIM proves nothing
			suspenders |= t.suspenders & byRisk
		}
		r.moved(number, old, t, eventActivate, suspenders)
	}
	want := old.activated
	if want == 0 {
		want = r.At.Unix()
	}
	same(m, r.Row, FieldToken, t.activated, want)
	if t.challenge != (tokenChallenge{}) {
		m.fault(r.Row, FieldChallenge, wordSomething, wordNothing)
	}
	ch := old.challenge
	if t.idv == idvOneTimeCode && (ch.method != idvOneTimeCode || ch.tries == 0 || r.At.Unix() >= ch.expires) {
		m.fault(r.Row, FieldChallenge, fill("a code with %d tries left", "验证码剩余%d次", ch.tries), fill("a one-time code that stands", "有效的一次性验证码"))
	}
}

// found: with the lost device its suspension goes, from the token whose holder was verified and from the bank's others there. One that was never activated
// stays so, unless it is the one.
func (r *tokenRow) found(number uint64, old, t *vaultToken) {
	e, suspenders := eventFound, old.suspenders&^byDeviceLost|t.suspenders&byRisk
	if own := uint64(r.Card) == number; !own && old.state == tokenInactive {
		if e = eventResume; suspenders == 0 {
			e = eventResumeLast
		}
	} else if !own && old.suspenders&byDeviceLost == 0 {
		r.member.fault(r.Row, FieldSuspenders, suspenderTerm(old.suspenders), fill("a token of the lost device", "挂失设备上的令牌"))
	}
	r.moved(number, old, t, e, suspenders)
	want := old.activated
	if want == 0 && e == eventFound {
		want = r.At.Unix()
	}
	same(r.member, r.Row, FieldToken, t.activated, want)
}

// recorded: what happens to a token is an entry in its history, behind those that were there. Journals of before there were histories have none.
func (r *tokenRow) recorded(list []record) {
	m, v := r.member, r.member.vault
	for i := range list {
		h, ok := list[i].one.(*tokenHistory)
		if !ok {
			continue
		}
		old, t := v.histories[h.token], v.token(h.token)
		v.histories[h.token] = h
		want := livedChange{row: r.Seq, at: r.At.Unix(), event: r.event}
		if r.Kind == journal.Declined {
			want.event = eventSuspend
		}
		if t == nil || len(h.lived) == 0 || !slices.ContainsFunc(list, func(o record) bool { return o.cell == cellNumber(kindToken, h.token) }) {
			r.wrong(kindToken, h.token, "a history of a token that the row changes", "该行所变更令牌的历史")
			continue
		}
		last := h.lived[len(h.lived)-1]
		want.state, want.suspenders, want.actor, want.who, want.reason = t.state, t.suspenders, last.actor, last.who, last.reason
		if last != want {
			m.fault(r.Row, FieldHistory, fill("%d by %d in row %d: %s", "事件%d，操作方%d，第%d行：%s", last.event, last.actor, last.row, last.state.term().EN),
				fill("%d in row %d: %s", "事件%d，第%d行：%s", want.event, want.row, want.state.term().EN))
		}
		if !old.goesOn(h) {
			m.fault(r.Row, FieldHistory, (&record{one: h}).term(), fill("the history before it and one change more", "此前的历史加一项变更"))
		}
	}
	if len(v.histories) == 0 {
		return
	}
	for i := range list {
		one := &list[i]
		if one.kind() == kindToken && r.keepsHistory() && !slices.ContainsFunc(list, func(o record) bool { return o.cell == historyBase+int64(one.number()) }) {
			m.fault(r.Row, FieldHistory, wordNone, fill("the change in the history of token %d", "令牌%d历史中的该变更", one.number()))
		}
	}
}

// keepsHistory tells the rows whose changes are remembered: not the date of a use, not a new key.
func (r *tokenRow) keepsHistory() bool {
	return r.Kind == journal.Opened || r.Kind == journal.CardChanged || r.Kind == journal.Refused || r.Kind == journal.Declined
}

// goesOn reports whether a history is this one with one entry more. The first entry stays; of the others the oldest goes when there are too many.
func (h *tokenHistory) goesOn(next *tokenHistory) bool {
	if h == nil {
		h = &tokenHistory{}
	}
	before, dropped := h.lived, h.dropped
	if len(before) == mostLived {
		before, dropped = append(slices.Clone(before[:1]), before[2:]...), dropped+1
	}
	return next.dropped == dropped && len(next.lived) == len(before)+1 && slices.Equal(next.lived[:len(before)], before)
}

// wrongCode: a wrong one-time code costs a try.
func (r *tokenRow) wrongCode(number uint64, old, t *vaultToken) {
	want := old.challenge
	if want.method != idvOneTimeCode || want.tries == 0 || r.At.Unix() >= want.expires {
		r.member.fault(r.Row, FieldChallenge, fill("token %d: %d tries left", "令牌%d：剩余%d次", number, want.tries),
			fill("a one-time code that stands", "有效的一次性验证码"))
		return
	}
	if want.tries--; t.challenge != want {
		r.member.fault(r.Row, FieldChallenge, number8(t.challenge.tries), number8(want.tries))
	}
}

func number8(n uint8) glossary.Term { return number(n) }
