package transit

import (
	"crypto/ed25519"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// What of a row or cell is found wrong, as package verify calls it.
const (
	foundAccount   = "account"
	foundBatch     = "batch"
	foundCell      = "cell"
	foundChain     = "chain"
	foundDenyList  = "deny_list"
	foundEnd       = "end"
	foundEpoch     = "epoch"
	foundIdentity  = "identity"
	foundLast      = "last_transfer"
	foundOpen      = "open"
	foundPurse     = "purse"
	foundSigner    = "signer"
	foundStanding  = "standing"
	foundState     = "state"
	foundTotal     = "total"
	foundWatermark = "watermark"
)

// troubled is an office that has had all that a deny list is for: debts of one card and of an account of two, paid, given up and settled, a card reported lost,
// one that the operator stopped and let go, a verification that was refused.
func troubled(t *testing.T) (*city, []*transittest.Card) {
	t.Helper()
	c := newCityWith(t, profileNamed(t, "aggregate"), 10*time.Minute)
	cards := make([]*transittest.Card, 8)
	for i := range cards {
		cards[i] = transittest.NewCard(t, i+1)
	}
	cards[1].Reference, cards[2].Reference = "V0010013022298169667504231315", "V0010013022298169667504231315"
	poor, silent := map[int]bool{1: true, 5: true, 6: true}, true
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		at := slices.IndexFunc(cards, func(card *transittest.Card) bool { return card.Number == m.PAN })
		switch {
		case at == 0 && silent && m.Info.MessageType == unionpay.KindSale:
			return ""
		case at == 3 && m.Info.MessageType == unionpay.KindSale:
			return unionpay.LostCard
		case at == 6, poor[at] && m.Info.MessageType == unionpay.KindSale:
			if poor[at] {
				return unionpay.InsufficientFunds
			}
		}
		return unionpay.Approved
	}
	for i, card := range cards[:7] {
		c.ride(card, "a", "c", c.at(0, 8, 10+i))
	}
	c.at(0, 9, 0)
	c.upload("a", "c")
	c.at(0, 9, 5)
	c.ask(Block{Credential: 5, Reason: denylist.Operator})
	c.closeDay(0)
	silent = false
	c.at(1, 6, 0)
	c.ask(Unblock{Credential: 5})
	c.ask(Claim{ID: transittest.NewCard(t, 41).ID(transittest.IDs(t)), Epoch: transittest.FirstEpoch})
	c.devices["b"].NotPassed(c.tap(cards[7], "b", gate.In, c.at(1, 6, 30)).Record, c.at(1, 6, 31))
	purse := transittest.NewCard(t, 42)
	purse.Purse = true
	c.tap(purse, "bus", gate.Ride, c.at(1, 6, 40))
	c.upload("bus")
	poor[6] = false
	c.ride(cards[7], "a", "b", c.at(1, 7, 0))
	c.upload("a", "b")
	c.at(1, 12, 0)
	poor[1] = false
	c.closeDay(1)
	if b := c.bills()[0]; b.state == Paid {
		c.ask(RefundBill{Bill: b.seq, Minor: 100})
	}
	c.at(16, 0, 0)
	for _, b := range c.bills() {
		if b.state == WrittenOff && b.credential == 6 {
			c.ask(Settle{Account: 6, Bill: b.seq})
		}
	}
	c.at(16, 2, 0)
	c.audit()
	return c, cards
}

// stored is what the office would have on disk.
func (c *city) stored() verifytest.TransitStore {
	return verifytest.TransitStore{Terminal: c.deps.Terminal, Rows: c.Rows(), ListKey: c.deps.Signer.Public().(ed25519.PublicKey)}
}

