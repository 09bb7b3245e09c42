package link

import (
	"bytes"
	"sync/atomic"

	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// traceIn hands a received message to the tracing goroutine. A full queue drops it: tracing never makes a payment wait.
func (s *Session) traceIn(body []byte, m unionpay.Message, err error) {
	if s.traces == nil {
		return
	}
	s.trace(TraceEvent{
		Session: s.config.Name, Peer: s.Peer(), Direction: In, At: s.config.Clock.Now(), Raw: bytes.Clone(body), Message: m, Err: err,
	})
}

// traceOut hands over a frame as it is written.
func (s *Session) traceOut(f *outbound) {
	skip := 4
	if s.config.Dialect == unionpay.Terminal {
		skip = 2 + iso8583.TPDUBytes + iso8583.HeaderBytes
	}
	s.trace(TraceEvent{
		Session: s.config.Name, Peer: s.Peer(), Direction: Out, At: s.config.Clock.Now(), Raw: bytes.Clone(f.bytes[skip:]),
		Message: f.message,
	})
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
