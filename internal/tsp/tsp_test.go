package tsp

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

func TestATokenResolves(t *testing.T) {
	r := newRig(t)
	wallet, card := r.register(), number(t, "6299991", 17)
	g := r.provision(wallet, card, "phone-1")
	if g.Decision != "yellow" || g.Token.State != "INACTIVE" || !g.Token.Default || !g.number.HasPrefix("62999811") || !g.number.LuhnValid() || len(g.Token.PAR) != 29 {
		t.Fatalf("%+v", g)
	}
	if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.TokenNotActive {
		t.Error(d.Reason)
	}
	token := into[tspapi.Token](t, r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "bank-app"}, g.Token.Reference))
	if token.State != "ACTIVE" || token.Assurance != "12" || token.Limited {
		t.Fatalf("%+v", token)
	}
	m := r.payment(g.number, 100, func(p *unionpay.Payment, _ *unionpay.TokenData) { p.PINBlock = r.pinFor("1234", g.number) })
	out := r.ask(m)
	d := dataOf(t, out)
	if out.Response != "00" || !out.PAN.Equal(card) || out.Expiry.YYMM() != "3012" || out.CardSequence != "001" || !d.Token.Equal(g.number) ||
		d.PAR != g.Token.PAR || d.Requestor != wallet.ID || d.Assurance != "12" || d.Class != unionpay.ClassCVM || d.Verification != unionpay.CryptogramVerified {
		t.Errorf("%+v %+v", out, d)
	}
	if want := r.pinFor("1234", card); out.PINBlock == nil || out.PINBlock.Reveal() != want.Reveal() {
		t.Error("the PIN block is not bound to the account number")
	}
	rows := len(r.rows())
	if again := r.ask(m); again.Additional != out.Additional || !again.PAN.Equal(card) || len(r.rows()) != rows {
		t.Error("a repeat gets another answer")
	}
	r.restart()
	r.verdict.Reason = unionpay.CounterRepeated
	if again := r.ask(m); again.Additional != out.Additional || again.Response != "00" {
		t.Error("a repeat after a crash gets another answer")
	}
	m.Amount = money.New(200, money.CNY)
	if d := dataOf(t, r.ask(m)); d.Reason != unionpay.TokenKeyReused {
		t.Error(d.Reason)
	}
}

func TestWhatFollowsAPaymentIsMappedOnly(t *testing.T) {
	r := newRig(t)
	wallet, card := r.register(), number(t, "6299991", 17)
	g := r.active(wallet, card, "phone-1")
	r.do(wallet, &Deletion{Reason: "CONSUMER"}, g.Token.Reference)
	r.verdict.Reason = 0 // nobody asks it
	refund := r.payment(g.number, 100, func(p *unionpay.Payment, d *unionpay.TokenData) { d.Operation = unionpay.OperationMap; p.ICC.Reset() })
	if out := r.ask(refund); !out.PAN.Equal(card) || dataOf(t, out).Reason != unionpay.TokenMapped {
		t.Errorf("%+v", out)
	}
	if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.TokenDeleted {
		t.Error(d.Reason)
	}
	other := number(t, "6299981", 5)
	if out := r.ask(r.payment(other, 100, func(_ *unionpay.Payment, d *unionpay.TokenData) { d.Operation = unionpay.OperationMap })); dataOf(t, out).Reason != unionpay.TokenUnknown {
		t.Error("an unknown token was mapped")
	}
}

