package unionpay

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"tapnet/emv"
	"tapnet/tlv"
)

// DownloadKind is a list that terminals fetch from their acquirer: its messages are 0820 with the query code, 0800 with the get code until there is no more,
// and 0800 with the end code [REF 6.1]. The codes are the field's; what field 62 holds is ours, see DownloadStatus and the types after it.
type DownloadKind uint8

// The lists. The numbers are stored.
const (
	DownloadParameters   DownloadKind = iota + 1 // of the terminal: 362, 360 and 364, 361
	DownloadApplications                         // AIDs: 382, 380, 381
	DownloadCAKeys                               // CA public keys: 372, 370, 371 (373 ends a list with SM2 keys)
	lastDownload         = DownloadCAKeys
)

// Valid reports whether k is one of the lists.
func (k DownloadKind) Valid() bool { return k >= DownloadParameters && k <= lastDownload }

// DownloadStep is what a message of a download does.
type DownloadStep uint8

// The steps.
const (
	DownloadQuery DownloadStep = iota + 1 // which version is there?
	DownloadGet                           // give a part of it
	DownloadEnd                           // it is installed
)

// Code is the network management code of a step.
func (k DownloadKind) Code(step DownloadStep) NetworkCode {
	codes := map[DownloadKind][3]NetworkCode{
		DownloadParameters:   {ParameterQuery, ParameterGet, ParameterEnd},
		DownloadApplications: {ApplicationQuery, ApplicationGet, ApplicationEnd},
		DownloadCAKeys:       {CAKeyQuery, CAKeyGet, CAKeyEnd},
	}
	if !k.Valid() || step < DownloadQuery || step > DownloadEnd {
		return NoNetworkCode
	}
	return codes[k][step-1]
}

// Download says of what list and step a code is; false when it is of none.
func (c NetworkCode) Download() (DownloadKind, DownloadStep, bool) {
	switch c {
	case ParameterGetMore:
		return DownloadParameters, DownloadGet, true
	case CAKeyEndSM:
		return DownloadCAKeys, DownloadEnd, true
	}
	for kind := DownloadParameters; kind <= lastDownload; kind++ {
		for step := DownloadQuery; step <= DownloadEnd; step++ {
			if kind.Code(step) == c {
				return kind, step, true
			}
		}
	}
	return 0, 0, false
}

// Checksum is the SHA-256 of a whole list.
type Checksum [sha256.Size]byte

// ChecksumOf computes it.
func ChecksumOf(list []byte) Checksum { return sha256.Sum256(list) }

// Sizes in field 62.
const (
	// maxDownloadBytes bounds a list, whatever the status promises: the row of a journal that holds it has 64 KiB.
	maxDownloadBytes = 48 << 10
	// downloadPartBytes is how much of a list one message carries: field 62 has room for 999 bytes, some terminals for less.
	downloadPartBytes = 512

	versionBytes   = 4
	downloadStatus = versionBytes + 4 + sha256.Size
	downloadAsk    = versionBytes + 2
	downloadHead   = versionBytes + 2 + 1
	downloadEnd    = versionBytes + sha256.Size
)

// MaxDownloadBytes is the longest list that can be downloaded.
const MaxDownloadBytes = maxDownloadBytes

// DownloadStatus is field 62 of the answer to a query: version 4 ‖ length of the list 4 ‖ checksum 32. Version zero: there is no such list. In the query itself
// field 62 is absent, or the version the terminal has.
type DownloadStatus struct {
	Version  uint32
	Length   uint32
	Checksum Checksum
}

// Field62 writes the status.
func (s DownloadStatus) Field62() Opaque {
	b := binary.BigEndian.AppendUint32(nil, s.Version)
	b = binary.BigEndian.AppendUint32(b, s.Length)
	return Opaque(append(b, s.Checksum[:]...))
}

// ParseDownloadStatus reads it. Errors wrap ErrContent.
func ParseDownloadStatus(field62 Opaque) (DownloadStatus, error) {
	b := []byte(field62)
	if len(b) != downloadStatus {
		return DownloadStatus{}, fmt.Errorf("download status of %d bytes: %w", len(b), ErrContent)
	}
	s := DownloadStatus{Version: binary.BigEndian.Uint32(b), Length: binary.BigEndian.Uint32(b[versionBytes:]), Checksum: Checksum(b[2*versionBytes:])}
	if s.Length > maxDownloadBytes {
		return DownloadStatus{}, fmt.Errorf("download of %d bytes: %w", s.Length, ErrContent)
	}
	return s, nil
}

// NewDownloadVersion is field 62 of a query by a terminal that has a version.
func NewDownloadVersion(version uint32) Opaque {
	return Opaque(binary.BigEndian.AppendUint32(nil, version))
}

// DownloadVersion reads it; an absent field is version zero. Errors wrap ErrContent.
func DownloadVersion(field62 Opaque) (uint32, error) {
	switch len(field62) {
	case 0:
		return 0, nil
	case versionBytes:
		return binary.BigEndian.Uint32([]byte(field62)), nil
	}
	return 0, fmt.Errorf("download version: %w", ErrContent)
}

