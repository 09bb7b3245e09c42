package cryptogram

import (
	"errors"
	"fmt"
	"slices"

	"tapnet/emv"
	"tapnet/tlv"
)

// Cryptogram version numbers, byte 2 of the issuer application data [REF 4.7].
const (
	CVN01 byte = 0x01 // the default, contact and contactless
	CVN17 byte = 0x17 // the fast contactless version
)

// DataList says what a cryptogram covers: data objects in order, then the card verification results.
type DataList struct {
	CVN  byte
	Tags emv.DOL
	// WholeCVR: all four bytes of the results, length byte included. Otherwise only the byte with the cryptogram type.
	WholeCVR bool
}

const cvrTypeByte = 1 // CVR byte 2, byte 4 of the issuer application data

func (l DataList) length() int {
	if l.WholeCVR {
		return l.Tags.Length() + len(emv.CVR{})
	}
	return l.Tags.Length() + 1
}

func standardLists() []DataList {
	return []DataList{
		{ // 37 bytes with the standard CDOL1 [REF 4.2]
			CVN: CVN01,
			Tags: emv.DOL{
				{Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagAmountOther, Len: 6}, {Tag: emv.TagTerminalCountry, Len: 2},
				{Tag: emv.TagTVR, Len: 5}, {Tag: emv.TagCurrency, Len: 2}, {Tag: emv.TagTransactionDate, Len: 3},
				{Tag: emv.TagTransactionType, Len: 1}, {Tag: emv.TagUnpredictableNumber, Len: 4},
				{Tag: emv.TagAIP, Len: 2}, {Tag: emv.TagATC, Len: 2},
			},
			WholeCVR: true,
		},
		{ // 13 bytes [REF 4.3]
			CVN: CVN17,
			Tags: emv.DOL{
				{Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagUnpredictableNumber, Len: 4}, {Tag: emv.TagATC, Len: 2},
			},
		},
	}
}

// WithDataList returns the suite with another list for one cryptogram version: an issuer profile of its own.
func (s Suite) WithDataList(list DataList) Suite {
	list.Tags = slices.Clone(list.Tags)
	s.lists = slices.DeleteFunc(slices.Clone(s.lists), func(l DataList) bool { return l.CVN == list.CVN })
	s.lists = append(s.lists, list)
	return s
}

func (s Suite) list(cvn byte) (DataList, bool) {
	for i := range s.lists {
		if s.lists[i].CVN == cvn {
			return s.lists[i], true
		}
	}
	return DataList{}, false
}

// DataTags returns the tags a cryptogram version covers, in order. The last one is 9F10, which carries the card
// verification results. False when the suite does not know the version.
func (s Suite) DataTags(cvn byte) ([]tlv.Tag, bool) {
	list, known := s.list(cvn)
	if !known {
		return nil, false
	}
	tags := make([]tlv.Tag, 0, len(list.Tags)+1)
	for _, e := range list.Tags {
		tags = append(tags, e.Tag)
	}
	return append(tags, emv.TagIAD), true
}

// DataLength returns the number of bytes AppendData appends; false when the suite does not know the version.
func (s Suite) DataLength(cvn byte) (int, bool) {
	list, known := s.list(cvn)
	return list.length(), known
}

// What AppendData can find wrong.
var (
	ErrUnknownVersion = errors.New("unknown cryptogram version number")
	ErrMissingData    = errors.New("data object is missing")
	ErrDataLength     = errors.New("data object has the wrong length")
)

// DataError names the data object that cannot be covered.
type DataError struct {
	Tag tlv.Tag
	Err error
}

func (e *DataError) Error() string { return fmt.Sprintf("cryptogram data %v: %v", e.Tag, e.Err) }

// Unwrap returns the reason.
func (e *DataError) Unwrap() error { return e.Err }

// AppendData appends to dst what the cryptogram of a version covers. The first source that has a value wins; the results
// come from the issuer application data. Nothing is padded or cut: a value that is missing or of another length than the
// list says would silently give another cryptogram. It does not allocate when dst has room.
func (s Suite) AppendData(dst []byte, cvn byte, cvr emv.CVR, sources ...emv.Source) ([]byte, error) {
	list, known := s.list(cvn)
	if !known {
		return dst, fmt.Errorf("select cryptogram data for version %02X: %w", cvn, ErrUnknownVersion)
	}
	start := len(dst)
	for _, e := range list.Tags {
		value, ok := emv.Sources(sources).Value(e.Tag)
		if !ok {
			return dst[:start], &DataError{e.Tag, ErrMissingData}
		}
		if len(value) != e.Len {
			return dst[:start], &DataError{e.Tag, ErrDataLength}
		}
		dst = append(dst, value...)
	}
	if list.WholeCVR {
		return append(dst, cvr[:]...), nil
	}
	return append(dst, cvr[cvrTypeByte]), nil
}