// TestReasons gives each rule the payment that it alone refuses, and those behind it as well: the first in order is the answer.
func TestReasons(t *testing.T) {
	change := func(f func(*unionpay.Payment, *unionpay.TokenData)) func(*rig, given, Caller) []func(*unionpay.Payment, *unionpay.TokenData) {
		return func(*rig, given, Caller) []func(*unionpay.Payment, *unionpay.TokenData) {
			return []func(*unionpay.Payment, *unionpay.TokenData){f}
		}
	}
	act := func(f func(*rig, given, Caller)) func(*rig, given, Caller) []func(*unionpay.Payment, *unionpay.TokenData) {
		return func(r *rig, g given, w Caller) []func(*unionpay.Payment, *unionpay.TokenData) { f(r, g, w); return nil }
	}
	suspend := func(who string) func(*rig, given, Caller) {
		return func(r *rig, g given, w Caller) { r.do(operator, &Suspension{Suspender: who}, g.Token.Reference) }
	}
	cases := []struct {
		reason unionpay.TokenReason
		do     func(*rig, given, Caller) []func(*unionpay.Payment, *unionpay.TokenData)
	}{
		{unionpay.TokenDeleted, act(func(r *rig, g given, w Caller) { r.do(w, &Deletion{}, g.Token.Reference) })},
		{unionpay.TokenLost, act(func(r *rig, g given, w Caller) { r.do(w, &DeviceChange{Device: "phone-1", Lost: true}, "") })},
		{unionpay.TokenPasswordLocked, act(suspend("PASSWORD_LOCKED"))},
		{unionpay.TokenSuspended, act(suspend("ISSUER"))},
		{unionpay.TokenExpired, act(func(r *rig, g given, w Caller) { r.clock.Advance(4 * 365 * 24 * time.Hour) })},
		{unionpay.TokenRequestorSuspended, act(func(r *rig, g given, w Caller) { r.do(operator, &tspapi.SuspendRequestor{Suspended: true}, w.ID) })},
		{unionpay.TokenWrongRequestor, change(func(_ *unionpay.Payment, d *unionpay.TokenData) { d.Requestor = "62900000099" })},
		{unionpay.TokenWrongPresentment, change(func(p *unionpay.Payment, _ *unionpay.TokenData) { p.EntryMode = "021" })},
		{unionpay.TokenWrongMerchant, change(func(p *unionpay.Payment, _ *unionpay.TokenData) { p.Merchant = "898000000000009" })},
		{unionpay.TokenWrongCategory, change(func(p *unionpay.Payment, _ *unionpay.TokenData) { p.MerchantType = "7995" })},
		{unionpay.TokenWrongCountry, change(func(p *unionpay.Payment, _ *unionpay.TokenData) { p.Country = "840" })},
		{unionpay.TokenWrongDevice, change(func(_ *unionpay.Payment, d *unionpay.TokenData) { d.Device = "phone-2" })},
		{unionpay.TokenNoCryptogram, change(func(p *unionpay.Payment, _ *unionpay.TokenData) {
			p.ICC.Reset()
			p.Country = cmp.Or(p.Country, "156")
		})},
	}
	for i, c := range cases {
		r := newRig(t)
		wallet := r.register(func(b *tspapi.RegisterRequestor) {
			b.Domain = tspapi.Domain{
				Presentments: []string{PresentContactless}, Merchants: []string{"898000000000001"}, Categories: []string{"5411"}, Countries: []string{"156"},
				Currencies: []string{"156"},
			}
		})
		g := r.active(wallet, number(t, "6299991", 17), "phone-1")
		if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.TokenResolved {
			t.Fatal(d.Reason)
		}
		changes := c.do(r, g, wallet)
		out := r.ask(r.payment(g.number, 100, changes...))
		if d := dataOf(t, out); d.Reason != c.reason || out.Response != c.reason.ResponseCode() || !out.PAN.Equal(g.number) || out.PINBlock != nil {
			t.Errorf("%v: %v %s", c.reason, d.Reason, out.Response)
		}
		// Everything later in the order, too: this reason comes first.
		if changes == nil {
			continue
		}
		var later []func(*unionpay.Payment, *unionpay.TokenData)
		for _, other := range cases[i:] {
			later = append(later, other.do(r, g, wallet)...)
		}
		if d := dataOf(t, r.ask(r.payment(g.number, 100, later...))); d.Reason != c.reason {
			t.Errorf("%v does not come before the later ones: %v", c.reason, d.Reason)
		}
	}
	last := unionpay.TokenReason(0)
	for _, reason := range Rules() {
		if reason <= last {
			t.Errorf("%v stands behind %v", reason, last)
		}
		last = reason
	}
}