// DownloadAsk is field 62 of a get: version 4 ‖ number of the part 2, from zero.
type DownloadAsk struct {
	Version uint32
	Part    uint16
}

// Field62 writes the question.
func (a DownloadAsk) Field62() Opaque {
	return Opaque(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, a.Version), a.Part))
}

// ParseDownloadAsk reads it. Errors wrap ErrContent.
func ParseDownloadAsk(field62 Opaque) (DownloadAsk, error) {
	b := []byte(field62)
	if len(b) != downloadAsk {
		return DownloadAsk{}, fmt.Errorf("download question of %d bytes: %w", len(b), ErrContent)
	}
	return DownloadAsk{Version: binary.BigEndian.Uint32(b), Part: binary.BigEndian.Uint16(b[versionBytes:])}, nil
}

// DownloadPart is field 62 of the answer to a get: version 4 ‖ number of the part 2 ‖ more 1 ('1' when parts follow, else '0') ‖ bytes of the list, which is
// never an empty part unless the list is empty. The parts joined are the list; its checksum is in the status.
type DownloadPart struct {
	Version uint32
	Part    uint16
	More    bool
	Content []byte
}

// PartOf cuts a part out of a list; false when it has no such part.
func PartOf(list []byte, version uint32, part uint16) (DownloadPart, bool) {
	from := int(part) * downloadPartBytes
	if from > len(list) || from == len(list) && part > 0 {
		return DownloadPart{}, false
	}
	to := min(len(list), from+downloadPartBytes)
	return DownloadPart{Version: version, Part: part, More: to < len(list), Content: list[from:to]}, true
}

// Field62 writes the part.
func (p DownloadPart) Field62() Opaque {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, p.Version), p.Part)
	more := byte('0')
	if p.More {
		more = '1'
	}
	return Opaque(append(append(b, more), p.Content...))
}

// ParseDownloadPart reads it. Errors wrap ErrContent.
func ParseDownloadPart(field62 Opaque) (DownloadPart, error) {
	b := []byte(field62)
	if len(b) < downloadHead || b[downloadHead-1] != '0' && b[downloadHead-1] != '1' {
		return DownloadPart{}, fmt.Errorf("download part of %d bytes: %w", len(b), ErrContent)
	}
	p := DownloadPart{Version: binary.BigEndian.Uint32(b), Part: binary.BigEndian.Uint16(b[versionBytes:]), More: b[downloadHead-1] == '1',
		Content: b[downloadHead:]}
	if p.More && len(p.Content) == 0 {
		return DownloadPart{}, fmt.Errorf("empty download part: %w", ErrContent)
	}
	return p, nil
}

// DownloadDone is field 62 of an end: which version the terminal has installed: version 4 ‖ checksum 32. The acquirer answers 00 when that is its current one,
// 25 when it is not: then the terminal queries again.
type DownloadDone struct {
	Version  uint32
	Checksum Checksum
}

// Field62 writes it.
func (d DownloadDone) Field62() Opaque {
	return Opaque(append(binary.BigEndian.AppendUint32(nil, d.Version), d.Checksum[:]...))
}

// ParseDownloadDone reads it. Errors wrap ErrContent.
func ParseDownloadDone(field62 Opaque) (DownloadDone, error) {
	b := []byte(field62)
	if len(b) != downloadEnd {
		return DownloadDone{}, fmt.Errorf("end of a download of %d bytes: %w", len(b), ErrContent)
	}
	return DownloadDone{Version: binary.BigEndian.Uint32(b), Checksum: Checksum(b[versionBytes:])}, nil
}

// tagListEntry wraps one entry of a list: the terminal's own tags of [REF 1.3] within.
const tagListEntry tlv.Tag = 0xE0

// maxListEntries bounds a list: a terminal has room for some dozens of applications and keys.
const maxListEntries = 256

// AppendList writes the entries of a list, each as E0{…}: for an application 9F06 and its parameters DF01, 9F09, DF11 to DF21, 9F1B, 9F7B; for a CA key 9F06
// (the RID), 9F22, DF02 to DF07; for the terminal's parameters one entry.
func AppendList(dst []byte, entries ...emv.Data) []byte {
	for _, e := range entries {
		dst = tlv.Append(dst, tagListEntry, e.Bytes())
	}
	return dst
}

// ParseList reads the entries of a list. Errors wrap ErrContent.
func ParseList(list []byte) ([]emv.Data, error) {
	var entries []emv.Data
	if len(list) > maxDownloadBytes {
		return nil, fmt.Errorf("list of %d bytes: %w", len(list), ErrContent)
	}
	for rest := list; len(rest) > 0; {
		e, after, err := tlv.Next(rest)
		if err != nil || e.Tag != tagListEntry || len(entries) == maxListEntries {
			return nil, fmt.Errorf("entry %d of the list: %w", len(entries)+1, ErrContent)
		}
		data, err := emv.ParseData(e.Value)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the list: %w", len(entries)+1, ErrContent)
		}
		entries, rest = append(entries, data), after
	}
	return entries, nil
}
