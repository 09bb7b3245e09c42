package hsm

import (
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/pan"
	"tapnet/scp03"
)

// UsageElementMaster is the master of secure elements: the keys of each element's channel are derived from it. It is a usage of its own, in the proprietary
// range, so that nothing else is ever derived from the same bytes.
const UsageElementMaster Usage = "23"

// elementUsageRule is the part of the table for secure elements.
func elementUsageRule(u Usage) (rule, bool) {
	if u == UsageElementMaster {
		return rule{glossary.Term{EN: "master key of secure elements", ZH: "安全单元主密钥"}, deriveOnly, []Algorithm{AES128, AES256}}, true
	}
	return elementSignRule(u)
}

// ElementKeys names the keys of one secure element's channel.
type ElementKeys struct {
	Master  string // usage 23
	Element scp03.Diversification
}

// ElementChannel is what a session's keys follow from. Nothing in it is secret: the security module derives them anew for each operation and keeps nothing.
type ElementChannel struct {
	Keys       ElementKeys
	Host, Card scp03.Challenge
}

// elementKeys derives the static keys of an element.
func (h *HSM) elementKeys(operation string, k ElementKeys) (scp03.Keys, error) {
	e, err := h.use(operation, k.Master, UsageElementMaster, ModeDerive)
	if err != nil {
		return scp03.Keys{}, err
	}
	keys, err := scp03.Diversify(e.value, k.Element)
	if err != nil {
		return scp03.Keys{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return keys, nil
}

func (h *HSM) elementSession(operation string, c ElementChannel) (scp03.Session, error) {
	keys, err := h.elementKeys(operation, c.Keys)
	if err != nil {
		return scp03.Session{}, err
	}
	return keys.Session(c.Host, c.Card), nil
}

// ElementChallenge is a random number for INITIALIZE UPDATE.
func (h *HSM) ElementChallenge() (c scp03.Challenge, err error) {
	if _, err = h.random.Read(c[:]); err != nil {
		err = fmt.Errorf("hsm: challenge for a secure element: %w", err)
	}
	return c, err
}

// OpenElement checks an element's answer to INITIALIZE UPDATE and gives EXTERNAL AUTHENTICATE. The error wraps scp03.ErrCryptogram when the element does not
// hold the keys, or scp03.ErrOption.
func (h *HSM) OpenElement(c ElementChannel, g scp03.Greeting, level scp03.Level) (apdu.Command, scp03.State, error) {
	session, err := h.elementSession("opening a secure element", c)
	if err != nil {
		return apdu.Command{}, scp03.State{}, err
	}
	return session.Open(c.Host, g, level)
}

// WrapElement protects a command for an element.
func (h *HSM) WrapElement(c ElementChannel, st scp03.State, command apdu.Command) (apdu.Command, scp03.State, error) {
	session, err := h.elementSession("wrapping a command for a secure element", c)
	if err != nil {
		return apdu.Command{}, st, err
	}
	return session.Wrap(st, command)
}

// UnwrapElement checks an element's answer; st is the state after the command it answers.
func (h *HSM) UnwrapElement(c ElementChannel, st scp03.State, r apdu.Response) (apdu.Response, error) {
	session, err := h.elementSession("unwrapping an answer of a secure element", c)
	if err != nil {
		return apdu.Response{}, err
	}
	return session.UnwrapAnswer(st, r)
}

// ElementCardKeyRequest asks for the card keys of an account number, for one secure element.
type ElementCardKeyRequest struct {
	Keys      ElementKeys
	ACMaster  string // usage E0
	MACMaster string // usage E2
	ENCMaster string // usage E1
	PAN       pan.Number
	Sequence  string // two digits
	Suite     cryptogram.Suite
}

// SealElementCardKeys derives the three card keys of an account number and gives them out in one operation, enciphered under the data encryption key of one
// element, with their check values: the groupings 8000 and 9000 as STORE DATA carries them [EMV CPS]. No key leaves in the clear, and the masters of cloud
// credentials have another usage.
func (h *HSM) SealElementCardKeys(q ElementCardKeyRequest) (sealed, values cps.Grouping, err error) {
	const operation = "sealing card keys for a secure element"
	if q.Suite.IsZero() || q.PAN.IsZero() {
		return sealed, values, errors.New("hsm: " + operation + ": suite or account number is missing")
	}
	transport, err := h.elementKeys(operation, q.Keys)
	if err != nil {
		return sealed, values, err
	}
	var plain, checks []byte
	defer func() { clear(plain) }()
	for _, m := range [...]struct {
		name  string
		usage Usage
	}{{q.ACMaster, UsageEMVAC}, {q.MACMaster, UsageEMVMAC}, {q.ENCMaster, UsageEMVENC}} {
		master, err := h.use(operation, m.name, m.usage, ModeDerive)
		if err != nil {
			return sealed, values, err
		}
		key, err := master.cardKey(q.Suite, q.PAN, q.Sequence)
		if err != nil {
			return sealed, values, err
		}
		value, check := key.Reveal(), q.Suite.KCV(key)
		plain, checks = append(plain, value[:]...), append(checks, check[:]...)
		clear(value[:])
	}
	if values, err = cps.NewGrouping(cps.KeyCheckValues, checks); err != nil {
		return sealed, values, err
	}
	clearKeys, err := cps.NewGrouping(cps.CardKeys, plain)
	if err != nil {
		return sealed, values, err
	}
	list, err := elementSealing(transport).Seal(cps.List{clearKeys})
	if err != nil {
		return sealed, values, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return list[0], values, nil
}

// elementSealing is how secret groupings travel to an element: under the data encryption key of its channel, always padded to whole blocks.
func elementSealing(keys scp03.Keys) cps.Sealing {
	const blockBytes = 16
	return cps.Sealing{Cipher: func(_ cps.DGI, data []byte) ([]byte, error) { return keys.DataCipher(data) }, BlockBytes: blockBytes, Padding: cps.PadAlways}
}
