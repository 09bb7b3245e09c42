package verifytest

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/ledger"
)

// BankCell is the number of the cell of an issuer's own accounts.
const BankCell int64 = math.MaxInt64

const (
	cellVersion    = 1
	daysKept       = 3
	windowWidth    = 64
	pinGiven       = 1
	counterUsed    = 2
	noPINAllowed   = 1
	contactlessOn  = 2
	standingActive = 1
)

// keeper follows an issuer's rows and writes cells as a role would: a card now and then, not each time that it changes.
type keeper struct {
	issuer          string
	cards           map[int64]*keptCard
	scheme, funding balance
	last            uint64
	back            journal.Back
}

type balance struct {
	ledger.Balance
	last uint64
}

type day struct {
	date              int32
	minor, noPINSpent int64
	count             int64
}

type keptCard struct {
	name           [16]byte
	seq, waits     uint64 // last row, and the first that is in no cell yet
	tries          byte
	online, top    uint16
	seen           uint64
	days           [daysKept]day
	account, purse balance
	text           string
	written        bool
}

func newKeeper(issuer string) *keeper { return &keeper{issuer: issuer, cards: map[int64]*keptCard{}} }

// fingerprint and reference are what the enrolment of a card says.
func fingerprint(card int64) (b [16]byte) {
	binary.BigEndian.PutUint64(b[4:], uint64(card)*0x9E3779B97F4A7C15)
	b[0] = 1
	return b
}

func reference(card int64) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(card)*0xD1B54A32D192ED03)
	return b
}

func list(b [16]byte) string {
	text := ""
	for _, v := range b {
		text += fmt.Sprintf(",%d", v)
	}
	return "[" + text[1:] + "]"
}

// follow folds a row into the state.
func (k *keeper) follow(r *journal.Row) {
	k.last = r.Seq
	c := k.cards[r.Card]
	switch r.Kind {
	case journal.Opened:
		c = &keptCard{name: fingerprint(r.Card), tries: triesMax, text: k.issuer + "-" + strconv.FormatInt(r.Card, 10)}
		k.cards[r.Card] = c
	case journal.Posted:
		to := &c.account
		if r.Credit%10 == 1 {
			to = &c.purse
		}
		to.CreditsPosted, to.last = to.CreditsPosted+r.Amount, r.Seq
		k.funding.DebitsPosted, k.funding.last = k.funding.DebitsPosted+r.Amount, r.Seq
	case journal.Approved, journal.Declined, journal.Uploaded:
		k.decided(c, r)
	case journal.Reversed:
		if r.Resolves == 0 {
			return
		}
		k.hold(c, r, -r.Amount)
		c.spend(int32(binary.BigEndian.Uint32(r.Answer)), -r.Amount, r.Answer[4] == 1, -1)
	default:
		return
	}
	if c.seq = r.Seq; c.waits == 0 {
		c.waits = r.Seq
	}
}

func (k *keeper) hold(c *keptCard, r *journal.Row, amount int64) {
	c.account.DebitsPending, c.account.last = c.account.DebitsPending+amount, r.Seq
	k.scheme.CreditsPending, k.scheme.last = k.scheme.CreditsPending+amount, r.Seq
}

func (k *keeper) decided(c *keptCard, r *journal.Row) {
	flags := r.Note[0]
	if flags&counterUsed != 0 {
		ahead := windowWidth
		if c.seen != 0 {
			ahead = int(r.ATC) - int(c.top)
		}
		if ahead > 0 {
			c.top, c.seen = r.ATC, c.seen<<ahead|1
		} else {
			c.seen |= 1 << -ahead
		}
	}
	if r.Kind == journal.Uploaded {
		c.purse.DebitsPosted, c.purse.last = c.purse.DebitsPosted+r.Amount, r.Seq
		k.scheme.CreditsPosted, k.scheme.last = k.scheme.CreditsPosted+r.Amount, r.Seq
		return
	}
	c.tries = r.Note[1]
	if flags&counterUsed != 0 {
		c.online = max(c.online, r.ATC)
	}
	if r.Kind == journal.Approved {
		k.hold(c, r, r.Amount)
		c.spend(r.BusinessDate, r.Amount, flags&pinGiven == 0, 1)
	}
}

// spend counts on a date, if the date is not forgotten.
func (c *keptCard) spend(date int32, amount int64, noPIN bool, count int64) {
	at := slices.IndexFunc(c.days[:], func(d day) bool { return d.date == date })
	if at < 0 {
		if count < 0 || date < c.days[daysKept-1].date {
			return
		}
		at = daysKept - 1
		c.days[at] = day{date: date}
	}
	d := &c.days[at]
	d.minor, d.count = d.minor+amount, d.count+count
	if noPIN {
		d.noPINSpent += amount
	}
	slices.SortStableFunc(c.days[:], func(a, b day) int { return int(b.date - a.date) })
}

