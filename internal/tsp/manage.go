package tsp

import (
	"slices"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
)

// Suspension suspends or resumes the token of the command.
type Suspension struct {
	Suspender string `json:"suspender"`
	Reason    string `json:"reason"`
	Resume    bool   `json:"resume"`
}

// DeviceChange says that a device is lost, or found again.
type DeviceChange struct {
	Device string `json:"device"`
	Lost   bool   `json:"lost"`
}

// speaksFor says as which suspenders a caller may act. Somebody suspends and resumes in his own name only; the requestor also brings what holder and device
// say.
func speaksFor(role CallerRole) Suspenders {
	switch role {
	case CallerRequestor:
		return ByRequestor | ByCardholder | ByDeviceLost | ByPasswordLocked
	case CallerIssuer:
		return ByIssuer | ByCardholder
	case CallerOperator:
		return ByIssuer | ByRisk | ByRequestor | ByCardholder | ByDeviceLost | ByPasswordLocked
	}
	return 0
}

// challenge begins a verification of the holder.
func (s *TSP) challenge(now time.Time, c *Command, b *tspapi.Challenge, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	m := idvNamed(b.Method)
	bank := s.issuer(card.Tenant)
	if m == 0 || bank == nil || !slices.Contains(bank.Methods, b.Method) {
		return outcome{problem: refusal(422, "method", "the bank does not verify its cardholders that way")}
	}
	if t.State == Deactivated {
		return outcome{problem: refusal(409, "state", "the token is %s", t.State)}
	}
	if t.Challenge.Method != 0 && t.Challenge.Tries == 0 && now.Unix() < t.Challenge.Expires {
		return outcome{problem: refusal(429, "tries", "too many wrong codes: wait until the challenge has run out")}
	}
	next := *t
	info := m.info()
	next.Challenge = challenge{Method: m, Expires: now.Unix() + info.minutes*60, Tries: info.tries}
	if m == idvOTP {
		next.Challenge.Code = f.codeSum
	}
	o := outcome{kind: journal.CardChanged, records: []record{&next}, token: &next}
	o.reply = tspapi.Challenged{Method: info.name, Expires: time.Unix(next.Challenge.Expires, 0).UTC(), Tries: int(info.tries)}
	return s.withNotices(o, 0, &next, card, d, "verification wanted: "+info.name, f.codeSealed)
}

// activate takes a one-time code.
func (s *TSP) activate(now time.Time, c *Command, b *tspapi.Activate, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	ch := t.Challenge
	switch {
	case ch.Method != idvOTP:
		return outcome{problem: refusal(409, "no-challenge", "no one-time code was sent")}
	case now.Unix() >= ch.Expires:
		return outcome{problem: refusal(409, "challenge-expired", "the one-time code has run out")}
	case ch.Tries == 0:
		return outcome{problem: refusal(429, "tries", "too many wrong codes")}
	}
	next := *t
	if f.codeSum == [16]byte{} || f.codeSum != ch.Code {
		next.Challenge.Tries--
		// A wrong code costs a try, durably: the refusal is an outcome of its own.
		wrong := refusal(422, "code", "wrong code, %d tries left", next.Challenge.Tries)
		return outcome{kind: journal.CardChanged, records: []record{&next}, token: &next, reply: wrong, reason: "wrong code"}
	}
	if b.Found {
		return s.foundAgain(now, &next, card, d, idvOTP)
	}
	return s.activated(now, &next, card, d, idvOTP)
}

// assert takes the bank's word.
func (s *TSP) assert(now time.Time, c *Command, b *tspapi.Assert, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	m := idvNamed(b.Method)
	if c.Caller.Role != CallerIssuer || m == 0 || m == idvOTP {
		return outcome{problem: denied()}
	}
	next := *t
	if b.Found {
		return s.foundAgain(now, &next, card, d, m)
	}
	return s.activated(now, &next, card, d, m)
}

// activated brings a token to where its holder's verification leads. What a lost device or a locked password imposed stays until it is resumed.
func (s *TSP) activated(now time.Time, next *Token, card *Card, d *Device, m idvMethod) outcome {
	if next.State == Active {
		// A better verification of an active token lifts its limits, and starts no new first day.
		next.IDV, next.Challenge = m, challenge{}
	} else {
		if m == idvOTP && now.Unix()-d.SIM < simWatchSeconds {
			next.Suspenders |= ByRisk // a code to a SIM that was changed today proves nothing
		}
		if !next.move(EventActivate, 0) {
			return outcome{problem: refusal(409, "state", "the token is %s", next.State)}
		}
		next.IDV, next.Challenge = m, challenge{}
		if next.Activated == 0 {
			next.Activated = now.Unix()
		}
	}
	o := outcome{kind: journal.CardChanged, event: EventActivate, records: []record{next}, token: next}
	return s.withNotices(o, EventActivate, next, card, d, "", nil)
}

