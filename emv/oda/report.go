package oda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/tlv"
)

// Status is how a step of a report ended.
type Status uint8

// A step passed, failed, or was not taken: its data is absent or an earlier step failed.
const (
	Passed Status = iota + 1
	Failed
	Skipped
)

var statusTerms = [...]glossary.Term{
	Passed:  {EN: "ok", ZH: "通过"},
	Failed:  {EN: "FAILED", ZH: "失败"},
	Skipped: {EN: "skipped", ZH: "未执行"},
}

// Term names the status in both languages.
func (s Status) Term() glossary.Term {
	if int(s) >= len(statusTerms) {
		return glossary.Term{}
	}
	return statusTerms[s]
}

// Field is one recovered value, fit to print: account numbers are masked.
type Field struct {
	Name  glossary.Term
	Value string
}

// StepReport is one step of the chain.
type StepReport struct {
	Step   Step
	Status Status
	// Failure is set when the step failed.
	Failure *Failure
	// Note says why a step was skipped.
	Note   glossary.Term
	Fields []Field
}

// Report is what Dump.Verify found, step by step.
type Report struct{ Steps []StepReport }

// Err is the first failure, or nil.
func (r Report) Err() error {
	for i := range r.Steps {
		if f := r.Steps[i].Failure; f != nil {
			return f
		}
	}
	return nil
}

// Authenticated reports whether nothing failed and at least one signature over card data (SDA, DDA or fDDA) verified.
func (r Report) Authenticated() bool {
	signed := false
	for i := range r.Steps {
		s := &r.Steps[i]
		switch {
		case s.Status == Failed:
			return false
		case s.Status == Passed && (s.Step == StepSSAD || s.Step == StepDDA || s.Step == StepFDDA || s.Step == StepCDA):
			signed = true
		}
	}
	return signed
}

// Text is the report for a person to read, a line for each step and an indented line for each field.
func (r Report) Text(l glossary.Lang) string {
	var b strings.Builder
	for i := range r.Steps {
		s := &r.Steps[i]
		fmt.Fprintf(&b, "%s: %s", s.Step.Term().In(l), s.Status.Term().In(l))
		switch {
		case s.Failure != nil:
			fmt.Fprintf(&b, " (%s)", s.Failure.Check.Term().In(l))
		case s.Note != (glossary.Term{}):
			fmt.Fprintf(&b, " (%s)", s.Note.In(l))
		}
		b.WriteByte('\n')
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "    %s: %s\n", f.Name.In(l), f.Value)
		}
	}
	return b.String()
}

// Names of fields.
var (
	fieldRID         = glossary.Term{EN: "RID", ZH: "注册应用提供商标识"}
	fieldIndex       = glossary.Term{EN: "index", ZH: "索引"}
	fieldRole        = glossary.Term{EN: "role", ZH: "用途"}
	fieldModulus     = glossary.Term{EN: "modulus bits", ZH: "模长(位)"}
	fieldExponent    = glossary.Term{EN: "exponent", ZH: "指数"}
	fieldAlgorithm   = glossary.Term{EN: "algorithm", ZH: "算法"}
	fieldPoint       = glossary.Term{EN: "public key", ZH: "公钥"}
	fieldKeyExpiry   = glossary.Term{EN: "expiry (YYYYMMDD)", ZH: "失效日期(YYYYMMDD)"}
	fieldIIN         = glossary.Term{EN: "issuer identifier", ZH: "发卡行标识"}
	fieldPAN         = glossary.Term{EN: "PAN", ZH: "主账号"}
	fieldCertExpiry  = glossary.Term{EN: "expiry (MMYY)", ZH: "失效日期(MMYY)"}
	fieldSerial      = glossary.Term{EN: "serial", ZH: "序列号"}
	fieldHash        = glossary.Term{EN: "hash", ZH: "哈希值"}
	fieldBytes       = glossary.Term{EN: "bytes", ZH: "字节数"}
	fieldDAC         = glossary.Term{EN: "data authentication code", ZH: "数据认证码"}
	fieldDynamic     = glossary.Term{EN: "ICC dynamic data", ZH: "IC卡动态数据"}
	fieldDynamicNum  = glossary.Term{EN: "ICC dynamic number", ZH: "IC卡动态数"}
	fieldVersion     = glossary.Term{EN: "fDDA version", ZH: "fDDA版本"}
	fieldCounter     = glossary.Term{EN: "ATC", ZH: "应用交易计数器"}
	noteAbsent       = glossary.Term{EN: "the data is absent", ZH: "没有相应数据"}
	noteEarlier      = glossary.Term{EN: "an earlier step failed", ZH: "前面的步骤失败"}
	noteNothingToUse = glossary.Term{EN: "nothing signed covers it", ZH: "没有签名覆盖它"}
)

// verification is one run of Verify: what is known so far.
type verification struct {
	dump   *Dump
	keys   *Keys
	now    time.Time
	report Report

	algorithm Algorithm // of the CA key
	static    []byte
	staticOK  bool
	issuer    IssuerKey
	issuerOK  bool
	icc       ICCKey
	iccOK     bool
}

