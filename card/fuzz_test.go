package card_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
)

// hostile plays a script of bytes against a card: each step is a plausible command, one that is bent, raw bytes, a tear or a
// new presentation. After each step the invariants of the state must hold.
func hostile(t testing.TB, script []byte) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		twoApplications(image)
		image.Applications[1].Processing = emv.AdditionalProcessing{0x20, 0x90, 0xF0, 0}
		image.State.Applications[1].CumulativeUpperLimit = 5000
		image.State.Applications[1].CumulativeLimit = 5000
		for i := range image.Applications {
			image.Applications[i].AIP = emv.AIP{} // signing is slow and tested elsewhere
		}
	}})
	field := card.NewField(c)
	pdol := issued.Image.Applications[0].PDOL
	take := func() (b byte) {
		if len(script) > 0 {
			b, script = script[0], script[1:]
		}
		return b
	}
	gates := []emv.TTQ{offlineGate, onlineCapable, onlineOnly, gateSignCVM}
	for steps := 0; len(script) > 0 && steps < 200; steps++ {
		before := c.State()
		var command []byte
		switch kind := take(); kind % 12 {
		case 0, 1:
			command = apdu.Select([]emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDElectronicCash, emv.PPSE}[take()%4].Bytes()).Bytes()
		case 2:
			command = apdu.SelectNext(emv.RIDUnionPay[:]).Bytes()
		case 3, 4, 5:
			s := sale{ttq: gates[take()%4], amount: int64(take()) << (take() % 8)}
			command = apdu.GPO(pdol.Build(nil, s.data())).Bytes()
		case 6, 7:
			command = apdu.ReadRecord(4, 1).Bytes()
		case 8:
			command = apdu.ReadRecord(take()%31, take()%12).Bytes()
		case 9:
			command = []byte{0x80, apdu.InsGetData, 0x9F, take(), 0}
		case 10:
			n := min(int(take()), len(script))
			command, script = bytes.Clone(script[:n]), script[n:]
		default:
			field.Present()
			if n := int(take()); n%2 == 0 {
				field.TearBeforeCommit(n % 4)
				field.TearAfterCommit(n / 4 % 4)
			} else {
				c.PowerOn(card.Interface(n % 4))
			}
			continue
		}
		if bend := take(); bend%4 == 0 && len(command) > 0 {
			command[int(take())%len(command)] ^= take()
		}
		response, err := c.Process(command)
		if err != nil {
			if !errors.Is(err, card.ErrTorn) {
				t.Fatalf("%X: %v", command, err)
			}
			c.PowerOn(card.Contactless)
		} else if _, err := apdu.ParseResponse(response); err != nil {
			t.Fatalf("%X answered %X: %v", command, response, err)
		}
		invariants(t, before, c.State(), command)
	}
}

func invariants(t testing.TB, before, after card.State, command []byte) {
	t.Helper()
	for i := range after.Applications {
		was, is := &before.Applications[i], &after.Applications[i]
		for p := range is.Purses {
			if is.Purses[p].Balance < 0 || is.Purses[p].Balance > is.Purses[p].BalanceLimit {
				t.Fatalf("%X: purse %d.%d holds %d", command, i, p, is.Purses[p].Balance)
			}
			if is.Purses[p].Balance > was.Purses[p].Balance {
				t.Fatalf("%X: purse %d.%d grew", command, i, p)
			}
		}
		if is.ATC < was.ATC || is.ATC > was.ATC+1 {
			t.Fatalf("%X: counter went from %d to %d", command, was.ATC, is.ATC)
		}
		if is.Cumulative < was.Cumulative {
			t.Fatalf("%X: cumulative total fell", command)
		}
		if (is.Log.Count < was.Log.Count) || is.Blocked != was.Blocked || is.PINTries != was.PINTries {
			t.Fatalf("%X: state changed that no command here changes", command)
		}
	}
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte{0, 0, 1, 3, 0, 100, 0, 1, 6, 1})
	f.Add([]byte{11, 2, 1, 0, 3, 0, 50, 1, 1, 6, 1, 11, 0, 1, 0, 6, 1})
	f.Add([]byte{0, 1, 1, 4, 1, 255, 7, 1, 8, 11, 1, 1, 9, 0x79, 1})
	f.Add([]byte{10, 5, 0x00, 0xA4, 0x04, 0x00, 0x00, 1, 2, 1, 2, 0, 0, 1})
	f.Fuzz(func(t *testing.T, script []byte) { hostile(t, script) })
}

// TestHostileSequences runs the fuzz target on random scripts, the same on every run.
func TestHostileSequences(t *testing.T) {
	for seed := range uint64(150) {
		source := rand.New(rand.NewPCG(seed, 20261121))
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(source.Uint32())
		}
		hostile(t, script)
		if t.Failed() {
			t.Fatalf("seed %d; repeat with go test -run TestHostileSequences ./card", seed)
		}
	}
}

// FuzzRaw hands the card bytes as they come, in every phase.
func FuzzRaw(f *testing.F) {
	f.Add([]byte{0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x33, 0x00})
	f.Add([]byte{0x80, 0xA8, 0x00, 0x00, 0x02, 0x83, 0x00, 0x00})
	f.Add([]byte{0x00, 0xB2, 0x01, 0x24, 0x00})
	f.Add([]byte{0x80, 0xCA, 0x9F, 0x79, 0x00})
	f.Fuzz(func(t *testing.T, command []byte) {
		c, issued := cardtest.New(t, cardtest.Options{})
		r := present(t, c, issued)
		reach := []func(){
			func() {}, func() { r.selectApplication() }, func() { r.pay(sale{ttq: onlineOnly, amount: 1}) },
		}
		for _, get := range reach {
			get()
			before := c.State()
			response, err := c.Process(command)
			if err != nil || len(response) < 2 {
				t.Fatalf("%X answered %X, %v", command, response, err)
			}
			invariants(t, before, c.State(), command)
		}
	})
}

func FuzzImage(f *testing.F) {
	_, issued, err := cardtest.Issue(cardtest.Options{})
	if err != nil {
		f.Fatal(err)
	}
	b, err := issued.Image.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var image card.Image
		if err := image.UnmarshalBinary(b); err != nil {
			return
		}
		again, err := image.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var twice card.Image
		if err := twice.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		_, _ = card.New(&image, issued.Crypto, nil, bytes.NewReader(nil)) // may refuse, must not panic
	})
}

func FuzzState(f *testing.F) {
	c, issued, err := cardtest.Issue(cardtest.Options{})
	if err != nil {
		f.Fatal(err)
	}
	b, err := c.State().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:10])
	f.Fuzz(func(t *testing.T, b []byte) {
		var s card.State
		if err := s.UnmarshalBinary(b); err != nil {
			return
		}
		// The layout before this one is read, and written in this one.
		if again, err := s.MarshalBinary(); err != nil || b[0] != 1 && !bytes.Equal(again, b) {
			t.Fatalf("re-encodes differently: %v", err)
		}
		if _, err := card.New(&issued.Image, issued.Crypto, card.NewVolatile(s), bytes.NewReader(nil)); err != nil {
			t.Fatalf("a decoded state is refused: %v", err)
		}
	})
}
