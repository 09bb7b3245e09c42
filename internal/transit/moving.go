package transit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// Naming everything under a new key goes on in rounds, each over all cards and then all marks. The writer gathers what lacks a name; the sealed data are opened
// beside it, when the next event of the timer is prepared; the writer then makes a row of the names. It looks at some thousand things in a step and names some
// hundred: a gate waits for less than a millisecond. Rounds begin again, for what could not be opened and for what has come in since.

const (
	scanMost = 8192 // things looked at in one step
	workMost = 512  // and opened
)

// keyPass is how far a round has come. It is not journaled: after a restart a round begins anew.
type keyPass struct {
	card, mark int // the next to be looked at, less one
	found      keyCounts
	last       keyCounts // of the last whole round
	rounds     int
}

// keyCounts are what a round has found.
type keyCounts struct{ moved, left, cannot, missing int }

// keyWork is what is to be opened.
type keyWork struct {
	target denylist.Epoch
	cards  []cardWork
	marks  []markWork
}

// cardWork is a card that is known under another key, and the record with its data.
type cardWork struct {
	number   int32
	check    alias
	key      string // of the Uploaded row
	first    uint64 // record of that row
	sequence uint64
	par      alias // name of its account's reference that lacks the new one, zero for none
}

// markWork is a mark, and the row with its sealed value.
type markWork struct {
	number, page int32
	check        alias
}

// keyNames are what opening found out.
type keyNames struct {
	work       *keyWork
	moves      []move
	references []alias2 // of accounts, by their names under an earlier key
	shut       map[int32]bool
}

// alias2 is a name and what it is under the new key.
type alias2 struct{ is, becomes denylist.ID }

// rotateOn goes on with a rotation, or with forgetting.
func (o *Office) rotateOn(now time.Time, ev *journal.Event, step *journal.Step) {
	s := o.state
	if s.keys.next == 0 && s.keys.former == 0 {
		o.work.Store(nil)
		if o.dropNames() {
			step.Emit(journal.Effect{Timer: keysTimer, After: atOnce})
		}
		return
	}
	if w := o.work.Load(); w != nil {
		found, ok := ev.Finding.(*keyNames)
		if !ok || found.work != w {
			found = o.openWork(w)
		}
		o.work.Store(nil)
		o.takeNames(now, found, step)
	}
	w, whole := o.gather()
	after := atOnce
	switch {
	case len(w.cards)+len(w.marks) > 0:
		o.work.Store(w)
	case whole:
		p := &o.pass
		*p = keyPass{last: p.found, rounds: p.rounds + 1}
		after = keysAgain
		switch {
		case s.keys.next != 0 && p.last.left == 0 && len(o.without(now)) == 0:
			o.force(now, step)
		case s.keys.next == 0 && p.last.left == 0:
			after = keysRarely
		}
	}
	step.Emit(journal.Effect{Timer: keysTimer, After: after})
}

// gather collects what lacks a name under the newest key. whole: the round is at its end.
func (o *Office) gather() (w *keyWork, whole bool) {
	s, p := o.state, &o.pass
	w = &keyWork{target: s.keys.target()}
	most := scanMost
	for ; p.card < len(s.credentials)-1 && most > 0 && len(w.cards) < workMost; most-- {
		p.card++
		c := s.credentials[p.card]
		par := s.unnamed(c, w.target)
		if c.twin != 0 || par.id.IsZero() && o.counted(&c.names, c.number, c.material.row != 0, w.target) {
			continue
		}
		d := s.devices[c.material.device]
		w.cards = append(w.cards, cardWork{c.number, c.alias, uploadKey(d.name, c.material.row), c.material.row, c.material.sequence, par})
	}
	if p.card < len(s.credentials)-1 || len(w.cards) > 0 {
		return w, false // references of accounts are named by the cards that show them: those first
	}
	for ; p.mark < len(s.marks)-1 && most > 0 && len(w.marks) < workMost; most-- {
		p.mark++
		m := s.marks[p.mark]
		if m.entry.reason == 0 && (m.of == 0 || m.entry.kind != denylist.PAR) || o.counted(&m.names, -m.number, m.page != 0, w.target) {
			continue
		}
		w.marks = append(w.marks, markWork{m.number, m.page, m.alias})
	}
	return w, p.mark == len(s.marks)-1
}

