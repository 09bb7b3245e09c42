package oda

import (
	"tapnet/emv"
	"tapnet/tlv"
)

// Record is a record that the application file locator flags for authentication.
type Record struct {
	SFI byte
	// Body is the contents of template 70; Raw is the whole answer to READ RECORD, starting with 70. Either may be
	// nil: Body is then taken from Raw, and Raw is required for SFI 11 to 30 only.
	Body, Raw []byte
}

const (
	maxSFI         = 30
	maxSFIBodyOnly = 10
	aipLength      = 2
)

// StaticData puts together the data that an ICC certificate and signed static data cover: the records in AFL order,
// without the template's tag and length for SFI 1 to 10 and with them for SFI 11 to 30, then the application
// interchange profile when the SDA tag list (9F4A) names it [EMV B3 10.3] [REF 2.6]. The list may name nothing
// else. Errors are *Failure.
func StaticData(records []Record, aip []byte, sdaTagList []byte) ([]byte, error) {
	if len(records) > emv.MaxAFLRecords {
		return nil, fail(StepStaticData, CheckRecord)
	}
	var static []byte
	for i := range records {
		part, ok := records[i].signedPart()
		if !ok || len(static)+len(part) > MaxStaticDataBytes {
			return nil, fail(StepStaticData, CheckRecord)
		}
		static = append(static, part...)
	}
	if len(sdaTagList) == 0 {
		return static, nil
	}
	if len(sdaTagList) != 1 || tlv.Tag(sdaTagList[0]) != emv.TagAIP {
		return nil, fail(StepStaticData, CheckTagList)
	}
	if len(aip) != aipLength {
		return nil, fail(StepStaticData, CheckMissing)
	}
	return append(static, aip...), nil
}

// signedPart is the part of the record that is signed; false when the record is not usable.
func (r *Record) signedPart() ([]byte, bool) {
	if r.SFI == 0 || r.SFI > maxSFI {
		return nil, false
	}
	if r.SFI <= maxSFIBodyOnly && r.Body != nil {
		return r.Body, true
	}
	element, rest, err := tlv.Next(r.Raw)
	if err != nil || len(rest) != 0 || element.Tag != emv.TagRecord {
		return nil, false
	}
	if r.SFI <= maxSFIBodyOnly {
		return element.Value, true
	}
	// Written anew, so that padding around the template is not taken for part of it.
	return tlv.Append(nil, element.Tag, element.Value), true
}
