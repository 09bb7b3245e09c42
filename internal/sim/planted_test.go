package sim

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// bug is a role with a bug in it: what it is told, what it decides and what it remembers can be changed.
type bug struct {
	role
	instead func(ev *journal.Event, step *journal.Step) bool // done; the core hears nothing
	tell    func(ev *journal.Event)
	decide  func(now time.Time, ev *journal.Event, step *journal.Step)
	recall  func(r *journal.Row)
	nothing bool // it says that nothing is outstanding
	archive func(a journal.Archive) journal.Archive
	keep    func(back *journal.Back)
}

func (b *bug) inner() role { return b.role }

// Open lets the core see its store through the bug.
func (b *bug) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	keeper, ok := b.role.(journal.Keeper)
	if !ok {
		return nil
	}
	if b.archive != nil {
		archive = b.archive(archive)
	}
	return keeper.Open(ctx, archive, watermark)
}

// WriteBack changes what the core writes back.
func (b *bug) WriteBack(back *journal.Back, rows int, durable uint64) {
	if keeper, ok := b.role.(journal.Keeper); ok {
		keeper.WriteBack(back, rows, durable)
		if b.keep != nil {
			b.keep(back)
		}
	}
}

// cracked is an archive with a bug in it.
type cracked struct {
	journal.Archive
	forgets bool // it finds no key
	change  func(c *journal.Cell)
}

func (c cracked) FindKey(ctx context.Context, key string) (*journal.Row, bool, error) {
	if c.forgets {
		return nil, false, nil
	}
	return c.Archive.FindKey(ctx, key)
}

func (c cracked) FindCell(ctx context.Context, id int64) (journal.Cell, bool, error) {
	cell, found, err := c.Archive.FindCell(ctx, id)
	if found && c.change != nil {
		c.change(&cell)
	}
	return cell, found, err
}

func through(c cracked) func(journal.Archive) journal.Archive {
	return func(a journal.Archive) journal.Archive {
		c.Archive = a
		return c
	}
}

// bankCell is the number of the cell of an issuer's own accounts.
const bankCell = math.MaxInt64

// sums of a cell of the bank's own accounts: of the scheme, then of the funding account, five each.
func bankSums(c *journal.Cell, change func(sums []uint64)) {
	var sums []uint64
	for b := c.Data[1:]; len(b) > 0; {
		v, n := binary.Uvarint(b)
		sums, b = append(sums, v), b[n:]
	}
	change(sums)
	c.Data = c.Data[:1]
	for _, v := range sums {
		c.Data = binary.AppendUvarint(c.Data, v)
	}
}

func (b *bug) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	if b.instead != nil && b.instead(ev, step) {
		return
	}
	if b.tell != nil {
		b.tell(ev)
	}
	b.role.Handle(now, ev, step)
	if b.decide != nil {
		b.decide(now, ev, step)
	}
}

func (b *bug) Replay(r *journal.Row) error {
	again := *r
	if b.recall != nil {
		b.recall(&again)
	}
	return b.role.Replay(&again)
}

func (b *bug) Book() *ledger.Book { return book(b.role) }

func (b *bug) Outstanding() int {
	if sender, ok := b.role.(interface{ Outstanding() int }); ok && !b.nothing {
		return sender.Outstanding()
	}
	return 0
}

// in plants a bug into every core of a kind.
func in(kind string, b bug) hooks {
	return hooks{role: func(k, _ string, r role) role {
		if k != kind {
			return r
		}
		planted := b
		planted.role = r
		return &planted
	}}
}

// rows changes the rows of some kinds that a step makes.
func rows(change func(r *journal.Row), kinds ...journal.Kind) func(time.Time, *journal.Event, *journal.Step) {
	return func(_ time.Time, _ *journal.Event, step *journal.Step) {
		for i := range step.Rows {
			if slices.Contains(kinds, step.Rows[i].Kind) {
				change(&step.Rows[i])
			}
		}
	}
}

// without drops effects.
func without(drop func(e *journal.Effect) bool) func(time.Time, *journal.Event, *journal.Step) {
	return func(_ time.Time, _ *journal.Event, step *journal.Step) {
		step.Effects = slices.DeleteFunc(step.Effects, func(e journal.Effect) bool { return drop(&e) })
	}
}

