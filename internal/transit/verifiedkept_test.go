package transit

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/transit/transittest"
	"tapnet/internal/verify/verifytest"
)

// packed is what the office keeps beside its rows, as of the last of them, when somebody has changed its state.
func (c *city) packed(change func(s *state)) verifytest.TransitStore {
	c.Helper()
	whole := c.office.save()
	o, at := c.newOffice(), 0
	o.state.unpack(&unpacker{more: func() ([]byte, error) {
		at++
		if at > len(whole.pieces) {
			return nil, errSnapshot
		}
		return whole.pieces[at-1], nil
	}})
	o.state.last = whole.row
	change(o.state)
	var back journal.Back
	o.WriteBack(&back, 0, o.state.last)
	return verifytest.TransitStore{Terminal: c.deps.Terminal, Rows: c.Rows(), Cells: back.Cells, Watermark: back.Watermark}
}

// someBill is the first bill in a state.
func (s *state) someBill(state BillState) *bill {
	for _, c := range s.credentials[1:] {
		for _, seq := range c.bills {
			if s.bills[seq].state == state {
				return s.bills[seq]
			}
		}
	}
	panic("no such bill")
}

// withTaps is the first account with taps and journeys that are remembered.
func (s *state) withTaps() *account {
	for _, a := range s.accounts[1:] {
		if len(a.taps) > 0 && len(a.booked) > 0 {
			return a
		}
	}
	panic("no such account")
}

// ofReference is the account that has a reference.
func (s *state) ofReference() *account {
	for _, a := range s.accounts[1:] {
		if a.par != 0 && len(a.credentials) > 1 {
			return a
		}
	}
	panic("no such account")
}

