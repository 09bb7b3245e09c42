package personalization

import (
	"fmt"

	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/emv"
	"tapnet/emv/cps"
)

// FromGroupings is what a card makes of its data groupings: the image and the keys that go with it. The error wraps cps.ErrContent and names no data.
func FromGroupings(all []Instance) (card.Image, card.Crypto, error) {
	var image card.Image
	var ring card.Keyring
	for _, instance := range all {
		switch instance.AID {
		case emv.PSE:
			continue // it repeats what the applications say
		case emv.PPSE:
			if err := readCard(&image, instance.List); err != nil {
				return card.Image{}, nil, fmt.Errorf("%v: %w", instance.AID, err)
			}
		default:
			if len(ring) == card.MaxApplications {
				return card.Image{}, nil, fmt.Errorf("more than %d applications: %w", card.MaxApplications, cps.ErrContent)
			}
			chip, err := imprint.Read(instance.AID, instance.List)
			if err != nil {
				return card.Image{}, nil, err
			}
			image.Applications = append(image.Applications, chip.Application)
			image.State.Applications[len(ring)] = chip.State
			ring = append(ring, chip.Keys.Crypto())
		}
	}
	switch len(ring) {
	case 0:
		return card.Image{}, nil, fmt.Errorf("no application: %w", cps.ErrContent)
	case 1:
		return image, ring[0], nil
	}
	return image, ring, nil
}

// readCard reads the settings of the whole card.
func readCard(image *card.Image, list cps.List) error {
	settings, _ := list.Find(EngineSettings)
	d, err := emv.ParseData(settings.Reveal())
	flags, interfaces := d.Get(tagCardFlags), d.Get(tagInterface)
	if err != nil || len(flags) != 1 || len(interfaces) != 1 {
		return fmt.Errorf("data grouping %v: %w", EngineSettings, cps.ErrContent)
	}
	image.NoContactless, image.NoPSE = flags[0]&cardFlagNoContactless != 0, flags[0]&cardFlagNoPSE != 0
	image.Interfaces, image.Historical = card.Interface(interfaces[0]), d.Get(tagHistory)
	return nil
}
