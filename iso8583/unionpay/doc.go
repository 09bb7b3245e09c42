// Package unionpay gives the messages between terminals, acquirers, the switch and issuers as Go structs
// [ISO 8583:1987] in two dialects: Terminal (packed digits, MAC in field 64) and Switch (ASCII digits, MAC in
// field 128) [REF 6.1] [REF 6.4]. Field numbers live in this package and nowhere else.
//
// It promises: what Decode accepts is complete for its type (a table names the mandatory fields), every value in
// it was parsed and checked, the message shares no memory with the input, and Encode of it is accepted again.
// Errors are *iso8583.FieldError: field and offset, never content.
//
// It does not compute MACs, hold keys, decide payments or look up years and time zones: dates are the digits of
// the wire. PIN blocks stay ciphertext from one end to the other.
//
// Leniency, so that Encode(Decode(b)) may differ from b: blanks at the end of text fields, 'D' for '=' in an ASCII
// track 2, a field 4 of zero where the type does not ask for one, and a secondary bitmap without fields.
package unionpay
