package iso8583

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
)

// MaxFrameBytes is the longest frame behind its length: what the four digits of the switch's length can say. The
// terminal's two bytes could say more, but no message of either dialect is that long.
const MaxFrameBytes = 9999

// Sizes of the terminal's frame [REF 6.1].
const (
	TPDUBytes   = 5
	HeaderBytes = 6
	tpduID      = 0x60
)

// What can be wrong with a frame; always inside a *FrameError.
var (
	ErrFrameLength = errors.New("length is not digits")
	ErrFrameLong   = errors.New("frame too long")
	ErrFrameShort  = errors.New("frame too short")
	ErrFrameTPDU   = errors.New("TPDU does not begin with 60")
)

// FrameError tells why a frame was refused. The stream is out of step after ErrFrameLength and ErrFrameLong: close
// the connection. After ErrFrameShort and ErrFrameTPDU the frame was read whole and the next one can be read.
type FrameError struct {
	Length int // as announced, 0 when it could not be read
	Err    error
}

// Error tells cause and announced length.
func (e *FrameError) Error() string {
	return "frame of " + strconv.Itoa(e.Length) + " bytes: " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *FrameError) Unwrap() error { return e.Err }

// InStep says whether the next frame can still be read.
func (e *FrameError) InStep() bool {
	return errors.Is(e.Err, ErrFrameShort) || errors.Is(e.Err, ErrFrameTPDU)
}

// Frame is one frame. TPDU (5 bytes) and Header (6) exist in the terminal's framing only. An empty Body is a
// keep-alive in the switch's framing and not allowed in the terminal's.
type Frame struct {
	TPDU, Header, Body []byte
}

// KeepAlive says whether the frame carries no message.
func (f Frame) KeepAlive() bool { return len(f.Body) == 0 }

// Framing is how messages are told apart on a connection.
type Framing struct {
	digits  bool // four ASCII digits, else two bytes
	headers bool // TPDU and header before the message
}

// The framings of the two dialects. The 46-byte header of the production switch is not used [REF 6.4].
var (
	// TerminalFraming is two bytes of length, TPDU, header, message [REF 6.1].
	TerminalFraming = Framing{headers: true}
	// SwitchFraming is four ASCII digits of length and the message; 0000 keeps the connection alive [REF 6.4].
	SwitchFraming = Framing{digits: true}
)

// ReadFrame reads one frame into buf, which is replaced by a larger one when it is too small (MaxFrameBytes is
// always enough). The frame aliases buf. io.EOF means that the stream ended between frames, io.ErrUnexpectedEOF
// that it ended inside one, *FrameError that the frame was refused.
func (f Framing) ReadFrame(r *bufio.Reader, buf []byte) (Frame, error) {
	length, err := f.readLength(r)
	if err != nil {
		return Frame{}, err
	}
	if length > MaxFrameBytes {
		return Frame{}, &FrameError{length, ErrFrameLong}
	}
	if length > cap(buf) {
		buf = make([]byte, length)
	}
	buf = buf[:length]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	if !f.headers {
		return Frame{Body: buf}, nil
	}
	if length <= TPDUBytes+HeaderBytes {
		return Frame{}, &FrameError{length, ErrFrameShort}
	}
	if buf[0] != tpduID {
		return Frame{}, &FrameError{length, ErrFrameTPDU}
	}
	return Frame{
		TPDU:   buf[:TPDUBytes:TPDUBytes],
		Header: buf[TPDUBytes : TPDUBytes+HeaderBytes : TPDUBytes+HeaderBytes],
		Body:   buf[TPDUBytes+HeaderBytes:],
	}, nil
}

func (f Framing) readLength(r *bufio.Reader) (int, error) {
	size := 2
	if f.digits {
		size = 4
	}
	prefix, err := r.Peek(size)
	if err != nil {
		if err == io.EOF && len(prefix) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	length := 0
	if f.digits {
		for _, c := range prefix {
			if c < '0' || c > '9' {
				return 0, &FrameError{0, ErrFrameLength}
			}
			length = length*10 + int(c-'0')
		}
	} else {
		length = int(binary.BigEndian.Uint16(prefix))
	}
	_, err = r.Discard(size)
	return length, err
}

// AppendFrame writes a frame behind dst. In the terminal's framing TPDU and Header must have their sizes and Body
// must not be empty; in the switch's framing both must be absent.
func (f Framing) AppendFrame(dst []byte, frame Frame) ([]byte, error) {
	length := len(frame.TPDU) + len(frame.Header) + len(frame.Body)
	if length > MaxFrameBytes {
		return dst, &FrameError{length, ErrFrameLong}
	}
	if f.headers {
		if len(frame.TPDU) != TPDUBytes || len(frame.Header) != HeaderBytes || len(frame.Body) == 0 {
			return dst, &FrameError{length, ErrFrameShort}
		}
		if frame.TPDU[0] != tpduID {
			return dst, &FrameError{length, ErrFrameTPDU}
		}
	} else if len(frame.TPDU)+len(frame.Header) != 0 {
		return dst, &FrameError{length, ErrFrameLong}
	}
	if f.digits {
		dst = append(dst, '0'+byte(length/1000), '0'+byte(length/100%10), '0'+byte(length/10%10), '0'+byte(length%10))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	}
	dst = append(dst, frame.TPDU...)
	dst = append(dst, frame.Header...)
	return append(dst, frame.Body...), nil
}

// AnswerTPDU swaps destination and source, as an answer must.
func AnswerTPDU(tpdu [TPDUBytes]byte) [TPDUBytes]byte {
	return [TPDUBytes]byte{tpdu[0], tpdu[3], tpdu[4], tpdu[1], tpdu[2]}
}
