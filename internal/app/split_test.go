package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"tapnet/internal/personalization"
	"tapnet/money"
)

// TestRolesInTwoProcesses runs switch and issuers in one network and acquirer and tills in another, with the same keys, over TCP.
func TestRolesInTwoProcesses(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	listen := map[string]string{RoleSwitch: "127.0.0.1:0", RoleAcquirer: "127.0.0.1:0"}
	hosts, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir(), Roles: []string{RoleSwitch, RoleIssuer}, Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, hosts)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, keyDirectory), os.DirFS(filepath.Join(hosts.options.Dir, keyDirectory))); err != nil {
		t.Fatal(err)
	}
	passphrase, err := os.ReadFile(filepath.Join(hosts.options.Dir, passphraseFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, passphraseFile), passphrase, 0o600); err != nil {
		t.Fatal(err)
	}
	shops, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Roles: []string{RoleAcquirer, RolePOS}, Listen: map[string]string{
		RoleSwitch: hosts.Addresses()[RoleSwitch], RoleAcquirer: "127.0.0.1:0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, shops)
	for _, c := range []struct {
		card, amount, pin string
		want              TapOutcome
	}{
		{"lin", "299.00", "", OutcomeApproved}, {"lin", "1000.01", "246810", OutcomeApproved}, {"lin", "1000.01", "999999", OutcomeDeclined},
		{"zhao", "500.00", "", OutcomeDeclined},
	} {
		request := TapRequest{Card: c.card, Merchant: "shop-1", AmountText: c.amount, PINText: c.pin}
		if err := request.fill(profile.Money()); err != nil {
			t.Fatal(err)
		}
		result, err := shops.Tap(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != c.want {
			t.Errorf("%s %s: %s %s, want %s", c.card, c.amount, result.Outcome, result.ResponseCode, c.want)
		}
	}
}

func stopped(t *testing.T, n *Network) {
	t.Helper()
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestABrokenJournalEndsTheNetwork takes the journal away under a running role: the role stops, answers nothing more, and the network says so.
func TestABrokenJournalEndsTheNetwork(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	network, err := Start(t.Context(), Options{Profile: profile, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	issuer := network.issuers["10010000"].node
	if err := issuer.store.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := network.Tap(ctx, TapRequest{Card: "lin", Merchant: "shop-1", Amount: money.New(29_900, money.CNY)})
		done <- err
	}()
	select {
	case err := <-network.Failed():
		if err == nil {
			t.Error("the network failed without a reason")
		}
	case err := <-done:
		t.Errorf("the tap ended although its issuer could not remember it: %v", err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a tap was answered that no journal holds")
	}
	if err := network.Stop(t.Context()); err == nil {
		t.Error("a broken network stopped as if nothing had happened")
	}
}