// Verify walks the chain as far as the dump's data goes: CA key, issuer certificate, static data, then static
// authentication, the ICC certificate, and DDA (or fDDA when the dump holds tag 9F66 or 9F69). now decides what has
// expired.
func (d Dump) Verify(keys *Keys, now time.Time) Report {
	v := &verification{dump: &d, keys: keys, now: now}
	v.verifyIssuer()
	v.putStaticTogether()
	v.verifyStatic()
	v.verifyICC()
	v.verifyDynamic()
	return v.report
}

func (v *verification) passed(s Step, fields ...Field) {
	v.report.Steps = append(v.report.Steps, StepReport{Step: s, Status: Passed, Fields: fields})
}

func (v *verification) skipped(s Step, note glossary.Term) {
	v.report.Steps = append(v.report.Steps, StepReport{Step: s, Status: Skipped, Note: note})
}

// failed records an error of this package, under the step that the failure names.
func (v *verification) failed(s Step, err error) {
	f := fail(s, CheckNone)
	errors.As(err, &f)
	v.report.Steps = append(v.report.Steps, StepReport{Step: f.Step, Status: Failed, Failure: f})
}

func (v *verification) value(t tlv.Tag) []byte {
	b, _ := v.dump.Value(t)
	return b
}

func (v *verification) verifyIssuer() {
	index := v.value(emv.TagCAIndex)
	if len(index) != 1 {
		v.failed(StepCAKey, fail(StepCAKey, CheckMissing))
		v.skipped(StepIssuerCertificate, noteEarlier)
		return
	}
	ca, ok := v.keys.Lookup(v.dump.rid, index[0])
	if !ok || ca.expired(v.now) {
		check := CheckUnknownKey
		if ok {
			check = CheckExpired
		}
		v.failed(StepCAKey, fail(StepCAKey, check))
		v.skipped(StepIssuerCertificate, noteEarlier)
		return
	}
	v.algorithm = ca.Algorithm
	v.passed(StepCAKey, ca.fields()...)
	number, ok := v.dump.account()
	cert := Certificate{Certificate: v.value(emv.TagIssuerCertificate), Remainder: v.value(emv.TagIssuerRemainder),
		Exponent: v.value(emv.TagIssuerExponent), PAN: number}
	if !ok || cert.Certificate == nil || v.algorithm == RSA && cert.Exponent == nil {
		v.failed(StepIssuerCertificate, fail(StepIssuerCertificate, CheckMissing))
		return
	}
	issuer, err := v.keys.RecoverIssuerKey(v.dump.rid, index[0], cert, v.now)
	if err != nil {
		v.failed(StepIssuerCertificate, err)
		return
	}
	v.issuer, v.issuerOK = issuer, true
	v.passed(StepIssuerCertificate, append([]Field{{fieldIIN, hexText(issuer.iin[:])}}, issuer.fields()...)...)
}

// fields lists what is known of a CA key.
func (k *CAKey) fields() []Field {
	fields := []Field{{fieldRID, hexText(k.RID[:])}, {fieldIndex, hexText([]byte{k.Index})}, {fieldRole, k.Role}}
	if k.Algorithm == SM2 {
		fields = append(fields, Field{fieldAlgorithm, k.Algorithm.String()})
	} else {
		fields = append(fields, Field{fieldModulus, fmt.Sprint(len(k.Modulus) * 8)}, Field{fieldExponent, hexText(k.Exponent)})
	}
	return append(fields, Field{fieldKeyExpiry, k.Expiry})
}

// fields lists what both kinds of certificate hold.
func (c certified) fields() []Field {
	fields := []Field{{fieldCertExpiry, hexText(c.expiry[:])}, {fieldSerial, hexText(c.serial[:])}}
	if c.key.algorithm == SM2 {
		return append(fields, Field{fieldAlgorithm, c.key.algorithm.String()}, Field{fieldPoint, hexText(c.key.modulus[:c.key.length])})
	}
	return append(fields, []Field{
		{fieldModulus, fmt.Sprint(c.key.BitLen())},
		{fieldExponent, hexText(c.key.Exponent())},
		{fieldHash, hexText(c.hash[:])},
	}...)
}

func (v *verification) putStaticTogether() {
	if v.value(emv.TagSSAD) == nil && v.value(emv.TagICCCertificate) == nil {
		v.skipped(StepStaticData, noteNothingToUse)
		return
	}
	static, err := v.dump.staticData()
	if err != nil {
		v.failed(StepStaticData, err)
		return
	}
	v.static, v.staticOK = static, true
	v.passed(StepStaticData, Field{fieldBytes, fmt.Sprint(len(static))})
}

// staticData is the "static" line, or the records that the AFL flags, in its order.
func (d *Dump) staticData() ([]byte, error) {
	if d.static != nil {
		return d.static, nil
	}
	records := make([]Record, len(d.records))
	for i, r := range d.records {
		records[i] = Record{SFI: r.sfi, Raw: r.raw}
	}
	if list, ok := d.Value(emv.TagAFL); ok {
		ordered, err := d.flagged(list)
		if err != nil {
			return nil, err
		}
		records = ordered
	}
	aip, _ := d.Value(emv.TagAIP)
	tags, _ := d.Value(emv.TagSDATagList)
	return StaticData(records, aip, tags)
}

