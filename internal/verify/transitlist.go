package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// transitListing is what the list says of one hash. The zero value: nothing.
type transitListing struct {
	kind, reason uint8
	until        uint16
}

// possible reports whether an entry can say so: only a debt and the operator stop an account.
func (l transitListing) possible() bool {
	return l.kind > 0 && l.kind < kindEnd && l.reason > 0 && l.reason < denyEnd && (l.kind != kindPAR || l.reason == denyDebt || l.reason == denyOperator)
}

// stronger is the one of two that the list says of one thing: by the order of reasons, and of one reason what lasts longer.
func (l transitListing) stronger(other transitListing) transitListing {
	switch {
	case other.reason == 0, l.reason != 0 && l.reason < other.reason, l.reason == other.reason && (l.until == 0 || other.until != 0 && other.until <= l.until):
		return l
	}
	return other
}

// transitList is the deny list as the deltas have told it.
type transitList struct {
	sequence uint64
	digest   [sha256.Size]byte
	signer   [deltaSigner]byte
	epoch    uint32
	listed   map[int32]transitListing  // by subject: a credential's number, or less than zero a mark's
	strays   map[uint64]transitListing // whose hash nobody has
	waits    map[int32]bool            // accounts of which the list may have to say something else
	marks    map[int32]bool            // and marks
	last     journal.Row               // of the last delta: number, kind and instant
	changes  int                       // of the last delta
	open     bool                      // nothing but deltas came since
}

func newTransitList() transitList {
	return transitList{listed: map[int32]transitListing{}, strays: map[uint64]transitListing{}, waits: map[int32]bool{}, marks: map[int32]bool{}}
}

// delta takes a delta of the list in.
func (t *transit) delta(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	l := &t.list
	l.sequence++
	if want := fmt.Sprintf(deltaFormat, l.sequence); r.Key != want {
		t.fault(r, "key", quoted(r.Key), quoted(want))
	}
	d, wrong := readDelta(r.Note)
	if wrong != "" {
		t.fault(r, "note", verbatim(wrong), wordReadable)
		return
	}
	if d.sequence != l.sequence {
		t.fault(r, FieldDenyList, fill("delta %d", "第%d号增量", d.sequence), fill("delta %d, one after the other", "第%d号增量，逐一递增", l.sequence))
		l.sequence = d.sequence
	}
	if d.previous != l.digest {
		found, expected := hashes(d.previous, l.digest)
		t.fault(r, FieldChain, found, expected)
	}
	t.epochs.starts(d.epoch)
	t.sameEpoch(r, d.epoch, t.epochs.force)
	if d.signer != l.signer && l.last.Seq != 0 {
		t.fault(r, FieldSigner, verbatim(hex.EncodeToString(d.signer[:])), verbatim(hex.EncodeToString(l.signer[:])))
	}
	if key := t.options.ListKey; key != nil && !(len(key) == ed25519.PublicKeySize && ed25519.Verify(key, append([]byte(deltaPurpose), d.signed...), d.proof)) {
		t.fault(r, FieldSigner, fill("a signature that is not the operator's", "不是运营方的签名"), fill("the operator's", "运营方签名"))
	}
	if !d.until.After(d.created) || d.created.After(r.At) {
		t.fault(r, FieldDenyList, fill("made %s, good until %s", "制作于%s，有效至%s", d.created.UTC().Format(time.RFC3339), d.until.UTC().Format(time.RFC3339)),
			fill("made when the row was, good for a time", "与该行同时制作，且有有效期"))
	}
	for _, c := range d.lines {
		t.change(r, c)
	}
	l.epoch, l.digest, l.signer, l.changes, l.open = d.epoch, d.digest, d.signer, len(d.lines), true
	l.last = journal.Row{Seq: r.Seq, Kind: r.Kind, At: r.At}
}

