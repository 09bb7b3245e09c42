package element

import (
	"errors"
	"io"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/scp03"
	"tapnet/tlv"
)

// Instructions of the card specification.
const (
	insInstall   = 0xE6
	insStoreData = cps.InsStoreData
	insDelete    = 0xE4
	insSetStatus = 0xF0
	insGetStatus = 0xF2
)

// session is what the domain remembers between commands.
type session struct {
	greeted  bool // INITIALIZE UPDATE was answered
	host     scp03.Challenge
	greeting scp03.Greeting
	keys     scp03.Session
	state    scp03.State

	target   emv.AID // being personalized; empty: none
	receiver cps.Receiver
	received cps.List
}

// handler is one command of the domain under a session.
type handler struct {
	instruction byte
	run         func(*Element, apdu.Command) (apdu.Response, error)
}

var handlers = [...]handler{
	{insInstall, (*Element).install}, {insStoreData, (*Element).storeData}, {insDelete, (*Element).remove}, {insSetStatus, (*Element).setStatus},
	{insGetStatus, (*Element).getStatus}, {apdu.InsGetData, (*Element).getData},
}

// manage answers on the host's side. The order of refusals: form, what needs no session, session, instruction.
func (e *Element) manage(command []byte) (apdu.Response, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return refuse(apdu.WrongLength), nil
	}
	const secure = apdu.ClaProprietaryMAC
	switch {
	case c.CLA == apdu.ClaInterindustry && c.INS == apdu.InsSelect:
		return e.selectDomain(c), nil
	case c.CLA != apdu.ClaProprietary && c.CLA != secure:
		return refuse(apdu.ClassNotSupported), nil
	case c.CLA == apdu.ClaProprietary && c.INS == scp03.InsInitializeUpdate:
		return e.initialize(c)
	case c.CLA == secure && c.INS == apdu.InsExternalAuthenticate:
		return e.authenticate(c), nil
	case e.session.state.Open:
		return e.secured(c)
	case c.CLA == apdu.ClaProprietary && c.INS == apdu.InsGetData:
		return e.getData(c)
	}
	for _, h := range handlers {
		if h.instruction == c.INS {
			return refuse(apdu.SecurityStatusNotSatisfied), nil
		}
	}
	return refuse(apdu.InstructionNotSupported), nil
}

// secured answers a command of an open session. A command without its protection, or with a wrong one, ends the session.
func (e *Element) secured(c apdu.Command) (apdu.Response, error) {
	s := &e.session
	plain, after, err := s.keys.Unwrap(s.state, c)
	if err != nil {
		e.session = session{}
		return refuse(apdu.SecurityStatusNotSatisfied), nil
	}
	s.state = after
	r, err := e.perform(plain)
	if err != nil {
		return r, err
	}
	wrapped, err := s.keys.WrapAnswer(s.state, r)
	if err != nil {
		return refuse(apdu.WrongLength), nil
	}
	return wrapped, nil
}

// perform carries out a command whose protection was right.
func (e *Element) perform(c apdu.Command) (apdu.Response, error) {
	for _, h := range handlers {
		if h.instruction != c.INS {
			continue
		}
		switch {
		case c.CLA != apdu.ClaProprietary:
			return refuse(apdu.ClassNotSupported), nil
		// Management needs commands that nobody between could have made.
		case c.INS != apdu.InsGetData && !e.session.state.Level.Has(scp03.LevelMAC):
			return refuse(apdu.SecurityStatusNotSatisfied), nil
		case !e.allowed(c):
			return refuse(apdu.ConditionsNotSatisfied), nil
		}
		return h.run(e, c)
	}
	return refuse(apdu.InstructionNotSupported), nil
}

// allowed holds a command against the element's life: a locked one can be looked at and unlocked, a terminated one nothing.
func (e *Element) allowed(c apdu.Command) bool {
	switch e.state.life {
	case Terminated:
		return false
	case Locked:
		return c.INS == apdu.InsGetData || c.INS == insGetStatus || c.INS == insSetStatus && c.P1 == statusDomain
	}
	return true
}

const (
	selectByName          = 0x04
	tagMaxData    tlv.Tag = 0x9F65
	maxCommandLen         = apdu.MaxDataBytes
)

// selectDomain answers SELECT on the host's side, where there is the domain only. It ends a session.
func (e *Element) selectDomain(c apdu.Command) apdu.Response {
	if c.P1 != selectByName || c.P2 != 0 {
		return refuse(apdu.WrongParameters)
	}
	if len(c.Data) > 0 && !e.state.domain.Matches(emv.AID(c.Data), true) {
		return refuse(apdu.FileNotFound)
	}
	e.session = session{}
	sw := apdu.OK
	if e.state.life == Locked {
		sw = apdu.ApplicationBlocked
	}
	return apdu.Response{SW: sw, Data: tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, e.state.domain.Bytes()),
		tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, tagMaxData, []byte{maxCommandLen})))}
}

