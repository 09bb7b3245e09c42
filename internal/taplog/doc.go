// Package taplog keeps the tap log of a gate in files: segments of chained records that only grow, and a small file of state.
//
// It promises that Append returns after the record would survive a loss of power, so that every opened gate is in the log; that Start
// recovers from a loss of power at any byte and any sync, cutting off what was torn and nothing else; that a record's number never
// repeats, not even when the log itself is lost; that records stay until the back office's receipt for them is verified; and that the
// files stay below a bound: a log that is full takes no more records, and the gate stays shut. Beside the log lie the deny list and the sealed keys of
// its epochs, under the same promise: the key of the list that is found is found with it.
//
// It follows no standard. It decides nothing about a tap (package gate does), sends nothing, and does not protect against somebody who can
// write to the disk: such a person cannot forge a record, and can destroy them all.
package taplog
