package transit

import (
	"context"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// Ask is what a request to the acquirer is for.
type Ask uint16

// Asks. The numbers stand in journals.
const (
	AskVerify   Ask = iota + 1 // a credential that is new, or not approved for long
	AskHold                    // the same with the highest fare, to be completed
	AskPay                     // a bill
	AskComplete                // a bill, out of what is held
	AskRetry                   // a debt, by the calendar
	AskTap                     // a debt, because the card was tapped
	AskRefund                  // money back
	AskUpload                  // what a card paid by itself
	AskReturn                  // that money back, when it was for no ride
)

// onlineTags is field 55 of a request, in the order seen in the field [REF 6.1].
var onlineTags = []tlv.Tag{
	emv.TagAC, emv.TagCID, emv.TagIAD, emv.TagUnpredictableNumber, emv.TagATC, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount,
	emv.TagCurrency, emv.TagAIP, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities, emv.TagCVMResults, emv.TagTerminalType,
	emv.TagDeviceSerial, emv.TagDFName, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagCardProduct, emv.TagECAuthCode,
}

// cardData finds the sealed data of a tap and opens them. False: they are not on disk yet, or the security module cannot open them now.
func (o *Office) cardData(m material) (emv.Data, bool) {
	if m.row == 0 {
		return emv.Data{}, false
	}
	d := o.state.devices[m.device]
	note, before, ok := o.uploaded(uploadKey(d.name, m.row))
	if !ok {
		return emv.Data{}, false
	}
	var record *gate.Record
	end := 0
	for at := m.row; at <= m.sequence && end < len(note); at++ {
		end += recordLength(note[end:])
	}
	_, broken := gate.Verify(note[:min(end, len(note))], o.deps.Devices[d.name], gate.Head{Sequence: m.row - 1, Link: before}, func(r gate.Record) {
		if r.Sequence == m.sequence {
			record = &r
		}
	})
	if broken != nil || record == nil {
		return emv.Data{}, false
	}
	return o.open(record)
}

// uploaded finds an Uploaded row: its records, and the link before them.
func (o *Office) uploaded(key string) (note []byte, before gate.Link, ok bool) {
	for i := range o.recent {
		if o.recent[i].key == key {
			return o.recent[i].note, o.recent[i].before, true
		}
	}
	if o.archive == nil {
		return nil, before, false
	}
	row, found, err := o.archive.FindKey(context.Background(), key)
	if err != nil || !found || len(row.Answer) < headBytes {
		return nil, before, false
	}
	return row.Note, gate.Link(row.Answer[:linkBytes]), true
}

// requestOf builds a request from a card's data. The chip's own data go along when its cryptogram has not been in a request before: it is good for one.
func (o *Office) requestOf(c *credential, data emv.Data, minor int64, chip bool) (unionpay.FinancialRequest, bool) {
	number, ok := panOf(data)
	if !ok {
		return unionpay.FinancialRequest{}, false
	}
	p := unionpay.Payment{
		PAN: number, Processing: unionpay.ProcessingSale, Amount: money.New(minor, o.deps.Currency), Condition: unionpay.ConditionNormal,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryManual, false), STAN: o.state.stan%traceModulus + 1,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: o.state.batch, NetworkCode: "000", ReadCapability: unionpay.ReadContactless,
			ICCondition: unionpay.ICConditionNone},
		Terminal: o.deps.Terminal, Merchant: o.deps.Merchant,
	}
	if value := data.Get(emv.TagExpiryDate); len(value) == 3 {
		p.Expiry, _ = pan.ParseExpiry(digits(value[:2]))
	}
	if sequence := data.Get(emv.TagPANSequence); len(sequence) == 1 {
		p.CardSequence = "0" + digits(sequence)
	}
	if chip {
		p.EntryMode = unionpay.NewEntryMode(unionpay.EntryContactless, false)
		p.Track2, _ = pan.ParseTrack2(data.Get(emv.TagTrack2))
		for _, tag := range onlineTags {
			if value, present := data.Value(tag); present {
				p.ICC.Set(tag, value)
			}
		}
	}
	return unionpay.FinancialRequest{Payment: p}, true
}

