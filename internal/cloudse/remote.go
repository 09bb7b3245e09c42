package cloudse

import (
	"strings"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/iso8583/unionpay"
)

// A payment without a reader, in an application or on a page, comes with field 22 as 01x and chip data that name the merchant for which they were made (9F16).
// The cryptogram covers amount, currency and the merchant's unpredictable number, the device tag all of these and the merchant, under a label of its own: what
// was made for one merchant, amount or way of paying is good for no other. Keys and counters are those of taps, of the class with a verified holder.

// remote is what chip data say of a payment without a reader.
type remote struct {
	present  bool
	merchant bool // is the one of field 42
}

// readRemote takes the merchant into what the device tag is checked with, and into whether chip data agree with the message.
func (c *chip) readRemote(m *unionpay.TokenRequest) {
	named, ok := m.ICC.Value(emv.TagMerchant)
	if m.EntryMode.Mode() != unionpay.EntryManual || !ok || len(named) > cloudkey.MaxMerchantBytes {
		return
	}
	c.input.Merchant = strings.TrimRight(string(named), " ")
	c.remote = remote{present: c.input.Merchant != "", merchant: c.input.Merchant == strings.TrimRight(m.Merchant, " ")}
	c.agrees = c.agrees && c.remote.merchant
}

// disagrees says in what chip data and message differ.
func (r remote) disagrees() unionpay.TokenReason {
	if !r.merchant {
		return unionpay.CredentialMerchant
	}
	return unionpay.CredentialAmount
}
