package trace

import (
	"errors"
	"sync"
	"time"

	"tapnet/apdu"
	"tapnet/glossary"
	"tapnet/internal/clock"
)

// Tap records the exchanges of one tap. Every record has the tap's identifier, and the card's as soon as number and counter
// are known: that joins a tap without a reference number to the message that uploads it later.
type Tap struct {
	store *Store
	clock clock.Clock
	watch func() time.Duration
	role  string
	id    string

	mu   sync.Mutex
	last time.Duration
	card cardSeen
}

// Tap begins the records of a tap; id is its number at that terminal, "T0000001/17". The clock dates the records; watch tells what has passed since some
// fixed moment and measures the card. They are two, because a simulated clock may stand still while a card answers.
func (s *Store) Tap(c clock.Clock, watch func() time.Duration, terminal, id string) *Tap {
	return &Tap{store: s, clock: c, watch: watch, role: terminal, id: prefixTap + id, last: watch()}
}

// ID is what Find finds the tap by.
func (t *Tap) ID() string { return t.id }

// Exchange records a command and its answer. It copies both. err is why there was no answer.
func (t *Tap) Exchange(command, response []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	passed := t.watch()
	elapsed := passed - t.last
	t.last = passed
	t.card.look(command, response)
	now := t.clock.Now()
	t.add(Record{At: now, Kind: Command, Raw: append(Bytes(nil), command...)})
	answer := Record{At: now, Kind: Response, Raw: append(Bytes(nil), response...), Elapsed: elapsed}
	if err != nil {
		answer.Title = glossary.Term{EN: "no answer: reader trouble", ZH: "无响应：读卡器故障"}
		if errors.Is(err, apdu.ErrCardLost) {
			answer.Title = glossary.Term{EN: "no answer: the card left the field", ZH: "无响应：卡片离开感应区"}
		}
	}
	t.add(answer)
}

// Screen records what the terminal showed.
func (t *Tap) Screen(text glossary.Term, detail ...Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(Record{At: t.clock.Now(), Kind: Screen, Title: text, Detail: detail})
}

func (t *Tap) add(r Record) {
	r.Role = t.role
	r.IDs = []string{t.id}
	if t.card.known {
		if id := t.store.CardID(t.card.number, t.card.atc); id != "" {
			r.IDs = append(r.IDs, id)
		}
	}
	t.store.Add(r)
}
