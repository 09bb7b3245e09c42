package verify

import (
	"maps"
	"slices"

	"tapnet/glossary"
)

// network is the stories of all members, joined by keys.
type network struct {
	tills, acquirers, switches, issuers []*story
}

func (s *Snapshot) network() network {
	stories := func(role string) (out []*story) {
		for _, m := range s.of(role) {
			out = append(out, tell(m))
		}
		return out
	}
	return network{tills: stories(Till), acquirers: stories(Acquirer), switches: stories(Switch), issuers: stories(Issuer)}
}

func find(stories []*story, index func(*story) map[string]*payment, key string) *payment {
	for _, s := range stories {
		if p := index(s)[key]; p != nil {
			return p
		}
	}
	return nil
}

func terminalIndex(s *story) map[string]*payment { return s.byTerminal }
func networkIndex(s *story) map[string]*payment  { return s.byNetwork }

// checkOutcomes follows every approval towards the issuer. A member's approval that was taken back since is none.
func checkOutcomes(s *Snapshot) (bool, glossary.Term) {
	n := s.network()
	for _, hop := range []struct {
		from, to []*story
		key      func(*payment) string
		index    func(*story) map[string]*payment
	}{
		{n.tills, n.acquirers, func(p *payment) string { return p.terminal }, terminalIndex},
		{n.acquirers, n.switches, func(p *payment) string { return p.network }, networkIndex},
		{n.switches, n.issuers, func(p *payment) string { return p.network }, networkIndex},
	} {
		if len(hop.to) == 0 {
			continue
		}
		for _, story := range hop.from {
			for _, p := range story.payments {
				if p.state != approved || n.passes(p) {
					continue
				}
				next := find(hop.to, hop.index, hop.key(p))
				if p.late && next != nil && next.state == reversed {
					continue // the switch passed the reversal on and does not read in it that the chip had followed
				}
				if next == nil || next.state != approved || next.amount != p.amount {
					return bad("%s %s: the payment of row %d is approved, but not at the %s", "%s %s：第%d行的交易已批准，但%s并未批准",
						story.member.Role, story.member.Name, p.seq, hop.to[0].member.Role)
				}
			}
		}
	}
	return true, good
}

// passes reports whether a payment is no claim, as the member nearest to the till that knows it says.
func (n network) passes(p *payment) bool {
	if p.network != "" && p.terminal == "" {
		if at := find(n.acquirers, networkIndex, p.network); at != nil {
			return at.passing
		}
	}
	return p.passing
}

// claim is what is owed for one payment.
type claim struct {
	minor    int64
	currency uint16
	posted   bool
}

// claims are what stands at issuers or acquirers, by the payment's key between institutions.
func claims(stories []*story) map[string]claim {
	out := map[string]claim{}
	for _, s := range stories {
		for _, p := range s.payments {
			if (p.hold != 0 || p.posted) && p.sign != 0 {
				out[p.network] = claim{p.amount * p.sign, p.currency, p.posted && !p.loose}
			}
		}
	}
	return out
}

// unsettled are the payments about which something is still under way.
func (n network) unsettled() map[string]bool {
	out := map[string]bool{}
	for _, stories := range [][]*story{n.acquirers, n.switches} {
		for _, s := range stories {
			for _, p := range s.payments {
				if p.state == open {
					out[p.network] = true
				}
			}
			for i := range s.member.Rows {
				r := &s.member.Rows[i]
				key, sent := s.sentBy[r.Seq]
				if _, waiting := s.deliveries[key]; !sent || !waiting {
					continue
				}
				if p := s.bySeq[r.Linked]; p != nil {
					out[p.network] = true
				}
				if s.member.Role == Switch {
					out[r.Payment] = true
				}
			}
		}
	}
	return out
}

// checkClaims compares both sides of every payment, then the totals.
func checkClaims(s *Snapshot) (bool, glossary.Term) {
	n := s.network()
	if len(n.issuers) == 0 || len(n.acquirers) == 0 {
		return true, good
	}
	owed, claimed := claims(n.issuers), claims(n.acquirers)
	skip := map[string]bool{}
	if !s.Quiet {
		skip = n.unsettled()
	}
	keys := map[string]bool{}
	for _, side := range []map[string]claim{owed, claimed} {
		for key := range side {
			keys[key] = true
		}
	}
	total := map[uint16]int64{}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if skip[key] {
			continue
		}
		a, b := owed[key], claimed[key]
		if p := find(n.issuers, networkIndex, key); p != nil && p.disputed && a != b {
			continue // clearing settles it: the chip proved what no terminal had told
		}
		total[a.currency] += a.minor
		total[b.currency] -= b.minor
		if a != b {
			return bad("payment %s: issuers owe %d %03d, acquirers claim %d %03d", "交易%s：发卡行应付%d %03d，收单行应收%d %03d",
				n.reference(key), a.minor, a.currency, b.minor, b.currency)
		}
	}
	for currency, difference := range total {
		if difference != 0 {
			return bad("currency %03d: issuers owe %d more than acquirers claim", "币种%03d：发卡行应付比收单行应收多%d", currency, difference)
		}
	}
	return true, good
}

// reference is the retrieval reference number under a key, for people.
func (n network) reference(key string) string {
	for _, stories := range [][]*story{n.issuers, n.acquirers} {
		if p := find(stories, networkIndex, key); p != nil {
			return p.rrn
		}
	}
	return key
}
