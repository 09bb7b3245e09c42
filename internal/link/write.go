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
	bytes   []byte
	message unionpay.Message
}

var frames = sync.Pool{New: func() any { return &outbound{bytes: make([]byte, 0, 1024)} }}

func getFrame() *outbound {
	f := frames.Get().(*outbound)
	f.bytes = f.bytes[:0]
	return f
}

func putFrame(f *outbound) {
	f.message = nil
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
	for range burstFrames {
		if err := s.writeFrame(w, f); err != nil {
			return err
		}
		select {
		case f = <-s.out:
			continue
		default:
		}
		f = nil
		break
	}
	if f != nil { // the burst is full and one frame is in hand
		if err := s.writeFrame(w, f); err != nil {
			return err
		}
	}
	return w.Flush()
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

func (s *Session) writeFrame(w *bufio.Writer, f *outbound) error {
	defer putFrame(f)
	s.stats.framesOut.Add(1)
	s.stats.bytesOut.Add(uint64(len(f.bytes)))
	s.traceOut(f)
	_, err := w.Write(f.bytes)
	return err
}
