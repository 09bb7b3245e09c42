// Package keyblock builds and opens key blocks [X9.143]: a key together with what it is for, in printable characters, so that neither the key nor any of its
// attributes can be changed without the protection key.
//
// It knows version B (triple DES protects) and version D (AES protects), which derive one key for enciphering and another for the code from the protection
// key. Versions A and C, which only vary the protection key, are refused by name: their header is not bound to the key in a way to rely on.
//
// # Promises
//
//   - Parse accepts a block only if every character of it has its place and writing it again gives the same characters.
//   - Unwrap looks at nothing inside the key field before the code over the whole block was right, and answers every failure with an *Error: a reason out of a
//     fixed list and the offset where it was noticed. Neither holds key bytes.
//   - Wrap hides the length of a key behind random bytes, unless told otherwise.
//
// # What it does not do
//
// It does not decide who may do what: the security module compares usage, mode and exportability with its own rules. It carries symmetric keys only.
package keyblock
