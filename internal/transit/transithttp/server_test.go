package transithttp

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

var update = flag.Bool("update", false, "write the OpenAPI document anew")

var morning = time.Date(2026, 11, 23, 8, 0, 0, 0, transittest.Shanghai)

const (
	operatorToken = "operator-token-0123456789"
	riderToken    = "rider-token-0123456789"
)

// house is an office behind its interface, with a bus, two gates and an acquirer.
type house struct {
	testing.TB
	rig     *networktest.Rig
	office  *transit.Office
	bank    *transittest.Bank
	handler http.Handler
	devices map[string]*transittest.Device
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, bank: &transittest.Bank{}, devices: map[string]*transittest.Device{}}
	box := &transittest.Box{HSM: networktest.NewHSM(t, 5, nil), Key: networktest.KeySeal}
	profile, _ := transit.ProfileNamed("aggregate")
	deps := transit.Deps{
		Terminal: "M0000001", Merchant: "301000041110001", Acquirer: transittest.Name, Vault: box.HSM, SealKey: networktest.KeySeal, Opener: box,
		Keys: &transittest.Keys{TB: t}, Epoch: transittest.FirstEpoch, Signer: transittest.Signer, Devices: map[string]gate.ChainKey{},
		Stations: map[uint32]transit.Place{transittest.A: {Service: "metro", Place: "A"}, transittest.B: {Service: "metro", Place: "C"},
			transittest.Inspector: {Service: "metro", Place: "train", Inspects: true}},
		Book: transittest.Book(t), Calendar: transittest.Calendar, Currency: money.CNY, Profile: profile,
	}
	for name, station := range map[string]uint32{"a": transittest.A, "b": transittest.B, "eye": transittest.Inspector} {
		deps.Devices[name] = transittest.ChainKey(t, name)
		h.devices[name] = transittest.NewDevice(t, box, name, station)
	}
	var err error
	if h.office, err = transit.New(deps); err != nil {
		t.Fatal(err)
	}
	h.rig = networktest.NewRig(t, h.office, journal.NewMemStore(), clock.NewManual(morning.Add(time.Hour)), func(string) unionpay.Dialect { return unionpay.Terminal })
	h.handler, err = New(Config{
		Ask: h.ask, Archive: h.office.Archive, Devices: deps.Devices, Signer: transittest.Signer, Operator: operatorToken, Currency: money.CNY,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) ask(_ context.Context, command any) (any, error) {
	reply := h.rig.Command(command)
	h.serve(h.rig.Out)
	if err, refused := reply.(error); refused {
		return nil, err
	}
	return reply, nil
}

func (h *house) serve(sent []networktest.Sent) {
	for len(sent) > 0 {
		var next []networktest.Sent
		for _, s := range sent {
			if reply := h.bank.Answer(s.Message); reply != nil {
				next = append(next, h.rig.Deliver(transittest.Name, reply)...)
			}
		}
		sent = next
	}
}

// do sends a request and gives status and body.
func (h *house) do(method, path, token string, body []byte) (int, []byte) {
	h.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	if bytes.HasPrefix(body, []byte("{")) {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		h.Fatal(err)
	}
	return w.Code, answer
}

func (h *house) want(method, path, token, body string, status int) []byte {
	h.Helper()
	got, answer := h.do(method, path, token, []byte(body))
	if got != status {
		h.Fatalf("%s %s: %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

// ride lets a card ride and both gates hand in their logs.
func (h *house) ride(card *transittest.Card) {
	h.Helper()
	h.devices["a"].Tap(card, gate.In, morning)
	h.devices["b"].Tap(card, gate.Out, morning.Add(20*time.Minute))
	for _, name := range []string{"a", "b"} {
		d := h.devices[name]
		chunk := d.Chunk(0)
		status, answer := h.do(http.MethodPost, "/v1/gates/"+name+"/chunks", "", gate.EncodeChunk(chunk))
		if status != http.StatusOK {
			h.Fatalf("chunk: %d %s", status, answer)
		}
		receipt, err := gate.ParseReceipt(d.Key, name, answer)
		if err != nil || receipt.Sequence != 2 || receipt.Link != chunk.After {
			h.Fatalf("receipt %+v, %v", receipt, err)
		}
	}
}

// TestADay goes through the interface from the tap to the bill, as gate, operator and rider.
func TestADay(t *testing.T) {
	h := newHouse(t)
	card := transittest.NewCard(t, 1)
	h.ride(card)
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	h.want(http.MethodPost, "/v1/days/2026-11-23/close", operatorToken, "", http.StatusConflict)
	h.rig.Clock.Set(time.Date(2026, 11, 24, 5, 0, 0, 0, transittest.Shanghai))
	h.want(http.MethodPost, "/v1/days/2026-11-23/close", operatorToken, "", http.StatusOK)
	h.serve(h.rig.Advance(time.Millisecond))
	var rider Account
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/rider", riderToken, "", http.StatusOK), &rider); err != nil {
		t.Fatal(err)
	}
	if len(rider.Journeys) != 1 || rider.Journeys[0].Amount != "5.00" || len(rider.Journeys[0].Steps) == 0 || rider.Journeys[0].Steps[0].ZH == "" ||
		len(rider.Bills) != 1 || rider.Bills[0].State.EN != "paid" {
		t.Errorf("the rider sees %+v", rider)
	}
	var day Day
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/days/2026-11-23", operatorToken, "", http.StatusOK), &day); err != nil {
		t.Fatal(err)
	}
	if !day.Closed || day.Billed != "5.00" || day.Paid != "5.00" || day.Journeys != 1 {
		t.Errorf("the day came to %+v", day)
	}
	h.want(http.MethodPost, "/v1/bills/1/refunds", operatorToken, `{}`, http.StatusNotFound)
	bill := "/v1/bills/" + json.Number(itoa(rider.Bills[0].Bill)).String()
	h.want(http.MethodPost, bill+"/refunds", operatorToken, `{"amount":"9.00"}`, http.StatusConflict)
	h.want(http.MethodPost, bill+"/refunds", operatorToken, `{"amount":"2.00"}`, http.StatusOK)
	if h.bank.Minor != 300 {
		t.Errorf("the acquirer owes %d after a refund", h.bank.Minor)
	}
	for _, path := range []string{"/v1/report", "/v1/devices", "/v1/debts", "/v1/accounts/1", "/v1/close", "/v1/list"} {
		answer := h.want(http.MethodGet, path, operatorToken, "", http.StatusOK)
		if strings.Contains(string(answer), card.Number.Reveal()) || strings.Contains(string(answer), card.Number.Reveal()[6:16]) {
			t.Errorf("%s shows a card number", path)
		}
	}
	if err := h.office.Audit(); err != nil {
		t.Error(err)
	}
}

func itoa(n uint64) string { b, _ := json.Marshal(n); return string(b) }

// TestADeniedCard: the list that gates fetch stops a card and lets it go.
func TestADeniedCard(t *testing.T) {
	h := newHouse(t)
	card := transittest.NewCard(t, 1)
	h.ride(card)
	trust, err := denylist.NewTrust(transittest.Signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	base, err := denylist.OpenBase(h.want(http.MethodGet, "/v1/deny/base", "", "", http.StatusOK), trust)
	if err != nil {
		t.Fatal(err)
	}
	list, err := denylist.NewList(base, denylist.Position{})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func() {
		t.Helper()
		log := h.want(http.MethodGet, "/v1/deny/deltas?after="+itoa(list.Snapshot().Position().Sequence), "", "", http.StatusOK)
		if _, err := list.ApplyLog(bytes.NewReader(log), trust); err != nil {
			t.Fatal(err)
		}
	}
	on := func() bool {
		_, listed := list.Snapshot().Lookup(card.ID(transittest.IDs(t)).Hash(), denylist.DayOf(morning))
		return listed
	}
	h.want(http.MethodPut, "/v1/credentials/1/block", operatorToken, `{"reason":"lost"}`, http.StatusOK)
	h.rig.Advance(2 * time.Minute)
	fetch()
	if !on() {
		t.Error("a stopped card is not on the list")
	}
	h.want(http.MethodDelete, "/v1/credentials/1/block", operatorToken, "", http.StatusOK)
	h.rig.Advance(2 * time.Minute)
	fetch()
	if on() {
		t.Error("a released card is on the list")
	}
}

// TestWhoMayDoWhat: tokens open what they are for, and nothing else.
func TestWhoMayDoWhat(t *testing.T) {
	h := newHouse(t)
	h.ride(transittest.NewCard(t, 1))
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{http.MethodGet, "/v1/report", "", http.StatusUnauthorized},
		{http.MethodGet, "/v1/report", "short", http.StatusUnauthorized},
		{http.MethodGet, "/v1/report", riderToken, http.StatusForbidden},
		{http.MethodGet, "/v1/rider", operatorToken, http.StatusForbidden},
		{http.MethodGet, "/v1/rider", "somebody-elses-token", http.StatusForbidden},
		{http.MethodPost, "/v1/rider/bills/7/payments", riderToken, http.StatusNotFound},
		{http.MethodGet, "/v1/accounts/99", operatorToken, http.StatusNotFound},
		{http.MethodGet, "/v1/days/yesterday", operatorToken, http.StatusUnprocessableEntity},
		{http.MethodPost, "/v1/gates/nobody/chunks", "", http.StatusNotFound},
		{http.MethodGet, "/v1/nothing", "", http.StatusNotFound},
	} {
		if status, answer := h.do(c.method, c.path, c.token, []byte("{}")); status != c.status {
			t.Errorf("%s %s with %q: %d %s, want %d", c.method, c.path, c.token, status, answer, c.status)
		}
	}
}

// TestBadBodies: what is forged, cut or too long is refused, and the next message is taken.
func TestBadBodies(t *testing.T) {
	h := newHouse(t)
	d := h.devices["a"]
	d.Tap(transittest.NewCard(t, 1), gate.In, morning)
	good := gate.EncodeChunk(d.Chunk(0))
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	for name, body := range map[string][]byte{"forged": forged, "cut": good[:len(good)-5], "empty": nil, "text": []byte("hello")} {
		if status, answer := h.do(http.MethodPost, "/v1/gates/a/chunks", "", body); status/100 != 4 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, _ := h.do(http.MethodPost, "/v1/gates/a/chunks", "", make([]byte, maxChunkBody+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too long: %d", status)
	}
	if status, _ := h.do(http.MethodPost, "/v1/gates/b/chunks", "", good); status/100 != 4 {
		t.Errorf("another device's chunk: %d", status)
	}
	if status, answer := h.do(http.MethodPost, "/v1/gates/a/chunks", "", good); status != http.StatusOK {
		t.Errorf("a good chunk: %d %s", status, answer)
	}
}

// TestHealth: a device's report is authentic, is seen by the operator, and is answered with the time.
func TestHealth(t *testing.T) {
	h := newHouse(t)
	key := h.devices["a"].Key
	report := gate.Health{Device: "a", Number: 7, At: morning, ListSequence: 3, ListAge: 60, Backlog: 12, Trouble: "the disk is slow"}
	status, answer := h.do(http.MethodPost, "/v1/gates/a/health", "", gate.EncodeHealth(key, report))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	got, err := gate.ParseHealthAnswer(key, "a", 7, answer)
	if err != nil || !got.Time.Equal(morning.Add(time.Hour)) {
		t.Errorf("%+v, %v", got, err)
	}
	if status, _ := h.do(http.MethodPost, "/v1/gates/a/health", "", gate.EncodeHealth(h.devices["b"].Key, report)); status != http.StatusUnprocessableEntity {
		t.Errorf("a report under another key: %d", status)
	}
	h.rig.Advance(time.Minute)
	var devices []Device
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/devices", operatorToken, "", http.StatusOK), &devices); err != nil {
		t.Fatal(err)
	}
	if len(devices) != 1 || devices[0].ListAgeSeconds != 120 || devices[0].Trouble == "" {
		t.Errorf("%+v", devices)
	}
	claim := gate.Claim{Device: "a", Number: 1, ID: transittest.NewCard(t, 3).ID(transittest.IDs(t)), Epoch: 1}
	for _, want := range []bool{true, false} {
		_, answer := h.do(http.MethodPost, "/v1/gates/a/claims", "", gate.EncodeClaim(key, claim))
		got, err := gate.ParseClaimAnswer(key, "a", 1, answer)
		if err != nil || got.Granted != want {
			t.Errorf("claim: %+v, %v; want %t", got, err, want)
		}
	}
}

// TestOpenAPI keeps the committed document what the server says.
func TestOpenAPI(t *testing.T) {
	document, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "openapi.yaml")
	if *update {
		if err := errorsOf(os.MkdirAll("testdata", 0o755), os.WriteFile(path, document, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(committed, document) {
		t.Errorf("%s is not what the server says; run the test with -update", path)
	}
	h := newHouse(t)
	if served := h.want(http.MethodGet, "/openapi.yaml", "", "", http.StatusOK); !bytes.Equal(served, document) {
		t.Error("the server serves another document")
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestConfig: an interface without its parts is not served.
func TestConfig(t *testing.T) {
	if _, err := New(Config{Operator: "short"}); err == nil {
		t.Error("served without an office")
	}
}
