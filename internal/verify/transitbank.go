package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// atAcquirer holds what the operator believes against the journal of its acquirer: every approval, and the money of all together.
func (t *transit) atAcquirer(ctx context.Context, dir string) (err error) {
	world, err := readWorld(dir)
	if err != nil {
		return err
	}
	for _, m := range world.Members {
		if m.Role != Acquirer {
			continue
		}
		reader, err := journalsql.OpenReader(ctx, filepath.Join(dir, journalsDir, m.Journal+journalSuffix))
		if err != nil {
			return err
		}
		err = t.compare(ctx, reader, m.Name)
		return errors.Join(err, reader.Close())
	}
	return fmt.Errorf("%w of an acquirer in %s", ErrNoJournals, dir)
}

// compare reads the acquirer's journal. What the acquirer knows beyond the operator is no finding while answers are on their way.
func (t *transit) compare(ctx context.Context, reader *journalsql.Reader, name string) error {
	for _, told := range t.told {
		if err := t.known(reader, name, told); err != nil {
			return err
		}
	}
	if len(t.asks) > t.holding() {
		return nil // messages are under way: the sums may differ by them
	}
	claimed, err := claimedFor(ctx, reader, t.terminal)
	if err != nil {
		return err
	}
	if expected := t.sums(operatorAcquirer).net(); claimed != expected {
		t.findings.add(Wrong{Role: Operator, Member: t.terminal, Field: FieldTotal, Found: fill("%d owed by the acquirer", "收单行应付%d", expected),
			Expected: fill("%d, by the acquirer's books", "收单行账上为%d", claimed), Witness: Witness{Role: Acquirer, Member: name, Row: 1}})
	}
	return nil
}

// holding is the number of maximums held: nothing is on its way for them.
func (t *transit) holding() (n int) {
	for _, a := range t.asks {
		if a.status == askHeld {
			n++
		}
	}
	return n
}

// known holds one approval against the acquirer's rows about it.
func (t *transit) known(reader *journalsql.Reader, name string, told toldAsk) error {
	place := &journal.Row{Seq: told.row, Kind: journal.Answered}
	asked, found, err := reader.FindKey(told.key)
	if err != nil {
		return err
	}
	t.report.Compared++
	if !found {
		t.fault(place, FieldCounterpart, wordNothing, fill("the payment in the journal of %s", "%s日志中的该笔交易", name))
		return nil
	}
	witness := func(row *journal.Row, field string, w Wrong) {
		w.Role, w.Member, w.Row, w.Kind, w.Field = Operator, t.terminal, told.row, journal.Answered, field
		w.Witness = Witness{Role: Acquirer, Member: name, Row: row.Seq}
		t.findings.add(w)
	}
	if asked.Amount != told.minor {
		witness(&asked, "amount", Wrong{Found: number(told.minor), Expected: number(asked.Amount)})
	}
	if asked.RRN != "" && told.rrn != "" && asked.RRN != told.rrn {
		witness(&asked, "rrn", Wrong{Found: quoted(told.rrn), Expected: quoted(asked.RRN)})
	}
	end, found, err := reader.FindKey(told.key + endMark)
	if err != nil {
		return err
	}
	approved := unionpay.UnpackResponseCode(end.Reason).Approved() && end.Kind == journal.Answered
	if !found || !approved {
		witness(&asked, FieldEnd, Wrong{Found: fill("approved", "批准"), Expected: codeTerm(end.Reason)})
	}
	return nil
}

// claimedFor is what an acquirer owes a terminal's merchant for that terminal: held and posted, less what was taken back.
func claimedFor(ctx context.Context, reader *journalsql.Reader, terminal string) (net int64, err error) {
	holds := map[uint64]int64{}
	_, last, err := reader.Ends()
	if err != nil {
		return 0, err
	}
	var batch journalsql.Batch
	err = reader.Rows(ctx, 0, uint64(min(max(last, 0), math.MaxInt64)), batchRows, &batch, func(b *journalsql.Batch) (*journalsql.Batch, error) {
		for i := range b.Rows {
			r := &b.Rows[i]
			if r.Phase == ledger.Void {
				net -= holds[r.Resolves]
				delete(holds, r.Resolves)
				continue
			}
			if r.Terminal != terminal || r.Debit == 0 || r.Phase == ledger.Post {
				continue
			}
			minor := r.Amount
			if int64(r.Credit) == acquirerScheme {
				minor = -minor
			} else if int64(r.Debit) != acquirerScheme {
				continue
			}
			net += minor
			if r.Phase == ledger.Pending {
				holds[r.Seq] = minor
			}
		}
		return b, nil
	})
	return net, err
}
