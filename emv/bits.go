package emv

import (
	"encoding/hex"
	"fmt"
	"strings"

	"tapnet/glossary"
	"tapnet/tlv"
)

// BitInfo describes one bit of a field, or a value that spans a few bits, for printing.
type BitInfo struct {
	Byte  int // 1 is the leftmost byte
	Bit   int // 8 is the most significant bit; for a value of several bits its most significant one
	Width int // number of bits: 1 for a flag
	Name  glossary.Term
	Set   bool // the flag is set, or the value is not zero
	Value byte // 0 or 1 for a flag
}

// code numbers a bit as the books do: high nibble the byte from 1, low nibble the bit from 8 down to 1. 0x16 is byte 1 bit 6.
type code uint8

func (c code) index() int { return int(c>>4) - 1 }
func (c code) mask() byte { return 1 << (c&0xF - 1) }

// bitName is a row of a field's table.
type bitName struct {
	code code
	name glossary.Term
}

func row(c uint8, en, zh string) bitName { return bitName{code(c), glossary.Term{EN: en, ZH: zh}} }

var reservedBit = glossary.Term{EN: "reserved for future use", ZH: "保留"}

func hasBit(field []byte, c uint8) bool {
	return field[code(c).index()]&code(c).mask() != 0
}

// describe lists every named bit in the order of the book, and each set bit that has no name. skip marks bits that
// belong to a value of several bits, which the caller describes itself.
func describe(field []byte, table []bitName, skip func(code) bool) []BitInfo {
	infos := make([]BitInfo, 0, len(table)+2)
	for i := range field {
		for bit := 8; bit >= 1; bit-- {
			c := code((i+1)<<4 | bit)
			if skip != nil && skip(c) {
				continue
			}
			set := field[i]&c.mask() != 0
			name, known := nameOf(table, c)
			if !known && !set {
				continue
			}
			info := BitInfo{Byte: i + 1, Bit: bit, Width: 1, Name: name, Set: set}
			if set {
				info.Value = 1
			}
			infos = append(infos, info)
		}
	}
	return infos
}

func nameOf(table []bitName, c code) (glossary.Term, bool) {
	for i := range table {
		if table[i].code == c {
			return table[i].name, true
		}
	}
	return reservedBit, false
}

// setNames lists what is set, in one language.
func setNames(infos []BitInfo, l glossary.Lang) []string {
	var names []string
	for _, info := range infos {
		if info.Set {
			names = append(names, info.Name.In(l))
		}
	}
	return names
}

// bitString is the common print form: hex, then the names of the set bits.
func bitString(field []byte, infos []BitInfo) string {
	names := setNames(infos, glossary.English)
	if len(names) == 0 {
		return hexString(field)
	}
	return hexString(field) + " [" + strings.Join(names, " | ") + "]"
}

func hexString(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// parseField copies b into a field of the right size.
func parseField(dst, b []byte, name string) error {
	if len(b) != len(dst) {
		return fmt.Errorf("parse %s: %d bytes, want %d", name, len(b), len(dst))
	}
	copy(dst, b)
	return nil
}

// DescribeBits lists the bits of the value of a tag whose format is FormatBits, and of the action codes, which have the
// shape of the TVR. False for other tags and for values of the wrong length.
func DescribeBits(tag tlv.Tag, value []byte) ([]BitInfo, bool) {
	parse, known := bitFields[tag]
	if !known {
		return nil, false
	}
	field, err := parse(value)
	if err != nil {
		return nil, false
	}
	return field.Bits(), true
}

type bitField interface{ Bits() []BitInfo }

// asField forgets the type of a field, for the table.
func asField[F bitField](parse func([]byte) (F, error)) func([]byte) (bitField, error) {
	return func(b []byte) (bitField, error) { return parse(b) }
}

var bitFields = map[tlv.Tag]func([]byte) (bitField, error){
	TagTTQ: asField(ParseTTQ), TagCTQ: asField(ParseCTQ), TagTVR: asField(ParseTVR), TagTSI: asField(ParseTSI),
	TagAIP: asField(ParseAIP), TagAdditionalProcessing: asField(ParseAdditionalProcessing),
	TagDefaultAction: asField(ParseDefaultAction), TagIssuerAuthIndicator: asField(ParseIssuerAuthIndicator),
	TagExtendedIndicator: asField(ParseExtendedIndicator), TagTerminalCapabilities: asField(ParseTerminalCapabilities),
	TagAdditionalTermCaps: asField(ParseAdditionalTerminalCapabilities), TagUsageControl: asField(ParseUsageControl),
	TagCVMResults: asField(ParseCVMResults),
	TagIACDefault: asField(ParseTVR), TagIACDenial: asField(ParseTVR), TagIACOnline: asField(ParseTVR),
	TagParameterTACDefault: asField(ParseTVR), TagParameterTACOnline: asField(ParseTVR), TagParameterTACDenial: asField(ParseTVR),
}
