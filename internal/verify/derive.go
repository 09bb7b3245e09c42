package verify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
)

// derived is what an issuer's rows alone give, and what of it does not hold.
type derived struct {
	bank     *bank
	findings []Wrong
}

// derive follows an issuer's rows as Dir does, without the other members. It is done once for a snapshot.
func (s *Snapshot) derive(m *Member) *derived {
	if d := s.derived[m]; d != nil {
		return d
	}
	a := newAuditor(World{}, Options{Most: math.MaxInt32})
	a.calendar = clock.Calendar{Zone: s.Calendar.Zone, CutOff: s.Calendar.CutOff}
	a.cases.init(len(m.Rows) + 1) // nothing leaves memory
	own := newMember(a, WorldMember{Role: Issuer, Name: m.Name})
	own.rows = m.Rows
	a.members = []*member{own}
	a.enlist(own)
	_ = own.readCells(context.Background(), memberCells{m}) // reads from memory
	for i := range m.Rows {
		r := m.Rows[i]
		own.flow.seq, own.last = r.Seq, r.Seq
		a.take(own, &r, join{a.join(r.Key), a.join(r.Payment)})
	}
	own.finish()
	d := &derived{bank: own.bank, findings: a.findings.kept}
	if s.derived == nil {
		s.derived = map[*Member]*derived{}
	}
	s.derived[m] = d
	return d
}

// memberCells are the cells of a snapshot.
type memberCells struct{ *Member }

func (m memberCells) Watermark(context.Context) (uint64, error) { return m.Member.Watermark, nil }

func (m memberCells) Cells(_ context.Context, fn func(*journal.Cell) error) error {
	for i := range m.Member.Cells {
		if err := fn(&m.Member.Cells[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m memberCells) FindCell(_ context.Context, id int64) (journal.Cell, bool, error) {
	at := slices.IndexFunc(m.Member.Cells, func(c journal.Cell) bool { return c.ID == id })
	if at < 0 {
		return journal.Cell{}, false, nil
	}
	return m.Member.Cells[at], true, nil
}

// first gives the first finding that is of a kind.
func (s *Snapshot) first(concerns func(w *Wrong) bool) (bool, glossary.Term) {
	for _, m := range s.of(Issuer) {
		for _, w := range s.derive(m).findings {
			if concerns(&w) {
				return false, w.Term()
			}
		}
	}
	return true, good
}

func checkEarly(s *Snapshot) (bool, glossary.Term) {
	return s.first(func(w *Wrong) bool {
		return w.Field == FieldMarker || w.Field == FieldTaken || w.Kind == journal.Refused
	})
}

func checkCells(s *Snapshot) (bool, glossary.Term) {
	return s.first(func(w *Wrong) bool { return w.Cell != 0 || w.Field == FieldCell || w.Field == FieldWatermark })
}

func checkShown(s *Snapshot) (bool, glossary.Term) {
	for _, m := range s.of(Issuer) {
		for _, shown := range m.Shown {
			h := s.derive(m).bank.cards[shown.Card]
			if h == nil {
				return bad("%s %s: shows card %d, which no row has opened", "%s %s：显示卡%d，但无开户行", m.Role, m.Name, shown.Card)
			}
			if want := h.shown(shown.Card); shown != want {
				return bad("%s %s: shows card %d as %s, the rows say %s", "%s %s：卡%d显示为%s，日志为%s", m.Role, m.Name, shown.Card, shown, want)
			}
		}
		if cards := s.derive(m).bank.cards; len(m.Shown) > 0 && len(m.Shown) != len(cards) {
			return bad("%s %s: shows %d cards, the rows have opened %d", "%s %s：显示%d张卡，日志开户%d张", m.Role, m.Name, len(m.Shown), len(cards))
		}
	}
	return true, good
}

func (h *holder) shown(card int64) CardShown {
	return CardShown{Card: card, Standing: uint8(h.status), Tries: h.tries, NoPIN: h.noPIN, Contactless: h.contactless, TapMinor: h.limits.TapMinor,
		DayMinor: h.limits.DayMinor, NoPINDayMinor: h.limits.NoPINDayMinor, DayCount: h.limits.DayCount, AvailableMinor: h.available()}
}

// String is the card on one line.
func (c CardShown) String() string {
	return fmt.Sprintf("standing %d, %d tries, no PIN %t, contactless %t, limits %d %d %d %d, available %d", c.Standing, c.Tries, c.NoPIN, c.Contactless,
		c.TapMinor, c.DayMinor, c.DayCount, c.NoPINDayMinor, c.AvailableMinor)
}
