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
// It moves no barrier, holds no files, reads no clock, talks to nobody, computes no fare, and does not run the kernel.
package gate
