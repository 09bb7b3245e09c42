// Package tsm is the trusted service manager: it personalizes, orders, locks and deletes payment applications on secure elements that are far away, through
// a phone that relays APDUs and understands none of them.
//
// Who: one institution with its own HSM and journal. Wallets reach it through tsmhttp. It knows tokens by reference; what a token is comes from a port, and
// its number goes nowhere but into commands that are enciphered for one element.
//
// It is also whom the token service asks about the cryptograms of those applications (0104, OperationVerify), because it made their keys: a counter serves one
// payment, durably, before the answer leaves; payments of gates may come late and in any order.
//
// How: a session is a script of commands under the channel of package scp03. Each step takes the element's answers, checks them and gives the next commands.
// The channel's state is public and lives in the journal; its keys are derived in the HSM for each command and nowhere else. The script is made again at every
// step and recognised by a digest, so that no clear data are stored; Prepare does all that, Handle decides whether it still holds.
//
// Invariants: one session for an element, and of two that were opened the later one. The same answers get the same commands; others to the same commands are
// refused. A session that met a wrong code, a wrong cryptogram or a refusal has failed for good, and the application is what it was, or still loading. An
// application is active only after the element confirmed the last command of its script, with a code wherever its channel has them, and only an active one
// pays. A token has one life on one element: its counters would begin anew under the same keys. Where somebody certifies keys, an application has one of its
// own and proves itself offline; key and certificates follow from the session alone, so that its script can be made again.
//
// It loads no code, sends nothing itself, and does not decide who may have which token.
package tsm
