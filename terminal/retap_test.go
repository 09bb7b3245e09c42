package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/terminal"
)

// tear is a way to take the card away.
type tear struct {
	name string
	set  func(f *card.Field, n int)
	most int // the largest n worth trying
}

var tears = []tear{
	{"before command", (*card.Field).TearBeforeCommand, 14},
	{"after command", (*card.Field).TearAfterCommand, 14},
	{"before commit", (*card.Field).TearBeforeCommit, 2},
	{"after commit", (*card.Field).TearAfterCommit, 2},
}

// Whenever the card is pulled away, during the tap and during the re-tap, the holder pays once for what is approved and nothing
// for what is not.
func TestTornTapNeverPaysTwice(t *testing.T) {
	for _, long := range []bool{false, true} {
		for _, first := range tears {
			for n := 1; n <= min(first.most, 8); n++ {
				for _, second := range tears {
					for m := 0; m <= second.most; m += 1 + m/4 {
						tornRun(t, long, first, n, second, m)
					}
				}
			}
		}
	}
}

func tornRun(t *testing.T, long bool, first tear, n int, second tear, m int) {
	t.Helper()
	name := fmt.Sprintf("long key %v, %s %d, then %s %d", long, first.name, n, second.name, m)
	c, issued := cardtest.New(t, cardtest.Options{LongKey: long})
	term := newTerminal(t, config(issued))
	field := card.NewField(c)
	first.set(field, n)
	r := tap(t, term, field, request(1250))
	for attempt := 0; r.Torn != nil || r.Outcome.Kind == kernel.TryAgain; attempt++ {
		if attempt > 4 {
			t.Fatalf("%s: no end", name)
		}
		field.Present()
		if attempt == 0 && m > 0 {
			second.set(field, m)
		}
		if r.Torn != nil {
			r = retap(t, term, field, r.Torn, time.Second)
		} else {
			r = tap(t, term, field, request(1250))
		}
	}
	paid := int64(8750) - balance(c)
	switch {
	case r.Outcome.Kind == kernel.Approved && paid == 1250:
	case r.Outcome.Kind != kernel.Approved && paid == 0:
		t.Errorf("%s: %v, %v: a card that stays is to pay in the end", name, r.Outcome.Kind, r.Outcome.Reason)
	default:
		t.Errorf("%s: %v, %v, and the card paid %d", name, r.Outcome.Kind, r.Outcome.Reason, paid)
	}
	if r.Outcome.Kind == kernel.Approved && !cryptogramOK(t, issued, r.Outcome.Data) {
		t.Errorf("%s: cryptogram of the approved payment", name)
	}
}

// torn makes a payment whose last record never arrived. paid: the card has committed it.
func torn(t testing.TB, paid bool, o cardtest.Options, change func(*terminal.Config)) (*card.Card, *terminal.Terminal, *card.Field, *terminal.Torn) {
	t.Helper()
	c, issued := cardtest.New(t, o)
	cfg := config(issued)
	if change != nil {
		change(&cfg)
	}
	term := newTerminal(t, cfg)
	field := card.NewField(c)
	if paid {
		field.TearAfterCommit(2)
	} else {
		field.TearBeforeCommand(7)
	}
	r := tap(t, term, field, request(1250))
	want(t, r, kernel.TryAgain, kernel.ReasonTorn)
	field.Present()
	if r.Torn == nil || (balance(c) == 7500) != paid {
		t.Fatalf("torn %v, balance %d", r.Torn, balance(c))
	}
	return c, term, field, r.Torn
}