// found verifies an office whose rows may be changed.
func found(t *testing.T, s verifytest.TransitStore) verifytest.Report {
	t.Helper()
	report, err := verifytest.VerifyTransit(t.Context(), filepath.Join(t.TempDir(), "metro"), s)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// finds checks that a finding about a field was made, and that no field outside those is found wrong.
func finds(t *testing.T, name string, report *verifytest.Report, field string, others ...string) {
	t.Helper()
	if !slices.ContainsFunc(report.Findings, func(w verifytest.Wrong) bool { return w.Field == field }) {
		t.Errorf("%s: found %v, nothing about %q", name, report.Findings, field)
	}
	for _, w := range report.Findings {
		if w.Field != field && !slices.Contains(others, w.Field) {
			t.Errorf("%s: also found %s", name, w)
		}
	}
}

// copies are rows that may be changed.
func copies(rows []journal.Row) []journal.Row {
	out := slices.Clone(rows)
	for i := range out {
		out[i].Note, out[i].Answer = slices.Clone(out[i].Note), slices.Clone(out[i].Answer)
	}
	return out
}

// TestTheDenyListIsVerified: what the list says follows from bills, answers and the operator's word, and whatever is planted in it is found.
func TestTheDenyListIsVerified(t *testing.T) {
	c, _ := troubled(t)
	sound := found(t, c.stored())
	for _, w := range sound.Findings {
		t.Errorf("sound: %s", w)
	}
	if sound.List.Sequence != c.office.state.list.sequence || sound.List.Listed != len(c.office.state.list.told) || sound.List.Listed == 0 || sound.List.Epoch != 1 {
		t.Errorf("%+v, %d listed by the office", sound.List, len(c.office.state.list.told))
	}
	type delta = verifytest.Delta
	adds := func(l verifytest.DeltaChange) bool { return l.Removal == 0 }
	goes := func(l verifytest.DeltaChange) bool { return l.Removal != 0 }
	once := func(fits func(verifytest.DeltaChange) bool, do func(d *delta, at int)) func(n int, d *delta) {
		done := false
		return func(_ int, d *delta) {
			if at := slices.IndexFunc(d.Lines, fits); at >= 0 && !done {
				done = true
				do(d, at)
			}
		}
	}
	nth := func(want int, do func(d *delta)) func(int, *delta) {
		return func(n int, d *delta) {
			if n == want {
				do(d)
			}
		}
	}
	drop := func(d *delta, at int) { d.Lines = slices.Delete(d.Lines, at, at+1) }
	with := func(d *delta, l verifytest.DeltaChange) {
		at, there := slices.BinarySearchFunc(d.Lines, l, func(a, b verifytest.DeltaChange) int {
			if a.Hash < b.Hash {
				return -1
			}
			if a.Hash > b.Hash {
				return 1
			}
			return 0
		})
		if !there {
			d.Lines = slices.Insert(d.Lines, at, l)
		}
	}
	honest := c.office.state.credentials[1].id.Hash()
	for name, plant := range map[string]struct {
		edit func(n int, d *delta)
		says string
	}{
		"a debt that is not told":          {once(adds, drop), "not listed, expected listed"},
		"an account that is not told":      {once(func(l verifytest.DeltaChange) bool { return l.Kind == 3 }, drop), "mark 1"},
		"a release that is not told":       {once(goes, drop), "expected not listed"},
		"somebody who owes nothing":        {nth(20, func(d *delta) { with(d, verifytest.DeltaChange{Hash: honest, Kind: 1, Reason: 6}) }), "credential 1"},
		"somebody nobody knows":            {nth(20, func(d *delta) { with(d, verifytest.DeltaChange{Hash: 77, Kind: 1, Reason: 6}) }), "nobody known"},
		"what was never listed, taken off": {nth(20, func(d *delta) { with(d, verifytest.DeltaChange{Hash: honest, Removal: 1}) }), "expected one that is listed"},
		"a debtor taken off": {func() func(int, *delta) {
			var hash uint64
			return func(n int, d *delta) {
				if at := slices.IndexFunc(d.Lines, adds); hash == 0 && at >= 0 {
					hash = d.Lines[at].Hash
				} else if hash != 0 && hash != 1 {
					with(d, verifytest.DeltaChange{Hash: hash, Removal: 1})
					hash = 1
				}
			}
		}(), "taken off, expected listed"},
		"another reason":                {once(adds, func(d *delta, at int) { d.Lines[at].Reason = 2 }), "stolen"},
		"another kind":                  {once(adds, func(d *delta, at int) { d.Lines[at].Kind = 2 }), "listed as token"},
		"an end that the entry has not": {once(adds, func(d *delta, at int) { d.Lines[at].Until = 9000 }), "until"},
		"told again": {func() func(int, *delta) {
			var line verifytest.DeltaChange
			return func(n int, d *delta) {
				if at := slices.IndexFunc(d.Lines, adds); line.Hash == 0 && at >= 0 {
					line = d.Lines[at]
				} else if line.Hash > 1 {
					with(d, line)
					line.Hash = 1
				}
			}
		}(), "told again"},
	} {
		s := c.stored()
		s.ListKey, s.Rows = nil, copies(s.Rows)
		verifytest.EditDeltas(s.Rows, plant.edit)
		report := found(t, s)
		finds(t, name, &report, foundDenyList)
		if !slices.ContainsFunc(report.Findings, func(w verifytest.Wrong) bool { return strings.Contains(w.String(), plant.says) }) {
			t.Errorf("%s: found %v, nothing that says %q", name, report.Findings, plant.says)
		}
	}
}

// TestDeltasAreVerified: each follows the one before, under one key, of one epoch, signed.
func TestDeltasAreVerified(t *testing.T) {
	c, _ := troubled(t)
	type delta = verifytest.Delta
	first := func(do func(d *delta)) func([]journal.Row) {
		return func(rows []journal.Row) {
			verifytest.EditDeltas(rows, func(n int, d *delta) {
				if n == 2 {
					do(d)
				}
			})
		}
	}
	listed := func(rows []journal.Row) *journal.Row {
		return &rows[slices.IndexFunc(rows, func(r journal.Row) bool { return r.Kind == journal.Noted && r.Key == "d/00000000000000000002" })]
	}
	for name, plant := range map[string]struct {
		spoil  func(rows []journal.Row)
		field  string
		others []string
	}{
		"another before it":   {first(func(d *delta) { d.Previous[3] ^= 1 }), foundChain, nil},
		"a number left out":   {first(func(d *delta) { d.Sequence += 5 }), foundDenyList, []string{"key"}},
		"another row's key":   {func(rows []journal.Row) { listed(rows).Key = "d/x" }, "key", nil},
		"another epoch":       {first(func(d *delta) { d.Epoch++ }), foundEpoch, nil},
		"good for no time":    {first(func(d *delta) { d.NotAfter = d.Created }), foundDenyList, nil},
		"made in the future":  {first(func(d *delta) { d.Created += 86400 * 30; d.NotAfter += 86400 * 30 }), foundDenyList, nil},
		"by another key":      {func(rows []journal.Row) { listed(rows).Note[75] ^= 1 }, foundSigner, []string{foundChain}},
		"cut":                 {func(rows []journal.Row) { r := listed(rows); r.Note = r.Note[:len(r.Note)-1] }, "note", []string{foundChain, foundDenyList}},
		"no delta":            {func(rows []journal.Row) { listed(rows).Note[0] = 'x' }, "note", []string{foundChain, foundDenyList}},
		"an octet in reserve": {func(rows []journal.Row) { r := lines(rows); r.Note[80+15] = 1 }, "note", []string{foundChain, foundDenyList}},
		"an impossible entry": {saying(func(d *delta) { d.Lines[0].Kind = 9 }), "note", []string{foundChain, foundDenyList}},
		"a stolen account":    {saying(func(d *delta) { d.Lines[0].Kind, d.Lines[0].Reason = 3, 2 }), "note", []string{foundChain, foundDenyList}},
		"out of order":        {saying(func(d *delta) { d.Lines = append(d.Lines, d.Lines[0]) }), "note", []string{foundChain, foundDenyList}},
	} {
		s := c.stored()
		s.ListKey, s.Rows = nil, copies(s.Rows)
		plant.spoil(s.Rows)
		report := found(t, s)
		finds(t, name, &report, plant.field, plant.others...)
	}
	s := c.stored()
	s.Rows = copies(s.Rows)
	r := listed(s.Rows)
	r.Note[len(r.Note)-1] ^= 1
	report := found(t, s)
	finds(t, "a false signature", &report, foundSigner)
}

// lines is the first delta that says anything.
func lines(rows []journal.Row) *journal.Row {
	return &rows[slices.IndexFunc(rows, func(r journal.Row) bool { return r.Kind == journal.Noted && len(r.Note) > 144 })]
}

// saying changes the first delta that says anything.
func saying(do func(d *verifytest.Delta)) func([]journal.Row) {
	return func(rows []journal.Row) {
		r := lines(rows)
		verifytest.EditDeltas(rows, func(_ int, d *verifytest.Delta) {
			if d.Row == r {
				do(d)
			}
		})
	}
}

// rotated goes on from troubled: entries from outside, of cards that tap later and of others, and a change of keys while debts stand, with a gate that lags
// behind; all as a state that is kept, with rows after it.
func rotated(t *testing.T) *city {
	t.Helper()
	c, cards := troubled(t)
	stranger := transittest.NewCard(t, 21)
	stranger.Reference = "V0010013022298169667504231399"
	outside := func(card *transittest.Card, kind denylist.Kind, reason denylist.Reason) Outside {
		return Outside{Kind: kind, Number: card.Number, Sequence: "01", Expiry: transittest.Expires, Reason: reason}
	}
	entries := []Outside{outside(stranger, denylist.Credential, denylist.Stolen), outside(cards[0], denylist.Credential, denylist.Lost),
		{Kind: denylist.Token, Number: transittest.NewCard(t, 22).Number, Reason: denylist.Closed, Until: 20000},
		{Kind: denylist.PAR, Reference: cards[1].Reference, Reason: denylist.Operator}, {Kind: denylist.PAR, Reference: "V0010013022298169667504231377", Reason: denylist.Operator}}
	if l, ok := c.ask(List{Entries: entries}).(Listed); !ok || l.New != len(entries) {
		t.Fatalf("listed %+v", l)
	}
	c.at(17, 6, 0)
	c.ask(List{Entries: []Outside{outside(cards[0], denylist.Credential, denylist.Counterfeit)}})
	c.at(17, 6, 2)
	tell := func() {
		for _, name := range deviceNames[:5] {
			d := c.devices[name]
			if a, ok := c.ask(Heard{Health: d.Health(c.Clock.Now())}).(gate.HealthAnswer); ok && name != "d" {
				d.Take(a)
			}
		}
	}
	tell()
	c.ask(Rotate{})
	c.at(17, 6, 10)
	tell()
	c.at(17, 6, 12)
	tell()
	c.ride(transittest.NewCard(t, 31), "d", "a", c.at(17, 7, 0)) // in under the old key, out under the new one
	c.ride(stranger, "a", "b", c.at(17, 7, 30))
	c.at(17, 8, 30)
	c.upload("d", "a", "b")
	if keys, ok := c.ask(Rotate{Force: true}).(KeysView); !ok || keys.InForce != 2 {
		t.Fatalf("%+v", keys)
	}
	c.at(17, 9, 0)
	c.ride(cards[7], "d", "a", c.at(17, 10, 0))
	c.ride(transittest.NewCard(t, 32), "d", "b", c.at(17, 11, 0))
	c.at(17, 12, 0)
	c.upload("a", "b", "d")
	c.ask(Unlist{Entries: entries[1:2]})
	c.closeDay(16)
	c.closeDay(17)
	c.ask(Block{Credential: 8, Reason: denylist.Operator})
	c.at(18, 6, 0)
	if keys, ok := c.ask(Retire{Force: true}).(KeysView); !ok || keys.Former != 0 {
		t.Fatalf("%+v", keys)
	}
	c.ride(cards[7], "a", "b", c.at(18, 10, 0))
	c.upload("a", "b")
	c.closeDay(18)
	c.ask(Unlist{Entries: entries[2:3]})
	c.at(19, 9, 0)
	c.audit()
	return c
}

// kept adds what the office keeps beside its rows.
func (c *city) kept() verifytest.TransitStore {
	c.Helper()
	s := c.stored()
	s.Watermark = c.office.kept.row
	for place := range byte(places) {
		for _, from := range []int64{int64(place) + 1, pieceID(place, 0)} {
			for id := from; ; id++ {
				cell, found, err := c.Store.FindCell(c.Context(), id)
				if err != nil {
					c.Fatal(err)
				}
				if !found {
					break
				}
				cell.Data = slices.Clone(cell.Data)
				if s.Cells = append(s.Cells, cell); id <= places {
					break
				}
			}
		}
	}
	if len(s.Cells) == 0 || s.Watermark == 0 {
		c.Fatal("nothing is kept")
	}
	return s
}

// TestKeysAndTheKeptStateAreVerified: a story with everything has no findings.
func TestKeysAndTheKeptStateAreVerified(t *testing.T) {
	c := rotated(t)
	sound := found(t, c.kept())
	for _, w := range sound.Findings {
		t.Errorf("sound: %s", w)
	}
	if !sound.Kept.Compared || sound.Kept.Row != c.office.kept.row || sound.List.Epoch != 2 || sound.List.Listed != len(c.office.state.list.told) {
		t.Errorf("%+v %+v", sound.Kept, sound.List)
	}
}
