package verify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
)

// checkChips holds what the chips say against the books: no counter was honoured that a chip has not reached, and no chip holds more than was
// loaded and not spent.
func (a *auditor) checkChips(ctx context.Context, list []*payCase) error {
	if a.options.Chips == nil || !a.chips || len(a.issuers) == 0 {
		return nil
	}
	chips, err := a.options.Chips(ctx)
	if err != nil {
		return fmt.Errorf("read chips: %w", err)
	}
	type id struct {
		issuer, name string
		card         int64
	}
	known := map[id]Chip{}
	for _, c := range chips {
		known[id{c.Issuer, c.Name, c.Card}] = c
	}
	var missing int64
	for _, m := range a.issuers {
		for _, number := range m.bank.inOrder() {
			h := m.bank.cards[number]
			chip, used := known[id{name: h.name}]
			if !used {
				chip, used = known[id{issuer: m.Name, card: number}]
			}
			if !used {
				chip.PurseMinor = h.initial // a chip that was never tapped has no memory of its own yet
			}
			if h.topATC > chip.ATC {
				if err := a.ahead(ctx, m, number, h, chip.ATC); err != nil {
					return err
				}
			}
			if purse := h.purse.balance(); chip.PurseMinor > purse {
				a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: h.opened, Kind: journal.Opened, Field: FieldPurse,
					Found:    fill("the chip of card %d holds %d", "卡%d芯片余额%d", number, chip.PurseMinor),
					Expected: fill("at most %d, loaded less spent", "不超过%d（圈存减消费）", purse), at: math.MaxInt64})
			}
			missing += h.purse.balance() - chip.PurseMinor
		}
	}
	a.stranded(missing, list)
	return nil
}

func (b *bank) inOrder() []int64 {
	ids := make([]int64, 0, len(b.cards))
	for id := range b.cards {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// ahead names every row that honours a counter which the chip has not reached.
func (a *auditor) ahead(ctx context.Context, m *member, card int64, h *holder, atc uint16) error {
	return m.reader.Rows(ctx, h.opened, m.last, batchRows, new(journalsql.Batch), func(b *journalsql.Batch) (*journalsql.Batch, error) {
		for i := range b.Rows {
			if r := &b.Rows[i]; r.Card == card && honoured(r) && r.ATC > atc {
				m.fault(r, FieldCounter, number(r.ATC), fill("at most %d, where the chip stands", "不超过芯片计数器%d", atc))
			}
		}
		return b, nil
	})
}

// stranded compares what left the chips with what arrived. Money on its way is at the tills; what an issuer refused may have been a chip's or not.
// While anybody writes, a chip may be ahead of its till.
func (a *auditor) stranded(missing int64, list []*payCase) {
	for _, m := range a.members {
		if still, _ := m.reader.Still(); !still || m.lost {
			return
		}
	}
	var kept int64
	for _, p := range list {
		if t := &p.sides[theTills]; t.upload && !p.sides[theIssuers].posted && t.state != isDeclined {
			kept += t.amount
		}
	}
	if missing < kept || missing > kept+a.refused {
		m := a.issuers[0]
		a.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldPurse, Found: fill("%d left the chips", "芯片共减少%d", missing),
			Expected: fill("%d, which the tills hold, and up to %d refused", "终端在途%d，另有被拒至多%d", kept, a.refused), at: math.MaxInt64})
	}
}
