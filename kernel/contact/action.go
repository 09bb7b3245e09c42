package contact

import (
	"strings"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/tlv"
)

// cryptogram is an answer to GENERATE AC.
type cryptogram struct {
	cid  emv.CID
	data emv.Data // 9F27, 9F36, 9F26, 9F10 and what else came
}

const (
	combinedRequest = 0x10 // P1: with a signature [EMV B3 6.5.5]
	reasonNoService = 1    // of a refusal [EMV B3 6.5.5.4]
)

// codes joins the action codes of issuer and terminal. An issuer that gives none wants nothing denied and everything else online
// [EMV B3 10.7].
func (m *Machine) codes(tag tlv.Tag, terminal emv.TVR, missing byte) emv.TVR {
	issuer, err := emv.ParseTVR(m.records.Get(tag))
	if err != nil {
		for i := range issuer {
			issuer[i] = missing
		}
	}
	for i := range issuer {
		issuer[i] |= terminal[i]
	}
	// The published action codes know DDA and not CDA: a card whose combined signature fails is no better than one whose dynamic one does.
	if issuer.Has(emv.TVRDDAFailed) {
		issuer.Set(emv.TVRCDAFailed)
	}
	return issuer
}

// hits are the findings that a code names.
func (m *Machine) hits(codes emv.TVR) emv.TVR {
	for i := range codes {
		codes[i] &= m.tvr[i]
	}
	return codes
}

// analyse is terminal action analysis [EMV B3 10.7].
func (m *Machine) analyse() Action {
	a := m.candidate.application
	denied := m.hits(m.codes(emv.TagIACDenial, a.TACDenial, 0))
	switch {
	case denied != (emv.TVR{}):
		return m.firstAC(emv.AAC)
	case m.tx.Purse != PurseNone:
		return m.firstAC(emv.ARQC)
	case m.stranded():
		return m.firstAC(emv.AAC)
	case m.withoutHost():
		if m.hits(m.codes(emv.TagIACDefault, a.TACDefault, 0xFF)) != (emv.TVR{}) {
			return m.firstAC(emv.AAC)
		}
		return m.firstAC(emv.TC)
	case m.config.onlineOnly(), m.tx.ForceOnline, m.cash.on && m.cash.runsLow(m.tx.Amount):
		return m.firstAC(emv.ARQC)
	case m.hits(m.codes(emv.TagIACOnline, a.TACOnline, 0xFF)) != (emv.TVR{}):
		return m.firstAC(emv.ARQC)
	}
	return m.firstAC(emv.TC)
}

// stranded: a terminal that may only ask the issuer cannot, and has no say of its own.
func (m *Machine) stranded() bool {
	return m.withoutHost() && m.config.onlineOnly() && !m.config.OnlineOnlyDefault
}

// cdol is the data of a CDOL, with the hash of the TDOL where the list asks for it [EMV B3 9.2.2].
func (m *Machine) cdol(tag tlv.Tag) []byte {
	list := m.dol(tag)
	if list.Has(emv.TagTCHash) {
		tdol := m.candidate.application.DefaultTDOL
		if m.records.Has(emv.TagTDOL) {
			tdol = m.dol(emv.TagTDOL)
		} else {
			m.tvr.Set(emv.TVRDefaultTDOL)
		}
		sum := oda.TransactionHash(m.build(tdol))
		m.terminal.Set(emv.TagTCHash, sum[:])
	}
	return m.build(list)
}

// firstAC asks for the first cryptogram.
func (m *Machine) firstAC(want emv.CID) Action {
	combined := m.combined() && want != emv.AAC
	if m.combined() && !combined {
		m.tvr.Set(emv.TVRODANotPerformed) // a refusal is not signed
	}
	m.asked, m.cdol1 = want, m.cdol(emv.TagCDOL1)
	reference := byte(want)
	if combined {
		reference |= combinedRequest
	}
	if want == emv.TC {
		m.stage = stageAsked
	}
	return m.send(apdu.GenerateAC(reference, m.cdol1), func(r apdu.Response) Action {
		if r.SW != apdu.OK {
			m.stage = stageOpen
			return m.broken(ReasonCommandRefused, r.SW.Term())
		}
		m.tsi.Set(emv.TSICardRiskPerformed)
		if why := m.readAC(r.Data, combined, m.pdolData, m.cdol1); why != ReasonNone {
			return m.broken(why, glossary.Term{})
		}
		m.first = m.last
		return m.firstAnswer()
	})
}

