package cloudse

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// stream is a random source of a seed.
func stream(seed uint64, label string) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256(binary.BigEndian.AppendUint64([]byte(label), seed)))
}

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// newVault is a security module with the keys of the service: the master is that of the reference vectors [REF 8].
func newVault(t testing.TB, seed uint64) *hsm.HSM {
	t.Helper()
	h := hsm.New(stream(seed, "hsm"))
	master := []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10}
	if _, err := h.ImportClear("imk-cloud-01", hsm.UsageCloudAC, hsm.ModeDerive, hsm.TDES, hsm.NotExportable, master); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		name      string
		usage     hsm.Usage
		mode      hsm.Mode
		algorithm hsm.Algorithm
	}{
		{"imk-cloud-04", hsm.UsageCloudAC, hsm.ModeDerive, hsm.SM4}, {"device-base", hsm.UsageDeviceBase, hsm.ModeDerive, hsm.HMAC},
		{"cloud-data", hsm.UsageData, hsm.ModeBoth, hsm.AES256}, {"cloud-names", hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
		{"imk-card", hsm.UsageEMVAC, hsm.ModeDerive, hsm.TDES},
	} {
		if _, err := h.Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// rig is a service on a journal in memory, and the clock on its wall.
type rig struct {
	testing.TB
	seed    uint64
	vault   *hsm.HSM
	clock   *clock.Manual
	store   *journal.MemStore
	service *Service
	stepper *journal.Stepper
	sent    []*unionpay.TokenResponse
	alarms  []cloudseapi.Alarm
	deps    Deps
	stan    uint32
}

func newRig(t testing.TB, change func(*Deps)) *rig { return newSeededRig(t, 1, change) }

func newSeededRig(t testing.TB, seed uint64, change func(*Deps)) *rig {
	t.Helper()
	r := &rig{TB: t, seed: seed, vault: newVault(t, seed), clock: clock.NewManual(start), store: journal.NewMemStore()}
	r.deps = Deps{
		Institution: "00000090", Vault: r.vault, Calendar: clock.Calendar{Zone: clock.Shanghai()},
		Keys: KeyNames{Master: func(a byte) string { return fmt.Sprintf("imk-cloud-%02X", a) }, Base: "device-base", Data: "cloud-data",
			Fingerprint: "cloud-names"},
		Notify: func(a cloudseapi.Alarm) { r.alarms = append(r.alarms, a) },
	}
	if change != nil {
		change(&r.deps)
	}
	r.open()
	return r
}

// open starts the service on what is in the store, as after a crash.
func (r *rig) open() {
	r.Helper()
	var err error
	if r.service, err = New(r.deps); err != nil {
		r.Fatal(err)
	}
	r.store = r.store.Reopen()
	r.stepper, _, err = journal.NewStepper(context.Background(), journal.Config{Machine: r.service, Store: r.store, Clock: r.clock, Release: r.release})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) release(effects []journal.Effect) {
	for i := range effects {
		r.service.Finish(&effects[i])
		if m, ok := effects[i].Message.(*unionpay.TokenResponse); ok {
			r.sent = append(r.sent, m)
		}
	}
}

// prepared is an event with what Prepare found.
func (r *rig) prepared(ev journal.Event) journal.Event {
	r.service.Prepare(&ev)
	return ev
}

// do gives a command to the service and returns its reply; nil when the service died.
func (r *rig) do(command any) (reply any) {
	ev := r.prepared(journal.Event{Command: command})
	ev.Reply = func(v any) { reply = v }
	_, _ = r.stepper.Step(context.Background(), ev)
	return reply
}

// must is do for what must be carried out.
func must[T any](r *rig, command any) T {
	r.Helper()
	reply := r.do(command)
	v, ok := reply.(T)
	if !ok {
		r.Fatalf("%T: %v", command, reply)
	}
	return v
}

// refusedWith says that a command must be refused for that reason.
func (r *rig) refusedWith(command any, want cloudseapi.Reason) {
	r.Helper()
	reply := r.do(command)
	if err, ok := reply.(error); !ok || !errors.Is(err, &cloudseapi.Refusal{Reason: want}) {
		r.Errorf("%T: %v, want %q", command, reply, want.Term().EN)
	}
}

// ask sends a message and returns the answer; nil when there is none.
func (r *rig) ask(m *unionpay.TokenRequest) *unionpay.TokenResponse {
	before := len(r.sent)
	_, _ = r.stepper.Step(context.Background(), r.prepared(journal.Event{From: "tsp", Message: m}))
	if len(r.sent) == before {
		return nil
	}
	return r.sent[len(r.sent)-1]
}

// reason is why a payment was answered as it was; 0: no answer.
func (r *rig) reason(m *unionpay.TokenRequest) unionpay.TokenReason {
	r.Helper()
	a := r.ask(m)
	if a == nil {
		return 0
	}
	d, err := a.Data()
	if err != nil {
		r.Fatal(err)
	}
	if a.Response != d.Reason.ResponseCode() {
		r.Fatalf("field 39 is %s for %q", a.Response, d.Reason)
	}
	return d.Reason
}

func (r *rig) expect(m *unionpay.TokenRequest, want unionpay.TokenReason) {
	r.Helper()
	if got := r.reason(m); got != want {
		r.Errorf("%q, want %q", got, want)
	}
}

// phone is a token on a phone, small enough to be copied: what a thief of its storage and its key store has.
type phone struct {
	rig           *rig
	token, device string
	number        pan.Number
	scheme        cloudkey.SchemeID
	suite         cryptogram.Suite
	signing       *ecdsa.PrivateKey
	agreement     *ecdh.PrivateKey
	bindings      map[cloudkey.Class]cloudkey.Secret
	password      cloudkey.Secret
	cvm           cloudkey.Class
	bseq          uint32
	ratchet       cloudkey.Secret
	keys          []phoneKey
	used          []cloudkey.Use
	nonce         *[cloudkey.NonceBytes]byte // of the request that is not answered
	reported      int
	digest        [32]byte
	random        *rand.ChaCha8
	algorithm     byte
}

type phoneKey struct {
	cloudkey.Key
	spent  int
	masked cryptogram.Key
}

// options of a phone.
type options struct {
	token  string
	scheme cloudkey.SchemeID
	cvm    cloudkey.Class
	alter  func(*cloudseapi.Enrolment)
	sm4    bool
}

// scalar draws a P-256 key that a seed repeats.
func scalar(t testing.TB, random *rand.ChaCha8) *ecdh.PrivateKey {
	t.Helper()
	key, err := cloudkey.NewEphemeral(random)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// enrol makes a phone and binds a token to it.
func (r *rig) enrol(o options) *phone {
	r.Helper()
	if o.token == "" {
		o.token = "T1"
	}
	if o.scheme == 0 {
		o.scheme = cloudkey.SchemeQCK1
	}
	if o.cvm == 0 {
		o.cvm = cloudkey.ClassPassword
	}
	number, err := pan.CompleteLuhn("629998000000001")
	if err != nil {
		r.Fatal(err)
	}
	p := &phone{rig: r, token: o.token, device: "D-" + o.token, number: number, scheme: o.scheme, suite: cryptogram.SuiteTDES, cvm: o.cvm,
		random: stream(r.seed, "phone "+o.token), algorithm: cryptogram.AlgorithmTDES, bindings: map[cloudkey.Class]cloudkey.Secret{}}
	if o.sm4 {
		p.suite, p.algorithm = cryptogram.SuiteSM4, cryptogram.AlgorithmSM4
	}
	p.agreement = scalar(r, p.random)
	signing := scalar(r, p.random)
	if p.signing, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), signing.Bytes()); err != nil {
		r.Fatal(err)
	}
	e := cloudseapi.Enrolment{
		Token: p.token, Number: number, Sequence: "01", Device: p.device, Signing: signing.PublicKey().Bytes(), Agreement: p.agreement.PublicKey().Bytes(),
		Scheme: o.scheme, Algorithm: p.algorithm, DKI: 1, CVN: cryptogram.CVN01, Currency: 156, CVM: o.cvm,
	}
	if _, err := p.random.Read(e.Nonce[:]); err != nil {
		r.Fatal(err)
	}
	if o.cvm == cloudkey.ClassPassword {
		p.password = p.draw()
		e.Password = p.verifier(p.password)
	}
	if o.alter != nil {
		o.alter(&e)
	}
	p.take(must[cloudseapi.Enrolled](r, e))
	return p
}

// verifier seals a password's verifier for the security module.
func (p *phone) verifier(v cloudkey.Secret) []byte {
	p.rig.Helper()
	point, err := p.rig.vault.CloudAgreement("device-base")
	if err != nil {
		p.rig.Fatal(err)
	}
	b := v.Reveal()
	sealed, err := cloudkey.Wrap(cloudkey.PurposePassword, p.token, point, b[:], scalar(p.rig, p.random))
	if err != nil {
		p.rig.Fatal(err)
	}
	return sealed
}

func (p *phone) draw() cloudkey.Secret {
	s, err := cloudkey.DrawSecret(p.random)
	if err != nil {
		p.rig.Fatal(err)
	}
	return s
}

// take begins with what the enrolment gave.
func (p *phone) take(e cloudseapi.Enrolled) {
	p.ratchet, p.bseq, p.keys, p.used, p.nonce, p.reported = e.Ratchet, 0, nil, nil, nil, 0
	for _, b := range e.Bindings {
		plain, err := cloudkey.Unwrap(cloudkey.PurposeBinding, cloudkey.BindingAlias(p.token, b.Class), cloudkey.PrivateAgreement(p.agreement),
			p.agreement.PublicKey().Bytes(), b.Wrapped)
		if err != nil {
			p.rig.Fatal(err)
		}
		if p.bindings[b.Class], err = cloudkey.NewSecret(plain); err != nil {
			p.rig.Fatal(err)
		}
	}
}

// copy is a second phone with the same state; it draws its own random numbers.
func (p *phone) copy(label string) *phone {
	c := *p
	c.keys, c.used = slices.Clone(p.keys), slices.Clone(p.used)
	c.random = stream(p.rig.seed, "copy "+label)
	if p.nonce != nil {
		nonce := *p.nonce
		c.nonce = &nonce
	}
	return &c
}

func (p *phone) sign(body []byte) []byte {
	digest := sha256.Sum256(body)
	signature, err := p.signing.Sign(p.random, digest[:], crypto.SHA256)
	if err != nil {
		p.rig.Fatal(err)
	}
	return cloudkey.Signed{Body: body, Signature: signature}.Bytes()
}

// request is the phone's request for keys: word for word the same until it is answered.
func (p *phone) request() cloudseapi.Replenish {
	if p.nonce == nil {
		nonce := new([cloudkey.NonceBytes]byte)
		if _, err := p.random.Read(nonce[:]); err != nil {
			p.rig.Fatal(err)
		}
		p.nonce, p.reported = nonce, len(p.used)
	}
	q := cloudkey.ReplenishRequest{Token: p.token, Device: p.device, BSEQ: p.bseq, Ratchet: p.ratchet, Nonce: *p.nonce, Used: p.used[:p.reported]}
	return cloudseapi.Replenish{Request: p.sign(q.Bytes()), At: p.rig.clock.Now()}
}

// accept takes a batch in place of the old one.
func (p *phone) accept(wire []byte) {
	p.rig.Helper()
	b, err := cloudkey.ParseBatch(wire)
	if err != nil {
		p.rig.Fatal(err)
	}
	opened, err := b.Open(cloudkey.PrivateAgreement(p.agreement), p.agreement.PublicKey().Bytes())
	if err != nil {
		p.rig.Fatal(err)
	}
	if b.BSEQ != p.bseq+1 {
		p.rig.Fatalf("batch %d after %d", b.BSEQ, p.bseq)
	}
	p.bseq, p.ratchet, p.digest = b.BSEQ, opened.Ratchet, b.Digest()
	p.used, p.nonce, p.reported = slices.Clone(p.used[p.reported:]), nil, 0
	p.keys = nil
	for i, k := range b.Keys {
		p.keys = append(p.keys, phoneKey{Key: k, masked: opened.Masked[i]})
	}
}

func (p *phone) confirmation() cloudseapi.Confirm {
	q := cloudkey.ConfirmRequest{Token: p.token, Device: p.device, BSEQ: p.bseq, Batch: p.digest}
	return cloudseapi.Confirm{Request: p.sign(q.Bytes())}
}

// refresh gets a batch and confirms it.
func (p *phone) refresh() *phone {
	p.rig.Helper()
	p.accept(must[cloudseapi.Batch](p.rig, p.request()).Wire)
	must[cloudseapi.Done](p.rig, p.confirmation())
	return p
}

// tap is a payment of the phone at a terminal.
type tap struct {
	minor    int64
	open     bool            // without verification of the cardholder
	password cloudkey.Secret // typed; zero is the right one
	age      time.Duration
	latency  time.Duration
	change   func(*unionpay.TokenRequest)
	sign     func(*cloudkey.TagInput)
}

// pay taps the phone: the message that the token service then sends. nil: no key is left.
func (p *phone) pay(how tap) *unionpay.TokenRequest {
	p.rig.Helper()
	class, cvm := p.cvm, cloudkey.CVMTypePassword
	switch {
	case how.open:
		class, cvm = cloudkey.ClassOpen, cloudkey.CVMTypeNone
	case p.cvm == cloudkey.ClassDevice:
		cvm = cloudkey.CVMTypeFingerprint
	}
	at := slices.IndexFunc(p.keys, func(k phoneKey) bool { return k.Class == class && k.spent < int(k.Uses) })
	if at < 0 {
		return nil
	}
	k := &p.keys[at]
	atc := k.ATC + uint16(k.spent)
	k.spent++ // burned before anything else
	p.used = append(p.used, cloudkey.Use{ATC: atc, State: cloudkey.UseAnswered})
	password := p.password
	if !how.password.IsZero() {
		password = how.password
	}
	if class != cloudkey.ClassPassword {
		password = cloudkey.Secret{}
	}
	key := cloudkey.Mask(k.masked, cloudkey.MaskCode(p.bindings[class], p.token, k.ATC, class, password))
	p.rig.stan++
	return p.message(how, k, atc, cvm, key)
}

// message makes the cryptogram, the tag and the message.
func (p *phone) message(how tap, k *phoneKey, atc uint16, cvm cloudkey.CVMType, key cryptogram.Key) *unionpay.TokenRequest {
	t := p.rig
	t.Helper()
	amount := money.New(how.minor, money.CNY)
	packed, err := amount.BCD()
	if err != nil {
		t.Fatal(err)
	}
	un := [4]byte{0xA1, 0xB2, byte(t.stan >> 8), byte(t.stan)}
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	iad := cloudkey.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: cvr, Algorithm: p.algorithm, Evidence: cloudkey.Evidence{
		BSEQ: p.bseq, CVM: cvm, CVMAge: cloudkey.CVMAge(how.age.Milliseconds()), Latency: cloudkey.Latency(how.latency.Nanoseconds())}}
	var icc emv.Data
	for _, v := range []struct {
		tag   tlv.Tag
		value []byte
	}{
		{emv.TagAmount, packed[:]}, {emv.TagAmountOther, make([]byte, 6)}, {emv.TagTerminalCountry, []byte{0x01, 0x56}}, {emv.TagTVR, make([]byte, 5)},
		{emv.TagCurrency, []byte{0x01, 0x56}}, {emv.TagTransactionDate, []byte{0x26, 0x11, 0x22}}, {emv.TagTransactionType, []byte{0}},
		{emv.TagUnpredictableNumber, un[:]}, {emv.TagAIP, []byte{0, 0}}, {emv.TagATC, binary.BigEndian.AppendUint16(nil, atc)},
	} {
		icc.Set(v.tag, v.value)
	}
	data, err := p.suite.AppendData(nil, cryptogram.CVN01, cvr, icc)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := cloudkey.SchemeOf(p.scheme)
	if err != nil {
		t.Fatal(err)
	}
	ac := scheme.Cryptogram(p.suite, key, data)
	in := cloudkey.TagInput{ATC: atc, UnpredictableNumber: un, Amount: packed, Currency: [2]byte{0x01, 0x56}, Evidence: iad.Evidence, Cryptogram: ac}
	if how.sign != nil {
		how.sign(&in)
	}
	iad.Tag = cloudkey.DeviceTag(cloudkey.TagKey(p.bindings[k.Class], atc), p.token, in)
	icc.Set(emv.TagAC, ac[:])
	icc.Set(emv.TagIAD, iad.AppendTo(nil))
	opaque, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: p.token}.Opaque()
	if err != nil {
		t.Fatal(err)
	}
	m := &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: p.number, Processing: unionpay.ProcessingSale, Amount: amount, TransmissionTime: t.clock.Now().Format("0102150405"), STAN: t.stan, MerchantType: "5411",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Acquirer: "10000001", Forwarder: "00000000",
		RRN: fmt.Sprintf("%012d", t.stan), Terminal: "T0000001", Merchant: "M00000000000001", Additional: opaque, ICC: icc,
	}}
	if how.change != nil {
		how.change(m)
	}
	return m
}
