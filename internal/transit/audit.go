package transit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tapnet/internal/ledger"
)

// ErrBooks is wrapped when the operator's books do not add up: a bug, or a journal that somebody changed.
var ErrBooks = errors.New("the books do not add up")

// balance is what was debited less what was credited.
func (s *state) balance(a ledger.Account) int64 {
	b := s.book.Balance(a)
	return b.DebitsPosted - b.CreditsPosted
}

// Audit derives from bills and taps what the ledger must say, and every tap's state from the accounts. It belongs to the writer.
func (o *Office) Audit() error {
	s := o.state
	var unpaid, credit, paid, settled, lost int64
	for _, c := range s.credentials[1:] {
		credit += c.credit
		owing := int32(0)
		for _, seq := range c.bills {
			b := s.bills[seq]
			switch {
			case b.state == Paid || b.state == Returning:
				paid += b.minor - b.refunded
				credit += b.returning
			case b.state == Settled:
				settled += b.minor
			case b.state == WrittenOff:
				lost += b.minor
			default:
				unpaid += b.minor
			}
			if b.state.Denies() {
				owing++
			}
		}
		if owing != c.owing {
			return fmt.Errorf("credential %d owes %d bills, %d are counted: %w", c.number, owing, c.owing, ErrBooks)
		}
	}
	for _, line := range []struct {
		name     string
		is, want int64
	}{
		{"riders", s.balance(AccountRiders), unpaid - credit}, {"written off", s.balance(AccountLoss), lost}, {"counter", s.balance(AccountCounter), settled},
		{"acquirer and fares", s.balance(AccountAcquirer) + s.balance(AccountFares), -(unpaid - credit) - lost - settled},
		{"fares", -s.balance(AccountFares), s.totals.Charged - s.totals.Credited + s.totals.Purse},
		{"acquirer", s.balance(AccountAcquirer), paid + s.totals.Purse},
		{"debts", s.totals.Owed, s.owed()},
	} {
		if line.is != line.want {
			return fmt.Errorf("%s: the ledger says %d, the bills %d: %w", line.name, line.is, line.want, ErrBooks)
		}
	}
	return s.auditTaps()
}

// owed is what the bills on the deny list come to, without those that were given up.
func (s *state) owed() (minor int64) {
	for _, b := range s.bills {
		if b.state.Denies() && b.state != WrittenOff {
			minor += b.minor
		}
	}
	return minor
}

// auditTaps checks that every tap was counted in one state.
func (s *state) auditTaps() error {
	var all uint64
	for _, n := range s.totals.States {
		all += n
	}
	if all != s.totals.Taps {
		return fmt.Errorf("%d taps, and %d states of taps: %w", s.totals.Taps, all, ErrBooks)
	}
	var waiting uint64
	for _, a := range s.accounts[1:] {
		seen := make(map[tapKey]bool, len(a.taps))
		for i := range a.taps {
			key := tapKey{a.taps[i].device, a.taps[i].sequence}
			if seen[key] {
				return fmt.Errorf("tap %s/%d stands twice in account %d: %w", s.devices[key.device].name, key.sequence, a.number, ErrBooks)
			}
			seen[key] = true
			if a.taps[i].state == TapPending {
				waiting++
			}
		}
		for i := range a.booked {
			if b := &a.booked[i]; b.minor < 0 || b.minor > 0 && !seen[b.tap] && b.day >= frozen(s.closed) {
				return fmt.Errorf("account %d was billed %d for a journey without a tap: %w", a.number, b.minor, ErrBooks)
			}
		}
	}
	if waiting != s.totals.States[TapPending] {
		return fmt.Errorf("%d taps wait, %d are counted: %w", waiting, s.totals.States[TapPending], ErrBooks)
	}
	return nil
}

// putNames gives the names that count.
func (s *state) putNames(n *names, put func(...any)) {
	for _, a := range s.counting(n) {
		put(uint32(a.epoch), a.id)
	}
}

// planned is when a debt is asked for again, by the rows. Any other bill is asked for as soon as it can be, which no row says.
func (b *bill) planned() int64 {
	if b.state != Owed {
		return 0
	}
	return int64(b.next)
}

// putFreed gives the credentials that were stopped as copies and released.
func (s *state) putFreed(put func(...any)) {
	for _, n := range slices.Sorted(maps.Keys(s.freed)) {
		put(n, s.freed[n])
	}
}

// Digest is a hash over everything that the journal decided: two replays of one journal have the same.
func (o *Office) Digest() [32]byte {
	s := o.state
	h := sha256.New()
	put := func(values ...any) {
		for _, v := range values {
			if text, ok := v.(string); ok {
				h.Write([]byte(text))
				continue
			}
			if err := binary.Write(h, binary.BigEndian, v); err != nil {
				panic("transit: " + err.Error())
			}
		}
	}
	for _, d := range s.devices {
		put(d.name, d.taps, d.opened, d.ahead)
		for _, sp := range d.spans {
			put(sp.first, sp.last, sp.after)
		}
	}
	for _, c := range s.credentials[1:] {
		s.putNames(&c.names, put)
		put(c.twin, c.outside)
		put(c.account, c.atc, int64(c.approved), c.verifying, c.refused, uint8(c.stop), int64(c.owing), c.credit, c.material.sequence, c.material.used)
		for _, seq := range c.bills {
			b := s.bills[seq]
			put(b.seq, uint8(b.state), b.minor, b.refunded, b.returning, b.tries, b.planned())
			if b.paid != nil {
				put(b.paid.rrn)
			}
		}
	}
	for _, a := range s.accounts[1:] {
		put(a.number, a.merged, a.par, a.category, int64(a.restricted), int64(a.forgiven))
		for _, year := range slices.Sorted(maps.Keys(a.earlier)) {
			put(int64(year), int64(a.earlier[year].Incomplete), int64(a.earlier[year].Completed))
		}
		a.putPaid(put)
		for i := range a.taps {
			put(a.taps[i].device, a.taps[i].sequence, uint8(a.taps[i].state), a.taps[i].clock)
		}
		for _, b := range a.booked {
			put(b.tap.device, b.tap.sequence, b.minor, int32(b.day))
		}
	}
	keys := make([]string, 0, len(s.payments))
	for key := range s.payments {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		put(key, uint8(s.payments[key].status))
	}
	for _, a := range accountNames {
		b := s.book.Balance(a.number)
		put(b.DebitsPosted, b.CreditsPosted, s.book.Last(a.number))
	}
	for _, m := range s.marks[1:] {
		s.putNames(&m.names, put)
		put(uint8(m.entry.kind), uint8(m.entry.reason), uint16(m.entry.until), m.of, m.page)
	}
	for _, subject := range slices.Sorted(maps.Keys(s.list.told)) {
		l := s.list.told[subject]
		put(subject, uint8(l.kind), uint8(l.reason), uint16(l.until))
	}
	s.putFreed(put)
	put(uint32(s.keys.now), uint32(s.keys.next), uint32(s.keys.former), int64(s.forced), s.begun, s.pages)
	put(s.list.digest, s.list.sequence, int32(s.closed), s.stan, s.batch)
	return [32]byte(h.Sum(nil))
}
