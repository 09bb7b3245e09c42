// Package iso8583 packs and unpacks ISO 8583:1987 messages and their frames by a table, the Spec of a dialect.
//
// A field is described by values that are independent of each other: the kind of its characters, how they are
// written (ASCII, packed BCD, bytes), how its length is written, and how a short one is filled up. Two bitmaps
// (fields 2 to 128) are known; field 65, the third bitmap, is refused.
//
// It promises: Unpack and Append allocate nothing once their buffers are large enough; Unpack is strict (every
// character and every padding digit is checked, nothing may follow the last field), so that what it accepts
// Append gives back byte for byte. A secondary bitmap in which no bit is set is accepted, since peers send one
// with every message; it is remembered and written again. Errors are *FieldError: the field and the offset,
// never the content.
//
// It does not know what a field means, which fields a message needs, or how a MAC is made: package unionpay does.
package iso8583
