package contact

import (
	"encoding/binary"
	"errors"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/tlv"
)

// initiate prepares the terminal's data and, for the purse, asks for its state first [EMV B3 10.1] [REF 5].
func (m *Machine) initiate() Action {
	m.begin()
	if m.tx.Purse != PurseNone {
		return m.inspectPurse()
	}
	return m.getOptions()
}

func (m *Machine) begin() {
	m.tvr, m.tsi, m.cvm, m.cash = emv.TVR{}, emv.TSI{}, verification{}, cash{}
	m.cvm.results = emv.NewCVMResults(emv.CVMNotPerformed, emv.CVMAlways, emv.CVMResultUnknown)
}

func (m *Machine) getOptions() Action {
	m.terminal = m.objects()
	m.refresh()
	var pdol emv.DOL
	if b, ok := tlv.Find(m.fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagPDOL); ok {
		pdol, _ = emv.ParseDOL(b) // readFCI has parsed it
	}
	m.pdolData = pdol.Build(nil, m.terminal)
	return m.send(apdu.GPO(m.pdolData), m.readOptions)
}

// objects is what the terminal says. It changes as the dialogue goes on: see refresh.
func (m *Machine) objects() emv.Data {
	a := m.candidate.application
	d := m.config.Terminal.Objects(m.tx.Transaction)
	d.Set(emv.TagTTQ, m.tx.TTQ[:])
	d.Set(emv.TagTerminalAID, m.candidate.AID.Bytes())
	d.Set(emv.TagAmountBinary, binary.BigEndian.AppendUint32(nil, uint32(min(m.tx.Amount.Minor(), 1<<32-1))))
	d.Set(emv.TagAmountOtherBinary, binary.BigEndian.AppendUint32(nil, uint32(min(m.tx.Other.Minor(), 1<<32-1))))
	d.Set(emv.TagFloorLimit, binary.BigEndian.AppendUint32(nil, uint32(max(0, min(a.FloorLimit.Minor(), 1<<32-1)))))
	cash := byte(0)
	if m.offersCash() {
		cash = 1
	}
	d.Set(emv.TagECTerminalSupport, []byte{cash})
	return d
}

// offersCash: electronic cash is for purchases up to the terminal's limit [REF 2.9].
func (m *Machine) offersCash() bool {
	limit := m.candidate.application.ECLimit
	return m.tx.Purse == PurseNone && m.tx.Type == 0 && !m.tx.ForceOnline && !m.config.Terminal.NoElectronicCash &&
		limit.Currency() == m.tx.Amount.Currency() && m.tx.Amount.Cmp(limit) <= 0
}

// refresh writes the findings so far into the terminal's data.
func (m *Machine) refresh() {
	m.terminal.Set(emv.TagTVR, m.tvr[:])
	m.terminal.Set(emv.TagTSI, m.tsi[:])
	m.terminal.Set(emv.TagCVMResults, m.cvm.results[:])
}