// suspend adds a suspender or takes one away.
func (s *TSP) suspend(_ time.Time, c *Command, b *Suspension, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	who := suspenderOf(b.Suspender)
	if who == 0 || who&speaksFor(c.Caller.Role) == 0 {
		return outcome{problem: denied()}
	}
	next := *t
	event := EventSuspend
	if b.Resume {
		event = EventResume
		if who == ByDeviceLost && d.Lost {
			return outcome{problem: refusal(409, "device-lost", "the device is reported lost")}
		}
	}
	if !next.move(event, who) {
		return outcome{problem: refusal(409, "state", "the token is %s [%s]", t.State, t.Suspenders)}
	}
	o := outcome{kind: journal.CardChanged, event: event, records: []record{&next}, token: &next}
	return s.withNotices(o, event, &next, card, d, b.Reason, nil)
}

// remove deletes a token and takes it out of its card and device. records holds what has been changed already, by cell; a device keeps exactly one default.
func remove(t *Token, card *Card, d *Device) (*Token, *Card, *Device, bool) {
	next, c, v := *t, *card, *d
	if !next.move(EventDelete, 0) {
		return nil, nil, nil, false
	}
	next.Challenge, next.Account = challenge{}, nil
	c.Tokens, v.Tokens = without(card.Tokens, t.Number), without(d.Tokens, t.Number)
	if v.Default == t.Number {
		v.Default = 0
		if len(v.Tokens) > 0 {
			v.Default = v.Tokens[0]
		}
	}
	return &next, &c, &v, true
}

// delete ends a token's life. Its number stays taken, and what came before can still be refunded.
func (s *TSP) delete(_ time.Time, c *Command, b *Deletion, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	next, nextCard, nextDevice, ok := remove(t, card, d)
	if !ok {
		return outcome{problem: refusal(409, "state", "the token is %s", t.State)}
	}
	o := outcome{kind: journal.CardChanged, event: EventDelete, records: []record{next, nextCard, nextDevice}, token: next}
	return s.withNotices(o, EventDelete, next, nextCard, nextDevice, b.Reason, nil)
}

