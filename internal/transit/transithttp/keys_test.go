package transithttp

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit/transittest"
)

// report lets the gates report and keep the keys that they are answered with.
func (h *house) report() {
	h.Helper()
	for _, name := range []string{"a", "b"} {
		d := h.devices[name]
		r := d.Health(h.rig.Clock.Now())
		status, answer := h.do(http.MethodPost, "/v1/gates/"+name+"/health", "", gate.EncodeHealth(d.Key, r))
		a, err := gate.ParseHealthAnswer(d.Key, name, r.Number, answer)
		if status != http.StatusOK || err != nil {
			h.Fatalf("health: %d, %v", status, err)
		}
		d.Take(a)
	}
}

func (h *house) keys(method, path, body string) (k Keys) {
	h.Helper()
	if err := json.Unmarshal(h.want(method, path, operatorToken, body, http.StatusOK), &k); err != nil {
		h.Fatal(err)
	}
	return k
}

// TestARotationOverHTTP: an operator begins it, the gates get the key with the answers to their reports, and fetch the list of the new epoch.
func TestARotationOverHTTP(t *testing.T) {
	h := newHouse(t)
	card := transittest.NewCard(t, 1)
	h.ride(card)
	h.want(http.MethodPut, "/v1/credentials/1/block", operatorToken, `{"reason":"lost"}`, http.StatusOK)
	h.rig.Advance(2 * time.Minute)
	h.want(http.MethodGet, "/v1/deny/base", "", "", http.StatusOK)
	h.report()
	h.want(http.MethodPost, "/v1/deny/keys/retire", operatorToken, `{}`, http.StatusConflict)
	if k := h.keys(http.MethodPost, "/v1/deny/keys/rotate", `{}`); k.Epoch != 1 || k.Next != 2 || len(k.Without) != 2 || k.Holding["1"] != 2 {
		t.Errorf("%+v", k)
	}
	if answer := h.want(http.MethodPost, "/v1/deny/keys/rotate", operatorToken, `{}`, http.StatusConflict); !strings.Contains(string(answer), "force") {
		t.Errorf("%s", answer)
	}
	h.report()
	h.report()
	h.rig.Advance(time.Minute)
	h.rig.Advance(2 * time.Minute)
	k := h.keys(http.MethodGet, "/v1/deny/keys", "")
	if k.Epoch != 2 || k.Former != 1 || k.Moved != 1 || k.Holding["2"] != 2 || k.Since == "" || k.Forgets == "" {
		t.Errorf("%+v", k)
	}
	trust, err := denylist.NewTrust(transittest.Signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	base, err := denylist.OpenBase(h.want(http.MethodGet, "/v1/deny/base", "", "", http.StatusOK), trust)
	if err != nil {
		t.Fatal(err)
	}
	if _, on := base.Lookup(card.ID(transittest.IDsOf(t, 2)).Hash()); !on || base.Info().Epoch != 2 {
		t.Error("the card is not on the list of the new epoch")
	}
	if k := h.keys(http.MethodPost, "/v1/deny/keys/retire", `{"force":true}`); k.Former != 0 {
		t.Errorf("%+v", k)
	}
	var devices []Device
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/devices", operatorToken, "", http.StatusOK), &devices); err != nil || len(devices[0].Keys) != 2 {
		t.Errorf("%+v, %v", devices, err)
	}
}

// TestEntriesOverHTTP: a page of somebody else's stop list is taken and ended; what is refused repeats no number.
func TestEntriesOverHTTP(t *testing.T) {
	h := newHouse(t)
	number := transittest.NewCard(t, 3).Number.Reveal()
	good := `{"entries":[{"kind":"credential","number":"` + number + `","sequence":"01","expiry":"3012","reason":"lost","until":"2026-12-31"},` +
		`{"kind":"token","number":"` + number + `","reason":"stolen"},{"kind":"par","reference":"V0010013022298169667504231315","reason":"debt"}]}`
	if got := h.want(http.MethodPost, "/v1/deny/entries", operatorToken, good, http.StatusOK); !bytes.Contains(got, []byte(`"new":3`)) {
		t.Errorf("%s", got)
	}
	if got := h.want(http.MethodPost, "/v1/deny/entries", operatorToken, good, http.StatusOK); !bytes.Contains(got, []byte(`"same":3`)) {
		t.Errorf("%s", got)
	}
	for name, body := range map[string]string{
		"a wrong check digit": `{"entries":[{"kind":"token","number":"` + number[:len(number)-1] + `x","reason":"lost"}]}`,
		"an unknown reason":   `{"entries":[{"kind":"token","number":"` + number + `","reason":"` + number + `"}]}`,
		"a number as kind":    `{"entries":[{"kind":"` + number + `","number":"` + number + `","reason":"lost"}]}`,
		"a long number":       `{"entries":[{"kind":"token","number":"` + number + number + `","reason":"lost"}]}`,
		"no expiry":           `{"entries":[{"kind":"credential","number":"` + number + `","reason":"lost"}]}`,
		"a strange expiry":    `{"entries":[{"kind":"credential","number":"` + number + `","expiry":"1399","reason":"lost"}]}`,
		"a strange day":       `{"entries":[{"kind":"token","number":"` + number + `","reason":"lost","until":"tomorrow"}]}`,
		"a lost account":      `{"entries":[{"kind":"par","reference":"V0010013022298169667504231315","reason":"lost"}]}`,
		"no reason":           `{"entries":[{"kind":"token","number":"` + number + `"}]}`,
		"no list":             `{"entries":"` + number + `"}`,
		"cut":                 `{"entries":[{"kind":"token","number":"` + number,
	} {
		status, answer := h.do(http.MethodPost, "/v1/deny/entries", operatorToken, []byte(body))
		if status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, answer)
		}
		if bytes.Contains(answer, []byte(number[6:14])) || bytes.Contains(answer, []byte("V0010013022298")) {
			t.Errorf("%s: the answer repeats what was sent", name)
		}
	}
	h.want(http.MethodPost, "/v1/deny/entries", riderToken, good, http.StatusForbidden)
	if got := h.want(http.MethodGet, "/v1/list", operatorToken, "", http.StatusOK); !bytes.Contains(got, []byte(`"outside":3`)) {
		t.Errorf("%s", got)
	}
	gone := `{"entries":[{"kind":"token","number":"` + number + `"}]}`
	if got := h.want(http.MethodDelete, "/v1/deny/entries", operatorToken, gone, http.StatusOK); !bytes.Contains(got, []byte(`"removed":1`)) {
		t.Errorf("%s", got)
	}
	if got := h.want(http.MethodDelete, "/v1/deny/entries", operatorToken, gone, http.StatusOK); !bytes.Contains(got, []byte(`"unknown":1`)) {
		t.Errorf("%s", got)
	}
}
