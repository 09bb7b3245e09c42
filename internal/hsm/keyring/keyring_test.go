package keyring

import (
	"math/rand/v2"
	"testing"

	"tapnet/internal/hsm"
	"tapnet/iso8583/unionpay"
)

const peer = "10000001"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ring(t testing.TB, seed byte, master hsm.Mode, double bool) (*Ring, *hsm.HSM) {
	t.Helper()
	h := hsm.New(rand.NewChaCha8([32]byte{seed}))
	_, err := h.ImportClear("master/"+peer, hsm.UsageKeyEncryption, master, hsm.TDES, hsm.NotExportable, []byte("0123456789abcdef"))
	must(t, err)
	r, err := New(Config{HSM: h, Prefix: "k/", MasterKey: func(p string) string { return "master/" + p }, MAC: hsm.LegacyECB,
		PINMode: hsm.ModeBoth, DoubleLengthMAC: double})
	must(t, err)
	return r, h
}

// TestChange: keys go from one side to the other; the old MAC key is good until Retire, the pending one before Confirm.
func TestChange(t *testing.T) {
	for _, double := range []bool{false, true} {
		host, hostHSM := ring(t, 1, hsm.ModeEncrypt, double)
		terminal, terminalHSM := ring(t, 2, hsm.ModeDecrypt, double)
		if _, err := terminal.MAC(peer, nil); err == nil {
			t.Error("a MAC without a key")
		}
		if ok, err := terminal.VerifyMAC(peer, nil, [8]byte{}); ok || err != nil {
			t.Errorf("verified without a key: %t, %v", ok, err)
		}
		if terminal.Confirm(peer) == nil {
			t.Error("confirmed nothing")
		}
		var old [8]byte
		for round := range 5 {
			keys, known, err := host.Issue(peer, true, true)
			must(t, err)
			if !known || (len(keys.MAC) == 16) != double || len(keys.PIN) != 16 {
				t.Fatalf("issued %d and %d bytes", len(keys.PIN), len(keys.MAC))
			}
			if round > 0 {
				// Not confirmed: both sides still sign with the old key.
				a, err := host.MAC(peer, []byte("data"))
				must(t, err)
				if a != old {
					t.Error("an unconfirmed key signs")
				}
			}
			ok, err := terminal.Install(peer, keys)
			must(t, err)
			if !ok {
				t.Fatal("not installed")
			}
			pending, err := host.MACPending(peer, []byte("data"))
			must(t, err)
			if ok, err := terminal.VerifyMAC(peer, []byte("data"), pending); !ok || err != nil {
				t.Errorf("the pending key is not accepted: %v", err)
			}
			must(t, host.Confirm(peer))
			must(t, terminal.Confirm(peer))
			now, err := terminal.MAC(peer, []byte("data"))
			must(t, err)
			if now != pending {
				t.Error("the confirmed key is not in force")
			}
			check := func(when string, code [8]byte, want bool) {
				if ok, err := host.VerifyMAC(peer, []byte("data"), code); ok != want || err != nil {
					t.Errorf("%s: verified %t, %v", when, ok, err)
				}
			}
			check("new key", now, true)
			if round > 0 {
				check("old key before Retire", old, true)
			}
			host.Retire(peer)
			terminal.Retire(peer)
			if round > 0 {
				check("old key after Retire", old, false)
			}
			old = now
			a, _ := hostHSM.Info(host.PINKey(peer))
			b, _ := terminalHSM.Info(terminal.PINKey(peer))
			if a.KCV != b.KCV {
				t.Error("the PIN keys differ")
			}
		}
		if n := len(hostHSM.Names()); n != 3 {
			t.Errorf("keys in the HSM: %v", hostHSM.Names())
		}
	}
}

// TestReset: after Reset only new keys sign, the old one is still accepted until Retire.
func TestReset(t *testing.T) {
	host, _ := ring(t, 1, hsm.ModeEncrypt, false)
	host.Reset(peer) // of nothing
	first, _, err := host.Issue(peer, true, true)
	must(t, err)
	must(t, host.Confirm(peer))
	old, err := host.MAC(peer, nil)
	must(t, err)
	host.Reset(peer)
	host.Reset(peer)
	if _, err := host.MAC(peer, nil); err == nil {
		t.Error("a key that is out of force signs")
	}
	second, _, err := host.Issue(peer, true, true)
	must(t, err)
	if string(first.MAC) == string(second.MAC) {
		t.Error("the same key again")
	}
	if now, err := host.MAC(peer, nil); err != nil || now == old {
		t.Errorf("the old key signs: %v", err)
	}
	if ok, _ := host.VerifyMAC(peer, nil, old); !ok {
		t.Error("the old key is not accepted")
	}
	must(t, host.Confirm(peer))
	host.Retire(peer)
	if ok, _ := host.VerifyMAC(peer, nil, old); ok {
		t.Error("the old key is still accepted")
	}
}

