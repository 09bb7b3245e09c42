package verifytest

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// Options of Generate.
type Options struct {
	Payments int
	Tills    int           // zero is four
	Cards    int           // of each of the two issuers; zero is a hundred
	Every    time.Duration // between two payments; zero is 100 ms
	Start    time.Time     // zero is noon in Shanghai on a Saturday
	Seed     uint64
	Sealed   int    // bytes of each sealed message; zero is about what a sale has
	Live     func() // makes every row durable by itself, and is called now and then: for tests that look on
	Cells    bool   // the issuers keep cells beside their rows
	NoTills  bool   // leaves the tills' journals out, as in the directory of a network without merchants
}

// Names of the generated world.
const (
	SwitchName   = "00010000"
	AcquirerName = "30010000"
	IssuerOne    = "10010000"
	IssuerTwo    = "10020000"
)

// TillName is the terminal of a generated till, from 0.
func TillName(i int) string { return fmt.Sprintf("T%07d", i+1) }

const (
	openingMinor  = 1_000_000_000_00
	purseMinor    = 1_000_000_00
	merchantsFrom = 100
	latency       = 3 * time.Millisecond
	tillWaits     = 60 * time.Second
	switchWaits   = 30 * time.Second
	sealedBytes   = 300
	chinaYuan     = 156
	triesMax      = 3
	answerICC     = 12
	liveEvery     = 20
)

// Generate writes a world and its payments into a directory and gives what the chips say. Nothing is under way at the end.
func Generate(ctx context.Context, dir string, o Options) ([]verify.Chip, error) {
	g := newGenerator(o)
	var err error
	if g.store, err = NewStore(ctx, dir, g.world()); err != nil {
		return nil, err
	}
	g.ctx = ctx
	for _, name := range [...]string{IssuerOne, IssuerTwo} {
		if g.Cells {
			g.store.files[issuerJournal(name)].keep = newKeeper(name)
		}
	}
	g.enrol()
	if o.Live != nil {
		g.err = g.store.Flush(ctx)
		g.store.batch = 1
	}
	for i := range o.Payments {
		if g.err != nil || ctx.Err() != nil {
			break
		}
		g.until(g.start.Add(time.Duration(i) * g.every))
		g.pay()
		if g.Live != nil && i > 0 && i%liveEvery == 0 {
			g.Live()
		}
	}
	if ctx.Err() == nil {
		g.until(g.now.Add(24 * time.Hour))
		g.keepRest()
	}
	return g.chips(), errors.Join(g.err, ctx.Err(), g.store.Close(ctx))
}

type generator struct {
	Options
	ctx    context.Context
	store  *Store
	err    error
	random *rand.Rand
	start  time.Time
	every  time.Duration
	now    time.Time
	due    events
	order  int
	tills  []uint32 // trace numbers
	serial uint64
	cards  []*card
	zone   clock.Calendar
	sealed []byte
}

type card struct {
	issuer string
	id     int64
	atc    uint16
	tries  int
	purse  int64
}

func (c *card) account() ledger.Account { return ledger.Account(1000 + 10*c.id) }

func newGenerator(o Options) *generator {
	g := &generator{Options: o, random: rand.New(rand.NewPCG(o.Seed, 0)), start: o.Start, every: o.Every, zone: clock.Calendar{Zone: clock.Shanghai()},
		sealed: make([]byte, cmp.Or(o.Sealed, sealedBytes))}
	if g.Tills == 0 {
		g.Tills = 4
	}
	if g.Cards == 0 {
		g.Cards = 100
	}
	if g.every == 0 {
		g.every = 100 * time.Millisecond
	}
	if g.start.IsZero() {
		g.start = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	}
	g.now, g.tills = g.start.Add(-time.Hour), make([]uint32, g.Tills)
	for i := range g.sealed {
		g.sealed[i] = byte(g.random.Uint32())
	}
	for i := range 2 * g.Cards {
		g.cards = append(g.cards, &card{issuer: [...]string{IssuerOne, IssuerTwo}[i%2], id: int64(i/2 + 1), tries: triesMax, purse: purseMinor})
	}
	return g
}