func TestRetap(t *testing.T) {
	for _, x := range []struct {
		name  string
		paid  bool
		after time.Duration
		kind  kernel.OutcomeKind
		why   kernel.Reason
		left  int64
	}{
		{"paid", true, time.Second, kernel.Approved, kernel.ReasonRecovered, 7500},
		{"paid, re-tap window closed", true, 30 * time.Second, kernel.Approved, kernel.ReasonRecovered, 7500},
		{"paid, too late", true, 61 * time.Second, kernel.EndApplication, kernel.ReasonInterrupted, 7500},
		{"unpaid", false, time.Second, kernel.Approved, kernel.ReasonApproved, 7500},
		{"unpaid, re-tap window closed", false, 30 * time.Second, kernel.EndApplication, kernel.ReasonInterrupted, 8750},
		{"unpaid, too late", false, 61 * time.Second, kernel.EndApplication, kernel.ReasonInterrupted, 8750},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, term, field, torn := torn(t, x.paid, cardtest.Options{}, nil)
			r := retap(t, term, field, torn, x.after)
			want(t, r, x.kind, x.why)
			if balance(c) != x.left || r.Torn != nil {
				t.Errorf("balance %d, want %d; torn %v", balance(c), x.left, r.Torn)
			}
			if x.why == kernel.ReasonRecovered && r.Outcome.ODA.Status != kernel.ODAPassed {
				t.Error("recovered without authentication")
			}
			if _, err := term.Retap(context.Background(), field, torn, cardtest.Today); x.paid && !errors.Is(err, terminal.ErrRequest) {
				t.Errorf("settled twice: %v", err)
			}
		})
	}
}

func TestRetapWithAnotherCard(t *testing.T) {
	c, term, field, open := torn(t, true, cardtest.Options{}, nil)
	other, _ := cardtest.New(t, cardtest.Options{PAN: "629999100000002"})
	r := retap(t, term, card.NewField(other), open, time.Second)
	want(t, r, kernel.TryAgain, kernel.ReasonOtherCard)
	if r.Torn == nil || balance(other) != 8750 {
		t.Fatalf("torn %v, other balance %d", r.Torn, balance(other))
	}
	// No application of that name at all.
	r = retap(t, term, reply(func(apdu.Command) []byte { return apdu.FileNotFound.Append(nil) }), open, time.Second)
	want(t, r, kernel.TryAgain, kernel.ReasonOtherCard)
	r = retap(t, term, field, r.Torn, 2*time.Second)
	want(t, r, kernel.Approved, kernel.ReasonRecovered)
	if balance(c) != 7500 {
		t.Errorf("balance %d", balance(c))
	}
}

// lostRecord is a card that does not show its last record again.
func lostRecord(to apdu.Transceiver) apdu.Transceiver {
	return &through{to: to, change: func(cmd apdu.Command, b []byte) []byte {
		if cmd.INS == apdu.InsReadRecord && cmd.P2 == apdu.SFIReference(4) {
			return apdu.ConditionsNotSatisfied.Append(nil)
		}
		return b
	}}
}

func TestRetapByBalance(t *testing.T) {
	_, term, field, open := torn(t, true, cardtest.Options{}, nil)
	r := retap(t, term, lostRecord(field), open, time.Second)
	want(t, r, kernel.Approved, kernel.ReasonRecoveredByBalance)

	_, term, field, open = torn(t, true, cardtest.Options{}, func(c *terminal.Config) { c.RetapNeedsSignature = true })
	r = retap(t, term, lostRecord(field), open, time.Second)
	want(t, r, kernel.EndApplication, kernel.ReasonInterrupted)
}

// The card paid, and went to another terminal before it came back: its log remembers.
func TestRetapByLog(t *testing.T) {
	for _, paid := range []bool{true, false} {
		c, term, field, open := torn(t, paid, cardtest.Options{}, nil)
		elsewhere := newTerminal(t, onlineConfig(mustIssue(t)))
		tap(t, elsewhere, field, request(300))
		field.Present()
		r := retap(t, term, field, open, time.Second)
		if paid {
			want(t, r, kernel.Approved, kernel.ReasonRecoveredByLog)
		} else {
			want(t, r, kernel.EndApplication, kernel.ReasonInterrupted)
		}
		if (balance(c) == 7500) != paid {
			t.Errorf("balance %d", balance(c))
		}
	}
}

func mustIssue(t testing.TB) *cardtest.Issued {
	_, issued := cardtest.New(t, cardtest.Options{})
	return issued
}

// A card that withholds everything proves itself by its last record alone.
func TestRetapOfSecretiveCard(t *testing.T) {
	secretive := cardtest.Options{Change: func(im *card.Image) {
		a := &im.Applications[0]
		a.IDD = 0
		a.Processing.Clear(emv.APReturnAvailable)
		a.Withhold = card.WithholdNumber | card.WithholdExpiry | card.WithholdCounter | card.WithholdLog | card.WithholdBalance
	}}
	_, term, field, open := torn(t, true, secretive, nil)
	want(t, retap(t, term, field, open, time.Second), kernel.Approved, kernel.ReasonRecovered)
	c, term, field, open := torn(t, false, secretive, nil)
	want(t, retap(t, term, field, open, time.Second), kernel.EndApplication, kernel.ReasonInterrupted)
	if balance(c) != 8750 {
		t.Errorf("balance %d", balance(c))
	}
}

