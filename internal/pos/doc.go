// Package pos is a merchant's till with its terminal: it takes a card in the field or in the slot, applies the small-amount rule, asks the acquirer, and knows
// how each transaction ended.
//
// Who: one terminal of one merchant with its own secure module and journal. Towards the acquirer it speaks the terminal dialect [REF 6.1].
//
// How a sale runs: the terminal and its kernel talk to the card (Sale, whatever the reader reports); the core journals the request, sends it and waits
// (Handle). No answer in time becomes a reversal, repeated until acknowledged; a payment that the card approved offline is journaled and uploaded until
// answered. A card in the slot has the last word: its second cryptogram completes the payment, or takes it back; what became of the issuer's scripts is sent
// until somebody has it [REF 5].
//
// What may follow a transaction (void, refund, completion …) is the table cycles. Transactions of the open batch are at hand for that and for slips; a
// settlement closes the batch (Settle), and a full one is followed by the next by itself. Parameters, applications and CA keys come by Download: whole, with
// their checksum, tried before they are used, with the edition before to go back to.
//
// Invariants: a transaction ends once: done, declined, reversed, or, for a load whose card was taken out, left to the issuer to find out. Nothing is sent
// before it is durable. The PIN is enciphered in the secure module before anything else sees it, and it is never stored. A till that is killed takes back
// what nobody finished, and prints the slip of everything it began.
//
// A stripe is the last way in: never of a card whose chip can be read, always with the PIN, always online.
//
// Not here: codes (the menu has their place), batch upload after totals that differ, tips.
package pos
