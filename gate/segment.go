package gate

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// SegmentKeys are the keys of the operator's records on cards, in a secure module [REF 2.8].
type SegmentKeys interface {
	// RecordMAC is the code of a command or an answer under the key of one card's record, its chain started with the card's counter. number
	// is tag 5A as it was read, empty when it was not.
	RecordMAC(number []byte, atc uint16, message []byte) ([4]byte, error)
}

// ErrSegment is wrapped when a card's record is not what the operator wrote.
var ErrSegment = errors.New("record of segmented deduction is not authentic")

// segmentKind is DF60: segmented deduction [REF 1.3].
const segmentKind = 1

// Limits of what a record may be, and the places of the commands.
const (
	maxSegmentRecord = 128 // bytes; a place and an instant are ten
	segmentMAC       = 4
	segmentRandom    = 8
	gpoTemplate      = 2 // bytes of tag and length in front of the data of the PDOL
	commandHeader    = 5
	statusBytes      = 2
	sfiPlace         = 3 // bits below the file's number in P2
	byFile           = 4 // in P2 of READ RECORD: the file is named [ISO 7816-4 5.1]
)

// Segment stands between a reader and a card with a file of the extended application, and lets a purse pay a journey in two taps [REF 2.8] [JR/T 0025.14]:
// it asks the card for a segmented payment, reads the operator's record before the last record of the payment, and has the card write the new one in
// the same step as it pays. Kernel and terminal need not know. A card without such a file or record does not pay, because its amount is another one: it says
// Absent, and the caller taps again with Ordinary.
//
// With Next nil it only looks at a card with the file: the last record is never read, so that the card does not pay. At an exit the first tap looks,
// the fare follows from the record, and the second tap pays it. The card's amount cannot be nothing, so an entry costs the smallest unit and the exit
// that much less.
type Segment struct {
	Card   apdu.Transceiver
	Keys   SegmentKeys
	SFI    byte    // of the operator's file
	ID     [2]byte // the record's beginning
	Random io.Reader
	// Next is given the record and makes the one that is written with the payment; false leaves the card as it is. It does not keep the record.
	Next func(record []byte) ([]byte, bool)

	// Record is what the card held, after the tap; nil when it has no such file or no such record.
	Record []byte
	// Written reports whether the new one went out.
	Written bool
	// Absent: the card has no such file, or no record of the operator in it. The tap has ended unpaid.
	Absent bool
	// Ordinary lets the card pay like any other.
	Ordinary bool

	extended emv.ExtendedIndicator
	place    int // of DF60 among the data of the PDOL; below zero: none
	atc      uint16
	number   []byte
	last     [2]byte // P1 and P2 of READ RECORD of the last record
	hasLast  bool
}

var _ apdu.Transceiver = (*Segment)(nil)

// Transceive implements apdu.Transceiver.
func (s *Segment) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < commandHeader {
		return s.Card.Transceive(ctx, command)
	}
	switch command[1] {
	case apdu.InsGPO:
		return s.initiate(ctx, command)
	case apdu.InsReadRecord:
		if s.hasLast && [2]byte(command[2:4]) == s.last {
			if stop, err := s.exchange(ctx); stop != nil || err != nil {
				return stop, err
			}
		}
		response, err := s.Card.Transceive(ctx, command)
		if value, found := tlv.Find(response[:max(0, len(response)-statusBytes)], emv.TagRecord, emv.TagPAN); err == nil && found {
			s.number = bytes.Clone(value)
		}
		return response, err
	}
	response, err := s.Card.Transceive(ctx, command)
	if err == nil && command[1] == apdu.InsSelect {
		s.selected(response)
	}
	return response, err
}

// selected finds the place of DF60 in what the application asks for.
func (s *Segment) selected(response []byte) {
	s.place, s.hasLast, s.extended, s.number, s.Absent = -1, false, emv.ExtendedIndicator{}, nil, false
	body := response[:max(0, len(response)-statusBytes)]
	if b, found := tlv.Find(body, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary, emv.TagExtendedIndicator); found {
		if indicator, err := emv.ParseExtendedIndicator(b); err == nil {
			s.extended = indicator
		}
	}
	b, found := tlv.Find(body, emv.TagFCI, emv.TagFCIProprietary, emv.TagPDOL)
	if !found || s.Ordinary || !s.extended.Has(emv.EISegmented) {
		return
	}
	list, err := emv.ParseDOL(b)
	if err != nil {
		return
	}
	at := 0
	for _, e := range list {
		if e.Tag == emv.TagCAPPIndicator && e.Len == 1 {
			s.place = at
			return
		}
		at += e.Len
	}
}

