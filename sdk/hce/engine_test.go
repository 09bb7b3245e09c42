package hce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/hcetest"
	"tapnet/sdk/hce/soft"
)

const token = hcetest.Token

type tokenStatus struct {
	Ref, LastFour, State, Why string
	Default, NeedsNetwork     bool
	Batch                     int
	KeysCVM, KeysOpen         int
	Counter, Taps             int
}

// status reads StatusJSON.
func status(t testing.TB, e *hce.Engine) (s struct {
	Tokens            []tokenStatus
	Damaged           []string
	Picked, Armed     string
	WantsCVM, Refused bool
}) {
	t.Helper()
	plain := strings.NewReplacer("wants_cvm", "WantsCVM", "keys_cvm", "KeysCVM", "keys_open", "KeysOpen", "needs_network", "NeedsNetwork",
		"last_four", "LastFour").Replace(e.StatusJSON())
	if err := json.Unmarshal([]byte(plain), &s); err != nil {
		t.Fatalf("%v in %s", err, plain)
	}
	return s
}

func answer(t testing.TB, p *hcetest.Phone, command apdu.Command) apdu.SW {
	t.Helper()
	var out [258]byte
	n := p.Engine.ProcessInto(command.Bytes(), out[:], p.Clock.ElapsedNs())
	if n < 2 {
		t.Fatalf("%v: %d", command, n)
	}
	return apdu.SW(out[n-2])<<8 | apdu.SW(out[n-1])
}

// TestTenTapsWithoutNetwork: a batch is ten taps with verification; then the phone says what it needs.
func TestTenTapsWithoutNetwork(t *testing.T) {
	offline := false
	p := hcetest.NewPhone(t, hcetest.Options{Network: func(n soft.Network) soft.Network {
		return func(path string, body []byte) (int, []byte, error) {
			if offline {
				return 0, nil, hcetest.ErrNoNetwork
			}
			return n(path, body)
		}
	}})
	offline = true
	for i := range 10 {
		s := status(t, p.Engine).Tokens[0]
		if s.KeysCVM != 10-i || s.State != "ready" {
			t.Fatalf("before tap %d: %+v", i+1, s)
		}
		v := p.Check(token, p.Tap("", 1000))
		if !v.OK() || int(v.ATC) != i+1 {
			t.Fatalf("tap %d: %+v", i+1, v)
		}
	}
	s := status(t, p.Engine).Tokens[0]
	if s.State != "NeedsNetwork" || !s.NeedsNetwork || s.Why != "taps" {
		t.Errorf("after ten taps: %+v", s)
	}
	if code := p.Engine.Arm("", hce.CVMFingerprint, 0); code != hce.ArmNeedsNetwork {
		t.Errorf("arms with nothing left: %d", code)
	}
	if code := p.Engine.Arm("", hce.CVMNone, 0); code != hce.ArmNeedsNetwork {
		t.Errorf("arms beyond the taps without contact: %d", code)
	}
	if err := p.Engine.Replenish(); err == nil {
		t.Error("replenishes without network")
	}
	offline = false
	if err := p.Engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	if s := status(t, p.Engine).Tokens[0]; s.KeysCVM != 10 || s.KeysOpen != 3 || s.Batch != 2 || s.NeedsNetwork {
		t.Errorf("after the refresh: %+v", s)
	}
	if v := p.Check(token, p.Tap("", 1000)); !v.OK() || v.ATC != 14 || v.Evidence.BSEQ != 2 {
		t.Errorf("%+v", v)
	}
}