// TestWhatTheKeptStateSaysIsVerified: the state beside the journal is taken for true by the next start. Whatever it says otherwise than the rows is found, and
// nothing else.
func TestWhatTheKeptStateSaysIsVerified(t *testing.T) {
	c := rotated(t)
	c.ask(Block{Credential: 7, Reason: denylist.Stolen}) // no delta has told it yet
	c.bank.Says = nil
	dir := filepath.Join(t.TempDir(), "metro")
	again := func(s verifytest.TransitStore) verifytest.Report {
		report, err := verifytest.TransitAgain(t.Context(), dir, s)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	sound, err := verifytest.VerifyTransit(t.Context(), dir, c.packed(func(*state) {}))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range sound.Findings {
		t.Errorf("sound: %s", w)
	}
	if !sound.Kept.Compared || sound.List.Waiting == 0 {
		t.Fatalf("%+v %+v", sound.Kept, sound.List)
	}
	for name, plant := range map[string]struct {
		change func(s *state)
		field  string
		others []string
	}{
		"the trace number":      {func(s *state) { s.stan++ }, "stan", nil},
		"the batch":             {func(s *state) { s.batch++ }, foundBatch, nil},
		"the day closed":        {func(s *state) { s.closed-- }, "business_date", nil},
		"a day being closed":    {func(s *state) { s.closing = &closing{day: s.closed + 1} }, "business_date", nil},
		"the ledger":            {func(s *state) { c.booked(s, 500) }, foundAccount, []string{foundLast}},
		"taps":                  {func(s *state) { s.totals.Taps++ }, foundTotal, nil},
		"what was charged":      {func(s *state) { s.totals.Charged++ }, foundTotal, nil},
		"what is owed":          {func(s *state) { s.totals.Owed-- }, foundTotal, nil},
		"what was refunded":     {func(s *state) { s.totals.Refunded++ }, foundTotal, nil},
		"debts":                 {func(s *state) { s.totals.Debts++ }, foundTotal, nil},
		"states of taps":        {func(s *state) { s.totals.States[TapCharged]-- }, foundTotal, nil},
		"the key in force":      {func(s *state) { s.keys.former = 1 }, foundEpoch, []string{foundIdentity}},
		"since when":            {func(s *state) { s.forced++ }, foundEpoch, nil},
		"the row of the change": {func(s *state) { s.begun-- }, foundEpoch, nil},
		"rows with values":      {func(s *state) { s.pages++ }, "key", nil},
		"a device's name":       {func(s *state) { s.devices[1].name = "z" }, "terminal", nil},
		"a device more":         {func(s *state) { s.deviceOf("z") }, "terminal", nil},
		"a device's taps":       {func(s *state) { s.devices[0].opened-- }, foundTotal, nil},
		"how far a log is":      {func(s *state) { s.devices[0].spans[0].last-- }, foundChain, nil},
		"the link of a log":     {func(s *state) { s.devices[0].spans[0].after[5] ^= 1 }, foundChain, nil},
		"a gap in a log":        {func(s *state) { d := s.devices[0]; d.spans = append(d.spans, span{first: 900, last: 901}) }, foundChain, nil},
		"a credential's name":   {func(s *state) { s.credentials[2].id[9] ^= 1 }, foundIdentity, nil},
		"a name's epoch":        {func(s *state) { s.credentials[2].epoch++ }, foundIdentity, nil},
		"a former name that counts": {func(s *state) {
			s.credentials[2].older = &alias{denylist.ID{1}, s.keys.now}
		}, foundIdentity, nil},
		"a credential's account":  {func(s *state) { s.credentials[2].account = 1 }, foundIdentity, nil},
		"a counter":               {func(s *state) { s.credentials[2].atc++ }, "atc", nil},
		"a card that was stopped": {func(s *state) { s.credentials[4].stop = 0 }, foundStanding, nil},
		"why":                     {func(s *state) { s.credentials[4].stop = denylist.Closed }, foundStanding, nil},
		"debts of a credential":   {func(s *state) { s.credentials[1].owing++ }, foundStanding, nil},
		"a refusal":               {func(s *state) { s.credentials[1].refused = true }, foundStanding, nil},
		"a verification":          {func(s *state) { s.credentials[1].verifying = true }, foundStanding, nil},
		"tries":                   {func(s *state) { s.someBill(Settled).tries-- }, foundState, nil},
		"a bill's day":            {func(s *state) { s.someBill(Paid).day++ }, foundState, nil},
		"when it was ridden":      {func(s *state) { s.someBill(Paid).ridden-- }, foundState, nil},
		"a first ride":            {func(s *state) { s.credentials[1].claimed = 5 }, foundStanding, nil},
		"who waits for approval":  {func(s *state) { s.claims[1] = true }, foundStanding, nil},
		"an approval":             {func(s *state) { s.credentials[1].approved++ }, foundStanding, nil},
		"what a rider is owed":    {func(s *state) { s.credentials[1].credit++ }, "credit", nil},
		"a twin":                  {func(s *state) { s.credentials[2].twin = 1 }, foundIdentity, nil},
		"what is said outside":    {func(s *state) { s.credentials[2].outside = 1 }, foundIdentity, nil},
		"a bill's state":          {func(s *state) { s.someBill(Paid).state = Settled }, foundState, nil},
		"a debt that is forgiven": {func(s *state) { s.someBill(Stopped).state = Paid }, foundState, nil},
		"what a bill comes to":    {func(s *state) { s.someBill(Paid).minor++ }, foundState, nil},
		"a refund":                {func(s *state) { s.someBill(Paid).refunded++ }, foundState, nil},
		"money on the way back":   {func(s *state) { s.someBill(Paid).returning++ }, foundState, nil},
		"an answer":               {func(s *state) { s.someBill(Paid).code++ }, foundState, nil},
		"who paid":                {func(s *state) { s.someBill(Paid).paid.rrn = "000000009999" }, foundState, nil},
		"a bill less": {func(s *state) {
			c := s.credentials[s.someBill(Paid).credential]
			c.bills = c.bills[1:]
		}, foundTotal, nil},
		"a bill of another row": {func(s *state) { s.someBill(Paid).seq++ }, "linked", nil},
		"a bill of somebody else": {func(s *state) {
			from, to := s.credentials[s.someBill(Paid).credential], s.credentials[4]
			to.bills, from.bills = append(to.bills, from.bills[0]), from.bills[1:]
		}, "linked", nil},
		"an account's end":       {func(s *state) { s.accounts[1].merged = 2 }, foundAccount, nil},
		"an account's cards":     {func(s *state) { a := s.accounts[1]; a.credentials = append(a.credentials, 4) }, foundAccount, nil},
		"an account's reference": {func(s *state) { s.ofReference().par++ }, foundIdentity, nil},
		"a tap's state":          {func(s *state) { s.withTaps().taps[0].state = TapRepeated }, foundState, nil},
		"a tap to be decided":    {func(s *state) { s.withTaps().taps[0].state = TapPending }, foundState, []string{foundTotal}},
		"whose a tap is":         {func(s *state) { s.withTaps().taps[0].credential++ }, foundState, nil},
		"a tap nobody made":      {func(s *state) { s.withTaps().taps[0].sequence += 77 }, foundState, nil},
		"a chip's counter":       {func(s *state) { s.withTaps().taps[0].clock++ }, foundState, nil},
		"a release":              {func(s *state) { s.freed[2] = 5 }, foundStanding, nil},
		"a restriction":          {func(s *state) { s.accounts[1].own().restricted = 2026 }, foundStanding, nil},
		"a year forgiven":        {func(s *state) { s.accounts[1].own().forgiven = 2026 }, foundStanding, nil},
		"a journey's price":      {func(s *state) { s.withTaps().booked[0].minor += 100 }, "amount", nil},
		"a mark's name":          {func(s *state) { s.marks[1].id[4] ^= 1 }, foundIdentity, nil},
		"a mark's account":       {func(s *state) { s.marks[1].of++ }, foundIdentity, nil},
		"a mark's value":         {func(s *state) { s.marks[1].page += 3 }, foundIdentity, nil},
		"an entry's reason":      {func(s *state) { s.marks[2].entry.reason = denylist.Debt }, foundDenyList, nil},
		"an entry's end":         {func(s *state) { s.marks[2].entry.until = 9 }, foundDenyList, nil},
		"a mark more":            {func(s *state) { s.newMark(denylist.Token, alias{denylist.ID{7}, 2}) }, foundIdentity, nil},
		"the list's number":      {func(s *state) { s.list.sequence-- }, foundDenyList, nil},
		"the list's digest":      {func(s *state) { s.list.digest[1] ^= 1 }, foundDenyList, nil},
		"the list's epoch":       {func(s *state) { s.list.epoch-- }, foundEpoch, nil},
		"an entry less": {func(s *state) {
			for subject := range s.list.told {
				delete(s.list.told, subject)
				return
			}
		}, foundDenyList, nil},
		"an entry more":             {func(s *state) { s.list.told[1] = listing{denylist.Credential, denylist.Debt, 0} }, foundDenyList, nil},
		"another entry":             {func(s *state) { s.list.told[4] = listing{denylist.Credential, denylist.Debt, 0} }, foundDenyList, nil},
		"a change that is dropped":  {func(s *state) { clear(s.list.stale) }, foundDenyList, nil},
		"a tap that was taken back": {func(s *state) { s.takenBack[tapKey{0, 1}] = true }, foundState, nil},
		"an upload more":            {func(s *state) { s.purses = append(s.purses, purse{credential: 1}) }, foundPurse, nil},
		"a request that goes on": {func(s *state) {
			s.payments["M0000001000001000001x"] = &payment{seq: 12, key: "M0000001000001000001x", credential: 1, ask: AskPay, status: pending, at: time.Unix(0, 0)}
		}, foundOpen, nil},
	} {
		report := again(c.packed(plant.change))
		finds(t, name, &report, plant.field, plant.others...)
		if !slices.ContainsFunc(report.Findings, func(w verifytest.Wrong) bool { return w.Cell != 0 && w.Row == report.Kept.Row }) {
			t.Errorf("%s: no finding names the cell: %v", name, report.Findings)
		}
	}
}

// booked moves money in the ledger that no row moved.
func (c *city) booked(s *state, minor int64) {
	transfer := ledger.Transfer{ID: s.last + 1, Debit: AccountLoss, Credit: AccountRiders, Amount: minor, Currency: 156, Phase: ledger.Single}
	if code := s.book.Apply(transfer); code != ledger.OK {
		c.Fatalf("%s", code)
	}
}

// TestADamagedKeptStateIsFound: header, pieces and their hash.
func TestADamagedKeptStateIsFound(t *testing.T) {
	c := rotated(t)
	for n := range 120 { // more than one piece
		c.tap(transittest.NewCard(t, 100+n), "bus", gate.Ride, c.at(19, 10, n%60))
	}
	c.upload("bus")
	header := func(s *verifytest.TransitStore) *journal.Cell {
		return &s.Cells[slices.IndexFunc(s.Cells, func(c journal.Cell) bool { return c.ID <= places })]
	}
	piece := func(s *verifytest.TransitStore, n int64) *journal.Cell {
		return &s.Cells[slices.IndexFunc(s.Cells, func(c journal.Cell) bool { return c.ID > places && c.ID&0xFFFF_FFFF == n })]
	}
	for name, plant := range map[string]struct {
		change func(s *verifytest.TransitStore)
		field  string
	}{
		"an octet":            {func(s *verifytest.TransitStore) { p := piece(s, 1); p.Data[len(p.Data)/2] ^= 1 }, foundCell},
		"a short piece":       {func(s *verifytest.TransitStore) { p := piece(s, 1); p.Data = p.Data[:len(p.Data)-1] }, foundCell},
		"an empty piece":      {func(s *verifytest.TransitStore) { piece(s, 2).Data = nil }, foundCell},
		"a piece of a row":    {func(s *verifytest.TransitStore) { piece(s, 2).Seq-- }, foundCell},
		"no piece":            {func(s *verifytest.TransitStore) { piece(s, 2).ID += 1 << 20 }, foundCell},
		"the sum":             {func(s *verifytest.TransitStore) { h := header(s); h.Data[len(h.Data)-1] ^= 1 }, foundCell},
		"more pieces":         {func(s *verifytest.TransitStore) { header(s).Data[17]++ }, foundCell},
		"fewer pieces":        {func(s *verifytest.TransitStore) { header(s).Data[17]-- }, foundCell},
		"another place":       {func(s *verifytest.TransitStore) { header(s).Data[1] ^= 1 }, foundCell},
		"another row":         {func(s *verifytest.TransitStore) { header(s).Data[9]-- }, foundCell},
		"a version to come":   {func(s *verifytest.TransitStore) { header(s).Data[0] = 9 }, foundCell},
		"a short header":      {func(s *verifytest.TransitStore) { h := header(s); h.Data = h.Data[:40] }, foundCell},
		"no header":           {func(s *verifytest.TransitStore) { header(s).ID = 77 }, foundCell},
		"a header of a row":   {func(s *verifytest.TransitStore) { header(s).Seq-- }, foundWatermark},
		"an earlier mark":     {func(s *verifytest.TransitStore) { s.Watermark-- }, foundCell},
		"rows that were lost": {func(s *verifytest.TransitStore) { s.Rows = s.Rows[:len(s.Rows)-2] }, foundWatermark},
	} {
		s := c.packed(func(*state) {})
		if len(s.Cells) < 3 {
			t.Fatalf("%d cells", len(s.Cells))
		}
		plant.change(&s)
		report := found(t, s)
		finds(t, name, &report, plant.field)
		if report.Kept.Compared {
			t.Errorf("%s: compared all the same", name)
		}
	}
	former := c.packed(func(*state) {})
	header(&former).Data[0] = 1
	if report := found(t, former); !report.Clean() || report.Kept.Compared {
		t.Errorf("a state of the former version, which nobody reads: %v", report.Findings)
	}
}

// TestWhateverIsDamagedIsFound: octets and columns that are changed anywhere are found, and never stop the one who looks.
func TestWhateverIsDamagedIsFound(t *testing.T) {
	c := rotated(t)
	sound := c.packed(func(*state) {})
	var whole []byte
	for i := range sound.Cells[:len(sound.Cells)-1] {
		whole = append(whole, sound.Cells[i].Data...)
	}
	for seed := range uint64(damages) {
		random := rand.New(rand.NewPCG(seed, 6))
		s := sound
		s.Rows, s.Cells = copies(s.Rows), slices.Clone(s.Cells)
		r := &s.Rows[random.IntN(len(s.Rows))]
		flip := func(b []byte) bool {
			if len(b) > 0 {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
			return len(b) > 0
		}
		rows := true
		switch what := random.IntN(9); what {
		case 0:
			r.Card = int64(random.Uint64())
		case 1:
			r.Linked = random.Uint64N(uint64(len(s.Rows)))
		case 2:
			r.Reason = uint16(random.Uint32N(20))
		case 3:
			r.Kind = s.Rows[random.IntN(len(s.Rows))].Kind
		case 4:
			r.Note = r.Note[:random.IntN(len(r.Note)+1)]
		case 5:
			flip(r.Answer)
		case 6:
			flip(r.Note)
		default: // of the kept state, with a hash made to fit: mostly what nothing follows from but the rows' own
			rows = false
			damaged := slices.Clone(whole)
			flip(damaged)
			if what == 7 {
				damaged = damaged[:random.IntN(len(damaged))]
			}
			s.Cells = repacked(s.Cells, damaged)
		}
		report := found(t, s)
		if !rows && report.Clean() && !report.Kept.Compared {
			t.Errorf("damage %d is not found", seed)
		}
	}
}

// damages is how many are tried; each is a data directory.
const damages = 20

// repacked puts a state into the cells of another.
func repacked(cells []journal.Cell, whole []byte) []journal.Cell {
	header := cells[len(cells)-1]
	header.Data = slices.Clone(header.Data)
	sum := sha256.Sum256(whole)
	copy(header.Data[18:], sum[:])
	var out []journal.Cell
	for n := int64(0); len(whole) > 0; n++ {
		length := min(len(whole), journal.MaxCellBytes)
		out = append(out, journal.Cell{ID: pieceID(header.Data[1], int(n)), Seq: header.Seq, Data: whole[:length]})
		whole = whole[length:]
	}
	binary.BigEndian.PutUint64(header.Data[10:], uint64(len(out)))
	return append(out, header)
}
