package terminal_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/terminal"
	"tapnet/tlv"
)

func read(t testing.TB, reader apdu.Transceiver) terminal.CardApplication {
	t.Helper()
	r, err := terminal.Read(context.Background(), reader)
	if err != nil || len(r.Applications) != 1 {
		t.Fatalf("%d applications, %v, %v", len(r.Applications), r.Reason, err)
	}
	return r.Applications[0]
}

func TestRead(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	term := newTerminal(t, config(issued))
	for _, minor := range []int64{1250, 300} {
		want(t, tap(t, term, card.NewField(c), request(minor)), kernel.Approved, kernel.ReasonApproved)
	}
	before := c.State()
	a := read(t, card.NewField(c))
	if c.State() != before {
		t.Error("reading changed the card")
	}
	if a.AID != emv.AIDDebit || a.Label != "TAPNET DEBIT" || a.PAN != issued.PAN || a.Expiry != issued.Expiry || a.Sequence != "01" {
		t.Errorf("%v %s %v %v %s", a.AID, a.Label, a.PAN, a.Expiry, a.Sequence)
	}
	if a.ATC == nil || *a.ATC != 3 || a.Balance == nil || *a.Balance != yuan(7200) || a.PINTries == nil || *a.PINTries != 3 || a.SecondBalance != nil {
		t.Errorf("%v %v %v", a.ATC, a.Balance, a.PINTries)
	}
	if len(a.Log.Records) != 2 {
		t.Fatalf("%d log records", len(a.Log.Records))
	}
	if minor, ok := kernel.Minor(a.Log.Records[0].Get(emv.TagAmount)); !ok || minor != 300 {
		t.Errorf("newest log record: %d", minor)
	}
	if got := string(a.Log.Records[0].Get(emv.TagMerchantName)); strings.TrimSpace(got) != "CANTEEN ONE" {
		t.Errorf("merchant %q", got)
	}
	text, err := json.Marshal(a)
	if err != nil || strings.Contains(string(text), issued.PAN.Reveal()) {
		t.Errorf("JSON tells the account number, or %v", err)
	}
}

// The issuer can hold each object back.
func TestReadWithheld(t *testing.T) {
	for _, x := range []struct {
		withhold card.Withhold
		told     func(terminal.CardApplication) bool
	}{
		{card.WithholdNumber, func(a terminal.CardApplication) bool { return !a.PAN.IsZero() }},
		{card.WithholdExpiry, func(a terminal.CardApplication) bool { return !a.Expiry.IsZero() }},
		{card.WithholdCounter, func(a terminal.CardApplication) bool { return a.ATC != nil || a.LastOnlineATC != nil }},
		{card.WithholdLog, func(a terminal.CardApplication) bool { return len(a.Log.Format)+len(a.Log.Records) > 0 }},
		{card.WithholdBalance, func(a terminal.CardApplication) bool { return a.Balance != nil || a.Available != nil }},
	} {
		plain, issued := cardtest.New(t, cardtest.Options{})
		tap(t, newTerminal(t, config(issued)), card.NewField(plain), request(150))
		if !x.told(read(t, card.NewField(plain))) {
			t.Errorf("%v: an open card does not tell it", x.withhold)
		}
		shut, issued := cardtest.New(t, cardtest.Options{Change: func(im *card.Image) {
			a := &im.Applications[0]
			a.Withhold, a.IDD = x.withhold, 0
			a.Processing.Clear(emv.APReturnAvailable)
		}})
		want(t, tap(t, newTerminal(t, config(issued)), card.NewField(shut), request(150)), kernel.Approved, kernel.ReasonApproved)
		if x.told(read(t, card.NewField(shut))) {
			t.Errorf("%v: a card that withholds it tells it", x.withhold)
		}
	}
}

// Everything a reader learned does not make a card: there is no answer to GET PROCESSING OPTIONS in it.
func TestWhatWasReadNeverPays(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	answers := map[string][]byte{}
	_, err := terminal.Read(context.Background(), &through{to: card.NewField(c), change: func(cmd apdu.Command, b []byte) []byte {
		answers[key(cmd)] = b
		return b
	}})
	if err != nil {
		t.Fatal(err)
	}
	var invented emv.Data
	invented.Set(emv.TagAIP, []byte{0x7C, 0})
	invented.Set(emv.TagAFL, issued.Image.Applications[0].OfflineAFL.Bytes())
	invented.Set(emv.TagATC, []byte{0, 2})
	invented.Set(emv.TagAC, make([]byte, 8))
	invented.Set(emv.TagIAD, unhex(t, "0701010390000001"))
	template := tlv.Wrap(emv.TagResponse2, invented.Bytes())
	for name, gpo := range map[string][]byte{
		"silent": apdu.ConditionsNotSatisfied.Append(nil), "inventing an approval": apdu.OK.Append(template),
	} {
		clone := reply(func(cmd apdu.Command) []byte {
			if cmd.INS == apdu.InsGPO {
				return gpo
			}
			if b, ok := answers[key(cmd)]; ok {
				return b
			}
			return apdu.FileNotFound.Append(nil)
		})
		r := tap(t, newTerminal(t, config(issued)), clone, request(150))
		if r.Outcome.Kind == kernel.Approved || r.Outcome.Kind == kernel.OnlineRequest {
			t.Errorf("%s: %v", name, r.Outcome.Kind)
		}
	}
}

func TestReadNothing(t *testing.T) {
	for name, x := range map[string]struct {
		o   cardtest.Options
		why kernel.Reason
	}{
		"contactless off": {cardtest.Options{Change: func(im *card.Image) { im.NoContactless = true }}, kernel.ReasonNoDirectory},
		"card blocked":    {cardtest.Options{Change: func(im *card.Image) { im.State.Blocked = true }}, kernel.ReasonCardBlocked},
	} {
		c, _ := cardtest.New(t, x.o)
		r, err := terminal.Read(context.Background(), card.NewField(c))
		if err != nil || len(r.Applications) != 0 || r.Reason != x.why {
			t.Errorf("%s: %v, %v", name, r.Reason, err)
		}
	}
	c, _ := cardtest.New(t, cardtest.Options{})
	for n := 1; n <= 10; n++ {
		field := card.NewField(c)
		field.TearBeforeCommand(n)
		if _, err := terminal.Read(context.Background(), field); !errors.Is(err, apdu.ErrCardLost) {
			t.Errorf("torn at %d: %v", n, err)
		}
	}
}
