package hce_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/hcetest"
	"tapnet/sdk/hce/soft"
)

// commands of one tap, ready.
func commands() (list [3][]byte) {
	return [3][]byte{
		apdu.Select([]byte(emv.PPSE)).Bytes(), apdu.Select(emv.AIDDebit.Bytes()).Bytes(),
		apdu.GPO(soft.PhonePDOL.Build(nil, reader(emv.TTQ{0x36, 0x80, 0, 0x80}))).Bytes(),
	}
}

// TestNoAllocation: between arming and the answer nothing is allocated, with any suite.
func TestNoAllocation(t *testing.T) {
	for name, suite := range map[string]cryptogram.Suite{"3DES": cryptogram.TDES(), "SM4": cryptogram.SM4(), "AES": cryptogram.AES()} {
		p := hcetest.NewPhone(t, hcetest.Options{Suite: suite})
		list := commands()
		var out [512]byte
		now := p.Clock.ElapsedNs()
		answers := 0
		// AllocsPerRun calls once to warm up, and counts the rest. Arming is not counted: each run has its own.
		for range 3 {
			p.Arm("")
			runs := 0
			n := testing.AllocsPerRun(1, func() {
				if runs++; runs == 1 {
					return
				}
				for _, command := range list {
					length := p.Engine.ProcessInto(command, out[:], now)
					if length > 2 && out[length-2] == 0x90 {
						answers++
					}
				}
			})
			if n != 0 {
				t.Errorf("%s: a tap allocates %v times", name, n)
			}
		}
		if answers != 9 {
			t.Errorf("%s: %d commands of 9 were answered", name, answers)
		}
		// What is refused must not cost memory either: a reader could make the collector run.
		n := testing.AllocsPerRun(20, func() { p.Engine.ProcessInto([]byte{0x00, 0xA4, 0x04}, out[:], now) })
		if n != 0 {
			t.Errorf("%s: a refusal allocates %v times", name, n)
		}
		p.Engine.Deactivated(0)
	}
}

// budget of GET PROCESSING OPTIONS, at the 99.9th percentile, with the collector under pressure.
const budget = 5 * time.Millisecond

// TestLatency measures GET PROCESSING OPTIONS while another thread allocates without pause. What it measured is in its log. A machine that
// does other work at the same time may take the processor away in a measured moment: the best of three rounds counts.
func TestLatency(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var keep [64][]byte
		for i := 0; ; i++ {
			select {
			case <-stop:
				runtime.KeepAlive(&keep)
				return
			default:
				keep[i%len(keep)] = make([]byte, 1<<18)
				runtime.Gosched()
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	const rounds = 3
	best := time.Duration(1<<63 - 1)
	for range rounds {
		measured, collections := measureUnderPressure(t)
		slices.Sort(measured)
		at := func(permille int) time.Duration { return measured[len(measured)*permille/1000] }
		t.Logf("measured: GET PROCESSING OPTIONS, %d taps, %d collections: p50 %v, p99 %v, p99.9 %v, longest %v", len(measured), collections,
			at(500), at(990), at(999), measured[len(measured)-1])
		if best = min(best, at(999)); best <= budget {
			return
		}
	}
	t.Errorf("p99.9 is %v in the best of %d rounds, budget %v", best, rounds, budget)
}

// measureUnderPressure taps until there were enough taps for a percentile and enough collections for a pressure.
func measureUnderPressure(t testing.TB) (measured []time.Duration, collections uint32) {
	t.Helper()
	const taps, enough, most = 1200, 10, 20_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for len(measured) < most && (len(measured) < taps || collections < enough) {
		measured = append(measured, measure(t, taps)...)
		runtime.ReadMemStats(&after)
		collections = after.NumGC - before.NumGC
	}
	if collections < enough {
		t.Errorf("the collector was not under pressure: %d collections in %d taps", collections, len(measured))
	}
	return measured, collections
}

// measure taps and returns the time of the last command of each.
func measure(t testing.TB, taps int) []time.Duration {
	t.Helper()
	p := hcetest.NewPhone(t, hcetest.Options{})
	list := commands()
	var out [512]byte
	measured := make([]time.Duration, 0, taps)
	for range taps {
		if p.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			if err := p.Engine.ReplenishToken(token); err != nil {
				t.Fatal(err)
			}
			p.Arm("")
		}
		now := p.Clock.ElapsedNs()
		p.Engine.ProcessInto(list[0], out[:], now)
		p.Engine.ProcessInto(list[1], out[:], now)
		begin := time.Now()
		n := p.Engine.ProcessInto(list[2], out[:], now)
		measured = append(measured, time.Since(begin))
		if n < 60 || out[0] != 0x77 {
			t.Fatalf("answer of %d bytes", n)
		}
		p.Engine.Deactivated(0)
	}
	return measured
}

// BenchmarkGPO is the answer alone, BenchmarkArm all that comes before the reader.
func BenchmarkGPO(b *testing.B) {
	p := hcetest.NewPhone(b, hcetest.Options{})
	list := commands()
	var out [512]byte
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if p.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			if err := p.Engine.ReplenishToken(token); err != nil {
				b.Fatal(err)
			}
			p.Arm("")
		}
		now := p.Clock.ElapsedNs()
		p.Engine.ProcessInto(list[0], out[:], now)
		p.Engine.ProcessInto(list[1], out[:], now)
		b.StartTimer()
		p.Engine.ProcessInto(list[2], out[:], now)
	}
}

func BenchmarkArm(b *testing.B) {
	p := hcetest.NewPhone(b, hcetest.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if p.Engine.Arm("", hce.CVMFingerprint, 0) != hce.ArmOK {
			b.StopTimer()
			if err := p.Engine.ReplenishToken(token); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}
