package networktest

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// Card is a test card and the terminal side of its payments.
type Card struct {
	testing.TB
	*cardtest.Issued
	card *card.Card
	taps uint32
}

// NewCard issues a card with purseMinor of electronic cash. digits are the number without its check digit; "" is the default card.
func NewCard(t testing.TB, digits string, purseMinor int64) *Card {
	t.Helper()
	c, issued := cardtest.New(t, cardtest.Options{PAN: digits, Balance: purseMinor})
	return &Card{TB: t, Issued: issued, card: c}
}

// Adopt takes a card that was issued elsewhere to a contactless terminal.
func Adopt(t testing.TB, issued *cardtest.Issued, c *card.Card) *Card {
	return &Card{TB: t, Issued: issued, card: c}
}

// Online asks the card for a cryptogram for its issuer; Offline lets it approve by itself.
var (
	Online  = emv.TTQ{0x36, 0x80, 0, 0x80}
	Offline = emv.TTQ{0x28, 0, 0, 0x80}
)

// Purse is the money on the chip.
func (c *Card) Purse() int64 { return c.card.State().Applications[0].Purses[0].Balance }

// ATC is the card's transaction counter.
func (c *Card) ATC() uint16 { return c.card.State().Applications[0].ATC }

// Tap runs a payment up to the last record and returns what belongs into field 55.
func (c *Card) Tap(ttq emv.TTQ, minor int64) emv.Data {
	c.Helper()
	c.taps++
	amount, err := money.New(minor, money.CNY).BCD()
	if err != nil {
		c.Fatal(err)
	}
	var terminal emv.Data
	terminal.Set(emv.TagTTQ, ttq[:])
	terminal.Set(emv.TagAmount, amount[:])
	terminal.Set(emv.TagAmountOther, make([]byte, 6))
	terminal.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	terminal.Set(emv.TagTVR, make([]byte, 5))
	terminal.Set(emv.TagCurrency, []byte{0x01, 0x56})
	terminal.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	terminal.Set(emv.TagTransactionTime, []byte{0x12, 0x30, 0x59})
	terminal.Set(emv.TagTransactionType, []byte{0x00})
	terminal.Set(emv.TagUnpredictableNumber, []byte{0xA0, byte(c.taps >> 16), byte(c.taps >> 8), byte(c.taps)})
	terminal.Set(emv.TagMerchantName, []byte("CANTEEN ONE"))
	field := card.NewField(c.card)
	send := func(command apdu.Command) []byte {
		c.Helper()
		raw, err := field.Transceive(context.Background(), command.Bytes())
		if err != nil {
			c.Fatalf("card: %v", err)
		}
		response, err := apdu.ParseResponse(raw)
		if err != nil || response.SW != apdu.OK {
			c.Fatalf("card answers %v to %v: %v", response.SW, command, err)
		}
		return response.Data
	}
	application := c.Image.Applications[0]
	send(apdu.Select(application.AID.Bytes()))
	value, _ := tlv.Find(send(apdu.GPO(application.PDOL.Build(nil, terminal))), emv.TagResponse2)
	answer, err := emv.ParseData(value)
	if err != nil {
		c.Fatal(err)
	}
	if afl, err := emv.ParseAFL(answer.Get(emv.TagAFL)); err == nil {
		for record := range afl.Records() {
			send(apdu.ReadRecord(record.SFI, record.Number))
		}
	}
	var icc emv.Data
	for _, tag := range []tlv.Tag{emv.TagAC, emv.TagIAD, emv.TagATC, emv.TagAIP} {
		icc.Set(tag, answer.Get(tag))
	}
	for _, tag := range []tlv.Tag{emv.TagUnpredictableNumber, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount, emv.TagCurrency,
		emv.TagTerminalCountry, emv.TagAmountOther} {
		icc.Set(tag, terminal.Get(tag))
	}
	return icc
}

// The terminal and merchant of Request.
const (
	Terminal = "T0000001"
	Merchant = "301000054110001"
)

// Request is what a till sends for a tap, with trace number stan.
func (c *Card) Request(stan uint32, minor int64, icc emv.Data) *unionpay.FinancialRequest {
	c.Helper()
	track := c.Image.Applications[0].Track2
	return &unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: c.PAN, Processing: unionpay.ProcessingSale, Amount: money.New(minor, money.CNY), STAN: stan, Expiry: c.Expiry,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "0" + c.Sequence, Condition: unionpay.ConditionNormal,
		Track2: track, Terminal: Terminal, Merchant: Merchant, ICC: icc,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1, NetworkCode: "000", ReadCapability: unionpay.ReadContactless},
	}}
}

// Pay taps online and gives the till's request.
func (c *Card) Pay(stan uint32, minor int64) *unionpay.FinancialRequest {
	c.Helper()
	return c.Request(stan, minor, c.Tap(Online, minor))
}