// change holds one change against what the list should say of whom it names.
func (t *transit) change(r *journal.Row, c deltaChange) {
	l := &t.list
	subject := t.named(c.hash)
	if subject == 0 {
		t.stray(r, c)
		return
	}
	now, want := l.listed[subject], t.wanted(subject)
	if c.removal != 0 {
		switch {
		case now == transitListing{}:
			t.fault(r, FieldDenyList, ofHash(whose(subject), c.hash, wordOff), fill("one that is listed", "已列入的哈希"))
		case want != transitListing{}:
			t.fault(r, FieldDenyList, ofHash(whose(subject), c.hash, wordOff), want.term())
		}
		delete(l.listed, subject)
		return
	}
	if c.entry != want {
		t.fault(r, FieldDenyList, ofHash(whose(subject), c.hash, c.entry.term()), want.term())
	}
	if now == c.entry {
		t.fault(r, FieldDenyList, ofHash(whose(subject), c.hash, fill("told again", "重复下发")), fill("only what has changed", "仅下发变更"))
	}
	l.listed[subject] = c.entry
}

// wordOff is a hash that a delta takes off the list.
var wordOff = glossary.Term{EN: "taken off", ZH: "被移除"}

// stray takes a change of a hash that nobody has.
func (t *transit) stray(r *journal.Row, c deltaChange) {
	l := &t.list
	nobody := fill("nobody known", "未知凭证")
	_, listed := l.strays[c.hash]
	switch {
	case c.removal == 0:
		t.fault(r, FieldDenyList, ofHash(nobody, c.hash, c.entry.term()), transitListing{}.term())
		l.strays[c.hash] = c.entry
	case !listed:
		t.fault(r, FieldDenyList, ofHash(nobody, c.hash, wordOff), fill("one that is listed", "已列入的哈希"))
	default:
		delete(l.strays, c.hash)
	}
}

// ofHash puts whose hash it is before what is said of it.
func ofHash(who glossary.Term, hash uint64, what glossary.Term) glossary.Term {
	return glossary.Term{EN: fmt.Sprintf("%s, hash %016x: %s", who.EN, hash, what.EN), ZH: fmt.Sprintf("%s，哈希%016x：%s", who.ZH, hash, what.ZH)}
}

// named says whose a hash is, under the key in force: a credential's number, less than zero a mark's, 0 for nobody's.
func (t *transit) named(hash uint64) int32 {
	if n := t.riders.index.by[hash]; n != 0 && t.hashIs(&t.riders.all[n].names, hash) {
		return n
	}
	if m := t.marks.index.by[hash]; m != 0 && t.hashIs(&t.marks.all[m].names, hash) {
		return -m
	}
	return 0
}

func (t *transit) hashIs(s *transitNames, hash uint64) bool {
	id, has := s.under(t.epochs.force)
	return has && hashOf(id) == hash
}

// hash is what the list has of a subject; false when it has no name under the key in force.
func (t *transit) hash(subject int32) (uint64, bool) {
	names := &t.riders.all[max(subject, 0)].names
	if subject < 0 {
		names = &t.marks.all[-subject].names
	}
	id, has := names.under(t.epochs.force)
	return hashOf(id), has
}

func whose(subject int32) glossary.Term {
	if subject < 0 {
		return fill("mark %d", "标记%d", -subject)
	}
	return fill("credential %d", "凭证%d", subject)
}

// wanted is what the list should say of a subject.
func (t *transit) wanted(subject int32) (want transitListing) {
	x := &t.riders
	if subject < 0 {
		return t.wantedMark(-subject)
	}
	if x.all[subject].twin != 0 {
		return want
	}
	a := x.account(subject)
	for _, n := range x.of(a) {
		if n == subject || x.all[n].twin == subject {
			want = want.stronger(t.own(n))
		}
	}
	if whole := t.whole(a); whole.reason != 0 {
		whole.kind = kindCredential
		want = want.stronger(whole)
	}
	return want.stronger(t.stops.barred(a, kindCredential))
}

// own is what is to be said of a credential by itself: why it was stopped, that it owes, and what somebody outside said of it.
func (t *transit) own(n int32) (want transitListing) {
	switch c := &t.riders.all[n]; {
	case c.stop != 0:
		want = transitListing{kind: kindCredential, reason: c.stop}
	case c.owing > 0, c.refused:
		want = transitListing{kind: kindCredential, reason: denyDebt}
	}
	return want.stronger(t.marks.all[t.riders.all[n].outside].entry)
}

