package verify

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

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
	var open doubt
	for _, m := range a.issuers {
		for _, number := range m.bank.inOrder() {
			h := m.bank.cards[number]
			chip, used := known[id{name: h.name}]
			if !used {
				chip, used = known[id{issuer: m.Name, card: number}]
			}
			if base, _, linked := strings.Cut(h.name, linkedMark); linked && !used {
				of, seen := known[id{name: base}]
				place, all := m.bank.linkedPlace(base, number)
				if seen && len(of.Others) != all {
					continue // which of the chip's applications it is nobody here knows
				}
				if used = seen; seen {
					chip.ATC, chip.PurseMinor = of.Others[place].ATC, of.Others[place].PurseMinor
				}
			}
			if !used {
				chip.PurseMinor = h.initial // a chip that was never tapped has no memory of its own yet
			}
			if h.topATC > chip.ATC {
				if err := a.ahead(ctx, m, number, h, chip.ATC); err != nil {
					return err
				}
			}
			if purse := h.purse.balance(); chip.PurseMinor > purse+h.doubt.more {
				a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: h.opened, Kind: journal.Opened, Field: FieldPurse,
					Found:    fill("the chip of card %d holds %d", "卡%d芯片余额%d", number, chip.PurseMinor),
					Expected: fill("at most %d, loaded less spent", "不超过%d（圈存减消费）", purse), at: math.MaxInt64})
			}
			missing += h.purse.balance() - chip.PurseMinor
			open.more, open.less = open.more+h.doubt.more, open.less+h.doubt.less
		}
	}
	a.stranded(missing, open, list)
	return nil
}

// linkedMark stands between a card's name and that of an application with an account of its own.
const linkedMark = "/"

// linkedPlace is which of the accounts linked to a card one is, in the order of their numbers, and how many there are.
func (b *bank) linkedPlace(base string, card int64) (place, all int) {
	for _, number := range b.inOrder() {
		if name, _, linked := strings.Cut(b.cards[number].name, linkedMark); linked && name == base {
			if all++; number < card {
				place++
			}
		}
	}
	return place, all
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
func (a *auditor) stranded(missing int64, open doubt, list []*payCase) {
	for _, m := range a.members {
		if still, _ := m.reader.Still(); !still || m.lost {
			return
		}
	}
	var kept, least int64
	for _, p := range list {
		if t := &p.sides[theTills]; t.upload && t.business == businessOffline && !p.sides[theIssuers].posted && t.state != isDeclined {
			kept += t.amount
		}
	}
	if least = kept; slices.ContainsFunc(a.issuers, func(m *member) bool { return m.bank.offline }) {
		least = 0 // what is on its way may be an account's
	}
	if missing < least-open.more || missing > kept+a.refused+open.less {
		m := a.issuers[0]
		a.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldPurse, Found: fill("%d left the chips", "芯片共减少%d", missing),
			Expected: fill("%d, which the tills hold, and up to %d refused", "终端在途%d，另有被拒至多%d", kept, a.refused), at: math.MaxInt64})
	}
}
