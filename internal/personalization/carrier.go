package personalization

import (
	"embed"
	"fmt"
	"slices"
	"time"

	"tapnet/card"
	"tapnet/glossary"
)

//go:embed carriers/*.toml
var carrierFiles embed.FS

// Carrier is what a card is made of and how a reader meets it: which interfaces, which answers to power, how fast, and who feeds it.
type Carrier struct {
	Name       string   `toml:"name"`
	Title      Title    `toml:"title"`
	Interfaces []string `toml:"interfaces"` // contact, contactless
	Air        string   `toml:"air"`        // 13.56 MHz or 2.4 GHz: readers for one do not see the other
	Protocol   string   `toml:"protocol"`   // T=0 or T=1, of a carrier with contacts
	Power      string   `toml:"power"`      // reader: gone with the field; device: a phone lets a write that has begun come to its end
	Historical string   `toml:"historical"` // bytes of ATR and ATS that say who it is
	Waiting    int      `toml:"waiting"`    // frame waiting time integer of the ATS [ISO 14443]
	Frame      int      `toml:"frame"`      // frame size integer of the ATS: 8 is 256 bytes
	WakeMS     int      `toml:"wake_ms"`
	CommandMS  int      `toml:"command_ms"`
	Speed      int      `toml:"bytes_per_second"`
}

// What carriers have in their fields.
const (
	InductiveAir = "13.56 MHz"
	RadioAir     = "2.4 GHz"

	powerReader, powerDevice = "reader", "device"
	protocolT0, protocolT1   = "T=0", "T=1"
	nameContact              = "contact"
	nameContactless          = "contactless"
)

// Carriers are the carriers that come with the program, by name.
func Carriers() []Carrier { return embedded(carrierFiles, "carriers", ParseCarrier) }

// FindCarrier gives one of them.
func FindCarrier(name string) (Carrier, error) {
	var names []string
	for _, c := range Carriers() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Carrier{}, unknown(name, glossary.Term{EN: "carrier", ZH: "载体"}, names)
}

// ParseCarrier reads one carrier. The error is a *Fault.
func ParseCarrier(text []byte) (Carrier, error) {
	var c Carrier
	if err := strictly(text, &c); err != nil {
		return Carrier{}, err
	}
	return c, c.check()
}

// Limits of what a carrier may say: frame waiting time integer and frame size integer are four bits with values above reserved [ISO 14443]; a card that
// takes longer than a second for one command is no card.
const (
	maxWaiting   = 14
	maxFrame     = 8
	maxDelayMS   = 1000
	maxPerSecond = 1_000_000
)

func (c *Carrier) check() error {
	wrong := func(key, en, zh string) error {
		name := shortened(c.Name)
		return &Fault{
			What: glossary.Term{EN: fmt.Sprintf("carrier %q cannot be used", name), ZH: fmt.Sprintf("载体“%s”无法使用", name)},
			Why:  glossary.Term{EN: key + " " + en, ZH: key + zh}, Next: glossary.Term{EN: "change " + key, ZH: "修改" + key},
		}
	}
	for _, name := range c.Interfaces {
		if name != nameContact && name != nameContactless {
			return wrong("interfaces", "are contact and contactless", "只能取contact和contactless")
		}
	}
	contact := slices.Contains(c.Interfaces, nameContact)
	contactless := slices.Contains(c.Interfaces, nameContactless)
	switch {
	case c.Name == "" || c.Title.EN == "" || c.Title.ZH == "":
		return wrong("name and title", "are missing", "缺失")
	case !contact && !contactless:
		return wrong("interfaces", "are missing", "缺失")
	case contactless && c.Air != InductiveAir && c.Air != RadioAir:
		return wrong("air", "is 13.56 MHz or 2.4 GHz", "应为13.56 MHz或2.4 GHz")
	case contact && c.Protocol != protocolT0 && c.Protocol != protocolT1 || !contact && c.Protocol != "":
		return wrong("protocol", "is T=0 or T=1 on a carrier with contacts and nothing on others", "有触点时应为T=0或T=1，否则应为空")
	case c.Power != powerReader && c.Power != powerDevice:
		return wrong("power", "is reader or device", "应为reader或device")
	case len(c.Historical) > card.MaxHistoricalBytes:
		return wrong("historical", fmt.Sprintf("has more than %d bytes", card.MaxHistoricalBytes), fmt.Sprintf("超过%d字节", card.MaxHistoricalBytes))
	case c.Waiting < 0 || c.Waiting > maxWaiting || c.Frame < 0 || c.Frame > maxFrame:
		return wrong("waiting or frame", "is out of range", "超出范围")
	case c.WakeMS < 0 || c.WakeMS > maxDelayMS || c.CommandMS < 0 || c.CommandMS > maxDelayMS || c.Speed < 1 || c.Speed > maxPerSecond:
		return wrong("the times", "are out of range", "超出范围")
	}
	return nil
}

