package issuer_test

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// TestTheBooksAreFoundInOrder gives the rows of a random life with loads to the second opinion on the books, which shares no code with the bank.
func TestTheBooksAreFoundInOrder(t *testing.T) {
	for seed := range 6 {
		s := rapid.Custom(func(rt *rapid.T) *scene {
			s := newScene(t, rt)
			s.command(issuer.Alter{Change: issuer.Change{Card: 2, AutoLoad: &issuer.AutoLoad{ThresholdMinor: 15_000, AmountMinor: 10_000}}})
			for range 40 {
				s.step(rapid.SampledFrom(s.chips).Draw(rt, "card"))
			}
			for _, c := range s.chips {
				s.saleStep(c, true)
			}
			s.upload(len(s.uploads))
			return s
		}).Example(seed)
		secondOpinion(t, seed, s.chipBank, s.rig, s.chips)
	}
}

// TestContactPaymentsAreFoundInOrder is the same for what only contacts bring: the card's last word, a PIN it checked, scripts, unload and pay-out.
func TestContactPaymentsAreFoundInOrder(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteAES)
	b.order(issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F77, Value: []byte{0, 0, 0, 0, 0, 1}}, issuer.Script{Command: issuer.ScriptUnblockPIN})
	b.answer(b.sale(200_000, ""), issuer.AboveNoPINLimit) // carries scripts
	m := b.sale(200_000, cardtest.PIN)
	_, results := b.chip.finish(b.answer(m, issuer.Approved), false)
	b.tell(m, results)
	b.answer(b.sale(100, "9753"), issuer.OfflinePINWrong)
	b.answer(b.withPINByContact(b.sale(100, "")), issuer.Approved)
	m = b.sale(6_000, "")
	b.answer(m, issuer.Approved)
	b.answer(b.adviceOf(m, b.chip.generate(emv.AAC, "05")), issuer.CardDeclined)
	b.answer(b.withPINByContact(b.sale(100, "")), issuer.Approved)
	wrong := b.loadFor(100, wrongPIN)
	b.answer(wrong, issuer.PINWrong)
	stripe := b.sale(100, "")
	stripe.EntryMode, stripe.ICC = unionpay.NewEntryMode(unionpay.EntryStripe, false), emv.Data{}
	b.answer(stripe, issuer.StripeNotAllowed)
	m = b.request(b.chip, 8_750, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_750, 0x17, ""))
	_, results = b.chip.finish(b.answer(m, issuer.UnloadHeld), false)
	b.tell(m, results)
	b.Clock.Advance(10 * 24 * time.Hour)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	secondOpinion(t, 0, b, nil, []*chipCard{b.chip})
}

// secondOpinion verifies the rows of a bank, once in memory and once from a file. bounded is the same bank with cells, if there is one.
func secondOpinion(t *testing.T, seed int, b *chipBank, bounded *networktest.Rig, chips []*chipCard) {
	t.Helper()
	bank := verifytest.Bank{Name: own, Calendar: networktest.Shanghai, Rows: b.Rows(), Balances: map[ledger.Account]ledger.Balance{}}
	for line := range b.issuer.Book().Lines() {
		bank.Balances[line.Account] = line.Balance
	}
	for _, c := range chips {
		bank.Chips = append(bank.Chips, verifytest.Chip{ATC: c.chip.State().Applications[0].ATC, PurseMinor: c.purse()})
	}
	if bounded != nil {
		var err error
		store := bounded.Store.Reopen()
		if bank.Watermark, err = store.Watermark(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := store.Cells(t.Context(), func(cell *journal.Cell) error {
			kept := *cell
			kept.Data = bytes.Clone(cell.Data)
			bank.Cells = append(bank.Cells, kept)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	findings, err := bank.Audit(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("seed %d: %s", seed, f)
	}
}

// TestASecondOpinionIsOne plants a wrong in each kind of row about loads: it is found.
func TestASecondOpinionIsOne(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.loadFor(20_000, rightPIN)
	_, results := b.chip.finish(b.answer(m, issuer.LoadHeld), false)
	b.tell(m, results)
	b.chip.finish(b.answer(b.loadFor(10_000, rightPIN), issuer.LoadHeld), true)
	b.answer(b.sale(100, ""), issuer.Approved) // the second load did not happen
	rows := b.Rows()
	for name, plant := range map[string]struct {
		kind   journal.Kind
		change func(*journal.Row)
	}{
		"":                     {journal.Held, func(*journal.Row) {}},
		"more is held":         {journal.Held, func(r *journal.Row) { r.Amount += 5_000_000 }},
		"another pays":         {journal.Held, func(r *journal.Row) { r.Debit = issuer.AccountScheme }},
		"less is booked":       {journal.Loaded, func(r *journal.Row) { r.Amount-- }},
		"booked twice":         {journal.Voided, func(r *journal.Row) { r.Phase = ledger.Post }},
		"another load's hold":  {journal.Loaded, func(r *journal.Row) { r.Resolves++ }},
		"a reason of its own":  {journal.Held, func(r *journal.Row) { r.Reason = 0 }},
		"a balance is missing": {journal.Held, func(r *journal.Row) { r.Note = r.Note[:2] }},
	} {
		planted := append([]journal.Row(nil), rows...)
		for at := range planted {
			if planted[at].Kind == plant.kind {
				plant.change(&planted[at])
				break
			}
		}
		bank := verifytest.Bank{Name: own, Calendar: networktest.Shanghai, Rows: planted, Chips: []verifytest.Chip{{ATC: 99, PurseMinor: 28_750}}}
		findings, err := bank.Audit(t.Context(), t.TempDir())
		if err != nil || (len(findings) == 0) != (name == "") {
			t.Errorf("%q: %v, %v", name, findings, err)
		}
	}
}
