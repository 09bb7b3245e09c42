package verify

import (
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
)

func checkChain(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		var chain journal.Chain
		for at := range m.Rows {
			if err := chain.Check(&m.Rows[at]); err != nil {
				return bad("%s %s: %v", "%s %s：%v", m.Role, m.Name, err)
			}
		}
	}
	return true, good
}

// checkKeys: within a member a key is used once; between members the same payment has the same amount, currency and reference.
func checkKeys(s *Snapshot) (bool, glossary.Term) {
	type what struct {
		amount   int64
		currency uint16
		rrn      string
	}
	network := map[string]what{}
	for i := range s.Members {
		m := &s.Members[i]
		keys := map[string]uint64{}
		for at := range m.Rows {
			r := &m.Rows[at]
			if r.Key != "" {
				if first, twice := keys[r.Key]; twice {
					return bad("%s %s: rows %d and %d have the same key", "%s %s：第%d行与第%d行键相同", m.Role, m.Name, first, r.Seq)
				}
				keys[r.Key] = r.Seq
			}
			key := networkKey(m, r)
			if key == "" {
				continue
			}
			is := what{r.Amount, r.Currency, r.RRN}
			if first, known := network[key]; known && first != is {
				return bad("%s %s: row %d has %d %03d under %s, another member has %d %03d under %s", "%s %s：第%d行为%d %03d（%s），另一方为%d %03d（%s）",
					m.Role, m.Name, r.Seq, is.amount, is.currency, is.rrn, first.amount, first.currency, first.rrn)
			}
			network[key] = is
		}
	}
	return true, good
}

// networkKey is the key of the payment between institutions that a row records, "" when it records none.
func networkKey(m *Member, r *journal.Row) string {
	switch {
	case m.Role == Acquirer && r.Kind == journal.Requested:
		return r.Payment
	case m.Role == Switch && (r.Kind == journal.Requested || r.Kind == journal.Declined):
		return r.Key
	case m.Role == Issuer && (r.Kind == journal.Approved || r.Kind == journal.Declined || r.Kind == journal.Uploaded ||
		r.Key != "" && (r.Kind == journal.Refunded ||
			r.Kind == journal.Voided || r.Kind == journal.Completed)):
		return r.Key
	}
	return ""
}

// checkDates: a row's business date is that of its instant. An issuer may take the network's, one date before or after its own.
func checkDates(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		for at := range m.Rows {
			r := &m.Rows[at]
			own := s.Calendar.BusinessDate(r.At)
			sound := r.BusinessDate == own
			if m.Role == Issuer && !sound {
				sound = r.BusinessDate == s.neighbour(r.At, -1) || r.BusinessDate == s.neighbour(r.At, 1)
			}
			if !sound {
				return bad("%s %s: row %d of %s has business date %d, the calendar says %d", "%s %s：第%d行（%s）业务日期为%d，应为%d",
					m.Role, m.Name, r.Seq, r.At.Format(time.RFC3339), r.BusinessDate, own)
			}
			if !s.At.IsZero() && r.At.After(s.At) {
				return bad("%s %s: row %d is of %s, after the snapshot", "%s %s：第%d行时间%s晚于快照", m.Role, m.Name, r.Seq, r.At.Format(time.RFC3339))
			}
		}
	}
	return true, good
}

// neighbour is the business date some days away; zones change by hours at most, so whole days are exact enough for the date.
func (s *Snapshot) neighbour(at time.Time, days int) int32 {
	calendar := clock.Calendar{Zone: s.Calendar.Zone, CutOff: s.Calendar.CutOff}
	return calendar.BusinessDate(at.AddDate(0, 0, days))
}
