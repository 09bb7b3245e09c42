package transit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/pan"
)

// Outside is an entry of a stop list that somebody else keeps, a scheme or a bank: a card, a token or an account, which need not ever have tapped. It masks
// itself: numbers leave it as keyed hashes and sealed.
type Outside struct {
	Kind      denylist.Kind
	Number    pan.Number // of a card or token
	Sequence  string     // of a card: two digits, or empty when its chip has none
	Expiry    pan.Expiry // of a card
	Reference string     // of an account: its payment account reference
	Reason    denylist.Reason
	Until     denylist.Day // the last day; 0: without end
}

// String says what is listed and why, not who.
func (e Outside) String() string { return fmt.Sprintf("entry of kind %d: %s", e.Kind, e.Reason) }

// Format prints String for every verb.
func (e Outside) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is String.
func (e Outside) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalText is String.
func (e Outside) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// MaxEntries bounds the entries of one command: a row holds them.
const MaxEntries = 400

const (
	maxReference = 35 // a payment account reference has 29 characters; a row holds a page of those of this length
	entryContext = "transit deny entry"
)

// ErrEntry is wrapped when an entry from outside is not possible; the error says which, counted from 1, and why, not whose.
var ErrEntry = errors.New("entry is not possible")

func (e *Outside) check() error {
	digits := func(text string) bool {
		for _, c := range text {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	}
	switch e.Kind {
	case denylist.Credential:
		if e.Number.IsZero() || e.Expiry.IsZero() || len(e.Sequence) != 0 && len(e.Sequence) != 2 || !digits(e.Sequence) {
			return fmt.Errorf("a card has a number, an expiry, and two digits of a sequence number or none: %w", ErrEntry)
		}
	case denylist.Token:
		if e.Number.IsZero() {
			return fmt.Errorf("a token has a number: %w", ErrEntry)
		}
	case denylist.PAR:
		if len(e.Reference) == 0 || len(e.Reference) > maxReference {
			return fmt.Errorf("an account reference has 1 to %d characters: %w", maxReference, ErrEntry)
		}
	}
	if _, err := denylist.NewEntry(e.Kind, denylist.ID{}, e.Reason, e.Until); err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return nil
}

// under names what an entry is about.
func (e *Outside) under(k gate.Identifier) denylist.ID {
	switch e.Kind {
	case denylist.Credential:
		return k.Credential(e.Number, e.Sequence, e.Expiry)
	case denylist.Token:
		return k.Token(e.Number)
	}
	return k.PAR(e.Reference)
}

// sealValue keeps what an entry is about, so that it can be named under another key.
func (o *Office) sealValue(e Outside) ([]byte, error) {
	value := []byte{byte(e.Kind)}
	for _, part := range [...]string{e.Number.Reveal(), e.Sequence, e.Expiry.YYMM(), e.Reference} {
		value = append(append(value, byte(len(part))), part...)
	}
	defer clear(value)
	return o.deps.Vault.SealData(o.deps.SealKey, entryContext, value)
}

// openValue is the inverse.
func (o *Office) openValue(sealed []byte) (e Outside, ok bool) {
	value, err := o.deps.Vault.OpenData(o.deps.SealKey, entryContext, sealed)
	if err != nil || len(value) == 0 {
		return e, false
	}
	defer clear(value)
	e.Kind = denylist.Kind(value[0])
	rest := value[1:]
	part := func() string {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			rest = nil
			return ""
		}
		text := string(rest[1 : 1+rest[0]])
		rest = rest[1+rest[0]:]
		return text
	}
	number := part()
	e.Sequence = part()
	expiry := part()
	e.Reference = part()
	if number != "" {
		if e.Number, err = pan.Parse(number); err != nil {
			return e, false
		}
	}
	if expiry != "" {
		if e.Expiry, err = pan.ParseExpiry(expiry); err != nil {
			return e, false
		}
	}
	return e, rest != nil
}

// List is the command that takes entries from outside, at most MaxEntries. The reply is Listed, or an error that wraps ErrEntry: then none was taken. An entry
// that is listed already gets the new reason and last day.
type List struct{ Entries []Outside }

// Unlist is the command that ends them. The reply is Unlisted.
type Unlist struct{ Entries []Outside }

// Listed says what came of List.
type Listed struct {
	New     int `json:"new"`
	Changed int `json:"changed"`
	Same    int `json:"same"` // listed with this reason and last day already
}

// Unlisted says what came of Unlist.
type Unlisted struct {
	Removed int `json:"removed"`
	Unknown int `json:"unknown"` // not listed from outside
}

// named is what Prepare made of entries.
type named struct {
	err    error
	under  []denylist.Epoch
	called [][]alias
	sealed [][]byte
}

