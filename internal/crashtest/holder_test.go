//go:build unix

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// record is what the generator knows of one payment.
type record struct {
	key      string
	card     int64
	atc      uint16
	request  *unionpay.FinancialRequest
	answers  int    // to the request
	answer   string // the first one's bytes
	code     unionpay.ResponseCode
	authCode string
	reversed bool // its reversal was acknowledged
}

// approved reports whether the money is still held, as far as the generator was told.
func (r *record) approved() bool { return r.answers > 0 && r.code.Approved() && !r.reversed }

// holder pays with one card, one payment after the other, until it is told to stop. What it does follows from the seed; when the bank dies does not.
type holder struct {
	hub      *hub
	chip     *chip
	random   *rand.Rand
	start    time.Time
	day      string
	number   *serial
	records  []*record
	unknown  int // requests whose connection ended before the answer
	repeats  int // answers to requests that had been answered before
	reversal int
	most     int // payments to make, 0: no limit
	err      error
}

// serial numbers the payments of all holders.
type serial struct {
	mu   sync.Mutex
	last int
}

func (s *serial) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

const (
	maxSTAN = 999999
	// perSecond is how many payments carry the same transmission time.
	perSecond = 1000
)

// next makes the request of the card's next payment. The amount tells one from the other.
func (h *holder) next() (*record, error) {
	n := h.number.next()
	at := h.start.Add(time.Duration(n/perSecond) * time.Second)
	amount := money.New(tapMinor+int64(n%1000), money.CNY)
	icc, err := h.chip.tap(amount)
	if err != nil {
		return nil, err
	}
	m := &unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: h.chip.number, Processing: unionpay.ProcessingSale, Amount: amount, TransmissionTime: at.Format("0102150405"), STAN: uint32(n%maxSTAN) + 1,
		LocalTime: at.Format("150405"), LocalDate: at.Format("0102"), SettlementDate: h.day, MerchantType: "5411",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "0" + sequence, Condition: unionpay.ConditionNormal,
		Acquirer: acquirerID, Forwarder: acquirerID, Track2: h.chip.track, RRN: fmt.Sprintf("%012d", n), Terminal: "T0000001",
		Merchant: "301000054110001", MerchantName: "SHOP ONE", Receiver: issuerID, ICC: icc,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1, NetworkCode: "000", ReadCapability: unionpay.ReadContactless},
	}}
	r := &record{key: unionpay.NetworkKey(m), card: h.chip.id, atc: h.chip.atc, request: m}
	h.records = append(h.records, r)
	return r, nil
}

func (h *holder) run(stop <-chan struct{}) {
	for h.err == nil && (h.most == 0 || len(h.records) < h.most) {
		select {
		case <-stop:
			return
		default:
		}
		r, err := h.next()
		if err == nil {
			err = h.pay(r)
		}
		h.err = err
	}
}

// pay brings a payment to an end that the generator knows. A request without an answer is sent again, or taken back, as a till does that gives up.
func (h *holder) pay(r *record) error {
	for r.answers == 0 {
		err := h.ask(r)
		switch {
		case err == nil:
		case !errors.Is(err, errBroken):
			return err
		case h.random.IntN(4) == 0:
			h.unknown++
			return h.takeBack(r)
		default:
			h.unknown++
		}
	}
	switch h.random.IntN(50) {
	case 0:
		return h.takeBack(r)
	case 1, 2:
		return h.again(r)
	}
	return nil
}

// ask sends the request and holds the answer against the first one.
func (h *holder) ask(r *record) error {
	a, err := h.hub.exchange(r.request)
	if err != nil {
		return err
	}
	m, ok := a.message.(*unionpay.FinancialResponse)
	if !ok {
		return fmt.Errorf("payment %s was answered by %T", r.key, a.message)
	}
	r.answers++
	if r.answers == 1 {
		r.answer, r.code, r.authCode = a.bytes, m.Response, m.AuthCode
		return nil
	}
	h.repeats++
	if a.bytes != r.answer {
		at := 0
		for at < min(len(a.bytes), len(r.answer)) && a.bytes[at] == r.answer[at] {
			at++
		}
		return fmt.Errorf("payment %s: answer %d differs from the first in byte %d: %s with code %q, first %s with code %q", r.key, r.answers, at,
			m.Response, m.AuthCode, r.code, r.authCode)
	}
	return nil
}

// again repeats a request until it is answered.
func (h *holder) again(r *record) error {
	for {
		err := h.ask(r)
		if !errors.Is(err, errBroken) {
			return err
		}
		h.unknown++
	}
}

