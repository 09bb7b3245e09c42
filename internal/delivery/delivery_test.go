package delivery

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

func effects(t *testing.T, do func(*journal.Step)) []journal.Effect {
	t.Helper()
	step := journal.NewStep(1)
	do(step)
	if len(step.Rows) != 0 {
		t.Fatal("a queue makes no rows")
	}
	return step.Effects
}

func TestAMessageIsSentAgainLessAndLessOften(t *testing.T) {
	var q Queue
	m := &unionpay.ReversalRequest{}
	sent := effects(t, func(s *journal.Step) { q.Send("k", "switch", m, s) })
	var found []time.Duration
	for range 7 {
		if len(sent) != 2 || sent[0].To != "switch" || sent[0].Message != unionpay.Message(m) || sent[1].Timer != "deliver k" {
			t.Fatalf("effects %+v", sent)
		}
		found = append(found, sent[1].After)
		sent = effects(t, func(s *journal.Step) {
			if !q.Fire("deliver k", s) {
				t.Fatal("not its timer")
			}
		})
	}
	minute := time.Minute
	if want := []time.Duration{minute, minute, 2 * minute, 5 * minute, 10 * minute, 10 * minute, 10 * minute}; !slices.Equal(found, want) {
		t.Errorf("waits %v, want %v", found, want)
	}
}

func TestOnlyItsReceiverAcknowledges(t *testing.T) {
	var q Queue
	effects(t, func(s *journal.Step) { q.Send("k", "switch", &unionpay.ReversalRequest{}, s) })
	if len(effects(t, func(s *journal.Step) {
		if q.Acknowledged("k", "stranger", s) || q.Acknowledged("other", "switch", s) {
			t.Error("acknowledged by somebody else")
		}
	})) != 0 || q.Len() != 1 {
		t.Error("the entry is gone")
	}
	cancelled := effects(t, func(s *journal.Step) {
		if !q.Acknowledged("k", "switch", s) || q.Acknowledged("k", "switch", s) {
			t.Error("not acknowledged once")
		}
	})
	if len(cancelled) != 1 || cancelled[0].Timer != "deliver k" || cancelled[0].After >= 0 || q.Len() != 0 {
		t.Errorf("effects %+v", cancelled)
	}
	if late := effects(t, func(s *journal.Step) { q.Fire("deliver k", s) }); len(late) != 0 {
		t.Error("a timer that was already on its way sends again")
	}
}

func TestOtherTimersAreNotIts(t *testing.T) {
	var q Queue
	effects(t, func(s *journal.Step) {
		if q.Fire("answer k", s) || q.Fire("", s) {
			t.Error("took a timer that is not its own")
		}
	})
	if len(q.Resume()) != 0 {
		t.Error("an empty queue sends")
	}
}

func TestResumeSendsEverythingInOrder(t *testing.T) {
	var q Queue
	for _, key := range []string{"b", "c", "a"} {
		effects(t, func(s *journal.Step) { q.Send(key, "to "+key, &unionpay.ReversalRequest{}, s) })
	}
	var order []string
	for _, e := range q.Resume() {
		if e.Message != nil {
			order = append(order, e.To)
		}
	}
	if want := []string{"to a", "to b", "to c"}; !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
}

// vault seals by turning bytes over, and does neither while it is down.
type vault struct{ down bool }

func (v *vault) SealData(_, _ string, data []byte) ([]byte, error) {
	if v.down {
		return nil, errors.New("down")
	}
	out := bytes.Clone(data)
	slices.Reverse(out)
	return out, nil
}

func (v *vault) OpenData(name, context string, sealed []byte) ([]byte, error) {
	return v.SealData(name, context, sealed)
}

func TestAnEnvelopeGivesTheMessageAgain(t *testing.T) {
	v := &vault{}
	e := Envelope{Vault: v, Key: "seal", Context: "test", Dialect: unionpay.Switch}
	m := networktest.ReversalAtSwitch(networktest.AtSwitch(networktest.NewCard(t, "", 0).Pay(1, 100), "30010000", "1121"))
	sealed := e.Seal(m)
	if again, ok := e.Open(sealed).(*unionpay.ReversalRequest); !ok || !bytes.Equal(e.Seal(again), sealed) {
		t.Error("another message")
	}
	if e.OpenRequest(sealed) != nil {
		t.Error("a reversal was read as a request")
	}
	if e.Open(sealed[1:]) != nil || e.Open(nil) != nil || e.Seal(&unionpay.ReversalRequest{}) != nil {
		t.Error("what is no message was sealed or opened")
	}
	v.down = true
	if e.Seal(m) != nil || e.Open(sealed) != nil {
		t.Error("sealed or opened without security module")
	}
}

func TestTimersOfAnswers(t *testing.T) {
	var q Queue
	var heard []string
	due := func(timer string) {
		effects(t, func(s *journal.Step) {
			q.Due(timer, s, func(key string) { heard = append(heard, "late "+key) }, func() { heard = append(heard, "pick up") })
		})
	}
	if Await("k", time.Second).After != time.Second || Overdue("k").After <= 0 || Awaited("k").After >= 0 || Awaited("k").Timer != Await("k", 1).Timer {
		t.Error("timers differ")
	}
	due(Await("k", time.Second).Timer)
	due(PickUpLater().Timer)
	due("deliver k")
	due("")
	if want := []string{"late k", "pick up"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v", heard)
	}
}

func TestWhatEndsADelivery(t *testing.T) {
	for code, want := range map[unionpay.ResponseCode]struct{ settles, definite bool }{
		"00": {true, true}, "10": {true, true}, "25": {true, true}, "94": {true, true}, "51": {false, true}, "14": {false, true}, "30": {false, true},
		"96": {false, false}, "98": {false, false}, "91": {false, false}, "92": {false, false}, "90": {false, false}, "A0": {false, false},
	} {
		if Settles(code) != want.settles || Definite(code) != want.definite {
			t.Errorf("%s: settles %t, definite %t", code, Settles(code), Definite(code))
		}
	}
}

func TestWhatWaitsForAPeerGoesOutWhenItIsReached(t *testing.T) {
	var q Queue
	for key, to := range map[string]string{"b": "switch", "a": "switch", "c": "bank"} {
		effects(t, func(s *journal.Step) { q.Send(key, to, &unionpay.ReversalRequest{}, s) })
	}
	var timers []string
	for _, e := range effects(t, func(s *journal.Step) { q.Reached("switch", s) }) {
		if e.Message != nil && e.To != "switch" {
			t.Errorf("sent to %s", e.To)
		}
		if e.Timer != "" {
			timers = append(timers, e.Timer)
		}
	}
	if want := []string{"deliver a", "deliver b"}; !slices.Equal(timers, want) {
		t.Errorf("sent again: %v, want %v", timers, want)
	}
	if sent := effects(t, func(s *journal.Step) { q.Reached("nobody", s) }); len(sent) != 0 {
		t.Errorf("%d effects for a peer for whom nothing waits", len(sent))
	}
}