// reversals are what a queue of reversals does: messages and the timers that repeat them.
func reversals(e *journal.Effect) bool {
	_, reversal := e.Message.(*unionpay.ReversalRequest)
	return reversal || strings.HasPrefix(e.Timer, "deliver ")
}

// generous enrols a card with more than its row says.
func generous(more func(e *issuer.Enrolment)) bug {
	var told []byte
	return bug{
		tell: func(ev *journal.Event) {
			if c, ok := ev.Command.(issuer.Enrol); ok {
				told, _ = json.Marshal(c.Enrolment)
				more(&c.Enrolment)
				ev.Command = c
			}
		},
		decide: rows(func(r *journal.Row) { r.Note = told }, journal.Opened),
		recall: func(r *journal.Row) {
			if r.Kind != journal.Opened {
				return
			}
			var e issuer.Enrolment
			if json.Unmarshal(r.Note, &e) == nil {
				more(&e)
				r.Note, _ = json.Marshal(e)
			}
		},
	}
}

// chip is a memory with a bug in it.
type chip struct {
	memory
	commits int
	change  func(n int, before, after *card.ApplicationState)
}

func (c *chip) Commit(s *card.State) error {
	before, err := c.Load()
	if err != nil {
		return err
	}
	c.commits++
	after := *s
	c.change(c.commits, &before.Applications[0], &after.Applications[0])
	return c.memory.Commit(&after)
}

func onChip(change func(n int, before, after *card.ApplicationState)) hooks {
	return hooks{memory: func(m memory) memory { return &chip{memory: m, change: change} }}
}