// unnamed is the reference of a card's account that only its taps can name: the card was seen under the new key already, and nobody opened it for its own sake.
func (s *state) unnamed(c *credential, target denylist.Epoch) alias {
	a := s.accounts[c.account]
	if _, has := c.under(target); !has || c.material.row == 0 || a.par == 0 {
		return alias{}
	}
	m := s.marks[a.par]
	if _, has := m.under(target); has || m.page != 0 {
		return alias{}
	}
	return m.alias
}

// counted counts what has its name, or cannot have one; false when it can be named out of sealed data.
func (o *Office) counted(n *names, subject int32, sealed bool, target denylist.Epoch) bool {
	if _, has := n.under(target); has {
		o.pass.found.moved++
		return true
	}
	if !sealed {
		o.pass.found.cannot++
		o.missed(subject)
		return true
	}
	return false
}

// missed counts what the gates were told of under the key in force or before and cannot be told of under the newest.
func (o *Office) missed(subject int32) {
	if _, told := o.state.list.told[subject]; told {
		o.pass.found.missing++
	}
}

// takeNames makes a row of what was found out.
func (o *Office) takeNames(now time.Time, found *keyNames, step *journal.Step) {
	s, w := o.state, found.work
	var moves []move
	seen := map[int32]bool{}
	add := func(n *names, subject int32, m move) {
		if _, has := n.under(w.target); !has && !seen[subject] {
			seen[subject] = true
			moves = append(moves, m)
		}
	}
	for _, m := range found.moves {
		if m.what == movedCredential {
			c := s.credentials[s.credentials[m.number].subject()]
			add(&c.names, c.number, move{m.what, c.number, m.id})
			continue
		}
		add(&s.marks[m.number].names, -m.number, m)
	}
	for _, a := range found.references {
		if at, known := s.marked(a.is); known {
			add(&s.marks[at].names, -at, move{movedMark, at, a.becomes})
		}
	}
	if len(moves) > 0 && w.target == s.keys.target() {
		r := keysRow(keysMoved, w.target)
		r.Linked, r.Note = s.begun, appendMoves(r.Note, moves)
		o.append(step, now, r)
	}
	count := func(n *names, subject int32) {
		switch _, has := n.under(w.target); {
		case has:
			o.pass.found.moved++
			return
		case found.shut[subject]:
			o.pass.found.left++
		default:
			o.pass.found.cannot++
		}
		o.missed(subject)
	}
	for i := range w.cards {
		if c := s.credentials[w.cards[i].number]; c.twin == 0 {
			count(&c.names, c.number)
		}
	}
	for i := range w.marks {
		count(&s.marks[w.marks[i].number].names, -w.marks[i].number)
	}
}

// opener opens what is to be named. It runs beside the writer and touches none of the state.
type opener struct {
	office *Office
	names  keyNames
	target gate.Identifier
	checks map[denylist.Epoch]gate.Identifier
	key    string // of the row looked at last
	row    *journal.Row
}

// openWork names what was gathered under the new key. What the data say must be what it is known by under the other.
func (o *Office) openWork(w *keyWork) *keyNames {
	p := &opener{office: o, names: keyNames{work: w, shut: map[int32]bool{}}, checks: map[denylist.Epoch]gate.Identifier{}}
	var err error
	if p.target, err = o.deps.Keys.Of(w.target); err != nil {
		p.target = nil
	}
	slices.SortFunc(w.cards, func(x, y cardWork) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.sequence, y.sequence)) })
	for i := range w.cards {
		p.card(&w.cards[i])
	}
	slices.SortFunc(w.marks, func(x, y markWork) int {
		return cmp.Or(cmp.Compare(x.page, y.page), cmp.Compare(x.check.epoch, y.check.epoch))
	})
	for from := 0; from < len(w.marks); {
		to := from + 1
		for to < len(w.marks) && w.marks[to].page == w.marks[from].page && w.marks[to].check.epoch == w.marks[from].check.epoch {
			to++
		}
		p.page(w.marks[from:to])
		from = to
	}
	return &p.names
}

// find is a row of the archive; nil when it is not there yet, or cannot be read now.
func (p *opener) find(key string) *journal.Row {
	if p.key == key {
		return p.row
	}
	p.key, p.row = key, nil
	if p.office.archive == nil {
		return nil
	}
	if row, found, err := p.office.archive.FindKey(context.Background(), key); err == nil && found {
		p.row = row
	}
	return p.row
}

