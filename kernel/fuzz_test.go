package kernel_test

import (
	"path/filepath"
	"testing"

	"tapnet/emv"
	"tapnet/kernel"
)

// FuzzResponses plays any answers to the kernel: no panic, no hang, no approval without a TC and an authentication that passed. An
// input is responses one behind the other, two bytes of length and the response; length 0: the card is gone. The seeds are the
// recorded sessions.
func FuzzResponses(f *testing.F) {
	paths, err := filepath.Glob("testdata/sessions/*.apdu")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no sessions: %v", err)
	}
	for _, path := range paths {
		var seed []byte
		for _, x := range readSession(f, path).lines {
			seed = append(append(seed, byte(len(x.answer)>>8), byte(len(x.answer))), x.answer...)
		}
		f.Add(byte(0x36), seed)
		f.Add(byte(0x28), seed)
	}
	f.Fuzz(func(t *testing.T, ttq byte, answers []byte) {
		s := newScene(t)
		s.tx.TTQ[0] = ttq | 0x20
		m := kernel.New(s.cfg, s.tx, s.sel)
		a := m.Start()
		for n := 0; a.Outcome == nil; n++ {
			if n > kernel.MaxCommands {
				t.Fatal("no end")
			}
			var b []byte
			if len(answers) >= 2 {
				n := min(int(answers[0])<<8|int(answers[1]), 258, len(answers)-2)
				b, answers = answers[2:2+n], answers[2+n:]
			}
			if len(b) == 0 {
				a = m.Next(kernel.CardLost{})
			} else {
				a = m.Next(kernel.Response{Data: b})
			}
		}
		o := a.Outcome
		if o.Kind == kernel.Approved && (o.ODA.Status != kernel.ODAPassed || o.Cryptogram.Type() != emv.TC && !o.Deferred) {
			t.Errorf("approved: %v, %v", o.ODA.Status, o.Cryptogram)
		}
	})
}
