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
// It does not know terminals, merchants' banks or routes; it does not settle [REF 6.4].
package issuer
