// Package sm is the Chinese commercial cryptography that cards and terminals use: the signature SM2 [GM/T 0003], the hash SM3
// [GM/T 0004] and the block cipher SM4 [GM/T 0002], in the handful of forms that [JR/T 0025.17] asks for.
//
// It promises the published values, and plain types: a public key is 64 bytes that name a point of the curve, a signature is 64
// bytes r ‖ s. Signatures are made with a nonce derived from key and message in the way of [RFC 6979], with SM3 in place of its
// hash, so that the same card gives the same bytes again and no random source can fail it. SM4 keeps its schedule in a value and
// allocates nothing; a test compares it with an independent implementation on random keys and blocks.
//
// The arithmetic of the curve comes from github.com/emmansun/gmsm, which only this package imports. The version at hand is four
// years behind its source: it is good for test networks. As everywhere here, private operations and table look-ups are not
// constant in time; a production issuer keeps such keys inside its own security module. There is no key exchange and no public key
// encryption.
package sm
