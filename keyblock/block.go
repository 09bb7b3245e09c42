package keyblock

import (
	"fmt"
	"io"
)

// Block is a key block whose form is sound. Whether it is authentic only Unwrap can tell.
type Block struct {
	header  Header
	text    string // of the header, which the code covers
	payload []byte // enciphered
	code    []byte
}

// Header is what the block says of its key.
func (b Block) Header() Header { return b.header }

// Append writes the block's characters; after Parse they are the ones read.
func (b Block) Append(dst []byte) []byte {
	return appendHex(appendHex(append(dst, b.text...), b.payload), b.code)
}

// String is the block: it is enciphered and may be shown.
func (b Block) String() string { return string(b.Append(nil)) }

// Format prints the block under every verb.
func (b Block) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.String()) }

// Parse reads a block without a key: its attributes can be looked at before anybody is asked for the protection key.
func Parse(text string) (Block, error) {
	if len(text) > maxBlockChars {
		return Block{}, refuse(TooLong, maxBlockChars)
	}
	if len(text) < headerChars {
		return Block{}, refuse(TooShort, len(text))
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return Block{}, refuse(NotPrintable, i)
		}
	}
	h := Header{Version: Version(text[0]), Usage: text[5:7], Algorithm: text[7], Mode: text[8], KeyVersion: text[9:11], Export: text[11]}
	if err := h.check(); err != nil {
		return Block{}, err
	}
	if total, ok := decimal(text[1:5]); !ok || total != len(text) {
		return Block{}, refuse(WrongLength, 1)
	}
	count, ok := decimal(text[12:14])
	if !ok {
		return Block{}, refuse(BadCount, 12)
	}
	if text[14:16] != "00" {
		return Block{}, refuse(BadReserved, 14)
	}
	at := headerChars
	for range count {
		o, length, err := parseOptional(text, at)
		if err != nil {
			return Block{}, err
		}
		h.Optional = append(h.Optional, o)
		at += length
	}
	return parseRest(h, text, at)
}

// parseRest reads payload and code, which begin at that offset.
func parseRest(h Header, text string, at int) (Block, error) {
	size := h.Version.blockBytes()
	if at%size != 0 {
		return Block{}, refuse(BadAlignment, at)
	}
	rest := text[at:]
	// At least one cipher block of payload, then the code; two characters are a byte.
	if len(rest) < 4*size {
		return Block{}, refuse(TooShort, len(text))
	}
	if len(rest)%(2*size) != 0 {
		return Block{}, refuse(BadAlignment, len(text))
	}
	raw := make([]byte, len(rest)/2)
	for i := range raw {
		high, low := nibble(rest[2*i]), nibble(rest[2*i+1])
		if high < 0 || low < 0 {
			return Block{}, refuse(BadHex, at+2*i)
		}
		raw[i] = byte(high<<4 | low)
	}
	end := len(raw) - size
	// A key, its length and as much padding as hides it: more is no key block of ours or anybody's.
	if end > lengthBytes+2*maxKeyBytes+size {
		return Block{}, refuse(TooLong, at)
	}
	return Block{header: h, text: text[:at], payload: raw[:end:end], code: raw[end:]}, nil
}

// parseOptional reads one optional block and gives its length.
func parseOptional(text string, at int) (Optional, int, error) {
	rest := text[at:]
	if len(rest) < minOptionalChars {
		return Optional{}, 0, refuse(TooShort, len(text))
	}
	o := Optional{ID: rest[:2]}
	length, ok := hexNumber(rest[2:4])
	if !ok || !alphanumeric(o.ID) {
		return Optional{}, 0, refuse(BadOptional, at)
	}
	begin := minOptionalChars
	if length == 0 {
		// Long data: how many bytes the length takes, then the length. Two are all a block has room for.
		if len(rest) < longPrefixChars {
			return Optional{}, 0, refuse(TooShort, len(text))
		}
		length, ok = hexNumber(rest[6:longPrefixChars])
		if !ok || rest[4:6] != "02" {
			return Optional{}, 0, refuse(BadOptional, at)
		}
		begin, o.long = longPrefixChars, true
	}
	if length < begin {
		return Optional{}, 0, refuse(BadOptional, at)
	}
	if length > len(rest) {
		return Optional{}, 0, refuse(TooShort, len(text))
	}
	o.Data = rest[begin:length]
	return o, length, nil
}

func decimal(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}

func hexNumber(s string) (n int, ok bool) {
	for i := range len(s) {
		digit := nibble(s[i])
		if digit < 0 {
			return 0, false
		}
		n = n<<4 | digit
	}
	return n, true
}

// nibble is the value of a hexadecimal digit, below zero when there is none. Small letters are not in the standard's alphabet.
func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func appendHex(dst, b []byte) []byte {
	for _, v := range b {
		dst = append(dst, hexDigits[v>>4], hexDigits[v&0xF])
	}
	return dst
}
