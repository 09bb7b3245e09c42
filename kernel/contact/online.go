package contact

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
)

// goOnline asks the issuer [EMV B3 10.9].
func (m *Machine) goOnline() Action {
	m.online = true
	question := &Online{Data: m.dataRecord(), OnlinePIN: m.cvm.onlinePIN, Signature: m.cvm.signature, Purse: m.tx.Purse, Cash: m.cash.on}
	return m.ask(Action{Online: question}, func(ev Event) Action {
		switch ev := ev.(type) {
		case HostSilent:
			return m.withoutAnswer()
		case HostAnswer:
			return m.hostSaid(ev)
		}
		panic(unexpected(ev))
	})
}

// withoutAnswer decides when the issuer could not be asked [EMV B3 10.7].
func (m *Machine) withoutAnswer() Action {
	a := m.candidate.application
	stranded := m.config.onlineOnly() && !m.config.OnlineOnlyDefault
	switch {
	case m.tx.Purse != PurseNone, stranded, m.cvm.onlinePIN, m.hits(m.codes(emv.TagIACDefault, a.TACDefault, 0xFF)) != (emv.TVR{}):
		// A PIN that only the issuer can check has been checked by nobody.
		m.stage = stageOpen
		return m.secondAC(emv.AAC, arcDeclinedNoHost)
	}
	m.stage = stageAsked
	return m.secondAC(emv.TC, arcApprovedNoHost)
}

// hostSaid goes through issuer authentication, scripts and the second cryptogram [EMV B3 10.9] [EMV B3 10.10].
func (m *Machine) hostSaid(h HostAnswer) Action {
	h.IssuerAuth, h.Scripts = clone(h.IssuerAuth), clone(h.Scripts)
	m.host = h
	if h.Approved {
		m.stage = stageHost
	}
	m.setARC(string(h.ARC[:]))
	if h.Code != "" {
		m.terminal.Set(emv.TagAuthorisationCode, []byte(h.Code))
	}
	if len(h.IssuerAuth) > 0 {
		m.terminal.Set(emv.TagIssuerAuthData, h.IssuerAuth)
	}
	m.loadScripts(h.Scripts)
	if !emv.CheckLength(emv.TagIssuerAuthData, len(h.IssuerAuth)) || !m.aip.Has(emv.AIPIssuerAuthentication) {
		return m.runScripts(false, m.finalAC) // the second GENERATE AC may carry it
	}
	return m.send(apdu.ExternalAuthenticate(h.IssuerAuth), func(r apdu.Response) Action {
		m.tsi.Set(emv.TSIIssuerAuthPerformed)
		if r.SW != apdu.OK {
			m.tvr.Set(emv.TVRIssuerAuthFailed)
		}
		return m.runScripts(false, m.finalAC)
	})
}

func (m *Machine) finalAC() Action {
	if m.host.Approved {
		return m.secondAC(emv.TC, string(m.host.ARC[:]))
	}
	return m.secondAC(emv.AAC, string(m.host.ARC[:]))
}

// secondAC asks for the final cryptogram.
func (m *Machine) secondAC(want emv.CID, arc string) Action {
	m.setARC(arc)
	combined := m.combined() && want == emv.TC
	m.asked = want
	data := m.cdol(emv.TagCDOL2)
	reference := byte(want)
	if combined {
		reference |= combinedRequest
	}
	return m.send(apdu.GenerateAC(reference, data), func(r apdu.Response) Action {
		if r.SW != apdu.OK {
			return m.broken(ReasonCommandRefused, r.SW.Term())
		}
		if why := m.readAC(r.Data, combined, m.pdolData, m.cdol1, data); why != ReasonNone {
			return m.broken(why, glossary.Term{})
		}
		got := m.last.cid.Type()
		switch {
		case got != emv.AAC && got != emv.TC:
			return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
		case above(got, want):
			return m.broken(ReasonUnaskedCryptogram, glossary.Term{})
		}
		m.stage = stageSealed
		return m.runScripts(true, m.weighAfter)
	})
}

// conclude is the outcome of a payment whose last cryptogram is there.
func (m *Machine) conclude() Action {
	kind, why, detail := m.verdict()
	a := m.end(kind, why, detail)
	a.Outcome.Reverse = kind != kernel.Approved && m.reversible()
	a.Outcome.Uncertain = why == ReasonLoadUnknown
	return a
}

// reversible: what the host has booked is undone by a reversal. Loads have none: their script result says what became of them
// [REF 5].
func (m *Machine) reversible() bool {
	return m.host.Approved && (m.tx.Purse == PurseNone || m.tx.Purse == PurseCashLoadVoid)
}

func (m *Machine) verdict() (kernel.OutcomeKind, Reason, glossary.Term) {
	none := glossary.Term{}
	approved := m.last.cid.Type() == emv.TC
	switch {
	case m.forged:
		return kernel.Declined, ReasonODAFailed, m.oda.Failure.Term()
	case approved && m.tx.Purse != PurseNone:
		return m.purseVerdict()
	case approved && m.host.Approved:
		return kernel.Approved, ReasonIssuerApproved, none
	case approved && m.cash.on:
		return kernel.Approved, ReasonCashApproved, none
	case approved && m.asked == emv.TC && m.first.cid.Type() == emv.TC:
		return kernel.Approved, ReasonApproved, none
	case approved:
		return kernel.Approved, ReasonApprovedWithoutHost, none
	case m.host.Approved:
		return kernel.Declined, ReasonCardDeclinedHost, none
	case m.host.ARC != [2]byte{}:
		return m.refusedByHost()
	}
	return kernel.Declined, ReasonHostSilent, none
}

func (m *Machine) refusedByHost() (kernel.OutcomeKind, Reason, glossary.Term) {
	arc := printable(string(m.host.ARC[:]))
	return kernel.Declined, ReasonIssuerDeclined, glossary.Term{EN: "response code " + arc, ZH: "应答码 " + arc}
}

// printable keeps a response code to what a receipt can show.
func printable(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// purseVerdict compares the purse with what it should hold.
func (m *Machine) purseVerdict() (kernel.OutcomeKind, Reason, glossary.Term) {
	none := glossary.Term{}
	want := m.tx.Purse.after(m.cash.before.Minor(), m.tx.Amount.Minor())
	switch after := m.cash.after; {
	case after == nil && !m.scripts.anySent():
		return kernel.Declined, ReasonNotLoaded, none
	case after == nil:
		return kernel.EndApplication, ReasonLoadUnknown, none
	case after.Minor() == want && want < m.cash.before.Minor():
		return kernel.Approved, ReasonUnloaded, none
	case after.Minor() == want:
		return kernel.Approved, ReasonLoaded, none
	}
	return kernel.Declined, ReasonNotLoaded, none
}
