package pos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Edition names one version of a downloaded list.
type Edition struct {
	Version  uint32
	Checksum unionpay.Checksum
	Row      string `json:",omitempty"` // key of the row that holds the list
}

// IsZero reports whether there is none.
func (e Edition) IsZero() bool { return e.Row == "" }

// Shelf is what the till has of one kind of list.
type Shelf struct{ Active, Previous, Staged Edition }

// shelves are the kinds of lists, from unionpay.DownloadParameters on.
type shelves [3]Shelf

// Shelves is the reply to Library: what the till has, and the lists in use.
type Shelves struct {
	Shelves [3]Shelf
	Active  [3][]byte
	Staged  [3][]byte
}

// library is the lists with their content. Each edition is the Note of a row:
//
//	'S' kind 1 ‖ version 4 ‖ checksum 32 ‖ list   staged; the row has a key, by which a restart finds it
//	'A' kind 1                                    the staged edition is in use, the one before it is kept
//	'R' kind 1                                    back to the one before it
type library struct {
	shelf   shelves
	content map[string][]byte // by the key of its row
	serial  uint64
}

const (
	noteStaged   = 'S'
	noteActive   = 'A'
	noteRollback = 'R'
	stagedHead   = 2 + 4 + 32
)

var errLibrary = errors.New("not a row about parameters")

func kindAt(kind unionpay.DownloadKind) int { return int(kind) - int(unionpay.DownloadParameters) }

// parameterKey is the key of a staged edition.
func parameterKey(serial uint64) string { return "param " + strconv.FormatUint(serial, 10) }

func (l *library) apply(r *journal.Row) error {
	if len(r.Note) < 2 || !unionpay.DownloadKind(r.Note[1]).Valid() {
		return fmt.Errorf("row %d: %w", r.Seq, errLibrary)
	}
	shelf := &l.shelf[kindAt(unionpay.DownloadKind(r.Note[1]))]
	switch {
	case r.Note[0] == noteStaged && len(r.Note) >= stagedHead:
		l.drop(shelf.Staged)
		shelf.Staged = l.keep(r)
		l.serial++
	case r.Note[0] == noteActive && !shelf.Staged.IsZero():
		l.drop(shelf.Previous)
		shelf.Active, shelf.Previous, shelf.Staged = shelf.Staged, shelf.Active, Edition{}
	case r.Note[0] == noteRollback && !shelf.Active.IsZero():
		l.drop(shelf.Active)
		shelf.Active, shelf.Previous = shelf.Previous, Edition{}
	default:
		return fmt.Errorf("row %d: %w", r.Seq, errLibrary)
	}
	return nil
}

// keep reads a staged edition.
func (l *library) keep(r *journal.Row) Edition {
	if l.content == nil {
		l.content = map[string][]byte{}
	}
	l.content[r.Key] = append([]byte(nil), r.Note[stagedHead:]...)
	return Edition{Version: binary.BigEndian.Uint32(r.Note[2:]), Checksum: unionpay.Checksum(r.Note[6:stagedHead]), Row: r.Key}
}

func (l *library) drop(e Edition) { delete(l.content, e.Row) }

// libraryCell is what a cell holds of the library.
type libraryCell struct {
	Shelf  shelves
	Serial uint64
}

func (l *library) cell() libraryCell { return libraryCell{l.shelf, l.serial} }

// open finds the lists in the archive.
func (l *library) open(ctx context.Context, archive journal.Archive, c libraryCell) error {
	l.shelf, l.serial, l.content = c.Shelf, c.Serial, map[string][]byte{}
	for i := range l.shelf {
		for _, e := range [...]Edition{l.shelf[i].Active, l.shelf[i].Previous, l.shelf[i].Staged} {
			if e.IsZero() {
				continue
			}
			r, found, err := archive.FindKey(ctx, e.Row)
			if err == nil && (!found || len(r.Note) < stagedHead) {
				err = errCell
			}
			if err != nil {
				return fmt.Errorf("the row of %q: %w", e.Row, err)
			}
			l.keep(r)
		}
	}
	return nil
}

func (l *library) shelves() Shelves {
	s := Shelves{Shelves: l.shelf}
	for i := range l.shelf {
		s.Active[i], s.Staged[i] = l.content[l.shelf[i].Active.Row], l.content[l.shelf[i].Staged.Row]
	}
	return s
}

// Library is the command that asks for the lists. The reply is Shelves.
type Library struct{}

// Stage is the command that makes a list durable that was downloaded whole. The reply is nil or an error: a checksum that does not fit is refused.
type Stage struct {
	Kind     unionpay.DownloadKind
	Version  uint32
	Checksum unionpay.Checksum
	List     []byte
}

// Switch is the command that uses the staged list, or goes back to the one before it. The reply is nil or an error.
type Switch struct {
	Kind unionpay.DownloadKind
	Back bool
}

// ErrList is wrapped when a downloaded list cannot be used.
var ErrList = errors.New("the downloaded list is not usable")

func (t *Till) stageSet(now time.Time, c Stage, step *journal.Step) {
	switch {
	case !c.Kind.Valid() || len(c.List) > unionpay.MaxDownloadBytes || c.Version == 0:
		step.Emit(journal.Effect{Reply: fmt.Errorf("%w: kind, version or length", ErrList)})
		return
	case unionpay.ChecksumOf(c.List) != c.Checksum:
		step.Emit(journal.Effect{Reply: fmt.Errorf("%w: its checksum does not fit", ErrList)})
		return
	}
	note := binary.BigEndian.AppendUint32([]byte{noteStaged, byte(c.Kind)}, c.Version)
	note = append(append(note, c.Checksum[:]...), c.List...)
	t.append(step, now, journal.Row{Kind: journal.ParameterChanged, Terminal: t.deps.Terminal, Key: parameterKey(t.state.library.serial + 1), Note: note})
}

func (t *Till) switchSet(now time.Time, c Switch, step *journal.Step) {
	if !c.Kind.Valid() {
		step.Emit(journal.Effect{Reply: fmt.Errorf("%w: kind", ErrList)})
		return
	}
	shelf, mark := t.state.library.shelf[kindAt(c.Kind)], byte(noteActive)
	if c.Back {
		mark = noteRollback
	}
	if c.Back && shelf.Active.IsZero() || !c.Back && shelf.Staged.IsZero() {
		step.Emit(journal.Effect{Reply: fmt.Errorf("%w: there is no other edition", ErrList)})
		return
	}
	t.append(step, now, journal.Row{Kind: journal.ParameterChanged, Terminal: t.deps.Terminal, Note: []byte{mark, byte(c.Kind)}})
}

// Fetch is the command that sends a network management message. Its end is an Outcome with the answer. Nothing of it is
// journaled: what is asked changes nothing.
type Fetch struct {
	Sale    uint64
	Request unionpay.NetworkRequest
}

const fetchTimer = "download"

func (t *Till) fetch(c Fetch, step *journal.Step) {
	m := c.Request
	m.Terminal, m.Merchant, m.Batch = t.deps.Terminal, t.deps.Merchant, t.state.batch
	t.fetching = c.Sale
	step.Emit(journal.Effect{To: t.deps.Acquirer, Message: &m})
	step.Emit(delivery.Await(fetchTimer, t.deps.AnswerWithin))
}

func (t *Till) fetched(from string, m *unionpay.NetworkResponse, step *journal.Step) {
	if t.fetching == 0 || from != t.deps.Acquirer {
		return
	}
	step.Emit(delivery.Awaited(fetchTimer))
	step.Emit(journal.Effect{Finding: Outcome{Sale: t.fetching, Network: m}})
	t.fetching = 0
}
