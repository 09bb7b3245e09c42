package issuer_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/tlv"
)

const (
	own, theSwitch, acquirer = "20000001", "00010000", "10000001"
	rightPIN, wrongPIN       = "246810", "111111"
)

// bank is an issuer with one enrolled card.
type bank struct {
	*networktest.Rig
	issuer *issuer.Issuer
	hsm    *hsm.HSM
	card   *networktest.Card
	stan   uint32
}

func newIssuer(t testing.TB, vault issuer.Vault) *issuer.Issuer {
	t.Helper()
	return newBounded(t, vault, issuer.Capacity{})
}

func newBounded(t testing.TB, vault issuer.Vault, capacity issuer.Capacity) *issuer.Issuer {
	t.Helper()
	i, err := issuer.New(issuer.Deps{Institution: own, Capacity: capacity, Vault: vault, Calendar: networktest.Shanghai, Currency: 156, Keys: issuer.KeyNames{
		MasterAC: networktest.KeyAC, MasterMAC: networktest.KeyMAC, MasterENC: networktest.KeyENC, PANFingerprint: networktest.KeyFingerprint,
		SM4: issuer.MasterNames{AC: "sm4 ac", MAC: "sm4 mac", ENC: "sm4 enc"}, AES: issuer.MasterNames{AC: "aes ac", MAC: "aes mac", ENC: "aes enc"},
		PINReference: networktest.KeyPINReference, PINKey: networktest.PINKey,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newBank(t testing.TB, change ...func(*issuer.Enrolment)) *bank {
	t.Helper()
	vault := networktest.NewHSM(t, 1, map[string]string{theSwitch: "switch-issuer"})
	i := newIssuer(t, vault)
	rig := networktest.NewRig(t, i, journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
	b := &bank{Rig: rig, issuer: i, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
	b.enrol(b.card, 1, change...)
	return b
}

// restart runs another issuer on the same journal, or the first one.
func (b *bank) restart(t testing.TB, limit *issuer.Capacity) {
	t.Helper()
	capacity := issuer.Capacity{}
	if limit != nil {
		capacity = *limit
	}
	b.issuer = newBounded(t, b.hsm, capacity)
	if b.Rig == nil {
		b.Rig = networktest.NewRig(t, b.issuer, journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
		return
	}
	b.Rig = b.Rig.Restart(b.issuer)
}

func (b *bank) enrol(c *networktest.Card, id int64, change ...func(*issuer.Enrolment)) {
	b.Helper()
	fingerprint, err := b.hsm.PANFingerprint(networktest.KeyFingerprint, c.PAN)
	if err != nil {
		b.Fatal(err)
	}
	pin, err := pinblock.ParsePIN(rightPIN)
	if err != nil {
		b.Fatal(err)
	}
	reference, err := b.hsm.NewPINReference(networktest.KeyPINReference, pin, c.PAN)
	if err != nil {
		b.Fatal(err)
	}
	e := issuer.Enrolment{
		Card: id, Name: fmt.Sprintf("card %d", id), Fingerprint: fingerprint, Masked: c.PAN.Masked(), Sequence: "01", Expiry: "3012", Product: "debit",
		Currency: 156, PINReference: reference, NoPIN: true, Contactless: true, OpeningMinor: 1_000_000, PurseMinor: 50_000,
		Limits: issuer.Limits{TapMinor: 500_000, DayMinor: 800_000, DayCount: 20, NoPINDayMinor: 300_000},
	}
	for _, f := range change {
		f(&e)
	}
	if reply := b.Command(issuer.Enrol{Enrolment: e}); reply != (issuer.Done{}) {
		b.Fatalf("enrol: %v", reply)
	}
}

// pay is a new tap as it arrives from the switch.
func (b *bank) pay(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	return networktest.AtSwitch(b.card.Pay(b.stan, minor), acquirer, b.today())
}

func (b *bank) offline(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	return networktest.AtSwitch(b.card.PayOffline(b.stan, minor), acquirer, b.today())
}

func (b *bank) today() string {
	return fmt.Sprintf("%04d", networktest.Shanghai.BusinessDate(b.Clock.Now())%10000)
}

func (b *bank) withPIN(m *unionpay.FinancialRequest, digits string) *unionpay.FinancialRequest {
	b.Helper()
	m.PINBlock, m.PINCapture, m.EntryMode = networktest.EncipherPIN(b, b.hsm, theSwitch, digits, m.PAN), "06", unionpay.NewEntryMode(unionpay.EntryContactless, true)
	return m
}

// expect delivers m and checks the answer on the wire and the reason in the journal.
func (b *bank) expect(m unionpay.Message, want issuer.Reason) networktest.Sent {
	b.Helper()
	sent := b.Answer(theSwitch, m)
	if got := unionpay.PaymentOf(sent.Message).Response; got != want.ResponseCode() {
		b.Fatalf("answer %s (row %q), want %s for %q", got, issuer.Reason(b.LastRow().Reason), want.ResponseCode(), want)
	}
	last := b.LastRow()
	if last.Kind == journal.Refused && last.Linked != 0 { // the mark that a reversal leaves for its late request
		last = b.Rows()[last.Linked-1]
	}
	if issuer.Reason(last.Reason) == issuer.ProofServes { // behind an approval of rides
		last = b.Rows()[last.Linked-1]
	}
	if got := issuer.Reason(last.Reason); got != want {
		b.Fatalf("reason %q, want %q", got, want)
	}
	b.audit()
	return sent
}

func (b *bank) audit() {
	b.Helper()
	if err := b.issuer.Book().Audit(); err != nil {
		b.Fatal(err)
	}
}

func (b *bank) held() (minor int64) {
	for _, hold := range b.issuer.Book().Holds() {
		minor += hold.Amount
	}
	return minor
}

func (b *bank) wantHeld(minor int64) {
	b.Helper()
	if got := b.held(); got != minor {
		b.Fatalf("%d held, want %d", got, minor)
	}
	if got := b.issuer.Book().Balance(issuer.AccountScheme).CreditsPending; got != minor {
		b.Fatalf("the scheme's pending credits are %d, want %d", got, minor)
	}
}

func TestApprovalHoldsMoneyAndAnswersTheCard(t *testing.T) {
	b := newBank(t)
	m := b.pay(29_900)
	sent := b.expect(m, issuer.Approved)
	b.wantHeld(29_900)
	answer := sent.Message.(*unionpay.FinancialResponse)
	if len(answer.AuthCode) != 6 {
		t.Errorf("authorization code %q", answer.AuthCode)
	}
	issued := b.card.Issued
	session := issued.Suite.SessionKey(issued.CardKeys.AC, b.card.ATC())
	arpc := issued.Suite.ARPC(session, [8]byte(m.ICC.Get(emv.TagAC)), [2]byte{'0', '0'})
	if got := answer.ICC.Get(emv.TagIssuerAuthData); !bytes.Equal(got, append(arpc[:], "00"...)) {
		t.Errorf("issuer authentication data %X, the card expects %X3030", got, arpc)
	}
	row := b.LastRow()
	if row.Kind != journal.Approved || row.Phase != ledger.Pending || row.Amount != 29_900 || row.Currency != 156 || row.ATC != b.card.ATC() ||
		row.Card != 1 || row.RRN != m.RRN || row.BusinessDate != 20261121 {
		t.Errorf("row %+v", row)
	}
}

// signed are the data objects under the cryptogram of version 01 and the reason when one of their bytes is not what the card signed. The amount and currency
// are compared with the message first.
var signed = []struct {
	tag    tlv.Tag
	reason issuer.Reason
}{
	{emv.TagAmount, issuer.ChipDataMismatch}, {emv.TagAmountOther, issuer.CryptogramWrong}, {emv.TagTerminalCountry, issuer.CryptogramWrong},
	{emv.TagTVR, issuer.CryptogramWrong}, {emv.TagCurrency, issuer.ChipDataMismatch}, {emv.TagTransactionDate, issuer.CryptogramWrong},
	{emv.TagTransactionType, issuer.CryptogramWrong}, {emv.TagUnpredictableNumber, issuer.CryptogramWrong}, {emv.TagAIP, issuer.CryptogramWrong},
	{emv.TagATC, issuer.CryptogramWrong}, {emv.TagAC, issuer.CryptogramWrong}, {emv.TagIAD, issuer.CryptogramWrong},
}

func TestEveryByteUnderTheCryptogramIsChecked(t *testing.T) {
	b := newBank(t)
	sound := b.pay(29_900)
	for _, field := range signed {
		for at := range sound.ICC.Get(field.tag) {
			for _, flip := range []byte{0x01, 0x80, 0xFF} {
				b.stan++
				m := *sound
				m.STAN, m.ICC = b.stan, sound.ICC.Clone()
				value := bytes.Clone(m.ICC.Get(field.tag))
				value[at] ^= flip
				m.ICC.Set(field.tag, value)
				sent := b.Answer(theSwitch, &m)
				reason := issuer.Reason(b.LastRow().Reason)
				want := field.reason
				if _, err := emv.ParseIAD(m.ICC.Get(emv.TagIAD)); err != nil {
					want = issuer.ChipDataMissing // no longer issuer application data at all
				}
				if reason != want || unionpay.PaymentOf(sent.Message).Response != want.ResponseCode() {
					t.Errorf("%v byte %d ^ %02X: %q, want %q", field.tag, at, flip, reason, want)
				}
			}
		}
	}
	b.wantHeld(0)
	b.audit()
	// The tampering has spent nothing: the genuine request is still good.
	b.stan++
	sound.STAN = b.stan
	b.expect(sound, issuer.Approved)
}

func TestMissingChipDataIsDeclined(t *testing.T) {
	b := newBank(t)
	sound := b.pay(29_900)
	for _, field := range signed {
		b.stan++
		m := *sound
		m.STAN, m.ICC = b.stan, sound.ICC.Clone()
		m.ICC.Delete(field.tag)
		want := issuer.ChipDataMissing
		switch field.tag {
		case emv.TagAmount, emv.TagCurrency, emv.TagATC, emv.TagAC, emv.TagIAD:
		default:
			want = issuer.CryptogramWrong // the decision does not need it, but the cryptogram covers it
		}
		b.expect(&m, want)
	}
	b.stan++
	m := *sound
	m.STAN, m.ICC = b.stan, emv.Data{}
	b.expect(&m, issuer.ChipDataMissing)
}

func TestTheMessageIsHeldToTheChip(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*unionpay.FinancialRequest)
		reason issuer.Reason
	}{
		"amount":       {func(m *unionpay.FinancialRequest) { m.Amount = moneyOf(1) }, issuer.ChipDataMismatch},
		"sequence":     {func(m *unionpay.FinancialRequest) { m.CardSequence = "002" }, issuer.CryptogramWrong},
		"no sequence":  {func(m *unionpay.FinancialRequest) { m.CardSequence = "" }, issuer.CryptogramWrong},
		"void":         {func(m *unionpay.FinancialRequest) { m.Processing = unionpay.ProcessingVoid }, issuer.TypeNotPermitted},
		"preauth":      {func(m *unionpay.FinancialRequest) { m.Authorization = true }, issuer.TypeNotPermitted},
		"advice":       {func(m *unionpay.FinancialRequest) { m.Advice = true }, issuer.TypeNotPermitted},
		"zero":         {func(m *unionpay.FinancialRequest) { m.Amount = moneyOf(0) }, issuer.FormatError},
		"other number": {func(m *unionpay.FinancialRequest) { m.PAN, m.Track2 = strange, pan.Track2{} }, issuer.UnknownCard},
	} {
		b := newBank(t)
		m := b.pay(29_900)
		c.change(m)
		t.Log(name)
		b.expect(m, c.reason)
		b.wantHeld(0)
	}
}

func TestACardOfAnotherTrackIsDeclined(t *testing.T) {
	b := newBank(t)
	other := networktest.NewCard(t, "629999100000002", 0)
	b.enrol(other, 2)
	m := b.pay(29_900)
	m.Track2 = other.Image.Applications[0].Track2
	b.expect(m, issuer.ChipDataMismatch)
	m = b.pay(29_900)
	m.PAN, m.Track2 = other.PAN, pan.Track2{} // one card's cryptogram under the other's number
	b.expect(m, issuer.CryptogramWrong)
}

func TestOnlineRulesFromRealMessages(t *testing.T) {
	status := func(s ...issuer.Status) func(*bank) {
		return func(b *bank) {
			for _, next := range s {
				b.alter(issuer.Change{Card: 1, Status: &next})
			}
		}
	}
	off := false
	for _, c := range []struct {
		reason  issuer.Reason
		minor   int64
		prepare func(*bank)
	}{
		{issuer.CardStolen, 100, status(issuer.Stolen)},
		{issuer.CardLost, 100, status(issuer.Lost)},
		{issuer.CardRestricted, 100, status(issuer.Restricted)},
		{issuer.CardClosed, 100, status(issuer.Closed)},
		{issuer.ContactlessOff, 100, func(b *bank) { b.alter(issuer.Change{Card: 1, Contactless: &off}) }},
		{issuer.NoPINSwitchedOff, 100, func(b *bank) { b.alter(issuer.Change{Card: 1, NoPIN: &off}) }},
		{issuer.AboveNoPINLimit, 100_001, func(*bank) {}},
		{issuer.AboveTapLimit, 90_001, func(b *bank) { b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{TapMinor: 90_000}}) }},
		{issuer.AboveDayLimit, 50_000, func(b *bank) {
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{DayMinor: 99_999}})
			b.expect(b.pay(50_000), issuer.Approved)
		}},
		{issuer.TooManyToday, 100, func(b *bank) {
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{DayCount: 2}})
			b.expect(b.pay(100), issuer.Approved)
			b.expect(b.pay(100), issuer.Approved)
		}},
		{issuer.NotEnoughMoney, 100_000, func(b *bank) {
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
			for range 10 {
				b.expect(b.pay(99_000), issuer.Approved)
			}
		}},
	} {
		b := newBank(t)
		c.prepare(b)
		before := b.held()
		t.Log(c.reason)
		b.expect(b.pay(c.minor), c.reason)
		b.wantHeld(before)
	}
}