// A cheat holds the genuine approval back and lets a device say that the balance has gone down. With RetapNeedsSignature it is
// not believed, and a forged last record never is.
func TestRetapForged(t *testing.T) {
	forged := func(field *card.Field) apdu.Transceiver {
		return &through{to: field, change: func(cmd apdu.Command, b []byte) []byte {
			switch {
			case cmd.INS == apdu.InsGetData && cmd.P2 == byte(emv.TagECBalance&0xFF):
				return unhex(t, "9F7906000000007500 9000")
			case cmd.INS == apdu.InsReadRecord && cmd.P2 == apdu.SFIReference(4):
				return unhex(t, "700B 9F6908 01 00000000 0000 00 9000")
			}
			return b
		}}
	}
	c, term, field, open := torn(t, false, cardtest.Options{}, nil)
	want(t, retap(t, term, forged(field), open, time.Second), kernel.Declined, kernel.ReasonODAFailed)
	if balance(c) != 8750 {
		t.Errorf("balance %d", balance(c))
	}
}

// Reader trouble during a re-tap keeps the question open.
func TestRetapReaderTrouble(t *testing.T) {
	for n := 1; n <= 5; n++ {
		c, term, field, open := torn(t, true, cardtest.Options{}, nil)
		r, err := term.Retap(context.Background(), &broken{to: field, n: n}, open, cardtest.Today)
		if !errors.Is(err, errReader) || r.Torn == nil {
			t.Fatalf("command %d: %v, torn %v", n, err, r.Torn)
		}
		field.Present()
		want(t, retap(t, term, field, r.Torn, time.Second), kernel.Approved, kernel.ReasonRecovered)
		if balance(c) != 7500 {
			t.Errorf("balance %d", balance(c))
		}
	}
}

func TestTornPrintsNothing(t *testing.T) {
	_, _, _, open := torn(t, true, cardtest.Options{}, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, open); strings.Contains(strings.ToLower(text), "629999") || !strings.Contains(text, "counter 2") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// either is a card that may pay from its cumulative limit instead of its purse, with so much in the purse.
func either(minor int64) cardtest.Options {
	return cardtest.Options{Change: func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		a.Processing = emv.AdditionalProcessing{0x20, 0x10, 0xF0, 0}
		s.Purses[0].Balance, s.CumulativeLimit, s.CumulativeUpperLimit = minor, 50_000, 50_000
	}}
}

// TestRetapPurseDoesNotDecide: a purse that holds the same before and after shows nothing about a payment that does not come from it.
func TestRetapPurseDoesNotDecide(t *testing.T) {
	for _, paid := range []bool{false, true} {
		c, issued := cardtest.New(t, either(0))
		term, field := newTerminal(t, config(issued)), card.NewField(c)
		if paid {
			field.TearAfterCommit(2)
		} else {
			field.TearBeforeCommit(2)
		}
		first := tap(t, term, field, request(1250))
		if first.Torn == nil {
			t.Fatalf("not torn: %v", first.Outcome.Reason)
		}
		field.Present()
		again := retap(t, term, field, first.Torn, time.Second)
		if paid {
			want(t, again, kernel.Approved, kernel.ReasonRecovered)
		} else {
			want(t, again, kernel.EndApplication, kernel.ReasonInterrupted) // nothing shows that it has not paid either
		}
		if total := c.State().Applications[0].Cumulative; (total == 1250) != paid {
			t.Errorf("paid %v: %d in the total", paid, total)
		}
	}
	// Without the record the log decides, where there is one.
	c, issued := cardtest.New(t, either(0))
	term, field := newTerminal(t, config(issued)), card.NewField(c)
	field.TearAfterCommit(2)
	first := tap(t, term, field, request(1250))
	field.Present()
	want(t, retap(t, term, lostRecord(field), first.Torn, time.Second), kernel.Approved, kernel.ReasonRecoveredByLog)
}
