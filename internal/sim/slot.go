package sim

import (
	"context"
	"errors"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/kernel/contact"
)

// Shares of what is done with a card in the slot, in parts of a thousand of all that people do: the rest are taps.
const (
	slotShare   = 220
	loadShare   = 160
	settleShare = 15
)

// loadMost is the most that is loaded at a time.
const loadMost = 40_000

// contactApplications are what the slots of this world take. Electronic cash is for the till without a line: a purse that asks its bank and, when no answer
// comes, pays by itself gives the bank one counter twice.
func (w *world) contactApplications(offline bool) []contact.Application {
	limit := int64(0)
	if offline {
		limit = 20_000
	}
	var list []contact.Application
	for _, aid := range []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash} {
		list = append(list, contact.Application{AID: aid, FloorLimit: w.money(0), Threshold: w.money(0), ECLimit: w.money(limit)})
	}
	return list
}

// errandOf draws what somebody does: a tap, or something with the card in the slot.
func (w *world) errandOf(t *till, h *holder) pos.Verb {
	draw := w.random.IntN(thousand)
	switch {
	case draw >= thousand-preAuthShare:
		return pos.VerbPreAuth
	case draw >= thousand-preAuthShare-balanceShare:
		return pos.VerbBalance
	}
	if h.personal.Image.Applications[0].Contact == nil || draw >= slotShare+loadShare {
		return 0 // a tap
	}
	if draw < slotShare || t.merchant.Offline {
		return pos.VerbSale
	}
	if t.merchant.Category != bankCategory {
		return pos.VerbLoad
	}
	if t.lastCash != nil && w.random.IntN(3) == 0 {
		return pos.VerbLoadCashVoid
	}
	return [...]pos.Verb{pos.VerbLoad, pos.VerbLoad, pos.VerbLoadCash, pos.VerbLoadCash, pos.VerbLoadCash, pos.VerbUnload}[w.random.IntN(6)]
}

// loads reports whether the errand is about the purse.
func (s *sale) loads() bool {
	return s.verb != 0 && s.verb != pos.VerbSale && s.verb != pos.VerbPreAuth && s.verb != pos.VerbBalance
}

// insert does the errand with the card in the slot.
func (s *sale) insert(sale pos.Sale) (pos.Receipt, error) {
	sale.PresentAgain = s.insertAgain
	how := pos.Loading{Verb: s.verb}
	if last := s.till.lastCash; s.verb == pos.VerbLoadCashVoid {
		if last == nil || last.holder.busy || last.holder.retired {
			s.verb, how.Verb = pos.VerbLoadCash, pos.VerbLoadCash
		} else {
			how.Original = pos.Original{Trace: last.trace}
			s.minor, s.holder = last.minor, last.holder
		}
	}
	if s.verb == pos.VerbPreAuth || s.verb == pos.VerbBalance {
		return s.other(sale)
	}
	with := pos.Presented{Entry: receipt.Contact, Reader: s.slot(s.holder)}
	if !s.loads() {
		return s.till.core.Sale(context.Background(), with, sale)
	}
	got, err := s.till.core.LoadPurse(context.Background(), with, sale, how)
	if err == nil && s.verb == pos.VerbLoadCash && got.End == pos.ApprovedOnline {
		s.till.lastCash = &cashLoad{got.Trace, s.minor, s.holder}
	}
	if s.verb == pos.VerbLoadCashVoid && s.world.random.IntN(3) > 0 { // sometimes somebody tries it twice
		s.till.lastCash = nil
	}
	return got, err
}

// cashLoad is the last cash load of a till, which a customer may want back.
type cashLoad struct {
	trace  pos.Trace
	minor  int64
	holder *holder
}

// slot puts a card into the reader, and perhaps pulls it out again: before a command, after one, or while it writes.
func (s *sale) slot(h *holder) apdu.Transceiver {
	w, f := s.world, card.NewSlot(h.chip)
	if _, known := s.before[h]; !known {
		s.before[h], h.busy = h.purse(), true
	}
	s.shown++
	s.last = h
	if !w.chance(w.faults.Tear) {
		return f
	}
	w.counts.Tears++
	switch at := 1 + w.random.IntN(2*tearMost); w.random.IntN(4) {
	case 0:
		f.TearBeforeCommand(at)
	case 1:
		f.TearAfterCommand(at)
	case 2:
		f.TearBeforeCommit(1 + at%5)
	default:
		f.TearAfterCommit(1 + at%5)
	}
	return f
}

// insertAgain is what the holder does when the terminal wants to see what became of the purse.
func (s *sale) insertAgain() apdu.Transceiver {
	w, t := s.world, s.till
	s.clean = false
	if w.random.IntN(4) == 0 || s.shown >= presentMost || !t.task.sleep(w.upTo(backAtOnce)) || s.dead() {
		return nil
	}
	return s.slot(s.holder)
}

// purseChange is what an errand about the purse takes off the chip when it is done.
func (s *sale) purseChange(before int64) int64 {
	switch s.verb {
	case pos.VerbLoadCashVoid:
		return s.minor
	case pos.VerbUnload:
		return before
	}
	return -s.minor
}

// accountLoad compares what a chip holds with what became of an errand about its purse: the old balance or the new one, never another.
func (s *sale) accountLoad() {
	w := s.world
	for _, h := range w.holders {
		before, shown := s.before[h]
		if !shown {
			continue
		}
		left := before - h.purse()
		full := s.purseChange(before)
		switch {
		case left != 0 && left != full:
			w.find(lawLoad, "%s: the chip of card %s holds %d after %s, neither %d nor %d", "%s：卡%s在%[4]s后余额为%[3]d，既非%[5]d也非%[6]d", s.till.name,
				h.personal.Spec.Name, h.purse(), s.verb.Term().EN, before, before-full)
		case s.over && s.receipt.End == pos.ApprovedOnline && left != full, s.over && left != 0 && leavesPurse(s.receipt.End):
			w.find(lawLoad, "%s: %s ended as %s, but the chip of card %s went from %d to %d", "%s：%s以“%s”结束，但卡%s余额由%d变为%d", s.till.name, s.verb.Term().EN,
				endName(s.receipt.End), h.personal.Spec.Name, before, h.purse())
		}
	}
}

// leavesPurse tells the ends of an errand after which the chip holds what it held.
func leavesPurse(e pos.End) bool {
	return e == pos.DeclinedOnline || e == pos.PINMissing || e == pos.NotBegun || e == pos.Failed
}

// settleBatch is the cashier at the end of a shift.
func (w *world) settleBatch() {
	t := w.freeTill()
	if t == nil {
		return
	}
	troubles := w.counts.Unanswered
	t.use(func() {
		sheet, _, err := t.core.Settle(context.Background(), w.profile.Money())
		switch {
		case w.over || err != nil && (interrupted(err) || errors.Is(err, context.Canceled) || w.counts.Unanswered > troubles):
		case err != nil:
			w.broken(err)
		case sheet != nil:
			w.counts.Settled++
			if sheet.Agreed {
				w.counts.Agreed++
			}
		}
	})
}
