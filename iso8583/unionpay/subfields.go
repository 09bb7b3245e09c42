package unionpay

import (
	"fmt"

	"tapnet/iso8583"
)

// Positions of the sub-fields of field 60 [REF 6.1].
const (
	infoBatchAt   = 2
	infoCodeAt    = 8
	infoReadAt    = 11
	infoICAt      = 12
	infoPartialAt = 13
	infoAccountAt = 14
)

const noNetworkCode = "000"

// putInfo writes a prefix of the sub-fields: it ends behind the last one that is set.
func putInfo(p *Payment, dst []byte) ([]byte, error) {
	info := &p.Info
	if *info == (Info{}) {
		return dst, nil
	}
	if !isDigits(string(info.MessageType), 2) || info.Batch > maxSTAN {
		return dst, fmt.Errorf("kind or batch: %w", ErrContent)
	}
	tail := [...]struct {
		text string
		size int
		fill string
	}{
		{info.NetworkCode, 3, noNetworkCode}, {info.ReadCapability, 1, ""}, {info.ICCondition, 1, ""},
		{info.PartialAuth, 1, ""}, {info.AccountType, 3, ""},
	}
	last := -1
	for i := range tail {
		if tail[i].text != "" {
			last = i
		}
	}
	dst = append(dst, info.MessageType...)
	dst = appendNumber(dst, uint64(info.Batch), 6)
	for i := range tail[:last+1] {
		text := tail[i].text
		if text == "" {
			text = tail[i].fill
		}
		if !isDigits(text, tail[i].size) {
			return dst, fmt.Errorf("sub-field %d: %w", i+3, ErrContent)
		}
		dst = append(dst, text...)
	}
	return dst, nil
}

func takeInfo(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.Info, err = parseInfo(text)
	return err
}

func parseInfo(text []byte) (Info, error) {
	var info Info
	switch len(text) {
	case infoCodeAt, infoReadAt, infoICAt, infoPartialAt, infoAccountAt, maxInfoDigits:
	default: // ends inside a sub-field
		return info, iso8583.ErrLength
	}
	info.MessageType = messageTypeOf(text[:infoBatchAt])
	info.Batch = parseNumber(text[infoBatchAt:infoCodeAt])
	if len(text) >= infoReadAt {
		info.NetworkCode = noNetworkCode // nearly always, and then it costs no memory
		if code := text[infoCodeAt:infoReadAt]; string(code) != noNetworkCode {
			info.NetworkCode = string(code)
		}
	}
	if len(text) >= infoICAt {
		info.ReadCapability = string(text[infoReadAt:infoICAt])
	}
	if len(text) >= infoPartialAt {
		info.ICCondition = string(text[infoICAt:infoPartialAt])
	}
	if len(text) >= infoAccountAt {
		info.PartialAuth = string(text[infoPartialAt:infoAccountAt])
	}
	if len(text) == maxInfoDigits {
		info.AccountType = string(text[infoAccountAt:])
	}
	return info, nil
}

// messageTypeOf gives the kinds that nearly all messages have without new memory.
func messageTypeOf(text []byte) MessageType {
	switch string(text) {
	case string(KindSale):
		return KindSale
	case string(KindOfflineUpload):
		return KindOfflineUpload
	case string(KindNetwork):
		return KindNetwork
	}
	return MessageType(text)
}

// Positions in field 61 [REF 6.1]; what follows the date is not used.
const (
	originalSTANAt  = 6
	originalDateAt  = 12
	originalDateEnd = 16
)

// putOriginal writes field 61: batch 6, trace number 6, and the date when it is known.
func putOriginal(p *Payment, dst []byte) ([]byte, error) {
	o := p.Original
	if o == nil || o.STAN == 0 {
		return dst, nil
	}
	if o.Batch > maxSTAN || o.STAN > maxSTAN || o.Date != "" && !isDate(o.Date) {
		return dst, fmt.Errorf("batch, trace number or date: %w", ErrContent)
	}
	dst = appendNumber(dst, uint64(o.Batch), 6)
	dst = appendNumber(dst, uint64(o.STAN), 6)
	return append(dst, o.Date...), nil
}

