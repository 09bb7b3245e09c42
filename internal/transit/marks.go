package transit

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// mark is anything but a tapped card that has a keyed hash: an account reference, or what an entry from outside names.
type mark struct {
	number int32
	names
	entry listing // from outside; no reason: none
	of    int32   // of a reference the account, of a card that was seen its credential; 0: not seen yet
	page  int32   // the number in the key of the row where its value is sealed; 0: only chips show it
}

// newMark takes up a mark under a name.
func (s *state) newMark(kind denylist.Kind, own alias) *mark {
	m := &mark{number: int32(len(s.marks)), names: names{alias: own}, entry: listing{kind: kind}}
	s.marks = append(s.marks, m)
	s.markBy.put(own.id, m.number)
	return m
}

// nameMark gives a mark one more name.
func (s *state) nameMark(m *mark, a alias) {
	if !s.keys.alive(a.epoch) || a.id.IsZero() {
		return
	}
	if _, taken := s.marked(a.id); taken || !s.call(&m.names, a, &s.markBy, m.number) {
		return
	}
	if a.epoch == s.keys.now {
		delete(s.list.told, -m.number)
		s.review(m)
	}
}

// markOf finds a mark by its names; nil when none of them is known.
func (s *state) markOf(called []alias) *mark {
	for _, a := range called {
		if at, ok := s.marked(a.id); ok {
			return s.marks[at]
		}
	}
	return nil
}

// review has the next deltas look at what a mark says.
func (s *state) review(m *mark) {
	if at := s.belongs(m); at != 0 {
		s.list.stale[at] = true
		return
	}
	s.list.pending = append(s.list.pending, m.number)
}

// belongs is the account that speaks for a mark; 0 when it speaks for itself.
func (s *state) belongs(m *mark) int32 {
	switch {
	case m.of == 0:
		return 0
	case m.entry.kind == denylist.Credential:
		return s.credentials[m.of].account
	}
	if a := s.accountOf(int64(m.of)); a != nil && a.par == m.number {
		return a.number
	}
	return 0
}

// attach says that an entry from outside is about a card that was tapped: the two are one line of the list.
func (s *state) attach(m *mark, c *credential) {
	if m.entry.kind != denylist.Credential || m.of != 0 {
		return
	}
	m.of, c.outside = c.number, m.number
	if told, ok := s.list.told[-m.number]; ok {
		delete(s.list.told, -m.number)
		if _, has := c.under(s.keys.now); has {
			s.list.told[c.number] = told
		}
	}
	s.list.stale[c.account] = true
}

// link says that a credential belongs to the account of a reference. Two accounts become one: the older number stays.
func (s *state) link(c *credential, called []alias) *mark {
	a := s.accounts[c.account]
	m := s.markOf(called)
	if m == nil {
		if a.par != 0 {
			s.list.stale[a.number] = true
			return nil
		}
		m = s.newMark(denylist.PAR, called[0])
	}
	for _, name := range called {
		s.nameMark(m, name)
	}
	switch {
	case a.par == m.number:
		return m
	case m.of == 0:
		if a.par == 0 {
			a.own().par, m.of = m.number, a.number
		}
		s.list.stale[a.number] = true
		return m
	}
	b := s.accountOf(int64(m.of))
	if b == a {
		return m
	}
	if a.number < b.number {
		a, b = b, a
	}
	s.merge(a, b)
	return m
}

// outside is what entries from outside say of a credential.
func (s *state) outside(c *credential) (l listing) {
	if c.outside != 0 {
		l = s.marks[c.outside].entry
	}
	if par := s.accounts[c.account].par; par != 0 && s.marks[par].entry.outranks(l) {
		l = s.marks[par].entry
	}
	return l
}

// Reasons of Advised rows.
const (
	adviceListed   uint16 = 1
	adviceUnlisted uint16 = 2
	adviceRanOut   uint16 = 3
)

const (
	pageKeyFormat = "e/%020d"
	// advisedEntry is what stands before the hashes of an entry.
	advisedEntry = 4
)

