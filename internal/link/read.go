package link

import (
	"bufio"
	"errors"
	"io"

	"tapnet/internal/clock"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// readLoop reads frames until the connection or the patience with the peer ends. What it returns is the reason.
func (s *Session) readLoop(r *bufio.Reader) error {
	framing := s.config.framing()
	buf := make([]byte, 0, strangerBytes)
	for {
		if s.up.Load() && cap(buf) < iso8583.MaxFrameBytes {
			r, buf = bufio.NewReaderSize(r, readBufferBytes), make([]byte, 0, iso8583.MaxFrameBytes)
		}
		if _, err := r.Peek(1); err != nil {
			return err
		}
		timer := s.frameTimer(r)
		frame, err := framing.ReadFrame(r, buf)
		if timer != nil {
			timer.Stop()
		}
		if err != nil {
			if err = s.frameFault(err); err != nil {
				return err
			}
			continue
		}
		s.heard.Store(s.config.Clock.Now().UnixNano())
		s.stats.framesIn.Add(1)
		s.stats.bytesIn.Add(uint64(len(frame.TPDU) + len(frame.Header) + len(frame.Body)))
		if frame.KeepAlive() {
			s.stats.keepAlives.Add(1)
			continue
		}
		if !s.opener && frame.TPDU != nil {
			s.answerTo([iso8583.TPDUBytes]byte(frame.TPDU))
		}
		if err := s.receive(frame.Body); err != nil {
			return err
		}
	}
}

// frameTimer limits how long the rest of a frame may take. A frame that lies whole in the buffer needs none.
func (s *Session) frameTimer(r *bufio.Reader) clock.Timer {
	if s.wholeFrameBuffered(r) {
		return nil
	}
	return s.config.Clock.AfterFunc(s.config.Limits.FrameTimeout, func() {
		s.stats.slowFrames.Add(1)
		s.shut(ErrSlowFrame, false)
	})
}

func (s *Session) wholeFrameBuffered(r *bufio.Reader) bool {
	size := 2
	if s.config.Dialect == unionpay.Switch {
		size = 4
	}
	if r.Buffered() < size {
		return false
	}
	prefix, err := r.Peek(size)
	if err != nil {
		return false
	}
	length := 0
	if s.config.Dialect == unionpay.Switch {
		for _, c := range prefix {
			length = length*10 + int(c-'0')
		}
	} else {
		length = int(prefix[0])<<8 | int(prefix[1])
	}
	return r.Buffered() >= size+length
}

// frameFault decides about a frame that could not be read: nil goes on, anything else is the reason to end.
func (s *Session) frameFault(err error) error {
	var refused *iso8583.FrameError
	switch {
	case errors.As(err, &refused) && refused.InStep():
		s.stats.malformed.Add(1)
		return s.fault("frame refused", err)
	case errors.As(err, &refused):
		s.stats.badFrames.Add(1)
		s.config.Log.Warn("link: frame refused", "link", s.config.Name, "peer", s.Peer(), "error", err)
		return errors.Join(ErrFrame, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.stats.truncated.Add(1)
		return ErrTruncated
	}
	return err
}

// answerTo turns the addresses of the frame around for our frames. One connection is one terminal, so the last frame's will do.
func (s *Session) answerTo(tpdu [iso8583.TPDUBytes]byte) {
	turned := iso8583.AnswerTPDU(tpdu)
	if *s.tpdu.Load() != turned {
		s.tpdu.Store(&turned)
	}
}

// fault counts an error of the peer and gives the reason to end when there were too many.
func (s *Session) fault(what string, err error) error {
	s.good = 0
	s.errors++
	s.config.Log.Warn("link: "+what, "link", s.config.Name, "peer", s.Peer(), "errors", s.errors, "error", err)
	if s.errors > s.config.Limits.MaxErrors {
		return ErrTooManyErrors
	}
	return nil
}

func (s *Session) praise() {
	if s.errors == 0 {
		return
	}
	if s.good++; s.good >= s.config.Limits.ForgiveAfter {
		s.errors, s.good = 0, 0
	}
}

// receive takes one message body through the connection policy. An error ends the session after what is queued was sent.
func (s *Session) receive(body []byte) error {
	m, err := unionpay.Decode(s.config.Dialect, body)
	if err != nil {
		s.traceIn(body, nil, err)
		if errors.Is(err, unionpay.ErrUnknownType) {
			s.stats.unknownType.Add(1)
			return s.fault("unknown message type", err)
		}
		s.stats.malformed.Add(1)
		return s.fault("message does not decode", err)
	}
	if IsSessionMessage(m) {
		s.traceIn(body, m, nil)
		return s.sessionMessage(m, body)
	}
	// While an opener signs on again, answers to what it asked before still come: a right MAC lets them pass.
	if !s.up.Load() && !(m.Type().IsResponse() && s.authentic(s.Peer(), body)) {
		s.traceIn(body, m, ErrNotSignedOn)
		s.stats.refused.Add(1)
		s.refuse(m) // A0: sign on again
		return s.fault("business before sign-on", ErrNotSignedOn)
	}
	if needsMAC(m) && !s.authentic(s.Peer(), body) {
		s.traceIn(body, m, errBadMAC)
		s.stats.badMAC.Add(1)
		s.refuse(m)
		return s.fault("message is not authentic", errBadMAC)
	}
	s.traceIn(body, m, nil)
	s.praise()
	s.config.OnMessage(s, m, body)
	return nil
}

var errBadMAC = errors.New("link: MAC is missing or wrong")

func (s *Session) sessionMessage(m unionpay.Message, body []byte) error {
	before := s.stats.badMAC.Load()
	s.perform(func() []Action {
		return s.machine.Receive(s.config.Clock.Now(), m, func() bool { return s.authentic(s.machine.Peer(), body) })
	})
	if s.stats.badMAC.Load() != before {
		return s.fault("key exchange is not authentic", errBadMAC)
	}
	s.praise()
	return nil
}

// needsMAC: everything but network management, and but an answer that says the keys do not fit (A0, 97), which the sender cannot
// authenticate.
func needsMAC(m unionpay.Message) bool {
	p := unionpay.PaymentOf(m)
	if p == nil {
		return false
	}
	keysUnknown := p.Response == unionpay.MACError || p.Response == unionpay.TerminalNotRegistered
	return !(m.Type().IsResponse() && keysUnknown)
}

func (s *Session) authentic(peer string, body []byte) bool {
	input, code, err := unionpay.MACInput(s.config.Dialect, body)
	if err != nil || len(code) != 8 {
		return false
	}
	ok, err := s.config.Keys.VerifyMAC(peer, input, [8]byte(code))
	if err != nil {
		s.config.Log.Warn("link: verifying a MAC", "link", s.config.Name, "peer", s.Peer(), "error", err)
		return false
	}
	return ok
}

// refuse answers A0, sign on again, to a request that does not reach the role, without a MAC: the keys do not fit. Responses are not
// answered.
func (s *Session) refuse(m unionpay.Message) {
	if unionpay.PaymentOf(m) == nil || m.Type().IsResponse() {
		return
	}
	if err := s.send(unionpay.Respond(m, unionpay.Answer{Response: unionpay.MACError}), s.Peer(), Unsigned); err != nil {
		s.config.Log.Warn("link: refusal not sent", "link", s.config.Name, "peer", s.Peer(), "error", err)
	}
}
