package link

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"tapnet/iso8583/unionpay"
)

// TestBurst: messages that come in one piece are verified two at a time. Exactly those with a right MAC reach the role, in order, wherever the wrong ones are.
func TestBurst(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, seed))
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		w.host.config.Limits.MaxErrors = 1000
		opener, host := w.connect(t, a, b)
		sign := func(input []byte) ([8]byte, error) { return w.opener.ring.MAC(opener.config.Peer, input) }
		var wire []byte
		var want []uint32
		const messages = 41
		for stan := uint32(1); stan <= messages; stan++ {
			compute := unionpay.MACFunc(sign)
			if random.IntN(3) == 0 && stan != messages { // the last one tells that all have come
				compute = wrongMAC
			} else {
				want = append(want, stan)
			}
			wire = append(wire, frame(t, opener.config.Dialect, sale(t, stan), compute)...)
		}
		_, err := a.Write(wire)
		must(t, err)
		var came []uint32
		for range want {
			came = append(came, unionpay.PaymentOf(next(t, "message", w.host.got).message).STAN)
		}
		none(t, "message", w.host.got)
		if !slices.Equal(came, want) {
			t.Errorf("seed %d: %v reached the role, want %v", seed, came, want)
		}
		if bad := host.Stats().BadMAC; int(bad) != messages-len(want) {
			t.Errorf("seed %d: %d wrong MACs counted, want %d", seed, bad, messages-len(want))
		}
	})
}

// TestSignedTogether: what waits is signed two at a time, and the other side accepts every message, in order, keys changing meanwhile.
func TestSignedTogether(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		opener, host := w.connect(t, a, b)
		const messages = 301
		for stan := uint32(1); stan <= messages; stan++ {
			must(t, opener.Send(sale(t, stan)))
			if stan == messages/2 && opener.config.Dialect == unionpay.Switch {
				must(t, host.ChangeKeys())
			}
		}
		for stan := uint32(1); stan <= messages; stan++ {
			if m := next(t, "message", w.host.got).message; unionpay.PaymentOf(m).STAN != stan {
				t.Fatalf("number %d came where %d was due", unionpay.PaymentOf(m).STAN, stan)
			}
		}
	})
}

// TestUnsigned: what cannot be signed any more is not sent, and what comes behind it is.
func TestUnsigned(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	a, b := wires["memnet"](t, w.clock)
	opener, _ := w.connect(t, a, b)
	lost, err := opener.encode(sale(t, 1), "nobody", signWhenWritten)
	must(t, err)
	sent, err := opener.encode(sale(t, 2), opener.Peer(), signWhenWritten)
	must(t, err)
	zero := bytes.Clone(sent.bytes[len(sent.bytes)-macBytes:])
	opener.sign(lost, sent)
	if !lost.unsigned || sent.unsigned || bytes.Equal(zero, sent.bytes[len(sent.bytes)-macBytes:]) {
		t.Errorf("without a key: unsigned %t; with one: unsigned %t", lost.unsigned, sent.unsigned)
	}
}