func TestLimitsOfWeakAndYoungTokens(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.provision(wallet, number(t, "6299991", 17), "phone-1")
	r.do(wallet, &tspapi.Challenge{Method: "otp"}, g.Token.Reference)
	code, err := r.core.OpenCode(r.hooks[len(r.hooks)-1])
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "abcdef", "00000", "9999999"} {
		if p := problemOf(t, r.do(wallet, &tspapi.Activate{Code: wrong}, g.Token.Reference)); p.Code != "code" && p.Code != "tries" {
			t.Errorf("%q: %+v", wrong, p)
		}
		if r.restart(); wrong == "abcdef" {
			break
		}
	}
	token := into[tspapi.Token](t, r.do(wallet, &tspapi.Activate{Code: code}, g.Token.Reference))
	if token.State != "ACTIVE" || !token.Limited || token.Assurance != "11" || token.CoolingTo == nil {
		t.Fatalf("%+v", token)
	}
	reason := func(minor int64) unionpay.TokenReason { return dataOf(t, r.ask(r.payment(g.number, minor))).Reason }
	if reason(100_001) != unionpay.TokenCooling || reason(50_001) != unionpay.TokenAssuranceLimit || reason(50_000) != unionpay.TokenResolved {
		t.Error("limits of the first day")
	}
	r.clock.Advance(24 * time.Hour)
	if reason(100_001) != unionpay.TokenAssuranceLimit {
		t.Error("a text message alone gives full limits")
	}
	r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "card-tap"}, g.Token.Reference)
	if reason(100_001) != unionpay.TokenResolved {
		t.Error("a tap of the card does not lift the limits")
	}
}

func TestACodeToAChangedSIMSuspends(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.provision(wallet, number(t, "6299991", 17), "phone-1", func(b *tspapi.Provision) { b.Device.SIMChanged = true })
	r.do(wallet, &tspapi.Challenge{Method: "otp"}, g.Token.Reference)
	code, err := r.core.OpenCode(r.hooks[len(r.hooks)-1])
	if err != nil {
		t.Fatal(err)
	}
	token := into[tspapi.Token](t, r.do(wallet, &tspapi.Activate{Code: code}, g.Token.Reference))
	if token.State != "SUSPENDED" || len(token.Suspenders) != 1 || token.Suspenders[0] != "TSP_RISK" {
		t.Errorf("%+v", token)
	}
	if p := problemOf(t, r.do(wallet, &Suspension{Suspender: "TSP_RISK", Resume: true}, g.Token.Reference)); p.Status != 403 {
		t.Error(p)
	}
}

func TestTheCloudSecureElementDecides(t *testing.T) {
	r := newRig(t)
	g := r.active(r.register(), number(t, "6299991", 17), "phone-1")
	r.verdict = unionpay.TokenData{Reason: unionpay.CounterRepeated, Verification: unionpay.CryptogramRefused}
	if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.CounterRepeated || d.Verification != unionpay.CryptogramRefused {
		t.Error(d.Reason)
	}
	if v := into[tspapi.Token](t, r.get(operator, &Read{}, g.Token.Reference)); v.State != "SUSPENDED" || v.Suspenders[0] != "TSP_RISK" {
		t.Errorf("a clone goes on paying: %+v", v)
	}
	if h := r.hooks[len(r.hooks)-1]; h.Notice.Reason != unionpay.CounterRepeated.String() {
		t.Errorf("the bank is not told: %+v", h.Notice)
	}
	r.restart()
	r.do(operator, &Suspension{Suspender: "TSP_RISK", Resume: true}, g.Token.Reference)
	r.verdict.Reason = 0
	r.out = nil
	m := r.payment(g.number, 100)
	rows := len(r.rows())
	r.step(journal.Event{From: theSwitch, Message: r.wire(m)})
	if len(r.out) != 0 {
		t.Fatal("answered before the verifier has")
	}
	r.clock.Advance(verifyWithinDefault)
	if len(r.out) != 1 || dataOf(t, r.out[0].(*unionpay.TokenResponse)).Reason != unionpay.VerifierUnavailable || len(r.rows()) != rows {
		t.Fatal("silence of the verifier is not told, or is remembered")
	}
	r.verdict = verifiedCVM()
	if d := dataOf(t, r.ask(m)); d.Reason != unionpay.TokenResolved {
		t.Error("asked again, it is not decided anew", d.Reason)
	}
	// Somebody else cannot speak for the verifier.
	r.verdict.Reason = 0
	m = r.payment(g.number, 100)
	r.out = nil
	r.step(journal.Event{From: theSwitch, Message: r.wire(m)})
	forged := unionpay.Respond(m, unionpay.Answer{Response: "00"}).(*unionpay.TokenResponse)
	forged.Additional, _ = verifiedCVM().Opaque()
	r.step(journal.Event{From: theSwitch, Message: r.wire(forged)})
	if len(r.out) != 0 {
		t.Error("believed a stranger")
	}
}

