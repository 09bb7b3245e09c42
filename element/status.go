package element

import (
	"slices"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// P1 of SET STATUS and GET STATUS. The last two are of the contactless services, Amendment C.
const (
	statusDomain       = 0x80
	statusApplications = 0x40
	statusAvailability = 0x01
	statusOrder        = 0x02
)

const (
	available      = 0x01 // P2 for availability
	unavailable    = 0x00
	first          = 0x01 // P2 for the order
	tagName        = 0x4F
	tagEntry       = 0xE3
	tagLife        = 0x9F70
	tagPrivileges  = 0xC5
	formatTLV      = 0x02 // P2 of GET STATUS
	deleteInstance = 0x00
)

// named reads the name in template 4F, alone.
func named(data []byte) (emv.AID, bool) {
	value, ok := tlv.Find(data, tagName)
	if !ok || len(tlv.Append(nil, tagName, value)) != len(data) {
		return "", false
	}
	return emv.AID(value), true
}

// setStatus answers SET STATUS.
func (e *Element) setStatus(c apdu.Command) (apdu.Response, error) {
	switch c.P1 {
	case statusDomain:
		return e.setLife(Life(c.P2))
	case statusApplications:
		return e.setLock(emv.AID(c.Data), c.P2&byte(lockBit) != 0)
	case statusAvailability, statusOrder:
		aid, ok := named(c.Data)
		if !ok {
			return refuse(apdu.WrongData), nil
		}
		if c.P1 == statusOrder {
			return e.setFirst(aid, c.P2)
		}
		return e.setAvailable(aid, c.P2)
	}
	return refuse(apdu.WrongParameters), nil
}

func (e *Element) setLife(to Life) (apdu.Response, error) {
	if !e.state.life.Legal(to) {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	next := e.state
	next.life = to
	return e.keep(&next, refuse(apdu.OK))
}

// setLock locks an application or unlocks it.
func (e *Element) setLock(aid emv.AID, lock bool) (apdu.Response, error) {
	at := e.state.find(aid)
	if at < 0 {
		return refuse(apdu.DataNotFound), nil
	}
	to := e.state.instances[at].life &^ lockBit
	if lock {
		to |= lockBit
	}
	if !e.state.instances[at].life.Legal(to) {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	next := e.state.with()
	next.instances[at].life = to
	next.chip = arrange(&e.state, &next, nil)
	return e.keep(&next, refuse(apdu.OK))
}

// personalizedAt finds an application that is there for taps.
func (e *Element) personalizedAt(aid emv.AID) (int, apdu.SW) {
	at := e.state.find(aid)
	switch {
	case at < 0:
		return 0, apdu.DataNotFound
	case !e.state.instances[at].personalized():
		return 0, apdu.ConditionsNotSatisfied
	}
	return at, apdu.OK
}

// setFirst makes an application the default: the first of the directory.
func (e *Element) setFirst(aid emv.AID, p2 byte) (apdu.Response, error) {
	at, sw := e.personalizedAt(aid)
	if sw != apdu.OK {
		return refuse(sw), nil
	}
	if p2 != first {
		return refuse(apdu.WrongParameters), nil
	}
	next := e.state.with()
	chosen := next.instances[at]
	next.instances = slices.Insert(slices.Delete(next.instances, at, at+1), 0, chosen)
	next.chip = arrange(&e.state, &next, nil)
	return e.keep(&next, refuse(apdu.OK))
}

// setAvailable shows an application in the field or hides it.
func (e *Element) setAvailable(aid emv.AID, p2 byte) (apdu.Response, error) {
	at, sw := e.personalizedAt(aid)
	if sw != apdu.OK {
		return refuse(sw), nil
	}
	if p2 != available && p2 != unavailable {
		return refuse(apdu.WrongParameters), nil
	}
	next := e.state
	next.chip.Applications[e.state.slot(at)].NoContactless = p2 == unavailable
	return e.keep(&next, refuse(apdu.OK))
}

// remove answers DELETE: the instance and everything in it.
func (e *Element) remove(c apdu.Command) (apdu.Response, error) {
	aid, ok := named(c.Data)
	switch {
	case c.P1 != 0 || c.P2 != deleteInstance:
		return refuse(apdu.WrongParameters), nil
	case !ok:
		return refuse(apdu.WrongData), nil
	}
	at := e.state.find(aid)
	if at < 0 {
		return refuse(apdu.DataNotFound), nil
	}
	if e.session.target == aid {
		e.session.target, e.session.received = "", nil
	}
	next := e.state.with()
	next.instances = slices.Delete(next.instances, at, at+1)
	next.chip = arrange(&e.state, &next, nil)
	return e.keep(&next, confirmed())
}

// getStatus answers GET STATUS in its form with data objects. An empty name asks for all.
func (e *Element) getStatus(c apdu.Command) (apdu.Response, error) {
	aid, ok := named(c.Data)
	if !ok {
		return refuse(apdu.WrongData), nil
	}
	if c.P2 != formatTLV {
		return refuse(apdu.WrongParameters), nil
	}
	entry := func(name emv.AID, life byte) []byte {
		b := tlv.Append(nil, tagName, name.Bytes())
		b = tlv.Append(b, tagLife, []byte{life})
		return tlv.Wrap(tagEntry, tlv.Append(b, tagPrivileges, []byte{0}))
	}
	var out []byte
	switch c.P1 {
	case statusDomain:
		if e.state.domain.Matches(aid, true) || aid == "" {
			out = entry(e.state.domain, byte(e.state.life))
		}
	case statusApplications:
		for i := range e.state.instances {
			if in := &e.state.instances[i]; aid == "" || in.aid.Matches(aid, true) {
				out = append(out, entry(in.aid, byte(in.life))...)
			}
		}
	default:
		return refuse(apdu.WrongParameters), nil
	}
	if len(out) == 0 {
		return refuse(apdu.DataNotFound), nil
	}
	return apdu.Response{Data: out, SW: apdu.OK}, nil
}
