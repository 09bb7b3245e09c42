package phone

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/cloudse"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
)

// elements is a cloud secure element on a journal in memory.
type elements struct {
	testing.TB
	b       *table
	core    *cloudse.Service
	stepper *journal.Stepper
	last    *unionpay.TokenResponse
	stan    uint32
	Service
}

func newElements(t testing.TB, b *table) *elements {
	t.Helper()
	vault := hsm.New(rand.NewChaCha8([32]byte{77}))
	for _, k := range []struct {
		name      string
		usage     hsm.Usage
		mode      hsm.Mode
		algorithm hsm.Algorithm
	}{
		{"imk-cloud-01", hsm.UsageCloudAC, hsm.ModeDerive, hsm.TDES}, {"device-base", hsm.UsageDeviceBase, hsm.ModeDerive, hsm.HMAC},
		{"cloud-data", hsm.UsageData, hsm.ModeBoth, hsm.AES256}, {"cloud-names", hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	} {
		if _, err := vault.Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	e := &elements{TB: t, b: b}
	var err error
	e.core, err = cloudse.New(cloudse.Deps{
		Institution: "00000090", Vault: vault, Calendar: clock.Calendar{Zone: clock.Shanghai()},
		Keys: cloudse.KeyNames{Master: func(a byte) string { return fmt.Sprintf("imk-cloud-%02X", a) }, Base: "device-base", Data: "cloud-data",
			Fingerprint: "cloud-names"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.stepper, _, err = journal.NewStepper(context.Background(), journal.Config{Machine: e.core, Store: journal.NewMemStore(), Clock: clock.NewManual(b.now),
		Release: func(effects []journal.Effect) {
			for i := range effects {
				e.core.Finish(&effects[i])
				if m, ok := effects[i].Message.(*unionpay.TokenResponse); ok {
					e.last = m
				}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	point, err := vault.CloudAgreement("device-base")
	if err != nil {
		t.Fatal(err)
	}
	e.Service = Service{Ask: e.ask, Check: e.check, PasswordPoint: point, Now: func() time.Time { return b.now }, Random: rand.NewChaCha8([32]byte{78})}
	return e
}

func (e *elements) step(ev journal.Event) {
	e.Helper()
	e.core.Prepare(&ev)
	if _, err := e.stepper.Step(context.Background(), ev); err != nil {
		e.Fatal(err)
	}
}

func (e *elements) ask(command any) (reply any, err error) {
	e.step(journal.Event{Command: command, Reply: func(v any) { reply = v }})
	return reply, nil
}

var errSilent = errors.New("no answer")

// check asks as the token service does.
func (e *elements) check(token string, number pan.Number, icc emv.Data) (string, error) {
	opaque, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: token}.Opaque()
	if err != nil {
		return "", err
	}
	var minor int64
	for _, c := range icc.Get(emv.TagAmount) {
		minor = minor*100 + int64(c>>4)*10 + int64(c&0xF)
	}
	e.stan++
	e.last = nil
	e.step(journal.Event{From: "tsp", Message: &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: number, Processing: unionpay.ProcessingSale, Amount: money.New(minor, money.CNY), TransmissionTime: e.b.now.Format("0102150405"), STAN: e.stan,
		MerchantType: "5411", EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Acquirer: "10000001",
		Forwarder: "00000000", RRN: fmt.Sprintf("%012d", e.stan), Terminal: "T0000001", Merchant: "M00000000000001", Additional: opaque, ICC: icc,
	}}})
	if e.last == nil {
		return "", errSilent
	}
	d, err := e.last.Data()
	if err != nil || d.Verification == unionpay.CryptogramVerified {
		return "", err
	}
	return d.Reason.Term().EN, nil
}

// TestCloudSecureElement: the engine and the service agree byte for byte, over taps, a refresh, loss and a copy.
func TestCloudSecureElement(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	e := newElements(t, b)
	connected := func(o *Options) { o.Cloud = &e.Service }
	p := b.open(dir, connected)
	ref, err := p.Add("DEBIT", "147258")
	if err != nil {
		t.Fatal(err)
	}
	password := TapRequest{Verification: Password, Password: "147258"}
	for i := range 10 {
		if r := b.tap(p, password, 120_000); !r.Paid() || int(r.Verdict.ATC) != i+1 {
			t.Fatalf("tap %d: arm %d, %+v", i+1, r.ArmCode, r.Verdict)
		}
	}
	if r := b.tap(p, password, 100); r.ArmCode != hce.ArmNeedsNetwork {
		t.Errorf("eleventh: %+v", r)
	}
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, TapRequest{Verification: NotVerified}, 1250); !r.Paid() || r.Evidence.BSEQ != 2 {
		t.Errorf("without verification: %+v", r.Verdict)
	}
	if r := b.tap(p, TapRequest{Verification: Password, Password: "000000"}, 1250); r.Paid() || !r.Asked {
		t.Errorf("wrong password: %+v", r.Verdict)
	}
	if err := p.Lose(); err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, password, 1250); r.Paid() || !r.Asked {
		t.Errorf("lost: %+v", r.Verdict)
	}
	if err := p.Find(); err != nil {
		t.Fatal(err)
	}
	b.close(p)
	other := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	p, thief := b.open(dir, connected), b.open(other, connected)
	if r := b.tap(p, password, 1250); !r.Paid() {
		t.Errorf("found: %+v", r.Verdict)
	}
	if r := b.tap(thief, password, 5000); r.Paid() {
		t.Errorf("the copy pays: %+v", r.Verdict)
	}
	if e.State(ref) == "" {
		t.Error("the copy is not noticed")
	}
}