// initiate asks for a segmented payment, and notes which record is the last.
func (s *Segment) initiate(ctx context.Context, command []byte) ([]byte, error) {
	at := commandHeader + gpoTemplate + s.place
	switch {
	case s.Ordinary:
		return s.Card.Transceive(ctx, command)
	case s.place < 0 || at >= len(command):
		s.Absent = true // asked for nothing yet, so that the card has counted nothing
		return refusal(), nil
	}
	command = bytes.Clone(command)
	command[at] = segmentKind
	response, err := s.Card.Transceive(ctx, command)
	if err != nil || len(response) < statusBytes {
		return response, err
	}
	body := response[:len(response)-statusBytes]
	atc, hasATC := tlv.Find(body, emv.TagResponse2, emv.TagATC)
	files, found := tlv.Find(body, emv.TagResponse2, emv.TagAFL)
	if !hasATC || len(atc) != 2 || !found || len(files) < 4 {
		return response, nil
	}
	entry := files[len(files)-4:] // file, first and last record, how many are signed
	s.atc, s.hasLast = uint16(atc[0])<<8|uint16(atc[1]), true
	s.last = [2]byte{entry[2], entry[0] | byFile}
	return response, nil
}

// exchange reads the operator's record and has the new one written with the payment. What it returns goes to the terminal in place of the last record: the
// card then does not pay.
func (s *Segment) exchange(ctx context.Context) ([]byte, error) {
	record, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if record == nil {
		s.Absent = true // the card wants its record written before it pays [REF 2.8]: this payment ends here
		return refusal(), nil
	}
	s.Record = record
	if s.Next == nil {
		return refusal(), nil
	}
	next, ok := s.Next(bytes.Clone(record))
	if !ok {
		return refusal(), nil
	}
	if len(next) <= len(s.ID) || len(next) > maxSegmentRecord || !bytes.HasPrefix(next, s.ID[:]) {
		return nil, fmt.Errorf("new record of %d bytes: %w", len(next), ErrSegment)
	}
	command := append([]byte{0x84, apdu.InsUpdateCAPPDataCache, 0, s.SFI << sfiPlace, byte(len(next) + segmentMAC)}, next...)
	mac, err := s.Keys.RecordMAC(s.number, s.atc, command)
	if err != nil {
		return nil, fmt.Errorf("code for a record: %w", err)
	}
	response, err := s.Card.Transceive(ctx, append(command, mac[:]...))
	if err != nil {
		return nil, err
	}
	if !good(response) {
		return response, nil
	}
	s.Written = true
	return nil, nil
}

// refusal is what the terminal gets in place of an answer: the payment ends.
func refusal() []byte {
	return []byte{byte(apdu.ConditionsNotSatisfied >> 8), byte(apdu.ConditionsNotSatisfied & 0xFF)}
}

// read gives the operator's record, nil when the card has none.
func (s *Segment) read(ctx context.Context) ([]byte, error) {
	command := append([]byte{0x80, apdu.InsReadCAPPData, 0, s.SFI << sfiPlace, byte(len(s.ID))}, s.ID[:]...)
	var random []byte
	if s.extended.Has(emv.EIRMAC) {
		random = make([]byte, segmentRandom)
		if _, err := io.ReadFull(s.Random, random); err != nil {
			return nil, fmt.Errorf("draw a number: %w", err)
		}
		command[4] += segmentRandom
		command = append(command, random...)
	}
	response, err := s.Card.Transceive(ctx, append(command, 0))
	if err != nil {
		return nil, err
	}
	if !good(response) {
		return nil, nil
	}
	record := response[:len(response)-statusBytes]
	if random != nil {
		if len(record) < segmentMAC {
			return nil, fmt.Errorf("record of %d bytes: %w", len(record), ErrSegment)
		}
		data, mac := record[:len(record)-segmentMAC], record[len(record)-segmentMAC:]
		want, err := s.Keys.RecordMAC(s.number, s.atc, append(random, data...))
		if err != nil {
			return nil, fmt.Errorf("code of a record: %w", err)
		}
		if subtle.ConstantTimeCompare(want[:], mac) != 1 {
			return nil, fmt.Errorf("code of the record is wrong: %w", ErrSegment)
		}
		record = data
	}
	if len(record) > maxSegmentRecord || !bytes.HasPrefix(record, s.ID[:]) {
		return nil, fmt.Errorf("record of %d bytes: %w", len(record), ErrSegment)
	}
	return bytes.Clone(record), nil
}

func good(response []byte) bool {
	n := len(response)
	return n >= statusBytes && response[n-2] == 0x90 && response[n-1] == 0
}
