package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/card"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// memory is where a chip keeps its state.
type memory = card.Memory

// holder is a person with a card.
type holder struct {
	personal *personalization.Card
	chip     *card.Card
	memory   memory
	busy     bool // in a sale
	retired  bool // the card is used no more
	refused  int  // sales without a payment in a row
	stranded int64
}

// state is what the chip's memory holds, whether or not the chip has power.
func (h *holder) state() card.ApplicationState {
	s, err := h.memory.Load()
	if err != nil {
		panic("sim: a memory without trouble of its own: " + err.Error())
	}
	return s.Applications[0]
}

func (h *holder) purse() int64 { return h.state().Purses[0].Balance }
func (h *holder) atc() uint16  { return h.state().ATC }

// yuan writes minor units as a profile does.
func yuan(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }

// digits draws a PIN.
func (w *world) digits(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte('0' + byte(w.random.IntN(10)))
	}
	return b.String()
}

// spec draws the next card.
func (w *world) spec() personalization.CardSpec {
	w.serial++
	r := w.random
	s := personalization.CardSpec{
		Name: fmt.Sprintf("c%d", w.serial), Holder: "TEST/CARD", Issuer: w.profile.Issuers[r.IntN(len(w.profile.Issuers))].Institution, Serial: w.serial,
		Sequence: [...]string{"00", "01", "02"}[r.IntN(3)], Product: [...]string{"debit", "debit", "debit", "credit", "e-cash"}[r.IntN(5)],
		PIN: w.digits(4 + r.IntN(9)), Purse: yuan(r.Int64N(100_000)), NoPIN: r.IntN(8) > 0, LongKey: r.IntN(10) == 0, FDDA00: r.IntN(8) == 0,
		Expiry: w.now().AddDate(0, r.IntN(40), 0).Format("0601"),
	}
	if r.IntN(4) > 0 {
		s.Carrier = "dual-interface"
	}
	switch s.Product {
	case "debit":
		s.Balance = yuan(r.Int64N(3_000_000))
	case "credit":
		s.Credit = yuan(r.Int64N(2_000_000))
	}
	if r.IntN(3) > 0 {
		limits := w.limits()
		s.TapLimit, s.DayLimit, s.DayCount, s.NoPINDayLimit = yuan(limits.TapMinor), yuan(limits.DayMinor), limits.DayCount, yuan(limits.NoPINDayMinor)
	}
	return s
}

func (w *world) limits() issuer.Limits {
	r := w.random
	return issuer.Limits{TapMinor: 100_000 + r.Int64N(400_000), DayMinor: 200_000 + r.Int64N(2_000_000), DayCount: 3 + r.IntN(40),
		NoPINDayMinor: 50_000 + r.Int64N(300_000)}
}

// issue makes the next card.
func (w *world) issue() (*holder, error) {
	spec := w.spec()
	w.profile.Cards = append(w.profile.Cards, spec)
	names := personalization.KeyNames{MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, MasterENC: keyMasterENC, Transport: keyTransport,
		Fingerprint: keyFingerprint, PANSeal: keyPANSeal, PINReference: keyPINReference}
	personal, err := w.profile.Personalize(spec.Name, w.vaults[spec.Issuer], names)
	if err != nil {
		return nil, err
	}
	var keeps memory = card.NewVolatile(personal.Image.State)
	if wrap := w.hooks.memory; wrap != nil {
		keeps = wrap(keeps)
	}
	chip, err := card.New(&personal.Image, personal.Crypto, keeps, w.source("card "+spec.Name))
	if err != nil {
		return nil, fmt.Errorf("card %q: %w", spec.Name, err)
	}
	return &holder{personal: personal, chip: chip, memory: keeps}, nil
}

// enrol tells the bank of a card.
func (w *world) enrol(h *holder) error {
	r := h.personal.Record
	_, err := w.byName[r.Issuer].ask(issuer.Enrol{Enrolment: issuer.Enrolment{
		Card: r.Card, Name: r.Name, Fingerprint: r.Fingerprint, SealedPAN: r.SealedPAN, Masked: r.Masked, Sequence: r.Sequence, Expiry: r.Expiry,
		Product: r.Product, Currency: r.Currency, PINReference: r.PINReference, NoPIN: r.NoPIN, Contactless: true,
		Limits:       issuer.Limits{TapMinor: r.TapMinor, DayMinor: r.DayMinor, DayCount: r.DayCount, NoPINDayMinor: r.NoPINDayMinor},
		OpeningMinor: r.OpeningMinor, PurseMinor: r.PurseMinor, CreditMinor: r.CreditMinor,
	}})
	if err != nil {
		return fmt.Errorf("enrol card %q: %w", r.Name, err)
	}
	w.holders = append(w.holders, h)
	w.counts.Cards++
	return nil
}

