package operator

import (
	"crypto/rand"
	"errors"
	"testing"

	"tapnet/gate"
	"tapnet/internal/transit/transittest"
)

// TestKeysOfEpochs: every epoch's key follows from the secret, another one each, and comes to a device sealed for it alone.
func TestKeysOfEpochs(t *testing.T) {
	secret, err := OpenSecret(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{secret, rand.Reader}
	card := transittest.NewCard(t, 1)
	seen := map[string]bool{}
	for epoch := range transittest.FirstEpoch + 3 {
		ids, err := keys.Of(epoch)
		if err != nil || ids.Epoch() != epoch {
			t.Fatalf("epoch %d: %v", epoch, err)
		}
		id := ids.Credential(card.Number, "01", transittest.Expires)
		seen[id.String()] = true
		sealed, err := keys.For("gate-a", epoch)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := secret.Device("gate-a")
		if err != nil {
			t.Fatal(err)
		}
		opened, err := gate.OpenEpochKey(chain, "gate-a", sealed)
		if err != nil || opened.Credential(card.Number, "01", transittest.Expires) != id {
			t.Errorf("epoch %d: the device has another key: %v", epoch, err)
		}
		other, err := secret.Device("gate-b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gate.OpenEpochKey(other, "gate-b", sealed); !errors.Is(err, gate.ErrForged) {
			t.Errorf("epoch %d: another device opens it: %v", epoch, err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d keys of 4 epochs", len(seen))
	}
}
