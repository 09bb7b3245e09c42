package issuer_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/issuer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// chipCard is a card with contacts and a terminal that goes through its dialogue: what the issuer says reaches the chip.
type chipCard struct {
	testing.TB
	*cardtest.Issued
	chip  *card.Card
	field *card.Field
	told  emv.Data // what the terminal tells the card in the running payment
	taps  uint32
	// abroad: the next payments are in the second currency; cash: the terminal takes electronic cash.
	abroad, cash bool
	// alone: the terminal asks for an approval without the network.
	alone bool
	// low: the terminal finds the purse low and asks the network all the same [REF 2.9].
	low bool
}

// newChip makes a card of a suite with purseMinor on it and puts it into the terminal.
func newChip(t testing.TB, digits string, suite cryptogram.Suite, purseMinor int64) *chipCard {
	t.Helper()
	_, issued := cardtest.New(t, cardtest.Options{PAN: digits, Balance: purseMinor, Contact: true, Change: func(image *card.Image) {
		image.State.Applications[0].Purses[0].BalanceLimit = 100_000
		image.Applications[0].Objects.Set(emv.TagDefaultAction, []byte{0, 0})
		image.Applications[0].Contact.Checks = 0
	}})
	issued.Suite = suite
	issued.CardKeys = suite.CardKeys(issued.Masters, issued.PAN, issued.Sequence)
	issued.Image.Applications[0].Algorithm = suite.AlgorithmID()
	issued.Crypto = card.NewSoftCrypto(suite, issued.CardKeys, issued.Key)
	c, err := card.New(&issued.Image, issued.Crypto, card.NewVolatile(issued.Image.State), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &chipCard{TB: t, Issued: issued, chip: c}
}

func (c *chipCard) purse() int64 { return c.chip.State().Applications[0].Purses[0].Balance }

func (c *chipCard) exchange(command apdu.Command) (apdu.Response, bool) {
	c.Helper()
	raw, err := c.field.Transceive(context.Background(), command.Bytes())
	if err != nil {
		c.Fatalf("card: %v", err)
	}
	r, err := apdu.ParseResponse(raw)
	if err != nil {
		c.Fatalf("card: %v", err)
	}
	return r, r.SW == apdu.OK
}

func (c *chipCard) send(command apdu.Command) []byte {
	c.Helper()
	r, ok := c.exchange(command)
	if !ok {
		c.Fatalf("card answers %v to %v", r.SW, command)
	}
	return r.Data
}

func dol(t testing.TB, s string) emv.DOL {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	list, err := emv.ParseDOL(b)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const (
	testCDOL1 = "9F02069F03069F1A0295055F2A029A039F21039C019F37049F4E14"
	testPDOL  = "9F7A019F02065F2A02"
)

// insert runs a payment up to its first cryptogram. pin is given to the card when there is one.
func (c *chipCard) insert(minor int64, typ byte, pin string) emv.Data {
	c.Helper()
	c.taps++
	c.field = card.NewSlot(c.chip)
	amount, err := moneyOf(minor).BCD()
	if err != nil {
		c.Fatal(err)
	}
	var d emv.Data
	d.Set(emv.TagECTerminalSupport, []byte{0})
	d.Set(emv.TagAmount, amount[:])
	d.Set(emv.TagAmountOther, make([]byte, 6))
	d.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	d.Set(emv.TagTVR, make([]byte, 5))
	d.Set(emv.TagCurrency, []byte{0x01, 0x56})
	d.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	d.Set(emv.TagTransactionTime, []byte{0x12, 0x30, 0x59})
	d.Set(emv.TagTransactionType, []byte{typ})
	d.Set(emv.TagUnpredictableNumber, []byte{0xB0, byte(c.taps >> 16), byte(c.taps >> 8), byte(c.taps)})
	d.Set(emv.TagMerchantName, []byte("CANTEEN ONE"))
	if c.abroad {
		d.Set(emv.TagCurrency, []byte{0x03, 0x44})
	}
	if c.cash {
		d.Set(emv.TagECTerminalSupport, []byte{1})
	}
	c.told = d
	c.send(apdu.Select(c.Image.Applications[0].AID.Bytes()))
	c.send(apdu.GPO(dol(c, testPDOL).Build(nil, d)))
	if pin != "" {
		digits, err := pinblock.ParsePIN(pin)
		if err != nil {
			c.Fatal(err)
		}
		block := pinblock.Format2(digits).Reveal()
		c.exchange(apdu.Verify(apdu.VerifyPlaintext, block[:]))
	}
	if (c.cash || c.alone) && !c.low {
		return c.generate(emv.TC, "")
	}
	return c.generate(emv.ARQC, "")
}

func (c *chipCard) generate(want emv.CID, arc string) emv.Data {
	c.Helper()
	list := dol(c, testCDOL1).Build(nil, c.told)
	if arc != "" {
		list = append([]byte(arc), list...)
	}
	value, _ := tlv.Find(c.send(apdu.GenerateAC(byte(want), list)), emv.TagResponse1)
	icc := c.told.Clone()
	for _, tag := range []tlv.Tag{emv.TagECTerminalSupport, emv.TagMerchantName, emv.TagTransactionTime} {
		icc.Delete(tag)
	}
	icc.Set(emv.TagATC, value[1:3])
	icc.Set(emv.TagAC, value[3:11])
	icc.Set(emv.TagIAD, value[11:])
	icc.Set(emv.TagAIP, c.Image.Applications[0].Contact.AIP[:])
	return icc
}

// finish gives the issuer's answer to the card, approving or not, and returns the last cryptogram and what became of the scripts (DF31). torn stops before
// them.
func (c *chipCard) finish(answer *unionpay.FinancialResponse, torn bool) (last emv.Data, results []byte) {
	c.Helper()
	c.send(apdu.ExternalAuthenticate(answer.ICC.Get(emv.TagIssuerAuthData)))
	want := emv.TC
	if answer.Response != "00" {
		want = emv.AAC
	}
	last = c.generate(want, string(answer.Response))
	template := answer.ICC.Get(emv.TagScript2)
	if torn || len(template) == 0 {
		return last, nil
	}
	id, _ := tlv.Find(template, emv.TagScriptID)
	status, number := byte(0x20), byte(0)
	for e, err := range tlv.All(template) {
		if err != nil {
			c.Fatal(err)
		}
		if e.Tag != emv.TagScriptCommand {
			continue
		}
		number++
		command, err := apdu.ParseCommand(e.Value)
		if err != nil {
			c.Fatal(err)
		}
		if _, ok := c.exchange(command); !ok {
			status = 0x10 | number
			break
		}
	}
	return last, append([]byte{status}, id...)
}

// chipBank is a bank with a card with contacts.
type chipBank struct {
	*bank
	chip *chipCard
}

func newChipBank(t testing.TB, suite cryptogram.Suite, change ...func(*issuer.Enrolment)) *chipBank {
	t.Helper()
	b := &bank{hsm: networktest.NewHSM(t, 1, map[string]string{theSwitch: "switch-issuer"})}
	masters := cardtest.Masters()
	for name, algorithm := range map[string]hsm.Algorithm{"sm4": hsm.SM4, "aes": hsm.AES128} {
		for _, m := range []struct {
			suffix string
			usage  hsm.Usage
			key    cryptogram.Key
		}{{"ac", hsm.UsageEMVAC, masters.AC}, {"mac", hsm.UsageEMVMAC, masters.MAC}, {"enc", hsm.UsageEMVENC, masters.ENC}} {
			key := m.key.Reveal()
			if _, err := b.hsm.ImportClear(name+" "+m.suffix, m.usage, hsm.ModeDerive, algorithm, hsm.NotExportable, key[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.restart(t, nil)
	cb := &chipBank{bank: b, chip: newChip(t, "", suite, 8_750)}
	b.card = &networktest.Card{TB: t, Issued: cb.chip.Issued}
	cb.enrolChip(cb.chip, 1, change...)
	return cb
}

func (b *chipBank) enrolChip(c *chipCard, id int64, change ...func(*issuer.Enrolment)) {
	b.Helper()
	b.enrol(&networktest.Card{TB: b, Issued: c.Issued}, id, append([]func(*issuer.Enrolment){func(e *issuer.Enrolment) {
		e.PurseMinor, e.Algorithms = c.purse(), []byte{c.Suite.AlgorithmID()}
	}}, change...)...)
}

// request is what arrives at the switch for an insertion.
func (b *chipBank) request(c *chipCard, minor int64, processing unionpay.ProcessingCode, kind unionpay.MessageType, icc emv.Data) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	m := (&networktest.Card{TB: b, Issued: c.Issued}).Request(b.stan, minor, icc)
	m.Processing, m.EntryMode, m.Info.MessageType = processing, unionpay.NewEntryMode(unionpay.EntryContact, false), kind
	if c.abroad {
		m.Amount = money.New(minor, money.HKD)
	}
	if kind != unionpay.KindSale {
		m.Condition = unionpay.ConditionLoad
	}
	return networktest.AtSwitch(m, acquirer, b.today())
}

func (b *chipBank) sale(minor int64, pin string) *unionpay.FinancialRequest {
	b.Helper()
	return b.request(b.chip, minor, unionpay.ProcessingSale, unionpay.KindSale, b.chip.insert(minor, 0, pin))
}

// loadFor is a load of the chip from its own account, with the PIN.
func (b *chipBank) loadFor(minor int64, pin string) *unionpay.FinancialRequest {
	b.Helper()
	m := b.request(b.chip, minor, unionpay.ProcessingLoad, unionpay.KindLoad, b.chip.insert(minor, 0x60, ""))
	if pin != "" {
		b.withPIN(m, pin)
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
	}
	return m
}

func (b *chipBank) answer(m unionpay.Message, want issuer.Reason) *unionpay.FinancialResponse {
	b.Helper()
	sent := b.Answer(theSwitch, m)
	answer := sent.Message.(*unionpay.FinancialResponse)
	if answer.Response != want.ResponseCode() {
		b.Fatalf("answer %s (row %q), want %q", answer.Response, issuer.Reason(b.LastRow().Reason), want)
	}
	b.audit()
	return answer
}

// notice is the terminal's word about scripts.
func (b *chipBank) notice(m *unionpay.FinancialRequest, results []byte) *unionpay.ScriptNotice {
	b.Helper()
	b.stan++
	p := networktest.AtSwitch(&unionpay.FinancialRequest{Payment: m.Payment}, acquirer, b.today()).Payment
	p.Original, p.STAN, p.PINBlock, p.NewPIN, p.Track2, p.ICC = unionpay.OriginalOf(m), b.stan, nil, nil, pan.Track2{}, emv.Data{}
	p.ICC.Set(emv.TagScriptResults, results)
	return &unionpay.ScriptNotice{Payment: p}
}

func (b *chipBank) tell(m *unionpay.FinancialRequest, results []byte) {
	b.Helper()
	sent := b.Answer(theSwitch, b.notice(m, results))
	if got := unionpay.PaymentOf(sent.Message).Response; got != "00" || sent.Message.Type() != unionpay.TypeScriptNoticeReply {
		b.Fatalf("the notice is answered %s %s", sent.Message.Type(), got)
	}
	b.audit()
}

func (b *chipBank) shadow() int64 { return b.issuer.Shadow(1) }

func (b *chipBank) rigOn(role *issuer.Issuer, rows int) *networktest.Rig {
	b.Helper()
	return networktest.NewRig(b, role, b.Prefix(rows), b.Clock, networktest.SwitchDialect)
}

// reversalOf is the reversal of a request, with what became of the scripts when the terminal knows.
func reversalOf(m *unionpay.FinancialRequest, results []byte) *unionpay.ReversalRequest {
	r := networktest.ReversalAtSwitch(m)
	r.ICC, r.NewPIN = emv.Data{}, nil
	if len(results) > 0 {
		r.ICC.Set(emv.TagScriptResults, results)
	}
	return r
}

// tapOffline pays from the purse without contacts; the upload is given, not delivered.
func (b *chipBank) tapOffline(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	m := networktest.Adopt(b, b.chip.Issued, b.chip.chip).PayOffline(b.stan, minor)
	return networktest.AtSwitch(m, acquirer, b.today())
}
