package sim

import (
	"context"
	"errors"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/pinblock"
	"tapnet/terminal"
)

// till is a node with a cashier.
type till struct {
	*node
	merchant   personalization.Merchant
	made, core *pos.Till // the role made last, and the one that runs
	busy       bool
	task       *task  // of the sale that goes on
	waiting    *task  // the same while it waits for an answer
	ended      uint64 // the sale whose end the core told last
	sales      []*sale
	lastCash   *cashLoad
	past       []pastSale // what a merchant may go on with
}

// begin connects the core of a new life to its cashier.
func (t *till) begin(role) {
	t.core = t.made
	life := t.life
	t.core.Attach(func(_ context.Context, command any) (any, error) { return t.ask(life, command) })
}

func (t *till) told(finding any) {
	if outcome, ok := finding.(pos.Outcome); ok {
		t.ended = outcome.Sale
		t.wake()
	}
}

// wake lets the cashier look up.
func (t *till) wake() {
	if waits := t.waiting; waits != nil {
		t.waiting = nil
		t.world.clock.AfterFunc(0, waits.resume)
	}
}

// ask carries the cashier's command to the core. For an online payment it comes back when that has ended; meanwhile everybody else works.
func (t *till) ask(life int, command any) (any, error) {
	if t.life != life {
		return nil, errInterrupted // the cashier's process stopped while the holder looked for the card
	}
	t.ended = 0
	reply, err := t.node.ask(command)
	var awaited uint64
	switch c := command.(type) {
	case pos.Authorize:
		awaited = c.Sale
	case pos.Settle:
		awaited = c.Sale
	}
	if awaited == 0 || err != nil {
		return reply, err
	}
	for t.ended != awaited {
		if t.life != life || !t.up || t.world.over {
			return nil, errInterrupted
		}
		t.waiting = t.task
		if !t.task.wait() {
			return nil, errInterrupted
		}
	}
	return reply, nil
}

// use runs something at the till as a task of its own.
func (t *till) use(body func()) {
	t.busy = true
	t.world.begin(func(own *task) {
		t.task = own
		body()
		t.task, t.busy = nil, false
	})
}

func interrupted(err error) bool {
	var stopped *journal.StoppedError
	return errors.Is(err, errInterrupted) || errors.As(err, &stopped)
}

func (w *world) freeTill() *till {
	t := w.tills[w.random.IntN(len(w.tills))]
	if t.busy || !t.up || t.stepper == nil {
		return nil
	}
	return t
}

func (w *world) freeHolder() *holder {
	for range 2 * cardsInUse {
		// New cards stand at the end; most of the old ones are retired.
		h := w.holders[len(w.holders)-1-w.random.IntN(min(len(w.holders), 2*cardsInUse))]
		if !h.busy && !h.retired {
			return h
		}
	}
	return nil
}

// sale is one purchase, what it was meant to be and what came of it.
type sale struct {
	world    *world
	till     *till
	holder   *holder
	minor    int64
	rowsThen int // of the till's journal when it began
	before   map[*holder]int64
	began    time.Time
	last     *holder // whose card was held to the reader last; another one may pay when the first has not
	shown    int     // times a card was held to the reader
	clean    bool    // the right card came back in time and stayed
	receipt  pos.Receipt
	over     bool     // the cashier has a receipt
	troubles int      // of security modules before it began
	life     int      // of the till in which it began
	verb     pos.Verb // with the card in the slot; zero is a tap
}

// tearMost is the most commands after which a card is taken away; a payment has fewer.
const tearMost = 14

// field holds a card to the reader, and perhaps takes it away again.
func (s *sale) field(h *holder) *card.Field {
	w, f := s.world, card.NewField(h.chip)
	if _, known := s.before[h]; !known {
		s.before[h], h.busy = h.purse(), true
	}
	s.shown++
	s.last = h
	if !w.chance(w.faults.Tear) && (s.shown == 1 || !w.chance(2*w.faults.Tear)) {
		return f
	}
	w.counts.Tears++
	switch at := 1 + w.random.IntN(tearMost); w.random.IntN(5) {
	case 0:
		f.TearBeforeCommand(at)
	case 1, 2:
		f.TearAfterCommand(at)
	case 3:
		f.TearBeforeCommit(1 + at%2)
	default:
		f.TearAfterCommit(1 + at%2)
	}
	return f
}

// Bringing a card back: most do at once, some when it is too late, and somebody else's card may come first.
const (
	presentMost    = 4
	backAtOnce     = 8 * time.Second
	backLate       = 90 * time.Second
	backInTime     = terminal.DefaultRetapProcess - 5*time.Second
	enterPINWithin = 20 * time.Second
)

// presentAgain is what the holder does when the terminal asks for the card again.
func (s *sale) presentAgain() apdu.Transceiver {
	w, t := s.world, s.till
	s.clean = false
	draw := w.random.IntN(10)
	wait := backAtOnce
	if draw == 0 {
		wait = backLate
	}
	if draw == 1 || s.shown >= presentMost || !t.task.sleep(w.upTo(wait)) || s.dead() {
		return nil
	}
	if draw == 2 {
		if other := w.freeHolder(); other != nil {
			return s.field(other)
		}
	}
	s.clean = w.now().Sub(s.began) < backInTime
	return s.field(s.holder)
}

// dead reports whether the process that the sale began in has stopped: nobody at the till waits for the card any more.
func (s *sale) dead() bool { return !s.till.up || s.till.life != s.life }

// enterPIN is the holder at the keypad.
func (s *sale) enterPIN() (pinblock.PIN, bool) {
	w := s.world
	if !s.till.task.sleep(w.upTo(enterPINWithin)) || s.dead() || w.random.IntN(20) == 0 {
		return pinblock.PIN{}, false
	}
	if w.chance(w.faults.WrongPIN) {
		wrong, err := pinblock.ParsePIN(w.digits(4))
		return wrong, err == nil
	}
	return s.holder.personal.PIN, true
}

