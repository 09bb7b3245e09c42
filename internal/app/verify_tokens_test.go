package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapnet/internal/app/phone"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
	"tapnet/pan"
)

// tokenBooks is the data directory of a network whose phones, banks and requestors have done all that can be done to tokens.
func tokenBooks(t *testing.T) string {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir, seed := t.TempDir(), uint64(11)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed, Roles: EveryRole(), Clock: clock.NewManual(demoStart), Quiet: true,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	phonesAtWork(t, n, dir)
	banksAtWork(t, n)
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped(t, n)
	return dir
}

// phonesAtWork: two cards on a phone, taps by default and by picked card, a refresh, a loss; a wrong password; a copy.
func phonesAtWork(t *testing.T, n *Network, dir string) {
	t.Helper()
	tap := func(device, token string, pays bool) {
		t.Helper()
		r := byFinger("12.50")
		r.Phone, r.Token = device, token
		if got := act(t, n, r); got.Paid() != pays {
			t.Fatalf("%s: %+v", device, got)
		}
	}
	first := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"}).Token
	second := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "wang", Label: "OTHER"}).Token
	for range 3 {
		tap("pixel", "", true)
	}
	tap("pixel", second, true)
	act(t, n, PhoneRequest{Verb: PhoneRefresh})
	tap("pixel", first, true)
	act(t, n, PhoneRequest{Verb: PhoneDefault, Token: second})
	tap("pixel", "", true)
	act(t, n, PhoneRequest{Verb: PhoneLose})
	tap("pixel", "", false)
	act(t, n, PhoneRequest{Verb: PhoneFind})
	tap("pixel", "", true)
	act(t, n, PhoneRequest{Verb: PhoneRemove, Token: second})
	act(t, n, PhoneRequest{Verb: PhoneAdd, Phone: "secret", Card: "zhao", Label: "PASSWORD", Password: "147258"})
	for range 3 {
		act(t, n, PhoneRequest{Verb: PhoneTap, Phone: "secret", Merchant: "shop-1", Amount: "1.00", Verification: int32(phone.Password), Password: "000000"})
	}
	act(t, n, PhoneRequest{Verb: PhoneAdd, Phone: "twin", Card: "he", Label: "COPIED"})
	tap("twin", "", true)
	copied := filepath.Join(dir, phoneDirectory, "copy")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, phoneDirectory, "twin"))); err != nil {
		t.Fatal(err)
	}
	tap("twin", "", true)
	thief := byFinger("50.00")
	thief.Phone = "copy"
	if r := act(t, n, thief); r.Paid() {
		t.Fatal("the copy pays")
	}
}

// banksAtWork: a shop keeps tokens, whose holders are verified by a code or by the bank; cards are replaced and closed, keys changed.
func banksAtWork(t *testing.T, n *Network) {
	t.Helper()
	serial := 0
	ask := func(caller tsp.Caller, body any, token string, numbers ...pan.Number) (out map[string]any) {
		t.Helper()
		serial++
		c := &tsp.Command{Caller: caller, Key: "work " + string(rune('A'+serial)), Body: body, Token: token}
		if _, reads := body.(*tspapi.Eligibility); reads {
			c.Key = ""
		}
		if len(numbers) > 0 {
			c.Number = numbers[0]
		}
		if len(numbers) > 1 {
			c.Other = numbers[1]
		}
		reply, err := n.tokens.service.Ask(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := reply.(tsp.Reply); ok {
			if err := json.Unmarshal(r.Body, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		problem, _ := reply.(*tspapi.Problem)
		return map[string]any{"problem": problem.Code}
	}
	q := ask(tokenOperator, &tspapi.RegisterRequestor{Entity: "Shop", UseCases: []string{"COF"}, Certificate: "shop",
		Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 5}}, "")
	shop := tsp.Caller{Role: tsp.CallerRequestor, ID: q["requestor"].(string)}
	provision := func(card, device, source string) string {
		t.Helper()
		h := n.holders[card]
		d := tspapi.Device{Reference: device, Attestation: "hardware"}
		e := ask(shop, &tspapi.Eligibility{Storage: "COF", Device: d, Expiry: "4912"}, "", h.personal.PAN)
		if e["eligible"] != true {
			t.Fatal(card, e)
		}
		p := ask(shop, &tspapi.Provision{Eligibility: e["eligibility"].(string), Terms: e["terms"].(string), Storage: "COF", Device: d, Expiry: "4912",
			Source: source, Score: 5}, "", h.personal.PAN)
		token, ok := p["token"].(map[string]any)
		if !ok {
			t.Fatal(p)
		}
		return token["token"].(string)
	}
	bank := func(card string) tsp.Caller {
		return tsp.Caller{Role: tsp.CallerIssuer, ID: n.holders[card].personal.Record.Issuer}
	}
	young := provision("liu", "till-1", "manual")
	ask(shop, &tspapi.Challenge{Method: "otp"}, young)
	if p := ask(shop, &tspapi.Activate{Code: "000001"}, young)["problem"]; p != "code" {
		t.Fatal(p)
	}
	ask(bank("liu"), &tspapi.Assert{Method: "bank-app"}, young)
	ask(tokenOperator, &tsp.Suspension{Suspender: "ISSUER", Reason: "FRAUD"}, young)
	ask(tokenOperator, &tsp.Suspension{Suspender: "TSP_RISK", Reason: "FRAUD"}, young)
	ask(tokenOperator, &tsp.Suspension{Suspender: "ISSUER", Reason: "FRAUD", Resume: true}, young)
	ask(tokenOperator, &tsp.Suspension{Suspender: "TSP_RISK", Reason: "FRAUD", Resume: true}, young)
	provision("mei", "till-1", "issuer-app")
	other := provision("mei", "till-2", "issuer-app")
	ask(bank("mei"), &tspapi.Relink{Expiry: "5012"}, "", n.holders["mei"].personal.PAN, n.holders["sun"].personal.PAN)
	ask(shop, &tsp.Deletion{Reason: "OTHER"}, other)
	ask(tokenOperator, &tspapi.SuspendRequestor{Suspended: true}, shop.ID)
	ask(tokenOperator, &tspapi.SuspendRequestor{Suspended: false}, shop.ID)
	ask(tokenOperator, &tsp.Rekey{Issuer: bank("lin").ID}, "")
	for moved := false; !moved; { // each slice of it waits a moment
		n.options.Clock.(*clock.Manual).Advance(20 * time.Millisecond)
		rows, err := verifytest.Rows(t.Context(), n.options.Dir, RoleTSP)
		if err != nil {
			t.Fatal(err)
		}
		last := rows[len(rows)-1]
		moved = last.Kind == journal.KeysChanged && last.Key == "" && bytes.HasSuffix(last.Note, []byte{0, 0})
	}
	ask(bank("liu"), &tspapi.CloseCard{}, "", n.holders["liu"].personal.PAN)
}

// TestTokenBooksHold: what a token service and a cloud secure element have written is what verify makes of it.
func TestTokenBooksHold(t *testing.T) {
	dir := tokenBooks(t)
	report, err := Verify(t.Context(), dir, verify.Options{Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Error(f)
	}
	seen := map[string]uint64{}
	for _, m := range report.Members {
		seen[m.Role] += m.Rows
	}
	if seen[verify.TokenService] < 30 || seen[verify.CloudSE] < 20 {
		t.Errorf("rows: %v", seen)
	}
	world, err := verify.ReadWorld(dir)
	if err != nil || len(world.Members) != len(report.Members) {
		t.Error(errors.New("members of the world"), world.Members, err)
	}
}
