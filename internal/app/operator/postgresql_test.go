//go:build thirdparty

package operator

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/internal/clock"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/transit/transittest"
)

// TestTheJournalInADatabase: taps and the state of an operator lie in PostgreSQL, and an office that starts in another directory with the same secret has them.
func TestTheJournalInADatabase(t *testing.T) {
	server := postgrestest.Start(t)
	dir := t.TempDir()
	evening := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	manual := clock.NewManual(evening)
	begin := func() (*Operator, *bankLine) {
		line := &bankLine{TB: t, bank: &transittest.Bank{}, done: make(chan struct{}, 64)}
		op, err := Start(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", Clock: manual, Line: line, Store: server.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		line.to = op.Receive
		return op, line
	}
	op, line := begin()
	secret, err := OpenSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.Device("bus-7")
	if err != nil {
		t.Fatal(err)
	}
	g, log := gateOf(t, secret, "bus-7", 7)
	if d, err := g.Tap(transittest.NewCard(t, 1).Read(gate.Ride), nil, evening.Add(-time.Hour)); err != nil || !d.Open {
		t.Fatalf("%v, %v", d.Reason(), err)
	}
	chunk, err := gate.NewChunk(key, "bus-7", gate.Head{}, log.b)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := get(t, op, http.MethodPost, "/v1/gates/bus-7/chunks", gate.EncodeChunk(chunk)); status != http.StatusOK {
		t.Fatalf("chunk: %d %s", status, answer)
	}
	<-line.done // the verification
	<-line.done // and its reversal
	if err := op.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _ := begin()
	if _, report := get(t, again, http.MethodGet, "/v1/report", nil); !strings.Contains(string(report), `"taps":1`) {
		t.Errorf("after a start: %s", report)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
