// Package delivery is what roles that ask and wait have in common: it repeats messages until they are acknowledged, names the timers of answers that do not
// come, and seals messages for the time they are stored.
//
// It is pure and belongs to a role's single writer: it names effects and timers, and the role's shell carries them out. What must survive a restart is the
// role's to journal; the role sends again from its rows. It knows nothing of what a message means [REF 6.5].
package delivery

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// timerPrefix starts the names of the queue's timers; the entry's key follows.
const timerPrefix = "deliver "

// waits is how long to wait for an acknowledgement before sending again; the last one repeats for ever, because a payment must end.
var waits = [...]time.Duration{time.Minute, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}

type entry struct {
	to       string
	message  unionpay.Message
	attempts int
}

// Queue holds the messages of one role that nobody has acknowledged yet, by key. The zero value is empty and ready.
type Queue struct{ entries map[string]*entry }

// Send puts a message into the queue under key and sends it for the first time.
func (q *Queue) Send(key, to string, m unionpay.Message, step *journal.Step) {
	if q.entries == nil {
		q.entries = map[string]*entry{}
	}
	q.entries[key] = &entry{to: to, message: m}
	for _, effect := range q.attempt(key) {
		step.Emit(effect)
	}
}

// attempt sends an entry once more and sets the timer for the next time.
func (q *Queue) attempt(key string) []journal.Effect {
	e := q.entries[key]
	if e == nil {
		return nil
	}
	wait := waits[min(e.attempts, len(waits)-1)]
	e.attempts++
	return []journal.Effect{{To: e.to, Message: e.message}, {Timer: timerPrefix + key, After: wait}}
}

// Fire sends again when the timer is one of the queue's, and reports whether it was.
func (q *Queue) Fire(timer string, step *journal.Step) bool {
	key, ours := strings.CutPrefix(timer, timerPrefix)
	if !ours {
		return false
	}
	for _, effect := range q.attempt(key) {
		step.Emit(effect)
	}
	return true
}

// Up is the command that tells a role that it can reach a peer again: what went into the void need not wait for its timer.
type Up struct{ Peer string }

// Reached sends again everything that waits for a peer, in order of key.
func (q *Queue) Reached(peer string, step *journal.Step) {
	for _, key := range slices.Sorted(maps.Keys(q.entries)) {
		if q.entries[key].to != peer {
			continue
		}
		for _, effect := range q.attempt(key) {
			step.Emit(effect)
		}
	}
}

// Acknowledged takes an entry out and cancels its timer; false when there is none or it went to somebody else.
func (q *Queue) Acknowledged(key, from string, step *journal.Step) bool {
	e := q.entries[key]
	if e == nil || e.to != from {
		return false
	}
	delete(q.entries, key)
	step.Emit(journal.Effect{Timer: timerPrefix + key, After: -1})
	return true
}

// Len is the number of messages not acknowledged yet.
func (q *Queue) Len() int { return len(q.entries) }

// Resume gives the effects that send everything again, in order of key.
func (q *Queue) Resume() []journal.Effect {
	var effects []journal.Effect
	for _, key := range slices.Sorted(maps.Keys(q.entries)) {
		effects = append(effects, q.attempt(key)...)
	}
	return effects
}

// Definite reports whether a response code ends an upload: an answer of somebody who has decided, not of a network or a machine in trouble. An upload with
// any other answer is sent again, so nobody may keep such an answer as the first one.
func Definite(code unionpay.ResponseCode) bool {
	switch code {
	case unionpay.IssuerInoperative, unionpay.NetworkUnreachable, unionpay.SystemFault, unionpay.IssuerTimeout, unionpay.CutOverInProgress,
		unionpay.MACError:
		return false
	}
	return true
}

// Settles reports whether the answer to a reversal ends it: done, not known there, or done before. Anything else is tried again.
func Settles(code unionpay.ResponseCode) bool {
	return code.Approved() || code == unionpay.OriginalNotFound || code == unionpay.DuplicateTransmission
}