func TestSuspendedWhileTheVerifierIsAsked(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.active(wallet, number(t, "6299991", 17), "phone-1")
	r.verdict.Reason = 0
	m := r.payment(g.number, 100)
	r.out = nil
	r.step(journal.Event{From: theSwitch, Message: r.wire(m)})
	r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	yes := unionpay.Respond(m, unionpay.Answer{Response: "00"}).(*unionpay.TokenResponse)
	yes.Additional, _ = verifiedCVM().Opaque()
	r.step(journal.Event{From: theCloud, Message: r.wire(yes)})
	if len(r.out) != 1 || dataOf(t, r.out[0].(*unionpay.TokenResponse)).Reason != unionpay.TokenLost {
		t.Error("a phone that was reported lost meanwhile pays")
	}
}

func TestABadPINBlock(t *testing.T) {
	r := newRig(t)
	g := r.active(r.register(), number(t, "6299991", 17), "phone-1")
	m := r.payment(g.number, 100, func(p *unionpay.Payment, _ *unionpay.TokenData) {
		p.PINBlock = r.pinFor("1234", number(t, "6299991", 17))
	})
	if out := r.ask(m); out.Response != "99" || out.PINBlock != nil {
		t.Error(out.Response)
	}
}

func TestProvisioningRefused(t *testing.T) {
	r := newRig(t)
	wallet, card := r.register(), number(t, "6299991", 17)
	r.provision(wallet, card, "phone-1")
	for name, c := range map[string]struct {
		code   string
		card   pan.Number
		change func(*tspapi.Provision)
	}{
		"twin":        {"token-exists", card, func(*tspapi.Provision) {}},
		"terms":       {"terms", card, func(b *tspapi.Provision) { b.Terms = "old" }},
		"foreign":     {"not-eligible", number(t, "6299981", 17), func(*tspapi.Provision) {}},
		"expired":     {"eligibility", number(t, "6299991", 18), func(b *tspapi.Provision) { b.Expiry = "2001" }},
		"storage":     {"not-eligible", card, func(b *tspapi.Provision) { b.Storage = "SE" }},
		"score":       {"red", number(t, "6299991", 18), func(b *tspapi.Provision) { b.Score = 1 }},
		"domain":      {"domain", number(t, "6299991", 18), func(b *tspapi.Provision) { b.Domain = &tspapi.Domain{Categories: []string{"54"}} }},
		"another man": {"red", number(t, "6299991", 19), func(b *tspapi.Provision) { b.Device.Reference = "owned"; b.Device.Owner = "two" }},
	} {
		if name == "another man" {
			r.provision(wallet, number(t, "6299991", 20), "owned", func(b *tspapi.Provision) { b.Device.Owner = "one" })
		}
		b := r.provisionBody(wallet, c.card, "phone-1", c.change)
		if p := problemOf(t, r.do(wallet, b, "", c.card)); p.Code != c.code {
			t.Errorf("%s: %+v", name, p)
		}
	}
	b := r.provisionBody(wallet, number(t, "6299991", 30), "phone-9")
	r.clock.Advance(49 * time.Hour)
	if p := problemOf(t, r.do(wallet, b, "", number(t, "6299991", 30))); p.Code != "eligibility" {
		t.Error(p)
	}
	for i := range 4 {
		r.provision(wallet, number(t, "6299991", 40+i), "phone-1")
	}
	b = r.provisionBody(wallet, number(t, "6299991", 50), "phone-1")
	if p := problemOf(t, r.do(wallet, b, "", number(t, "6299991", 50))); p.Code != "red" || !strings.Contains(p.Reason, "too many cards") {
		t.Error(p)
	}
}