func TestRefreshNotices(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	if s := status(t, p.Engine).Tokens[0]; s.NeedsNetwork {
		t.Errorf("fresh keys: %+v", s)
	}
	p.Clock.Advance(5 * 24 * time.Hour)
	if s := status(t, p.Engine).Tokens[0]; s.Why != "age" || s.State != "ready" {
		t.Errorf("after 70 per cent of its life: %+v", s)
	}
	p.Clock.Advance(3 * 24 * time.Hour)
	if s := status(t, p.Engine).Tokens[0]; s.Why != "keys" || s.State == "ready" || s.KeysCVM != 0 {
		t.Errorf("after its life: %+v", s)
	}
	if code := p.Engine.Arm("", hce.CVMFace, 0); code != hce.ArmNeedsNetwork {
		t.Errorf("arms with a key that is too old: %d", code)
	}
	if err := p.Engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	if v := p.Check(token, p.Tap("", 10)); !v.OK() {
		t.Errorf("%+v", v)
	}
}

// TestAmountCap: the sum of taps without contact is bounded, and a tap that would exceed it makes nothing.
func TestAmountCap(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{Cap: 50_000})
	if v := p.Check(token, p.Tap("", 30_000)); !v.OK() {
		t.Fatalf("%+v", v)
	}
	if o := p.Tap("", 30_000); o.Kind == kernel.OnlineRequest {
		t.Error("a tap beyond the cap is answered")
	}
	if v := p.Check(token, p.Tap("", 20_000)); !v.OK() {
		t.Errorf("%+v", v)
	}
	if s := status(t, p.Engine).Tokens[0]; s.Why != "amount" || s.State == "ready" {
		t.Errorf("%+v", s)
	}
	if err := p.Engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	if v := p.Check(token, p.Tap("", 30_000)); !v.OK() {
		t.Errorf("%+v", v)
	}
}

// TestSilentUnlessArmed: relay and pickpockets get status words.
func TestSilentUnlessArmed(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	silent := func(when string) {
		t.Helper()
		for _, c := range []apdu.Command{apdu.Select([]byte(emv.PPSE)), apdu.Select(emv.AIDDebit.Bytes()), apdu.GPO(make([]byte, 33)), apdu.ReadRecord(1, 1)} {
			if sw := answer(t, p, c); sw != apdu.ConditionsNotSatisfied {
				t.Errorf("%s: %v to %v", when, sw, c)
			}
		}
		p.Engine.Deactivated(0)
	}
	silent("not armed")
	p.Arm("")
	if status(t, p.Engine).Armed != token {
		t.Error("does not say that it is armed")
	}
	p.Engine.Disarm()
	silent("disarmed")
	p.Tap("", 100)
	silent("after a tap")
	p.Arm("")
	p.Clock.Advance(61 * time.Second)
	silent("armed for too long")
	p.Arm("")
	p.Clock.Advance(59 * time.Second)
	if o := p.TapArmed(100); o.Kind != kernel.OnlineRequest {
		t.Errorf("within its window: %v, %v", o.Kind, o.Reason)
	}
	p.Arm("")
	p.Engine.Deactivated(0) // of a field in which nothing was said: the phone stays armed
	if o := p.TapArmed(100); o.Kind != kernel.OnlineRequest {
		t.Errorf("after an empty field: %v, %v", o.Kind, o.Reason)
	}
	p.Arm("")
	answer(t, p, apdu.Select([]byte(emv.PPSE)))
	p.Engine.Deactivated(0)
	silent("after a field that broke off")
	if s := status(t, p.Engine).Tokens[0]; s.Counter != 6 {
		t.Errorf("six times armed, counter %d", s.Counter)
	}
}

// TestSeePhone: a reader that wants verification gets 6986 from a key without, and the phone knows why.
func TestSeePhone(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	arm := func() {
		t.Helper()
		if code := p.Engine.Arm("", hce.CVMNone, 0); code != hce.ArmOK {
			t.Fatalf("arm: %d", code)
		}
	}
	arm()
	if v := p.Check(token, p.TapArmed(500)); !v.OK() || v.Evidence.CVM != cloudkey.CVMTypeNone {
		t.Errorf("small amount: %+v", v)
	}
	arm()
	if o := p.TapArmed(100_000); o.Kind != kernel.TryAgain || o.Reason != kernel.ReasonSeePhone {
		t.Errorf("at the limit: %v, %v", o.Kind, o.Reason)
	}
	if !status(t, p.Engine).WantsCVM {
		t.Error("the phone does not know that its holder is wanted")
	}
	o := p.Tap("", 100_000)
	if v := p.Check(token, o); !v.OK() || o.CVM != kernel.CVMConfirmationCode || v.Evidence.CVM != cloudkey.CVMTypeFingerprint {
		t.Errorf("verified: %v, %+v", o.CVM, v)
	}
	if status(t, p.Engine).WantsCVM {
		t.Error("still wants its holder")
	}
	arm()
	if o := p.TapArmed(10_001); o.Reason != kernel.ReasonSeePhone {
		t.Errorf("above the token's own limit: %v", o.Reason)
	}
}

