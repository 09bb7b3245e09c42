package terminal_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
)

// What a stream is played to: the low three bits of its first byte. The next two are the card's algorithms.
const (
	streamTap = iota
	streamInsert
	streamOnline
	streamLoad
	streamField
	streamSwitch
	streamKinds
)

var streamSuites = [...]cardtest.Options{{}, {Suite: cryptogram.SM4()}, {Suite: cryptogram.AES()}, {SM: true}}

// streamed is a terminal, its bank and a request for a kind of stream.
type streamed struct {
	t      testing.TB
	kind   byte
	issued *cardtest.Issued
	chip   *card.Card
	term   *terminal.Terminal
	bank   *bank
	honour bool // the bank has verified a cryptogram of this payment and approved
}

func newStreamed(t testing.TB, kind byte) *streamed {
	o := streamSuites[kind>>3&3]
	o.Contact = true
	if kind&7 == streamSwitch {
		o.Change = func(image *card.Image) { image.Applications[0].Contact.FullOnly = true }
	}
	c, issued := cardtest.New(t, o)
	cfg := contactConfig(issued)
	cfg.Kernel.SM = o.SM
	if kind&7 == streamSwitch {
		cfg.TTQ.Set(emv.TTQFullContactless)
	}
	return &streamed{t: t, kind: kind & 7, issued: issued, chip: c, term: newTerminal(t, cfg), bank: &bank{TB: t, issued: issued, arc: "00", script: nil}}
}

// people answer as the bank does: what it cannot verify it declines.
func (s *streamed) people() terminal.People {
	p := people(s.bank)
	p.Online = func(ctx context.Context, q contact.Online) (*contact.HostAnswer, error) {
		if !readable(s.issued, q.Data) || !cryptogramOK(s.t, s.issued, q.Data) {
			return &contact.HostAnswer{ARC: [2]byte{'5', '9'}}, nil
		}
		s.honour = true
		if s.kind == streamLoad {
			s.bank.script = fill
		}
		return s.bank.answer(ctx, q)
	}
	return p
}

// readable: the data have what the issuer needs to verify a cryptogram at all.
func readable(issued *cardtest.Issued, data emv.Data) bool {
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	known := err == nil && (iad.Algorithm == issued.Suite.AlgorithmID() || iad.Algorithm == cryptogram.AlgorithmSM4 && issued.Image.Applications[0].SM != nil)
	if !known || len(data.Get(emv.TagATC)) != 2 || len(data.Get(emv.TagAC)) != 8 {
		return false
	}
	_, err = issued.Suite.AppendData(nil, iad.CVN, iad.CVR, data)
	return err == nil
}

// play runs the payment with a card made of answers, or with the real one.
func (s *streamed) play(reader apdu.Transceiver) {
	p := s.people()
	minor := int64(1250)
	if s.kind == streamOnline || s.kind == streamField || s.kind == streamSwitch {
		minor = 150_000
	}
	if s.kind == streamTap || s.kind == streamSwitch {
		r := request(minor)
		r.Dialogue = &p
		result, err := s.term.Tap(context.Background(), reader, r)
		if err != nil {
			s.t.Fatal(err)
		}
		if result.Torn != nil {
			if result, err = s.term.Retap(context.Background(), reader, result.Torn, cardtest.Today); err != nil {
				s.t.Fatal(err)
			}
		}
		switch o := result.Outcome; {
		case o.Kind != kernel.Approved:
		case result.Dialogue != nil:
			s.judge(&result.Dialogue.Outcome)
		case o.ODA.Status != kernel.ODAPassed && o.Reason != kernel.ReasonRecoveredByBalance && o.Reason != kernel.ReasonRecoveredByLog:
			s.t.Fatalf("approved with authentication %v: %v", o.ODA, o.Reason)
		case o.Cryptogram.Type() != emv.TC:
			s.t.Fatalf("approved with %v", o.Cryptogram)
		}
		return
	}
	q := terminal.InsertRequest{Request: request(minor), Contactless: s.kind == streamField}
	if s.kind == streamLoad {
		q.Purse = contact.PurseLoad
	}
	result, err := s.term.Insert(context.Background(), reader, q, p)
	if err != nil {
		s.t.Fatal(err)
	}
	s.judge(&result.Outcome)
}

