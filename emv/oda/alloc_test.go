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

// A chain of SM2 signatures takes memory for its points, and not more with every card.
func TestSM2VerificationAllocatesLittle(t *testing.T) {
	c := readSM2Chain(t)
	cert90, cert46, sdad := c.v.bytes(t, "tag90"), c.v.bytes(t, "tag9F46"), c.v.bytes(t, "tag9F4B")
	allocations := testing.AllocsPerRun(50, func() {
		issuer, err := oda.RecoverIssuerKey(c.caKey, cert90, nil, nil, c.number, c.now)
		if err != nil {
			t.Fatal(err)
		}
		icc, err := oda.RecoverICCKey(issuer, cert46, nil, nil, c.number, c.static, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oda.VerifyFDDA(icc, sdad, c.fdda); err != nil {
			t.Fatal(err)
		}
	})
	const most = 150 // three signatures; 112 when this was written
	if allocations > most {
		t.Errorf("%v allocations, at most %d", allocations, most)
	}
}