var errAdvised = errors.New("entries from outside are damaged")

// advised is one entry of an Advised row.
type advised struct {
	what   listing
	called []alias
	sealed []byte
}

// appendAdvised packs entries that all are named under the same epochs.
func appendAdvised(b []byte, under []denylist.Epoch, entries []advised) []byte {
	b = append(b, byte(len(under)))
	for _, e := range under {
		b = binary.BigEndian.AppendUint32(b, uint32(e))
	}
	for i := range entries {
		e := &entries[i]
		b = binary.BigEndian.AppendUint16(append(b, byte(e.what.kind), byte(e.what.reason)), uint16(e.what.until))
		for _, a := range e.called {
			b = append(b, a.id[:]...)
		}
		b = append(binary.AppendUvarint(b, uint64(len(e.sealed))), e.sealed...)
	}
	return b
}

// parseAdvised reads what appendAdvised made. The sealed values alias b.
func parseAdvised(b []byte) ([]advised, error) {
	const epochBytes = 4
	if len(b) == 0 || b[0] == 0 || b[0] > 2 || len(b) < 1+int(b[0])*epochBytes {
		return nil, errAdvised
	}
	under := make([]denylist.Epoch, b[0])
	b = b[1:]
	for i := range under {
		under[i], b = denylist.Epoch(binary.BigEndian.Uint32(b)), b[epochBytes:]
	}
	var entries []advised
	for len(b) > 0 {
		if len(b) < advisedEntry+len(under)*linkBytes {
			return nil, errAdvised
		}
		e := advised{what: listing{denylist.Kind(b[0]), denylist.Reason(b[1]), denylist.Day(binary.BigEndian.Uint16(b[2:]))}}
		b = b[advisedEntry:]
		for _, epoch := range under {
			e.called, b = append(e.called, alias{denylist.ID(b[:linkBytes]), epoch}), b[linkBytes:]
		}
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errAdvised
		}
		e.sealed, b = b[used:used+int(n)], b[used+int(n):]
		if _, err := denylist.NewEntry(e.what.kind, e.called[0].id, e.what.reason, e.what.until); err != nil {
			return nil, errAdvised
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// applyAdvised follows what was said outside about cards, tokens and accounts.
func (s *state) applyAdvised(r *journal.Row) error {
	if r.Reason != adviceListed {
		return s.applyUnlisted(r)
	}
	entries, err := parseAdvised(r.Note)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	s.pages++
	if want := fmt.Sprintf(pageKeyFormat, s.pages); r.Key != want {
		return fmt.Errorf("row %d: key %q, want %q: %w", r.Seq, r.Key, want, errAdvised)
	}
	for i := range entries {
		e := &entries[i]
		m := s.markOf(e.called)
		if m == nil {
			m = s.newMark(e.what.kind, e.called[0])
		}
		for _, a := range e.called {
			s.nameMark(m, a)
		}
		if m.entry.kind != e.what.kind {
			return fmt.Errorf("row %d: one hash of two kinds: %w", r.Seq, errAdvised)
		}
		if m.entry.reason == 0 {
			s.listedOutside++
		}
		m.entry, m.page = e.what, s.pages
		if m.of == 0 && m.entry.kind == denylist.Credential {
			for _, a := range e.called {
				if at, seen := s.known(a.id); seen && s.credentials[at].outside == 0 {
					s.attach(m, s.credentials[at])
				}
			}
		}
		s.review(m)
	}
	return nil
}

func (s *state) applyUnlisted(r *journal.Row) error {
	for b := r.Note; len(b) > 0; {
		n, used := binary.Uvarint(b)
		if used <= 0 || n == 0 || n >= uint64(len(s.marks)) || s.marks[n].entry.reason == 0 || r.Reason > adviceRanOut {
			return fmt.Errorf("row %d: %w", r.Seq, errAdvised)
		}
		b = b[used:]
		m := s.marks[n]
		m.entry.reason, m.entry.until = 0, 0
		s.listedOutside--
		s.review(m)
	}
	return nil
}
