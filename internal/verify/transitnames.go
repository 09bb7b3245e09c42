package verify

import (
	"encoding/binary"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// keyed is a keyed hash: of a credential, a token or a payment account reference, under the key of an epoch. The list holds its first eight octets.
type keyed [idBytes]byte

func (k keyed) none() bool { return k == keyed{} }

// hashOf is what the list holds of a keyed hash.
func hashOf(k keyed) uint64 { return binary.BigEndian.Uint64(k[:]) }

// transitName is what something is called under the key of an epoch.
type transitName struct {
	epoch uint32
	id    keyed
}

// transitNames are the names of one thing, by rising epoch. The newest always counts, the other as long as its epoch is alive.
type transitNames struct {
	all [2]transitName
	n   int8
}

// under gives the name under an epoch.
func (s *transitNames) under(epoch uint32) (keyed, bool) {
	for _, name := range s.all[:s.n] {
		if name.epoch == epoch {
			return name.id, true
		}
	}
	return keyed{}, false
}

// transitEpochs says which keys are in use.
type transitEpochs struct {
	known               bool   // which was the first
	force, next, former uint32 // the latter two 0 for none
	begun               uint64 // the row that began the last change of keys
	first               uint32
	forced              int64 // when the epoch in force came into force; 0: it was the first
}

func (e *transitEpochs) alive(epoch uint32) bool {
	return !e.known || epoch == e.force || epoch != 0 && (epoch == e.next || epoch == e.former)
}

// starts takes an epoch that is met for the epoch in force, if it is the first.
func (e *transitEpochs) starts(epoch uint32) {
	if !e.known {
		e.known, e.force, e.first = true, epoch, epoch
	}
}

// counts reports whether a thing is known by an ID.
func (e *transitEpochs) counts(s *transitNames, id keyed) bool {
	for i, have := range s.all[:s.n] {
		if have.id == id {
			return i == int(s.n)-1 || e.alive(have.epoch)
		}
	}
	return false
}

// take adds a name. Of three the oldest that was there goes: its epoch is not alive any more. It reports false when the thing has a name of that epoch.
func (s *transitNames) take(name transitName) bool {
	if _, has := s.under(name.epoch); has {
		return false
	}
	if s.n == int8(len(s.all)) {
		s.all[0] = s.all[1]
		s.n--
	}
	s.all[s.n] = name
	if s.n++; s.n == 2 && s.all[0].epoch > s.all[1].epoch {
		s.all[0], s.all[1] = s.all[1], s.all[0]
	}
	return true
}

// nameIndex finds things by their names.
type nameIndex struct {
	by    map[uint64]int32
	twins map[keyed]int32 // those whose first eight octets another has as well
}

func newNameIndex() nameIndex { return nameIndex{by: map[uint64]int32{}, twins: map[keyed]int32{}} }

func (x *nameIndex) put(id keyed, n int32) {
	if other, taken := x.by[hashOf(id)]; taken && other != n {
		x.twins[id] = n
		return
	}
	x.by[hashOf(id)] = n
}

// each calls fn for those that may have a name, until it returns false.
func (x *nameIndex) each(id keyed, fn func(n int32) bool) {
	if n, known := x.by[hashOf(id)]; known && !fn(n) {
		return
	}
	if n, known := x.twins[id]; known {
		fn(n)
	}
}

// Reasons of KeysChanged rows.
const (
	keysBegin  = 1
	keysMoved  = 2
	keysForce  = 3
	keysForget = 4

	movedCredential = 1
	movedMark       = 2
	epochBytes      = 4
)

// keys follows the change from one key to the next: begun, everything moved, in force, the former forgotten.
func (t *transit) keys(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	if len(r.Note) < epochBytes {
		t.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	e, to := &t.epochs, binary.BigEndian.Uint32(r.Note)
	rest := r.Note[epochBytes:]
	if r.Reason == keysBegin {
		e.starts(to - 1)
		t.sameEpoch(r, to, e.force+1)
		if e.next != 0 || e.former != 0 {
			t.fault(r, "reason", fill("keys change again", "再次更换密钥"), fill("one change at a time, the former key forgotten", "逐次更换，且旧密钥已停用"))
		}
		t.same(r, "linked", int64(r.Linked), 0)
		e.next, e.begun = to, r.Seq
		return
	}
	t.same(r, "linked", int64(r.Linked), int64(e.begun))
	switch r.Reason {
	case keysMoved:
		want := e.next
		if want == 0 {
			want = e.force
		}
		t.sameEpoch(r, to, want)
		t.moved(r, to, rest)
	case keysForce:
		if e.next == 0 {
			t.fault(r, "reason", number(r.Reason), fill("a change of keys that has begun", "已开始的密钥更换"))
		}
		t.sameEpoch(r, to, e.next)
		e.former, e.force, e.next, e.forced = e.force, to, 0, r.At.UnixMicro()
		t.listMoves()
		if len(rest) > 0 {
			t.without(r, rest)
		}
	case keysForget:
		if e.former == 0 || e.next != 0 {
			t.fault(r, "reason", number(r.Reason), fill("a former key beside the one in force", "与现用密钥并存的旧密钥"))
		}
		t.sameEpoch(r, to, e.former)
		e.former = 0
	default:
		t.fault(r, "reason", number(r.Reason), fill("1 to %d", "1至%d", keysForget))
	}
}

func (t *transit) sameEpoch(r *journal.Row, found, expected uint32) {
	if found != expected {
		t.fault(r, FieldEpoch, number(found), number(expected))
	}
}

// moved gives things their names under another key.
func (t *transit) moved(r *journal.Row, to uint32, rest []byte) {
	for len(rest) > 0 {
		kind := rest[0]
		n, length := binary.Uvarint(rest[1:])
		if length <= 0 || len(rest) < 1+length+idBytes || kind != movedCredential && kind != movedMark {
			t.fault(r, "note", wordUnfit, wordReadable)
			return
		}
		name := transitName{to, keyed(rest[1+length:])}
		rest = rest[1+length+idBytes:]
		var names *transitNames
		what := glossary.Term{EN: "credential", ZH: "凭证"}
		if kind == movedMark {
			what = glossary.Term{EN: "mark", ZH: "标记"}
		}
		switch {
		case n == 0:
		case kind == movedCredential && n < uint64(len(t.riders.all)):
			for t.riders.all[n].twin != 0 {
				n = uint64(t.riders.all[n].twin)
			}
			names = &t.riders.all[n].names
		case kind == movedMark && n < uint64(len(t.marks.all)):
			names = &t.marks.all[n].names
		}
		if names == nil {
			t.fault(r, "note", fill("%s %d", "%[3]s%[2]d", what.EN, n, what.ZH), fill("one that is known", "已知的编号"))
			continue
		}
		if _, has := names.under(to); has || names.n == 0 {
			t.fault(r, "note", fill("%s %d moved to epoch %d", "%[4]s%[2]d迁至纪元%[3]d", what.EN, n, to, what.ZH), fill("each moved once", "每项仅迁移一次"))
			continue
		}
		if kind == movedMark {
			t.renames(int32(n), name)
			continue
		}
		t.calls(int32(n), name)
	}
}

// without holds the counts of what has no name under the key that comes in force against what is known.
func (t *transit) without(r *journal.Row, rest []byte) {
	var said [2]uint64
	for i := range said {
		n, length := binary.Uvarint(rest)
		if length <= 0 {
			t.fault(r, "note", wordUnfit, wordReadable)
			return
		}
		said[i], rest = n, rest[length:]
	}
	var credentials, marks uint64
	for i := 1; i < len(t.riders.all); i++ {
		names := &t.riders.all[i].names
		if _, has := names.under(t.epochs.force); !has && names.n > 0 {
			credentials++
		}
	}
	for i := 1; i < len(t.marks.all); i++ {
		m := &t.marks.all[i]
		if _, has := m.names.under(t.epochs.force); !has && (m.of != 0 || m.entry.reason != 0) {
			marks++
		}
	}
	if said != [2]uint64{credentials, marks} {
		t.fault(r, "note", fill("%d credentials and %d marks without a name", "%d个凭证和%d个标记未迁移", said[0], said[1]),
			fill("%d and %d", "%d个和%d个", credentials, marks))
	}
}
