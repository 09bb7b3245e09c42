// Package card is the card's side of a payment: the applications a reader talks to, one Process call per command, on contact and
// contactless, following [EMV B3], [JR/T 0025.12] (qPBOC), [JR/T 0025.13] (electronic cash) and [JR/T 0025.14] (extended application) as far
// as [REF 1] to [REF 5] know them.
//
// An Image is what personalisation wrote; a State is all that changes afterwards; a Memory makes a State durable in one
// atomic step; a Crypto holds the card's own keys. A Card ties the four together and owns what lives in RAM: the selected
// application, the phase of the dialogue and the payment in hand.
//
// The contactless dialogue decides in GET PROCESSING OPTIONS (gpo.go, risk.go); the one with GENERATE AC, on contact or over contactless
// for a reader that asks for it, in card action analysis (contact.go, action.go, generate.go), with offline PIN (pin.go), dynamic and
// issuer authentication (authenticate.go) and commands of the issuer under secure messaging (script.go, putdata.go).
//
// It promises:
//   - the transaction counter is durable before a cryptogram of that counter leaves, so no cryptogram is made twice;
//   - contactless electronic cash is spent in exactly one Commit, at the last READ RECORD of an approved transaction. A card pulled away
//     before it has lost nothing; a card pulled away after it answers that record again, word for word, until the next payment;
//   - in the dialogue with GENERATE AC whatever a cryptogram spends, counts or remembers is one Commit before the cryptogram leaves, and a
//     command of the issuer is one Commit with its failure, its count and its log: a load torn away leaves the old balance or the new one;
//   - a PIN try is durably used up before the PIN is compared;
//   - it approves nothing above its limits by itself, and a purse changes by a payment or by a command under the issuer's MAC only;
//   - whatever arrives is answered with a status word; Process never panics and fails only when the power is gone;
//   - the same image, state, commands and random bytes give the same answers.
//
// An application may hold two sets of algorithms and chooses by DF69 (dual.go). T=0 (GET RESPONSE, 61xx, 6Cxx) is the transport's.
// RSA signing is for the TEST keys of this project only: it is not hardened against side channels.
package card
