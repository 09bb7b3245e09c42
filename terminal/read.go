package terminal

import (
	"bytes"
	"context"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// Limits of Read.
const (
	// MaxReadFiles is the files that hold records for everyone [EMV B3 5.3.2.2].
	MaxReadFiles = 10
	// MaxReadRecords bounds the records looked at in each; directories of real cards end below.
	MaxReadRecords = 8
	// MaxLogRecords bounds a log; UnionPay cards keep ten [REF 1.3].
	MaxLogRecords = 30
	// MaxReadCommands bounds Read: the directories, and for each application SELECT, records, data objects and logs.
	MaxReadCommands = 2 + contact.MaxDirectoryRecords + maxKnownNames + MaxCandidates*(1+MaxReadFiles*MaxReadRecords+maxReadObjects+2*MaxLogRecords)

	maxReadObjects = 12 // GET DATA of readCounters, readMoney and readLog
	maxKnownNames  = 16
)

// Reading is what a card tells any reader, without a payment and without anyone's consent.
type Reading struct {
	Applications []CardApplication
	Reason       kernel.Reason // why there are none
}

// CardApplication is one application as read. What the card withholds is absent: nil, zero or empty.
type CardApplication struct {
	AID           emv.AID
	Label         string // 50
	PreferredName string // 9F12
	Priority      byte   // 87
	Blocked       bool

	PAN      pan.Number
	Expiry   pan.Expiry
	Sequence string // 5F34
	Holder   string // 5F20

	ATC           *uint16 // 9F36
	LastOnlineATC *uint16 // 9F13
	PINTries      *byte   // 9F17

	Currency      money.Currency // 9F51
	Balance       *money.Amount  // 9F79
	Available     *money.Amount  // 9F5D
	BalanceLimit  *money.Amount  // 9F77
	SingleLimit   *money.Amount  // 9F78
	SecondBalance *money.Amount  // DF79

	Log     Log
	LoadLog LoadLog
}

// Log is a card's list of transactions, the newest first. Each record is a list of data objects as Format lays it out.
type Log struct {
	Format  emv.DOL // 9F4F or DF4F
	Records []emv.Data
}

// Read shows what any reader can learn from a card in the field or in the slot: number, expiry, counter, balance, log. It starts no payment, so
// that the card's counter stays. The error is that of the reader, or wraps apdu.ErrCardLost.
func Read(ctx context.Context, reader apdu.Transceiver) (Reading, error) {
	l := &line{ctx: ctx, reader: WholeAnswers(reader)}
	entries, _, why, err := l.readDirectory()
	if err != nil || why != kernel.ReasonNone {
		return Reading{Reason: why}, err
	}
	var reading Reading
	for i := range entries {
		a, found, err := l.readApplication(&entries[i])
		if err != nil {
			return reading, fmt.Errorf("read card: %w", err)
		}
		if found {
			reading.Applications = append(reading.Applications, a)
		}
	}
	if len(reading.Applications) == 0 {
		reading.Reason = kernel.ReasonNoCommonApplication
	}
	return reading, nil
}

func (l *line) readApplication(e *entry) (a CardApplication, found bool, err error) {
	r, err := l.send(apdu.Select(e.aid.Bytes()))
	if err != nil || r.SW != apdu.OK && r.SW != apdu.ApplicationBlocked {
		return a, false, err
	}
	a = CardApplication{AID: e.aid, Label: string(e.label), Blocked: r.SW == apdu.ApplicationBlocked}
	if e.priority != lowestPriority {
		a.Priority = byte(e.priority)
	}
	if name, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary, emv.TagPreferredName); ok {
		a.PreferredName = string(name)
	}
	steps := [...]func(*CardApplication) error{l.readHolder, l.readCounters, l.readMoney}
	for _, step := range steps {
		if err := step(&a); err != nil {
			return a, false, err
		}
	}
	if a.Log, err = l.readLog(r.Data, emv.TagLogEntry, emv.TagLogFormat); err != nil {
		return a, false, err
	}
	a.LoadLog, err = l.readLoadLog(r.Data)
	return a, true, err
}

// readHolder goes through the records until it knows number and expiry.
func (l *line) readHolder(a *CardApplication) error {
	for sfi := byte(1); sfi <= MaxReadFiles; sfi++ {
		for number := byte(1); number <= MaxReadRecords; number++ {
			r, err := l.send(apdu.ReadRecord(sfi, number))
			if err != nil {
				return err
			}
			if r.SW == apdu.FileNotFound {
				break
			}
			if r.SW == apdu.OK {
				a.addRecord(r.Data)
			}
			if !a.PAN.IsZero() && !a.Expiry.IsZero() {
				return nil
			}
		}
	}
	return nil
}

func (a *CardApplication) addRecord(b []byte) {
	template, _, err := tlv.Next(b)
	if err != nil || template.Tag != emv.TagRecord {
		return
	}
	var data emv.Data
	if data.Decode(template.Value) != nil {
		return
	}
	if track, err := pan.ParseTrack2(data.Get(emv.TagTrack2)); err == nil {
		a.PAN, a.Expiry = track.PAN(), track.Expiry()
	}
	if number, err := pan.FromBCD(data.Get(emv.TagPAN)); err == nil {
		a.PAN = number
	}
	if b := data.Get(emv.TagExpiryDate); len(b) == 3 {
		if expiry, err := pan.ParseExpiry(fmt.Sprintf("%02X%02X", b[0], b[1])); err == nil {
			a.Expiry = expiry
		}
	}
	if b := data.Get(emv.TagPANSequence); len(b) == 1 {
		a.Sequence = fmt.Sprintf("%02X", b[0])
	}
	if b := data.Get(emv.TagCardholderName); len(b) > 0 {
		a.Holder = string(b)
	}
}

