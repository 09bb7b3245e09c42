package tsp

import (
	"time"

	"tapnet/internal/journal"
)

// foundAgain is how a lost device comes back in one step: the holder of one of its tokens is verified, and with that the device is found. The verification is
// the bank's, so it speaks for the bank's other tokens on the device too; those of other banks wait for theirs. A device that is not lost makes it an ordinary
// activation.
func (s *TSP) foundAgain(now time.Time, verified *Token, card *Card, d *Device, m idvMethod) outcome {
	if !d.Lost && verified.Suspenders&ByDeviceLost == 0 {
		return s.activated(now, verified, card, d, m)
	}
	device := *d
	device.Lost = false
	o := outcome{kind: journal.CardChanged, event: EventFound, records: []record{&device}, token: verified}
	q := s.state.requestorAt(verified.Requestor)
	for _, number := range d.Tokens {
		next, c, event := verified, card, EventFound
		if number != verified.Number {
			t, err := s.state.token(number)
			if err != nil || t == nil {
				return outcome{problem: unavailable()}
			}
			if c, err = s.state.card(t.Card); err != nil || c == nil {
				return outcome{problem: unavailable()}
			}
			if c.Tenant != card.Tenant || t.Suspenders&ByDeviceLost == 0 {
				continue
			}
			twin := *t
			if next = &twin; next.State == Inactive {
				event = EventResume // its holder has never been verified for it
			}
		}
		if m == idvOTP && now.Unix()-d.SIM < simWatchSeconds {
			next.Suspenders |= ByRisk // a code to a SIM that was changed today proves nothing
		}
		before := next.State
		if !next.move(event, ByDeviceLost) {
			return outcome{problem: refusal(409, "state", "a token is %s", before)}
		}
		if event == EventFound {
			next.verifiedAs(m, number == verified.Number, now)
		}
		view, err := s.view(next, c, &device, q)
		if err != nil {
			return outcome{problem: unavailable()}
		}
		o.records = append(o.records, next)
		o.notices = append(o.notices, s.noticesOf(EventFound, next, c, q, view, "FOUND", nil)...)
		if number == verified.Number {
			o.reply = view
		}
	}
	if o.reply == nil { // deleted
		return outcome{problem: refusal(409, "state", "the token is %s", verified.State)}
	}
	return o
}

// verifiedAs notes how the holder was verified. A verification of another token of the same holder makes this one weaker, never stronger.
func (t *Token) verifiedAs(m idvMethod, own bool, now time.Time) {
	if own || !m.info().full {
		t.IDV = m
	}
	t.Challenge = challenge{}
	if t.Activated == 0 {
		t.Activated = now.Unix()
	}
}
