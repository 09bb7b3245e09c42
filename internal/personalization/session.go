package personalization

import (
	"crypto/cipher"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/des"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
)

// TestPersonalizationKey is the data encryption key that blank test cards carry everywhere. It is public: what it seals is a secret of TEST cards only.
func TestPersonalizationKey() cryptogram.Key {
	k, err := cryptogram.NewKey(unhex("404142434445464748494A4B4C4D4E4F"))
	if err != nil {
		panic("personalization: constant of the package: " + err.Error())
	}
	return k
}

// Session is one session of personalization with one application: it enciphers the secret groupings under a key of its own [EMV CPS].
type Session struct{ block *des.TripleCipher }

// sessionConstant marks the derivation of the data encryption key.
const sessionConstant = 0x81

// NewSession derives the session's key from the card's data encryption key and the counter of its sessions.
func NewSession(key cryptogram.Key, counter uint16) (Session, error) {
	master := key.Reveal()
	defer clear(master[:])
	under, err := des.NewTripleCipher(master[:])
	if err != nil {
		return Session{}, fmt.Errorf("personalization session: %w", err)
	}
	derived := make([]byte, cryptogram.KeyBytes)
	defer clear(derived)
	copy(derived, []byte{0x01, sessionConstant, byte(counter >> 8), byte(counter)})
	cipher.NewCBCEncrypter(under, make([]byte, under.BlockSize())).CryptBlocks(derived, derived)
	block, err := des.NewTripleCipher(derived)
	if err != nil {
		return Session{}, fmt.Errorf("personalization session: %w", err)
	}
	return Session{block}, nil
}

// Format masks the key.
func (Session) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("[redacted personalization session]"))
}

var errBlocks = errors.New("not whole blocks")

func (s Session) each(do func(dst, src []byte)) cps.Cipher {
	return func(_ cps.DGI, data []byte) ([]byte, error) {
		size := s.block.BlockSize()
		if len(data)%size != 0 {
			return nil, errBlocks
		}
		out := make([]byte, len(data))
		for at := 0; at < len(data); at += size {
			do(out[at:at+size], data[at:at+size])
		}
		return out, nil
	}
}

// sealing without padding: every secret of ours is whole blocks, and so comes back as it was.
func (s Session) sealing(do func(dst, src []byte)) cps.Sealing {
	return cps.Sealing{Cipher: s.each(do), BlockBytes: s.block.BlockSize(), Padding: cps.PadNever}
}

// Seal enciphers the secret groupings.
func (s Session) Seal(list cps.List) (cps.List, error) { return s.sealing(s.block.Encrypt).Seal(list) }

// Open deciphers them.
func (s Session) Open(list cps.List) (cps.List, error) { return s.sealing(s.block.Decrypt).Open(list) }

// Commands are the STORE DATA commands that write an instance to a card, secrets sealed. Each leaves room for the MAC of a secure channel.
func (s Session) Commands(i Instance) ([]apdu.Command, error) {
	sealed, err := s.Seal(i.List)
	if err != nil {
		return nil, fmt.Errorf("personalize %v: %w", i.AID, err)
	}
	commands, err := cps.Commands(sealed, cps.Framing{DataBytes: cps.SecureDataBytes})
	if err != nil {
		return nil, fmt.Errorf("personalize %v: %w", i.AID, err)
	}
	return commands, nil
}

// Receive is the card's side of Commands.
func (s Session) Receive(commands []apdu.Command) (cps.List, error) {
	var receiver cps.Receiver
	var sealed cps.List
	for _, c := range commands {
		got, err := receiver.Receive(c)
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			sealed = append(sealed, r.Grouping)
		}
	}
	if !receiver.Done() {
		return nil, fmt.Errorf("personalization ends before its last command: %w", cps.ErrSequence)
	}
	return s.Open(sealed)
}
