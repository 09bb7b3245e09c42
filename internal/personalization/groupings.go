package personalization

import (
	"errors"
	"fmt"

	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/tlv"
)

// EngineSettings of the PPSE holds what no standard grouping has a place for and is of the whole card; that of an application is imprint's.
const EngineSettings = imprint.EngineSettings

// Tags within EngineSettings of the PPSE, of the private class.
const (
	tagCardFlags tlv.Tag = 0xC1 // see cardFlag…
	tagHistory   tlv.Tag = 0xC8 // historical bytes of the card
	tagInterface tlv.Tag = 0xC9
)

const (
	cardFlagNoContactless byte = 1 << iota
	cardFlagNoPSE
)

// Instance is what is written to one application, or to one of the two directories, of a card.
type Instance struct {
	AID  emv.AID
	List cps.List
}

// errGroupings says that an image has something that cannot be written to a card.
var errGroupings = errors.New("image cannot be written as data groupings")

// Groupings are the data of the card as data groupings, in clear: the directory for the field, that for the slot if there is one, then the applications in the
// order of the image [EMV CPS]. FromGroupings is the inverse. Seal enciphers the secret ones.
func (c *Card) Groupings() ([]Instance, error) {
	if err := c.writable(); err != nil {
		return nil, err
	}
	all, err := directories(&c.Image)
	if err != nil {
		return nil, err
	}
	for i := range c.Image.Applications {
		a := &c.Image.Applications[i]
		list, err := imprint.Write(a, &c.Image.State.Applications[i], &c.keys[i])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errGroupings, err)
		}
		all = append(all, Instance{a.AID, list})
	}
	return all, nil
}

// writable refuses what has no place in the groupings: it is noticed here and not by the cardholder. imprint.Write does it for each application.
func (c *Card) writable() error {
	n := len(c.Image.Applications)
	if len(c.keys) != n || n == 0 || n > card.MaxApplications {
		return fmt.Errorf("%w: %d applications with keys for %d", errGroupings, n, len(c.keys))
	}
	for i := range c.Image.Applications {
		if aid := c.Image.Applications[i].AID; aid == emv.PSE || aid == emv.PPSE {
			return fmt.Errorf("%w: application %d has the name of a directory", errGroupings, i+1)
		}
	}
	state := c.Image.State
	clear(state.Applications[:n])
	if state != (card.State{}) {
		return fmt.Errorf("%w: the card has been used", errGroupings)
	}
	return nil
}

// directories are PPSE and PSE [EMV B1 12.2] [REF 1.2].
func directories(image *card.Image) ([]Instance, error) {
	var entries, settings []byte
	var records cps.List
	for i := range image.Applications {
		a := &image.Applications[i]
		entry := tlv.Append(nil, emv.TagAID, a.AID.Bytes())
		entry = present(entry, emv.TagApplicationLabel, []byte(a.Label))
		slot := entry
		entry = tlv.Append(entry, emv.TagPriority, []byte{a.Priority})
		entry = present(entry, emv.TagKernelID, a.Kernel)
		if len(a.PDOL) > 0 {
			entries = append(entries, tlv.Wrap(emv.TagApplicationTemplate, entry)...)
		}
		if a.Contact == nil {
			continue
		}
		if a.PreferredName != a.Label {
			slot = present(slot, emv.TagPreferredName, []byte(a.PreferredName))
		}
		slot = tlv.Append(slot, emv.TagPriority, []byte{a.Priority})
		g, err := cps.Record(1, byte(len(records)+1), tlv.Wrap(emv.TagRecord, tlv.Wrap(emv.TagApplicationTemplate, slot)))
		if err != nil {
			return nil, err
		}
		records = append(records, g)
	}
	flags := byte(0)
	if image.NoContactless {
		flags |= cardFlagNoContactless
	}
	if image.NoPSE {
		flags |= cardFlagNoPSE
	}
	settings = tlv.Append(settings, tagCardFlags, []byte{flags})
	settings = tlv.Append(settings, tagInterface, []byte{byte(image.Interfaces)})
	settings = tlv.Append(settings, tagHistory, image.Historical)
	field, err := cps.NewGrouping(cps.FCI, tlv.Wrap(emv.TagFCIProprietary, tlv.Wrap(emv.TagFCIDiscretionary, entries)))
	if err != nil {
		return nil, err
	}
	own, err := cps.NewGrouping(EngineSettings, settings)
	if err != nil {
		return nil, err
	}
	all := []Instance{{emv.PPSE, cps.List{field, own}}}
	if len(records) == 0 || image.NoPSE {
		return all, nil
	}
	fci, err := cps.NewGrouping(cps.FCI, tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, emv.TagSFI, []byte{1})))
	return append(all, Instance{emv.PSE, append(records, fci)}), err
}

// present appends a value that is there.
func present(dst []byte, tag tlv.Tag, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return tlv.Append(dst, tag, value)
}
