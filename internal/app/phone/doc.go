// Package phone runs simulated phones: package sdk/hce over a directory of files, with its keys in software [REF 8]. A phone lives from one
// command to the next, so that taps, crashes and a copied directory can be tried.
//
// It promises that one process at a time uses a phone, that a record is on the disk before the engine goes on, and that neither a number
// nor a key lies there in the clear; the key of the directory lies beside the records, so whoever copies the whole directory has a copy of
// the phone, which is what the drills want. Without the Cloud of a network a stand-in of the service lies in
// the same directory; a phone belongs to the one with which it was made.
package phone
