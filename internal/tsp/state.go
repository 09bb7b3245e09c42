package tsp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// state is the journal, folded: only apply changes it. Rows that change something carry the records as they are afterwards, so that folding is putting.
type state struct {
	*shelf
	settings atomic.Pointer[settings] // Prepare reads it too
	answers  *journal.Recent[answer]  // requests of the interface, by their idempotency key
	resolved *journal.Recent[answer]  // resolutions, by the payment's key
	begun    *journal.Begun           // notices that nobody has taken yet
	seq      map[uint64]string        // their rows
	// requestors are read by Prepare too; a change replaces the map.
	requestors atomic.Pointer[map[string]*Requestor]
	last       uint64
	durable    uint64
}

// answer is what a request got, so that its repeat gets the same.
type answer struct {
	seq     uint64
	content [16]byte
	reason  unionpay.TokenReason // of a resolution
	body    []byte               // JSON of an answer of the interface; token data of a resolution
	token   uint64
	problem bool
}

// markNotice is the mark of a notice among what is open.
const markNotice byte = 1

func newState(c Capacity) *state {
	s := &state{
		shelf: newShelf(c), answers: journal.NewRecent[answer](c.Ended, false, nil), begun: journal.NewBegun(c.Rows),
		resolved: journal.NewRecent[answer](c.Ended, true, nil), seq: map[uint64]string{},
	}
	s.settings.Store(&settings{})
	s.requestors.Store(&map[string]*Requestor{})
	return s
}

// requestor finds a requestor by its id.
func (s *state) requestor(id string) *Requestor { return (*s.requestors.Load())[id] }

// requestorAt finds a requestor by its number. There are few, and all are in memory.
func (s *state) requestorAt(number uint64) *Requestor {
	r, _ := s.memory(cellOf(kindRequestor, number)).(*Requestor)
	return r
}

func (s *state) card(number uint64, hints ...hint) (*Card, error) {
	c, _, err := as[*Card](s.get(cellOf(kindCard, number), hints...))
	return c, err
}

func (s *state) device(number uint64, hints ...hint) (*Device, error) {
	d, _, err := as[*Device](s.get(cellOf(kindDevice, number), hints...))
	return d, err
}

func (s *state) token(number uint64, hints ...hint) (*Token, error) {
	t, _, err := as[*Token](s.get(cellOf(kindToken, number), hints...))
	return t, err
}

// What a change row carries: records, each as the number of its cell, its length and its bytes.
func appendRecords(dst []byte, records []record) []byte {
	for _, r := range records {
		body := r.append(nil)
		dst = binary.AppendUvarint(dst, uint64(r.cell()))
		dst = append(binary.AppendUvarint(dst, uint64(len(body))), body...)
	}
	return dst
}

func parseRecords(b []byte) (records []record, err error) {
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		cell := int64(r.upTo(uint64(settingsCell)))
		body := r.take(r.upTo(journal.MaxCellBytes))
		if r.bad || body == nil {
			return nil, errRecord
		}
		one, err := parseRecord(cell, body)
		if err != nil {
			return nil, err
		}
		records = append(records, one)
	}
	return records, nil
}

// apply brings the state to where the row left it.
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	switch r.Kind {
	case journal.Opened, journal.CardChanged, journal.ParameterChanged, journal.KeysChanged, journal.Noted:
		if err := s.applyRecords(r); err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		if r.Key != "" {
			s.answers.End(r.Key, answerOf(r), r.Seq)
		}
	case journal.Refused:
		if err := s.applyRecords(r); err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		s.answers.End(r.Key, answerOf(r), r.Seq)
	case journal.Answered, journal.Declined:
		if err := s.applyRecords(r); err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		s.resolved.End(r.Key, answerOf(r), r.Seq)
	case journal.Queued:
		s.begun.Begin(r.Key, markNotice)
		s.seq[r.Seq] = r.Key
	case journal.Acknowledged:
		s.begun.End(s.seq[r.Linked])
		delete(s.seq, r.Linked)
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a token service", r.Seq, r.Kind)
	}
	return nil
}

