package scp03

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"tapnet/apdu"
	"tapnet/mac"
)

const codeBlock = aes.BlockSize

// maxCommands bounds one session: far more than any script has, and far from where the counter would repeat.
const maxCommands = 1 << 20

// State is how far an open session has come. It is comparable and holds nothing secret. The zero value is no session.
type State struct {
	Level    Level
	Open     bool
	Commands uint32          // so far
	Chain    [codeBlock]byte // the whole code of the last command
}

// Room is how many bytes of data a command under a level can carry.
func Room(l Level) int {
	room := apdu.MaxDataBytes
	if l&levelCMAC != 0 {
		room -= CodeBytes
	}
	if l&levelCENC != 0 {
		room = room/aes.BlockSize*aes.BlockSize - 1 // one byte of padding at least
	}
	return room
}

// seal appends a code to a command and gives the chain after it.
func (s Session) seal(chain [codeBlock]byte, c apdu.Command) (apdu.Command, [codeBlock]byte) {
	c.CLA |= secureMessageBit
	full := s.code(chain, c, len(c.Data)+CodeBytes)
	data := make([]byte, 0, len(c.Data)+CodeBytes)
	c.Data = append(append(data, c.Data...), full[:CodeBytes]...)
	return c, full
}

// unseal checks a code and takes it off.
func (s Session) unseal(chain [codeBlock]byte, c apdu.Command) (apdu.Command, [codeBlock]byte, error) {
	if c.CLA&secureMessageBit == 0 || len(c.Data) < CodeBytes {
		return apdu.Command{}, chain, fmt.Errorf("%w: a command without a code", ErrFormat)
	}
	length := len(c.Data)
	end := length - CodeBytes
	code := c.Data[end:]
	c.Data = c.Data[:end:end]
	full := s.code(chain, c, length)
	if subtle.ConstantTimeCompare(full[:CodeBytes], code) != 1 {
		return apdu.Command{}, chain, ErrCode
	}
	return c, full, nil
}

// code is the code over the chain, the header with the length as sent, and the data.
func (s Session) code(chain [codeBlock]byte, c apdu.Command, length int) [codeBlock]byte {
	input := append(chain[:], c.CLA, c.INS, c.P1, c.P2, byte(length))
	return [codeBlock]byte(mac.CMAC(s.mac, append(input, c.Data...)))
}

// initial is the first block of enciphering: the counter, enciphered; answers set its highest bit.
func (s Session) initial(counter uint32, answer bool) []byte {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint32(block[aes.BlockSize-4:], counter)
	if answer {
		block[0] = paddingMark
	}
	s.enc.Encrypt(block[:], block[:])
	return block[:]
}

const paddingMark = 0x80

func (s Session) encipher(initial, data []byte) []byte {
	n := (len(data)/aes.BlockSize + 1) * aes.BlockSize
	out := make([]byte, n)
	out[copy(out, data)] = paddingMark
	cipher.NewCBCEncrypter(s.enc, initial).CryptBlocks(out, out)
	return out
}

func (s Session) decipher(initial, data []byte) ([]byte, error) {
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: %d enciphered bytes", ErrFormat, len(data))
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(s.enc, initial).CryptBlocks(out, data)
	for n := 1; n <= aes.BlockSize; n++ {
		switch out[len(out)-n] {
		case 0:
		case paddingMark:
			return out[:len(out)-n], nil
		default:
			return nil, fmt.Errorf("%w: no padding", ErrFormat)
		}
	}
	return nil, fmt.Errorf("%w: no padding", ErrFormat)
}

func (st State) next() (State, error) {
	if !st.Open || st.Commands >= maxCommands {
		return st, ErrSession
	}
	st.Commands++
	return st, nil
}