// TestVerificationAge and latency: what the phone measures reaches the issuer, under the device tag.
func TestEvidence(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	if code := p.Engine.Arm("", hce.CVMFace, 3000); code != hce.ArmOK {
		t.Fatal(code)
	}
	p.Clock.Advance(5 * time.Second)
	field := p.Hold()
	defer field.Remove()
	// A relay delays each command by 100 ms.
	o := hcetest.Tap(t, hcetest.Terminal(t), delayed{field, func() { p.Clock.Advance(100 * time.Millisecond) }}, 100)
	v := p.Check(token, o)
	if !v.OK() || v.Evidence.CVM != cloudkey.CVMTypeFace || v.Evidence.CVMAge != 4 || v.Evidence.Latency != 25 || v.Evidence.Risk != cloudkey.RiskSoftwareKeys {
		t.Errorf("%+v", v)
	}
	p.Clock.Advance(-48 * time.Hour)
	if v := p.Check(token, p.Tap("", 100)); v.Evidence.Risk&cloudkey.RiskClock == 0 {
		t.Errorf("the clock went back: %+v", v)
	}
	p.Clock.Advance(96 * time.Hour)
	o = p.Tap("", 100)
	iad := o.Data.Get(emv.TagIAD)
	iad[cloudkey.IADLatencyAt] = 200
	changed := o.Data.Clone()
	changed.Set(emv.TagIAD, iad)
	o.Data = changed
	if v := p.Check(token, o); v.Reason != soft.ReasonTag {
		t.Errorf("altered evidence: %+v", v)
	}
}

// TestWrongPassword: nothing on the phone tells a wrong password from the right one; the cloud does.
func TestWrongPassword(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{Password: "147258"})
	pay := func(password string) (kernel.Outcome, string) {
		t.Helper()
		p.Platform.SetPassword(password)
		if code := p.Engine.Arm("", hce.CVMPassword, 0); code != hce.ArmOK {
			t.Fatalf("arm: %d", code)
		}
		o := p.TapArmed(200_000)
		return o, p.Check(token, o).Reason
	}
	if code := p.Engine.Arm("", hce.CVMPassword, 0); code != hce.ArmNoPassword {
		t.Errorf("arms without a password: %d", code)
	}
	right, why := pay("147258")
	if why != "" {
		t.Errorf("right password: %s", why)
	}
	wrong, why := pay("147259")
	if why != soft.ReasonWrong {
		t.Errorf("wrong password: %q", why)
	}
	if right.Kind != wrong.Kind || right.Reason != wrong.Reason || right.CVM != wrong.CVM || right.UI != wrong.UI {
		t.Error("a reader sees a difference")
	}
	if _, why := pay("147258"); why != "" {
		t.Errorf("right password after a wrong one: %s", why)
	}
	for range 2 {
		if _, why := pay("000000"); why != soft.ReasonWrong {
			t.Errorf("wrong password: %q", why)
		}
	}
	if s := status(t, p.Engine).Tokens[0]; s.Counter != 15 { // 10 keys of the device, then five
		t.Errorf("a password that was not entered costs a key: counter %d", s.Counter)
	}
	p.Platform.SetPassword("000000")
	if code := p.Engine.Arm("", hce.CVMPassword, 0); code != hce.ArmNeedsNetwork {
		t.Errorf("sixth key: %d", code)
	}
}

