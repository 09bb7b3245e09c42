package hce_test

import (
	"fmt"
	"testing"

	"tapnet/emv"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/hcetest"
	"tapnet/sdk/hce/soft"
	"tapnet/tlv"
)

const remoteMerchant = "301000054110001"

func remoteOf(merchant string, minor int64) string {
	return fmt.Sprintf(`{"merchant":%q,"amount_minor":%d,"currency":156,"country":156,"date":"261121","unpredictable":"9A3C0017"}`, merchant, minor)
}

// elements reads what RemoteInto wrote.
func elements(t *testing.T, out []byte) *emv.Data {
	t.Helper()
	var d emv.Data
	for rest := out; len(rest) > 0; {
		e, after, err := tlv.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		d.Set(e.Tag, e.Value)
		rest = after
	}
	return &d
}

func payRemote(t *testing.T, p *hcetest.Phone, merchant string, minor int64) *emv.Data {
	t.Helper()
	var out [hce.RemoteBytes]byte
	n := p.Engine.RemoteInto("", hce.CVMFingerprint, 0, remoteOf(merchant, minor), out[:])
	if n <= 0 {
		t.Fatalf("remote: %d, %s", n, p.Engine.StatusJSON())
	}
	return elements(t, out[:n])
}

// TestRemote: the cloud takes a payment without a reader for this merchant and amount, once.
func TestRemote(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	d := payRemote(t, p, remoteMerchant, 129_900)
	if string(d.Get(emv.TagMerchant)) != remoteMerchant || fmt.Sprintf("%X", d.Get(emv.TagAmount)) != "000000129900" ||
		fmt.Sprintf("%X", d.Get(emv.TagPAN)) != p.Numbers[token].Reveal()+"F" && fmt.Sprintf("%X", d.Get(emv.TagPAN)) != p.Numbers[token].Reveal() {
		t.Errorf("elements %v", d)
	}
	if v := p.Cloud.Verify(p.Numbers[token], *d); !v.OK() || v.Replay {
		t.Errorf("verdict %+v", v)
	}
	if v := p.Cloud.Verify(p.Numbers[token], *d); !v.Replay {
		t.Errorf("the same again: %+v", v)
	}
	if v := p.Check(token, p.Tap("", 100)); !v.OK() {
		t.Errorf("a tap afterwards: %+v", v)
	}
}

// TestRemoteIsBound: another merchant, amount, currency or number, and a tap's cryptogram with a merchant, are other payments.
func TestRemoteIsBound(t *testing.T) {
	for name, change := range map[string]struct {
		tag    tlv.Tag
		value  []byte
		reason string
	}{
		"merchant":      {emv.TagMerchant, []byte("301000058120002"), soft.ReasonTag},
		"no merchant":   {emv.TagMerchant, nil, soft.ReasonTag},
		"amount":        {emv.TagAmount, []byte{0, 0, 0, 99, 99, 0}, soft.ReasonWrong},
		"currency":      {emv.TagCurrency, []byte{0x08, 0x40}, soft.ReasonWrong},
		"unpredictable": {emv.TagUnpredictableNumber, []byte{1, 2, 3, 4}, soft.ReasonWrong},
		"long merchant": {emv.TagMerchant, []byte("3010000541100011"), soft.ReasonEvidence},
	} {
		p := hcetest.NewPhone(t, hcetest.Options{})
		d := payRemote(t, p, remoteMerchant, 1250)
		d.Set(change.tag, change.value)
		if v := p.Cloud.Verify(p.Numbers[token], *d); v.Reason != change.reason {
			t.Errorf("%s: %q, want %q", name, v.Reason, change.reason)
		}
	}
	p := hcetest.NewPhone(t, hcetest.Options{})
	tapped := p.Tap("", 1250).Data
	tapped.Set(emv.TagMerchant, []byte(remoteMerchant))
	if v := p.Cloud.Verify(p.Numbers[token], tapped); v.Reason != soft.ReasonTag {
		t.Errorf("a tap in an application's clothes: %q", v.Reason)
	}
}

