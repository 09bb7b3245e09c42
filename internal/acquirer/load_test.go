package acquirer_test

import (
	"bytes"
	"testing"

	"tapnet/emv"
	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// newCounter is a bank with one terminal at its own counter, where cash is loaded.
func newCounter(t testing.TB, waiting bool) *bank {
	t.Helper()
	vault := networktest.NewHSM(t, 2, map[string]string{theSwitch: "acquirer-switch", networktest.Terminal: "terminal"})
	a, err := acquirer.New(acquirer.Deps{Institution: own, Switch: theSwitch, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal,
		Calendar: networktest.Shanghai, Currency: 156, Capacity: journal.Capacity{Ended: 2, Rows: 3},
		Merchants: []acquirer.Merchant{{ID: networktest.Merchant, Name: "COUNTER", Category: "6010", Waiting: waiting}},
		Terminals: []acquirer.Terminal{{ID: networktest.Terminal, Merchant: networktest.Merchant}}})
	if err != nil {
		t.Fatal(err)
	}
	rig := networktest.NewRig(t, a, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
	return &bank{Rig: rig, acquirer: a, vault: vault, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
}

func (b *bank) reopened() *bank {
	b.Helper()
	again := newCounter(b.TB, false)
	b.acquirer = again.acquirer
	b.Rig = b.Restart(b.acquirer)
	return b
}

// load is a terminal's request about a purse.
func (b *bank) load(processing unionpay.ProcessingCode, kind unionpay.MessageType, minor int64) *unionpay.FinancialRequest {
	b.Helper()
	m := b.request(minor)
	m.Processing, m.Info.MessageType, m.Condition = processing, kind, unionpay.ConditionLoad
	m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, false)
	return m
}

var scriptID = []byte{2, 1, 0, 1}

// approve answers with a script.
func (b *bank) approve(forwarded *unionpay.FinancialRequest) *unionpay.FinancialResponse {
	b.Helper()
	var icc emv.Data
	icc.Set(emv.TagScript2, tlv.Append(tlv.Append(nil, emv.TagScriptID, scriptID), emv.TagScriptCommand, []byte{4, 0xDA, 0x9F, 0x79, 4, 1, 2, 3, 4}))
	out := b.Deliver(theSwitch, unionpay.Respond(forwarded, unionpay.Answer{Response: unionpay.Approved, AuthCode: "123456", ICC: icc}))
	if len(out) != 1 || out[0].To != networktest.Terminal {
		b.Fatalf("%d messages left", len(out))
	}
	return out[0].Message.(*unionpay.FinancialResponse)
}

// tell is the terminal's word about the script.
func (b *bank) tell(m *unionpay.FinancialRequest, answer *unionpay.FinancialResponse, status byte) *unionpay.ScriptNotice {
	b.Helper()
	b.stan++
	p := m.Payment
	p.STAN, p.Track2, p.RRN, p.Acquirer, p.ICC, p.Additional, p.PINBlock = b.stan, pan.Track2{}, answer.RRN, own, emv.Data{}, "", nil
	p.Original = &unionpay.Original{Batch: m.Info.Batch, STAN: m.STAN}
	p.ICC.Set(emv.TagScriptResults, append([]byte{status}, scriptID...))
	return &unionpay.ScriptNotice{Payment: p}
}

func (b *bank) owes() (posted, pending int64) { return b.acquirer.CashOwed(networktest.Terminal) }

func (b *bank) noMerchantMoney() {
	b.Helper()
	if m := b.acquirer.Book().Balance(acquirer.AccountMerchants); m != (ledger.Balance{}) {
		b.Errorf("the merchant has %+v", m)
	}
}

func TestADesignatedLoadIsPassedOnAndPaysNoMerchant(t *testing.T) {
	b := newCounter(t, false)
	m := b.load(unionpay.ProcessingLoad, unionpay.KindLoad, 5_000)
	m.PINBlock = networktest.EncipherPIN(t, b.hsm, networktest.Terminal, "246810", m.PAN)
	onward := b.forwarded(m)
	if onward.Processing != unionpay.ProcessingLoad || onward.Condition != unionpay.ConditionLoad || onward.PINBlock == nil || onward.ICC.Len() == 0 {
		t.Errorf("forwarded %+v", onward)
	}
	answer := b.approve(onward)
	if answer.STAN != m.STAN || !answer.ICC.Has(emv.TagScript2) {
		t.Errorf("answer %+v", answer)
	}
	b.noMerchantMoney()
	notice := b.tell(m, answer, 0x20)
	out := b.Deliver(networktest.Terminal, notice)
	if len(out) != 2 || out[0].Message.Type() != unionpay.TypeScriptNoticeReply || code(out[0]) != "00" || out[1].To != theSwitch {
		t.Fatalf("notice: %+v", out)
	}
	sent := out[1].Message.(*unionpay.ScriptNotice)
	if unionpay.OriginalKey(sent) != unionpay.NetworkKey(onward) || sent.RRN != onward.RRN {
		t.Errorf("the notice names %q, want %q", unionpay.OriginalKey(sent), unionpay.NetworkKey(onward))
	}
	if again := b.Deliver(networktest.Terminal, notice); len(again) != 1 || !bytes.Equal(again[0].Bytes, out[0].Bytes) {
		t.Error("a repeat is not answered alike")
	}
	if b.acquirer.Outstanding() != 1 {
		t.Errorf("%d outstanding", b.acquirer.Outstanding())
	}
	b.reopened()
	if len(b.Out) == 0 || !bytes.Equal(b.Out[0].Bytes, out[1].Bytes) {
		t.Error("after a restart the notice does not go out again")
	}
	if b.Deliver(theSwitch, acknowledgement(sent, unionpay.Approved)); b.acquirer.Outstanding() != 0 {
		t.Error("the acknowledgement ends nothing")
	}
	b.noMerchantMoney()
}

func TestALoadFromAnotherAccountKeepsField48(t *testing.T) {
	b := newCounter(t, false)
	m := b.load(unionpay.ProcessingLoadOther, unionpay.KindLoadOther, 100)
	m.Additional = unionpay.NewLoadTarget(m.PAN)
	onward := b.forwarded(m)
	if got, err := unionpay.LoadTarget(onward.Additional); err != nil || got != m.PAN {
		t.Errorf("target %v, %v", got, err)
	}
}

func TestCashIsOwedWhenTheChipHasIt(t *testing.T) {
	for _, status := range []byte{0x20, 0x11, 0x00} {
		b := newCounter(t, false)
		m := b.load(unionpay.ProcessingLoadCash, unionpay.KindLoadCash, 5_000)
		answer := b.approve(b.forwarded(m))
		if posted, pending := b.owes(); posted != 0 || pending != 5_000 {
			t.Fatalf("owes %d and %d", posted, pending)
		}
		b.Deliver(networktest.Terminal, b.tell(m, answer, status))
		want := int64(0)
		if status == 0x20 {
			want = 5_000
		}
		if posted, pending := b.owes(); posted != want || pending != 0 {
			t.Errorf("status %02X: owes %d and %d", status, posted, pending)
		}
		b.noMerchantMoney()
		if want == 0 {
			continue
		}
		void := b.load(unionpay.ProcessingLoadCashCancel, unionpay.KindLoadCashCancel, 5_000)
		void.RRN, void.Original = answer.RRN, &unionpay.Original{Batch: m.Info.Batch, STAN: m.STAN}
		onward := b.forwarded(void)
		if unionpay.OriginalKey(onward) == "" {
			t.Error("the void names nothing onward")
		}
		undone := b.approve(onward)
		b.Deliver(networktest.Terminal, b.tell(void, undone, 0x20))
		if posted, pending := b.owes(); posted != 0 || pending != 0 {
			t.Errorf("after the void: owes %d and %d", posted, pending)
		}
	}
}

func TestAReversedCashLoadIsNotOwed(t *testing.T) {
	b := newCounter(t, false)
	m := b.load(unionpay.ProcessingLoadCash, unionpay.KindLoadCash, 5_000)
	b.approve(b.forwarded(m))
	b.Deliver(networktest.Terminal, reversal(m))
	if posted, pending := b.owes(); posted != 0 || pending != 0 {
		t.Errorf("owes %d and %d", posted, pending)
	}
	// Unless the reversal tells that the chip has it.
	m = b.load(unionpay.ProcessingLoadCash, unionpay.KindLoadCash, 3_000)
	b.approve(b.forwarded(m))
	late := reversal(m)
	late.ICC = emv.Data{}
	late.ICC.Set(emv.TagScriptResults, append([]byte{0x20}, scriptID...))
	out := b.Deliver(networktest.Terminal, late)
	if posted, pending := b.owes(); posted != 3_000 || pending != 0 {
		t.Errorf("owes %d and %d", posted, pending)
	}
	if sent := unionpay.PaymentOf(out[len(out)-1].Message); !sent.ICC.Has(emv.TagScriptResults) {
		t.Error("the switch does not hear of the script")
	}
}

func TestWhatACategoryMayDo(t *testing.T) {
	b := newBank(t) // a grocer
	for _, c := range []struct {
		processing unionpay.ProcessingCode
		kind       unionpay.MessageType
		want       unionpay.ResponseCode
	}{{unionpay.ProcessingLoadCash, unionpay.KindLoadCash, "58"}, {unionpay.ProcessingUnload, unionpay.KindUnload, "58"}, {unionpay.ProcessingLoad, unionpay.KindSale, "12"}} {
		if got := code(b.Answer(networktest.Terminal, b.load(c.processing, c.kind, 100))); got != c.want {
			t.Errorf("%s/%s: %s, want %s", c.processing, c.kind, got, c.want)
		}
	}
	b.forwarded(b.load(unionpay.ProcessingLoad, unionpay.KindLoad, 100))
}

func TestAMerchantIsApprovedFirst(t *testing.T) {
	b := newCounter(t, true)
	if b.acquirer.Admits(networktest.Terminal) || b.acquirer.Admits("T9999999") {
		t.Error("admitted before approval")
	}
	if got := code(b.Answer(networktest.Terminal, b.request(100))); got != "03" {
		t.Errorf("answer %s", got)
	}
	if _, refused := b.Command(acquirer.SetMerchant{Merchant: "nobody", Standing: acquirer.MerchantApproved}).(error); !refused {
		t.Error("nobody was approved")
	}
	for _, standing := range []acquirer.Standing{acquirer.MerchantApproved, acquirer.MerchantSuspended, acquirer.MerchantApproved} {
		if reply := b.Command(acquirer.SetMerchant{Merchant: networktest.Merchant, Standing: standing}); reply != (acquirer.Done{}) {
			t.Fatalf("%v", reply)
		}
		if b.acquirer.Admits(networktest.Terminal) != (standing == acquirer.MerchantApproved) {
			t.Errorf("standing %v", standing.Term())
		}
	}
	b.forwarded(b.request(100))
	b.Command(acquirer.SetMerchant{Merchant: networktest.Merchant, Standing: acquirer.MerchantEnded})
	b.reopened()
	if b.acquirer.Admits(networktest.Terminal) {
		t.Error("a restart forgets that the merchant has ended")
	}
	if _, refused := b.Command(acquirer.SetMerchant{Merchant: networktest.Merchant, Standing: acquirer.MerchantApproved}).(error); !refused {
		t.Error("an ended merchant came back")
	}
}

func (b *bank) settlement(batch uint32, totals unionpay.Totals) (unionpay.Settlement, unionpay.ResponseCode) {
	b.Helper()
	b.stan++
	field, err := unionpay.Settlement{Domestic: totals}.Field48()
	if err != nil {
		b.Fatal(err)
	}
	m := &unionpay.SettlementRequest{Payment: unionpay.Payment{STAN: b.stan, Terminal: networktest.Terminal, Merchant: networktest.Merchant, Additional: field,
		Amount: money.New(0, money.CNY), Reserved: "001", Info: unionpay.Info{MessageType: unionpay.KindNetwork, Batch: batch, NetworkCode: unionpay.NetworkSettlement}}}
	first := b.Answer(networktest.Terminal, m)
	if again := b.Answer(networktest.Terminal, m); !bytes.Equal(first.Bytes, again.Bytes) {
		b.Error("a repeat gets another answer")
	}
	s, err := unionpay.ParseSettlement(unionpay.PaymentOf(first.Message).Additional)
	if err != nil {
		b.Fatal(err)
	}
	return s, code(first)
}

func TestBatchesAreSettled(t *testing.T) {
	b := newCounter(t, false)
	b.answer(b.forwarded(b.request(700)), unionpay.Approved)
	taken := b.request(300)
	b.answer(b.forwarded(taken), unionpay.Approved)
	b.Deliver(networktest.Terminal, reversal(taken))
	cash := b.load(unionpay.ProcessingLoadCash, unionpay.KindLoadCash, 5_000)
	b.Deliver(networktest.Terminal, b.tell(cash, b.approve(b.forwarded(cash)), 0x20))
	b.approve(b.forwarded(b.load(unionpay.ProcessingLoad, unionpay.KindLoad, 400)))
	b.reopened()
	want := unionpay.Totals{Debit: unionpay.Sum{Minor: 700, Count: 1}, Credit: unionpay.Sum{Minor: 5_000, Count: 1}}
	wrong := want
	wrong.Debit.Count = 2
	if s, code := b.settlement(1, wrong); code != "00" || s.DomesticAgreement != unionpay.TotalsDiffer || s.Domestic != want {
		t.Errorf("%s %+v", code, s)
	}
	if s, _ := b.settlement(1, want); s.DomesticAgreement != unionpay.TotalsAgree { // the till was killed before the answer came
		t.Errorf("%+v", s)
	}
	next := b.request(100)
	next.Info.Batch = 2
	b.answer(b.forwarded(next), unionpay.Approved)
	if s, _ := b.settlement(1, want); s.DomesticAgreement != unionpay.TotalsNotKnown {
		t.Errorf("a batch long gone: %+v", s)
	}
	if s, _ := b.settlement(2, unionpay.Totals{Debit: unionpay.Sum{Minor: 100, Count: 1}}); s.DomesticAgreement != unionpay.TotalsAgree {
		t.Errorf("%+v", s)
	}
}

func (b *bank) fetch(c unionpay.NetworkCode, data unionpay.Opaque) *unionpay.NetworkResponse {
	b.Helper()
	b.stan++
	out := b.Deliver(networktest.Terminal, &unionpay.NetworkRequest{STAN: b.stan, Terminal: networktest.Terminal, Merchant: networktest.Merchant, Batch: 1, Code: c, Data: data})
	if len(out) != 1 {
		b.Fatalf("%d messages left", len(out))
	}
	return out[0].Message.(*unionpay.NetworkResponse)
}

func TestListsAreDownloadedAndRolledBack(t *testing.T) {
	b := newCounter(t, false)
	kind := unionpay.DownloadCAKeys
	status := func() unionpay.DownloadStatus {
		t.Helper()
		s, err := unionpay.ParseDownloadStatus(b.fetch(kind.Code(unionpay.DownloadQuery), "").Data)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); s.Version != 0 {
		t.Errorf("version %d of nothing", s.Version)
	}
	var first, second emv.Data
	first.Set(emv.TagTerminalAID, []byte{0xA0, 0, 0, 3, 0x33})
	second.Set(emv.TagTerminalAID, bytes.Repeat([]byte{1}, 5))
	second.Set(emv.TagParameterModulus, bytes.Repeat([]byte{2}, 900))
	for at, list := range [][]byte{unionpay.AppendList(nil, first), unionpay.AppendList(nil, first, second)} {
		if reply := b.Command(acquirer.Publish{Kind: kind, Content: list}); reply != (acquirer.Done{}) {
			t.Fatal(reply)
		}
		if s := status(); s.Version != uint32(at+1) || s.Checksum != unionpay.ChecksumOf(list) {
			t.Errorf("status %+v", s)
		}
	}
	s := status()
	var got []byte
	for part, more := uint16(0), true; more; part++ {
		p, err := unionpay.ParseDownloadPart(b.fetch(kind.Code(unionpay.DownloadGet), unionpay.DownloadAsk{Version: s.Version, Part: part}.Field62()).Data)
		if err != nil {
			t.Fatal(err)
		}
		got, more = append(got, p.Content...), p.More
	}
	if unionpay.ChecksumOf(got) != s.Checksum {
		t.Error("the parts are not the list")
	}
	done := unionpay.DownloadDone{Version: s.Version, Checksum: s.Checksum}.Field62()
	if r := b.fetch(kind.Code(unionpay.DownloadEnd), done); r.Response != "00" {
		t.Errorf("end: %s", r.Response)
	}
	if _, installed := b.acquirer.Version(kind, networktest.Terminal); installed != 2 {
		t.Errorf("installed %d", installed)
	}
	if reply := b.Command(acquirer.RollBack{Kind: kind}); reply != (acquirer.Done{}) {
		t.Fatal(reply)
	}
	b.reopened()
	if s := status(); s.Version != 1 || s.Checksum != unionpay.ChecksumOf(unionpay.AppendList(nil, first)) {
		t.Errorf("after the rollback %+v", s)
	}
	if r := b.fetch(kind.Code(unionpay.DownloadEnd), done); r.Response != "25" {
		t.Errorf("an old version was installed: %s", r.Response)
	}
	if r := b.fetch(kind.Code(unionpay.DownloadGet), unionpay.DownloadAsk{Version: 2}.Field62()); r.Response != "25" {
		t.Errorf("an old version is given: %s", r.Response)
	}
	for _, refused := range []any{acquirer.RollBack{Kind: kind}, acquirer.RollBack{Kind: unionpay.DownloadParameters}, acquirer.Publish{Kind: 9, Content: []byte{0xE0, 0}},
		acquirer.Publish{Kind: kind}, acquirer.Publish{Kind: kind, Content: []byte{1}}} {
		if _, no := b.Command(refused).(error); !no {
			t.Errorf("%+v was carried out", refused)
		}
	}
	if r := b.fetch(kind.Code(unionpay.DownloadGet), "x"); r.Response != "30" {
		t.Errorf("garbage: %s", r.Response)
	}
	if r := b.fetch(unionpay.BlacklistGet, ""); r.Response != "40" {
		t.Errorf("a list that is none: %s", r.Response)
	}
}