// judge: what is approved was approved by an issuer that had verified a cryptogram, or by a card that proved to be genuine; where the proof
// covers the cryptogram, the issuer will honour it.
func (s *streamed) judge(o *contact.Outcome) {
	switch {
	case o.Kind != kernel.Approved:
	case o.Cryptogram.Type() != emv.TC:
		s.t.Fatalf("%v: approved with %v", o.Reason, o.Cryptogram)
	case o.HostApproved && !s.honour:
		s.t.Fatalf("%v: nobody has verified a cryptogram", o.Reason)
	case o.HostApproved:
	case o.ODA.Status != kernel.ODAPassed:
		s.t.Fatalf("%v: approved with authentication %v, TVR %v", o.Reason, o.ODA, o.TVR)
	case o.Method == contact.ODACombined && !(readable(s.issued, o.Data) && cryptogramOK(s.t, s.issued, o.Data)):
		s.t.Fatalf("%v: the issuer would not honour the TC", o.Reason)
	}
}

// answers is a card made of a stream: each answer with its length in two bytes, a length of 0 is a card that is gone.
func (s *streamed) answers(stream []byte) apdu.Transceiver {
	sent := 0
	return reply(func(apdu.Command) []byte {
		if sent++; sent > 17*(contact.MaxCommands+terminal.MaxCandidates+terminal.MaxRetapCommands) {
			s.t.Fatal("no end")
		}
		if len(stream) < 2 {
			return nil
		}
		n := min(int(stream[0])<<8|int(stream[1]), 258, len(stream)-2)
		b := stream[2 : 2+n]
		stream = stream[2+n:]
		if n == 0 {
			return nil
		}
		return b
	})
}

// recordStream plays with the real card and keeps its answers.
func recordStream(t testing.TB, kind byte) (stream [][]byte) {
	s := newStreamed(t, kind)
	field := card.NewSlot(s.chip)
	if s.kind == streamTap || s.kind == streamField || s.kind == streamSwitch {
		field = card.NewField(s.chip)
	}
	s.play(&through{to: field, change: func(_ apdu.Command, b []byte) []byte {
		stream = append(stream, append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
		return b
	}})
	return stream
}

func joined(answers [][]byte) (b []byte) {
	for _, a := range answers {
		b = append(b, a...)
	}
	return b
}

// FuzzStream plays any answers to a tap, an insertion, a load, and the full dialogue in the field, at terminals and cards of every suite: it
// ends, without a panic, and never with an approval that the issuer would not honour.
func FuzzStream(f *testing.F) {
	for kind := range byte(8 * len(streamSuites)) {
		if kind&7 < streamKinds {
			f.Add(kind, joined(recordStream(f, kind)))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, stream []byte) {
		if kind&7 >= streamKinds {
			return
		}
		s := newStreamed(t, kind)
		s.play(s.answers(stream))
	})
}

// TestBentAnswers runs the fuzz target on dialogues with bytes bent, lost, doubled and swapped, the same on every run.
func TestBentAnswers(t *testing.T) {
	for kind := range byte(8 * len(streamSuites)) {
		if kind&7 >= streamKinds {
			continue
		}
		good := recordStream(t, kind)
		for seed := range uint64(12) {
			source := rand.New(rand.NewPCG(seed, uint64(kind)))
			answers := append([][]byte(nil), good...)
			for range 1 + source.IntN(3) {
				at := source.IntN(len(answers))
				switch c := append([]byte(nil), answers[at]...); source.IntN(4) {
				case 0, 1:
					if len(c) > 2 {
						c[2+source.IntN(len(c)-2)] ^= byte(1 << source.IntN(8))
					}
					answers[at] = c
				case 2:
					answers = append(answers[:at+1:at+1], append([][]byte{c}, answers[at+1:]...)...)
				default:
					other := source.IntN(len(answers))
					answers[at], answers[other] = answers[other], answers[at]
				}
			}
			s := newStreamed(t, kind)
			s.play(s.answers(joined(answers)))
			if t.Failed() {
				t.Fatalf("kind %d, seed %d; repeat with go test -run TestBentAnswers ./terminal", kind, seed)
			}
		}
	}
}
