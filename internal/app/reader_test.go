package app

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/internal/pcsc"
	"tapnet/internal/personalization"
	"tapnet/money"
)

// TestDump reads a whole card, names what it read, and moves no counter.
func TestDump(t *testing.T) {
	chip, issued := cardtest.New(t, cardtest.Options{})
	before := chip.State()
	field := card.NewField(chip)
	steps, applications, err := dump(t.Context(), field)
	if err != nil || applications != 1 {
		t.Fatalf("%d applications, %v", applications, err)
	}
	want := map[string]bool{"5A": false, "9F36": false, "9F79": false, "84": false, "9F38": false}
	for _, step := range steps {
		for n := range step.Answer.All() {
			if _, ok := want[n.Key]; ok {
				want[n.Key] = n.Name.EN != "" && n.Name.ZH != ""
			}
			if strings.Contains(n.Hex+n.Value, issued.PAN.Reveal()) {
				t.Errorf("%s shows the number", step.Command)
			}
		}
	}
	for key, found := range want {
		if !found {
			t.Errorf("%s is not named", key)
		}
	}
	if chip.State() != before {
		t.Error("reading changed the card")
	}
}

// hostile answers everything with as much as it can.
type hostile struct {
	answer []byte
	asked  int
}

func (h *hostile) Transceive(context.Context, []byte) ([]byte, error) {
	h.asked++
	return h.answer, nil
}

func TestDumpEnds(t *testing.T) {
	const most = 2*(1+maxDumpRecords) + maxDumpNames*(1+len(dumpTags)+maxDumpFile*maxDumpRecords)
	for name, answer := range map[string][]byte{
		"always the same": {0x90, 0x00}, "never": {0x6F, 0x00}, "garbage": {0xFF, 0xFF, 0xFF, 0x90, 0x00},
		"many names": append(manyNames(), 0x90, 0x00),
	} {
		h := &hostile{answer: answer}
		steps, _, err := dump(t.Context(), h)
		if err != nil || h.asked > most || len(steps) > maxDumpSteps {
			t.Errorf("%s: %d commands, at most %d, %v", name, h.asked, most, err)
		}
	}
	if _, _, err := dump(t.Context(), &hostile{answer: []byte{0x90}}); !errors.Is(err, apdu.ErrFormat) {
		t.Errorf("half a status word: %v", err)
	}
}

// manyNames is a record with as many directory entries as fit.
func manyNames() []byte {
	var entries []byte
	for i := range 25 {
		entries = append(entries, 0x61, 0x07, 0x4F, 0x05, 0xA0, 0, 0, 9, byte(i))
	}
	return append([]byte{0x70, 0x81, byte(len(entries))}, entries...)
}

func FuzzDump(f *testing.F) {
	f.Add([]byte{0x61, 0x10})
	f.Add(append(manyNames(), 0x90, 0x00))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_, _, _ = dump(t.Context(), &hostile{answer: answer})
	})
}

// driver is the reader's side of a served card.
type driver struct {
	testing.TB
	net.Conn
}

func (d driver) send(message ...byte) {
	d.Helper()
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(message)))
	if _, err := d.Write(append(head[:], message...)); err != nil {
		d.Fatal(err)
	}
}

