package trace_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/trace"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	number   = "6299991000000017"
	pinHex   = "A1B2C3D4E5F60718"
	terminal = "T0000001"
	rrn      = "632517000001"
)

var noon = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newStore(t testing.TB, c trace.Config) *trace.Store {
	t.Helper()
	c.Key = []byte("a key of sixteen")
	s, err := trace.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exchanges are a tap with the counter in its answer; offline is a TC, otherwise an ARQC.
func exchanges(atc string, offline bool) [][2]string {
	iad := "07010103A00000010A010000038787868FD1FC"
	if offline {
		iad = "07010103900000010A010000038787868FD1FC"
	}
	return [][2]string{
		{"00A404000E325041592E5359532E444446303100", "6F30840E325041592E5359532E4444463031A51EBF0C1B61194F08A000000333010101500A50424F432044454249548701019000"},
		{"00A4040008A00000033301010100", "6F2E8408A000000333010101A522500A50424F43204445424954 9F3813 9F66049F02069F03069F1A025F2A029A039C01 9000"},
		{"80A800001A 8318 36800080 000000001250 000000000000 0156 0156 261121 00 00",
			"7746 82027C00 9F3602" + atc + " 5711" + number + "D30122010123456789 9F1013" + iad + " 9F2608AD03EE811AFAD484 5F340100 9F6C020000 9000"},
	}
}

func runTap(t testing.TB, s *trace.Store, c *clock.Manual, n int, atc string, offline bool) *trace.Tap {
	t.Helper()
	tap := s.Tap(c, passed(c), terminal, fmt.Sprintf("%s/%d", terminal, n))
	for _, e := range exchanges(atc, offline) {
		c.Advance(100 * time.Microsecond)
		tap.Exchange(unhex(t, e[0]), unhex(t, e[1]), nil)
	}
	tap.Screen(glossary.Term{EN: "Approved", ZH: "交易成功"})
	return tap
}

func request(t testing.TB, stan uint32, atc string, kind unionpay.MessageType) *unionpay.FinancialRequest {
	t.Helper()
	n, err := pan.Parse(number)
	if err != nil {
		t.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	track, err := pan.NewTrack2(n, expiry, "201", "0123456789")
	if err != nil {
		t.Fatal(err)
	}
	icc, err := emv.ParseData(unhex(t, "9F2608AD03EE811AFAD484 9F3602"+atc+" 9F0206000000001250 5F2A020156"))
	if err != nil {
		t.Fatal(err)
	}
	m := &unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: n, Processing: unionpay.ProcessingSale, Amount: money.New(1250, money.CNY), STAN: stan, Expiry: expiry,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, kind == unionpay.KindSale), CardSequence: "001", Condition: "00",
		Track2: track, Terminal: terminal, Merchant: "M00000000000001", ICC: icc,
		Info: unionpay.Info{MessageType: kind, Batch: 7, ReadCapability: "6", ICCondition: "0"},
	}}
	if kind == unionpay.KindOfflineUpload {
		m.Reserved = "CUP"
	}
	if kind == unionpay.KindSale {
		block, _ := pinblock.FromBytes(unhex(t, pinHex))
		m.PINBlock, m.PINCapture, m.Security = &block, "06", "2600000000000000"
	}
	return m
}

