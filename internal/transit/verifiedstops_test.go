package transit

import (
	"slices"
	"testing"

	"tapnet/gate"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
)

// TestWhatTheOfficeFindsOutIsVerified: stops of copies, restrictions and what ends them, accounts that turned out to be one: sound as the office writes them, and
// found wherever they say something else than the rows before them.
func TestWhatTheOfficeFindsOutIsVerified(t *testing.T) {
	c, card := strict(t), transittest.NewCard(t, 1)
	phone := transittest.NewCard(t, 2)
	c.without(card, 3)
	c.at(3, 5, 5)
	c.ask(Unblock{Credential: 1})
	c.ride(phone, "b", "d", c.at(3, 9, 0))
	c.upload("b", "d")
	card.Reference, phone.Reference = "V0010013022298169667504231315", "V0010013022298169667504231315"
	clone := *phone
	c.ride(phone, "b", "d", c.at(3, 10, 0))
	c.ride(&clone, "a", "c", c.at(3, 11, 0))
	c.tap(card, "bus", gate.Ride, c.at(3, 12, 0))
	c.upload("b", "d", "a", "c", "bus")
	c.at(3, 12, 5)
	c.ask(Unblock{Credential: 2})
	c.at(3, 12, 10)
	c.audit()
	rows := c.stored()
	if report := found(t, rows); len(report.Findings) != 0 {
		t.Fatalf("sound: %v", report.Findings)
	}
	at := func(why Reason) int {
		n := slices.IndexFunc(rows.Rows, func(r journal.Row) bool { return r.Kind == journal.CardChanged && Reason(r.Reason) == why })
		if n < 0 {
			t.Fatalf("no row says %q", why)
		}
		return n
	}
	for name, plant := range map[string]struct {
		why    Reason
		note   change
		field  string
		others []string
	}{
		"a copy that is stopped as lost":       {ReasonCounter, change{Stop: 3}, "note", []string{foundDenyList}},
		"another account restricted":           {ReasonRestricted, change{Account: 2, Year: 2026}, "note", nil},
		"no year":                              {ReasonRestricted, change{Account: 1}, "note", []string{foundDenyList}},
		"another year":                         {ReasonRestricted, change{Account: 1, Year: 2027}, foundDenyList, nil},
		"an account that did not become part":  {ReasonUnited, change{Account: 1}, "note", nil},
		"an account that nobody has":           {ReasonUnited, change{Account: 77}, "note", nil},
		"a credential that is stopped no more": {ReasonCounter, change{}, "note", []string{foundDenyList}},
	} {
		changed := rows
		changed.Rows = copies(rows.Rows)
		changed.Rows[at(plant.why)].Note = plant.note.text()
		report := found(t, changed)
		finds(t, name, &report, plant.field, plant.others...)
	}
	for name, why := range map[string]Reason{"a restriction that nobody decided": ReasonRestricted, "the end of one that is none": ReasonFreed} {
		changed := rows
		changed.Rows = copies(rows.Rows)
		r := &changed.Rows[at(ReasonUnited)]
		note := change{Account: 1, Year: 2026}
		r.Card, r.Reason, r.Note = 1, uint16(why), note.text()
		report := found(t, changed)
		finds(t, name, &report, "note", foundDenyList)
	}
}
