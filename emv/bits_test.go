package emv

import (
	"strings"
	"testing"

	"tapnet/glossary"
)

// TestBitTables: every table names each bit once, in both languages, inside its field, and in the order of the book.
func TestBitTables(t *testing.T) {
	tables := map[string]struct {
		table []bitName
		bytes int
	}{
		"TTQ": {ttqTable, len(TTQ{})}, "CTQ": {ctqTable, len(CTQ{})}, "TVR": {tvrTable, len(TVR{})},
		"TSI": {tsiTable, len(TSI{})}, "AIP": {aipTable, len(AIP{})}, "CVR": {cvrTable, len(CVR{})},
		"9F68": {additionalProcessingTable, len(AdditionalProcessing{})}, "ADA": {defaultActionTable, len(DefaultAction{})},
		"9F56": {issuerAuthIndicatorTable, len(IssuerAuthIndicator{})}, "DF61": {extendedIndicatorTable, len(ExtendedIndicator{})},
		"9F33": {terminalCapabilitiesTable, len(TerminalCapabilities{})},
		"9F40": {additionalTerminalTable, len(AdditionalTerminalCapabilities{})}, "AUC": {usageControlTable, len(UsageControl{})},
	}
	for name, field := range tables {
		last := -1
		for _, r := range field.table {
			position := r.code.index()*8 + int(8-r.code&0xF)
			if r.code.index() < 0 || r.code.index() >= field.bytes || r.code&0xF < 1 || r.code&0xF > 8 {
				t.Errorf("%s: bit %02X outside the field", name, uint8(r.code))
			}
			if position <= last {
				t.Errorf("%s: bit %02X is not behind the one before", name, uint8(r.code))
			}
			last = position
			if r.name.EN == "" || r.name.ZH == "" {
				t.Errorf("%s: bit %02X lacks a name", name, uint8(r.code))
			}
		}
	}
}

// TestTypedBits: set, has and clear touch the bit the book names and no other.
func TestTypedBits(t *testing.T) {
	var ttq TTQ
	for _, step := range []struct {
		bit  TTQBit
		want string
	}{
		{TTQQPBOC, "20000000"}, {TTQContact, "30000000"}, {TTQOnlinePIN, "34000000"}, {TTQSignature, "36000000"},
		{TTQOnlineCryptogramRequired, "36800000"}, {TTQCVMRequired, "36C00000"}, {TTQFDDA01, "36C00080"},
	} {
		if ttq.Has(step.bit) {
			t.Errorf("bit %02X set too early", uint8(step.bit))
		}
		ttq.Set(step.bit)
		if !ttq.Has(step.bit) || ttq.Hex() != step.want {
			t.Errorf("bit %02X: %s, want %s", uint8(step.bit), ttq.Hex(), step.want)
		}
	}
	ttq.Clear(TTQOnlineCryptogramRequired)
	if ttq.Hex() != "36400080" {
		t.Errorf("cleared: %s", ttq.Hex())
	}
	var ctq CTQ
	ctq.Set(CTQCDCVM)
	var tvr TVR
	tvr.Set(TVRFloorLimitExceeded)
	var ap AdditionalProcessing
	ap.Set(APOnlinePINMatched)
	if ctq.Hex() != "0080" || tvr.Hex() != "0000008000" || ap.Hex() != "00008000" {
		t.Error(ctq, tvr, ap)
	}
}

func TestRealFields(t *testing.T) {
	ap, err := ParseAdditionalProcessing(unhex(t, "9940F000")) // REF 1.6, S2
	if err != nil {
		t.Fatal(err)
	}
	for bit, want := range map[AdditionalProcessingBit]bool{
		APLowValue: true, APNewCard: true, APPINTriesExceeded: true, APReturnAvailable: true, APPreferContact: false,
		APPrepay: false, APRefuseMismatchedCurrency: true, APOnlinePINMatched: true, APSignature: true,
	} {
		if ap.Has(bit) != want {
			t.Errorf("9F68 bit %02X: %t", uint8(bit), !want)
		}
	}
	aip, err := ParseAIP(unhex(t, "7D00")) // REF 1.10
	if err != nil || !aip.Has(AIPCDA) || !aip.Has(AIPDDA) || aip.Has(AIPFullContactless) {
		t.Error(aip, err)
	}
}

func TestNamesAndReservedBits(t *testing.T) {
	ttq := TTQ{0x20, 0x80, 0x00, 0x01}
	if got := strings.Join(ttq.Names(glossary.English), "; "); got != "qPBOC (QuickPass) supported; online cryptogram required; "+
		"reserved for future use" {
		t.Error(got)
	}
	if got := strings.Join(ttq.Names(glossary.Chinese), "；"); got != "支持 qPBOC（闪付）；要求联机应用密文；保留" {
		t.Error(got)
	}
	if got := ttq.String(); got != "20800001 [qPBOC (QuickPass) supported | online cryptogram required | reserved for future use]" {
		t.Error(got)
	}
	if got := (TVR{}).String(); got != "0000000000" {
		t.Error(got)
	}
	if infos := ttq.Bits(); len(infos) != len(ttqTable)+1 || infos[0].Byte != 1 || infos[0].Bit != 8 || infos[0].Set {
		t.Errorf("%+v", infos)
	}
}