// whole is what is to be said of every card and token of an account.
func (t *transit) whole(account int32) (want transitListing) {
	par := t.riders.pars[account]
	if par == 0 {
		return want
	}
	if want = t.marks.all[par].entry; t.riders.owes(account) {
		want = want.stronger(transitListing{kind: kindPAR, reason: denyDebt})
	}
	want = want.stronger(t.stops.barred(account, kindPAR))
	if want.reason == 0 {
		return transitListing{}
	}
	return want
}

// wantedMark is what the list should say of a mark: what is said of its account, or what somebody outside said of it.
func (t *transit) wantedMark(m int32) transitListing {
	mark := &t.marks.all[m]
	switch a := t.riders.account(mark.of); {
	case a != 0 && mark.entry.kind == kindCredential:
		return transitListing{} // the credential's line says it
	case a != 0 && t.riders.pars[a] == m:
		return t.whole(a)
	case mark.entry.reason == 0:
		return transitListing{}
	}
	return mark.entry
}

// unsettled notes that the list may have to say something else of an account.
func (t *transit) unsettled(credential int32) { t.list.waits[t.riders.account(credential)] = true }

// subjects are those of an account that the list can name.
func (t *transit) subjects(account int32) []int32 {
	all := t.riders.of(account)
	if par := t.riders.pars[account]; par != 0 {
		all = append(slices.Clone(all), -par)
	}
	return all
}

// missing gives the subjects of which the list says something else than it should.
func (t *transit) missing() (all []int32) {
	l := &t.list
	look := func(subject int32) {
		if _, has := t.hash(subject); has && l.listed[subject] != t.wanted(subject) {
			all = append(all, subject)
		}
	}
	for account := range l.waits {
		if account == t.riders.account(account) { // or part of another, which waits itself
			for _, subject := range t.subjects(account) {
				look(subject)
			}
		}
	}
	for m := range l.marks {
		look(-m)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// toldAll holds the list against all that changed before the deltas that have just been told: none of it may be missing in them.
func (t *transit) toldAll() {
	l := &t.list
	if !l.open {
		return
	}
	l.open = false
	if l.changes >= deltaFull {
		return // the rest comes with the next
	}
	for _, subject := range t.missing() {
		hash, _ := t.hash(subject)
		t.fault(&l.last, FieldDenyList, ofHash(whose(subject), hash, l.listed[subject].term()), t.wanted(subject).term())
	}
	clear(l.waits)
	clear(l.marks)
}

// listMoves takes the list to the key that has come in force: what has no name under it is not in its base.
func (t *transit) listMoves() {
	l := &t.list
	for subject := range l.listed {
		if _, has := t.hash(subject); !has {
			delete(l.listed, subject)
		}
	}
	clear(l.strays)
	for n := int32(1); int(n) < len(t.riders.all); n++ { // what had no name until now could not be listed
		if _, had := t.riders.all[n].names.under(t.epochs.former); !had {
			t.unsettled(n)
		}
	}
	for m := int32(1); int(m) < len(t.marks.all); m++ {
		if _, had := t.marks.all[m].names.under(t.epochs.former); !had {
			t.review(m)
		}
	}
}

// finishList says how far the list has come.
func (t *transit) finishList() {
	t.toldAll()
	l := &t.list
	missing := t.missing()
	for subject, said := range l.listed {
		if want := t.wanted(subject); said != want && !slices.Contains(missing, subject) {
			hash, _ := t.hash(subject)
			t.fault(&l.last, FieldDenyList, ofHash(whose(subject), hash, said.term()), want.term())
		}
	}
	t.report.List = TransitListed{Epoch: t.epochs.force, Sequence: l.sequence, Listed: len(l.listed) + len(l.strays), Waiting: len(missing),
		Signed: t.options.ListKey != nil}
}
