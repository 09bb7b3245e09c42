package taplog

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/gate/denylist"
)

var signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// publisher makes a list with as many deltas as wanted.
type publisher struct {
	testing.TB
	trust  denylist.Trust
	base   []byte
	deltas [][]byte
	at     []denylist.Position
}

func newPublisher(t testing.TB, deltas int) *publisher {
	t.Helper()
	trust, err := denylist.NewTrust(signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{TB: t, trust: trust}
	info := denylist.Info{Epoch: 1, Created: noon, NotAfter: noon.Add(time.Hour)}
	if p.base, err = denylist.BuildBase([]denylist.Entry{p.entry(1)}, info, denylist.Digest{}, signer); err != nil {
		t.Fatal(err)
	}
	p.at = append(p.at, denylist.Position{Epoch: 1})
	for i := range deltas {
		info.Sequence = uint64(i + 1)
		b, err := denylist.BuildDelta([]denylist.Change{denylist.Add(p.entry(byte(i + 2)))}, info, p.at[i].Digest, signer)
		if err != nil {
			t.Fatal(err)
		}
		d, err := denylist.OpenDelta(b, trust)
		if err != nil {
			t.Fatal(err)
		}
		p.deltas = append(p.deltas, b)
		p.at = append(p.at, denylist.Position{Sequence: info.Sequence, Digest: d.Digest(), Epoch: 1})
	}
	return p
}

func (p *publisher) entry(n byte) denylist.Entry {
	e, err := denylist.NewEntry(denylist.Credential, denylist.ID{n}, denylist.Debt, 0)
	if err != nil {
		p.Fatal(err)
	}
	return e
}

// TestListOverPowerCuts: whatever the power does, a device has the list it had or an earlier step of it that it never said it had left.
func TestListOverPowerCuts(t *testing.T) {
	p := newPublisher(t, 5)
	live := func(d *flash) (told uint64, ok bool) {
		f, list, _, err := OpenDenyFiles(d, p.trust)
		if err != nil {
			return 0, errors.Is(err, errPower)
		}
		if list == nil && f.KeepBase(p.base, p.at[0]) != nil {
			return 0, true
		}
		if list != nil {
			told = list.Snapshot().Position().Sequence
		}
		for n := told; n < uint64(len(p.deltas)); n++ {
			if f.KeepDelta(p.deltas[n], p.at[n+1]) != nil {
				return told, true
			}
			told = n + 1
		}
		return told, f.Close() == nil
	}
	whole := newFlash()
	if told, _ := live(whole); told != 5 {
		t.Fatalf("%d deltas", told)
	}
	for cut := range whole.done {
		for way := range ways {
			random := rand.New(rand.NewPCG(uint64(cut), uint64(way)))
			d := newFlash()
			d.left = cut
			told, ok := live(d)
			d = d.after(random, way)
			_, list, _, err := OpenDenyFiles(d, p.trust)
			if err != nil || !ok {
				t.Fatalf("cut at %d, way %d: %v", cut, way, err)
			}
			if list == nil && told > 0 || list != nil && list.Snapshot().Position().Sequence < told {
				t.Fatalf("cut at %d, way %d: told %d, has %v", cut, way, told, list)
			}
			if again, _ := live(d); again != 5 {
				t.Fatalf("cut at %d, way %d: goes on to %d", cut, way, again)
			}
		}
	}
}

func TestKeptListsThatAreRefused(t *testing.T) {
	p := newPublisher(t, 3)
	for name, c := range map[string]struct {
		spoil func(*flash)
		want  error
	}{
		"base altered":   {func(d *flash) { flip(d, baseName, 60) }, denylist.ErrSignature},
		"delta altered":  {func(d *flash) { flip(d, deltasName, 60) }, denylist.ErrSignature},
		"older deltas":   {func(d *flash) { d.now[deltasName].content = bytes.Clone(p.deltas[0]) }, denylist.ErrRollback},
		"deltas gone":    {func(d *flash) { delete(d.now, deltasName) }, denylist.ErrRollback},
		"delta missing":  {func(d *flash) { d.now[deltasName].content = bytes.Clone(p.deltas[1]) }, denylist.ErrGap},
		"position noise": {func(d *flash) { flip(d, positionName, 3) }, errState},
		"position cut":   {func(d *flash) { d.now[positionName].content = nil }, errState},
	} {
		d := newFlash()
		f, _, _, err := OpenDenyFiles(d, p.trust)
		if err != nil || f.KeepDelta(p.deltas[0], p.at[1]) == nil {
			t.Fatalf("a delta without a base: %v", err)
		}
		if err := f.KeepBase(p.base, p.at[0]); err != nil {
			t.Fatal(err)
		}
		for i, b := range p.deltas {
			if err := f.KeepDelta(b, p.at[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		c.spoil(d)
		if _, list, _, err := OpenDenyFiles(d, p.trust); !errors.Is(err, c.want) || list != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
