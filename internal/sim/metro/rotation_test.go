package metro

import (
	"testing"
	"time"
)

// TestRotation: while riders tap over bad lines the deny list goes to a new key. Every gate gets there, whoever was denied stays denied, changes travel as
// fast as ever, and no record is lost.
func TestRotation(t *testing.T) {
	r := run(t, func(o *Options) { o.Gates, o.Taps, o.Bad, o.Rotate = 60, 6000, 0.05, 20*time.Minute })
	turn := r.Rotation
	if turn == nil {
		t.Fatal("there was no rotation")
	}
	t.Logf("measured: %+v; changes %+v, removals %+v", *turn, r.Adds, r.Removes)
	if turn.AllKey < 0 || turn.InForce < turn.AllKey || turn.AllOn < turn.InForce || turn.HalfOn > turn.AllOn {
		t.Errorf("not in this order: %+v", turn)
	}
	// A gate reports each minute and asks for changes each 20 seconds; an outage is two minutes long.
	if turn.AllKey > 8*time.Minute || turn.AllOn-turn.InForce > 5*time.Minute {
		t.Errorf("too slow: %+v", turn)
	}
	if turn.Stopped == 0 || turn.Carried == 0 || turn.Moved == 0 || turn.Left != 0 {
		t.Errorf("nobody was stopped by the new list, or not all were moved to it: %+v", turn)
	}
	if r.Adds.Changes == 0 || r.Adds.P99 > 2*time.Minute || r.Removes.Changes == 0 || r.Removes.P99 > 5*time.Minute {
		t.Errorf("adds %+v, removals %+v", r.Adds, r.Removes)
	}
	if r.Unsent != 0 || r.Refused == 0 || r.Lost == 0 {
		t.Errorf("%+v", r)
	}
}

// TestRotationWhileFirstRidesWait: a claim under either key is one claim.
func TestRotationWhileFirstRidesWait(t *testing.T) {
	r := run(t, func(o *Options) { o.Bad, o.Wait, o.Rotate = 0.1, true, 30*time.Minute })
	if r.MostRides != 1 || r.Rotation.AllOn < 0 || r.Rotation.Stopped == 0 {
		t.Errorf("most rides of one %d, %+v", r.MostRides, r.Rotation)
	}
}

// TestRotationByForce: the office does not wait for the gates. Those that do not hold the key keep the list they have until they do: nobody who was denied
// passes, and a change that only the new list has comes as late as the key.
func TestRotationByForce(t *testing.T) {
	r := run(t, func(o *Options) { o.Gates, o.Taps, o.Bad, o.Rotate, o.Force = 60, 6000, 0.05, 20*time.Minute, true })
	turn := r.Rotation
	t.Logf("measured: %+v; changes %+v, removals %+v", *turn, r.Adds, r.Removes)
	if turn.InForce > time.Minute || turn.AllKey < turn.InForce || turn.AllOn < turn.AllKey || turn.AllOn > 8*time.Minute {
		t.Errorf("not in this order, or too slow: %+v", turn)
	}
	if turn.Carried == 0 || r.Adds.P99 > 3*time.Minute || r.Removes.P99 > 5*time.Minute || r.Unsent != 0 {
		t.Errorf("%+v", r)
	}
}
