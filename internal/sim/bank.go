package sim

import (
	"context"
	"fmt"
	"math/rand/v2"

	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
)

// Issuers remember next to nothing, so that cards and payments come and go between memory and store all the time. Production has room for a million.
const (
	mostCards     = 4
	leastPayments = 6 // more than a batch decides here: what is not yet on disk may not be forgotten
	mostPayments  = 64
	mostSliceRows = 24
)

func drawCapacity(r *rand.Rand) issuer.Capacity {
	more := 1 + r.IntN(mostPayments-leastPayments)
	return issuer.Capacity{Cards: 1 + r.IntN(mostCards), Payments: leastPayments + r.IntN(more), SliceRows: 1 + r.IntN(mostSliceRows)}
}

// wholeCapacity keeps everything in memory and writes nothing back.
func wholeCapacity() issuer.Capacity {
	const plenty = 1 << 30
	return issuer.Capacity{Cards: plenty, Payments: plenty, SliceRows: plenty}
}

// bank is an issuer as people at the bank see it.
type bank interface {
	Card(id int64) (issuer.Card, bool)
	Available(id int64) int64
	Book() *ledger.Book
}

// asBank is the issuer in a role, whatever was wrapped around it.
func asBank(r role) (bank, bool) {
	for {
		if b, ok := r.(bank); ok {
			return b, true
		}
		wrapped, ok := r.(interface{ inner() role })
		if !ok {
			return nil, false
		}
		r = wrapped.inner()
	}
}

// opened are the cards that an issuer's rows have opened.
func opened(rows []journal.Row) (ids []int64) {
	for i := range rows {
		if rows[i].Kind == journal.Opened {
			ids = append(ids, rows[i].Card)
		}
	}
	return ids
}

// shown asks a bank for every card and every account. A card that is in the store only is loaded for it.
func shown(b bank, ids []int64) (cards []verify.CardShown, balances map[ledger.Account]ledger.Balance) {
	balances = map[ledger.Account]ledger.Balance{}
	add := func(a ledger.Account) {
		if balance := b.Book().Balance(a); balance != (ledger.Balance{}) {
			balances[a] = balance
		}
	}
	for _, id := range ids {
		c, ok := b.Card(id)
		if !ok {
			continue
		}
		cards = append(cards, verify.CardShown{Card: id, Standing: uint8(c.Status), Tries: c.Tries, NoPIN: c.NoPIN, Contactless: c.Contactless,
			TapMinor: c.Limits.TapMinor, DayMinor: c.Limits.DayMinor, NoPINDayMinor: c.Limits.NoPINDayMinor, DayCount: c.Limits.DayCount,
			AvailableMinor: b.Available(id)})
		account := ledger.Account(firstAccount + accountsPerCard*id)
		add(account)
		add(account + 1) // the purse
	}
	add(issuer.AccountScheme)
	add(issuer.AccountFunding)
	return cards, balances
}

// Accounts of a card follow from its number.
const (
	firstAccount    = 1000
	accountsPerCard = 10
)

// bankMember is what verify is told of a bank: what it shows, and what its store keeps beside the rows.
func (w *world) bankMember(n *node, r role, m *verify.Member) {
	b, ok := asBank(r)
	if !ok {
		return
	}
	m.Shown, m.Balances = shown(b, opened(m.Rows))
	if w.hooks.whole {
		m.Shown = nil
	}
	ctx := context.Background()
	var err error
	if m.Watermark, err = n.disk.Reopen().Watermark(ctx); err != nil {
		w.broken(err)
	}
	if err := n.disk.Reopen().Cells(ctx, func(c *journal.Cell) error {
		m.Cells = append(m.Cells, *c)
		return nil
	}); err != nil {
		w.broken(err)
	}
}