func TestGreenNeedsNoVerification(t *testing.T) {
	r := newRig(t)
	g := r.provision(r.register(), number(t, "6299991", 17), "phone-1", func(b *tspapi.Provision) { b.Source = "issuer-app" })
	if g.Decision != "green" || g.Token.State != "ACTIVE" || g.Token.Assurance != "14" || g.Token.Limited {
		t.Errorf("%+v", g)
	}
}

func TestIdempotency(t *testing.T) {
	r := newRig(t)
	wallet, card := r.register(), number(t, "6299991", 17)
	c := r.commandOf(wallet, r.provisionBody(wallet, card, "phone-1"), "", card)
	first, ok := r.send(c).(Reply)
	if !ok {
		t.Fatal("no reply")
	}
	rows := len(r.rows())
	for range 2 {
		again, ok := r.send(c).(Reply)
		if !ok || string(again.Body) != string(first.Body) || string(again.TokenNumber) != string(first.TokenNumber) || len(r.rows()) != rows {
			t.Fatal("a repeat is carried out again")
		}
		r.restart()
	}
	other := *c
	other.Number = number(t, "6299991", 18)
	if p := problemOf(t, r.send(&other)); p.Status != 409 || p.Code != "idempotency-key-used" {
		t.Error(p)
	}
	refused := r.commandOf(wallet, &Deletion{}, strings.Repeat("0", 32))
	p := problemOf(t, r.send(refused))
	r.restart()
	if q := problemOf(t, r.send(refused)); *q != *p || p.Status != 404 {
		t.Error("a repeated refusal differs", p, q)
	}
}

func TestRelinkKeepsTheAccountReference(t *testing.T) {
	r := newRig(t)
	wallet, old, fresh := r.register(), number(t, "6299991", 17), number(t, "6299991", 99)
	g := r.active(wallet, old, "phone-1")
	if p := problemOf(t, r.do(Caller{CallerIssuer, bankB}, &tspapi.Relink{Expiry: "3112"}, "", old, fresh)); p.Status != 404 {
		t.Error("another bank moved the tokens", p)
	}
	affected := into[tspapi.Affected](t, r.do(Caller{CallerIssuer, bankA}, &tspapi.Relink{Expiry: "3112", Sequence: "2"}, "", old, fresh))
	if len(affected.Tokens) != 1 || affected.PAR != g.Token.PAR {
		t.Errorf("%+v", affected)
	}
	out := r.ask(r.payment(g.number, 100))
	if d := dataOf(t, out); !out.PAN.Equal(fresh) || out.CardSequence != "002" || d.PAR != g.Token.PAR {
		t.Errorf("%+v", d)
	}
	if par := into[tspapi.PAR](t, r.get(wallet, &AccountReference{}, "", fresh)); par.PAR != g.Token.PAR {
		t.Error(par)
	}
	if list := into[tspapi.Tokens](t, r.get(wallet, &List{PAR: g.Token.PAR}, "")); len(list.Tokens) != 1 {
		t.Error(list)
	}
	gone, err := r.core.state.card(1)
	if err != nil || gone.Sealed != nil {
		t.Error("the replaced number is still there", err)
	}
	into[tspapi.Affected](t, r.do(Caller{CallerIssuer, bankA}, &tspapi.CloseCard{}, "", fresh))
	if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.TokenDeleted {
		t.Error(d.Reason)
	}
}

