// Package pos is a merchant's till with its terminal: it taps a card, applies the small-amount rule, asks the acquirer, and knows how each sale ended.
//
// Who: one terminal of one merchant with its own secure module and journal. Towards the acquirer it speaks the terminal dialect [REF 6.1].
//
// How a sale runs: the terminal and its kernel talk to the card (Sell); the core journals the request, sends it and waits (Handle). No answer in time
// becomes a reversal, repeated until acknowledged; a payment that the card approved offline is journaled and uploaded until answered.
//
// Invariants: a sale ends once: approved, declined, or reversed. Nothing is sent before it is durable. The PIN is enciphered in the secure module before
// anything else sees it, and it is never stored.
package pos
