// Package cryptogram computes and checks application cryptograms and what belongs to them: card and session keys, the
// issuer's answer (ARPC), MACs of issuer data and of scripts, and the PIN change block [EMV B2 8], [EMV B2 9],
// [EMV B2 Annex A1.3], [REF 4], [REF 3.4].
//
// A Suite fixes derivation, session keys, data selection and MAC, so that card, issuer and tests cannot disagree.
// SuiteTDES is the suite of UnionPay and PBOC cards with 3DES. What the published sources leave open is a parameter of
// the suite: the derivation option, the data list of each cryptogram version, the variant of the PIN change.
//
// Keys mask themselves in every print. The package keeps none: custody is the caller's business. Derivation and
// cryptogram do not allocate. The 3DES of package des works with tables and is not constant in time, as is true of crypto/des:
// it is meant for test networks, and a production issuer computes these values inside its own security module.
package cryptogram