// TestRefusals: unknown peers, altered keys, keys of other lengths.
func TestRefusals(t *testing.T) {
	host, _ := ring(t, 1, hsm.ModeEncrypt, false)
	terminal, terminalHSM := ring(t, 2, hsm.ModeDecrypt, false)
	if _, known, err := host.Issue("20000002", true, true); known || err != nil {
		t.Errorf("unknown peer: %t, %v", known, err)
	}
	if ok, err := terminal.Install("20000002", unionpay.WrappedKeys{PIN: make([]byte, 16)}); ok || err == nil {
		t.Errorf("keys of an unknown peer: %t, %v", ok, err)
	}
	good, _, err := host.Issue(peer, true, true)
	must(t, err)
	if ok, err := terminal.Install(peer, good); !ok || err != nil {
		t.Fatal(ok, err)
	}
	before, _ := terminalHSM.Info(terminal.PINKey(peer))
	for name, change := range map[string]func(k *unionpay.WrappedKeys){
		"PIN key":         func(k *unionpay.WrappedKeys) { k.PIN[0] ^= 2 },
		"PIN check value": func(k *unionpay.WrappedKeys) { k.PINKCV[0] ^= 1 },
		"MAC key":         func(k *unionpay.WrappedKeys) { k.MAC[0] ^= 2 },
		"MAC check value": func(k *unionpay.WrappedKeys) { k.MACKCV = [4]byte{} },
	} {
		keys := unionpay.WrappedKeys{PIN: append([]byte(nil), good.PIN...), MAC: append([]byte(nil), good.MAC...),
			PINKCV: good.PINKCV, MACKCV: good.MACKCV}
		change(&keys)
		if ok, err := terminal.Install(peer, keys); ok || err != nil {
			t.Errorf("altered %s: %t, %v", name, ok, err)
		}
	}
	if after, _ := terminalHSM.Info(terminal.PINKey(peer)); after.KCV != before.KCV {
		t.Error("a refused key replaced the good one")
	}
	single := unionpay.WrappedKeys{PIN: good.MAC, PINKCV: good.MACKCV}
	if ok, err := terminal.Install(peer, single); !ok || err != nil {
		t.Errorf("a key of another length: %t, %v", ok, err)
	}
	for name, c := range map[string]Config{
		"HSM": {MasterKey: func(string) string { return "" }, MAC: hsm.LegacyECB, PINMode: hsm.ModeBoth},
		"MAC": {HSM: terminalHSM, MasterKey: func(string) string { return "" }, PINMode: hsm.ModeBoth},
		"PIN": {HSM: terminalHSM, MasterKey: func(string) string { return "" }, MAC: hsm.X99CBC, PINMode: hsm.ModeVerify},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("New without a good %s", name)
		}
	}
}

// TestPairs: two messages at once are as good as one by one, under the key in force, the one before, and none.
func TestPairs(t *testing.T) {
	host, _ := ring(t, 1, hsm.ModeEncrypt, false)
	terminal, _ := ring(t, 2, hsm.ModeDecrypt, false)
	a, b := []byte("one message"), []byte("another one, which is longer")
	if _, _, err := terminal.MACPair(peer, a, b); err == nil {
		t.Error("MACs without a key")
	}
	if okA, okB, err := terminal.VerifyMACPair(peer, a, b, [8]byte{}, [8]byte{}); okA || okB || err != nil {
		t.Errorf("verified without a key: %t, %t, %v", okA, okB, err)
	}
	var before [8]byte
	for range 3 {
		keys, _, err := host.Issue(peer, true, true)
		must(t, err)
		_, err = terminal.Install(peer, keys)
		must(t, err)
		must(t, host.Confirm(peer))
		must(t, terminal.Confirm(peer))
		codeA, codeB, err := host.MACPair(peer, a, b)
		must(t, err)
		wantA, err := host.MAC(peer, a)
		must(t, err)
		wantB, err := host.MAC(peer, b)
		must(t, err)
		if codeA != wantA || codeB != wantB {
			t.Errorf("%X %X, want %X %X", codeA, codeB, wantA, wantB)
		}
		wrong := codeB
		wrong[0] ^= 1
		for _, c := range []struct {
			codeA, codeB [8]byte
			okA, okB     bool
		}{{codeA, codeB, true, true}, {codeA, wrong, true, false}, {wrong, codeB, false, true}, {before, codeB, before != [8]byte{}, true}} {
			if okA, okB, err := terminal.VerifyMACPair(peer, a, b, c.codeA, c.codeB); okA != c.okA || okB != c.okB || err != nil {
				t.Errorf("%t, %t, %v; want %t, %t", okA, okB, err, c.okA, c.okB)
			}
		}
		before = codeA
	}
}
