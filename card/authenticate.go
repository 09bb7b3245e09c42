package card

import (
	"crypto/subtle"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
)

// dynamicNumberBytes is the length of the ICC dynamic number the card draws, tag 9F4C: 2 to 8 [EMV B2 6.5.1].
const dynamicNumberBytes = 8

// minDDOLData is what a terminal signs over at least: its unpredictable number, when the card leaves the list to it [EMV B2 6.5.1].
const minDDOLData = 4

// internalAuthenticate makes a dynamic signature over the terminal's data [EMV B3 6.5.9].
func (c *Card) internalAuthenticate(cmd apdu.Command) (apdu.Response, error) {
	a, d := c.application(), &c.tx.dialogue
	listed := a.contact.ddol.Length()
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return refuse(apdu.WrongParameters), nil
	case !d.aip.Has(emv.AIPDDA):
		return refuse(apdu.ConditionsNotSatisfied), nil
	case len(cmd.Data) < minDDOLData || listed > 0 && len(cmd.Data) != listed:
		return refuse(apdu.WrongLength), nil
	}
	number, err := c.dynamicNumber()
	if err != nil {
		return refuse(noDiagnosis), nil
	}
	signature, err := a.crypto.SignDynamic(number, cmd.Data)
	if err != nil {
		return refuse(noDiagnosis), nil
	}
	d.cvr.Set(emv.CVRDDAPerformed)
	if a.contact.Format2 {
		return answer(tlv.Wrap(emv.TagResponse2, tlv.Append(nil, emv.TagSDAD, signature)))
	}
	return answer(tlv.Wrap(emv.TagResponse1, signature))
}

func (c *Card) dynamicNumber() ([]byte, error) {
	number := make([]byte, dynamicNumberBytes)
	_, err := io.ReadFull(c.random, number)
	return number, err
}

// externalAuthenticate checks the issuer's answer to the first cryptogram, once [EMV B3 6.5.4]. A failure is durable before it is
// told, so that the next payment goes online whatever becomes of this one [REF 1.9].
func (c *Card) externalAuthenticate(cmd apdu.Command) (apdu.Response, error) {
	d := &c.tx.dialogue
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return refuse(apdu.WrongParameters), nil
	}
	if !d.aip.Has(emv.AIPIssuerAuthentication) || d.authentication != authenticationMissing {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	arpc, arc, ok := cryptogram.ParseIssuerAuthData(cmd.Data)
	if !ok {
		return refuse(apdu.WrongLength), nil
	}
	good, err := c.authenticIssuer(arpc, arc)
	if err != nil {
		return refuse(noDiagnosis), nil
	}
	if good {
		d.authentication, d.arc = authenticationGood, arc
		return answer(nil)
	}
	d.authentication = authenticationFailed
	next := c.state
	next.Applications[c.selected].History.IssuerAuthFailed = true
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	return refuse(apdu.IssuerAuthenticationFailed), nil
}

// authenticIssuer compares the issuer's answer with what the card expects for the response code [REF 4.4].
func (c *Card) authenticIssuer(arpc [8]byte, arc [2]byte) (bool, error) {
	a := c.application()
	want, err := a.crypto.ARPC(c.state.Applications[c.selected].ATC, c.tx.dialogue.ac, arc)
	return err == nil && subtle.ConstantTimeCompare(want[:], arpc[:]) == 1, err
}