func takeOriginal(p *Payment, _ *iso8583.Message, text []byte) error {
	if len(text) != originalDateAt && len(text) != originalDateEnd {
		return iso8583.ErrLength
	}
	o := &Original{Batch: parseNumber(text[:originalSTANAt]), STAN: parseNumber(text[originalSTANAt:originalDateAt])}
	if len(text) == originalDateEnd {
		o.Date = string(text[originalDateAt:])
		if !isDate(o.Date) {
			return ErrContent
		}
	}
	if o.STAN == 0 {
		return ErrContent
	}
	p.Original = o
	return nil
}

// putOriginalSwitch writes field 90: type 4, trace number 6, transmission time 10, acquirer 11, forwarder 11
// [ISO 8583:1987 4.4].
func putOriginalSwitch(p *Payment, dst []byte) ([]byte, error) {
	o := p.Original
	if o == nil || o.Type == "" {
		return dst, nil
	}
	if !isDigits(string(o.Type), 4) || o.STAN == 0 || o.STAN > maxSTAN || !isDateTime(o.TransmissionTime) ||
		len(o.Acquirer) > maxInstitution || len(o.Forwarder) > maxInstitution {
		return dst, fmt.Errorf("original data elements: %w", ErrContent)
	}
	dst = append(dst, o.Type...)
	dst = appendNumber(dst, uint64(o.STAN), 6)
	dst = append(dst, o.TransmissionTime...)
	return appendInstitution(appendInstitution(dst, o.Acquirer), o.Forwarder), nil
}

func takeOriginalSwitch(p *Payment, _ *iso8583.Message, text []byte) error {
	o := &Original{
		Type: MTI(text[:4]), STAN: parseNumber(text[4:10]), TransmissionTime: string(text[10:20]),
		Acquirer: string(text[20:31]), Forwarder: string(text[31:]),
	}
	if o.STAN == 0 || !isDateTime(o.TransmissionTime) {
		return ErrContent
	}
	p.Original = o
	return nil
}

// appendInstitution writes an institution in its 11-digit form, zeros in front.
func appendInstitution(dst []byte, id string) []byte {
	for range maxInstitution - len(id) {
		dst = append(dst, '0')
	}
	return append(dst, id...)
}

// appendNumber writes value in exactly size digits; the caller has checked that it fits.
func appendNumber(dst []byte, value uint64, size int) []byte {
	for range size {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; value > 0; i-- {
		dst[i] += byte(value % 10)
		value /= 10
	}
	return dst
}

// parseNumber reads up to nine digits that the codec has checked.
func parseNumber(text []byte) (value uint32) {
	for _, c := range text {
		value = value*10 + uint32(c-'0')
	}
	return value
}

// chars are the characters of a field, as a message holds them or as the wire does.
type chars interface{ ~string | ~[]byte }

func isDigits[T chars](s T, size int) bool {
	if len(s) != size {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// between reads two digits at the given place.
func between[T chars](s T, at, low, high int) bool {
	value := int(s[at]-'0')*10 + int(s[at+1]-'0')
	return value >= low && value <= high
}

// isTime: hhmmss.
func isTime[T chars](s T) bool { return isDigits(s, 6) && timeAt(s, 0) }

// isDate: MMDD. The year is not known, so 29 February and other short months pass.
func isDate[T chars](s T) bool { return isDigits(s, 4) && dateAt(s, 0) }

// isDateTime: MMDDhhmmss.
func isDateTime[T chars](s T) bool { return isDigits(s, 10) && dateAt(s, 0) && timeAt(s, 4) }

func timeAt[T chars](s T, at int) bool {
	return between(s, at, 0, 23) && between(s, at+2, 0, 59) && between(s, at+4, 0, 59)
}

func dateAt[T chars](s T, at int) bool { return between(s, at, 1, 12) && between(s, at+2, 1, 31) }

// isFee: 'C' or 'D' and eight digits [ISO 8583:1987 4.4].
func isFee[T chars](s T) bool {
	return len(s) == 9 && (s[0] == 'C' || s[0] == 'D') && isDigits(s[1:], 8)
}
