package operator

import (
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

const (
	theSwitch   = "00010000"
	theTerminal = "T0000003"
	theMerchant = "301000059940003"
)

// pair is an office and a real acquirer, with a switch that answers by a script.
type pair struct {
	testing.TB
	office, bank *networktest.Rig
	clock        *clock.Manual
	says         func(*unionpay.FinancialRequest) unionpay.ResponseCode
	asked        []*unionpay.FinancialRequest // at the switch
}

// carry brings what the office sent to the acquirer, and what comes of it back.
func (p *pair) carry(sent []networktest.Sent) {
	p.Helper()
	for len(sent) > 0 {
		var next []networktest.Sent
		for _, s := range sent {
			for _, out := range p.atBank(theTerminal, s.Message) {
				next = append(next, p.office.Deliver(transittest.Name, out)...)
			}
		}
		sent = next
	}
}

// atBank lets the acquirer take a message, the switch answer, and gives what goes back to the terminal.
func (p *pair) atBank(from string, m unionpay.Message) (back []unionpay.Message) {
	for _, out := range p.bank.Deliver(from, m) {
		if out.To == theTerminal {
			back = append(back, out.Message)
			continue
		}
		switch m := out.Message.(type) {
		case *unionpay.FinancialRequest:
			answer := unionpay.Answer{Response: p.says(m)}
			if answer.Response.Approved() {
				answer.AuthCode = "654321"
			}
			back = append(back, p.atBank(theSwitch, unionpay.Respond(m, answer))...)
		case *unionpay.ReversalRequest:
			back = append(back, p.atBank(theSwitch, unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved}))...)
		}
	}
	return back
}

// fiveDays lets six riders ride once, with every fourth request refused, and the calendar of retries have its time.
func fiveDays(t *testing.T) (*pair, *transit.Office, *acquirer.Acquirer) {
	t.Helper()
	return fiveDaysWith(t, "aggregate", unionpay.KindSale)
}

// morning is eight o'clock of the first day.
var morning = time.Date(2026, 11, 23, 8, 0, 0, 0, transittest.Shanghai)