func issuerJournal(name string) string { return "issuer-" + name }
func tillJournal(name string) string   { return "pos-" + name }

func (g *generator) world() verify.World {
	w := verify.World{Profile: "generated", Zone: verify.ZoneOf(g.zone), Members: []verify.WorldMember{
		{Journal: "switch", Role: verify.Switch, Name: SwitchName}, {Journal: "acquirer", Role: verify.Acquirer, Name: AcquirerName},
		{Journal: issuerJournal(IssuerOne), Role: verify.Issuer, Name: IssuerOne}, {Journal: issuerJournal(IssuerTwo), Role: verify.Issuer, Name: IssuerTwo},
	}}
	for i := range g.Tills {
		w.Merchants = append(w.Merchants, verify.MerchantAccount{Terminal: TillName(i), Account: merchantsFrom + ledger.Account(i)})
		if !g.NoTills {
			w.Members = append(w.Members, verify.WorldMember{Journal: tillJournal(TillName(i)), Role: verify.Till, Name: TillName(i)})
		}
	}
	return w
}

// event is something that happens later.
type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (g *generator) after(d time.Duration, do func()) {
	g.order++
	heap.Push(&g.due, event{g.now.Add(d), g.order, do})
}

func (g *generator) until(at time.Time) {
	for len(g.due) > 0 && !g.due[0].at.After(at) && g.err == nil {
		next := heap.Pop(&g.due).(event)
		g.now = next.at
		next.do()
	}
	g.now = at
}

// add appends the rows of an event, dated now, and gives the number of the first.
func (g *generator) add(name string, rows ...journal.Row) uint64 {
	f := g.store.files[name]
	if f == nil && g.NoTills {
		return 0
	}
	for i := range rows {
		r := &rows[i]
		r.At, r.BusinessDate = g.now, g.zone.BusinessDate(g.now)
		if r.Amount != 0 {
			r.Currency = chinaYuan
		}
	}
	if f != nil && f.keep != nil {
		g.keepSome(f.keep, rows[0].Card)
	}
	seq, err := g.store.Add(g.ctx, name, rows...)
	g.err = errors.Join(g.err, err)
	return seq
}

// Of the cards that change one in some is written back as it was before, and now and then the watermark follows: more seldom the more cards there are.
const (
	keepOneIn  = 3
	sweepOneIn = 50
)

func (g *generator) keepSome(k *keeper, card int64) {
	if c := k.cards[card]; c != nil && c.waits != 0 && g.random.IntN(keepOneIn) == 0 {
		k.write(card)
	}
	if k.last > 0 && g.random.IntN(max(sweepOneIn, len(k.cards))) == 0 {
		k.sweep()
	}
}

// keepRest writes the cells of all cards of which no cell has anything; the others stay as of some earlier row.
func (g *generator) keepRest() {
	for _, f := range g.store.files {
		if f.keep != nil {
			f.keep.everyCard()
			f.keep.sweep()
		}
	}
}

func (g *generator) enrol() {
	for _, c := range g.cards {
		name := issuerJournal(c.issuer)
		first := g.add(name, journal.Row{Kind: journal.Opened, Card: c.id, Note: fmt.Appendf(nil,
			`{"card":%d,"name":"%s-%d","fingerprint":%s,"masked":%q,"sequence":%q,"expiry":%q,"product":%q,"currency":156,"pin_reference":%s,`+
				`"no_pin":true,"contactless":true,"limits":{},"opening_minor":%d,"purse_minor":%d}`,
			c.id, c.issuer, c.id, list(fingerprint(c.id)), maskedText, sequenceText, expiryText, productText, list(reference(c.id)),
			int64(openingMinor), int64(purseMinor))})
		deposit := journal.Row{Kind: journal.Posted, Card: c.id, Debit: 2, Credit: c.account(), Amount: openingMinor, Linked: first}
		g.add(name, deposit)
		deposit.Credit, deposit.Amount = c.account()+1, purseMinor
		g.add(name, deposit)
	}
}

func (g *generator) chips() (chips []verify.Chip) {
	for _, c := range g.cards {
		chips = append(chips, verify.Chip{Name: fmt.Sprintf("%s-%d", c.issuer, c.id), ATC: c.atc, PurseMinor: c.purse})
	}
	return chips
}

