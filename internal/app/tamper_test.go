package app

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/memnet"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// tampered is a world in memory whose wires and cards a test changes.
type tampered struct {
	*testing.T
	*story
}

func newTampered(t *testing.T) *tampered {
	t.Helper()
	w := &tampered{T: t, story: &story{clock: clock.NewManual(demoStart), wires: newWires()}}
	profile := arenaProfile(t)
	for i := range profile.Cards {
		if profile.Cards[i].Purse != "" {
			profile.Cards[i].Purse = "900.00"
		}
	}
	seed := uint64(11)
	var err error
	w.Network, err = start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Seed: &seed, Clock: w.clock, Quiet: true}, w.wires.connected)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return w
}

// middleman sits between card and reader: it remembers the answers, or changes one byte of the answer to one command.
type middleman struct {
	apdu.Transceiver
	commands, answers *[][]byte
	change            []byte // the command whose answer is changed
	at                int
}

func (m middleman) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := m.Transceiver.Transceive(ctx, command)
	if m.commands != nil {
		*m.commands, *m.answers = append(*m.commands, bytes.Clone(command)), append(*m.answers, bytes.Clone(answer))
	}
	if err == nil && m.change != nil && bytes.HasPrefix(command, m.change) && len(answer) > m.at+2 {
		answer = bytes.Clone(answer)
		answer[m.at] ^= 0x01
	}
	return answer, err
}

// offline pays from the purse with somebody between card and reader. It gives the outcome and what left the purse, in minor units.
func (w *tampered) offline(name string, wrap func(apdu.Transceiver) apdu.Transceiver) (TapResult, int64) {
	w.Helper()
	before := w.holders[name].purse(money.CNY)
	result, err := w.play(w.Context(), scene{card: name, at: "canteen", amount: "0.01", options: tapOptions{offlineOnly: true, wrap: wrap}})
	if err != nil {
		w.Fatal(err)
	}
	return result, before.Minor() - w.holders[name].purse(money.CNY).Minor()
}

// place is one byte of the card's answers.
type place struct {
	name    string
	command []byte // what is the same of the command at every tap
	at      int
	last    bool // it comes only with the last record, or before it but with nothing to compare it to yet
}

// signature is where the dynamic signature lies: only the terminal's own check of it, after the last record, can notice.
func signature(tag tlv.Tag) bool {
	return tag == emv.TagSDAD || tag == emv.TagCardAuthData || tag == emv.TagATC || tag == emv.TagAC || tag == emv.TagUnpredictableNumber
}

// places lists every byte of the certificates, of the signed record and of the dynamic signature of a card.
func (w *tampered) places(name string) (places []place) {
	w.Helper()
	var commands, answers [][]byte
	result, paid := w.offline(name, func(t apdu.Transceiver) apdu.Transceiver {
		return middleman{Transceiver: t, commands: &commands, answers: &answers}
	})
	if result.Outcome != OutcomeApprovedOffline || paid != 1 {
		w.Fatalf("%s: %s, %s", name, result.Outcome, result.Why.EN)
	}
	interesting := []tlv.Tag{emv.TagIssuerCertificate, emv.TagIssuerRemainder, emv.TagIssuerExponent, emv.TagICCCertificate, emv.TagICCRemainder,
		emv.TagICCExponent, emv.TagSDAD, emv.TagCardAuthData, emv.TagCAIndex}
	for i, answer := range answers {
		data := answer[:len(answer)-2]
		isRecord := commands[i][1] == 0xB2
		fixed := commands[i]
		if !isRecord {
			if fixed = commands[i][:2]; fixed[1] != 0xA8 {
				continue // only records and the answer to GET PROCESSING OPTIONS hold anything signed
			}
		}
		last := i == len(answers)-1
		if isRecord && signedRecord(answers, commands[i]) {
			values := valueBytes(data)
			for at := range data {
				// An element that seems to be missing might stand in the last record.
				places = append(places, place{fmt.Sprintf("signed record, byte %d", at), fixed, at, last || !values[at]})
			}
			continue
		}
		for _, tag := range interesting {
			value, ok := inTemplate(data, tag)
			if !ok {
				continue
			}
			start := bytes.Index(data, value)
			for at := range value {
				places = append(places, place{fmt.Sprintf("%v, byte %d", tag, at), fixed, start + at, last || signature(tag)})
			}
		}
	}
	return places
}

// inTemplate finds an element in a record, or in the answer to GET PROCESSING OPTIONS.
func inTemplate(data []byte, tag tlv.Tag) ([]byte, bool) {
	for _, template := range []tlv.Tag{0x70, emv.TagResponse2} {
		if inner, ok := tlv.Find(data, template); ok {
			return tlv.Find(inner, tag)
		}
	}
	return nil, false
}

