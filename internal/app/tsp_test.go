package app

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pinblock"
)

// TestTokenService runs the token service as a member of a network: it signs on to the switch, gives out a token, and answers over the link after a restart.
func TestTokenService(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	seed := uint64(1)
	open := func() (*Network, *TokenNode) {
		t.Helper()
		n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed, Roles: []string{RoleSwitch}})
		if err != nil {
			t.Fatal(err)
		}
		service, err := n.StartTokenService(t.Context(), TokenServiceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return n, service
	}
	n, service := open()
	operator := tsp.Caller{Role: tsp.CallerOperator}
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
	do(&tsp.Command{Caller: operator, Key: "one", Body: &tspapi.RegisterRequestor{
		Entity: "Wallet", UseCases: []string{"COF"}, Certificate: "wallet", Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 5},
	}}, &q)
	wallet := tsp.Caller{Role: tsp.CallerRequestor, ID: q.ID}
	number := n.holders["lin"].personal.PAN
	device := tspapi.Device{Reference: "shop", Attestation: "hardware"}
	var e tspapi.Eligible
	do(&tsp.Command{Caller: wallet, Body: &tspapi.Eligibility{Storage: "COF", Device: device, Expiry: "4912"}, Number: number}, &e)
	var p tspapi.Provisioned
	reply := do(&tsp.Command{Caller: wallet, Key: "two", Number: number, Body: &tspapi.Provision{
		Eligibility: e.ID, Terms: e.Terms, Storage: "COF", Device: device, Expiry: "4912", Source: "issuer-app", Score: 5,
	}}, &p)
	token, err := service.Core().OpenToken(reply.TokenNumber)
	if err != nil || p.Token.State != "ACTIVE" || !token.HasPrefix(tokenPrefix) {
		t.Fatal(p, err)
	}
	stopped(t, n)
	n, service = open()
	defer stopped(t, n)
	pin, err := pinblock.ParsePIN("1234")
	if err != nil {
		t.Fatal(err)
	}
	block, err := n.vaults[profile.Switch].EncipherPIN(sideNetwork+"/"+TokenService+"/pin", pinblock.Format0(pin, token))
	if err != nil {
		t.Log("names of the switch's keys:", n.vaults[profile.Switch].Names())
		t.Fatal(err)
	}
	d, err := unionpay.TokenData{Operation: unionpay.OperationResolve}.Opaque()
	if err != nil {
		t.Fatal(err)
	}
	request := &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: token, Processing: unionpay.ProcessingSale, Amount: money.New(100, money.CNY), TransmissionTime: "1121040000", STAN: 1, Acquirer: "20000001",
		Forwarder: "20000001", Terminal: "POS1", Merchant: "898000000000001", EntryMode: "012", Additional: d, PINBlock: &block, ICC: emv.Data{},
	}}
	deadline, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for n.interchange.send(TokenService, request) != nil && deadline.Err() == nil {
		runtime.Gosched() // the switch notices the session a moment after the service does
	}
	for {
		row, found, err := service.store.FindKey(deadline, unionpay.NetworkKey(request))
		if err != nil || deadline.Err() != nil {
			t.Fatal("the token service has not answered", err)
		}
		if found {
			if reason := unionpay.TokenReason(row.Reason); reason != unionpay.TokenResolved {
				t.Error(reason)
			}
			return
		}
		runtime.Gosched()
	}
}