func TestAnOfflineCryptogramIsNoRequest(t *testing.T) {
	b := newBank(t)
	m := b.offline(1_000)
	m.Info.MessageType = unionpay.KindSale
	b.expect(m, issuer.NotARequestCryptogram)
	m = b.pay(1_000)
	m.Info.MessageType = unionpay.KindOfflineUpload
	b.expect(m, issuer.NotAnApproval)
	b.wantHeld(0)
}

func TestExpiryIsADateInTheBanksZone(t *testing.T) {
	for _, c := range []struct {
		now  string
		want issuer.Reason
	}{
		{"2030-12-31T15:59:59Z", issuer.Approved}, // the last second of the last day in Shanghai
		{"2030-12-31T16:00:00Z", issuer.CardExpired},
	} {
		b := newBank(t)
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		b.Clock.Set(now)
		t.Log(c.now)
		b.expect(b.pay(100), c.want)
	}
}

func TestACounterIsHonouredOnce(t *testing.T) {
	b := newBank(t)
	older, newer := b.pay(100), b.pay(200)
	b.expect(newer, issuer.Approved)
	b.expect(older, issuer.CounterUsed) // genuine, but counters must rise in real time
	b.stan++
	replayed := *newer
	replayed.STAN, replayed.RRN = b.stan, "632504999999"
	b.expect(&replayed, issuer.CounterUsed)
	b.wantHeld(200)
}

