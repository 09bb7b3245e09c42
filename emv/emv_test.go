package emv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"tapnet/tlv"
)

// TestDictionary: one row for a tag, both names, sane lengths, and formats that agree with the tag.
func TestDictionary(t *testing.T) {
	rows := Dictionary()
	if len(rows) < 150 {
		t.Errorf("only %d rows", len(rows))
	}
	for i, e := range rows {
		if i > 0 && e.Tag <= rows[i-1].Tag {
			t.Errorf("%v is listed twice or out of order", e.Tag)
		}
		if !e.Tag.Valid() {
			t.Errorf("%v is no tag", e.Tag)
		}
		if e.Name.EN == "" || e.Name.ZH == "" || e.Ref == "" {
			t.Errorf("%v lacks a name or a source: %+v", e.Tag, e)
		}
		if e.Min < 0 || e.Max < e.Min || e.Max == 0 {
			t.Errorf("%v has lengths %d to %d", e.Tag, e.Min, e.Max)
		}
		if e.Tag.Constructed() != (e.Format == FormatTemplate) {
			t.Errorf("%v is constructed %t, format %v", e.Tag, e.Tag.Constructed(), e.Format)
		}
		if e.Source.Term().ZH == "" || strings.HasPrefix(e.Format.String(), "Format(") {
			t.Errorf("%v: source %v, format %v", e.Tag, e.Source, e.Format)
		}
		if got, known := Lookup(e.Tag); !known || got != e {
			t.Errorf("%v cannot be looked up", e.Tag)
		}
		if e.Access&AccessPut != 0 && e.Access&AccessGet == 0 {
			t.Errorf("%v can be written but not read", e.Tag)
		}
	}
	rows[0].Name.EN = "changed"
	if Dictionary()[0].Name.EN == "changed" {
		t.Error("Dictionary returns the table itself")
	}
	for _, tag := range []tlv.Tag{0x5A, 0x57, 0x5F20, 0x9F1F, 0x9F20, 0x9F61, 0x99} {
		if e, _ := Lookup(tag); !e.Sensitive {
			t.Errorf("%v is not sensitive", tag)
		}
	}
	if _, known := Lookup(0x9F7F); known {
		t.Error("9F7F known")
	}
}

func TestCheckLength(t *testing.T) {
	for _, c := range []struct {
		tag  tlv.Tag
		n    int
		want bool
	}{{TagAmount, 6, true}, {TagAmount, 5, false}, {TagAmount, 7, false}, {TagIAD, 32, true}, {TagIAD, 33, false}, {0x9F7F, 99, true}} {
		if CheckLength(c.tag, c.n) != c.want {
			t.Errorf("%v, %d bytes: %t", c.tag, c.n, !c.want)
		}
	}
}

func TestAID(t *testing.T) {
	if string(PPSE) != "2PAY.SYS.DDF01" || PPSE.String() != "325041592E5359532E4444463031" || AIDDebit.String() != "A000000333010101" {
		t.Error(PPSE, AIDDebit)
	}
	if _, err := ParseAID(nil); !errors.Is(err, ErrAID) {
		t.Error(err)
	}
	if _, err := ParseAID(make([]byte, 4)); !errors.Is(err, ErrAID) {
		t.Error(err)
	}
	if _, err := ParseAID(make([]byte, 17)); !errors.Is(err, ErrAID) {
		t.Error(err)
	}
	aid, err := ParseAID(unhex(t, "A000000333010102"))
	if err != nil || aid != AIDCredit || !bytes.Equal(aid.Bytes()[:5], RIDUnionPay[:]) {
		t.Error(aid, err)
	}
	if !aid.Matches(UnionPayKernelPrefix, true) || aid.Matches(UnionPayKernelPrefix, false) || aid.Matches("", true) ||
		!aid.Matches(aid, false) || aid.Matches(AIDDebit, true) {
		t.Error("Matches")
	}
	for _, known := range aidTerms {
		if term, ok := known.aid.Term(); !ok || term.EN == "" || term.ZH == "" {
			t.Errorf("%v has no name", known.aid)
		}
	}
	for aid, want := range map[AID]byte{
		AIDDebit: 7, AIDQuasiCredit: 7, AIDUSDebit: 7, "\xA0\x00\x00\x03\x33": 7, "\xA0\x00\x00\x03\x33\x02": 7, AIDTransitCash: 0, PPSE: 0, "": 0,
		"\xA0\x00\x00\x00\x04\x10\x10": 2, "\xA0\x00\x00\x00\x03\x10\x10": 3, "\xA0\x00\x00\x00\x25\x01": 4,
		"\xA0\x00\x00\x00\x65\x10\x10": 5, "\xA0\x00\x00\x01\x52\x30\x10": 6, "\xA0\x00\x00\x03\x34": 0,
	} {
		if kernel, known := aid.Kernel(); kernel != want || known != (want != 0) {
			t.Errorf("%v leads to kernel %d, %v", aid, kernel, known)
		}
	}
}

