// Package pcsc talks to smart-card readers through the PC/SC daemon of the machine, pcscd, over its unix socket: the daemon's own
// message protocol in versions 4:3 to 4:5, without a C library, so that a static binary reaches a reader.
//
// It promises: readers and their cards are listed with state and ATR, a card is waited for with a deadline, connected with the protocol
// it speaks (T=0 or T=1), sent short APDUs with 61xx and 6Cxx answered on the way [EMV B1 9.3], and let go again; every call ends, by
// its own deadline or with the context; whatever arrives on the socket has a named limit; an error says in two languages what is
// wrong, with the code of PC/SC, and what to do; a card that was pulled away is apdu.ErrCardLost.
//
// It does not control readers (PIN pads, escape commands), send extended APDUs, share a card with another program, or run anywhere
// but where pcscd runs.
package pcsc
