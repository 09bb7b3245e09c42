// Package metro simulates a thousand transit gates with lossy lines in simulated time, from one seed: how long a change of the deny list takes to every
// gate, and what cards that nobody pays for cost.
//
// Gates decide with package gate, lists are those of gate/denylist, and the exchange with the back office is gate.Courier's; riders, line and back office
// are made up here. The back office stands behind a small interface. What a card signs is not calculated: the kernel's outcome is, so that a
// million taps take seconds.
//
// It promises that the same options give the same report, and it checks while it runs: a bad credential opens no gate that has its entry, and none twice
// before the entry is everywhere; with first rides that wait for a grant, it opens one in all. It does not price journeys: a ride costs the highest fare.
package metro
