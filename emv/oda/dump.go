package oda

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/pan"
	"tapnet/tlv"
)

// Limits on a dump, which is a text somebody may have been sent.
const (
	// MaxDumpBytes holds many times what one card says.
	MaxDumpBytes = 64 << 10
	// MaxDumpEntries is more than the tags of the dictionary.
	MaxDumpEntries = 512
)

// Dump is one card's authentication data read from a text: one "key = HEX" a line, where
//
//   - key is an EMV tag ("90", "9F46"), or AIP or AFL for 82 and 94;
//   - "record S.R" is the whole answer to READ RECORD (template 70) of a record that the AFL flags for authentication;
//   - "static" is the static data already put together, instead of records;
//   - "ddol" is the terminal data of INTERNAL AUTHENTICATE, when it was more than tag 9F37;
//   - "rid" is the registered provider (default A000000333), "date" the day of the recording as YYYYMMDD.
//
// Letter case is free, blanks inside HEX and everything after # are ignored, and no key may occur twice. A dump holds
// account numbers: it prints itself masked, and only Reveal gives it back as text.
type Dump struct {
	values  []tlv.Element
	records []dumpRecord
	static  []byte
	ddol    []byte
	rid     [5]byte
	date    string
}

type dumpRecord struct {
	sfi, number byte
	raw         []byte
}

// DumpError says what is wrong with which line of a dump. It shows none of the line.
type DumpError struct {
	Line    int // from 1; 0 for the dump as a whole
	Problem glossary.Term
}

// Error is the English sentence.
func (e *DumpError) Error() string { return "parse dump: " + e.Term().EN }

// Term is "line n: problem" in both languages.
func (e *DumpError) Term() glossary.Term {
	if e.Line == 0 {
		return e.Problem
	}
	return glossary.Term{
		EN: "line " + strconv.Itoa(e.Line) + ": " + e.Problem.EN,
		ZH: "第" + strconv.Itoa(e.Line) + "行:" + e.Problem.ZH,
	}
}

// Problems of a dump.
var (
	problemSize     = glossary.Term{EN: "the dump is too long", ZH: "内容过长"}
	problemEmpty    = glossary.Term{EN: "the dump holds no data", ZH: "内容为空"}
	problemForm     = glossary.Term{EN: "not of the form key = HEX", ZH: "不是“键 = 十六进制”的形式"}
	problemKey      = glossary.Term{EN: "unknown key", ZH: "未知的键"}
	problemHex      = glossary.Term{EN: "the value is not hexadecimal", ZH: "值不是十六进制"}
	problemTwice    = glossary.Term{EN: "the key occurs twice", ZH: "键重复出现"}
	problemRecord   = glossary.Term{EN: "a record is named record SFI.number, 1 to 30 and 1 to 255", ZH: "记录应写为 record SFI.记录号(1至30,1至255)"}
	problemRID      = glossary.Term{EN: "a provider identifier has 5 bytes", ZH: "注册应用提供商标识应为5字节"}
	problemDate     = glossary.Term{EN: "the date is not YYYYMMDD", ZH: "日期不是YYYYMMDD"}
	problemConflict = glossary.Term{EN: "static and records exclude each other", ZH: "static与record不能同时出现"}
)

// ParseDump reads the text. Errors are *DumpError.
func ParseDump(text []byte) (Dump, error) {
	if len(text) > MaxDumpBytes {
		return Dump{}, &DumpError{Problem: problemSize}
	}
	d := Dump{rid: emv.RIDUnionPay}
	seen := make(map[string]bool)
	number := 0
	for line := range bytes.Lines(text) {
		number++
		content, _, _ := strings.Cut(string(line), "#")
		if strings.TrimSpace(content) == "" {
			continue
		}
		if problem := d.line(content, seen); problem != (glossary.Term{}) {
			return Dump{}, &DumpError{Line: number, Problem: problem}
		}
	}
	switch {
	case len(seen) == 0:
		return Dump{}, &DumpError{Problem: problemEmpty}
	case d.static != nil && len(d.records) > 0:
		return Dump{}, &DumpError{Problem: problemConflict}
	}
	return d, nil
}

// line reads one assignment; the zero Term means that it was good.
func (d *Dump) line(content string, seen map[string]bool) glossary.Term {
	left, right, ok := strings.Cut(content, "=")
	key := strings.Join(strings.Fields(strings.ToUpper(left)), " ")
	if !ok || key == "" {
		return problemForm
	}
	digits := strings.Join(strings.Fields(right), "")
	value, err := hex.DecodeString(digits)
	if err != nil || len(value) == 0 {
		return problemHex
	}
	switch key {
	case "AIP":
		key = emv.TagAIP.String()
	case "AFL":
		key = emv.TagAFL.String()
	}
	name, problem := d.set(key, digits, value)
	switch {
	case problem != (glossary.Term{}):
		return problem
	case seen[name]:
		return problemTwice
	case len(seen) >= MaxDumpEntries:
		return problemSize
	}
	seen[name] = true
	return glossary.Term{}
}