// disk is a store with a bug in it.
type disk struct {
	*journal.MemStore
	commit func(d *disk, ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error
}

func (d *disk) Commit(ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
	return d.commit(d, ctx, epoch, rows, back)
}

func onDisk(kind string, commit func(d *disk, ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error) hooks {
	return hooks{store: func(k, _ string, m *journal.MemStore) journal.Store {
		if k != kind {
			return m
		}
		return &disk{m, commit}
	}}
}

// steady is Rough without crashes: what a process has in memory stays.
func steady() Faults {
	f := Rough()
	f.Crash, f.Sudden = 0, 0
	return f
}

// shaky is Rough with many crashes and thieves.
func shaky() Faults {
	f := Rough()
	f.Crash, f.Replay, f.Zombie = 20, 400, thousand
	return f
}

// planted is a bug and the invariant that it breaks.
type planted struct {
	law    string // that must be found broken
	bug    string
	hooks  hooks
	faults Faults
	small  bool // issuers remember little
}

func plants() []planted {
	return slices.Concat(plantsForVerify(), plantsForOwn(), plantsForCells())
}

func plantsForVerify() []planted {
	utc := clock.Calendar{}
	return []planted{
		{"hash-chain", "a disk that turns a bit", onDisk(verify.Acquirer, func(d *disk, ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
			err := d.MemStore.Commit(ctx, epoch, rows, back)
			if seq := rows[0].Seq; err == nil && seq%40 == 0 {
				d.Tamper(seq/2, func(r *journal.Row) { r.Amount ^= 1 })
			}
			return err
		}), Rough(), false},
		{"one-key-one-content", "an acquirer that rounds up", in(verify.Acquirer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			for i := range step.Effects {
				if m, ok := step.Effects[i].Message.(*unionpay.FinancialRequest); ok && m.Amount.Minor()%10 == 9 {
					more := *m
					more.Amount, _ = m.Amount.Add(m.Amount)
					step.Effects[i].Message = &more
				}
			}
		}}), Rough(), false},
		{"ledger-balanced", "an issuer that releases more than it held", in(verify.Issuer, bug{decide: rows(func(r *journal.Row) {
			if r.Resolves != 0 {
				r.Amount++
			}
		}, journal.Reversed)}), steady(), false},
		{"balances-from-rows", "an issuer that writes down less than it credits", in(verify.Issuer, bug{decide: rows(func(r *journal.Row) { r.Amount-- }, journal.Posted)}), steady(), false},
		{"no-overdraft", "an issuer that lends", in(verify.Issuer, generous(func(e *issuer.Enrolment) { e.CreditMinor += 1_000_000 })), Rough(), false},
		{"counter-once", "an issuer that forgets counters when it restarts", in(verify.Issuer, bug{recall: func(r *journal.Row) {
			if len(r.Note) == 2 {
				r.Note = []byte{r.Note[0] &^ 2, r.Note[1]}
			}
		}}), shaky(), false},
		{"counter-of-chip", "a chip whose counter runs back", onChip(func(n int, _, after *card.ApplicationState) {
			if n%9 == 0 && after.ATC > 3 {
				after.ATC -= 3
			}
		}), Rough(), false},
		{"pin-tries", "an issuer for which a wrong PIN costs nothing", in(verify.Issuer, bug{decide: rows(func(r *journal.Row) {
			if issuer.Reason(r.Reason) == issuer.PINWrong {
				r.Note = []byte{r.Note[0], r.Note[1] + 1}
			}
		}, journal.Declined)}), Rough(), false},
		{"day-limits", "an issuer that looks away", in(verify.Issuer, generous(func(e *issuer.Enrolment) {
			e.Limits.TapMinor *= 10
			e.Limits.DayMinor *= 10
			e.Limits.DayCount *= 10
			e.Limits.NoPINDayMinor *= 10
		})), Rough(), false},
		{"business-date", "a switch with the date of Greenwich", in(verify.Switch, bug{decide: rows(func(r *journal.Row) { r.BusinessDate = utc.BusinessDate(r.At) },
			journal.Requested)}), Rough(), false},
		{"payment-ends-once", "an acquirer that ends a payment twice", in(verify.Acquirer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			for _, r := range step.Rows {
				if r.Kind == journal.Answered {
					r.Key, r.Debit, r.Credit, r.Phase = "", 0, 0, 0
					step.Append(r)
				}
			}
		}}), steady(), false},
		{"outcomes-agree", "an acquirer that is too kind", in(verify.Acquirer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			for i := range step.Effects {
				if m, ok := step.Effects[i].Message.(*unionpay.FinancialResponse); ok && m.Response == unionpay.InsufficientFunds {
					kind := *m
					kind.Response = unionpay.Approved
					step.Effects[i].Message = &kind
				}
			}
		}}), Rough(), false},
		{"holds-equal-claims", "an acquirer that forgets to void", in(verify.Acquirer, bug{decide: rows(func(r *journal.Row) {
			r.Debit, r.Credit, r.Amount, r.Phase, r.Resolves = 0, 0, 0, 0, 0
		}, journal.Reversed)}), steady(), false},
		{"purse-conserved", "a till that forgets what it took", in(verify.Till, bug{instead: func(ev *journal.Event, step *journal.Step) bool {
			_, offline := ev.Command.(pos.Store)
			if offline {
				step.Emit(journal.Effect{Reply: pos.Stored{}})
			}
			return offline
		}}), Rough(), false},
		{"deliveries-acknowledged", "a switch that drops reversals", in(verify.Switch, bug{decide: without(reversals), nothing: true}), Rough(), false},
	}
}

