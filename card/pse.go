package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// directorySFI is the file that holds the records of the contact directory [REF 1.2].
const directorySFI = 1

// selectPSE answers the directory of the contact interface, if there is anything in it [EMV B1 12.2.2].
func (c *Card) selectPSE(p2 byte) (apdu.Response, error) {
	if c.noPSE || p2 != firstOrOnly || len(c.listed()) == 0 {
		return refuse(apdu.FileNotFound), nil
	}
	c.phase, c.name, c.tx = phaseDirectory, "", transaction{}
	return answer(tlv.Wrap(emv.TagFCI,
		tlv.Wrap(emv.TagDFName, []byte(emv.PSE)),
		tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, emv.TagSFI, []byte{directorySFI}))))
}

// listed are the applications of the contact directory, in order.
func (c *Card) listed() (indexes []int) {
	for i := range c.applications {
		if c.applications[i].contact != nil && c.visible(i) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// readDirectory answers one directory record: one application each [EMV B1 12.2.3].
func (c *Card) readDirectory(id recordID) (apdu.Response, error) {
	if c.powered != Contact {
		return refuse(apdu.ConditionsNotSatisfied), nil // the PPSE has no records
	}
	listed := c.listed()
	switch {
	case id.sfi != directorySFI:
		return refuse(apdu.FileNotFound), nil
	case int(id.number) > len(listed):
		return refuse(apdu.RecordNotFound), nil
	}
	return answer(c.applications[listed[id.number-1]].contact.directory)
}

// buildPSERecord is template 70 with one entry. The preferred name is left out when it says nothing new.
func (a *Application) buildPSERecord() []byte {
	p := parts{}
	p.add(emv.TagAID, a.AID.Bytes())
	p.addPresent(emv.TagApplicationLabel, []byte(a.Label))
	if a.PreferredName != a.Label {
		p.addPresent(emv.TagPreferredName, []byte(a.PreferredName))
	}
	p.add(emv.TagPriority, []byte{a.Priority})
	return tlv.Wrap(emv.TagRecord, tlv.Wrap(emv.TagApplicationTemplate, p.b))
}
