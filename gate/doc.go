// Package gate decides, in a transit validator without network, whether a tapped card or phone passes: read result in, decision and
// tap-log record out. It takes what the contactless kernel says at the end of a tap with offline data authentication for an online
// cryptogram [REF 2.7] [EMV C-7], and goes through restrictions, authentication, deny list, ranges of numbers, pass-back, counters
// and velocity, in that order. What is approved is authorised later, by the back office, with the cryptogram in the record.
//
// It promises that a gate is told to open only after the Log has said that the record is durable, so that a loss of power at any point
// leaves every opened gate in the log; that every refusal has one Reason, the first rule that failed, in English and Chinese; and that
// Replay of the log gives the memory back that the gate had. Records are chained by a keyed hash, so that a changed, dropped or
// reordered record is found, and carry no card number in clear: the card's data are sealed by the caller.
//
// Around the decision it holds what a device needs besides, as values and machines. A Chunk is a piece of the log on its way to the back office,
// authenticated, and known by device and first number. A Courier uploads chunks, fetches lists and reports health: it believes nothing that is not
// the back office's, takes no step back, and forgets no record without a receipt. Claims make a first ride wait for a grant, where the operator wants
// that. Keys of the deny list's epochs come sealed for the device with the answer to its report, before the list that needs them; what the gate remembers of a
// card counts under every key that it holds, so that a new key changes no decision. A Segment lets a
// purse with the operator's file pay a journey at its end [REF 2.8].
//
// ExampleGate is a device in forty lines: start, tap, upload.
//
// It moves no barrier, holds no files, reads no clock, has no line, computes no fare, and does not run the kernel.
package gate