// newPair verifies in one of the ways. The clock stands an hour after the morning.
func newPair(t *testing.T, name string, kind unionpay.MessageType) (*pair, *transit.Office, *acquirer.Acquirer, *transittest.Device) {
	t.Helper()
	manual := clock.NewManual(morning.Add(time.Hour))
	vault := networktest.NewHSM(t, 5, map[string]string{theTerminal: "t-a", theSwitch: "a-s"})
	bank, err := acquirer.New(acquirer.Deps{
		Institution: transittest.Name, Switch: theSwitch, Merchants: []acquirer.Merchant{{ID: theMerchant, Name: "METRO", Category: "4111"}},
		Terminals: []acquirer.Terminal{{ID: theTerminal, Merchant: theMerchant}}, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal,
		Calendar: networktest.Shanghai, Currency: 156,
	})
	if err != nil {
		t.Fatal(err)
	}
	box := &transittest.Box{HSM: vault, Key: networktest.KeySeal}
	profile, _ := transit.ProfileNamed(name)
	profile.VerifyKind = kind
	office, err := transit.New(transit.Deps{
		Terminal: theTerminal, Merchant: theMerchant, Acquirer: transittest.Name, Vault: vault, SealKey: networktest.KeySeal, Opener: box,
		Keys: &transittest.Keys{TB: t}, Epoch: transittest.FirstEpoch, Signer: transittest.Signer, Devices: map[string]gate.ChainKey{"bus": transittest.ChainKey(t, "bus")},
		Stations: map[uint32]transit.Place{transittest.Bus: {Service: "bus", Place: "K"}}, Book: transittest.Book(t), Calendar: transittest.Calendar,
		Currency: money.CNY, Profile: profile,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{TB: t, clock: manual}
	p.office = networktest.NewRig(t, office, journal.NewMemStore(), manual, func(string) unionpay.Dialect { return unionpay.Terminal })
	p.bank = networktest.NewRig(t, bank, journal.NewMemStore(), manual, func(peer string) unionpay.Dialect {
		if peer == theSwitch {
			return unionpay.Switch
		}
		return unionpay.Terminal
	})
	p.says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if p.asked = append(p.asked, m); len(p.asked)%4 == 0 {
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	return p, office, bank, transittest.NewDevice(t, box, "bus", transittest.Bus)
}

// until lets time pass, and the bank answer on the way.
func (p *pair) until(to time.Time) {
	for {
		next, ok := p.clock.NextAt()
		if !ok || next.After(to) {
			break
		}
		p.office.Out = nil
		p.clock.Advance(max(0, next.Sub(p.clock.Now())))
		p.carry(p.office.Out)
	}
	p.clock.Set(to)
}

// upload hands in what a device has.
func (p *pair) upload(d *transittest.Device) {
	p.Helper()
	if reply, ok := p.office.Command(transit.Ingest{Chunk: d.Chunk(0)}).(transit.Ingested); !ok {
		p.Fatalf("the chunk is refused: %v", reply)
	}
	p.carry(p.office.Out)
}

// fiveDaysWith verifies in one of the ways.
func fiveDaysWith(t *testing.T, name string, kind unionpay.MessageType) (*pair, *transit.Office, *acquirer.Acquirer) {
	t.Helper()
	p, office, bank, bus := newPair(t, name, kind)
	for rider := range 6 {
		bus.Tap(transittest.NewCard(t, rider), gate.Ride, morning.Add(time.Duration(rider)*time.Minute))
	}
	p.upload(bus)
	p.until(morning.Add(22 * time.Hour))
	p.office.Command(transit.CloseDay{Day: transittest.Book(t).ServiceDate(morning)})
	p.until(morning.Add(5 * 24 * time.Hour))
	return p, office, bank
}

// TestMoneyWithARealAcquirer: what the office believes the acquirer owes is what the acquirer holds for the merchant, after payments, refusals and verifications.
func TestMoneyWithARealAcquirer(t *testing.T) {
	p, office, bank := fiveDays(t)
	if err := office.Audit(); err != nil {
		t.Error(err)
	}
	report, ok := p.office.Command(transit.ViewReport{}).(transit.Report)
	if !ok || report.Acquirer != 6*200 {
		t.Errorf("the acquirer owes %d by the office's books", report.Acquirer)
	}
	held := bank.Book().Balance(acquirer.AccountMerchants)
	if got := held.CreditsPending + held.CreditsPosted - held.DebitsPosted - held.DebitsPending; got != report.Acquirer {
		t.Errorf("the acquirer holds %d for the merchant, the office expects %d", got, report.Acquirer)
	}
}

// TestEveryRequestProvesTheCard: with the cryptogram of a tap, or with the number of an earlier request that had it, whatever that one was; and it says that
// it is about rides. The acquirer passes both on.
func TestEveryRequestProvesTheCard(t *testing.T) {
	for _, way := range []struct {
		profile string
		kind    unionpay.MessageType
	}{{"aggregate", unionpay.KindSale}, {"aggregate", unionpay.KindPreAuth}, {"zero", unionpay.KindBalance}, {"zero", unionpay.KindPreAuth}} {
		p, office, _ := fiveDaysWith(t, way.profile, way.kind)
		named, debts := 0, 0
		shown := map[string]bool{}
		for _, m := range p.asked {
			said, err := unionpay.TransitOf(m.Detail)
			if err != nil || said.Ridden != 20261123 || m.MerchantType != "4111" {
				t.Errorf("%s %s: says %+v, %v of a merchant in %s", way.profile, way.kind, said, err, m.MerchantType)
			}
			if said.Use == unionpay.TransitDebt {
				debts++
			}
			counter, chip := m.ICC.Value(emv.TagATC)
			key := m.PAN.Reveal() + string(counter)
			switch {
			case chip && shown[key]:
				t.Errorf("%s %s: a cryptogram is shown twice", way.profile, way.kind)
			case chip:
				shown[key] = true
			case unionpay.OriginalKey(m) == "":
				t.Errorf("%s %s: a request of %v proves nothing", way.profile, way.kind, m.Amount)
			default:
				named++
			}
		}
		if named < 6 || debts == 0 {
			t.Errorf("%s %s: %d requests name another, %d are about debts", way.profile, way.kind, named, debts)
		}
		if report, _ := p.office.Command(transit.ViewReport{}).(transit.Report); report.Acquirer != 6*200 {
			t.Errorf("%s %s: the acquirer owes %d", way.profile, way.kind, report.Acquirer)
		}
		if err := office.Audit(); err != nil {
			t.Error(err)
		}
	}
}

// TestAPurseWithARealAcquirer: what a card paid by itself is taken by the acquirer, and what it paid for no ride goes back through it.
func TestAPurseWithARealAcquirer(t *testing.T) {
	p, office, bank, bus := newPair(t, "aggregate", unionpay.KindPreAuth)
	p.says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		p.asked = append(p.asked, m)
		return unionpay.Approved
	}
	rode, stayed := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
	rode.Purse, rode.Pays, stayed.Purse, stayed.Pays = true, 700, true, 300
	bus.Tap(rode, gate.Ride, morning)
	tap := bus.Tap(stayed, gate.Ride, morning.Add(time.Minute))
	p.upload(bus)
	bus.NotPassed(tap.Record, morning.Add(2*time.Minute))
	p.upload(bus)
	p.until(morning.Add(22 * time.Hour))
	var kinds []unionpay.MessageType
	for _, m := range p.asked {
		kinds = append(kinds, m.Info.MessageType)
	}
	report, _ := p.office.Command(transit.ViewReport{}).(transit.Report)
	held := bank.Book().Balance(acquirer.AccountMerchants)
	claimed := held.CreditsPending + held.CreditsPosted - held.DebitsPosted - held.DebitsPending
	if report.Acquirer != 700 || claimed != 700 || report.Totals.Purse != 700 || report.PurseRefused != 0 {
		t.Errorf("the acquirer owes %d by the office's books and %d by its own; %v were asked", report.Acquirer, claimed, kinds)
	}
	v, _ := p.office.Command(transit.ViewAccount{Account: 2}).(transit.AccountView)
	if len(v.Paid) != 1 || v.Paid[0].State != transit.PurseReturned {
		t.Errorf("%+v; %v were asked", v.Paid, kinds)
	}
	if err := office.Audit(); err != nil {
		t.Error(err)
	}
	for _, w := range written(t, p.office.Rows(), p.bank.Rows()).Findings {
		t.Errorf("%s", w)
	}
	for name, plant := range map[string]func(*journal.Row){
		"a refund of less":         func(r *journal.Row) { r.Amount-- },
		"a refund of nothing":      func(r *journal.Row) { r.Linked = 0 },
		"a refund of another ride": func(r *journal.Row) { r.Linked -= 2 },
	} {
		rows := copied(p.office.Rows())
		for i := range rows {
			if rows[i].Kind == journal.Requested && transit.Ask(rows[i].Reason) == transit.AskReturn {
				plant(&rows[i])
			}
		}
		if len(written(t, rows, p.bank.Rows()).Findings) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestASwitchInTrouble with a real acquirer: the switch answers for an issuer that is away. The next request shows the cryptogram again and names the first one,
// so that the acquirer lets it pass, and is paid.
func TestASwitchInTrouble(t *testing.T) {
	p, office, bank, bus := newPair(t, "single", unionpay.KindPreAuth)
	p.says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if p.asked = append(p.asked, m); len(p.asked) == 1 {
			return unionpay.IssuerInoperative
		}
		return unionpay.Approved
	}
	bus.Tap(transittest.NewCard(t, 1), gate.Ride, morning)
	p.upload(bus)
	p.until(morning.Add(22 * time.Hour))
	report, _ := p.office.Command(transit.ViewReport{}).(transit.Report)
	held := bank.Book().Balance(acquirer.AccountMerchants)
	if claimed := held.CreditsPending + held.CreditsPosted - held.DebitsPosted - held.DebitsPending; report.Acquirer != 200 || claimed != 200 || len(p.asked) != 2 {
		t.Fatalf("the acquirer owes %d by the office's books and %d by its own, %d requests", report.Acquirer, claimed, len(p.asked))
	}
	if first, again := p.asked[0], p.asked[1]; string(again.ICC.Get(emv.TagAC)) != string(first.ICC.Get(emv.TagAC)) || unionpay.OriginalKey(again) == "" {
		t.Errorf("the second request names %q", unionpay.OriginalKey(again))
	}
	if err := office.Audit(); err != nil {
		t.Error(err)
	}
}
