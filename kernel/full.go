package kernel

import (
	"bytes"

	"tapnet/emv"
	"tapnet/tlv"
)

// Opened is a full dialogue that a card has opened over contactless: what it was told with GET PROCESSING OPTIONS, and its answer.
type Opened struct {
	PDOL     []byte // the values, without template 83
	Response []byte // data and status word
}

// FullDialogue is what the card has opened instead of a QuickPass payment, after an outcome with ReasonFullDialogue at a reader that
// offers the full dialogue too (TTQ B1b7) [REF 2.1]. Package contact goes on from there. False: nothing is open.
func (m *Machine) FullDialogue() (Opened, bool) { return m.opened, len(m.opened.Response) > 0 }

// opensFullDialogue reads the profile out of either format of the answer to GET PROCESSING OPTIONS [EMV B3 6.5.8.4].
func opensFullDialogue(b []byte) bool {
	template, rest, err := tlv.Next(b)
	if err != nil || len(rest) != 0 {
		return false
	}
	var aip []byte
	switch template.Tag {
	case emv.TagResponse1:
		aip = template.Value[:min(len(template.Value), len(emv.AIP{}))]
	case emv.TagResponse2:
		aip, _ = tlv.Find(template.Value, emv.TagAIP)
	}
	profile, err := emv.ParseAIP(aip)
	return err == nil && profile.Has(emv.AIPFullContactless)
}

// open keeps what a card has opened, for a reader that can go on.
func (m *Machine) open(response []byte) {
	m.opened = Opened{PDOL: m.pdol.Build(nil, m.terminal), Response: bytes.Clone(response)}
}