// payment is one on its way.
type payment struct {
	card          *card
	atc           uint16
	till          string
	place         int
	stan          uint32
	minor         int64
	upload        bool
	pin, wrongPIN bool
	rrn           string
	key, network  string
	switchSTAN    uint32
	tillRow       uint64
	acquirerRow   uint64
	acquirerHold  uint64
	switchRow     uint64
	issuerRow     uint64
	code          unionpay.ResponseCode
	auth          string
	date          int32
	paid          int32 // the issuer\'s date
	lost          bool  // the answer to the till is lost
	late          bool  // the issuer does not answer
}

// Shares of the kinds of payments, in percent.
const (
	shareUpload, shareWrongPIN, sharePoor, shareLost, shareLate, sharePIN = 4, 5, 3, 2, 1, 8
)

func (g *generator) pay() {
	p := &payment{card: g.cards[g.random.IntN(len(g.cards))], place: g.random.IntN(g.Tills), minor: 1 + g.random.Int64N(30_000)}
	c := p.card
	c.atc++
	p.atc, p.till = c.atc, TillName(p.place)
	g.tills[p.place] = g.tills[p.place]%999_999 + 1
	p.stan = g.tills[p.place]
	p.key = fmt.Sprintf("%s000001%06d2", p.till, p.stan)
	kind := journal.Requested
	switch dice := g.random.IntN(100); {
	case dice < shareUpload:
		p.minor = 1 + p.minor%2_000
		p.upload, kind, c.purse = true, journal.Queued, c.purse-p.minor
	case dice < shareUpload+shareWrongPIN:
		p.pin, p.wrongPIN = true, c.tries > 1
	case dice < shareUpload+shareWrongPIN+sharePoor:
		p.pin, p.minor = true, 2*openingMinor
	case dice < shareUpload+shareWrongPIN+sharePoor+shareLost:
		p.lost = true
	case dice < shareUpload+shareWrongPIN+sharePoor+shareLost+shareLate:
		p.late = true
	case dice < shareUpload+shareWrongPIN+sharePoor+shareLost+shareLate+sharePIN:
		p.pin = true
	}
	p.tillRow = g.add(tillJournal(p.till), journal.Row{Kind: kind, Key: p.key, Content: content(p.key), Payment: p.key, Terminal: p.till, STAN: p.stan,
		ATC: p.atc, Amount: p.minor, Note: g.sealed})
	g.after(latency, func() { g.atAcquirer(p) })
	if p.lost {
		g.after(tillWaits, func() { g.giveUp(p) })
	}
}

