// Package cloudkey is what a phone and the cloud that holds its keys must agree on byte for byte: how keys of a token are derived,
// masked, enciphered for one device and packed into a batch, what the phone proves about a tap in the issuer data, and the messages by
// which it asks for more. None of it is published; it is the project's own profile QCK-1, with the parts of two published mechanisms
// that a second key scheme needs [REF 8].
//
// It promises: an encoding has one reading (every text carries its length, every message its label), what is parsed re-encodes to the same
// bytes, everything from a wire is bounded, and both sides compute a value with the same function. Keys, ratchets and verifiers mask
// themselves in every print.
//
// A Scheme says which key a tap has and what it computes: QCK1 has one key for each tap, bound to its counter, so that the cryptogram is
// what a chip card would make; LUK has one key for several taps. Seal is the whole work of a security module for one batch; Open is the
// phone's side of it.
//
// What it does not do: keep keys, count, know the time, or decide. The mask makes a wrong password give a wrong key and not an error:
// nothing here can tell whether a password was right.
package cloudkey
