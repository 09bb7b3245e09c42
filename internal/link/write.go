package link

import (
	"bufio"
	"sync"

	"tapnet/iso8583"
)

const (
	readBufferBytes  = 32 << 10
	writeBufferBytes = 32 << 10
	// burstFrames bounds how long the writer gathers frames before it flushes and sets the write timer anew.
	burstFrames = 256
	// keptBuffer is the largest buffer kept for reuse: one frame with its length.
	keptBuffer = iso8583.MaxFrameBytes + 4
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func getBuffer() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

func putBuffer(b *[]byte) {
	if cap(*b) <= keptBuffer {
		buffers.Put(b)
	}
}

// writeLoop is the only writer of the connection. It gathers what is queued and flushes when the queue is empty, so that one frame does
// not wait and many share a system call.
func (s *Session) writeLoop() {
	w := bufio.NewWriterSize(s.conn, writeBufferBytes)
	for {
		select {
		case frame := <-s.out:
			if err := s.burst(w, frame); err != nil {
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
func (s *Session) burst(w *bufio.Writer, frame *[]byte) error {
	timer := s.config.Clock.AfterFunc(s.config.Limits.WriteTimeout, func() { s.shut(ErrSlowReader, false) })
	defer timer.Stop()
	for range burstFrames {
		if err := s.writeFrame(w, frame); err != nil {
			return err
		}
		select {
		case frame = <-s.out:
			continue
		default:
		}
		frame = nil
		break
	}
	if frame != nil { // the burst is full and one frame is in hand
		if err := s.writeFrame(w, frame); err != nil {
			return err
		}
	}
	return w.Flush()
}

// lastBurst writes what is still queued, then closes the connection, which ends the reader.
func (s *Session) lastBurst(w *bufio.Writer) {
	for {
		select {
		case frame := <-s.out:
			if err := s.burst(w, frame); err != nil {
				_ = s.conn.Close()
				return
			}
		default:
			_ = s.conn.Close()
			return
		}
	}
}

func (s *Session) writeFrame(w *bufio.Writer, frame *[]byte) error {
	defer putBuffer(frame)
	s.stats.framesOut.Add(1)
	s.stats.bytesOut.Add(uint64(len(*frame)))
	if s.traces != nil {
		s.traceOut(*frame)
	}
	_, err := w.Write(*frame)
	return err
}