func TestADeclinedCounterIsSpent(t *testing.T) {
	b := newBank(t)
	m := b.withPIN(b.pay(200_000), wrongPIN)
	b.expect(m, issuer.PINWrong)
	b.stan++
	again := *m
	again.STAN = b.stan
	b.expect(b.withPIN(&again, rightPIN), issuer.CounterUsed)
}

func TestPIN(t *testing.T) {
	b := newBank(t)
	tries := func() int {
		c, _ := b.issuer.Card(1)
		return c.Tries
	}
	b.expect(b.withPIN(b.pay(200_000), rightPIN), issuer.Approved)
	wrong := b.withPIN(b.pay(200_000), wrongPIN)
	b.expect(wrong, issuer.PINWrong)
	if tries() != 2 {
		t.Fatalf("%d tries, want 2", tries())
	}
	if sent := b.Answer(theSwitch, wrong); unionpay.PaymentOf(sent.Message).Response != "55" || tries() != 2 {
		t.Fatalf("a repeat takes no try: %d left", tries())
	}
	b.expect(b.withPIN(b.pay(200_000), rightPIN), issuer.Approved)
	if tries() != 3 {
		t.Fatalf("%d tries after the right PIN, want 3", tries())
	}
	for range 3 {
		b.expect(b.withPIN(b.pay(200_000), wrongPIN), issuer.PINWrong)
	}
	b.expect(b.withPIN(b.pay(1_000), rightPIN), issuer.PINBlocked)
	b.expect(b.withPIN(b.pay(1_000), wrongPIN), issuer.PINBlocked)
	garbage, err := pinblock.FromBytes([]byte("notapin!"))
	if err != nil {
		t.Fatal(err)
	}
	m := b.withPIN(b.pay(1_000), rightPIN)
	m.PINBlock = &garbage
	b.expect(m, issuer.PINFormatWrong)
	if tries() != 0 {
		t.Fatalf("%d tries, want 0", tries())
	}
	three := 3
	b.alter(issuer.Change{Card: 1, PINTries: &three})
	b.expect(b.withPIN(b.pay(1_000), rightPIN), issuer.Approved)
}

