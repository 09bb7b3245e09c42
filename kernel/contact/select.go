package contact

import (
	"slices"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/tlv"
)

// selection is the search for an application [EMV B1 12.3].
type selection struct {
	candidates []Candidate
	file       byte // of the directory
	record     byte
	own        int // index of the terminal's application in the list of names
	selects    int
	blocked    bool          // an application that would do is blocked
	refused    glossary.Term // why the last one did not do
	chosen     int
}

const (
	maxDirectoryFile = 10 // [EMV B1 12.2.3]
	priorityMask     = 0x0F
	confirmBit       = 0x80
	noPriority       = 16 // behind 1 to 15
)

// directory judges the answer to SELECT of the payment system environment.
func (m *Machine) directory(r apdu.Response) Action {
	if r.SW == apdu.FunctionNotSupported {
		return m.end(kernel.EndApplication, ReasonCardBlocked, r.SW.Term())
	}
	file, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary, emv.TagSFI)
	if r.SW != apdu.OK || !ok || len(file) != 1 || file[0] == 0 || file[0] > maxDirectoryFile {
		return m.listNames()
	}
	m.selection.file, m.selection.record = file[0], 0
	return m.readDirectory()
}

func (m *Machine) readDirectory() Action {
	s := &m.selection
	if s.record++; s.record > MaxDirectoryRecords {
		return m.endDirectory()
	}
	return m.send(apdu.ReadRecord(s.file, s.record), m.directoryRecord)
}

func (m *Machine) endDirectory() Action {
	if len(m.selection.candidates) == 0 {
		return m.listNames()
	}
	return m.choose(false)
}

// directoryRecord collects entries. A directory that cannot be read is as good as none [EMV B1 12.3.2].
func (m *Machine) directoryRecord(r apdu.Response) Action {
	if r.SW == apdu.RecordNotFound {
		return m.endDirectory()
	}
	list, ok := tlv.Find(r.Data, emv.TagRecord)
	if r.SW != apdu.OK || !ok {
		return m.listNames()
	}
	for e, err := range tlv.All(list) {
		if err != nil {
			return m.listNames()
		}
		if e.Tag != emv.TagApplicationTemplate {
			continue
		}
		entry, err := emv.ParseData(e.Value)
		if err != nil {
			continue
		}
		if aid, err := emv.ParseAID(entry.Get(emv.TagAID)); err == nil {
			m.addCandidate(aid, entry)
		}
	}
	return m.readDirectory()
}

// addCandidate keeps an application that the terminal has as well [EMV B1 12.3.1]. Of several own applications that match, the one
// with the longest name has the most particular parameters.
func (m *Machine) addCandidate(aid emv.AID, entry emv.Source) {
	var best *Application
	for i := range m.config.Applications {
		a := &m.config.Applications[i]
		if aid.Matches(a.AID, !a.ExactOnly) && (best == nil || len(a.AID) > len(best.AID)) {
			best = a
		}
	}
	s := &m.selection
	known := slices.ContainsFunc(s.candidates, func(c Candidate) bool { return c.AID == aid })
	if best == nil || known || len(s.candidates) == MaxCandidates {
		return
	}
	c := Candidate{AID: aid, application: best}
	text := func(tag tlv.Tag) string {
		value, _ := entry.Value(tag)
		if !emv.CheckLength(tag, len(value)) {
			return ""
		}
		return string(value)
	}
	c.Label, c.PreferredName = text(emv.TagApplicationLabel), text(emv.TagPreferredName)
	if b, _ := entry.Value(emv.TagCodeTable); len(b) == 1 {
		c.CodeTable = b[0]
	}
	if b, _ := entry.Value(emv.TagPriority); len(b) == 1 {
		c.Priority, c.Confirm = b[0]&priorityMask, b[0]&confirmBit != 0
	}
	s.candidates = append(s.candidates, c)
}

// listNames tries the terminal's applications by name [EMV B1 12.3.3].
func (m *Machine) listNames() Action {
	m.selection.candidates, m.selection.own = nil, -1
	return m.nextName()
}

func (m *Machine) nextName() Action {
	s := &m.selection
	if s.own++; s.own >= len(m.config.Applications) {
		return m.choose(false)
	}
	return m.selectName(apdu.Select(m.config.Applications[s.own].AID.Bytes()))
}

func (m *Machine) selectName(c apdu.Command) Action {
	if m.selection.selects++; m.selection.selects > maxSelections {
		return m.choose(false)
	}
	return m.send(c, m.named)
}

