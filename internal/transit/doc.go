// Package transit is the back office of a transit operator that lets cards and phones ride without a ticket: taps of its gates in, journeys, charges,
// payments through an acquirer, debts and the deny list out.
//
// Who: one operator with its own security module, books and journal. Gates hand in pieces of their tap logs (gate.Chunk). Towards its acquirer the office
// is a terminal and speaks the terminal dialect [REF 6.1], with field 55 from a tap's own cryptogram, authorised later [REF 2.7]; any acquirer will do.
//
// How it runs: Ingest takes a chunk by device and number, in any order and as late as it likes, and remembers what is missing. A card that is new, or has
// not been approved for long, is verified. Journeys and amounts come from package fares over everything a rider tapped; the day's close, a limit or the
// end of a journey, as the Profile says, makes a bill of what is new since the last time. Bills go to the acquirer; what is declined is a debt: it is
// tried again by a calendar, by the next tap, or paid by the rider, and stands on the deny list until then. Every decision is a row with its reason.
//
// A card is known by keyed hashes. The key can be changed while gates run: see Rotate. What schemes and banks stop, though it never tapped, is on the list
// too: see List.
//
// A chip counts its transactions, and nobody's clock: counters put the taps of one card in order where a gate's clock is wrong, and show a copy that is used at
// gates where the original was not. What the office decides about a rider is found again with its reason: see History.
//
// Invariants: a tap is taken once and ends in exactly one state; no charge without a tap; the bills of a rider add up to what fares says of all the taps,
// whatever order they came in; a payment is journaled before it is sent and ends once; what riders were charged is what they paid, owe, got back or
// what was written off. Rows hold no card number: cards are known by keyed hashes, and what a request needs stays sealed.
//
// It computes no fare itself, opens no gate, and keeps no clock.
package transit
