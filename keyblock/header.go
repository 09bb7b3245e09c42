package keyblock

import (
	"slices"
	"strings"
)

// Version says how a block is protected: its first character [X9.143].
type Version byte

// The versions.
const (
	VersionB Version = 'B' // triple DES, keys derived by CMAC
	VersionD Version = 'D' // AES, keys derived by CMAC
)

// blockBytes is the cipher's block, to which header and payload are filled up; it is also the length of the code.
func (v Version) blockBytes() int {
	switch v {
	case VersionB:
		return 8
	case VersionD:
		return 16
	}
	return 0
}

// The algorithms of the protected key that this package can check the length of. A header may name others.
const (
	AlgorithmAES  byte = 'A'
	AlgorithmDES  byte = 'D' // single length
	AlgorithmHMAC byte = 'H'
	AlgorithmTDES byte = 'T' // two or three keys
	// AlgorithmSM4 is the project's own: digits are left to agreements between users, and no published list names SM4.
	AlgorithmSM4 byte = '4'
)

// The exportabilities.
const (
	ExportTrusted byte = 'E' // under a key of a kind that binds attributes
	ExportNone    byte = 'N'
	ExportAny     byte = 'S' // also in other forms
)

// modes are the modes of use there are; digits are left to agreements.
const modes = "BCDEGNSTVXY0123456789"

// Optional is an optional block: an identifier of two characters and printable data.
type Optional struct {
	ID   string
	Data string
	long bool // the block had the form for long data
}

// OptionalPadding is the optional block that fills the header up; Wrap adds it, so callers do not.
const OptionalPadding = "PB"

// Header is everything about a key that is not secret, and what the block's code binds to it.
type Header struct {
	Version    Version
	Usage      string // two letters or digits
	Algorithm  byte
	Mode       byte
	KeyVersion string // two letters or digits; "00" says that versions are not used
	Export     byte
	Optional   []Optional
}

// Find gives the data of the first optional block with that identifier.
func (h Header) Find(id string) (data string, found bool) {
	for _, o := range h.Optional {
		if o.ID == id {
			return o.Data, true
		}
	}
	return "", false
}

// same reports whether two headers say the same.
func (h Header) same(o Header) bool {
	return h.Version == o.Version && h.Usage == o.Usage && h.Algorithm == o.Algorithm && h.Mode == o.Mode && h.KeyVersion == o.KeyVersion &&
		h.Export == o.Export && slices.Equal(h.Optional, o.Optional)
}

// Limits of what a block may hold. The largest block the header can announce has 9999 characters.
const (
	headerChars      = 16
	maxBlockChars    = 9999
	maxOptional      = 99
	minOptionalChars = 4
	maxShortChars    = 255
	longPrefixChars  = 10 // identifier, 00, 02 and four digits
	maxLongChars     = 0xFFFF
	// maxKeyBytes bounds the protected key: the longest symmetric key there is a use for has 64 bytes.
	maxKeyBytes = 64
	lengthBytes = 2
)

const hexDigits = "0123456789ABCDEF"

// append writes the header for a block whose payload and code take that many characters. It fills up with a padding block where there are optional blocks
// that do not end where a cipher block does.
func (h Header) append(dst []byte, rest int) ([]byte, error) {
	optional, err := h.appendOptional(nil)
	if err != nil {
		return nil, err
	}
	count := len(h.Optional)
	if odd := len(optional) % h.Version.blockBytes(); odd != 0 {
		fill := h.Version.blockBytes() - odd
		if fill <= minOptionalChars { // never one without data: not everybody takes those
			fill += h.Version.blockBytes()
		}
		optional = appendShort(optional, Optional{ID: OptionalPadding, Data: strings.Repeat("0", fill-minOptionalChars)})
		count++
	}
	total := headerChars + len(optional) + rest
	if total > maxBlockChars || count > maxOptional {
		return nil, refuse(TooLong, headerChars)
	}
	dst = append(dst, byte(h.Version))
	dst = appendDecimal(dst, total, 4)
	dst = append(dst, h.Usage...)
	dst = append(dst, h.Algorithm, h.Mode)
	dst = append(dst, h.KeyVersion...)
	dst = append(dst, h.Export)
	dst = appendDecimal(dst, count, 2)
	dst = append(dst, "00"...)
	return append(dst, optional...), nil
}

func (h Header) appendOptional(dst []byte) ([]byte, error) {
	for _, o := range h.Optional {
		at := headerChars + len(dst)
		if len(o.ID) != 2 || !alphanumeric(o.ID) {
			return nil, refuse(BadOptional, at)
		}
		if !printable(o.Data) {
			return nil, refuse(NotPrintable, at)
		}
		if len(o.Data)+minOptionalChars <= maxShortChars && !o.long {
			dst = appendShort(dst, o)
			continue
		}
		length := longPrefixChars + len(o.Data)
		if length > maxLongChars {
			return nil, refuse(TooLong, at)
		}
		dst = append(append(dst, o.ID...), "0002"...)
		dst = appendHexNumber(dst, length, 4)
		dst = append(dst, o.Data...)
	}
	return dst, nil
}

func appendShort(dst []byte, o Optional) []byte {
	dst = append(dst, o.ID...)
	dst = appendHexNumber(dst, minOptionalChars+len(o.Data), 2)
	return append(dst, o.Data...)
}

func appendDecimal(dst []byte, n, digits int) []byte {
	at := len(dst) + digits
	dst = append(dst, "0000"[:digits]...)
	for ; n > 0; n /= 10 {
		at--
		dst[at] = '0' + byte(n%10)
	}
	return dst
}

func appendHexNumber(dst []byte, n, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&0xF])
	}
	return dst
}

// check says what no block may say.
func (h Header) check() error {
	switch {
	case h.Version == 'A' || h.Version == 'C':
		return refuse(VariantVersion, 0)
	case h.Version.blockBytes() == 0:
		return refuse(UnknownVersion, 0)
	case len(h.Usage) != 2 || !alphanumeric(h.Usage):
		return refuse(BadUsage, 5)
	case !alphanumeric(string(h.Algorithm)):
		return refuse(BadAlgorithm, 7)
	case strings.IndexByte(modes, h.Mode) < 0:
		return refuse(BadMode, 8)
	case len(h.KeyVersion) != 2 || !keyVersion(h.KeyVersion):
		return refuse(BadKeyVersion, 9)
	case h.Export != ExportTrusted && h.Export != ExportNone && h.Export != ExportAny:
		return refuse(BadExport, 11)
	}
	return nil
}

// alphanumeric reports whether s has capital letters and digits only.
func alphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// keyVersion reports whether s can be a version: letters and digits, or a small c before the number of a component.
func keyVersion(s string) bool {
	if s[0] == 'c' {
		return s[1] >= '0' && s[1] <= '9' || s[1] >= 'A' && s[1] <= 'Z'
	}
	return alphanumeric(s)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// keyLengthFits compares a key's length with its algorithm; of an unknown algorithm any length will do.
func keyLengthFits(algorithm byte, n int) bool {
	switch algorithm {
	case AlgorithmDES:
		return n == 8
	case AlgorithmTDES:
		return n == 16 || n == 24
	case AlgorithmAES:
		return n == 16 || n == 24 || n == 32
	case AlgorithmSM4:
		return n == 16
	}
	return n > 0 && n <= maxKeyBytes
}
