// Package denylist is the list of cards that a transit gate does not let in: up to MaxEntries keyed hashes, answered in well under
// a microsecond, without network and without a card number anywhere.
//
// A Base is one byte image, signed: a binary fuse filter that says at once of nearly every card that it is not listed, and the exact
// sorted set that decides on the few it cannot clear. The image may be a file mapped into memory; nothing is copied out of it. A Delta
// is a signed list of changes with a number; it names the digest of the one before, so that a gate notices a gap, a repeat, a step back
// and a fork. A List is a base and the deltas after it; readers take a Snapshot from an atomic pointer and are never kept waiting.
//
// It promises: no false negative, no stop of a card that is not listed beyond the chance that two 64-bit hashes meet, no allocation in
// Lookup, and that nothing unsigned, altered, older or out of order changes what a gate answers.
//
// It does not say what to do about an old list (package gate does), keeps no files, reads no clock, and does not decide who gets on
// the list: entries come from the operator's back office.
package denylist