// PayOffline taps offline and gives the upload.
func (c *Card) PayOffline(stan uint32, minor int64) *unionpay.FinancialRequest {
	c.Helper()
	m := c.Request(stan, minor, c.Tap(Offline, minor))
	m.Info.MessageType, m.Reserved = unionpay.KindOfflineUpload, "CUP"
	return m
}

// AtSwitch adds what a request needs onward of the acquirer. The payment's key follows from the trace number.
func AtSwitch(m *unionpay.FinancialRequest, acquirer, settlement string) *unionpay.FinancialRequest {
	onward := *m
	onward.TransmissionTime, onward.Acquirer, onward.Forwarder = "1121040000", acquirer, acquirer
	onward.MerchantType, onward.MerchantName, onward.RRN = "5411", "SHOP ONE", fmt.Sprintf("632504%06d", m.STAN)
	onward.SettlementDate, onward.Reserved = settlement, ""
	return &onward
}

// ReversalAtSwitch is the reversal of a request at the switch.
func ReversalAtSwitch(m *unionpay.FinancialRequest) *unionpay.ReversalRequest {
	p := m.Payment
	p.PINBlock, p.NewPIN, p.Track2, p.Response, p.Original = nil, nil, pan.Track2{}, unionpay.ReasonTimeout, unionpay.OriginalOf(m)
	return &unionpay.ReversalRequest{Payment: p}
}

// Names of keys in the test HSMs.
const (
	KeyAC, KeyMAC, KeyENC   = "master ac", "master mac", "master enc"
	KeyFingerprint, KeySeal = "fingerprint", "seal"
	KeyPINReference         = "pin reference"
)

// PINKey names the PIN key shared with a peer.
func PINKey(peer string) string { return "pin " + peer }

// NewHSM makes a security module with the masters of the test cards, data keys, and a PIN key for each peer. Keys of the same two sides agree by their pair
// name, such as "10000001-20000001".
func NewHSM(t testing.TB, seed byte, peers map[string]string) *hsm.HSM {
	t.Helper()
	h := hsm.New(rand.NewChaCha8([32]byte{seed}))
	must := func(_ hsm.KeyInfo, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	masters := cardtest.Masters()
	for _, master := range []struct {
		name  string
		usage hsm.Usage
		key   cryptogram.Key
	}{{KeyAC, hsm.UsageEMVAC, masters.AC}, {KeyMAC, hsm.UsageEMVMAC, masters.MAC}, {KeyENC, hsm.UsageEMVENC, masters.ENC}} {
		key := master.key.Reveal()
		must(h.ImportClear(master.name, master.usage, hsm.ModeDerive, hsm.TDES, hsm.NotExportable, key[:]))
	}
	must(h.Generate(KeyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC, hsm.NotExportable))
	must(h.Generate(KeySeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256, hsm.NotExportable))
	must(h.Generate(KeyPINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES128, hsm.NotExportable))
	for peer, pair := range peers {
		key := make([]byte, 16)
		stream := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", pair))))
		if _, err := stream.Read(key); err != nil {
			t.Fatal(err)
		}
		must(h.ImportClear(PINKey(peer), hsm.UsagePINEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable, key))
	}
	return h
}

// EncipherPIN makes a PIN block for a card under the PIN key shared with a peer.
func EncipherPIN(t testing.TB, h *hsm.HSM, peer, digits string, number pan.Number) *pinblock.Block {
	t.Helper()
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		t.Fatal(err)
	}
	block, err := h.EncipherPIN(PINKey(peer), pinblock.Format0(pin, number))
	if err != nil {
		t.Fatal(err)
	}
	return &block
}

// NoSecrets fails the test when an encoded row of the journal holds one of the card numbers, in ASCII or packed, or one of the blocks.
func (r *Rig) NoSecrets(numbers []pan.Number, blocks ...*pinblock.Block) {
	r.Helper()
	for _, row := range r.Rows() {
		encoded := row.AppendBinary(nil)
		for _, number := range numbers {
			for form, secret := range map[string][]byte{"ASCII": []byte(number.Reveal()), "packed": number.BCD()} {
				if contains(encoded, secret) {
					r.Errorf("row %d (%s) holds a card number in %s form", row.Seq, row.Kind, form)
				}
			}
		}
		for _, block := range blocks {
			if b := block.Reveal(); contains(encoded, b[:]) || contains(encoded, []byte(hex.EncodeToString(b[:]))) {
				r.Errorf("row %d (%s) holds a PIN block", row.Seq, row.Kind)
			}
		}
	}
}

func contains(b, part []byte) bool {
	for i := 0; i+len(part) <= len(b); i++ {
		if string(b[i:i+len(part)]) == string(part) {
			return true
		}
	}
	return false
}
