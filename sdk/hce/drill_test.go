package hce_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/hcetest"
	"tapnet/sdk/hce/soft"
	"tapnet/tlv"
)

func mustExpiry(t testing.TB) pan.Expiry {
	t.Helper()
	e, err := pan.ParseExpiry("2911")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// delayed is a relay: it does something before each command.
type delayed struct {
	apdu.Transceiver
	before func()
}

func (d delayed) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	d.before()
	return d.Transceiver.Transceive(ctx, command)
}

// failing is a storage whose power goes at the n-th write: before it, or after it and before anybody is told.
type failing struct {
	soft.Store
	left  *int
	after bool
}

func (f failing) Put(key string, value []byte) error {
	switch {
	case *f.left < 0:
		return errPower
	case *f.left == 0:
		*f.left = -1
		if f.after {
			_ = f.Store.Put(key, value)
		}
		return errPower
	}
	*f.left--
	return f.Store.Put(key, value)
}

// TestCrashAtEveryWrite: whatever write the power fails at, before or after it took effect, no counter serves two cryptograms, the phone
// starts again, pays, and the service holds it for one phone.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		writes := 1000
		for crash := 0; crash < writes; crash++ {
			left := 1 << 30
			p := hcetest.NewPhone(t, hcetest.Options{
				Store: func(s soft.Store) soft.Store { return failing{s, &left, after} },
			})
			seen := make(map[uint16]string)
			left = crash
			story(t, p, seen)
			if left >= 0 {
				writes = crash // the story has no more writes
			}
			left = 1 << 30
			if err := p.Boot(p.Memory); err != nil {
				t.Fatalf("crash at write %d (after: %t): does not start: %v", crash, after, err)
			}
			if err := p.Engine.Replenish(); err != nil {
				t.Errorf("crash at write %d (after: %t): %v", crash, after, err)
			}
			story(t, p, seen)
			if why := p.Cloud.State(token); why != "" {
				t.Errorf("crash at write %d (after: %t): the service takes the phone for two: %s", crash, after, why)
			}
			if v := p.Check(token, p.Tap("", 100)); !v.OK() {
				t.Errorf("crash at write %d (after: %t): does not pay afterwards: %+v", crash, after, v)
			}
		}
		if writes < 8 {
			t.Errorf("the story has only %d writes", writes)
		}
	}
}

// story arms, taps, refreshes; what fails is tried no further. Each cryptogram is noted by its counter.
func story(t *testing.T, p *hcetest.Phone, seen map[uint16]string) {
	t.Helper()
	for i := range 6 {
		if p.Engine.Arm("", hce.CVMFingerprint, 0) == hce.ArmOK {
			note(t, p, p.TapArmed(int64(1000+i)), seen)
		}
		if i == 1 || i == 4 {
			_ = p.Engine.ReplenishToken(token)
		}
		if i == 2 {
			_ = p.Engine.Arm("", hce.CVMNone, 0) // given up, and never used
		}
	}
}

func note(t *testing.T, p *hcetest.Phone, o kernel.Outcome, seen map[uint16]string) {
	t.Helper()
	if o.Kind != kernel.OnlineRequest {
		return
	}
	b := o.Data.Get(emv.TagATC)
	atc := uint16(b[0])<<8 | uint16(b[1])
	if _, twice := seen[atc]; twice {
		t.Errorf("counter %d made two cryptograms", atc)
	}
	seen[atc] = fmt.Sprintf("%X", o.Data.Get(emv.TagAC))
	if v := p.Check(token, o); !v.OK() {
		t.Errorf("counter %d: %+v", atc, v)
	}
}

