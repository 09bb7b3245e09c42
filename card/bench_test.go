package card_test

import (
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
)

// BenchmarkElectronicCashTap is the card's share of an offline payment, signing included: select to last record.
func BenchmarkElectronicCashTap(b *testing.B) {
	_, issued := cardtest.New(b, cardtest.Options{})
	a := issued.Image.Applications[0]
	commands := [][]byte{
		apdu.Select(a.AID.Bytes()).Bytes(),
		apdu.GPO(a.PDOL.Build(nil, sale{ttq: offlineGate}.data())).Bytes(),
	}
	for r := range a.OfflineAFL.Records() {
		commands = append(commands, apdu.ReadRecord(r.SFI, r.Number).Bytes())
	}
	tap(b, commands)
}

// BenchmarkOnlineTap is the card's share of an online payment.
func BenchmarkOnlineTap(b *testing.B) {
	_, issued := cardtest.New(b, cardtest.Options{})
	a := issued.Image.Applications[0]
	tap(b, [][]byte{apdu.Select(a.AID.Bytes()).Bytes(), apdu.GPO(a.PDOL.Build(nil, sale{ttq: onlineOnly}.data())).Bytes()})
}

func tap(b *testing.B, commands [][]byte) {
	b.ReportAllocs()
	const lifetime = 60000 // a counter lasts 65534 payments
	var c *card.Card
	for n := 0; b.Loop(); n++ {
		if n%lifetime == 0 {
			c, _ = cardtest.New(b, cardtest.Options{})
		}
		c.PowerOn(card.Contactless)
		for _, command := range commands {
			response, err := c.Process(command)
			if err != nil || response[len(response)-2] != 0x90 {
				b.Fatalf("%X answered %X, %v", command, response, err)
			}
		}
	}
}
