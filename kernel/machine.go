package kernel

import (
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/tlv"
)

// state is what the machine waits for.
type state uint8

const (
	stateNew state = iota
	stateOptions
	stateRecords
	stateTorn // the card left while records of an approved payment were read
	stateDone
)

// Machine runs one payment with one selected application. It is for one goroutine.
type Machine struct {
	config Config
	tx     Transaction
	sel    Selection
	state  state

	terminal emv.Data // what the terminal says in PDOL and field 55
	answer   emv.Data // template 77
	records  emv.Data // contents of the records
	pdol     emv.DOL
	extended emv.ExtendedIndicator // DF61 of the FCI
	cid      emv.CID
	ctq      emv.CTQ
	hasCTQ   bool

	list     []emv.AFLRecord
	next     int // index in list of the record awaited
	signed   []oda.Record
	identity Identity

	lastProves bool       // see LastProves
	opened     Opened     // a full dialogue instead of a payment of this kernel
	icc        oda.ICCKey // recovered from what has been read so far; zero: not yet
}

// Identity is the record that held the account number, to recognise the card again.
type Identity struct {
	Record emv.AFLRecord
	Raw    []byte // the whole answer without status word
}

// New prepares a payment. The transaction has passed Check: one that has not panics.
func New(cfg Config, tx Transaction, sel Selection) *Machine {
	if err := tx.Check(); err != nil {
		panic("kernel: " + err.Error())
	}
	return &Machine{config: cfg, tx: tx, sel: sel}
}

// Format prints the progress only: a machine holds card data.
func (m *Machine) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "kernel.Machine{"+m.sel.AID.String()+"}")
}

// Start returns the first action: GET PROCESSING OPTIONS, or Select Next when the application is not made for this kernel.
func (m *Machine) Start() Action {
	if m.state != stateNew {
		panic("kernel: Start called twice")
	}
	pdol, ok := m.readFCI()
	if !ok || !pdol.Has(emv.TagTTQ) || pdol.Length() > apdu.MaxPDOLBytes {
		// Without 9F66 the card cannot know that this is a QuickPass reader [REF 2.1].
		return m.end(SelectNext, ReasonNotThisKernel, glossary.Term{})
	}
	m.pdol = pdol
	m.terminal = m.terminalData()
	m.state = stateOptions
	return send(apdu.GPO(pdol.Build(make([]byte, 0, apdu.MaxPDOLBytes), m.terminal)))
}

// Next takes the card's answer to the last command. Calling it when no command is out is a bug and panics.
func (m *Machine) Next(ev Event) Action {
	if m.state != stateOptions && m.state != stateRecords {
		panic("kernel: Next called without a command")
	}
	if ev == nil {
		panic("kernel: no event")
	}
	r, ok := ev.(Response)
	if !ok {
		return m.lost()
	}
	response, err := apdu.ParseResponse(r.Data)
	if err != nil {
		return m.end(EndApplication, ReasonCardAnswerMalformed, glossary.Term{})
	}
	if m.state == stateOptions {
		if response.SW == apdu.OK && m.tx.TTQ.Has(emv.TTQFullContactless) && opensFullDialogue(response.Data) {
			m.open(r.Data)
			return m.otherInterface(EndApplication, ReasonFullDialogue, glossary.Term{})
		}
		return m.options(response)
	}
	return m.record(response)
}

func send(c apdu.Command) Action { return Action{Send: &c} }

// readFCI finds the PDOL and the extended application indicator in the answer to SELECT [EMV B1 11.3.4].
func (m *Machine) readFCI() (emv.DOL, bool) {
	proprietary, ok := tlv.Find(m.sel.FCI, emv.TagFCI, emv.TagFCIProprietary)
	if !ok {
		return nil, false
	}
	if b, found := tlv.Find(proprietary, emv.TagFCIDiscretionary, emv.TagExtendedIndicator); found {
		if indicator, err := emv.ParseExtendedIndicator(b); err == nil {
			m.extended = indicator
		}
	}
	b, ok := tlv.Find(proprietary, emv.TagPDOL)
	if !ok {
		return nil, false
	}
	pdol, err := emv.ParseDOL(b)
	return pdol, err == nil
}

