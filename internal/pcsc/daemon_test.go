package pcsc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"tapnet/internal/clock"
)

// slot is a reader of the fake daemon.
type slot struct {
	name   string
	atr    []byte
	bits   uint32
	shared uint32
}

// fakeDaemon answers as pcscd does, as far as this package asks it.
type fakeDaemon struct {
	testing.TB
	listener net.Listener
	clients  sync.WaitGroup

	minor    uint32
	strict   bool // an old daemon takes nothing but its own version
	major    uint32
	protocol Protocol
	card     func(command []byte) ([]byte, Code)
	refuse   map[command]Code
	silent   map[command]bool   // requests that are never answered
	instead  map[command][]byte // answers in place of the right ones; the connection is closed behind them

	mu       sync.Mutex
	slots    []slot
	watching map[net.Conn]bool
	asked    []command
	polled   chan struct{} // told when the table was asked for
}

var contactlessATR = []byte{0x3B, 0x80, 0x80, 0x01, 0x01}

// newDaemon starts a daemon with one reader and a card in it.
func newDaemon(t testing.TB, change func(*fakeDaemon)) (*fakeDaemon, Config) {
	t.Helper()
	d := &fakeDaemon{TB: t, major: 4, minor: 4, protocol: T1, watching: map[net.Conn]bool{}, polled: make(chan struct{}, 64),
		slots: []slot{{name: "Reader A 00 00", atr: contactlessATR, bits: statePresent}},
		card:  func([]byte) ([]byte, Code) { return []byte{0x90, 0x00}, 0 }}
	if change != nil {
		change(d)
	}
	path := filepath.Join(t.TempDir(), "comm")
	var err error
	if d.listener, err = net.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	d.clients.Go(func() {
		for {
			conn, err := d.listener.Accept()
			if err != nil {
				return
			}
			d.clients.Go(func() { d.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = d.listener.Close()
		d.clients.Wait()
	})
	return d, Config{Socket: path, Clock: clock.Real()}
}

func (d *fakeDaemon) serve(conn net.Conn) {
	defer func() {
		d.mu.Lock()
		delete(d.watching, conn)
		d.mu.Unlock()
		_ = conn.Close()
	}()
	for {
		var head [headerBytes]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		body := make([]byte, word(head[:], 0))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		what := command(word(head[:], 1))
		d.mu.Lock()
		d.asked = append(d.asked, what)
		d.mu.Unlock()
		if d.silent[what] {
			if what == commandTransmit {
				_, _ = io.CopyN(io.Discard, conn, int64(word(body, 3)))
			}
			continue
		}
		if answer, ok := d.instead[what]; ok {
			_, _ = conn.Write(answer)
			return
		}
		answer, err := d.answer(conn, what, body)
		if err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (d *fakeDaemon) answer(conn net.Conn, what command, body []byte) ([]byte, error) {
	code := uint32(d.refuse[what])
	switch what {
	case commandVersion:
		if d.strict && word(body, 1) != d.minor {
			code = uint32(ServiceStopped)
		}
		return words(nil, d.major, d.minor, code), nil
	case commandEstablish:
		return words(nil, word(body, 0), 77, code), nil
	case commandRelease:
		return words(nil, word(body, 0), code), nil
	case commandStates:
		defer func() { d.polled <- struct{}{} }()
		return d.table(), nil
	case commandWait:
		d.mu.Lock()
		d.watching[conn] = true
		d.mu.Unlock()
		if len(body) != 0 {
			d.Errorf("wait with %d bytes", len(body))
		}
		defer func() { d.polled <- struct{}{} }()
		return d.table(), nil
	case commandConnect:
		if word(body, 0) != 77 || len(body) != connectBytes {
			d.Errorf("connect with %d bytes in context %d", len(body), word(body, 0))
		}
		numbers := words(nil, word(body[wordBytes+MaxReaderNameBytes:], 0), uint32(T0|T1), 5, uint32(d.protocol), code)
		return append(body[:wordBytes+MaxReaderNameBytes:wordBytes+MaxReaderNameBytes], numbers...), nil
	case commandDisconnect:
		return words(nil, word(body, 0), word(body, 1), code), nil
	case commandTransmit:
		return d.transmit(conn, body, Code(code))
	}
	return nil, errors.New("unknown command")
}

func (d *fakeDaemon) transmit(conn net.Conn, body []byte, code Code) ([]byte, error) {
	send := make([]byte, word(body, 3))
	if _, err := io.ReadFull(conn, send); err != nil {
		return nil, err
	}
	if word(body, 0) != 5 || Protocol(word(body, 1)) != d.protocol || word(body, 2) != pciBytes {
		d.Errorf("transmit to card %d with %v, %d bytes", word(body, 0), Protocol(word(body, 1)), word(body, 2))
	}
	var response []byte
	if code == 0 {
		response, code = d.card(send)
	}
	return append(words(nil, 5, uint32(d.protocol), pciBytes, uint32(len(send)), uint32(d.protocol), pciBytes, uint32(len(response)), uint32(code)),
		response...), nil
}

// table is the answer to commandStates. Free places carry the mark of a reader that was never looked at, as the daemon's do.
func (d *fakeDaemon) table() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := make([]byte, statesBytes)
	for i := range MaxReaders {
		place := b[i*stateBytes:]
		numbers := place[MaxReaderNameBytes:]
		rest := numbers[3*wordBytes+atrPadded:]
		if i >= len(d.slots) {
			binary.NativeEndian.PutUint32(rest, atrUnset)
			continue
		}
		s := d.slots[i]
		copy(place, s.name)
		binary.NativeEndian.PutUint32(numbers[wordBytes:], s.bits)
		binary.NativeEndian.PutUint32(numbers[2*wordBytes:], s.shared)
		copy(numbers[3*wordBytes:], s.atr)
		binary.NativeEndian.PutUint32(rest, uint32(len(s.atr)))
	}
	return b
}

// change changes the readers and tells who waits.
func (d *fakeDaemon) change(slots ...slot) {
	d.mu.Lock()
	d.slots = slots
	waiting := d.watching
	d.watching = map[net.Conn]bool{}
	d.mu.Unlock()
	for conn := range waiting {
		_, _ = conn.Write(words(nil, 0, 0))
	}
}
