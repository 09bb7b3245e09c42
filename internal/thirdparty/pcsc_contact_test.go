//go:build thirdparty

package thirdparty

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/vpcd"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/terminal"
)

// contactTerminal reads cards by their contacts, and asks the issuer above 200 yuan.
func contactTerminal(t testing.TB, issued *cardtest.Issued) *terminal.Terminal {
	t.Helper()
	limit := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: rand.Reader,
		Combinations: []terminal.Combination{{AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xF9, 0xC8},
			Additional: emv.AdditionalTerminalCapabilities{0x70, 0, 0xF0, 0xB0, 1}, MerchantName: "SHOP ONE", SerialNumber: "00000001", CAKeys: issued.CAKeys},
		Contact: contact.Config{Applications: []contact.Application{{
			AID: emv.UnionPayKernelPrefix, FloorLimit: limit(20_000), ECLimit: limit(100_000),
			TACDefault: emv.TVR{0xD8, 0x40, 0x00, 0xA8, 0x00}, TACOnline: emv.TVR{0xD8, 0x40, 0x04, 0xF8, 0x00}, TACDenial: emv.TVR{0x00, 0x10, 0x00, 0x00, 0x00},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// contacts pays by the contacts over both protocols: directory, records, PIN, data authentication, the issuer's answer and the card's
// certificate of the transaction.
func (d *daemon) contacts(t *testing.T) {
	for _, form := range []vpcd.Form{vpcd.ContactT0, vpcd.ContactT1} {
		chip, issued := cardtest.New(t, cardtest.Options{Contact: true})
		remove := d.insert(t, 1, chip, form)
		reader := connect(t, d, 1)
		people := terminal.People{
			PIN: func(context.Context, contact.PINRequest) (contact.Event, error) {
				return contact.PINEntered{PIN: cardtest.HolderPIN()}, nil
			},
			Online: func(_ context.Context, q contact.Online) (*contact.HostAnswer, error) { return approve(issued, q), nil },
		}
		began := time.Now()
		result, err := contactTerminal(t, issued).Insert(t.Context(), terminal.OverReader(reader), terminal.InsertRequest{Request: terminal.Request{
			Amount: money.New(150_000, money.CNY), Other: money.New(0, money.CNY), Now: cardtest.Today, Counter: 1,
		}}, people)
		if err != nil {
			t.Fatal(err)
		}
		o := result.Outcome
		if o.Kind != kernel.Approved || o.Cryptogram != emv.TC || o.ODA.Status != kernel.ODAPassed {
			t.Errorf("form %d: %v, %q, cryptogram %v, data authentication %v", form, o.Kind, o.Reason, o.Cryptogram, o.ODA)
		}
		t.Logf("measured: a payment by the contacts with %v through pcscd: %d µs", reader.Protocol(), time.Since(began).Microseconds())
		if err := reader.Disconnect(); err != nil {
			t.Error(err)
		}
		remove()
	}
}

// approve is an issuer that says yes, and proves to the card that it is the issuer.
func approve(issued *cardtest.Issued, q contact.Online) *contact.HostAnswer {
	counter := q.Data.Get(emv.TagATC)
	atc, arqc, arc := uint16(counter[0])<<8|uint16(counter[1]), [8]byte(q.Data.Get(emv.TagAC)), [2]byte{'0', '0'}
	arpc := issued.Suite.ARPC(issued.Suite.SessionKey(issued.CardKeys.AC, atc), arqc, arc)
	proof := cryptogram.IssuerAuthData(arpc, arc)
	return &contact.HostAnswer{ARC: arc, Approved: true, IssuerAuth: proof[:], Code: "123456"}
}
