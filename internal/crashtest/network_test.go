//go:build unix

package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"testing"
	"time"

	"tapnet/internal/app"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/money"
)

const (
	quickNetworkKills = 2
	networkCards      = 12
	networkWindow     = 500 * time.Millisecond
	tills             = 4
)

// tap is one payment as its customer saw it. Without a result nobody knows how it ended.
type tap struct {
	card   int
	amount money.Amount
	result *app.TapResult
}

// customer taps with one card, again and again.
type customer struct {
	card   int
	random *rand.Rand
	taps   []tap
	err    error
}

// network is a whole network in one process.
type network struct {
	t       testing.TB
	dir     string
	profile string

	mu      sync.Mutex
	client  *app.Client   // nil while nothing runs
	change  chan struct{} // closed when client changes
	started time.Duration
}

func (n *network) set(c *app.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client = c
	close(n.change)
	n.change = make(chan struct{})
}

func (n *network) current() (*app.Client, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client, n.change
}

func (n *network) launch() *process {
	return launch(n.t, program(n.t), "up", "--json", "--data", n.dir, "--profile", n.profile, "--listen", "acquirer=127.0.0.1:0,switch=127.0.0.1:0")
}

func (n *network) up(ctx context.Context) *process {
	n.t.Helper()
	began := time.Now()
	p := n.launch()
	within(n.t, "the network runs", p.ready)
	n.started = time.Since(began)
	client, err := app.Dial(ctx, n.dir, money.CNY)
	for late := time.Now().Add(patience); err != nil; client, err = app.Dial(ctx, n.dir, money.CNY) {
		if time.Now().After(late) {
			n.t.Fatal(err)
		}
		pause(n.t, p, time.Millisecond)
	}
	n.set(client)
	return p
}

// run taps until stop.
func (c *customer) run(ctx context.Context, n *network, stop <-chan struct{}) {
	for c.err == nil {
		client, change := n.current()
		if client == nil {
			select {
			case <-change:
			case <-stop:
				return
			}
			continue
		}
		select {
		case <-stop:
			return
		default:
		}
		request := app.TapRequest{
			Card: cardName(c.card), Merchant: tillName(c.random.IntN(tills)), Amount: money.New(1+c.random.Int64N(200_00), money.CNY),
		}
		result, err := client.Tap(ctx, request)
		if err != nil {
			c.taps = append(c.taps, tap{card: c.card, amount: request.Amount})
			select {
			case <-change: // the process is dead: the next one is awaited above
			case <-stop:
				return
			}
			continue
		}
		c.taps = append(c.taps, tap{card: c.card, amount: request.Amount, result: &result})
	}
}

func tillName(i int) string { return fmt.Sprintf("till-%d", i+1) }

// merchantsOf is that part of a profile: the tills send everything online.
func merchantsOf(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("\n[[merchant]]\nname = %q\nid = \"3010000541100%02d\"\nlabel = \"TILL %d\"\ncategory = \"5411\"\nterminal = \"T%07d\"\n"+
			"floor = \"0\"\ncvm_limit = \"1000.00\"\ntap_limit = \"50000.00\"\n", tillName(i), i+1, i+1, i+1)
	}
	return text
}

