// Package vpcd makes a card of tapnet appear in a virtual PC/SC reader: the reader driver vpcd of the vsmartcard project listens on TCP,
// and Serve is the card that connects to it. Any program that speaks PC/SC can then read the card.
//
// It promises: one message for one message, each written in one piece; the answer to reset is told at any time and at once; power-off,
// power-on and reset end the card's session; the length of everything from the socket is bounded; a connection that breaks is a card
// that was pulled out, and Serve comes back with growing pauses until its context ends. A Carrier dresses a chip for the reader: a valid
// answer to reset for contactless [ISO 14443] or contact [EMV B1 8.2], the transmission protocol T=0 with 61xx and 6Cxx [EMV B1 9.3], and
// the card identifier that programs ask a contactless reader for.
//
// It is no reader: it does not start pcscd or load the driver, and it does not know who is on the other side.
package vpcd