func plantsForOwn() []planted {
	events := 0
	return []planted{
		{lawAcknowledged.Name, "an issuer that refuses what its card approved", in(verify.Issuer, bug{instead: func(ev *journal.Event, step *journal.Step) bool {
			m, ok := ev.Message.(*unionpay.FinancialRequest)
			if !ok || m.Info.MessageType != unionpay.KindOfflineUpload {
				return false
			}
			step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.SuspectedFraud})})
			return true
		}}), Rough(), false},
		{lawRefused.Name, "a till that gives up silently", in(verify.Till, bug{decide: without(reversals), nothing: true}), Rough(), false},
		{lawReceipt.Name, "a till that acknowledges before it commits", in(verify.Till, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			step.Rows = slices.DeleteFunc(step.Rows, func(r journal.Row) bool { return r.Kind == journal.Answered })
		}}), Rough(), false},
		{lawFirst.Name, "an issuer that numbers repeats anew", in(verify.Issuer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			for i := range step.Effects {
				if m, ok := step.Effects[i].Message.(*unionpay.FinancialResponse); ok && len(step.Rows) == 0 && m.AuthCode != "" {
					other := *m
					other.AuthCode = "999999"
					step.Effects[i].Message = &other
				}
			}
		}}), Rough(), false},
		{lawReplay.Name, "an acquirer that forgets reversals when it restarts", in(verify.Acquirer, bug{recall: func(r *journal.Row) {
			if r.Kind == journal.Reversed {
				r.Debit, r.Credit, r.Amount, r.Phase, r.Resolves = 0, 0, 0, 0, 0
			}
		}}), steady(), false},
		{lawSettles.Name, "an acquirer that acknowledges no reversal", in(verify.Acquirer, bug{decide: without(func(e *journal.Effect) bool {
			_, ok := e.Message.(*unionpay.ReversalResponse)
			return ok
		})}), Rough(), false},
		{lawChip.Name, "a chip that pays twice", onChip(func(n int, before, after *card.ApplicationState) {
			if paid := before.Purses[0].Balance - after.Purses[0].Balance; n%4 == 0 && paid > 0 && after.Purses[0].Balance >= paid {
				after.Purses[0].Balance -= paid
			}
		}), Rough(), false},
		{lawLoad.Name, "a chip that takes half a load", onChip(func(_ int, before, after *card.ApplicationState) {
			if gained := after.Purses[0].Balance - before.Purses[0].Balance; gained > 1 {
				after.Purses[0].Balance -= gained / 2
			}
		}), Faults{}, false},
		{"payment-ends-once", "an acquirer that pays merchants for loads", in(verify.Acquirer, bug{decide: rows(func(r *journal.Row) {
			if r.Debit == 0 && unionpay.UnpackResponseCode(r.Reason).Approved() {
				r.Debit, r.Credit, r.Phase = 1, 100, ledger.Pending
			}
		}, journal.Answered)}), Faults{}, false},
		{"holds-equal-claims", "an acquirer that forgets the cash", in(verify.Acquirer, bug{decide: rows(func(r *journal.Row) {
			if r.Phase == ledger.Post {
				r.Phase = ledger.Void
			}
		}, journal.ScriptReported)}), Faults{}, false},
		{lawFence.Name, "a disk that lets everybody write", onDisk(verify.Switch, func(d *disk, ctx context.Context, _ uint64, rows []journal.Row, back *journal.Back) error {
			epoch, err := d.Claim(ctx, "anybody")
			return errors.Join(err, d.MemStore.Commit(ctx, epoch, rows, back))
		}), shaky(), false},
		{lawMessages.Name, "an acquirer that answers the wrong terminal", in(verify.Acquirer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			for i := range step.Effects {
				if e := &step.Effects[i]; e.To == "T0000003" {
					e.To = "T0000099"
				}
			}
		}}), Rough(), false},
		{lawSurprise.Name, "a switch with a panic in it", in(verify.Switch, bug{tell: func(*journal.Event) {
			if events++; events%200 == 0 {
				panic("a bug")
			}
		}}), Rough(), false},
		{lawSurprise.Name, "a disk that is full", onDisk(verify.Issuer, func(d *disk, ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
			if rows[0].Seq > 300 {
				return errors.New("no space left on device")
			}
			return d.MemStore.Commit(ctx, epoch, rows, back)
		}), Rough(), false},
	}
}

