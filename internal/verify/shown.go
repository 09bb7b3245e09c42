package verify

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// What an acquirer's Noted row says of a gate's cryptogram, as its reason.
const (
	shownFirst = 1
	shownAgain = 2
	shownNamed = 3
)

// tapShown is such a row whose request is still to come.
type tapShown struct {
	payment string
	reason  uint16
}

// shown is a row about a gate's cryptogram: the first with its key (keys are unique), or one that names the first. Its request comes next.
func (m *member) shown(r *journal.Row) {
	m.noTap(r)
	m.tap = tapShown{r.Payment, r.Reason}
	switch r.Reason {
	case shownFirst:
		same(m, r, "linked", r.Linked, 0)
		if r.Key == "" {
			m.fault(r, "key", wordNothing, wordSomething)
		}
	case shownAgain, shownNamed:
		sameText(m, r, "key", r.Key, "")
		first := m.row(r.Linked)
		if first == nil || first.Kind != journal.Noted || first.Reason != shownFirst || first.ATC != r.ATC {
			m.fault(r, "linked", number(r.Linked), fill("the row of the cryptogram's first request", "首次携带该密文的请求所在行"))
		}
	default:
		m.fault(r, "reason", number(r.Reason), fill("1 to 3", "1至3"))
	}
}

// noTap is called for a row that does not begin a payment: nothing may be announced.
func (m *member) noTap(r *journal.Row) {
	if m.tap.payment == "" {
		return
	}
	m.fault(r, "kind", r.Kind.Term(), fill("the request %s that the row before announces", "前一行所预告的请求%s", m.tap.payment))
	m.tap = tapShown{}
}

// holdsToTap holds a request of a terminal against what was said of its cryptogram before, and against the most that its merchant may ask for.
func (a *auditor) holdsToTap(m *member, r *journal.Row) {
	tap := m.tap
	m.tap = tapShown{}
	if tap.payment != "" {
		sameText(m, r, "key", r.Key, tap.payment)
	}
	if r.Kind == journal.Declined {
		if tap.reason != 0 && (tap.reason != shownAgain || r.Reason != unionpay.DuplicateTransmission.Pack()) {
			m.fault(r, "reason", codeTerm(r.Reason), fill("an answer that fits the cryptogram", "与密文状态相符的应答"))
		}
		return
	}
	agreed, known := a.operators[r.Terminal]
	if !known && tap.reason == 0 {
		return
	}
	asks := r.Reason == businessSale || r.Reason == businessPreAuth
	switch {
	case tap.reason == shownAgain:
		m.fault(r, "kind", r.Kind.Term(), fill("a refusal: the cryptogram was used", "拒绝：密文已使用"))
	case agreed.Rides && tap.reason == 0 && r.ATC != 0 && (asks || r.Reason == businessBalance):
		m.fault(r, "key", quoted(r.Key), fill("a row before it about its cryptogram", "前一行应记录其密文"))
	}
	if asks = asks || r.Reason == businessCompletion || r.Reason == businessCompletionNote; asks && agreed.MostMinor > 0 && r.Amount > agreed.MostMinor {
		m.fault(r, "amount", number(r.Amount), mostTerm(agreed.MostMinor))
	}
}

func mostTerm(most int64) glossary.Term { return fill("at most %d", "不超过%d", most) }