// TestLostAnswers: whatever message of a refresh is lost, on the way there or back, the phone asks again and gets the same batch.
func TestLostAnswers(t *testing.T) {
	for lose := range 4 {
		calls := -1 << 30
		p := hcetest.NewPhone(t, hcetest.Options{Network: func(n soft.Network) soft.Network {
			return func(path string, body []byte) (int, []byte, error) {
				defer func() { calls++ }()
				if calls == lose/2 && lose%2 == 0 {
					return 0, nil, hcetest.ErrNoNetwork
				}
				status, answer, err := n(path, body)
				if calls == lose/2 {
					return 0, nil, hcetest.ErrNoNetwork
				}
				return status, answer, err
			}
		}})
		calls = 0
		first := p.Engine.ReplenishToken(token)
		if first == nil {
			t.Errorf("message %d lost, and nobody noticed", lose)
		}
		if err := p.Boot(p.Memory); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if v := p.Check(token, p.Tap("", 100)); !v.OK() {
				t.Errorf("message %d lost: %+v", lose, v)
			}
		}
		if err := p.Engine.ReplenishToken(token); err != nil {
			t.Errorf("message %d lost: %v", lose, err)
		}
		if why := p.Cloud.State(token); why != "" {
			t.Errorf("message %d lost: suspended: %s", lose, why)
		}
		if v := p.Check(token, p.Tap("", 100)); !v.OK() {
			t.Errorf("message %d lost, after the refresh: %+v", lose, v)
		}
	}
}

// TestClones: two phones from one snapshot, tapping and refreshing in any order, are noticed at the first collision or the next refresh, and
// never pay with one counter twice: in 1,000 of 1,000 seeded runs.
func TestClones(t *testing.T) {
	const runs, shards = 1000, 4
	var collisions, refreshes atomic.Int64
	t.Run("runs", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := shard; seed < runs; seed += shards {
					if cloned(t, seed) {
						collisions.Add(1)
					} else {
						refreshes.Add(1)
					}
				}
			})
		}
	})
	if collisions.Load()+refreshes.Load() != runs || collisions.Load() == 0 || refreshes.Load() == 0 {
		t.Errorf("of %d runs %d were caught by a counter, %d by a refresh", runs, collisions.Load(), refreshes.Load())
	}
	t.Logf("%d runs: %d caught at the first counter from both phones, %d at the next refresh", runs, collisions.Load(), refreshes.Load())
}

// cloned plays one run until the service has noticed, and reports whether a counter gave the phones away.
func cloned(t *testing.T, seed uint64) bool {
	r := rand.New(rand.NewPCG(seed, 20261122))
	p := hcetest.NewPhone(t, hcetest.Options{Seed: byte(seed)})
	for range r.IntN(3) {
		p.Check(token, p.Tap("", 100))
	}
	phones := []*hcetest.Phone{p, p.Copy()}
	used := make(map[uint16]bool)
	var refreshed [2]bool
	for step := range 100 {
		who := r.IntN(2)
		phone := phones[who]
		if r.IntN(6) == 0 || phone.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			err := phone.Engine.ReplenishToken(token)
			switch {
			case err == nil && refreshed[1-who]:
				t.Fatalf("seed %d: both phones got keys", seed)
			case p.Cloud.State(token) != "":
				return false
			}
			refreshed[who] = refreshed[who] || err == nil
			continue
		}
		v := phone.Check(token, phone.TapArmed(int64(1000+100*who+step)))
		switch collision := used[v.ATC]; {
		case v.OK() && !v.Replay && collision:
			t.Fatalf("seed %d: counter %d paid twice", seed, v.ATC)
		case collision && p.Cloud.State(token) == "":
			t.Fatalf("seed %d: counter %d came from both phones, and nobody noticed", seed, v.ATC)
		case p.Cloud.State(token) != "":
			return collision
		}
		used[v.ATC] = used[v.ATC] || v.OK()
	}
	t.Fatalf("seed %d: not noticed", seed)
	return false
}

// TestPendingWhileArming: a reader that comes too early waits, and gets its answer when the key store is done.
func TestPendingWhileArming(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	slow := &slowKeys{Platform: p.Platform, entered: make(chan struct{}), release: make(chan struct{})}
	e, err := hce.NewEngine(slow, hcetest.Config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int32)
	go func() { done <- e.Arm("", hce.CVMFace, 0) }()
	<-slow.entered
	var out [512]byte
	command := apdu.Select([]byte(emv.PPSE)).Bytes()
	if n := e.ProcessInto(command, out[:], 0); n != hce.ProcessPending {
		t.Errorf("while arming: %d", n)
	}
	close(slow.release)
	if code := <-done; code != hce.ArmOK {
		t.Fatal(code)
	}
	if n := e.ProcessInto(command, out[:], p.Clock.ElapsedNs()); n <= 2 {
		t.Errorf("after arming: %d", n)
	}
}

type slowKeys struct {
	hce.Platform
	entered, release chan struct{}
	once             bool
}

