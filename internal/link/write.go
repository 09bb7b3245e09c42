package link

import (
	"bufio"
	"sync"

	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

const (
	readBufferBytes  = 32 << 10
	writeBufferBytes = 32 << 10
	// strangerBytes is the size of the buffers of a session that is not signed on: anybody can open thousands of those.
	strangerBytes = 1 << 10
	// burstFrames bounds how long the writer gathers frames before it flushes and sets the write timer anew.
	burstFrames = 256
	// keptBuffer is the largest buffer kept for reuse: one frame with its length.
	keptBuffer = iso8583.MaxFrameBytes + 4
)

// outbound is a message ready to be written, and the message itself for the trace.
type outbound struct {
	bytes    []byte
	message  unionpay.Message
	peer     string // under whose keys it is signed
	unsigned bool   // its MAC is still to be written
}

var frames = sync.Pool{New: func() any { return &outbound{bytes: make([]byte, 0, 1024)} }}

func getFrame() *outbound {
	f := frames.Get().(*outbound)
	f.bytes = f.bytes[:0]
	return f
}

func putFrame(f *outbound) {
	f.message, f.peer, f.unsigned = nil, "", false
	if cap(f.bytes) <= keptBuffer {
		frames.Put(f)
	}
}

// writeLoop is the only writer of the connection. It gathers what is queued and flushes when the queue is empty, so that one frame does
// not wait and many share a system call.
func (s *Session) writeLoop() {
	w := bufio.NewWriterSize(s.conn, strangerBytes)
	for {
		select {
		case f := <-s.out:
			if s.up.Load() && w.Size() < writeBufferBytes { // nothing is buffered between bursts
				w = bufio.NewWriterSize(s.conn, writeBufferBytes)
			}
			if err := s.burst(w, f); err != nil {
				s.shut(err, false)
				return
			}
		case <-s.closing:
			s.lastBurst(w)
			return
		}
	}
}

// burst writes a frame and what is queued behind it. A peer that does not read for WriteTimeout is cut off.
func (s *Session) burst(w *bufio.Writer, f *outbound) error {
	timer := s.config.Clock.AfterFunc(s.config.Limits.WriteTimeout, func() { s.shut(ErrSlowReader, false) })
	defer timer.Stop()
	for written := 0; f != nil && written < burstFrames; written += 2 {
		second := s.queued()
		if err := s.writePair(w, f, second); err != nil {
			return err
		}
		if f = nil; second != nil {
			f = s.queued()
		}
	}
	if f != nil { // the burst is full and one frame is in hand
		if err := s.writePair(w, f, nil); err != nil {
			return err
		}
	}
	return w.Flush()
}

// queued gives the next frame, nil when none waits.
func (s *Session) queued() *outbound {
	select {
	case f := <-s.out:
		return f
	default:
		return nil
	}
}

// lastBurst writes what is still queued, then closes the connection, which ends the reader.
func (s *Session) lastBurst(w *bufio.Writer) {
	for {
		select {
		case f := <-s.out:
			if err := s.burst(w, f); err != nil {
				_ = s.conn.Close()
				return
			}
		default:
			_ = s.conn.Close()
			return
		}
	}
}

// writePair signs what is to be signed, and writes; second may be nil.
func (s *Session) writePair(w *bufio.Writer, first, second *outbound) error {
	s.sign(first, second)
	if err := s.writeFrame(w, first); err != nil || second == nil {
		return err
	}
	return s.writeFrame(w, second)
}

// sign writes the MACs that are missing. The peer accepts the key in force whatever it was when the message was queued, since a key is given out before it is
// in force. A frame for which there is no key stays unsigned and is not sent, as if its connection had ended before it.
func (s *Session) sign(first, second *outbound) {
	if second != nil && first.unsigned && second.unsigned && first.peer == second.peer {
		a, b := s.macInput(first), s.macInput(second)
		if codeA, codeB, err := s.config.Keys.MACPair(first.peer, a, b); err == nil {
			first.setMAC(codeA)
			second.setMAC(codeB)
			return
		}
	}
	for _, f := range [...]*outbound{first, second} {
		if f == nil || !f.unsigned {
			continue
		}
		code, err := s.config.Keys.MAC(f.peer, s.macInput(f))
		if err != nil {
			s.config.Log.Warn("link: message not signed and not sent", "link", s.config.Name, "peer", f.peer, "type", string(f.message.Type()), "error", err)
			continue
		}
		f.setMAC(code)
	}
}

// macBytes is the length of the MAC, the last field of every message that has one.
const macBytes = 8

// macInput is what the MAC of a frame covers.
func (s *Session) macInput(f *outbound) []byte { return f.bytes[s.bodyAt() : len(f.bytes)-macBytes] }

func (f *outbound) setMAC(code [macBytes]byte) {
	copy(f.bytes[len(f.bytes)-macBytes:], code[:])
	f.unsigned = false
}

// bodyAt is where a frame's body begins.
func (s *Session) bodyAt() int {
	if s.config.Dialect == unionpay.Terminal {
		return 2 + iso8583.TPDUBytes + iso8583.HeaderBytes
	}
	return 4
}

func (s *Session) writeFrame(w *bufio.Writer, f *outbound) error {
	defer putFrame(f)
	if f.unsigned {
		return nil
	}
	s.stats.framesOut.Add(1)
	s.stats.bytesOut.Add(uint64(len(f.bytes)))
	s.traceOut(f)
	_, err := w.Write(f.bytes)
	return err
}
