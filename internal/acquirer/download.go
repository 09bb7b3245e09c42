package acquirer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// list is what terminals download: every version ever published has a row of its own; the current one and the one before are in memory.
type list struct {
	last     uint32 // the highest version
	current  uint32 // the one that terminals get; zero when nothing was published
	previous uint32 // the one that RollBack goes back to; zero when there is none
	content  map[uint32][]byte
	changed  uint64 // last row about it
}

// Publish is the command that gives terminals a new version of a list. The reply is Done or an error.
type Publish struct {
	Kind    unionpay.DownloadKind
	Content []byte // as unionpay.AppendList writes it
}

// RollBack is the command that makes the version before the current one again. The reply is Done or an error.
type RollBack struct{ Kind unionpay.DownloadKind }

// ErrList says that a list cannot be published or rolled back.
var ErrList = errors.New("acquirer: list")

// listKey is the key of the row that has a version.
func listKey(kind unionpay.DownloadKind, version uint32) string {
	return fmt.Sprintf("list %d %d", kind, version)
}

func (a *Acquirer) publish(now time.Time, c Publish, step *journal.Step) error {
	if !c.Kind.Valid() || len(c.Content) == 0 {
		return fmt.Errorf("%w: there is nothing to publish", ErrList)
	}
	if _, err := unionpay.ParseList(c.Content); err != nil {
		return fmt.Errorf("%w: %w", ErrList, err)
	}
	version := uint32(1)
	if l := a.state.lists[c.Kind]; l != nil {
		version = l.last + 1
	}
	a.append(step, now, journal.Row{Kind: journal.ParameterChanged, Key: listKey(c.Kind, version), Reason: uint16(c.Kind), STAN: version,
		Note: slices.Clone(c.Content)})
	return nil
}

func (a *Acquirer) rollBack(now time.Time, c RollBack, step *journal.Step) error {
	l := a.state.lists[c.Kind]
	if l == nil || l.previous == 0 {
		return fmt.Errorf("%w: there is no version before", ErrList)
	}
	if _, err := a.state.version(c.Kind, l.previous); err != nil {
		return fmt.Errorf("%w: version %d: %w", ErrList, l.previous, err)
	}
	a.append(step, now, journal.Row{Kind: journal.ParameterChanged, Reason: uint16(c.Kind), STAN: l.previous})
	return nil
}

// applyList folds what terminals may download and have downloaded.
//
//	ParameterChanged  Key = version of a list that is published, Reason = kind, STAN = version, Note = the list; or, without Key, the version that is current
//	                  again
//	TerminalChanged   the terminal has installed a list: Terminal, Reason = kind, STAN = version
func (s *state) applyList(r *journal.Row) error {
	kind := unionpay.DownloadKind(r.Reason)
	if !kind.Valid() {
		return fmt.Errorf("row %d: list %d is unknown", r.Seq, r.Reason)
	}
	if r.Kind == journal.TerminalChanged {
		if t := s.tills[r.Terminal]; t != nil {
			t.lists[kind], t.last = r.STAN, r.Seq
		}
		return nil
	}
	l := s.lists[kind]
	if l == nil {
		l = &list{content: map[uint32][]byte{}}
		s.lists[kind] = l
	}
	l.changed = r.Seq
	if r.Key == "" {
		delete(l.content, l.current)
		l.current, l.previous = r.STAN, 0
		return nil
	}
	delete(l.content, l.previous)
	l.last, l.previous, l.current = r.STAN, l.current, r.STAN
	l.content[r.STAN] = append([]byte(nil), r.Note...)
	return nil
}

func (s *state) restoreList(cell *journal.Cell) error {
	kind := unionpay.DownloadKind(cell.ID - listCell)
	n, err := readCell(cell, 3)
	if err != nil || !kind.Valid() {
		return errors.Join(err, fmt.Errorf("cell %d: %w", cell.ID, errCell))
	}
	s.lists[kind] = &list{last: uint32(n[0]), current: uint32(n[1]), previous: uint32(n[2]), content: map[uint32][]byte{}, changed: s.written}
	return nil
}