// lost is what becomes of a card that left. Once it has approved, only the card knows whether it has paid: it pays when it
// answers the last record [REF 2.4].
func (m *Machine) lost() Action {
	if m.state == stateRecords && m.cid == emv.TC {
		a := m.end(TryAgain, ReasonTorn, glossary.Term{})
		m.state = stateTorn
		return a
	}
	return m.end(TryAgain, ReasonCardRemoved, glossary.Term{})
}

// options judges the answer to GET PROCESSING OPTIONS [REF 2.7].
func (m *Machine) options(r apdu.Response) Action {
	if r.SW != apdu.OK {
		return m.refused(r.SW)
	}
	if why := m.readOptions(r.Data); why != ReasonNone {
		return m.end(EndApplication, why, glossary.Term{})
	}
	if aip, err := emv.ParseAIP(m.answer.Get(emv.TagAIP)); err != nil || aip.Has(emv.AIPFullContactless) {
		return m.otherInterface(EndApplication, ReasonFullDialogue, glossary.Term{})
	}
	switch m.cid {
	case emv.AAC:
		return m.end(Declined, ReasonCardDeclined, glossary.Term{})
	case emv.ARQC:
		if m.offlineOnly() {
			return m.end(Declined, ReasonOnlineNotPossible, glossary.Term{})
		}
	case emv.TC:
		if m.tx.TTQ.Has(emv.TTQOnlineCryptogramRequired) && !m.config.AllowUnaskedTC {
			return m.end(Declined, ReasonUnaskedApproval, glossary.Term{})
		}
	}
	if len(m.list) == 0 {
		return m.decide()
	}
	m.state = stateRecords
	return m.readNext()
}

// refused maps the status words of GET PROCESSING OPTIONS [REF 2.7].
func (m *Machine) refused(sw apdu.SW) Action {
	switch {
	case sw == apdu.CommandNotAllowed:
		return m.end(TryAgain, ReasonSeePhone, sw.Term())
	case sw == apdu.PINBlockedBefore && m.config.PINBlockedDeclines:
		return m.end(Declined, ReasonPINBlocked, sw.Term())
	case sw == apdu.PINBlockedBefore:
		return m.end(TryAnotherInterface, ReasonPINBlocked, sw.Term())
	}
	return m.otherInterface(EndApplication, ReasonCardRefused, sw.Term())
}

// otherInterface ends with the contact interface where the reader has one.
func (m *Machine) otherInterface(otherwise OutcomeKind, why Reason, detail glossary.Term) Action {
	if m.tx.TTQ.Has(emv.TTQContact) {
		return m.end(TryAnotherInterface, why, detail)
	}
	return m.end(otherwise, why, detail)
}

func (m *Machine) offlineOnly() bool { return m.tx.TTQ.Has(emv.TTQOfflineOnly) }

// Tags a reader cannot do without, by decision of the card [REF 2.3], with their lengths.
var (
	always   = [...]emv.DOLEntry{{Tag: emv.TagAIP, Len: 2}, {Tag: emv.TagATC, Len: 2}, {Tag: emv.TagAC, Len: 8}}
	optional = [...]emv.DOLEntry{{Tag: emv.TagCTQ, Len: 2}, {Tag: emv.TagCID, Len: 1}, {Tag: emv.TagPANSequence, Len: 1},
		{Tag: emv.TagAvailableOffline, Len: 6}, {Tag: emv.TagCardProduct, Len: 16}}
)

// readOptions reads template 77; ReasonNone: all is well.
func (m *Machine) readOptions(b []byte) Reason {
	template, rest, err := tlv.Next(b)
	if err != nil || len(rest) != 0 || template.Tag != emv.TagResponse2 {
		return ReasonCardAnswerMalformed // format 1, template 80, is not for this path [REF 2.3]
	}
	if m.answer, err = emv.ParseData(template.Value); err != nil {
		return malformed(err)
	}
	for _, want := range always {
		if len(m.answer.Get(want.Tag)) != want.Len {
			return ReasonMissingData
		}
	}
	for _, may := range optional {
		if value, ok := m.answer.Value(may.Tag); ok && len(value) != may.Len {
			return ReasonCardAnswerMalformed
		}
	}
	iad := m.answer.Get(emv.TagIAD)
	if len(iad) == 0 || !emv.CheckLength(emv.TagIAD, len(iad)) {
		return ReasonMissingData
	}
	if why := m.readCID(iad); why != ReasonNone {
		return why
	}
	if b, ok := m.answer.Value(emv.TagCTQ); ok {
		m.ctq, m.hasCTQ = emv.CTQ(b), true
	}
	if m.answer.Has(emv.TagTrack2) {
		if _, ok := cardPAN(m.answer); !ok {
			return ReasonCardAnswerMalformed
		}
	} else if m.cid == emv.ARQC {
		return ReasonMissingData
	}
	return m.readAFL()
}

