package validator

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/internal/taplog"
)

// Rider is a made-up person with a test card or phone for gates.
type Rider struct {
	Name  string
	Title glossary.Term
	card  cardtest.Options
}

// riders are those of the test world. Their numbers are in the test ranges, their keys are TEST keys.
func riders() []Rider {
	deferred := func(image *card.Image) { image.Applications[0].Extended.Set(emv.EIODAForOnline) }
	return []Rider{
		{"lin", glossary.Term{EN: "card, RSA certificates", ZH: "卡片，RSA证书"}, cardtest.Options{PAN: "629999770000001", Change: deferred}},
		{"wang", glossary.Term{EN: "card, SM2 certificates", ZH: "卡片，国密SM2证书"}, cardtest.Options{PAN: "629999770000002", SM: true, Change: deferred}},
		{"phone", glossary.Term{EN: "phone with a secure element", ZH: "手机（安全单元）"}, cardtest.Options{PAN: "629999770000003", Change: deferred}},
		{"cloud", glossary.Term{EN: "phone without one: online only", ZH: "手机（云端，仅联机）"}, cardtest.Options{PAN: "629998770000004", Balance: -1}},
		{"purse", glossary.Term{EN: "card with electronic cash", ZH: "电子现金卡"}, cardtest.Options{PAN: "629999770000005"}},
		{"journey", glossary.Term{EN: "electronic cash with the operator's record of journeys", ZH: "带行程记录的电子现金卡（分段扣费）"},
			cardtest.Options{PAN: journeyPrefix, Change: withJourneys(journeyPrefix, true)}},
	}
}

const journeyPrefix = "629999770000006"

// Riders lists the riders of the test world.
func Riders() []Rider { return riders() }

// CloudPrefix begins the numbers of tokens that only know the online path.
const CloudPrefix = "629998"

// ElementPrefix begins those among them that are in secure elements, which authenticate offline.
const ElementPrefix = "6299982"

// ErrUnknownRider is wrapped when nobody has that name.
var ErrUnknownRider = errors.New("no such rider")

// chip is a card's memory on a disk: replaced whole, so that after a loss of power it is the old state or the new one.
type chip struct {
	disk    taplog.Disk
	name    string
	initial card.State
}

// Load reads the state; a card that was never used has its initial one.
func (c *chip) Load() (card.State, error) {
	b, err := c.disk.Read(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return c.initial, nil
	}
	if err != nil {
		return card.State{}, fmt.Errorf("read card memory: %w", err)
	}
	var s card.State
	if err := s.UnmarshalBinary(b); err != nil {
		return card.State{}, fmt.Errorf("read card memory %s: %w", c.name, err)
	}
	return s, nil
}

// Commit replaces it.
func (c *chip) Commit(s *card.State) error {
	b, err := s.MarshalBinary()
	if err != nil {
		return fmt.Errorf("write card memory: %w", err)
	}
	return taplog.Replace(c.disk, c.name, b)
}

// Card is a rider's card with its memory on a disk; in memory without one.
func Card(name string, disk taplog.Disk, random io.Reader) (*card.Card, *cardtest.Issued, error) {
	for _, r := range riders() {
		if r.Name != name {
			continue
		}
		r.card.Random = random
		if disk != nil {
			r.card.Memory = func(initial card.State) card.Memory { return &chip{disk, name + ".chip", initial} }
		}
		return cardtest.Issue(r.card)
	}
	return nil, nil, fmt.Errorf("%w: %q", ErrUnknownRider, name)
}

// Authorities are the TEST certification authorities behind the riders' cards.
func Authorities() (*oda.Keys, error) { return oda.NewKeys(cardtest.CA(), cardtest.SMCA()) }
