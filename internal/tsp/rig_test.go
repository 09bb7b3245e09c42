package tsp

import (
	"bytes"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

const (
	theSwitch = "10000000"
	theCloud  = "19000002"
	bankA     = "30000001"
	bankB     = "30000002"
	terms     = "terms-1"
)

// rig runs a token service single-threaded, with a cloud secure element that says what it is told to.
type rig struct {
	testing.TB
	core    *TSP
	hsm     *hsm.HSM
	vault   *hsm.Vault
	store   *journal.MemStore
	clock   *clock.Manual
	timers  *journal.Timers
	stepper *journal.Stepper
	out     []unionpay.Message
	hooks   []*Webhook
	untaken bool               // nobody takes the webhooks
	verdict unionpay.TokenData // of the cloud secure element; zero Reason is silence
	key     int                // idempotency keys given
	stan    uint32
	deps    Deps
}

func newRig(t testing.TB, change ...func(*Deps)) *rig {
	t.Helper()
	random := mathrand.NewChaCha8([32]byte{7})
	h := hsm.New(random)
	make1 := func(name string, usage hsm.Usage, mode hsm.Mode, a hsm.Algorithm) {
		if _, err := h.Generate(name, usage, mode, a, hsm.NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	make1("fingerprint", hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC)
	make1("hash", hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC)
	make1("digits", hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256)
	make1("names", hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256)
	make1("token-seal", hsm.UsageData, hsm.ModeBoth, hsm.AES256)
	make1("pin "+theSwitch, hsm.UsagePINEncryption, hsm.ModeBoth, hsm.TDES)
	v, _, err := hsm.NewVault(random, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, hsm: h, vault: v, store: journal.NewMemStore(), clock: clock.NewManual(networktest.Start), verdict: verifiedCVM()}
	r.deps = Deps{
		Institution: "19000001", Switch: theSwitch, CloudSE: theCloud, Code: "629", Controller: "6299", Vault: h, Numbers: v, Calendar: networktest.Shanghai,
		Keys: KeyNames{Fingerprint: "fingerprint", Hash: "hash", Digits: "digits", Names: "names", TokenSeal: "token-seal",
			PINKey: func(peer string) string { return "pin " + peer }},
		Ranges: []Range{
			{Prefix: "62999811", Issuer: bankA, IssuerPrefix: "6299991", Storage: 1, Method: MethodRandom, Digits: 16},
			{Prefix: "62999831", Issuer: bankA, IssuerPrefix: "6299991", Storage: 3, Method: MethodHash, Digits: 16},
			{Prefix: "62999841", Issuer: bankA, IssuerPrefix: "6299991", Storage: 4, Method: MethodDigits},
			{Prefix: "62999812", Issuer: bankB, IssuerPrefix: "6299992", Storage: 1, Method: MethodRandom, Digits: 16},
		},
		Issuers: []Issuer{
			{Institution: bankA, Terms: terms, Methods: []string{"bank-app", "card-tap", "otp", "call-centre"}, Webhook: "https://a.example", Certificate: "bank-a"},
			{Institution: bankB, Terms: terms, Methods: []string{"otp"}, Certificate: "bank-b"},
		},
	}
	for _, c := range change {
		c(&r.deps)
	}
	r.start()
	return r
}

func verifiedCVM() unionpay.TokenData {
	return unionpay.TokenData{Reason: unionpay.TokenVerified, Class: unionpay.ClassCVM, Verification: unionpay.CryptogramVerified,
		Evidence: &unionpay.TokenEvidence{Method: 2, Age: 1, Latency: 9}}
}

// start runs a new core on the rig's store.
func (r *rig) start() {
	r.Helper()
	if r.timers != nil {
		r.timers.Stop()
	}
	var err error
	if r.core, err = New(r.deps); err != nil {
		r.Fatal(err)
	}
	r.timers = journal.NewTimers(r.clock, func(name string) { r.step(journal.Event{Timer: name}) })
	r.stepper, _, err = journal.NewStepper(r.Context(), journal.Config{Machine: r.core, Store: r.store, Clock: r.clock, Release: r.release})
	if err != nil {
		r.Fatal(err)
	}
}

// restart is a crash: another core on the same rows.
func (r *rig) restart() { r.store = r.store.Reopen(); r.start() }

func (r *rig) step(ev journal.Event) {
	r.Helper()
	r.core.Prepare(&ev)
	if _, err := r.stepper.Step(r.Context(), ev); err != nil {
		r.Fatalf("step: %v", err)
	}
}

func (r *rig) release(effects []journal.Effect) {
	for i := range effects {
		e := effects[i]
		if r.timers.Apply(&e) || e.Message == nil {
			continue
		}
		r.core.Finish(&e)
		if w, ok := e.Message.(*Webhook); ok {
			if r.hooks = append(r.hooks, w); !r.untaken {
				r.step(journal.Event{Command: Delivered{e.To, w.ID}})
			}
			continue
		}
		m := r.wire(e.Message)
		if e.To == theCloud {
			r.cloud(m.(*unionpay.TokenRequest))
			continue
		}
		r.out = append(r.out, m)
	}
}

// wire sends a message through its bytes.
func (r *rig) wire(m unionpay.Message) unionpay.Message {
	r.Helper()
	b, err := unionpay.Encode(unionpay.Switch, nil, m, nil)
	if err != nil {
		r.Fatal(err)
	}
	if m, err = unionpay.Decode(unionpay.Switch, b); err != nil {
		r.Fatal(err)
	}
	return m
}

func (r *rig) cloud(m *unionpay.TokenRequest) {
	d, err := m.Data()
	if err != nil || d.Operation != unionpay.OperationVerify || d.Reference == "" || m.PINBlock != nil {
		r.Errorf("asked the cloud secure element %+v, %v", d, err)
	}
	if r.verdict.Reason == 0 {
		return
	}
	out := unionpay.Respond(m, unionpay.Answer{Response: r.verdict.Reason.ResponseCode()}).(*unionpay.TokenResponse)
	if out.Additional, err = r.verdict.Opaque(); err != nil {
		r.Fatal(err)
	}
	r.step(journal.Event{From: theCloud, Message: r.wire(out)})
}

// ask gives a message of the switch and its answer.
func (r *rig) ask(m *unionpay.TokenRequest) *unionpay.TokenResponse {
	r.Helper()
	r.out = nil
	r.step(journal.Event{From: theSwitch, Message: r.wire(m)})
	if len(r.out) != 1 {
		r.Fatalf("%d answers", len(r.out))
	}
	return r.out[0].(*unionpay.TokenResponse)
}

func (r *rig) send(c *Command) (reply any) {
	r.Helper()
	r.step(journal.Event{Command: c, Reply: func(v any) { reply = v }})
	return reply
}

// do carries a command out under a new idempotency key.
func (r *rig) do(caller Caller, body any, token string, numbers ...pan.Number) any {
	r.Helper()
	return r.send(r.commandOf(caller, body, token, numbers...))
}

func (r *rig) commandOf(caller Caller, body any, token string, numbers ...pan.Number) *Command {
	r.key++
	c := &Command{Caller: caller, Key: fmt.Sprintf("key-%d", r.key), Body: body, Token: token}
	if len(numbers) > 0 {
		c.Number = numbers[0]
	}
	if len(numbers) > 1 {
		c.Other = numbers[1]
	}
	return c
}

// get carries out a command that only reads.
func (r *rig) get(caller Caller, body any, token string, numbers ...pan.Number) any {
	r.Helper()
	c := r.commandOf(caller, body, token, numbers...)
	c.Key = ""
	return r.send(c)
}

func into[T any](t testing.TB, reply any) (out T) {
	t.Helper()
	got, ok := reply.(Reply)
	if !ok {
		t.Fatalf("reply %v", reply)
	}
	if err := json.Unmarshal(got.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func problemOf(t testing.TB, reply any) *tspapi.Problem {
	t.Helper()
	p, ok := reply.(*tspapi.Problem)
	if !ok {
		t.Fatalf("no problem: %s", reply)
	}
	return p
}

var operator = Caller{Role: CallerOperator}

// register takes a requestor in.
func (r *rig) register(change ...func(*tspapi.RegisterRequestor)) Caller {
	r.Helper()
	b := &tspapi.RegisterRequestor{
		Entity: "Wallet Ltd", UseCases: []string{"HCE", "QR", "COF"}, Webhook: "https://w.example", Certificate: fmt.Sprintf("wallet-%d", r.key),
		Policy: tspapi.Policy{CoolingMinor: 100_000, CoolingHours: 24, LimitedMinor: 50_000, TokenMonths: 36, DeviceTokens: 5, WatchedTokens: 3},
	}
	for _, c := range change {
		c(b)
	}
	return Caller{CallerRequestor, into[tspapi.Requestor](r, r.do(operator, b, "")).ID}
}

func number(t testing.TB, prefix string, n int) pan.Number {
	t.Helper()
	out, err := pan.CompleteLuhn(fmt.Sprintf("%s%0*d", prefix, 15-len(prefix), n))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// given is a token with its number.
type given struct {
	tspapi.Provisioned
	number pan.Number
}

func (r *rig) provisionBody(wallet Caller, n pan.Number, device string, change ...func(*tspapi.Provision)) *tspapi.Provision {
	r.Helper()
	b := &tspapi.Provision{
		Terms: terms, Storage: "HCE", Device: tspapi.Device{Reference: device, Attestation: "hardware"}, Expiry: "3012", Sequence: "1", Source: "manual", Score: 5,
	}
	for _, c := range change {
		c(b)
	}
	e := into[tspapi.Eligible](r, r.get(wallet, &tspapi.Eligibility{Storage: b.Storage, Device: b.Device, Expiry: b.Expiry}, "", n))
	if b.Eligibility = e.ID; !e.Eligible {
		b.Eligibility = strings.Repeat("0", 16)
	}
	return b
}

func (r *rig) provision(wallet Caller, n pan.Number, device string, change ...func(*tspapi.Provision)) given {
	r.Helper()
	reply := r.do(wallet, r.provisionBody(wallet, n, device, change...), "", n)
	out := given{Provisioned: into[tspapi.Provisioned](r, reply)}
	var err error
	if out.number, err = r.core.OpenToken(reply.(Reply).TokenNumber); err != nil {
		r.Fatal(err)
	}
	return out
}

// active is a token whose holder the bank has verified in its app, past its first day.
func (r *rig) active(wallet Caller, n pan.Number, device string, change ...func(*tspapi.Provision)) given {
	r.Helper()
	g := r.provision(wallet, n, device, change...)
	g.Token = into[tspapi.Token](r, r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "bank-app"}, g.Token.Reference))
	r.clock.Advance(25 * time.Hour)
	return g
}

// payment is an authorization with a token, as the switch asks about it.
func (r *rig) payment(token pan.Number, minor int64, change ...func(*unionpay.Payment, *unionpay.TokenData)) *unionpay.TokenRequest {
	r.Helper()
	r.stan++
	icc, err := emv.ParseData([]byte("\x9F\x26\x08\x01\x02\x03\x04\x05\x06\x07\x08\x9F\x1A\x02\x01\x56"))
	if err != nil {
		r.Fatal(err)
	}
	p := unionpay.Payment{
		PAN: token, Processing: unionpay.ProcessingSale, Amount: money.New(minor, money.CNY), TransmissionTime: r.clock.Now().UTC().Format("0102150405"),
		STAN: r.stan, MerchantType: "5411", EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), Condition: "00", Acquirer: "20000001",
		Forwarder: "20000001", RRN: fmt.Sprintf("%012d", r.stan), Terminal: "POS1", Merchant: "898000000000001", ICC: icc,
	}
	d := unionpay.TokenData{Operation: unionpay.OperationResolve}
	for _, c := range change {
		c(&p, &d)
	}
	if p.Additional, err = d.Opaque(); err != nil {
		r.Fatal(err)
	}
	return &unionpay.TokenRequest{Payment: p}
}

func dataOf(t testing.TB, m *unionpay.TokenResponse) unionpay.TokenData {
	t.Helper()
	d, err := m.Data()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (r *rig) pinFor(digits string, n pan.Number) *pinblock.Block {
	r.Helper()
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		r.Fatal(err)
	}
	block, err := r.hsm.EncipherPIN("pin "+theSwitch, pinblock.Format0(pin, n))
	if err != nil {
		r.Fatal(err)
	}
	return &block
}

// rows reads the journal.
func (r *rig) rows() (rows []journal.Row) {
	r.Helper()
	err := r.store.Reopen().Load(r.Context(), 0, func(row *journal.Row) error { rows = append(rows, *row); return nil })
	if err != nil {
		r.Fatal(err)
	}
	return rows
}

// digest is every record there is, as its bytes.
func (r *rig) digest() string {
	r.Helper()
	var all bytes.Buffer
	kept := r.core.state.settings.Load()
	for kind, count := range kept.Count {
		for n := uint64(1); n <= count; n++ {
			record, err := r.core.state.get(cellOf(int64(kind), n))
			if err != nil || record == nil {
				r.Fatalf("record %d of kind %d: %v", n, kind, err)
			}
			fmt.Fprintf(&all, "%d %x\n", record.cell(), record.append(nil))
			if kind != kindToken {
				continue
			}
			if record, err = r.core.state.get(historyBase + int64(n)); err != nil || record == nil {
				r.Fatalf("history of token %d: %v", n, err)
			}
			fmt.Fprintf(&all, "%d %x\n", record.cell(), record.append(nil))
		}
	}
	fmt.Fprintf(&all, "%x %v\n", kept.append(nil), r.core.state.begun.Keys(markNotice))
	return all.String()
}
