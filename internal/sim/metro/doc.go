// Package metro simulates a thousand transit gates with lossy lines in simulated time, from one seed: how long a change of the deny list takes to every
// gate, and what cards that nobody pays for cost.
//
// Gates decide with package gate, lists are those of gate/denylist, the exchange with the back office is gate.Courier's, and the back office is package
// transit on a journal in memory: it verifies, lists, releases, closes the day and books the debts. Riders, lines and the acquirer behind the office are made
// up here. In between the list may go to a new key, waiting for the gates or not. What a card signs is not calculated: the kernel's outcome is. Card
// data are not sealed; keys are.
//
// It promises that the same options give the same report, and it checks while it runs: a bad credential opens no gate that has its entry, and none twice
// before the entry is everywhere; with first rides that wait for a grant, it opens one in all; every gate comes to the new key and
// still stops whom it stopped; no record is lost; and the office's books add up after the close. Every journey
// costs the highest fare.
package metro
