package tsm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsm/tsmapi"
)

// nobody knows tokens.
type nobody struct{ ref string }

func (n nobody) Token(ref string) (Token, error) {
	if ref == n.ref {
		return Token{}, nil
	}
	return Token{}, ErrNoToken
}

func deps(t testing.TB) Deps {
	t.Helper()
	vault := hsm.New(rand.NewChaCha8(sha256.Sum256([]byte("tsm"))))
	if _, err := vault.Generate("elements", hsm.UsageElementMaster, hsm.ModeDerive, hsm.AES128, hsm.NotExportable); err != nil {
		t.Fatal(err)
	}
	return Deps{Institution: "00000091", Vault: vault, Tokens: nobody{"T1"},
		Keys: KeyNames{Elements: "elements", Masters: func(byte) (ac, mac, enc string) { return "ac", "mac", "enc" }}}
}

type rig struct {
	testing.TB
	service *Service
	stepper *journal.Stepper
	store   *journal.MemStore
}

func newRig(t testing.TB, store *journal.MemStore) *rig {
	t.Helper()
	s, err := New(deps(t))
	if err != nil {
		t.Fatal(err)
	}
	stepper, _, err := journal.NewStepper(context.Background(), journal.Config{Machine: s, Store: store, Clock: clock.NewManual(cardtest.Today),
		Release: func([]journal.Effect) {}})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, s, stepper, store}
}

func (r *rig) event(command any) (ev *journal.Event, reply *any) {
	reply = new(any)
	ev = &journal.Event{Command: command, Reply: func(v any) { *reply = v }}
	r.service.Prepare(ev)
	return ev, reply
}

func (r *rig) ask(command any) any {
	r.Helper()
	ev, reply := r.event(command)
	if _, err := r.stepper.Step(context.Background(), *ev); err != nil {
		r.Fatal(err)
	}
	return *reply
}

func seid(n int) string { return fmt.Sprintf("%020X", n) }

// TestOvertaken: of two commands that were prepared on one state the second is told to ask again, and then sees what the first did.
func TestOvertaken(t *testing.T) {
	r := newRig(t, journal.NewMemStore())
	r.ask(tsmapi.Register{Element: tsmapi.Element{SEID: seid(1), Wallet: "phone"}})
	open := func(key string) tsmapi.Open {
		return tsmapi.Open{Key: key, SEID: seid(1), Kind: tsmapi.Personalize, Token: "T1"}
	}
	one, first := r.event(open("a"))
	two, second := r.event(open("b"))
	for _, ev := range []*journal.Event{one, two} {
		if _, err := r.stepper.Step(context.Background(), *ev); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := (*first).(tsmapi.Progress); !ok {
		t.Errorf("first: %v", *first)
	}
	if refused, ok := (*second).(*tsmapi.Refusal); !ok || refused.Reason != tsmapi.Busy {
		t.Errorf("second: %v", *second)
	}
	if again, ok := r.ask(open("a")).(tsmapi.Progress); !ok || again.Session != (*first).(tsmapi.Progress).Session {
		t.Errorf("the first again: %v", again)
	}
}

// TestReplay: a service that starts from the journal knows what the one before knew.
func TestReplay(t *testing.T) {
	store := journal.NewMemStore()
	r := newRig(t, store)
	for n := range 3 {
		r.ask(tsmapi.Register{Element: tsmapi.Element{SEID: seid(n), Wallet: "phone"}})
	}
	p, ok := r.ask(tsmapi.Open{Key: "a", SEID: seid(1), Kind: tsmapi.Personalize, Token: "T1"}).(tsmapi.Progress)
	if !ok {
		t.Fatal("no session")
	}
	r.ask(tsmapi.Step{Session: p.Session, Number: 1, Answers: [][]byte{{0x6A, 0x82}, {0x6D, 0}}})
	again := newRig(t, store)
	if !reflect.DeepEqual(r.service.state.elements, again.service.state.elements) || !reflect.DeepEqual(r.service.state.sessions, again.service.state.sessions) {
		t.Error("started again it knows something else")
	}
	if err := again.service.Replay(&journal.Row{Seq: 9, Note: []byte("{")}); err == nil {
		t.Error("a damaged row is taken")
	}
	if err := again.service.Replay(&journal.Row{Seq: 9, Note: []byte(`{"Session":{"SEID":"x"}}`)}); err == nil {
		t.Error("a session of an unknown element is taken")
	}
}

// TestPrepareInParallel: Prepare reads while the writer goes on (for the race detector).
func TestPrepareInParallel(t *testing.T) {
	r := newRig(t, journal.NewMemStore())
	r.ask(tsmapi.Register{Element: tsmapi.Element{SEID: seid(1), Wallet: "phone"}})
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			for i := range 20 {
				r.event(tsmapi.Open{Key: fmt.Sprint(n, i), SEID: seid(1), Kind: tsmapi.Personalize, Token: "T1"})
				r.event(tsmapi.Step{Session: "x", Number: 1})
			}
		})
	}
	for i := range 20 {
		r.ask(tsmapi.Open{Key: fmt.Sprint("w", i), SEID: seid(1), Kind: tsmapi.Personalize, Token: "T1"})
	}
	wait.Wait()
}

func TestWallets(t *testing.T) {
	all := Wallets()
	if len(all) < 2 {
		t.Fatalf("%d profiles", len(all))
	}
	good := `{"name":"a","title":{"EN":"a","ZH":"甲"},"minimum_level":3,"commands_per_step":4,"aid":"A000000333010101","label":"A","language":"zh","processing":"0000F000"}`
	if _, err := ParseWallet([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"name":"a"`, `"name":""`}, {`"ZH":"甲"`, `"ZH":""`}, {`level":3`, `level":1`}, {`level":3`, `level":0`}, {`level":3`, `level":2`}, {`step":4`, `step":0`},
		{`step":4`, `step":65`}, {"A000000333010101", "A0"}, {"A000000333010101", "xx"}, {`"label":"A"`, `"label":""`}, {`"zh"`, `"chinese"`},
		{"0000F000", "00"}, {"0000F000", "zz"}, {`"name"`, `"unknown":1,"name"`}, {"{", ""}, {good, strings.Repeat(" ", maxWalletBytes+1)},
	} {
		if _, err := ParseWallet([]byte(strings.Replace(good, change[0], change[1], 1))); !errors.Is(err, ErrWallet) {
			t.Errorf("%s for %s: %v", change[1], change[0], err)
		}
	}
	d := deps(t)
	d.Wallets = []Wallet{all[0], all[0]}
	if _, err := New(d); !errors.Is(err, ErrWallet) {
		t.Errorf("two of one name: %v", err)
	}
	if _, err := New(Deps{}); err == nil {
		t.Error("without anything")
	}
}

// TestReasons: every reason is said in both languages.
func TestReasons(t *testing.T) {
	for r := tsmapi.Malformed; r <= tsmapi.Changed; r++ {
		if term := r.Term(); term.EN == "" || term.ZH == "" || term.EN == "unknown reason" {
			t.Errorf("reason %d: %v", r, term)
		}
	}
}
