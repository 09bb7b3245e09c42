package hce

import (
	"fmt"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
)

// Limits of what a phone answers.
const (
	maxAnswer = 256 // [ISO 7816-4 5.1]
	// maxPDOLData keeps template 83 in its short form.
	maxPDOLData = 127
	// maxMACData is more than a cryptogram covers.
	maxMACData = 128
)

// piece is a part of what the cryptogram covers: from the reader's data, or known when the phone is armed.
type piece struct {
	at, n  int
	reader bool // from the reader's data; otherwise from the fixed part
}

// layout is what follows from a profile alone: the answers that never change, and where in the reader's data things stand.
type layout struct {
	aid                            string
	fci                            []byte
	records                        []ready
	pdolBytes                      int
	ttq, amount, currency, unknown int // offsets in the reader's data
	pieces                         []piece
	fixed                          []byte // AIP, counter, results: the counter at fixedATC
	currencyCode                   [2]byte
}

// Offsets in fixed.
const (
	fixedATC   = len(emv.AIP{})
	fixedCVR   = fixedATC + 2
	fixedBytes = fixedCVR + len(emv.CVR{})
)

// ready is a record with its template.
type ready struct {
	sfi, number byte
	answer      []byte
}

// newLayout checks that a profile can pay and prepares it. An entry that is there twice or has another length than the cryptogram wants is
// refused: it would silently give another cryptogram.
func newLayout(p *cloudkey.Profile, suite cryptogram.Suite) (*layout, error) {
	l := &layout{aid: string(p.AID), pdolBytes: p.PDOL.Length()}
	if l.pdolBytes > maxPDOLData {
		return nil, fmt.Errorf("PDOL asks for %d bytes, at most %d", l.pdolBytes, maxPDOLData)
	}
	sample, err := p.PDOL.Split(make([]byte, l.pdolBytes))
	if err != nil {
		return nil, err
	}
	for _, need := range [...]struct {
		tag tlv.Tag
		n   int
		at  *int
	}{
		{emv.TagTTQ, len(emv.TTQ{}), &l.ttq}, {emv.TagAmount, 6, &l.amount}, {emv.TagCurrency, 2, &l.currency}, {emv.TagUnpredictableNumber, 4, &l.unknown},
	} {
		if len(sample.Get(need.tag)) != need.n {
			return nil, fmt.Errorf("PDOL does not ask for %v with %d bytes", need.tag, need.n)
		}
		*need.at = offset(p.PDOL, need.tag)
	}
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	l.fixed = append(append(append(l.fixed, p.AIP[:]...), 0, 0), cvr[:]...)
	var own emv.Data
	own.Set(emv.TagAIP, p.AIP[:])
	own.Set(emv.TagATC, make([]byte, 2))
	data, err := suite.AppendData(nil, p.CVN, cvr, &own, sample)
	if err != nil {
		return nil, fmt.Errorf("PDOL does not serve cryptogram version %02X: %w", p.CVN, err)
	}
	if err := l.plan(p, suite, len(data)); err != nil {
		return nil, err
	}
	currency := p.Currency.Number()
	l.currencyCode = [2]byte{byte(currency / 100), byte(currency/10%10)<<4 | byte(currency%10)}
	return l, l.prepareAnswers(p)
}

func offset(dol emv.DOL, tag tlv.Tag) (at int) {
	for _, e := range dol {
		if e.Tag == tag {
			return at
		}
		at += e.Len
	}
	return -1
}

