// Package tsp is the token service: it gives out tokens that stand for account numbers on one device at one requestor, and resolves them for the switch.
//
// Who: one institution with its own security module, vault and journal. The switch asks it, one message per payment (unionpay.TokenRequest); it asks the cloud
// secure element in the same dialect whether a cryptogram is right; requestors, banks and operators call it through tspapi.
//
// How a resolution runs: Prepare finds token and card, opens the account number and binds the PIN block anew, in parallel with others; Handle looks at state
// and domain in the order of the reasons, and asks the cloud secure element or answers. One row records the answer, so that a repeat gets the first one.
//
// Invariants: a token number is given out once, ever: a deleted token's record stays. One token per card, device and requestor. A device with tokens has
// exactly one default. A token pays only while nobody suspends it (lifecycle.go). An account number is in clear in no row, cell, log, trace or notice: at
// rest it is sealed, on the wire it is in field 2 of an answer to the switch.
//
// It holds no card keys and no counters, decides no payment and moves no money [REF 8].
package tsp