// TestDOLPadding: the rules of [EMV B3 5.4], one case each.
func TestDOLPadding(t *testing.T) {
	cases := []struct{ name, dol, tag, value, want string }{
		{"exact", "9F0206", "9F02", "000000012345", "000000012345"},
		{"numeric too long loses the left", "9F0204", "9F02", "000000012345", "00012345"},
		{"numeric too short gains zeros on the left", "9F0208", "9F02", "000000012345", "0000000000012345"},
		{"binary too long loses the right", "9F3702", "9F37", "11223344", "1122"},
		{"binary too short gains zeros on the right", "9F3706", "9F37", "11223344", "112233440000"},
		{"compressed numeric too short gains F on the right", "5A0A", "5A", "6228000100001117", "6228000100001117FFFF"},
		{"compressed numeric too long loses the right", "5A04", "5A", "6228000100001117", "62280001"},
		{"text too short gains zeros on the right", "9F4E06", "9F4E", "414243", "414243000000"},
		{"absent", "9F3704", "9F02", "000000012345", "00000000"},
		{"empty counts as absent", "5A04", "5A", "", "00000000"},
		{"constructed", "6104", "61", "4F024142", "00000000"},
		{"unknown tag is binary", "9F7F03", "9F7F", "1122", "112200"},
		{"no bytes", "9F0200", "9F02", "000000012345", ""},
	}
	for _, c := range cases {
		dol, err := ParseDOL(unhex(t, c.dol))
		if err != nil {
			t.Fatal(err)
		}
		tag, err := tlv.ParseTagText(c.tag)
		if err != nil {
			t.Fatal(err)
		}
		var data Data
		data.Set(tag, unhex(t, c.value))
		got := dol.Build(nil, data)
		if !bytes.Equal(got, unhex(t, c.want)) || len(got) != dol.Length() {
			t.Errorf("%s: %X, want %s", c.name, got, c.want)
		}
	}
}