// valueBytes marks the bytes of a record that belong to a value, not to a tag or length.
func valueBytes(data []byte) map[int]bool {
	inside := map[int]bool{}
	inner, _ := tlv.Find(data, 0x70)
	for rest := inner; len(rest) > 0; {
		e, after, err := tlv.Next(rest)
		if err != nil {
			break
		}
		end := len(data) - len(after)
		for at := end - len(e.Value); at < end; at++ {
			inside[at] = true
		}
		rest = after
	}
	return inside
}

// signedRecord looks into the card's file locator for whether a record takes part in offline authentication.
func signedRecord(answers [][]byte, command []byte) bool {
	for _, answer := range answers {
		value, ok := inTemplate(answer[:len(answer)-2], emv.TagAFL)
		if !ok {
			continue
		}
		afl, err := emv.ParseAFL(value)
		if err != nil {
			return false
		}
		for record := range afl.Records() {
			if bytes.Equal(apdu.ReadRecord(record.SFI, record.Number).Bytes(), command) {
				return record.Signed
			}
		}
	}
	return false
}

// TestEveryTamperedByteFails changes every byte of everything signed on one card, and every ninth on two others: no offline payment comes of it, and the
// purse keeps its money wherever the terminal can know before it reads the last record.
func TestEveryTamperedByteFails(t *testing.T) {
	w := newTampered(t)
	for _, c := range []struct {
		card string
		step int
	}{{"lin", 1}, {"sun", 9}, {"chen", 9}} {
		places := w.places(c.card)
		if len(places) < 300 {
			t.Fatalf("%s: only %d bytes are signed", c.card, len(places))
		}
		tried, free := 0, 0
		for i := 0; i < len(places); i += c.step {
			p := places[i]
			result, paid := w.offline(c.card, func(t apdu.Transceiver) apdu.Transceiver {
				return middleman{Transceiver: t, change: p.command, at: p.at}
			})
			if result.Paid() {
				t.Errorf("%s, %s: %s", c.card, p.name, result.Outcome)
			}
			if paid != 0 && !p.last {
				t.Errorf("%s, %s: the purse paid %d for nothing: %s", c.card, p.name, paid, result.Why.EN)
			}
			tried++
			if paid == 0 {
				free++
			}
		}
		t.Logf("%s: %d of %d bytes changed, in %d cases the purse was not touched", c.card, tried, len(places), free)
	}
	if result, paid := w.offline("lin", nil); result.Outcome != OutcomeApprovedOffline || paid != 1 {
		t.Errorf("afterwards: %s, %s", result.Outcome, result.Why.EN)
	}
	if err := w.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// unsent lets a card sign a payment whose request is lost, so that its counter is fresh and the till has taken it back.
func (w *tampered) unsent() unionpay.FinancialRequest {
	w.Helper()
	wire := w.wires.of(RoleAcquirer, tillShop1)
	watch, done := put(wire.dialler, unionpay.Terminal, unionpay.TypeFinancialRequest, memnet.Drop)
	defer done()
	tap := w.begin(w.Context(), scene{card: "lin", at: "shop-1", amount: "66.00"})
	<-watch.acted
	if at, ok := w.clock.NextAt(); ok {
		w.clock.Advance(at.Sub(w.clock.Now()))
	}
	if result, err := tap.wait(w.Context()); err != nil || result.Outcome != OutcomeReversed {
		w.Fatalf("%s %v", result.Outcome, err)
	}
	m, err := decodeFrame(iso8583.TerminalFraming, unionpay.Terminal, watch.seen()[0])
	if err != nil {
		w.Fatal(err)
	}
	return *m.(*unionpay.FinancialRequest)
}

// ask sends a request as the till does, with a right MAC, and gives the issuer's reason.
func (w *tampered) ask(m unionpay.FinancialRequest) (unionpay.ResponseCode, issuer.Reason) {
	w.Helper()
	outcome, err := w.tills["shop-1"].core.Send(w.Context(), m, nil)
	if err != nil {
		w.Fatal(err)
	}
	node := w.issuers[w.holders["lin"].personal.Record.Issuer]
	var reason issuer.Reason
	if err := node.look(w.Context(), func() { reason = node.core.ReasonOf(outcome.Answer.RRN) }); err != nil {
		w.Fatal(err)
	}
	return outcome.Answer.Response, reason
}

// TestTamperedRequests changes every bit of what the cryptogram covers, and the fields of the message that say the same, before the till signs the message:
// the issuer declines each with its reason. The request as the card signed it is approved at the end.
func TestTamperedRequests(t *testing.T) {
	w := newTampered(t)
	request := w.unsent()
	// What a change may look like to the issuer: another amount or currency than the message says, a cryptogram that is wrong, or data that cannot be read.
	mismatch, wrong := []issuer.Reason{issuer.ChipDataMismatch}, []issuer.Reason{issuer.CryptogramWrong}
	for _, c := range []struct {
		tag  tlv.Tag
		want []issuer.Reason
	}{
		{emv.TagAmount, mismatch}, {emv.TagAmountOther, wrong}, {emv.TagTerminalCountry, wrong}, {emv.TagTVR, wrong}, {emv.TagCurrency, mismatch},
		{emv.TagTransactionDate, wrong}, {emv.TagTransactionType, wrong}, {emv.TagUnpredictableNumber, wrong}, {emv.TagAIP, wrong}, {emv.TagATC, wrong},
		{emv.TagIAD, []issuer.Reason{issuer.CryptogramWrong, issuer.ChipDataMissing, issuer.NotARequestCryptogram}}, {emv.TagAC, wrong},
	} {
		value, ok := request.ICC.Value(c.tag)
		if !ok {
			t.Fatalf("the request has no %v", c.tag)
		}
		for at := range value {
			m := request
			m.ICC = request.ICC.Clone()
			changed := bytes.Clone(value)
			changed[at] ^= 0x01
			m.ICC.Set(c.tag, changed)
			code, reason := w.ask(m)
			if code.Approved() || !slices.Contains(c.want, reason) {
				t.Errorf("%v, byte %d: %s: %s", c.tag, at, code, reason)
			}
		}
	}
	other, err := pan.CompleteLuhn(w.holders["lin"].personal.PAN.Reveal()[:14] + "7")
	if err != nil {
		t.Fatal(err)
	}
	wang := w.holders["wang"].personal.PAN
	for name, c := range map[string]struct {
		change func(*unionpay.FinancialRequest)
		code   unionpay.ResponseCode
		want   issuer.Reason
	}{
		"F2, nobody's number":                   {func(m *unionpay.FinancialRequest) { m.PAN = other }, "14", issuer.UnknownCard},
		"F2, another's number, track as it was": {func(m *unionpay.FinancialRequest) { m.PAN = wang }, "59", issuer.ChipDataMismatch},
		"F2, another's number, no track":        {func(m *unionpay.FinancialRequest) { m.PAN, m.Track2 = wang, pan.Track2{} }, "59", issuer.CryptogramWrong},
		"F4, less":                              {func(m *unionpay.FinancialRequest) { m.Amount = money.New(1, money.CNY) }, "59", issuer.ChipDataMismatch},
		"F4, more":                              {func(m *unionpay.FinancialRequest) { m.Amount = money.New(6601, money.CNY) }, "59", issuer.ChipDataMismatch},
		"F4 and 9F02, less": {func(m *unionpay.FinancialRequest) {
			m.Amount, m.ICC = money.New(1, money.CNY), m.ICC.Clone()
			m.ICC.Set(emv.TagAmount, []byte{0, 0, 0, 0, 0, 1})
		}, "59", issuer.CryptogramWrong},
		"F23, another card of the account": {func(m *unionpay.FinancialRequest) { m.CardSequence = "002" }, "59", issuer.CryptogramWrong},
		"F49":                              {func(m *unionpay.FinancialRequest) { m.Amount = money.New(6600, dollars(t)) }, unionpay.NotPermittedToTerminal, issuer.Approved},
		"no field 55":                      {func(m *unionpay.FinancialRequest) { m.ICC = emv.Data{} }, "30", issuer.ChipDataMissing},
	} {
		m := request
		c.change(&m)
		if code, reason := w.ask(m); code != c.code || reason != c.want {
			t.Errorf("%s: %s: %s, want %s: %s", name, code, reason, c.code, c.want)
		}
	}
	if code, reason := w.ask(request); !code.Approved() {
		t.Errorf("as the card signed it: %s: %s", code, reason)
	}
	if code, reason := w.ask(request); code.Approved() || reason != issuer.CounterUsed {
		t.Errorf("once more: %s: %s", code, reason)
	}
	if err := w.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	snapshot, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, law := range invariants(snapshot) {
		if !law.OK && !strings.Contains(law.Name, "purse") {
			t.Errorf("%s: %s", law.Name, law.Detail.EN)
		}
	}
}

func dollars(t testing.TB) money.Currency {
	t.Helper()
	c, err := money.ParseCurrency("USD")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
