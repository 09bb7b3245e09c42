package cloudse

import (
	"testing"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// inApp is a payment without a reader, made for the merchant of the rig's messages.
func inApp(minor int64) tap {
	return tap{minor: minor, sign: func(in *cloudkey.TagInput) { in.Merchant = "M00000000000001" }, change: func(m *unionpay.TokenRequest) {
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryManual, false)
		m.ICC.Set(emv.TagMerchant, []byte(m.Merchant))
	}}
}

// changed is a tap whose message is changed once more.
func (t tap) changed(change func(*unionpay.TokenRequest)) tap {
	first := t.change
	t.change = func(m *unionpay.TokenRequest) {
		if first != nil {
			first(m)
		}
		change(m)
	}
	return t
}

// TestRemote: a payment in an application is good for its merchant and amount, once; what is refused without a look at the cryptogram uses no counter.
func TestRemote(t *testing.T) {
	const other = "M00000000000002"
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	good := p.pay(inApp(12_50))
	r.expect(good, unionpay.TokenVerified)
	again := *good
	again.STAN, again.TransmissionTime = good.STAN+1000, "1122000001"
	r.expect(&again, unionpay.CounterRepeated) // single use: a second payment stops the token, as with taps
	must[cloudseapi.Done](r, cloudseapi.AlarmHandled{Key: r.alarms[0].Key})

	r = newRig(t, nil)
	p = r.enrol(options{}).refresh()
	for _, step := range []struct {
		name string
		how  tap
		want unionpay.TokenReason
	}{
		{"message of another merchant", inApp(100).changed(func(m *unionpay.TokenRequest) { m.Merchant = other }), unionpay.CredentialMerchant},
		{"both of another merchant", inApp(100).changed(func(m *unionpay.TokenRequest) {
			m.Merchant = other
			m.ICC.Set(emv.TagMerchant, []byte(other))
		}), unionpay.CredentialMerchant},
		{"message of another amount", inApp(100).changed(func(m *unionpay.TokenRequest) { m.Amount = money.New(10_000, money.CNY) }), unionpay.CredentialAmount},
		{"message in another currency", inApp(100).changed(func(m *unionpay.TokenRequest) { m.Amount = money.New(100, money.USD) }), unionpay.CredentialAmount},
		{"no merchant named", inApp(100).changed(func(m *unionpay.TokenRequest) { m.ICC.Delete(emv.TagMerchant) }), unionpay.CredentialEvidence},
		{"a tap's tag", tap{minor: 100, change: inApp(100).change}, unionpay.CredentialMerchant},
		{"nobody verified", tap{minor: 100, open: true, sign: inApp(100).sign, change: inApp(100).change}, unionpay.CredentialNeedsCVM},
		{"sound", inApp(100), unionpay.TokenVerified},
	} {
		if got := r.reason(p.pay(step.how)); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	if len(r.alarms) != 0 {
		t.Errorf("alarms %+v", r.alarms)
	}
	// Made for an application and shown as a tap: the key is off its way, and nobody does that by mistake.
	asTap := inApp(100)
	asTap.change = nil
	r.expect(p.pay(asTap), unionpay.CredentialDeviceTag)
}
