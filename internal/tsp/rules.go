package tsp

import (
	"slices"
	"strconv"
	"time"

	"tapnet/emv"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// Presentments: how a payment comes in, by field 22.
const (
	PresentContactless = "contactless"
	PresentContact     = "contact"
	PresentCode        = "code"
	PresentRemote      = "remote"
)

func presentment(e unionpay.EntryMode) string {
	switch {
	case e.Contactless():
		return PresentContactless
	case e.Chip():
		return PresentContact
	case e.Mode() == unionpay.EntryCode:
		return PresentCode
	case e.Mode() == unionpay.EntryManual:
		return PresentRemote
	}
	return "" // stripes and what is not said are in no domain
}

// attempt is everything the rules look at.
type attempt struct {
	now       time.Time
	payment   *unionpay.Payment
	data      unionpay.TokenData
	token     *Token
	account   *Account
	requestor *Requestor
	badPIN    bool // the block is not bound to the token
}

// outside reports whether a list of the requestor's domain or of the token's own says something and does not say this.
func (a *attempt) outside(list func(*tspapi.Domain) []string, value string) bool {
	return outside(list(&a.requestor.Domain), value) || a.token.Narrowed && outside(list(&a.token.Domain), value)
}

func outside(list []string, value string) bool { return len(list) > 0 && !slices.Contains(list, value) }

// rule refuses an attempt with its reason.
type rule struct {
	reason  unionpay.TokenReason
	applies func(*attempt) bool
}

// rules in the order in which they are looked at; the first that applies is the answer. What stands before them: a known key with other content, and a token
// that is not known.
var rules = [...]rule{
	{unionpay.TokenDeleted, func(a *attempt) bool { return a.token.State == Deactivated }},
	{unionpay.TokenNotActive, func(a *attempt) bool { return a.token.State == Inactive || a.token.State == Requested }},
	{unionpay.TokenLost, func(a *attempt) bool { return a.token.Suspenders&ByDeviceLost != 0 }},
	{unionpay.TokenPasswordLocked, func(a *attempt) bool { return a.token.Suspenders&ByPasswordLocked != 0 }},
	{unionpay.TokenSuspended, func(a *attempt) bool { return a.token.State != Active || a.token.Suspenders != 0 }},
	{unionpay.TokenExpired, expired},
	{unionpay.TokenCardClosed, func(a *attempt) bool { return a.account == nil || len(a.account.Sealed) == 0 }},
	{unionpay.TokenRequestorSuspended, func(a *attempt) bool { return a.requestor.Suspended }},
	{unionpay.TokenWrongRequestor, func(a *attempt) bool { return a.data.Requestor != "" && a.data.Requestor != a.requestor.ID }},
	{unionpay.TokenWrongPresentment, func(a *attempt) bool { return a.outside(presentmentsOf, presentment(a.payment.EntryMode)) }},
	{unionpay.TokenWrongMerchant, func(a *attempt) bool { return a.outside(merchantsOf, a.payment.Merchant) }},
	{unionpay.TokenWrongCategory, func(a *attempt) bool { return a.outside(categoriesOf, a.payment.MerchantType) }},
	{unionpay.TokenWrongCountry, func(a *attempt) bool { return a.outside(countriesOf, country(a.payment)) }},
	{unionpay.TokenWrongCurrency, func(a *attempt) bool { return a.outside(currenciesOf, currency(a.payment)) }},
	{unionpay.TokenWrongDevice, func(a *attempt) bool {
		return a.data.Device != "" && a.data.Device != a.token.Reference
	}},
	{unionpay.TokenCooling, func(a *attempt) bool {
		most := a.requestor.Policy.CoolingMinor
		return most > 0 && a.payment.Amount.Minor() > most && a.now.Before(a.token.coolingUntil(a.requestor.Policy))
	}},
	{unionpay.TokenAssuranceLimit, func(a *attempt) bool {
		most := a.requestor.Policy.LimitedMinor
		return most > 0 && a.token.limited() && a.payment.Amount.Minor() > most
	}},
	{unionpay.TokenPINFormat, func(a *attempt) bool { return a.badPIN }},
	{unionpay.TokenNoCryptogram, func(a *attempt) bool { return needsCryptogram(a.token) && !a.payment.ICC.Has(emv.TagAC) }},
}

func presentmentsOf(d *tspapi.Domain) []string { return d.Presentments }
func merchantsOf(d *tspapi.Domain) []string    { return d.Merchants }
func categoriesOf(d *tspapi.Domain) []string   { return d.Categories }
func countriesOf(d *tspapi.Domain) []string    { return d.Countries }
func currenciesOf(d *tspapi.Domain) []string   { return d.Currencies }

// judge gives the first reason to refuse, 0 when there is none.
func judge(a *attempt) unionpay.TokenReason {
	for i := range rules {
		if rules[i].applies(a) {
			return rules[i].reason
		}
	}
	return 0
}

// Rules lists the reasons of the domain in the order in which they are looked at, for documents.
func Rules() []unionpay.TokenReason {
	all := make([]unionpay.TokenReason, len(rules))
	for i := range rules {
		all[i] = rules[i].reason
	}
	return all
}

// needsCryptogram: only a number on file is paid with without one.
func needsCryptogram(t *Token) bool { return unionpay.TokenStorage(t.Storage) != unionpay.StorageFile }

// expired: a token without an expiry that can be read never pays.
func expired(a *attempt) bool {
	e, err := pan.ParseExpiry(a.token.Expiry)
	return err != nil || e.Expired(a.now)
}

// country is where the payment is made: field 19, or what the terminal says of itself in the chip data, which the cryptogram protects.
func country(p *unionpay.Payment) string {
	if p.Country != "" {
		return p.Country
	}
	if v := p.ICC.Get(emv.TagTerminalCountry); len(v) == 2 {
		return strconv.Itoa(int(v[0]&0xF)) + strconv.Itoa(int(v[1]>>4)) + strconv.Itoa(int(v[1]&0xF))
	}
	return ""
}

// currency is the payment's as three digits.
func currency(p *unionpay.Payment) string {
	n := strconv.Itoa(p.Amount.Currency().Number())
	for len(n) < 3 {
		n = "0" + n
	}
	return n
}
