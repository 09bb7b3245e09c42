package dukpt

import (
	"fmt"
	"math/bits"
)

// ladder says which counters a method uses. The one bits of a counter are the steps of its derivation, from the highest down; more than maxOnes of them
// would make the host work too long, so those counters are skipped. [X9.24]
type ladder struct {
	width   int // bits of the counter
	maxOnes int
}

// allows reports whether a device may use a counter.
func (l ladder) allows(counter uint32) bool {
	return counter != 0 && bits.Len32(counter) <= l.width && bits.OnesCount32(counter) <= l.maxOnes
}

// next is the counter after one that is allowed, 0 when it was the last.
func (l ladder) next(counter uint32) uint32 {
	step := uint32(1)
	if bits.OnesCount32(counter) == l.maxOnes {
		step = counter & -counter // one more would have too many ones: carry past the lowest of them
	}
	counter += step // all 32 bits wrap to 0
	if bits.Len32(counter) > l.width {
		return 0
	}
	return counter
}

// filled reports whether register j holds a key while counter is the next to be used: the one of the counter itself, and those of the counters that share
// its higher bits and have a one where it has a zero. All below are derived when they are reached.
func (l ladder) filled(counter uint32, j int) bool {
	if counter == 0 {
		return false
	}
	lowest := bits.TrailingZeros32(counter)
	return j == lowest || j > lowest && counter>>j&1 == 0
}

// walk is the state of a device: the next counter, 0 at the end, and one key for each bit of the counter. Register j holds the key of the next counter
// whose lowest one bit is j, as far as it is derived.
type walk struct {
	counter   uint32
	registers []Key
}

// deriveFunc goes one step down: from a key to that of a counter with one more bit.
type deriveFunc func(from Key, counter uint32) Key

// descend is the way of the host: one step for each one bit of the counter, from the highest down.
func descend(initial Key, counter uint32, derive deriveFunc) Key {
	key := initial
	for done := uint32(0); done != counter; {
		done |= 1 << (bits.Len32(counter&^done) - 1)
		key = derive(key, done)
	}
	return key
}

func newWalk(l ladder, initial Key, derive deriveFunc) walk {
	w := walk{counter: 1, registers: make([]Key, l.width)}
	for j := range w.registers {
		w.registers[j] = derive(initial, 1<<j)
	}
	return w
}

// take hands out the key of the next counter and erases it. What it leaves cannot yield it again: derivation goes one way.
func (w *walk) take(l ladder, derive deriveFunc) (Key, uint32, error) {
	counter := w.counter
	if counter == 0 {
		return Key{}, 0, ErrExhausted
	}
	current := bits.TrailingZeros32(counter)
	key := w.registers[current]
	w.registers[current] = Key{}
	if bits.OnesCount32(counter) < l.maxOnes {
		for j := range current {
			w.registers[j] = derive(key, counter|1<<j)
		}
	}
	w.counter = l.next(counter)
	return key, counter, nil
}

// The state of a device as bytes: version, key type, identification, counter, registers. An empty register is zeros.
const (
	stateVersion      = 1
	stateHeaderBytes  = 2
	stateCounterBytes = 4
)

func (w *walk) appendState(dst []byte, kind Type, id []byte) []byte {
	dst = append(dst, stateVersion, byte(kind))
	dst = append(dst, id...)
	dst = append(dst, byte(w.counter>>24), byte(w.counter>>16), byte(w.counter>>8), byte(w.counter))
	for _, k := range w.registers {
		if k.IsZero() {
			dst = append(dst, make([]byte, kind.Bytes())...)
			continue
		}
		dst = append(dst, k.bytes()...)
	}
	return dst
}

// parseState reads what appendState wrote and refuses what no device leaves: a counter it skips, a key where there is none.
func parseState(l ladder, state []byte, idBytes int, accept func(Type) bool) (w walk, kind Type, id []byte, err error) {
	if len(state) < stateHeaderBytes || state[0] != stateVersion || !accept(Type(state[1])) {
		return walk{}, 0, nil, fmt.Errorf("version or key type: %w", ErrState)
	}
	kind = Type(state[1])
	rest := state[stateHeaderBytes:]
	if want := idBytes + stateCounterBytes + l.width*kind.Bytes(); len(rest) != want {
		return walk{}, 0, nil, fmt.Errorf("%d bytes, want %d: %w", len(state), want+stateHeaderBytes, ErrState)
	}
	id, rest = rest[:idBytes], rest[idBytes:]
	w.counter = uint32(rest[0])<<24 | uint32(rest[1])<<16 | uint32(rest[2])<<8 | uint32(rest[3])
	if w.counter != 0 && !l.allows(w.counter) {
		return walk{}, 0, nil, fmt.Errorf("counter %X: %w", w.counter, ErrState)
	}
	rest = rest[stateCounterBytes:]
	w.registers = make([]Key, l.width)
	for j := range w.registers {
		b := rest[j*kind.Bytes() : (j+1)*kind.Bytes()]
		if l.filled(w.counter, j) {
			w.registers[j] = newKey(kind, b)
			continue
		}
		for _, c := range b {
			if c != 0 {
				return walk{}, 0, nil, fmt.Errorf("a key in register %d, which counter %X leaves empty: %w", j, w.counter, ErrState)
			}
		}
	}
	return w, kind, id, nil
}