// set stores a value and returns the key in the one way it is written.
func (d *Dump) set(key, digits string, value []byte) (name string, problem glossary.Term) {
	switch key {
	case "STATIC":
		d.static = value
	case "DDOL":
		d.ddol = value
	case "RID":
		if len(value) != len(d.rid) {
			return "", problemRID
		}
		d.rid = [5]byte(value)
	case "DATE":
		if _, err := time.Parse(dateLayout, digits); err != nil {
			return "", problemDate
		}
		d.date = digits
	default:
		if place, ok := strings.CutPrefix(key, "RECORD "); ok {
			return d.setRecord(place, value)
		}
		tag, err := tlv.ParseTagText(key)
		if err != nil {
			return "", problemKey
		}
		d.values = append(d.values, tlv.Element{Tag: tag, Value: value})
		return tag.String(), glossary.Term{}
	}
	return key, glossary.Term{}
}

func (d *Dump) setRecord(place string, value []byte) (name string, problem glossary.Term) {
	left, right, _ := strings.Cut(place, ".")
	sfi, err := strconv.ParseUint(left, 10, 8)
	if err != nil || sfi < 1 || sfi > maxSFI {
		return "", problemRecord
	}
	number, err := strconv.ParseUint(right, 10, 8)
	if err != nil || number < 1 {
		return "", problemRecord
	}
	d.records = append(d.records, dumpRecord{sfi: byte(sfi), number: byte(number), raw: value})
	return fmt.Sprintf("RECORD %d.%d", sfi, number), glossary.Term{}
}

// Value is the value of a tag that has a line of its own.
func (d Dump) Value(tag tlv.Tag) ([]byte, bool) {
	for _, e := range d.values {
		if e.Tag == tag {
			return e.Value, true
		}
	}
	return nil, false
}

// Date is the day of the recording, when the dump says so: the day to verify an old recording for.
func (d Dump) Date() (time.Time, bool) {
	day, err := time.Parse(dateLayout, d.date)
	return day, err == nil
}

// RID is the registered application provider.
func (d Dump) RID() [5]byte { return d.rid }

// Equal reports whether two dumps hold the same lines in the same order.
func (d Dump) Equal(other Dump) bool { return bytes.Equal(d.Reveal(), other.Reveal()) }

// Reveal is the dump as text in the form ParseDump reads, with the account number in it.
func (d Dump) Reveal() []byte {
	var b []byte
	if d.date != "" {
		b = fmt.Appendf(b, "date = %s\n", d.date)
	}
	b = fmt.Appendf(b, "rid = %X\n", d.rid)
	for _, e := range d.values {
		b = fmt.Appendf(b, "%v = %X\n", e.Tag, e.Value)
	}
	for _, r := range d.records {
		b = fmt.Appendf(b, "record %d.%d = %X\n", r.sfi, r.number, r.raw)
	}
	if d.static != nil {
		b = fmt.Appendf(b, "static = %X\n", d.static)
	}
	if d.ddol != nil {
		b = fmt.Appendf(b, "ddol = %X\n", d.ddol)
	}
	return b
}

func (d Dump) masked() string {
	return fmt.Sprintf("[redacted dump: %d tags, %d records]", len(d.values), len(d.records))
}

// String, Format, LogValue and MarshalText say how much there is and nothing of it.
func (d Dump) String() string { return d.masked() }

// Format masks the dump under every verb.
func (d Dump) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(d.masked())) }

// LogValue masks the dump in structured logs.
func (d Dump) LogValue() slog.Value { return slog.StringValue(d.masked()) }

// MarshalText masks the dump.
func (d Dump) MarshalText() ([]byte, error) { return []byte(d.masked()), nil }

// flagged is the records that the AFL flags for authentication, in its order.
func (d *Dump) flagged(locator []byte) ([]Record, error) {
	afl, err := emv.ParseAFL(locator)
	if err != nil {
		return nil, fail(StepStaticData, CheckRecord)
	}
	var records []Record
	for want := range afl.Records() {
		if !want.Signed {
			continue
		}
		at := slices.IndexFunc(d.records, func(r dumpRecord) bool { return r.sfi == want.SFI && r.number == want.Number })
		if at < 0 {
			return nil, fail(StepStaticData, CheckMissing)
		}
		records = append(records, Record{SFI: want.SFI, Raw: d.records[at].raw})
	}
	return records, nil
}

// account finds the PAN: tag 5A or 57 on a line of its own, or in the static data or a record.
func (d *Dump) account() (pan.Number, bool) {
	for _, e := range d.values {
		if n, ok := accountIn(e); ok {
			return n, true
		}
	}
	sources := [][]byte{d.static}
	for _, r := range d.records {
		if template, _, err := tlv.Next(r.raw); err == nil {
			sources = append(sources, template.Value)
		}
	}
	for _, source := range sources {
		for len(source) > 0 {
			e, rest, err := tlv.Next(source)
			if err != nil {
				break
			}
			if n, ok := accountIn(e); ok {
				return n, true
			}
			source = rest
		}
	}
	return pan.Number{}, false
}

func accountIn(e tlv.Element) (pan.Number, bool) {
	switch e.Tag {
	case emv.TagPAN:
		n, err := pan.FromBCD(e.Value)
		return n, err == nil
	case emv.TagTrack2:
		t, err := pan.ParseTrack2(e.Value)
		return t.PAN(), err == nil
	}
	return pan.Number{}, false
}