func TestParseFieldRefusesLengths(t *testing.T) {
	parsers := map[string]func([]byte) error{
		"TTQ": func(b []byte) error { _, err := ParseTTQ(b); return err },
		"CTQ": func(b []byte) error { _, err := ParseCTQ(b); return err },
		"TVR": func(b []byte) error { _, err := ParseTVR(b); return err },
		"TSI": func(b []byte) error { _, err := ParseTSI(b); return err },
		"AIP": func(b []byte) error { _, err := ParseAIP(b); return err },
		"CVR": func(b []byte) error { _, err := ParseCVR(b); return err },
		"CVM": func(b []byte) error { _, err := ParseCVMResults(b); return err },
		"AUC": func(b []byte) error { _, err := ParseUsageControl(b); return err },
	}
	for name, parse := range parsers {
		for _, n := range []int{0, 1, 6, 8} {
			if parse(make([]byte, n)) == nil {
				t.Errorf("%s: %d bytes accepted", name, n)
			}
		}
	}
	if _, err := ParseCVR([]byte{4, 0, 0, 0}); err == nil {
		t.Error("CVR with length 04 accepted")
	}
}

// TestCVR follows the published trace: ARQC at the first GENERATE AC, TC at the second [REF 1.8].
func TestCVR(t *testing.T) {
	c := NewCVR()
	c.SetFirst(ARQC)
	if c.Hex() != "03A00000" {
		t.Error(c.Hex())
	}
	if _, requested := c.Second(); requested || !c.Has(CVRSecondACNotRequested) {
		t.Error("second cryptogram requested")
	}
	c.Set(CVRDDAPerformed)
	c.SetSecond(TC)
	if got, requested := c.Second(); !requested || got != TC || c.First() != ARQC || c.Hex() != "03600002" {
		t.Error(c)
	}
	c.SetSecond(AAC)
	if got, requested := c.Second(); !requested || got != AAC || c.Hex() != "03200002" {
		t.Error(c)
	}
	c.SetSecondNotRequested()
	for _, n := range []int{0, 1, 15} {
		if c.SetScriptCount(n); c.ScriptCount() != n {
			t.Errorf("%d scripts: %d", n, c.ScriptCount())
		}
	}
	c.SetScriptCount(16)
	if c.ScriptCount() != 15 || !c.Has(CVRDDAPerformed) {
		t.Error(c)
	}
	c.SetScriptCount(2)
	want := "03A00022 [2nd GENERATE AC: not requested | 1st GENERATE AC or GPO: ARQC | issuer script commands processed: 2 | " +
		"offline dynamic data authentication performed]"
	if c.String() != want {
		t.Error(c)
	}
	c.Set(CVRPINLimitExceeded)
	if c.Hex() != "03A04022" {
		t.Error(c.Hex())
	}
}

func TestCryptogramTypeWithoutCID(t *testing.T) {
	for text, want := range map[string]CID{
		"07010103A00000010A010000038787868FD1FC": ARQC, "0701010390000001": TC, "0701010380000001": AAC,
	} {
		iad, err := ParseIAD(unhex(t, text))
		if err != nil || iad.CryptogramType() != want {
			t.Errorf("%s: %v, %v", text, iad.CryptogramType(), err)
		}
		if got, ok := IADCryptogramType(unhex(t, text)); !ok || got != want {
			t.Errorf("%s: %v, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "07", "06010103A0000001", "07010102A0000001"} {
		if _, ok := IADCryptogramType(unhex(t, text)); ok {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestCID(t *testing.T) {
	if AAC.String() != "AAC" || TC.String() != "TC" || ARQC.String() != "ARQC" || CID(0xC0).String() != "CID(C0)" {
		t.Error("String")
	}
	c := CID(0x8B)
	if c.Type() != ARQC || !c.Advice() || c.Reason() != 3 || c.String() != "ARQC" || c.Term().ZH == "" {
		t.Error(c.Type(), c.Advice(), c.Reason())
	}
}

func TestIADBalance(t *testing.T) {
	for text, want := range map[string]int64{
		"07010103A00000010A010000038787868FD1FC":           38787,
		"07000103A04002010A010000001000D1F61152":           1000,
		"07010103A00000010F0300000387870000000010AABBCCDD": 38787,
	} {
		iad, err := ParseIAD(unhex(t, text))
		if got, ok := iad.Balance(); err != nil || !ok || got != want {
			t.Errorf("%s: %d, %t, %v", text, got, ok, err)
		}
	}
	for _, text := range []string{
		"07000103A0A80201",                       // no IDD
		"07010103A00000010A020000038787868FD1FC", // another amount
		"07010103A00000010A01000003878A868FD1FC", // not BCD
	} {
		iad, err := ParseIAD(unhex(t, text))
		if got, ok := iad.Balance(); err != nil || ok {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}

// TestDescribeBits: the dictionary and the field types agree: every tag whose bits have meanings can be described, at
// exactly the length the dictionary gives.
func TestDescribeBits(t *testing.T) {
	for _, e := range Dictionary() {
		infos, ok := DescribeBits(e.Tag, make([]byte, e.Max))
		if e.Format == FormatBits && (!ok || len(infos) == 0 || e.Min != e.Max) {
			t.Errorf("%v cannot be described", e.Tag)
		}
		if _, tooLong := DescribeBits(e.Tag, make([]byte, e.Max+1)); tooLong {
			t.Errorf("%v: %d bytes described", e.Tag, e.Max+1)
		}
		for _, info := range infos {
			if info.Byte < 1 || info.Byte > e.Max || info.Bit < 1 || info.Bit > 8 || info.Width < 1 || info.Name.ZH == "" {
				t.Errorf("%v: %+v", e.Tag, info)
			}
		}
	}
	if _, ok := DescribeBits(TagAmount, make([]byte, 6)); ok {
		t.Error("an amount has no bits")
	}
}
