package transit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
)

// history is everything that was decided about an account, in pages of so many.
func (c *city) history(account int64, most int) (all []Decision) {
	c.Helper()
	trail, ok := c.ask(ViewHistory{Account: account}).(Trail)
	if !ok {
		c.Fatalf("no trail of account %d", account)
	}
	for after := uint64(0); after < trail.Last; {
		page, err := History(c.Context(), c.office.Archive(), trail, after, most)
		if err != nil {
			c.Fatal(err)
		}
		if len(page.List) > most || page.Read <= after {
			c.Fatalf("a page of %d decisions up to row %d, after row %d", len(page.List), page.Read, after)
		}
		all, after = append(all, page.List...), page.Read
	}
	return all
}

// TestEveryDecisionIsSeen: the life of a debt, of a card that is stopped and released, and of an account that turns out to be two, each with reason and time.
func TestEveryDecisionIsSeen(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	phone, other := transittest.NewCard(t, 2), transittest.NewCard(t, 3)
	poor := c.poor()
	c.ridden(card)
	c.ride(phone, "b", "d", c.at(0, 9, 10))
	c.ride(other, "b", "d", c.at(0, 9, 20))
	c.upload("b", "d")
	c.closeDay(0)
	c.at(1, 5, 2)
	c.ask(Retry{Bill: c.office.state.credentials[1].bills[0]})
	*poor = false
	c.at(2, 12, 0)
	c.at(2, 12, 2)
	c.ask(Enrol{Account: 1, Category: "student"})
	c.ask(Block{Credential: 1, Reason: denylist.Lost})
	c.at(2, 12, 4)
	c.ask(Unblock{Credential: 1})
	c.at(2, 12, 6)
	for _, b := range c.bills() {
		if b.credential == 1 {
			c.ask(RefundBill{Bill: b.seq, Minor: 200})
		}
	}
	card.Reference, phone.Reference = "V0010013022298169667504231315", "V0010013022298169667504231315"
	c.ride(card, "a", "c", c.at(2, 14, 0))
	c.ride(phone, "b", "d", c.at(2, 15, 0))
	c.upload("a", "c", "b", "d")
	all := c.history(1, 500)
	var said []string
	for i := range all {
		if all[i].What.EN == "" || all[i].What.ZH == "" || all[i].At.IsZero() || all[i].Row == 0 || all[i].Credential == 3 {
			t.Errorf("%+v", all[i])
		}
		said = append(said, all[i].What.EN)
	}
	text := strings.Join(said, "\n")
	for _, want := range []string{
		"requested: verification", "answered: 00 approved; approved", "charged: the day's close", "requested: payment of a bill", "answered: 51 ",
		"on the deny list: a ride is not paid", "requested: debt tried again by the calendar", "taken off the deny list: ", "card changed: rider category set: student",
		"card changed: stopped by the operator: ", "on the deny list: reported lost", "card changed: released by the operator", "charged: by decision of the operator",
		"requested: refund", "card changed: the operator has the bill asked for again", "card changed: two accounts turned out to be one rider's: account 2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	planned := slices.IndexFunc(all, func(d Decision) bool { return !d.Next.IsZero() })
	if planned < 0 || !all[planned].Next.Equal(all[planned].At.Add(calendarOfRetries[0])) || all[planned].Class != ClassFunds || all[planned].Bill == 0 {
		t.Errorf("no retry is planned, or not by the calendar: %d", planned)
	}
	for _, most := range []int{1, 3} {
		if paged := c.history(1, most); fmt.Sprint(paged) != fmt.Sprint(all) {
			t.Errorf("in pages of %d there are %d decisions, not %d", most, len(paged), len(all))
		}
	}
	if got := c.history(2, 500); fmt.Sprint(got) != fmt.Sprint(all) {
		t.Error("the account that became part of the other has another history")
	}
	if _, unknown := c.ask(ViewHistory{Account: 77}).(error); !unknown {
		t.Error("nobody has a history")
	}
	c.second()
	c.sameAfterReplay()
}

// TestEveryRowOfARiderIsSeen: what names one of the rider's cards stands in the history, and in nobody else's.
func TestEveryRowOfARiderIsSeen(t *testing.T) {
	_, c := crashStory(t, "aggregate", crash{})
	want := map[uint64]bool{}
	for _, r := range c.Rows() {
		if r.Card != 0 {
			want[r.Seq] = true
		}
	}
	for account := int64(1); account < int64(len(c.office.state.accounts)); account++ {
		for _, d := range c.history(account, 7) {
			if d.Kind != journal.Noted && !want[d.Row] {
				t.Errorf("row %d is in two histories, or in the wrong one", d.Row)
			}
			delete(want, d.Row)
		}
	}
	if len(want) != 0 {
		t.Errorf("%d rows are in no history: %v", len(want), want)
	}
}

// TestTheHistoryOfARestriction: why, and of which year.
func TestTheHistoryOfARestriction(t *testing.T) {
	c, card := strict(t), transittest.NewCard(t, 1)
	c.without(card, 3)
	c.at(3, 5, 4)
	text := ""
	for _, d := range c.history(1, 100) {
		text += d.What.EN + "\n"
	}
	year := c.deps.Book.ServiceDate(c.Clock.Now()).Year()
	for _, want := range []string{fmt.Sprintf("card changed: too many incomplete journeys this year: %d", year), "on the deny list: stopped by the operator"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %q:\n%s", want, text)
		}
	}
}
