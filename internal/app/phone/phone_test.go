package phone

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

// bench is a table with phones in directories.
type table struct {
	testing.TB
	now  time.Time
	seed byte
}

func newTable(t testing.TB) *table {
	return &table{TB: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
}

// open switches a phone on; its randomness is another each time.
func (b *table) open(dir string, change func(*Options)) *Phone {
	b.Helper()
	b.seed++
	o := Options{Dir: dir, Random: rand.NewChaCha8([32]byte{b.seed}), Now: func() time.Time { return b.now }}
	if change != nil {
		change(&o)
	}
	p, err := Open(o)
	if err != nil {
		b.Fatalf("phone of seed %d: %v", b.seed, err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p
}

func (b *table) close(p *Phone) {
	b.Helper()
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
}

func (b *table) tap(p *Phone, r TapRequest, minor int64) TapResult {
	b.Helper()
	r.Amount = money.New(minor, money.CNY)
	result, err := p.Tap(context.Background(), r)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

var finger = TapRequest{Verification: Fingerprint}

func TestLifeOfAPhone(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	p := b.open(dir, nil)
	first, err := p.Add("DEBIT", "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Add("CREDIT", "147258")
	if err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, finger, 1250); !r.Paid() || r.Token != first || r.Verdict.ATC != 1 {
		t.Errorf("%+v", r.Verdict)
	}
	b.close(p)

	p = b.open(dir, nil)
	for name, c := range map[string]struct {
		request TapRequest
		minor   int64
		reason  string
		arm     int32
	}{
		"picked":         {TapRequest{Token: second, Verification: Fingerprint}, 1, "", hce.ArmOK},
		"password":       {TapRequest{Token: second, Verification: Password, Password: "147258"}, 200_000, "", hce.ArmOK},
		"wrong password": {TapRequest{Token: second, Verification: Password, Password: "147250"}, 200_000, soft.ReasonWrong, hce.ArmOK},
		"no password":    {TapRequest{Token: second, Verification: Password}, 200_000, "", hce.ArmNoPassword},
		"small":          {TapRequest{Verification: NotVerified}, 9_999, "", hce.ArmOK},
	} {
		r := b.tap(p, c.request, c.minor)
		if r.ArmCode != c.arm || r.Verdict.Reason != c.reason || r.Paid() != (c.arm == hce.ArmOK && c.reason == "") {
			t.Errorf("%s: arm %d, %+v", name, r.ArmCode, r.Verdict)
		}
	}
	if r := b.tap(p, TapRequest{Verification: NotVerified}, 100_000); r.Paid() || r.Asked {
		t.Errorf("large without verification: %+v", r.Verdict)
	}
	if err := p.Lose(); err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, finger, 100); r.Verdict.Reason != soft.ReasonSuspended {
		t.Errorf("lost: %+v", r.Verdict)
	}
	if err := p.Refresh(); err == nil {
		t.Error("a lost phone gets keys")
	}
	b.close(p)
	p = b.open(dir, nil)
	if err := p.Find(); err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, finger, 100); !r.Paid() || r.Evidence.BSEQ != 2 {
		t.Errorf("found: %+v", r.Verdict)
	}
	s, err := p.Status()
	if err != nil || len(s.Tokens) != 2 || !s.Tokens[0].Default || s.Tokens[0].Ref != first || s.Tokens[0].KeysCVM != 14 || s.Device != p.Device() {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestNoNetwork: ten taps, the notice, the refresh.
func TestNoNetwork(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	p := b.open(dir, nil)
	if _, err := p.Add("DEBIT", ""); err != nil {
		t.Fatal(err)
	}
	b.close(p)
	p = b.open(dir, func(o *Options) { o.Offline = true })
	for i := range 10 {
		if r := b.tap(p, finger, 100); !r.Paid() {
			t.Errorf("tap %d: %+v", i+1, r)
		}
	}
	if r := b.tap(p, finger, 100); r.ArmCode != hce.ArmNeedsNetwork {
		t.Errorf("eleventh: %+v", r)
	}
	if err := p.Refresh(); err == nil {
		t.Error("refreshes without network")
	}
	if _, err := p.Add("CREDIT", ""); err == nil {
		t.Error("adds without network")
	}
	b.close(p)
	p = b.open(dir, nil)
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	if r := b.tap(p, finger, 100); !r.Paid() {
		t.Errorf("after the refresh: %+v", r)
	}
}

// TestCopiedDirectory: who copies the directory has a copy of the phone, and the service notices.
func TestCopiedDirectory(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	cloud, err := soft.NewCloud(soft.CloudOptions{Random: rand.NewChaCha8([32]byte{99}), Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	connected := func(o *Options) { o.Cloud = cloud }
	p := b.open(dir, connected)
	ref, err := p.Add("DEBIT", "")
	if err != nil {
		t.Fatal(err)
	}
	b.close(p)
	other := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	p, thief := b.open(dir, connected), b.open(other, connected)
	if r := b.tap(p, finger, 100); !r.Paid() {
		t.Errorf("%+v", r.Verdict)
	}
	if r := b.tap(thief, finger, 5000); r.Verdict.Reason != soft.ReasonClone {
		t.Errorf("the copy pays: %+v", r.Verdict)
	}
	if cloud.State(ref) == "" {
		t.Error("token is not suspended")
	}
}

func TestInUse(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	b.open(dir, nil)
	if _, err := Open(Options{Dir: dir, Random: rand.NewChaCha8([32]byte{}), Now: time.Now}); !errors.Is(err, ErrInUse) {
		t.Errorf("two processes have one phone: %v", err)
	}
}

func TestRefused(t *testing.T) {
	b := newTable(t)
	p := b.open(t.TempDir(), nil)
	for _, password := range []string{"1", "12345", "1234567", "12345a"} {
		if _, err := p.Add("DEBIT", password); !errors.Is(err, ErrPassword) {
			t.Errorf("password of %d characters: %v", len(password), err)
		}
	}
	if _, err := p.Tap(context.Background(), TapRequest{Amount: money.New(1, money.CNY)}); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("tap of an empty phone: %v", err)
	}
	if _, err := p.Tap(context.Background(), TapRequest{Token: "tok-9", Amount: money.New(1, money.CNY)}); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("tap of an unknown token: %v", err)
	}
	if _, err := p.Add("a label that is too long for a card", ""); err == nil {
		t.Error("label is accepted")
	}
}

// TestDirectoryHoldsNothingInTheClear searches every file for number and password.
func TestDirectoryHoldsNothingInTheClear(t *testing.T) {
	b, dir := newTable(t), t.TempDir()
	p := b.open(dir, nil)
	ref, err := p.Add("DEBIT", "147258")
	if err != nil {
		t.Fatal(err)
	}
	number, err := pan.Parse(p.list.Tokens[ref])
	if err != nil {
		t.Fatal(err)
	}
	b.tap(p, finger, 100)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 5 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range [][]byte{[]byte(number.Reveal()), number.BCD(), []byte("147258")} {
			if bytes.Contains(text, secret) {
				t.Errorf("%s holds a secret", entry.Name())
			}
		}
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != privateMode {
			t.Errorf("%s may be read by others: %v", entry.Name(), err)
		}
	}
}
