package issuer

import (
	"encoding/binary"
	"math"
	"slices"

	"tapnet/internal/ledger"
)

// chip is what the bank wants of a card's chip and knows of it beyond the counters. Most cards have none. It is never changed in place: a copy of a card
// keeps what it had.
type chip struct {
	queue []order   // script commands that wait, oldest first
	sent  batch     // those of them that are on their way
	pin   pinChange // the last script about the PIN, while its outcome is open
	load  load      // the last change of the balance, until a cryptogram has shown what became of it
	auto  AutoLoad
	cash  uint64 // row of the last cash load that stands, which alone may be voided
	// emptied is the business date on which an unloaded purse was known to be empty; zero for a purse in use.
	emptied int32
	// unloaded is the unload of the second purse that waits to be paid out, emptiedSecond the date on which that purse was known to be empty.
	unloaded      waits
	emptiedSecond int32
}

// order is a script command that waits, with how often the card has refused it.
type order struct {
	Script
	tries int
}

// batch is the first orders of the queue as they left with the answer to the payment with that counter; zero is none.
type batch struct {
	atc   uint16
	count int
}

// AutoLoad is the cardholder's standing order: an online payment by contact that finds less than the threshold on the chip loads the amount. Zero is none.
type AutoLoad struct {
	ThresholdMinor int64 `json:"threshold_minor"`
	AmountMinor    int64 `json:"amount_minor"`
}

// loadState is how far the bank has booked a load.
type loadState uint8

const (
	loadHeld      loadState = iota + 1 // the money is held
	loadBooked                         // moved, because the terminal said that the chip took it; of an unload: still held, the chip is empty
	loadReturned                       // let go, because the terminal said that the chip did not
	lastLoadState = loadReturned
)

// load is one change of the chip's balance by a script: a load, its void, or an unload. The row that held the money is its number; zero is none.
type load struct {
	seq    uint64
	parent uint64 // row of the payment whose answer carried an automatic load
	reason Reason // which operation, see operations
	state  loadState
	atc    uint16
	before int64 // balance that the chip proved when it asked
	after  int64 // balance that the script sets
	minor  int64
	debit  ledger.Account
	credit ledger.Account
}

func (h *chip) empty() bool {
	return len(h.queue) == 0 && h.sent == batch{} && h.load == load{} && h.pin == pinChange{} && h.auto == AutoLoad{} && h.cash == 0 && h.emptied == 0 &&
		h.unloaded == waits{} && h.emptiedSecond == 0
}

// chipNow is the card's, never nil.
func (c *Card) chipNow() *chip {
	if c.chip == nil {
		return &chip{}
	}
	return c.chip
}

// setChip changes a copy and puts it in the place of what was.
func (c *Card) setChip(change func(*chip)) {
	next := *c.chipNow()
	next.queue = slices.Clone(next.queue)
	change(&next)
	if len(next.queue) == 0 {
		next.queue = nil
	}
	c.chip = &next
	if next.empty() {
		c.chip = nil
	}
}

// Waiting are the script commands that the card has not yet carried out, oldest first.
func (c *Card) Waiting() []Script {
	var list []Script
	for _, o := range c.chipNow().queue {
		list = append(list, o.Script)
	}
	return list
}

// unsettled reports whether the bank still waits for the chip's word about the last load. No other commands go to the chip meanwhile: it counts them all alike.
func (c *Card) unsettled(r *request) bool {
	l := c.chipNow().load
	return l.seq != 0 && !r.settles && !(l.reason == UnloadHeld && l.state == loadBooked)
}

// InDoubt is the amount of a load whose money is held because nobody knows yet whether the chip took it; zero when there is none.
func (c *Card) InDoubt() int64 {
	if l := c.chipNow().load; l.state == loadHeld {
		return l.minor
	}
	return 0
}

// A cell of version 2 is one of version 1 and behind it, in this order,
//
//	algorithms (a text),
//	automatic load: threshold, amount; row of the last cash load; date on which the purse was emptied,
//	number of waiting commands, then of each: command, tag, times refused, value (a text),
//	batch on its way: counter, commands,
//	last load: row, and unless that is zero: row of its payment, reason, state, counter, balance before, balance after, amount, debited account,
//	credited account.
//
// A card of which all this is empty has a cell of version 1.
const cellVersionChip = 2

// cellVersionPIN goes on with an open change of the PIN, see pinchange.go.
const cellVersionPIN = 3

// plain reports whether a cell of version 1 holds the whole card.
func (c *Card) plain() bool { return c.chip == nil && len(c.Algorithms) == 0 }

func (c *Card) appendChip(dst []byte) []byte {
	n := binary.AppendUvarint
	h := c.chipNow()
	dst = append(n(dst, uint64(len(c.Algorithms))), c.Algorithms...)
	dst = n(n(n(n(dst, uint64(h.auto.ThresholdMinor)), uint64(h.auto.AmountMinor)), h.cash), uint64(h.emptied))
	dst = n(dst, uint64(len(h.queue)))
	for _, o := range h.queue {
		dst = n(n(append(dst, byte(o.Command)), uint64(o.Tag)), uint64(o.tries))
		dst = append(n(dst, uint64(len(o.Value))), o.Value...)
	}
	dst = n(n(n(dst, uint64(h.sent.atc)), uint64(h.sent.count)), h.load.seq)
	if l := h.load; l.seq != 0 {
		dst = append(n(n(dst, l.parent), uint64(l.reason)), byte(l.state))
		for _, v := range [...]int64{int64(l.atc), l.before, l.after, l.minor, int64(l.debit), int64(l.credit)} {
			dst = n(dst, uint64(v))
		}
	}
	return dst
}

func (r *cellReader) text() []byte {
	if b := r.bytes(r.number()); len(b) > 0 {
		return slices.Clone(b)
	}
	return nil
}

// chip reads what is behind a cell of version 1.
func (r *cellReader) chip(e *Enrolment) *chip {
	e.Algorithms = r.text()
	h := &chip{auto: AutoLoad{ThresholdMinor: r.minor(), AmountMinor: r.minor()}, cash: r.number(), emptied: int32(r.upTo(math.MaxInt32))}
	for range r.upTo(queueMax) {
		o := order{Script: Script{Command: ScriptCommand(r.octet()), Tag: uint16(r.upTo(math.MaxUint16))}, tries: int(r.upTo(scriptTriesMax))}
		o.Value = r.text()
		h.queue = append(h.queue, o)
	}
	h.sent = batch{atc: uint16(r.upTo(math.MaxUint16)), count: int(r.upTo(queueMax))}
	if seq := r.number(); seq != 0 {
		l := &h.load
		l.seq, l.parent, l.reason, l.state = seq, r.number(), Reason(r.upTo(math.MaxUint16)), loadState(r.octet())
		l.atc, l.before, l.after, l.minor = uint16(r.upTo(math.MaxUint16)), r.minor(), r.minor(), r.minor()
		l.debit, l.credit = ledger.Account(r.minor()), ledger.Account(r.minor())
		_, known := operationOf(l.reason)
		r.bad = r.bad || !known || l.state == 0 || l.state > lastLoadState
	}
	if h.empty() {
		return nil
	}
	return h
}