func encode(t testing.TB, d unionpay.Dialect, m unionpay.Message) []byte {
	t.Helper()
	b, err := unionpay.Encode(d, nil, m, func([]byte) ([8]byte, error) { return [8]byte{1, 2, 3, 4, 5, 6, 7, byte(d)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func onward(m *unionpay.FinancialRequest, reference string) *unionpay.FinancialRequest {
	out := *m
	out.TransmissionTime, out.LocalTime, out.LocalDate, out.MerchantType = "1121040000", "120000", "1121", "5411"
	out.Acquirer, out.Forwarder, out.MerchantName, out.RRN, out.Info = "10000001", "10000001", "SHOP 1", reference, unionpay.Info{}
	return &out
}

// online records a whole online payment: tap, messages of every hop, rows.
func online(t testing.TB, s *trace.Store, c *clock.Manual, n int, stan uint32, atc, reference string) {
	t.Helper()
	runTap(t, s, c, n, atc, false)
	m := request(t, stan, atc, unionpay.KindSale)
	send := func(d unionpay.Dialect, m unionpay.Message, from, to string) {
		raw := encode(t, d, m)
		s.Add(trace.FromMessage(c.Now(), from, to, d, bytes.Clone(raw), true))
		c.Advance(200 * time.Microsecond)
		s.Add(trace.FromMessage(c.Now(), to, from, d, raw, false))
	}
	send(unionpay.Terminal, m, terminal, "acquirer")
	network := onward(m, reference)
	send(unionpay.Switch, network, "acquirer", "switch")
	row := &journal.Row{Seq: uint64(stan), Kind: journal.Held, At: c.Now(), Key: unionpay.NetworkKey(network), RRN: reference, Terminal: terminal, STAN: stan,
		Debit: 12, Credit: 34, Amount: 1250, Currency: 156, Phase: ledger.Pending, Answer: []byte(number), Note: []byte(number)}
	s.Add(trace.FromRow("issuer", row, glossary.Term{}, trace.Line{Name: glossary.Term{EN: "reason", ZH: "原因"}, Value: "limit ok, card " + number}))
	answer := &unionpay.FinancialResponse{Payment: unionpay.Payment{
		PAN: m.PAN, Processing: m.Processing, Amount: m.Amount, STAN: stan, LocalTime: "120000", LocalDate: "1121", CardSequence: "001",
		Condition: "00", Acquirer: "10000001", RRN: reference, Response: unionpay.Approved, Terminal: terminal, Merchant: m.Merchant,
		Info: m.Info,
	}}
	send(unionpay.Terminal, answer, "acquirer", terminal)
}

func kindsOf(records []trace.Record) string {
	var s []string
	for _, r := range records {
		s = append(s, r.Kind.String())
	}
	return strings.Join(s, " ")
}

func text(t testing.TB, print func(*strings.Builder) error) string {
	t.Helper()
	var b strings.Builder
	if err := print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOnePaymentAcrossRoles(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	online(t, s, c, 1, 41, "0240", rrn)
	online(t, s, c, 2, 42, "0241", "632517000002")
	s.Flush()
	const want = "command response command response command response screen message_out message_in message_out message_in posting message_out message_in"
	for _, query := range []string{rrn, "rrn:" + rrn, "tap:T0000001/1", "T0000001/1", "T0000001/000007/000041", "net:1121040000/000041/10000001/10000001"} {
		found := s.Find(query)
		if got := kindsOf(found); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	if last := s.Find("last"); len(last) == 0 || !contains(last, "rrn:632517000002") {
		t.Error("last is not the last payment")
	}
	for _, query := range []string{"", "nothing", "rrn:", number} {
		if found := s.Find(query); found != nil {
			t.Errorf("%q finds %d records", query, len(found))
		}
	}
	list := s.Payments()
	if len(list) != 2 || list[0].ID != rrn || list[0].Records != 14 || !list[0].Ended.After(list[0].Started) {
		t.Errorf("payments: %+v", list)
	}
}

func contains(records []trace.Record, id string) bool {
	for _, r := range records {
		for _, have := range r.IDs {
			if have == id {
				return true
			}
		}
	}
	return false
}

func TestOfflineTapJoinsItsUpload(t *testing.T) {
	shop, bank, c := newStore(t, trace.Config{}), newStore(t, trace.Config{}), clock.NewManual(noon)
	tap := runTap(t, shop, c, 1, "0007", true)
	shop.Flush()
	before := shop.Find(tap.ID())
	if len(before) != 7 || !strings.HasPrefix(before[6].IDs[1], "card:") {
		t.Fatalf("offline tap: %s", kindsOf(before))
	}
	if found := shop.Find(before[6].IDs[1]); len(found) != 7 {
		t.Errorf("by card and counter: %d records", len(found))
	}
	// Hours later the batch is uploaded; in this box it gets a reference number.
	c.Advance(5 * time.Hour)
	upload := request(t, 99, "0007", unionpay.KindOfflineUpload)
	shop.Add(trace.FromMessage(c.Now(), terminal, "acquirer", unionpay.Terminal, encode(t, unionpay.Terminal, upload), true))
	other := request(t, 98, "0008", unionpay.KindOfflineUpload)
	shop.Add(trace.FromMessage(c.Now(), terminal, "acquirer", unionpay.Terminal, encode(t, unionpay.Terminal, other), true))
	shop.Flush()
	if joined := shop.Find(tap.ID()); len(joined) != 8 {
		t.Errorf("with its upload: %s", kindsOf(joined))
	}
	// Another box saw only the upload on its way to the issuer: the records of both join.
	bank.Add(trace.FromMessage(c.Now(), "switch", "acquirer", unionpay.Switch, encode(t, unionpay.Switch, onward(upload, rrn)), false))
	bank.Flush()
	all := append(shop.Find(tap.ID()), bank.Find(rrn)...)
	if joined := trace.Join(all, rrn); len(joined) != 9 {
		t.Errorf("across boxes: %s", kindsOf(joined))
	}
}

func TestReversalJoinsItsPayment(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	m := onward(request(t, 5, "0009", unionpay.KindSale), rrn)
	s.Add(trace.FromMessage(c.Now(), "acquirer", "switch", unionpay.Switch, encode(t, unionpay.Switch, m), true))
	original := unionpay.OriginalOf(m)
	reversal := &unionpay.ReversalRequest{Payment: m.Payment}
	reversal.STAN, reversal.TransmissionTime, reversal.Original, reversal.Response = 6, "1121040100", original, unionpay.ReasonTimeout
	reversal.PINBlock, reversal.PINCapture, reversal.Track2, reversal.RRN, reversal.ICC = nil, "", pan.Track2{}, "", emv.Data{}
	raw, err := unionpay.Encode(unionpay.Switch, nil, reversal, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(trace.FromMessage(c.Now(), "acquirer", "switch", unionpay.Switch, raw, true))
	s.Flush()
	if found := s.Find(rrn); len(found) != 2 {
		t.Errorf("%s", kindsOf(found))
	}
}

func TestNothingSensitiveIsPrinted(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	online(t, s, c, 1, 41, "0240", rrn)
	broken := encode(t, unionpay.Terminal, request(t, 41, "0240", unionpay.KindSale))
	r := trace.FromMessage(c.Now(), terminal, "acquirer", unionpay.Terminal, broken[:len(broken)-40], true)
	r.IDs = []string{"rrn:" + rrn}
	s.Add(r)
	s.Flush()
	records := s.Find(rrn)
	prints := map[string]string{
		"json":  text(t, func(b *strings.Builder) error { return trace.JSON(b, records) }),
		"save":  text(t, func(b *strings.Builder) error { return trace.Save(b, records) }),
		"print": fmt.Sprintf("%v %+v", records, records),
	}
	explained := trace.Explain(records, explain.Context{})
	prints["explained"] = fmt.Sprintf("%v %+v", explained, explained)
	for _, o := range []explain.Options{{}, {Lang: glossary.Chinese}, {ASCII: true}, {Colour: true, Width: 200}} {
		prints[fmt.Sprintf("short %+v", o)] = text(t, func(b *strings.Builder) error { return trace.Render(b, records, o) })
		prints[fmt.Sprintf("full %+v", o)] = text(t, func(b *strings.Builder) error { return trace.Full(b, records, o) })
	}
	loaded, err := trace.Load(strings.NewReader(prints["save"]))
	if err != nil {
		t.Fatal(err)
	}
	prints["loaded revealed"] = text(t, func(b *strings.Builder) error { return trace.Full(b, loaded, explain.Options{Reveal: true}) })
	for name, print := range prints {
		packed := strings.Join(strings.Fields(print), "")
		for _, secret := range []string{number, pinHex, pinHex[:8], "36323939393931303030", "0123456789D", "000000017"} {
			if strings.Contains(packed, secret) {
				t.Errorf("%s shows %s", name, secret)
			}
		}
	}
	revealed := text(t, func(b *strings.Builder) error {
		return trace.Full(b, records, explain.Options{Reveal: true, Width: 200})
	})
	if !strings.Contains(revealed, number) {
		t.Error("Reveal shows no account number")
	}
	if strings.Contains(revealed, pinHex[:8]) {
		t.Error("Reveal shows a PIN block")
	}
}

func TestTimeline(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	online(t, s, c, 1, 41, "0240", rrn)
	s.Flush()
	records := s.Find(rrn)
	for _, o := range []explain.Options{{}, {Lang: glossary.Chinese}, {ASCII: true}, {Width: 100}} {
		width := max(o.Width, 80)
		for name, print := range map[string]string{
			"short": text(t, func(b *strings.Builder) error { return trace.Render(b, records, o) }),
			"full":  text(t, func(b *strings.Builder) error { return trace.Full(b, records, o) }),
		} {
			for _, line := range strings.Split(print, "\n") {
				if explain.Width(line) > width {
					t.Errorf("%s: %d columns: %s", name, explain.Width(line), line)
				}
				if o.ASCII && strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
					t.Errorf("not ASCII: %s", line)
				}
			}
		}
	}
	short := text(t, func(b *strings.Builder) error { return trace.Render(b, records, explain.Options{}) })
	t.Log("\n" + short)
	for _, want := range []string{"629999******0017", "2PAY.SYS.DDF01", "UnionPay debit", "qPBOC", "CNY 12.50", "ARQC AD03EE81", "ATC 0240", "0200",
		"T0000001 → acquirer", "acquirer → switch", "F39 00 approved", "total 800 µs"} {
		if !strings.Contains(short, want) {
			t.Errorf("timeline lacks %q", want)
		}
	}
	if strings.Count(short, "acquirer → switch") != 1 {
		t.Error("a message is shown twice")
	}
	full := text(t, func(b *strings.Builder) error { return trace.Full(b, records, explain.Options{}) })
	for _, want := range []string{"terminal transaction qualifiers", "message authentication", "9F3602"} {
		if !strings.Contains(full, want) {
			t.Errorf("full lacks %q", want)
		}
	}
}

func TestLostThings(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	tap := s.Tap(c, passed(c), terminal, "T0000001/3")
	tap.Exchange(unhex(t, exchanges("0001", true)[0][0]), nil, fmt.Errorf("read: %w", apdu.ErrCardLost))
	m := request(t, 7, "0001", unionpay.KindSale)
	one := trace.FromMessage(c.Now(), terminal, "acquirer", unionpay.Terminal, encode(t, unionpay.Terminal, m), true)
	one.IDs = []string{tap.ID()}
	s.Add(one)
	s.Add(trace.Record{At: c.Now(), Role: "acquirer", Kind: trace.Screen, IDs: []string{tap.ID()}, Title: glossary.Term{EN: "was there"}})
	s.Flush()
	short := text(t, func(b *strings.Builder) error { return trace.Render(b, s.Find("last"), explain.Options{}) })
	if !strings.Contains(short, "the card left the field") || !strings.Contains(short, "did not arrive") {
		t.Errorf("%s", short)
	}
	if none := text(t, func(b *strings.Builder) error { return trace.Render(b, nil, explain.Options{}) }); !strings.Contains(none, "nothing is remembered") {
		t.Error(none)
	}
}

func TestSaveAndLoad(t *testing.T) {
	s, c := newStore(t, trace.Config{}), clock.NewManual(noon)
	online(t, s, c, 1, 41, "0240", rrn)
	s.Flush()
	records := s.Find(rrn)
	saved := text(t, func(b *strings.Builder) error { return trace.Save(b, records) })
	loaded, err := trace.Load(strings.NewReader(saved))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []explain.Options{{}, {Lang: glossary.Chinese}} {
		want := text(t, func(b *strings.Builder) error { return trace.Full(b, records, o) })
		if got := text(t, func(b *strings.Builder) error { return trace.Full(b, loaded, o) }); got != want {
			t.Errorf("a loaded trace prints otherwise:\n%s\nwant\n%s", got, want)
		}
	}
	if again := text(t, func(b *strings.Builder) error { return trace.Save(b, loaded) }); again != saved {
		t.Error("a loaded trace saves otherwise")
	}
	if found := trace.Join(loaded, "last"); len(found) != len(records) {
		t.Errorf("last of a file: %d of %d records", len(found), len(records))
	}
	for name, bad := range map[string]string{
		"empty": "", "no head": "{}\n", "version": "{\"tapnet_trace\":2}\n", "text": "hello\n", "line": "{\"tapnet_trace\":1}\n{\n",
		"kind": "{\"tapnet_trace\":1}\n{\"kind\":\"x\"}\n", "node": "{\"tapnet_trace\":1}\n{\"kind\":\"screen\",\"node\":{\"children\":5}}\n",
	} {
		if _, err := trace.Load(strings.NewReader(bad)); !errors.Is(err, trace.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := newStore(t, trace.Config{MaxRecords: 50, MaxBytes: 20000})
	for i := range 1000 {
		s.Add(trace.Record{At: noon, Kind: trace.Screen, Role: "shop", IDs: []string{fmt.Sprintf("tap:T/%d", i), "tap:shared"}, Raw: make([]byte, 200),
			Title: glossary.Term{EN: strings.Repeat("x", 5000)}})
		if i%100 == 0 {
			s.Flush()
		}
	}
	s.Flush()
	records, size := s.Len()
	if records > 50 || size > 20000 || records == 0 {
		t.Errorf("%d records, %d bytes", records, size)
	}
	if found := s.Find("tap:shared"); len(found) != records {
		t.Errorf("%d of %d records found", len(found), records)
	}
	if s.Find("tap:T/0") != nil || len(s.Find("tap:T/999")) != records {
		t.Error("the oldest leave, the newest stay")
	}
}

func TestAddNeverWaits(t *testing.T) {
	s := newStore(t, trace.Config{Queue: 1})
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 2000 {
				s.Add(trace.Record{At: noon, Kind: trace.Screen, Role: "shop", IDs: []string{fmt.Sprintf("tap:%d/%d", g, i)}})
			}
		})
	}
	wait.Wait()
	s.Flush()
	records, _ := s.Len()
	if uint64(records)+s.Dropped() != 8000 {
		t.Errorf("%d records and %d dropped, want 8000 together", records, s.Dropped())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := s.Dropped()
	s.Add(trace.Record{})
	s.Flush()
	if s.Dropped() != before+1 {
		t.Error("a record after Close is not counted")
	}
	if now, _ := s.Len(); now != records {
		t.Error("a record after Close was taken in")
	}
}

func TestZeroStoreAndKeys(t *testing.T) {
	var s trace.Store
	s.Add(trace.Record{})
	s.Flush()
	if s.Dropped() != 1 || s.Find("last") != nil || s.Close() != nil {
		t.Error("the zero store is a closed one")
	}
	if _, err := trace.New(trace.Config{Key: []byte("short")}); err == nil {
		t.Error("a short key is taken")
	}
	n, _ := pan.Parse(number)
	a, b := newStore(t, trace.Config{}), newStore(t, trace.Config{})
	if id := a.CardID(n, 7); id != b.CardID(n, 7) || strings.Contains(id, number[:8]) || id == a.CardID(n, 8) || a.CardID(pan.Number{}, 7) != "" {
		t.Errorf("fingerprint %q", id)
	}
}

func TestManagementIsNoPayment(t *testing.T) {
	s := newStore(t, trace.Config{})
	echo := &unionpay.NetworkRequest{STAN: 1, Time: "1121040000", Institution: "10000001", Code: unionpay.Echo}
	s.Add(trace.FromMessage(noon, "acquirer", "switch", unionpay.Switch, encode(t, unionpay.Switch, echo), true))
	s.Add(trace.FromRow("issuer", &journal.Row{Seq: 1, Kind: journal.Opened, At: noon}, glossary.Term{}))
	s.Flush()
	if s.Find("last") != nil || len(s.Payments()) != 0 {
		t.Errorf("%+v", s.Payments())
	}
	if records, _ := s.Len(); records != 2 {
		t.Error("the records are kept all the same")
	}
}

func FuzzLoad(f *testing.F) {
	s, c := newStore(f, trace.Config{}), clock.NewManual(noon)
	online(f, s, c, 1, 41, "0240", rrn)
	s.Flush()
	f.Add(text(f, func(b *strings.Builder) error { return trace.Save(b, s.Find(rrn)) }))
	f.Add("{\"tapnet_trace\":1}\n{\"kind\":\"response\",\"node\":{\"key\":\"\u001b\",\"offset\":-7,\"header\":9}}\n")
	f.Fuzz(func(t *testing.T, file string) {
		records, err := trace.Load(strings.NewReader(file))
		if err != nil {
			return
		}
		for _, o := range []explain.Options{{}, {Lang: glossary.Chinese, Reveal: true}} {
			print := text(t, func(b *strings.Builder) error { return trace.Full(b, records, o) })
			if strings.ContainsAny(print, "\x1b\r") {
				t.Fatal("control characters reach the terminal")
			}
		}
		again := text(t, func(b *strings.Builder) error { return trace.Save(b, records) })
		if _, err := trace.Load(strings.NewReader(again)); err != nil {
			t.Fatalf("what was saved does not load: %v", err)
		}
	})
}

// passed measures with the clock itself.
func passed(c clock.Clock) func() time.Duration {
	began := c.Now()
	return func() time.Duration { return c.Now().Sub(began) }
}