// panOf is the card number, by itself or out of track 2.
func panOf(data emv.Data) (pan.Number, bool) {
	if number, err := pan.FromBCD(data.Get(emv.TagPAN)); err == nil {
		return number, true
	}
	if track, err := pan.ParseTrack2(data.Get(emv.TagTrack2)); err == nil {
		return track.PAN(), true
	}
	return pan.Number{}, false
}

// digits writes packed digits out.
func digits(b []byte) string {
	out := make([]byte, 0, 2*len(b))
	for _, x := range b {
		out = append(out, '0'+x>>4, '0'+x&0xF)
	}
	return string(out)
}

// gatherDays is how long after the first ride its fare counts as asked for in time; later it is made up for, like a debt. An issuer's limit may be the same.
const gatherDays = 7

// indicate says in a request that rides are paid after they were taken, and which earlier request has proven the card when this one cannot.
func (o *Office) indicate(now time.Time, m *unionpay.FinancialRequest, ask Ask, c *credential, b *bill, chip bool) {
	t := unionpay.Transit{Use: unionpay.TransitVerify}
	switch ask {
	case AskVerify, AskHold:
		t.Ridden = dateNumber(o.deps.Book.ServiceDate(time.UnixMilli(c.material.at)))
	case AskPay, AskRetry, AskTap:
		t.Use, t.Ridden = unionpay.TransitFares, dateNumber(b.ridden)
		if b.state == Owed || o.deps.Book.ServiceDate(now)-b.ridden > gatherDays {
			t.Use = unionpay.TransitDebt
		}
	default:
		return
	}
	m.Detail = unionpay.AppendTransit(m.Detail, t)
	if p := c.proof; p != nil && (!chip || c.material.shown) {
		m.Original = &unionpay.Original{Batch: p.batch, STAN: p.stan, Date: p.date}
		if p.hold && m.Info.MessageType == unionpay.KindSale {
			m.Condition = unionpay.ConditionPreAuth
		}
	}
}

// shape makes a request what it is asked for.
func (o *Office) shape(m *unionpay.FinancialRequest, ask Ask, c *credential, b *bill) {
	profile := &o.deps.Profile
	original := func(batch, stan uint32, date string) {
		m.Original = &unionpay.Original{Batch: batch, STAN: stan, Date: date}
	}
	switch ask {
	case AskVerify, AskHold:
		switch profile.VerifyKind {
		case unionpay.KindPreAuth:
			m.Authorization, m.Processing, m.Condition, m.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
		case unionpay.KindBalance:
			m.Processing, m.Info.MessageType = unionpay.ProcessingBalance, unionpay.KindBalance
		}
	case AskComplete:
		m.Condition, m.Info.MessageType, m.Advice = unionpay.ConditionPreAuth, profile.CompleteKind, profile.CompleteKind == unionpay.KindCompletionNote
		m.AuthCode = c.hold.auth
		original(c.hold.batch, c.hold.stan, c.hold.date)
	case AskRefund:
		m.Advice, m.Processing, m.Info.MessageType, m.RRN, m.Reserved = true, unionpay.ProcessingVoid, unionpay.KindRefund, b.paid.rrn, "CUP"
		original(b.paid.batch, b.paid.stan, b.paid.date)
	case AskReturn:
		m.Advice, m.Processing, m.Info.MessageType, m.RRN, m.Reserved = true, unionpay.ProcessingVoid, unionpay.KindOfflineRefund, b.paid.rrn, "CUP"
		original(b.paid.batch, b.paid.stan, b.paid.date)
	case AskUpload:
		m.Info.MessageType, m.Reserved = unionpay.KindOfflineUpload, "CUP"
	}
}

// kept is an Uploaded row that the archive may not show yet.
type kept struct {
	seq    uint64
	key    string
	note   []byte
	before gate.Link
}

// keep remembers an Uploaded row until the archive shows it.
func (o *Office) keep(r *journal.Row) {
	o.recent = append(o.recent, kept{r.Seq, r.Key, r.Note, gate.Link(r.Answer[:linkBytes])})
}

// release forgets the rows that the archive shows.
func (o *Office) releaseKept(durable uint64) {
	n := 0
	for n < len(o.recent) && o.recent[n].seq <= durable {
		n++
	}
	if n > 0 {
		o.recent = append(o.recent[:0:0], o.recent[n:]...)
	}
}
