// Package personalization makes a test world from a profile file: a test certification authority, issuers with their keys and certificates, and cards.
//
// Who: the bureau that writes cards for issuers. It reads a profile (TOML, strict), takes card keys only as sealed images from the issuer's HSM, and gives
// out for each card what goes onto the chip (card.Image and the loaded keys) and what the issuer keeps (Record).
//
// What a card is follows from a product (products/*.toml: applications, limits, privacy, the contact dialogue), a carrier (carriers/*.toml: interfaces, ATR
// and ATS, times, who feeds it) and a set of algorithms: RSA with 3DES, SM2 with SM4, RSA
// with AES, or the first two on one card. A world's own file may describe more of the first two.
//
// Card.Groupings writes the same data as EMV CPS data groupings and FromGroupings reads them; of each application card/imprint does both. A Session seals the
// secret ones and makes the STORE DATA commands [EMV CPS] [REF 1.11]:
//
//	01nn–1Enn   records, in template 70
//	0D01        9F36 9F13 9F51 DF71 9F53, limits and purses that are not zero, 9F68 9F4F DF4F, then the constants for GET DATA
//	8000 9000   keys AC, MAC, ENC and their check values, made by the keys' own cipher
//	8010 9010   PIN block of format 2; tries left and tries allowed
//	8201–8205   RSA card key; of an SM2 card 8103 holds X ‖ Y and 8101 the private key
//	9102 9103   template A5 of the answer to SELECT, contact and contactless; of PPSE and PSE, whose records are 01nn, only 9102
//	9104 9203   AIP and AFL on contact, and of electronic cash there
//	9207        contactless: 82 94 57 5F34 5F20 9F63 9F6C
//	9200        9F10 before the first payment
//	A001 8020 9020  files of the extended application, their opening keys, check values
//	BF04 8F04 9F04 8F14  the second set of algorithms: AIP and AFL, keys and check values, SM2 key
//	BF01        EngineSettings: what a card of ours knows and a real one decides for itself
//
// Invariants: numbers are in the test ranges, keys are the public TEST keys of internal/testkeys, names are made up. The same profile and the same HSM
// keys give the same cards. A PIN leaves only as a reference made by the issuer's HSM, on the chip, and sealed in a grouping.
//
// It writes no database and sends nothing. It opens no secure channel to a card: Commands are what such a channel carries.
package personalization
