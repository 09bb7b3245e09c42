package cloudse

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

var errCut = errors.New("the power is gone")

// world is a service under a machine of random steps: phones and their copies, messages that wait, answers seen.
type world struct {
	*rig
	t        *rapid.T
	phones   []*phone
	waiting  []*unionpay.TokenRequest
	answers  map[uint32]unionpay.Opaque        // by trace number
	approved map[string]map[uint32]bool        // by token and counter, the payments
	wires    map[string]map[uint32][]byte      // by token and batch, what went out
	hashes   map[uint32]*unionpay.TokenRequest // what was sent, by trace number
}

// TestOneApprovalForOneCounter: no interleaving of crashes, repeats, copies, refreshes and concurrent checks approves two payments with one counter, forgets an
// answer, or lets two different batches of one number out.
func TestOneApprovalForOneCounter(t *testing.T) {
	vault := newVault(t, 7)
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, func(d *Deps) {
			d.Vault = vault
			d.Capacity.Tokens, d.Capacity.Ended, d.Capacity.Rows = 1, 2, rapid.IntRange(1, 8).Draw(rt, "rows")
			d.Policy.WrongMost = 1000
		})
		r.vault = vault
		w := &world{rig: r, t: rt, answers: map[uint32]unionpay.Opaque{}, approved: map[string]map[uint32]bool{}, wires: map[string]map[uint32][]byte{},
			hashes: map[uint32]*unionpay.TokenRequest{}}
		for _, token := range []string{"A", "B"} {
			w.phones = append(w.phones, r.enrol(options{token: token, cvm: cloudkey.ClassDevice}).refresh())
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			w.step()
		}
		w.finish()
	})
}

func (w *world) step() {
	p := w.phones[rapid.IntRange(0, len(w.phones)-1).Draw(w.t, "phone")]
	w.clock.Advance(time.Second)
	switch rapid.IntRange(0, 11).Draw(w.t, "what") {
	case 0, 1, 2, 3:
		if m := p.pay(tap{minor: 100, open: rapid.Bool().Draw(w.t, "open")}); m != nil {
			w.waiting = append(w.waiting, m)
			w.hashes[m.STAN] = m
		}
	case 4, 5, 6, 7:
		w.deliver()
	case 8:
		w.refresh(p)
	case 9:
		if len(w.phones) < 5 {
			w.phones = append(w.phones, p.copy(fmt.Sprint(len(w.phones))))
		}
	case 10:
		command := any(cloudseapi.Suspend{Token: p.token})
		if rapid.Bool().Draw(w.t, "resume") {
			command = cloudseapi.Resume{Token: p.token}
		}
		if w.do(command) == nil {
			w.open()
		}
	case 11:
		w.open()
	}
}

// deliver checks some of the waiting messages all at once, as parallel goroutines do, and decides them in one batch, which the power may not survive.
func (w *world) deliver() {
	if len(w.waiting) == 0 {
		return
	}
	var events []journal.Event
	for range rapid.IntRange(1, 4).Draw(w.t, "together") {
		m := w.waiting[rapid.IntRange(0, len(w.waiting)-1).Draw(w.t, "message")]
		if rapid.IntRange(0, 4).Draw(w.t, "other clock") == 0 {
			again := *m // the acquirer sends it with another transmission time
			again.TransmissionTime = w.clock.Now().Add(time.Hour).Format("0102150405")
			events = append(events, w.prepared(journal.Event{From: "again", Message: &again}))
			continue
		}
		events = append(events, w.prepared(journal.Event{From: "tsp", Message: m}))
	}
	fault := rapid.IntRange(0, 5).Draw(w.t, "fault")
	cut := func([]journal.Row) error { return errCut }
	switch fault {
	case 0:
		w.store.SetFaults(journal.Faults{BeforeCommit: cut})
	case 1:
		w.store.SetFaults(journal.Faults{AfterCommit: cut})
	}
	seen := len(w.sent)
	_, err := w.stepper.StepAll(context.Background(), events...)
	for _, a := range w.sent[seen:] {
		w.note(a)
	}
	if fault < 2 || err != nil {
		w.open()
	}
}

// note checks an answer against everything that was answered before.
func (w *world) note(a *unionpay.TokenResponse) {
	d, err := a.Data()
	if err != nil {
		w.t.Fatal(err)
	}
	if d.Reason == unionpay.VerifierUnavailable {
		return
	}
	m := w.hashes[a.STAN]
	if a.TransmissionTime == m.TransmissionTime {
		if first, known := w.answers[a.STAN]; known && first != a.Additional {
			w.t.Fatalf("payment %d: another answer to the same message: %q", a.STAN, d.Reason)
		}
		w.answers[a.STAN] = a.Additional
	}
	if d.Reason != unionpay.TokenVerified {
		return
	}
	key := fmt.Sprintf("%s/%d", d.Reference, readChip(m).atc)
	if w.approved[key] == nil {
		w.approved[key] = map[uint32]bool{}
	}
	w.approved[key][a.STAN] = true
	if len(w.approved[key]) > 1 {
		w.t.Fatalf("counter %s: approved for payments %v", key, w.approved[key])
	}
}

// refresh asks for keys; answers and confirmations may be lost.
func (w *world) refresh(p *phone) {
	if rapid.IntRange(0, 3).Draw(w.t, "fault of a refresh") == 0 {
		w.store.SetFaults(journal.Faults{AfterCommit: func([]journal.Row) error { return errCut }})
	}
	reply := w.do(p.request())
	b, ok := reply.(cloudseapi.Batch)
	if !ok {
		if _, refused := reply.(*cloudseapi.Refusal); !refused {
			w.open()
		}
		return
	}
	parsed, err := cloudkey.ParseBatch(b.Wire)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.wires[p.token] == nil {
		w.wires[p.token] = map[uint32][]byte{}
	}
	if first, known := w.wires[p.token][parsed.BSEQ]; known && string(first) != string(b.Wire) {
		w.t.Fatalf("token %s: two different batches %d", p.token, parsed.BSEQ)
	}
	w.wires[p.token][parsed.BSEQ] = b.Wire
	if rapid.Bool().Draw(w.t, "batch lost") {
		return
	}
	p.accept(b.Wire)
	if rapid.Bool().Draw(w.t, "confirmation sent") && w.do(p.confirmation()) == nil {
		w.open()
	}
}

// finish asks everything again and reads the journal.
func (w *world) finish() {
	w.open()
	for _, m := range w.waiting {
		if first, known := w.answers[m.STAN]; known {
			if a := w.ask(m); a == nil || a.Additional != first {
				w.t.Fatalf("payment %d: another answer at the end", m.STAN)
			}
		}
	}
	used := map[string]uint64{}
	if err := w.store.Load(context.Background(), 0, func(row *journal.Row) error {
		if row.Kind != journal.Approved {
			return nil
		}
		n, err := readNote(row)
		if err != nil || !n.has(noteUses) {
			return err
		}
		key := fmt.Sprintf("%d/%d", row.Card, row.ATC)
		if other, twice := used[key]; twice {
			return fmt.Errorf("rows %d and %d use counter %s", other, row.Seq, key)
		}
		used[key] = row.Seq
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}
