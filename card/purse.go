package card

import (
	"tapnet/emv"
	"tapnet/tlv"
)

// transaction is the payment in hand: it lives in RAM only.
type transaction struct {
	answered bool   // GET PROCESSING OPTIONS ended with 9000
	second   bool   // in the second currency
	sm       bool   // with the second set of algorithms
	dynamic  []byte // the answer to the last record of the offline AFL; nil when this transaction has none of its own
	staged   bool   // an approved payment waits for its last record
	ac       [8]byte
	next     ApplicationState // what that record commits, without the record itself
	dialogue dialogue         // of a payment by GENERATE AC
	extended extendedPayment  // of a contactless payment of the extended application
}

// purse is the index of the purse that GET DATA means in this transaction [REF 1.3].
func (t *transaction) purse() int {
	if t.second {
		return 1
	}
	return 0
}

// apply carries out what the decision spends. The checks of the tree have passed, so that no amount turns negative; the
// cumulative total stays within its limits for the same reason.
func (d *Decision) apply(s *ApplicationState, purse int, amount int64) {
	if d.spendPurse {
		s.takeFromPurse(purse, amount)
	}
	if d.spendCumulative {
		s.Cumulative += amount
	}
	if d.countInternational {
		s.InternationalCount++ // below its limit, so that it cannot overflow
	}
}

// commitPayment makes a staged payment durable together with its log entry and the record that ends it: one write, so that
// a card pulled away has either paid and can show it again, or not paid [REF 2.4]. A merchant's record of the extended application is
// part of the same write.
func (c *Card) commitPayment() (ok bool, err error) {
	next := c.state
	application := &next.Applications[c.selected]
	*application = c.tx.next
	application.LastRecord = LastRecord{ATC: application.ATC, Length: uint16(len(c.tx.dynamic))}
	copy(application.LastRecord.Bytes[:], c.tx.dynamic)
	if x := &c.tx.extended; x.cached {
		r := &next.Extended[x.place]
		r.Length, r.Bytes = x.length, x.content
	}
	ok, err = c.commit(&next)
	if ok {
		c.tx.staged = false
	}
	return ok, err
}

// replay is the last record of the latest payment, if that payment was committed: another GET PROCESSING OPTIONS has since
// used another counter, and then there is nothing to show.
func (s *ApplicationState) replay() ([]byte, bool) {
	if s.LastRecord.Length == 0 || s.LastRecord.ATC != s.ATC {
		return nil, false
	}
	return append([]byte(nil), s.LastRecord.Bytes[:s.LastRecord.Length]...), true
}

// idd is the value of the issuer discretionary data after the payment: amounts as the low-order five bytes of n12.
func (a *Application) iddValue(id byte, s *ApplicationState, purse int) []byte {
	five := func(amounts ...int64) []byte {
		var b []byte
		for _, amount := range amounts {
			digits := n12(amount)
			b = append(b, digits[1:]...)
		}
		return b
	}
	switch id {
	case emv.IDDBalance:
		return five(s.Purses[purse].Balance)
	case emv.IDDCTTA:
		return five(s.Cumulative)
	case emv.IDDBalanceAndCTTA:
		return five(s.Purses[purse].Balance, s.Cumulative)
	case emv.IDDCTTAAndCTTAL:
		return five(s.Cumulative, s.CumulativeLimit)
	case emv.IDDAvailable:
		return five(a.available(s, purse))
	}
	return nil
}

// n12 packs an amount of 0 to MaxMinor into 6 bytes.
func n12(minor int64) (b [6]byte) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(minor%10) | byte(minor/10%10)<<4
		minor /= 100
	}
	return b
}

// parseN12 reads 6 packed bytes; false when one is not a digit.
func parseN12(b []byte) (minor int64, ok bool) {
	for _, c := range b {
		if c>>4 > 9 || c&0xF > 9 {
			return 0, false
		}
		minor = minor*100 + int64(c>>4)*10 + int64(c&0xF)
	}
	return minor, len(b) == 6
}

// cardValues is what the card itself adds to the data of a transaction.
type cardValues struct {
	aip emv.AIP
	atc [2]byte
}

// Value implements emv.Source.
func (v *cardValues) Value(tag tlv.Tag) ([]byte, bool) {
	switch tag {
	case emv.TagAIP:
		return v.aip[:], true
	case emv.TagATC:
		return v.atc[:], true
	}
	return nil, false
}
