package cloudsehttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/cloudse"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/hcetest"
	"tapnet/sdk/hce/soft"
)

// whole is a cloud secure element behind its HTTP interface, and a phone engine that reaches it there.
type whole struct {
	testing.TB
	clock   *clock.Manual
	service *cloudse.Service
	stepper *journal.Stepper
	handler http.Handler
	vault   *hsm.HSM
	answers []*unionpay.TokenResponse
	stan    uint32
	offline bool
}

func random(name string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(name))) }

func newWhole(t testing.TB) *whole {
	t.Helper()
	w := &whole{TB: t, clock: clock.NewManual(cardtest.Today), vault: hsm.New(random("hsm"))}
	for _, k := range []struct {
		name      string
		usage     hsm.Usage
		mode      hsm.Mode
		algorithm hsm.Algorithm
	}{
		{"imk", hsm.UsageCloudAC, hsm.ModeDerive, hsm.TDES}, {"base", hsm.UsageDeviceBase, hsm.ModeDerive, hsm.HMAC}, {"data", hsm.UsageData, hsm.ModeBoth, hsm.AES256},
		{"names", hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	} {
		if _, err := w.vault.Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.service, err = cloudse.New(cloudse.Deps{Institution: "00000090", Vault: w.vault, Calendar: clock.Calendar{Zone: clock.Shanghai()},
		Keys: cloudse.KeyNames{Master: func(byte) string { return "imk" }, Base: "base", Data: "data", Fingerprint: "names"}})
	if err != nil {
		t.Fatal(err)
	}
	w.stepper, _, err = journal.NewStepper(context.Background(), journal.Config{Machine: w.service, Store: journal.NewMemStore(), Clock: w.clock,
		Release: func(effects []journal.Effect) {
			for _, e := range effects {
				if m, ok := e.Message.(*unionpay.TokenResponse); ok {
					w.answers = append(w.answers, m)
				}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if w.handler, err = Phones(Config{Ask: w.ask, Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask is what a node does with a command.
func (w *whole) ask(ctx context.Context, command any) (reply any, err error) {
	ev := journal.Event{Command: command, Reply: func(v any) { reply = v }}
	w.service.Prepare(&ev)
	if _, err := w.stepper.Step(ctx, ev); err != nil {
		return nil, err
	}
	if refused, ok := reply.(error); ok {
		return nil, refused
	}
	return reply, nil
}

// network carries a phone's request to the handler.
func (w *whole) network(path string, body []byte) (int, []byte, error) {
	if w.offline {
		return 0, nil, errors.New("no network")
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/octet-stream")
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	return out.Code, out.Body.Bytes(), nil
}

const wholeToken, wholeDevice = "TOK1", "device-1"

// boot starts a phone from a storage.
func (w *whole) boot(memory *soft.Memory, seed string) (*soft.Platform, *hce.Engine) {
	w.Helper()
	platform, err := soft.NewPlatform(soft.Options{Store: memory, Random: random(seed), NowMs: func() int64 { return w.clock.Now().UnixMilli() },
		ElapsedNs: func() int64 { return w.clock.Now().UnixNano() }, Network: w.network})
	if err != nil {
		w.Fatal(err)
	}
	engine, err := hce.NewEngine(platform, `{"device": "device-1"}`)
	if err != nil {
		w.Fatal(err)
	}
	return platform, engine
}

// provision binds a token to the phone: what the token service does, from enrolment to the profile in its envelope.
func (w *whole) provision(platform *soft.Platform, engine *hce.Engine) pan.Number {
	w.Helper()
	number, err := pan.CompleteLuhn("629998000000001")
	if err != nil {
		w.Fatal(err)
	}
	expiry, err := pan.ParseExpiry("3111")
	if err != nil {
		w.Fatal(err)
	}
	track2, err := pan.NewTrack2(number, expiry, "201", "")
	if err != nil {
		w.Fatal(err)
	}
	sign, agree := platform.Keys()
	reply, err := w.ask(context.Background(), cloudseapi.Enrolment{Token: wholeToken, Number: number, Sequence: "01", Device: wholeDevice, Signing: sign,
		Agreement: agree, Scheme: cloudkey.SchemeQCK1, Algorithm: cryptogram.AlgorithmTDES, DKI: 1, CVN: cryptogram.CVN01, Currency: 156, CVM: cloudkey.ClassDevice})
	if err != nil {
		w.Fatal(err)
	}
	enrolled := reply.(cloudseapi.Enrolled)
	profile := &cloudkey.Profile{Token: wholeToken, Device: wholeDevice, Scheme: cloudkey.SchemeQCK1, AID: emv.AIDDebit, Label: "TAPNET DEBIT", Priority: 1,
		Language: "zh", PDOL: soft.PhonePDOL, AIP: emv.AIP{0x10, 0}, Track2: track2, Sequence: "01", DKI: 1, CVN: cryptogram.CVN01,
		Algorithm: cryptogram.AlgorithmTDES, Currency: money.CNY, OpenLimit: 100_000, Salt: soft.Salt(wholeToken), Ratchet: enrolled.Ratchet,
		Bindings: enrolled.Bindings}
	plain, err := profile.Bytes()
	if err != nil {
		w.Fatal(err)
	}
	ephemeral, err := cloudkey.NewEphemeral(random("profile"))
	if err != nil {
		w.Fatal(err)
	}
	wrapped, err := cloudkey.Wrap(cloudkey.PurposeProfile, wholeDevice, agree, plain, ephemeral)
	if err != nil {
		w.Fatal(err)
	}
	if err := engine.AddToken(wrapped); err != nil {
		w.Fatal(err)
	}
	return number
}

// tap pays at a terminal and asks the cloud, as the token service does.
func (w *whole) tap(engine *hce.Engine, number pan.Number, minor int64) unionpay.TokenReason {
	w.Helper()
	if code := engine.Arm("", hce.CVMFingerprint, 0); code != hce.ArmOK {
		w.Fatalf("arm: %d, %s", code, engine.StatusJSON())
	}
	field := soft.NewField(engine, func() int64 { return w.clock.Now().UnixNano() })
	outcome := hcetest.Tap(w, hcetest.Terminal(w), field, minor)
	field.Remove()
	if outcome.Kind != kernel.OnlineRequest {
		w.Fatalf("outcome %v, %v", outcome.Kind, outcome.Reason)
	}
	opaque, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: wholeToken}.Opaque()
	if err != nil {
		w.Fatal(err)
	}
	w.stan++
	m := &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: number, Processing: unionpay.ProcessingSale, Amount: money.New(minor, money.CNY), TransmissionTime: "1122080000", STAN: w.stan, MerchantType: "5411",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Acquirer: "10000001", Forwarder: "00000000",
		RRN: fmt.Sprintf("%012d", w.stan), Terminal: "T0000001", Merchant: "M00000000000001", Additional: opaque, ICC: outcome.Data,
	}}
	ev := journal.Event{From: "tsp", Message: m}
	w.service.Prepare(&ev)
	if _, err := w.stepper.Step(context.Background(), ev); err != nil {
		w.Fatal(err)
	}
	d, err := w.answers[len(w.answers)-1].Data()
	if err != nil {
		w.Fatal(err)
	}
	return d.Reason
}

// TestPhoneEngine: the engine that runs in phones gets its keys through this interface, pays ten times without a network, refreshes, and is caught when it was
// copied.
func TestPhoneEngine(t *testing.T) {
	w := newWhole(t)
	memory := new(soft.Memory)
	platform, engine := w.boot(memory, "phone")
	number := w.provision(platform, engine)
	if err := engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	w.offline = true
	for i := range 10 {
		w.clock.Advance(time.Second)
		if reason := w.tap(engine, number, 150_000); reason != unionpay.TokenVerified {
			t.Fatalf("tap %d: %q", i+1, reason)
		}
	}
	if code := engine.Arm("", hce.CVMFingerprint, 0); code == hce.ArmOK {
		t.Fatal("an eleventh key")
	}
	if err := engine.Replenish(); err == nil {
		t.Fatal("keys without a network")
	}
	w.offline = false
	if err := engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second)
	if reason := w.tap(engine, number, 150_000); reason != unionpay.TokenVerified {
		t.Fatalf("after the refresh: %q", reason)
	}
	_, thief := w.boot(memory.Snapshot(), "thief")
	if reason := w.tap(thief, number, 100); reason != unionpay.TokenVerified {
		t.Fatalf("the copy's first tap: %q", reason)
	}
	if reason := w.tap(engine, number, 100); reason != unionpay.CounterRepeated {
		t.Fatalf("the collision: %q", reason)
	}
	if reason := w.tap(thief, number, 100); reason != unionpay.CredentialSuspended {
		t.Fatalf("after it: %q", reason)
	}
	if err := engine.ReplenishToken(wholeToken); err == nil {
		t.Error("keys for a copied phone")
	}
}
