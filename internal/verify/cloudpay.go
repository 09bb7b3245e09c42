package verify

import (
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Flags in the note of a cloud secure element's decision; behind them the class of the key, the cause of an alarm and what recognises the payment.
const (
	cloudHasClass uint8 = 1 << iota
	cloudUses           // the counter is used by this row
	cloudWrong          // a wrong cryptogram
	cloudRight          // a right one of the strongest class: wrong ones are forgotten
	cloudAbroad
	cloudCounts // the amount counts towards limits
	cloudProven // cryptogram and device tag were right

	cloudNoteBytes = 13
	cloudFlags     = 1<<7 - 1
)

// cloudDecision is a decision with its note.
type cloudDecision struct {
	*journal.Row
	member *member
	t      *cloudToken
	flags  uint8
	class  uint8
	cause  uint8
	hash   [10]byte
	batch  *cloudBatch
	key    *cloudKey
	used   *cloudUse // what used the counter before
}

func (d *cloudDecision) has(flag uint8) bool          { return d.flags&flag != 0 }
func (d *cloudDecision) reason() unionpay.TokenReason { return unionpay.TokenReason(d.Reason) }
func (d *cloudDecision) wrongly(field string, found, expected glossary.Term) {
	d.member.fault(d.Row, field, found, expected)
}

// cloudPayment decides a payment again as far as the rows before it say: a counter is used once, by a key that lives, within its class and the limits.
func (a *auditor) cloudPayment(m *member, r *journal.Row, j join) {
	same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
	if m.networkKey(r, "key", r.Key, classAuthorization) {
		m.networkSTAN(r, r.Key)
	}
	if len(r.Note) != cloudNoteBytes || r.Note[0]&^cloudFlags != 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	d := &cloudDecision{Row: r, member: m, flags: r.Note[0], class: r.Note[1], cause: r.Note[2], hash: [10]byte(r.Note[3:])}
	verified := d.reason() == unionpay.TokenVerified
	if verified != (r.Kind == journal.Approved) || !d.reason().Known() {
		m.fault(r, "reason", reasonTerm(d.reason()), fill("a reason to %s", "%s的理由", r.Kind.Term().EN))
	}
	m.tally.count(map[bool]outcome{true: isApproved, false: isDeclined}[verified])
	a.verified(m, r, j)
	if r.Payment == "" {
		if d.reason() != unionpay.TokenUnknown || d.flags&^cloudAbroad != 0 {
			m.fault(r, "reason", reasonTerm(d.reason()), reasonTerm(unionpay.TokenUnknown))
		}
		return
	}
	if d.t = m.cloudToken(r); d.t == nil {
		return
	}
	if d.batch, d.key = d.t.find(r.ATC); d.batch != nil {
		d.used = d.batch.use(r.ATC)
	}
	d.flags, d.cause = d.decideAgain()
	d.fold()
}

// decideAgain holds reason and flags against each other and against the token, and gives what they must be.
func (d *cloudDecision) decideAgain() (flags, cause uint8) {
	if d.has(cloudHasClass) && d.key != nil && d.class != d.key.class {
		d.wrongly("note", number(d.class), fill("class %d, the key's", "类别%d，即该密钥的类别", d.key.class))
	}
	blocked := unionpay.TokenReason(0)
	switch {
	case d.t.causes&causePassword != 0:
		blocked = unionpay.TokenPasswordLocked
	case d.t.causes != 0:
		blocked = unionpay.CredentialSuspended
	}
	isBlocked := d.reason() == unionpay.TokenPasswordLocked || d.reason() == unionpay.CredentialSuspended
	if d.reason() != unionpay.TokenUnknown && (blocked != 0 || isBlocked) && d.reason() != blocked {
		d.wrongly("reason", reasonTerm(d.reason()), reasonTerm(blocked))
		return d.flags, d.cause
	}
	switch d.reason() {
	case unionpay.CredentialCryptogram:
		d.admitted()
		flags = cloudWrong
		if d.t.wrong+1 >= cloudWrongMost {
			cause = causePassword
		}
	case unionpay.CredentialDeviceTag:
		d.admitted()
		cause = causeDevice
	case unionpay.CounterRepeated:
		d.admitted()
		flags, cause = cloudProven, causeClone
		if d.used == nil {
			d.wrongly(FieldCounter, number(d.ATC), fill("a counter that was used", "已使用的计数器"))
		}
	case unionpay.TokenVerified, unionpay.CredentialTapLimit, unionpay.CredentialDayLimit, unionpay.CredentialNeedsRefill:
		flags = d.judged()
	case unionpay.CredentialEvidence, unionpay.CredentialNeedsCVM: // before the counter is used, or after
		if d.has(cloudProven) {
			flags = d.judged()
		}
	default:
		d.refusedBefore()
	}
	if found := d.flags &^ (cloudHasClass | cloudAbroad); found != flags {
		d.wrongly("note", fill("flags %07b", "标志%07b", found), fill("flags %07b", "标志%07b", flags))
	}
	if d.cause != cause {
		d.wrongly("note", fill("cause %04b", "原因%04b", d.cause), fill("cause %04b", "原因%04b", cause))
	}
	if d.has(cloudUses) == (d.hash == [10]byte{}) {
		d.wrongly("note", wordUnfit, fill("what recognises the payment, where it uses the counter", "使用计数器时写明交易特征"))
	}
	return flags | d.flags&(cloudHasClass|cloudAbroad), cause
}

// refusedBefore is a refusal before any cryptogram: what it says of the key must hold.
func (d *cloudDecision) refusedBefore() {
	at := d.At.Unix()
	switch d.reason() {
	case unionpay.CredentialRevoked:
		forgotten := d.batch == nil && d.ATC != 0 && uint64(d.ATC) < d.t.nextATC
		if !forgotten && (d.batch == nil || d.batch.revokedAt == 0 || at < d.batch.revokedAt) {
			d.wrongly("reason", reasonTerm(d.reason()), fill("a key that was revoked", "已撤销的密钥"))
		}
	case unionpay.CredentialExpired:
		if d.batch == nil || at <= d.batch.notAfter+cloudLateGrace {
			d.wrongly("reason", reasonTerm(d.reason()), fill("a key that has expired", "已过期的密钥"))
		}
	}
}

// admitted: the key of the counter lives, and is of a class for the amount.
func (d *cloudDecision) admitted() bool {
	at := d.At.Unix()
	switch {
	case d.batch == nil:
		d.wrongly(FieldCounter, number(d.ATC), fill("a counter that was given out and is not forgotten, below %d", "已下发且未失效的计数器，小于%d", d.t.nextATC))
		return false
	case d.batch.revokedAt != 0 && at >= d.batch.revokedAt:
		d.wrongly("reason", reasonTerm(d.reason()), reasonTerm(unionpay.CredentialRevoked))
	case at > d.batch.notAfter+cloudLateGrace:
		d.wrongly("reason", reasonTerm(d.reason()), reasonTerm(unionpay.CredentialExpired))
	}
	l := d.t.profile.limits()
	if d.key.class != d.t.profile.cvm && (d.Currency != d.t.profile.currency || d.Amount > l.openTap) {
		d.wrongly("reason", reasonTerm(d.reason()), reasonTerm(unionpay.CredentialNeedsCVM))
	}
	return true
}

// judged is a decision with a right cryptogram. The same payment come again gets the first answer; otherwise the counter is used now.
func (d *cloudDecision) judged() (flags uint8) {
	if !d.admitted() {
		return d.flags &^ (cloudHasClass | cloudAbroad)
	}
	if !d.has(cloudUses) {
		d.comesAgain()
		return cloudProven
	}
	if d.used != nil {
		d.wrongly(FieldCounter, fill("counter %d again", "再次使用计数器%d", d.ATC), fill("a counter that row %d has not used", "第%d行未使用的计数器", d.used.row))
	}
	switch d.reason() {
	case unionpay.TokenVerified, unionpay.CredentialTapLimit, unionpay.CredentialDayLimit, unionpay.CredentialNeedsRefill:
		if want := d.limit(); want != d.reason() {
			d.wrongly("reason", reasonTerm(d.reason()), reasonTerm(want))
		}
	}
	flags = cloudUses | cloudProven
	if d.key.class == d.t.profile.cvm {
		flags |= cloudRight
	}
	if d.reason() == unionpay.TokenVerified {
		flags |= cloudCounts
	}
	return flags
}

// comesAgain: an answer without use of the counter repeats one about the same payment.
func (d *cloudDecision) comesAgain() {
	if d.used == nil {
		d.wrongly(FieldCounter, fill("counter %d not used", "计数器%d未使用", d.ATC), fill("a counter used by this row or before it", "由该行或之前的行使用"))
		return
	}
	first := d.member.row(d.used.row)
	if first != nil && (first.Amount != d.Amount || first.Currency != d.Currency || first.STAN != d.STAN || first.Reason != d.Reason) {
		d.wrongly(FieldCounter, fill("counter %d for another payment", "计数器%d用于另一交易", d.ATC), fill("the payment of row %d", "第%d行的交易", d.used.row))
	}
	if d.Kind == journal.Approved {
		d.member.clouds.pairs = append(d.member.clouds.pairs, sameCounter{d.used.row, d.Seq})
	}
}

// limit is the first limit that the payment breaks; without one it is verified.
func (d *cloudDecision) limit() unionpay.TokenReason {
	l, where, most := d.t.profile.limits(), 0, int64(0)
	if most = l.day; d.has(cloudAbroad) {
		where, most = 1, l.foreign
	}
	today := d.t.days[where]
	if today.date != d.BusinessDate {
		today = cloudDay{}
	}
	switch {
	case d.Amount > l.tap:
		return unionpay.CredentialTapLimit
	case today.minor+d.Amount > most || today.count+1 > l.dayCount:
		return unionpay.CredentialDayLimit
	case d.t.taps+1 > l.contactTaps || d.t.minor+d.Amount > l.contactMinor:
		return unionpay.CredentialNeedsRefill
	}
	return unionpay.TokenVerified
}

// fold leaves on the token what the decision says.
func (d *cloudDecision) fold() {
	t, at := d.t, d.At.Unix()
	t.seq = d.Seq
	if d.has(cloudUses) && d.batch != nil && d.used == nil {
		d.batch.used = append(slices.Clip(d.batch.used), cloudUse{d.ATC, at, d.Reason, d.hash, d.Seq})
		t.taps++
	}
	if d.has(cloudWrong) {
		t.wrong++
	}
	if d.has(cloudRight) {
		t.wrong = 0
	}
	if d.has(cloudCounts) {
		day := &t.days[boolean(d.has(cloudAbroad))]
		if day.date != d.BusinessDate {
			*day = cloudDay{date: d.BusinessDate}
		}
		day.count, day.minor, t.minor = day.count+1, day.minor+d.Amount, t.minor+d.Amount
	}
	if d.cause != 0 {
		t.stop(d.cause, at)
		d.member.clouds.alarms[alarmKey(t.ref, d.cause, d.Seq)] = true
	}
}