// check is the key under which something is known; nil when the security module does not give it now, or not the new one.
func (p *opener) check(epoch denylist.Epoch) gate.Identifier {
	k, asked := p.checks[epoch]
	if !asked {
		k, _ = p.office.deps.Keys.Of(epoch) // nil is the answer then
		p.checks[epoch] = k
	}
	if p.target == nil {
		return nil
	}
	return k
}

func (p *opener) card(w *cardWork) {
	row, check := p.find(w.key), p.check(w.check.epoch)
	if row == nil || check == nil {
		p.names.shut[w.number] = true
		return
	}
	note := row.Note
	for at := w.first; at < w.sequence && len(note) > 0; at++ {
		note = note[min(max(gate.RecordLength(note), 1), len(note)):]
	}
	length := gate.RecordLength(note)
	if length == 0 || length > len(note) {
		return
	}
	// The seal binds the data to the whole record: it need not be verified by the log's chain again.
	record, _, err := gate.ParseRecord(note[:length])
	if err != nil || record.Sequence != w.sequence {
		return
	}
	plain, err := p.office.deps.Opener.Open(record.Sealed, record.Additional())
	if err != nil {
		p.names.shut[w.number] = true
		return
	}
	data, err := emv.ParseData(plain)
	if err != nil {
		return
	}
	if id, ok := credentialID(check, data); !ok || id != w.check.id {
		return
	}
	id, _ := credentialID(p.target, data)
	p.names.moves = append(p.names.moves, move{movedCredential, w.number, id})
	if reference := string(data.Get(emv.TagPAR)); reference != "" {
		p.names.references = append(p.names.references, alias2{check.PAR(reference), p.target.PAR(reference)})
		if w.par.id.IsZero() {
			return
		}
		if k := p.check(w.par.epoch); k != nil && k.PAR(reference) == w.par.id {
			p.names.references = append(p.names.references, alias2{w.par.id, p.target.PAR(reference)})
		}
	}
}

// page names the marks whose values lie in one row and that are known under one key.
func (p *opener) page(marks []markWork) {
	row, check := p.find(fmt.Sprintf(pageKeyFormat, marks[0].page)), p.check(marks[0].check.epoch)
	becomes := map[denylist.ID]denylist.ID{}
	shut := row == nil || check == nil
	if !shut {
		for _, sealed := range sealedIn(row) {
			e, ok := p.office.openValue(sealed)
			if !ok {
				shut = true
				continue
			}
			becomes[e.under(check)] = e.under(p.target)
		}
	}
	for i := range marks {
		if id, ok := becomes[marks[i].check.id]; ok {
			p.names.moves = append(p.names.moves, move{movedMark, marks[i].number, id})
			continue
		}
		p.names.shut[-marks[i].number] = shut
	}
}

// sealedIn are the sealed values of a row with a page's key.
func sealedIn(r *journal.Row) (all [][]byte) {
	if r.Kind == journal.CardChanged {
		var note change
		if json.Unmarshal(r.Note, &note) != nil {
			return nil
		}
		return [][]byte{note.Sealed}
	}
	entries, err := parseAdvised(r.Note)
	if err != nil {
		return nil
	}
	for i := range entries {
		all = append(all, entries[i].sealed)
	}
	return all
}

// dropNames lets go of names under a key that is forgotten: they do not count any more, and take room. It says whether there are more.
func (o *Office) dropNames() bool {
	s, p := o.state, &o.pass
	drop := func(n *names, x *index, number int32) {
		if n.older != nil && !s.keys.alive(n.older.epoch) {
			x.drop(n.older.id, number)
			n.older = nil
		}
	}
	most := scanMost
	for ; p.card < len(s.credentials)-1 && most > 0; most-- {
		p.card++
		drop(&s.credentials[p.card].names, &s.credentialBy, int32(p.card))
	}
	for ; p.mark < len(s.marks)-1 && most > 0; most-- {
		p.mark++
		drop(&s.marks[p.mark].names, &s.markBy, int32(p.mark))
	}
	return p.card < len(s.credentials)-1 || p.mark < len(s.marks)-1
}
