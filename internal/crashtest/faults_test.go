//go:build thirdparty && linux

package crashtest

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// TestStraceFaults lets the disk fail under load. strace counts the calls of each thread by itself, so the moment is nobody's choice. The bank must end:
// after a failed sync nobody knows what is on the disk, and the kernel forgets that it failed. What it had answered is there all the same.
func TestStraceFaults(t *testing.T) {
	seed := seedOf(t)
	random := rand.New(rand.NewPCG(seed, 4))
	for _, fault := range []struct {
		name, calls, failure string
		most                 int  // calls of a thread before the first failure
		lasts                bool // until the end
	}{
		{"SyncFailsOnce", "fsync,fdatasync", "error=EIO", 60, false},
		{"SyncFailsForEver", "fsync,fdatasync", "error=EIO", 60, true},
		{"WriteFailsOnce", "pwrite64", "error=EIO", 800, false},
		{"DiskIsFull", "pwrite64", "error=ENOSPC", 800, true},
		{"KilledInsideAWrite", "pwrite64", "signal=KILL", 800, false},
		{"KilledInsideASync", "fsync,fdatasync", "signal=KILL", 60, false},
	} {
		when := strconv.Itoa(1 + random.IntN(fault.most))
		t.Run(fault.name, func(t *testing.T) {
			began := time.Now()
			b, chips := openBank(t, cards)
			p := b.up()
			load := newCrowd(b.hub, chips, seed, 0)
			load.begin()
			pause(t, p, window/4)
			p.kill()
			b.hub.gone()
			inject := "inject=" + fault.calls + ":" + fault.failure + ":when=" + when
			if fault.lasts {
				inject += "+"
			}
			b.wrap = []string{"strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=" + fault.calls, "-e", inject, "-o", "/dev/null"}
			broken := b.launch()
			within(t, "a bank whose disk fails ends", broken.ended)
			b.hub.gone()
			var exit *exec.ExitError
			if !errors.As(broken.err, &exit) {
				t.Errorf("the bank ended with %v", broken.err)
			}
			b.wrap = nil
			p = b.up()
			pause(t, p, window/4)
			found, _ := b.reckon(p, load, 4)
			if found.approved == 0 || found.unknown == 0 {
				t.Errorf("the load was none: %v", found)
			}
			t.Logf("call %s of a thread: %v; the bank ended with %v; %v", when, found, broken.err, time.Since(began).Round(time.Millisecond))
		})
	}
}