func (s *slowKeys) HmacInto(alias string, data []byte, out *hce.Buffer) int32 {
	if !s.once {
		s.once = true
		close(s.entered)
		<-s.release
	}
	return s.Platform.HmacInto(alias, data, out)
}

// FuzzProcessInto: commands in any order, as a list of lengths and bytes. Whatever comes is answered, an answer with data needs an armed
// phone, and there is one cryptogram at most.
func FuzzProcessInto(f *testing.F) {
	list := func(commands ...[]byte) (b []byte) {
		for _, c := range commands {
			b = append(append(b, byte(len(c))), c...)
		}
		return b
	}
	pdol := soft.PhonePDOL
	gpo := apdu.GPO(pdol.Build(nil, reader(emv.TTQ{0x36, 0, 0, 0x80}))).Bytes()
	ppse, aid := apdu.Select([]byte(emv.PPSE)).Bytes(), apdu.Select(emv.AIDDebit.Bytes()).Bytes()
	f.Add(list(ppse, aid, gpo))
	f.Add(list(ppse, aid, gpo, gpo, apdu.ReadRecord(1, 1).Bytes()))
	f.Add(list(aid, gpo, ppse))
	f.Add(list([]byte{0}, []byte{}, gpo, aid))
	phone := hcetest.NewPhone(f, hcetest.Options{})
	f.Fuzz(func(t *testing.T, script []byte) {
		if phone.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			if phone.Engine.ReplenishToken(token) != nil {
				phone = hcetest.NewPhone(t, hcetest.Options{})
			}
			if code := phone.Engine.Arm("", hce.CVMFingerprint, 0); code != hce.ArmOK {
				return // counters are used up: silence is all there is to see
			}
		}
		cryptograms := 0
		for len(script) > 0 {
			n := min(int(script[0]), len(script)-1)
			command := bytes.Clone(script[1 : 1+n])
			script = script[1+n:]
			var out [258]byte
			length := phone.Engine.ProcessInto(command, out[:], phone.Clock.ElapsedNs())
			if length < 2 || length > 258 {
				t.Fatalf("%X: %d", command, length)
			}
			if _, err := apdu.ParseCommand(command); err != nil && (length != 2 || out[0] == 0x90) {
				t.Fatalf("%X is no command and answered with %X", command, out[:length])
			}
			if length > 2 && out[0] == 0x77 {
				cryptograms++
			}
		}
		if cryptograms > 1 {
			t.Fatalf("%d cryptograms", cryptograms)
		}
		phone.Engine.Deactivated(0)
	})
}

func reader(ttq emv.TTQ) *emv.Data {
	var d emv.Data
	d.Set(emv.TagTTQ, ttq[:])
	d.Set(emv.TagAmount, []byte{0, 0, 0, 0, 0x12, 0x50})
	d.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	d.Set(emv.TagCurrency, []byte{0x01, 0x56})
	d.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	d.Set(emv.TagUnpredictableNumber, []byte{1, 2, 3, 4})
	return &d
}

// TestManyThreads: a reader, a holder, a screen and a refresh at once. No counter is used twice, and nothing is ever answered twice.
func TestManyThreads(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	stop := make(chan struct{})
	var background sync.WaitGroup
	for _, act := range []func(){
		func() { _ = p.Engine.StatusJSON() },
		func() { _ = p.Engine.Replenish() },
		func() { p.Engine.Deactivated(1) },
	} {
		background.Add(1)
		go func() {
			defer background.Done()
			for {
				select {
				case <-stop:
					return
				default:
					act()
				}
			}
		}()
	}
	seen := make(map[string]bool)
	var out [512]byte
	for range 400 {
		if p.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			continue
		}
		for _, command := range commands() {
			n := p.Engine.ProcessInto(command, out[:], p.Clock.ElapsedNs())
			if n > 2 && out[0] == 0x77 {
				atc, ok := tlv.Find(out[:n-2], emv.TagResponse2, emv.TagATC)
				if !ok || seen[string(atc)] {
					t.Errorf("counter %X: %t", atc, ok)
				}
				seen[string(atc)] = true
			}
		}
	}
	close(stop)
	background.Wait()
	if len(seen) == 0 {
		t.Error("nothing was answered")
	}
	if why := p.Cloud.State(token); why != "" {
		t.Errorf("suspended: %s", why)
	}
}
