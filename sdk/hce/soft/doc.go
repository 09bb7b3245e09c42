// Package soft is the other side of the phone engine in software: a Platform whose keys are values, and a Cloud that makes keys and checks
// taps in one process without a journal [REF 8]. They are what tests, drills, the phone simulator and the shared library are run with.
//
// It promises: the same seed, clock and store give the same bytes; the platform makes a record durable exactly when its Store does; nothing
// prints a key. It does not do what hardware does: whoever reads the key store record and its file key has the keys. The Cloud is a
// stand-in that shows the rules of verification; an institution's is a role with a journal.
package soft
