package cps

import "fmt"

// Cipher enciphers, or deciphers, the data of a secret grouping: in practice triple DES or SM4 in ECB under a data encryption session key. It gets whole
// blocks and returns as many bytes.
type Cipher func(id DGI, data []byte) ([]byte, error)

// Padding says when 80 and zeros are put behind the data of a secret grouping, so that they are whole blocks. Personalization systems differ.
type Padding byte

// The rules.
const (
	PadWhenNeeded Padding = iota // only data that are not whole blocks: whoever receives knows their length
	PadAlways
	PadNever // data that are not whole blocks are an error
)

// Sealing is how secret groupings are enciphered.
type Sealing struct {
	Cipher     Cipher
	BlockBytes int // 8 or 16
	Padding    Padding
}

const paddingMark = 0x80

func (s Sealing) validBlock() bool { return s.BlockBytes == 8 || s.BlockBytes == 16 }

// Seal enciphers the secret groupings of a list and leaves the others alone. List.Check comes first. The error wraps ErrContent, ErrLimit or what Cipher
// returned.
func (s Sealing) Seal(list List) (List, error) {
	if err := list.Check(); err != nil {
		return nil, fmt.Errorf("seal data groupings: %w", err)
	}
	return s.each(list, func(g Grouping) ([]byte, error) {
		data := g.Reveal()
		short := len(data)%s.BlockBytes != 0
		if s.Padding == PadAlways || s.Padding == PadWhenNeeded && short {
			data = append(data, paddingMark)
			for len(data)%s.BlockBytes != 0 {
				data = append(data, 0)
			}
		}
		if len(data)%s.BlockBytes != 0 {
			return nil, fmt.Errorf("%d bytes without padding: %w", len(data), ErrContent)
		}
		return s.apply(g.id, data)
	})
}

// Open deciphers the secret groupings of a list with the inverse cipher. Padding goes away under PadAlways; under PadWhenNeeded it stays on data whose
// identifier does not give their length. Every grouping is checked as NewGrouping does. The error wraps ErrContent or what Cipher returned.
func (s Sealing) Open(list List) (List, error) {
	opened, err := s.each(list, func(g Grouping) ([]byte, error) {
		if len(g.data) == 0 || len(g.data)%s.BlockBytes != 0 {
			return nil, fmt.Errorf("%d enciphered bytes, want blocks of %d: %w", len(g.data), s.BlockBytes, ErrContent)
		}
		data, err := s.apply(g.id, g.Reveal())
		if err != nil || s.Padding != PadAlways {
			return data, err
		}
		return unpad(data, s.BlockBytes)
	})
	if err != nil {
		return nil, err
	}
	for _, g := range opened {
		if err := g.check(); err != nil {
			return nil, err
		}
	}
	return opened, nil
}

func (s Sealing) apply(id DGI, data []byte) ([]byte, error) {
	out, err := s.Cipher(id, data)
	if err != nil {
		return nil, err
	}
	if len(out) != len(data) {
		return nil, fmt.Errorf("the cipher made %d bytes of %d: %w", len(out), len(data), ErrContent)
	}
	return out, nil
}

func (s Sealing) each(list List, change func(Grouping) ([]byte, error)) (List, error) {
	if s.Cipher == nil || !s.validBlock() {
		return nil, fmt.Errorf("seal data groupings with blocks of %d bytes: %w", s.BlockBytes, ErrContent)
	}
	out := make(List, len(list))
	for i, g := range list {
		out[i] = g
		if !g.id.Secret() {
			continue
		}
		data, err := change(g)
		if err != nil {
			return nil, fmt.Errorf("data grouping %v: %w", g.id, err)
		}
		if len(data) > MaxDataBytes {
			return nil, fmt.Errorf("data grouping %v of %d bytes: %w", g.id, len(data), ErrLimit)
		}
		out[i] = Grouping{id: g.id, data: append([]byte{}, data...)}
	}
	return out, nil
}

// unpad takes 80 and up to a block of zeros away.
func unpad(data []byte, blockBytes int) ([]byte, error) {
	for n := 1; n <= blockBytes && n <= len(data); n++ {
		switch data[len(data)-n] {
		case 0:
		case paddingMark:
			return data[:len(data)-n], nil
		default:
			return nil, fmt.Errorf("no padding: %w", ErrContent)
		}
	}
	return nil, fmt.Errorf("no padding: %w", ErrContent)
}