// readOptions reads the answer to GET PROCESSING OPTIONS, in both formats [EMV B3 6.5.8].
func (m *Machine) readOptions(r apdu.Response) Action {
	switch {
	case r.SW == apdu.ConditionsNotSatisfied:
		return m.without(r.SW.Term()) // the card wants another of its applications to be used [EMV B3 10.1]
	case r.SW != apdu.OK:
		return m.broken(ReasonCardRefused, r.SW.Term())
	}
	template, rest, err := tlv.Next(r.Data)
	if err != nil || len(rest) != 0 {
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	switch template.Tag {
	case emv.TagResponse1:
		const aipBytes = 2
		if len(template.Value) < aipBytes {
			return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
		}
		m.options.Set(emv.TagAIP, template.Value[:aipBytes])
		m.options.Set(emv.TagAFL, template.Value[aipBytes:])
	case emv.TagResponse2:
		if m.options, err = emv.ParseData(template.Value); err != nil {
			return m.broken(malformed(err), glossary.Term{})
		}
	default:
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	return m.readAFL()
}

func malformed(err error) Reason {
	if errors.Is(err, emv.ErrDuplicateTag) {
		return ReasonDuplicateData
	}
	return ReasonCardAnswerMalformed
}

func (m *Machine) readAFL() Action {
	if !m.options.Has(emv.TagAIP) || !m.options.Has(emv.TagAFL) {
		return m.broken(ReasonMissingData, glossary.Term{})
	}
	aip, err := emv.ParseAIP(m.options.Get(emv.TagAIP))
	if err != nil {
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	afl, err := emv.ParseAFL(m.options.Get(emv.TagAFL))
	if err != nil {
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	if afl.Len() > MaxRecords {
		return m.broken(ReasonTooManyRecords, glossary.Term{})
	}
	m.aip = aip
	for r := range afl.Records() {
		m.list = append(m.list, r)
	}
	return m.readNext()
}

func (m *Machine) readNext() Action {
	at := m.list[m.next]
	return m.send(apdu.ReadRecord(at.SFI, at.Number), m.record)
}

// record merges a record [EMV B3 10.2].
func (m *Machine) record(r apdu.Response) Action {
	at := m.list[m.next]
	if r.SW != apdu.OK {
		return m.broken(ReasonRecordRefused, r.SW.Term())
	}
	if at.SFI <= maxDirectoryFile { // files from 11 on are laid out as their owner likes
		if why := m.addRecord(r.Data); why != ReasonNone {
			return m.broken(why, glossary.Term{})
		}
	}
	if m.records.Has(emv.TagPAN) && len(m.identity.Raw) == 0 {
		m.identity = kernel.Identity{Record: at, Raw: clone(r.Data)}
	}
	if at.Signed {
		m.signed = append(m.signed, oda.Record{SFI: at.SFI, Raw: clone(r.Data)})
	}
	if m.next++; m.next < len(m.list) {
		return m.readNext()
	}
	for _, tag := range [...]tlv.Tag{emv.TagExpiryDate, emv.TagPAN, emv.TagCDOL1, emv.TagCDOL2} {
		if !m.records.Has(tag) {
			return m.broken(ReasonMissingData, glossary.Term{})
		}
	}
	if why := m.checkRecords(); why != ReasonNone {
		return m.broken(why, glossary.Term{})
	}
	return m.readCash()
}

func (m *Machine) addRecord(b []byte) Reason {
	template, rest, err := tlv.Next(b)
	if err != nil || len(rest) != 0 || template.Tag != emv.TagRecord {
		return ReasonCardAnswerMalformed
	}
	data, err := emv.ParseData(template.Value)
	if err != nil {
		return malformed(err)
	}
	for tag, value := range data.All() {
		if m.records.Has(tag) {
			return ReasonDuplicateData
		}
		if told, ok := m.options.Value(tag); ok && string(told) != string(value) {
			return ReasonContradictoryData
		}
		if m.records.Len() == emv.MaxDataElements {
			return ReasonCardAnswerMalformed
		}
		m.records.Set(tag, value)
	}
	return ReasonNone
}

// checkRecords parses once what everything else relies on.
func (m *Machine) checkRecords() Reason {
	number, ok := m.pan()
	if !ok {
		return ReasonCardAnswerMalformed
	}
	if _, ok := kernel.Date(m.records.Get(emv.TagExpiryDate)); !ok {
		return ReasonCardAnswerMalformed
	}
	for _, tag := range [...]tlv.Tag{emv.TagCDOL1, emv.TagCDOL2, emv.TagDDOL, emv.TagTDOL} {
		if b, ok := m.records.Value(tag); ok {
			if _, err := emv.ParseDOL(b); err != nil {
				return ReasonCardAnswerMalformed
			}
		}
	}
	record := kernel.Outcome{Data: m.records}
	// Track 2 is not signed: it must not name another account than the signed number.
	if track, ok := record.Track2(); ok && track.PAN() != number {
		return ReasonContradictoryData
	}
	return ReasonNone
}

// dol parses a list that checkRecords has looked at.
func (m *Machine) dol(tag tlv.Tag) emv.DOL {
	dol, err := emv.ParseDOL(m.records.Get(tag))
	if err != nil {
		panic("contact: list was checked: " + err.Error())
	}
	return dol
}

// build is the data of a list out of everything known.
func (m *Machine) build(dol emv.DOL) []byte {
	m.refresh()
	return dol.Build(nil, m.terminal, m.last.data, m.records, m.options)
}

func currencyNumber(c money.Currency) uint16 {
	n := c.Number()
	return uint16(n/1000<<12 | n/100%10<<8 | n/10%10<<4 | n%10)
}
