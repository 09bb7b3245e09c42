package denylist

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/FastFilter/xorfilter"
	"pgregory.net/rapid"

	"tapnet/pan"
)

var (
	noon     = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	today    = DayOf(noon)
	signer   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	stranger = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
)

func trusted(t testing.TB) Trust {
	t.Helper()
	trust, err := NewTrust(signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func info(sequence uint64) Info {
	return Info{Epoch: 3, Sequence: sequence, Created: noon.Add(time.Duration(sequence) * time.Minute), NotAfter: noon.Add(48 * time.Hour)}
}

// withHash is an ID whose Hash is h.
func withHash(h uint64) (id ID) {
	binary.BigEndian.PutUint64(id[:], h)
	return id
}

func entry(t testing.TB, h uint64, reason Reason, until Day) Entry {
	t.Helper()
	e, err := NewEntry(Credential, withHash(h), reason, until)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func removal(t testing.TB, h uint64) Change {
	t.Helper()
	c, err := Remove(withHash(h), Paid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func build(t testing.TB, entries []Entry, sequence uint64, chain Digest) []byte {
	t.Helper()
	image, err := BuildBase(entries, info(sequence), chain, signer)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func open(t testing.TB, image []byte) *Base {
	t.Helper()
	b, err := OpenBase(image, trusted(t))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func deltaBytes(t testing.TB, sequence uint64, previous Digest, changes ...Change) []byte {
	t.Helper()
	b, err := BuildDelta(changes, info(sequence), previous, signer)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func delta(t testing.TB, sequence uint64, previous Digest, changes ...Change) *Delta {
	t.Helper()
	d, err := OpenDelta(deltaBytes(t, sequence, previous, changes...), trusted(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func started(t testing.TB, entries ...Entry) *List {
	t.Helper()
	l, err := NewList(open(t, build(t, entries, 0, Digest{})), Position{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func spread(t testing.TB, n int, seed uint64) []Entry {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{hash: r.Uint64(), kind: Credential, reason: Reason(1 + r.IntN(int(reasonEnd)-1))}
	}
	return entries
}

// TestBaseAgainstMap compares a base of every awkward size with a map, in both directions.
func TestBaseAgainstMap(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 16, 100, 1000, 4095, 4096, 50_000} {
		entries := spread(t, n, uint64(n))
		want := map[uint64]Entry{}
		for _, e := range entries {
			want[e.hash] = e
		}
		b := open(t, build(t, entries, 0, Digest{}))
		if b.Len() != len(want) {
			t.Fatalf("%d entries: holds %d, want %d", n, b.Len(), len(want))
		}
		for h, e := range want {
			for _, probe := range []uint64{h - 1, h, h + 1} {
				got, ok := b.Lookup(probe)
				wanted, listed := want[probe]
				if ok != listed || got != wanted {
					t.Fatalf("%d entries, seed %d: hash %x is %v %v, want %v (%v)", n, n, probe, got, ok, wanted, e)
				}
			}
		}
		for _, probe := range []uint64{0, 1, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			if _, ok := b.Lookup(probe); ok != (want[probe] != Entry{}) {
				t.Fatalf("%d entries: hash %x is %v", n, probe, ok)
			}
		}
	}
}

// TestListAgainstMap drives a list and a map through the same additions, removals and new bases.
func TestListAgainstMap(t *testing.T) {
	trust := trusted(t)
	rapid.Check(t, func(r *rapid.T) {
		hash := rapid.OneOf(rapid.Uint64Range(0, 30), rapid.Uint64Range(1<<64-30, 1<<64-1), rapid.Uint64())
		draw := func(label string) Entry {
			return Entry{hash: hash.Draw(r, label), kind: Credential, reason: Reason(rapid.IntRange(1, int(reasonEnd)-1).Draw(r, "reason")),
				until: rapid.SampledFrom([]Day{0, today - 1, today, today + 1}).Draw(r, "until")}
		}
		model := map[uint64]Entry{}
		var first []Entry
		for range rapid.IntRange(0, 40).Draw(r, "entries") {
			e := draw("hash")
			first = append(first, e)
			if old, ok := model[e.hash]; !ok || e.outranks(old) {
				model[e.hash] = e
			}
		}
		image, err := BuildBase(first, info(0), Digest{}, signer)
		if err != nil {
			r.Fatal(err)
		}
		b, err := OpenBase(image, trust)
		if err != nil {
			r.Fatal(err)
		}
		l, err := NewList(b, Position{})
		if err != nil {
			r.Fatal(err)
		}
		for sequence := uint64(1); sequence <= 5; sequence++ {
			changes := map[uint64]Change{}
			for range rapid.IntRange(0, 10).Draw(r, "changes") {
				e := draw("changed")
				if rapid.Bool().Draw(r, "remove") {
					changes[e.hash] = Change{entry: Entry{hash: e.hash}, removal: Paid}
				} else {
					changes[e.hash] = Add(e)
				}
			}
			var list []Change
			for h, c := range changes {
				list = append(list, c)
				if c.removal != 0 {
					delete(model, h)
				} else {
					model[h] = c.entry
				}
			}
			raw, err := BuildDelta(list, info(sequence), l.Snapshot().Position().Digest, signer)
			if err != nil {
				r.Fatal(err)
			}
			if applied, err := l.ApplyLog(bytes.NewReader(raw), trust); err != nil || applied != 1 {
				r.Fatalf("applied %d: %v", applied, err)
			}
			if rapid.Bool().Draw(r, "compact") {
				compact(r, l, trust)
			}
			for h := range model {
				agree(r, l.Snapshot(), model, h)
			}
			for h := range changes {
				agree(r, l.Snapshot(), model, h)
			}
			agree(r, l.Snapshot(), model, hash.Draw(r, "probe"))
		}
	})
}

// compact replaces the base by one that contains the deltas.
func compact(r *rapid.T, l *List, trust Trust) {
	at := l.Snapshot().Position()
	image, err := BuildBase(l.Snapshot().Entries(today), info(at.Sequence), at.Digest, signer)
	if err != nil {
		r.Fatal(err)
	}
	b, err := OpenBase(image, trust)
	if err != nil {
		r.Fatal(err)
	}
	if err := l.Replace(b); err != nil {
		r.Fatal(err)
	}
	if l.Snapshot().Changes() != 0 || l.Snapshot().Position() != at {
		r.Fatal("a new base left changes behind, or moved the position")
	}
}

func agree(r *rapid.T, s *Snapshot, model map[uint64]Entry, h uint64) {
	got, ok := s.Lookup(h, today)
	want, listed := model[h]
	if listed = listed && want.Holds(today); !listed {
		want = Entry{}
	}
	if ok != listed || got != want {
		r.Fatalf("hash %x is %+v %v, want %+v %v", h, got, ok, want, listed)
	}
}

func TestFilterIsTheLibrarys(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{1, 2, 10, 333, 10_000} {
		keys := make([]uint64, n)
		for i := range keys {
			keys[i] = r.Uint64()
		}
		built, err := xorfilter.NewBinaryFuse[uint16](keys)
		if err != nil {
			t.Fatal(err)
		}
		slots := appendFingerprints(nil, built.Fingerprints)
		f := newFilter(slots, built.Seed, built.SegmentLength, built.SegmentCount)
		for _, k := range keys {
			if !f.mayContain(k) {
				t.Fatalf("%d keys, seed 5: %x is lost", n, k)
			}
		}
		for range 200_000 {
			if k := r.Uint64(); f.mayContain(k) != built.Contains(k) {
				t.Fatalf("%d keys, seed 5: %x differs from the library", n, k)
			}
		}
	}
}

func TestBuildIsRepeatable(t *testing.T) {
	entries := spread(t, 5000, 1)
	entries = append(entries, entry(t, 7, Debt, 0), entry(t, 7, Lost, 5), entry(t, 7, Lost, today))
	one := build(t, bytesShuffle(entries, 1), 0, Digest{})
	two := build(t, bytesShuffle(entries, 2), 0, Digest{})
	if !bytes.Equal(one, two) {
		t.Fatal("the order of entries shows in the image")
	}
	if e, _ := open(t, one).Lookup(7); e.Reason() != Lost || e.Until() != today {
		t.Fatalf("of three entries %v until %d stayed", e.Reason(), e.Until())
	}
}

func bytesShuffle(entries []Entry, seed uint64) []Entry {
	shuffled := append([]Entry(nil), entries...)
	rand.New(rand.NewPCG(seed, 9)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return shuffled
}

// TestEveryAlteredByteIsRefused flips each byte of a base and of a delta.
func TestEveryAlteredByteIsRefused(t *testing.T) {
	image, d := build(t, spread(t, 20, 3), 0, Digest{}), deltaBytes(t, 1, Digest{}, Add(entry(t, 1, Lost, 0)), removal(t, 2))
	for i := range image {
		altered := bytes.Clone(image)
		altered[i] ^= 0x10
		if _, err := OpenBase(altered, trusted(t)); err == nil {
			t.Errorf("base with another byte %d was taken", i)
		}
		if _, err := ReadBase(bytes.NewReader(image[:i]), trusted(t)); !errors.Is(err, ErrTruncated) {
			t.Errorf("base of %d bytes: %v", i, err)
		}
	}
	for i := range d {
		altered := bytes.Clone(d)
		altered[i] ^= 0x10
		if _, err := OpenDelta(altered, trusted(t)); err == nil {
			t.Errorf("delta with another byte %d was taken", i)
		}
		if _, err := ReadDelta(bytes.NewReader(d[:i]), trusted(t)); i > 0 && !errors.Is(err, ErrTruncated) {
			t.Errorf("delta of %d bytes: %v", i, err)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	image, err := BuildBase(nil, info(0), Digest{}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBase(image, trusted(t)); !errors.Is(err, ErrSigner) {
		t.Errorf("stranger's base: %v", err)
	}
	ours := build(t, nil, 0, Digest{})
	copy(image[atSigner:], ours[atSigner:atSignature]) // claims to be ours
	if _, err := OpenBase(image, trusted(t)); !errors.Is(err, ErrSignature) {
		t.Errorf("stranger's base under our name: %v", err)
	}
	if _, err := OpenBase(ours, Trust{}); !errors.Is(err, ErrSigner) {
		t.Errorf("trust in nobody: %v", err)
	}
	if _, err := OpenBase(append(ours, 0), trusted(t)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := OpenDelta(append(deltaBytes(t, 1, Digest{}), 0), trusted(t)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too many in a delta: %v", err)
	}
	if _, err := NewTrust(ed25519.PublicKey{1}); !errors.Is(err, ErrKey) {
		t.Errorf("short key: %v", err)
	}
}

// signed puts a good signature on any bytes: what a publisher's mistake looks like.
func signed(t testing.TB, image []byte, change func([]byte)) []byte {
	t.Helper()
	image = bytes.Clone(image)
	change(image)
	sum := digestOf(image[headerBytes:])
	copy(image[atDigest:], sum[:])
	signature, err := sign(signer, purposeBase, image[:atSignature])
	if err != nil {
		t.Fatal(err)
	}
	copy(image[atSignature:], signature)
	return image
}

func TestSignedMistakesAreRefused(t *testing.T) {
	image := build(t, spread(t, 20, 3), 0, Digest{})
	put32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
	}
	put64 := func(at int, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) }
	}
	for name, c := range map[string]struct {
		change func([]byte)
		want   error
	}{
		"too many entries":       {put64(atCount, MaxEntries+1), ErrLimit},
		"count beyond int":       {put64(atCount, 1<<63), ErrLimit},
		"more entries than body": {put64(atCount, 21), ErrTruncated},
		"fewer entries":          {put64(atCount, 19), ErrFormat},
		"no entries":             {put64(atCount, 0), ErrFormat},
		"huge filter":            {put32(atSegmentCount, 1<<31), ErrLimit},
		"huge segments":          {put32(atSegmentLength, 1<<31), ErrLimit},
		"no segments":            {put32(atSegmentCount, 0), ErrFormat},
		"no length":              {put32(atSegmentLength, 0), ErrFormat},
		"odd segments":           {put32(atSegmentLength, 3), ErrFormat},
		"far future":             {put64(atCreated, 1<<62), ErrFormat},
		"reserve":                {put32(atEpoch+4, 1), ErrFormat},
		"out of order":           {put64(headerBytes, 1<<64-1), ErrFormat},
		"unknown kind":           {func(b []byte) { b[headerBytes+20*hashBytes] = 9 }, ErrFormat},
		"unknown reason":         {func(b []byte) { b[headerBytes+20*hashBytes+1] = 99 }, ErrEntry},
	} {
		if _, err := OpenBase(signed(t, image, c.change), trusted(t)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := ReadBase(io.LimitReader(neverEnding{}, 1<<20), trusted(t)); !errors.Is(err, ErrFormat) {
		t.Errorf("stream of zeros: %v", err)
	}
}

type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestSequence(t *testing.T) {
	l := started(t, entry(t, 1, Lost, 0))
	one := delta(t, 1, Digest{}, Add(entry(t, 2, Debt, 0)))
	two := delta(t, 2, one.Digest(), removal(t, 1))
	other := delta(t, 2, one.Digest(), removal(t, 2))
	three := delta(t, 3, other.Digest())
	refuse := func(d *Delta, want error) {
		t.Helper()
		before := l.Snapshot()
		if err := l.Apply(d); !errors.Is(err, want) {
			t.Fatalf("delta %d: %v, want %v", d.Info().Sequence, err, want)
		}
		if l.Snapshot() != before {
			t.Fatal("a refused delta changed the list")
		}
	}
	refuse(two, ErrGap)
	for _, d := range []*Delta{one, one, two, two} {
		if err := l.Apply(d); err != nil {
			t.Fatal(err)
		}
	}
	refuse(one, ErrRollback)
	refuse(other, ErrFork)
	refuse(three, ErrFork)
	if _, ok := l.Snapshot().Lookup(1, today); ok {
		t.Error("removed entry stops")
	}
	if e, ok := l.Snapshot().Lookup(2, today); !ok || e.Reason() != Debt {
		t.Error("added entry does not stop")
	}

	foreign := info(3)
	foreign.Epoch++
	raw, err := BuildDelta(nil, foreign, two.Digest(), signer)
	if err != nil {
		t.Fatal(err)
	}
	newEpoch, err := OpenDelta(raw, trusted(t))
	if err != nil {
		t.Fatal(err)
	}
	refuse(newEpoch, ErrEpoch)

	at := l.Snapshot().Position()
	old, same, fork := open(t, build(t, nil, 1, one.Digest())), open(t, build(t, nil, 2, two.Digest())), open(t, build(t, nil, 2, other.Digest()))
	if err := l.Replace(old); !errors.Is(err, ErrRollback) {
		t.Errorf("older base: %v", err)
	}
	if err := l.Replace(fork); !errors.Is(err, ErrFork) {
		t.Errorf("base of a fork: %v", err)
	}
	if err := l.Replace(same); err != nil {
		t.Errorf("base of the same number: %v", err)
	}
	if err := l.Apply(delta(t, 3, two.Digest())); err != nil {
		t.Errorf("delta after a new base: %v", err)
	}
	if _, err := NewList(old, at); !errors.Is(err, ErrRollback) {
		t.Errorf("older base after a restart: %v", err)
	}
	if _, err := NewList(fork, at); !errors.Is(err, ErrFork) {
		t.Errorf("fork after a restart: %v", err)
	}
}

func TestRestartAndCopySince(t *testing.T) {
	base := open(t, build(t, nil, 0, Digest{}))
	var log []byte
	previous := Digest{}
	for sequence := uint64(1); sequence <= 5; sequence++ {
		raw := deltaBytes(t, sequence, previous, Add(entry(t, sequence, Debt, 0)))
		previous = digestOf(raw[:len(raw)-signatureBytes])
		log = append(log, raw...)
	}
	kept := Position{Sequence: 5, Digest: previous, Epoch: 3}
	l, err := Restart(base, bytes.NewReader(log), trusted(t), kept)
	if err != nil || l.Snapshot().Changes() != 5 {
		t.Fatalf("restart: %v", err)
	}
	if _, err := Restart(base, bytes.NewReader(log[:2*len(log)/5]), trusted(t), kept); !errors.Is(err, ErrRollback) {
		t.Errorf("restart without the last deltas: %v", err)
	}
	if _, err := NewList(base, kept); !errors.Is(err, ErrRollback) {
		t.Errorf("base alone: %v", err)
	}
	var part bytes.Buffer
	if n, err := CopySince(&part, bytes.NewReader(log), 3); err != nil || n != 2 || !bytes.Equal(part.Bytes(), log[3*len(log)/5:]) {
		t.Errorf("since 3: %d deltas, %v", n, err)
	}
	if n, err := CopySince(io.Discard, bytes.NewReader(log[len(log)/5:]), 0); n != 0 || !errors.Is(err, ErrGap) {
		t.Errorf("a log that begins too late: %d, %v", n, err)
	}
	if n, err := CopySince(io.Discard, bytes.NewReader(log[:len(log)-1]), 0); n != 4 || !errors.Is(err, ErrTruncated) {
		t.Errorf("a torn log: %d, %v", n, err)
	}
	if n, err := l.ApplyLog(bytes.NewReader(log), trusted(t)); n != 0 || err != nil {
		t.Errorf("the whole log again: %d, %v", n, err)
	}
}

func TestChangesRefused(t *testing.T) {
	twice := []Change{Add(entry(t, 1, Lost, 0)), removal(t, 1)}
	if _, err := BuildDelta(twice, info(1), Digest{}, signer); !errors.Is(err, ErrFormat) {
		t.Errorf("one hash twice: %v", err)
	}
	if _, err := BuildDelta(make([]Change, MaxChanges+1), info(1), Digest{}, signer); !errors.Is(err, ErrLimit) {
		t.Errorf("too many: %v", err)
	}
	if _, err := BuildDelta([]Change{{}}, info(1), Digest{}, signer); !errors.Is(err, ErrEntry) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := BuildDelta(nil, info(0), Digest{}, signer); !errors.Is(err, ErrFormat) {
		t.Errorf("number 0: %v", err)
	}
	if _, err := BuildDelta(nil, info(1), Digest{1}, signer); !errors.Is(err, ErrFormat) {
		t.Errorf("number 1 after something: %v", err)
	}
	if _, err := BuildDelta(nil, Info{Sequence: 1}, Digest{}, signer); !errors.Is(err, ErrFormat) {
		t.Errorf("no time: %v", err)
	}
	if _, err := BuildBase([]Entry{{}}, info(1), Digest{}, signer); !errors.Is(err, ErrEntry) {
		t.Errorf("empty entry: %v", err)
	}
	for _, reason := range []Reason{Counterfeit, Stolen, Lost, Closed, 0, reasonEnd} {
		if _, err := NewEntry(PAR, ID{1}, reason, 0); !errors.Is(err, ErrEntry) {
			t.Errorf("account %v: %v", reason, err)
		}
	}
	for _, kind := range []Kind{0, kindEnd, 255} {
		if _, err := NewEntry(kind, ID{1}, Debt, 0); !errors.Is(err, ErrEntry) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	for _, why := range []Removal{0, removalEnd} {
		if _, err := Remove(ID{}, why); !errors.Is(err, ErrEntry) {
			t.Errorf("removal %d: %v", why, err)
		}
	}
}

func TestIDs(t *testing.T) {
	key, err := NewEpochKey(3, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	next, err := NewEpochKey(4, bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	number, err := pan.Parse("6299990000000000014")
	if err != nil {
		t.Fatal(err)
	}
	month := func(s string) pan.Expiry {
		e, err := pan.ParseExpiry(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	seen := map[ID]string{}
	for name, id := range map[string]ID{
		"card":               key.Credential(number, "01", month("2812")),
		"another sequence":   key.Credential(number, "02", month("2812")),
		"no sequence":        key.Credential(number, "", month("2812")),
		"replacement":        key.Credential(number, "01", month("3012")),
		"as token":           key.Token(number),
		"as reference":       key.PAR(number.Reveal()),
		"card in next epoch": next.Credential(number, "01", month("2812")),
	} {
		if other, taken := seen[id]; taken || id.IsZero() {
			t.Errorf("%s is %s", name, other)
		}
		seen[id] = name
	}
	if seen[key.Token(number)] != "as token" {
		t.Error("an ID changes")
	}
	for _, n := range []int{0, 15, 65} {
		if _, err := NewEpochKey(1, make([]byte, n)); !errors.Is(err, ErrKey) {
			t.Errorf("key of %d bytes: %v", n, err)
		}
	}
	secret, err := NewEpochKey(1, []byte("a secret of sixteen and more"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", secret)
	text, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	prints := log.String() + string(text) + fmt.Sprintf("%v %+v %#v %s %x %d %q", secret, secret, secret, secret, secret, secret, secret)
	if strings.Contains(prints, "secret") || strings.Contains(prints, "736563") || strings.Contains(prints, "115 101") {
		t.Errorf("the key prints: %s", prints)
	}
}

func TestDays(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	if DayOf(time.Date(2000, 1, 2, 0, 0, 0, 0, shanghai)) != 1 || DayOf(time.Date(2000, 1, 2, 23, 59, 0, 0, shanghai)) != 1 {
		t.Error("a day is not the zone's day")
	}
	if DayOf(time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)) != 0 || DayOf(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)) != 1<<16-1 {
		t.Error("days beyond the count wrap around")
	}
	e := entry(t, 1, Debt, today)
	if !e.Holds(today) || e.Holds(today+1) || !e.Holds(1) || !entry(t, 1, Debt, 0).Holds(1<<16-1) {
		t.Error("the last day is not the last day")
	}
}

func TestAge(t *testing.T) {
	s := started(t).Snapshot()
	if s.Age(noon.Add(time.Hour)) != time.Hour || s.Age(noon.Add(-time.Hour)) != 0 {
		t.Error("age")
	}
	if s.Overdue(noon.Add(48*time.Hour)) || !s.Overdue(noon.Add(48*time.Hour+1)) {
		t.Error("overdue")
	}
}

func TestTerms(t *testing.T) {
	for r := Reason(1); r < reasonEnd; r++ {
		if r.Term().EN == "" || r.Term().ZH == "" || r.String() == "" {
			t.Errorf("reason %d has no words", r)
		}
	}
	for r := Removal(1); r < removalEnd; r++ {
		if r.Term().EN == "" || r.Term().ZH == "" || r.String() == "" {
			t.Errorf("removal %d has no words", r)
		}
	}
	if reasonEnd.Term().EN != "" || removalEnd.Term().EN != "" {
		t.Error("words for nothing")
	}
}

// TestReadersDuringApply looks for a card that is on the list in every version while versions change: it must never be missed.
func TestReadersDuringApply(t *testing.T) {
	l := started(t, spread(t, 500, 4)...)
	one := delta(t, 1, Digest{}, Add(entry(t, 42, Stolen, 0)))
	if err := l.Apply(one); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := uint64(0); ; {
				select {
				case <-done:
					return
				default:
				}
				s := l.Snapshot()
				if _, ok := s.Lookup(42, today); !ok || s.Position().Sequence < last {
					t.Error("a listed card was missed, or the list went back")
					return
				}
				last = s.Position().Sequence
			}
		})
	}
	previous := one.Digest()
	for sequence := uint64(2); sequence < 200; sequence++ {
		d := delta(t, sequence, previous, Add(entry(t, 42, Reason(sequence%5+1), 0)), Add(entry(t, sequence<<32, Debt, 0)))
		if err := l.Apply(d); err != nil {
			t.Fatal(err)
		}
		previous = d.Digest()
	}
	close(done)
	readers.Wait()
}

func TestLookupDoesNotAllocate(t *testing.T) {
	entries := spread(t, 10_000, 6)
	listed := entries[17].hash
	l := started(t, entries...)
	if err := l.Apply(delta(t, 1, Digest{}, Add(entry(t, 9, Debt, 0)))); err != nil {
		t.Fatal(err)
	}
	for name, hash := range map[string]uint64{"listed": listed, "absent": 12345, "added": 9} {
		if n := testing.AllocsPerRun(100, func() { l.Snapshot().Lookup(hash, today) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
