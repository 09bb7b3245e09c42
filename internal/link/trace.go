package link

import (
	"bytes"
	"sync/atomic"
	"time"

	"tapnet/iso8583/unionpay"
)

// traceIn hands a received message to the tracing goroutine. A full queue drops it: tracing never makes a payment wait.
func (s *Session) traceIn(body []byte, m unionpay.Message, err error) {
	if at, kept := s.traced(); kept {
		s.trace(TraceEvent{Session: s.config.Name, Peer: s.Peer(), Direction: In, At: at, Raw: bytes.Clone(body), Message: m, Err: err})
	}
}

// traceOut hands over a frame as it is written.
func (s *Session) traceOut(f *outbound) {
	at, kept := s.traced()
	if !kept {
		return
	}
	s.trace(TraceEvent{
		Session: s.config.Name, Peer: s.Peer(), Direction: Out, At: at, Raw: bytes.Clone(f.bytes[s.bodyAt():]), Message: f.message,
	})
}

// traced says whether a message that passes now is traced.
func (s *Session) traced() (at time.Time, kept bool) {
	if s.traces == nil {
		return at, false
	}
	at = s.config.Clock.Now()
	if s.config.TraceRoom != nil && !s.config.TraceRoom(at) {
		s.stats.tracesDropped.Add(1)
		return at, false
	}
	return at, true
}

func (s *Session) trace(t TraceEvent) {
	select {
	case s.traces <- &t:
	default:
		s.stats.tracesDropped.Add(1)
	}
}

func (s *Session) traceLoop() {
	for t := range s.traces {
		s.config.Trace(*t)
	}
}

type counters struct {
	framesIn, framesOut, bytesIn, bytesOut, keepAlives    atomic.Uint64
	malformed, unknownType, badFrames, truncated          atomic.Uint64
	badMAC, refused, queueFull, slowFrames, tracesDropped atomic.Uint64
}

// Stats are a session's counts since it began.
type Stats struct {
	FramesIn, FramesOut, BytesIn, BytesOut uint64
	KeepAlives                             uint64
	Malformed                              uint64 // frames or messages that do not decode
	UnknownType                            uint64 // message type unknown
	BadFrames                              uint64 // lengths that are no lengths or too long
	Truncated                              uint64 // ends inside a frame
	SlowFrames                             uint64 // frames not complete in time
	BadMAC                                 uint64 // MAC missing or wrong
	Refused                                uint64 // business before sign-on
	QueueFull                              uint64 // messages of ours that found no room
	TracesDropped                          uint64
}

// Stats gives the counts.
func (s *Session) Stats() Stats {
	c := &s.stats
	return Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		KeepAlives: c.keepAlives.Load(), Malformed: c.malformed.Load(), UnknownType: c.unknownType.Load(),
		BadFrames: c.badFrames.Load(), Truncated: c.truncated.Load(), SlowFrames: c.slowFrames.Load(), BadMAC: c.badMAC.Load(),
		Refused: c.refused.Load(), QueueFull: c.queueFull.Load(), TracesDropped: c.tracesDropped.Load(),
	}
}
