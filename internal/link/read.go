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
	buf, next := make([]byte, 0, strangerBytes), []byte(nil)
	for {
		if s.up.Load() && next == nil {
			r = bufio.NewReaderSize(r, readBufferBytes)
			buf, next = make([]byte, 0, iso8583.MaxFrameBytes), make([]byte, 0, iso8583.MaxFrameBytes)
		}
		if _, err := r.Peek(1); err != nil {
			return err
		}
		timer := s.frameTimer(r)
		frame, err := framing.ReadFrame(r, buf)
		if timer != nil {
			timer.Stop()
		}
		if err != nil || next == nil || !s.wholeFrameBuffered(r) {
			if err = s.take(frame, err); err != nil {
				return err
			}
			continue
		}
		second, secondErr := framing.ReadFrame(r, next)
		s.ahead = ahead{body: second.Body}
		if err = s.take(frame, nil); err != nil {
			return err
		}
		if err = s.take(second, secondErr); err != nil {
			return err
		}
		s.ahead = ahead{}
	}
}

// ahead is the message behind the one that is being received, when it is there already: the MACs of both are verified at once.
type ahead struct {
	body     []byte
	peer     string // under whose keys it was verified
	verified bool   // and found authentic
}

// take does what a frame asks for, or decides about one that could not be read.
func (s *Session) take(frame iso8583.Frame, err error) error {
	if err != nil {
		return s.frameFault(err)
	}
	s.heard.Store(s.config.Clock.Now().UnixNano())
	s.stats.framesIn.Add(1)
	s.stats.bytesIn.Add(uint64(len(frame.TPDU) + len(frame.Header) + len(frame.Body)))
	if frame.KeepAlive() {
		s.stats.keepAlives.Add(1)
		return nil
	}
	if !s.opener && frame.TPDU != nil {
		s.answerTo([iso8583.TPDUBytes]byte(frame.TPDU))
	}
	return s.receive(frame.Body)
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
	next := &s.ahead
	isNext := len(next.body) > 0 && &next.body[0] == &body[0]
	if isNext && next.verified && next.peer == peer {
		return true
	}
	input, code, err := unionpay.MACInput(s.config.Dialect, body)
	if err != nil || len(code) != macBytes {
		return false
	}
	var ok bool
	if other, otherCode, found := s.inputAhead(); found && !isNext {
		next.peer = peer
		ok, next.verified, err = s.config.Keys.VerifyMACPair(peer, input, other, [macBytes]byte(code), otherCode)
	} else {
		ok, err = s.config.Keys.VerifyMAC(peer, input, [macBytes]byte(code))
	}
	if err != nil {
		s.config.Log.Warn("link: verifying a MAC", "link", s.config.Name, "peer", s.Peer(), "error", err)
		return false
	}
	return ok
}

// inputAhead is what the MAC of the next message covers, and that MAC.
func (s *Session) inputAhead() (input []byte, code [macBytes]byte, found bool) {
	if len(s.ahead.body) == 0 || s.ahead.verified {
		return nil, code, false
	}
	input, value, err := unionpay.MACInput(s.config.Dialect, s.ahead.body)
	if err != nil || len(value) != macBytes {
		return nil, code, false
	}
	return input, [macBytes]byte(value), true
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
