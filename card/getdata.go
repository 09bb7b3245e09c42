package card

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/money"
	"tapnet/tlv"
)

// dataObject is one row of what GET DATA tells: column G of [REF 1.3]. read returns nil when this card has no such object.
type dataObject struct {
	tag      tlv.Tag
	withhold Withhold
	read     func(a *application, s *ApplicationState, purse int) []byte
}

var dataObjects = [...]dataObject{
	{emv.TagLastOnlineATC, WithholdCounter, func(_ *application, s *ApplicationState, _ int) []byte { return two(s.LastOnlineATC) }},
	{emv.TagPINTryCounter, 0, func(_ *application, s *ApplicationState, _ int) []byte { return []byte{s.PINTries} }},
	{emv.TagATC, WithholdCounter, func(_ *application, s *ApplicationState, _ int) []byte { return two(s.ATC) }},
	{emv.TagLogFormat, WithholdLog, logFormat},
	{emv.TagLoadLogFormat, WithholdLog, loadLogFormat},
	{emv.TagECCurrency, 0, func(a *application, _ *ApplicationState, _ int) []byte { return a.currency[:] }},
	{emv.TagDefaultAction, 0, constant(emv.TagDefaultAction)},
	{emv.TagConsecutiveIntlCurrency, 0, func(_ *application, s *ApplicationState, _ int) []byte { return []byte{s.InternationalLimit} }},
	{emv.TagCTTAL, WithholdBalance, func(_ *application, s *ApplicationState, _ int) []byte { return six(s.CumulativeLimit) }},
	{emv.TagIssuerAuthIndicator, 0, constant(emv.TagIssuerAuthIndicator)},
	{emv.TagIssuerCountryCard, 0, constant(emv.TagIssuerCountryCard)},
	{emv.TagLowerConsecutiveLimit, 0, changeable(emv.TagLowerConsecutiveLimit)},
	{emv.TagUpperConsecutiveLimit, 0, changeable(emv.TagUpperConsecutiveLimit)},
	{emv.TagCTTAUL, WithholdBalance, func(_ *application, s *ApplicationState, _ int) []byte { return six(s.CumulativeUpperLimit) }},
	{emv.TagAvailableOffline, WithholdBalance, func(a *application, s *ApplicationState, p int) []byte { return six(a.available(s, p)) }},
	{emv.TagAdditionalProcessing, 0, func(a *application, _ *ApplicationState, _ int) []byte { return a.Processing[:] }},
	{emv.TagCardCVMLimit, 0, current(func(p *Purse) int64 { return p.CVMLimit })},
	{emv.TagECResetThreshold, 0, current(func(p *Purse) int64 { return p.ResetThreshold })},
	{emv.TagConsecutiveIntlCountry, 0, changeable(emv.TagConsecutiveIntlCountry)},
	{emv.TagConversionFactor, 0, changeable(emv.TagConversionFactor)},
	{emv.TagDualCurrencyLimit, 0, changeable(emv.TagDualCurrencyLimit)},
	{emv.TagSecondCurrency, 0, constant(emv.TagSecondCurrency)},
	{emv.TagECBalanceLimit, 0, current(func(p *Purse) int64 { return p.BalanceLimit })},
	{emv.TagECSingleLimit, 0, current(func(p *Purse) int64 { return p.SingleLimit })},
	{emv.TagECBalance, WithholdBalance, current(func(p *Purse) int64 { return p.Balance })},
	{emv.TagExtendedIndicator, 0, changeable(emv.TagExtendedIndicator)},
	{emv.TagSegmentLimit, 0, changeable(emv.TagSegmentLimit)},
	{emv.TagSegmentUsed, WithholdBalance, segmentUsed},
	{emv.TagSecondECCurrency, 0, secondCurrency},
	{emv.TagSecondCVMLimit, 0, second(func(p *Purse) int64 { return p.CVMLimit })},
	{emv.TagSecondResetThreshold, 0, second(func(p *Purse) int64 { return p.ResetThreshold })},
	{emv.TagSecondBalanceLimit, 0, second(func(p *Purse) int64 { return p.BalanceLimit })},
	{emv.TagSecondSingleLimit, 0, second(func(p *Purse) int64 { return p.SingleLimit })},
	{emv.TagSecondBalance, WithholdBalance, second(func(p *Purse) int64 { return p.Balance })},
}

// getData answers one data object [EMV B3 6.5.7]. A withheld object looks like one the card does not have.
func (c *Card) getData(cmd apdu.Command) (apdu.Response, error) {
	if len(cmd.Data) != 0 {
		return refuse(apdu.WrongLength), nil
	}
	tag := tlv.Tag(cmd.P1)<<8 | tlv.Tag(cmd.P2)
	a := c.application()
	for i := range dataObjects {
		object := &dataObjects[i]
		if object.tag != tag {
			continue
		}
		if a.Withhold&object.withhold != 0 {
			break
		}
		value := object.read(a, &c.state.Applications[c.selected], c.tx.purse())
		if value == nil {
			break
		}
		return answer(tlv.Append(nil, tag, value))
	}
	return refuse(apdu.DataNotFound), nil
}

// constant reads an object that personalisation wrote and nothing here changes.
func constant(tag tlv.Tag) func(*application, *ApplicationState, int) []byte {
	return func(a *application, _ *ApplicationState, _ int) []byte { return a.Objects.Get(tag) }
}

// current reads the purse of the current transaction: after a payment in the second currency the tags of the first mean the
// second [REF 1.3].
func current(amount func(*Purse) int64) func(*application, *ApplicationState, int) []byte {
	return func(_ *application, s *ApplicationState, purse int) []byte { return six(amount(&s.Purses[purse])) }
}

// second reads the second purse, if the card has one.
func second(amount func(*Purse) int64) func(*application, *ApplicationState, int) []byte {
	return func(a *application, s *ApplicationState, _ int) []byte {
		if a.SecondCurrency.IsZero() {
			return nil
		}
		return six(amount(&s.Purses[1]))
	}
}

func logFormat(a *application, _ *ApplicationState, _ int) []byte {
	if a.Log.SFI == 0 {
		return nil
	}
	return a.Log.Format.Bytes()
}

// loadLogFormat: an image may still have it among its constants.
func loadLogFormat(a *application, _ *ApplicationState, _ int) []byte {
	if a.LoadLog.SFI == 0 {
		return a.Objects.Get(emv.TagLoadLogFormat)
	}
	return a.LoadLog.Format.Bytes()
}

// changeable reads an object that a script may have replaced.
func changeable(tag tlv.Tag) func(*application, *ApplicationState, int) []byte {
	return func(a *application, s *ApplicationState, _ int) []byte { return a.setting(s, tag) }
}

func segmentUsed(a *application, s *ApplicationState, _ int) []byte {
	if !a.Objects.Has(emv.TagSegmentLimit) {
		return a.Objects.Get(emv.TagSegmentUsed)
	}
	return six(s.SegmentUsed)
}

func secondCurrency(a *application, _ *ApplicationState, _ int) []byte {
	if a.SecondCurrency.IsZero() {
		return nil
	}
	return a.secondCurrency[:]
}

func two(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

func six(minor int64) []byte {
	b := n12(minor)
	return b[:]
}

// numeric is a currency as format n3: "0156".
func numeric(c money.Currency) [2]byte {
	n := c.Number()
	return [2]byte{byte(n / 100), byte(n/10%10)<<4 | byte(n%10)}
}
