package scp03

import (
	"encoding/binary"
	"fmt"

	"tapnet/apdu"
)

// Instructions of the protocol.
const (
	InsInitializeUpdate = 0x50

	claSecure        = apdu.ClaProprietaryMAC
	protocol         = 0x03
	secureMessageBit = 0x04
)

// InitializeUpdate is the command that begins a session. version names the key set, 0 the first one.
func InitializeUpdate(version byte, host Challenge) apdu.Command {
	return apdu.Command{CLA: apdu.ClaProprietary, INS: InsInitializeUpdate, P1: version, Data: host[:], Le: apdu.MaxLe}
}

// ParseInitializeUpdate is the card's side. The error wraps ErrFormat.
func ParseInitializeUpdate(c apdu.Command) (version byte, host Challenge, err error) {
	if c.CLA != apdu.ClaProprietary || c.INS != InsInitializeUpdate || c.P2 != 0 || len(c.Data) != ChallengeBytes {
		return 0, host, fmt.Errorf("%w: INITIALIZE UPDATE", ErrFormat)
	}
	return c.P1, Challenge(c.Data), nil
}

// Greeting is what a card answers to INITIALIZE UPDATE. It is comparable, and nothing in it is secret.
type Greeting struct {
	Diversification Diversification
	Version         byte // of the key set
	Option          Option
	Challenge       Challenge
	Cryptogram      Cryptogram
	Sequence        uint32 // with OptionPseudoRandom only
}

const (
	greetingBytes = DiversificationBytes + 3 + ChallengeBytes + CryptogramBytes
	sequenceSize  = 3
)

// ParseGreeting reads one. The error wraps ErrFormat or ErrOption.
func ParseGreeting(b []byte) (Greeting, error) {
	var g Greeting
	if len(b) < greetingBytes || b[DiversificationBytes+1] != protocol {
		return g, fmt.Errorf("%w: answer to INITIALIZE UPDATE of %d bytes", ErrFormat, len(b))
	}
	option, err := ParseOption(b[DiversificationBytes+2])
	if err != nil {
		return g, err
	}
	want := greetingBytes
	if option.Has(OptionPseudoRandom) {
		want += sequenceSize
	}
	if len(b) != want {
		return g, fmt.Errorf("%w: answer to INITIALIZE UPDATE of %d bytes, want %d", ErrFormat, len(b), want)
	}
	copy(g.Diversification[:], b)
	g.Version, g.Option = b[DiversificationBytes], option
	rest := b[DiversificationBytes+3:]
	copy(g.Challenge[:], rest)
	copy(g.Cryptogram[:], rest[ChallengeBytes:])
	if option.Has(OptionPseudoRandom) {
		g.Sequence = binary.BigEndian.Uint32(append([]byte{0}, rest[ChallengeBytes+CryptogramBytes:]...))
	}
	return g, nil
}

// Bytes is the answer as sent.
func (g Greeting) Bytes() []byte {
	b := append(g.Diversification[:], g.Version, protocol, byte(g.Option))
	b = append(append(b, g.Challenge[:]...), g.Cryptogram[:]...)
	if g.Option.Has(OptionPseudoRandom) {
		b = append(b, sequenceBytes(g.Sequence)...)
	}
	return b
}

// Greet makes the card's answer with its cryptogram.
func (k Keys) Greet(host Challenge, g Greeting) Greeting {
	g.Cryptogram = k.Session(host, g.Challenge).CardCryptogram(host, g.Challenge)
	return g
}

// Open is the host's side after the greeting: it checks the card's cryptogram and gives EXTERNAL AUTHENTICATE, and the state after it. The error wraps
// ErrCryptogram or ErrOption.
func (s Session) Open(host Challenge, g Greeting, level Level) (apdu.Command, State, error) {
	if _, err := ParseLevel(byte(level)); err != nil || !g.Option.Fits(level) {
		return apdu.Command{}, State{}, fmt.Errorf("%w: level %02X under variant %02X", ErrOption, byte(level), byte(g.Option))
	}
	if !s.CardCryptogram(host, g.Challenge).Equal(g.Cryptogram) {
		return apdu.Command{}, State{}, fmt.Errorf("%w of the card", ErrCryptogram)
	}
	proof := s.HostCryptogram(host, g.Challenge)
	c := apdu.Command{CLA: claSecure, INS: apdu.InsExternalAuthenticate, P1: byte(level), Data: proof[:], Le: apdu.NoLe}
	c, chain := s.seal([codeBlock]byte{}, c)
	return c, State{Level: level, Open: true, Chain: chain}, nil
}

// Accept is the card's side of EXTERNAL AUTHENTICATE. The error wraps ErrFormat, ErrOption, ErrCode or ErrCryptogram.
func (s Session) Accept(host Challenge, g Greeting, c apdu.Command) (State, error) {
	if c.CLA != claSecure || c.INS != apdu.InsExternalAuthenticate || c.P2 != 0 || len(c.Data) != CryptogramBytes+CodeBytes {
		return State{}, fmt.Errorf("%w: EXTERNAL AUTHENTICATE", ErrFormat)
	}
	level, err := ParseLevel(c.P1)
	if err != nil || !g.Option.Fits(level) {
		return State{}, fmt.Errorf("%w: level %02X under variant %02X", ErrOption, c.P1, byte(g.Option))
	}
	plain, chain, err := s.unseal([codeBlock]byte{}, c)
	if err != nil {
		return State{}, err
	}
	if !s.HostCryptogram(host, g.Challenge).Equal(Cryptogram(plain.Data)) {
		return State{}, fmt.Errorf("%w of the host", ErrCryptogram)
	}
	return State{Level: level, Open: true, Chain: chain}, nil
}