// TestRemoteRefused: what is asked wrongly costs no counter, and what was armed for a reader stays armed.
func TestRemoteRefused(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{Cap: 5000})
	before := p.Engine.StatusJSON()
	var out [hce.RemoteBytes]byte
	good := remoteOf(remoteMerchant, 1250)
	for name, try := range map[string]struct {
		token   string
		cvm     int32
		age     int64
		request string
		out     []byte
		want    int32
	}{
		"nobody verified":  {"", hce.CVMNone, 0, good, out[:], hce.ArmArgument},
		"unknown way":      {"", 9, 0, good, out[:], hce.ArmArgument},
		"negative age":     {"", hce.CVMFace, -1, good, out[:], hce.ArmArgument},
		"no JSON":          {"", hce.CVMFace, 0, "amount", out[:], hce.ArmArgument},
		"long":             {"", hce.CVMFace, 0, fmt.Sprintf("%2000s", good), out[:], hce.ArmArgument},
		"no merchant":      {"", hce.CVMFace, 0, remoteOf("", 1250), out[:], hce.ArmArgument},
		"blank behind":     {"", hce.CVMFace, 0, remoteOf("SHOP ", 1250), out[:], hce.ArmArgument},
		"long merchant":    {"", hce.CVMFace, 0, remoteOf("3010000541100011", 1250), out[:], hce.ArmArgument},
		"control":          {"", hce.CVMFace, 0, remoteOf("A\x01B", 1250), out[:], hce.ArmArgument},
		"nothing":          {"", hce.CVMFace, 0, remoteOf(remoteMerchant, 0), out[:], hce.ArmArgument},
		"negative":         {"", hce.CVMFace, 0, remoteOf(remoteMerchant, -1), out[:], hce.ArmArgument},
		"thirteen digits":  {"", hce.CVMFace, 0, remoteOf(remoteMerchant, 1_000_000_000_000), out[:], hce.ArmArgument},
		"short buffer":     {"", hce.CVMFace, 0, good, out[:hce.RemoteBytes-1], hce.ArmBuffer},
		"no token":         {"tok-none", hce.CVMFace, 0, good, out[:], hce.ArmNoToken},
		"above the cap":    {"", hce.CVMFace, 0, remoteOf(remoteMerchant, 5001), out[:], hce.ArmNeedsNetwork},
		"no such currency": {"", hce.CVMFace, 0, `{"merchant":"A","amount_minor":1,"currency":1,"country":156,"date":"261121","unpredictable":"00000000"}`, out[:], hce.ArmArgument},
		"no such date":     {"", hce.CVMFace, 0, `{"merchant":"A","amount_minor":1,"currency":156,"country":156,"date":"2611AB","unpredictable":"00000000"}`, out[:], hce.ArmArgument},
		"short number":     {"", hce.CVMFace, 0, `{"merchant":"A","amount_minor":1,"currency":156,"country":156,"date":"261121","unpredictable":"0000"}`, out[:], hce.ArmArgument},
	} {
		if n := p.Engine.RemoteInto(try.token, try.cvm, try.age, try.request, try.out); n != try.want {
			t.Errorf("%s: %d, want %d", name, n, try.want)
		}
	}
	if after := p.Engine.StatusJSON(); after != before {
		t.Errorf("refusals changed the phone: %s, then %s", before, after)
	}
	p.Arm("")
	remote := payRemote(t, p, remoteMerchant, 1250)
	if v := p.Cloud.Verify(p.Numbers[token], *remote); !v.OK() {
		t.Errorf("beside an armed key: %+v", v)
	}
	if v := p.Check(token, p.TapArmed(100)); !v.OK() {
		t.Errorf("what was armed: %+v", v)
	}
}