// prepareEntries checks entries, names them and seals their values.
func (o *Office) prepareEntries(entries []Outside, under []denylist.Epoch, seal bool) *named {
	n := &named{under: under, called: make([][]alias, len(entries)), sealed: make([][]byte, len(entries))}
	if len(entries) > MaxEntries {
		n.err = fmt.Errorf("%d entries at a time, at most %d: %w", len(entries), MaxEntries, ErrEntry)
		return n
	}
	ids := o.identifiers(under)
	if len(ids) != len(under) {
		n.err = fmt.Errorf("the security module does not give the keys of the deny list now: %w", ErrRefused)
		return n
	}
	for i := range entries {
		if err := entries[i].check(); err != nil {
			n.err = fmt.Errorf("entry %d: %w", i+1, err)
			return n
		}
		for _, k := range ids {
			n.called[i] = append(n.called[i], alias{entries[i].under(k), k.Epoch()})
		}
		if seal {
			sealed, err := o.sealValue(entries[i])
			if err != nil {
				n.err = fmt.Errorf("the security module does not seal now: %w", ErrRefused)
				return n
			}
			n.sealed[i] = sealed
		}
	}
	return n
}

// entriesOf is what Prepare made of a command, or what is made now when the keys in use are others since.
func (o *Office) entriesOf(ev *journal.Event, entries []Outside, seal bool) *named {
	alive := o.state.keys.all()
	if n, ok := ev.Finding.(*named); ok && (n.err != nil || covers(n.under, alive) && len(n.under) == len(alive)) {
		return n
	}
	return o.prepareEntries(entries, alive, seal)
}

func (o *Office) list(now time.Time, ev *journal.Event, c List, step *journal.Step) {
	n := o.entriesOf(ev, c.Entries, true)
	if n.err != nil {
		step.Emit(journal.Effect{Reply: n.err})
		return
	}
	var done Listed
	var rows []advised
	for i := range c.Entries {
		what := listing{c.Entries[i].Kind, c.Entries[i].Reason, c.Entries[i].Until}
		m := o.state.markOf(n.called[i])
		switch {
		case m != nil && m.entry == what:
			done.Same++
			continue
		case m != nil && m.entry.reason != 0:
			done.Changed++
		default:
			done.New++
		}
		rows = append(rows, advised{what, n.called[i], n.sealed[i]})
	}
	if len(rows) > 0 {
		o.append(step, now, journal.Row{Kind: journal.Advised, Reason: adviceListed, Key: fmt.Sprintf(pageKeyFormat, o.state.pages+1),
			Note: appendAdvised(nil, n.under, rows)})
	}
	step.Emit(journal.Effect{Reply: done})
}

func (o *Office) unlist(now time.Time, ev *journal.Event, c Unlist, step *journal.Step) {
	n := o.entriesOf(ev, c.Entries, false)
	if n.err != nil {
		step.Emit(journal.Effect{Reply: n.err})
		return
	}
	var done Unlisted
	var note []byte
	gone := map[int32]bool{}
	for i := range c.Entries {
		m := o.state.markOf(n.called[i])
		if m == nil || m.entry.reason == 0 || gone[m.number] {
			done.Unknown++
			continue
		}
		gone[m.number] = true
		done.Removed++
		note = binary.AppendUvarint(note, uint64(m.number))
	}
	if len(note) > 0 {
		o.append(step, now, journal.Row{Kind: journal.Advised, Reason: adviceUnlisted, Note: note})
	}
	step.Emit(journal.Effect{Reply: done})
}

// outsideSweep looks for entries whose last day is over.
type outsideSweep struct {
	day  denylist.Day
	next int
}

// sweepMarks are looked at in one step.
const sweepMarks = 20_000

// runOut ends entries whose last day is over, some at a time, from the beginning each day. The gates pass them over by themselves.
func (o *Office) runOut(now time.Time, step *journal.Step) {
	zone := o.deps.Calendar.Zone
	if zone == nil {
		zone = time.UTC
	}
	if today := denylist.DayOf(now.In(zone)); today != o.ranOut.day {
		o.ranOut = outsideSweep{day: today, next: 1}
	}
	s := o.state
	var note []byte
	for most := sweepMarks; o.ranOut.next < len(s.marks) && most > 0 && len(note) < maxRowRecords; most-- {
		if m := s.marks[o.ranOut.next]; m.entry.reason != 0 && m.entry.until != 0 && m.entry.until < o.ranOut.day {
			note = binary.AppendUvarint(note, uint64(m.number))
		}
		o.ranOut.next++
	}
	if len(note) > 0 {
		o.append(step, now, journal.Row{Kind: journal.Advised, Reason: adviceRanOut, Note: note})
	}
}

// adviceTerm says what an Advised row tells.
func adviceTerm(r *journal.Row) glossary.Term {
	switch r.Reason {
	case adviceListed:
		return glossary.Term{EN: "entries of somebody else's stop list", ZH: "外部止付名单条目"}
	case adviceUnlisted:
		return glossary.Term{EN: "entries of somebody else's stop list end", ZH: "外部止付名单条目撤销"}
	case adviceRanOut:
		return glossary.Term{EN: "the last day of entries of somebody else's stop list is over", ZH: "外部止付名单条目到期"}
	}
	return glossary.Term{}
}