var errNoVersion = errors.New("its row is not there")

// version is the content of a version: in memory, or in the row that published it.
func (s *state) version(kind unionpay.DownloadKind, version uint32) ([]byte, error) {
	l := s.lists[kind]
	if content, ok := l.content[version]; ok {
		return content, nil
	}
	if s.archive == nil {
		return nil, errNoVersion
	}
	row, found, err := s.archive.FindKey(context.Background(), listKey(kind, version))
	if err == nil && !found {
		err = errNoVersion
	}
	if err != nil {
		return nil, err
	}
	l.content[version] = append([]byte(nil), row.Note...)
	return l.content[version], nil
}

// download answers a terminal that fetches a list: which version there is, a part of it, and that it has it now [REF 6.1].
func (a *Acquirer) download(now time.Time, ev *journal.Event, m *unionpay.NetworkRequest, step *journal.Step) {
	answer := m.Answer(unionpay.Approved)
	answer.Acquirer = a.deps.Institution
	kind, what, known := m.Code.Download()
	switch {
	case !a.speaksFor(ev.From, m.Terminal):
		answer.Response = unionpay.TerminalNotRegistered
	case a.merchantOf(m.Terminal).ID != m.Merchant:
		answer.Response = unionpay.InvalidMerchant
	case !known:
		answer.Response = unionpay.FunctionUnsupported
	default:
		answer.Response, answer.Data = a.fetch(now, m, kind, what, step)
	}
	step.Emit(journal.Effect{To: ev.From, Message: answer})
}

func (a *Acquirer) fetch(now time.Time, m *unionpay.NetworkRequest, kind unionpay.DownloadKind, what unionpay.DownloadStep,
	step *journal.Step) (unionpay.ResponseCode, unionpay.Opaque) {
	l := a.state.lists[kind]
	if l == nil || l.current == 0 {
		if what == unionpay.DownloadQuery {
			return unionpay.Approved, unionpay.DownloadStatus{}.Field62()
		}
		return unionpay.OriginalNotFound, ""
	}
	content, err := a.state.version(kind, l.current)
	if err != nil {
		return unionpay.SystemFault, ""
	}
	sum := unionpay.ChecksumOf(content)
	switch what {
	case unionpay.DownloadQuery:
		if _, err := unionpay.DownloadVersion(m.Data); err != nil {
			return unionpay.FormatError, ""
		}
		return unionpay.Approved, unionpay.DownloadStatus{Version: l.current, Length: uint32(len(content)), Checksum: sum}.Field62()
	case unionpay.DownloadGet:
		ask, err := unionpay.ParseDownloadAsk(m.Data)
		if err != nil {
			return unionpay.FormatError, ""
		}
		part, there := unionpay.PartOf(content, l.current, ask.Part)
		if ask.Version != l.current || !there {
			return unionpay.OriginalNotFound, "" // another version is current now: the terminal asks which
		}
		return unionpay.Approved, part.Field62()
	}
	done, err := unionpay.ParseDownloadDone(m.Data)
	switch {
	case err != nil:
		return unionpay.FormatError, ""
	case done.Version != l.current || done.Checksum != sum:
		return unionpay.OriginalNotFound, ""
	case a.state.tills[m.Terminal].lists[kind] != done.Version:
		a.append(step, now, journal.Row{Kind: journal.TerminalChanged, Terminal: m.Terminal, STAN: done.Version, Reason: uint16(kind)})
	}
	return unionpay.Approved, ""
}

// Version is the current version of a list, and which one a terminal has installed; zero for none. It belongs to the writer.
func (a *Acquirer) Version(kind unionpay.DownloadKind, terminal string) (current, installed uint32) {
	if l := a.state.lists[kind]; l != nil {
		current = l.current
	}
	if t := a.state.tills[terminal]; t != nil && kind.Valid() {
		installed = t.lists[kind]
	}
	return current, installed
}