func TestLostAndFound(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.active(wallet, number(t, "6299991", 17), "phone-1")
	if a := into[tspapi.Affected](t, r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")); len(a.Tokens) != 1 {
		t.Error(a)
	}
	if p := problemOf(t, r.do(wallet, &Suspension{Suspender: "DEVICE_LOST", Resume: true}, g.Token.Reference)); p.Code != "device-lost" {
		t.Error(p)
	}
	r.do(wallet, &Suspension{Suspender: "CARDHOLDER"}, g.Token.Reference)
	r.do(wallet, &DeviceChange{Device: "phone-1"}, "")
	token := into[tspapi.Token](t, r.do(wallet, &Suspension{Suspender: "DEVICE_LOST", Resume: true}, g.Token.Reference))
	if token.State != "SUSPENDED" || len(token.Suspenders) != 1 {
		t.Errorf("one suspender lifted another's: %+v", token)
	}
	token = into[tspapi.Token](t, r.do(wallet, &Suspension{Suspender: "CARDHOLDER", Resume: true}, g.Token.Reference))
	if token.State != "ACTIVE" {
		t.Errorf("%+v", token)
	}
}

func TestOthersSeeNothing(t *testing.T) {
	r := newRig(t)
	wallet, other := r.register(), r.register()
	g := r.active(wallet, number(t, "6299991", 17), "phone-1")
	for name, caller := range map[string]Caller{"requestor": other, "bank": {CallerIssuer, bankB}, "nobody": {}} {
		for what, body := range map[string]any{"read": &Read{}, "par": &AccountReference{}} {
			if p := problemOf(t, r.get(caller, body, g.Token.Reference)); p.Status != 404 {
				t.Errorf("%s %s: %v", name, what, p)
			}
		}
		if p := problemOf(t, r.do(caller, &Suspension{Suspender: "CARDHOLDER"}, g.Token.Reference)); p.Status != 404 {
			t.Errorf("%s: %v", name, p)
		}
		if list := into[tspapi.Tokens](t, r.get(caller, &List{}, "")); len(list.Tokens) != 0 {
			t.Errorf("%s: %v", name, list)
		}
	}
	if v := into[tspapi.Token](t, r.get(wallet, &Read{}, g.Token.Reference)); v.Reference != g.Token.Reference {
		t.Error(v)
	}
	if caller, ok := r.core.Caller("bank-a"); !ok || caller.Role != CallerIssuer {
		t.Error(caller, ok)
	}
}

func TestListsGoOn(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	for i := range 7 {
		r.provision(wallet, number(t, "6299991", i), string(rune('a'+i)))
	}
	seen, cursor := map[string]bool{}, ""
	for range 10 {
		page := into[tspapi.Tokens](t, r.get(wallet, &List{Cursor: cursor, Limit: 3}, ""))
		for _, token := range page.Tokens {
			seen[token.Reference] = true
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d tokens", len(seen))
	}
	if p := problemOf(t, r.get(wallet, &List{Cursor: "x"}, "")); p.Code != "cursor" {
		t.Error(p)
	}
}

func TestNoticesAreRepeatedUntilTaken(t *testing.T) {
	r := newRig(t)
	r.untaken = true
	g := r.provision(r.register(), number(t, "6299991", 17), "phone-1")
	if len(r.hooks) != 2 || r.hooks[0].Notice.Token != g.Token.Reference || r.core.WebhookAddress(WebhookPeer+bankA) != "https://a.example" {
		t.Fatalf("%d notices", len(r.hooks))
	}
	id := r.hooks[0].ID
	r.step(journal.Event{Command: Delivered{WebhookPeer + bankB, id}})
	r.clock.Advance(time.Minute)
	if len(r.hooks) != 4 || r.hooks[2].ID != id {
		t.Fatalf("%d notices", len(r.hooks))
	}
	r.hooks = nil
	r.restart()
	if len(r.hooks) != 2 {
		t.Fatalf("%d notices after a restart", len(r.hooks))
	}
	for _, h := range r.hooks {
		for _, peer := range []string{WebhookPeer + bankA, WebhookPeer + "62900000001"} {
			r.step(journal.Event{Command: Delivered{peer, h.ID}})
		}
	}
	if r.core.Outstanding() != 0 || r.core.state.begun.Len() != 0 {
		t.Error("notices are left")
	}
	r.hooks = nil
	r.restart()
	r.clock.Advance(time.Hour)
	if len(r.hooks) != 0 {
		t.Error("sent again after they were taken")
	}
}
