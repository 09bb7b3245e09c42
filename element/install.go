package element

import (
	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/scp03"
)

// P1 of INSTALL.
const (
	forInstallAndSelectable = 0x0C
	forPersonalization      = 0x20
)

// fields takes the length-prefixed fields of INSTALL apart: all six, nothing behind them.
func fields(data []byte) (all [6][]byte, ok bool) {
	for i := range all {
		if len(data) == 0 || int(data[0]) > len(data)-1 {
			return all, false
		}
		n := 1 + int(data[0])
		all[i], data = data[1:n], data[n:]
	}
	return all, len(data) == 0
}

// install answers INSTALL.
func (e *Element) install(c apdu.Command) (apdu.Response, error) {
	all, ok := fields(c.Data)
	switch {
	case c.P2 != 0:
		return refuse(apdu.WrongParameters), nil
	case !ok:
		return refuse(apdu.WrongData), nil
	}
	switch c.P1 {
	case forInstallAndSelectable:
		return e.makeSelectable(all)
	case forPersonalization:
		return e.beginPersonalization(all), nil
	}
	return refuse(apdu.WrongParameters), nil
}

// noParameters is the one thing that installation parameters may say: system and application parameters are empty.
var noParameters = []byte{0xC9, 0x00}

// makeSelectable adds an instance at the end of the order. Package, module, instance, privileges, parameters, token.
func (e *Element) makeSelectable(all [6][]byte) (apdu.Response, error) {
	aid, err := emv.ParseAID(all[2])
	privileges, parameters := all[3], all[4]
	switch {
	case err != nil || aid == emv.PPSE || aid == emv.PSE || aid == e.state.domain:
		return refuse(apdu.WrongData), nil
	case emv.AID(all[0]) != Package || emv.AID(all[1]) != Module:
		return refuse(apdu.DataNotFound), nil
	case len(privileges) != 1 || privileges[0] != 0 || string(parameters) != string(noParameters) || len(all[5]) != 0:
		return refuse(apdu.WrongData), nil
	case e.state.find(aid) >= 0:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case len(e.state.instances) == MaxInstances:
		return refuse(apdu.NotEnoughMemory), nil
	}
	next := e.state.with()
	next.instances = append(next.instances, instance{aid: aid, module: Module, life: Selectable})
	return e.keep(&next, confirmed())
}

// confirmed is an answer without a confirmation: one byte of length.
func confirmed() apdu.Response { return apdu.Response{Data: []byte{0}, SW: apdu.OK} }

// beginPersonalization points STORE DATA at an instance that has no data yet.
func (e *Element) beginPersonalization(all [6][]byte) apdu.Response {
	for i, field := range all {
		if i != 2 && len(field) != 0 {
			return refuse(apdu.WrongData)
		}
	}
	at := e.state.find(emv.AID(all[2]))
	if at < 0 {
		return refuse(apdu.DataNotFound)
	}
	if !e.state.instances[at].life.Legal(Personalized) {
		return refuse(apdu.ConditionsNotSatisfied)
	}
	e.session.target, e.session.receiver, e.session.received = e.state.instances[at].aid, cps.Receiver{}, nil
	return confirmed()
}

// Sealing is how secret groupings travel to the element: under the data encryption key of the channel's keys, always padded.
func Sealing(keys scp03.Keys) (seal, open cps.Sealing) {
	const blockBytes = 16
	as := func(do func([]byte) ([]byte, error)) cps.Sealing {
		return cps.Sealing{Cipher: func(_ cps.DGI, data []byte) ([]byte, error) { return do(data) }, BlockBytes: blockBytes, Padding: cps.PadAlways}
	}
	return as(keys.DataCipher), as(keys.DataDecipher)
}

// storeData collects groupings. With the last command the application is personalized, or none of it is kept.
func (e *Element) storeData(c apdu.Command) (apdu.Response, error) {
	s := &e.session
	if s.target == "" {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	got, err := s.receiver.Receive(c)
	if err != nil {
		s.target, s.received = "", nil
		return refuse(apdu.WrongData), nil
	}
	for _, r := range got {
		if r.Grouping.ID().Secret() && r.Enciphered == cps.NoneEnciphered {
			s.target, s.received = "", nil
			return refuse(apdu.SecurityStatusNotSatisfied), nil
		}
		s.received = append(s.received, r.Grouping)
	}
	if !s.receiver.Done() {
		return refuse(apdu.OK), nil
	}
	aid, received := s.target, s.received
	s.target, s.received = "", nil
	return e.personalize(aid, received)
}

// personalize makes an application of what came.
func (e *Element) personalize(aid emv.AID, received cps.List) (apdu.Response, error) {
	_, open := Sealing(e.state.keys)
	list, err := open.Open(received)
	if err != nil {
		return refuse(apdu.WrongData), nil
	}
	chip, err := imprint.Read(aid, list)
	at := e.state.find(aid)
	if err != nil || at < 0 {
		return refuse(apdu.WrongData), nil
	}
	next := e.state.with()
	next.instances[at].life, next.instances[at].list = Personalized, list
	next.chip = arrange(&e.state, &next, map[emv.AID]card.ApplicationState{aid: chip.State})
	return e.keep(&next, refuse(apdu.OK))
}
