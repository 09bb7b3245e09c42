// Package interchange is the switch: it routes payments from acquirers to issuers by card number range and keeps both sides certain about the outcome.
//
// Who: one institution with its own HSM and journal. Members are peers by institution id; messages are iso8583/unionpay in the switch dialect [REF 6.4].
//
// Invariants: every request is journaled before it is forwarded and ends once: answered, timed out or reversed. Who waits too long reverses: an issuer
// that does not answer in time gets a reversal, repeated until acknowledged, and the acquirer gets 98. An answer that comes later changes nothing.
// A repeat gets the first answer. PIN blocks are translated between the members' zones and never stored; card numbers are stored sealed only.
// A payment by token is resolved by the token service first (token.go): the issuer hears the card's number, the acquirer and the journal the token's only.
//
// It holds no member's money and decides no payment.
package interchange
