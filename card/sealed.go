package card

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Vault keeps what nobody may read where a state is stored, enciphered and authentic.
type Vault interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Sealed encodes states for storage with their secrets in a Vault: the PINs, and the keys of merchants' records. Everything else stands
// in the clear: balances and counters are for the books. It remembers what it sealed last, because a payment changes no secret. It serves
// one card, and is not safe for concurrent use.
type Sealed struct {
	vault         Vault
	plain, sealed []byte
}

// NewSealed makes one.
func NewSealed(v Vault) *Sealed { return &Sealed{vault: v} }

// sealedVersion leads the encoding, then two bytes of length, the sealed secrets, and a state without them. States without secrets apart
// are read too, so that older stores stay readable; what is written has them sealed.
const sealedVersion = 0x83

const maxSealedBytes = 4096 // the secrets are some two hundred bytes; the rest is the vault's

const secretBytes = MaxApplications*len(StoredPIN{}) + MaxExtendedRecords*len(RecordKey{})

// secrets calls visit with each secret of a state, in order.
func (s *State) secrets(visit func([]byte)) {
	for i := range s.Applications {
		visit(s.Applications[i].PIN[:])
	}
	for i := range s.Extended {
		visit(s.Extended[i].Key[:])
	}
}

// Encode writes a state.
func (e *Sealed) Encode(s *State) ([]byte, error) {
	open, plain := *s, make([]byte, 0, secretBytes)
	open.secrets(func(b []byte) {
		plain = append(plain, b...)
		clear(b)
	})
	if e.sealed == nil || !bytes.Equal(plain, e.plain) {
		sealed, err := e.vault.Seal(plain)
		if err != nil {
			return nil, fmt.Errorf("encode card state: %w", err)
		}
		if len(sealed) > maxSealedBytes {
			return nil, fmt.Errorf("encode card state: %w: sealed secrets of %d bytes", errState, len(sealed))
		}
		e.plain, e.sealed = plain, sealed
	}
	head := binary.BigEndian.AppendUint16([]byte{sealedVersion}, uint16(len(e.sealed)))
	body, err := open.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(append(head, e.sealed...), body...), nil
}

// Decode reads a state with its secrets.
func (e *Sealed) Decode(b []byte) (State, error) {
	sealed, s, err := splitSealed(b)
	if err != nil || sealed == nil {
		return s, err
	}
	plain, err := e.vault.Open(sealed)
	if err != nil {
		return State{}, fmt.Errorf("decode card state: %w", err)
	}
	if len(plain) != secretBytes {
		return State{}, fmt.Errorf("decode card state: %w: %d bytes of secrets", errState, len(plain))
	}
	e.plain, e.sealed = bytes.Clone(plain), bytes.Clone(sealed)
	s.secrets(func(into []byte) { plain = plain[copy(into, plain):] })
	if err := s.check(); err != nil {
		return State{}, fmt.Errorf("decode card state: %w", err)
	}
	return s, nil
}

// DecodeOpen reads a state without its secrets, for who has no business with them: PINs and keys are zeros.
func DecodeOpen(b []byte) (State, error) {
	_, s, err := splitSealed(b)
	s.secrets(func(b []byte) { clear(b) })
	return s, err
}

// splitSealed takes the encoding apart; sealed is nil when the secrets stand in the state.
func splitSealed(b []byte) (sealed []byte, s State, err error) {
	const head = 3
	if len(b) == 0 || b[0] != sealedVersion {
		return nil, s, s.UnmarshalBinary(b)
	}
	if len(b) < head {
		return nil, s, fmt.Errorf("decode card state: %w: %d bytes", errState, len(b))
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n == 0 || n > maxSealedBytes || len(b) < head+n {
		return nil, s, fmt.Errorf("decode card state: %w: sealed secrets of %d bytes", errState, n)
	}
	return b[head : head+n], s, s.UnmarshalBinary(b[head+n:])
}
