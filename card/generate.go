package card

import (
	"bytes"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// P1 of GENERATE AC [EMV B3 6.5.5.2].
const (
	acTypeMask = 0xC0
	acCombined = 0x10
)

// generateAC decides the payment, in one or two steps [EMV B3 6.5.5]. What follows from the decision is durable before the cryptogram
// leaves.
func (c *Card) generateAC(cmd apdu.Command) (apdu.Response, error) {
	a, d := c.application(), &c.tx.dialogue
	asked, combined := emv.CID(cmd.P1&acTypeMask), cmd.P1&acCombined != 0
	again := c.phase == phaseOnline
	switch {
	case cmd.P2 != 0 || cmd.P1&^(acTypeMask|acCombined) != 0:
		return refuse(apdu.WrongParameters), nil
	case asked != emv.AAC && asked != emv.TC && (asked != emv.ARQC || again):
		return refuse(apdu.WrongParameters), nil
	case combined && !d.aip.Has(emv.AIPCDA):
		return refuse(apdu.WrongParameters), nil
	}
	list := a.contact.cdol1
	if again {
		list = a.contact.cdol2
	}
	terminal, err := list.Split(cmd.Data)
	if err != nil {
		return refuse(apdu.WrongLength), nil
	}
	at, ok := c.analyse(a, asked, terminal)
	if !ok {
		return refuse(apdu.WrongData), nil
	}
	d.told = append(d.told, append([]byte(nil), cmd.Data...))
	if again {
		return c.secondCryptogram(at, terminal, combined)
	}
	return c.firstCryptogram(at, terminal, combined)
}

// analyse sets what the terminal told against the card. The second GENERATE AC may tell less: then the first one counts.
func (c *Card) analyse(a *application, asked emv.CID, terminal emv.Data) (*analysis, bool) {
	d, s := &c.tx.dialogue, &c.state.Applications[c.selected]
	told := emv.Sources{terminal, d.first}
	get := func(tag tlv.Tag) []byte {
		value, _ := told.Value(tag)
		return value
	}
	amount, ok := parseN12(get(emv.TagAmount))
	at := &analysis{
		application: a, state: s, dialogue: d, purse: &s.Purses[c.tx.purse()], action: a.defaultAction(), asked: asked, amount: amount,
		cardBlocked: c.state.Blocked,
	}
	copy(at.currency[:], get(emv.TagCurrency))
	copy(at.country[:], get(emv.TagTerminalCountry))
	d.changed = d.changed || d.differs(terminal)
	return at, ok
}

// differs: electronic cash is spent for the payment of GET PROCESSING OPTIONS only, but for what changes in between [REF 2.9].
func (d *dialogue) differs(terminal emv.Data) bool {
	for tag, value := range terminal.All() {
		if tag == emv.TagTVR || tag == emv.TagTSI || tag == emv.TagUnpredictableNumber {
			continue
		}
		if before, told := d.pdol.Value(tag); told && !bytes.Equal(before, value) {
			return true
		}
	}
	return false
}

func (c *Card) firstCryptogram(at *analysis, terminal emv.Data, combined bool) (apdu.Response, error) {
	d := &c.tx.dialogue
	decision := at.first()
	at.advise(&decision)
	next := c.state
	s := &next.Applications[c.selected]
	switch decision.CID.Type() {
	case emv.TC:
		c.spend(at, s)
	case emv.ARQC:
		s.History.LastOnlineIncomplete = true // until the issuer's answer has arrived [REF 1.8]
	case emv.AAC:
		tvr := emv.TVR(terminal.Get(emv.TagTVR))
		s.History.SDAFailed = s.History.SDAFailed || tvr.Has(emv.TVRSDAFailed)
		s.History.DDAFailed = s.History.DDAFailed || tvr.Has(emv.TVRDDAFailed) || tvr.Has(emv.TVRCDAFailed)
		if at.dialogue.triesBefore == 0 && at.action.Has(emv.ADAPINLimitPreviousBlock) {
			s.Blocked, s.BlockedByPIN = true, true
		}
	}
	phase := phaseCompleted
	if decision.CID.Type() == emv.ARQC {
		phase = phaseOnline
	}
	response, ac, err := c.conclude(at, &decision, &next, conclusion{terminal: terminal, combined: combined, phase: phase})
	if err != nil || response.SW != apdu.OK {
		return response, err
	}
	d.first, d.ac, d.cvr = terminal, ac, decision.CVR
	// A blocked application is helped by its issuer all the same: with a cryptogram that declines [REF 3.3].
	d.scripts = phase == phaseOnline || c.state.Applications[c.selected].Blocked
	return response, nil
}

func (c *Card) secondCryptogram(at *analysis, terminal emv.Data, combined bool) (apdu.Response, error) {
	d := &c.tx.dialogue
	// Issuer authentication data may come in the second list instead of EXTERNAL AUTHENTICATE [EMV B3 10.9].
	if told := terminal.Get(emv.TagIssuerAuthData); len(told) == 10 && d.authentication == authenticationMissing && !bytes.Equal(told, make([]byte, 10)) {
		good, err := c.authenticIssuer([8]byte(told), [2]byte(told[8:]))
		if err != nil {
			return refuse(noDiagnosis), nil
		}
		d.authentication = authenticationFailed
		if good {
			d.authentication, d.arc = authenticationGood, [2]byte(told[8:])
		}
	}
	decision, online := at.second([2]byte(terminal.Get(emv.TagARC)))
	at.advise(&decision)
	next := c.state
	s := &next.Applications[c.selected]
	switch {
	case online:
		at.settle(s, decision.CID.Type() == emv.TC)
	case decision.CID.Type() == emv.TC:
		c.spend(at, s)
	}
	response, _, err := c.conclude(at, &decision, &next,
		conclusion{terminal: terminal, combined: combined, phase: phaseCompleted})
	if err == nil && response.SW == apdu.OK {
		d.scripts = online && d.authentication != authenticationFailed
	}
	return response, err
}

// settle is what an issuer's answer changes [REF 3.3]: an authenticated one, or one that needs no authentication, ends what earlier
// payments left; an approval also clears what was counted since the last one.
func (a *analysis) settle(s *ApplicationState, approved bool) {
	mandatory := a.application.authenticationMandatory()
	switch {
	case a.dialogue.authentication == authenticationFailed, a.dialogue.authentication == authenticationMissing && mandatory:
		s.History.IssuerAuthFailed = true // next time the issuer is asked again [REF 1.9]
		return
	case a.dialogue.authentication == authenticationGood:
		s.History.IssuerAuthFailed = false
	}
	s.History.LastOnlineIncomplete, s.History.SDAFailed, s.History.DDAFailed = false, false, false
	s.History.ScriptFailed, s.History.ScriptCount = a.dialogue.scriptFailed, 0
	if approved {
		s.LastOnlineATC = s.ATC
		s.InternationalCount, s.CountryCount, s.Cumulative, s.Dual = 0, 0, 0, 0
	}
}

// spend carries out an approval that nobody else gave.
func (c *Card) spend(at *analysis, s *ApplicationState) {
	if at.dialogue.cash {
		s.takeFromPurse(c.tx.purse(), at.amount)
		return
	}
	if at.currency == at.application.currency {
		s.Cumulative = min(s.Cumulative+at.amount, MaxMinor)
	}
	if at.foreign() {
		s.InternationalCount = saturated(s.InternationalCount)
	}
	if at.abroad() {
		s.CountryCount = saturated(s.CountryCount)
	}
	if converted, counts := at.converted(); counts {
		s.Dual = min(s.Dual+converted, MaxMinor)
	}
}

func saturated(count byte) byte { return max(count, count+1) }

// conclusion is what a cryptogram needs besides the decision.
type conclusion struct {
	terminal emv.Data
	combined bool
	phase    phase
}

// conclude makes the cryptogram over the state to come, makes that state durable, and answers.
func (c *Card) conclude(at *analysis, d *Decision, next *State, k conclusion) (apdu.Response, [8]byte, error) {
	a, t := at.application, at.dialogue
	s := &next.Applications[c.selected]
	combined := k.combined && d.CID.Type() != emv.AAC // a refusal is not signed [EMV B2 6.6.1]
	if combined {
		d.CVR.Set(emv.CVRDDAPerformed)
	}
	values := cardValues{aip: t.aip, atc: [2]byte{byte(s.ATC >> 8), byte(s.ATC)}}
	input, err := a.suite.AppendData(make([]byte, 0, 48), a.contact.CVN, d.CVR, &values, k.terminal, t.first, t.pdol)
	if err != nil {
		return refuse(noDiagnosis), [8]byte{}, nil // the image was checked: cannot happen
	}
	ac, err := a.crypto.Cryptogram(s.ATC, input)
	if err != nil {
		return refuse(noDiagnosis), [8]byte{}, nil
	}
	iad, err := a.issuerData(a.contact.CVN, a.contact.IDD, d.CVR, s, c.tx.purse())
	if err != nil {
		return refuse(noDiagnosis), [8]byte{}, nil
	}
	var data []byte
	if combined {
		if data, err = c.combinedAnswer(a, d.CID, values.atc, ac, iad, k.terminal); err != nil {
			return refuse(noDiagnosis), [8]byte{}, nil
		}
	} else {
		data = a.contact.cryptogramAnswer(d.CID, values.atc, ac, iad)
	}
	if d.CID.Type() == emv.TC {
		a.writeLog(s, &values, k.terminal, t.first, t.pdol)
		s.Proof = Proof{ATC: s.ATC, Cryptogram: ac}
	}
	if *next != c.state {
		if ok, err := c.commit(next); !ok {
			return refuse(apdu.MemoryFailure), [8]byte{}, err
		}
	}
	c.decision, c.decided, c.phase = *d, true, k.phase
	return apdu.Response{Data: data, SW: apdu.OK}, ac, nil
}

// cryptogramAnswer is format 1: four values one behind the other; or format 2: the same as data objects [EMV B3 6.5.5.4].
func (k *contact) cryptogramAnswer(cid emv.CID, atc [2]byte, ac [8]byte, iad []byte) []byte {
	if !k.Format2 {
		return tlv.Wrap(emv.TagResponse1, []byte{byte(cid)}, atc[:], ac[:], iad)
	}
	p := parts{}
	p.add(emv.TagCID, []byte{byte(cid)})
	p.add(emv.TagATC, atc[:])
	p.add(emv.TagAC, ac[:])
	p.add(emv.TagIAD, iad)
	return tlv.Wrap(emv.TagResponse2, p.b)
}

// combinedAnswer carries the cryptogram inside a dynamic signature [EMV B2 6.6.1].
func (c *Card) combinedAnswer(a *application, cid emv.CID, atc [2]byte, ac [8]byte, iad []byte, terminal emv.Data) ([]byte, error) {
	number, err := c.dynamicNumber()
	if err != nil {
		return nil, fmt.Errorf("draw dynamic number: %w", err)
	}
	p := parts{}
	p.add(emv.TagCID, []byte{byte(cid)})
	p.add(emv.TagATC, atc[:])
	before := len(p.b)
	p.add(emv.TagIAD, iad)
	var random [4]byte
	told := emv.Sources{terminal, c.tx.dialogue.first}
	if value, ok := told.Value(emv.TagUnpredictableNumber); ok {
		copy(random[:], value)
	}
	signature, err := a.crypto.SignCombined(oda.Combined{Number: number, CID: byte(cid), Cryptogram: ac}, random,
		append(c.tx.dialogue.told[:len(c.tx.dialogue.told):len(c.tx.dialogue.told)], p.b)...)
	if err != nil {
		return nil, fmt.Errorf("sign cryptogram: %w", err)
	}
	signed := parts{b: bytes.Clone(p.b[:before])}
	signed.add(emv.TagSDAD, signature)
	return tlv.Wrap(emv.TagResponse2, signed.b, p.b[before:]), nil
}
