package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"tapnet/internal/clock"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// stands waits until a token's keys are suspended for so many reasons.
func stands(t *testing.T, n *Network, token string, causes int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		reply, err := n.tokens.cloud.ask(ctx, cloudseapi.Inquire{Token: token})
		if err != nil {
			t.Fatal("the keys have not followed: ", err)
		}
		if s, ok := reply.(cloudseapi.Standing); ok && len(s.Suspended) == causes {
			return
		}
	}
}

func suspendToken(t *testing.T, n *Network, key, token string, resume bool) {
	t.Helper()
	_, err := askToken[tspapi.Token](t.Context(), n.tokens.service, &tsp.Command{Caller: tokenOperator, Key: key, Token: token,
		Body: &tsp.Suspension{Suspender: "ISSUER", Reason: "FRAUD", Resume: resume}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheKeysCatchUp: what the token service decided before a crash, and the cloud secure element never heard, it asks for at its next start; however much of it
// it had heard, and whatever is left of its place.
func TestTheKeysCatchUp(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir, seed := t.TempDir(), uint64(7)
	start := func(deaf bool) *Network {
		t.Helper()
		n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed, Roles: []string{RoleSwitch, RoleIssuer, RoleTSP, RoleCloudSE}, Clock: clock.NewManual(demoStart),
			Quiet: true, byHand: deaf, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := start(true)
	token := act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"}).Token
	for at, want := range []int{1, 0} {
		suspendToken(t, n, "crash-"+string(rune('a'+at)), token, want == 0)
		stopped(t, n) // between both: nobody was told
		if at == 1 {  // it has followed before: its place is torn
			if err := os.WriteFile(filepath.Join(dir, followFile), []byte("torn"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n = start(false)
		stands(t, n, token, want)
		if at == 0 {
			stopped(t, n)
			n = start(true)
		}
	}
	stopped(t, n)
}

// TestTheKeysFollowFromAfar runs the cloud secure element in a process of its own: it follows the token service over its interface, and its alarms go back there.
func TestTheKeysFollowFromAfar(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	roles := []string{RoleSwitch, RoleIssuer, RoleTSP, RoleCloudSE}
	listen := map[string]string{RoleSwitch: loopback, RoleTSP: loopback, APITokens: loopback}
	both, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Roles: roles, Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	token := act(t, both, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"}).Token
	stopped(t, both)
	service, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Roles: []string{RoleSwitch, RoleIssuer, RoleTSP}, Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, service)
	suspendToken(t, service, "before the other is there", token, false)
	apart := t.TempDir()
	if err := os.CopyFS(apart, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	cloud, err := Start(t.Context(), Options{Profile: profile, Dir: apart, Roles: []string{RoleCloudSE}, Listen: map[string]string{
		RoleTSP: service.Addresses()[RoleTSP], APITokens: service.Addresses()[APITokens],
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, cloud)
	if a := cloud.Addresses(); a[APIPhones] == "" || a[APIKeys] == "" {
		t.Errorf("no interface for phones: %v", a)
	}
	stands(t, cloud, token, 1)
	suspendToken(t, service, "afterwards", token, true)
	stands(t, cloud, token, 0)
	side, err := cloud.remoteTokens()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the alarm is told again
		if err := side.Suspend(t.Context(), "an alarm of the cloud", token, "TSP_RISK"); err != nil {
			t.Fatal(err)
		}
	}
	stands(t, cloud, token, 1)
	v, err := askToken[tspapi.Token](t.Context(), service.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: token})
	if err != nil || v.State != "SUSPENDED" {
		t.Errorf("%+v, %v", v, err)
	}
}
