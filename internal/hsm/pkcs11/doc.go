// Package pkcs11 keeps the root of a key file in a PKCS#11 token: the passphrase that opens the file is a key which leaves the token only wrapped, under a
// wrapping key that never leaves it. Build tag pkcs11, because the driver is a C library; without the tag the package is empty.
//
// It promises that the wrapping key is made in the token, sensitive and not extractable, and that a wrapped root of another token, or one with a changed bit,
// is refused. It asks of a token only what the common software token has: AES key generation and AES key wrap [RFC 3394]. Everything else (session keys of
// cards, MAC algorithm 3, SM4) stays in package hsm: such tokens derive no EMV keys, refuse single DES and know no SM4.
//
// It does not protect the root while it is used: the process that opens the key file has it in memory.
package pkcs11
