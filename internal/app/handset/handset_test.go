package handset

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/card"
	"tapnet/element"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/scp03"
)

// transport answers in the place of a service manager.
type transport func(r *http.Request, body string) (status int, answer string, err error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, answer, err := f(r, string(body))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

var errLine = errors.New("no line")

func options(t testing.TB, dir string, f transport) Options {
	t.Helper()
	return Options{Dir: dir, Random: rand.NewChaCha8([32]byte{3}), Wallet: "phone", Service: Service{Base: "http://tsm", HTTP: &http.Client{Transport: f}},
		Inject: func(serial scp03.Diversification) (scp03.Keys, error) {
			return scp03.Diversify(bytes.Repeat([]byte{7}, 32), serial)
		}}
}

func opened(t testing.TB, o Options) *Handset {
	t.Helper()
	h, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestPhoneIsTheSameAgain: a phone that is switched on again is the one it was, with the wallet it was made for; its files give nothing away.
func TestPhoneIsTheSameAgain(t *testing.T) {
	dir := t.TempDir()
	var said []string
	o := options(t, dir, func(_ *http.Request, body string) (int, string, error) {
		said = append(said, body)
		return 204, "", nil
	})
	first := opened(t, o)
	o.Wallet, o.Inject = "wearable", func(scp03.Diversification) (scp03.Keys, error) { return scp03.Keys{}, errors.New("made twice") }
	again := opened(t, o)
	if first.SEID() != again.SEID() || again.Life() != element.Secured || len(again.Applications()) != 0 {
		t.Errorf("%s, then %s, %v", first.SEID(), again.SEID(), again.Life())
	}
	if err := again.Register(t.Context()); err != nil || len(said) != 1 || !strings.Contains(said[0], `"wallet":"phone"`) {
		t.Errorf("%v: %v", said, err)
	}
	value, err := first.memory().Load()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil || bytes.Contains(file, value[5:40]) {
		t.Errorf("the memory is not enciphered: %v", err)
	}
	for name, spoil := range map[string][]byte{"cut": file[:len(file)-1], "changed": append(bytes.Clone(file[:len(file)-1]), file[len(file)-1]^1), "empty": nil, "short": file[:5]} {
		if err := os.WriteFile(filepath.Join(dir, stateName), spoil, privateMode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, element.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// memory opens the phone's memory a second time.
func (h *Handset) memory() *memory {
	m, err := openMemory(h.o.Dir, h.o.Random)
	if err != nil {
		panic(err)
	}
	return m
}

// TestLine: a lost answer is asked for again under the same key; a refusal, a failure and nonsense end the session.
func TestLine(t *testing.T) {
	const selectDomain = `{"session":"s1","number":1,"commands":["00A4040008A000000151000000"]}`
	var keys []string
	lost := 0
	line := transport(func(r *http.Request, body string) (int, string, error) {
		if strings.HasSuffix(r.URL.Path, "/step") {
			if lost++; lost%2 == 1 {
				return 0, "", errLine
			}
			if !strings.Contains(body, `"number":1`) || !strings.Contains(body, `9000"]`) {
				return 500, body, nil
			}
			return 200, `{"session":"s1","number":2,"done":true,"aid":"A0"}`, nil
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) < 2 {
			return 503, "", nil
		}
		return 200, selectDomain, nil
	})
	h := opened(t, options(t, t.TempDir(), line))
	if aid, err := h.Run(t.Context(), tsmapi.Lock, "tok"); err != nil || aid != "A0" || len(keys) != 2 || keys[0] != keys[1] || len(keys[0]) != 32 {
		t.Errorf("%q: %v; keys %v", aid, err, keys)
	}
	for name, c := range map[string]struct {
		status int
		answer string
		is     func(error) bool
	}{
		"refused":                               {409, `{"detail":"why"}`, func(err error) bool { var r *Refused; return errors.As(err, &r) && r.Detail == "why" }},
		"refused, in the token service's words": {409, `{"code":"c","reason":"why"}`, func(err error) bool { var r *Refused; return errors.As(err, &r) && r.Detail == "why" }},
		"refused without word":                  {404, ``, func(err error) bool { var r *Refused; return errors.As(err, &r) && r.Status == 404 }},
		"failed":                                {200, `{"done":true,"failed":"altered"}`, func(err error) bool { var f *Failed; return errors.As(err, &f) && f.Reason == "altered" }},
		"no end":                                {200, selectDomain, func(err error) bool { var f *Failed; return errors.As(err, &f) }},
		"no answer":                             {500, ``, func(err error) bool { return errors.Is(err, ErrNoService) }},
		"no JSON":                               {200, `<html>`, func(err error) bool { return err != nil && !errors.Is(err, ErrNoService) }},
		"no hexadecimal":                        {200, `{"commands":["xy"]}`, func(err error) bool { var f *Failed; return errors.As(err, &f) }},
	} {
		h := opened(t, options(t, t.TempDir(), func(*http.Request, string) (int, string, error) { return c.status, c.answer, nil }))
		if _, err := h.Run(t.Context(), tsmapi.Personalize, "tok"); !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Run(ended, tsmapi.Lock, "tok"); err == nil {
		t.Error("a request that nobody waits for any more goes on")
	}
}

// TestFullDisk: what cannot be written has changed nothing.
func TestFullDisk(t *testing.T) {
	h := opened(t, options(t, t.TempDir(), func(*http.Request, string) (int, string, error) { return 204, "", nil }))
	m := h.memory()
	before, err := m.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path+".new", directory); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit([]byte("other")); err == nil || errors.Is(err, card.ErrTorn) {
		t.Errorf("written: %v", err)
	}
	if after, err := m.Load(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the memory has changed: %v", err)
	}
}
