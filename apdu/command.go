package apdu

import (
	"fmt"

	"tapnet/tlv"
)

// Limits of short APDUs. [ISO 7816-4 5.1]
const (
	// MaxDataBytes is the longest command data field: Lc is one byte and never 0.
	MaxDataBytes = 255
	// MaxLe is the longest answer a command may ask for; it is written as 00.
	MaxLe = 256
	// NoLe says that a command asks for no data.
	NoLe = -1

	headerBytes     = 4
	maxCommandBytes = headerBytes + 1 + MaxDataBytes + 1
)

// Command is a command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte // at most MaxDataBytes; empty means no Lc
	Le               int    // NoLe, or 1 to MaxLe. 0 is taken for NoLe, so that a forgotten Le asks for nothing.
}

// ParseCommand reads a short command APDU of case 1 to 4. Extended length and Lc 00 are refused. Data aliases b.
// The error wraps ErrFormat.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < headerBytes || len(b) > maxCommandBytes {
		return Command{}, fmt.Errorf("parse command APDU of %d bytes, want %d to %d: %w", len(b), headerBytes, maxCommandBytes, ErrFormat)
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3], Le: NoLe}
	body := b[headerBytes:]
	switch len(body) {
	case 0: // case 1
		return c, nil
	case 1: // case 2
		c.Le = leFrom(body[0])
		return c, nil
	}
	lc := int(body[0])
	if lc == 0 {
		return Command{}, fmt.Errorf("parse command APDU: Lc 00 or extended length: %w", ErrFormat)
	}
	switch len(body) - 1 {
	case lc: // case 3
	case lc + 1: // case 4
		c.Le = leFrom(body[1+lc])
	default:
		return Command{}, fmt.Errorf("parse command APDU: Lc %d with %d bytes behind it: %w", lc, len(body)-1, ErrFormat)
	}
	c.Data = body[1 : 1+lc : 1+lc]
	return c, nil
}

func leFrom(b byte) int {
	if b == 0 {
		return MaxLe
	}
	return int(b)
}

// Check reports whether the command can be written. A caller whose data come from a card or a host calls it before
// Bytes. The error wraps ErrFormat.
func (c Command) Check() error {
	if len(c.Data) > MaxDataBytes {
		return fmt.Errorf("command %02X%02X with %d data bytes, want at most %d: %w", c.CLA, c.INS, len(c.Data), MaxDataBytes, ErrFormat)
	}
	if c.Le < NoLe || c.Le > MaxLe {
		return fmt.Errorf("command %02X%02X with Le %d: %w", c.CLA, c.INS, c.Le, ErrFormat)
	}
	return nil
}

// AppendTo appends the command as sent. It panics when Check would refuse the command.
func (c Command) AppendTo(dst []byte) []byte {
	if err := c.Check(); err != nil {
		panic("apdu: " + err.Error())
	}
	dst = append(dst, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) > 0 {
		dst = append(dst, byte(len(c.Data)))
		dst = append(dst, c.Data...)
	}
	if c.Le > 0 {
		dst = append(dst, byte(c.Le)) // 256 becomes 00
	}
	return dst
}

// Bytes returns the command as sent. It panics when Check would refuse the command.
func (c Command) Bytes() []byte {
	return c.AppendTo(make([]byte, 0, headerBytes+1+len(c.Data)+1))
}

// String names the command and its header, never its data, which may hold a PIN block or an account number.
func (c Command) String() string {
	return fmt.Sprintf("%s %02X%02X%02X%02X data %d", InstructionName(c.INS).EN, c.CLA, c.INS, c.P1, c.P2, len(c.Data))
}

// GoString keeps the data out of %#v as well.
func (c Command) GoString() string { return "apdu.Command{" + c.String() + "}" }

// Select selects an application or directory by name, first or only occurrence. [EMV B1 11.3]
func Select(name []byte) Command {
	return Command{CLA: ClaInterindustry, INS: InsSelect, P1: selectByName, P2: selectFirst, Data: name, Le: MaxLe}
}

// SelectNext selects the next application with the partial name. [EMV B1 11.3]
func SelectNext(name []byte) Command {
	c := Select(name)
	c.P2 = selectNext
	return c
}

// GPO is GET PROCESSING OPTIONS: it puts template 83 around the PDOL data. The data must leave room for the
// template, MaxPDOLBytes. [EMV B3 6.5.8]
func GPO(pdolData []byte) Command {
	return Command{CLA: ClaProprietary, INS: InsGPO, Data: tlv.Wrap(commandTemplate, pdolData), Le: MaxLe}
}

// ReadRecord reads record rec of the file with short identifier sfi, 1 to 30. [EMV B3 6.5.11]
func ReadRecord(sfi, rec byte) Command {
	return Command{CLA: ClaInterindustry, INS: InsReadRecord, P1: rec, P2: SFIReference(sfi), Le: MaxLe}
}

// GetData asks for one data object with a tag of at most two bytes. [EMV B3 6.5.7]
func GetData(tag tlv.Tag) Command {
	return Command{CLA: ClaProprietary, INS: InsGetData, P1: byte(tag >> 8), P2: byte(tag), Le: MaxLe}
}

// GenerateAC asks for a cryptogram: reference is 00, 40 or 80, plus 10 for CDA; data follow the CDOL. [EMV B3 6.5.5]
func GenerateAC(reference byte, data []byte) Command {
	return Command{CLA: ClaProprietary, INS: InsGenerateAC, P1: reference, Data: data, Le: MaxLe}
}

// InternalAuthenticate asks for dynamic data authentication over the DDOL data. [EMV B3 6.5.9]
func InternalAuthenticate(ddolData []byte) Command {
	return Command{CLA: ClaInterindustry, INS: InsInternalAuthenticate, Data: ddolData, Le: MaxLe}
}

// ExternalAuthenticate hands the card the issuer authentication data, tag 91. [EMV B3 6.5.4]
func ExternalAuthenticate(data []byte) Command {
	return Command{CLA: ClaInterindustry, INS: InsExternalAuthenticate, Data: data, Le: NoLe}
}

// GetChallenge asks for eight random bytes. [EMV B3 6.5.6]
func GetChallenge() Command {
	const challengeBytes = 8
	return Command{CLA: ClaInterindustry, INS: InsGetChallenge, Le: challengeBytes}
}

// Verify presents a PIN block: VerifyPlaintext or VerifyEnciphered says which kind. [EMV B3 6.5.12]
func Verify(qualifier byte, block []byte) Command {
	return Command{CLA: ClaInterindustry, INS: InsVerify, P2: qualifier, Data: block, Le: NoLe}
}

// GetResponse fetches n bytes that SW 61xx announced, 1 to 256. Contact cards with T=0 only. [EMV B1 9.3]
func GetResponse(n int) Command {
	return Command{CLA: ClaInterindustry, INS: InsGetResponse, Le: n}
}

// SFIReference returns P2 of a record command: the short file identifier in the high five bits, then 4 for
// "P1 is a record number". [ISO 7816-4 7.3]
func SFIReference(sfi byte) byte { return sfi<<3 | recordNumberInP1 }
