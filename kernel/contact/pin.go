package contact

import (
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/pinblock"
	"tapnet/tlv"
)

const unknownTries = -1

// countTries asks the card how many wrong PINs it still takes, where it tells [EMV B3 10.5.1].
func (m *Machine) countTries() Action {
	return m.send(apdu.GetData(emv.TagPINTryCounter), func(r apdu.Response) Action {
		m.cvm.triesLeft = unknownTries
		if value, ok := tlv.Find(r.Data, emv.TagPINTryCounter); ok && r.SW == apdu.OK && len(value) == 1 {
			m.cvm.triesLeft = int(value[0])
		}
		if m.cvm.triesLeft == 0 {
			m.tvr.Set(emv.TVRPINTriesExceeded)
			return m.unsuccessful(true)
		}
		return m.askOfflinePIN()
	})
}

func (m *Machine) askOfflinePIN() Action {
	v := &m.cvm
	if v.asked++; v.asked > MaxPINTries {
		m.tvr.Set(emv.TVRPINTriesExceeded)
		return m.unsuccessful(true)
	}
	return m.ask(Action{PIN: &PINRequest{TriesLeft: v.triesLeft, Wrong: v.wrong}}, func(ev Event) Action {
		switch ev := ev.(type) {
		case PINEntered:
			if ev.PIN.IsZero() {
				panic("contact: offline PIN without digits")
			}
			return m.presentPIN(ev.PIN)
		case PINBypassed:
			m.tvr.Set(emv.TVRPINNotEntered)
			return m.unsuccessful(true)
		case PINPadFailed:
			m.tvr.Set(emv.TVRPINPadMissing)
			return m.unsuccessful(true)
		}
		panic(unexpected(ev))
	})
}

// presentPIN gives the PIN to the card, in clear or enciphered.
func (m *Machine) presentPIN(pin pinblock.PIN) Action {
	block := pinblock.Format2(pin)
	method := m.cvm.rule.Code.Method()
	if method == emv.CVMPlaintextPIN || method == emv.CVMPlaintextPINAndSignature {
		clear := block.Reveal()
		return m.send(apdu.Verify(apdu.VerifyPlaintext, clear[:]), m.verified)
	}
	key, err := m.chain().PIN()
	if err != nil {
		return m.unsuccessful(true) // the card brings no key that can be trusted with a PIN [EMV B2 7.1]
	}
	return m.send(apdu.GetChallenge(), func(r apdu.Response) Action { return m.encipherPIN(r, key, block) })
}

func (m *Machine) encipherPIN(r apdu.Response, key oda.ICCKey, block pinblock.Block) Action {
	const challengeBytes = 8
	if r.SW != apdu.OK || len(r.Data) != challengeBytes {
		return m.unsuccessful(true)
	}
	enciphered, err := oda.EncipherPIN(key, block, [challengeBytes]byte(r.Data), m.random)
	if err != nil {
		return m.unsuccessful(true) // the key is too short for a PIN
	}
	return m.send(apdu.Verify(apdu.VerifyEnciphered, enciphered), m.verified)
}

// verified judges the answer to VERIFY [EMV B3 6.5.12].
func (m *Machine) verified(r apdu.Response) Action {
	switch left, wrong := r.SW.TriesLeft(); {
	case r.SW == apdu.OK:
		return m.pinRight()
	case wrong && left > 0:
		m.cvm.triesLeft, m.cvm.wrong = left, true
		return m.askOfflinePIN()
	case wrong, r.SW == apdu.PINBlocked, r.SW == apdu.PINBlockedBefore:
		m.cvm.triesLeft = 0
		m.tvr.Set(emv.TVRPINTriesExceeded)
		return m.unsuccessful(true)
	}
	return m.broken(ReasonCommandRefused, r.SW.Term())
}

// cancelled ends a payment that the cardholder or the merchant gave up. After a wrong PIN it says so, with what is left.
func (m *Machine) cancelled() Action {
	if !m.cvm.wrong {
		return m.end(kernel.EndApplication, ReasonCancelled, glossary.Term{})
	}
	left := m.cvm.triesLeft
	detail := glossary.Term{EN: fmt.Sprintf("%d tries left", left), ZH: fmt.Sprintf("剩余 %d 次", left)}
	if left == 1 {
		detail.EN = "1 try left"
	}
	return m.end(kernel.EndApplication, ReasonPINWrong, detail)
}

func (m *Machine) pinRight() Action {
	m.cvm.wrong = false
	switch m.cvm.rule.Code.Method() {
	case emv.CVMPlaintextPINAndSignature, emv.CVMEncipheredPINAndSignature:
		m.cvm.signature = true
		return m.succeeded(emv.CVMResultUnknown)
	}
	return m.succeeded(emv.CVMResultSuccessful)
}

// refusePurse ends a purse operation that cannot be attempted; nothing has happened.
func (m *Machine) refusePurse(why Reason) Action {
	return m.end(kernel.EndApplication, why, glossary.Term{})
}