func TestLockedKeyStore(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	p.Platform.Lock(true)
	if code := p.Engine.Arm("", hce.CVMFingerprint, 0); code != hce.ArmLocked {
		t.Errorf("arms behind a lock: %d", code)
	}
	if s := status(t, p.Engine).Tokens[0]; s.KeysCVM != 10 {
		t.Errorf("a lock costs a key: %+v", s)
	}
	if code := p.Engine.Arm("", hce.CVMNone, 0); code != hce.ArmOK {
		t.Errorf("a key without verification: %d", code)
	}
}

func TestTokens(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	p.Add("tok-2", "62999812345678902")
	if err := p.Engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	pays := func(want string) {
		t.Helper()
		for _, ref := range []string{token, "tok-2"} {
			if ref == want {
				if v := p.Check(ref, p.Tap("", 100)); !v.OK() {
					t.Errorf("%s does not pay: %+v", want, v)
				}
			}
		}
	}
	pays(token)
	if err := p.Engine.Pick("tok-2"); err != nil {
		t.Fatal(err)
	}
	pays("tok-2")
	pays(token) // a pick is for one payment
	if v := p.Check("tok-2", p.Tap("tok-2", 100)); !v.OK() {
		t.Errorf("named: %+v", v)
	}
	if err := p.Engine.SetDefault("tok-2"); err != nil {
		t.Fatal(err)
	}
	pays("tok-2")
	if err := p.Boot(p.Memory); err != nil {
		t.Fatal(err)
	}
	pays("tok-2") // the default is durable
	defaults := func() (list []string) {
		for _, s := range status(t, p.Engine).Tokens {
			if s.Default {
				list = append(list, s.Ref)
			}
		}
		return list
	}
	if got := defaults(); !slices.Equal(got, []string{"tok-2"}) {
		t.Errorf("defaults %v", got)
	}
	p.Arm("tok-2")
	if err := p.Engine.RemoveToken("tok-2"); err != nil {
		t.Fatal(err)
	}
	if sw := answer(t, p, apdu.Select([]byte(emv.PPSE))); sw != apdu.ConditionsNotSatisfied {
		t.Errorf("a removed token answers: %v", sw)
	}
	if got := defaults(); !slices.Equal(got, []string{token}) {
		t.Errorf("defaults %v", got)
	}
	if _, found, _ := p.Memory.Get("token/tok-2"); found {
		t.Error("record of a removed token is still there")
	}
	if err := p.Engine.RemoveToken(token); err != nil {
		t.Fatal(err)
	}
	if code := p.Engine.Arm("", hce.CVMFace, 0); code != hce.ArmNoToken {
		t.Errorf("arms without a token: %d", code)
	}
	for name, err := range map[string]error{
		"default": p.Engine.SetDefault("tok-9"), "pick": p.Engine.Pick("tok-9"), "envelope": p.Engine.AddToken([]byte("not an envelope")),
		"refresh": p.Engine.ReplenishToken("tok-9"),
	} {
		if err == nil {
			t.Errorf("%s of a token that is not there", name)
		}
	}
	if err := p.Engine.RemoveToken("tok-9"); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := p.Engine.Pick(""); err != nil {
		t.Error(err)
	}
}

