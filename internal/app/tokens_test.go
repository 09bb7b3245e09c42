package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tapnet/internal/app/phone"
	"tapnet/internal/clock"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/internal/verify"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
)

// tokenNetwork is a whole network with the roles for phones.
func tokenNetwork(t *testing.T) (*Network, string) {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir, seed := t.TempDir(), uint64(7)
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed, Roles: EveryRole(), Clock: clock.NewManual(demoStart), Quiet: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, n) })
	return n, dir
}

// act runs one action with a phone.
func act(t *testing.T, n *Network, r PhoneRequest) PhoneResult {
	t.Helper()
	if r.Phone == "" {
		r.Phone = "pixel"
	}
	result, err := n.Phone(t.Context(), r)
	if err != nil {
		t.Fatalf("%s: %v", r.Verb, err)
	}
	return result
}

func byFinger(amount string) PhoneRequest {
	return PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: amount, Verification: int32(phone.Fingerprint)}
}

// TestPhonePays: a phone pays through the unchanged till, acquirer and issuer, ten times without a network of its own; is lost, and found; its copy is caught.
func TestPhonePays(t *testing.T) {
	n, dir := tokenNetwork(t)
	added := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"})
	for i := range 10 {
		r := byFinger("12.50")
		r.NoNetwork = true
		if r := act(t, n, r); !r.Paid() {
			t.Fatalf("tap %d: arm %d, %+v", i+1, r.Arm, r.Tap)
		}
	}
	offline := byFinger("12.50")
	offline.NoNetwork = true
	if r := act(t, n, offline); r.Arm != hce.ArmNeedsNetwork {
		t.Errorf("eleventh: arm %d", r.Arm)
	}
	act(t, n, PhoneRequest{Verb: PhoneRefresh})
	if r := act(t, n, byFinger("12.50")); !r.Paid() {
		t.Errorf("after the refresh: %+v", r.Tap)
	}
	act(t, n, PhoneRequest{Verb: PhoneLose})
	if r := act(t, n, byFinger("12.50")); r.Paid() || r.Tap == nil || r.Tap.ResponseCode != "41" {
		t.Errorf("lost: %+v", r.Tap)
	}
	if r, err := n.Tap(t.Context(), TapRequest{Card: "lin", Merchant: "shop-1", Amount: money.New(1250, money.CNY)}); err != nil || !r.Paid() {
		t.Errorf("the card of a lost phone: %+v, %v", r, err)
	}
	act(t, n, PhoneRequest{Verb: PhoneFind})
	if r := act(t, n, byFinger("12.50")); !r.Paid() {
		t.Errorf("found: %+v", r.Tap)
	}
	copied := filepath.Join(dir, phoneDirectory, "copy")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, phoneDirectory, "pixel"))); err != nil {
		t.Fatal(err)
	}
	if r := act(t, n, byFinger("12.50")); !r.Paid() {
		t.Errorf("before the copy: %+v", r.Tap)
	}
	thief := byFinger("50.00")
	thief.Phone = "copy"
	if r := act(t, n, thief); r.Paid() {
		t.Errorf("the copy pays: %+v", r.Tap)
	}
	if r := act(t, n, byFinger("12.50")); r.Paid() || len(r.Status.Tokens) != 1 || r.Status.Tokens[0].Suspended == "" || r.Status.Tokens[0].Ref != added.Token {
		t.Errorf("a copied phone pays on: %+v", r)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("%+v", f)
	}
}

// TestNumbersStayInTheVault searches for the number of the card, and of its token, wherever a payment by phone leaves something.
func TestNumbersStayInTheVault(t *testing.T) {
	n, dir := tokenNetwork(t)
	act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT", Password: "147258"})
	paid := PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: "1200.00", Verification: int32(phone.Password), Password: "147258"}
	first := act(t, n, paid)
	if !first.Paid() {
		t.Fatalf("%+v", first.Tap)
	}
	act(t, n, PhoneRequest{Verb: PhoneLose})
	refused := act(t, n, paid)
	var seen [][]byte
	for id, want := range map[string]string{first.Tap.Trace: "token resolved", refused.Tap.Trace: "device reported lost"} {
		text, err := n.TraceOf(t.Context(), id)
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("trace %s does not say %q: %v", id, want, err)
		}
		seen = append(seen, text)
	}
	p, err := n.openPhone(t.Context(), PhoneRequest{Phone: "pixel"})
	if err != nil {
		t.Fatal(err)
	}
	_, token, _, err := p.Arm(phone.TapRequest{Verification: phone.NotVerified})
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{journalDirectory, phoneDirectory} {
		err := filepath.WalkDir(filepath.Join(dir, at), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			seen = append(seen, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, number := range []pan.Number{n.holders["lin"].personal.PAN, token} {
		for _, secret := range [][]byte{[]byte(number.Reveal()), number.BCD(), []byte(hex.EncodeToString(number.BCD())), []byte("147258")} {
			for i, text := range seen {
				if bytes.Contains(text, secret) {
					t.Errorf("text %d of %d holds a number", i+1, len(seen))
				}
			}
		}
	}
	if len(seen) < 12 {
		t.Errorf("only %d texts were searched", len(seen))
	}
}

// TestALostPhoneStopsAtOnce: whoever reports the loss, the keys follow by themselves within a second.
func TestALostPhoneStopsAtOnce(t *testing.T) {
	n, _ := tokenNetwork(t)
	added := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"})
	suspend := func(key string, resume bool) {
		t.Helper()
		_, err := askToken[tspapi.Token](t.Context(), n.tokens.service, &tsp.Command{Caller: tokenOperator, Key: key, Token: added.Token,
			Body: &tsp.Suspension{Suspender: "ISSUER", Reason: "FRAUD", Resume: resume}})
		if err != nil {
			t.Fatal(err)
		}
	}
	follows := func(causes int) {
		t.Helper()
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for {
			reply, err := n.tokens.cloud.ask(deadline, cloudseapi.Inquire{Token: added.Token})
			if err != nil {
				t.Fatal("the keys have not followed within a second: ", err)
			}
			if s, ok := reply.(cloudseapi.Standing); ok && len(s.Suspended) == causes {
				return
			}
		}
	}
	suspend("stop", false)
	follows(1)
	if r := act(t, n, byFinger("12.50")); r.Paid() || r.Tap.ResponseCode != "62" {
		t.Errorf("suspended: %+v", r.Tap)
	}
	suspend("go", true)
	follows(0)
	if r := act(t, n, byFinger("12.50")); !r.Paid() {
		t.Errorf("resumed: %+v", r.Tap)
	}
}

// TestWrongPasswords: three wrong cryptograms lock the token at the token service, by the alarm of the cloud secure element.
func TestWrongPasswords(t *testing.T) {
	n, _ := tokenNetwork(t)
	added := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT", Password: "147258"})
	for range 3 {
		if r := act(t, n, PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: "1.00", Verification: int32(phone.Password), Password: "000000"}); r.Paid() {
			t.Fatal("a wrong password pays")
		}
	}
	deadline, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		v, err := askToken[tspapi.Token](deadline, n.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: added.Token})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(v.Suspenders, "PASSWORD_LOCKED") {
			return
		}
	}
}

// TestBenchTokens: what is measured works; the figures are for quiet machines.
func TestBenchTokens(t *testing.T) {
	r, err := BenchTokens(t.Context(), TokenBench{Dir: t.TempDir(), Clients: 4, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Taps != 4*benchTaps || r.Plain.PerSecond <= 0 || r.Token.PerSecond <= 0 || r.Ratio <= 0 {
		t.Errorf("%+v", r)
	}
	t.Logf("%+v", r)
}
