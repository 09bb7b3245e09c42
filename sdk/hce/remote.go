package hce

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/money"
	"tapnet/tlv"
)

// RemoteBytes is room for what RemoteInto writes.
const RemoteBytes = 256

// maxRemoteBytes bounds what a merchant may ask with, maxRemoteMinor is twelve digits.
const (
	maxRemoteBytes = 1 << 10
	maxRemoteMinor = 999_999_999_999
)

// remoteRequest is what a merchant's application or page asks for.
type remoteRequest struct {
	Merchant      string `json:"merchant"`      // as its acquirer knows it, field 42: up to 15 characters
	AmountMinor   int64  `json:"amount_minor"`  // positive
	Currency      int    `json:"currency"`      // numeric [ISO 4217]
	Country       int    `json:"country"`       // numeric [ISO 3166]
	Date          string `json:"date"`          // YYMMDD at the merchant
	Unpredictable string `json:"unpredictable"` // 8 hexadecimal digits that the merchant drew for this payment
}

// RemoteInto pays without a reader, in an application or on a page: it gives up the counter of a key for a verified holder and writes a cryptogram that is good
// for this merchant, amount, currency and unpredictable number alone. out receives the elements of field 55 with the token's number (5A), expiry (5F24) and
// sequence number (5F34) in front; the result is their length, or a code of Arm. tokenRef "" is the picked or the default token; cvmType is never CVMNone.
// requestJSON: {"merchant": "…", "amount_minor": 1250, "currency": 156, "country": 156, "date": "261121", "unpredictable": "9A3C0017"}. What is armed for a
// reader stays so. It waits for the key store and for storage.
func (e *Engine) RemoteInto(tokenRef string, cvmType int32, cvmAgeMs int64, requestJSON string, out []byte) (n int32) {
	defer func() {
		if recover() != nil {
			n = ArmFault
		}
	}()
	var q remoteRequest
	if cvmType <= CVMNone || cvmType > CVMPassword || cvmAgeMs < 0 || len(requestJSON) > maxRemoteBytes ||
		json.Unmarshal([]byte(requestJSON), &q) != nil {
		return ArmArgument
	}
	if len(out) < RemoteBytes {
		return ArmBuffer
	}
	data, ok := q.data()
	if !ok {
		return ArmArgument
	}
	e.store.Lock()
	defer e.store.Unlock()
	t := e.find(e.chosen(tokenRef))
	if t == nil {
		return ArmNoToken
	}
	var a armed
	defer a.erase()
	paid := int64(0)
	if q.Currency == t.profile.Currency.Number() {
		paid = q.AmountMinor
	}
	if code := e.take(t, cloudkey.CVMType(cvmType), cvmAgeMs, paid, &a); code != ArmOK {
		return code
	}
	if e.picked == t.profile.Token {
		e.picked = ""
	}
	return int32(copy(out, a.remote(t.profile, &q, data))) //nolint:gosec // RemoteBytes at most
}

// chosen is the token that pays when a caller names ref.
func (e *Engine) chosen(ref string) string {
	switch {
	case ref != "":
		return ref
	case e.picked != "":
		return e.picked
	}
	return e.standard
}

// remote makes the cryptogram and writes the elements.
func (a *armed) remote(p *cloudkey.Profile, q *remoteRequest, data *emv.Data) []byte {
	var room [maxMACData]byte
	in := a.over(p.PDOL.Build(nil, data), room[:0])
	in.Merchant = q.Merchant
	in.CVMAge = cloudkey.CVMAge(a.ageMs)
	iad := a.iad
	iad.CVMAge, iad.Tag = in.CVMAge, cloudkey.DeviceTag(a.tagKey, a.token, in)
	out := tlv.Append(nil, emv.TagPAN, p.Track2.PAN().BCD())
	if expiry, err := hex.DecodeString(p.Track2.Expiry().LastDay().Format("060102")); err == nil {
		out = tlv.Append(out, emv.TagExpiryDate, expiry)
	}
	out = tlv.Append(out, emv.TagPANSequence, []byte{(p.Sequence[0]-'0')<<4 | (p.Sequence[1] - '0')})
	out = tlv.Append(out, emv.TagAC, in.Cryptogram[:])
	out = tlv.Append(out, emv.TagIAD, iad.AppendTo(nil))
	out = tlv.Append(out, emv.TagATC, binary.BigEndian.AppendUint16(nil, a.atc))
	out = tlv.Append(out, emv.TagAIP, p.AIP[:])
	for _, tag := range remoteTags {
		out = tlv.Append(out, tag, data.Get(tag))
	}
	return out
}

// remoteTags are what the merchant's request says, as the issuer sees it.
var remoteTags = [...]tlv.Tag{
	emv.TagUnpredictableNumber, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount, emv.TagCurrency, emv.TagTerminalCountry,
	emv.TagAmountOther, emv.TagMerchant,
}

// data is the request in the place of what a reader says; false when it is not sound.
func (q *remoteRequest) data() (*emv.Data, bool) {
	date, dateErr := hex.DecodeString(q.Date)
	unknown, unknownErr := hex.DecodeString(q.Unpredictable)
	currency, currencyErr := money.CurrencyByNumber(q.Currency)
	if dateErr != nil || unknownErr != nil || currencyErr != nil || len(date) != 3 || len(unknown) != 4 || q.AmountMinor <= 0 || q.AmountMinor > maxRemoteMinor ||
		q.Country <= 0 || q.Country > 999 || !soundMerchant(q.Merchant) || strings.Trim(q.Date, "0123456789") != "" {
		return nil, false
	}
	amount, err := money.New(q.AmountMinor, currency).BCD()
	if err != nil {
		return nil, false
	}
	number := func(v int) []byte { return []byte{byte(v / 100), byte(v/10%10)<<4 | byte(v%10)} }
	var d emv.Data
	d.Set(emv.TagUnpredictableNumber, unknown)
	d.Set(emv.TagTVR, make([]byte, 5)) // nothing was looked at
	d.Set(emv.TagTransactionDate, date)
	d.Set(emv.TagTransactionType, []byte{0})
	d.Set(emv.TagAmount, amount[:])
	d.Set(emv.TagAmountOther, make([]byte, 6))
	d.Set(emv.TagCurrency, number(q.Currency))
	d.Set(emv.TagTerminalCountry, number(q.Country))
	d.Set(emv.TagMerchant, fmt.Appendf(nil, "%-*s", cloudkey.MaxMerchantBytes, q.Merchant))
	return &d, true
}

// soundMerchant: printable, and no blank at either end, so that it is one merchant and not two that print alike.
func soundMerchant(m string) bool {
	for _, c := range []byte(m) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return m != "" && len(m) <= cloudkey.MaxMerchantBytes && strings.TrimSpace(m) == m
}