// plan says where each part of the cryptogram's data comes from. total is their length as the suite counts it.
func (l *layout) plan(p *cloudkey.Profile, suite cryptogram.Suite, total int) error {
	tags, _ := suite.DataTags(p.CVN)
	sum := 0
	for _, tag := range tags {
		var next piece
		switch tag {
		case emv.TagAIP:
			next = piece{at: 0, n: len(emv.AIP{})}
		case emv.TagATC:
			next = piece{at: fixedATC, n: 2}
		case emv.TagIAD: // the results; always last, and whole or one byte
			next = piece{at: fixedCVR, n: len(emv.CVR{})}
			if total-sum == 1 {
				next = piece{at: fixedCVR + 1, n: 1}
			}
		default:
			for _, e := range p.PDOL {
				if e.Tag == tag {
					next = piece{at: offset(p.PDOL, tag), n: e.Len, reader: true}
				}
			}
		}
		l.pieces = append(l.pieces, next)
		sum += next.n
	}
	if sum != total || total > maxMACData {
		return fmt.Errorf("cryptogram version %02X covers %d bytes, planned %d", p.CVN, total, sum)
	}
	return nil
}

func (l *layout) prepareAnswers(p *cloudkey.Profile) error {
	proprietary := tlv.Append(nil, emv.TagApplicationLabel, []byte(p.Label))
	proprietary = tlv.Append(proprietary, emv.TagPriority, []byte{p.Priority})
	proprietary = tlv.Append(proprietary, emv.TagPDOL, p.PDOL.Bytes())
	if p.Language != "" {
		proprietary = tlv.Append(proprietary, emv.TagLanguagePreference, []byte(p.Language))
	}
	l.fci = tlv.Wrap(emv.TagFCI, tlv.Wrap(emv.TagDFName, p.AID.Bytes()), tlv.Wrap(emv.TagFCIProprietary, proprietary))
	if len(l.fci) > maxAnswer {
		return fmt.Errorf("answer to SELECT has %d bytes, at most %d", len(l.fci), maxAnswer)
	}
	for _, r := range p.Records {
		answer := tlv.Wrap(emv.TagRecord, r.Body)
		if len(answer) > maxAnswer {
			return fmt.Errorf("record %d.%d has %d bytes, at most %d", r.SFI, r.Number, len(answer), maxAnswer)
		}
		l.records = append(l.records, ready{r.SFI, r.Number, answer})
	}
	return nil
}

// directory is the answer to SELECT of the PPSE: the armed token alone [REF 1.2].
func directory(p *cloudkey.Profile) []byte {
	entry := tlv.Append(nil, emv.TagAID, p.AID.Bytes())
	entry = tlv.Append(entry, emv.TagApplicationLabel, []byte(p.Label))
	entry = tlv.Append(entry, emv.TagPriority, []byte{p.Priority})
	return tlv.Wrap(emv.TagFCI,
		tlv.Wrap(emv.TagDFName, []byte(emv.PPSE)),
		tlv.Wrap(emv.TagFCIProprietary, tlv.Wrap(emv.TagFCIDiscretionary, tlv.Wrap(emv.TagApplicationTemplate, entry))))
}

// template is the answer to GET PROCESSING OPTIONS with holes for the cryptogram and the issuer data, and where they are. The order is that of
// a card's answer [REF 2.3].
func template(p *cloudkey.Profile, atc uint16, iad cloudkey.IAD, cvm bool) (answer []byte, iadAt, acAt int) {
	ctq := p.CTQ
	if cvm {
		ctq.Set(emv.CTQCDCVM)
	}
	b := tlv.Append(nil, emv.TagAIP, p.AIP[:])
	if len(p.AFL) > 0 {
		b = tlv.Append(b, emv.TagAFL, p.AFL.Bytes())
	}
	b = tlv.Append(b, emv.TagATC, []byte{byte(atc >> 8), byte(atc)})
	b = tlv.Append(b, emv.TagTrack2, p.Track2.Packed())
	b = tlv.Append(b, emv.TagIAD, iad.AppendTo(nil))
	iadAt = len(b) - cloudkey.IADBytes
	b = tlv.Append(b, emv.TagAC, make([]byte, 8))
	acAt = len(b) - 8
	b = tlv.Append(b, emv.TagPANSequence, []byte{(p.Sequence[0]-'0')<<4 | (p.Sequence[1] - '0')})
	b = tlv.Append(b, emv.TagCTQ, ctq[:])
	answer = tlv.Append(nil, emv.TagResponse2, b)
	head := len(answer) - len(b)
	return answer, head + iadAt, head + acAt
}
