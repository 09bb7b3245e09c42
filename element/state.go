package element

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/scp03"
)

// Memory is the element's persistent memory: one value.
type Memory interface {
	// Load returns the value of the last Commit that became durable.
	Load() ([]byte, error)
	// Commit replaces the value in ONE atomic step: after it, or after the power fails during it, Load returns either the old value or the new one. It
	// returns card.ErrTorn when the power was lost. Any other error means that nothing was written.
	Commit(value []byte) error
}

// Volatile is a Memory that lasts as long as the process.
type Volatile struct{ value []byte }

// NewVolatile returns a memory that holds a value.
func NewVolatile(value []byte) *Volatile { return &Volatile{bytes.Clone(value)} }

// Load implements Memory.
func (v *Volatile) Load() ([]byte, error) { return bytes.Clone(v.value), nil }

// Commit implements Memory.
func (v *Volatile) Commit(value []byte) error {
	v.value = bytes.Clone(value)
	return nil
}

// Limits of what an element keeps.
const (
	// MaxInstances is how many applications the engine of package card takes.
	MaxInstances = card.MaxApplications
	// maxStateBytes bounds a stored value: four applications of the longest lists would not fit a real chip either.
	maxStateBytes = 1 << 20
)

// ErrState says that a stored value is not an element's.
var ErrState = errors.New("element: stored state is malformed")

const stateVersion = 1

// state is everything durable. Its slices are never changed in place.
type state struct {
	domain   emv.AID
	serial   scp03.Diversification
	life     Life
	keys     scp03.Keys
	version  byte // of the keys
	option   scp03.Option
	sequence uint32
	// instances stand in the order of selection; those that were personalized are the chip's applications, in that order.
	instances []instance
	chip      card.State
}

type instance struct {
	aid    emv.AID
	module emv.AID
	life   ApplicationLife
	list   cps.List // in clear; empty before personalization
}

// personalized reports whether the instance is an application of the chip.
func (i *instance) personalized() bool { return i.life&^lockBit == Personalized }

// find gives the index of an instance, -1 when there is none.
func (s *state) find(aid emv.AID) int {
	for i := range s.instances {
		if s.instances[i].aid == aid {
			return i
		}
	}
	return -1
}

// slot is the index of an instance among the chip's applications.
func (s *state) slot(at int) (slot int) {
	for i := range s.instances[:at] {
		if s.instances[i].personalized() {
			slot++
		}
	}
	return slot
}

// with gives a copy whose instances may be changed.
func (s *state) with() state {
	next := *s
	next.instances = append([]instance(nil), s.instances...)
	return next
}

// arrange gives the chip's state for other instances: each application keeps what it has, a new one starts as fresh says.
func arrange(before, after *state, fresh map[emv.AID]card.ApplicationState) card.State {
	next := card.State{Blocked: before.chip.Blocked, NoContactless: before.chip.NoContactless}
	moved := make(map[byte]byte)
	to := byte(0)
	for i := range after.instances {
		in := &after.instances[i]
		if !in.personalized() {
			continue
		}
		if start, ok := fresh[in.aid]; ok {
			next.Applications[to] = start
		} else {
			from := before.slot(before.find(in.aid))
			next.Applications[to] = before.chip.Applications[from]
			moved[byte(from)] = to
		}
		next.Applications[to].Disabled = in.life.IsLocked()
		to++
	}
	updated, extended := 0, 0
	for _, r := range before.chip.Updated {
		if slot, ok := moved[r.Application]; ok && r.Length > 0 {
			r.Application = slot
			next.Updated[updated] = r
			updated++
		}
	}
	for _, r := range before.chip.Extended {
		if slot, ok := moved[r.Application]; ok && r.Length > 0 {
			r.Application = slot
			next.Extended[extended] = r
			extended++
		}
	}
	return next
}

// The stored form: a version, the length of the first part, the first part, which changes with management only, and the chip's state.
type stateFile struct {
	Domain, Serial []byte
	Life           Life
	KeyVersion     byte
	Option         byte
	ENC, MAC, DEK  []byte
	Sequence       uint32
	Instances      []instanceFile
}