// answerOf reads an answer back from its row.
func answerOf(r *journal.Row) answer {
	return answer{
		seq: r.Seq, content: r.Content, reason: unionpay.TokenReason(r.Reason), body: r.Answer, token: uint64(r.Card), problem: r.Kind == journal.Refused,
	}
}

func (s *state) applyRecords(r *journal.Row) error {
	records, err := parseRecords(r.Note)
	if err != nil {
		return err
	}
	for _, one := range records {
		s.put(one, r.Seq)
		s.notice(one)
	}
	return nil
}

// notice keeps what is held apart from the shelf up to date.
func (s *state) notice(one record) {
	switch one := one.(type) {
	case *settings:
		s.settings.Store(one)
	case *Requestor:
		all := maps.Clone(*s.requestors.Load())
		all[one.ID] = one
		s.requestors.Store(&all)
	}
	cell := one.cell()
	if kind, number := kindOf(cell), uint64(cell)>>kindBits; kind >= 0 && number > s.settings.Load().Count[kind] {
		grown := s.settings.Load().clone()
		grown.Count[kind] = number
		s.settings.Store(grown)
		s.put(grown, s.last)
	}
}

var errCells = errors.New("tsp: a cell that must be there is not")

// begin is called before any row is replayed: the cells say what the rows up to the watermark left.
func (s *state) begin(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.archive, s.last = archive, watermark
	if err := errors.Join(s.answers.Attach(ctx, archive, watermark), s.resolved.Attach(ctx, archive, watermark)); err != nil || watermark == 0 {
		return err
	}
	kept, found, err := as[*settings](s.get(settingsCell))
	if err != nil || !found {
		return nil // nothing was ever changed
	}
	s.settings.Store(kept)
	for n := range kept.Count[kindRequestor] {
		q, found, err := as[*Requestor](s.get(cellOf(kindRequestor, n+1)))
		if err != nil || !found {
			return errors.Join(err, errCells)
		}
		s.notice(q)
	}
	return s.beginOpen(ctx)
}

// beginOpen reads what is open: its cells have numbers without gaps.
func (s *state) beginOpen(ctx context.Context) error {
	for id := journal.FirstBegun; ; id++ {
		cell, found, err := s.archive.FindCell(ctx, id)
		if err != nil {
			return fmt.Errorf("tsp: notices: %w", err)
		}
		if !found {
			break
		}
		if err := s.begun.Read(&cell); err != nil {
			return fmt.Errorf("tsp: %w", err)
		}
	}
	for _, key := range s.begun.Keys(markNotice) {
		row, found, err := s.archive.FindKey(ctx, key)
		if err != nil || !found {
			return fmt.Errorf("tsp: notice %q: %w", key, errors.Join(err, errCells))
		}
		s.seq[row.Seq] = key
	}
	return nil
}

// writeBackAll is called at the end of a batch: now and then everything that has changed is written back.
func (s *state) writeBackAll(back *journal.Back, rows int, durable uint64) {
	s.settle(durable)
	if s.begun.Due(rows) || rows == 0 && len(s.dirty) > 0 {
		s.writeBack(back, s.last)
		s.begun.WriteBack(back, s.last)
	}
}

func (s *state) settle(durable uint64) {
	s.durable = durable
	s.answers.Settle(durable)
	s.resolved.Settle(durable)
	s.makeRoom(durable)
}

// look asks the journal for an answer that memory may have forgotten. It may run beside the writer.
func (s *state) look(key string) (answer, bool, error) {
	if s.archive == nil {
		return answer{}, false, nil
	}
	row, found, err := s.archive.FindKey(context.Background(), key)
	if err != nil || !found {
		return answer{}, false, err
	}
	return answerOf(row), true, nil
}
