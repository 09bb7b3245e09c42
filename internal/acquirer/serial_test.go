package acquirer_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// uniqueVault opens every PIN block that comes with a serial number: which key opens it is the module's own test.
type uniqueVault struct{ *hsm.HSM }

func (v uniqueVault) TranslateUniquePIN(_ string, _ hsm.Serial, to string, b pinblock.Block, n pan.Number) (pinblock.Block, hsm.PINResult, error) {
	return v.TranslatePIN(networktest.PINKey(networktest.Terminal), to, b, n)
}

func newMobile(t testing.TB, vault *hsm.HSM) *acquirer.Acquirer {
	t.Helper()
	a, err := acquirer.New(acquirer.Deps{
		Institution: own, Switch: theSwitch, Vault: uniqueVault{vault}, PINKey: networktest.PINKey, SealKey: networktest.KeySeal, Calendar: networktest.Shanghai,
		Currency: 156, Capacity: journal.Capacity{Ended: 2, Rows: 2}, BaseKey: func(string) string { return "base" },
		Merchants: []acquirer.Merchant{{ID: networktest.Merchant, Name: "SHOP ONE", Category: "5411"}},
		Terminals: []acquirer.Terminal{{ID: networktest.Terminal, Merchant: networktest.Merchant}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func serial(t testing.TB, method unionpay.KeyMethod, device byte, counter uint32) unionpay.KeySerial {
	t.Helper()
	var b []byte
	switch method {
	case unionpay.KeyAES:
		b = binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1, 0, 0, 0, device}, counter)
	case unionpay.KeyAESShort:
		b = append([]byte{0, 0, 0, 1}, binary.BigEndian.AppendUint64(nil, uint64(device)<<21|uint64(counter))[2:]...)
	default:
		b = []byte{0xFF, 0xFF, 1, 0, 0, 0, device, byte(counter >> 16), byte(counter >> 8), byte(counter)}
	}
	k, err := unionpay.NewKeySerial(method, b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A PIN under a serial number that was used, or behind one that was, is refused; the same message again is not a PIN again.
func TestSerialNumbersRise(t *testing.T) {
	for _, method := range []unionpay.KeyMethod{unionpay.KeyTDES, unionpay.KeyAES, unionpay.KeyAESShort} {
		vault := networktest.NewHSM(t, 2, map[string]string{theSwitch: "acquirer-switch", networktest.Terminal: "terminal"})
		b := &bank{acquirer: newMobile(t, vault), vault: vault, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
		b.Rig = networktest.NewRig(t, b.acquirer, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
		pay := func(k unionpay.KeySerial) *unionpay.FinancialRequest {
			m := b.request(100)
			m.PINBlock = networktest.EncipherPIN(t, vault, networktest.Terminal, "246810", m.PAN)
			m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContactless, true)
			m.Detail = unionpay.AppendKeySerial("", k)
			return m
		}
		first := pay(serial(t, method, 1, 7))
		out := b.answer(b.forwarded(first), unionpay.Approved)
		if again := b.Answer(networktest.Terminal, first); !bytes.Equal(again.Bytes, out[0].Bytes) {
			t.Error("the same message is answered otherwise")
		}
		if why := b.acquirer.Describe(&b.Rows()[0]).EN; why != "a transaction key was used" {
			t.Errorf("the journal says %q", why)
		}
		refused := func(k unionpay.KeySerial) {
			t.Helper()
			if got := b.Answer(networktest.Terminal, pay(k)); code(got) != unionpay.PINFormatError {
				t.Errorf("method %d, counter %d: answered %s", method, k.Counter(), code(got))
			}
			rows := b.Rows()
			if why := b.acquirer.Describe(&rows[len(rows)-2]).EN; why != "a key serial number was played again: its PIN is refused" {
				t.Errorf("the journal says %q", why)
			}
		}
		refused(serial(t, method, 1, 7))
		refused(serial(t, method, 1, 6))
		b.answer(b.forwarded(pay(serial(t, method, 1, 9))), unionpay.Approved) // one was lost on the way
		b.answer(b.forwarded(pay(serial(t, method, 2, 1))), unionpay.Approved) // another device
		for range 2 {                                                          // once from rows, once from cells
			b.acquirer = newMobile(t, vault)
			b.Rig = b.Restart(b.acquirer)
			refused(serial(t, method, 1, 9))
			refused(serial(t, method, 2, 1))
			for range 4 {
				b.answer(b.forwarded(b.request(100)), unionpay.Approved)
			}
		}
		if method == unionpay.KeyAES { // the short form names the same key
			refused(serial(t, unionpay.KeyAESShort, 1, 9))
		}
		b.answer(b.forwarded(pay(serial(t, method, 1, 10))), unionpay.Approved)
	}
}

// What a terminal uploads after its totals differed is held against the books.
func TestUploadsAreHeldAgainstTheBooks(t *testing.T) {
	b := newBank(t)
	paid := b.request(5_000)
	b.answer(b.forwarded(paid), unionpay.Approved)
	refused := b.request(6_000)
	b.answer(b.forwarded(refused), "51")
	undone := b.request(7_000)
	b.answer(b.forwarded(undone), unionpay.Approved)
	b.Deliver(networktest.Terminal, reversal(undone))
	upload := func(of *unionpay.FinancialRequest, network string, minor int64) *unionpay.BatchUpload {
		p := unionpay.Payment{PAN: of.PAN, Amount: money.New(minor, money.CNY), STAN: of.STAN, EntryMode: of.EntryMode, Terminal: of.Terminal, Merchant: of.Merchant, Info: of.Info}
		p.Info.MessageType, p.Info.NetworkCode = unionpay.KindNetwork, network
		return &unionpay.BatchUpload{Payment: p}
	}
	unknown := *paid
	unknown.STAN = 900
	count := func(stan uint32, n int) *unionpay.BatchUpload {
		end := unknown
		end.STAN = stan
		m := upload(&end, "207", 0)
		m.PAN = pan.Number{}
		var err error
		if m.Additional, err = unionpay.NewUploadCount(n); err != nil {
			t.Fatal(err)
		}
		return m
	}
	endless := count(803, 1)
	endless.Additional = ""
	for _, c := range []struct {
		m    *unionpay.BatchUpload
		want acquirer.UploadOutcome
	}{
		{upload(paid, "203", 5_000), acquirer.UploadAgrees},
		{upload(refused, "204", 6_000), acquirer.UploadAgrees},
		{upload(undone, "203", 7_000), acquirer.UploadNotStanding},
		{upload(&unknown, "203", 5_000), acquirer.UploadUnknown},
		{count(801, 1), acquirer.UploadAgrees},
		{count(802, 2), acquirer.UploadOtherCount},
		{endless, acquirer.UploadUnreadable},
	} {
		if got := code(b.Answer(networktest.Terminal, c.m)); got != unionpay.Approved {
			t.Errorf("%s: answered %s", c.want.Term().EN, got)
		}
		if got := acquirer.UploadOutcome(b.LastRow().Reason); got != c.want {
			t.Errorf("STAN %d: %s, want %s", c.m.STAN, got.Term().EN, c.want.Term().EN)
		}
		rows := len(b.Rows())
		b.Answer(networktest.Terminal, c.m)
		if len(b.Rows()) != rows {
			t.Error("a repeat made rows")
		}
	}
	other := upload(paid, "203", 5_001)
	if got := code(b.Answer(networktest.Terminal, other)); got != unionpay.DuplicateTransmission {
		t.Errorf("another content under the same number is answered %s", got)
	}
}
