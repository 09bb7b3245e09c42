package emv

import (
	"fmt"
	"iter"
)

// AFLEntry is one entry of the application file locator: records First to Last of file SFI, of which the first ODA
// records take part in offline data authentication [EMV B3 10.2].
type AFLEntry struct{ SFI, First, Last, ODA byte }

// AFL lists the records a terminal reads, in order, tag 94.
type AFL []AFLEntry

// AFLRecord is one record the AFL asks for.
type AFLRecord struct {
	SFI    byte
	Number byte
	Signed bool // takes part in offline data authentication
}

const (
	aflEntryBytes = 4
	// MaxAFLEntries: an AFL is at most 252 bytes long [EMV B3 Annex A].
	MaxAFLEntries = 63
	// MaxAFLRecords bounds how long a card can keep a terminal reading; real cards have fewer than 30.
	MaxAFLRecords = 255
	sfiMax        = 30
	sfiShift      = 3
)

// ParseAFL reads and checks the value of tag 94. An empty locator is an error: a card with nothing to read sends none.
func ParseAFL(b []byte) (AFL, error) {
	if len(b) == 0 || len(b)%aflEntryBytes != 0 {
		return nil, fmt.Errorf("parse AFL: %d bytes, want a positive multiple of %d", len(b), aflEntryBytes)
	}
	if len(b) > MaxAFLEntries*aflEntryBytes {
		return nil, fmt.Errorf("parse AFL: %d bytes, limit %d", len(b), MaxAFLEntries*aflEntryBytes)
	}
	afl := make(AFL, 0, len(b)/aflEntryBytes)
	records := 0
	for i := 0; i < len(b); i += aflEntryBytes {
		e, err := parseAFLEntry(b[i : i+aflEntryBytes])
		if err != nil {
			return nil, fmt.Errorf("parse AFL entry %d: %w", i/aflEntryBytes+1, err)
		}
		records += int(e.Last) - int(e.First) + 1
		if records > MaxAFLRecords {
			return nil, fmt.Errorf("parse AFL entry %d: more than %d records", i/aflEntryBytes+1, MaxAFLRecords)
		}
		afl = append(afl, e)
	}
	return afl, nil
}

func parseAFLEntry(b []byte) (AFLEntry, error) {
	e := AFLEntry{SFI: b[0] >> sfiShift, First: b[1], Last: b[2], ODA: b[3]}
	switch {
	case b[0]&(1<<sfiShift-1) != 0:
		return e, fmt.Errorf("low bits of the file byte %02X are not zero", b[0])
	case e.SFI == 0 || e.SFI > sfiMax:
		return e, fmt.Errorf("file %d, want 1 to %d", e.SFI, sfiMax)
	case e.First == 0:
		return e, fmt.Errorf("first record is 0")
	case e.Last < e.First:
		return e, fmt.Errorf("last record %d before first record %d", e.Last, e.First)
	case int(e.ODA) > int(e.Last)-int(e.First)+1:
		return e, fmt.Errorf("%d records for authentication, only %d in the entry", e.ODA, int(e.Last)-int(e.First)+1)
	}
	return e, nil
}

// Bytes returns the value of tag 94.
func (a AFL) Bytes() []byte {
	b := make([]byte, 0, len(a)*aflEntryBytes)
	for _, e := range a {
		b = append(b, e.SFI<<sfiShift, e.First, e.Last, e.ODA)
	}
	return b
}

// Records yields every record in the order the terminal reads it.
func (a AFL) Records() iter.Seq[AFLRecord] {
	return func(yield func(AFLRecord) bool) {
		for _, e := range a {
			for n := int(e.First); n <= int(e.Last); n++ {
				if !yield(AFLRecord{SFI: e.SFI, Number: byte(n), Signed: n < int(e.First)+int(e.ODA)}) {
					return
				}
			}
		}
	}
}

// Len returns the number of records.
func (a AFL) Len() int {
	n := 0
	for _, e := range a {
		n += int(e.Last) - int(e.First) + 1
	}
	return n
}

// Last returns the last record read: a card commits its staged purse when it is read [REF 2.4]. False when the AFL is empty.
func (a AFL) Last() (AFLRecord, bool) {
	if len(a) == 0 {
		return AFLRecord{}, false
	}
	e := a[len(a)-1]
	return AFLRecord{SFI: e.SFI, Number: e.Last, Signed: int(e.ODA) == int(e.Last)-int(e.First)+1}, true
}