func content(key string) (c [16]byte) {
	copy(c[:], key[max(0, len(key)-16):])
	return c
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

const institutionPair = "000" + AcquirerName + "000" + AcquirerName

func (g *generator) atAcquirer(p *payment) {
	g.serial++
	utc := g.now.UTC()
	p.rrn = fmt.Sprintf("%d%03d%02d%06d", utc.Year()%10, utc.YearDay(), utc.Hour(), g.serial%1_000_000)
	p.switchSTAN = uint32((g.serial-1)%999_999 + 1)
	p.network = utc.Format("0102150405") + fmt.Sprintf("%06d", p.switchSTAN) + institutionPair + "2"
	r := journal.Row{Kind: journal.Requested, Key: p.key, Content: content(p.key), Payment: p.network, RRN: p.rrn, Terminal: p.till, STAN: p.stan, ATC: p.atc,
		Amount: p.minor, Note: g.sealed}
	if p.upload {
		r.Reason = 1
	}
	p.acquirerRow = g.add("acquirer", r)
	g.after(latency, func() { g.atSwitch(p) })
}

func (g *generator) atSwitch(p *payment) {
	note := append([]byte{byte(len(AcquirerName))}, AcquirerName...)
	note = append(append(note, byte(len(p.card.issuer))), p.card.issuer...)
	p.date = g.zone.BusinessDate(g.now)
	p.switchRow = g.add("switch", journal.Row{Kind: journal.Requested, Key: p.network, Content: content(p.network), Payment: p.network, RRN: p.rrn,
		Terminal: p.till,
		STAN:     p.switchSTAN, Amount: p.minor, Note: append(note, g.sealed...)})
	if p.late {
		g.after(switchWaits, func() { g.timeOut(p) })
		return
	}
	g.after(latency, func() { g.atIssuer(p) })
}

func (g *generator) atIssuer(p *payment) {
	c := p.card
	const pinGiven, counterUsed = 1, 2
	r := journal.Row{Kind: journal.Approved, Key: p.network, Content: content(p.network), Payment: p.network, RRN: p.rrn, Terminal: p.till, STAN: p.switchSTAN,
		Card: c.id, ATC: p.atc, Amount: p.minor, Debit: c.account(), Credit: 1, Phase: ledger.Pending}
	var flags byte = counterUsed
	name := issuerJournal(c.issuer)
	f := g.store.files[name]
	p.code, p.auth = unionpay.Approved, fmt.Sprintf("%06d", (f.chain.Seq+1)%1_000_000)
	if p.pin {
		flags |= pinGiven
	}
	refuse := func(reason uint16, code unionpay.ResponseCode) {
		r.Kind, r.Reason, r.Debit, r.Credit, r.Phase = journal.Declined, reason, 0, 0, ledger.Single
		p.code, p.auth = code, ""
	}
	switch {
	case p.upload:
		r.Kind, r.Reason, r.Debit, r.Phase = journal.Uploaded, 110, c.account()+1, ledger.Single
	case p.wrongPIN:
		refuse(54, unionpay.WrongPIN)
		c.tries--
	case p.minor > openingMinor:
		refuse(66, unionpay.InsufficientFunds)
		c.tries = triesMax
	case p.pin:
		c.tries = triesMax
	}
	r.Answer, r.Note = []byte(p.auth), []byte{flags, byte(c.tries)}
	p.issuerRow, p.paid = g.add(name, r), g.zone.BusinessDate(g.now)
	g.after(latency, func() { g.answered(p) })
}

// answer is what a row keeps of an answer: number and length of each field, and its content.
func (p *payment) answer(rrn bool) (b []byte) {
	field := func(number int, text string) {
		if text == "" {
			return
		}
		b = binary.BigEndian.AppendUint16(b, uint16(number))
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	field(15, fmt.Sprintf("%04d", p.date%10_000))
	if rrn {
		field(37, p.rrn)
	}
	field(38, p.auth)
	field(39, string(p.code))
	if p.issuerRow != 0 {
		field(55, string(append([]byte{0x91, 0x0A}, p.network[:answerICC-2]...)))
	}
	return b
}

func (g *generator) answered(p *payment) {
	g.add("switch", journal.Row{Kind: journal.Answered, Key: p.network + "e", Linked: p.switchRow, Payment: p.network, RRN: p.rrn, Terminal: p.till,
		STAN: p.switchSTAN, Amount: p.minor, Reason: p.code.Pack(), Answer: p.answer(true)})
	g.after(latency, func() { g.pass(p) })
}

func (g *generator) pass(p *payment) {
	r := journal.Row{Kind: journal.Answered, Key: p.key + "e", Linked: p.acquirerRow, Payment: p.network, RRN: p.rrn, Terminal: p.till, STAN: p.stan,
		Amount: p.minor, Reason: p.code.Pack(), Answer: p.answer(true)}
	if p.code.Approved() {
		r.Debit, r.Credit, r.Phase = 1, merchantsFrom+ledger.Account(p.place), ledger.Pending
		if p.upload {
			r.Phase = ledger.Single
		}
	}
	p.acquirerHold = g.add("acquirer", r)
	if p.lost {
		return
	}
	g.after(latency, func() {
		g.add(tillJournal(p.till), journal.Row{Kind: journal.Answered, Linked: p.tillRow, Payment: p.key, RRN: p.rrn, Terminal: p.till, STAN: p.stan,
			Amount: p.minor,
			Reason: p.code.Pack(), Answer: p.answer(true)})
	})
}

// timeOut: the switch has waited long enough for the issuer.
func (g *generator) timeOut(p *payment) {
	p.code = unionpay.IssuerTimeout
	reversal := p.network[:27] + "000" + SwitchName + "4"
	row := g.add("switch", journal.Row{Kind: journal.TimedOut, Linked: p.switchRow, Key: reversal, Payment: p.network, RRN: p.rrn, Terminal: p.till,
		STAN:   p.switchSTAN,
		Amount: p.minor, Reason: p.code.Pack(), Answer: p.answer(false)})
	g.after(latency, func() { g.pass(p) })
	g.after(latency, func() { g.void(p, reversal, row) })
}

// giveUp: the till has waited long enough, and reverses.
func (g *generator) giveUp(p *payment) {
	g.add(tillJournal(p.till), journal.Row{Kind: journal.TimedOut, Linked: p.tillRow, Payment: p.key, Terminal: p.till, STAN: p.stan, ATC: p.atc, Amount: p.minor,
		Reason: unionpay.ReasonTimeout.Pack()})
	g.after(latency, func() { g.takeBack(p) })
}

func (g *generator) takeBack(p *payment) {
	reversal := p.network[:38] + "4"
	row := g.add("acquirer", journal.Row{Kind: journal.Reversed, Key: p.key[:20] + "4", Content: content(p.key), Payment: reversal, RRN: p.rrn, Terminal: p.till,
		STAN: p.stan, Amount: p.minor, Reason: unionpay.ReasonTimeout.Pack(), Note: []byte(p.key), Linked: p.acquirerRow, Resolves: p.acquirerHold,
		Phase: ledger.Void, Debit: 1, Credit: merchantsFrom + ledger.Account(p.place)})
	g.after(latency, func() {
		g.add(tillJournal(p.till), journal.Row{Kind: journal.Acknowledged, Linked: p.tillRow, Payment: p.key, RRN: p.rrn, Terminal: p.till, STAN: p.stan,
			Amount: p.minor, Reason: unionpay.Approved.Pack()})
	})
	g.after(latency, func() {
		note := append([]byte{byte(len(AcquirerName))}, AcquirerName...)
		note = append(append(note, byte(len(p.card.issuer))), p.card.issuer...)
		passed := g.add("switch", journal.Row{Kind: journal.Reversed, Key: reversal, Content: content(reversal), Payment: p.network, RRN: p.rrn, Terminal: p.till,
			STAN: p.switchSTAN, Amount: p.minor, Reason: unionpay.ReasonTimeout.Pack(), Note: append(note, g.sealed...)})
		g.after(latency, func() {
			g.add("acquirer", journal.Row{Kind: journal.Acknowledged, Linked: row, Payment: reversal, RRN: p.rrn, Terminal: p.till, STAN: p.switchSTAN, Amount: p.minor,
				Reason: unionpay.Approved.Pack()})
		})
		g.after(latency, func() { g.void(p, reversal, passed) })
	})
}

// void is a reversal at the issuer, and its acknowledgement at the switch.
func (g *generator) void(p *payment, reversal string, sent uint64) {
	r := journal.Row{Kind: journal.Reversed, Key: reversal, Content: content(reversal), Payment: p.network, RRN: p.rrn, Terminal: p.till, STAN: p.switchSTAN,
		Reason: 104, Note: []byte(p.network)}
	if p.issuerRow != 0 {
		r.Reason, r.Card, r.Phase, r.Resolves, r.Debit, r.Credit, r.Amount = 100, p.card.id, ledger.Void, p.issuerRow, p.card.account(), 1, p.minor
		r.Answer = append(binary.BigEndian.AppendUint32(nil, uint32(p.paid)), byte(1-boolean(p.pin)))
		g.add(issuerJournal(p.card.issuer), r)
	} else {
		name := issuerJournal(p.card.issuer)
		g.add(name, r, journal.Row{Kind: journal.Refused, Key: p.network, Payment: p.network, Reason: 12, Linked: g.store.files[name].chain.Seq + 1})
	}
	g.after(latency, func() {
		g.add("switch", journal.Row{Kind: journal.Acknowledged, Linked: sent, Payment: p.network, RRN: p.rrn, Terminal: p.till, STAN: p.switchSTAN, Amount: p.minor,
			Reason: unionpay.Approved.Pack()})
	})
}
