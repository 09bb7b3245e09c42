//go:build unix

package crashtest

import (
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/internal/journal"
)

const (
	// quickKills is how often a plain `go test` kills; scripts/kill asks for more.
	quickKills = 8
	// holders under way at once; each has one card and one request.
	cards = 64
	// window is the longest a bank lives after it has signed on.
	window = 300 * time.Millisecond
)

// bank is the issuer under test in a data directory.
type bank struct {
	t         testing.TB
	dir       string
	profile   string
	hub       *hub
	wrap      []string // goes before the command line
	startedIn time.Duration
}

// openBank makes a world, its keys and the switch; the bank does not run yet.
func openBank(t testing.TB, cards int) (*bank, []*chip) {
	t.Helper()
	b := &bank{t: t, dir: t.TempDir(), profile: worldOf(t, cards, "")}
	// The first start makes the keys. The switch is not there yet, so the bank is killed while it tries to reach it.
	first := launch(t, b.command("127.0.0.1:1")...)
	awaitFile(t, journalPath(b.dir), first)
	first.kill()
	profile := loadWorld(t, b.profile)
	b.hub = openHub(t, vaultOf(t, b.dir, switchID))
	return b, chipsOf(t, profile, vaultOf(t, b.dir, issuerID))
}

func (b *bank) command(hub string) []string {
	return append(b.wrap, program(b.t), "up", "--json", "--data", b.dir, "--profile", b.profile, "--roles", "issuer", "--listen", "switch="+hub)
}

func (b *bank) launch() *process { return launch(b.t, b.command(b.hub.address)...) }

// up starts the bank and waits until it takes requests.
func (b *bank) up() *process {
	b.t.Helper()
	began := time.Now()
	p := b.launch()
	if !b.hub.up(b.t, p) {
		b.t.Fatal(p.killed())
	}
	b.startedIn = time.Since(began)
	return p
}

// pause waits, or until the process ends by itself, which it must not.
func pause(t testing.TB, p *process, d time.Duration) {
	t.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-p.ended:
		t.Fatal(p.killed())
	}
}

// reckon ends the load, repeats one in so many of its payments, kills the bank and holds its journal against what the load was told.
func (b *bank) reckon(p *process, load *crowd, oneIn int) (sums, *books) {
	t := b.t
	t.Helper()
	load.end()
	load.audit(oneIn)
	live := verify(t, b.dir)
	p.kill()
	b.hub.gone()
	found := load.sums(t)
	ledger, err := readBooks(t.Context(), journalPath(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	complain(t, load.judge(ledger))
	dead := verify(t, b.dir, "--settled")
	for _, v := range []verified{live, dead} {
		held := int64(-1)
		for _, m := range v.Members {
			if m.Role == "issuer" {
				held = m.HeldMinor
			}
		}
		if held != found.heldMinor {
			t.Errorf("the journal holds %d, the generator was told %d", held, found.heldMinor)
		}
	}
	return found, ledger
}

// TestKill kills the bank again and again while cardholders pay, in one of six rounds while it starts.
func TestKill(t *testing.T) {
	kills, seed := int(number(t, "TAPNET_KILLS", quickKills)), seedOf(t)
	random := rand.New(rand.NewPCG(seed, 1))
	began := time.Now()
	b, chips := openBank(t, cards)
	load := newCrowd(b.hub, chips, seed, 0)
	p := b.up()
	load.begin()
	watched := watch(t, b.dir)
	inStart := 0
	for n := range kills {
		if n > 0 && random.IntN(6) == 0 {
			inStart++
			p = b.launch()
			pause(t, p, time.Duration(random.Int64N(int64(b.startedIn))))
		} else {
			if n > 0 {
				p = b.up()
			}
			pause(t, p, time.Duration(random.Int64N(int64(window))))
		}
		p.kill()
		b.hub.gone()
		if err := p.killed(); err != nil {
			t.Fatal(err)
		}
	}
	p = b.up()
	pause(t, p, window/2)
	looks := watched()
	found, ledger := b.reckon(p, load, max(1, kills/quickKills*4))
	load.spoil(t, ledger)
	if found.approved == 0 || found.repeats == 0 || kills >= quickKills && found.unknown == 0 {
		t.Errorf("the load was none: %v", found)
	}
	t.Logf("%d kills, %d of them during the start; %v; %d rows, verified %d times meanwhile; last start %v; %v", kills, inStart, found, ledger.rows, looks,
		b.startedIn.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// spoil plants what a bank that answers too early, forgets or pays twice would leave behind, and expects the judge to notice.
func (c *crowd) spoil(t *testing.T, b *books) {
	t.Helper()
	var paid, back *record
	for _, h := range c.holders {
		for _, r := range h.records {
			switch {
			case r.approved():
				paid = r
			case r.reversed && len(b.byKey[r.key]) == 1 && b.byKey[r.key][0].kind == journal.Approved:
				back = r
			}
		}
	}
	if paid == nil || back == nil {
		t.Error("no payment to spoil")
		return
	}
	row := b.byKey[paid.key][0]
	for _, plant := range []struct {
		name    string
		key     string
		rows    []entry
		reverse []entry
	}{
		{"an acknowledged approval is lost", paid.key, nil, nil},
		{"an acknowledged approval is there twice", paid.key, []entry{row, row}, nil},
		{"an acknowledged approval became a refusal", paid.key, []entry{{kind: journal.Declined, card: row.card, atc: row.atc, minor: row.minor}}, nil},
		{"another amount", paid.key, []entry{{kind: row.kind, card: row.card, atc: row.atc, minor: row.minor + 1, answer: row.answer}}, nil},
		{"another approval code", paid.key, []entry{{kind: row.kind, card: row.card, atc: row.atc, minor: row.minor, answer: "other"}}, nil},
		{"reversed by itself", paid.key, []entry{row}, []entry{{kind: journal.Reversed, resolves: row.seq}}},
		{"an acknowledged reversal is lost", back.key, b.byKey[back.key], nil},
		{"an acknowledged reversal took nothing back", back.key, b.byKey[back.key], []entry{{kind: journal.Reversed}}},
		{"a payment that nobody asked for", "nobody", []entry{{kind: journal.Approved}}, nil},
		{"a counter paid twice", "nobody", []entry{row}, nil},
	} {
		rows, reversals := b.byKey[plant.key], b.reversals[plant.key]
		b.byKey[plant.key], b.reversals[plant.key] = plant.rows, plant.reverse
		if len(c.judge(b)) == 0 {
			t.Errorf("not noticed: %s", plant.name)
		}
		b.byKey[plant.key], b.reversals[plant.key] = rows, reversals
		if rows == nil {
			delete(b.byKey, plant.key)
		}
	}
}
