package transit

import (
	"strconv"
	"sync/atomic"

	"tapnet/gate/denylist"
)

// alias is a keyed hash and the epoch of its key.
type alias struct {
	id    denylist.ID
	epoch denylist.Epoch
}

// names are the keyed hashes by which one thing is known: the newest, and while two keys are in use the one before. The newest always counts; the older one
// as long as its epoch is alive, and it is dropped some time after that.
type names struct {
	alias
	older *alias
}

// under is the name under the key of an epoch.
func (n *names) under(epoch denylist.Epoch) (denylist.ID, bool) {
	switch {
	case n.id.IsZero():
	case n.epoch == epoch:
		return n.id, true
	case n.older != nil && n.older.epoch == epoch:
		return n.older.id, true
	}
	return denylist.ID{}, false
}

// epochs are the keys in use: the one in force, and beside it the next while a rotation runs, or the former until it is forgotten.
type epochs struct{ now, next, former denylist.Epoch }

func (e epochs) alive(x denylist.Epoch) bool {
	return x == e.now || x == e.next && x != 0 || x == e.former && x != 0
}

// all are the epochs alive, rising.
func (e epochs) all() []denylist.Epoch {
	switch {
	case e.next != 0:
		return []denylist.Epoch{e.now, e.next}
	case e.former != 0:
		return []denylist.Epoch{e.former, e.now}
	}
	return []denylist.Epoch{e.now}
}

// target is the epoch under whose key everything is to be known.
func (e epochs) target() denylist.Epoch { return max(e.now, e.next) }

// sharedEpochs are the epochs alive for those who prepare beside the writer: what they see may be a step behind, and the writer looks again.
type sharedEpochs struct{ lower, upper atomic.Uint32 }

func (s *sharedEpochs) set(e epochs) {
	all := e.all()
	s.lower.Store(uint32(all[0]))
	s.upper.Store(uint32(all[len(all)-1]))
}

func (s *sharedEpochs) all() []denylist.Epoch {
	lower, upper := denylist.Epoch(s.lower.Load()), denylist.Epoch(s.upper.Load())
	if lower == upper {
		return []denylist.Epoch{lower}
	}
	return []denylist.Epoch{lower, upper}
}

// index finds things by the beginning of their hash, which is keyed: two with the same one are as good as never, and then the rest tells them apart.
type index struct {
	by    map[uint64]int32
	twins map[denylist.ID]int32
}

func newIndex() index { return index{by: map[uint64]int32{}, twins: map[denylist.ID]int32{}} }

func (x *index) put(id denylist.ID, number int32) {
	if at, taken := x.by[id.Hash()]; taken && at != number {
		x.twins[id] = number
		return
	}
	x.by[id.Hash()] = number
}

func (x *index) putAll(n *names, number int32) {
	if n.older != nil {
		x.put(n.older.id, number)
	}
	if !n.id.IsZero() {
		x.put(n.id, number)
	}
}

func (x *index) drop(id denylist.ID, number int32) {
	if x.by[id.Hash()] == number {
		delete(x.by, id.Hash())
	}
	if x.twins[id] == number {
		delete(x.twins, id)
	}
}

// goes reports whether a name counts and is id.
func (s *state) goes(n *names, id denylist.ID) bool {
	if n.id == id {
		return !id.IsZero()
	}
	return n.older != nil && n.older.id == id && s.keys.alive(n.older.epoch)
}

// counting are the names that count, the older first.
func (s *state) counting(n *names) (all []alias) {
	if n.older != nil && s.keys.alive(n.older.epoch) {
		all = append(all, *n.older)
	}
	if !n.id.IsZero() {
		all = append(all, n.alias)
	}
	return all
}

// known is the number of the credential with an ID, under whichever key in use.
func (s *state) known(id denylist.ID) (int32, bool) {
	if at, ok := s.credentialBy.by[id.Hash()]; ok && s.goes(&s.credentials[at].names, id) {
		return at, true
	}
	at, ok := s.credentialBy.twins[id]
	return at, ok && s.goes(&s.credentials[at].names, id)
}

// marked is the number of the mark with an ID.
func (s *state) marked(id denylist.ID) (int32, bool) {
	if at, ok := s.markBy.by[id.Hash()]; ok && s.goes(&s.marks[at].names, id) {
		return at, true
	}
	at, ok := s.markBy.twins[id]
	return at, ok && s.goes(&s.marks[at].names, id)
}

