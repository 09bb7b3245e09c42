package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// writableObject is one row of what PUT DATA sets: column P of [REF 1.3].
type writableObject struct {
	tag    tlv.Tag
	length int
	has    func(*application) bool
	write  func(c *Card, a *application, s *ApplicationState, value []byte) apdu.SW
}

var writableObjects = [...]writableObject{
	{emv.TagConsecutiveIntlCurrency, 1, always, func(_ *Card, _ *application, s *ApplicationState, v []byte) apdu.SW {
		s.InternationalLimit = v[0]
		return apdu.OK
	}},
	{emv.TagCTTAL, 6, always, amountOf(func(s *ApplicationState) *int64 { return &s.CumulativeLimit })},
	{emv.TagCTTAUL, 6, always, amountOf(func(s *ApplicationState) *int64 { return &s.CumulativeUpperLimit })},
	{emv.TagLowerConsecutiveLimit, 1, listed(emv.TagLowerConsecutiveLimit), setting(emv.TagLowerConsecutiveLimit)},
	{emv.TagUpperConsecutiveLimit, 1, listed(emv.TagUpperConsecutiveLimit), setting(emv.TagUpperConsecutiveLimit)},
	{emv.TagConsecutiveIntlCountry, 1, listed(emv.TagConsecutiveIntlCountry), setting(emv.TagConsecutiveIntlCountry)},
	{emv.TagConversionFactor, 4, listed(emv.TagConversionFactor), setting(emv.TagConversionFactor)},
	{emv.TagDualCurrencyLimit, 6, listed(emv.TagDualCurrencyLimit), amountSetting(emv.TagDualCurrencyLimit)},
	{emv.TagSegmentLimit, 6, listed(emv.TagSegmentLimit), writeSegmentLimit},
	{emv.TagExtendedIndicator, 1, func(a *application) bool { return a.Extended != (emv.ExtendedIndicator{}) }, setting(emv.TagExtendedIndicator)},
	{emv.TagCardCVMLimit, 6, always, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[0].CVMLimit })},
	{emv.TagECResetThreshold, 6, always, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[0].ResetThreshold })},
	{emv.TagECSingleLimit, 6, always, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[0].SingleLimit })},
	{emv.TagECBalanceLimit, 6, always, writeBalanceLimit(0)},
	{emv.TagECBalance, 6, always, load(emv.TagECBalance, 0)},
	{emv.TagSecondCVMLimit, 6, twoPurses, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[1].CVMLimit })},
	{emv.TagSecondResetThreshold, 6, twoPurses, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[1].ResetThreshold })},
	{emv.TagSecondSingleLimit, 6, twoPurses, amountOf(func(s *ApplicationState) *int64 { return &s.Purses[1].SingleLimit })},
	{emv.TagSecondBalanceLimit, 6, twoPurses, writeBalanceLimit(1)},
	{emv.TagSecondBalance, 6, twoPurses, load(emv.TagSecondBalance, 1)},
}

// settings are the data objects that personalisation writes as constants and a script may replace. The index is the place in
// ApplicationState.Settings: never change the order.
var settings = [...]tlv.Tag{
	emv.TagLowerConsecutiveLimit, emv.TagUpperConsecutiveLimit, emv.TagConsecutiveIntlCountry, emv.TagConversionFactor,
	emv.TagDualCurrencyLimit, emv.TagSegmentLimit, emv.TagExtendedIndicator,
}

var settingLengths = [len(settings)]int{1, 1, 1, 4, 6, 6, 1}

func settingIndex(tag tlv.Tag) int {
	for i, t := range settings {
		if t == tag {
			return i
		}
	}
	return -1
}

// setting is the value of a data object: as a script last set it, or as personalisation wrote it; nil when the card has none.
func (a *application) setting(s *ApplicationState, tag tlv.Tag) []byte {
	if i := settingIndex(tag); i >= 0 && s.Settings[i].Length != 0 {
		return append([]byte(nil), s.Settings[i].Value[:s.Settings[i].Length]...)
	}
	if tag == emv.TagExtendedIndicator {
		if a.Extended == (emv.ExtendedIndicator{}) {
			return nil
		}
		return a.Extended[:]
	}
	return a.Objects.Get(tag)
}

func always(*application) bool { return true }

func twoPurses(a *application) bool { return !a.SecondCurrency.IsZero() }

func listed(tag tlv.Tag) func(*application) bool {
	return func(a *application) bool { return a.Objects.Has(tag) }
}

func setting(tag tlv.Tag) func(*Card, *application, *ApplicationState, []byte) apdu.SW {
	return func(_ *Card, _ *application, s *ApplicationState, value []byte) apdu.SW {
		set := Setting{Length: byte(len(value))}
		copy(set.Value[:], value)
		s.Settings[settingIndex(tag)] = set
		return apdu.OK
	}
}

func amountSetting(tag tlv.Tag) func(*Card, *application, *ApplicationState, []byte) apdu.SW {
	return func(c *Card, a *application, s *ApplicationState, value []byte) apdu.SW {
		if _, ok := parseN12(value); !ok {
			return apdu.WrongData
		}
		return setting(tag)(c, a, s, value)
	}
}

func amountOf(field func(*ApplicationState) *int64) func(*Card, *application, *ApplicationState, []byte) apdu.SW {
	return func(_ *Card, _ *application, s *ApplicationState, value []byte) apdu.SW {
		amount, ok := parseN12(value)
		if !ok {
			return apdu.WrongData
		}
		*field(s) = amount
		return apdu.OK
	}
}

// writeBalanceLimit refuses a limit below what the purse holds.
func writeBalanceLimit(purse int) func(*Card, *application, *ApplicationState, []byte) apdu.SW {
	return func(_ *Card, a *application, s *ApplicationState, value []byte) apdu.SW {
		limit, ok := parseN12(value)
		if !ok || limit < s.Purses[purse].Balance {
			return apdu.WrongData
		}
		if purse == 0 && a.segmentLimit(s)+limit >= MaxMinor {
			return apdu.WrongData
		}
		s.Purses[purse].BalanceLimit = limit
		return apdu.OK
	}
}

// load sets a balance: this is how electronic cash comes onto the card, and how it is taken off [REF 5]. Balance and load log change
// in the same write. What segmented deduction has advanced is paid back first [REF 2.8].
func load(tag tlv.Tag, purse int) func(*Card, *application, *ApplicationState, []byte) apdu.SW {
	return func(c *Card, a *application, s *ApplicationState, value []byte) apdu.SW {
		amount, ok := parseN12(value)
		if !ok {
			return apdu.WrongData
		}
		p := &s.Purses[purse]
		before := p.Balance
		reserved := int64(0)
		if purse == 0 {
			reserved = s.reserved()
		}
		if amount+reserved > p.BalanceLimit {
			if reserved > 0 {
				return apdu.LoadLimitExceeded
			}
			return apdu.WrongData
		}
		switch {
		case purse == 0 && s.SegmentUsed > 0 && amount > s.SegmentUsed:
			p.Balance, s.SegmentUsed = amount-s.SegmentUsed, 0
		case purse == 0 && s.SegmentUsed > 0:
			s.SegmentUsed -= amount
		default:
			p.Balance = amount
		}
		c.writeLoadLog(a, s, tag, before, p.Balance)
		return apdu.OK
	}
}
