package verify

import (
	"encoding/json"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// limits are those of an enrolment or change; zero is none.
type limits struct {
	TapMinor      int64 `json:"tap_minor"`
	DayMinor      int64 `json:"day_minor"`
	DayCount      int   `json:"day_count"`
	NoPINDayMinor int64 `json:"no_pin_day_minor"`
}

// cardInfo is what an Opened row of an issuer says about a card, as far as verify needs it. The note is JSON.
type cardInfo struct {
	Card        int64  `json:"card"`
	CreditMinor int64  `json:"credit_minor"`
	Limits      limits `json:"limits"`
	tries       int
}

// change is what a CardChanged row says; nil members stay as they are.
type change struct {
	Card     int64   `json:"card"`
	Limits   *limits `json:"limits"`
	PINTries *int    `json:"pin_tries"`
}

// pinTriesMax is the number of tries a new card has.
const pinTriesMax = 3

// cards follows Opened and CardChanged rows.
type cards map[int64]*cardInfo

func newCards() cards { return cards{} }

// take follows one row and returns the card it is about, nil when the row is no card row or cannot be read.
func (c cards) take(r *journal.Row) *cardInfo {
	switch r.Kind {
	case journal.Opened:
		info := &cardInfo{tries: pinTriesMax}
		if json.Unmarshal(r.Note, info) != nil || info.Card != r.Card {
			return nil
		}
		c[info.Card] = info
		return info
	case journal.CardChanged:
		var change change
		info := c[r.Card]
		if json.Unmarshal(r.Note, &change) != nil || info == nil || change.Card != r.Card {
			return nil
		}
		if change.Limits != nil {
			info.Limits = *change.Limits
		}
		if change.PINTries != nil {
			info.tries = *change.PINTries
		}
		return info
	}
	return nil
}

// decision reads the note of an issuer's Approved, Declined and Uploaded rows: a byte of flags and the PIN tries left.
func decision(r *journal.Row) (pinGiven bool, tries int, ok bool) {
	if len(r.Note) < 2 || len(r.Note) > 2 && r.Kind != journal.Held && r.Kind != journal.Noted && r.Kind != journal.Refunded && r.Kind != journal.Voided &&
		r.Kind != journal.Completed && !deferred(r) {
		return false, 0, false
	}
	return r.Note[0]&1 != 0, int(r.Note[1]), true
}

// verified reports whether a PIN was given with a payment, to the bank or to the card.
func verified(r *journal.Row) bool { return len(r.Note) > 0 && r.Note[0]&(1|flagOfflinePIN) != 0 }

// honoured are the rows by which an issuer took a card's counter as payment.
func honoured(r *journal.Row) bool { return r.Kind == journal.Approved || r.Kind == journal.Uploaded }

func checkCounters(s *Snapshot) (bool, glossary.Term) {
	type use struct {
		card int64
		atc  uint16
	}
	for _, m := range s.of(Issuer) {
		seen := map[use]uint64{}
		for i := range m.Rows {
			r := &m.Rows[i]
			if !honoured(r) || uncounted(r) || forStripe(r) || takesPlace(r) {
				continue
			}
			u := use{r.Card, r.ATC}
			if first, twice := seen[u]; twice {
				return bad("%s %s: card %d, counter %d: honoured in row %d and again in row %d", "%s %s：卡%d 计数器%d：第%d行与第%d行重复接受",
					m.Role, m.Name, u.card, u.atc, first, r.Seq)
			}
			seen[u] = r.Seq
		}
	}
	return true, good
}

func checkChipCounter(s *Snapshot) (bool, glossary.Term) {
	for _, state := range s.Cards {
		m := s.member(Issuer, state.Issuer)
		if m == nil {
			return bad("card %d: there is no issuer %s", "卡%d：无发卡行%s", state.Card, state.Issuer)
		}
		for i := range m.Rows {
			if r := &m.Rows[i]; honoured(r) && r.Card == state.Card && r.ATC > state.ATC {
				return bad("%s %s: row %d honours counter %d of card %d, whose chip stands at %d", "%s %s：第%d行接受计数器%d（卡%d），芯片计数器为%d",
					m.Role, m.Name, r.Seq, r.ATC, state.Card, state.ATC)
			}
		}
	}
	return true, good
}

// The issuer's reason for a wrong PIN, as its rows store it.
const reasonPINWrong = 54

// checkPINTries follows the tries of each card: a wrong PIN takes one, a right one gives them back, nothing else changes them.
func checkPINTries(s *Snapshot) (bool, glossary.Term) {
	for _, m := range s.of(Issuer) {
		cards := newCards()
		for i := range m.Rows {
			r := &m.Rows[i]
			c := cards.take(r)
			if c == nil {
				c = cards[r.Card]
			}
			if c != nil && (c.tries < 0 || c.tries > pinTriesMax) {
				return bad("%s %s: row %d leaves %d PIN tries", "%s %s：第%d行后剩余密码次数为%d", m.Role, m.Name, r.Seq, c.tries)
			}
			decides := r.Kind == journal.Approved || r.Kind == journal.Declined || r.Kind == journal.Held
			if c == nil || !decides && (r.Kind != journal.Noted || !answers(r)) {
				continue
			}
			pinGiven, tries, ok := decision(r)
			wrong := r.Kind == journal.Declined && r.Reason == reasonPINWrong
			sound := ok && tries == c.tries
			switch {
			case wrong:
				sound = ok && pinGiven && tries == c.tries-1
			case pinGiven && ok && tries == pinTriesMax && c.tries > 0:
				sound = true
			}
			if !sound || tries < 0 || tries > pinTriesMax {
				return bad("%s %s: row %d says %d PIN tries are left, before it there were %d", "%s %s：第%d行剩余密码次数为%d，此前为%d",
					m.Role, m.Name, r.Seq, tries, c.tries)
			}
			c.tries = tries
		}
	}
	return true, good
}

// day is what a card spent on one business date.
type day struct {
	minor, noPINMinor int64
	count             int
}

func (d *day) add(r *journal.Row, sign int64) {
	d.minor += sign * r.Amount
	d.count += int(sign)
	if !verified(r) {
		d.noPINMinor += sign * r.Amount
	}
}

func (d *day) shift(s shift, sign int64) {
	if s.minor == 0 {
		return
	}
	d.minor, d.count = d.minor+sign*s.minor, d.count+int(sign)
	if s.noPIN {
		d.noPINMinor += sign * s.minor
	}
}

// shifts are what a row that follows an earlier payment gives back of the limits used, and what it uses itself.
func shifts(r *journal.Row) (given, own shift) {
	const flags = 2
	if r.Key == "" || len(r.Note) < flags {
		return given, own
	}
	given, _, _ = readShift(r.Note[flags:])
	if r.Kind == journal.Completed {
		own = shift{r.BusinessDate, given.noPIN, r.Amount}
	}
	return given, own
}

// beyond reports whether an approval of amount that makes the day what it is breaks a limit.
func (l limits) beyond(d *day, r *journal.Row) bool {
	return l.TapMinor > 0 && r.Amount > l.TapMinor || l.DayMinor > 0 && d.minor > l.DayMinor || l.DayCount > 0 && d.count > l.DayCount ||
		l.NoPINDayMinor > 0 && !verified(r) && d.noPINMinor > l.NoPINDayMinor
}

// checkLimits adds up each card's day at every approval, with the limits then in force; a reversal gives the amount back.
func checkLimits(s *Snapshot) (bool, glossary.Term) {
	type key struct {
		card int64
		date int32
	}
	for _, m := range s.of(Issuer) {
		cards, days, rows := newCards(), map[key]*day{}, map[uint64]*journal.Row{}
		for i := range m.Rows {
			r := &m.Rows[i]
			cards.take(r)
			switch r.Kind {
			case journal.Refunded, journal.Voided, journal.Completed:
				if original := rows[r.Resolves]; original != nil && r.Reason == reasonTakesOver && r.Key == "" {
					days[key{original.Card, original.BusinessDate}].add(original, -1)
				}
				given, own := shifts(r)
				for _, s := range [...]struct {
					shift
					sign int64
				}{{given, -1}, {own, 1}} {
					if d := days[key{r.Card, s.date}]; d != nil {
						d.shift(s.shift, s.sign)
					}
				}
			case journal.Reversed:
				if given, rest, ok := readShift(r.Answer); ok && r.Resolves == 0 {
					own, _, _ := readShift(rest)
					for _, s := range [...]struct {
						shift
						sign int64
					}{{given, 1}, {own, -1}} {
						if d := days[key{r.Card, s.date}]; d != nil {
							d.shift(s.shift, s.sign)
						}
					}
				}
				if original := rows[r.Resolves]; original != nil {
					days[key{original.Card, original.BusinessDate}].add(original, -1)
				}
			case journal.Approved:
				rows[r.Seq] = r
				k := key{r.Card, r.BusinessDate}
				if days[k] == nil {
					days[k] = &day{}
				}
				days[k].add(r, 1)
				if c := cards[r.Card]; c != nil && c.Limits.beyond(days[k], r) {
					return bad("%s %s: row %d takes card %d to %d in %d payments on %d, beyond %+v", "%s %s：第%d行使卡%d累计%d（%d笔，%d），超过限额%+v",
						m.Role, m.Name, r.Seq, r.Card, days[k].minor, days[k].count, r.BusinessDate, c.Limits)
				}
			}
		}
	}
	return true, good
}
