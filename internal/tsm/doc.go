// Package tsm is the trusted service manager: it personalizes, orders, locks and deletes payment applications on secure elements that are far away, through
// a phone that relays APDUs and understands none of them.
//
// Who: one institution with its own HSM and journal. Wallets reach it through tsmhttp. It knows tokens by reference; what a token is comes from a port, and
// its number goes nowhere but into commands that are enciphered for one element.
//
// How: a session is a script of commands under the channel of package scp03. Each step takes the element's answers, checks them and gives the next commands.
// The channel's state is public and lives in the journal; its keys are derived in the HSM for each command and nowhere else. The script is made again at every
// step and recognised by a digest, so that no clear data are stored; Prepare does all that, Handle decides whether it still holds.
//
// Invariants: one session for an element, and of two that were opened the later one. The same answers get the same commands; others to the same commands are
// refused. A session that met a wrong code, a wrong cryptogram or a refusal has failed for good, and the application is what it was, or still loading. An
// application is active only after the element confirmed the last command of its script, with a code wherever its channel has them.
//
// It loads no code, sends nothing itself, and does not decide who may have which token.
package tsm
