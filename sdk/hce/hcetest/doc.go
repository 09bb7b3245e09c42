// Package hcetest is what tests of everything that answers a reader share: one conformance suite for a chip card, a phone and a secure
// element, with the project's own kernel as the reader [REF 2.1] [EMV C-7]; and phones with a clock, a storage that can fail, and a cloud of
// their own, all from a seed.
//
// It is for tests: its keys are public.
package hcetest
