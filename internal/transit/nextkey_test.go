package transit

import (
	"testing"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit/transittest"
)

// TestACardKnownUnderTheNextKeyAlone, which the list cannot name yet, is listed when that key comes in force.
func TestACardKnownUnderTheNextKeyAlone(t *testing.T) {
	c := newCity(t, profileNamed(t, "aggregate"))
	card := transittest.NewCard(t, 1)
	c.ride(transittest.NewCard(t, 2), "b", "b", c.at(0, 7, 0))
	c.upload("b")
	c.ask(Block{Credential: 1, Reason: denylist.Operator})
	c.at(0, 7, 50)
	c.report("a")
	c.ask(Rotate{})
	c.at(0, 8, 5)
	c.report("a")
	c.box.Locked = true
	c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.upload("a")
	c.ask(Block{Credential: 2, Reason: denylist.Operator})
	c.at(0, 8, 20)
	c.ask(Rotate{Force: true})
	c.at(0, 9, 0)
	if l, _ := c.listed(idUnder(t, card, 2)); l.reason != denylist.Operator {
		t.Errorf("the list says %q", l.reason)
	}
	c.second()
	c.sameAfterReplay()
}
