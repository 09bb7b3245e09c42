// Package cloudse is the cloud secure element: it keeps what phones cannot be trusted to keep, gives them keys for a few taps at a time, and says whether a
// cryptogram was made with one of them.
//
// Who: one institution with its own HSM and journal. Phones reach it through cloudsehttp, the token service through iso8583/unionpay (0104, OperationVerify)
// and through cloudseapi. It knows tokens, never account numbers; it holds no money.
//
// How keys reach a phone: Prepare checks the device's signature and lets the HSM derive, mask and seal a batch in one operation; Handle decides whether the
// phone may have it, and the row holds the batch, so that the same request gets the same bytes again until the phone confirms. There is at most one batch that
// is not confirmed. Each request presents the ratchet of the last batch: two phones that ask from one state fork it, and both lose their keys [REF 8].
//
// How a payment is verified, in order: state of the token, domain of the keys, class, life, cryptogram, device tag; then the counter is used, durably, before
// anything is said. The same payment gets the same answer; another payment with a used counter, right in everything else, is a copy of the phone: the token is
// suspended and its keys revoked. Limits and the phone's evidence come after that, so a refused tap has used its key as well. Wrong cryptograms are counted
// here: a phone cannot tell whether a password was right.
//
// Invariants: one counter, one approval, whatever crashes, repeats or races. A suspended token is refused from the commit of the suspension on, with the phone
// off. What was refused before it was verified changes nothing but the count of wrong cryptograms.
//
// It does not map tokens to cards, and it does not judge merchants beyond what the phone's evidence says: the token service does both.
package cloudse