// TestDOLSources: the first source wins; a hole in it is filled from the next; nil sources are skipped.
func TestDOLSources(t *testing.T) {
	dol, err := ParseDOL(unhex(t, "9F0206 9F3704 9505"))
	if err != nil {
		t.Fatal(err)
	}
	var transaction, config Data
	transaction.Set(TagAmount, unhex(t, "000000000100"))
	config.Set(TagAmount, unhex(t, "000000999999"))
	config.Set(TagUnpredictableNumber, unhex(t, "01020304"))
	want := unhex(t, "000000000100 01020304 0000000000")
	if got := dol.Build(nil, nil, transaction, &config); !bytes.Equal(got, want) {
		t.Errorf("%X", got)
	}
	if got := dol.Build([]byte{0x83}, Sources{nil, transaction, config}); !bytes.Equal(got[1:], want) || got[0] != 0x83 {
		t.Errorf("%X", got)
	}
	split, err := dol.Split(want)
	if err != nil || split.Len() != 3 || !bytes.Equal(split.Get(TagUnpredictableNumber), unhex(t, "01020304")) {
		t.Error(split, err)
	}
	if !dol.Has(TagTVR) || dol.Has(TagTTQ) || dol.String() != "9F02·6 9F37·4 95·5" {
		t.Error(dol)
	}
	buf := make([]byte, 0, 64)
	var first, second Source = &transaction, &config
	if allocs := testing.AllocsPerRun(100, func() { _ = dol.Build(buf[:0], first, second) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDOLSplitRefuses(t *testing.T) {
	dol, err := ParseDOL(unhex(t, "9F0206 9F3704"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 9, 11} {
		if _, err := dol.Split(make([]byte, n)); !errors.Is(err, ErrDOLLength) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	twice, err := ParseDOL(unhex(t, "9F3704 9F3704"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := twice.Split(make([]byte, 8)); !errors.Is(err, ErrDuplicateTag) {
		t.Errorf("tag twice: %v", err)
	}
}

func TestDOLLimits(t *testing.T) {
	if _, err := ParseDOL(bytes.Repeat([]byte{0x95, 0x00}, MaxDOLEntries)); err != nil {
		t.Error(err)
	}
	if _, err := ParseDOL(bytes.Repeat([]byte{0x95, 0x00}, MaxDOLEntries+1)); err == nil {
		t.Error("too many entries accepted")
	}
}

// TestAFLRecords: the contact e-cash locator of REF 1.11.
func TestAFLRecords(t *testing.T) {
	afl, err := ParseAFL(unhex(t, "080102001001050018010201"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := range afl.Records() {
		got = append(got, fmt.Sprintf("%d/%d/%t", r.SFI, r.Number, r.Signed))
	}
	want := "1/1/false 1/2/false 2/1/false 2/2/false 2/3/false 2/4/false 2/5/false 3/1/true 3/2/false"
	if strings.Join(got, " ") != want || afl.Len() != 9 {
		t.Errorf("%v", got)
	}
	if last, ok := afl.Last(); !ok || last != (AFLRecord{SFI: 3, Number: 2}) {
		t.Error(last, ok)
	}
	if last, ok := (AFL{{SFI: 4, First: 1, Last: 1, ODA: 1}}).Last(); !ok || !last.Signed {
		t.Error(last, ok)
	}
	if _, ok := (AFL)(nil).Last(); ok {
		t.Error("empty AFL has a last record")
	}
	for range afl.Records() { // stopping early must not panic
		break
	}
	full, err := ParseAFL(unhex(t, "F001FF00"))
	if err != nil || len(slices.Collect(full.Records())) != 255 {
		t.Error("record 255", err)
	}
}

func TestCVMList(t *testing.T) {
	list, err := ParseCVMList(unhex(t, "00001000 00002000 5E03 4203 1F00 2099"))
	if err != nil {
		t.Fatal(err)
	}
	if list.X != 0x1000 || list.Y != 0x2000 || len(list.Rules) != 4 {
		t.Errorf("%+v", list)
	}
	first, third, fourth := list.Rules[0], list.Rules[2], list.Rules[3]
	if first.Code.Method() != CVMSignature || !first.Code.ApplyNextOnFailure() || first.Condition != CVMIfSupported {
		t.Errorf("%+v", first)
	}
	if third.Code != CVMNone || third.Code.ApplyNextOnFailure() || third.Condition.Term().EN != "always" {
		t.Errorf("%+v", third)
	}
	if fourth.Code.Term().ZH == "" || fourth.Condition.Term().EN != "unknown condition" {
		t.Errorf("%+v", fourth)
	}
	for c := range 256 {
		if term := CVMCode(c).Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("method %02X lacks a name", c)
		}
		if term := CVMCondition(c).Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("condition %02X lacks a name", c)
		}
	}
	if _, err := ParseCVMList(make([]byte, 254)); err == nil {
		t.Error("254 bytes accepted")
	}
	results := NewCVMResults(CVMOnlinePIN, CVMIfSupported, CVMResultUnknown)
	if results.Hex() != "020300" ||
		results.String() != "020300 [enciphered PIN checked online | if the terminal supports the method | result unknown]" {
		t.Error(results)
	}
}

func TestDataList(t *testing.T) {
	var d Data
	value := []byte{1, 2}
	d.Set(TagATC, value)
	d.Set(TagAIP, []byte{0x7C, 0})
	d.Set(TagATC, value)
	value[0] = 9
	if d.Len() != 2 || !bytes.Equal(d.Bytes(), unhex(t, "9F3602010282027C00")) {
		t.Errorf("%X", d.Bytes())
	}
	clone := d.Clone()
	clone.Set(TagATC, []byte{7, 7})
	clone.Delete(TagAIP)
	clone.Delete(TagAIP)
	if d.Len() != 2 || clone.Len() != 1 || d.Equal(clone) || d.Get(TagATC)[0] != 1 {
		t.Error(d, clone)
	}
	if !d.Has(TagAIP) || d.Has(TagPAN) || d.Get(TagPAN) != nil {
		t.Error("Has")
	}
	if !(Data{}).Equal(Data{}) || (Data{}).Clone().Len() != 0 || (Data{}).Bytes() != nil {
		t.Error("zero value")
	}
	d.Set(TagCID, nil)
	if v, ok := d.Value(TagCID); !ok || len(v) != 0 {
		t.Error("empty value is lost")
	}
}

func TestDataLimits(t *testing.T) {
	var d Data
	for i := range MaxDataElements + 1 {
		d.Set(tlv.Tag(0x9F8100+i/64*0x100+i%64), []byte{1})
	}
	if _, err := ParseData(d.Bytes()); !errors.Is(err, ErrTooManyElements) {
		t.Errorf("%d elements: %v", d.Len(), err)
	}
	if _, err := ParseData(unhex(t, "82027C0082027C00")); !errors.Is(err, ErrDuplicateTag) {
		t.Error(err)
	}
	if err := d.Decode([]byte{0x82}); err == nil || d.Len() != 0 {
		t.Error("data left after an error")
	}
}

// TestDecodeReusesMemory: the host's hot path decodes field 55 of every message.
func TestDecodeReusesMemory(t *testing.T) {
	in := unhex(t, "82027C009F36020ADC9F101307010103A00000010A010000038787868FD1FC9F2608AD03EE811AFAD484")
	var d Data
	if err := d.Decode(in); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 0, 256)
	allocs := testing.AllocsPerRun(100, func() {
		if d.Decode(in) != nil {
			t.Fatal("refused")
		}
		out = d.AppendTo(out[:0])
	})
	if allocs != 0 || !bytes.Equal(out, in) {
		t.Errorf("%v allocations, %X", allocs, out)
	}
}

// TestDataMasks: an account number, a track or a name must not leave through a print.
func TestDataMasks(t *testing.T) {
	d, err := ParseData(unhex(t, "5A086228000100001117 57116228000100001117D20112010123456789 9F0206000000000100 "+
		"70115A0862280001000011175F20044C494E41"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("data", "data", d)
	asJSON, err := json.Marshal(struct{ ICC Data }{d})
	if err != nil {
		t.Fatal(err)
	}
	prints := []string{log.String(), string(asJSON), d.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		prints = append(prints, fmt.Sprintf(verb, d), fmt.Sprintf(verb, &d), fmt.Sprintf(verb, struct{ ICC Data }{d}))
	}
	for _, p := range prints {
		if strings.Contains(p, "0001000011") || strings.Contains(p, "4C494E41") || !strings.Contains(p, "redacted") {
			t.Errorf("card data in %q", p)
		}
	}
	if want := "5A=[redacted 8] 57=[redacted 17] 9F02=000000000100 70=[redacted 17]"; d.String() != want {
		t.Error(d)
	}
	if want := `{"ICC":{"5A":"[redacted 8]","57":"[redacted 17]","9F02":"000000000100","70":"[redacted 17]"}}`; string(asJSON) != want {
		t.Error(string(asJSON))
	}
}