// plantsForCells are bugs of issuers that do not have everything in memory.
func plantsForCells() []planted {
	steps := 0
	return []planted{
		{"early-reversals", "an issuer that does not spend the key", in(verify.Issuer, bug{decide: func(_ time.Time, _ *journal.Event, step *journal.Step) {
			step.Rows = slices.DeleteFunc(step.Rows, func(r journal.Row) bool { return r.Kind == journal.Refused && r.Key != "" })
		}}), Rough(), true},
		{"early-reversals", "an issuer that gives back on another date", in(verify.Issuer, bug{decide: rows(func(r *journal.Row) {
			if len(r.Answer) == 5 {
				r.Answer = []byte{r.Answer[0], r.Answer[1], r.Answer[2], r.Answer[3] - 1, r.Answer[4]}
			}
		}, journal.Reversed)}), steady(), true},
		{verify.CellsFromRows, "a cache that puts away what was not written", in(verify.Issuer, bug{keep: func(back *journal.Back) {
			back.Cells = slices.DeleteFunc(back.Cells, func(c journal.Cell) bool {
				steps++
				return c.ID != bankCell && steps%7 == 0
			})
		}}), Rough(), true},
		{verify.CellsFromRows, "a write-back that skips the cell of the bank's own accounts", in(verify.Issuer, bug{keep: func(back *journal.Back) {
			back.Cells = slices.DeleteFunc(back.Cells, func(c journal.Cell) bool {
				steps++
				return c.ID == bankCell && steps%5 == 0
			})
		}}), Rough(), true},
		{verify.CellsFromRows, "a watermark one too high", in(verify.Issuer, bug{keep: func(back *journal.Back) {
			if back.Watermark > 0 {
				back.Watermark++
			}
		}}), steady(), true},
		{verify.CellsFromRows, "a cell one row too late", in(verify.Issuer, bug{keep: func(back *journal.Back) {
			for i := range back.Cells {
				back.Cells[i].Seq++
			}
		}}), steady(), true},
		{verify.CellsFromRows, "a disk that turns a bit of a cell", onDisk(verify.Issuer, func(d *disk, ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
			err := d.MemStore.Commit(ctx, epoch, rows, back)
			if seq := rows[0].Seq; err == nil && seq%40 == 0 && back != nil && len(back.Cells) > 0 {
				d.TamperCell(back.Cells[0].ID, func(c *journal.Cell) { c.Data[len(c.Data)/2] ^= 1 })
			}
			return err
		}), steady(), true},
		{verify.CardsFromRows, "a card that comes back with all its tries", in(verify.Issuer, bug{archive: through(cracked{change: func(c *journal.Cell) {
			if c.ID != bankCell {
				c.Data[2] = 3
			}
		}})}), Rough(), true},
		{"cells-from-rows", "a redo that applies twice", in(verify.Issuer, bug{archive: through(cracked{change: func(c *journal.Cell) {
			if c.ID == bankCell {
				bankSums(c, func(sums []uint64) { sums[4] = 0 })
			}
		}})}), shaky(), true},
		{lawReplay.Name, "a restart that forgets what is held", in(verify.Issuer, bug{archive: through(cracked{change: func(c *journal.Cell) {
			if c.ID == bankCell {
				bankSums(c, func(sums []uint64) { sums[2] = 0 })
			}
		}})}), steady(), true},
		{lawSurprise.Name, "a forgotten key answered anew", in(verify.Issuer, bug{archive: through(cracked{forgets: true})}), Rough(), true},
	}
}

// plantedTaps is within how many taps each planted bug must be found.
const plantedTaps = 1_000

// plantedSeeds is how many worlds a planted bug may hide in.
const plantedSeeds = 6

func TestPlantedBugsAreFound(t *testing.T) {
	found := map[string]bool{}
	for _, p := range plants() {
		t.Run(p.law+": "+p.bug, func(t *testing.T) {
			p.hooks.steady, p.hooks.whole = true, !p.small
			var names []string
			var r Report
			for seed := uint64(11); seed < 11+plantedSeeds && !slices.Contains(names, p.law); seed++ { // another law may notice it first
				var err error
				if r, err = Run(context.Background(), Options{Seed: seed, Taps: plantedTaps, Faults: p.faults, hooks: p.hooks}); err != nil {
					t.Fatal(err)
				}
				names = nil
				for _, f := range r.Findings {
					names = append(names, f.Name)
					found[f.Name] = true
				}
			}
			if !slices.Contains(names, p.law) {
				t.Fatalf("found %v, want %s; %+v", r.Findings, p.law, r.Counts)
			}
			t.Logf("after %d taps: %v", r.Findings[0].Taps, names)
		})
	}
	for _, law := range Laws() {
		if !found[law.Name] {
			t.Errorf("no planted bug breaks %s", law.Name)
		}
	}
}