// write puts a card's cell into what goes with the next commit.
func (k *keeper) write(id int64) {
	c := k.cards[id]
	cell := k.back.Add(id, c.name, c.seq)
	cell.Data, c.waits, c.written = c.encode(cell.Data, id), 0, true
}

// sweep writes the bank's cell and the watermark.
func (k *keeper) sweep() {
	mark := k.last
	for _, c := range k.cards {
		if c.waits != 0 {
			mark = min(mark, c.waits-1)
		}
	}
	cell := k.back.Add(BankCell, [16]byte{}, k.last)
	cell.Data = k.funding.append(k.scheme.append(append(cell.Data, cellVersion)))
	k.back.Watermark = mark
}

// everyCard writes a cell for every card that has none.
func (k *keeper) everyCard() {
	for _, id := range slices.Sorted(maps.Keys(k.cards)) {
		if c := k.cards[id]; !c.written {
			k.write(id)
		}
	}
}

func (b *balance) append(dst []byte) []byte {
	for _, v := range [...]int64{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return binary.AppendUvarint(dst, b.last)
}

// Texts of every enrolment but the name.
const (
	maskedText, sequenceText, expiryText, productText = "629999******0000", "01", "3012", "debit"
)

func (c *keptCard) encode(dst []byte, id int64) []byte {
	dst = append(dst, cellVersion, standingActive, c.tries, noPINAllowed|contactlessOn)
	pin := reference(id)
	dst = append(dst, pin[:]...)
	n := binary.AppendUvarint
	dst = n(n(n(dst, uint64(c.online)), uint64(c.top)), c.seen)
	used := 0
	for used < daysKept && c.days[used].date != 0 {
		used++
	}
	dst = n(dst, uint64(used))
	for _, d := range c.days[:used] {
		dst = n(n(n(n(dst, uint64(d.date)), uint64(d.minor)), uint64(d.noPINSpent)), uint64(d.count))
	}
	for _, v := range [...]uint64{0, 0, 0, 0, 0, chinaYuan, openingMinor, purseMinor} { // limits, credit line, enrolment
		dst = n(dst, v)
	}
	dst = c.purse.append(c.account.append(dst))
	for _, text := range [...]string{c.text, maskedText, sequenceText, expiryText, productText} {
		dst = append(n(dst, uint64(len(text))), text...)
	}
	return dst
}

// Cells reads the cells of a journal in order of number, and its watermark.
func Cells(ctx context.Context, dir, name string) (cells []journal.Cell, watermark uint64, err error) {
	store, err := journalsql.OpenReader(ctx, Path(dir, name))
	if err != nil {
		return nil, 0, err
	}
	watermark, err = store.Watermark(ctx)
	again := store.Cells(ctx, func(c *journal.Cell) error {
		cell := *c
		cell.Data = slices.Clone(c.Data)
		cells = append(cells, cell)
		return nil
	})
	slices.SortFunc(cells, func(a, b journal.Cell) int { return cmp.Compare(a.ID, b.ID) })
	return cells, watermark, errors.Join(err, again, store.Close())
}

// rewrite gives a journal other cells and another watermark.
func rewrite(ctx context.Context, dir, name string, change func(cells []journal.Cell, watermark uint64) ([]journal.Cell, uint64)) error {
	cells, watermark, err := Cells(ctx, dir, name)
	if err != nil {
		return err
	}
	reader, err := journalsql.OpenReader(ctx, Path(dir, name))
	if err != nil {
		return err
	}
	last, err := reader.LastInCells(ctx)
	if err := errors.Join(err, reader.Close()); err != nil {
		return err
	}
	cells, watermark = change(cells, watermark)
	return journalsql.WriteCells(Path(dir, name), cells, watermark, last)
}

// PutCell writes a cell as it is, over one of the same number.
func PutCell(ctx context.Context, dir, name string, c journal.Cell) error {
	return rewrite(ctx, dir, name, func(cells []journal.Cell, watermark uint64) ([]journal.Cell, uint64) {
		return append(slices.DeleteFunc(cells, func(other journal.Cell) bool { return other.ID == c.ID }), c), watermark
	})
}

// DropCell takes a cell away.
func DropCell(ctx context.Context, dir, name string, id int64) error {
	return rewrite(ctx, dir, name, func(cells []journal.Cell, watermark uint64) ([]journal.Cell, uint64) {
		return slices.DeleteFunc(cells, func(c journal.Cell) bool { return c.ID == id }), watermark
	})
}

// SetWatermark has the cells say that they are complete up to a row.
func SetWatermark(ctx context.Context, dir, name string, mark uint64) error {
	return rewrite(ctx, dir, name, func(cells []journal.Cell, _ uint64) ([]journal.Cell, uint64) { return cells, mark })
}
