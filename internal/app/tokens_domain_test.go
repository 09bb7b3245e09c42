package app

import (
	"encoding/json"
	"testing"

	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// TestDomainsAtAuthorization sends payments from an acquirer's line through the switch: each control of a token's domain refuses what is outside, with its reason
// in the token service's journal and its code at the acquirer.
func TestDomainsAtAuthorization(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Roles: []string{RoleSwitch, RoleIssuer, RoleTSP},
		Listen: map[string]string{RoleSwitch: loopback, RoleTSP: loopback}})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, n)
	service := n.tokens.service
	do := func(c *tsp.Command, into any) tsp.Reply {
		t.Helper()
		reply, err := service.Ask(t.Context(), c)
		r, ok := reply.(tsp.Reply)
		if err != nil || !ok {
			t.Fatalf("%v, %v", reply, err)
		}
		if err := json.Unmarshal(r.Body, into); err != nil {
			t.Fatal(err)
		}
		return r
	}
	var q tspapi.Requestor
	do(&tsp.Command{Caller: tokenOperator, Key: "register", Body: &tspapi.RegisterRequestor{
		Entity: "Shop", UseCases: []string{"COF"}, Certificate: "shop", Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 5},
		Domain: tspapi.Domain{Presentments: []string{tsp.PresentRemote}, Merchants: []string{benchMerchant}, Categories: []string{"5411"},
			Countries: []string{"156"}, Currencies: []string{"156"}},
	}}, &q)
	shop := tsp.Caller{Role: tsp.CallerRequestor, ID: q.ID}
	number, device := n.holders["lin"].personal.PAN, tspapi.Device{Reference: "shop-server", Attestation: "hardware"}
	var e tspapi.Eligible
	do(&tsp.Command{Caller: shop, Body: &tspapi.Eligibility{Storage: "COF", Device: device, Expiry: "4912"}, Number: number}, &e)
	var given tspapi.Provisioned
	reply := do(&tsp.Command{Caller: shop, Key: "provision", Number: number, Body: &tspapi.Provision{Eligibility: e.ID, Terms: e.Terms, Storage: "COF",
		Device: device, Expiry: "4912", Source: "issuer-app", Score: 5}}, &given)
	token, err := service.Core().OpenToken(reply.TokenNumber)
	if err != nil {
		t.Fatal(err)
	}
	line := &tokenBench{n: n, waits: map[uint32]chan unionpay.ResponseCode{}}
	if err := line.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	claim := func(d unionpay.TokenData) func(*unionpay.Payment) {
		d.Operation = unionpay.OperationResolve
		text, err := d.Opaque()
		if err != nil {
			t.Fatal(err)
		}
		return func(p *unionpay.Payment) { p.Additional = text }
	}
	for _, c := range []struct {
		name   string
		reason unionpay.TokenReason
		change func(*unionpay.Payment)
	}{
		{"inside", unionpay.TokenResolved, func(*unionpay.Payment) {}},
		{"as the acquirer says", unionpay.TokenResolved, claim(unionpay.TokenData{Requestor: q.ID, Device: "shop-server"})},
		{"requestor", unionpay.TokenWrongRequestor, claim(unionpay.TokenData{Requestor: "62900000099"})},
		{"presentment", unionpay.TokenWrongPresentment, func(p *unionpay.Payment) { p.EntryMode = unionpay.NewEntryMode(unionpay.EntryContactless, false) }},
		{"merchant", unionpay.TokenWrongMerchant, func(p *unionpay.Payment) { p.Merchant = "301000054110009" }},
		{"category", unionpay.TokenWrongCategory, func(p *unionpay.Payment) { p.MerchantType = "7995" }},
		{"country", unionpay.TokenWrongCountry, func(p *unionpay.Payment) { p.Country = "840" }},
		{"currency", unionpay.TokenWrongCurrency, func(p *unionpay.Payment) { p.Amount = money.New(benchMinor, money.USD) }},
		{"device", unionpay.TokenWrongDevice, claim(unionpay.TokenData{Device: "another-server"})},
		{"inside again", unionpay.TokenResolved, func(*unionpay.Payment) {}},
	} {
		m := line.request()
		m.PAN, m.EntryMode, m.Country = token, unionpay.NewEntryMode(unionpay.EntryManual, false), "156"
		c.change(&m.Payment)
		wait := make(chan unionpay.ResponseCode, 1)
		line.mu.Lock()
		line.waits[m.STAN] = wait
		line.mu.Unlock()
		if err := line.line.Send(m); err != nil {
			t.Fatal(err)
		}
		code := <-wait
		row, found, err := service.store.FindKey(t.Context(), unionpay.NetworkKey(&unionpay.TokenRequest{Payment: m.Payment}))
		if err != nil || !found {
			t.Fatalf("%s: no row, %s, %v", c.name, code, err)
		}
		if reason := unionpay.TokenReason(row.Reason); reason != c.reason || reason != unionpay.TokenResolved && code != reason.ResponseCode() {
			t.Errorf("%s: %s, code %s", c.name, reason.Term().EN, code)
		}
	}
}
