package verify

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// onTheWay is what chips gave away and issuers have not booked: payments that tills still keep, and those that issuers refused.
func (n network) onTheWay() (kept, refused int64) {
	for _, story := range n.tills {
		for _, p := range story.payments {
			if !p.upload || p.passing {
				continue
			}
			switch booked := n.booked(p); {
			case booked:
			case p.state == declined:
				refused += p.amount
			default:
				kept += p.amount
			}
		}
	}
	return kept, refused
}

// booked reports whether an issuer has accepted a till's offline payment.
func (n network) booked(p *payment) bool {
	at := find(n.acquirers, terminalIndex, p.terminal)
	if at == nil {
		return false
	}
	decided := find(n.issuers, networkIndex, at.network)
	return decided != nil && decided.posted
}

// checkPurses compares what issuers owe to purses with what the chips hold. A till does not know whose card it took, so what is on the way counts in total.
// An offline payment that the issuer refused may or may not have been a chip's.
func checkPurses(s *Snapshot) (bool, glossary.Term) {
	if len(s.Cards) == 0 {
		return true, good
	}
	type owner struct {
		issuer  string
		account ledger.Account
	}
	purses := map[owner]int64{}
	for _, m := range s.of(Issuer) {
		balances := derive(m).balances
		for i := range m.Rows {
			if r := &m.Rows[i]; r.Kind == journal.Opened {
				x := balances[purseAccount(r.Card)]
				purses[owner{m.Name, purseAccount(r.Card)}] = x.CreditsPosted - x.DebitsPosted
			}
		}
	}
	var missing, more, less int64
	doubts := map[owner]doubt{}
	for _, m := range s.of(Issuer) {
		for card, d := range doubtsOf(m.Rows) {
			doubts[owner{m.Name, purseAccount(card)}] = d
		}
	}
	for _, c := range s.Cards {
		d := doubts[owner{c.Issuer, purseAccount(c.Card)}]
		more, less = more+d.more, less+d.less
		books, known := purses[owner{c.Issuer, purseAccount(c.Card)}]
		if !known {
			return bad("issuer %s has no card %d", "发卡行%s无卡%d", c.Issuer, c.Card)
		}
		if books+d.more < c.PurseMinor {
			return bad("issuer %s: the chip of card %d holds %d, loaded less spent is %d", "发卡行%s：卡%d芯片余额%d，圈存减消费为%d",
				c.Issuer, c.Card, c.PurseMinor, books)
		}
		missing += books - c.PurseMinor
	}
	kept, refused := s.network().onTheWay()
	if missing < kept-more || missing > kept+refused+less {
		return bad("the chips hold %d less than the issuers' books, but %d is on the way and %d was refused", "芯片余额比账面少%d，在途%d，被拒%d", missing, kept, refused)
	}
	return true, good
}

// doubt is how much more, and how much less, a chip may hold than the books say: a script changed its balance, or did not, and its bank does not know yet.
type doubt struct{ more, less int64 }

// doubtsOf are the loads of an issuer that its chips have not proved: what is held, and what was let go on a terminal's word or by a reversal.
func doubtsOf(rows []journal.Row) map[int64]doubt {
	open, last := map[uint64]*journal.Row{}, map[int64]*journal.Row{}
	for i := range rows {
		r := &rows[i]
		switch r.Kind {
		case journal.Held:
			open[r.Seq], last[r.Card] = r, r
		case journal.Loaded, journal.Completed, journal.Voided, journal.Adjusted:
			if proves(r) {
				delete(open, r.Linked)
			}
		case journal.Approved, journal.Declined, journal.Uploaded:
			if l := last[r.Card]; l != nil && len(r.Note) > 0 && r.Note[0]&flagSettles != 0 {
				delete(open, l.Seq)
			}
		}
	}
	doubts := map[int64]doubt{}
	for _, r := range open {
		d := doubts[r.Card]
		if r.Credit == purseAccount(r.Card) {
			d.more += r.Amount
		} else {
			d.less += r.Amount
		}
		doubts[r.Card] = d
	}
	return doubts
}
