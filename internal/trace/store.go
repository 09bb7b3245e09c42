package trace

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/iso8583/unionpay"
)

// Config bounds a store. Zero means the default.
type Config struct {
	// Key makes card fingerprints, at least 16 bytes. Boxes that share it are joined by card and counter as well; it is not
	// kept anywhere else.
	Key        []byte
	MaxRecords int // default 20000: some hundred payments of a whole network
	MaxBytes   int // default 32 MiB
	Queue      int // records that may wait to be taken in; default 4096
	// MaxPerSecond is how many records of one second are taken in; default 4000. Under a load at which nothing stays for a second anyway, the
	// beginning of each second is remembered whole and the rest costs nothing.
	MaxPerSecond int
}

const (
	minKeyBytes       = 16
	defaultMaxRecords = 20000
	defaultMaxBytes   = 32 << 20
	defaultQueue      = 4096
	// defaultMaxPerSecond lets no more than a few hundredths of a processor go into traces.
	defaultMaxPerSecond = 4000
)

// Store holds the last records of a process. It may be used by many goroutines. The zero value is a closed store.
type Store struct {
	key     []byte
	limits  Config
	queue   chan item
	stop    chan struct{}
	done    chan struct{}
	closing sync.Once
	dropped atomic.Uint64
	second  atomic.Int64 // since 1970, of the last record
	inIt    atomic.Int64 // records of that second

	mu    sync.Mutex
	index index
}

// item is a record, or a request to be told when everything before it is in.
type item struct {
	record  Record
	flushed chan struct{}
}

// New starts a store. Close ends it.
func New(c Config) (*Store, error) {
	if len(c.Key) < minKeyBytes {
		return nil, errors.New("trace: the fingerprint key is shorter than 16 bytes")
	}
	positive := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	positive(&c.MaxRecords, defaultMaxRecords)
	positive(&c.MaxBytes, defaultMaxBytes)
	positive(&c.Queue, defaultQueue)
	positive(&c.MaxPerSecond, defaultMaxPerSecond)
	s := &Store{key: append([]byte(nil), c.Key...), limits: c, queue: make(chan item, c.Queue), stop: make(chan struct{}), done: make(chan struct{})}
	s.limits.Key = nil
	go s.run()
	return s, nil
}

// Add remembers a record. It never waits: when the queue is full, or the store closed, the record is dropped and counted.
func (s *Store) Add(r Record) {
	if !s.open() || !s.Room(r.At) {
		s.dropped.Add(1)
		return
	}
	s.inIt.Add(1)
	select {
	case s.queue <- item{record: r}:
	default:
		s.dropped.Add(1)
	}
}

// Room reports whether a record of that instant would still be taken in, so that nobody need make one that will not.
func (s *Store) Room(at time.Time) bool {
	if second := at.Unix(); s.second.Load() != second {
		s.second.Store(second) // two goroutines may both begin the second: then a few more records get in
		s.inIt.Store(0)
	}
	return s.inIt.Load() < int64(s.limits.MaxPerSecond)
}

func (s *Store) open() bool {
	if s.stop == nil {
		return false
	}
	select {
	case <-s.stop:
		return false
	default:
		return true
	}
}

// Dropped counts records that found no room.
func (s *Store) Dropped() uint64 { return s.dropped.Load() }

// Flush waits until everything added before is found.
func (s *Store) Flush() {
	if s.stop == nil {
		return
	}
	flushed := make(chan struct{})
	select {
	case s.queue <- item{flushed: flushed}:
	case <-s.done:
		return
	}
	select {
	case <-flushed:
	case <-s.done:
	}
}

// Close takes in what waits and ends the store's goroutine. What is remembered can still be found.
func (s *Store) Close() error {
	if s.stop == nil {
		return nil
	}
	s.closing.Do(func() { close(s.stop) })
	<-s.done
	return nil
}

func (s *Store) run() {
	defer close(s.done)
	for {
		select {
		case it := <-s.queue:
			s.take(it)
		case <-s.stop:
			for {
				select {
				case it := <-s.queue:
					s.take(it)
				default:
					return
				}
			}
		}
	}
}

func (s *Store) take(it item) {
	if it.flushed != nil {
		close(it.flushed)
		return
	}
	r := it.record
	r.trim()
	if r.Kind.isMessage() {
		if m, err := unionpay.Decode(r.Dialect, r.Raw); err == nil {
			r.addIDs(s.messageIDs(r.Dialect, m)...)
		}
	}
	if r.Row != nil {
		r.addIDs(rowIDs(r.Role, r.Row)...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.add(r)
	for s.index.len() > s.limits.MaxRecords || s.index.bytes > s.limits.MaxBytes && s.index.len() > 1 {
		s.index.evict()
	}
}

// Len is how many records are remembered and how many bytes they take, about.
func (s *Store) Len() (records, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.len(), s.index.bytes
}

// Find returns the records of one payment in the order they happened: "last", a retrieval reference number, or any
// identifier, with or without its prefix. Nil when there is none.
func (s *Store) Find(query string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.find(query)
}

// Payments lists the payments remembered, the oldest first.
func (s *Store) Payments() []Payment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.payments()
}
