//go:build !race

// The race detector makes pools forget at random, so that counting allocations means nothing under it.

package oda_test

import (
	"testing"

	"tapnet/emv/oda"
)

// A gate checks cards one after another: recovering into the pooled working space takes no memory of its own.
func TestVerificationDoesNotAllocate(t *testing.T) {
	c := readChain(t)
	cert, rest, three := c.v.bytes(t, "tag9F46"), c.v.bytes(t, "tag9F48"), []byte{3}
	sdad := c.v.bytes(t, "fdda01_9F4B")
	allocations := testing.AllocsPerRun(200, func() {
		if _, err := c.recoverICC(cert, rest, three, c.static); err != nil {
			t.Fatal(err)
		}
		if _, err := oda.VerifyFDDA(c.iccKey, sdad, c.fdda[1]); err != nil {
			t.Fatal(err)
		}
	})
	// The pool may be emptied by a garbage collection in between.
	if allocations > 1 {
		t.Errorf("%v allocations", allocations)
	}
}
