// Package issuer is the cardholder's bank: it decides authorizations and owns card and account state.
//
// Who: one institution with its own HSM, its own ledger and its own journal. It meets the network only through iso8583/unionpay.
//
// How a request runs: Prepare finds the card and checks cryptogram and PIN in the HSM, in parallel with others; Handle decides in memory, in order,
// and names the rows that make the decision durable; Finish adds the response cryptogram after the commit. Rebuilding from the journal alone
// (Replay) gives the same state and the same answers.
//
// Invariants: a refusal is a Decision, not an error. One reason per rule, in order of precedence (reasons.go). A counter of a card is honoured once.
// An approval is a hold on the cardholder's account towards the scheme; only a reversal or clearing ends it. A repeat gets the first answer.
//
// A load of the chip's purse is a hold until somebody knows whether the chip followed: its terminal (DF31), a reversal, or the card's next cryptogram, whose
// balance has the last word and puts right what was booked on a terminal's (load.go, settle.go). Commands for the chip wait in the card's state until
// their result has come (script.go). A new PIN is the account's from the moment on when it is known to be the chip's, never before (pinchange.go). A payment
// that the card approved by itself is honoured once, and takes the place of a request that nobody answered (offline.go). A second purse has accounts of its
// own, in its currency (currency.go).
//
// It does not know terminals, merchants' banks or routes; it does not settle [REF 6.4].
package issuer
