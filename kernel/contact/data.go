package contact

import (
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/tlv"
)

// cardTags and terminalTags make up the data record: field 55, then what else the host and the receipt need [REF 6.1].
var (
	cardTags = [...]tlv.Tag{emv.TagAC, emv.TagCID, emv.TagIAD, emv.TagATC, emv.TagAIP, emv.TagCardProduct, emv.TagECAuthCode,
		emv.TagTrack2, emv.TagPAN, emv.TagExpiryDate, emv.TagPANSequence, emv.TagCardholderName, emv.TagServiceCode}
	terminalTags = [...]tlv.Tag{emv.TagUnpredictableNumber, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount,
		emv.TagCurrency, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities, emv.TagCVMResults, emv.TagTerminalType,
		emv.TagDeviceSerial, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagTransactionTime, emv.TagTSI, emv.TagARC}
)

// dataRecord is what the acquirer gets. Verification results and the like are those that the last cryptogram covers.
func (m *Machine) dataRecord() emv.Data {
	var d emv.Data
	if m.candidate.application == nil {
		return d
	}
	if m.last.data.Len() == 0 {
		m.refresh()
	}
	card := emv.Sources{m.last.data, m.records, m.options}
	for _, tag := range cardTags {
		if value, ok := card.Value(tag); ok {
			d.Set(tag, value)
		}
	}
	for _, tag := range terminalTags {
		if value, ok := m.terminal.Value(tag); ok {
			d.Set(tag, value)
		}
	}
	d.Set(emv.TagDFName, m.candidate.AID.Bytes())
	var results []byte
	for _, r := range m.scripts.results() {
		results = append(results, r.Bytes()...)
	}
	if len(results) > 0 {
		d.Set(emv.TagScriptResults, results)
	}
	return d
}

// discretionary is what only this terminal needs: the application's name for the receipt.
func (m *Machine) discretionary() emv.Data {
	var d emv.Data
	for _, tag := range [...]tlv.Tag{emv.TagApplicationLabel, emv.TagPreferredName} {
		value, ok := tlv.Find(m.fci, emv.TagFCI, emv.TagFCIProprietary, tag)
		if ok && emv.CheckLength(tag, len(value)) {
			d.Set(tag, value)
		}
	}
	return d
}

func (m *Machine) newOutcome(kind kernel.OutcomeKind, why Reason, detail glossary.Term) Outcome {
	return Outcome{
		Kind: kind, Reason: why, Detail: detail, UI: screen(kind, why, m.cvm.signature), Cryptogram: m.last.cid,
		TVR: m.tvr, TSI: m.tsi, CVM: m.cvm.results, OnlinePIN: m.cvm.onlinePIN, Signature: m.cvm.signature && kind == kernel.Approved,
		ODA: m.oda, Method: m.method, Online: m.online, HostApproved: m.host.Approved, Scripts: m.scripts.results(),
		ElectronicCash: m.cash.on, BalanceBefore: m.cash.before, BalanceAfter: m.cash.after,
		Data: m.dataRecord(), Discretionary: m.discretionary(),
	}
}

// screen is what an outcome shows [EMV B4] [REF 7.2].
func screen(kind kernel.OutcomeKind, why Reason, signature bool) kernel.UIRequest {
	u := kernel.UIRequest{Message: kernel.MessageProcessingError, Status: kernel.StatusProcessingError}
	switch {
	case kind == kernel.Approved && signature:
		u = kernel.UIRequest{Message: kernel.MessageApprovedSign, Status: kernel.StatusCardRead}
	case kind == kernel.Approved:
		u = kernel.UIRequest{Message: kernel.MessageApproved, Status: kernel.StatusCardRead}
	case kind == kernel.Declined:
		u = kernel.UIRequest{Message: kernel.MessageNotAuthorised, Status: kernel.StatusCardRead}
	case kind == kernel.TryAgain:
		u.Message = kernel.MessageInsertCard
	case why == ReasonCancelled, why == ReasonPINWrong:
		u = kernel.UIRequest{Message: kernel.MessageRemoveCard, Status: kernel.StatusCardRead}
	}
	return u
}

// NewOutcome is an outcome without a card's data, for a terminal whose dialogue never began.
func NewOutcome(kind kernel.OutcomeKind, why Reason, detail glossary.Term) Outcome {
	return Outcome{Kind: kind, Reason: why, Detail: detail, UI: screen(kind, why, false)}
}
