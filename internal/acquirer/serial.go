package acquirer

import (
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// A device never uses the key of a transaction twice, so the counter in its key serial numbers rises [X9.24]. A PIN under a serial number that is not above
// the last one has been recorded and is played again: it is refused before the network hears of it.

// device is the last serial number of a device, as a till sends it.
type device struct {
	number  uint64
	counter uint32
}

// devicesMost bounds the devices of one till: a reader is exchanged or loaded anew now and then, and the one before may come back from repair.
const devicesMost = 8

const (
	// serialCell + place of a terminal: version 1, then of each of its devices: the upper 63 bits of its number, the last bit, the counter.
	serialCell    int64 = 1 << 37
	serialNumbers       = 3
)

// spent reports whether a serial number was used, or one behind it.
func (s *state) spent(terminal string, k unionpay.KeySerial) bool {
	t := s.tills[terminal]
	if t == nil || k.IsZero() {
		return false
	}
	for _, d := range t.devices {
		if d.number == k.Device() {
			return k.Counter() <= d.counter
		}
	}
	return false
}

// playedAgain beside the method in a row's reason: the serial number had been used, and the request is refused for it.
const playedAgain = 0x100

// spend notes a serial number that was used, whatever the answer will be, or that one was played again.
func (a *Acquirer) spend(now time.Time, m *unionpay.FinancialRequest, k unionpay.KeySerial, step *journal.Step) {
	if k.IsZero() {
		return
	}
	r := journal.Row{Kind: journal.KeysChanged, Terminal: m.Terminal, STAN: m.STAN, Reason: uint16(k.Method()), Note: k.Bytes()}
	if a.state.spent(m.Terminal, k) {
		r.Reason |= playedAgain
	}
	a.append(step, now, r)
}

// serialTerm says what a row about a serial number means.
func serialTerm(r *journal.Row) glossary.Term {
	if r.Reason&playedAgain != 0 {
		return glossary.Term{EN: "a key serial number was played again: its PIN is refused", ZH: "密钥序列号重复使用，拒绝其PIN"}
	}
	return glossary.Term{EN: "a transaction key was used", ZH: "已使用一个交易密钥"}
}

// applySerial folds a serial number that was used.
func (s *state) applySerial(r *journal.Row) error {
	if r.Reason&playedAgain != 0 {
		return nil
	}
	k, err := unionpay.NewKeySerial(unionpay.KeyMethod(r.Reason), r.Note)
	if err != nil || r.Reason > uint16(unionpay.KeyAESShort) {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	t := s.tills[r.Terminal]
	if t == nil {
		return nil
	}
	t.lastSerial = r.Seq
	at := slices.IndexFunc(t.devices, func(d device) bool { return d.number == k.Device() })
	if at < 0 {
		t.devices = append(t.devices, device{k.Device(), k.Counter()})
		t.devices = slices.Clone(t.devices[max(0, len(t.devices)-devicesMost):])
		return nil
	}
	t.devices[at].counter = max(t.devices[at].counter, k.Counter())
	return nil
}

func (t *till) serials() []uint64 {
	var n []uint64
	for _, d := range t.devices {
		n = append(n, d.number>>1, d.number&1, uint64(d.counter))
	}
	return n
}

func (s *state) restoreSerials(cell *journal.Cell) error {
	place := cell.ID - serialCell
	if place < 0 || place >= int64(len(s.order)) {
		return fmt.Errorf("cell %d: the terminal is unknown", cell.ID)
	}
	n, err := readNumbers(cell)
	if err == nil && len(n)%serialNumbers != 0 {
		err = fmt.Errorf("cell %d: %w", cell.ID, errCell)
	}
	if err != nil {
		return err
	}
	t := s.tills[s.order[place]]
	for v := range slices.Chunk(n, serialNumbers) {
		t.devices = append(t.devices, device{v[0]<<1 | v[1]&1, uint32(v[2])})
	}
	return nil
}