// takeBack reverses a payment until that is acknowledged. Sometimes the request comes late: then it must not be approved.
func (h *holder) takeBack(r *record) error {
	p := r.request.Payment
	p.Track2, p.Response, p.Original = pan.Track2{}, unionpay.ReasonTimeout, unionpay.OriginalOf(r.request)
	for {
		a, err := h.hub.exchange(&unionpay.ReversalRequest{Payment: p})
		if errors.Is(err, errBroken) {
			h.unknown++
			continue
		}
		if err != nil {
			return err
		}
		if m, ok := a.message.(*unionpay.ReversalResponse); !ok || !m.Response.Approved() {
			return fmt.Errorf("reversal of %s is not acknowledged: %T", r.key, a.message)
		}
		break
	}
	h.reversal++
	r.reversed = true
	if r.answers == 0 && h.random.IntN(2) == 0 {
		return h.again(r)
	}
	return nil
}

// crowd is all holders.
type crowd struct {
	hub     *hub
	holders []*holder
	stop    chan struct{}
	group   sync.WaitGroup
}

// newCrowd makes a holder for each chip; most bounds the payments of each.
func newCrowd(h *hub, chips []*chip, seed uint64, most int) *crowd {
	c := &crowd{hub: h, stop: make(chan struct{})}
	now, number := time.Now().UTC(), new(serial)
	for _, chip := range chips {
		c.holders = append(c.holders, &holder{
			hub: h, chip: chip, random: rand.New(rand.NewPCG(seed, uint64(chip.id))), start: now, number: number, most: most,
			day: now.In(clock.Shanghai()).Format("0102"),
		})
	}
	return c
}

func (c *crowd) begin() {
	for _, h := range c.holders {
		c.group.Go(func() { h.run(c.stop) })
	}
}

// end lets every holder bring its payment to an end.
func (c *crowd) end() {
	close(c.stop)
	c.group.Wait()
}

// audit repeats one in so many of the payments, and the last ones of each holder, and holds the answers against the first ones.
func (c *crowd) audit(oneIn int) {
	const last = 16
	for _, h := range c.holders {
		c.group.Go(func() {
			for i, r := range h.records {
				if h.err == nil && r.answers > 0 && (i >= len(h.records)-last || i%oneIn == 0) {
					h.err = h.again(r)
				}
			}
		})
	}
	c.group.Wait()
}

// sums is what a run was made of.
type sums struct {
	payments, approved, declined, reversed, unknown, repeats int
	heldMinor                                                int64
}

func (s sums) String() string {
	return fmt.Sprintf("%d payments: %d approved, %d declined, %d taken back; %d requests without an answer, %d answers to repeats",
		s.payments, s.approved, s.declined, s.reversed, s.unknown, s.repeats)
}

func (c *crowd) sums(t testing.TB) (s sums) {
	t.Helper()
	var wrong []string
	defer func() { complain(t, wrong) }()
	for _, h := range c.holders {
		if h.err != nil {
			wrong = append(wrong, fmt.Sprintf("card %d: %v", h.chip.id, h.err))
		}
		s.unknown, s.repeats = s.unknown+h.unknown, s.repeats+h.repeats
		for _, r := range h.records {
			s.payments++
			switch {
			case r.reversed:
				s.reversed++
			case r.approved():
				s.approved++
				s.heldMinor += r.request.Amount.Minor()
			default:
				s.declined++
			}
		}
	}
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	for _, key := range c.hub.strays {
		wrong = append(wrong, fmt.Sprintf("an answer to %s, for which nobody waited", key))
	}
	return s
}

// complain reports the first of many.
func complain(t testing.TB, wrong []string) {
	t.Helper()
	const most = 10
	for i, text := range wrong {
		if i == most {
			t.Errorf("and %d more", len(wrong)-most)
			return
		}
		t.Error(text)
	}
}

// entry is a row of the bank's journal as far as these tests look.
type entry struct {
	kind     journal.Kind
	card     int64
	atc      uint16
	minor    int64
	answer   string
	resolves uint64
	seq      uint64
}

// books is the bank's journal, read without the bank.
type books struct {
	byKey     map[string][]entry
	reversals map[string][]entry // by key of the payment
	rows      int
	tail      uint64
}

// journalPath is where the bank's journal lies in a data directory.
func journalPath(dir string) string { return filepath.Join(dir, "journals", "issuer-"+issuerID+".db") }

