// Package explain says what bytes mean: APDUs, TLV, object lists and their data, bit fields, track 2, status words and
// messages of both ISO 8583 dialects, down to the bit [EMV B3 Annex A], [EMV B3 Annex C], [ISO 8583:1987 4.4], [REF 1], [REF 6].
//
// It promises that every byte of the input is owned by exactly one leaf of the tree, whatever the input; that what
// cannot be read is still in the tree, with an error that names field and offset; that names exist in both languages;
// and that account numbers, tracks and names are masked in value and hexadecimal alike until the caller asks for them
// with Reveal. PIN blocks and keys are never shown and never kept.
//
// It decides nothing: a message it can read may still lack a mandatory field, and a cryptogram may be wrong. It computes
// no cryptography except the public recovery of certificates when it is given CA keys.
package explain
