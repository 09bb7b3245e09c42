package transit

import (
	"tapnet/gate"
	"tapnet/gate/denylist"
)

// What a credential's bits say.
const (
	packVerifying = 1 << iota
	packRefused
	packProof
	packProofHold
)

func (s *state) packRiders(p *packer) {
	p.u(uint64(len(s.credentials) - 1))
	for _, c := range s.credentials[1:] {
		s.packCredential(p, c)
	}
	p.u(uint64(len(s.accounts) - 1))
	for _, a := range s.accounts[1:] {
		packAccount(p, a)
	}
}

func (s *state) packCredential(p *packer, c *credential) {
	bits := uint64(0)
	set := func(bit uint64, on bool) {
		if on {
			bits |= bit
		}
	}
	set(packVerifying, c.verifying)
	set(packRefused, c.refused)
	set(packProof, c.proof != nil)
	set(packProofHold, c.proof != nil && c.proof.hold)
	s.packNames(p, &c.names)
	p.u(uint64(c.account), uint64(c.atc), bits, uint64(c.stop), uint64(c.owing), uint64(c.outside), uint64(c.twin))
	p.material(&c.material)
	if c.proof != nil {
		p.u(uint64(c.proof.stan), uint64(c.proof.batch))
		p.text(c.proof.date)
	}
	p.i(int64(c.approved), c.credit, int64(c.recovered), int64(c.claimed))
	p.u(uint64(len(c.bills)))
	for _, seq := range c.bills {
		packBill(p, s.bills[seq])
	}
}

func (s *state) unpackCredential(u *unpacker) *credential {
	c := &credential{number: int32(len(s.credentials))}
	c.names = u.names()
	c.account, c.atc = int32(u.u()), uint16(u.u())
	bits := u.u()
	c.verifying, c.refused = bits&packVerifying != 0, bits&packRefused != 0
	c.stop, c.owing, c.outside, c.twin = denylist.Reason(u.u()), int32(u.u()), int32(u.u()), int32(u.u())
	c.material = u.material()
	if bits&packProof != 0 {
		c.proof = &proof{stan: uint32(u.u()), batch: uint32(u.u()), date: u.text(), hold: bits&packProofHold != 0}
	}
	c.approved, c.credit, c.recovered, c.claimed = stamp(u.i()), u.i(), stamp(u.i()), stamp(u.i())
	for range u.count() {
		b := unpackBill(u, c.number)
		if u.err != nil {
			return c
		}
		s.takeBill(c, b)
	}
	return c
}

func packBill(p *packer, b *bill) {
	p.u(b.seq, uint64(b.state), uint64(b.tries), uint64(b.code))
	p.i(int64(b.day), int64(b.ridden), b.minor, b.refunded, b.returning, int64(b.next))
	p.flag(b.paid != nil)
	if r := b.paid; r != nil {
		p.text(r.rrn)
		p.u(uint64(r.stan), uint64(r.batch))
		p.text(r.date)
	}
}

func unpackBill(u *unpacker, credential int32) *bill {
	b := &bill{credential: credential, seq: u.u(), state: BillState(u.u()), tries: uint8(u.u()), code: uint16(u.u())}
	b.day, b.ridden = u.date(), u.date()
	b.minor, b.refunded, b.returning, b.next = u.i(), u.i(), u.i(), stamp(u.i())
	if u.flag() {
		b.paid = &receipt{rrn: u.text(), stan: uint32(u.u()), batch: uint32(u.u()), date: u.text()}
	}
	if b.state == 0 || b.state >= billStateEnd {
		u.fail()
	}
	return b
}

// packAccount writes an account. The instants of its taps are told by how far they are apart.
func packAccount(p *packer, a *account) {
	p.u(uint64(a.merged))
	p.i(a.since)
	p.u(uint64(a.unbilled))
	p.flag(a.waiting)
	p.u(uint64(len(a.credentials)))
	for _, n := range a.credentials {
		p.u(uint64(n))
	}
	at := int64(0)
	p.u(uint64(len(a.taps)))
	for i := range a.taps {
		t := &a.taps[i]
		p.i(t.at() - at)
		at = t.at()
		p.u(t.sequence, uint64(t.device), uint64(t.credential), uint64(t.station), uint64(t.direction), uint64(t.state), uint64(t.flags),
			uint64(t.atc()))
	}
	p.u(uint64(len(a.booked)))
	for i := range a.booked {
		b := &a.booked[i]
		p.key(b.tap)
		p.i(b.minor, int64(b.day))
		p.u(uint64(b.credential), uint64(b.gap))
	}
	p.flag(a.person != nobody)
	if a.person != nobody {
		p.json(a.packed())
	}
}