// amount draws what is bought: coffee, groceries, a coat, or furniture. They lie on both sides of every limit.
func (w *world) amount() int64 {
	r := w.random
	switch draw := r.IntN(20); {
	case draw < 9:
		return 1 + r.Int64N(4_000)
	case draw < 16:
		return 1 + r.Int64N(100_000)
	case draw < 17:
		return 100_000 + r.Int64N(2) // at the no-PIN limit and just above
	case draw < 19:
		return 1 + r.Int64N(600_000)
	}
	return 1 + r.Int64N(6_000_000)
}

// somebody does something: a sale most of the time.
func (w *world) somebody() {
	if w.chance(w.faults.Sudden) {
		victim := w.nodes[w.random.IntN(len(w.nodes))]
		w.clock.AfterFunc(w.upTo(2*latencyMax), victim.crash)
	}
	if w.chance(w.faults.Change) {
		w.alter()
	}
	if w.chance(w.faults.Replay) {
		w.replay()
	}
	if w.random.IntN(thousand) < settleShare {
		w.settleBatch()
	}
	if w.random.IntN(thousand) < afterShare {
		w.goOn()
	}
	t, h := w.freeTill(), w.freeHolder()
	if t == nil || h == nil {
		return
	}
	s := &sale{
		world: w, till: t, holder: h, minor: w.amount(), before: map[*holder]int64{}, began: w.now(), clean: true, troubles: w.counts.Unanswered,
		life: t.life, verb: w.errandOf(t, h),
	}
	if s.loads() {
		s.minor = 1 + w.random.Int64N(loadMost)
	}
	w.taps++
	defer w.catch()
	t.use(s.run)
}

// run makes the sale.
func (s *sale) run() {
	w, t, h := s.world, s.till, s.holder
	s.rowsThen = len(w.read(t.node))
	t.sales = append(t.sales, s)
	ask := pos.Sale{
		Amount: w.money(s.minor), OfflineOnly: t.merchant.Offline, AskPIN: w.random.IntN(8) == 0,
		Now: func() time.Time { return t.clock.Now().In(w.calendar.Zone) }, EnterPIN: s.enterPIN, PresentAgain: s.presentAgain,
	}
	var receipt pos.Receipt
	var err error
	if s.verb != 0 {
		receipt, err = s.insert(ask)
	} else {
		receipt, err = t.core.Sell(context.Background(), s.field(h), ask)
	}
	if w.over {
		return
	}
	s.receipt = receipt
	switch {
	case err == nil && receipt.STAN == 0 && s.dead(): // there is no cashier left to see it
		w.counts.Ends["interrupted"]++
	case err == nil:
		s.over = true
		t.remember(receipt)
		w.counts.Ends[endName(receipt.End)]++
		if s.verb != 0 && receipt.End == pos.ApprovedOnline {
			w.counts.Verbs[s.verb]++
		}
	case interrupted(err), w.counts.Unanswered > s.troubles: // the till's security module failed, or the till
		w.counts.Ends["interrupted"]++
	default:
		w.broken(err)
	}
	if s.loads() {
		s.accountLoad()
	} else {
		s.account()
	}
	for shown := range s.before {
		shown.busy = false
	}
	s.before = nil
	h.refused++
	if s.over && (receipt.End == pos.ApprovedOffline || receipt.End == pos.ApprovedOnline) {
		h.refused = 0
	}
	if h.refused > refusedMost || w.chance(retireRate) {
		w.replace(h)
	}
}

// account compares what left the purses with what was sold.
func (s *sale) account() {
	w := s.world
	number := s.receipt.PAN
	for _, h := range w.holders {
		before, shown := s.before[h]
		if !shown {
			continue
		}
		left, want := before-h.purse(), int64(0)
		if s.over && s.receipt.End == pos.ApprovedOffline && h.personal.PAN == number || !s.over && h == s.last && s.queued() {
			want = s.minor
		}
		switch {
		case left == want:
		case left == s.minor && want == 0 && !(s.clean && s.over):
			// The card has paid and nobody has the payment: it never came back, or the till died before it had written it down.
			h.stranded += left
			w.counts.Stranded += left
		default:
			w.find(lawChip, "%s: the sale of %d ended as %s, but %d left the purse of card %s", "%s：金额%d的交易以“%s”结束，但卡%[5]s电子现金减少%[4]d", s.till.name, s.minor,
				endName(s.receipt.End), left, h.personal.Spec.Name)
		}
	}
}

// queued reports whether the till wrote an offline payment down during the sale.
func (s *sale) queued() bool {
	for _, r := range s.world.read(s.till.node)[s.rowsThen:] {
		if r.Kind == journal.Queued {
			return true
		}
	}
	return false
}

// Ends are the names under which Counts has the ends of taps, in the order of reports.
func Ends() []string {
	return []string{"approved online", "approved offline", "declined online", "declined offline", "taken back", "PIN missing", "not begun", "not known",
		"no payment", "interrupted"}
}

func endName(e pos.End) string {
	switch e {
	case pos.ApprovedOnline:
		return "approved online"
	case pos.ApprovedOffline:
		return "approved offline"
	case pos.DeclinedOnline:
		return "declined online"
	case pos.DeclinedOffline:
		return "declined offline"
	case pos.TakenBack:
		return "taken back"
	case pos.PINMissing:
		return "PIN missing"
	case pos.NotBegun:
		return "not begun"
	case pos.NotKnown:
		return "not known"
	}
	return "no payment"
}