const (
	// retireRate is the share of sales after which a holder gets a new card for no reason, in parts of a thousand.
	retireRate = 8
	// refusedMost is how many sales in a row may fail before a holder gets a new card: the money is spent or the PIN is blocked.
	refusedMost = 6
	askAgain    = 5 * time.Minute
)

// replace retires a card and gives its holder another. The bank may be down; its answer may be lost with it.
func (w *world) replace(old *holder) {
	old.retired = true
	h, err := w.issue()
	if err != nil {
		w.broken(err)
		return
	}
	w.begin(func(t *task) {
		for unsure := false; ; unsure = true {
			err := w.enrol(h)
			switch {
			case err == nil:
				return
			case unsure && errors.Is(err, issuer.ErrEnrolment): // it was durable after all
				w.holders = append(w.holders, h)
				w.counts.Cards++
				return
			case errors.Is(err, issuer.ErrEnrolment):
				w.broken(err)
				return
			case !t.sleep(w.upTo(askAgain)):
				return
			}
		}
	})
}

// alter changes a card as its holder or bank may. A bank that is down is not asked again.
func (w *world) alter() {
	r := w.random
	h := w.holders[r.IntN(len(w.holders))]
	change := issuer.Change{Card: h.personal.Record.Card}
	yes, full, active, limits := r.IntN(2) == 0, 3, issuer.Active, w.limits()
	switch r.IntN(7) {
	case 0:
		change.NoPIN = &yes
	case 1:
		change.Contactless = &yes
	case 2:
		change.Limits = &limits
	case 3:
		change.PINTries = &full
	case 4, 5:
		change.Status = &active
	case 6:
		status := [...]issuer.Status{issuer.Restricted, issuer.Restricted, issuer.Restricted, issuer.Lost, issuer.Stolen, issuer.Closed}[r.IntN(6)]
		change.Status = &status
	}
	w.counts.Changes++
	_, err := w.byName[h.personal.Record.Issuer].ask(issuer.Alter{Change: change})
	if err != nil && !interrupted(err) && !errors.Is(err, issuer.ErrChange) {
		w.broken(err)
	}
}

// lootMost is how many captured requests a thief keeps.
const lootMost = 16

// capture lets a thief keep what a till sends.
func (w *world) capture(m unionpay.Message) {
	request, ok := m.(*unionpay.FinancialRequest)
	if !ok || w.faults.Replay == 0 {
		return
	}
	if request.ICC.Len() == 0 || request.Amount.IsZero() {
		return // no chip data to send again
	}
	stolen := *request
	stolen.Authorization, stolen.Advice, stolen.Original = false, false, nil
	stolen.Processing, stolen.Condition = unionpay.ProcessingSale, unionpay.ConditionNormal
	stolen.PINBlock, stolen.PINCapture, stolen.Security = nil, "", ""
	stolen.EntryMode = unionpay.NewEntryMode(unionpay.EntryContactless, false)
	stolen.Info.MessageType, stolen.Reserved = unionpay.KindSale, ""
	if len(w.loot) < lootMost {
		w.loot = append(w.loot, stolen)
		return
	}
	w.loot[w.random.IntN(lootMost)] = stolen
}

// replay sends captured chip data again, as a new payment. What becomes of it the invariants judge: the counter pays once.
func (w *world) replay() {
	till := w.freeTill()
	if till == nil || len(w.loot) == 0 {
		return
	}
	stolen := w.loot[w.random.IntN(len(w.loot))]
	w.counts.Replays++
	troubles := w.counts.Unanswered
	till.use(func() {
		if _, err := till.core.Send(context.Background(), stolen, nil); err != nil && !interrupted(err) && w.counts.Unanswered == troubles {
			w.broken(err)
		}
	})
}

func (w *world) money(minor int64) money.Amount { return money.New(minor, w.profile.Money()) }