type instanceFile struct {
	AID, Module []byte
	Life        ApplicationLife
	List        []byte
}

func (s *state) encode() ([]byte, error) {
	f := stateFile{Domain: s.domain.Bytes(), Serial: s.serial[:], Life: s.life, KeyVersion: s.version, Option: byte(s.option), Sequence: s.sequence}
	f.ENC, f.MAC, f.DEK = s.keys.Reveal()
	for i := range s.instances {
		in := &s.instances[i]
		f.Instances = append(f.Instances, instanceFile{in.aid.Bytes(), in.module.Bytes(), in.life, in.list.Bytes()})
	}
	head, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode element: %w", err)
	}
	chip, err := s.chip.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode element: %w", err)
	}
	b := binary.BigEndian.AppendUint32([]byte{stateVersion}, uint32(len(head)))
	b = append(append(b, head...), chip...)
	if len(b) > maxStateBytes {
		return nil, fmt.Errorf("encode element: %w: %d bytes", ErrState, len(b))
	}
	return b, nil
}

func decode(b []byte) (s state, err error) {
	const header = 5
	if len(b) < header || len(b) > maxStateBytes || b[0] != stateVersion {
		return s, fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	n := binary.BigEndian.Uint32(b[1:])
	if uint64(n) > uint64(len(b)-header) {
		return s, fmt.Errorf("%w: a part of %d bytes", ErrState, n)
	}
	var f stateFile
	if json.Unmarshal(b[header:header+n], &f) != nil || len(f.Serial) != len(s.serial) || len(f.Instances) > MaxInstances || f.Sequence > scp03.MaxSequence {
		return s, ErrState
	}
	if err := s.chip.UnmarshalBinary(b[header+n:]); err != nil {
		return s, fmt.Errorf("%w: %w", ErrState, err)
	}
	copy(s.serial[:], f.Serial)
	s.life, s.version, s.sequence = f.Life, f.KeyVersion, f.Sequence
	if _, known := steps[s.life]; !known {
		return s, fmt.Errorf("%w: life %02X", ErrState, byte(s.life))
	}
	if s.domain, err = emv.ParseAID(f.Domain); err != nil {
		return s, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.option, err = scp03.ParseOption(f.Option); err != nil {
		return s, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.keys, err = scp03.NewKeys(f.ENC, f.MAC, f.DEK); err != nil {
		return s, fmt.Errorf("%w: %w", ErrState, err)
	}
	for _, in := range f.Instances {
		one, err := in.instance()
		if err != nil || s.find(one.aid) >= 0 {
			return s, fmt.Errorf("%w: application", ErrState)
		}
		s.instances = append(s.instances, one)
	}
	return s, nil
}

func (f *instanceFile) instance() (in instance, err error) {
	if in.aid, err = emv.ParseAID(f.AID); err != nil {
		return in, err
	}
	if in.module, err = emv.ParseAID(f.Module); err != nil {
		return in, err
	}
	if _, known := applicationSteps[f.Life]; !known {
		return in, ErrState
	}
	in.life = f.Life
	if in.list, err = cps.Parse(f.List); err != nil {
		return in, err
	}
	if in.personalized() != (len(in.list) > 0) {
		return in, ErrState
	}
	return in, nil
}

// image is the chip that the personalized instances make, and its keys; nil when there is none. The place in the order is the priority.
func (s *state) image() (*card.Image, card.Crypto, error) {
	image := &card.Image{Interfaces: card.Contactless, NoPSE: true, State: s.chip}
	var ring card.Keyring
	for i := range s.instances {
		in := &s.instances[i]
		if !in.personalized() {
			continue
		}
		chip, err := imprint.Read(in.aid, in.list)
		if err != nil {
			return nil, nil, err
		}
		chip.Application.Priority = byte(len(ring) + 1)
		image.Applications = append(image.Applications, chip.Application)
		ring = append(ring, chip.Keys.Crypto())
	}
	switch len(ring) {
	case 0:
		return nil, nil, nil
	case 1:
		return image, ring[0], nil
	}
	return image, ring, nil
}
