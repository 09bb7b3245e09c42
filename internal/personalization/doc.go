// Package personalization makes a test world from a profile file: a test certification authority, issuers with their keys and certificates, and cards.
//
// Who: the bureau that writes cards for issuers. It reads a profile (TOML, strict), takes card keys only as sealed images from the issuer's HSM, and gives
// out for each card what goes onto the chip (card.Image and the loaded keys) and what the issuer keeps (Record).
//
// Invariants: numbers are in the test ranges, RSA keys are the public TEST keys of internal/testkeys, names are made up. The same profile and the same HSM
// keys give the same cards. A PIN leaves only as a reference made by the issuer's HSM.
//
// It writes no database and sends nothing. It prepares what EMV CPS groups for a real card; writing one is not its business [EMV CPS].
package personalization
