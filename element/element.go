package element

import (
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/scp03"
)

// Names that an element has from the beginning. Those of package and module begin with F: they are registered by nobody, and this project's own.
const (
	Domain  emv.AID = "\xA0\x00\x00\x01\x51\x00\x00\x00" // the issuer security domain
	Package emv.AID = "\xF0TAPNET\x01"
	Module  emv.AID = "\xF0TAPNET\x01\x01" // payment application
)

// Blank is an element as it leaves the factory.
type Blank struct {
	Serial  scp03.Diversification // what it says of itself in INITIALIZE UPDATE
	Keys    scp03.Keys
	Version byte // of the keys, 1 to 7F
	Option  scp03.Option
	Life    Life // 0: Secured
}

// Bytes is the value that a Memory starts with. It holds keys.
func (b Blank) Bytes() ([]byte, error) {
	if b.Life == 0 {
		b.Life = Secured
	}
	if _, known := steps[b.Life]; !known || b.Keys.IsZero() || b.Version == 0 || b.Version > maxKeyVersion {
		return nil, fmt.Errorf("%w: blank element", ErrState)
	}
	if _, err := scp03.ParseOption(byte(b.Option)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	s := state{domain: Domain, serial: b.Serial, life: b.Life, keys: b.Keys, version: b.Version, option: b.Option}
	return s.encode()
}

const maxKeyVersion = 0x7F

// Element runs one secure element. It is not safe for concurrent use.
type Element struct {
	memory Memory
	random io.Reader
	state  state
	chip   *card.Card // nil: no application is personalized
	stale  bool       // the power failed during a write: only the memory knows

	// RAM: lost with the power.
	powered card.Interface
	session session
}

// New starts an element from its memory. random gives challenges and the card random number of dynamic signatures.
func New(memory Memory, random io.Reader) (*Element, error) {
	if memory == nil || random == nil {
		return nil, errors.New("element: memory and random numbers are needed")
	}
	e := &Element{memory: memory, random: random}
	if err := e.load(); err != nil {
		return nil, err
	}
	return e, nil
}

// load takes what the memory holds.
func (e *Element) load() error {
	b, err := e.memory.Load()
	if err != nil {
		return fmt.Errorf("element: load: %w", err)
	}
	s, err := decode(b)
	if err != nil {
		return err
	}
	chip, settle, err := e.build(&s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	e.state, e.chip, e.stale = s, chip, false
	settle()
	return nil
}

// store is the chip's part of the memory. Until the change that made the chip is durable, it shows what will be.
type store struct {
	element *Element
	ahead   *card.State
}

// Load implements card.Memory.
func (m *store) Load() (card.State, error) {
	if m.ahead != nil {
		return *m.ahead, nil
	}
	return m.element.state.chip, nil
}

// Commit implements card.Memory.
func (m *store) Commit(s *card.State) error {
	next := m.element.state
	next.chip = *s
	return m.element.commit(&next)
}

// build makes the chip of a state that may not be durable yet. Call settle once it is.
func (e *Element) build(s *state) (chip *card.Card, settle func(), err error) {
	image, crypto, err := s.image()
	if err != nil || image == nil {
		return nil, func() {}, err
	}
	m := &store{element: e, ahead: &s.chip}
	if chip, err = card.New(image, crypto, m, e.random); err != nil {
		return nil, nil, err
	}
	return chip, func() { m.ahead = nil }, nil
}

// commit makes a state durable. It returns card.ErrTorn, or an error of the memory that wrote nothing.
func (e *Element) commit(next *state) error {
	b, err := next.encode()
	if err != nil {
		return err
	}
	if err := e.memory.Commit(b); err != nil {
		e.stale = e.stale || errors.Is(err, card.ErrTorn)
		return err
	}
	e.state = *next
	return nil
}

// PowerOn wakes the element on one side: Contact is the host's, Contactless the field. What is in RAM is gone; the state is what the memory holds.
// When that cannot be read the element stays silent: false, and Process answers card.ErrTorn.
func (e *Element) PowerOn(side card.Interface) bool {
	e.PowerOff()
	if side != card.Contact && side != card.Contactless || e.stale && e.load() != nil {
		return false
	}
	e.powered = side
	if side == card.Contactless && e.chip != nil {
		e.chip.PowerOn(card.Contactless)
	}
	return true
}

// PowerOff takes the power away.
func (e *Element) PowerOff() {
	e.powered, e.session = 0, session{}
	if e.chip != nil {
		e.chip.PowerOff()
	}
}

// Process answers one command. err is only ever card.ErrTorn: the element has no power, or lost it now.
func (e *Element) Process(command []byte) ([]byte, error) {
	switch e.powered {
	case card.Contactless:
		return e.tap(command)
	case card.Contact:
		r, err := e.manage(command)
		if err != nil {
			e.PowerOff()
			return nil, card.ErrTorn
		}
		return r.Bytes(), nil
	}
	return nil, card.ErrTorn
}

// tap answers in the field. An element that is not in use has no applications there.
func (e *Element) tap(command []byte) ([]byte, error) {
	if e.chip != nil && e.state.life == Secured {
		answer, err := e.chip.Process(command)
		if err != nil {
			e.PowerOff()
		}
		return answer, err
	}
	c, err := apdu.ParseCommand(command)
	switch {
	case err != nil:
		return refuse(apdu.WrongLength).Bytes(), nil
	case c.CLA != apdu.ClaInterindustry || c.INS != apdu.InsSelect:
		return refuse(apdu.ConditionsNotSatisfied).Bytes(), nil
	case e.state.life == Locked || e.state.life == Terminated:
		return refuse(apdu.FunctionNotSupported).Bytes(), nil
	}
	return refuse(apdu.FileNotFound).Bytes(), nil
}

func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }

// Serial is what the element says of itself in INITIALIZE UPDATE.
func (e *Element) Serial() scp03.Diversification { return e.state.serial }

// Life is the element's state.
func (e *Element) Life() Life { return e.state.life }

// Standing is what an application looks like from outside.
type Standing struct {
	AID  emv.AID
	Life ApplicationLife
}

// Applications are the instances in the order of selection.
func (e *Element) Applications() (all []Standing) {
	for i := range e.state.instances {
		all = append(all, Standing{e.state.instances[i].aid, e.state.instances[i].life})
	}
	return all
}

// String names the element, never what is in it.
func (e *Element) String() string {
	return fmt.Sprintf("secure element with %d applications, %s", len(e.state.instances), e.state.life.Term().EN)
}

// Format prints String for every verb: inside are keys.
func (e *Element) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }
