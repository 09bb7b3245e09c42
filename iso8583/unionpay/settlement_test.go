package unionpay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/money"
)

func settlementSample(t testing.TB) *SettlementRequest {
	t.Helper()
	totals, err := Settlement{Domestic: Totals{Debit: Sum{123_456, 12}, Credit: Sum{999, 1}}}.Field48()
	if err != nil {
		t.Fatal(err)
	}
	return &SettlementRequest{Payment{STAN: 123, Terminal: "T0000001", Merchant: "301000054110001", Additional: totals, Amount: money.New(0, money.CNY),
		Info: Info{MessageType: KindNetwork, Batch: 7, NetworkCode: NetworkSettlement}, Reserved: "001"}}
}

// The digits are packed: amount 12, number 3, twice; agreement 1; the same for foreign cards.
const settlementHex = "0500 0020000000C18012 000123" +
	"5430303030303031 333031303030303534313130303031 0031" +
	"00000012345601200000000099900100000000000000000000000000000000" + "313536" + "0011 000000072010" + "0003 303031"

func TestSettlementByteForByte(t *testing.T) {
	m := settlementSample(t)
	b, err := Encode(Terminal, nil, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ToUpper(strings.ReplaceAll(settlementHex, " ", ""))
	if got := strings.ToUpper(hex.EncodeToString(b)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	back, err := Decode(Terminal, b)
	if err != nil {
		t.Fatal(err)
	}
	again, ok := back.(*SettlementRequest)
	if !ok || TerminalKey(again) != "T00000010000070001235" {
		t.Fatalf("read back %T, key %q", back, TerminalKey(back))
	}
	s, err := ParseSettlement(again.Additional)
	if err != nil || s.Domestic.Debit != (Sum{123_456, 12}) || s.Domestic.Credit != (Sum{999, 1}) || s.DomesticAgreement != AgreementNone {
		t.Fatalf("totals %+v, %v", s, err)
	}
	answer := Respond(again, Answer{Response: Approved}).(*SettlementResponse)
	s.DomesticAgreement = TotalsDiffer
	if answer.Additional, err = s.Field48(); err != nil {
		t.Fatal(err)
	}
	wire, err := Encode(Terminal, nil, answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(Terminal, wire)
	if err != nil || got.Type() != TypeSettlementResponse || TerminalKey(got) != TerminalKey(m) {
		t.Fatalf("answer %v, %v", got, err)
	}
	if s, err = ParseSettlement(PaymentOf(got).Additional); err != nil || s.DomesticAgreement != TotalsDiffer {
		t.Errorf("agreement %v, %v", s.DomesticAgreement, err)
	}
	if _, err := Encode(Switch, nil, m, nil); !errors.Is(err, ErrUnknownType) {
		t.Errorf("the switch takes a settlement: %v", err)
	}
}

func TestBatchUploads(t *testing.T) {
	count, err := NewUploadCount(17)
	if err != nil {
		t.Fatal(err)
	}
	end := &BatchUpload{Payment{STAN: 9, Terminal: "T0000001", Merchant: "301000054110001", Additional: count,
		Info: Info{MessageType: KindNetwork, Batch: 7, NetworkCode: NetworkUploadEnd}}}
	one := &BatchUpload{Payment{PAN: number(t), Amount: money.New(100, money.CNY), STAN: 8, EntryMode: "051", CardSequence: "001", Terminal: "T0000001",
		Merchant: "301000054110001", ICC: chip(t), Info: Info{MessageType: KindNetwork, Batch: 7, NetworkCode: NetworkUploadICGood}, Custom: "6100"}}
	for _, m := range []Message{end, one} {
		b, err := Encode(Terminal, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(Terminal, b)
		if err != nil || back.Type() != TypeBatchUpload || !equal(t, m, back) {
			t.Fatalf("%+v, %v", back, err)
		}
		if r := Respond(back, Answer{Response: Approved}); r.Type() != TypeBatchUploadReply || TerminalKey(r) != TerminalKey(m) {
			t.Errorf("answer %+v", r)
		}
	}
	if n, err := UploadCount(end.Additional); err != nil || n != 17 {
		t.Errorf("count %d, %v", n, err)
	}
	for _, wrong := range []Opaque{"", "\x00", "\x00\x0A", "\x00\x00\x00"} {
		if _, err := UploadCount(wrong); !errors.Is(err, ErrContent) {
			t.Errorf("%q: %v", string(wrong), err)
		}
	}
	if _, err := NewUploadCount(10_000); err == nil {
		t.Error("too many uploads fit")
	}
}

func TestSettlementsThatAreNone(t *testing.T) {
	good := settlementSample(t).Additional
	for name, wrong := range map[string]Opaque{
		"nothing": "", "short": good[1:], "long": good + "0", "digits": "\x0A" + good[1:], "agreement": good[:15] + "\x40" + good[16:],
	} {
		if _, err := ParseSettlement(wrong); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, wrong := range []Settlement{
		{Domestic: Totals{Debit: Sum{-1, 0}}}, {Domestic: Totals{Credit: Sum{1_000_000_000_000, 1}}}, {Foreign: Totals{Debit: Sum{0, 1000}}},
		{Foreign: Totals{Debit: Sum{0, -1}}}, {DomesticAgreement: 4},
	} {
		if _, err := wrong.Field48(); !errors.Is(err, ErrContent) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func FuzzParseSettlement(f *testing.F) {
	f.Add(string(settlementSample(f).Additional))
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseSettlement(Opaque(in))
		if err != nil {
			return
		}
		if again, err := s.Field48(); err != nil || string(again) != in {
			t.Fatalf("%X became %X, %v", in, string(again), err)
		}
	})
}

func TestDownloadCodes(t *testing.T) {
	for c := SignOn; c <= SmallAmountBlacklistEnd; c++ {
		kind, step, ok := c.Download()
		if ok && kind.Code(step) != c && c != ParameterGetMore && c != CAKeyEndSM {
			t.Errorf("%v is step %d of %d, which is %v", c, step, kind, kind.Code(step))
		}
	}
	if DownloadKind(9).Code(DownloadGet) != NoNetworkCode || DownloadCAKeys.Code(9) != NoNetworkCode {
		t.Error("a code of nothing")
	}
	if _, _, ok := Echo.Download(); ok {
		t.Error("an echo downloads")
	}
}

func TestDownloadFields(t *testing.T) {
	var rid, index emv.Data
	rid.Set(emv.TagTerminalAID, []byte{0xA0, 0, 0, 3, 0x33})
	index.Set(emv.TagTerminalAID, bytes.Repeat([]byte{7}, 5))
	index.Set(emv.TagParameterModulus, bytes.Repeat([]byte{1}, 600))
	list := AppendList(nil, rid, index)
	entries, err := ParseList(list)
	if err != nil || len(entries) != 2 || !entries[1].Equal(index) {
		t.Fatalf("entries %v, %v", entries, err)
	}
	var joined []byte
	for part := uint16(0); ; part++ {
		p, ok := PartOf(list, 3, part)
		if !ok {
			t.Fatalf("no part %d", part)
		}
		m := &NetworkResponse{MTI: TypeNetworkResponse, STAN: 1, Response: Approved, Terminal: "T0000001", Merchant: "301000054110001", Code: CAKeyGet, Data: p.Field62()}
		b, err := Encode(Terminal, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(Terminal, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDownloadPart(back.(*NetworkResponse).Data)
		if err != nil || got.Version != 3 || got.Part != part {
			t.Fatalf("part %+v, %v", got, err)
		}
		if joined = append(joined, got.Content...); !got.More {
			break
		}
	}
	if !bytes.Equal(joined, list) {
		t.Error("the parts are not the list")
	}
	if _, ok := PartOf(list, 3, 2); ok {
		t.Error("a part behind the end")
	}
	status := DownloadStatus{3, uint32(len(list)), ChecksumOf(list)}
	if got, err := ParseDownloadStatus(status.Field62()); err != nil || got != status {
		t.Errorf("status %+v, %v", got, err)
	}
	ask := DownloadAsk{3, 1}
	if got, err := ParseDownloadAsk(ask.Field62()); err != nil || got != ask {
		t.Errorf("ask %+v, %v", got, err)
	}
	done := DownloadDone{3, status.Checksum}
	if got, err := ParseDownloadDone(done.Field62()); err != nil || got != done {
		t.Errorf("done %+v, %v", got, err)
	}
	if v, err := DownloadVersion(NewDownloadVersion(3)); err != nil || v != 3 {
		t.Errorf("version %d, %v", v, err)
	}
	if v, err := DownloadVersion(""); err != nil || v != 0 {
		t.Errorf("no version %d, %v", v, err)
	}
}

func TestDownloadsThatAreNone(t *testing.T) {
	big := DownloadStatus{1, MaxDownloadBytes + 1, Checksum{}}.Field62()
	for _, wrong := range []Opaque{"1", "12345", Opaque(make([]byte, 39)), Opaque(make([]byte, 41)), big, "\x00\x00\x00\x01\x00\x002", "\x00\x00\x00\x01\x00\x001"} {
		_, status := ParseDownloadStatus(wrong)
		_, version := DownloadVersion(wrong)
		_, ask := ParseDownloadAsk(wrong)
		_, done := ParseDownloadDone(wrong)
		_, part := ParseDownloadPart(wrong)
		for name, err := range map[string]error{"status": status, "version": version, "ask": ask, "done": done, "part": part} {
			if name == "part" && string(wrong[max(0, len(wrong)-1):]) == "\x00" {
				continue // read as a part its seventh byte decides
			}
			if !errors.Is(err, ErrContent) {
				t.Errorf("%X as %s: %v", string(wrong), name, err)
			}
		}
	}
	for _, wrong := range [][]byte{{0xE0}, {0xE1, 0}, {0xE0, 2, 0x9F, 0x06}, make([]byte, MaxDownloadBytes+1), bytes.Repeat([]byte{0xE0, 0}, 257)} {
		if _, err := ParseList(wrong); !errors.Is(err, ErrContent) {
			t.Errorf("list %.8X: %v", wrong, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	var d emv.Data
	d.Set(emv.TagTerminalAID, []byte{1, 2, 3, 4, 5})
	f.Add(AppendList(nil, d, d))
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, err := ParseList(in)
		if err != nil {
			return
		}
		first := AppendList(nil, entries...)
		again, err := ParseList(first)
		if err != nil || !bytes.Equal(AppendList(nil, again...), first) {
			t.Fatalf("%X became %X, %v", in, first, err)
		}
	})
}
