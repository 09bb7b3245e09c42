// Package handset is a phone with a secure element of its own, and the software on it that relays between the element and its service manager. The software
// understands neither side: it fetches commands over HTTP, hands them to the element, and brings the answers back.
//
// It promises that the element's memory is one file, replaced whole and enciphered under a key of the phone, so that after a crash the element is where it was
// or one command further; that a request whose answer was lost is repeated with the same key and content; and that a session which the element lost is over:
// the next one begins anew and clears away what was half done.
//
// It knows no token but by reference, sends nothing but what it is given, and asks nobody at a till: there the element answers by itself.
package handset