func TestTooManyTokens(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	for i := 2; i <= hce.MaxTokens; i++ {
		p.Add(fmt.Sprintf("tok-%d", i), fmt.Sprintf("62999812345678%03d", i))
	}
	sign, agree := p.Platform.Keys()
	if err := p.Cloud.Enrol(hcetest.Device, sign, agree); err != nil {
		t.Fatal(err)
	}
	if len(status(t, p.Engine).Tokens) != hce.MaxTokens {
		t.Fatal("tokens are missing")
	}
	wrapped, err := p.Cloud.Provision(soft.TokenOrder{Ref: "tok-one-more", Device: hcetest.Device, Number: p.Numbers[token], Expiry: mustExpiry(t), Label: "X"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Engine.AddToken(wrapped); err == nil {
		t.Error("more tokens than there is room for")
	}
}

// TestErrorBudget: a reader that probes gets no service for the rest of the field.
func TestErrorBudget(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	p.Arm("")
	for range 9 {
		if sw := answer(t, p, apdu.Command{INS: 0xFE, Le: apdu.NoLe}); sw != apdu.InstructionNotSupported {
			t.Fatalf("%v", sw)
		}
	}
	if sw := answer(t, p, apdu.Select([]byte(emv.PPSE))); sw != apdu.OK {
		t.Errorf("within the budget: %v", sw)
	}
	answer(t, p, apdu.Command{INS: 0xFE, Le: apdu.NoLe})
	if sw := answer(t, p, apdu.Select([]byte(emv.PPSE))); sw != apdu.ConditionsNotSatisfied || !status(t, p.Engine).Refused {
		t.Errorf("beyond the budget: %v", sw)
	}
	p.Engine.Deactivated(0)
	if o := p.Tap("", 100); o.Kind != kernel.OnlineRequest {
		t.Errorf("in the next field: %v, %v", o.Kind, o.Reason)
	}
}

func TestArguments(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	for _, kind := range []int32{-1, 5, 99} {
		if code := p.Engine.Arm("", kind, 0); code != hce.ArmArgument {
			t.Errorf("verification %d: %d", kind, code)
		}
	}
	if code := p.Engine.Arm("", hce.CVMFace, -1); code != hce.ArmArgument {
		t.Errorf("verified in the future: %d", code)
	}
	if code := p.Engine.Arm("tok-9", hce.CVMFace, 0); code != hce.ArmNoToken {
		t.Errorf("unknown token: %d", code)
	}
	if n := p.Engine.ProcessInto([]byte{0, 0xA4, 4, 0}, make([]byte, 257), 0); n != hce.ProcessBuffer {
		t.Errorf("short buffer: %d", n)
	}
	for _, c := range []string{"", "{", `{"device": ""}`, `{"device": "a b"}`, `{"device": "` + strings.Repeat("x", 5000) + `"}`} {
		if _, err := hce.NewEngine(p.Platform, c); err == nil {
			t.Errorf("configuration %.20q", c)
		}
	}
	if _, err := hce.NewEngine(nil, hcetest.Config); err == nil {
		t.Error("no platform")
	}
}

// panicking is a platform with a bug.
type panicking struct{ hce.Platform }

func (panicking) HmacInto(string, []byte, *hce.Buffer) int32  { panic("bug") }
func (panicking) AgreeInto(string, []byte, *hce.Buffer) int32 { panic("bug") }
func (panicking) PostInto(string, []byte, *hce.Buffer) int32  { panic("bug") }
func (p panicking) SignInto(a string, d []byte, o *hce.Buffer) int32 {
	return p.Platform.SignInto(a, d, o)
}

// TestPanicsStopHere: a bug, ours or the platform's, is a result.
func TestPanicsStopHere(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	e, err := hce.NewEngine(panicking{p.Platform}, hcetest.Config)
	if err != nil {
		t.Fatal(err)
	}
	if code := e.Arm("", hce.CVMFace, 0); code != hce.ArmFault {
		t.Errorf("arm: %d", code)
	}
	if err := e.ReplenishToken(token); err == nil {
		t.Error("replenish reports nothing")
	}
	if err := e.AddToken(make([]byte, 200)); err == nil {
		t.Error("add reports nothing")
	}
	if sw := answer(t, p, apdu.Select([]byte(emv.PPSE))); sw != apdu.ConditionsNotSatisfied {
		t.Errorf("after it: %v", sw)
	}
	// The engine is still whole.
	if code := e.Arm("", hce.CVMFace, 0); code != hce.ArmFault {
		t.Errorf("second time: %d", code)
	}
	e.Deactivated(0)
	_ = e.StatusJSON()
}

// TestNothingInTheClear: neither number nor key is in what is stored, said or sent.
func TestNothingInTheClear(t *testing.T) {
	var sent bytes.Buffer
	p := hcetest.NewPhone(t, hcetest.Options{Network: func(n soft.Network) soft.Network {
		return func(path string, body []byte) (int, []byte, error) {
			status, answer, err := n(path, body)
			sent.Write(body)
			sent.Write(answer)
			return status, answer, err
		}
	}})
	p.Tap("", 100)
	var all bytes.Buffer
	for _, key := range []string{"index", "keystore", "token/" + token} {
		value, found, err := p.Memory.Get(key)
		if err != nil || !found {
			t.Fatalf("record %s: %v", key, err)
		}
		all.Write(value)
	}
	all.Write(sent.Bytes())
	all.WriteString(p.Engine.StatusJSON())
	fmt.Fprintf(&all, "%v %+v %#v %s %+v", p.Engine, p.Engine, p.Engine, p.Platform, p.Platform)
	number := p.Numbers[token]
	for form, secret := range map[string][]byte{"text": []byte(number.Reveal()), "packed": number.BCD(), "hexadecimal": fmt.Appendf(nil, "%x", number.BCD())} {
		if bytes.Contains(all.Bytes(), secret) {
			t.Errorf("the number is there as %s", form)
		}
	}
	if s := status(t, p.Engine).Tokens[0]; s.LastFour != number.Last4() {
		t.Errorf("last four %q", s.LastFour)
	}
}

// TestDamagedRecord: a record that was changed is not used, and the other tokens are.
func TestDamagedRecord(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	p.Add("tok-2", "62999812345678902")
	value, _, err := p.Memory.Get("token/" + token)
	if err != nil {
		t.Fatal(err)
	}
	value[len(value)/2] ^= 1
	if err := p.Memory.Put("token/"+token, value); err != nil {
		t.Fatal(err)
	}
	if err := p.Boot(p.Memory); err != nil {
		t.Fatal(err)
	}
	s := status(t, p.Engine)
	if !slices.Equal(s.Damaged, []string{token}) || len(s.Tokens) != 1 {
		t.Errorf("%+v", s)
	}
	if code := p.Engine.Arm(token, hce.CVMFace, 0); code != hce.ArmNoToken {
		t.Errorf("arms a damaged token: %d", code)
	}
	if err := p.Engine.RemoveToken(token); err != nil {
		t.Error(err)
	}
	other, _, _ := p.Memory.Get("token/tok-2")
	if err := p.Memory.Put("token/"+token, other); err != nil { // one token's record in the place of another
		t.Fatal(err)
	}
	if err := p.Boot(p.Memory); err != nil {
		t.Fatal(err)
	}
	if s := status(t, p.Engine); len(s.Tokens) != 1 || s.Tokens[0].Ref != "tok-2" {
		t.Errorf("%+v", s)
	}
}

// TestLost: a lost phone is stopped at the service, not at the phone.
func TestLost(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{})
	p.Cloud.Suspend(hcetest.Device, "lost")
	if v := p.Check(token, p.Tap("", 100)); v.Reason != soft.ReasonSuspended {
		t.Errorf("%+v", v)
	}
	if err := p.Engine.ReplenishToken(token); err == nil {
		t.Error("a lost phone gets keys")
	}
	p.Cloud.Suspend(hcetest.Device, "")
	if err := p.Engine.ReplenishToken(token); err != nil {
		t.Error(err)
	}
	if v := p.Check(token, p.Tap("", 100)); !v.OK() {
		t.Errorf("found again: %+v", v)
	}
}

var errPower = errors.New("power is gone")

func TestAESMatchesTheSuite(t *testing.T) {
	p := hcetest.NewPhone(t, hcetest.Options{Suite: cryptogram.AES()})
	for i := range 5 {
		if v := p.Check(token, p.Tap("", int64(i)+1)); !v.OK() {
			t.Errorf("%+v", v)
		}
	}
}
