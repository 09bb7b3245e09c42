package journalpg

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"tapnet/internal/journal"
)

// columns stand in the order of batch and scan.
const columns = `seq, kind, at, business_date, stan, card, atc, reason, debit, credit, amount, currency, phase, resolves, linked,
	content, chain, key, payment, rrn, terminal, answer, note`

const (
	int8Columns  = 15
	byteaColumns = 8
	// fixedParams precede the rows: shard, epoch, number and chain of the row that the batch follows.
	fixedParams = 4
)

// commitSQL inserts nothing when the epoch is not the shard's or the batch does not follow its last row. The lock on the
// fence makes a claim wait until the batch is committed, or the batch until the claim is, and then look again. The row
// the batch follows is compared by its chain: a server that has lost the end of the journal, such as a standby that was
// promoted too early, takes nothing more. The primary key refuses what is there already.
//
// The rows come as one array of table rows: it costs the server a third of what an array for each column does.
//
// What is written back beside the rows is written under the same condition. A cell that would change its name gets no row
// number, which its column refuses.
var commitSQL = `WITH held AS (SELECT shard FROM fence WHERE shard = $1 AND epoch = $2 FOR UPDATE),
	next AS (SELECT shard FROM held
		WHERE $3::BIGINT = 0 OR EXISTS (SELECT 1 FROM journal WHERE shard = $1 AND seq = $3 AND chain = $4::BYTEA)),
	cells AS (INSERT INTO cell AS old (shard, ` + cellColumns + `)
		SELECT next.shard, back.* FROM next CROSS JOIN unnest($6::BIGINT[], $7::BYTEA[], $8::BIGINT[], $9::BYTEA[]) AS back (` + cellColumns + `)
		ON CONFLICT (shard, id) DO UPDATE SET data = excluded.data,
			seq = CASE WHEN old.name IS NOT DISTINCT FROM excluded.name THEN excluded.seq END),
	mark AS (INSERT INTO watermark AS old (shard, seq) SELECT shard, $10::BIGINT FROM next WHERE $10 > 0
		ON CONFLICT (shard) DO UPDATE SET seq = GREATEST(old.seq, excluded.seq))
	INSERT INTO journal (shard, ` + columns + `)
	SELECT next.shard, ` + batchColumns + ` FROM next CROSS JOIN unnest($5::journal[]) AS batch`

// batchColumns are columns of the array.
var batchColumns = "batch." + strings.Join(strings.Fields(columns), " batch.")

// rowTypeSQL gives the number of the type of the table's rows, which an array of them must name.
const rowTypeSQL = `SELECT 'journal'::regtype::oid::bigint`