func (v *verification) verifyStatic() {
	ssad := v.value(emv.TagSSAD)
	switch {
	case ssad == nil:
		v.skipped(StepSSAD, noteAbsent)
		return
	case !v.issuerOK || !v.staticOK:
		v.skipped(StepSSAD, noteEarlier)
		return
	}
	dac, err := VerifySSAD(v.issuer, ssad, v.static)
	if err != nil {
		v.failed(StepSSAD, err)
		return
	}
	v.passed(StepSSAD, Field{fieldDAC, hexText(dac[:])})
}

func (v *verification) verifyICC() {
	cert, exponent := v.value(emv.TagICCCertificate), v.value(emv.TagICCExponent)
	switch {
	case cert == nil:
		v.skipped(StepICCCertificate, noteAbsent)
		return
	case !v.issuerOK || !v.staticOK:
		v.skipped(StepICCCertificate, noteEarlier)
		return
	case exponent == nil && v.algorithm == RSA:
		v.failed(StepICCCertificate, fail(StepICCCertificate, CheckMissing))
		return
	}
	number, _ := v.dump.account()
	icc, err := RecoverICCKey(v.issuer, cert, v.value(emv.TagICCRemainder), exponent, number, v.static, v.now)
	if err != nil {
		v.failed(StepICCCertificate, err)
		return
	}
	v.icc, v.iccOK = icc, true
	v.passed(StepICCCertificate, append([]Field{{fieldPAN, number.Masked()}}, icc.fields()...)...)
}

func (v *verification) verifyDynamic() {
	step := StepDDA
	if v.value(emv.TagTTQ) != nil || v.value(emv.TagCardAuthData) != nil {
		step = StepFDDA
	}
	sdad, terminalData := v.value(emv.TagSDAD), v.dump.ddol
	if terminalData == nil {
		terminalData = v.value(emv.TagUnpredictableNumber)
	}
	switch {
	case sdad == nil:
		v.skipped(step, noteAbsent)
	case v.value(emv.TagICCCertificate) == nil || terminalData == nil:
		v.failed(step, fail(step, CheckMissing))
	case !v.iccOK:
		v.skipped(step, noteEarlier)
	case step == StepFDDA:
		v.verifyFDDA(sdad)
	default:
		v.verifyDDA(sdad, terminalData)
	}
}

func (v *verification) verifyDDA(sdad, terminalData []byte) {
	data, err := VerifyDDA(v.icc, sdad, terminalData)
	if err != nil {
		v.failed(StepDDA, err)
		return
	}
	fields := []Field{{fieldDynamic, hexText(data)}}
	if number, ok := DynamicNumber(data); ok {
		fields = append(fields, Field{fieldDynamicNum, hexText(number)})
	}
	v.passed(StepDDA, fields...)
}

func (v *verification) verifyFDDA(sdad []byte) {
	in, err := v.fddaInput()
	if err != nil {
		v.failed(StepFDDA, err)
		return
	}
	atc, err := VerifyFDDA(v.icc, sdad, in)
	if err != nil {
		v.failed(StepFDDA, err)
		return
	}
	if counter := v.value(emv.TagATC); counter != nil && (len(counter) != 2 || binary.BigEndian.Uint16(counter) != atc) {
		v.failed(StepFDDA, fail(StepFDDA, CheckATC))
		return
	}
	v.passed(StepFDDA, Field{fieldVersion, fmt.Sprintf("%02d", in.Version)}, Field{fieldCounter, fmt.Sprintf("%04X", atc)})
}

// fddaInput collects the terminal's data. The version rules are applied when the dump tells the card's version and
// what the terminal supports; otherwise tag 9F69 alone decides.
func (v *verification) fddaInput() (FDDAInput, error) {
	in := FDDAInput{CardAuthData: v.value(emv.TagCardAuthData)}
	if in.CardAuthData != nil {
		in.Version = 1
	}
	version, ttq := v.value(emv.TagCardVersion), v.value(emv.TagTTQ)
	if len(version) == 2 && len(ttq) == 4 {
		var err error
		supports := emv.TTQ(ttq).Has(emv.TTQFDDA01)
		if in.Version, err = FDDAVersion(in.CardAuthData, binary.BigEndian.Uint16(version), supports); err != nil {
			return in, err
		}
	}
	missing := take(in.UnpredictableNumber[:], v.value(emv.TagUnpredictableNumber))
	if in.Version == 1 {
		missing = take(in.Amount[:], v.value(emv.TagAmount)) || missing
		missing = take(in.Currency[:], v.value(emv.TagCurrency)) || missing
	}
	if missing {
		return in, fail(StepFDDA, CheckMissing)
	}
	return in, nil
}

// take copies a value of exactly the right length and reports when it is missing.
func take(dst, src []byte) (missing bool) {
	return copy(dst, src) != len(dst) || len(src) != len(dst)
}

func hexText(b []byte) string { return fmt.Sprintf("%X", b) }
