// Package acquirer is the merchant's bank: it knows merchants and terminals, carries their payments to the switch, and owes merchants what was approved.
//
// Who: one institution with its own HSM, books and journal. Towards terminals it speaks the terminal dialect [REF 6.1], towards the switch the switch
// dialect [REF 6.4].
//
// Invariants: every request is journaled before it is forwarded and ends once: answered, timed out or reversed. An approval is a hold on what the scheme
// owes, in favour of the merchant; a reversal releases it. Who waits too long reverses, and repeats the reversal until it is acknowledged. An offline payment
// of a purse is repeated instead, because the chip has already given the money. A repeat gets the first answer. PINs are translated, never stored.
//
// It decides nothing about cards.
package acquirer