func malformed(err error) Reason {
	if errors.Is(err, emv.ErrDuplicateTag) {
		return ReasonDuplicateData
	}
	return ReasonCardAnswerMalformed
}

// readCID finds the kind of cryptogram, in 9F27 or in the card verification results [REF 1.8]. Where both are there they agree.
func (m *Machine) readCID(iad []byte) Reason {
	said, known := emv.IADCryptogramType(iad)
	if b := m.answer.Get(emv.TagCID); len(b) == 1 {
		m.cid = emv.CID(b[0]).Type()
		if known && said.Type() != m.cid {
			return ReasonContradictoryData
		}
		known = true
	} else {
		m.cid = said.Type()
	}
	switch {
	case !known:
		return ReasonMissingData
	case m.cid != emv.AAC && m.cid != emv.TC && m.cid != emv.ARQC:
		return ReasonCardAnswerMalformed
	}
	return ReasonNone
}

// readAFL lists the records to read.
func (m *Machine) readAFL() Reason {
	b, ok := m.answer.Value(emv.TagAFL)
	if !ok || len(b) == 0 && m.cid != emv.TC {
		if m.cid == emv.TC {
			return ReasonMissingData
		}
		return ReasonNone
	}
	afl, err := emv.ParseAFL(b)
	if err != nil {
		return ReasonCardAnswerMalformed
	}
	if afl.Len() > MaxRecords {
		return ReasonTooManyRecords
	}
	m.list = make([]emv.AFLRecord, 0, afl.Len())
	for r := range afl.Records() {
		m.list = append(m.list, r)
	}
	return ReasonNone
}

func (m *Machine) readNext() Action {
	r := m.list[m.next]
	return send(apdu.ReadRecord(r.SFI, r.Number))
}

// record takes one record; after the last the card may leave and the reader decides.
func (m *Machine) record(r apdu.Response) Action {
	if r.SW != apdu.OK {
		return m.end(EndApplication, ReasonRecordRefused, r.SW.Term())
	}
	if why := m.addRecord(m.list[m.next], r.Data); why != ReasonNone {
		return m.end(EndApplication, why, glossary.Term{})
	}
	if m.next++; m.next == len(m.list) {
		return m.decide()
	}
	if v, hopeless := m.foresee(); hopeless {
		return m.finish(v)
	}
	return m.readNext()
}

// addRecord merges a record. A data object may stand in one record only; one that the card has told before, in the answer to
// GET PROCESSING OPTIONS, must be the same [EMV B3 10.2].
func (m *Machine) addRecord(at emv.AFLRecord, b []byte) Reason {
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
		if told, ok := m.answer.Value(tag); ok && string(told) != string(value) {
			return ReasonContradictoryData
		}
		if m.records.Len() == emv.MaxDataElements {
			return ReasonCardAnswerMalformed
		}
		m.records.Set(tag, value)
	}
	if m.LastAsked() {
		m.lastProves = data.Has(emv.TagCardAuthData) || data.Has(emv.TagSDAD)
	}
	if data.Has(emv.TagPAN) {
		m.identity = Identity{Record: at, Raw: append([]byte(nil), b...)}
	}
	if at.Signed || data.Has(emv.TagSDATagList) || data.Has(emv.TagIssuerRemainder) || data.Has(emv.TagICCRemainder) {
		m.icc = oda.ICCKey{} // the chain covers more than it did
	}
	if at.Signed {
		m.signed = append(m.signed, oda.Record{SFI: at.SFI, Raw: append([]byte(nil), b...)})
	}
	return ReasonNone
}