// TestKillNetwork kills a whole network, tills and chips with it, while customers tap. What was under way is reversed at the next start, and then the
// journals of all members must agree.
func TestKillNetwork(t *testing.T) {
	kills, seed := int(number(t, "TAPNET_NETWORK_KILLS", quickNetworkKills)), seedOf(t)
	random := rand.New(rand.NewPCG(seed, 2))
	began := time.Now()
	n := &network{t: t, dir: t.TempDir(), profile: worldOf(t, networkCards, merchantsOf(tills)), change: make(chan struct{})}
	p := n.up(t.Context())
	stop, watched := make(chan struct{}), watch(t, n.dir)
	var customers []*customer
	var group sync.WaitGroup
	for i := range networkCards {
		c := &customer{card: i, random: rand.New(rand.NewPCG(seed, uint64(100+i)))}
		customers = append(customers, c)
		group.Go(func() { c.run(t.Context(), n, stop) })
	}
	for kill := range kills {
		if kill > 0 {
			p = n.up(t.Context())
		}
		pause(t, p, time.Duration(random.Int64N(int64(networkWindow))))
		p.kill()
		n.set(nil)
		if err := p.killed(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) == 0 { // the next start is killed, too
			p = n.launch()
			pause(t, p, time.Duration(random.Int64N(int64(n.started))))
			p.kill()
		}
	}
	p = n.up(t.Context())
	pause(t, p, networkWindow/2)
	close(stop)
	group.Wait()
	looks := watched()
	last := tapByCommand(t, n.dir)
	live := settle(t, n.dir)
	p.kill()
	verify(t, n.dir, "--settled")
	acknowledged, unknown := judgeTaps(t, n.dir, customers, last)
	if acknowledged == 0 || unknown == 0 {
		t.Errorf("the load was none: %d approved taps, %d without an answer", acknowledged, unknown)
	}
	t.Logf("%d kills; %d approved taps, %d without an answer; %d rows, %d payments, verified %d times meanwhile; last start %v; %v", kills, acknowledged, unknown,
		live.Rows, live.Payments, looks, n.started.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// tapByCommand taps as a person does.
func tapByCommand(t testing.TB, dir string) tap {
	t.Helper()
	out, err := exec.Command(program(t), "tap", "--card", cardName(0), "--at", tillName(0), "--amount", "12.50", "--data", dir, "--json").CombinedOutput()
	if err != nil {
		t.Fatalf("tapnet tap: %v\n%s", err, out)
	}
	var said struct {
		RRN      string         `json:"rrn"`
		AuthCode string         `json:"auth_code"`
		Outcome  app.TapOutcome `json:"outcome"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("tapnet tap: %v\n%s", err, out)
	}
	return tap{card: 0, amount: money.New(tapMinor, money.CNY), result: &app.TapResult{RRN: said.RRN, AuthCode: said.AuthCode, Outcome: said.Outcome}}
}

// settle waits until every payment has ended.
func settle(t testing.TB, dir string) verified {
	t.Helper()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for late := time.Now().Add(3 * patience); ; <-look.C {
		if v := verify(t, dir); v.Underway == 0 || t.Failed() {
			return v
		}
		if time.Now().After(late) {
			t.Fatal("payments do not end")
		}
	}
}

// judgeTaps holds the bank's journal against what customers were told.
func judgeTaps(t testing.TB, dir string, customers []*customer, last tap) (acknowledged, unknown int) {
	t.Helper()
	rows, ends := map[string][]journal.Row{}, map[string]int{}
	reader, err := journalsql.OpenReader(t.Context(), journalPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	held := map[int64]int{}
	if err := readAll(t.Context(), reader, func(r *journal.Row) error {
		switch r.Kind {
		case journal.Approved:
			own := *r
			own.Answer = bytes.Clone(r.Answer) // the reader uses its memory again
			rows[r.RRN] = append(rows[r.RRN], own)
			held[r.Card]++
		case journal.Reversed:
			if r.Resolves != 0 {
				ends[r.Payment]++
				held[r.Card]--
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	lasts := &customer{card: last.card, taps: []tap{last}}
	told, open := map[int64]int{}, map[int64]int{}
	for _, c := range append(customers, lasts) {
		for _, tap := range c.taps {
			card := int64(tap.card + 1)
			if tap.result == nil {
				unknown++
				open[card]++
				continue
			}
			found := rows[tap.result.RRN]
			if !tap.result.Paid() {
				if len(found) == 1 && ends[found[0].Key] != 1 {
					t.Errorf("tap %s ended %q and is approved by row %d", tap.result.RRN, tap.result.Outcome, found[0].Seq)
				}
				continue
			}
			acknowledged++
			told[card]++
			switch {
			case len(found) != 1:
				t.Errorf("tap %s was approved and has %d rows", tap.result.RRN, len(found))
			case found[0].Card != card || found[0].Amount != tap.amount.Minor() || string(found[0].Answer) != tap.result.AuthCode || ends[found[0].Key] != 0:
				t.Errorf("tap %s of card %d, %v, code %s: row %d says card %d, %d, code %s, reversed %d times", tap.result.RRN, card, tap.amount,
					tap.result.AuthCode, found[0].Seq, found[0].Card, found[0].Amount, found[0].Answer, ends[found[0].Key])
			}
		}
	}
	for card, n := range held {
		if n < told[card] || n > told[card]+open[card] {
			t.Errorf("card %d: %d payments held, %d acknowledged, %d without an answer", card, n, told[card], open[card])
		}
	}
	return acknowledged, unknown
}
