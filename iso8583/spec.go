package iso8583

import (
	"errors"
	"fmt"
)

// MaxField is the last field of the secondary bitmap.
const MaxField = 128

// Kind is the set of characters of a field.
type Kind uint8

// The kinds of [ISO 8583:1987 4.3].
const (
	// Digits is "n": 0 to 9.
	Digits Kind = iota + 1
	// AlphaNumeric is "an": letters, digits and blank.
	AlphaNumeric
	// Printable is "ans": ASCII 20 to 7E.
	Printable
	// Track is "z": digits and the separator, '=' or 'D' in ASCII, D packed.
	Track
	// Bytes is "b": any bytes.
	Bytes
)

// Encoding is how the characters are written.
type Encoding uint8

const (
	// ASCII writes one character per byte.
	ASCII Encoding = iota + 1
	// BCD writes two digits per byte; for Digits and Track only.
	BCD
	// Binary writes the bytes themselves; for Bytes only.
	Binary
)

// Length is how long a field is and how many digits tell so.
type Length uint8

const (
	// Fixed has no length on the wire.
	Fixed Length = iota + 1
	// LL has two digits.
	LL
	// LLL has three digits.
	LLL
)

// Padding says where the zero stands that fills an odd number of packed digits up to whole bytes.
type Padding uint8

const (
	// PadRight puts it behind the digits: fields 2, 22, 35 [REF 6.1].
	PadRight Padding = iota
	// PadLeft puts it before the digits: field 23 [REF 6.1].
	PadLeft
)

// FieldSpec describes one field.
type FieldSpec struct {
	Number   int
	Kind     Kind
	Encoding Encoding
	Length   Length
	Padding  Padding
	// Min and Max count characters (bytes for Bytes). A Fixed field has Max characters; Min is 1 unless given.
	Min, Max int
}

// SpecConfig describes a dialect.
type SpecConfig struct {
	Name string
	// Numbers is how the message type indicator and the lengths are written: ASCII, or BCD (a length of LL is one
	// byte, of LLL two).
	Numbers Encoding
	Fields  []FieldSpec
}

// Spec is a checked, immutable dialect. Make one with NewSpec.
type Spec struct {
	name    string
	numbers Encoding
	fields  [MaxField + 1]field
}

// field is a FieldSpec made ready for the hot path; max 0 means not defined.
type field struct {
	allowed  uint8 // bit of charClass; 0 = anything
	packed   bool
	padLeft  bool
	prefix   uint8 // digits of the length: 0, 2, 3
	min, max uint16
	spec     *FieldSpec
}

// NewSpec checks the table: numbers 2..128 without 65, each once, with kinds, encodings and lengths that fit.
func NewSpec(config SpecConfig) (*Spec, error) {
	if config.Numbers != ASCII && config.Numbers != BCD {
		return nil, errors.New("spec " + config.Name + ": Numbers must be ASCII or BCD")
	}
	s := &Spec{name: config.Name, numbers: config.Numbers}
	for i := range config.Fields {
		f := config.Fields[i] // a copy: the caller's table may change
		if f.Number < 2 || f.Number > MaxField || f.Number == 65 {
			return nil, fmt.Errorf("spec %s: field %d cannot be defined", config.Name, f.Number)
		}
		if s.fields[f.Number].max != 0 {
			return nil, fmt.Errorf("spec %s: field %d defined twice", config.Name, f.Number)
		}
		if err := checkField(&f); err != nil {
			return nil, fmt.Errorf("spec %s: field %d: %w", config.Name, f.Number, err)
		}
		s.fields[f.Number] = prepare(&f)
	}
	return s, nil
}

func checkField(f *FieldSpec) error {
	switch {
	case f.Kind < Digits || f.Kind > Bytes:
		return errors.New("no kind")
	case f.Encoding < ASCII || f.Encoding > Binary:
		return errors.New("no encoding")
	case (f.Kind == Bytes) != (f.Encoding == Binary):
		return errors.New("bytes are written in binary and nothing else is")
	case f.Encoding == BCD && f.Kind != Digits && f.Kind != Track:
		return errors.New("only digits can be packed")
	case f.Padding > PadLeft:
		return errors.New("unknown padding")
	case f.Padding == PadLeft && (f.Encoding != BCD || f.Length != Fixed):
		return errors.New("left padding is for packed fixed fields")
	}
	limit := 0
	switch f.Length {
	case Fixed, LLL:
		limit = 999
	case LL:
		limit = 99
	default:
		return errors.New("no length")
	}
	if f.Length == Fixed {
		f.Min = f.Max
	} else if f.Min == 0 {
		f.Min = 1
	}
	if f.Max < 1 || f.Max > limit || f.Min < 1 || f.Min > f.Max {
		return errors.New("lengths do not fit")
	}
	return nil
}

func prepare(f *FieldSpec) field {
	p := field{min: uint16(f.Min), max: uint16(f.Max), spec: f}
	p.packed = f.Encoding == BCD
	p.padLeft = f.Padding == PadLeft
	switch f.Length {
	case LL:
		p.prefix = 2
	case LLL:
		p.prefix = 3
	}
	switch f.Kind {
	case Digits:
		p.allowed = classDigit
	case AlphaNumeric:
		p.allowed = classAlphaNumeric
	case Printable:
		p.allowed = classPrintable
	case Track:
		p.allowed = classTrack
	}
	return p
}

// Name is the dialect's name.
func (s *Spec) Name() string { return s.name }

// Numbers is how type indicator and lengths are written.
func (s *Spec) Numbers() Encoding { return s.numbers }

// Field describes field n; false when the dialect has none.
func (s *Spec) Field(n int) (FieldSpec, bool) {
	if n < 2 || n > MaxField || s.fields[n].max == 0 {
		return FieldSpec{}, false
	}
	return *s.fields[n].spec, true
}

// Classes of ASCII characters, one bit each.
const (
	classDigit uint8 = 1 << iota
	classAlphaNumeric
	classPrintable
	classTrack
)

// charClass gives the classes of every byte.
var charClass = func() (table [256]uint8) {
	for c := 0x20; c <= 0x7E; c++ {
		table[c] |= classPrintable
	}
	for c := '0'; c <= '9'; c++ {
		table[c] |= classDigit | classAlphaNumeric | classTrack
	}
	for c := 'A'; c <= 'Z'; c++ {
		table[c] |= classAlphaNumeric
		table[c+'a'-'A'] |= classAlphaNumeric
	}
	table[' '] |= classAlphaNumeric
	table['='] |= classTrack
	table['D'] |= classTrack
	return table
}()

// packedClass says which packed pairs are two digits (classDigit) or digits and separators (classTrack).
var packedClass = func() (table [256]uint8) {
	class := func(nibble int) uint8 {
		switch {
		case nibble <= 9:
			return classDigit | classTrack
		case nibble == 0xD:
			return classTrack
		}
		return 0
	}
	for b := range table {
		table[b] = class(b>>4) & class(b&15)
	}
	return table
}()
