package terminal

import (
	"context"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
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
	// MaxReadCommands bounds Read: the directory, and for each application SELECT, records, data objects and log.
	MaxReadCommands = 1 + MaxCandidates*(1+MaxReadFiles*MaxReadRecords+maxReadObjects+MaxLogRecords)

	maxReadObjects = 11 // GET DATA of readCounters, readMoney and readLog
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

	Log Log
}

// Log is a card's list of transactions, the newest first. Each record is a list of data objects as LogFormat lays it out.
type Log struct {
	Format  emv.DOL // 9F4F
	Records []emv.Data
}

// Read shows what any reader can learn from a card in the field: number, expiry, counter, balance, log. It starts no payment, so
// that the card's counter stays. The error is that of the reader, or wraps apdu.ErrCardLost.
func Read(ctx context.Context, reader apdu.Transceiver) (Reading, error) {
	l := &line{ctx: ctx, reader: reader}
	r, err := l.send(apdu.Select([]byte(emv.PPSE)))
	if err != nil {
		return Reading{}, fmt.Errorf("read card: %w", err)
	}
	if r.SW != apdu.OK {
		if r.SW == apdu.FunctionNotSupported {
			return Reading{Reason: kernel.ReasonCardBlocked}, nil
		}
		return Reading{Reason: kernel.ReasonNoDirectory}, nil
	}
	entries, ok := parseDirectory(r.Data)
	if !ok {
		return Reading{Reason: kernel.ReasonCardAnswerMalformed}, nil
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
	a.Log, err = l.readLog(r.Data)
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

// readLog reads the log that the application's FCI announces in 9F4D, laid out by 9F4F [REF 1.3]. Absent: the zero Log.
func (l *line) readLog(fci []byte) (Log, error) {
	at, ok := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary, emv.TagLogEntry)
	if !ok || len(at) != 2 {
		return Log{}, nil
	}
	sfi, count := at[0], min(int(at[1]), MaxLogRecords)
	const minLogFile, maxLogFile = 11, 30
	if sfi < minLogFile || sfi > maxLogFile {
		return Log{}, nil
	}
	b, err := l.getData(emv.TagLogFormat)
	if err != nil || b == nil {
		return Log{}, err
	}
	format, err := emv.ParseDOL(b)
	if err != nil || len(format) == 0 {
		return Log{}, nil
	}
	log := Log{Format: format}
	for number := 1; number <= count; number++ {
		r, err := l.send(apdu.ReadRecord(sfi, byte(number)))
		if err != nil {
			return log, err
		}
		if r.SW != apdu.OK {
			break
		}
		record, err := format.Split(r.Data)
		if err != nil {
			break
		}
		log.Records = append(log.Records, record)
	}
	return log, nil
}
