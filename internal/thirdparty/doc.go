// Package thirdparty checks tapnet against software that others wrote, so that a mistake shared by our encoder and our decoder is found.
//
// The suites stand behind the build tag thirdparty, because they need that software: scripts/thirdparty installs it where it can, runs each
// suite by the prefix of its test names, and says what it left out. OpenSSL computes message authentication codes, card keys and RSA
// recovery a second time; the npm package iso_8583 packs and unpacks messages of the switch dialect; pcscd with the virtual reader of
// vsmartcard lets opensc-tool, scriptor, pcsc_scan, pyscard and npm smartcard read our card, and our terminal pay with it.
//
// There is nothing to import here.
package thirdparty