// readAC reads an answer to GENERATE AC and, when one was asked for, its signature [EMV B3 6.5.5.4]. sent is what went to the card
// before.
func (m *Machine) readAC(b []byte, combined bool, sent ...[]byte) Reason {
	template, rest, err := tlv.Next(b)
	if err != nil || len(rest) != 0 {
		return ReasonCardAnswerMalformed
	}
	var data emv.Data
	var covered []byte
	switch template.Tag {
	case emv.TagResponse1:
		const fixed = 1 + 2 + 8
		v := template.Value
		if len(v) < fixed || !emv.CheckLength(emv.TagIAD, len(v)-fixed) {
			return ReasonCardAnswerMalformed
		}
		data.Set(emv.TagCID, v[:1])
		data.Set(emv.TagATC, v[1:3])
		data.Set(emv.TagAC, v[3:fixed])
		if len(v) > fixed {
			data.Set(emv.TagIAD, v[fixed:])
		}
	case emv.TagResponse2:
		if data, err = emv.ParseData(template.Value); err != nil {
			return malformed(err)
		}
		for tag, value := range data.All() {
			if tag != emv.TagSDAD {
				covered = tlv.Append(covered, tag, value)
			}
		}
	default:
		return ReasonCardAnswerMalformed
	}
	if len(data.Get(emv.TagCID)) != 1 || len(data.Get(emv.TagATC)) != 2 {
		return ReasonMissingData
	}
	m.last = cryptogram{cid: emv.CID(data.Get(emv.TagCID)[0]), data: data}
	if combined && m.last.cid.Type() != emv.AAC {
		m.checkSignature(append(sent, covered))
	}
	if len(m.last.data.Get(emv.TagAC)) != 8 && !m.forged {
		return ReasonMissingData
	}
	return ReasonNone
}

// checkSignature verifies the signature and takes the cryptogram out of it.
func (m *Machine) checkSignature(covered [][]byte) {
	sdad, ok := m.last.data.Value(emv.TagSDAD)
	if !ok {
		m.odaEnds(&oda.Failure{Step: oda.StepCDA, Check: oda.CheckMissing})
		m.forged = true
		return
	}
	ac, ok := m.verifyCombined(sdad, m.last.cid, covered...)
	if m.forged = !ok; ok {
		m.last.data.Set(emv.TagAC, ac[:])
	}
}

// above: a card may answer with less than it was asked for, never with more [EMV B3 9.3].
func above(got, asked emv.CID) bool {
	rank := func(c emv.CID) int {
		switch c {
		case emv.AAC:
			return 0
		case emv.ARQC:
			return 1
		}
		return 2
	}
	return rank(got) > rank(asked)
}

func valid(c emv.CID) bool { return c == emv.AAC || c == emv.TC || c == emv.ARQC }

// firstAnswer decides on the card's first cryptogram [EMV B3 10.8].
func (m *Machine) firstAnswer() Action {
	got := m.last.cid.Type()
	switch {
	case !valid(got):
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	case above(got, m.asked):
		return m.broken(ReasonUnaskedCryptogram, glossary.Term{})
	case got == emv.AAC:
		return m.declinedOffline()
	case got == emv.TC && m.forged:
		return m.end(kernel.Declined, ReasonODAFailed, m.oda.Failure.Term())
	case got == emv.TC:
		return m.approvedOffline()
	case m.forged:
		// A card that cannot sign is not worth a question to the issuer [EMV B4].
		m.stage = stageOpen
		return m.secondAC(emv.AAC, arcDeclinedOffline)
	case m.withoutHost():
		return m.withoutAnswer()
	}
	m.stage = stageOpen
	return m.goOnline()
}

// Response codes that the terminal makes up when the host said nothing [EMV B4 Annex A6].
const (
	arcApprovedOffline = "Y1"
	arcDeclinedOffline = "Z1"
	arcApprovedNoHost  = "Y3"
	arcDeclinedNoHost  = "Z3"
)

func (m *Machine) setARC(arc string) { m.terminal.Set(emv.TagARC, []byte(arc)) }

func (m *Machine) approvedOffline() Action {
	m.setARC(arcApprovedOffline)
	m.stage = stageSealed
	if !m.cash.on {
		return m.conclude()
	}
	if m.cash.after = m.balanceSigned(); m.cash.after != nil {
		return m.conclude()
	}
	return m.weighAfter()
}

func (m *Machine) declinedOffline() Action {
	m.setARC(arcDeclinedOffline)
	switch {
	case m.last.cid.Reason() == reasonNoService:
		return m.end(kernel.Declined, ReasonServiceNotAllowed, glossary.Term{})
	case m.asked == emv.AAC && m.stranded():
		return m.end(kernel.Declined, ReasonHostSilent, glossary.Term{})
	case m.asked == emv.AAC:
		return m.end(kernel.Declined, ReasonTerminalDeclined, m.findings())
	}
	return m.end(kernel.Declined, ReasonCardDeclined, glossary.Term{})
}

// findings names what the action codes ruled out.
func (m *Machine) findings() glossary.Term {
	a := m.candidate.application
	hits := m.hits(m.codes(emv.TagIACDenial, a.TACDenial, 0))
	if hits == (emv.TVR{}) {
		hits = m.hits(m.codes(emv.TagIACDefault, a.TACDefault, 0xFF))
	}
	return glossary.Term{EN: strings.Join(hits.Names(glossary.English), "; "), ZH: strings.Join(hits.Names(glossary.Chinese), "；")}
}
