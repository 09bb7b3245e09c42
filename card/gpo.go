package card

import (
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

const (
	// noDiagnosis is the status word for trouble the standards have no word for [ISO 7816-4 5.1.3].
	noDiagnosis apdu.SW = 0x6F00
	// signatureInAnswer: an ICC key of 1024 bits or less leaves room for 9F4B in the GPO answer; a longer one puts it into
	// the last record [REF 2.3].
	signatureInAnswer = 128
	fdda01            = 0x01
)

// request is a GET PROCESSING OPTIONS that is well formed.
type request struct {
	raw      []byte
	terminal emv.Data // by the PDOL
	ttq      emv.TTQ
	amount   int64
	currency [2]byte
	random   [4]byte // the terminal's unpredictable number
}

// templateFault tells a template that is cut or followed by something from one that is no template.
func templateFault(err error) apdu.SW {
	if err == nil || errors.Is(err, tlv.ErrTruncated) || errors.Is(err, tlv.ErrLength) {
		return apdu.WrongLength
	}
	return apdu.WrongData
}

// parseRequest reads template 83. What the PDOL does not ask for cannot be there.
func (a *application) parseRequest(data []byte) (request, apdu.SW) {
	value, sw := commandTemplate(data)
	if sw != apdu.OK {
		return request{}, sw
	}
	r, err := request{raw: value}, error(nil)
	if r.terminal, err = a.PDOL.Split(value); err != nil {
		return request{}, apdu.WrongLength
	}
	// The image was checked: these are in the PDOL with these lengths.
	copy(r.ttq[:], r.terminal.Get(emv.TagTTQ))
	copy(r.currency[:], r.terminal.Get(emv.TagCurrency))
	copy(r.random[:], r.terminal.Get(emv.TagUnpredictableNumber))
	amount, ok := parseN12(r.terminal.Get(emv.TagAmount))
	if !ok {
		return request{}, apdu.WrongData
	}
	r.amount = amount
	return r, apdu.OK
}

// situate sets the request against the card. second: the second currency counts as a currency of the card when the low-value
// check is on [REF 2.2].
func (a *application) situate(r *request, s *ApplicationState) (at situation, second bool) {
	second = !a.SecondCurrency.IsZero() && r.currency == a.secondCurrency && a.Processing.Has(emv.APLowValue)
	purse := &s.Purses[0]
	if second {
		purse = &s.Purses[1]
	}
	at = situation{
		application: &a.Application, state: s, purse: purse, ttq: r.ttq, amount: r.amount,
		matched: second || r.currency == a.currency,
	}
	if at.matched && !second {
		switch at.extended = a.extendedKind(s, r.terminal); at.extended {
		case extendedSegment:
			at.advance = a.segmentRoom(s, second)
		case extendedComplete:
			at.advance, _ = s.largestReserve()
		}
	}
	return at, second
}

// getProcessingOptions decides a contactless payment [REF 2.1]. The counter, and with it whatever a pre-payment takes, is
// durable before anything is answered, so that no counter ever serves two cryptograms.
func (c *Card) getProcessingOptions(cmd apdu.Command) (apdu.Response, error) {
	if c.powered == Contact {
		return c.initiateContact(cmd)
	}
	a := &c.applications[c.selected]
	next := c.state
	s := &next.Applications[c.selected]
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return refuse(apdu.WrongParameters), nil
	}
	if s.Blocked || s.ATC == exhausted {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	r, sw := a.parseRequest(cmd.Data)
	if sw != apdu.OK {
		return refuse(sw), nil
	}
	a = a.chosen(r.terminal)
	// qPBOC comes first; a reader without it may ask for the full dialogue, if this card holds it here [REF 2.1].
	if !r.ttq.Has(emv.TTQQPBOC) || a.contact != nil && a.contact.FullOnly {
		return c.initiateFull(a, &r)
	}
	c.phase = phaseInitiated // one payment for one selection, whatever comes of it
	at, second := a.situate(&r, s)
	if sw := s.refuseExtended(at.extended); sw != apdu.OK {
		return refuse(sw), nil // no counter is used, no cryptogram made
	}
	s.ATC++
	d := Decision{SW: apdu.ConditionsNotSatisfied, Reason: ReasonCounterExhausted}
	if s.ATC != exhausted {
		d = decide(&at)
	}
	c.decision, c.decided = d, true
	paid := next.Applications[c.selected] // the state after the payment
	tx := transaction{second: second, sm: a.secondSet, extended: extendedPayment{kind: at.extended, amount: r.amount}}
	d.apply(&paid, tx.purse(), r.amount)
	if d.CID == emv.ARQC && d.SW == apdu.OK {
		*s = paid // pre-pay takes the money now
	}
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	if d.SW != apdu.OK {
		return refuse(d.SW), nil
	}
	data, err := c.buildAnswer(a, &r, &d, &paid, &tx)
	if err != nil {
		return refuse(noDiagnosis), nil // the counter is used, the money is not
	}
	tx.answered = true
	if d.CID == emv.TC {
		if a.Processing.Has(emv.APLogOffline) {
			a.writeLog(&paid, &cardValues{aip: a.AIP, atc: [2]byte{byte(paid.ATC >> 8), byte(paid.ATC)}}, r.terminal)
		}
		paid.Proof = Proof{ATC: paid.ATC, Cryptogram: tx.ac}
		tx.staged, tx.next = true, paid
	}
	c.tx = tx
	return answer(data)
}

// initiateFull opens the dialogue with GENERATE AC over contactless.
func (c *Card) initiateFull(a *application, r *request) (apdu.Response, error) {
	if !r.ttq.Has(emv.TTQFullContactless) || a.contact == nil || len(a.contact.FullAFL) == 0 {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	d := dialogue{aip: a.contact.FullAIP, pdol: r.terminal, told: [][]byte{append([]byte(nil), r.raw...)}}
	return c.openDialogue(a, &d, a.contact.FullAFL, false)
}

// buildAnswer makes the cryptogram, the signature and template 77. For an approval it also prepares the last record.
func (c *Card) buildAnswer(a *application, r *request, d *Decision, paid *ApplicationState, tx *transaction) ([]byte, error) {
	values := cardValues{aip: a.AIP, atc: [2]byte{byte(paid.ATC >> 8), byte(paid.ATC)}}
	iad, err := a.issuerData(a.CVN, a.IDD, d.CVR, paid, tx.purse())
	if err != nil {
		return nil, err
	}
	input, err := a.suite.AppendData(make([]byte, 0, 48), a.CVN, d.CVR, &values, r.terminal)
	if err != nil {
		return nil, fmt.Errorf("select cryptogram data: %w", err)
	}
	ac, err := a.crypto.Cryptogram(paid.ATC, input)
	if err != nil {
		return nil, fmt.Errorf("make cryptogram: %w", err)
	}
	if d.CID != emv.TC || tx.extended.kind != extendedPreauthorise {
		tx.ac = ac
	}
	afl, signed := a.OnlineAFL, false
	if d.CID == emv.TC || d.CID == emv.ARQC && a.odaForOnline(r.ttq) {
		afl, signed = a.OfflineAFL, true
	}
	var signature []byte
	if signed {
		if signature, tx.dynamic, err = c.sign(a, r, d.CTQ, paid.ATC); err != nil {
			return nil, err
		}
	}
	return a.template(d.CID, &answerData{
		afl: afl.Bytes(), atc: values.atc, ac: tx.ac, iad: iad, signature: signature, ctq: d.CTQ,
		available: n12(a.available(paid, tx.purse())),
	}), nil
}

// answerData is what changes from one answer to the next.
type answerData struct {
	afl, iad, signature []byte
	atc                 [2]byte
	ac                  [8]byte
	ctq                 emv.CTQ
	available           [6]byte
}

// template is template 77: an approval in one order, everything else in another [REF 2.3].
func (a *application) template(cid emv.CID, m *answerData) []byte {
	p := parts{b: make([]byte, 0, MaxRecordBytes)}
	p.add(emv.TagAIP, a.AIP[:])
	p.addPresent(emv.TagAFL, m.afl)
	p.add(emv.TagATC, m.atc[:])
	if cid == emv.TC {
		if m.ac != [8]byte{} { // money set aside is not spent: it has no certificate [REF 2.3]
			p.add(emv.TagAC, m.ac[:])
		}
		p.add(emv.TagIAD, m.iad)
		p.add(emv.TagTrack2, a.track2)
	} else {
		p.add(emv.TagTrack2, a.track2)
		p.add(emv.TagIAD, m.iad)
		p.add(emv.TagAC, m.ac[:])
		p.addPresent(emv.TagCardProduct, a.Product)
	}
	p.addPresent(emv.TagPANSequence, a.sequence)
	p.addPresent(emv.TagSDAD, m.signature)
	p.add(emv.TagCTQ, m.ctq[:])
	if a.Processing.Has(emv.APReturnAvailable) {
		p.add(emv.TagAvailableOffline, m.available[:])
	}
	if cid != emv.TC {
		p.addPresent(emv.TagCardholderName, []byte(a.Holder))
	}
	return tlv.Append(make([]byte, 0, len(p.b)+4), emv.TagResponse2, p.b)
}

// parts collects data objects.
type parts struct{ b []byte }

func (p *parts) add(tag tlv.Tag, value []byte) { p.b = tlv.Append(p.b, tag, value) }

func (p *parts) addPresent(tag tlv.Tag, value []byte) {
	if len(value) > 0 {
		p.add(tag, value)
	}
}

// odaForOnline: both sides can check the card offline although the issuer is asked [REF 2.7]. Known from one source.
func (a *application) odaForOnline(ttq emv.TTQ) bool {
	return ttq.Has(emv.TTQODAForOnline) && a.Extended.Has(emv.EIODAForOnline) && len(a.OfflineAFL) > 0
}

// issuerData is 9F10 with the amounts after the payment [REF 1.7].
func (a *application) issuerData(cvn, idd byte, cvr emv.CVR, paid *ApplicationState, purse int) ([]byte, error) {
	iad := emv.IAD{DKI: a.DKI, CVN: cvn, CVR: cvr, Algorithm: a.Algorithm}
	if value := a.iddValue(idd, paid, purse); len(value) > 0 {
		mac, err := a.crypto.IDDMAC(paid.ATC, value)
		if err != nil {
			return nil, fmt.Errorf("protect issuer discretionary data: %w", err)
		}
		iad.IDD, iad.IDDMAC = append([]byte{idd}, value...), mac
	}
	return iad.Bytes(), nil
}

// sign makes the dynamic signature, if the card has one, and the last record, which carries the random number of version 01
// and a signature that is too long for the answer [REF 2.6].
func (c *Card) sign(a *application, r *request, ctq emv.CTQ, atc uint16) (signature, last []byte, err error) {
	body := a.lastBody
	if a.AIP.Has(emv.AIPDDA) {
		in := oda.FDDAInput{UnpredictableNumber: r.random}
		if a.FDDA01 && r.ttq.Has(emv.TTQFDDA01) {
			var number [4]byte
			if _, err := io.ReadFull(c.random, number[:]); err != nil {
				return nil, nil, fmt.Errorf("draw the card random number: %w", err)
			}
			in.Version, in.Amount, in.Currency = fdda01, n12(r.amount), r.currency
			in.CardAuthData = []byte{fdda01, number[0], number[1], number[2], number[3], ctq[0], ctq[1], a.Extended[0]}
			body = tlv.Append(append([]byte(nil), body...), emv.TagCardAuthData, in.CardAuthData)
		}
		if signature, err = a.crypto.SignFDDA(atc, in); err != nil {
			return nil, nil, fmt.Errorf("sign: %w", err)
		}
		if len(signature) > signatureInAnswer {
			body = tlv.Append(append([]byte(nil), body...), emv.TagSDAD, signature)
			signature = nil
		}
	}
	return signature, tlv.Wrap(emv.TagRecord, body), nil
}

// LastDecision is what the card decided at the latest GET PROCESSING OPTIONS; false before the first. It is for traces: no
// command reads it.
func (c *Card) LastDecision() (Decision, bool) { return c.decision, c.decided }