// ask sends a command; nil is a card that left.
func (d driver) ask(message ...byte) []byte {
	d.Helper()
	d.send(message...)
	var head [2]byte
	if _, err := io.ReadFull(d, head[:]); err != nil {
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(d, b); err != nil {
		d.Fatal(err)
	}
	return b
}

// TestServeCard serves a card through the control socket, taps it by name meanwhile, and stops the network under it.
func TestServeCard(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(1)
	network, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	stopControl, controlEnded := servedControl(t, network)
	client, err := Dial(t.Context(), network.options.Dir, profile.Money())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()

	for _, r := range []ServeRequest{{Card: "nobody"}, {Card: "lin", Form: "round"}} {
		r.Address = listener.Addr().String()
		if err := client.ServeCard(t.Context(), r, func(ServeEvent) {}); err == nil {
			t.Errorf("%+v: accepted", r)
		}
	}
	events := make(chan ServeEvent, 64)
	served := make(chan error, 1)
	go func() {
		served <- client.ServeCard(t.Context(), ServeRequest{Card: "lin", Address: listener.Addr().String()}, func(e ServeEvent) { events <- e })
	}()
	d := accept(t, listener)
	if e := <-events; e.Kind != ServeInserted || !strings.HasPrefix(e.ATR, "3B8") {
		t.Errorf("%+v", e)
	}
	const powerOn = 1
	d.send(powerOn)
	if got := d.ask(apdu.Select(emv.PPSE.Bytes()).Bytes()...); len(got) < 20 {
		t.Errorf("SELECT: %X", got)
	}
	if e := <-events; e.Kind != ServeExchange || e.SW != "9000" || !strings.Contains(e.Command, "2PAY") {
		t.Errorf("%+v", e)
	}
	result, err := client.Tap(t.Context(), TapRequest{Card: "lin", Merchant: "shop-1", Amount: money.New(500, profile.Money())})
	if err != nil || !result.Paid() {
		t.Errorf("tap by name: %+v, %v", result, err)
	}
	if got := d.ask(apdu.Select(emv.AIDDebit.Bytes()).Bytes()...); got != nil {
		t.Errorf("the card was tapped elsewhere and answers in the reader: %X", got)
	}
	if e := <-events; e.Kind != ServeRemoved {
		t.Errorf("%+v", e)
	}
	d = accept(t, listener) // it is put back
	if e := <-events; e.Kind != ServeInserted {
		t.Errorf("%+v", e)
	}
	stopControl()
	if err := <-served; !errors.Is(err, ErrNetworkGone) {
		t.Errorf("the network stopped: %v", err)
	}
	_ = d.Close()
	if err := errors.Join(<-controlEnded, network.Stop(t.Context())); err != nil {
		t.Error(err)
	}
}

func accept(t testing.TB, l net.Listener) driver {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return driver{t, conn}
}

// servedControl serves the control socket and waits until it answers.
func servedControl(t testing.TB, n *Network) (stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	end := make(chan error, 1)
	go func() { end <- n.ServeControl(ctx) }()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for range 5000 {
		if _, err := Dial(t.Context(), n.options.Dir, n.options.Profile.Money()); err == nil {
			return cancel, end
		}
		<-again.C
	}
	t.Fatal("the control socket does not answer")
	return cancel, end
}

// TestReaderTrouble: without a daemon the error has its words, also through the control socket.
func TestReaderTrouble(t *testing.T) {
	t.Setenv("PCSCLITE_CSOCK_NAME", t.TempDir()+"/none")
	_, err := DumpReader(t.Context(), AnyReader, time.Second)
	var trouble *ReaderError
	if !errors.As(err, &trouble) || !strings.Contains(trouble.What.ZH, "8010001D") || trouble.Next.EN == "" {
		t.Errorf("%v", err)
	}
	if readerError(io.EOF) != io.EOF || readerError(nil) != nil {
		t.Error("an error that is not the reader's was changed")
	}
	if !errors.As(readerError(&pcsc.Error{Doing: "x", Code: pcsc.RemovedCard}), &trouble) {
		t.Error("a removed card has no words")
	}
}

// foreignCard has one application of another scheme, which answers GET DATA for a tag of ours with something else.
type foreignCard struct{}

func (foreignCard) Transceive(_ context.Context, b []byte) ([]byte, error) {
	c, err := apdu.ParseCommand(b)
	if err != nil {
		return nil, err
	}
	const name = "\xA0\x00\x00\x00\x04\x10\x10"
	switch {
	case c.INS == apdu.InsSelect && emv.AID(c.Data) == emv.PPSE:
		return append([]byte{0x70, 0x0B, 0x61, 0x09, 0x4F, 0x07}, name+"\x90\x00"...), nil
	case c.INS == apdu.InsSelect && string(c.Data) == name:
		return append([]byte{0x6F, 0x11, 0x84, 0x07}, name+"\xA5\x06\x50\x04ABCD\x90\x00"...), nil
	case c.INS == apdu.InsGetData && c.P1 == 0x9F && c.P2 == 0x79:
		return []byte("\x9F\x79\x02HI\x90\x00"), nil
	}
	return []byte{0x6A, 0x82}, nil
}

// What only our scheme calls so is not called so on another scheme's card.
func TestDumpOfForeignCard(t *testing.T) {
	steps, applications, err := dump(t.Context(), foreignCard{})
	if err != nil || applications != 1 {
		t.Fatalf("%d applications, %v", applications, err)
	}
	last := steps[len(steps)-1].Answer
	n, ok := last.Find("9F79")
	if !ok || n.Name.EN != "data object of another scheme" || n.Value != "HI" || n.Broken {
		t.Errorf("%+v", last)
	}
}
