package taplog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

func sealed(epoch denylist.Epoch) gate.SealedKey {
	return gate.SealedKey{Epoch: epoch, Sealed: bytes.Repeat([]byte{byte(epoch), 9}, 30)}
}

func epochs(keys []gate.SealedKey) (all []denylist.Epoch) {
	for _, k := range keys {
		all = append(all, k.Epoch)
	}
	return all
}

// baseOf is a list of an epoch that follows from the beginning.
func baseOf(t testing.TB, epoch denylist.Epoch, entries ...denylist.Entry) ([]byte, denylist.Position) {
	t.Helper()
	image, err := denylist.BuildBase(entries, denylist.Info{Epoch: epoch, Created: noon, NotAfter: noon.Add(time.Hour)}, denylist.Digest{}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return image, denylist.Position{Epoch: epoch}
}

func TestKeysThatStay(t *testing.T) {
	p := newPublisher(t, 0)
	for name, c := range map[string]struct {
		list denylist.Epoch // 0: none
		come []denylist.Epoch
		want []denylist.Epoch
	}{
		"the first":                       {1, []denylist.Epoch{2}, []denylist.Epoch{2}},
		"the list's own is the device's":  {1, []denylist.Epoch{2, 3}, []denylist.Epoch{3}},
		"the list's own came":             {2, []denylist.Epoch{2, 3}, []denylist.Epoch{2, 3}},
		"and stays":                       {2, []denylist.Epoch{2, 3, 4}, []denylist.Epoch{2, 4}},
		"whichever comes":                 {2, []denylist.Epoch{2, 4, 3}, []denylist.Epoch{2, 3}},
		"without a list the newest":       {0, []denylist.Epoch{2, 3, 4}, []denylist.Epoch{3, 4}},
		"the last that came in any case":  {0, []denylist.Epoch{3, 4, 2}, []denylist.Epoch{2, 4}},
		"twice":                           {2, []denylist.Epoch{2, 3, 3, 2}, []denylist.Epoch{2, 3}},
		"epoch zero":                      {0, []denylist.Epoch{0, 1<<32 - 1}, []denylist.Epoch{0, 1<<32 - 1}},
		"the former one while it is used": {3, []denylist.Epoch{2, 3}, []denylist.Epoch{2, 3}},
	} {
		d := newFlash()
		f, _, _, err := OpenDenyFiles(d, p.trust)
		if err != nil {
			t.Fatal(err)
		}
		if c.list != 0 {
			if err := f.KeepBase(baseOf(t, c.list)); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range c.come {
			if err := f.KeepKey(sealed(e)); err != nil {
				t.Fatal(err)
			}
		}
		again, _, _, err := OpenDenyFiles(d, p.trust)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := again.Keys()
		if err != nil || !slices.Equal(epochs(keys), c.want) || !bytes.Equal(keys[0].Sealed, sealed(c.want[0]).Sealed) {
			t.Errorf("%s: %v are kept: %v", name, epochs(keys), err)
		}
	}
}

// TestKeysOverPowerCuts: a device that goes through three epochs has, whenever the power fails, the key of the list it has, and every key that it said it kept
// and still needs.
func TestKeysOverPowerCuts(t *testing.T) {
	p := newPublisher(t, 0)
	entry := p.entry(1)
	type told struct {
		list  denylist.Epoch
		newer denylist.Epoch // the newest key
	}
	live := func(d *flash) (told, error) {
		said := told{}
		f, list, _, err := OpenDenyFiles(d, p.trust)
		if err != nil {
			return said, err
		}
		if list != nil {
			said.list = list.Snapshot().Epoch()
		}
		keys, err := f.Keys()
		if err != nil {
			return said, fmt.Errorf("keys: %w", err)
		}
		if n := len(keys); n > 0 {
			said.newer = keys[n-1].Epoch
		}
		for e := max(said.list, 1); e <= 4; e++ {
			if e > said.newer {
				if err := f.KeepKey(sealed(e)); err != nil {
					return said, err
				}
				said.newer = e
			}
			if e > said.list {
				if err := f.KeepBase(baseOf(t, e, entry)); err != nil {
					return said, err
				}
				said.list = e
			}
		}
		return said, f.Close()
	}
	whole := newFlash()
	if said, err := live(whole); err != nil || said != (told{4, 4}) {
		t.Fatalf("%+v: %v", said, err)
	}
	for cut := range whole.done {
		for way := range ways {
			random := rand.New(rand.NewPCG(uint64(cut), uint64(way)))
			d := newFlash()
			d.left = cut
			said, err := live(d)
			if !errors.Is(err, errPower) {
				t.Fatalf("cut at %d, way %d: %v", cut, way, err)
			}
			d = d.after(random, way)
			f, list, _, err := OpenDenyFiles(d, p.trust)
			if err != nil {
				t.Fatalf("cut at %d, way %d: %v", cut, way, err)
			}
			keys, err := f.Keys()
			if err != nil || len(keys) > gate.MaxKeys {
				t.Fatalf("cut at %d, way %d: %v are kept: %v", cut, way, epochs(keys), err)
			}
			if list == nil && said.list > 0 || list != nil && (list.Snapshot().Epoch() < said.list || !slices.Contains(epochs(keys), list.Snapshot().Epoch())) {
				t.Fatalf("cut at %d, way %d: told %+v, has %v, keys %v", cut, way, said, list, epochs(keys))
			}
			if said.newer > 0 && !slices.ContainsFunc(keys, func(k gate.SealedKey) bool { return k.Epoch >= said.newer }) {
				t.Fatalf("cut at %d, way %d: told %+v, keys %v", cut, way, said, epochs(keys))
			}
			if again, err := live(d); err != nil || again != (told{4, 4}) {
				t.Fatalf("cut at %d, way %d: goes on to %+v: %v", cut, way, again, err)
			}
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	p := newPublisher(t, 0)
	good := encodeKeys([]gate.SealedKey{sealed(2), sealed(3)})
	long := gate.SealedKey{Epoch: 2, Sealed: make([]byte, maxKeyBytes+1)}
	for name, content := range map[string][]byte{
		"empty":    {},
		"noise":    make([]byte, 80),
		"cut off":  good[:len(good)-1],
		"altered":  append([]byte("TAPKEYS1x"), good[9:]...),
		"falling":  encodeKeys([]gate.SealedKey{sealed(3), sealed(2)}),
		"twice":    encodeKeys([]gate.SealedKey{sealed(3), sealed(3)}),
		"three":    encodeKeys([]gate.SealedKey{sealed(1), sealed(2), sealed(3)}),
		"too long": encodeKeys([]gate.SealedKey{long}),
		"no key":   encodeKeys([]gate.SealedKey{{Epoch: 1}}),
	} {
		d := newFlash()
		d.now[keysName] = &inode{content: content}
		f, _, _, err := OpenDenyFiles(d, p.trust)
		if err != nil {
			t.Fatal(err) // the list can be used without
		}
		if keys, err := f.Keys(); !errors.Is(err, errKeys) || keys != nil {
			t.Errorf("%s: %v, %v", name, epochs(keys), err)
		}
		if err := f.KeepKey(sealed(7)); err != nil {
			t.Errorf("%s: the next key is not kept: %v", name, err)
		}
		if keys, err := f.Keys(); err != nil || !slices.Equal(epochs(keys), []denylist.Epoch{7}) {
			t.Errorf("%s: then %v: %v", name, epochs(keys), err)
		}
		for _, bad := range []gate.SealedKey{{Epoch: 8}, long} {
			if err := f.KeepKey(bad); !errors.Is(err, gate.ErrForged) {
				t.Errorf("a key of %d bytes: %v", len(bad.Sealed), err)
			}
		}
	}
	d := newFlash()
	f, _, _, err := OpenDenyFiles(d, p.trust)
	if err != nil {
		t.Fatal(err)
	}
	if d.left = 1; !errors.Is(f.KeepKey(sealed(2)), errPower) {
		t.Error("a key that is not durable is said to be")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(encodeKeys(nil))
	f.Add(encodeKeys([]gate.SealedKey{sealed(2), sealed(3)}))
	f.Add([]byte(keysMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err == nil && !bytes.Equal(encodeKeys(keys), b) {
			t.Fatalf("%x was read, %x is written", b, encodeKeys(keys))
		}
	})
}
