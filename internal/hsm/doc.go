// Package hsm keeps keys and uses them for others. Callers name a key; they never see it.
//
// One HSM value belongs to one institution. Every key has a name and, fixed when the key is made, a usage, a mode of use, an
// algorithm and an exportability in the terms of [X9.143]; an operation that needs another usage or mode is refused with a
// *MisuseError, so a key cannot do two jobs. Key check values follow [X9.24]. Keys rest in a file sealed with AES-256-GCM under a
// key that scrypt [RFC 7914] stretches from a passphrase.
//
// # Promises
//
//   - No method returns key bytes. Wrapped keys, sealed card images and check values leave; clear keys do not, and nothing here
//     prints them: String, Format, LogValue and MarshalJSON of every type are masked, and errors name keys, never contents.
//   - A PIN is never returned. Translation and verification answer with a PINResult; a malformed block is a result, not an error.
//   - Comparisons of secrets take constant time.
//
// # What it does not do
//
// It is software: it protects against mistakes and against a stolen key file, not against somebody who reads this process's memory.
// Card master keys may be triple DES, SM4 or AES-128; a suite of package cryptogram works with masters of its own cipher only. Zone
// PIN keys may be of any cipher, and each has the PIN block that goes with it.
//
// Wrapping under a key-encrypting key is the electronic-codebook form the network uses on the wire [REF 6.1], which binds neither usage nor order. Between
// institutions keys travel in key blocks [X9.143], which do: ImportBlock takes a key with exactly what its block binds, ExportBlock gives one under dual
// control.
// Components and shares are for key ceremonies; AuditLog is a chain of records that shows every change of it. An audit log cannot prove that its end was
// not cut off together with the key file: the head printed at each check, written down elsewhere, does.
//
// Keys of phones (usage 20) and of cards (usage E0) are apart: DeriveCloudBatch gives session keys away, sealed for one device, and only those of usage 20.
// Clear keys are erased where they are slices; copies that the language makes on the stack are not.
package hsm