// resume makes the role again as a restart would: from its cells and the rows above the watermark.
func (n *node) resume() (role, error) {
	again, err := n.newRole()
	if err != nil {
		return nil, err
	}
	store, ctx, after := n.disk.Reopen(), context.Background(), uint64(0)
	if keeper, ok := again.(journal.Keeper); ok {
		if after, err = store.Watermark(ctx); err != nil {
			return nil, err
		}
		if err := keeper.Open(ctx, store, after); err != nil {
			return nil, fmt.Errorf("open at row %d: %w", after, err)
		}
	}
	return again, store.Load(ctx, after, again.Replay)
}

// checkResumed looks at an issuer that has started from its cells: they, its cards and its books must be what all of its rows say.
func (w *world) checkResumed(n *node) {
	mark, err := n.disk.Reopen().Watermark(context.Background())
	if n.kind != verify.Issuer || mark == 0 || err != nil || w.building || len(w.findings) > 0 {
		return
	}
	w.counts.Resumed++
	again, err := n.resume()
	if err != nil {
		w.broken(fmt.Errorf("%s: resume: %w", n.name, err))
		return
	}
	m := verify.Member{Role: n.kind, Name: n.name, Rows: w.read(n)}
	w.bankMember(n, again, &m)
	s := verify.Snapshot{Calendar: w.calendar, Members: []verify.Member{m}}
	for _, f := range verify.Check(s, "balances-from-rows", verify.CellsFromRows, verify.CardsFromRows) {
		w.find(Law{f.Name, f.Title}, "%[1]s (restarted)", "%[2]s（重启后）", f.Detail.EN, f.Detail.ZH)
	}
}

// checkBank compares an issuer with two others: one made from all rows, one from its cells and the rows above the watermark.
func (w *world) checkBank(n *node, replayed role, live bank) {
	if again, ok := asBank(replayed); ok {
		w.sameBank(n, again, live, "journal")
	}
	resumed, err := n.resume()
	if err != nil {
		w.find(lawReplay, "%s: resume: %v", "%s：恢复：%v", n.name, err)
		return
	}
	if again, ok := asBank(resumed); ok {
		w.sameBank(n, again, live, "store of cells")
	}
}

// sameBank compares two lives of an issuer, card by card and account by account.
func (w *world) sameBank(n *node, again, live bank, from string) {
	cards, balances := shown(again, opened(w.read(n)))
	liveCards, liveBalances := shown(live, opened(w.read(n)))
	if fmt.Sprint(cards) != fmt.Sprint(liveCards) {
		w.find(lawReplay, "%s: the %s gives other cards", "%[1]s：由%[2]s得到的卡片不同", n.name, from)
	}
	if fmt.Sprint(balances) != fmt.Sprint(liveBalances) { // maps are printed in order
		w.find(lawReplay, "%s: the %s gives other books", "%[1]s：由%[2]s得到的账目不同", n.name, from)
	}
}

// counting counts what an issuer asks of its store.
type counting struct {
	journal.Store
	counts *Counts
}

// FindKey counts the payments that were forgotten, and those of them that a reversal had come before.
func (c counting) FindKey(ctx context.Context, key string) (*journal.Row, bool, error) {
	r, found, err := c.Store.FindKey(ctx, key)
	if found {
		c.counts.Recalled++
		if r.Kind == journal.Refused {
			c.counts.Spent++
		}
	}
	return r, found, err
}

// FindCell counts the cards that were not in memory.
func (c counting) FindCell(ctx context.Context, id int64) (journal.Cell, bool, error) {
	cell, found, err := c.Store.FindCell(ctx, id)
	if found {
		c.counts.Loaded++
	}
	return cell, found, err
}

// FindName counts them as well.
func (c counting) FindName(ctx context.Context, name [16]byte) (journal.Cell, bool, error) {
	cell, found, err := c.Store.FindName(ctx, name)
	if found {
		c.counts.Loaded++
	}
	return cell, found, err
}

// Commit counts the cells written back.
func (c counting) Commit(ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
	err := c.Store.Commit(ctx, epoch, rows, back)
	if err == nil && back != nil {
		c.counts.Kept += len(back.Cells)
	}
	return err
}