// named judges an answer to SELECT or SELECT NEXT by name.
func (m *Machine) named(r apdu.Response) Action {
	s := &m.selection
	own := &m.config.Applications[s.own]
	if r.SW == apdu.FunctionNotSupported && s.selects == 1 {
		return m.end(kernel.EndApplication, ReasonCardBlocked, r.SW.Term())
	}
	if r.SW != apdu.OK && r.SW != apdu.ApplicationBlocked {
		return m.nextName()
	}
	name, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagDFName)
	aid, err := emv.ParseAID(name)
	if !ok || err != nil {
		return m.nextName()
	}
	if aid.Matches(own.AID, !own.ExactOnly) {
		proprietary, _ := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary)
		if r.SW == apdu.ApplicationBlocked {
			s.blocked = true
		} else if entry, err := emv.ParseData(proprietary); err == nil {
			m.addCandidate(aid, entry)
		}
	}
	if aid == own.AID {
		return m.nextName()
	}
	return m.selectName(apdu.SelectNext(own.AID.Bytes()))
}

// choose is final selection [EMV B1 12.4]: the cardholder's choice where there is one, else the card's order.
func (m *Machine) choose(again bool) Action {
	s := &m.selection
	slices.SortStableFunc(s.candidates, func(a, b Candidate) int { return a.rank() - b.rank() })
	if !m.config.Selectable {
		// Nobody can confirm here what the card wants confirmed.
		s.candidates = slices.DeleteFunc(s.candidates, func(c Candidate) bool { return c.Confirm })
	}
	switch {
	case len(s.candidates) == 0 && s.blocked:
		return m.end(kernel.EndApplication, ReasonApplicationBlocked, s.refused)
	case len(s.candidates) == 0 && s.refused != (glossary.Term{}):
		return m.end(kernel.EndApplication, ReasonCardRefused, s.refused)
	case len(s.candidates) == 0:
		return m.end(kernel.EndApplication, ReasonNoCommonApplication, glossary.Term{})
	case m.config.Selectable && (len(s.candidates) > 1 || s.candidates[0].Confirm):
		return m.ask(Action{Choose: &Choice{Candidates: slices.Clone(s.candidates), Again: again}}, m.chose)
	}
	return m.selectFinal(0)
}

func (c *Candidate) rank() int {
	if c.Priority == 0 {
		return noPriority
	}
	return int(c.Priority)
}

func (m *Machine) chose(ev Event) Action {
	c, ok := ev.(Chosen)
	if !ok || c.Index < 0 || c.Index >= len(m.selection.candidates) {
		panic(unexpected(ev))
	}
	return m.selectFinal(c.Index)
}

func (m *Machine) selectFinal(index int) Action {
	s := &m.selection
	s.chosen, m.candidate = index, s.candidates[index]
	return m.send(apdu.Select(m.candidate.AID.Bytes()), m.selected)
}

// selected goes on with the application, or with the others when the card does not want this one [EMV B1 12.4].
func (m *Machine) selected(r apdu.Response) Action {
	if r.SW != apdu.OK {
		m.selection.blocked = m.selection.blocked || r.SW == apdu.ApplicationBlocked
		return m.without(r.SW.Term())
	}
	name, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagDFName)
	if !ok || emv.AID(name) != m.candidate.AID || !m.readFCI(r.Data) {
		return m.without(ReasonCardAnswerMalformed.Term())
	}
	return m.initiate()
}

// without removes the candidate that was tried last.
func (m *Machine) without(why glossary.Term) Action {
	s := &m.selection
	if len(s.candidates) == 0 { // the caller selected, so there is no other
		return m.end(kernel.EndApplication, ReasonCardRefused, why)
	}
	s.candidates = slices.Delete(s.candidates, s.chosen, s.chosen+1)
	s.refused = why
	return m.choose(true)
}

// readFCI keeps the answer to SELECT; false when it is none, or its PDOL cannot be used.
func (m *Machine) readFCI(fci []byte) bool {
	proprietary, ok := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary)
	if !ok {
		return false
	}
	if b, ok := tlv.Find(proprietary, emv.TagPDOL); ok {
		pdol, err := emv.ParseDOL(b)
		if err != nil || pdol.Length() > apdu.MaxPDOLBytes {
			return false
		}
	}
	m.fci = clone(fci)
	return true
}
