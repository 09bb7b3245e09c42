package explain

import (
	"tapnet/emv"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

// The functions of this file read without knowing anything beside the bytes; Context has the same as methods. What could be
// explained is returned beside an error, which is an *Error that names field and offset.

// Command explains a command APDU.
func Command(b []byte) (Node, error) { return Context{}.Command(b) }

// Response explains a response APDU; command is what it answers, nil when that is not known.
func Response(b, command []byte) (Node, error) { return Context{Answers: command}.Response(b) }

// TLV explains TLV data.
func TLV(b []byte) (Node, error) { return Context{}.TLV(b) }

// Field55 explains the content of field 55.
func Field55(b []byte) (Node, error) { return Context{}.Field55(b) }

// DOL explains a data object list.
func DOL(b []byte) (Node, error) { return Context{}.DOL(b) }

// DOLData explains data laid out by a list.
func DOLData(dol emv.DOL, b []byte) (Node, error) { return Context{}.DOLData(dol, b) }

// Value explains bytes as the value of a tag.
func Value(tag tlv.Tag, b []byte) (Node, error) { return Context{}.Value(tag, b) }

// Message explains a message without its frame.
func Message(dialect unionpay.Dialect, b []byte) (Node, error) { return Context{}.Message(dialect, b) }

// Frame explains a message with whatever stands before it.
func Frame(b []byte) (Node, error) { return Context{}.Frame(b) }

// StatusWord explains two bytes.
func StatusWord(b []byte) (Node, error) { return Context{}.StatusWord(b) }

// Decode explains bytes as a kind of Kinds, or as the value of a tag.
func Decode(kind string, b []byte) (Node, error) { return Context{}.Decode(kind, b) }

// Auto finds out what the bytes are and explains them.
func Auto(b []byte) (kind string, n Node, err error) { return Context{}.Auto(b) }
