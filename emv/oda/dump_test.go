package oda_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tapnet/emv/oda"
	"tapnet/glossary"
)

func readTrace(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/trace-v8.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parseDump(t testing.TB, text string) oda.Dump {
	t.Helper()
	d, err := oda.ParseDump([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTraceV8Verifies(t *testing.T) {
	d := parseDump(t, readTrace(t))
	day, ok := d.Date()
	if !ok || !day.Equal(traceDay) {
		t.Fatalf("date %v", day)
	}
	r := d.Verify(publishedKeys(t), day)
	if err := r.Err(); err != nil || !r.Authenticated() {
		t.Fatalf("%v\n%s", err, r.Text(glossary.English))
	}
	english, chinese := r.Text(glossary.English), r.Text(glossary.Chinese)
	for _, want := range []string{
		"CA key: ok\n", "issuer certificate: ok\n", "static data: ok\n", "signed static data: ok\n", "ICC certificate: ok\n",
		"dynamic data authentication: ok\n", "issuer identifier: 621094FF\n", "serial: 001156\n", "expiry (MMYY): 1230\n",
		"data authentication code: DAC5\n", "PAN: 621094******0011\n", "hash: 5C3619C54E083331C2F4BD6AAD8E023FAEBFAA33\n",
		"ICC dynamic data: 07000659A2F145F4\n", "modulus bits: 1408\n", "bytes: 138\n",
	} {
		if !strings.Contains(english, want) {
			t.Errorf("the report lacks %q:\n%s", want, english)
		}
	}
	if !strings.Contains(chinese, "IC卡公钥证书: 通过\n") || !strings.Contains(chinese, "主账号: 621094******0011\n") {
		t.Errorf("Chinese report:\n%s", chinese)
	}
}

// v9Dump is V-9 as a dump; replace swaps lines, an empty replacement drops one.
func v9Dump(t testing.TB, extra string, replace map[string]string) string {
	t.Helper()
	v := readVector(t, "v9.txt")
	lines := []string{"8F = " + v["tag8F"], "90 = " + v["tag90"], "92 = " + v["tag92"], "9F32 = 03", "AIP = 7C00", "9F4A = 82",
		"static = " + v["static_record"] + v["AIP"], "93 = " + v["tag93"], "9F46 = " + v["tag9F46"], "9F48 = " + v["tag9F48"],
		"9F47 = 03", "9F37 = " + v["9F37"], "9F02 = " + v["9F02"], "5F2A = " + v["5F2A"]}
	var b strings.Builder
	for _, line := range lines {
		key, _, _ := strings.Cut(line, " = ")
		if value, ok := replace[key]; ok {
			if value == "" {
				continue
			}
			line = key + " = " + value
		}
		b.WriteString(line + "\n")
	}
	return b.String() + extra
}

func v9Keys(t testing.TB) (*oda.Keys, time.Time) {
	t.Helper()
	c := readChain(t)
	keys, err := oda.NewKeys(c.ca)
	if err != nil {
		t.Fatal(err)
	}
	return keys, c.now
}

func TestDumpVerifySteps(t *testing.T) {
	v := readVector(t, "v9.txt")
	keys, now := v9Keys(t)
	fdda01 := "9F69 = " + v["9F69"] + "\n9F4B = " + v["fdda01_9F4B"] + "\n"
	fdda00 := "9F66 = 26000000\n9F4B = " + v["fdda00_9F4B"] + "\n"
	dda := "9F4B = " + v["dda_sdad"] + "\n"
	for name, test := range map[string]struct {
		extra   string
		replace map[string]string
		step    oda.Step // of the failure; empty when all is well
		check   oda.Check
	}{
		"DDA":                       {dda, nil, "", ""},
		"DDA with its data":         {dda + "ddol = " + v["9F37"] + "\n", map[string]string{"9F37": "00000000"}, "", ""},
		"DDA with other data":       {dda + "ddol = 00\n", nil, oda.StepDDA, oda.CheckHash},
		"fDDA 01":                   {fdda01, nil, "", ""},
		"fDDA 01 and its ATC":       {fdda01 + "9F36 = 000A\n", nil, "", ""},
		"fDDA 01 and its version":   {fdda01 + "9F08 = 0030\n9F66 = 26000080\n", nil, "", ""},
		"fDDA 01 by an old card":    {fdda01 + "9F08 = 0020\n9F66 = 26000080\n", nil, oda.StepFDDA, oda.CheckVersion},
		"fDDA 00":                   {fdda00, nil, "", ""},
		"fDDA 00 by a new card":     {"9F66 = 26000080\n9F08 = 0030\n9F4B = " + v["fdda00_9F4B"] + "\n", nil, oda.StepFDDA, oda.CheckVersion},
		"fDDA of another ATC":       {fdda01 + "9F36 = 000B\n", nil, oda.StepFDDA, oda.CheckATC},
		"fDDA without amount":       {fdda01, map[string]string{"9F02": ""}, oda.StepFDDA, oda.CheckMissing},
		"fDDA with a short amount":  {fdda01, map[string]string{"9F02": "001000"}, oda.StepFDDA, oda.CheckMissing},
		"fDDA with another amount":  {fdda01, map[string]string{"9F02": "000000001001"}, oda.StepFDDA, oda.CheckHash},
		"no unpredictable number":   {dda, map[string]string{"9F37": ""}, oda.StepDDA, oda.CheckMissing},
		"no ICC certificate":        {dda, map[string]string{"9F46": ""}, oda.StepDDA, oda.CheckMissing},
		"no ICC exponent":           {dda, map[string]string{"9F47": ""}, oda.StepICCCertificate, oda.CheckMissing},
		"no CA index":               {dda, map[string]string{"8F": ""}, oda.StepCAKey, oda.CheckMissing},
		"unknown CA index":          {dda, map[string]string{"8F": "F2"}, oda.StepCAKey, oda.CheckUnknownKey},
		"another provider":          {dda + "rid = A000000632\n", nil, oda.StepCAKey, oda.CheckUnknownKey},
		"no issuer certificate":     {dda, map[string]string{"90": ""}, oda.StepIssuerCertificate, oda.CheckMissing},
		"no issuer exponent":        {dda, map[string]string{"9F32": ""}, oda.StepIssuerCertificate, oda.CheckMissing},
		"another remainder":         {dda, map[string]string{"92": "CD9D7A33"}, oda.StepIssuerCertificate, oda.CheckHash},
		"another PAN":               {dda + "5A = 6299990000000001\n", nil, oda.StepIssuerCertificate, oda.CheckIIN},
		"another PAN in the BIN":    {dda + "57 = 62280001 00000002D3012201\n", nil, oda.StepICCCertificate, oda.CheckPAN},
		"static data of other AIP":  {dda, map[string]string{"static": v["static_record"] + "7C01"}, oda.StepSSAD, oda.CheckHash},
		"static, 93 absent":         {dda, map[string]string{"93": "", "static": v["static_record"] + "7C01"}, oda.StepICCCertificate, oda.CheckHash},
		"no records and no static":  {dda + "5A = 6228000100001117\n", map[string]string{"static": ""}, oda.StepSSAD, oda.CheckHash},
		"record that AFL flags":     {dda + "AFL = 08010101\nrecord 1.1 = 704A" + v["static_record"] + "\n", map[string]string{"static": ""}, "", ""},
		"record that AFL lacks":     {dda + "AFL = 08010201\nrecord 1.2 = 704A" + v["static_record"] + "\n", map[string]string{"static": ""}, oda.StepStaticData, oda.CheckMissing},
		"AFL of three bytes":        {dda + "AFL = 080102\nrecord 1.1 = 704A" + v["static_record"] + "\n", map[string]string{"static": ""}, oda.StepStaticData, oda.CheckRecord},
		"record that is no record":  {dda + "record 1.1 = " + v["static_record"] + "\n5A = 6228000100001117\n", map[string]string{"static": ""}, oda.StepStaticData, oda.CheckRecord},
		"list of another tag":       {dda + "record 1.1 = 704A" + v["static_record"] + "\n", map[string]string{"static": "", "9F4A": "5A"}, oda.StepStaticData, oda.CheckTagList},
		"card signature of zero":    {"9F4B = " + strings.Repeat("00", 128) + "\n", nil, oda.StepDDA, oda.CheckTrailer},
		"card signature too short":  {"9F4B = 00\n", nil, oda.StepDDA, oda.CheckLength},
		"ICC certificate too short": {dda, map[string]string{"9F46": "00"}, oda.StepICCCertificate, oda.CheckLength},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := oda.ParseDump([]byte(v9Dump(t, test.extra, test.replace)))
			if err != nil {
				t.Fatal(err)
			}
			r := d.Verify(keys, now)
			if test.step == "" {
				if r.Err() != nil || !r.Authenticated() {
					t.Errorf("%v\n%s", r.Err(), r.Text(glossary.English))
				}
				return
			}
			if r.Err() == nil || r.Authenticated() {
				t.Fatalf("accepted:\n%s", r.Text(glossary.English))
			}
			wantFailure(t, r.Err(), test.step, test.check)
		})
	}
}

func TestReportWithoutSignatures(t *testing.T) {
	keys, now := v9Keys(t)
	d := parseDump(t, v9Dump(t, "", map[string]string{"93": "", "9F46": ""}))
	r := d.Verify(keys, now)
	if r.Err() != nil || r.Authenticated() {
		t.Errorf("err %v, authenticated %v", r.Err(), r.Authenticated())
	}
	if text := r.Text(glossary.English); !strings.Contains(text, "static data: skipped (nothing signed covers it)\n") {
		t.Error(text)
	}
	d = parseDump(t, readTrace(t))
	r = d.Verify(publishedKeys(t), time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	wantFailure(t, r.Err(), oda.StepCAKey, oda.CheckExpired)
	if text := r.Text(glossary.Chinese); !strings.Contains(text, "认证中心公钥: 失败 (已过期)\n发卡行公钥证书: 未执行 (前面的步骤失败)\n") {
		t.Error(text)
	}
	if oda.Status(9).Term() != (glossary.Term{}) {
		t.Error("an unknown status has a name")
	}
}

func TestParseDumpRefuses(t *testing.T) {
	var many strings.Builder
	for i := range oda.MaxDumpEntries + 1 {
		fmt.Fprintf(&many, "record %d.%d = 00\n", i/255+1, i%255+1)
	}
	for name, test := range map[string]struct {
		text string
		line int
	}{
		"empty":            {"", 0},
		"comments only":    {"# nothing\n\n", 0},
		"no equals sign":   {"90 00", 1},
		"no key":           {"= 00", 1},
		"no value":         {"90 = \n", 1},
		"odd hex":          {"90 = 123", 1},
		"not hex":          {"\n\n90 = zz", 3},
		"unknown key":      {"colour = 00", 1},
		"tag with a rest":  {"9000 = 00", 1},
		"tag cut short":    {"9F = 00", 1},
		"twice":            {"90 = 00\n90 = 01", 2},
		"twice by name":    {"82 = 0000\nAIP = 0000", 2},
		"record 0":         {"record 1.0 = 70", 1},
		"record 256":       {"record 1.256 = 70", 1},
		"SFI 0":            {"record 0.1 = 70", 1},
		"SFI 31":           {"record 31.1 = 70", 1},
		"record unnamed":   {"record 1 = 70", 1},
		"record twice":     {"record 1.1 = 70\nRECORD 01.1 = 70", 2},
		"static and more":  {"static = 00\nrecord 1.1 = 70", 0},
		"rid of 4 bytes":   {"rid = A0000003", 1},
		"date":             {"date = 20151316", 1},
		"date of 6 digits": {"date = 150316", 1},
		"too long":         {strings.Repeat("#", oda.MaxDumpBytes+1), 0},
		"too many entries": {many.String(), oda.MaxDumpEntries + 1},
	} {
		_, err := oda.ParseDump([]byte(test.text))
		e, ok := err.(*oda.DumpError)
		if !ok || e.Line != test.line {
			t.Errorf("%s: error %v, want one in line %d", name, err, test.line)
			continue
		}
		if e.Term().EN == "" || e.Term().ZH == "" || !strings.Contains(e.Error(), e.Term().EN) {
			t.Errorf("%s: %q lacks a language", name, e.Term())
		}
	}
}

func TestDumpMasksItself(t *testing.T) {
	d := parseDump(t, readTrace(t))
	text, err := json.Marshal(struct{ D oda.Dump }{d})
	if err != nil {
		t.Fatal(err)
	}
	printed := string(text) + fmt.Sprintf("%v %+v %#v %s %x %d", d, d, d, d, d, d) + d.LogValue().String()
	if strings.Contains(printed, "0000000011") || strings.Contains(printed, "9401D7") {
		t.Errorf("a dump prints its contents: %s", printed)
	}
	again := parseDump(t, string(d.Reveal()))
	if !again.Equal(d) || !bytes.Equal(again.Reveal(), d.Reveal()) {
		t.Error("Reveal does not read back")
	}
}