// makeDefault makes a token what its device pays with unasked.
func (s *TSP) makeDefault(c *Command, f *commandFinding) outcome {
	t, card, d, p := s.own(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	if t.State == Deactivated {
		return outcome{problem: refusal(409, "state", "the token is %s", t.State)}
	}
	next := *d
	next.Default = t.Number
	view, err := s.view(t, card, &next, s.state.requestorAt(t.Requestor))
	if err != nil {
		return outcome{problem: unavailable()}
	}
	return outcome{kind: journal.CardChanged, records: []record{&next}, token: t, reply: view}
}

// withNotices completes an outcome about one token.
func (s *TSP) withNotices(o outcome, e Event, t *Token, card *Card, d *Device, reason string, code []byte) outcome {
	q := s.state.requestorAt(t.Requestor)
	view, err := s.view(t, card, d, q)
	if err != nil {
		return outcome{problem: unavailable()}
	}
	if o.reply == nil {
		o.reply = view
	}
	o.notices = append(o.notices, s.noticesOf(e, t, card, q, view, reason, code)...)
	return o
}

// bankCard finds the card of a command for its bank.
func (s *TSP) bankCard(c *Command, f *commandFinding) (*Card, *tspapi.Problem) {
	card, found, err := as[*Card](s.state.getName(f.name, f.card))
	switch {
	case err != nil:
		return nil, unavailable()
	case !found || c.Caller.Role != CallerIssuer || card.Tenant != c.Caller.ID || card.State != cardOpen:
		return nil, refusal(404, "no-such-card", "the bank has no card with tokens of that number")
	}
	return card, nil
}

// relink moves a card's tokens to the card that replaces it. The account reference stays.
func (s *TSP) relink(_ time.Time, c *Command, b *tspapi.Relink, f *commandFinding) outcome {
	old, p := s.bankCard(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	known, _, err := as[*Card](s.state.getName(f.otherName, f.other))
	if err != nil {
		return outcome{problem: unavailable()}
	}
	if known != nil || c.Other.IsZero() || !c.Other.LuhnValid() {
		return outcome{problem: refusal(409, "number-taken", "the new number is no card number, or has tokens of its own")}
	}
	kept := s.state.settings.Load()
	if latest, found := kept.latest(old.Tenant); !found || f.seal == nil || f.fresh || latest.Epoch != f.seal.Epoch {
		return outcome{problem: unavailable()}
	}
	card := &Card{
		Number: kept.Count[kindCard] + 1, Name: f.otherName, Sealed: f.sealed, Tenant: old.Tenant, Epoch: f.seal.Epoch, Expiry: b.Expiry,
		Sequence: threeDigits(b.Sequence), Last4: c.Other.Last4(), State: cardOpen, PAR: old.PAR, Tokens: old.Tokens,
	}
	gone := *old
	gone.State, gone.Successor, gone.Tokens, gone.Sealed = cardReplaced, card.Number, nil, nil // nothing needs the old number any more
	o := outcome{kind: journal.CardChanged, event: EventRelink, records: []record{&gone, card}}
	return s.each(o, card, func(t *Token, d *Device) (*Token, *Device, bool) {
		next := *t
		next.Card, next.Account = card.Number, card.account()
		return &next, nil, next.move(EventRelink, 0)
	}, EventRelink)
}

// closeCard deletes all tokens of a card whose account is closed.
func (s *TSP) closeCard(_ time.Time, c *Command, f *commandFinding) outcome {
	old, p := s.bankCard(c, f)
	if p != nil {
		return outcome{problem: p}
	}
	card := *old
	card.State = cardClosed
	o := outcome{kind: journal.CardChanged, event: EventDelete, records: []record{&card}}
	o = s.each(o, &card, func(t *Token, d *Device) (*Token, *Device, bool) {
		next, _, v, ok := remove(t, &card, d)
		return next, v, ok
	}, EventDelete)
	card.Tokens = nil
	return o
}

// each changes all tokens of a card. change gives the token and, when that changes too, its device.
func (s *TSP) each(o outcome, card *Card, change func(*Token, *Device) (*Token, *Device, bool), e Event) outcome {
	par, err := s.par(card.PAR)
	if err != nil {
		return outcome{problem: unavailable()}
	}
	affected := tspapi.Affected{PAR: par, Tokens: []string{}}
	devices := map[uint64]*Device{}
	for _, number := range card.Tokens {
		t, err := s.state.token(number)
		if err != nil || t == nil {
			return outcome{problem: unavailable()}
		}
		d := devices[t.Device]
		if d == nil {
			if d, err = s.state.device(t.Device); err != nil || d == nil {
				return outcome{problem: unavailable()}
			}
		}
		next, nextDevice, ok := change(t, d)
		if !ok {
			return outcome{problem: refusal(409, "state", "a token is %s", t.State)}
		}
		if nextDevice != nil {
			devices[t.Device], d = nextDevice, nextDevice
		}
		view, err := s.view(next, card, d, s.state.requestorAt(t.Requestor))
		if err != nil {
			return outcome{problem: unavailable()}
		}
		affected.Tokens = append(affected.Tokens, view.Reference)
		o.records = append(o.records, next)
		o.notices = append(o.notices, s.noticesOf(e, next, card, s.state.requestorAt(t.Requestor), view, "", nil)...)
	}
	for _, number := range sortedKeys(devices) {
		o.records = append(o.records, devices[number])
	}
	o.reply = affected
	return o
}

// changeDevice suspends all tokens of a lost device at once; once it is found, each wants a verification of its holder and a resumption.
func (s *TSP) changeDevice(_ time.Time, c *Command, b *DeviceChange, f *commandFinding) outcome {
	old, found, err := as[*Device](s.state.getName(f.deviceName, f.device))
	switch {
	case err != nil:
		return outcome{problem: unavailable()}
	case !found || c.Caller.Role != CallerRequestor:
		return outcome{problem: refusal(404, "no-such-device", "there is no device of that reference")}
	}
	d := *old
	d.Lost = b.Lost
	o := outcome{kind: journal.CardChanged, event: EventSuspend, records: []record{&d}}
	affected := tspapi.Affected{Tokens: []string{}}
	if !b.Lost {
		o.event = 0 // the tokens wait for their holder
	}
	for _, number := range d.Tokens {
		t, err := s.state.token(number)
		if err != nil || t == nil {
			return outcome{problem: unavailable()}
		}
		card, err := s.state.card(t.Card)
		if err != nil || card == nil {
			return outcome{problem: unavailable()}
		}
		next := *t
		if b.Lost && !next.move(EventSuspend, ByDeviceLost) {
			continue
		}
		q := s.state.requestorAt(t.Requestor)
		view, err := s.view(&next, card, &d, q)
		if err != nil {
			return outcome{problem: unavailable()}
		}
		affected.Tokens = append(affected.Tokens, view.Reference)
		if b.Lost {
			o.records = append(o.records, &next)
			o.notices = append(o.notices, s.noticesOf(EventSuspend, &next, card, q, view, "LOST", nil)...)
		}
	}
	o.reply = affected
	return o
}

func sortedKeys(m map[uint64]*Device) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