// initialize answers INITIALIZE UPDATE. A counter that a challenge follows from is durable before the challenge leaves, so that none comes twice.
func (e *Element) initialize(c apdu.Command) (apdu.Response, error) {
	e.session = session{}
	version, host, err := scp03.ParseInitializeUpdate(c)
	switch {
	case err != nil:
		return refuse(apdu.WrongData), nil
	case e.state.life == Terminated:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case version != 0 && version != e.state.version:
		return refuse(apdu.DataNotFound), nil
	}
	g := scp03.Greeting{Diversification: e.state.serial, Version: e.state.version, Option: e.state.option}
	if e.state.option.Has(scp03.OptionPseudoRandom) {
		if e.state.sequence >= scp03.MaxSequence {
			return refuse(apdu.ConditionsNotSatisfied), nil
		}
		next := e.state
		next.sequence++
		if r, err := e.keep(&next, apdu.Response{SW: apdu.OK}); err != nil || r.SW != apdu.OK {
			return r, err
		}
		g.Sequence = next.sequence
		g.Challenge = e.state.keys.PseudoRandom(next.sequence, e.state.domain.Bytes())
	} else if _, err := io.ReadFull(e.random, g.Challenge[:]); err != nil {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	g = e.state.keys.Greet(host, g)
	e.session.greeted, e.session.host, e.session.greeting = true, host, g
	e.session.keys = e.state.keys.Session(host, g.Challenge)
	return apdu.Response{Data: g.Bytes(), SW: apdu.OK}, nil
}

// authenticate answers EXTERNAL AUTHENTICATE. There is one try for one challenge.
func (e *Element) authenticate(c apdu.Command) apdu.Response {
	was := e.session
	e.session = session{}
	if !was.greeted {
		return refuse(apdu.ConditionsNotSatisfied)
	}
	opened, err := was.keys.Accept(was.host, was.greeting, c)
	switch {
	case errors.Is(err, scp03.ErrCryptogram):
		return refuse(apdu.IssuerAuthenticationFailed)
	case errors.Is(err, scp03.ErrOption):
		return refuse(apdu.WrongParameters)
	case errors.Is(err, scp03.ErrFormat):
		return refuse(apdu.WrongLength)
	case err != nil:
		return refuse(apdu.SecurityStatusNotSatisfied)
	}
	e.session = session{keys: was.keys, state: opened}
	return refuse(apdu.OK)
}

// keep makes a state durable and gives the answer, or says that the memory refused. An error is card.ErrTorn.
func (e *Element) keep(next *state, r apdu.Response) (apdu.Response, error) {
	chip, settle, err := e.chip, func() {}, error(nil)
	if !sameInstances(e.state.instances, next.instances) {
		if chip, settle, err = e.build(next); err != nil {
			return refuse(apdu.WrongData), nil
		}
	}
	if err := e.commit(next); err != nil {
		if errors.Is(err, card.ErrTorn) {
			return apdu.Response{}, card.ErrTorn
		}
		return refuse(apdu.MemoryFailure), nil
	}
	settle()
	e.chip = chip
	return r, nil
}

// sameInstances reports whether two states share their instances: only a change of management copies them.
func sameInstances(a, b []instance) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Data objects of the domain.
const (
	tagSerial   = 0x0045
	tagKeys     = 0x00E0
	tagSequence = 0x00C1
	tagKey      = 0xC0
	keyTypeAES  = 0x88
)

// getData tells what a host must know to find the keys.
func (e *Element) getData(c apdu.Command) (apdu.Response, error) {
	tag := tlv.Tag(c.P1)<<8 | tlv.Tag(c.P2)
	var value []byte
	switch tag {
	case tagSerial:
		value = tlv.Append(nil, tagSerial, e.state.serial[:])
	case tagSequence:
		n := e.state.sequence
		value = tlv.Append(nil, tagSequence, []byte{byte(n >> 16), byte(n >> 8), byte(n)})
	case tagKeys:
		var all []byte
		for id := byte(1); id <= 3; id++ {
			all = tlv.Append(all, tagKey, []byte{id, e.state.version, keyTypeAES, byte(e.state.keys.Bytes())})
		}
		value = tlv.Wrap(tagKeys, all)
	default:
		return refuse(apdu.DataNotFound), nil
	}
	return apdu.Response{Data: value, SW: apdu.OK}, nil
}