// readBooks reads the journal's rows in order and checks their chain.
func readBooks(ctx context.Context, path string) (*books, error) {
	reader, err := journalsql.OpenReader(ctx, path)
	if err != nil {
		return nil, err
	}
	b := &books{byKey: map[string][]entry{}, reversals: map[string][]entry{}}
	var chain journal.Chain
	err = readAll(ctx, reader, func(r *journal.Row) error {
		if err := chain.Check(r); err != nil {
			return err
		}
		b.take(r)
		return nil
	})
	return b, errors.Join(err, reader.Close())
}

func readAll(ctx context.Context, reader *journalsql.Reader, each func(r *journal.Row) error) error {
	_, last, err := reader.Ends()
	if err != nil {
		return err
	}
	return reader.Rows(ctx, 0, uint64(last), 512, new(journalsql.Batch), func(batch *journalsql.Batch) (*journalsql.Batch, error) {
		if len(batch.Damaged) > 0 {
			return nil, fmt.Errorf("a damaged row: column %s", batch.Damaged[0].Column)
		}
		for i := range batch.Rows {
			if err := each(&batch.Rows[i]); err != nil {
				return nil, err
			}
		}
		return batch, nil
	})
}

func (b *books) take(r *journal.Row) {
	b.rows, b.tail = b.rows+1, r.Seq
	e := entry{kind: r.Kind, card: r.Card, atc: r.ATC, minor: r.Amount, answer: string(r.Answer), resolves: r.Resolves, seq: r.Seq}
	if r.Key != "" && r.Kind != journal.Refused { // a refusal decides nothing: it keeps the key of a payment whose reversal came first
		b.byKey[r.Key] = append(b.byKey[r.Key], e)
	}
	if r.Kind == journal.Reversed {
		b.reversals[r.Payment] = append(b.reversals[r.Payment], e)
	}
}

// judge holds the journal against what the generator was told, and says what does not fit.
func (c *crowd) judge(b *books) (wrong []string) {
	known, counters := map[string]bool{}, map[[2]int64]string{}
	for _, h := range c.holders {
		for _, r := range h.records {
			known[r.key] = true
			if text := r.judge(b); text != "" {
				wrong = append(wrong, fmt.Sprintf("payment %s of card %d, counter %04X: %s", r.key, r.card, r.atc, text))
			}
		}
	}
	for key, entries := range b.byKey {
		for _, e := range entries {
			if e.kind != journal.Approved {
				continue
			}
			if !known[key] {
				wrong = append(wrong, fmt.Sprintf("row %d approves %s, which nobody asked for", e.seq, key))
			}
			counter := [2]int64{e.card, int64(e.atc)}
			if before := counters[counter]; before != "" {
				wrong = append(wrong, fmt.Sprintf("counter %04X of card %d pays %s and %s", e.atc, e.card, before, key))
			}
			counters[counter] = key
		}
	}
	return wrong
}

// judge says what is wrong with the rows of one payment.
func (r *record) judge(b *books) string {
	rows, reversals := b.byKey[r.key], b.reversals[r.key]
	switch {
	case len(rows) > 1:
		return fmt.Sprintf("%d rows decide it", len(rows))
	case r.reversed && len(reversals) != 1:
		return fmt.Sprintf("its reversal was acknowledged and has %d rows", len(reversals))
	case !r.reversed && len(reversals) > 0:
		return "it is reversed and nobody asked for that"
	case len(rows) == 0 && r.answers > 0 && r.code.Approved():
		return "its approval was acknowledged and is not in the journal"
	case len(rows) == 0:
		return ""
	}
	row := rows[0]
	approved := row.kind == journal.Approved
	switch {
	case row.card != r.card || row.atc != r.atc || row.minor != r.request.Amount.Minor():
		return fmt.Sprintf("row %d is about card %d, counter %04X, amount %d", row.seq, row.card, row.atc, row.minor)
	case r.answers > 0 && approved != r.code.Approved():
		return fmt.Sprintf("it was answered with %s and row %d says %v", r.code, row.seq, row.kind)
	case approved && r.answers > 0 && row.answer != r.authCode:
		return fmt.Sprintf("it was answered with the code %q and row %d says %q", r.authCode, row.seq, row.answer)
	case r.answers == 0 && !r.reversed:
		return "it has no known end"
	case r.reversed && approved && reversals[0].resolves != row.seq:
		return fmt.Sprintf("row %d reverses row %d and not row %d", reversals[0].seq, reversals[0].resolves, row.seq)
	}
	return ""
}