// Commit implements journal.Store.
func (s *Store) Commit(ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.unknown {
		return fmt.Errorf("%w: an earlier commit has to be looked at first, by Claim", ErrOutcomeUnknown)
	}
	// A commit that has begun is not interrupted by the caller.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.CommitTimeout)
	defer cancel()
	if back != nil {
		if err := back.Check(); err != nil {
			return err
		}
	}
	if len(rows) == 0 || epoch == 0 || !s.continues(rows) {
		return s.refusal(ctx, epoch, rows, nil)
	}
	s.writer.warning = ""
	var inserted int64
	err := s.retry(&s.writer, false, func() (err error) {
		rowType, err := s.writer.rowType(ctx)
		if err != nil {
			return err
		}
		s.batch.fill(s.options.Shard, epoch, &s.last, rowType, rows, back)
		inserted, err = s.writer.query(ctx, commitSQL, s.batch.params[:], nil)
		return err
	})
	switch {
	case err == nil && s.writer.warning != "":
		// A server whose wait for the standby is cancelled answers with success and this warning.
		s.unknown = true
		return fmt.Errorf("%w: the server warned (SQLSTATE %s)", ErrOutcomeUnknown, s.writer.warning)
	case err == nil && inserted == int64(len(rows)):
		end := &rows[len(rows)-1]
		s.last.Seq, s.last.Hash = end.Seq, end.Chain
		return nil
	case err == nil && inserted == 0 || sqlState(err) == uniqueViolation && s.writer.notDone(err):
		return s.refusal(ctx, epoch, rows, err)
	case err == nil:
		s.unknown = true
		return fmt.Errorf("%w: %d rows of %d inserted", ErrOutcomeUnknown, inserted, len(rows))
	case s.writer.notDone(err):
		return fmt.Errorf("journalpg: insert rows: %w", err)
	}
	s.unknown = true
	s.writer.close()
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// continues reports whether the rows are numbered on from the last one this handle knows.
func (s *Store) continues(rows []journal.Row) bool {
	for i := range rows {
		if rows[i].Seq != s.last.Seq+uint64(i)+1 {
			return false
		}
	}
	return true
}

// refusal finds out why the rows are not taken; nothing of them is stored. Without rows only the epoch can be wrong. said is the
// server's own word, if it had one.
func (s *Store) refusal(ctx context.Context, epoch uint64, rows []journal.Row, said error) error {
	current, err := s.epoch(ctx)
	if err != nil {
		return fmt.Errorf("journalpg: read epoch: %w", err)
	}
	if epoch == 0 || epoch != current {
		return journal.ErrStaleEpoch
	}
	if len(rows) == 0 {
		return nil
	}
	last, err := s.lastRow(ctx, &s.writer)
	if err != nil {
		return fmt.Errorf("journalpg: last row: %w", err)
	}
	for i := range rows {
		if want := last.Seq + uint64(i) + 1; rows[i].Seq != want {
			return fmt.Errorf("%w: row %d where %d is due", journal.ErrSequence, rows[i].Seq, want)
		}
	}
	key, found, err := s.duplicate(ctx, rows)
	switch {
	case err != nil:
		return fmt.Errorf("journalpg: look for keys: %w", err)
	case found:
		return &journal.DuplicateKeyError{Key: key}
	case said != nil: // two cells of one name
		return fmt.Errorf("journalpg: insert rows: %w", said)
	}
	return fmt.Errorf("%w: row %d does not follow the stored row %d", journal.ErrSequence, rows[0].Seq, last.Seq)
}

// epoch is the shard's, zero when it was never claimed.
func (s *Store) epoch(ctx context.Context) (epoch uint64, err error) {
	err = s.retry(&s.writer, true, func() error {
		sc := scanner{}
		_, err := s.writer.query(ctx, "SELECT epoch FROM fence WHERE shard = $1", [][]byte{int8Param(s.options.Shard)},
			func(values [][]byte) error {
				sc.values = values
				epoch = uint64(sc.int64(0))
				return sc.err
			})
		return err
	})
	return epoch, err
}

// duplicate is the first key of the rows that is stored already or occurs twice among them.
func (s *Store) duplicate(ctx context.Context, rows []journal.Row) (key string, found bool, err error) {
	keys := appendHeader(nil, oidBytea, len(rows))
	for i := range rows {
		keys = appendText(keys, rows[i].Key)
	}
	var taken map[string]bool
	err = s.retry(&s.writer, true, func() error {
		taken = map[string]bool{}
		_, err := s.writer.query(ctx, "SELECT key FROM journal WHERE shard = $1 AND key = ANY($2::BYTEA[]) AND key IS NOT NULL",
			[][]byte{int8Param(s.options.Shard), keys}, func(values [][]byte) error {
				taken[string(values[0])] = true
				return nil
			})
		return err
	})
	for i := range rows {
		if err != nil || rows[i].Key == "" {
			continue
		}
		if taken[rows[i].Key] {
			return rows[i].Key, true, nil
		}
		taken[rows[i].Key] = true
	}
	return "", false, err
}

// The types of array elements on the wire, by their fixed numbers in every server of this protocol.
const (
	oidInt8  = 20
	oidBytea = 17
)

// keepBytes is how much memory a buffer may keep for the next batch: the largest usual batch with room to
// spare. A rare batch of large blobs does not stay in memory for ever.
const keepBytes = 1 << 20

// batch is a commit as the parameters of commitSQL, in the binary format. Its memory is used again.
type batch struct {
	params [fixedParams + 1 + cellParams][]byte
	rows   []byte
	cells  cellBatch
}

func (b *batch) fill(shard int64, epoch uint64, after *journal.Chain, rowType uint32, rows []journal.Row, back *journal.Back) {
	for i, fixed := range [fixedParams - 1]int64{shard, int64(epoch), int64(after.Seq)} {
		b.params[i] = binary.BigEndian.AppendUint64(b.params[i][:0], uint64(fixed))
	}
	b.params[fixedParams-1] = append(b.params[fixedParams-1][:0], after.Hash[:]...)
	if cap(b.rows) > keepBytes {
		b.rows = nil
	}
	b.rows = appendHeader(b.rows[:0], rowType, len(rows))
	for i := range rows {
		b.rows = appendRow(b.rows, shard, &rows[i])
	}
	b.params[fixedParams] = b.rows
	b.cells.fill(back)
	copy(b.params[fixedParams+1:], b.cells[:])
}

// appendRow appends a row of the table, in the order of its columns: its length, their number, and for each of them type, length
// and value.
func appendRow(dst []byte, shard int64, r *journal.Row) []byte {
	be, start := binary.BigEndian, len(dst)
	dst = be.AppendUint32(be.AppendUint32(dst, 0), 1+int8Columns+byteaColumns)
	for _, v := range [1 + int8Columns]int64{shard, int64(r.Seq), int64(r.Kind), r.At.UnixMicro(), int64(r.BusinessDate), int64(r.STAN), r.Card,
		int64(r.ATC), int64(r.Reason), int64(r.Debit), int64(r.Credit), r.Amount, int64(r.Currency), int64(r.Phase),
		int64(r.Resolves), int64(r.Linked)} {
		dst = appendInt8(be.AppendUint32(dst, oidInt8), v)
	}
	dst = appendBytes(be.AppendUint32(dst, oidBytea), r.Content[:])
	dst = appendBytes(be.AppendUint32(dst, oidBytea), r.Chain[:])
	for _, text := range [4]string{r.Key, r.Payment, r.RRN, r.Terminal} {
		dst = appendText(be.AppendUint32(dst, oidBytea), text)
	}
	dst = appendBytes(be.AppendUint32(dst, oidBytea), r.Answer)
	dst = appendBytes(be.AppendUint32(dst, oidBytea), r.Note)
	be.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendHeader begins a one-dimensional array of n elements, some of which may be NULL.
func appendHeader(dst []byte, oid uint32, n int) []byte {
	for _, word := range [5]uint32{1, 1, oid, uint32(n), 1} { // dimensions, NULLs, type, length, lower bound
		dst = binary.BigEndian.AppendUint32(dst, word)
	}
	return dst
}

// nullLength stands where the length of an element would.
const nullLength = ^uint32(0)

func appendBytes(dst, b []byte) []byte {
	if len(b) == 0 {
		return binary.BigEndian.AppendUint32(dst, nullLength)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	if s == "" {
		return binary.BigEndian.AppendUint32(dst, nullLength)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
}
