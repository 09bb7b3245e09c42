package card

import (
	"strings"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// Names to select by [ISO 7816-4 11.1.1].
const (
	selectByName = 0x04
	firstOrOnly  = 0x00
	nextOne      = 0x02
	minName      = 5 // a registered identifier alone
	maxName      = 16
)

// selectByName finds the directory or an application. A SELECT that fails leaves everything as it was; one that succeeds
// drops the transaction in hand, so that an approved payment whose last record was not read is not paid [REF 2.4].
func (c *Card) selectByName(cmd apdu.Command) (apdu.Response, error) {
	switch {
	case cmd.P1 != selectByName || cmd.P2 != firstOrOnly && cmd.P2 != nextOne:
		return refuse(apdu.WrongParameters), nil
	case len(cmd.Data) < minName || len(cmd.Data) > maxName:
		return refuse(apdu.WrongLength), nil
	case c.state.Blocked:
		return refuse(apdu.FunctionNotSupported), nil
	}
	name := string(cmd.Data)
	switch {
	case name == string(emv.PPSE):
		return c.selectDirectory(cmd.P2)
	case name == string(emv.PSE) && c.powered == Contact:
		return c.selectPSE(cmd.P2)
	}
	from := 0
	if cmd.P2 == nextOne && c.phase&phaseApplication != 0 && c.name == name {
		from = c.selected + 1
	}
	for i := from; i < len(c.applications); i++ {
		if !strings.HasPrefix(string(c.applications[i].AID), name) || !c.visible(i) {
			continue
		}
		c.phase, c.selected, c.name, c.tx = phaseSelected, i, name, transaction{}
		sw := apdu.OK
		if c.state.Applications[i].Blocked {
			sw = apdu.ApplicationBlocked
		}
		return apdu.Response{Data: c.fci(i), SW: sw}, nil
	}
	return refuse(apdu.FileNotFound), nil
}

// visible reports whether an application shows itself on the interface in use.
func (c *Card) visible(i int) bool {
	a, s := &c.applications[i], &c.state.Applications[i]
	if s.Disabled {
		return false
	}
	return c.powered != Contactless || !c.noContactless && !c.state.NoContactless && !a.NoContactless && !s.NoContactless && !a.contactOnly()
}

// fci is the answer to SELECT on the interface in use. A script may have changed what the extended application can do.
func (c *Card) fci(i int) []byte {
	a := &c.applications[i]
	pdol, ready := a.PDOL, a.fci
	if c.powered == Contact && a.contact != nil {
		pdol, ready = a.contact.PDOL, a.contact.fci
	}
	if extended := a.extended(&c.state.Applications[i]); extended != a.Extended {
		return a.buildFCI(pdol, extended)
	}
	return ready
}

// selectDirectory answers the PPSE, which exists on contactless only, with one entry for each application to be seen there
// [REF 1.2] [EMV BookB 3.3]. With none it does not exist: the holder has switched contactless off.
func (c *Card) selectDirectory(p2 byte) (apdu.Response, error) {
	var entries []byte
	for i := range c.applications {
		if c.powered == Contactless && c.visible(i) {
			entries = append(entries, c.applications[i].directory...)
		}
	}
	if len(entries) == 0 || p2 != firstOrOnly {
		return refuse(apdu.FileNotFound), nil
	}
	c.phase, c.name, c.tx = phaseDirectory, "", transaction{}
	return answer(tlv.Wrap(emv.TagFCI,
		tlv.Wrap(emv.TagDFName, []byte(emv.PPSE)),
		tlv.Wrap(emv.TagFCIProprietary, tlv.Wrap(emv.TagFCIDiscretionary, entries))))
}

// buildDirectoryEntry is template 61 of the PPSE.
func (a *Application) buildDirectoryEntry() []byte {
	p := parts{}
	p.add(emv.TagAID, a.AID.Bytes())
	p.addPresent(emv.TagApplicationLabel, []byte(a.Label))
	p.add(emv.TagPriority, []byte{a.Priority})
	p.addPresent(emv.TagKernelID, a.Kernel)
	return tlv.Wrap(emv.TagApplicationTemplate, p.b)
}

// buildFCI is the answer to SELECT, in the order of the published trace [REF 1.2].
func (a *Application) buildFCI(pdol emv.DOL, extended emv.ExtendedIndicator) []byte {
	p := parts{}
	p.addPresent(emv.TagApplicationLabel, []byte(a.Label))
	p.add(emv.TagPriority, []byte{a.Priority})
	p.addPresent(emv.TagPDOL, pdol.Bytes())
	p.addPresent(emv.TagLanguagePreference, []byte(a.Language))
	if a.CodeTable != 0 {
		p.add(emv.TagCodeTable, []byte{a.CodeTable})
	}
	p.addPresent(emv.TagPreferredName, []byte(a.PreferredName))
	discretionary := parts{}
	if a.Log.SFI != 0 && !a.Withhold.Has(WithholdLog) {
		discretionary.add(emv.TagLogEntry, []byte{a.Log.SFI, LogRecords})
	}
	if a.LoadLog.SFI != 0 && !a.Withhold.Has(WithholdLog) {
		discretionary.add(emv.TagLoadLogEntry, []byte{a.LoadLog.SFI, LogRecords})
	}
	if extended != (emv.ExtendedIndicator{}) {
		discretionary.add(emv.TagExtendedIndicator, extended[:])
	}
	discretionary.b = append(discretionary.b, a.Discretionary.Bytes()...)
	p.addPresent(emv.TagFCIDiscretionary, discretionary.b)
	return tlv.Wrap(emv.TagFCI, tlv.Wrap(emv.TagDFName, a.AID.Bytes()), tlv.Wrap(emv.TagFCIProprietary, p.b))
}
