// Package emv names the data of EMV and of UnionPay's use of it: tags, formats, bit fields and object lists
// [EMV B3 Annex A, Annex C], [REF 1].
//
// There is one dictionary (Lookup, Dictionary): decoding, printing, padding and validation all read it. Bit fields
// are arrays with one bit type each, numbered as the books number them, so that a bit of one field cannot be set in
// another. Every name exists in English and Chinese.
//
// Decoders are strict and bounded: they never panic, and what they accept encodes again to the same bytes (Data drops
// the 00 padding that tlv allows between elements; that is the only leniency). Values of sensitive tags are masked in
// every print, log and JSON form.
//
// The package holds meaning, not behaviour: no decisions, no I/O, no cryptography.
package emv
