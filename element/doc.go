// Package element is a secure element in software: an issuer security domain behind the secure channel of package scp03, which takes the commands of
// GlobalPlatform's card specification that a wallet's service needs (INSTALL, STORE DATA with the groupings of [EMV CPS], SET STATUS, DELETE, GET STATUS),
// and payment applications that answer taps with the engine of package card.
//
// It has two sides. On the host's, the one a phone's own software reaches, there is the domain and no payment. In the field there are the payment
// applications and no domain, so that no reader can manage the element.
//
// Promise:
//   - everything durable is one value, and every change of it one Commit: after the power failed at any moment the memory holds the old value or the new
//     one. A half-sent personalization leaves nothing;
//   - nothing is managed outside a session whose commands carry a code; a wrong code, a wrong order or a wrong cryptogram ends the session and changes nothing;
//   - applications and the element itself move through their lives by the tables of life.go alone, and a refused command leaves everything as it was;
//   - an application is personalized once, as a whole, after its groupings were found to make a card, and is wiped when it is deleted;
//   - the directory of the field lists the applications in the order of selection, the default one first;
//   - whatever arrives is answered with a status word; Process never panics and fails only when the power is gone.
//
// Not here: loading of code (the one payment module is there from the beginning), supplementary security domains, delegated management and its tokens,
// PUT KEY, logical channels. What Memory keeps holds keys: whoever provides it seals it.
package element