// Offers is the ways in which a reader can power the card.
func (c *Carrier) Offers() (i card.Interface) {
	if slices.Contains(c.Interfaces, nameContact) {
		i |= card.Contact
	}
	if slices.Contains(c.Interfaces, nameContactless) {
		i |= card.Contactless
	}
	return i
}

// Seen reports whether a reader for a kind of air sees the carrier in its field.
func (c *Carrier) Seen(air string) bool { return c.Offers()&card.Contactless != 0 && c.Air == air }

// FinishesWrites reports whether a write that has begun comes to its end when the card leaves the reader: a phone feeds it. The answer is lost all the same.
func (c *Carrier) FinishesWrites() bool { return c.Power == powerDevice }

// Wake is how long it takes from power to the first command.
func (c *Carrier) Wake() time.Duration { return time.Duration(c.WakeMS) * time.Millisecond }

// Takes is how long one command takes, both ways over the wire or the air included.
func (c *Carrier) Takes(commandBytes, responseBytes int) time.Duration {
	return time.Duration(c.CommandMS)*time.Millisecond + time.Duration(commandBytes+responseBytes)*time.Second/time.Duration(c.Speed)
}

// Field holds a chip on this carrier to the antenna of a reader for a kind of air. What the reader does not see is not there.
func (c *Carrier) Field(chip *card.Card, air string) *card.Field {
	f := card.NewField(chip)
	if !c.Seen(air) {
		f.Remove()
	}
	if c.FinishesWrites() {
		f.Feed()
	}
	return f
}

// Slot puts a chip on this carrier into a reader with contacts. A carrier whose contacts are not for terminals is not there.
func (c *Carrier) Slot(chip *card.Card) *card.Field {
	f := card.NewSlot(chip)
	if c.Offers()&card.Contact == 0 {
		f.Remove()
	}
	return f
}

// OneProtocol reports whether the contacts speak T=1; otherwise they speak T=0.
func (c *Carrier) OneProtocol() bool { return c.Protocol == protocolT1 }

// ATR is the answer to reset of a carrier with contacts, one of the two basic forms of [EMV B1 8.2]; nil without.
func (c *Carrier) ATR() []byte {
	if c.Offers()&card.Contact == 0 {
		return nil
	}
	const direct = 0x3B
	history := byte(len(c.Historical))
	if c.Protocol == protocolT0 {
		return append([]byte{direct, 0x60 | history, 0, 0}, c.Historical...) // no programming voltage, no extra guard time
	}
	// T=1 alone: information field of 254 bytes, block waiting time integer 4, character waiting time integer 5.
	atr := append([]byte{direct, 0xE0 | history, 0, 0, 0x81, 0x31, 0xFE, 0x45}, c.Historical...)
	var check byte
	for _, b := range atr[1:] {
		check ^= b
	}
	return append(atr, check)
}

// ATS is the answer to select of a carrier at 13.56 MHz [ISO 14443]; nil of others.
func (c *Carrier) ATS() []byte {
	if !c.Seen(InductiveAir) {
		return nil
	}
	const announces, speeds, identifier = 0x70, 0x80, 0x02 // three interface bytes; 106 kbit/s both ways; a card identifier is taken
	body := append([]byte{announces | byte(c.Frame), speeds, byte(c.Waiting) << 4, identifier}, c.Historical...)
	return append([]byte{byte(len(body) + 1)}, body...)
}