// Wrap protects a command. The error wraps ErrSession or ErrLength.
func (s Session) Wrap(st State, c apdu.Command) (apdu.Command, State, error) {
	after, err := st.next()
	if err != nil {
		return apdu.Command{}, st, err
	}
	if len(c.Data) > Room(st.Level) {
		return apdu.Command{}, st, fmt.Errorf("%w: %d bytes, at most %d", ErrLength, len(c.Data), Room(st.Level))
	}
	if st.Level&levelCENC != 0 && len(c.Data) > 0 {
		c.Data = s.encipher(s.initial(after.Commands, false), c.Data)
	}
	if st.Level&levelCMAC != 0 {
		c, after.Chain = s.seal(st.Chain, c)
	}
	return c, after, nil
}

// Unwrap is the card's side of Wrap: the command without its protection, in the class of clear commands. The error wraps ErrSession, ErrFormat or ErrCode.
func (s Session) Unwrap(st State, c apdu.Command) (apdu.Command, State, error) {
	after, err := st.next()
	if err != nil {
		return apdu.Command{}, st, err
	}
	if st.Level&levelCMAC != 0 {
		if c, after.Chain, err = s.unseal(st.Chain, c); err != nil {
			return apdu.Command{}, st, err
		}
	} else if c.CLA&secureMessageBit != 0 {
		return apdu.Command{}, st, fmt.Errorf("%w: a code at a level without codes", ErrFormat)
	}
	if st.Level&levelCENC != 0 && len(c.Data) > 0 {
		if c.Data, err = s.decipher(s.initial(after.Commands, false), c.Data); err != nil {
			return apdu.Command{}, st, err
		}
	}
	c.CLA &^= secureMessageBit
	return c, after, nil
}

// protects reports whether an answer with that status word carries a code: a refusal does not.
func protects(sw apdu.SW) bool { return sw == apdu.OK || sw.IsWarning() }

func (s Session) answerCode(chain [codeBlock]byte, data []byte, sw apdu.SW) []byte {
	input := sw.Append(append(chain[:], data...))
	return mac.CMAC(s.rmac, input)[:CodeBytes]
}

// WrapAnswer protects the answer to the last command of the state. The error wraps ErrLength or ErrSession.
func (s Session) WrapAnswer(st State, r apdu.Response) (apdu.Response, error) {
	switch {
	case !st.Open:
		return apdu.Response{}, ErrSession
	case st.Level&levelRMAC == 0 || !protects(r.SW) || st.Commands == 0: // the answer to EXTERNAL AUTHENTICATE is clear
		return r, nil
	}
	data := r.Data
	if st.Level&levelRENC != 0 && len(data) > 0 {
		data = s.encipher(s.initial(st.Commands, true), data)
	}
	if len(data)+CodeBytes > apdu.MaxLe {
		return apdu.Response{}, fmt.Errorf("%w: an answer of %d bytes", ErrLength, len(r.Data))
	}
	out := append(make([]byte, 0, len(data)+CodeBytes), data...)
	r.Data = append(out, s.answerCode(st.Chain, data, r.SW)...)
	return r, nil
}

// UnwrapAnswer is the host's side of WrapAnswer, with the state after the command that is answered. A refusal has no code: nobody vouches for it, and what it
// says must not be believed beyond that. The error wraps ErrSession, ErrFormat or ErrCode.
func (s Session) UnwrapAnswer(st State, r apdu.Response) (apdu.Response, error) {
	switch {
	case !st.Open:
		return apdu.Response{}, ErrSession
	case st.Level&levelRMAC == 0 || st.Commands == 0:
		return r, nil
	case !protects(r.SW):
		if len(r.Data) > 0 {
			return apdu.Response{}, fmt.Errorf("%w: a refusal with data", ErrFormat)
		}
		return r, nil
	case len(r.Data) < CodeBytes:
		return apdu.Response{}, fmt.Errorf("%w: an answer without a code", ErrFormat)
	}
	end := len(r.Data) - CodeBytes
	data, code := r.Data[:end:end], r.Data[end:]
	if subtle.ConstantTimeCompare(s.answerCode(st.Chain, data, r.SW), code) != 1 {
		return apdu.Response{}, ErrCode
	}
	if st.Level&levelRENC != 0 && len(data) > 0 {
		var err error
		if data, err = s.decipher(s.initial(st.Commands, true), data); err != nil {
			return apdu.Response{}, err
		}
	}
	r.Data = data
	return r, nil
}
