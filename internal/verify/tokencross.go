package verify

import (
	"strings"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// The members who know of a payment by token write it under one key: the cloud secure element uses a counter for it, the token service resolves it, the switch
// sends it on and the issuer decides. The questions come before the answers, so whoever was asked has it in writing first.

// tokenSide is what one of them says.
type tokenSide struct {
	member   *member
	row      uint64
	at       int64
	amount   int64
	currency uint16
	reason   unionpay.TokenReason
	approved bool
	ref      uint64 // hash of the token's reference
	checked  bool   // the cloud secure element has verified the cryptogram, as the row says; keys of secure elements are elsewhere
	refused  bool   // it has refused it
}

// tokenCase is one payment by token.
type tokenCase struct{ cloud, service, sw, issuer tokenSide }

func (a *auditor) tokenCase(join uint64) *tokenCase {
	c := a.tokenCases[join]
	if c == nil {
		c = &tokenCase{}
		a.tokenCases[join] = c
	}
	return c
}

func (m *member) tokenSide(r *journal.Row) tokenSide {
	return tokenSide{member: m, row: r.Seq, at: r.At.UnixMicro(), amount: r.Amount, currency: r.Currency, reason: unionpay.TokenReason(r.Reason)}
}

// verified takes in a decision of the cloud secure element.
func (a *auditor) verified(m *member, r *journal.Row, j join) {
	c := a.tokenCase(j.key)
	c.cloud = m.tokenSide(r)
	c.cloud.approved = r.Kind == journal.Approved
	if r.Payment != "" {
		c.cloud.ref = a.hash(strings.ToLower(r.Payment))
	}
}

// resolved takes in a decision of the token service.
func (a *auditor) resolved(m *member, r *journal.Row, j join, d unionpay.TokenData) {
	c := a.tokenCase(j.key)
	c.service = m.tokenSide(r)
	c.service.approved = r.Kind == journal.Answered
	c.service.checked = d.Verification == unionpay.CryptogramVerified && d.Storage == unionpay.StorageHCE
	c.service.refused = d.Verification == unionpay.CryptogramRefused && d.Storage == unionpay.StorageHCE
	if d.Reference != "" {
		c.service.ref = a.hash(strings.ToLower(d.Reference))
	}
}

// sentOn takes in what a switch says of the token of a payment it sends on. What only follows a payment is asked for under a key of its own.
func (a *auditor) sentOn(m *member, r *journal.Row, j join) {
	if len(r.Answer) == 0 {
		return
	}
	d, err := unionpay.ParseTokenData(unionpay.Opaque(r.Answer))
	if err != nil || d.Reason != unionpay.TokenResolved && d.Reason != unionpay.TokenMapped {
		m.fault(r, "answer", wordUnfit, fill("what the token service said", "令牌服务的答复"))
		return
	}
	if a.tokenServices == nil || d.Reason == unionpay.TokenMapped {
		return
	}
	c := a.tokenCase(j.key)
	c.sw = m.tokenSide(r)
	c.sw.approved, c.sw.reason, c.sw.checked = true, d.Reason, d.Verification == unionpay.CryptogramVerified
	c.sw.ref = a.hash(strings.ToLower(d.Reference))
}

// decidedByToken takes in an issuer's decision for which the network has vouched. By then all others have written theirs.
func (a *auditor) decidedByToken(m *member, r *journal.Row, j join) {
	if a.tokenServices == nil {
		return
	}
	c := a.tokenCase(j.key)
	c.issuer = m.tokenSide(r)
	c.issuer.approved = r.Kind == journal.Approved
}

// settleToken compares what is complete and lets go of it. At one instant the rows of the issuer come before those of the token service.
func (a *auditor) settleToken(join uint64) {
	c := a.tokenCases[join]
	if c == nil || c.issuer.row == 0 || c.service.row == 0 || (c.service.checked || c.service.refused) && a.cloudElements != nil && c.cloud.row == 0 {
		return
	}
	a.judgeToken(c)
	delete(a.tokenCases, join)
}

// finishTokens compares what is left.
func (a *auditor) finishTokens() {
	for join, c := range a.tokenCases {
		a.judgeToken(c)
		delete(a.tokenCases, join)
	}
	if m := a.cloudElements; m != nil {
		for _, pair := range m.clouds.pairs {
			a.onePayment(m, pair)
		}
		a.strangers(m)
	}
}

// judgeToken holds the sides of a payment by token against each other.
func (a *auditor) judgeToken(c *tokenCase) {
	for _, asked := range [...]struct {
		asks, answers *tokenSide
		there         *member
		needs         bool
	}{
		{&c.issuer, &c.service, a.tokenServices, c.issuer.row != 0},
		{&c.sw, &c.service, a.tokenServices, c.sw.row != 0},
		{&c.service, &c.cloud, a.cloudElements, c.service.checked || c.service.refused},
	} {
		if asked.needs && asked.there != nil && !asked.there.lost && !asked.asks.member.lost {
			a.answers(asked.asks, asked.answers, asked.there)
		}
	}
	if c.service.refused && c.cloud.row != 0 && c.service.reason >= unionpay.CredentialUnknown && c.service.reason != c.cloud.reason {
		a.tokenWrong(&c.service, "reason", reasonTerm(c.service.reason), reasonTerm(c.cloud.reason), &c.cloud)
	}
}

// answers: what one member says was answered, the other one has written, as a yes where it was one, about the same payment.
func (a *auditor) answers(asks, answers *tokenSide, there *member) {
	switch {
	case answers.row == 0:
		place := there.place()
		a.tokenWrong(asks, FieldCounterpart, glossary.Term{EN: "no row at " + place.EN, ZH: place.ZH + "没有记录"},
			glossary.Term{EN: "its payment at " + place.EN, ZH: place.ZH + "有该交易"}, nil)
	case (asks.member.role != theTokenServices || asks.checked) && !answers.approved:
		a.tokenWrong(asks, FieldEnd, stateTerm(isApproved), reasonTerm(answers.reason), answers)
	case asks.amount != answers.amount:
		a.tokenWrong(answers, "amount", number(answers.amount), number(asks.amount), asks)
	case asks.currency != answers.currency:
		a.tokenWrong(answers, "currency", number(answers.currency), number(asks.currency), asks)
	case asks.ref != 0 && answers.ref != 0 && asks.ref != answers.ref:
		a.tokenWrong(asks, FieldToken, fill("another token", "另一令牌"), fill("the token of the question", "所询问的令牌"), answers)
	}
}

func (a *auditor) tokenWrong(s *tokenSide, field string, found, expected glossary.Term, by *tokenSide) {
	w := Wrong{Role: s.member.Role, Member: s.member.Name, Row: s.row, Field: field, Found: found, Expected: expected, at: s.at}
	if by != nil && by.row != 0 {
		w.Witness = Witness{by.member.Role, by.member.Name, by.row}
	}
	a.findings.add(w)
}

// onePayment: where a counter got two answers, because one payment came twice, one approval at most may stand at the issuers.
func (a *auditor) onePayment(m *member, pair sameCounter) {
	first, again := m.row(pair.first), m.row(pair.again)
	if first == nil || again == nil {
		return
	}
	if a.stands(first.Key) && a.stands(again.Key) {
		m.fault(again, FieldCounter, fill("two approvals that stand for counter %d", "计数器%d有两笔有效批准", again.ATC), fill("one, that of row %d", "只有第%d行的一笔", pair.first))
	}
}

// stands reports whether an approval under a key of the token service stands at an issuer.
func (a *auditor) stands(key string) bool {
	if key == "" {
		return false
	}
	for _, m := range a.issuers {
		for _, class := range [...]byte{classPayment, classAuthorization} {
			r := m.find(key[:len(key)-1] + string(rune(class)))
			if r == nil || r.Kind != journal.Approved {
				continue
			}
			if r.Seq < uint64(len(m.marks)) && m.marks[r.Seq]&markSettled != 0 {
				return m.marks[r.Seq]&outcomeBits == isApproved
			}
			p := a.cases.byJoin[a.join(r.Key)]
			return p == nil || p.sides[theIssuers].state == isApproved
		}
	}
	return false
}

// strangers: keys go to tokens that the token service has given out.
func (a *auditor) strangers(m *member) {
	service := a.tokenServices
	if service == nil || service.lost || m.lost {
		return
	}
	for ref, t := range m.clouds.tokens {
		if _, known := service.vault.tokenOf[a.hash(strings.ToLower(ref))]; !known {
			place := service.place()
			a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: uint64(t.id), Kind: journal.Opened, Field: FieldCounterpart,
				Found: fill("no token %q at %s", "没有令牌%q（%s）", ref, place.EN), Expected: fill("a token that was given out", "已发放的令牌"), at: m.flow.last})
		}
	}
}