func (s *state) unpackRiders(u *unpacker) {
	for range u.count() {
		c := s.unpackCredential(u)
		if u.err != nil {
			return
		}
		s.credentials = append(s.credentials, c)
		s.credentialBy.putAll(&c.names, c.number)
	}
	for range u.count() {
		a := s.unpackAccount(u, int32(len(s.accounts)), int32(len(s.credentials)))
		if u.err != nil {
			return
		}
		s.accounts = append(s.accounts, a)
		if a.token != [32]byte{} {
			s.tokens[a.token] = a.number
		}
		if a.restricted != 0 {
			s.restricted[a.number] = true
		}
	}
	for _, c := range s.credentials[1:] {
		if c.account <= 0 || int(c.account) >= len(s.accounts) || c.twin < 0 || int(c.twin) >= len(s.credentials) {
			u.fail()
		}
	}
}

func (s *state) packNames(p *packer, n *names) {
	all := s.counting(n)
	p.u(uint64(len(all)))
	for i := range all {
		p.u(uint64(all[i].epoch))
		p.raw(all[i].id[:])
	}
}

func (u *unpacker) names() (n names) {
	one := func() (a alias) {
		a.epoch = denylist.Epoch(u.u())
		u.raw(a.id[:])
		return a
	}
	switch u.u() {
	case 0:
	case 1:
		n.alias = one()
	case 2:
		older := one()
		n.alias, n.older = one(), &older
	default:
		u.fail()
	}
	return n
}

func (s *state) packMarks(p *packer) {
	p.u(uint64(len(s.marks) - 1))
	for _, m := range s.marks[1:] {
		s.packNames(p, &m.names)
		p.u(uint64(m.entry.kind), uint64(m.entry.reason), uint64(m.entry.until), uint64(m.of), uint64(m.page))
	}
}

func (s *state) unpackMarks(u *unpacker) {
	for range u.count() {
		m := &mark{number: int32(len(s.marks)), names: u.names()}
		m.entry = listing{denylist.Kind(u.u()), denylist.Reason(u.u()), denylist.Day(u.u())}
		m.of, m.page = int32(u.u()), int32(u.u())
		things := len(s.accounts)
		if m.entry.kind == denylist.Credential {
			things = len(s.credentials)
		}
		if u.err != nil || m.of < 0 || int(m.of) >= things {
			u.fail()
			return
		}
		s.marks = append(s.marks, m)
		s.markBy.putAll(&m.names, m.number)
		if m.entry.reason != 0 {
			s.listedOutside++
		}
	}
	for _, c := range s.credentials[1:] {
		if c.outside < 0 || int(c.outside) >= len(s.marks) {
			u.fail()
		}
	}
	for _, a := range s.accounts[1:] {
		if a.par < 0 || int(a.par) >= len(s.marks) {
			u.fail()
		}
	}
}

func (s *state) unpackAccount(u *unpacker, number, credentials int32) *account {
	a := &account{number: number, merged: int32(u.u()), since: u.i(), unbilled: int32(u.u()), waiting: u.flag(), person: nobody}
	known := func(n int32) int32 {
		if n <= 0 || n >= credentials {
			u.fail()
		}
		return n
	}
	a.credentials = a.first[:0]
	for range u.count() {
		if a.credentials = append(a.credentials, known(int32(u.u()))); u.err != nil {
			return a
		}
	}
	at := int64(0)
	if n := u.count(); n > 0 {
		a.taps = make([]tap, 0, min(n, piecesAtStop))
		for range n {
			at += u.i()
			t := tap{sequence: u.u(), device: int32(u.u()), credential: known(int32(u.u())), station: uint32(u.u()), direction: gate.Direction(u.u()),
				state: TapState(u.u()), flags: gate.Flags(u.u())}
			t.clock = tapClock(at, uint16(u.u()))
			if a.taps = append(a.taps, t); u.err != nil {
				return a
			}
		}
	}
	if n := u.count(); n > 0 {
		a.booked = make([]booked, 0, min(n, piecesAtStop))
		for range n {
			b := booked{tap: u.key(), minor: u.i(), day: u.date(), credential: known(int32(u.u())), gap: gap(u.u())}
			if a.booked = append(a.booked, b); u.err != nil {
				return a
			}
			s.tallies.journey(&b, 1)
		}
	}
	if u.flag() {
		var v packedPerson
		u.json(&v)
		a.person = v.person()
		if !s.takePaid(a, credentials) {
			u.fail()
		}
	}
	return a
}