func (l *line) readCounters(a *CardApplication) error {
	for _, want := range [...]struct {
		tag tlv.Tag
		to  **uint16
	}{{emv.TagATC, &a.ATC}, {emv.TagLastOnlineATC, &a.LastOnlineATC}} {
		b, err := l.getData(want.tag)
		if err != nil {
			return err
		}
		if len(b) == 2 {
			v := uint16(b[0])<<8 | uint16(b[1])
			*want.to = &v
		}
	}
	b, err := l.getData(emv.TagPINTryCounter)
	if err == nil && len(b) == 1 {
		v := b[0]
		a.PINTries = &v
	}
	return err
}

func (l *line) readMoney(a *CardApplication) error {
	var err error
	if a.Currency, err = l.currency(emv.TagECCurrency); err != nil {
		return err
	}
	second, err := l.currency(emv.TagSecondECCurrency)
	if err != nil {
		return err
	}
	for _, want := range [...]struct {
		tag      tlv.Tag
		currency money.Currency
		to       **money.Amount
	}{
		{emv.TagECBalance, a.Currency, &a.Balance}, {emv.TagAvailableOffline, a.Currency, &a.Available},
		{emv.TagECBalanceLimit, a.Currency, &a.BalanceLimit}, {emv.TagECSingleLimit, a.Currency, &a.SingleLimit},
		{emv.TagSecondBalance, second, &a.SecondBalance},
	} {
		if want.currency.IsZero() {
			continue // an amount of what?
		}
		if *want.to, err = l.amount(want.tag, want.currency); err != nil {
			return err
		}
	}
	return nil
}

// currency asks for a currency code; zero when the card does not tell a known one.
func (l *line) currency(tag tlv.Tag) (money.Currency, error) {
	b, err := l.getData(tag)
	if err != nil || len(b) != 2 {
		return money.Currency{}, err
	}
	number := int(b[0]>>4)*1000 + int(b[0]&0xF)*100 + int(b[1]>>4)*10 + int(b[1]&0xF)
	c, err := money.CurrencyByNumber(number)
	if err != nil {
		return money.Currency{}, nil // not in the table: as good as not told
	}
	return c, nil
}

// LoadLog is a card's list of changes to its purse, the newest first [REF 3.4].
type LoadLog struct {
	Format  emv.DOL // DF4F
	Records []Load
}

// Load is one change: which purse, what it held before and after in minor units, and what Format lays out.
type Load struct {
	Tag           tlv.Tag // 9F79 or DF79; 0: the card's records do not say
	Before, After int64
	Details       emv.Data
}

// readLoadLog reads the log of loads: DF4D says where, DF4F how. Records begin with the tag and both balances [REF 3.4]; a card that
// leaves that out is read as well.
func (l *line) readLoadLog(fci []byte) (LoadLog, error) {
	const headBytes, amountBytes = 14, 6
	format, raw, err := l.rawLog(fci, emv.TagLoadLogEntry, emv.TagLoadLogFormat)
	log := LoadLog{Format: format}
	for _, b := range raw {
		var load Load
		if len(b) == headBytes+format.Length() {
			load.Tag = tlv.Tag(b[0])<<8 | tlv.Tag(b[1])
			var first, second bool
			load.Before, first = kernel.Minor(b[2 : 2+amountBytes])
			load.After, second = kernel.Minor(b[2+amountBytes : headBytes])
			if !first || !second {
				break
			}
			b = b[headBytes:]
		}
		details, bad := format.Split(b)
		if bad != nil {
			break
		}
		load.Details = details
		log.Records = append(log.Records, load)
	}
	return log, err
}

// readLog reads the log that the application's FCI announces, laid out by the format [REF 1.3]. Absent: the zero Log.
func (l *line) readLog(fci []byte, entry, layout tlv.Tag) (Log, error) {
	format, raw, err := l.rawLog(fci, entry, layout)
	log := Log{Format: format}
	for _, b := range raw {
		record, bad := format.Split(b)
		if bad != nil {
			break
		}
		log.Records = append(log.Records, record)
	}
	return log, err
}

// rawLog reads format and records of a log.
func (l *line) rawLog(fci []byte, entry, layout tlv.Tag) (format emv.DOL, records [][]byte, err error) {
	at, ok := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary, entry)
	if !ok || len(at) != 2 {
		return nil, nil, nil
	}
	sfi, count := at[0], min(int(at[1]), MaxLogRecords)
	if sfi < firstLogFile || sfi > lastFile {
		return nil, nil, nil
	}
	b, err := l.getData(layout)
	if err != nil || b == nil {
		return nil, nil, err
	}
	if format, err = emv.ParseDOL(b); err != nil || len(format) == 0 {
		return nil, nil, nil
	}
	for number := 1; number <= count; number++ {
		r, err := l.send(apdu.ReadRecord(sfi, byte(number)))
		if err != nil {
			return format, records, err
		}
		if r.SW != apdu.OK {
			break
		}
		records = append(records, bytes.Clone(r.Data))
	}
	return format, records, nil
}
