package journal

import (
	"context"
	"fmt"
	"sync"
)

// MemStore is a store in memory, for tests and the simulator. It keeps rows as bytes, so that nothing is shared with the
// writer, and it can be made to fail. A process that dies is a handle that is no longer used: Reopen gives another.
type MemStore struct {
	disk   *memDisk
	mu     sync.Mutex
	closed bool
	faults Faults
}

// Faults are called around every commit when they are set. An error from BeforeCommit is a commit that did not happen;
// an error from AfterCommit is one that did happen but of which the writer does not learn.
type Faults struct {
	BeforeCommit func(rows []Row) error
	AfterCommit  func(rows []Row) error
}

type memDisk struct {
	mu    sync.Mutex
	rows  []memRow
	keys  map[string]uint64
	epoch uint64
	owner string
	cells memCells
}

type memRow struct {
	data  []byte
	chain [32]byte
}

var _ Store = (*MemStore)(nil)

// NewMemStore is an empty store.
func NewMemStore() *MemStore {
	return &MemStore{disk: &memDisk{keys: make(map[string]uint64), cells: newMemCells()}}
}

// Reopen is another handle on the same rows, without faults. The old one stays as it is, so that two writers on one
// journal can be tried.
func (m *MemStore) Reopen() *MemStore { return &MemStore{disk: m.disk} }

// SetFaults sets what happens around commits from now on.
func (m *MemStore) SetFaults(f Faults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

// Tamper changes a stored row without sealing it again.
func (m *MemStore) Tamper(seq uint64, change func(*Row)) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	stored := &m.disk.rows[seq-1]
	r := stored.row()
	change(&r)
	*stored = memRow{data: r.AppendBinary(nil), chain: r.Chain}
}

// row panics on bytes it did not write itself.
func (s *memRow) row() Row {
	r, err := ParseRow(s.data)
	if err != nil {
		panic(err)
	}
	r.Chain = s.chain
	return r
}

func (m *MemStore) state() (Faults, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Faults{}, ErrClosed
	}
	return m.faults, nil
}

// Load implements Store.
func (m *MemStore) Load(ctx context.Context, after uint64, fn func(*Row) error) error {
	if _, err := m.state(); err != nil {
		return err
	}
	m.disk.mu.Lock()
	rows := m.disk.rows[:len(m.disk.rows):len(m.disk.rows)]
	m.disk.mu.Unlock()
	if after > uint64(len(rows)) {
		return fmt.Errorf("%w: load after row %d of %d", ErrSequence, after, len(rows))
	}
	chain := Chain{Seq: after}
	if after > 0 {
		chain.Hash = rows[after-1].chain
	}
	for i := range rows[after:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := rows[after+uint64(i)].row()
		if err := chain.Check(&r); err != nil {
			return err
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
	return nil
}

// Last implements Store.
func (m *MemStore) Last(context.Context) (uint64, [32]byte, error) {
	if _, err := m.state(); err != nil {
		return 0, [32]byte{}, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	n := len(m.disk.rows)
	if n == 0 {
		return 0, [32]byte{}, nil
	}
	return uint64(n), m.disk.rows[n-1].chain, nil
}

// FindKey implements Store.
func (m *MemStore) FindKey(_ context.Context, key string) (*Row, bool, error) {
	if _, err := m.state(); err != nil {
		return nil, false, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	seq, ok := m.disk.keys[key]
	if !ok {
		return nil, false, nil
	}
	r := m.disk.rows[seq-1].row()
	return &r, true, nil
}

// Commit implements Store.
func (m *MemStore) Commit(ctx context.Context, epoch uint64, rows []Row, back *Back) error {
	faults, err := m.state()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if faults.BeforeCommit != nil {
		if err := faults.BeforeCommit(rows); err != nil {
			return err
		}
	}
	if err := m.disk.commit(epoch, rows, back); err != nil {
		return err
	}
	if faults.AfterCommit != nil {
		return faults.AfterCommit(rows)
	}
	return nil
}

func (d *memDisk) commit(epoch uint64, rows []Row, back *Back) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if epoch != d.epoch || epoch == 0 {
		return ErrStaleEpoch
	}
	if err := d.cells.check(back); err != nil {
		return err
	}
	fresh := make(map[string]uint64, len(rows))
	for i := range rows {
		r := &rows[i]
		if want := uint64(len(d.rows) + i + 1); r.Seq != want {
			return fmt.Errorf("%w: row %d where %d is due", ErrSequence, r.Seq, want)
		}
		if r.Key == "" {
			continue
		}
		_, stored := d.keys[r.Key]
		_, twice := fresh[r.Key]
		if stored || twice {
			return &DuplicateKeyError{Key: r.Key}
		}
		fresh[r.Key] = r.Seq
	}
	for i := range rows {
		r := &rows[i]
		d.rows = append(d.rows, memRow{data: r.AppendBinary(nil), chain: r.Chain})
		if r.Resolves != 0 {
			d.cells.resolving[r.Resolves] = r.Seq
		}
		d.cells.lastKey = max(d.cells.lastKey, r.Key)
	}
	d.cells.put(back)
	for key, seq := range fresh {
		d.keys[key] = seq
	}
	return nil
}

// Claim implements Store.
func (m *MemStore) Claim(_ context.Context, owner string) (uint64, error) {
	if _, err := m.state(); err != nil {
		return 0, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.epoch++
	m.disk.owner = owner
	return m.disk.epoch, nil
}

// Close implements Store. The rows stay for Reopen.
func (m *MemStore) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
