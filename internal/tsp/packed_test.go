package tsp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"tapnet/internal/journal"
)

func packedName(n int) (name [16]byte) {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	binary.LittleEndian.PutUint64(name[:], r.Uint64())
	binary.LittleEndian.PutUint64(name[8:], r.Uint64())
	return name
}

// TestPacked puts records in, some again and some too long, and finds them all.
func TestPacked(t *testing.T) {
	const count = 20_000
	var p packed
	p.limit(count)
	data := func(n, version int) []byte { return bytes.Repeat([]byte{byte(n), byte(version)}, 40+n%80) }
	for n := range count {
		p.put(&journal.Cell{ID: int64(n) + 1, Name: packedName(n), Seq: 5, Data: data(n, 0)})
	}
	for n := 0; n < count; n += 3 {
		p.put(&journal.Cell{ID: int64(n) + 1, Name: packedName(n), Seq: 4, Data: data(n, 1)}) // an earlier row says nothing new
		p.put(&journal.Cell{ID: int64(n) + 1, Name: packedName(n), Seq: 9, Data: data(n, 2)})
	}
	p.put(&journal.Cell{ID: 2, Name: packedName(1), Seq: 9, Data: make([]byte, slotRoom+1)})
	p.put(&journal.Cell{ID: 1, Name: packedName(count), Seq: 9, Data: data(1, 1)}) // there is no room for one more
	for n := range count + 1 {
		var c journal.Cell
		var room [slotRoom]byte
		name := packedName(n)
		p.near(&name)
		p.nearer(&name)
		found := p.find(&name, &c, &room)
		if n == 1 || n == count {
			if found {
				t.Errorf("record %d is here", n)
			}
			continue
		}
		seq, version := uint64(5), 0
		if n%3 == 0 {
			seq, version = 9, 2
		}
		if !found || c.ID != int64(n)+1 || c.Name != name || c.Seq != seq || !bytes.Equal(c.Data, data(n, version)) {
			t.Fatalf("record %d: %v, cell %d of row %d, %x", n, found, c.ID, c.Seq, c.Data)
		}
	}
	if name := packedName(1); !p.has(&name, 9) {
		t.Error("that a record is too long is forgotten, and an earlier one would be taken")
	}
	if p.taken.Load() != count {
		t.Error(p.taken.Load())
	}
	var none packed
	none.limit(-1)
	none.put(&journal.Cell{ID: 1, Name: packedName(1), Seq: 1})
	if name := packedName(1); none.has(&name, 1) {
		t.Error("no room, and yet")
	}
}

// TestPackedBesideReaders: whoever looks while records come and change sees whole ones.
func TestPackedBesideReaders(t *testing.T) {
	const count = 2000
	var p packed
	p.limit(count)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for reader := range 3 {
		group.Go(func() {
			draw := rand.New(rand.NewPCG(2, uint64(reader)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				var c journal.Cell
				var room [slotRoom]byte
				name := packedName(draw.IntN(count))
				p.near(&name)
				p.nearer(&name)
				if p.find(&name, &c, &room) && (len(c.Data) != 100 || bytes.Count(c.Data, c.Data[:1]) != 100 || c.Data[0] != byte(c.Seq)) {
					t.Error("half a record")
					return
				}
			}
		})
	}
	for seq := range 5 {
		for n := range count {
			p.put(&journal.Cell{ID: 1, Name: packedName(n), Seq: uint64(seq) + 1, Data: bytes.Repeat([]byte{byte(seq) + 1}, 100)})
		}
	}
	close(stop)
	group.Wait()
}

// TestWarm: after a restart every token is packed, as the store has it, and what changes before or afterwards wins.
func TestWarm(t *testing.T) {
	r := newRig(t, func(d *Deps) { d.Capacity = Capacity{Records: 2, Rows: 1} })
	wallet := r.register()
	var all []given
	for i := range 12 {
		all = append(all, r.active(wallet, number(t, "6299991", i), "phone"+string(rune('a'+i))))
	}
	r.restart()
	r.do(operator, &Suspension{Suspender: "ISSUER"}, all[0].Token.Reference)
	if err := r.core.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.core.state.packed.taken.Load(); n != 12 {
		t.Errorf("%d tokens are packed", n)
	}
	r.do(operator, &Suspension{Suspender: "ISSUER"}, all[1].Token.Reference)
	for round := range 2 {
		for i, g := range all {
			want := "00"
			if i < 2 {
				want = "62"
			}
			if out := r.ask(r.payment(g.number, 100)); string(out.Response) != want {
				t.Errorf("round %d, token %d: %s", round, i, out.Response)
			}
		}
	}
}
