// Package card is the card's side of a payment: the application a contactless reader talks to, one Process call per
// command, following [JR/T 0025.12] (qPBOC) and [JR/T 0025.13] (electronic cash) as far as [REF 2] and [REF 3] know them.
//
// An Image is what personalisation wrote; a State is all that changes afterwards; a Memory makes a State durable in one
// atomic step; a Crypto holds the card's own keys. A Card ties the four together and owns what lives in RAM: the selected
// application, the phase of the dialogue and the staged transaction.
//
// It promises:
//   - the transaction counter is durable before a cryptogram of that counter leaves, so no cryptogram is made twice;
//   - electronic cash is spent in exactly one Commit, at the last READ RECORD of an approved transaction. A card pulled away
//     before it has lost nothing; a card pulled away after it answers that record again, word for word, until the next payment;
//   - whatever arrives is answered with a status word; Process never panics and fails only when the power is gone;
//   - the same image, state, commands and random bytes give the same answers.
//
// It does not yet speak the contact dialogue (GENERATE AC, VERIFY, scripts), the extended application (segmented deduction,
// offline pre-authorisation) or the SM algorithms. The dispatch table in card.go is where further commands join.
// RSA signing is for the TEST keys of this project only: it is not hardened against side channels.
package card