// call adds a name: false when there is one under that key already. Of three the one whose key nobody uses any more goes.
func (s *state) call(n *names, a alias, x *index, number int32) bool {
	if _, has := n.under(a.epoch); has {
		return false
	}
	drop := n.older
	if a.epoch > n.epoch {
		older := n.alias
		n.alias, n.older = a, &older
	} else {
		n.older = &a
	}
	if drop != nil {
		x.drop(drop.id, number)
	}
	x.put(a.id, number)
	return true
}

// bind gives a credential one more name. One that another credential has says that both are the same card.
func (s *state) bind(c *credential, a alias) *credential {
	if !s.keys.alive(a.epoch) || a.id.IsZero() {
		return c
	}
	if at, known := s.known(a.id); known {
		if at != c.number {
			return s.unite(c, s.credentials[at])
		}
		return c
	}
	if s.call(&c.names, a, &s.credentialBy, c.number) {
		s.renamed(c, a)
	}
	return c
}

// renamed follows a new name: what the gates were told under this key they were not told of this card, and an entry from outside may be about it.
func (s *state) renamed(c *credential, a alias) {
	if a.epoch == s.keys.now {
		delete(s.list.told, c.number)
		s.list.stale[c.account] = true
	}
	if at, listed := s.marked(a.id); listed && c.outside == 0 {
		s.attach(s.marks[at], c)
	}
}

// credentialOf finds a credential by its names, or takes it up as an account of its own. own is the name that it was seen under.
func (s *state) credentialOf(own alias, others []alias) *credential {
	at, known := s.known(own.id)
	for i := 0; !known && i < len(others); i++ {
		at, known = s.known(others[i].id)
	}
	var c *credential
	if known {
		c = s.bind(s.credentials[at], own)
	} else {
		c = s.newCredential(own)
	}
	for _, a := range others {
		c = s.bind(c, a)
	}
	return c
}

func (s *state) newCredential(own alias) *credential {
	c := &credential{number: int32(len(s.credentials)), names: names{alias: own}, account: int32(len(s.accounts))}
	s.credentials = append(s.credentials, c)
	s.credentialBy.put(own.id, c.number)
	a := &account{number: c.account, first: [1]int32{c.number}, person: nobody}
	a.credentials = a.first[:]
	s.accounts = append(s.accounts, a)
	if at, listed := s.marked(own.id); listed {
		s.attach(s.marks[at], c)
	}
	return c
}

// unite says that two credentials are one card that was seen under two keys before anybody could tell: the older number goes on.
func (s *state) unite(c, d *credential) *credential {
	if d.number < c.number {
		c, d = d, c
	}
	aliases := []alias{d.alias}
	if d.older != nil {
		aliases = append(aliases, *d.older)
	}
	d.names, d.twin = names{}, c.number
	for _, a := range aliases {
		s.credentialBy.drop(a.id, d.number)
	}
	for _, a := range aliases {
		if s.keys.alive(a.epoch) {
			s.call(&c.names, a, &s.credentialBy, c.number)
		}
	}
	if c.outside == 0 && d.outside != 0 {
		c.outside, s.marks[d.outside].of = d.outside, c.number
	}
	d.outside = 0
	c.claimed, c.approved = max(c.claimed, d.claimed), max(c.approved, d.approved)
	if s.claims[d.number] {
		delete(s.claims, d.number)
		if c.approved < c.claimed {
			s.claims[c.number] = true
		}
	}
	if c.material.row == 0 {
		c.material = d.material
	}
	if told, ok := s.list.told[d.number]; ok {
		delete(s.list.told, d.number)
		s.list.told[c.number] = told
	}
	if at, ok := s.freed[d.number]; ok {
		delete(s.freed, d.number)
		s.freed[c.number] = max(s.freed[c.number], at)
	}
	if a, b := s.accounts[c.account], s.accounts[d.account]; a != b {
		if a.number < b.number {
			a, b = b, a
		}
		s.merge(a, b)
	}
	for _, n := range s.accounts[c.account].credentials {
		if other := s.credentials[n]; other.twin == d.number {
			other.twin = c.number
		}
	}
	s.list.stale[c.account] = true
	return c
}

// subject is what a credential is to the deny list: itself, or the one that it turned out to be.
func (c *credential) subject() int32 {
	if c.twin != 0 {
		return c.twin
	}
	return c.number
}

// medium is the credential's name in journeys.
func (c *credential) medium() string { return "c" + strconv.Itoa(int(c.number)) }