func TestAnUnknownPINKeyIsOurTrouble(t *testing.T) {
	b := newBank(t)
	m := b.withPIN(b.pay(1_000), rightPIN)
	sent := b.Answer("99999999", m)
	if got := unionpay.PaymentOf(sent.Message).Response; got != "96" {
		t.Errorf("answer %s, want 96", got)
	}
}

func TestARepeatGetsTheFirstAnswerByteForByte(t *testing.T) {
	b := newBank(t)
	for _, m := range []*unionpay.FinancialRequest{b.pay(29_900), b.pay(100_001), b.withPIN(b.pay(200_000), wrongPIN), b.offline(500)} {
		first := b.Answer(theSwitch, m)
		rows := len(b.Rows())
		b.Clock.Advance(30 * time.Hour)
		again := b.Answer(theSwitch, m)
		if !bytes.Equal(first.Bytes, again.Bytes) {
			t.Errorf("first %X\nagain %X", first.Bytes, again.Bytes)
		}
		if len(b.Rows()) != rows {
			t.Error("a repeat made a row")
		}
		other := *m
		other.Merchant = "301000054119999"
		if sent := b.Answer(theSwitch, &other); unionpay.PaymentOf(sent.Message).Response != "94" {
			t.Errorf("same key, other content: %s", unionpay.PaymentOf(sent.Message).Response)
		}
		if again := b.Answer(theSwitch, m); !bytes.Equal(first.Bytes, again.Bytes) {
			t.Error("the first answer is lost after a 94")
		}
		b.audit()
	}
}
