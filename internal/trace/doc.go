// Package trace remembers what happened to the last payments: every command, message, decision and posting, who saw it and to
// which bytes, joined across roles by the identifiers they share.
//
// It follows no standard; the identifiers are those of [REF 6]. It promises that adding never makes a payment wait (what
// finds no room is dropped and counted), that memory is bounded, and that nothing it prints or saves holds a full account
// number, a PIN block or a key, unless the caller asks for account numbers with Reveal. It is no record: rows of the journal
// are, and what is evicted here is gone.
package trace
